"""The CUDA kernels as functions: convolution, its two gradients, and AdaIN.

Each function checks shapes, makes the output, picks how to cut the work into blocks, and launches
kernels of conv.cu or adain.cu. Arrays are CuPy's, float32 or float64. `stride` and `padding` are
(height, width) pairs. The letters are those of conv.cu: x (N,C,H,W), w (K,C,R,S), y (N,K,P,Q).
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, namespace
from .launch import MAX_GRID, MAX_SHARED_BYTES, Kernel

Pair = tuple[int, int]

# ---- convolution: tiles ------------------------------------------------------------------------


class Tile(NamedTuple):
    """What one block computes: rows x cols outputs, `depth` at a time, side x side a thread."""

    rows: int
    cols: int
    depth: int
    side: int

    @property
    def threads(self) -> int:
        return self.rows // self.side * (self.cols // self.side)

    def tiles(self, rows: int, cols: int) -> int:
        """The number of tiles that cover a rows x cols output."""
        return ceil_div(rows, self.rows) * ceil_div(cols, self.cols)

    def kernel(self, name: str, dtype: Any) -> Kernel:
        """A kernel of conv.cu, compiled for this tile."""
        return Kernel("conv.cu", name, Real=c_name(dtype), BM=self.rows, BN=self.cols,
                      BK=self.depth, SIDE=self.side)


# An element that a block fetches serves a whole line of its tile, so large tiles need less memory
# traffic for each multiplication; but they are few, and every multiprocessor wants some.
LARGE = Tile(128, 128, 8, 8)
WIDE = Tile(64, 128, 8, 8)         # up to 64 channels, where half of a LARGE tile would lie idle
SMALL = Tile(64, 64, 16, 4)
TILES = (LARGE, WIDE, SMALL)

MULTIPROCESSORS = 128              # of a big GPU; a constant, so that results depend on no device
SHORTEST_PART = 256                # of the weight gradient's depth: below, the final sum costs more
SIZE_LIMIT = 2**30                 # conv.cu counts in 32 bits


def choose_tile(rows: int, cols: int, blocks_per_tile: int, dtype: Any) -> Tile:
    """The largest tile that is not mostly empty and still gives all multiprocessors a block.

    `blocks_per_tile`: how many blocks work on one tile (phases, or parts of the depth).
    float64 always takes SMALL: 8 x 8 sums of 8 bytes would not fit in the registers.
    """
    if np.dtype(dtype) == np.float64:
        return SMALL
    tile = LARGE if rows > 64 else WIDE
    enough = tile.tiles(rows, cols) * blocks_per_tile >= MULTIPROCESSORS
    return tile if enough and cols > 64 else SMALL


def choose_parts(tiles: int, depth: int) -> int:
    """Into how many parts to split the weight gradient's depth: four blocks a multiprocessor."""
    wanted = 4 * MULTIPROCESSORS // tiles
    return max(1, min(wanted, depth // SHORTEST_PART))


# ---- convolution: the three functions ----------------------------------------------------------

def conv2d(x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
    """y[n,k,p,q] = sum over c,r,s of w[k,c,r,s] * x[n,c, p*sh + r - ph, q*sw + s - pw].

    x (N,C,H,W), w (K,C,R,S) -> y (N,K,P,Q) with P = (H + 2 ph - R) // sh + 1, Q likewise.
    """
    y_shape = conv2d_shape("conv2d", x.shape, w.shape, stride, padding)
    y = _empty(x, y_shape)
    if y.size:
        N, K, P, Q = y_shape
        tile = choose_tile(K, N * P * Q, 1, x.dtype)
        tile.kernel("conv_forward", x.dtype)(
            (tile.tiles(K, N * P * Q),), (tile.threads,),
            x=x, w=w, y=y, shape=_shape_struct(x.shape, w.shape, y_shape, stride, padding))
    return y


def conv2d_input_grad(g: Array, w: Array, stride: Pair, padding: Pair, input_hw: Pair) -> Array:
    """The gradient of sum(g * conv2d(x, w)) with respect to x; also the transposed convolution.

    g (N,K,P,Q), w (K,C,R,S) -> gx (N,C,H,W). With a stride, several input sizes (H, W) lead to
    one output size, so the caller names the one it wants: that is what output_padding is for.
    """
    N, C, (H, W) = g.shape[0], w.shape[1], input_hw
    _check_g("conv2d_input_grad", g.shape, (N, C, H, W), w.shape, stride, padding)
    gx = _empty(g, (N, C, H, W))
    if gx.size:
        phases = prod(stride)
        pixels = N * ceil_div(H, stride[0]) * ceil_div(W, stride[1])     # of the largest phase
        tile = choose_tile(C, pixels, phases, g.dtype)
        tile.kernel("conv_input_grad", g.dtype)(
            (tile.tiles(C, pixels), 1, phases), (tile.threads,),
            g=g, w=w, gx=gx, shape=_shape_struct(gx.shape, w.shape, g.shape, stride, padding))
    return gx


def conv2d_weight_grad(x: Array, g: Array, stride: Pair, padding: Pair, kernel_hw: Pair) -> Array:
    """The gradient of sum(g * conv2d(x, w)) with respect to w.

    x (N,C,H,W), g (N,K,P,Q) -> gw (K,C,R,S), with kernel_hw = (R, S). The same bits every time:
    parts of the sum are added in a fixed order.
    """
    w_shape = (g.shape[1], x.shape[1], *kernel_hw)
    _check_g("conv2d_weight_grad", g.shape, x.shape, w_shape, stride, padding)
    gw = _empty(x, w_shape)
    if gw.size:
        rows, cols, depth = w_shape[0], prod(w_shape[1:]), g.shape[0] * prod(g.shape[2:])
        tile = choose_tile(rows, cols, choose_parts(1, depth), x.dtype)
        tiles = tile.tiles(rows, cols)
        parts = choose_parts(tiles, depth)
        partial = gw if parts == 1 else _empty(x, (parts, *w_shape))
        tile.kernel("conv_weight_grad", x.dtype)(
            (tiles, 1, parts), (tile.threads,), g=g, x=x, parts=partial,
            shape=_shape_struct(x.shape, w_shape, g.shape, stride, padding))
        if parts > 1:
            tile.kernel("sum_parts", x.dtype)(
                (ceil_div(gw.size, 256),), (256,),
                parts=partial, gw=gw, count=gw.size, number_of_parts=parts)
    return gw


# ---- convolution: shapes -----------------------------------------------------------------------

Sizes = tuple[int, ...]


def conv2d_shape(name: str, x: Sizes, w: Sizes, stride: Pair, padding: Pair) -> Sizes:
    """The shape (N,K,P,Q) of conv2d for shapes x and w; a ValueError on behalf of `name`."""
    given = f"x {x}, w {w}, stride {stride}, padding {padding}"
    if len(x) != 4 or len(w) != 4 or x[1] != w[1]:
        raise ValueError(f"{name}: expected x (N,C,H,W) and w (K,C,R,S) with one C, got {given}")
    if min(stride) < 1 or min(padding) < 0 or min(w[2:]) < 1:
        raise ValueError(f"{name}: expected stride and kernel >= 1, padding >= 0, got {given}")
    P, Q = ((x[i] + 2 * padding[i - 2] - w[i]) // stride[i - 2] + 1 for i in (2, 3))
    if min(P, Q) < 1:
        raise ValueError(f"{name}: the kernel is larger than the padded input: {given}")
    y = (x[0], w[0], P, Q)
    if max(prod(x[1:]), prod(w), prod(y[1:]), x[0] * max(prod(x[2:]), P * Q)) >= SIZE_LIMIT:
        raise ValueError(f"{name}: expected one image, w, and the pixels of the batch to be below "
                         f"{SIZE_LIMIT} elements, got {given}, y {y}; split the batch")
    return y


def _check_g(name: str, g: Sizes, x: Sizes, w: Sizes, stride: Pair, padding: Pair) -> None:
    y = conv2d_shape(name, x, w, stride, padding)
    if g != y:
        raise ValueError(f"{name}: expected g of shape {y}, got {g}; x {x}, w {w}, "
                         f"stride {stride}, padding {padding}")


# struct Shape in conv.cu, field by field
SHAPE = np.dtype([(field, np.int32) for field in (
    "N", "C", "H", "W", "K", "R", "S", "P", "Q", "sh", "sw", "ph", "pw")])


def _shape_struct(x: Sizes, w: Sizes, y: Sizes, stride: Pair, padding: Pair) -> np.ndarray:
    return np.array((*x, w[0], *w[2:], *y[2:], *stride, *padding), SHAPE)


# ---- AdaIN -------------------------------------------------------------------------------------


def adain(x: Array, scale: Array, shift: Array, eps: float) -> tuple[Array, Array, Array]:
    """y = scale * (x - mean) * rstd + shift, plane by plane; rstd = 1 / sqrt(var + eps).

    x (N,C,H,W); scale, shift (N,C) -> y (N,C,H,W) and mean, rstd (N,C), which adain_backward takes.
    """
    _check_planes("adain", x, scale=scale, shift=shift)
    y, mean, rstd = _empty(x, x.shape), _empty(x, x.shape[:2]), _empty(x, x.shape[:2])
    if y.size:
        x = namespace(x).ascontiguousarray(x)
        _launch_planes("adain_forward", [x], x=x, scale=scale, shift=shift, y=y, mean=mean,
                       rstd=rstd, eps=eps)
    return y, mean, rstd


def adain_backward(g: Array, x: Array, scale: Array, mean: Array,
                   rstd: Array) -> tuple[Array, Array, Array]:
    """The gradients (gx, gscale, gshift) of sum(g * y), where y, mean, rstd = adain(x, ...)."""
    _check_planes("adain_backward", x, scale=scale, mean=mean, rstd=rstd)
    if g.shape != x.shape:
        raise ValueError(f"adain_backward: expected g of x's shape {x.shape}, got {g.shape}")
    gx, gscale, gshift = _empty(x, x.shape), _empty(x, x.shape[:2]), _empty(x, x.shape[:2])
    if gx.size:
        g = namespace(g).ascontiguousarray(g)
        x = namespace(x).ascontiguousarray(x)
        _launch_planes("adain_backward", [g, x], g=g, x=x, scale=scale, mean=mean, rstd=rstd,
                       gx=gx, gscale=gscale, gshift=gshift)
    return gx, gscale, gshift


STAGE_BYTES = MAX_SHARED_BYTES - 1024    # the kernels' sums also need a little shared memory


def _launch_planes(name: str, staged_arrays: list[Array], **arguments: Any) -> None:
    """One block a plane. A thread takes two packs; more, where a plane has more than 1024."""
    x = arguments["x"]
    pixels = x.shape[2] * x.shape[3]
    aligned = all(_address(array) % 16 == 0 for array in staged_arrays)
    pack = 4 if pixels % 4 == 0 and aligned else 1
    packs = pixels // pack
    bytes_per_pack = len(staged_arrays) * pack * x.dtype.itemsize
    staged = min(packs, STAGE_BYTES // bytes_per_pack)
    threads = 32 * min(16, ceil_div(packs, 2 * 32))
    kernel = Kernel("adain.cu", name, Real=c_name(x.dtype), PACK=pack)
    kernel((x.shape[0] * x.shape[1],), (threads,), staged * bytes_per_pack,
           pixels=pixels, staged=staged, **arguments)


def _check_planes(name: str, x: Array, **statistics: Array) -> None:
    shapes = {key: value.shape for key, value in statistics.items()}
    if x.ndim != 4 or any(shape != x.shape[:2] for shape in shapes.values()):
        raise ValueError(f"{name}: expected x (N,C,H,W) and {', '.join(shapes)} (N,C), "
                         f"got x {x.shape}, {shapes}")
    if x.shape[2] * x.shape[3] >= SIZE_LIMIT or x.shape[0] * x.shape[1] > MAX_GRID[0]:
        raise ValueError(f"{name}: x {x.shape} has too large or too many planes")


# ---- small things ------------------------------------------------------------------------------


def ceil_div(a: int, b: int) -> int:
    """How many pieces of size b cover a."""
    return -(-a // b)


def c_name(dtype: Any) -> str:
    """What C calls a NumPy dtype: "float" or "double"."""
    names = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
    if np.dtype(dtype) not in names:
        raise TypeError(f"the CUDA kernels take float32 or float64, got {dtype}")
    return names[np.dtype(dtype)]


def _empty(like: Array, shape: tuple[int, ...]) -> Array:
    """A new contiguous array of the same library, dtype and (current) device."""
    return namespace(like).empty(shape, like.dtype)


def _address(array: Array) -> int:
    """Where the array's first element lies in (device) memory."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr

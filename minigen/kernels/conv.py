"""Convolution and its two gradients on NumPy arrays, as matrix products.

    y[n, k, p, q]  =  Σ_{c,r,s}  x[n, c, p·sh + r - ph, q·sw + s - pw] · w[k, c, r, s]

Lay every window of x out as one row of a matrix, every filter as one row of another, and the sum
is a matrix product ("im2col"), which is what BLAS is best at:

        windows (N·P·Q, R·S·C)           filters (K, R·S·C)
        ┌────────────────────┐           ┌────────────────────┐
        │ window (0, 0)      │           │ filter 0           │        y  = windows · filtersᵀ
        │ window (0, 1)      │           │ ...                │        ∂wᵀ = windowsᵀ · ∂y
        │ ...                │           └────────────────────┘
        └────────────────────┘

What then costs time besides the product is copying, and four habits keep that cheap:

1. Channels last.  Arrays have the shape (N, C, H, W), but the results lie in memory as
   (N, H, W, C), under a transposed view: S neighbouring pixels are then S·C neighbouring numbers.
   Any layout may come in; elementwise NumPy keeps the one it finds, so the next layer profits.
2. Such a stretch of numbers is copied as one opaque element: see `stretches_of`.
3. The windows are built for a few images at a time, so that BLAS finds them in the cache.
4. These groups of images are shared among the cores. (BLAS would share each product instead, and
   all its threads but one would wait while windows are copied.)

`conv_naive.py` says the same in loops.  Shapes are checked by the callers.
"""

import math

import numpy as np

from .parallel import in_parallel

Pair = tuple[int, int]                              # (height, width)

# How many windows to build at a time.  Fewer stay in a faster cache, but each product also has
# fixed costs (BLAS repacks the filters), which weigh more below 1 MiB.
WINDOW_BYTES = 2 << 20


def conv2d(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    """x (N,C,H,W), w (K,C,R,S) -> y (N,K,P,Q): the cross-correlation that PyTorch calls conv2d."""
    (N, C, H, W), (K, _, R, S) = x.shape, w.shape
    P = (H + 2 * padding[0] - R) // stride[0] + 1
    Q = (W + 2 * padding[1] - S) // stride[1] + 1
    wide = taps_across(S, C, x.itemsize)
    filters = np.zeros((R, wide, C, K), x.dtype)
    filters[:, :S] = w.transpose(2, 3, 1, 0)
    y = np.empty((N, P, Q, K), x.dtype)

    def multiply(some: slice) -> None:
        windows = im2col(channels_last(x[some]), (R, wide), stride, padding, (P, Q))
        np.matmul(windows, filters.reshape(-1, K), out=y[some].reshape(-1, K))

    in_parallel(multiply, batches(N, P * Q * R * S * C * x.itemsize))
    return channels_first(y)


def conv2d_weight_grad(x: np.ndarray, g: np.ndarray, stride: Pair, padding: Pair,
                       kernel_hw: Pair) -> np.ndarray:
    """x (N,C,H,W), g = ∂L/∂y (N,K,P,Q) -> ∂L/∂w (K,C,R,S).

    Which pixels of x meet g[p, q] in a product? Those of its window. Which of g meet x[i, j]? With
    stride 1 those of a window, too, with r and s running backwards: g[i + ph - r, j + pw - s]. So
    the two can change places, and the windows are built of the one with fewer channels.
    """
    (N, C, _, _), (_, K, P, Q), (R, S) = x.shape, g.shape, kernel_hw
    if stride == (1, 1) and K < C:
        beyond = R - 1 - padding[0], S - 1 - padding[1]
        gw = conv2d_weight_grad(g, x, stride, beyond, kernel_hw)
        return np.ascontiguousarray(gw.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
    wide = taps_across(S, C, x.itemsize)
    groups = batches(N, P * Q * R * S * C * x.itemsize)
    parts = np.empty((len(groups), R * wide * C, K), x.dtype)

    def multiply(i: int) -> None:
        windows = im2col(channels_last(x[groups[i]]), (R, wide), stride, padding, (P, Q))
        np.matmul(windows.T, channels_last(g[groups[i]]).reshape(-1, K), out=parts[i])

    in_parallel(multiply, range(len(groups)))
    gw = parts.sum(axis=0).reshape(R, wide, C, K)[:, :S]
    return np.ascontiguousarray(gw.transpose(3, 2, 0, 1))


def conv2d_input_grad(g: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair,
                      input_hw: Pair) -> np.ndarray:
    """g = ∂L/∂y (N,K,P,Q), w (K,C,R,S) -> ∂L/∂x (N,C,H,W): what a transposed convolution computes.

    H and W must be given, for with a stride several input sizes lead to one output size.  Pixels
    that no window touched get 0.

    Adding the gradient of every window back into the image would touch each pixel many times.
    Ask the other way round: which windows touched pixel i?  (One axis; the other is alike.)
    Window p touched it with tap r = i + ph - p·sh.  Divide with remainder, i + ph = m·sh + a:

        p = m - t,   r = a + t·sh         for t = 0, 1, ..., T-1,   T = ⌈R / sh⌉

    Call the sh pixels with the same m a cell: they read the same T outputs, with different taps.

        sh = 2, R = 4, so T = 2        from g[m-1]     from g[m]
        pixel a = 0 of cell m             w[2]            w[0]
        pixel a = 1 of cell m             w[3]            w[1]

    This is a convolution of g with stride 1 and T taps that gives a whole cell at a time: sh·sw
    pixels of C channels. One row of pixels of each cell, a, is computed at a time: at the edges a
    cell may lie half outside the image, and that half is left out.
    """
    (N, K, _, _), (_, C, R, S) = g.shape, w.shape
    (H, W), (sh, sw) = input_hw, stride
    T_h, m_h, cells_h, top = _cells(H, R, sh, padding[0])
    T_w, m_w, cells_w, left = _cells(W, S, sw, padding[1])
    T_w = taps_across(T_w, K, g.itemsize)
    taps, corner = (T_h, T_w), (m_h - T_h + 1, m_w - T_w + 1)
    filters = _cell_filters(w, stride, taps)
    gx = np.empty((N, H, W, C), g.dtype)
    pixels = as_elements(gx)

    def multiply(some: slice) -> None:
        stretches = stretches_of(channels_last(g[some]), taps, (1, 1), corner, (cells_h, cells_w))
        windows = as_numbers(stretches.transpose(1, 0, 2, 3).copy(), g.dtype)  # by cell row
        n = windows.shape[1]
        for a in range(sh):
            row = (a - top) % sh                # the first row of pixels of this kind, ...
            m = (row + top) // sh               # ... the row of cells that it belongs to, ...
            count = len(range(row, H, sh))      # ... and how many there are
            cells = windows[m:m + count].reshape(-1, T_h * T_w * K) @ filters[a]
            rows = as_elements(cells.reshape(count, n, cells_w * sw, C))
            pixels[some, row::sh] = rows[:, :, left:left + W].transpose(1, 0, 2)

    in_parallel(multiply, batches(N, cells_h * cells_w * T_h * T_w * K * g.itemsize))
    return channels_first(gx)


def _cells(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int, int, int]:
    """On one axis: taps T, first cell m, number of cells, place of pixel 0 in the first."""
    taps = -(-kernel // stride)
    first, last = padding // stride, (padding + size - 1) // stride
    return taps, first, last - first + 1, padding % stride


def _cell_filters(w: np.ndarray, stride: Pair, taps: Pair) -> np.ndarray:
    """w (K,C,R,S) -> (sh, T_h·T_w·K, sw·C): matrix a, row (t, u, k), column (b, c) holds the weight
    w[k, c, a + t·sh, b + u·sw], or 0 past the end of the filter; t and u run backwards."""
    (K, C, R, S), (sh, sw), (T_h, T_w) = w.shape, stride, taps
    whole = np.zeros((K, C, T_h * sh, T_w * sw), w.dtype)
    whole[:, :, :R, :S] = w
    by_tap = whole.reshape(K, C, T_h, sh, T_w, sw)[:, :, ::-1, :, ::-1]
    return by_tap.transpose(3, 2, 4, 0, 5, 1).reshape(sh, T_h * T_w * K, sw * C)


def im2col(x: np.ndarray, kernel_hw: Pair, stride: Pair, padding: Pair, grid: Pair) -> np.ndarray:
    """x (n,H,W,C) -> (n·P·Q, R·S·C) for a grid of (P,Q) windows; pixels outside x count as 0.

    Row (p, q) is the window whose top left pixel is (p·sh - ph, q·sw - pw), its order (r, s, c).
    """
    stretches = stretches_of(x, kernel_hw, stride, (-padding[0], -padding[1]), grid)
    return as_numbers(stretches.copy(), x.dtype).reshape(-1, math.prod(kernel_hw) * x.shape[3])


def stretches_of(x: np.ndarray, kernel_hw: Pair, stride: Pair, corner: Pair, grid: Pair
                 ) -> np.ndarray:
    """x (n,H,W,C) -> (n,P,Q,R): each row of each window, S·C numbers, as one opaque element.

    A view, in which windows overlap. NumPy copies stretch by stretch, here S pixels, and pays for
    each; as an opaque element a stretch is a single move: 4x faster for C = 1, still 1.2x for 64.
    """
    (R, S), (sh, sw), (P, Q) = kernel_hw, stride, grid
    x = _cut(x, corner, ((P - 1) * sh + R, (Q - 1) * sw + S))
    by_image, by_row, by_pixel, _ = x.strides
    return np.ndarray((len(x), P, Q, R), f"V{S * by_pixel}", x,
                      strides=(by_image, sh * by_row, sw * by_pixel, by_row))


def _cut(x: np.ndarray, corner: Pair, size: Pair) -> np.ndarray:
    """The contiguous (n, *size, C) piece of x (n,H,W,C) that starts at corner; 0 outside x."""
    (top, left), (h, w), (n, H, W, C) = corner, size, x.shape
    i0, j0 = max(top, 0), max(left, 0)
    i1, j1 = max(min(top + h, H), i0), max(min(left + w, W), j0)
    piece = np.empty((n, h, w, C), x.dtype)
    piece[:, i0 - top:i1 - top, j0 - left:j1 - left] = x[:, i0:i1, j0:j1]
    # np.zeros would ask for fresh pages each time, and touch every pixel twice.
    for border in (piece[:, :i0 - top], piece[:, i1 - top:],
                   piece[:, :, :j0 - left], piece[:, :, j1 - left:]):
        border.fill(0)
    return piece


def taps_across(taps: int, channels: int, itemsize: int) -> int:
    """How many pixels a stretch should have: one more, of weight 0, where `taps` are 12 bytes.

    NumPy moves elements of 16 bytes four times as fast as those of 12: it has a loop made for them.
    """
    return taps + 1 if taps * channels * itemsize == 12 else taps


def as_elements(x: np.ndarray) -> np.ndarray:
    """View the last axis of a contiguous array as one opaque element, to be moved as a whole."""
    return x.view(f"V{x.shape[-1] * x.itemsize}")[..., 0]


def as_numbers(elements: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The opposite: opaque elements along the last axis become the numbers that they hold."""
    return elements.view(dtype)


def channels_last(x: np.ndarray) -> np.ndarray:
    """View (N,C,H,W) as (N,H,W,C)."""
    return x.transpose(0, 2, 3, 1)


def channels_first(x: np.ndarray) -> np.ndarray:
    """View (N,H,W,C) as (N,C,H,W)."""
    return x.transpose(0, 3, 1, 2)


def batches(count: int, bytes_each: int, bytes_together: int = WINDOW_BYTES) -> list[slice]:
    """Slices that cut `count` images into even groups of up to `bytes_together`.

    An even number of groups, for most machines have an even number of cores; one group where all
    images are less than half of that, which is not worth waking a thread. (The groups do not depend
    on the machine: sums over them are the same everywhere.)
    """
    total = count * bytes_each
    groups = 1 if 2 * total < bytes_together else 2 * -(-total // (2 * bytes_together))
    groups = min(groups, count)
    return [slice(count * i // groups, count * (i + 1) // groups) for i in range(groups)]

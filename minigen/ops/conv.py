"""Convolution: three ops, each of which has the other two as its gradients.

Write y = F(x, w) for a convolution, x (N,C,H,W), w (K,C,R,S), y (N,K,P,Q). It is linear in x and
linear in w. So is <F(x, w), g> for a gradient g of the shape of y, and that one number can be read
in three ways, which define the two other ops:

    <F(x, w), g>  =  <x, T(g, w)>  =  <w, G(x, g)>

    F  conv2d               x, w -> y       every window of x times the filters
    T  conv_transpose2d     g, w -> x       every output spread back over its window
    G  conv2d_weight_grad   x, g -> w       every window of x times the gradient it received

T and G are by construction the gradients of F. And since all three are the same trilinear form, the
gradients of T are F and G, those of G are T and F: the three are closed, and can be differentiated
as often as one likes.
"""

from typing import Any

from .. import kernels
from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from ..backend import Array
from .shape import sum_to

Pair = tuple[int, int]


class Conv2d(Op):
    """F(x, w), plus a number per channel if b is given:  g_x = T(g, w),  g_w = G(x, g),
    g_b = the sum of g over each channel.
    """

    name = "conv2d"
    expects = ("x (N, C, H, W) and w (K, C, R, S), with R <= H + 2 padding and S likewise; "
               "stride 1 or more, padding 0 or more")

    def __init__(self, stride: Pair, padding: Pair) -> None:
        self.stride = stride
        self.padding = padding

    def forward(self, x, w, *b):
        output_hw(x.shape, w.shape, self.stride, self.padding)
        y = kernels.conv_for(x).conv2d(x, w, self.stride, self.padding)
        return with_bias(y, *b)

    def vjp(self, g, x, w, *b):
        transpose = ConvTranspose2d(self.stride, self.padding, x.shape[2:])
        weight_grad = Conv2dWeightGrad(self.stride, self.padding, w.shape[2:])
        return (transpose(g, w) if self.needs[0] else None,
                weight_grad(x, g) if self.needs[1] else None,
                *(per_channel(g) for _ in b))


class ConvTranspose2d(Op):
    """T(x, w), plus a number per channel if b is given:  g_x = F(g, w),  g_w = G(g, x).

    x has the shape of an output of F: it plays the part of g above. `hw` is the size of the image,
    which must be said, because with a stride F takes several sizes to one.
    """

    name = "conv_transpose2d"
    expects = ("x (N, K, P, Q) and w (K, C, R, S), that is (in, out, height, width); stride 1 or "
               "more; output_padding less than stride")

    def __init__(self, stride: Pair, padding: Pair, hw: Pair) -> None:
        self.stride = stride
        self.padding = padding
        self.hw = hw

    def forward(self, x, w, *b):
        if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[0]:
            raise ValueError("x and w do not fit together")
        image = (len(x), w.shape[1], *self.hw)
        if output_hw(image, w.shape, self.stride, self.padding) != x.shape[2:]:
            raise ValueError(f"no convolution takes an image of {self.hw} to x's size")
        kernel = kernels.conv_for(x).conv2d_input_grad
        return with_bias(kernel(x, w, self.stride, self.padding, self.hw), *b)

    def vjp(self, g, x, w, *b):
        convolve = Conv2d(self.stride, self.padding)
        weight_grad = Conv2dWeightGrad(self.stride, self.padding, w.shape[2:])
        return (convolve(g, w) if self.needs[0] else None,
                weight_grad(g, x) if self.needs[1] else None,
                *(per_channel(g) for _ in b))


class Conv2dWeightGrad(Op):
    """G(x, y), with filters of size `hw`; y plays the part of g:  g_x = T(y, g),  g_y = F(x, g)."""

    name = "conv2d_weight_grad"
    expects = "x (N, C, H, W) and y (N, K, P, Q) of the shape of a convolution's output"

    def __init__(self, stride: Pair, padding: Pair, hw: Pair) -> None:
        self.stride = stride
        self.padding = padding
        self.hw = hw

    def forward(self, x, y):
        if x.ndim != 4 or y.ndim != 4 or len(x) != len(y):
            raise ValueError("x and y do not fit together")
        filters = (y.shape[1], x.shape[1], *self.hw)
        if output_hw(x.shape, filters, self.stride, self.padding) != y.shape[2:]:
            raise ValueError(f"no convolution with filters of {self.hw} takes x to y's size")
        kernel = kernels.conv_for(x).conv2d_weight_grad
        return kernel(x, y, self.stride, self.padding, self.hw)

    def vjp(self, g, x, y):
        transpose = ConvTranspose2d(self.stride, self.padding, x.shape[2:])
        convolve = Conv2d(self.stride, self.padding)
        return (transpose(y, g) if self.needs[0] else None,
                convolve(x, g) if self.needs[1] else None)


def with_bias(y: Array, b: Array | None = None) -> Array:
    """y plus b[k] on channel k, in place: the kernel has just made y."""
    if b is not None:
        if b.shape != y.shape[1:2]:
            raise ValueError(f"b has shape {b.shape}, but there are {y.shape[1]} channels")
        y += kernels.planes.spread(b[None], y)
    return y


def per_channel(g: Tensor) -> Tensor:
    """The sum of g over everything but its channels: (N, C, H, W) -> (C,)."""
    return sum_to(g, (g.shape[1], 1, 1)).reshape(g.shape[1])


def output_hw(x: tuple[int, ...], w: tuple[int, ...], stride: Pair, padding: Pair) -> Pair:
    """How many windows fit down and across; ValueError where x and w are no image and filters."""
    if len(x) != 4 or len(w) != 4:
        raise ValueError("expected four axes each")
    if x[1] != w[1]:
        raise ValueError(f"x has {x[1]} channels, but w is for {w[1]}")
    if min(stride) < 1 or min(padding) < 0 or min(w[2:]) < 1:
        raise ValueError(f"stride {stride}, padding {padding}, filters of {w[2:]}")
    down, across = (n + 2 * p - k for n, p, k in zip(x[2:], padding, w[2:]))
    if down < 0 or across < 0:
        raise ValueError(f"filters of {w[2:]} are larger than an image of {x[2:]} with padding "
                         f"{padding}")
    return down // stride[0] + 1, across // stride[1] + 1


def pair(value: int | Pair, name: str) -> Pair:
    """3 -> (3, 3); a pair stays as it is."""
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name}: expected an int or a pair (height, width), got {value}")
    return int(value[0]), int(value[1])


def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, stride: Any = 1, padding: Any = 0
) -> Tensor:
    """Convolution as networks mean it (cross-correlation), zeros around the image.

    x (N, C, H, W), w (out, in, kh, kw), b (out,); stride and padding: an int or (height, width).
    Returns (N, out, P, Q) with P = (H + 2 padding - kh) // stride + 1, and Q likewise. Raises
    ValueError for channels that differ or filters larger than the padded image.
    """
    convolve = Conv2d(pair(stride, "stride"), pair(padding, "padding"))
    return convolve(x, w) if b is None else convolve(x, w, b)


def conv_transpose2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
) -> Tensor:
    """The transpose of a convolution: each pixel of x paints the filter, scaled, onto the image.

    x (N, in, P, Q), w (in, out, kh, kw), b (out,). Returns (N, out, H, W) with
    H = (P - 1) stride - 2 padding + kh + output_padding, and W likewise. output_padding chooses
    among the sizes that a convolution of this stride takes to P; it must be less than stride.
    """
    strides, borders = pair(stride, "stride"), pair(padding, "padding")
    extra = pair(output_padding, "output_padding")
    if not all(0 <= e < s for e, s in zip(extra, strides)):
        raise ValueError(f"conv_transpose2d: output_padding {extra} must be less than stride "
                         f"{strides}, and not negative")
    sizes = zip(x.shape[2:], strides, borders, w.shape[2:], extra)
    h, wide = ((n - 1) * s - 2 * p + k + e for n, s, p, k, e in sizes)
    transpose = ConvTranspose2d(strides, borders, (h, wide))
    return transpose(x, w) if b is None else transpose(x, w, b)


def conv2d_weight_grad(
    x: Tensor, g: Tensor, kernel_size: Any, stride: Any = 1, padding: Any = 0
) -> Tensor:
    """The gradient of <conv2d(x, w), g> in w, which does not depend on w, as it is linear in w.

    x (N, in, H, W), g (N, out, P, Q) -> (out, in, kh, kw) for kernel_size (kh, kw).
    """
    strides, borders = pair(stride, "stride"), pair(padding, "padding")
    return Conv2dWeightGrad(strides, borders, pair(kernel_size, "kernel_size"))(x, g)


def channels(b: Tensor) -> Tensor:
    """A number per channel, (C,), as an image that broadcasts: (C, 1, 1)."""
    return b.reshape(b.size, 1, 1)

"""Normalisation: numbers brought to mean 0 and variance 1, then scaled and shifted.

                    a plane, over which statistics go    a scale and a shift for
    adain           H, W, of an image and channel        an image and channel    (Huang 2017)
    instance_norm   the same                             a channel               (Ulyanov 2016)
    batch_norm      N, H, W, of a channel                a channel               (Ioffe 2015)
    layer_norm      the last axes, of a point            an element              (Ba 2016)

What tells the methods apart is which numbers make up a plane. So one op serves all four: the others
lay their numbers out as adain's planes. That takes no copying where strides can say the same.

Huang and Belongie, arXiv:1703.06868; Ulyanov et al., arXiv:1607.08022; Ioffe and Szegedy,
arXiv:1502.03167; Ba et al., arXiv:1607.06450.
"""

from .. import kernels
from ..autodiff.graph import mode
from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from ..backend import Array, namespace
from .shape import broadcast_to


class Adain(Op):
    """y = scale z + shift,  z = (x - m) r,  m the mean of a plane (n, c), r = 1/sqrt(var + eps).

    x_j moves z_i directly, through m, and through r:  dz_i/dx_j = r (delta_ij - 1/n - z_i z_j / n),
    n pixels. So  g_shift = sum g,  g_scale = sum g z,  g_x = scale r (g - mean(g) - z mean(g z)).
    """

    name = "adain"
    expects = "x (N, C, H, W) with H W > 0, scale (N, C) and shift (N, C)"

    def __init__(self, eps):
        self.eps = eps

    def forward(self, x, scale, shift):
        if x.ndim != 4 or not scale.shape == shift.shape == x.shape[:2] or 0 in x.shape[2:]:
            raise ValueError("x, scale and shift do not fit together")
        y, self.mean, self.rstd = kernels.adain_for(x).adain(x, scale, shift, self.eps)
        return y

    def vjp(self, g, x, scale, shift):
        if mode.recording:  # somebody will differentiate this: say it in ops
            return self.vjp_of_ops(g, x, scale)
        kernel = kernels.adain_for(x.data).adain_backward
        gradients = kernel(g.data, x.data, scale.data, self.mean, self.rstd)
        return tuple(Tensor.wrap(array) for array in gradients)

    def vjp_of_ops(self, g, x, scale):
        r = (x.var((2, 3), keepdims=True) + self.eps) ** -0.5  # anew from x: it moves with x
        z = (x - x.mean((2, 3), keepdims=True)) * r
        g_scale = (g * z).sum((2, 3))
        g_shift = g.sum((2, 3))
        pixels = x.shape[2] * x.shape[3]
        centred = g - planes(g_shift) / pixels - z * (planes(g_scale) / pixels)
        return planes(scale) * r * centred, g_scale, g_shift


def planes(statistic: Tensor) -> Tensor:
    """A number per plane, (N, C), as images that broadcast: (N, C, 1, 1)."""
    return statistic.reshape(*statistic.shape, 1, 1)


def as_one_image(x: Tensor) -> Tensor:
    """The images of a batch as a single one, each below the other: (N, C, H, W) -> (1, C, N H, W).
    """
    n, c, h, w = x.shape
    return x.transpose(1, 0, 2, 3).reshape(1, c, n * h, w)


def as_batch(image: Tensor, n: int) -> Tensor:
    """What `as_one_image` put together, taken apart: (1, C, N H, W) -> (N, C, H, W)."""
    _, c, rows, w = image.shape
    return image.reshape(c, n, rows // n, w).transpose(1, 0, 2, 3)


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Adaptive instance normalisation: every plane gets the mean `shift` and the deviation `scale`.

    x (N, C, H, W); scale, shift (N, C). First derivatives run in a kernel, further ones in ops.
    Safe at scale 0, for constant planes and for H W = 1. Raises ValueError for other shapes.
    """
    return Adain(eps)(x, scale, shift)


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Every plane of x (N, C, H, W) normalised; scale and shift (C,)."""
    every = x.shape[:2]
    return adain(x, broadcast_to(scale, every), broadcast_to(shift, every), eps)


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Every channel of x (N, C, H, W) normalised over the batch; scale and shift (C,).

    This is the training form, in which the points of a batch see one another. `nn.BatchNorm2d`
    keeps running statistics for evaluation.
    """
    return batch_norm_and_statistics(x, scale, shift, eps)[0]


def batch_norm_and_statistics(
    x: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Array, Array]:
    """batch_norm, and the mean and variance of each channel that it found, arrays (C,)."""
    op = Adain(eps)
    image = op(as_one_image(x), scale.reshape(1, scale.size), shift.reshape(1, shift.size))
    return as_batch(image, len(x)), op.mean[0], op.rstd[0] ** -2 - eps


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Each point of x normalised over its last axes, those that scale and shift have.

    Raises ValueError where these are not the last axes of x.
    """
    if x.shape[x.ndim - scale.ndim:] != scale.shape:
        raise ValueError(f"layer_norm: scale {scale.shape} must have the last axes of x {x.shape}")
    points = x.reshape(1, x.size // scale.size, scale.size, 1)
    one = Tensor.wrap(namespace(x.data).ones(points.shape[:2], x.dtype))
    return adain(points, one, 0.0 * one, eps).reshape(x.shape) * scale + shift


def standardize(x: Tensor, axis: int | tuple[int, ...], eps: float = 1e-5) -> Tensor:
    """x brought to mean 0 and variance 1 over the axes; eps keeps a constant x finite.

    This is the definition, in ops: what `adain` computes with scale 1 and shift 0.
    """
    return (x - x.mean(axis, keepdims=True)) * (x.var(axis, keepdims=True) + eps) ** -0.5


def adain_of_ops(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """The reference that `adain` is checked against: its definition, in ops."""
    return standardize(x, (2, 3), eps) * planes(scale) + planes(shift)

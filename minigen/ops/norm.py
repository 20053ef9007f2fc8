"""Normalisation: numbers brought to mean 0 and variance 1, over axes that tell the methods apart.

                    statistics over            then scaled and shifted
    batch_norm      N, H, W, per channel       per channel         (Ioffe and Szegedy 2015)
    layer_norm      the last axes, per point   per element         (Ba et al. 2016)
    instance_norm   H, W, per image, channel   per channel         (Ulyanov et al. 2016)
    adain           H, W, per image, channel   per image, channel  (Huang and Belongie 2017)

The first three are `standardize` and arithmetic; adain has a kernel of its own.
"""

from .. import kernels
from ..autodiff.graph import mode
from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from .conv import channels
from .reduce import Reduction


class Standardize(Reduction):
    """z = (x - m) r,  m the mean and r = 1/sqrt(var + eps), over the axes.

    x_j moves z_i directly, through m, and through r:  dz_i/dx_j = r (delta_ij - 1/n - z_i z_j / n),
    so that  g_x = r (g - mean(g) - z mean(g z)).  r is computed anew from x, as it moves too.
    """

    name = "standardize"
    saves_output = True

    def __init__(self, axis, eps=1e-5):
        super().__init__(axis, keepdims=True)
        self.eps = eps

    def forward(self, x):
        self.refuse_empty(x)
        z, self.mean, self.var = kernels.norm.standardize(x, self.axes(x), self.eps)
        return z

    def vjp(self, g, x):
        z = self.output
        if mode.recording:  # somebody will differentiate this: say it in ops
            r = (x.var(self.axis, keepdims=True) + self.eps) ** -0.5
            along_z = (g * z).mean(self.axis, keepdims=True)
            return r * (g - g.mean(self.axis, keepdims=True) - z * along_z)
        r = (self.var + self.eps) ** -0.5
        return Tensor.wrap(kernels.norm.standardize_backward(g.data, z.data, r, self.axes(x)))


class Adain(Op):
    """y = scale z + shift,  z = (x - m) r  of each plane (n, c).

    g_shift = sum g,  g_scale = sum g z,  g_x = scale r (g - mean(g) - z mean(g z)).
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
        r = (x.var((2, 3), keepdims=True) + self.eps) ** -0.5
        z = (x - x.mean((2, 3), keepdims=True)) * r
        g_scale = (g * z).sum((2, 3))
        g_shift = g.sum((2, 3))
        pixels = x.shape[2] * x.shape[3]
        centred = g - planes(g_shift) / pixels - z * (planes(g_scale) / pixels)
        return planes(scale) * r * centred, g_scale, g_shift


def planes(statistic: Tensor) -> Tensor:
    """A number per plane, (N, C), as images that broadcast: (N, C, 1, 1)."""
    return statistic.reshape(*statistic.shape, 1, 1)


def standardize(x: Tensor, axis: int | tuple[int, ...], eps: float = 1e-5) -> Tensor:
    """x brought to mean 0 and variance 1 over the axes; eps keeps a constant x finite."""
    return Standardize(axis, eps)(x)


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Adaptive instance normalisation: every plane gets the mean `shift` and the deviation `scale`.

    x (N, C, H, W); scale, shift (N, C). First derivatives run in a kernel, further ones in ops.
    Safe at scale 0, for constant planes and for H W = 1. Raises ValueError for other shapes.
    """
    return Adain(eps)(x, scale, shift)


def adain_of_ops(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """The reference that `adain` is checked against: its definition, in ops."""
    return standardize(x, (2, 3), eps) * planes(scale) + planes(shift)


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Every plane of x (N, C, H, W) normalised; scale and shift (C,)."""
    return standardize(x, (2, 3), eps) * channels(scale) + channels(shift)


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Every channel of x (N, C, H, W) normalised over the batch; scale and shift (C,).

    This is the training form, in which the points of a batch see one another. `nn.BatchNorm2d`
    keeps running statistics for evaluation.
    """
    return standardize(x, (0, 2, 3), eps) * channels(scale) + channels(shift)


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Each point of x normalised over its last axes, those that scale and shift have."""
    return standardize(x, tuple(range(-scale.ndim, 0)), eps) * scale + shift

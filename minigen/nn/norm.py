"""The normalisations as layers; ops/norm.py says how they differ."""

import numpy as np

from .. import ops
from ..autodiff.tensor import Tensor
from ..backend import Array
from ..create import ones, zeros
from ..ops.conv import channels
from ..ops.norm import batch_norm_and_statistics
from . import init
from .linear import Linear
from .module import Module


class BatchNorm2d(Module):
    """Batch normalisation of (N, C, H, W). In training: by the batch, and the running mean and
    variance follow, running <- (1 - momentum) running + momentum batch. In evaluation: by those.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.weight = init.constant((channels,), 1.0)
        self.bias = init.constant((channels,), 0.0)
        self.running_mean = zeros(channels)
        self.running_var = ones(channels)
        self.eps = eps
        self.momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            y, mean, var = batch_norm_and_statistics(x, self.weight, self.bias, self.eps)
            n = x.size // x.shape[1]
            self._follow(self.running_mean, mean)
            self._follow(self.running_var, var * (n / max(n - 1, 1)))
            return y
        r = (self.running_var + self.eps) ** -0.5
        z = (x - channels(self.running_mean)) * channels(r)
        return z * channels(self.weight) + channels(self.bias)

    def _follow(self, running: Tensor, batch: Array) -> None:
        step = self.momentum * batch.reshape(running.shape)
        running.data = (1 - self.momentum) * running.data + step


class InstanceNorm2d(Module):
    """Instance normalisation of (N, C, H, W), with a learned scale and shift per channel."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        self.weight = init.constant((channels,), 1.0)
        self.bias = init.constant((channels,), 0.0)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return ops.instance_norm(x, self.weight, self.bias, self.eps)


class LayerNorm(Module):
    """Layer normalisation over the last axes, of the given shape."""

    def __init__(self, shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        shape = (shape,) if isinstance(shape, int) else shape
        self.weight = init.constant(shape, 1.0)
        self.bias = init.constant(shape, 0.0)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.weight, self.bias, self.eps)


class AdaIN(Module):
    """Adaptive instance normalisation: a code says which mean and deviation each plane gets.

    x (N, C, H, W) and code (N, features) give (N, C, H, W): one linear layer turns the code into
    scale and shift. It starts near scale 1, shift 0.
    """

    def __init__(
        self, channels: int, features: int, generator: np.random.Generator | None = None
    ) -> None:
        self.style = Linear(features, 2 * channels, generator=generator)
        self.style.bias = init.constant((2 * channels,), 0.0)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = ops.split(self.style(code), x.shape[1], axis=1)
        return ops.adain(x, 1.0 + scale, shift)

"""WGAN-GP: a critic whose slope is drawn towards 1, where clipping drew it nowhere in particular.

Gulrajani et al., Improved Training of Wasserstein GANs, 2017. The best critic of W1 has slope 1
along the lines on which mass is transported (there: proposition 1). So the critic's loss

    E_g[f(x)] - E_r[f(x)] + lambda E[(|grad f(x_hat)| - 1)^2]                                (eq. 3)

asks for slope 1 at points x_hat on lines between real and generated points. It asks no more than
that: the penalty is soft, it holds slopes up as well as down, and it looks only where a line was
drawn. The losses without it are those of `wgan`. Lesson 07 derives and checks each line.
"""

import math
from typing import Callable

import numpy as np

from .. import create, nn, ops
from ..autodiff.graph import grad
from ..autodiff.tensor import Tensor
from .dcgan import quarter


def interpolate(real: Tensor, fake: Tensor, generator: np.random.Generator | None = None) -> Tensor:
    """x_hat = eps x + (1 - eps) x_tilde: for each pair, one point of the line between (alg. 1).

    real, fake: (n, ...) of one shape, else ValueError. One eps a pair, uniform on [0, 1), for all
    numbers of the point together: an eps for every pixel would leave the line.
    """
    if real.shape != fake.shape:
        raise ValueError(f"interpolate: real has shape {real.shape} but fake {fake.shape}; they "
                         "are taken in pairs, so the shapes must be equal")
    eps = create.rand(len(real), *[1] * (real.ndim - 1), generator=generator, dtype=real.dtype)
    return eps * real + (1.0 - eps) * fake


def gradient_penalty(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The mean of (|grad f(x_i)| - 1)^2 over the points x (n, ...): a scalar, without lambda.

    Differentiable in the critic's parameters, which is a gradient of second order; where a slope is
    0, that gradient is 0. |.| is over all numbers of a point, pixels and channels alike.

    The gradient of sum_i f(x_i) in x_j is that of f(x_j), provided that f scores each point by
    itself. Batch norm breaks that, and has no place in this critic (section 4).
    """
    x = x.detach()
    x.requires_grad = True
    slopes, = grad(critic(x).sum(), x, create_graph=True)
    slopes = slopes.reshape(len(x), -1)
    norms = ops.safe_sqrt((slopes * slopes).sum(axis=1))
    return ((norms - 1.0) ** 2).mean()


class ConvCritic(nn.Module):
    """Images (n, channels, side, side) to scores (n, 1): two strided convolutions, no batch norm.

    width: the channels of the first convolution; the second has twice as many. Raises ValueError
    unless side is a multiple of 4.
    """

    def __init__(self, channels: int, side: int, width: int = 32,
                 generator: np.random.Generator | None = None) -> None:
        features = 2 * width * quarter(side) ** 2
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1, generator=generator), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, generator=generator), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(features, 1, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class ConvGenerator(nn.Module):
    """Noise (n, latent) to images (n, channels, side, side) in [0, 1]: the critic's mirror image.

    Kernels of 4 at stride 2 overlap evenly and leave no checkerboard (lesson 01). Raises ValueError
    as `ConvCritic` does.
    """

    def __init__(self, latent: int, channels: int, side: int, width: int = 32,
                 generator: np.random.Generator | None = None) -> None:
        self.shape = (2 * width, quarter(side), quarter(side))
        self.linear = nn.Linear(latent, math.prod(self.shape), generator=generator)
        self.net = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * width, width, 4, 2, 1, generator=generator),
            nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, 2, 1, generator=generator),
            nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        return self.net(self.linear(z).reshape(len(z), *self.shape))

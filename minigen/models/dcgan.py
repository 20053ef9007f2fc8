"""DCGAN: a GAN of convolutions, and the label that tells both players what to draw.

Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2016. Its recipe (section 3): strided convolutions in D and transposed ones in
G, in place of pooling; batch norm in both, but neither on G's output nor on D's input; ReLU in G
with tanh at its end, leaky ReLU of slope .2 in D; weights that start from N(0, .02^2). Images are
in [-1, 1], the range of tanh. The losses are those of `gan`.

Mirza and Osindero, Conditional Generative Adversarial Nets, 2014: the label y of a point enters G
and D, and they play for

    V(D, G) = E_{(x, y) ~ p_r}[ln D(x, y)] + E_{y ~ p_r, x ~ p_g(.|y)}[ln(1 - D(x, y))].

G takes a learned vector of y beside its noise. D's logit is a projection (Miyato and Koyama 2018,
eq. 4): with h the features of the image, psi.h + b says "real?" as without labels, and v_y.h says
"and is it a y?". Lesson 08 derives both parts and checks them.
"""

import math
from typing import Any

import numpy as np

from .. import nn, ops
from ..autodiff.tensor import Tensor

LEAK = 0.2
STD = 0.02


class Generator(nn.Module):
    """Noise z (n, latent) and labels y (n,) to images (n, channels, side, side) in [-1, 1].

    width: the channels before the last layer; the layer before that has twice as many. classes: how
    many labels there are; 0 for a G without labels. code: how many numbers a label becomes.
    Raises ValueError unless side is a multiple of 4.
    """

    def __init__(self, latent: int, channels: int, side: int, width: int = 64, classes: int = 0,
                 code: int = 32, generator: np.random.Generator | None = None) -> None:
        self.shape = (2 * width, quarter(side), quarter(side))
        self.labels = nn.init.normal((classes, code), 1.0, generator) if classes else None
        inputs = latent + code if classes else latent
        # No bias where batch norm follows: it would take any constant away again.
        self.linear = nn.Linear(inputs, math.prod(self.shape), bias=False)
        self.net = nn.Sequential(
            nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width),
            nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())
        _start(self, generator)

    def forward(self, z: Tensor, y: Any = None) -> Tensor:
        """y: integers, ValueError for none where G has classes, and for any where it has not."""
        code = _rows(self.labels, z, y)
        inputs = z if code is None else ops.concatenate([z, code], axis=1)
        return self.net(self.linear(inputs).reshape(len(z), *self.shape))


class Discriminator(nn.Module):
    """Images (n, channels, side, side) in [-1, 1] and labels y (n,) to logits (n, 1).

    width: the channels of the first convolution; the second has twice as many. classes and the
    errors: as for `Generator`. Batch norm makes each logit depend on the whole batch: show real and
    generated images in batches of their own.
    """

    def __init__(self, channels: int, side: int, width: int = 64, classes: int = 0,
                 generator: np.random.Generator | None = None) -> None:
        features = 2 * width * quarter(side) ** 2
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(LEAK),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(LEAK), nn.Flatten())
        self.linear = nn.Linear(features, 1)
        self.labels = nn.init.normal((classes, features), STD, generator) if classes else None
        _start(self, generator)

    def forward(self, x: Tensor, y: Any = None) -> Tensor:
        h = self.features(x)
        v = _rows(self.labels, x, y)
        logits = self.linear(h)
        return logits if v is None else logits + (v * h).sum(axis=1, keepdims=True)


def to_signed(images: Any) -> Any:
    """Images in [0, 1] as D and G know them, in [-1, 1]: 2x - 1. Arrays or Tensors."""
    return 2.0 * images - 1.0


def to_unit(images: Any) -> Any:
    """Back again, from [-1, 1] to [0, 1]: (x + 1)/2."""
    return (images + 1.0) / 2.0


def _start(model: nn.Module, generator: np.random.Generator | None) -> None:
    """Every weight from N(0, .02^2), every bias 0 (section 4)."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            module.weight = nn.init.normal(module.weight.shape, STD, generator)
            if module.bias is not None:
                module.bias = nn.init.constant(module.bias.shape, 0.0)


def _rows(table: Tensor | None, x: Tensor, y: Any) -> Tensor | None:
    """The rows of the table that the labels name, (n, width); None without a table."""
    if (table is None) != (y is None):
        raise ValueError(f"dcgan: y is {'missing' if y is None else 'given'}, but there are "
                         f"{0 if table is None else len(table)} classes")
    if table is None:
        return None
    if np.shape(y) != (len(x),):
        raise ValueError(f"dcgan: y has shape {np.shape(y)}, expected ({len(x)},): one a point")
    return ops.embedding(table, Tensor(y).to(x.backend))


def quarter(side: int) -> int:
    """What two convolutions of stride 2 leave of a side; ValueError unless 4 divides it."""
    if side % 4 or side <= 0:
        raise ValueError(f"side must be a multiple of 4, got {side}")
    return side // 4

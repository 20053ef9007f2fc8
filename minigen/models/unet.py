"""A U-Net that guesses the noise in an image: down to few pixels, up again, with bridges between.

Ronneberger, Fischer and Brox, U-Net, 2015; as a denoiser, Ho et al. 2020, appendix B. At the bottom
a convolution of 3 x 3 pixels spans much of the image and tells what it shows. On the way up this
meets, size by size, what was seen on the way down: the skip connections, without which every single
pixel would have to pass through the bottom. With three widths:

    full size    first ------------------ skip -------------------> film, last
    half            down, block --------- skip ------> up, block, up
    a quarter           down, block, block ----------->

The full size has no block of its own: a pixel there costs as much as one at the bottom, and there
are 16 times as many. Kernels of 4 with stride 2 overlap evenly, up and down: no checkerboard.

Every block is told the step and the class by AdaIN: they say which mean and which deviation each
filter's plane gets (as in StyleGAN; Dhariwal and Nichol 2021, section 3, do it in groups of
filters). But how dark a whole image is, that is a plane's mean, and AdaIN removes it. It must have
a way around: here the blocks' shortcuts and the bridges, and the last layer only scales and shifts
(FiLM, Perez et al. 2018). With AdaIN there, too, digits come out on paper of any grey.
"""

from typing import Any

import numpy as np

from .. import nn, ops
from ..autodiff.tensor import Tensor
from ..ops.norm import planes
from .denoiser import time_embedding
from .schedule import beside

Generator = np.random.Generator | None


class UNet(nn.Module):
    """eps(x_t, t), or eps(x_t, t, y): images (n, channels, h, w) in and out.

    widths: channels at full size, at half of it, and so on: two numbers or more. classes: how many;
    0 for a denoiser that knows none. code: the length of the code of step and class. The last layer
    starts at 0, and so does what comes out.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (8, 24, 64), classes: int = 0,
                 code: int = 64, generator: Generator = None) -> None:
        if len(widths) < 2:
            raise ValueError(f"UNet: widths must have two numbers or more, got {widths}")
        self.multiple = 2 ** (len(widths) - 1)
        self.code = StepAndClass(classes, code, generator)
        self.first = nn.Conv2d(channels, widths[0], 3, 1, 1, generator=generator)
        pairs = list(zip(widths, widths[1:]))
        self.down = [nn.Conv2d(a, b, 4, 2, 1, generator=generator) for a, b in pairs]
        self.enter = [Block(width, width, code, generator) for width in widths[1:]]
        self.middle = Block(widths[-1], widths[-1], code, generator)
        self.up = [nn.ConvTranspose2d(b, a, 4, 2, 1, generator=generator) for a, b in pairs[::-1]]
        self.leave = [Block(2 * width, width, code, generator) for width in widths[-2:0:-1]]
        self.film = nn.Linear(code, 4 * widths[0], generator=generator)
        self.last = nn.Conv2d(2 * widths[0], channels, 3, 1, 1, generator=generator)
        for parameter in self.last.parameters():
            parameter.data = 0 * parameter.data

    def forward(self, x: Tensor, t: Any, y: Any = None) -> Tensor:
        """t: one step, or (n,) integers. y: (n,) integers, or one for all; `classes` or None for
        no class. ValueError for a class beyond that, or sides that cannot be halved so often."""
        if x.ndim != 4 or x.shape[2] % self.multiple or x.shape[3] % self.multiple:
            raise ValueError(f"UNet: x must be (n, channels, h, w), h and w multiples of "
                             f"{self.multiple}; got {x.shape}")
        code = self.code(x, t, y)
        h = self.first(x)
        seen = [h]
        for down, block in zip(self.down, self.enter):
            h = block(down(h), code)
            seen.append(h)
        h = self.middle(seen.pop(), code)
        for up, block in zip(self.up, self.leave):
            h = block(self.bridge(up(h), seen.pop()), code)
        h = self.bridge(self.up[-1](h), seen.pop())
        scale, shift = ops.split(self.film(code), h.shape[1], axis=1)
        return self.last(ops.silu(h * planes(1.0 + scale) + planes(shift)))

    def bridge(self, up: Tensor, seen: Tensor) -> Tensor:
        """What comes from below, beside what was seen at this size on the way down."""
        return ops.concatenate([up, seen], axis=1)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: (n, a, h, w) and the code give (n, b, h, w)."""

    def __init__(self, a: int, b: int, code: int, generator: Generator = None) -> None:
        self.norms = [nn.AdaIN(width, code, generator) for width in (a, b)]
        self.convs = [nn.Conv2d(width, b, 3, 1, 1, generator=generator) for width in (a, b)]
        self.short = nn.Conv2d(a, b, 1, generator=generator) if a != b else None

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs):
            h = conv(ops.silu(norm(h, code)))
        return h + (x if self.short is None else self.short(x))


class StepAndClass(nn.Module):
    """The code (n, features) of step and class: a sinusoid through an MLP, and a learned vector.

    The MLP starts as He et al. have it: with PyTorch's smaller weights it would hardly tell one
    step from another, and the class would drown it.
    """

    def __init__(self, classes: int, features: int, generator: Generator = None) -> None:
        self.classes = classes
        self.features = features
        layers = [nn.Linear(features, features, generator=generator) for _ in range(2)]
        for layer in layers:
            layer.weight = nn.init.kaiming_normal(layer.weight.shape, generator=generator)
        self.net = nn.Sequential(layers[0], nn.SiLU(), layers[1])
        self.labels = nn.init.normal((classes + 1, features), 1.0, generator)  # the last: no class

    def forward(self, x: Tensor, t: Any, y: Any) -> Tensor:
        rows = np.reshape(self.classes if y is None else y, -1)
        if rows.min() < 0 or rows.max() > self.classes:
            raise ValueError(f"UNet: y must be in 0 .. {self.classes}, got {rows.min()} .. "
                             f"{rows.max()}")
        step = self.net(beside(x, time_embedding(t, self.features)))
        code = step + ops.embedding(self.labels, Tensor(rows).to(x.backend))
        return ops.broadcast_to(ops.silu(code), (len(x), self.features))

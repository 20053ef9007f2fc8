"""StyleGAN: a generator that is told, layer by layer, which style to paint in.

Karras, Laine and Aila, A Style-Based Generator Architecture for Generative Adversarial Networks,
2019; what grows, and how, is from Karras, Aila, Laine and Lehtinen, Progressive Growing of GANs,
2018. "There" with a section number means the first, "2018" the second.

    z (n, latent)                   constant (c, start, start), the same for every image
        | pixel norm                    |
        | mapping, an MLP               |   <- + strength * noise, leaky ReLU
        v                               |
    w (n, latent) -- affine --> style --+-> AdaIN: each plane gets the style's mean and deviation
                 \\                     |   conv 3x3, + strength * noise, leaky ReLU
                  `- affine --> style --+-> AdaIN
                                        |   bilinear upsampling: the next level, and so on
                                        v
                                    conv 1x1, tanh: images (n, colours, side, side)

z is not painted on; it only turns the knobs. So two images can share the knobs of some layers and
differ in others (`mix`), and all can be drawn towards the average (`truncate`). The losses are
those of `gan`: non-saturating, with R1. Lesson 09 derives and checks each part.

To be quick at 28 x 28 three things are simpler than there. A convolution comes before the
upsampling, where it costs a quarter. D has one convolution a level, and it halves the side. And a
tanh bounds the colours: drawings in black and white need not learn the bounds first.
"""

import math
from typing import Sequence

import numpy as np

from .. import create, nn, ops
from ..autodiff.tensor import Tensor
from .gan import MinibatchStd

Random = np.random.Generator | None


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x (n, c, ...) with mean square 1 over the features of each point or pixel (2018, 4.2)."""
    return x * ((x * x).mean(1, keepdims=True) + eps) ** -0.5


class Equalised(nn.Module):
    """A weight (out, in, ...) drawn from N(0, 1) and scaled in use, not at the start (2018, 4.1).

    In use it is gain / sqrt(fan_in) times the parameter, so an output has gain^2 times the mean
    square of the inputs. All parameters have size 1, and a step of Adam moves each by the same
    share of its size. speed: that share, relative to the other layers' (there, appendix C).
    """

    def __init__(self, shape: tuple[int, ...], gain: float, speed: float = 1.0,
                 generator: Random = None) -> None:
        self.weight = nn.init.normal(shape, 1 / speed, generator)
        self.bias = nn.init.constant(shape[:1], 0.0)
        self.scale = speed * gain / math.sqrt(nn.init.fans(shape)[0])
        self.speed = speed


class EqualisedLinear(Equalised):
    """x (n, inputs) to (n, outputs). gain sqrt(2) makes up for the half that a ReLU cuts."""

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2), speed: float = 1.0,
                 generator: Random = None) -> None:
        super().__init__((outputs, inputs), gain, speed, generator)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight * self.scale).T + self.bias * self.speed


class EqualisedConv2d(Equalised):
    """x (n, inputs, h, w) to (n, outputs, h, w): kernels of 1 and 3 keep the side, at stride 1.

    A kernel of 4 at stride 2 halves it.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1,
                 gain: float = math.sqrt(2), generator: Random = None) -> None:
        super().__init__((outputs, inputs, kernel, kernel), gain, generator=generator)
        self.stride = stride
        self.padding = (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class Mapping(nn.Module):
    """f: z (n, latent) to w (n, latent), an MLP with leaky ReLU (there, section 2).

    z has no gaps. Where the data have one, a map straight from z must bend around it; w need not
    follow any fixed density. f learns slowly, for what it does every layer of G feels: there, at a
    hundredth of the others' speed, but our runs are shorter.
    """

    def __init__(self, latent: int, depth: int, speed: float = 0.1,
                 generator: Random = None) -> None:
        self.layers = [EqualisedLinear(latent, latent, speed=speed, generator=generator)
                       for _ in range(depth)]

    def forward(self, z: Tensor) -> Tensor:
        x = pixel_norm(z)
        for layer in self.layers:
            x = ops.leaky_relu(layer(x), 0.2)
        return x


class Styled(nn.Module):
    """AdaIN whose style (scale - 1, shift) is a learned affine map of w (there, eq. 1)."""

    def __init__(self, channels: int, latent: int, generator: Random = None) -> None:
        self.style = EqualisedLinear(latent, 2 * channels, gain=1.0, generator=generator)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, shift = ops.split(self.style(w), x.shape[1], axis=1)
        return ops.adain(x, 1.0 + scale, shift)


class Layer(nn.Module):
    """Convolution, noise, leaky ReLU, AdaIN: (n, inputs, h, w) to (n, outputs, h, w).

    AdaIN forgets what mean and variance each plane had: its input decides only where things are.
    noise (n, 1, h, w) is one picture of N(0, 1) for all channels, each with a strength of its own,
    learned from 0 and slowly: Adam makes a lone number large before G can use it. before: what
    comes before the noise, in the first layer of all nothing.
    """

    def __init__(self, before: nn.Module, channels: int, latent: int,
                 generator: Random = None) -> None:
        self.before = before
        self.strength = nn.init.constant((channels, 1, 1), 0.0)
        self.norm = Styled(channels, latent, generator)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        return self.norm(ops.leaky_relu(self.before(x) + 0.1 * self.strength * noise, 0.2), w)


class Generator(nn.Module):
    """Latents z (n, latent) to images (n, colours, side, side) in [-1, 1].

    start: the side of the learned constant. channels: of each level; level k has side start 2^k and
    two layers, so layers 2k and 2k + 1. The sides 28 and 32 are 7 and 8, twice doubled.
    """

    def __init__(self, colours: int, start: int, channels: Sequence[int], latent: int = 64,
                 depth: int = 4, generator: Random = None) -> None:
        self.start = start
        self.mapping = Mapping(latent, depth, generator=generator)
        self.constant = nn.init.normal((1, channels[0], start, start), 1.0, generator)
        self.layers = []
        for k, c in enumerate(channels):
            larger = nn.Sequential(EqualisedConv2d(channels[k - 1], c, 3, generator=generator),
                                   nn.Upsample(2, "bilinear"))
            same = EqualisedConv2d(c, c, 3, generator=generator)
            self.layers += [Layer(larger if k else nn.Sequential(), c, latent, generator),
                            Layer(same, c, latent, generator)]
        self.to_colours = [
            nn.Sequential(EqualisedConv2d(c, colours, 1, gain=1.0, generator=generator), nn.Tanh())
            for c in channels]

    def forward(self, z: Tensor, level: int = -1, alpha: float = 1.0) -> Tensor:
        return self.paint([self.mapping(z)] * len(self.layers), level, alpha)

    def paint(self, styles: Sequence[Tensor], level: int = -1, alpha: float = 1.0,
              noise: Sequence[Tensor] | None = None) -> Tensor:
        """The image of these w (n, latent), one for each layer; those of higher levels may lack.

        level: which side to paint, -1 the largest; alpha: how much of it, where it fades in, and
        the rest is the next smaller image. noise: as `self.noise` draws it, by default anew.
        """
        level %= len(self.to_colours)
        noise = self.noise(len(styles[0]), level) if noise is None else noise
        x, smaller = self.constant, self.constant
        for i, layer in enumerate(self.layers[:2 * level + 2]):
            smaller = x if i % 2 == 0 else smaller
            x = layer(x, styles[i], noise[i])
        image = self.to_colours[level](x)
        if level == 0:
            return image
        return fade(ops.upsample_nearest(self.to_colours[level - 1](smaller)), image, alpha)

    def noise(self, n: int, level: int = -1, generator: Random = None) -> list[Tensor]:
        """N(0, 1) for each layer up to that level: (n, 1, side, side)."""
        sides = [self.start << i // 2 for i in range(2 * (level % len(self.to_colours)) + 2)]
        return [create.randn(n, 1, side, side, generator=generator) for side in sides]


class Discriminator(nn.Module):
    """Images (n, colours, side, side) to logits (n, 1): G's mirror image, without styles.

    The last level also sees how much the images of the batch differ (`gan.MinibatchStd`), so no
    image is judged quite alone.
    """

    def __init__(self, colours: int, start: int, channels: Sequence[int],
                 generator: Random = None) -> None:
        first = channels[0]
        self.from_colours = [EqualisedConv2d(colours, c, 1, generator=generator) for c in channels]
        self.levels = [EqualisedConv2d(c, down, 4, 2, generator=generator)
                       for down, c in zip(channels, channels[1:])]
        self.last = nn.Sequential(
            MinibatchStd(), EqualisedConv2d(first + 1, first, 3, generator=generator),
            nn.LeakyReLU(0.2), nn.Flatten(),
            EqualisedLinear(first * start ** 2, first, generator=generator), nn.LeakyReLU(0.2),
            EqualisedLinear(first, 1, gain=1.0, generator=generator))

    def forward(self, x: Tensor, level: int = -1, alpha: float = 1.0) -> Tensor:
        level %= len(self.from_colours)
        y = self._enter(x, level)
        for k in range(level, 0, -1):
            y = ops.leaky_relu(self.levels[k - 1](y), 0.2)
            if k == level:
                y = fade(self._enter(ops.avg_pool2d(x, 2), k - 1), y, alpha)
        return self.last(y)

    def _enter(self, x: Tensor, level: int) -> Tensor:
        return ops.leaky_relu(self.from_colours[level](x), 0.2)


def fade(smaller: Tensor, larger: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) smaller + alpha larger: a new level comes in gradually (2018, fig. 2)."""
    return (1.0 - alpha) * smaller + alpha * larger


def fade_images(x: Tensor, alpha: float) -> Tensor:
    """Real images as D is to see them while a level fades in: as coarse as G's, to that degree."""
    return fade(ops.upsample_nearest(ops.avg_pool2d(x, 2)), x, alpha)


def mix(first: Tensor, second: Tensor, crossover: int, layers: int) -> list[Tensor]:
    """Styles for `paint`: the first `crossover` layers take one w, the others the second."""
    return [first] * crossover + [second] * (layers - crossover)


def truncate(w: Tensor, w_mean: Tensor, psi: float) -> Tensor:
    """w_mean + psi (w - w_mean): psi = 1 leaves w, 0 is the average image (there, appendix B)."""
    return w_mean + psi * (w - w_mean)

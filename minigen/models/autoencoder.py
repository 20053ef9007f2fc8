"""Autoencoders: a network learns to copy its input through a code that is too small to hold it.

Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006. An encoder
turns x into a code, a decoder turns the code into a reconstruction x_hat, and both are trained
together to bring x_hat near x. All models here share one face:

    code = model.encode(x)        x_hat = model.decode(code)        model(x) = decode(encode(x))

No decoder ends in a sigmoid. For data on the whole line what it returns is the reconstruction; for
images in [0, 1] it may stand for the reconstruction's logits: `ops.sigmoid` makes pixels of them,
and `losses.bce_with_logits` takes them as they are.
"""

from typing import Any, Callable

import numpy as np

from .. import create, losses, nn, ops
from ..autodiff.tensor import Tensor
from ..backend import namespace

Generator = np.random.Generator | None


class Autoencoder(nn.Module):
    """Base: an encoder, a decoder, and one after the other."""

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: Tensor) -> Tensor:
        """The codes (n, code) of x (n, ...)."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """The reconstructions of codes (n, code), in the shape of x; or their logits."""
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class LinearAutoencoder(Autoencoder):
    """code = W1 x + b1 and x_hat = W2 code + b2, for x (n, features).

    W1 is `encoder.weight` (code, features), W2 is `decoder.weight` (features, code). The best W2
    spans the first principal components (Baldi and Hornik 1989): see pca.py.
    """

    def __init__(self, features: int, code: int, generator: Generator = None) -> None:
        self.encoder: nn.Linear = nn.Linear(features, code, generator=generator)
        self.decoder: nn.Linear = nn.Linear(code, features, generator=generator)


class MLPAutoencoder(Autoencoder):
    """Two multilayer perceptrons, for x (n, features): the decoder has the encoder's widths, back.

    hidden: the encoder's hidden widths. The code itself is linear: it may take any value.
    """

    def __init__(self, features: int, code: int, hidden: tuple[int, ...] = (256, 64),
                 generator: Generator = None) -> None:
        self.encoder = _mlp((features, *hidden, code), generator)
        self.decoder = _mlp((code, *hidden[::-1], features), generator)


def _mlp(widths: tuple[int, ...], generator: Generator) -> nn.Sequential:
    """Linear layers between these widths, with SiLU between the layers.

    Weights start as He et al. have them: PyTorch's are smaller, and a signal would fade on its way.
    """
    layers: list[nn.Module] = []
    for width_in, width_out in zip(widths, widths[1:]):
        layer = nn.Linear(width_in, width_out, generator=generator)
        layer.weight = nn.init.kaiming_normal((width_out, width_in), generator=generator)
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class TiedAutoencoder(Autoencoder):
    """An MLP whose decoder uses the encoder's weights, transposed, and has only biases of its own.

    Each weight is used twice, and its gradient is the sum of what both uses ask for. hidden=()
    makes it linear: code = W x + b and x_hat = W^T code + c.
    """

    def __init__(self, features: int, code: int, hidden: tuple[int, ...] = (),
                 generator: Generator = None) -> None:
        widths = (features, *hidden, code)
        self.layers = [nn.Linear(width_in, width_out, generator=generator)
                       for width_in, width_out in zip(widths, widths[1:])]
        self.back = [nn.init.constant((width,), 0.0) for width in widths[:-1]]

    def encode(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = ops.silu(layer(x))
        return self.layers[-1](x)

    def decode(self, code: Tensor) -> Tensor:
        for layer, bias in list(zip(self.layers, self.back))[:0:-1]:
            code = ops.silu(code @ layer.weight + bias)
        return code @ self.layers[0].weight + self.back[0]


class ConvAutoencoder(Autoencoder):
    """Three convolutions down and three transposed ones up, for images (n, channels, side, side).

    Twice the side is halved and the image deepened to `width` and 2 `width` channels; the third
    kernel covers all that is left and gives the code (n, code). The way up mirrors the way down:
    kernels of 4 with stride 2 overlap evenly and leave no checkerboard (lesson 01). Its weights
    start with variance 1/(inputs to one output), without which the signal would fade here. Raises
    ValueError unless side is a multiple of 4.
    """

    def __init__(self, channels: int, side: int, code: int, width: int = 16,
                 generator: Generator = None) -> None:
        if side % 4 or side <= 0:
            raise ValueError(f"ConvAutoencoder: side must be a multiple of 4, got {side}")
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1, generator=generator), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1, generator=generator), nn.SiLU(),
            nn.Conv2d(2 * width, code, side // 4, generator=generator), nn.Flatten())
        up = [nn.ConvTranspose2d(code, 2 * width, side // 4, generator=generator),
              nn.ConvTranspose2d(2 * width, width, 4, 2, 1, generator=generator),
              nn.ConvTranspose2d(width, channels, 4, 2, 1, generator=generator)]
        for layer, overlap in zip(up, (1, 4, 4)):  # kernels that meet in one output
            std = (overlap * layer.weight.shape[0]) ** -0.5
            layer.weight = nn.init.normal(layer.weight.shape, std, generator)
        self.decoder = nn.Sequential(up[0], nn.SiLU(), up[1], nn.SiLU(), up[2])

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code.reshape(*code.shape, 1, 1))


class SparseAutoencoder(LinearAutoencoder):
    """Many units, few of them on: x_hat is a sum of a few atoms, the columns of W2, and b2.

    activation: what leaves few on. `ops.relu` with the penalty `l1(code)`, or
    `lambda z: top_k(z, k)` without any (Makhzani and Frey, k-sparse autoencoders, 2013). The atoms
    are scaled to length 1: otherwise the decoder would grow, and the codes could shrink for free.
    """

    def __init__(self, features: int, code: int, activation: Callable[[Tensor], Tensor],
                 generator: Generator = None) -> None:
        super().__init__(features, code, generator)
        self.activation = activation

    def encode(self, x: Tensor) -> Tensor:
        return self.activation(self.encoder(x))

    def atoms(self) -> Tensor:
        """The dictionary (code, features): one row of length 1 a unit."""
        w = self.decoder.weight.T
        return w / (w * w).sum(axis=1, keepdims=True).sqrt()

    def decode(self, code: Tensor) -> Tensor:
        return code @ self.atoms() + self.decoder.bias


def top_k(code: Tensor, k: int) -> Tensor:
    """Keep the k largest numbers of each row, by size; the others are 0 and get no gradient.

    Of all rows with k nonzeros it is the nearest to `code`. Among equals the order decides, so that
    no more than k are ever left. Raises ValueError unless 0 <= k <= code.shape[1].
    """
    if not 0 <= k <= code.shape[-1]:
        raise ValueError(f"top_k: k must be between 0 and {code.shape[-1]}, got {k}")
    xp = namespace(code.data)
    # Sorting twice ranks: the second sort inverts the order that the first one found.
    rank = xp.argsort(xp.argsort(-xp.abs(code.data), axis=-1), axis=-1)  # 0 for the largest
    return ops.where(rank < k, code, 0.0)


def soft_threshold(z: Tensor, threshold: float) -> Tensor:
    """argmin_c 1/2 (c - z)^2 + threshold |c|: z drawn towards 0 by the threshold, and no further.

    The proximal map of the L1 norm (Daubechies, Defrise and De Mol 2004).
    """
    return ops.relu(z - threshold) - ops.relu(-z - threshold)


def l1(code: Tensor) -> Tensor:
    """The penalty sum |code|: summed over the units, averaged over the batch."""
    return abs(code).sum(axis=1).mean()


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """|x_hat - x|^2: summed over the numbers of a point, averaged over the batch."""
    return losses.mse(x_hat, x) * (x.size / len(x))


def denoising_loss(model: Autoencoder, x: Tensor, sigma: float, generator: Generator = None,
                   loss: Callable[[Tensor, Any], Tensor] = losses.mse) -> Tensor:
    """The loss of reconstructing the clean x from x + sigma noise, noise ~ N(0, 1).

    Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008.
    With `losses.mse` the best model is E[x | noisy x].
    """
    noise = create.randn(*x.shape, generator=generator, dtype=x.dtype)
    return loss(model(x + sigma * noise), x)

"""The training steps that are compared, each in minigen and in PyTorch.

minigen has PyTorch's names, so the layers are written once and `nn` is either library's: the two
networks are the same, line for line. Where minigen has the network among its models, that is the
one that is timed, and PyTorch's twin repeats its layers under its names. What differs is how each
library says a loss and a gradient, and those twins stand one below the other.
"""

from collections import OrderedDict
from typing import Any, Callable, NamedTuple

import numpy as np
from devices import torch

import minigen as mg
from minigen.models.dcgan import Discriminator
from minigen.models.denoiser import time_embedding
from minigen.models.unet import UNet
from minigen.models.wgan_gp import ConvCritic


class Twin(NamedTuple):
    """One library's half of a comparison. `net` may be None, where there is nothing to learn."""

    net: Any
    loss: Callable[[], Any]         # the loss of the current weights, with its graph
    step: Callable[[], Any]         # what is timed


def training(net: Any, loss: Callable[[], Any], optimiser: Any) -> Twin:
    """A twin whose step is one update of the net. The lines are the same in both libraries."""

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return Twin(net, loss, step)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Reproducible numbers from N(0, 1)."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def images(seed: int = 0) -> np.ndarray:
    """A batch (64, 1, 28, 28) of noise in 0 .. 1; a step takes as long for it as for digits."""
    return np.random.default_rng(seed).random((64, 1, 28, 28), dtype=np.float32)


# The 2-D denoiser: a noisy point, 16 sines and 16 cosines of the time -> the noise in it.

def denoiser(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(34, 128), nn.SiLU(),
                         nn.Linear(128, 128), nn.SiLU(),
                         nn.Linear(128, 2))


def denoiser_minigen() -> Twin:
    net = denoiser(mg.nn)
    x, noise = mg.Tensor(normal(256, 34)), mg.Tensor(normal(256, 2, seed=1))
    return training(net, lambda: mg.losses.mse(net(x), noise),
                    mg.optim.Adam(net.parameters(), lr=1e-3))


def denoiser_torch() -> Twin:
    net = denoiser(torch.nn)
    x, noise = torch.tensor(normal(256, 34)), torch.tensor(normal(256, 2, seed=1))
    return training(net, lambda: torch.nn.functional.mse_loss(net(x), noise),
                    torch.optim.Adam(net.parameters(), lr=1e-3))


# The convolutional autoencoder: 28 x 28 pixels -> 10 numbers -> 28 x 28 logits.

def autoencoder(nn: Any) -> Any:

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(),
                                         nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
                                         nn.Flatten(), nn.Linear(32 * 7 * 7, 10))
            self.linear = nn.Linear(10, 32 * 7 * 7)
            self.decoder = nn.Sequential(
                nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
                nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1))

        def forward(self, x: Any) -> Any:
            code = self.encoder(x)
            return self.decoder(self.linear(code).reshape(-1, 32, 7, 7))

    return Autoencoder()


def autoencoder_minigen() -> Twin:
    net = autoencoder(mg.nn)
    x = mg.Tensor(images())
    return training(net, lambda: mg.losses.bce_with_logits(net(x), x),
                    mg.optim.Adam(net.parameters(), lr=1e-3))


def autoencoder_torch() -> Twin:
    net = autoencoder(torch.nn)
    x = torch.tensor(images())
    return training(net, lambda: torch.nn.functional.binary_cross_entropy_with_logits(net(x), x),
                    torch.optim.Adam(net.parameters(), lr=1e-3))


# DCGAN's discriminator: an image -> one logit, "is it real?". A step sees 64 real and 64 generated.

def discriminator_minigen() -> Twin:
    net = Discriminator(1, 28, width=64)
    real, fake = mg.Tensor(images()), mg.Tensor(images(seed=1))
    ones, zeros = mg.ones(64, 1), mg.zeros(64, 1)
    bce = mg.losses.bce_with_logits
    return training(net, lambda: bce(net(real), ones) + bce(net(fake), zeros),
                    mg.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)))


def discriminator_torch() -> Twin:
    nn = torch.nn
    features = nn.Sequential(nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                             nn.Conv2d(64, 128, 4, stride=2, padding=1, bias=False),
                             nn.BatchNorm2d(128), nn.LeakyReLU(0.2), nn.Flatten())
    net = nn.Sequential(OrderedDict(features=features, linear=nn.Linear(128 * 7 * 7, 1)))
    real, fake = torch.tensor(images()), torch.tensor(images(seed=1))
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    return training(net, lambda: bce(net(real), ones) + bce(net(fake), zeros),
                    torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)))


# WGAN-GP's critic: the penalty is on a gradient, so that its own gradient is one of second order.

def between(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """A point on the line between each real image and a generated one."""
    along = np.random.default_rng(2).random((len(real), 1, 1, 1), dtype=np.float32)
    return along * real + (1 - along) * fake


def critic_minigen() -> Twin:
    net = ConvCritic(1, 28, width=32)
    real, fake = mg.Tensor(images()), mg.Tensor(images(seed=1))
    mixed = mg.Tensor(between(images(), images(seed=1)), requires_grad=True)

    def loss() -> mg.Tensor:
        (slope,) = mg.grad(net(mixed).sum(), mixed, create_graph=True)
        norm = (slope * slope).sum((1, 2, 3)).sqrt()
        penalty = ((norm - 1.0) ** 2).mean()
        return net(fake).mean() - net(real).mean() + 10.0 * penalty

    return training(net, loss, mg.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.9)))


def critic_torch() -> Twin:
    nn = torch.nn
    layers = nn.Sequential(nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                           nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                           nn.Flatten(), nn.Linear(64 * 7 * 7, 1))
    net = nn.Sequential(OrderedDict(net=layers))
    real, fake = torch.tensor(images()), torch.tensor(images(seed=1))
    mixed = torch.tensor(between(images(), images(seed=1)), requires_grad=True)

    def loss() -> Any:
        (slope,) = torch.autograd.grad(net(mixed).sum(), mixed, create_graph=True)
        norm = (slope * slope).sum((1, 2, 3)).sqrt()
        penalty = ((norm - 1.0) ** 2).mean()
        return net(fake).mean() - net(real).mean() + 10.0 * penalty

    return training(net, loss, torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.9)))


# The denoising U-Net: minigen's own, and the same in PyTorch, with the same names. A step guesses
# the noise in 64 images, of 10 classes or none.

def unet_torch_net(width: tuple[int, int, int] = (4, 16, 48), features: int = 64) -> Any:
    nn = torch.nn

    class AdaIN(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.style = nn.Linear(features, 2 * channels)

        def forward(self, x: Any, code: Any) -> Any:
            scale, shift = self.style(code)[:, :, None, None].chunk(2, 1)
            return nn.functional.instance_norm(x) * (1 + scale) + shift

    class Block(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.norms = nn.ModuleList([AdaIN(a), AdaIN(b)])
            self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, 1, 1), nn.Conv2d(b, b, 3, 1, 1)])
            self.short = nn.Conv2d(a, b, 1) if a != b else None

        def forward(self, x: Any, code: Any) -> Any:
            h = x
            for norm, conv in zip(self.norms, self.convs):
                h = conv(nn.functional.silu(norm(h, code)))
            return h + (x if self.short is None else self.short(x))

    class StepAndClass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(features, features), nn.SiLU(),
                                     nn.Linear(features, features))
            self.labels = nn.Parameter(torch.randn(11, features))

        def forward(self, step: Any, y: Any) -> Any:
            return nn.functional.silu(self.net(step) + self.labels[y])

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            a, b, c = width
            self.code = StepAndClass()
            self.first = nn.Conv2d(1, a, 3, 1, 1)
            self.down = nn.ModuleList([nn.Conv2d(a, b, 4, 2, 1), nn.Conv2d(b, c, 4, 2, 1)])
            self.enter = nn.ModuleList([Block(b, b), Block(c, c)])
            self.middle = Block(c, c)
            self.up = nn.ModuleList([nn.ConvTranspose2d(c, b, 4, 2, 1),
                                     nn.ConvTranspose2d(b, a, 4, 2, 1)])
            self.leave = nn.ModuleList([Block(2 * b, b)])
            self.film = nn.Linear(features, 4 * a)
            self.last = nn.Conv2d(2 * a, 1, 3, 1, 1)

        def forward(self, x: Any, step: Any, y: Any) -> Any:
            code = self.code(step, y)
            full = self.first(x)
            half = self.enter[0](self.down[0](full), code)
            h = self.middle(self.enter[1](self.down[1](half), code), code)
            h = self.leave[0](torch.cat([self.up[0](h), half], 1), code)
            h = torch.cat([self.up[1](h), full], 1)
            scale, shift = self.film(code)[:, :, None, None].chunk(2, 1)
            return self.last(nn.functional.silu(h * (1 + scale) + shift))

    return UNet()


def unet_minigen() -> Twin:
    net = UNet(1, (4, 16, 48), classes=10)
    x, noise = mg.Tensor(images()), mg.Tensor(normal(64, 1, 28, 28))
    t, y = np.arange(1, 65), np.arange(64) % 11
    return training(net, lambda: mg.losses.mse(net(x, t, y), noise),
                    mg.optim.Adam(net.parameters(), lr=1e-3))


def unet_torch() -> Twin:
    net = unet_torch_net()
    x, noise = torch.tensor(images()), torch.tensor(normal(64, 1, 28, 28))
    t, y = np.arange(1, 65), torch.arange(64) % 11

    def loss() -> Any:
        step = torch.tensor(time_embedding(t, 64), dtype=torch.float32, device=x.device)
        return torch.nn.functional.mse_loss(net(x, step, y), noise)

    return training(net, loss, torch.optim.Adam(net.parameters(), lr=1e-3))


# AdaIN alone, forward and backward.

def adain_inputs() -> tuple[np.ndarray, ...]:
    """x, scale, shift, and a gradient of the output."""
    return (normal(32, 64, 32, 32), 1 + normal(32, 64, seed=1), normal(32, 64, seed=2),
            normal(32, 64, 32, 32, seed=3))


def adain_minigen() -> Twin:
    x, scale, shift, g = (mg.Tensor(a, requires_grad=True) for a in adain_inputs())

    def forward() -> mg.Tensor:
        return mg.ops.adain(x, scale, shift)

    return Twin(None, lambda: (g * forward()).mean(),
                lambda: mg.grad(forward(), (x, scale, shift), g))


def adain_torch() -> Twin:
    x, scale, shift, g = (torch.tensor(a, requires_grad=True) for a in adain_inputs())

    def forward() -> Any:
        z = torch.nn.functional.instance_norm(x)
        return z * scale[:, :, None, None] + shift[:, :, None, None]

    return Twin(None, lambda: (g * forward()).mean(),
                lambda: torch.autograd.grad(forward(), (x, scale, shift), g))


Make = Callable[[], Twin]

STEPS: dict[str, tuple[Make, Make]] = {
    "2-D denoiser, 34-128-128-2, batch 256": (denoiser_minigen, denoiser_torch),
    "conv autoencoder, 28x28, batch 64": (autoencoder_minigen, autoencoder_torch),
    "DCGAN discriminator, 28x28, 2 batches of 64": (discriminator_minigen, discriminator_torch),
    "WGAN-GP critic, 28x28, batch 64": (critic_minigen, critic_torch),
    "U-Net denoiser, 28x28, batch 64": (unet_minigen, unet_torch),
    "AdaIN (32,64,32,32), forward + backward": (adain_minigen, adain_torch),
}

"""The training steps that are compared, each in minigen and in PyTorch.

minigen has PyTorch's names, so the layers are written once and `nn` is either library's: the two
networks are the same, line for line. What differs is how each library says a loss and a gradient,
and those twins stand one below the other.
"""

from typing import Any, Callable, NamedTuple

import numpy as np
from devices import torch

import minigen as mg


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

def discriminator(nn: Any) -> Any:
    return nn.Sequential(nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                         nn.Conv2d(64, 128, 4, stride=2, padding=1), nn.BatchNorm2d(128),
                         nn.LeakyReLU(0.2),
                         nn.Flatten(), nn.Linear(128 * 7 * 7, 1))


def discriminator_minigen() -> Twin:
    net = discriminator(mg.nn)
    real, fake = mg.Tensor(images()), mg.Tensor(images(seed=1))
    ones, zeros = mg.ones(64, 1), mg.zeros(64, 1)
    bce = mg.losses.bce_with_logits
    return training(net, lambda: bce(net(real), ones) + bce(net(fake), zeros),
                    mg.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)))


def discriminator_torch() -> Twin:
    net = discriminator(torch.nn)
    real, fake = torch.tensor(images()), torch.tensor(images(seed=1))
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    return training(net, lambda: bce(net(real), ones) + bce(net(fake), zeros),
                    torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)))


# WGAN-GP's critic: the penalty is on a gradient, so that its own gradient is one of second order.

def critic(nn: Any) -> Any:
    return nn.Sequential(nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                         nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                         nn.Flatten(), nn.Linear(64 * 7 * 7, 1))


def between(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """A point on the line between each real image and a generated one."""
    along = np.random.default_rng(2).random((len(real), 1, 1, 1), dtype=np.float32)
    return along * real + (1 - along) * fake


def critic_minigen() -> Twin:
    net = critic(mg.nn)
    real, fake = mg.Tensor(images()), mg.Tensor(images(seed=1))
    mixed = mg.Tensor(between(images(), images(seed=1)), requires_grad=True)

    def loss() -> mg.Tensor:
        (slope,) = mg.grad(net(mixed).sum(), mixed, create_graph=True)
        norm = (slope * slope).sum((1, 2, 3)).sqrt()
        penalty = ((norm - 1.0) ** 2).mean()
        return net(fake).mean() - net(real).mean() + 10.0 * penalty

    return training(net, loss, mg.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.9)))


def critic_torch() -> Twin:
    net = critic(torch.nn)
    real, fake = torch.tensor(images()), torch.tensor(images(seed=1))
    mixed = torch.tensor(between(images(), images(seed=1)), requires_grad=True)

    def loss() -> Any:
        (slope,) = torch.autograd.grad(net(mixed).sum(), mixed, create_graph=True)
        norm = (slope * slope).sum((1, 2, 3)).sqrt()
        penalty = ((norm - 1.0) ** 2).mean()
        return net(fake).mean() - net(real).mean() + 10.0 * penalty

    return training(net, loss, torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.9)))


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
    "AdaIN (32,64,32,32), forward + backward": (adain_minigen, adain_torch),
}

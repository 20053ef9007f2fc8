"""Generative adversarial networks: the game, and its discriminator's optimum.

Goodfellow et al., Generative Adversarial Nets, 2014. A generator G turns noise z into samples
G(z) ~ p_g; a discriminator D sees one point x at a time and says with which probability it is
real, drawn from p_r. They play for the value (eq. 1)

    V(D, G) = E_{x ~ p_r}[ln D(x)] + E_{x ~ p_g}[ln(1 - D(x))],

which D raises and G lowers. D is computed as a logit a, D = sigmoid(a), so that neither logarithm
overflows: ln D = -softplus(-a) and ln(1 - D) = -softplus(a).
"""

from typing import Any, Callable

import numpy as np

from .. import losses, nn, ops
from ..autodiff.graph import grad
from ..autodiff.tensor import Tensor


class Discriminator(nn.Module):
    """A multilayer perceptron from points (n, features) to logits (n, 1).

    hidden: the widths of its hidden layers; none makes it a logistic regression.
    """

    def __init__(
        self,
        features: int,
        hidden: tuple[int, ...] = (32, 32),
        generator: np.random.Generator | None = None,
    ) -> None:
        self.net = nn.MLP((features, *hidden, 1), generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Generator(nn.Module):
    """A multilayer perceptron from noise z (n, latent) to points (n, features)."""

    def __init__(
        self,
        latent: int,
        features: int,
        hidden: tuple[int, ...] = (32, 32),
        generator: np.random.Generator | None = None,
    ) -> None:
        self.net = nn.MLP((latent, *hidden, features), generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class MinibatchStd(nn.Module):
    """One more feature, the same for all points of a batch: how much they differ.

    x (n, c, ...) gives (n, c + 1, ...). The feature is the standard deviation over the batch of
    each coordinate, averaged over all coordinates: 0 if G sends every z to one point. In front of
    a discriminator it lets D see that (Karras et al. 2018, section 3); D's logits then depend on
    the whole batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        spread = ops.safe_sqrt(x.var(0)).mean()
        return ops.concatenate([x, ops.broadcast_to(spread, (len(x), 1, *x.shape[2:]))], axis=1)


def value(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """V(D, G) in nats, from D's logits on real and on generated points. At most 0."""
    return -ops.softplus(-logits_real).mean() - ops.softplus(logits_fake).mean()


def discriminator_loss(
    logits_real: Tensor, logits_fake: Tensor, prior: float = 0.5, smoothing: float = 1.0
) -> Tensor:
    """J_D = pi E_r[-ln D] + (1 - pi) E_g[-ln(1 - D)]: the cross-entropy of "real or fake?", nats.

    With pi = 1/2 it is -V/2, and a D that knows nothing, D = 1/2, has ln 2. prior: pi, the share
    of real points. smoothing: the target for real points; less than 1 is the one-sided label
    smoothing of Salimans et al. (2016, section 3.4).
    """
    real = losses.bce_with_logits(logits_real, smoothing)
    fake = losses.bce_with_logits(logits_fake, 0.0)
    return prior * real + (1 - prior) * fake


def optimal_discriminator(p_r: Any, p_g: Any, prior: float = 0.5, smoothing: float = 1.0) -> Any:
    """D* = a pi p_r / (pi p_r + (1 - pi) p_g), the D that maximises V (there: prop. 1).

    p_r, p_g: the two densities at the same points, arrays. prior: pi, the share of real points in
    what D sees (1/2 in the paper). smoothing: a, the target for real points. NaN where both
    densities are 0.
    """
    real = prior * p_r
    return smoothing * real / (real + (1 - prior) * p_g)


def minimax_generator_loss(logits_fake: Tensor) -> Tensor:
    """E_g[ln(1 - D)] in nats: the part of V that G has a hand in, and lowers (eq. 1).

    Its gradient in a logit is -D/n: nothing where D is sure of a fake.
    """
    return -ops.softplus(logits_fake).mean()


def generator_loss(logits_fake: Tensor) -> Tensor:
    """E_g[-ln D] in nats, the non-saturating loss (section 3): "have D take the fakes for real".

    Its gradient in a logit is -(1 - D)/n: largest where D is sure of a fake.
    """
    return ops.softplus(-logits_fake).mean()


def r1_penalty(d: Callable[[Tensor], Tensor], x_real: Tensor) -> Tensor:
    """R1 = 1/2 E_r[|grad_x a(x)|^2]: how steep D's logit a is where the data are.

    gamma R1 is added to -V, which is 2 J_D (Mescheder et al. 2018, eq. 9). d must judge each point
    alone, since the slopes of all logits are taken at once, as those of their sum.
    """
    x = Tensor(x_real, requires_grad=True)
    slopes, = grad(d(x).sum(), x, create_graph=True)
    return 0.5 * (slopes * slopes).sum() / len(x)

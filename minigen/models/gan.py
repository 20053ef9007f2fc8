"""Generative adversarial networks: the game, and its discriminator's optimum.

Goodfellow et al., Generative Adversarial Nets, 2014. A generator G turns noise z into samples
G(z) ~ p_g; a discriminator D sees one point x at a time and says with which probability it is
real, drawn from p_r. They play for the value (eq. 1)

    V(D, G) = E_{x ~ p_r}[ln D(x)] + E_{x ~ p_g}[ln(1 - D(x))],

which D raises and G lowers. D is computed as a logit a, D = sigmoid(a), so that neither logarithm
overflows: ln D = -softplus(-a) and ln(1 - D) = -softplus(a).
"""

from typing import Any

import numpy as np

from .. import losses, nn, ops
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
        widths = [features, *hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in zip(widths, widths[1:]):
            layers += [nn.Linear(width_in, width_out, generator=generator), nn.SiLU()]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], 1, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


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

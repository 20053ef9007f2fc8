"""Wasserstein GAN: a critic in the discriminator's place, and the clipping that it started with.

Arjovsky, Chintala and Bottou, Wasserstein Generative Adversarial Networks, 2017. By the duality of
Kantorovich and Rubinstein (there: eq. 2)

    W1(p_r, p_g) = max over all f with |f(x) - f(y)| <= |x - y| of  E_r[f(x)] - E_g[f(x)].

The critic f gives a score, any number: no probability, no sigmoid, no logarithm. What makes the
difference of the means a distance is the bound on the slope of f, and nothing else. Without it the
maximum is infinite. Clipping the weights is one way to bound the slope; it bounds it by a number
that nobody chose. Lesson 06 measures that, and lesson 07 replaces it (`wgan_gp`).
"""

from .. import nn
from ..autodiff.tensor import Tensor
from ..backend import namespace


def critic_loss(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """E_g[f] - E_r[f], which the critic lowers: minus the estimate of W1 (eq. 2), in units of x.

    A constant added to f cancels, so the level of the scores says nothing.
    """
    return scores_fake.mean() - scores_real.mean()


def generator_loss(scores_fake: Tensor) -> Tensor:
    """-E_g[f], which the generator lowers: the part of -critic_loss that it has a hand in."""
    return -scores_fake.mean()


def clip_weights(critic: nn.Module, bound: float) -> None:
    """Cut every parameter of the critic to [-bound, bound], after each of its steps (alg. 1)."""
    for parameter in critic.parameters():
        parameter.data = namespace(parameter.data).clip(parameter.data, -bound, bound)

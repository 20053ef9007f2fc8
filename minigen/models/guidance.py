"""Guidance: ask a diffusion for a class, and ask more strongly than the data would.

The score of p(x|y) is, by Bayes' rule, grad ln p(x) + grad ln p(y|x). Guidance takes the second
part gamma times:

    gamma = 0 does not ask,    gamma = 1 samples p(x|y),    gamma > 1 exaggerates.

Some papers count from there: Ho and Salimans' w is gamma - 1. For gamma other than 0 and 1 what
comes out is *not* the density p(x) p(y|x)^gamma, normalised: the rule is applied to each x_t, where
it does not commute with the noise. Lesson 13 computes the difference.
"""

from typing import Any, Callable

from ..autodiff.graph import grad, record
from ..autodiff.tensor import Tensor
from .diffusion import Denoiser, eps_from_score
from .schedule import Schedule


def classifier_guidance(
    eps: Denoiser, log_prob: Callable[[Tensor, Any], Tensor], schedule: Schedule, gamma: float
) -> Denoiser:
    """eps - gamma sqrt(1 - alpha_bar) grad ln p(y|x_t) (Dhariwal and Nichol 2021, algorithm 2).

    eps: without class. log_prob(x_t, t): ln p(y|x_t), (n,), by a classifier that has seen noisy
    points. It must judge each point alone, since all slopes are taken at once.
    """
    def guided(x: Tensor, t: Any) -> Tensor:
        with record(True):  # a sampler records no graph; this gradient needs one
            leaf = Tensor(x, requires_grad=True)
            slope, = grad(log_prob(leaf, t).sum(), leaf)
        return eps(x, t) + gamma * eps_from_score(schedule, x, t, slope)
    return guided


def classifier_free_guidance(conditional: Denoiser, free: Denoiser, gamma: float) -> Denoiser:
    """eps_u + gamma (eps_c - eps_u): no classifier, two denoisers (Ho and Salimans 2022, eq. 6).

    conditional: eps(x_t, t) for the class asked for. free: the same without class. Usually both
    are one network: lambda x, t: net(x, t, y) and net.
    """
    def guided(x: Tensor, t: Any) -> Tensor:
        base = free(x, t)
        return base + gamma * (conditional(x, t) - base)
    return guided

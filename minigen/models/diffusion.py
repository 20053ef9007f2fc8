"""Diffusion: data are turned to noise step by step, and a network learns the way back.

Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models, 2020. The way to noise, q, is fixed;
`schedule` holds its numbers. The way back is a chain of Gaussians,

    p(x_T) = N(0, I),    p(x_{t-1}|x_t) = N(mu_t(x_t), sigma_t^2 I),

and mu_t needs one thing that x_t does not tell: which noise eps is in it. A denoiser eps(x_t, t)
guesses that. Any callable will do: a network, or the exact answer where the data are known.
-ln p(x_0) is at most L_T + L_{T-1} + ... + L_0 (eq. 5), and each term is a weight times the squared
error of that guess. Dropping the weights gives the loss that is used. Lesson 11 derives this.

Points are Tensors (n, ...), 2-D points or images alike; t is one step for all or an array (n,).
The noise is drawn by the caller and handed in: one noise, one answer.
"""

import math
from typing import Any, Callable

import numpy as np

from .. import losses
from ..autodiff.tensor import Tensor
from .schedule import Schedule

Denoiser = Callable[[Tensor, Any], Tensor]  # eps(x_t, t), in the shape of x_t


def q_step(schedule: Schedule, x: Tensor, t: Any, eps: Tensor) -> Tensor:
    """x_t from x_{t-1}, one step of the chain: sqrt(alpha_t) x + sqrt(beta_t) eps (eq. 2)."""
    kept = schedule.at(np.sqrt(schedule.alpha), t, x)
    return kept * x + schedule.at(np.sqrt(schedule.beta), t, x) * eps


def q_sample(schedule: Schedule, x0: Tensor, t: Any, eps: Tensor) -> Tensor:
    """x_t from x_0, t steps at once: sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (eq. 4)."""
    return schedule.at(schedule.signal, t, x0) * x0 + schedule.at(schedule.noise, t, x0) * eps


def posterior_mean(schedule: Schedule, x0: Tensor, x_t: Tensor, t: Any) -> Tensor:
    """The mean of q(x_{t-1}|x_t, x_0) (eq. 7), for t >= 1; its variance is schedule.beta_tilde[t].

    At t = 1 it is x_0 itself.
    """
    from_x0, from_x_t = np.zeros((2, schedule.T + 1))
    before, after = schedule.alpha_bar[:-1], schedule.alpha_bar[1:]
    from_x0[1:] = np.sqrt(before) * schedule.beta[1:] / (1 - after)
    from_x_t[1:] = np.sqrt(schedule.alpha[1:]) * (1 - before) / (1 - after)
    return schedule.at(from_x0, t, x_t) * x0 + schedule.at(from_x_t, t, x_t) * x_t


# What a network may predict. Given x_t these say the same: each is a linear map of each other one.


def x0_from_eps(schedule: Schedule, x_t: Tensor, t: Any, eps: Tensor) -> Tensor:
    """x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar): eq. 4, solved for x_0."""
    return (x_t - schedule.at(schedule.noise, t, x_t) * eps) / schedule.at(schedule.signal, t, x_t)


def eps_from_x0(schedule: Schedule, x_t: Tensor, t: Any, x0: Tensor) -> Tensor:
    """eps = (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar), for t >= 1."""
    return (x_t - schedule.at(schedule.signal, t, x_t) * x0) / schedule.at(schedule.noise, t, x_t)


def score_from_eps(schedule: Schedule, x_t: Tensor, t: Any, eps: Tensor) -> Tensor:
    """grad ln p_t(x_t) = -eps / sqrt(1 - alpha_bar), for t >= 1 (Tweedie's formula)."""
    return -eps / schedule.at(schedule.noise, t, x_t)


def eps_from_score(schedule: Schedule, x_t: Tensor, t: Any, score: Tensor) -> Tensor:
    """eps = -sqrt(1 - alpha_bar) grad ln p_t(x_t)."""
    return -schedule.at(schedule.noise, t, x_t) * score


def v_from_eps(schedule: Schedule, x_t: Tensor, t: Any, eps: Tensor) -> Tensor:
    """v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans and Ho 2022, section 4)."""
    x0 = x0_from_eps(schedule, x_t, t, eps)
    return schedule.at(schedule.signal, t, x_t) * eps - schedule.at(schedule.noise, t, x_t) * x0


def eps_from_v(schedule: Schedule, x_t: Tensor, t: Any, v: Tensor) -> Tensor:
    """eps = sqrt(alpha_bar) v + sqrt(1 - alpha_bar) x_t: v is x_t turned by a right angle."""
    return schedule.at(schedule.signal, t, x_t) * v + schedule.at(schedule.noise, t, x_t) * x_t


# The losses.


def simple_loss(eps: Denoiser, schedule: Schedule, x0: Tensor, t: Any, noise: Tensor) -> Tensor:
    """L_simple, the mean of (noise - eps(x_t, t))^2 (eq. 14): every step counts alike.

    x0, noise (n, ...); t (n,), by `schedule.draw_steps`. Its minimum is not 0: x_t does not tell
    which noise is in it.
    """
    return losses.mse(eps(q_sample(schedule, x0, t, noise), t), noise)


def bound_weights(schedule: Schedule, variance: np.ndarray) -> np.ndarray:
    """What the bound multiplies |noise - eps|^2 by at step t, (T + 1,); entry 0 is 0 (eq. 12).

    beta^2 / (2 sigma^2 alpha (1 - alpha_bar)), for sigma_t^2 = variance[t]; inf where that is 0.
    """
    weights = np.zeros(schedule.T + 1)
    beta, alpha, alpha_bar = schedule.beta[1:], schedule.alpha[1:], schedule.alpha_bar[1:]
    with np.errstate(divide="ignore"):
        weights[1:] = beta**2 / (2 * variance[1:] * alpha * (1 - alpha_bar))
    return weights


def bound_term(
    eps: Denoiser, schedule: Schedule, x0: Tensor, t: Any, noise: Tensor, variance: np.ndarray
) -> Tensor:
    """L_{t-1} of the bound on -ln p(x_0), nats: (n,), one draw of noise for each x0 (n, ...).

    For t >= 2 it is KL(q(x_{t-1}|x_t, x_0) || N(mu_t, sigma_t^2)), for t = 1 -ln p(x_0|x_1).
    variance: sigma_t^2, (T + 1,), say schedule.beta; it must not be 0 at a step asked for.
    """
    off = (noise - eps(q_sample(schedule, x0, t, noise), t)).reshape(len(x0), -1)
    ratio = np.ones(schedule.T + 1)
    ratio[2:] = schedule.beta_tilde[2:] / variance[2:]
    level = (ratio - 1 - np.log(ratio)) / 2  # a KL's part that the two variances leave
    level[1] = math.log(2 * math.pi * variance[1]) / 2 if variance[1] > 0 else -math.inf
    square = (off * off).sum(1)
    weights = schedule.at(bound_weights(schedule, variance), t, square)
    return weights * square + off.shape[1] * schedule.at(level, t, square)


def prior_kl(schedule: Schedule, x0: Tensor) -> Tensor:
    """L_T = KL(q(x_T|x_0) || N(0, I)), nats: x0 (n, ...) gives (n,). No network can change it.

    1/2 sum [alpha_bar x_0^2 - alpha_bar - ln(1 - alpha_bar)], alpha_bar at T.
    """
    left = float(schedule.alpha_bar[-1])
    return 0.5 * (left * x0 * x0 - left - math.log(1 - left)).reshape(len(x0), -1).sum(1)

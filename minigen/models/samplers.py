"""Samplers: from noise to data, with any denoiser eps(x_t, t).

DDPM walks all T steps and adds fresh noise at each but the last (Ho et al. 2020, algorithm 2). DDIM
may leave steps out, and with eta = 0 adds none: then x_T alone decides what comes out (Song, Meng
and Ermon, Denoising Diffusion Implicit Models, 2021). With eta = 1 and every step it is DDPM with
the variance beta_tilde. All points of a batch walk together.

Both call `watch(t, x_t)`, if given, at every stop from T down to 0: watch=path.__setitem__ keeps
the whole path in a dict.
"""

from typing import Any, Callable, Sequence

import numpy as np

from .. import create, ops
from ..autodiff.graph import no_grad
from ..autodiff.tensor import Tensor
from .diffusion import Denoiser, eps_from_x0, x0_from_eps
from .schedule import Schedule

Watch = Callable[[int, Tensor], Any]


@no_grad()
def ddpm(
    eps: Denoiser,
    schedule: Schedule,
    x: Tensor,
    variance: np.ndarray | None = None,
    generator: np.random.Generator | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """x_0 from x = x_T ~ N(0, I), (n, ...), in T steps.

    variance: sigma_t^2, (T + 1,): schedule.beta_tilde, the default, schedule.beta, or your own.
    """
    sigma = np.sqrt(schedule.beta_tilde if variance is None else variance)
    for t in range(schedule.T, 0, -1):
        _tell(watch, t, x)
        weight = float(schedule.beta[t] / schedule.noise[t])
        x = (x - weight * eps(x, t)) / float(np.sqrt(schedule.alpha[t]))
        if t > 1:  # what is drawn last is the mean: noise on it would be noise on the data
            x = x + float(sigma[t]) * _noise(x, generator)
    _tell(watch, 0, x)
    return x


@no_grad()
def ddim(
    eps: Denoiser,
    schedule: Schedule,
    x: Tensor,
    steps: Sequence[int] | None = None,
    eta: float = 0.0,
    generator: np.random.Generator | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """x_0 from x, (n, ...), by way of the given steps only (eq. 12).

    steps: rising, within 1 .. T; all of them by default. x is x_t at the last of them: noise at T,
    or a point that was noised up to t. eta: 0 adds no noise, 1 as much as DDPM. See `some_steps`.
    Raises ValueError for steps that do not rise within 1 .. T.
    """
    stops = [0, *(range(1, schedule.T + 1) if steps is None else steps)]
    if len(stops) < 2 or stops[-1] > schedule.T or (np.diff(stops) < 1).any():
        raise ValueError(f"ddim: steps must rise within 1 .. {schedule.T}, got {stops[1:]}")
    for s, t in zip(stops[-2::-1], stops[:0:-1]):
        _tell(watch, t, x)
        guess = eps(x, t)
        x0 = x0_from_eps(schedule, x, t, guess)
        between = schedule.alpha_bar[t] / schedule.alpha_bar[s]  # alpha, of the steps s + 1 .. t
        sigma = eta * schedule.noise[s] / schedule.noise[t] * np.sqrt(1 - between)
        kept = np.sqrt(schedule.noise[s] ** 2 - sigma**2)
        x = float(schedule.signal[s]) * x0 + float(kept) * guess
        if sigma > 0:  # at s = 0 it is 0
            x = x + float(sigma) * _noise(x, generator)
    _tell(watch, 0, x)
    return x


def some_steps(T: int, count: int) -> list[int]:
    """`count` steps, evenly spread over 1 .. T, with T the last of them. For `ddim`."""
    if not 1 <= count <= T:
        raise ValueError(f"some_steps: count must be in 1 .. {T}, got {count}")
    return [T * (i + 1) // count for i in range(count)]


def clipped(eps: Denoiser, schedule: Schedule, low: float, high: float) -> Denoiser:
    """The denoiser, with the x_0 that it means cut to [low, high]: for images, whose range we know.

    Without it an error at a large t, where x_0 = (x_t - ...)/sqrt(alpha_bar), is blown up.
    """
    def eps_clipped(x: Tensor, t: Any) -> Tensor:
        x0 = ops.clip(x0_from_eps(schedule, x, t, eps(x, t)), low, high)
        return eps_from_x0(schedule, x, t, x0)
    return eps_clipped


def _noise(x: Tensor, generator: np.random.Generator | None) -> Tensor:
    return create.randn(*x.shape, generator=generator, dtype=x.dtype).to(x.backend)


def _tell(watch: Watch | None, t: int, x: Tensor) -> None:
    if watch is not None:
        watch(t, x)

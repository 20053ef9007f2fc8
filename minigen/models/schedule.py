"""Noise schedules: how much of the data is left at step t of a diffusion, and how much is noise.

Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 2. Each step shrinks a
point and adds noise,

    x_t = sqrt(alpha_t) x_{t-1} + sqrt(beta_t) eps_t,    alpha_t = 1 - beta_t,    t = 1 .. T,

so that t steps together are one (eq. 4):

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,    alpha_bar_t = alpha_1 ... alpha_t.

Steps count from 1. Every array here has T + 1 entries, and entry 0 is "no step yet": beta_0 = 0,
alpha_bar_0 = 1. So `alpha_bar[t]` is the paper's symbol, and t - 1 never falls off the front.
"""

import math
from typing import Any

import numpy as np

from ..autodiff.tensor import Tensor
from ..backend import default_generator


class Schedule:
    """The numbers of a diffusion of T steps, float64 NumPy arrays (T + 1,) with entry 0 = no step.

    betas: beta_1 .. beta_T, shape (T,), each in (0, 1), else ValueError.

    beta, alpha, alpha_bar     as above
    signal, noise              sqrt(alpha_bar) and sqrt(1 - alpha_bar), the two weights in x_t
    snr                        alpha_bar / (1 - alpha_bar), the signal-to-noise ratio; inf at 0
    beta_tilde                 the variance of x_{t-1} given x_t and x_0 (eq. 7); 0 at t = 1
    """

    def __init__(self, betas: Any) -> None:
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or not betas.size or not ((0 < betas) & (betas < 1)).all():
            raise ValueError(f"Schedule: betas must be (T,), each in (0, 1); got shape "
                             f"{betas.shape}, from {betas.min(initial=math.inf):g} to "
                             f"{betas.max(initial=-math.inf):g}")
        self.T = len(betas)
        self.beta = np.concatenate([[0.0], betas])
        self.alpha = 1 - self.beta
        self.alpha_bar = np.cumprod(self.alpha)
        self.signal = np.sqrt(self.alpha_bar)
        self.noise = np.sqrt(1 - self.alpha_bar)
        with np.errstate(divide="ignore"):
            self.snr = self.alpha_bar / (1 - self.alpha_bar)
        self.beta_tilde = np.zeros(self.T + 1)
        self.beta_tilde[1:] = self.beta[1:] * (1 - self.alpha_bar[:-1]) / (1 - self.alpha_bar[1:])

    def at(self, values: np.ndarray, t: Any, x: Tensor) -> Any:
        """values[t], shaped so that it multiplies x (n, ...).

        values (T + 1,), an array of this schedule. t: one step for all points, which gives a
        number; or an integer array (n,), one for each, which gives a Tensor (n, 1, ...) like x.
        Raises ValueError for steps that are no integers in 0 .. T or not n of them.
        """
        t = np.asarray(t)
        if t.dtype.kind not in "iu" or t.shape not in ((), x.shape[:1]) or not t.size or (
                t.min() < 0 or t.max() > self.T):
            raise ValueError(f"Schedule: t must be an integer in 0 .. {self.T}, or an array of "
                             f"them, one for each point of x {x.shape}; got {t.dtype} {t.shape}")
        if t.ndim == 0:
            return float(values[t])
        return beside(x, values[t].reshape(-1, *[1] * (x.ndim - 1)))

    def draw_steps(self, n: int, generator: np.random.Generator | None = None) -> np.ndarray:
        """n steps, uniform on 1 .. T, both ends included: what training asks about."""
        return (generator or default_generator()).integers(1, self.T + 1, n)


def beside(x: Tensor, values: np.ndarray) -> Tensor:
    """Numbers of the host as a Tensor that can meet x: of its dtype, on its backend."""
    return Tensor(values, dtype=x.dtype).to(x.backend)


def linear_schedule(T: int, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """beta rises linearly from `first` to `last`, which are meant for 1000 steps (section 4).

    With T steps each does the work of 1000/T, so the betas are multiplied by that: sum beta_t, and
    with it the last alpha_bar, then hardly depends on T. Raises ValueError where this makes a beta
    of 1 or more (with these ends, for T <= 20).
    """
    return Schedule(1000 / T * np.linspace(first, last, T))


def cosine_schedule(T: int, s: float = 0.008) -> Schedule:
    """alpha_bar_t = f(t)/f(0), f(t) = cos^2((t/T + s)/(1 + s) pi/2) (Nichol and Dhariwal 2021).

    There: eq. 17. It depends on t/T alone, so it needs no rescaling. beta is cut at 0.999, as
    there, which only the last steps feel.
    """
    f = np.cos((np.arange(T + 1) / T + s) / (1 + s) * math.pi / 2) ** 2
    return Schedule(np.minimum(1 - f[1:] / f[:-1], 0.999))

"""The exact denoiser of a Gaussian mixture: what a perfectly trained network would say.

If x_0 comes from sum_k w_k N(m_k, s_k^2 I), then x_t comes from a mixture as well,

    p_t(x) = sum_k w_k N(sqrt(alpha_bar) m_k, (alpha_bar s_k^2 + 1 - alpha_bar) I),

and the best guess of the noise is eps*(x, t) = -sqrt(1 - alpha_bar) grad ln p_t(x). With r_k(x) the
probability that x came from component k, grad ln p_t = sum_k r_k grad ln N_k. So what a sampler
does wrong can be told from what a network has learned wrong.
"""

import math
from typing import Any

import numpy as np

from .. import ops
from ..autodiff.tensor import Tensor
from ..densities import GaussianMixture
from .schedule import Schedule, beside


class MixtureDenoiser:
    """eps*(x_t, t), or for a class y eps*(x_t, t, y): a drop-in for a network.

    mixture: on the line, or in the plane with round components (cov a multiple of I, else
    ValueError). classes: the class of each component, (K,) integers; by default each is its own.

    x: (n, 1) on the line, (n, 2) in the plane. t, y: one for all points, or (n,) integers.
    """

    def __init__(self, mixture: GaussianMixture, schedule: Schedule, classes: Any = None) -> None:
        parts = mixture.components
        self.schedule = schedule
        self.classes = np.arange(len(parts)) if classes is None else np.asarray(classes)
        self.log_weights = np.log(mixture.weights)
        self.means = np.array([np.atleast_1d(p.mean) for p in parts])  # (K, d)
        if mixture.dim == 1:
            self.variances = np.array([p.std**2 for p in parts])
        else:
            self.variances = np.array([p.cov[0, 0] for p in parts])
            round_ones = self.variances[:, None, None] * np.eye(2)
            if not np.allclose([p.cov for p in parts], round_ones, rtol=1e-12, atol=0.0):
                raise ValueError("MixtureDenoiser: a component's cov is no multiple of I")

    def __call__(self, x: Tensor, t: Any, y: Any = None) -> Tensor:
        """eps*, in the shape of x."""
        log_joint, slopes = self._joint(x, t, y)
        share = ops.softmax(log_joint, axis=1).reshape(len(x), -1, 1)  # r_k, (n, K, 1)
        return self.schedule.at(self.schedule.noise, t, x) * (share * slopes).sum(1)

    def log_prob(self, x: Tensor, t: Any, y: Any = None) -> Tensor:
        """ln p_t(x), or with a class ln p_t(x, y): (n,), nats."""
        return ops.logsumexp(self._joint(x, t, y)[0], axis=1)

    def log_class(self, x: Tensor, t: Any, y: Any) -> Tensor:
        """ln p(y|x_t), (n,), nats: the perfect classifier, for `classifier_guidance`."""
        return self.log_prob(x, t, y) - self.log_prob(x, t)

    def _joint(self, x: Tensor, t: Any, y: Any) -> tuple[Tensor, Tensor]:
        """ln w_k N_k(x), (n, K), -inf for other classes; and -grad ln N_k(x), (n, K, d)."""
        left = self.schedule.alpha_bar[np.reshape(t, (-1, 1))]  # (1, 1), or (n, 1)
        variances = left * self.variances + 1 - left
        centres = np.sqrt(left)[..., None] * self.means
        difference = x.reshape(len(x), 1, -1) - beside(x, centres)
        slopes = difference / beside(x, variances[..., None])
        level = self.log_weights - self.means.shape[1] / 2 * np.log(2 * math.pi * variances)
        if y is not None:
            asked = self.classes == np.reshape(y, (-1, 1))
            if not asked.any(1).all():
                raise ValueError(f"MixtureDenoiser: y has a class that is none of {self.classes}")
            level = np.where(asked, level, -math.inf)
        return beside(x, level) - 0.5 * (difference * slopes).sum(2), slopes

"""Probability densities that are known exactly, on the line and in the plane.

What a model learns can only be checked against what is true. For each density here the truth is a
formula: its value, its logarithm, its slope, its samples, and on the line its cdf and quantiles.

    pdf(x)       p(x) >= 0, integrates to 1; a density is no probability and may well exceed 1
    log_pdf(x)   ln p(x), in nats; computed directly, so it is still right where p(x) underflows
    score(x)     grad_x ln p(x), the direction in which x becomes more probable
    sample(n, rng)      n independent draws
    cdf(x), quantile(u) F(x) = P(X <= x), and the x at which F(x) = u      (on the line only)
    mean, std           the moments; in the plane `cov` takes the place of `std`

Points on the line are arrays of any shape (...); points of the plane have shape (..., 2). All is
float64. Everything random comes from the `numpy.random.Generator` that the caller hands in.

Source: Bishop, Pattern Recognition and Machine Learning, 2006, sections 2.3 and 2.3.9.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LOG_2PI = math.log(2 * math.pi)

# How far from its mean a Gaussian is integrated. The mass beyond 9 std is 2e-19: nothing here.
REACH = 9.0


class Density(ABC):
    """What every density promises. Write these methods for your own, and `divergences` takes it."""

    dim: int  # 1: the line, 2: the plane
    positive_everywhere: bool  # if not, p(x) = 0 outside of `support`

    @abstractmethod
    def log_pdf(self, x: ArrayLike) -> Array:
        """ln p(x) in nats, shape (...); -inf where p(x) = 0."""

    @abstractmethod
    def score(self, x: ArrayLike) -> Array:
        """grad_x ln p(x), the shape of x."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """n independent draws, shape (n,) or (n, 2)."""

    @abstractmethod
    def breakpoints(self) -> Any:
        """Where an integral over p is cut: p's peaks, its jumps, and the ends of its `support`.

        Sorted, an array of shape (k,); in the plane a pair of these, one for each axis.
        """

    def support(self) -> tuple[Any, Any]:
        """(low, high), finite, with all of the mass between them but for less than 1e-16.

        In the plane low and high are corners, shape (2,), of a box.
        """
        if self.dim == 1:
            points = self.breakpoints()
            return points[0], points[-1]
        x, y = self.breakpoints()
        return np.array([x[0], y[0]]), np.array([x[-1], y[-1]])

    def pdf(self, x: ArrayLike) -> Array:
        """p(x) = exp(ln p(x)), shape (...)."""
        return np.exp(self.log_pdf(x))

    def cdf(self, x: ArrayLike) -> Array:
        """F(x) = P(X <= x), shape (...). ValueError in the plane, where points have no order."""
        raise ValueError(f"{type(self).__name__}: cdf is defined on the line, this is {self.dim}-D")

    def quantile(self, u: ArrayLike) -> Array:
        """The x with F(x) = u, shape (...). ValueError if u is not in [0, 1], or in the plane."""
        raise ValueError(
            f"{type(self).__name__}: quantile is defined on the line, this is {self.dim}-D"
        )


class Gaussian(Density):
    """N(mean, std^2) on the line:  p(x) = exp(-z^2 / 2) / (std sqrt(2 pi)),  z = (x - mean) / std.

    Note the second argument: the standard deviation, not the variance.
    """

    dim = 1
    positive_everywhere = True

    def __init__(self, mean: float, std: float) -> None:
        """ValueError unless both are finite numbers and std > 0."""
        self.mean = _number("Gaussian: mean", mean)
        self.std = _positive("Gaussian: std", std)

    def log_pdf(self, x: ArrayLike) -> Array:
        z = self._standardise(x)
        return -z**2 / 2 - math.log(self.std) - LOG_2PI / 2

    def score(self, x: ArrayLike) -> Array:
        return -self._standardise(x) / self.std

    def cdf(self, x: ArrayLike) -> Array:
        # The textbook's (1 + erf(z / sqrt 2)) / 2 loses the lower tail, where 1 and erf cancel.
        return _erfc(-self._standardise(x) / math.sqrt(2)) / 2

    def quantile(self, u: ArrayLike) -> Array:
        return self.mean + self.std * _standard_quantile(_probabilities("Gaussian.quantile: u", u))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.mean + self.std * rng.standard_normal(_count("Gaussian.sample: n", n))

    def breakpoints(self) -> Array:
        return _reach(self.mean, self.std)

    def _standardise(self, x: ArrayLike) -> Array:
        """z = (x - mean) / std, which is N(0, 1) if x is ours."""
        return (np.asarray(x, dtype=np.float64) - self.mean) / self.std


class Gaussian2d(Density):
    """N(mean, cov) in the plane:  p(x) = exp(-|z|^2 / 2) / (2 pi det L),  x = mean + L z.

    L is the Cholesky root, cov = L L^T: it turns round noise z ~ N(0, I) into ours, and its inverse
    turns ours back, so |z|^2 = (x - mean)^T cov^-1 (x - mean).
    """

    dim = 2
    positive_everywhere = True

    def __init__(
        self, mean: ArrayLike, std: ArrayLike | None = None, cov: ArrayLike | None = None
    ) -> None:
        """mean (2,); then either std, a number or one for each axis, or cov (2, 2).

        ValueError unless exactly one is given, std > 0, cov symmetric and positive definite.
        """
        self.mean = _point("Gaussian2d: mean", mean)
        if (std is None) == (cov is None):
            raise ValueError(f"Gaussian2d: std is {std!r}, cov is {cov!r}, expected exactly one")
        if std is not None:
            self.cov = np.diag(_positive_pair("Gaussian2d: std", std) ** 2)
        else:
            self.cov = _covariance("Gaussian2d: cov", cov)
        self._root = np.linalg.cholesky(self.cov)
        self._inverse_root = np.linalg.inv(self._root)

    def log_pdf(self, x: ArrayLike) -> Array:
        z = self._standardise(x)
        log_det_root = np.log(np.diag(self._root)).sum()
        return -(z**2).sum(-1) / 2 - log_det_root - LOG_2PI

    def score(self, x: ArrayLike) -> Array:
        # -cov^-1 (x - mean) = -L^-T z, written for z as rows.
        return -self._standardise(x) @ self._inverse_root

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        z = rng.standard_normal((_count("Gaussian2d.sample: n", n), 2))
        return self.mean + z @ self._root.T

    def breakpoints(self) -> tuple[Array, Array]:
        x_std, y_std = np.sqrt(np.diag(self.cov))
        return _reach(self.mean[0], x_std), _reach(self.mean[1], y_std)

    def _standardise(self, x: ArrayLike) -> Array:
        """z = L^-1 (x - mean), which is N(0, I) if x is ours."""
        return (_points("Gaussian2d: x", x) - self.mean) @ self._inverse_root.T


class GaussianMixture(Density):
    """p(x) = sum_k w_k p_k(x): draw component k with probability w_k, then draw x from it.

    The components are all `Gaussian`, or all `Gaussian2d`.
    """

    positive_everywhere = True

    def __init__(
        self, weights: ArrayLike, components: Sequence[Gaussian] | Sequence[Gaussian2d]
    ) -> None:
        """weights (K,), positive with sum 1, and K components of one kind; else ValueError."""
        self.components: list[Any] = list(components)
        kinds = {type(component) for component in self.components}
        if kinds not in ({Gaussian}, {Gaussian2d}):
            names = sorted(kind.__name__ for kind in kinds)
            raise ValueError(
                f"GaussianMixture: components are {names}, expected all Gaussian or all Gaussian2d"
            )
        self.weights = _weights("GaussianMixture: weights", weights, len(self.components))
        self.dim = self.components[0].dim

    @property
    def mean(self) -> Any:
        """sum_k w_k mean_k; a float on the line, shape (2,) in the plane."""
        return sum(w * p.mean for w, p in self._parts())

    @property
    def std(self) -> float:
        """The law of total variance: sum_k w_k (std_k^2 + (mean_k - mean)^2) = std^2."""
        if self.dim != 1:
            raise ValueError("GaussianMixture: std is for the line, in the plane use cov")
        mean = self.mean
        return math.sqrt(sum(w * (p.std**2 + (p.mean - mean) ** 2) for w, p in self._parts()))

    @property
    def cov(self) -> Array:
        """The same law in the plane, shape (2, 2): spread within the components and between."""
        if self.dim != 2:
            raise ValueError("GaussianMixture: cov is for the plane, on the line use std")
        mean = self.mean
        return sum(
            w * (p.cov + np.outer(p.mean - mean, p.mean - mean)) for w, p in self._parts()
        )

    def log_pdf(self, x: ArrayLike) -> Array:
        # ln sum_k exp(l_k), by the stable step  ln(e^a + e^b) = a + ln(1 + e^(b - a)),  a >= b:
        # far from every component each e^(l_k) is 0 in float64, but their sum's logarithm is fine.
        return np.logaddexp.reduce(self._log_joint(x), axis=0)

    def responsibilities(self, x: ArrayLike) -> Array:
        """Bayes' rule, which component x came from: w_k p_k(x) / p(x), shape (K, ...)."""
        log_joint = self._log_joint(x)
        return np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=0))

    def score(self, x: ArrayLike) -> Array:
        # grad ln p = sum_k w_k grad p_k / p = sum_k (w_k p_k / p) grad ln p_k
        r = self.responsibilities(x)
        if self.dim == 2:
            r = r[..., None]
        return (r * np.stack([p.score(x) for p in self.components])).sum(axis=0)

    def cdf(self, x: ArrayLike) -> Array:
        if self.dim != 1:
            return super().cdf(x)
        return sum(w * p.cdf(x) for w, p in self._parts())

    def quantile(self, u: ArrayLike) -> Array:
        # No closed form, but a bracket: between the smallest and the largest of the components'
        # quantiles. Halve it 60 times, until it is 1e-18 of its first width.
        if self.dim != 1:
            return super().quantile(u)
        u = _probabilities("GaussianMixture.quantile: u", u)
        ends = np.stack([p.quantile(u) for p in self.components])
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle) < u
            low = np.where(below, middle, low)
            high = np.where(below, high, middle)
        return (low + high) / 2

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        n = _count("GaussianMixture.sample: n", n)
        k = rng.choice(len(self.weights), size=n, p=self.weights)
        x = np.empty(n if self.dim == 1 else (n, 2))
        for index, component in enumerate(self.components):
            mine = k == index
            x[mine] = component.sample(int(mine.sum()), rng)
        return x

    def breakpoints(self) -> Any:
        all_points = [p.breakpoints() for p in self.components]
        if self.dim == 1:
            return np.unique(all_points)
        return tuple(np.unique(axis) for axis in zip(*all_points))

    def _parts(self) -> zip[tuple[float, Any]]:
        return zip(self.weights.tolist(), self.components)

    def _log_joint(self, x: ArrayLike) -> Array:
        """ln w_k + ln p_k(x), shape (K, ...)."""
        return np.stack([math.log(w) + p.log_pdf(x) for w, p in self._parts()])


class Uniform(Density):
    """p(x) = 1 / (high - low) on the interval [low, high], and 0 outside."""

    dim = 1
    positive_everywhere = False

    def __init__(self, low: float, high: float) -> None:
        """ValueError unless both are finite numbers and low < high."""
        self.low = _number("Uniform: low", low)
        self.high = _number("Uniform: high", high)
        if not self.low < self.high:
            raise ValueError(f"Uniform: low is {low!r}, high is {high!r}, expected low < high")
        self.width = self.high - self.low
        self.mean = (self.low + self.high) / 2
        self.std = self.width / math.sqrt(12)

    def log_pdf(self, x: ArrayLike) -> Array:
        x = np.asarray(x, dtype=np.float64)
        inside = (self.low <= x) & (x <= self.high)
        return np.where(inside, -math.log(self.width), -np.inf)

    def score(self, x: ArrayLike) -> Array:
        """0 inside, where ln p is flat; nan at the edges and outside, where it has no slope."""
        x = np.asarray(x, dtype=np.float64)
        return np.where((self.low < x) & (x < self.high), 0.0, np.nan)

    def cdf(self, x: ArrayLike) -> Array:
        return np.clip((np.asarray(x, dtype=np.float64) - self.low) / self.width, 0, 1)

    def quantile(self, u: ArrayLike) -> Array:
        return self.low + self.width * _probabilities("Uniform.quantile: u", u)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.quantile(rng.random(_count("Uniform.sample: n", n)))

    def breakpoints(self) -> Array:
        return np.array([self.low, self.high])


class Uniform2d(Density):
    """p(x) = 1 / area on the box [low[0], high[0]] x [low[1], high[1]], and 0 outside."""

    dim = 2
    positive_everywhere = False

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        """low (2,) and high (2,), two corners. ValueError unless low < high on both axes."""
        self.low = _point("Uniform2d: low", low)
        self.high = _point("Uniform2d: high", high)
        if not np.all(self.low < self.high):
            raise ValueError(
                f"Uniform2d: low is {low!r}, high is {high!r}, expected low < high on both axes"
            )
        self.width = self.high - self.low
        self.mean = (self.low + self.high) / 2
        self.cov = np.diag(self.width**2 / 12)

    def log_pdf(self, x: ArrayLike) -> Array:
        x = _points("Uniform2d: x", x)
        inside = np.all((self.low <= x) & (x <= self.high), axis=-1)
        return np.where(inside, -np.log(self.width).sum(), -np.inf)

    def score(self, x: ArrayLike) -> Array:
        """0 inside, where ln p is flat; nan at the edges and outside, where it has no slope."""
        x = _points("Uniform2d: x", x)
        inside = np.all((self.low < x) & (x < self.high), axis=-1, keepdims=True)
        return np.where(inside, np.zeros_like(x), np.nan)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return self.low + self.width * rng.random((_count("Uniform2d.sample: n", n), 2))

    def breakpoints(self) -> tuple[Array, Array]:
        x, y = np.stack([self.low, self.high], axis=1)
        return x, y


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> GaussianMixture:
    """`modes` equal Gaussians evenly spaced on a circle: does a model find them all?

    ValueError unless modes is a whole number >= 1, radius > 0 and std > 0.
    Source: the 8 Gaussians of Gulrajani et al. 2017, arXiv:1704.00028, figure 1.
    """
    angles = 2 * np.pi * np.arange(_count("ring: modes", modes, least=1)) / modes
    means = _positive("ring: radius", radius) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _equal_mixture(means, std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """side x side equal Gaussians on a square lattice around 0; by default the 25 Gaussians.

    ValueError unless side is a whole number >= 1, spacing > 0 and std > 0.
    Source: the 25 Gaussians of Gulrajani et al. 2017, arXiv:1704.00028, figure 1.
    """
    steps = np.arange(_count("grid: side", side, least=1)) - (side - 1) / 2
    x, y = np.meshgrid(steps, steps)
    means = _positive("grid: spacing", spacing) * np.stack([x.ravel(), y.ravel()], axis=1)
    return _equal_mixture(means, std)


def _equal_mixture(means: Array, std: float) -> GaussianMixture:
    weights = np.full(len(means), 1 / len(means))
    return GaussianMixture(weights, [Gaussian2d(mean, std) for mean in means])


def _reach(mean: float, std: float) -> Array:
    return mean + std * np.array([-REACH, 0.0, REACH])


# Two functions of the standard normal that NumPy lacks, from the standard library, on arrays.

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@np.vectorize(otypes=[np.float64])
def _standard_quantile(u: float) -> float:
    """The z with P(Z <= z) = u for Z ~ N(0, 1); the ends of the line for u = 0 and u = 1."""
    if u in (0, 1):
        return math.copysign(math.inf, u - 0.5)
    return NormalDist().inv_cdf(u)


# Arguments, checked: what was given, and what was expected.


def _number(name: str, value: float) -> float:
    if np.ndim(value) != 0 or not np.isfinite(value):
        raise ValueError(f"{name} is {value!r}, expected a finite number")
    return float(value)


def _positive(name: str, value: float) -> float:
    if not _number(name, value) > 0:
        raise ValueError(f"{name} is {value!r}, expected a number > 0")
    return float(value)


def _count(name: str, value: int, least: int = 0) -> int:
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r}, expected a whole number >= {least}")
    return int(value)


def _point(name: str, value: ArrayLike) -> Array:
    point = np.array(value, dtype=np.float64)
    if point.shape != (2,) or not np.all(np.isfinite(point)):
        raise ValueError(f"{name} is {value!r}, expected two finite numbers")
    return point


def _positive_pair(name: str, value: ArrayLike) -> Array:
    pair = np.array(value, dtype=np.float64)
    if pair.shape not in ((), (2,)) or not np.all(np.isfinite(pair) & (pair > 0)):
        raise ValueError(f"{name} is {value!r}, expected a number > 0, or two")
    return np.broadcast_to(pair, (2,))


def _covariance(name: str, value: ArrayLike | None) -> Array:
    cov = np.array(value, dtype=np.float64)
    if cov.shape != (2, 2) or not np.all(np.isfinite(cov)):
        raise ValueError(f"{name} is {value!r}, expected 2 x 2 finite numbers")
    symmetric = np.allclose(cov, cov.T, rtol=1e-9, atol=1e-12 * np.abs(cov).max())
    if not symmetric or np.any(np.linalg.eigvalsh(cov) <= 0):
        raise ValueError(f"{name} is {value!r}, expected it symmetric and positive definite")
    return (cov + cov.T) / 2


def _weights(name: str, value: ArrayLike, count: int) -> Array:
    weights = np.array(value, dtype=np.float64)
    if weights.shape != (count,):
        raise ValueError(f"{name} has shape {weights.shape}, expected ({count},): one a component")
    if not np.all(weights > 0) or not math.isclose(weights.sum(), 1, abs_tol=1e-9):
        raise ValueError(f"{name} is {value!r}, expected positive numbers with sum 1")
    return weights / weights.sum()


def _points(name: str, value: ArrayLike) -> Array:
    points = np.asarray(value, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != 2:
        raise ValueError(f"{name} has shape {points.shape}, expected (..., 2): points of the plane")
    return points


def _probabilities(name: str, value: ArrayLike) -> Array:
    u = np.asarray(value, dtype=np.float64)
    if not np.all((0 <= u) & (u <= 1)):
        raise ValueError(f"{name} is {value!r}, expected probabilities, 0 <= u <= 1")
    return u

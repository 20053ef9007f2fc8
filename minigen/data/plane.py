"""Sets of points in the plane whose density has no handy formula: to learn from, and to look at.

Each gives n points (n, 2), float64, with a deviation of about 1, from a generator that the caller
may hand in.
"""

import numpy as np

from ..backend import default_generator


def moons(n: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """Two half circles of radius 1, each with an end in the other's bay; noise of deviation .05."""
    rng = generator or default_generator()
    angle, lower = rng.uniform(0, np.pi, n), rng.random(n) < 0.5
    side = np.where(lower, -1.0, 1.0)
    points = np.stack([side * (np.cos(angle) - 0.5), side * (np.sin(angle) - 0.25)], axis=1)
    return points + 0.05 * rng.standard_normal((n, 2))


def spiral(n: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """One arm that winds one and a half times, out to 1.5; noise of deviation .04."""
    rng = generator or default_generator()
    radius = np.sqrt(rng.random(n))
    angle = 3 * np.pi * radius
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return 1.5 * points + 0.04 * rng.standard_normal((n, 2))


def checkerboard(n: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """Even on the five dark squares, of side 1, of a board of three by three around 0."""
    rng = generator or default_generator()
    square = np.divmod(2 * rng.integers(0, 5, n), 3)  # numbers 0, 2, 4, 6 and 8 of three rows
    return np.stack(square, axis=1) + rng.random((n, 2)) - 1.5

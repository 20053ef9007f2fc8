"""Integrals as numbers that know how wrong they may be: adaptive Gauss-Lobatto quadrature.

A Gauss rule replaces an integral over a cell by a weighted sum over n nodes,

    integral of f over [a, b]  ~  h sum_i w_i f(c + h x_i),     c = (a + b) / 2,  h = (b - a) / 2,

with nodes x_i and weights w_i chosen so that it is exact for polynomials of the highest degree.
On smooth functions it gains digits astonishingly fast; across a jump or a kink it gains hardly any.

So a cell is computed twice, whole and as the sum of its halves, and the gap between the two is the
error estimate. If the gap is small the cell is done, otherwise each half becomes a cell. The work
gathers by itself where the function is difficult.

Lobatto's variant has nodes at both ends of the cell, and with n odd one in the middle. That costs
two degrees, 2n - 3 in place of 2n - 1, and buys sight: a jump hidden between a cell's end and its
first node would be seen neither by the cell nor by its halves, and the gap would call it exact.

An estimate is no bound. Where f is smooth it is far too careful. At a kink that nobody announced,
both values may by chance be wrong alike, and the true error a few times larger, seldom a hundred.
A peak so narrow that no node touches it is not seen at all. A caller who knows of peaks, jumps or
kinks in f says so through `breakpoints`; no cell reaches across one.

Source: Davis and Rabinowitz, Methods of Numerical Integration, 2nd ed. 1984, chapters 2 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

NODES_PER_AXIS = 11
ROUNDING = 8 * np.finfo(np.float64).eps  # relative to the integral of |f|


class Integral(NamedTuple):
    """The value of an integral, and an estimate of how far it is from the truth."""

    value: float
    error: float


def integrate(
    f: Function,
    low: float,
    high: float,
    breakpoints: ArrayLike = (),
    tolerance: float = 1e-14,
    max_cells: int = 10_000,
) -> Integral:
    """The integral of f over the interval [low, high].

    f            takes an array of points, any shape, and returns its values there, same shape
    breakpoints  where f jumps or has a kink, and on both sides of a narrow peak; those outside of
                 (low, high) are ignored
    tolerance    a cell is halved until its own error estimate is below this
    max_cells    stop halving after so many cells; `error` then tells what is left

    Raises ValueError if low >= high or a bound is not finite, and if f returns inf or nan.
    """
    edges = _edges("integrate", low, high, breakpoints)
    return _refine(lambda x: f(x[..., 0]), edges[:-1, None], edges[1:, None], tolerance, max_cells)


def integrate2d(
    f: Function,
    low: ArrayLike,
    high: ArrayLike,
    breakpoints: Sequence[ArrayLike] = ((), ()),
    tolerance: float = 1e-11,
    max_cells: int = 5_000,
) -> Integral:
    """The integral of f over the box [low[0], high[0]] x [low[1], high[1]].

    f            takes points of shape (..., 2) and returns its values there, shape (...)
    breakpoints  one list for each axis: the lines x = const and y = const that no cell crosses

    Everything else is as in `integrate`; a cell is now a rectangle and splits into four.
    """
    lows = np.asarray(low, dtype=np.float64)
    highs = np.asarray(high, dtype=np.float64)
    if lows.shape != (2,) or highs.shape != (2,) or len(breakpoints) != 2:
        raise ValueError(
            f"integrate2d: low has shape {lows.shape}, high {highs.shape} and there are "
            f"{len(breakpoints)} lists of breakpoints, expected (2,), (2,) and 2: one per axis"
        )
    x = _edges("integrate2d", lows[0], highs[0], breakpoints[0])
    y = _edges("integrate2d", lows[1], highs[1], breakpoints[1])
    return _refine(f, _pairs(x[:-1], y[:-1]), _pairs(x[1:], y[1:]), tolerance, max_cells)


def _refine(
    f: Function, low: Array, high: Array, tolerance: float, max_cells: int
) -> Integral:
    """Integrate over cells with corners low, high of shape (cells, dim), all of one round at once.

    One round: split every cell, compare, keep what agrees, go on with the halves of what does not.
    """
    value = error = 0.0
    visited = 0
    whole, _ = _gauss_lobatto(f, low, high)
    while len(low) > 0:
        visited += len(low)
        half_low, half_high = _halves(low, high)  # (cells, parts, dim)
        parts, magnitude = _gauss_lobatto(f, half_low, half_high)  # (cells, parts)

        gap = np.abs(parts.sum(-1) - whole)
        rounding = ROUNDING * magnitude.sum(-1)
        done = gap <= tolerance + rounding
        if visited + np.sum(~done) * parts.shape[1] > max_cells:
            done[:] = True

        value += parts[done].sum()
        error += (gap + rounding)[done].sum()

        # The halves of the others are the cells of the next round, and already computed.
        low = half_low[~done].reshape(-1, low.shape[1])
        high = half_high[~done].reshape(-1, low.shape[1])
        whole = parts[~done].reshape(-1)
    return Integral(float(value), float(error))


def _gauss_lobatto(f: Function, low: Array, high: Array) -> tuple[Array, Array]:
    """The integrals of f and of |f| over each cell, shape (...), for corners (..., dim)."""
    nodes, weights = _rule(low.shape[-1])
    centre = (low + high) / 2
    half = (high - low) / 2
    x = centre[..., None, :] + half[..., None, :] * nodes
    # The ends move inwards by one unit in the last place: f may jump there, and a cell is to see
    # its own side of the jump.
    x = np.clip(x, np.nextafter(low, high)[..., None, :], np.nextafter(high, low)[..., None, :])
    fx = np.asarray(f(x), dtype=np.float64)
    if fx.shape != x.shape[:-1]:
        raise ValueError(
            f"integrate: f returned shape {fx.shape}, expected {x.shape[:-1]}: one value a point"
        )
    if not np.all(np.isfinite(fx)):
        bad = ~np.isfinite(fx)
        raise ValueError(
            f"integrate: f is {fx[bad][0]} at x = {x[bad][0]}, expected finite values; "
            "move the bounds, or return the limit there (0 for 0 log 0)"
        )
    scale = half.prod(-1)
    return scale * (fx @ weights), scale * (np.abs(fx) @ weights)


@cache
def _rule(dim: int) -> tuple[Array, Array]:
    """Nodes (n ** dim, dim) and weights (n ** dim,) on the cube [-1, 1] ** dim, dim = 1 or 2."""
    nodes, weights = _lobatto(NODES_PER_AXIS)
    if dim == 1:
        return nodes[:, None], weights
    return _pairs(nodes, nodes), _pairs(weights, weights).prod(-1)


def _lobatto(n: int) -> tuple[Array, Array]:
    """n nodes and weights on [-1, 1]: the ends and the extrema of Legendre's P of degree n - 1."""
    legendre = np.polynomial.Legendre.basis(n - 1)
    nodes = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    return nodes, 2 / (n * (n - 1) * legendre(nodes) ** 2)


def _halves(low: Array, high: Array) -> tuple[Array, Array]:
    """Corners of the 2 halves (4 quarters in 2-D) of each cell, shape (cells, parts, dim)."""
    which = np.array([[0.0], [1.0]]) if low.shape[1] == 1 else _pairs([0.0, 1.0], [0.0, 1.0])
    low, high = low[:, None, :], high[:, None, :]
    middle = (low + high) / 2
    return np.where(which == 0, low, middle), np.where(which == 0, middle, high)


def _pairs(x: ArrayLike, y: ArrayLike) -> Array:
    """Every (x_i, y_j), shape (len(x) * len(y), 2)."""
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)


def _edges(name: str, low: float, high: float, breakpoints: ArrayLike) -> Array:
    """low, the breakpoints strictly between, high: sorted, each once."""
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"{name}: low is {low} and high is {high}, expected finite low < high")
    points = np.asarray(breakpoints, dtype=np.float64)
    return np.unique(np.concatenate([[low], points[(low < points) & (points < high)], [high]]))

"""The sets in the plane: where their points may lie, and how evenly they lie there."""

import numpy as np
import pytest

from minigen import data

N = 20_000
SETS = [data.moons, data.spiral, data.checkerboard]


def draw(points, n=N, seed=0):
    return points(n, np.random.default_rng(seed))


@pytest.mark.parametrize("points", SETS)
def test_they_are_points_of_the_plane_one_seed_one_set(points):
    found = draw(points)
    assert found.shape == (N, 2) and found.dtype == np.float64
    np.testing.assert_array_equal(found, draw(points))
    assert (found != draw(points, seed=1)).any()
    assert points(3).shape == (3, 2)


def test_the_moons_are_half_circles_and_each_has_half_of_the_points():
    x, y = draw(data.moons).T
    upper = np.hypot(x + 0.5, y + 0.25) - 1
    lower = np.hypot(x - 0.5, y - 0.25) - 1
    nearest = np.where(abs(upper) < abs(lower), upper, lower)
    assert abs(nearest.std() - 0.05) < 0.003 and abs(nearest).max() < 0.3
    assert abs((abs(upper) < abs(lower)).mean() - 0.5) < 5 * 0.5 / np.sqrt(N)


def test_the_spiral_winds_as_it_goes_out():
    x, y = draw(data.spiral).T
    radius = np.hypot(x, y)
    off = np.angle(np.exp(1j * (np.arctan2(y, x) - 2 * np.pi * radius)))
    outer = radius > 0.5
    assert np.quantile(abs(off[outer]), 0.99) < 0.8 and radius.max() < 1.8
    assert abs((radius < 0.75).mean() - 0.25) < 0.02  # as even as a disc


def test_the_checkerboard_is_even_on_its_dark_squares():
    cells = np.floor(draw(data.checkerboard) + 1.5).astype(int)
    assert cells.min() == 0 and cells.max() == 2 and (cells.sum(axis=1) % 2 == 0).all()
    share = np.unique(cells @ [3, 1], return_counts=True)[1] / N
    assert len(share) == 5 and abs(share - 0.2).max() < 5 * 0.4 / np.sqrt(N)

"""Quadrature: the values are right, and the error estimates tell the truth about them."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minigen.quadrature import Integral, integrate, integrate2d


def assert_within_its_error(integral: Integral, truth: float, at_most: float) -> None:
    assert abs(integral.value - truth) <= integral.error
    assert integral.error <= at_most


@pytest.mark.parametrize(
    "f, low, high, truth",
    [
        (np.exp, -1, 1, math.e - 1 / math.e),
        (lambda x: 1 / (1 + x**2), -5, 5, 2 * math.atan(5)),
        (lambda x: np.cos(40 * x), 0, 1, math.sin(40) / 40),
        (np.sqrt, 0, 1, 2 / 3),
        (lambda x: np.log(x), 0, 1, -1),
    ],
    ids=["exp", "runge", "cos 40x", "sqrt", "log"],
)
def test_known_integrals_come_out_within_their_error_estimate(f, low, high, truth):
    assert_within_its_error(integrate(f, low, high), truth, at_most=3e-12)


@given(st.integers(0, 19), st.floats(-3, 2), st.floats(0.1, 3))
def test_one_cell_is_exact_for_polynomials_up_to_degree_19(degree, low, width):
    high = low + width
    integral = integrate(lambda x: x**degree, low, high, max_cells=1)
    truth = (high ** (degree + 1) - low ** (degree + 1)) / (degree + 1)
    scale = max(abs(low), abs(high)) ** degree * width
    assert integral.value == pytest.approx(truth, abs=1e-14 * scale, rel=1e-13)


@given(st.floats(0.01, 0.99))
@example(0.501)  # just right of the first halving, where Gauss-Legendre sees nothing
@example(0.2691278572)  # where its even rules agree by symmetry, and err
def test_a_kink_or_a_jump_anywhere_is_found_by_halving(where):
    kink = integrate(lambda x: np.abs(x - where), 0, 1)
    jump = integrate(lambda x: np.where(x < where, 1.0, 3.0), 0, 1)
    assert kink.value == pytest.approx((where**2 + (1 - where) ** 2) / 2, abs=1e-8)
    assert jump.value == pytest.approx(where + 3 * (1 - where), abs=1e-11)
    assert max(kink.error, jump.error) < 1e-12


def test_at_a_kink_nobody_announced_nineteen_of_twenty_values_are_right_to_1e_13():
    wheres = np.linspace(0.01, 0.99, 200)
    values = [integrate(lambda x: np.abs(x - where), 0, 1).value for where in wheres]
    miss = np.abs(values - (wheres**2 + (1 - wheres) ** 2) / 2)
    assert np.mean(miss < 1e-13) > 0.95
    assert np.max(miss) < 1e-9


@given(st.floats(0.01, 0.99))
def test_a_jump_at_a_breakpoint_costs_no_halving_at_all(where):
    integral = integrate(lambda x: np.where(x < where, 1.0, 3.0), 0, 1, [where], max_cells=2)
    assert_within_its_error(integral, where + 3 * (1 - where), at_most=1e-14)


def test_a_peak_between_the_nodes_is_missed_unless_breakpoints_tell_of_it():
    def peak(x):
        return np.exp(-(((x - 0.3) / 1e-4) ** 2) / 2) / (1e-4 * math.sqrt(2 * math.pi))

    assert integrate(peak, 0, 1).value == 0
    assert_within_its_error(integrate(peak, 0, 1, [0.299, 0.301]), 1, at_most=1e-12)


def test_breakpoints_outside_of_the_interval_are_ignored():
    assert integrate(np.exp, 0, 1, [-1, 0, 1, 2]) == integrate(np.exp, 0, 1)


def test_when_cells_run_out_the_error_says_so():
    rough = integrate(np.sqrt, 0, 1, max_cells=1)
    assert 1e-5 < rough.error < 1e-2
    assert_within_its_error(rough, 2 / 3, at_most=1e-2)


def test_noise_ends_and_is_reported_as_error():
    rng = np.random.default_rng(0)
    noisy = integrate(lambda x: rng.random(x.shape), 0, 1)
    assert noisy.error > 1e-3


def test_in_the_plane_a_product_integrates_to_the_product():
    integral = integrate2d(lambda x: np.exp(x[..., 0]) * np.cos(x[..., 1]), [0, 1], [2, 3])
    assert_within_its_error(integral, (math.e**2 - 1) * (math.sin(3) - math.sin(1)), at_most=1e-11)


def test_in_the_plane_each_axis_has_its_own_bounds_and_breakpoints():
    def steps(x):
        return np.where(x[..., 0] < 1, 1.0, 2.0) * np.where(x[..., 1] < 5, 1.0, 10.0)

    integral = integrate2d(steps, [0, 4], [3, 6], [[1], [5]], max_cells=4)
    assert_within_its_error(integral, (1 + 2 * 2) * (1 + 10), at_most=1e-12)


def test_the_area_of_a_disc_comes_out_within_its_error_estimate():
    disc = integrate2d(lambda x: (x**2).sum(-1) < 1, [-1, -1], [1, 1])
    assert_within_its_error(disc, math.pi, at_most=0.01)


@pytest.mark.parametrize("low, high", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_bounds_that_are_no_interval_are_named(low, high):
    with pytest.raises(ValueError, match=f"low is {low} and high is {high}, expected finite"):
        integrate(np.exp, low, high)


def test_a_value_that_is_not_finite_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"f is inf at x = \[0\.6"):
        integrate(lambda x: np.where(x > 0.5, np.inf, 0.0), 0, 1)


def test_a_function_of_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"f returned shape \(\), expected \(1, 11\)"):
        integrate(lambda x: x.sum(), 0, 1)


def test_a_box_needs_two_coordinates():
    with pytest.raises(ValueError, match=r"low has shape \(\), high \(2,\)"):
        integrate2d(lambda x: x[..., 0], 0, [1, 1])

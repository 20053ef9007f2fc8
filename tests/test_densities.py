"""Densities: each formula against another way to the same number."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen import densities
from minigen.densities import Gaussian, Gaussian2d, GaussianMixture, Uniform, Uniform2d
from minigen.quadrature import integrate, integrate2d

TWO_BUMPS: Any = GaussianMixture([0.3, 0.7], [Gaussian(-5, 1), Gaussian(5, 0.5)])
TILTED: Any = Gaussian2d([1, -2], cov=[[2.0, 0.9], [0.9, 1.0]])
TWO_BLOBS: Any = GaussianMixture([0.25, 0.75], [TILTED, Gaussian2d([-1, 1], std=[0.5, 2])])

ON_THE_LINE: dict[str, Any] = {
    "gaussian": Gaussian(1, 0.5),
    "narrow": Gaussian(-3, 0.01),
    "mixture": TWO_BUMPS,
    "uniform": Uniform(-1, 3),
}
IN_THE_PLANE: dict[str, Any] = {
    "round": Gaussian2d([0, 1], std=0.5),
    "tilted": TILTED,
    "mixture": TWO_BLOBS,
    "ring": densities.ring(modes=3, std=0.1),
    "grid": densities.grid(side=3),
    "box": Uniform2d([0, -1], [2, 4]),
}
SMOOTH_ON_THE_LINE = {name: p for name, p in ON_THE_LINE.items() if name != "uniform"}
SMOOTH_IN_THE_PLANE = {name: p for name, p in IN_THE_PLANE.items() if name != "box"}


def each(family):
    return pytest.mark.parametrize("p", family.values(), ids=family.keys())


def line_integral(p, g):
    """The integral of p(x) g(x) over the line."""
    low, high = p.support()
    return integrate(lambda x: p.pdf(x) * g(x), low, high, p.breakpoints()).value


def plane_integral(p, g):
    """The integral of p(x) g(x) over the plane."""
    low, high = p.support()
    return integrate2d(lambda x: p.pdf(x) * g(x), low, high, p.breakpoints()).value


# Values


def test_a_density_may_exceed_one():
    assert Gaussian(0, 0.1).pdf(0) == pytest.approx(3.989422804014327, rel=1e-15)


def test_the_standard_gaussian_at_zero_and_one():
    assert Gaussian(0, 1).pdf([0, 1]) == pytest.approx([0.3989422804014327, 0.24197072451914337])


def test_a_uniform_is_one_over_its_width_inside_and_zero_outside():
    p = Uniform(-1, 3)
    assert p.pdf([-1.001, -1, 0, 3, 3.001]).tolist() == [0, 0.25, 0.25, 0.25, 0]
    assert p.cdf([-2, -1, 0, 3, 4]).tolist() == [0, 0, 0.25, 1, 1]
    assert p.quantile([0, 0.25, 1]).tolist() == [-1, 0, 3]


def test_a_box_is_one_over_its_area_inside_and_zero_outside():
    p = Uniform2d([0, -1], [2, 4])
    assert p.pdf([[1.0, 0.0], [-0.1, 0.0], [1.0, 4.1]]) == pytest.approx([0.1, 0, 0])


def test_a_gaussian_in_the_plane_is_the_textbook_formula():
    offset = np.array([0.3, -1.1])
    inverse = np.linalg.inv(TILTED.cov)
    want = math.exp(-offset @ inverse @ offset / 2) / math.sqrt(
        (2 * math.pi) ** 2 * np.linalg.det(TILTED.cov)
    )
    assert TILTED.pdf(TILTED.mean + offset) == pytest.approx(want, rel=1e-14)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_without_correlation_the_plane_is_the_product_of_two_lines(x, y):
    plane = Gaussian2d([1, -1], std=[0.5, 2])
    lines = Gaussian(1, 0.5).log_pdf(x) + Gaussian(-1, 2).log_pdf(y)
    assert plane.log_pdf([x, y]) == pytest.approx(lines, rel=1e-13, abs=1e-13)


def test_std_and_the_cov_it_stands_for_are_the_same_gaussian():
    points = np.random.default_rng(0).normal(size=(20, 2))
    by_std = Gaussian2d([1, 2], std=[3, 0.5]).log_pdf(points)
    by_cov = Gaussian2d([1, 2], cov=[[9.0, 0.0], [0.0, 0.25]]).log_pdf(points)
    assert np.array_equal(by_std, by_cov)


@given(st.floats(-20, 20))
def test_a_mixture_is_the_weighted_sum_of_its_components(x):
    want = 0.3 * Gaussian(-5, 1).pdf(x) + 0.7 * Gaussian(5, 0.5).pdf(x)
    assert TWO_BUMPS.pdf(x) == pytest.approx(want, rel=1e-12, abs=0)


def test_a_mixture_keeps_its_logarithm_and_slope_where_the_density_underflows():
    p = GaussianMixture([0.5, 0.5], [Gaussian(-1, 1), Gaussian(1, 1)])
    assert p.pdf(100) == 0
    assert p.log_pdf(100) == pytest.approx(math.log(0.5) + Gaussian(1, 1).log_pdf(100), rel=1e-15)
    assert p.score(100) == pytest.approx(-99, rel=1e-15)


@given(st.floats(-6, 6))
def test_for_two_equal_gaussians_the_responsibility_is_a_logistic_function(x):
    p = GaussianMixture([0.5, 0.5], [Gaussian(-1, 1), Gaussian(1, 1)])
    left, right = p.responsibilities(x)
    assert right == pytest.approx(1 / (1 + math.exp(-2 * x)), rel=1e-12)
    assert left + right == pytest.approx(1, abs=1e-15)


@each(ON_THE_LINE)
def test_on_the_line_a_density_integrates_to_one(p):
    assert line_integral(p, np.ones_like) == pytest.approx(1, abs=1e-12)


@each(IN_THE_PLANE)
def test_in_the_plane_a_density_integrates_to_one(p):
    assert plane_integral(p, lambda x: np.ones(x.shape[:-1])) == pytest.approx(1, abs=1e-10)


# Moments


@each(ON_THE_LINE)
def test_on_the_line_mean_and_std_are_those_of_the_density(p):
    assert p.mean == pytest.approx(line_integral(p, lambda x: x), rel=1e-11)
    variance = line_integral(p, lambda x: (x - p.mean) ** 2)
    assert p.std == pytest.approx(math.sqrt(variance), rel=1e-9)


@each(IN_THE_PLANE)
def test_in_the_plane_mean_and_cov_are_those_of_the_density(p):
    for i in range(2):
        assert p.mean[i] == pytest.approx(plane_integral(p, lambda x: x[..., i]), abs=1e-9)
        for j in range(2):
            product = plane_integral(
                p, lambda x: (x[..., i] - p.mean[i]) * (x[..., j] - p.mean[j])
            )
            assert p.cov[i, j] == pytest.approx(product, abs=1e-9)


def test_a_ring_has_its_modes_on_the_circle():
    p = densities.ring(modes=8, radius=2, std=0.02)
    means = np.array([component.mean for component in p.components])
    assert np.hypot(*means.T) == pytest.approx(np.full(8, 2), abs=1e-12)
    steps = np.linalg.norm(means - np.roll(means, 1, axis=0), axis=1)
    assert steps == pytest.approx(np.full(8, 4 * math.sin(math.pi / 8)), abs=1e-12)
    assert p.cov == pytest.approx(np.eye(2) * (0.02**2 + 2**2 / 2), abs=1e-12)


def test_a_grid_has_its_modes_on_the_lattice():
    p = densities.grid(side=5, spacing=2, std=0.05)
    means = {tuple(component.mean) for component in p.components}
    assert means == {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert p.cov == pytest.approx(np.eye(2) * (0.05**2 + 8), abs=1e-12)


# Slopes


@each(SMOOTH_ON_THE_LINE)
@given(z=st.floats(-4, 4))
def test_on_the_line_the_score_is_the_slope_of_log_pdf(p, z):
    scale = min(part.std for part in getattr(p, "components", [p]))
    x, h = p.mean + z * p.std, 1e-5 * scale
    slope = (p.log_pdf(x + h) - p.log_pdf(x - h)) / (2 * h)
    assert p.score(x) == pytest.approx(slope, rel=1e-5, abs=1e-5 / scale)


@each(SMOOTH_IN_THE_PLANE)
@given(x=st.floats(-4, 4), y=st.floats(-4, 4))
def test_in_the_plane_the_score_is_the_gradient_of_log_pdf(p, x, y):
    point, h = np.array([x, y]), 1e-6
    gradient = [(p.log_pdf(point + e) - p.log_pdf(point - e)) / (2 * h) for e in h * np.eye(2)]
    # Between two modes of a ring or grid the slope itself turns by 1 / std^2 within a few h.
    assert p.score(point) == pytest.approx(gradient, rel=1e-4, abs=1e-3)


def test_a_uniform_has_slope_zero_inside_and_none_elsewhere():
    slopes = Uniform(0, 1).score([-1, 0, 0.5, 1, 2])
    assert np.array_equal(slopes, [np.nan, np.nan, 0, np.nan, np.nan], equal_nan=True)
    slopes = Uniform2d([0, 0], [1, 1]).score([[0.5, 0.5], [0.5, 2]])
    assert np.array_equal(slopes, [[0.0, 0.0], [np.nan, np.nan]], equal_nan=True)


# Cumulative distributions and quantiles


@each(ON_THE_LINE)
@given(z=st.floats(-5, 5))
def test_the_cdf_is_the_integral_of_the_pdf(p, z):
    low, high = p.support()
    x = min(max(p.mean + z * p.std, low + 0.01 * p.std), high)
    assert p.cdf(x) == pytest.approx(integrate(p.pdf, low, x, p.breakpoints()).value, abs=1e-12)


@each(ON_THE_LINE)
@given(u=st.floats(1e-12, 1 - 1e-12))
def test_the_quantile_inverts_the_cdf(p, u):
    # cdf(x) can be no sharper than x itself: one unit in x's last place, times the slope.
    x = p.quantile(u)
    assert p.cdf(x) == pytest.approx(u, rel=1e-12, abs=4 * np.spacing(abs(x)) * p.pdf(x))


@each(ON_THE_LINE)
def test_the_quantiles_of_0_and_1_are_the_ends_of_the_density(p):
    ends = [-1, 3] if isinstance(p, Uniform) else [-math.inf, math.inf]
    assert p.quantile([0, 1]).tolist() == ends


def test_the_lower_tail_of_the_cdf_keeps_all_its_digits():
    p = Gaussian(0, 1)
    assert p.cdf(-20) == pytest.approx(2.7536241186062337e-89, rel=1e-13, abs=0)
    assert p.quantile(2.7536241186062337e-89) == pytest.approx(-20, rel=1e-14)


def test_the_median_of_a_lopsided_mixture_is_where_half_the_mass_lies_below():
    # .7 of the mass is around 5, so the median is that component's quantile of .2 / .7.
    assert TWO_BUMPS.quantile(0.5) == pytest.approx(Gaussian(5, 0.5).quantile(0.2 / 0.7), rel=1e-12)


@each(IN_THE_PLANE)
def test_in_the_plane_there_is_no_cdf_and_no_quantile(p):
    with pytest.raises(ValueError, match="cdf is defined on the line, this is 2-D"):
        p.cdf([0, 0])
    with pytest.raises(ValueError, match="quantile is defined on the line, this is 2-D"):
        p.quantile(0.5)


# Samples: n = 20,000 draws, within 5 standard errors.

N = 20_000


def assert_mean_is(values, want):
    standard_error = values.std(axis=0) / math.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - want) <= 5 * standard_error)


@each(ON_THE_LINE)
def test_on_the_line_samples_have_the_moments_and_quartiles_of_the_density(p, seed=0):
    x = p.sample(N, np.random.default_rng(seed))
    assert x.shape == (N,)
    assert_mean_is(x, p.mean)
    assert_mean_is((x - p.mean) ** 2, p.std**2)
    for u in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert_mean_is(x <= p.quantile(u), u)


@each(IN_THE_PLANE)
def test_in_the_plane_samples_have_the_moments_of_the_density(p, seed=0):
    x = p.sample(N, np.random.default_rng(seed))
    assert x.shape == (N, 2)
    assert_mean_is(x, p.mean)
    offset = x - p.mean
    assert_mean_is(offset[:, :, None] * offset[:, None, :], p.cov)


def test_samples_visit_every_component_by_its_weight(seed=0):
    x = TWO_BLOBS.sample(N, np.random.default_rng(seed))
    assert_mean_is(TWO_BLOBS.responsibilities(x)[0], 0.25)


@each(ON_THE_LINE | IN_THE_PLANE)
def test_the_same_generator_draws_the_same_samples_and_touches_no_global(p):
    state = str(np.random.get_state())
    first = p.sample(100, np.random.default_rng(7))
    assert np.array_equal(first, p.sample(100, np.random.default_rng(7)))
    assert not np.array_equal(first, p.sample(100, np.random.default_rng(8)))
    assert state == str(np.random.get_state())
    assert p.sample(0, np.random.default_rng(7)).shape == first[:0].shape


# Shapes and arguments


@each(ON_THE_LINE)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_on_the_line_every_function_keeps_the_shape_of_x(p, shape):
    x = np.full(shape, 0.5, dtype=np.float32)
    for function in (p.pdf, p.log_pdf, p.score, p.cdf, p.quantile):
        assert np.shape(function(x)) == shape
        assert np.asarray(function(x)).dtype == np.float64


@each(IN_THE_PLANE)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_in_the_plane_points_lie_along_the_last_axis(p, shape):
    x = np.full((*shape, 2), 0.5, dtype=np.float32)
    assert np.shape(p.pdf(x)) == np.shape(p.log_pdf(x)) == shape
    assert p.score(x).shape == x.shape
    assert p.score(x).dtype == np.float64


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Gaussian(0, -1), "Gaussian: std is -1, expected a number > 0"),
        (lambda: Gaussian(0, 0), "Gaussian: std is 0, expected a number > 0"),
        (lambda: Gaussian(math.nan, 1), "Gaussian: mean is nan, expected a finite number"),
        (
            lambda: Gaussian([0, 0], 1),  # type: ignore[arg-type]
            r"Gaussian: mean is \[0, 0\], expected a finite number",
        ),
        (lambda: Gaussian2d(0, 1), "Gaussian2d: mean is 0, expected two finite numbers"),
        (lambda: Gaussian2d([0, 0]), "std is None, cov is None, expected exactly one"),
        (lambda: Gaussian2d([0, 0], 1, np.eye(2)), "expected exactly one"),
        (lambda: Gaussian2d([0, 0], std=[1, 0]), r"std is \[1, 0\], expected a number > 0, or two"),
        (lambda: Gaussian2d([0, 0], cov=[1, 1]), "cov is .*, expected 2 x 2 finite numbers"),
        (lambda: Gaussian2d([0, 0], cov=[[1, 2], [2, 1]]), "symmetric and positive definite"),
        (lambda: Gaussian2d([0, 0], cov=[[1.0, 0.5], [0.0, 1.0]]), "symmetric and positive"),
        (lambda: GaussianMixture([1], []), r"components are \[\], expected all Gaussian or"),
        (
            lambda: GaussianMixture([0.5, 0.5], [Gaussian(0, 1), TILTED]),
            r"components are \['Gaussian', 'Gaussian2d'\], expected all Gaussian or all",
        ),
        (
            lambda: GaussianMixture([1], [Gaussian(0, 1), Gaussian(1, 1)]),
            r"weights has shape \(1,\), expected \(2,\)",
        ),
        (
            lambda: GaussianMixture([0.5, 0.6], [Gaussian(0, 1), Gaussian(1, 1)]),
            r"weights is \[0.5, 0.6\], expected positive numbers with sum 1",
        ),
        (
            lambda: GaussianMixture([-0.5, 1.5], [Gaussian(0, 1), Gaussian(1, 1)]),
            "expected positive numbers with sum 1",
        ),
        (lambda: Uniform(1, 1), "Uniform: low is 1, high is 1, expected low < high"),
        (lambda: Uniform(0, math.inf), "Uniform: high is inf, expected a finite number"),
        (lambda: Uniform2d([0, 0], [1, 0]), r"low is \[0, 0\], high is \[1, 0\], expected low <"),
        (lambda: Uniform2d([0], [1]), r"Uniform2d: low is \[0\], expected two finite numbers"),
        (lambda: densities.ring(modes=0), "ring: modes is 0, expected a whole number >= 1"),
        (lambda: densities.ring(radius=-2), "ring: radius is -2, expected a number > 0"),
        (
            lambda: densities.grid(side=2.5),  # type: ignore[arg-type]
            "grid: side is 2.5, expected a whole number >= 1",
        ),
        (lambda: Gaussian(0, 1).quantile(1.5), "u is 1.5, expected probabilities, 0 <= u <= 1"),
        (lambda: TWO_BUMPS.quantile(math.nan), "GaussianMixture.quantile: u is nan"),
        (lambda: TILTED.pdf(0), r"x has shape \(\), expected \(..., 2\)"),
        (lambda: TILTED.score([1, 2, 3]), r"x has shape \(3,\), expected \(..., 2\)"),
        (lambda: TILTED.sample(-1, np.random.default_rng(0)), "n is -1, expected a whole number"),
        (lambda: TWO_BLOBS.std, "std is for the line, in the plane use cov"),
        (lambda: TWO_BUMPS.cov, "cov is for the plane, on the line use std"),
    ],
)
def test_a_bad_argument_is_named_with_what_was_given_and_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_covariance_symmetric_but_for_rounding_is_accepted():
    turn = np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    cov = turn @ np.diag([4, 0.1]) @ turn.T
    cov[0, 1] += 1e-16
    p = Gaussian2d([0, 0], cov=cov)
    assert np.array_equal(p.cov, p.cov.T)

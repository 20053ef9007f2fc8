"""Divergences: quadrature against closed forms, and the laws that every divergence obeys."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigen import densities, divergences
from minigen.densities import Density, Gaussian, Gaussian2d, GaussianMixture, Uniform, Uniform2d
from minigen.divergences import (
    cross_entropy,
    entropy,
    js,
    kl,
    total_variation,
    wasserstein1,
    wasserstein1_samples,
)

LN2 = math.log(2)
STANDARD = Gaussian(0, 1)
LEFT, RIGHT = Gaussian(-1, 1), Gaussian(1, 1)
MIXTURE = GaussianMixture([0.3, 0.7], [Gaussian(-2, 0.5), Gaussian(1, 1)])

means = st.floats(-5, 5)
stds = st.floats(0.05, 5)
gaussians = st.builds(Gaussian, means, stds)
numbers = st.floats(-100, 100)
samples = st.lists(numbers, min_size=1, max_size=12)


def normal_cdf(z):
    return math.erfc(-z / math.sqrt(2)) / 2


def assert_is(integral, truth, at_most=1e-11):
    """The value is right within the error that it claims, and it claims a small one."""
    scale = max(1, abs(truth))
    assert abs(integral.value - truth) <= integral.error + 1e-15 * scale
    assert integral.error <= at_most * scale


# Entropy, cross-entropy, KL


def test_the_kl_of_the_vae_lesson_is_0_818147():
    assert kl(Gaussian(1, 0.5), STANDARD).value == pytest.approx(0.818147, abs=5e-7)


@given(means, stds, means, stds)
def test_the_kl_of_two_gaussians_is_its_closed_form(m, s, mu, sigma):
    truth = math.log(sigma / s) + (s**2 + (m - mu) ** 2) / (2 * sigma**2) - 1 / 2
    assert_is(kl(Gaussian(m, s), Gaussian(mu, sigma)), truth)


def test_the_kl_of_two_gaussians_in_the_plane_is_its_closed_form():
    p = Gaussian2d([0, 0], cov=[[1, 0.9], [0.9, 1]])
    q = Gaussian2d([1, 0], std=[1, 2])
    inverse, offset = np.linalg.inv(q.cov), q.mean - p.mean
    log_ratio = math.log(np.linalg.det(q.cov) / np.linalg.det(p.cov))
    truth = (np.trace(inverse @ p.cov) + offset @ inverse @ offset - 2 + log_ratio) / 2
    assert_is(kl(p, q), truth, at_most=1e-9)


@given(gaussians)
def test_the_entropy_of_a_gaussian_is_its_closed_form(p):
    assert_is(entropy(p), math.log(2 * math.pi * math.e * p.std**2) / 2)


@given(st.floats(-3, 3), st.floats(0.01, 10))
def test_the_entropy_of_a_uniform_is_the_logarithm_of_its_width(low, width):
    p = Uniform(low, low + width)
    assert_is(entropy(p), math.log(p.width))


def test_the_entropy_of_a_box_is_the_logarithm_of_its_area():
    assert_is(entropy(Uniform2d([0, 0], [2, 3])), math.log(6))


def test_the_entropy_of_far_modes_is_that_of_one_and_of_the_choice_between_them():
    truth = math.log(4) + 1 + math.log(2 * math.pi * 0.02**2)
    assert_is(entropy(densities.ring(modes=4, std=0.02)), truth, at_most=1e-9)


@settings(max_examples=40)
@given(gaussians, gaussians)
def test_cross_entropy_is_entropy_plus_kl(p, q):
    total = entropy(p).value + kl(p, q).value
    assert cross_entropy(p, q).value == pytest.approx(total, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("p", [STANDARD, MIXTURE, Uniform(0, 1)])
def test_the_kl_from_a_density_to_itself_is_zero(p):
    assert kl(p, p).value == 0


def test_kl_is_not_symmetric():
    p, q = Gaussian(0, 1), Gaussian(0, 2)
    assert kl(q, p).value - kl(p, q).value > 0.4  # .807 and .318


def test_the_kl_of_nested_uniforms_is_the_logarithm_of_the_ratio_and_infinite_the_other_way():
    inner, outer = Uniform(0, 1), Uniform(-1, 3)
    assert_is(kl(inner, outer), math.log(4))
    assert kl(outer, inner) == (math.inf, 0)
    assert cross_entropy(outer, inner) == (math.inf, 0)


@pytest.mark.parametrize(
    "p, q",
    [
        (Uniform(0, 1), Uniform(2, 3)),
        (Uniform(0, 1), Uniform(0.5, 1.5)),
        (STANDARD, Uniform(-100, 100)),  # p(100) underflows, but it is not zero
        (Uniform2d([0, 0], [1, 1]), Uniform2d([0, 0], [2, 0.5])),
    ],
)
def test_kl_is_infinite_where_q_is_zero_and_p_is_not(p, q):
    assert kl(p, q) == (math.inf, 0)
    assert cross_entropy(p, q) == (math.inf, 0)


def test_the_kl_from_a_uniform_to_a_gaussian_is_finite():
    # -ln 1 + E[x^2] / 2 + ln(2 pi) / 2 with E[x^2] = 1/3
    assert_is(kl(Uniform(0, 1), STANDARD), 1 / 6 + math.log(2 * math.pi) / 2)


# Jensen-Shannon


def test_the_js_of_the_gan_lesson_is_0_336831_nats_and_0_485944_bits():
    assert js(LEFT, RIGHT).value == pytest.approx(0.336831, abs=5e-7)
    assert js(LEFT, RIGHT, base="bits").value == pytest.approx(0.485944, abs=5e-7)


def test_js_in_the_plane_does_not_see_an_axis_on_which_p_and_q_agree():
    plane = js(Gaussian2d([-1, 3], std=[1, 0.5]), Gaussian2d([1, 3], std=[1, 0.5]))
    assert_is(plane, js(LEFT, RIGHT).value, at_most=1e-9)


@given(st.floats(0.001, 1000))
def test_js_without_overlap_is_ln_2_or_one_bit_at_any_distance(gap):
    p, q = Uniform(0, 1), Uniform(1 + gap, 3 + gap)
    assert js(p, q).value == pytest.approx(LN2, abs=4e-16)
    assert js(p, q, base="bits").value == pytest.approx(1, abs=4e-16)


@given(st.floats(0, 1))
def test_js_of_two_uniforms_is_the_share_that_does_not_overlap_times_ln_2(shift):
    assert_is(js(Uniform(0, 1), Uniform(shift, 1 + shift)), shift * LN2)


@settings(max_examples=40)
@given(gaussians, gaussians)
@example(Gaussian(5.0, 0.05), Gaussian(2.4490417099564517, 0.05))  # rounding: 1.2e-15 above ln 2
def test_js_is_symmetric_and_between_zero_and_ln_2(p, q):
    here, there = js(p, q), js(q, p)
    assert here.value == pytest.approx(there.value, abs=here.error + there.error)
    assert -here.error <= here.value <= LN2 + here.error


@settings(max_examples=40)
@given(gaussians, gaussians)
def test_js_is_the_entropy_of_the_mixture_less_the_mean_entropy(p, q):
    m = GaussianMixture([0.5, 0.5], [p, q])
    want = entropy(m).value - (entropy(p).value + entropy(q).value) / 2
    assert js(p, q).value == pytest.approx(want, abs=1e-11)


# Total variation


@given(means, means, stds)
def test_the_total_variation_of_shifted_gaussians_is_its_closed_form(a, b, std):
    truth = math.erf(abs(a - b) / (2 * std) / math.sqrt(2))
    got = total_variation(Gaussian(a, std), Gaussian(b, std))
    assert got.value == pytest.approx(truth, abs=1e-8)  # |p - q| has a kink, see quadrature
    assert got.error < 1e-11


def test_a_judge_with_even_odds_errs_with_half_of_one_less_total_variation():
    bayes_error = (1 - total_variation(LEFT, RIGHT).value) / 2
    assert bayes_error == pytest.approx(normal_cdf(-1), abs=1e-13)  # .158655


@given(st.floats(0, 3))
def test_the_total_variation_of_uniforms_is_the_share_that_does_not_overlap(shift):
    assert_is(total_variation(Uniform(0, 1), Uniform(shift, 1 + shift)), min(shift, 1))


def test_in_the_plane_total_variation_is_right_to_six_digits():
    p, q = Gaussian2d([-0.6, -0.8], std=1), Gaussian2d([0.6, 0.8], std=1)
    assert_is(total_variation(p, q), math.erf(1 / math.sqrt(2)), at_most=1e-6)


# Wasserstein


@given(means, means, stds)
def test_the_w1_of_shifted_gaussians_is_the_shift(a, b, std):
    assert_is(wasserstein1(Gaussian(a, std), Gaussian(b, std)), abs(a - b))


@given(means, stds, stds)
def test_the_w1_of_scaled_gaussians_is_the_difference_of_std_times_the_mean_of_abs_z(mean, s, t):
    truth = abs(s - t) * math.sqrt(2 / math.pi)
    assert_is(wasserstein1(Gaussian(mean, s), Gaussian(mean, t)), truth)


@given(st.floats(-1000, 1000))
def test_the_w1_of_shifted_uniforms_is_the_shift_overlap_or_not(shift):
    assert_is(wasserstein1(Uniform(0, 1), Uniform(shift, 1 + shift)), abs(shift))


def test_the_w1_of_a_uniform_and_its_double_is_one_half():
    assert_is(wasserstein1(Uniform(0, 1), Uniform(0, 2)), 1 / 2)


def test_w1_is_the_mean_gap_of_the_quantiles():
    p, q = MIXTURE, STANDARD
    u = (np.arange(20_000) + 0.5) / 20_000
    gap = np.mean(np.abs(p.quantile(u) - q.quantile(u)))
    assert wasserstein1(p, q).value == pytest.approx(gap, abs=1e-4)


def test_the_w1_of_two_point_masses_is_their_distance():
    assert wasserstein1_samples([0], [-2.5]) == 2.5


def test_samples_of_equal_size_are_matched_in_order():
    assert wasserstein1_samples([3, 1, 2], [20, 10, 30]) == pytest.approx((9 + 18 + 27) / 3)


def test_samples_of_unequal_size_split_their_points():
    # Half of x = 0 goes with y = 1, then 1/6 with y = 1, ...: thirds against halves, by hand.
    got = wasserstein1_samples([0, 6], [1, 2, 9])
    assert got == pytest.approx((1 / 3) * 1 + (1 / 6) * 2 + (1 / 6) * 4 + (1 / 3) * 3)


@given(samples, samples)
def test_the_w1_of_samples_is_the_area_between_their_step_functions(x, y):
    points = np.unique(x + y)
    f = np.mean(np.array(x)[:, None] <= points, axis=0)
    g = np.mean(np.array(y)[:, None] <= points, axis=0)
    area = np.sum(np.abs(f - g)[:-1] * np.diff(points))
    assert wasserstein1_samples(x, y) == pytest.approx(area, abs=1e-11)


@given(samples, samples, st.integers(2, 5))
def test_repeating_every_point_of_a_sample_changes_nothing(x, y, times):
    assert wasserstein1_samples(x * times, y) == pytest.approx(
        wasserstein1_samples(x, y), abs=1e-11
    )


def test_samples_of_n_points_come_near_the_w1_of_their_densities(seed=0):
    # n = 4,000. By the triangle inequality the two differ by at most W1(sample, p) + W1(sample, q),
    # and the mean of each is below integral sqrt(F (1 - F) / n) = .0143 (n = 4,000, std 1).
    rng = np.random.default_rng(seed)
    x, y = LEFT.sample(4_000, rng), RIGHT.sample(4_000, rng)
    assert wasserstein1_samples(x, y) == pytest.approx(wasserstein1(LEFT, RIGHT).value, abs=0.08)


# What holds for all


class Laplace(Density):
    """p(x) = exp(-|x|) / 2, as a reader may write it."""

    dim = 1
    positive_everywhere = True

    def log_pdf(self, x):
        return -np.abs(x) - LN2

    def score(self, x):
        return -np.sign(x)

    def sample(self, n, rng):
        return rng.laplace(size=n)

    def breakpoints(self):
        return np.array([-45.0, 0.0, 45.0])


def test_a_density_of_your_own_needs_only_the_methods_of_the_base():
    assert_is(entropy(Laplace()), 1 + LN2)
    # E[x^2] = 2 under Laplace
    assert_is(kl(Laplace(), STANDARD), 1 + math.log(2 * math.pi) / 2 - 1 - LN2)


class TwoIntervals(Density):
    """1/2 on [0, 1] and on [2, 3], with a hole between."""

    dim = 1
    positive_everywhere = False

    def log_pdf(self, x):
        inside = ((0 <= x) & (x <= 1)) | ((2 <= x) & (x <= 3))
        return np.where(inside, -LN2, -np.inf)

    def score(self, x):
        return np.zeros_like(x)

    def sample(self, n, rng):
        return rng.random(n) + 2 * rng.integers(0, 2, n)

    def breakpoints(self):
        return np.array([0.0, 1.0, 2.0, 3.0])


def test_zero_times_the_logarithm_of_zero_counts_as_zero():
    p = TwoIntervals()
    assert_is(entropy(p), LN2)
    assert_is(kl(p, Uniform(0, 3)), math.log(3 / 2))
    assert_is(js(p, Uniform(1, 2)), LN2)


@pytest.mark.parametrize("correlation", [0.9, 0.99, 0.999, 0.9999, -0.9999])
def test_the_entropy_of_a_thin_slanted_ridge_is_its_closed_form(correlation):
    ridge = Gaussian2d([0.3, 0], cov=[[1, correlation], [correlation, 1]])
    truth = 1 + math.log(2 * math.pi) + math.log(1 - correlation**2) / 2
    assert_is(entropy(ridge), truth, at_most=1e-8)


def test_a_ridge_too_thin_for_the_nodes_is_owned_up_to_in_the_error():
    correlation = 1 - 1e-7
    ridge = Gaussian2d([0.3, 0], cov=[[1, correlation], [correlation, 1]])
    truth = 1 + math.log(2 * math.pi) + math.log(1 - correlation**2) / 2
    value, error = entropy(ridge)
    assert 1 < abs(value - truth) < error  # useless, and it says so


@pytest.mark.parametrize(
    "divergence", [cross_entropy, kl, js, total_variation, wasserstein1], ids=lambda f: f.__name__
)
def test_a_line_and_a_plane_cannot_be_compared(divergence):
    with pytest.raises(ValueError, match="p is a Gaussian in 1-D and q a Gaussian2d in 2-D"):
        divergence(STANDARD, Gaussian2d([0, 0], std=1))


def test_w1_in_the_plane_is_refused():
    p = Gaussian2d([0, 0], std=1)
    with pytest.raises(ValueError, match="Gaussian2d: cdf is defined on the line"):
        wasserstein1(p, p)


def test_an_unknown_base_is_named():
    with pytest.raises(ValueError, match="base is 'log2', expected 'nats' or 'bits'"):
        js(LEFT, RIGHT, base="log2")


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], [1.0, math.nan]])
def test_a_sample_that_is_none_is_named(bad):
    with pytest.raises(ValueError, match="wasserstein1_samples: y has shape"):
        divergences.wasserstein1_samples([1.0], bad)

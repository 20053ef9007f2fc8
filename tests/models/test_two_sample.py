"""JSD from two samples: near the truth, below it on average, and honest about no difference."""

import math

import numpy as np
import pytest

from minigen.data.points import PointsError
from minigen.models.two_sample import estimate_js


def normal(mean, n, seed):
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def test_two_gaussians_are_as_far_apart_as_theory_says():
    found = estimate_js(normal(1, 3000, 0), normal(-1, 2000, 1), np.random.default_rng(2))
    assert found.low < found.js < found.high
    # Standard error of the scores' mean: their sd is about .6, over 2 sqrt(2000): .007.
    assert found.js == pytest.approx(0.336831, abs=5 * 0.007)
    assert found.d(np.array([0.0]))[0] == pytest.approx(0.5, abs=0.1)
    assert found.d(np.array([2.0]))[0] == pytest.approx(1 / (1 + math.exp(-4)), abs=0.05)


def test_equal_distributions_give_no_more_than_zero():
    found = estimate_js(normal(0, 2000, 3), normal(0, 2000, 4), np.random.default_rng(5))
    assert abs(found.js) < 0.01
    assert found.low <= 0.005


def test_points_that_do_not_overlap_come_near_ln_2():
    found = estimate_js(normal(100, 500, 6), normal(-100, 500, 7), np.random.default_rng(8))
    assert 0.99 * math.log(2) < found.js <= math.log(2)


def test_scale_and_offset_of_the_data_do_not_matter():
    results = [estimate_js(1e6 + s * normal(1, 500, 9), 1e6 + s * normal(-1, 500, 10),
                           np.random.default_rng(11)).js for s in (1.0, 1e-3)]
    assert results[0] == pytest.approx(results[1], abs=1e-3)


def test_the_same_seed_gives_the_same_estimate():
    runs = [estimate_js(normal(1, 100, 0), normal(0, 100, 1), np.random.default_rng(2))
            for _ in range(2)]
    assert runs[0][:3] == runs[1][:3]


def test_a_small_or_constant_sample_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(PointsError, match="fake: 5 points are too few"):
        estimate_js(normal(0, 50, 0), np.zeros(5), rng)
    with pytest.raises(PointsError, match="all points of both samples are 3"):
        estimate_js(np.full(30, 3.0), np.full(30, 3.0), rng)


def test_a_judge_never_scores_points_that_it_was_trained_on():
    # Over 12 seeds: -.009 (sd .008) as it is, .020 (sd .010) with D scored on its own points.
    found = [estimate_js(normal(0, 100, s), normal(0, 100, 99 + s), np.random.default_rng(s)).js
             for s in range(6)]
    assert np.mean(found) < 0.0

"""Schedules: their conventions, their limits, and steps checked before they index anything."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.models.schedule import Schedule, cosine_schedule, linear_schedule

SCHEDULES = [linear_schedule(100), cosine_schedule(50), Schedule([0.5])]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_entry_0_is_no_step(schedule):
    assert schedule.beta[0] == 0 and schedule.alpha_bar[0] == 1
    assert schedule.signal[0] == 1 and schedule.noise[0] == 0 and math.isinf(schedule.snr[0])
    assert schedule.beta_tilde[0] == schedule.beta_tilde[1] == 0
    for array in (schedule.beta, schedule.alpha, schedule.alpha_bar, schedule.snr,
                  schedule.beta_tilde, schedule.signal, schedule.noise):
        assert array.shape == (schedule.T + 1,) and array.dtype == np.float64


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_signal_and_noise_share_one_variance(schedule):
    np.testing.assert_allclose(schedule.signal**2 + schedule.noise**2, 1.0, rtol=1e-14)
    np.testing.assert_allclose(schedule.alpha_bar[-1], math.prod(schedule.alpha))
    assert (np.diff(schedule.alpha_bar) < 0).all() and (np.diff(schedule.snr[1:]) < 0).all()
    assert (schedule.beta_tilde[1:] < schedule.beta[1:]).all()


def test_the_linear_schedule_of_1000_steps_is_the_papers():
    schedule = linear_schedule(1000)
    np.testing.assert_allclose(schedule.beta[1:], np.linspace(1e-4, 0.02, 1000))
    assert schedule.alpha_bar[-1] == pytest.approx(4.04e-5, rel=1e-2)


def test_betas_are_rescaled_with_t():
    for T in (100, 250, 1000):
        assert linear_schedule(T).beta.sum() == pytest.approx(10.05)


def test_the_cosine_schedule_depends_on_the_share_of_t_alone():
    coarse, fine = cosine_schedule(50), cosine_schedule(1000)
    np.testing.assert_allclose(coarse.alpha_bar[:50], fine.alpha_bar[:1000:20], rtol=1e-9)
    assert fine.beta.max() == 0.999


def test_at_gives_a_number_for_one_step_and_a_column_for_many():
    schedule = linear_schedule(100)
    x = mg.zeros(3, 1, 4, 4)
    assert schedule.at(schedule.beta, 100, x) == schedule.beta[100]
    column = schedule.at(schedule.beta, np.array([0, 1, 100]), x)
    assert column.shape == (3, 1, 1, 1) and column.dtype == np.float32
    np.testing.assert_allclose(column.numpy().ravel(), schedule.beta[[0, 1, 100]], rtol=1e-6)
    assert schedule.at(schedule.beta, np.ones(2, int), mg.zeros(2, dtype="float64")).shape == (2,)


@pytest.mark.parametrize("t", [-1, 101, 1.0, np.array([1, 2]), np.array([0, 1, 101]), True])
def test_a_step_that_is_none_is_refused(t):
    schedule = linear_schedule(100)
    with pytest.raises(ValueError, match=r"t must be an integer in 0 .. 100"):
        schedule.at(schedule.beta, t, mg.zeros(3, 1))


def test_steps_are_drawn_from_1_to_t():
    steps = linear_schedule(25).draw_steps(10_000, np.random.default_rng(0))
    counts = np.bincount(steps, minlength=26)
    assert len(counts) == 26 and counts[0] == 0
    assert abs(counts[1:] - 400).max() < 5 * 20


@pytest.mark.parametrize("betas", [[], [0.0, 0.1], [0.1, 1.0], [[0.1]], [math.nan]])
def test_betas_that_are_no_schedule_are_refused(betas):
    with pytest.raises(ValueError, match="betas must be"):
        Schedule(betas)


def test_a_linear_schedule_of_too_few_steps_is_refused():
    with pytest.raises(ValueError, match="betas must be"):
        linear_schedule(20)

"""The forward process, the four predictions, and the losses, on points and on images."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.models.diffusion import (bound_term, bound_weights, eps_from_score, eps_from_v,
                                      eps_from_x0, posterior_mean, prior_kl, q_sample, q_step,
                                      score_from_eps, simple_loss, v_from_eps, x0_from_eps)
from minigen.models.schedule import cosine_schedule, linear_schedule

SCHEDULE = linear_schedule(50)
STEPS = np.array([1, 2, 25, 50])
SHAPES = [(4, 1), (4, 2), (4, 3, 2, 2)]


def draws(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    return [mg.randn(*shape, generator=rng, dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_point_at_step_t_is_signal_and_noise(shape):
    x0, eps = draws(shape)
    x_t = q_sample(SCHEDULE, x0, STEPS, eps)
    for i, t in enumerate(STEPS):
        expected = SCHEDULE.signal[t] * x0.numpy()[i] + SCHEDULE.noise[t] * eps.numpy()[i]
        np.testing.assert_allclose(x_t.numpy()[i], expected)
        one = q_sample(SCHEDULE, x0, int(t), eps)
        np.testing.assert_allclose(one.numpy()[i], expected)


def test_step_0_is_the_point_itself():
    x0, eps = draws((4, 2))
    np.testing.assert_array_equal(q_sample(SCHEDULE, x0, 0, eps).numpy(), x0.numpy())
    np.testing.assert_allclose(posterior_mean(SCHEDULE, x0, eps, 1).numpy(), x0.numpy(), rtol=1e-11)


def test_float32_stays_float32():
    x0, eps = draws((4, 3, 2, 2), "float32")
    x_t = q_sample(SCHEDULE, x0, STEPS, eps)
    every = [x_t, q_step(SCHEDULE, x0, STEPS, eps), posterior_mean(SCHEDULE, x0, x_t, STEPS),
             prior_kl(SCHEDULE, x0),
             bound_term(lambda x, t: x, SCHEDULE, x0, STEPS, eps, SCHEDULE.beta)]
    maps = (x0_from_eps, eps_from_x0, score_from_eps, eps_from_score, v_from_eps, eps_from_v)
    every += [convert(SCHEDULE, x_t, STEPS, eps) for convert in maps]
    assert {tensor.dtype for tensor in every} == {np.dtype("float32")}


@pytest.mark.parametrize("schedule", [SCHEDULE, cosine_schedule(50)])
def test_chains_mean_and_variance_are_the_marginals(schedule):
    mean, variance = 1.0, 0.0
    one, none = mg.ones(1, 1, dtype="float64"), mg.zeros(1, 1, dtype="float64")
    for t in range(1, 51):
        mean = q_step(schedule, mean * one, t, none).item()
        variance = variance * schedule.alpha[t] + q_step(schedule, none, t, one).item() ** 2
        assert mean == pytest.approx(q_sample(schedule, one, t, none).item())
        assert variance == pytest.approx(q_sample(schedule, none, t, one).item() ** 2)


def test_posterior_undoes_a_step_on_average():
    """x_{t-1} is the posterior mean plus noise that x_t does not hold: their covariance is 0."""
    t = 20
    one, none = mg.ones(1, 1, dtype="float64"), mg.zeros(1, 1, dtype="float64")
    slope = posterior_mean(SCHEDULE, none, one, t).item()
    before, after = 1 - SCHEDULE.alpha_bar[t - 1], 1 - SCHEDULE.alpha_bar[t]
    assert slope == pytest.approx(np.sqrt(SCHEDULE.alpha[t]) * before / after)
    assert before - slope**2 * after == pytest.approx(SCHEDULE.beta_tilde[t])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_four_predictions_say_the_same(shape):
    x0, eps = draws(shape)
    x_t = q_sample(SCHEDULE, x0, STEPS, eps)
    score = score_from_eps(SCHEDULE, x_t, STEPS, eps)
    v = v_from_eps(SCHEDULE, x_t, STEPS, eps)
    np.testing.assert_allclose(x0_from_eps(SCHEDULE, x_t, STEPS, eps).numpy(), x0.numpy())
    for back in (eps_from_x0(SCHEDULE, x_t, STEPS, x0), eps_from_v(SCHEDULE, x_t, STEPS, v),
                 eps_from_score(SCHEDULE, x_t, STEPS, score)):
        np.testing.assert_allclose(back.numpy(), eps.numpy())
    for i, t in enumerate(STEPS):
        np.testing.assert_allclose(v.numpy()[i], SCHEDULE.signal[t] * eps.numpy()[i]
                                   - SCHEDULE.noise[t] * x0.numpy()[i], rtol=1e-6)
        np.testing.assert_allclose(score.numpy()[i], -eps.numpy()[i] / SCHEDULE.noise[t])


def test_the_simple_loss_is_the_noises_mean_square_for_a_denoiser_that_says_0():
    x0, eps = draws((4, 3, 2, 2))
    loss = simple_loss(lambda x, t: 0.0 * x, SCHEDULE, x0, STEPS, eps)
    assert loss.shape == () and loss.item() == pytest.approx((eps.numpy() ** 2).mean())


def test_the_simple_loss_shows_the_denoiser_the_noised_points_and_their_steps():
    x0, eps = draws((4, 2))
    seen = []
    simple_loss(lambda x, t: seen.append((x, t)) or x, SCHEDULE, x0, STEPS, eps)
    (x_t, t), = seen
    np.testing.assert_array_equal(t, STEPS)
    np.testing.assert_array_equal(x_t.numpy(), q_sample(SCHEDULE, x0, STEPS, eps).numpy())


def gaussian_kl(mean_p, var_p, mean_q, var_q):
    ratio = var_p / var_q
    return 0.5 * (ratio - 1 - np.log(ratio) + (mean_p - mean_q) ** 2 / var_q).sum(-1)


@pytest.mark.parametrize("name", ["beta", "beta_tilde"])
def test_a_term_of_the_bound_is_the_kl_of_two_gaussians(name):
    variance = getattr(SCHEDULE, name)
    x0, noise = draws((4, 2))
    guess = mg.Tensor(np.random.default_rng(1).standard_normal((4, 2)))
    for t in (2, 30):
        x_t = q_sample(SCHEDULE, x0, t, noise)
        mean = (x_t - SCHEDULE.beta[t] / SCHEDULE.noise[t] * guess) / SCHEDULE.alpha[t] ** 0.5
        expected = gaussian_kl(posterior_mean(SCHEDULE, x0, x_t, t).numpy(),
                               np.full(2, SCHEDULE.beta_tilde[t]), mean.numpy(), variance[t])
        got = bound_term(lambda x, t: guess, SCHEDULE, x0, t, noise, variance)
        np.testing.assert_allclose(got.numpy(), expected)


def test_the_bounds_last_term_is_a_log_likelihood():
    x0, noise = draws((4, 2))
    x1 = q_sample(SCHEDULE, x0, 1, noise)
    mean = x0_from_eps(SCHEDULE, x1, 1, 0.5 * noise).numpy()
    variance = SCHEDULE.beta[1]
    expected = ((x0.numpy() - mean) ** 2 / (2 * variance)
                + 0.5 * math.log(2 * math.pi * variance)).sum(1)
    got = bound_term(lambda x, t: 0.5 * noise, SCHEDULE, x0, 1, noise, SCHEDULE.beta)
    np.testing.assert_allclose(got.numpy(), expected)


def test_a_bound_on_images_sums_over_their_pixels():
    x0, noise = draws((4, 3, 2, 2))
    got = bound_term(lambda x, t: 0.0 * x, SCHEDULE, x0, STEPS, noise, SCHEDULE.beta)
    flat = bound_term(lambda x, t: 0.0 * x, SCHEDULE, x0.reshape(4, -1), STEPS,
                      noise.reshape(4, -1), SCHEDULE.beta)
    assert got.shape == (4,)
    np.testing.assert_allclose(got.numpy(), flat.numpy())


def test_weights_of_the_bound_are_infinite_without_variance_and_0_at_entry_0():
    weights = bound_weights(SCHEDULE, SCHEDULE.beta_tilde)
    assert weights[0] == 0 and math.isinf(weights[1]) and np.isfinite(weights[2:]).all()
    to_x0 = weights[2:] * SCHEDULE.snr[2:]  # |eps - eps_hat|^2 = SNR |x0 - x0_hat|^2
    np.testing.assert_allclose(to_x0, (SCHEDULE.snr[1:-1] - SCHEDULE.snr[2:]) / 2)


def test_the_prior_term_is_a_kl():
    x0, _ = draws((4, 2))
    left = SCHEDULE.alpha_bar[-1]
    expected = gaussian_kl(np.sqrt(left) * x0.numpy(), np.full(2, 1 - left), 0.0, 1.0)
    np.testing.assert_allclose(prior_kl(SCHEDULE, x0).numpy(), expected, atol=1e-12)

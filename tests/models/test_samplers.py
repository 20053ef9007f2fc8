"""DDPM and DDIM, guidance, and the exact denoiser of a mixture that they are judged by."""

import numpy as np
import pytest

import minigen as mg
from minigen.densities import Gaussian, Gaussian2d, GaussianMixture
from minigen.models.diffusion import posterior_mean, q_sample, x0_from_eps
from minigen.models.guidance import classifier_free_guidance, classifier_guidance
from minigen.models.mixture_denoiser import MixtureDenoiser
from minigen.models.samplers import clipped, ddim, ddpm, some_steps
from minigen.models.schedule import cosine_schedule, linear_schedule

SCHEDULE = linear_schedule(50)
LINE = GaussianMixture([0.3, 0.2, 0.5], [Gaussian(-2, 0.5), Gaussian(0, 0.3), Gaussian(2, 0.7)])
PLANE = GaussianMixture([0.4, 0.6], [Gaussian2d([-1, 0], 0.5), Gaussian2d([1, 1], 0.2)])


def noise(*shape, seed=0, dtype="float64"):
    return mg.randn(*shape, generator=np.random.default_rng(seed), dtype=dtype)


@pytest.mark.parametrize("sampler", [ddpm, ddim])
def test_a_denoiser_that_knows_the_point_finds_it(sampler):
    point = noise(5, 3, 2, 2, seed=1)

    def eps(x, t):
        return (x - SCHEDULE.signal[t] * point) / SCHEDULE.noise[t]

    found = sampler(eps, SCHEDULE, noise(5, 3, 2, 2))
    np.testing.assert_allclose(found.numpy(), point.numpy(), atol=1e-10)


def test_ddpm_steps_by_the_posterior_of_the_point_that_it_guesses():
    schedule, rng = linear_schedule(25), np.random.default_rng(3)
    path = {}
    ddpm(MixtureDenoiser(LINE, schedule), schedule, noise(6, 1), generator=rng,
         watch=path.__setitem__)
    assert list(path) == list(range(25, -1, -1))
    rng = np.random.default_rng(3)
    for t in range(25, 0, -1):
        x0 = x0_from_eps(schedule, path[t], t, MixtureDenoiser(LINE, schedule)(path[t], t))
        expected = posterior_mean(schedule, x0, path[t], t)
        if t > 1:
            expected = expected + schedule.beta_tilde[t] ** 0.5 * mg.randn(
                6, 1, generator=rng, dtype="float64")
        np.testing.assert_allclose(path[t - 1].numpy(), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ["beta", "beta_tilde"])
def test_ddpm_adds_no_noise_at_the_last_step(name):
    path = {}
    eps = MixtureDenoiser(LINE, SCHEDULE)
    ddpm(eps, SCHEDULE, noise(8, 1), getattr(SCHEDULE, name), np.random.default_rng(0),
         path.__setitem__)
    guess = x0_from_eps(SCHEDULE, path[1], 1, eps(path[1], 1))
    np.testing.assert_allclose(path[0].numpy(), guess.numpy(), atol=1e-12)


def test_ddim_with_eta_1_is_ddpm():
    schedule = cosine_schedule(30)
    eps = MixtureDenoiser(PLANE, schedule)
    runs = [ddpm(eps, schedule, noise(7, 2), generator=np.random.default_rng(5)),
            ddim(eps, schedule, noise(7, 2), eta=1.0, generator=np.random.default_rng(5))]
    np.testing.assert_allclose(runs[0].numpy(), runs[1].numpy(), atol=1e-9)


def test_ddim_of_one_gaussian_multiplies_by_the_ratio_of_the_deviations():
    """x0 ~ N(0, s^2): by each step x_t / std_t goes on with the angle between signal and noise."""
    s, stops = 0.5, [0, 10, 30, 50]
    eps = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(0, s)]), SCHEDULE)
    x = noise(4, 1)
    factor = 1.0
    for low, high in zip(stops, stops[1:]):
        a, b = SCHEDULE.alpha_bar[low], SCHEDULE.alpha_bar[high]
        variance = b * s**2 + 1 - b
        factor *= (np.sqrt(a * b) * s**2 + np.sqrt((1 - a) * (1 - b))) / variance
    got = ddim(eps, SCHEDULE, x, stops[1:])
    np.testing.assert_allclose(got.numpy(), factor * x.numpy())


def test_ddim_from_the_middle_restores_a_point():
    eps = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(1.0, 1e-9)]), SCHEDULE)
    x = q_sample(SCHEDULE, mg.ones(9, 1, dtype="float64"), 20, noise(9, 1))
    np.testing.assert_allclose(ddim(eps, SCHEDULE, x, range(1, 21)).numpy(), 1.0, atol=1e-8)


@pytest.mark.parametrize("steps", [[], [0, 50], [3, 2], [2, 2], [51]])
def test_steps_that_do_not_rise_within_the_schedule_are_refused(steps):
    with pytest.raises(ValueError, match="ddim: steps must rise within 1 .. 50"):
        ddim(lambda x, t: x, SCHEDULE, noise(2, 1), steps)


def test_some_steps_end_with_the_last():
    assert some_steps(100, 4) == [25, 50, 75, 100]
    assert some_steps(7, 7) == [1, 2, 3, 4, 5, 6, 7] and some_steps(10, 1) == [10]
    with pytest.raises(ValueError, match="count"):
        some_steps(10, 11)


def test_samplers_keep_float32_and_record_no_graph():
    weight = mg.ones(1, requires_grad=True)
    for sampler in (ddpm, ddim):
        x = sampler(lambda x, t: weight * x, SCHEDULE, noise(3, 1, 4, 4, dtype="float32"))
        assert x.dtype == np.float32 and not x.requires_grad


def test_one_seed_gives_one_result():
    eps = MixtureDenoiser(LINE, SCHEDULE)
    one, two = (ddpm(eps, SCHEDULE, noise(5, 1), generator=np.random.default_rng(1)).numpy()
                for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("mixture", [LINE, PLANE])
def test_the_exact_denoiser_is_the_score_of_its_own_density(mixture):
    eps = MixtureDenoiser(mixture, SCHEDULE)
    t = np.array([1, 5, 20, 50])
    x = mg.Tensor(noise(4, mixture.dim).numpy(), requires_grad=True)
    slope, = mg.grad(eps.log_prob(x, t).sum(), x)
    scale = SCHEDULE.noise[t][:, None]
    np.testing.assert_allclose(eps(x, t).numpy(), -scale * slope.numpy(), rtol=1e-9)
    one_by_one = [eps(x[i:i + 1], int(t[i])).numpy() for i in range(4)]
    np.testing.assert_allclose(eps(x, t).numpy(), np.concatenate(one_by_one), rtol=1e-9)


@pytest.mark.parametrize("mixture", [LINE, PLANE])
def test_the_exact_denoisers_density_at_step_0_is_the_mixtures(mixture):
    x = noise(6, mixture.dim)
    points = x.numpy()[:, 0] if mixture.dim == 1 else x.numpy()
    eps = MixtureDenoiser(mixture, SCHEDULE)
    np.testing.assert_allclose(eps.log_prob(x, 0).numpy(), mixture.log_pdf(points))
    shares = [np.exp(eps.log_class(x, 0, k).numpy()) for k in range(len(mixture.weights))]
    np.testing.assert_allclose(shares, mixture.responsibilities(points))


def test_the_exact_denoiser_of_a_class_is_that_of_its_components():
    x = noise(6, 1)
    eps = MixtureDenoiser(LINE, SCHEDULE, classes=[0, 0, 1])
    first = GaussianMixture([0.6, 0.4], LINE.components[:2])
    np.testing.assert_allclose(eps(x, 20, 0).numpy(),
                               MixtureDenoiser(first, SCHEDULE)(x, 20).numpy())
    mixed = eps(x, 20, np.array([0, 1, 0, 1, 0, 1])).numpy()
    np.testing.assert_allclose(mixed[::2], eps(x, 20, 0).numpy()[::2])
    np.testing.assert_allclose(mixed[1::2], eps(x, 20, 1).numpy()[1::2])


def test_the_exact_denoiser_refuses_what_it_has_no_formula_for():
    long = GaussianMixture([1.0], [Gaussian2d([0, 0], [1.0, 2.0])])
    with pytest.raises(ValueError, match="no multiple of I"):
        MixtureDenoiser(long, SCHEDULE)
    with pytest.raises(ValueError, match="y has a class"):
        MixtureDenoiser(LINE, SCHEDULE)(noise(2, 1), 5, 3)


def test_both_guidances_agree_where_the_classifier_is_bayes():
    eps = MixtureDenoiser(PLANE, SCHEDULE)
    x = noise(5, 2)
    for gamma in (0.0, 1.0, 3.0):
        free = classifier_free_guidance(lambda x, t: eps(x, t, 1), eps, gamma)
        with mg.no_grad():  # as in a sampler
            by_classifier = classifier_guidance(
                eps, lambda x, t: eps.log_class(x, t, 1), SCHEDULE, gamma)(x, 20)
        np.testing.assert_allclose(by_classifier.numpy(), free(x, 20).numpy(), atol=1e-12)
        assert not by_classifier.requires_grad
    np.testing.assert_allclose(classifier_free_guidance(lambda x, t: eps(x, t, 1), eps, 1.0)(x, 9)
                               .numpy(), eps(x, 9, 1).numpy())


def test_guidance_pushes_towards_the_class():
    eps = MixtureDenoiser(LINE, SCHEDULE)
    guided = classifier_free_guidance(lambda x, t: eps(x, t, 2), eps, 3.0)
    found = ddim(guided, SCHEDULE, noise(200, 1), some_steps(50, 25)).numpy()
    assert (found > 0.5).mean() > 0.98


def test_a_clipped_denoiser_means_a_point_in_range():
    eps = clipped(MixtureDenoiser(LINE, SCHEDULE), SCHEDULE, -1.0, 1.0)
    x = noise(50, 1)
    x0 = x0_from_eps(SCHEDULE, x, 10, eps(x, 10)).numpy()
    assert abs(x0).max() <= 1 + 1e-12 and (abs(x0) > 0.999).any()
    free = MixtureDenoiser(LINE, SCHEDULE)
    wide = clipped(free, SCHEDULE, -9.0, 9.0)
    np.testing.assert_allclose(wide(x, 10).numpy(), free(x, 10).numpy(), atol=1e-12)

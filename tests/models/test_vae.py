"""The bound, its terms and its gradients, against closed forms, quadrature and brute force."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.densities import Gaussian
from minigen.divergences import kl
from minigen.models.vae import (VAE, BernoulliLikelihood, GaussianLikelihood,
                                bernoulli_log_likelihood, gaussian_kl, gaussian_log_likelihood,
                                importance_bound, reparameterise)
from minigen.quadrature import integrate, integrate2d


def tensor(array, requires_grad=False):
    return mg.Tensor(np.array(array), requires_grad, dtype="float64")


def double(model):
    for _, parameter in model.named_tensors():
        parameter.data = parameter.data.astype("float64")
    return model


def small_vae(likelihood, seed=0):
    rng = np.random.default_rng(seed)
    return double(VAE(nn.MLP((5, 4, 4), nn.Tanh, rng), nn.MLP((2, 4, 5), nn.Tanh, rng), likelihood))


def one_dimensional(mu=0.2, std=0.9):
    """p(x|z) = N(z, 1), so p(x) = N(0, 2), and the same q for every x."""
    vae = double(VAE(nn.MLP((1, 2)), nn.MLP((1, 1)), GaussianLikelihood(1.0, learned=False)))
    vae.encoder.load_state_dict({"0.weight": np.zeros((2, 1)),
                                 "0.bias": np.array([mu, 2 * math.log(std)])})
    vae.decoder.load_state_dict({"0.weight": np.ones((1, 1)), "0.bias": np.zeros(1)})
    return vae


def weights(vae, x, eps):
    """w at the noises eps (...), for one point x."""
    log_w = vae.log_weights(tensor([[x]]), tensor(np.reshape(eps, (-1, 1, 1)))).numpy()
    return np.exp(log_w).reshape(np.shape(eps))


@pytest.mark.parametrize("mu, std", [(1.0, 0.5), (0.0, 1.0), (-2.0, 3.0), (0.3, 1e-3)])
def test_the_kl_is_the_integral_that_it_stands_for(mu, std):
    got = gaussian_kl(tensor([[mu]]), tensor([[2 * math.log(std)]])).item()
    assert got == pytest.approx(kl(Gaussian(mu, std), Gaussian(0, 1)).value, abs=1e-9)


def test_the_kl_adds_up_over_dimensions_and_keeps_points_apart():
    mu, log_var = np.random.default_rng(0).standard_normal((2, 3, 4))
    each = [[gaussian_kl(tensor([[m]]), tensor([[v]])).item() for m, v in zip(*row)]
            for row in zip(mu, log_var)]
    np.testing.assert_allclose(gaussian_kl(tensor(mu), tensor(log_var)).numpy(), np.sum(each, 1))


def test_the_kl_by_monte_carlo():
    rng = np.random.default_rng(1)
    mu, log_var = tensor([[0.5, -1.0]]), tensor([[-0.7, 0.4]])
    z = reparameterise(mu, log_var, tensor(rng.standard_normal((100_000, 1, 2))))
    zero = tensor(np.zeros((1, 2)))
    ratio = (gaussian_log_likelihood(z, mu, log_var)
             - gaussian_log_likelihood(z, zero, zero)).numpy()
    error = ratio.std() / math.sqrt(ratio.size)
    assert abs(ratio.mean() - gaussian_kl(mu, log_var).item()) < 5 * error


def test_a_draw_has_the_encoders_mean_and_variance():
    eps = tensor([[[1.0, -1.0]], [[-1.0, 1.0]]])  # mean 0, variance 1
    z = reparameterise(tensor([[2.0, -3.0]]), tensor([[math.log(4.0), math.log(0.25)]]), eps)
    np.testing.assert_allclose(z.numpy().mean(axis=0), [[2.0, -3.0]])
    np.testing.assert_allclose(z.numpy().var(axis=0), [[4.0, 0.25]])


def test_the_gaussian_log_likelihood_is_the_densitys_and_sums():
    x, mean = np.random.default_rng(2).standard_normal((2, 3, 4))
    want = sum(Gaussian(0, 1.3).log_pdf(x - mean).T)
    got = gaussian_log_likelihood(tensor(x), tensor(mean), tensor([2 * math.log(1.3)]))
    np.testing.assert_allclose(got.numpy(), want)


def test_the_bernoulli_log_likelihood_is_the_probability_of_the_pixels():
    logits = np.array([[0.3, -1.2, 2.0]])
    p = 1 / (1 + np.exp(-logits))
    total = 0.0
    for bits in np.ndindex(2, 2, 2):
        x = np.array([bits], dtype=float)
        got = bernoulli_log_likelihood(tensor(x), tensor(logits)).item()
        assert got == pytest.approx(np.log(np.where(x == 1, p, 1 - p)).sum())
        total += math.exp(got)
    assert total == pytest.approx(1.0)


def test_a_grey_pixel_counts_as_the_expected_bit():
    logits = tensor([[0.8]])
    on, off = (bernoulli_log_likelihood(tensor([[bit]]), logits).item() for bit in (1.0, 0.0))
    got = bernoulli_log_likelihood(tensor([[0.3]]), logits).item()
    assert got == pytest.approx(0.3 * on + 0.7 * off)


def test_sure_logits_stay_finite():
    assert bernoulli_log_likelihood(tensor([[1.0, 0.0]]), tensor([[-1e4, 1e4]])).item() == -2e4


def test_the_elbo_is_its_terms_averaged_over_the_batch():
    vae, rng = small_vae(BernoulliLikelihood()), np.random.default_rng(3)
    x, eps = tensor(rng.random((6, 5))), tensor(rng.standard_normal((6, 2)))
    log_likelihood, divergence = vae.terms(x, eps)
    assert log_likelihood.shape == divergence.shape == (6,)
    for beta in (0.0, 1.0, 4.0):
        want = (log_likelihood.numpy() - beta * divergence.numpy()).mean()
        assert vae.elbo(x, eps, beta).item() == pytest.approx(want)


def test_the_elbo_is_no_more_than_ln_p_and_reaches_it_at_the_posterior():
    x = 1.5
    log_p = Gaussian(0, math.sqrt(2)).log_pdf(x)
    noise = tensor([[[1.0]], [[-1.0]]])  # exact for what is quadratic in eps
    for vae in (one_dimensional(), one_dimensional(0.75, math.sqrt(0.5))):
        gap = kl(Gaussian(*moments(vae)), Gaussian(x / 2, math.sqrt(0.5))).value
        assert vae.elbo(tensor([[x]]), noise).item() == pytest.approx(log_p - gap, abs=1e-9)
    assert gap == pytest.approx(0.0, abs=1e-12)


def moments(vae):
    mu, log_var = vae.encode(tensor([[0.0]]))
    return mu.item(), math.exp(log_var.item() / 2)


def test_the_mean_weight_is_the_likelihood():
    vae = one_dimensional()
    got = integrate(lambda eps: Gaussian(0, 1).pdf(eps) * weights(vae, 1.5, eps), -12, 12, [0])
    assert got.value == pytest.approx(Gaussian(0, math.sqrt(2)).pdf(1.5), abs=1e-10)


def test_one_weight_is_the_elbo_and_two_are_as_brute_force_says():
    vae, x = one_dimensional(), tensor([[1.5]])

    def mean_of_two(eps):
        both = weights(vae, 1.5, eps)
        return Gaussian(0, 1).pdf(eps).prod(-1) * np.log(both.mean(-1))

    two = integrate2d(mean_of_two, [-9, -9], [9, 9], ([0], [0])).value
    one = vae.elbo(x, tensor([[[1.0]], [[-1.0]]])).item()
    assert one < two < Gaussian(0, math.sqrt(2)).log_pdf(1.5)
    rng, n = np.random.default_rng(4), 40_000
    for k, want in ((1, one), (2, two)):
        eps = tensor(rng.standard_normal((k, n, 1)))
        sampled = importance_bound(vae.log_weights(tensor(np.full((n, 1), 1.5)), eps)).numpy()
        assert sampled.shape == (n,)
        assert abs(sampled.mean() - want) < 5 * sampled.std() / math.sqrt(n)


def test_many_weights_give_the_likelihood():
    eps = tensor(np.random.default_rng(5).standard_normal((200_000, 1, 1)))
    bound = importance_bound(one_dimensional().log_weights(tensor([[1.5]]), eps)).item()
    assert bound == pytest.approx(Gaussian(0, math.sqrt(2)).log_pdf(1.5), abs=0.01)


def test_the_importance_bound_survives_tiny_weights():
    got = importance_bound(tensor([[-1000.0], [-1001.0]])).item()
    assert got == pytest.approx(-1000 + math.log((1 + math.exp(-1)) / 2))


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood(0.5)])
def test_gradients_of_the_elbo_and_of_the_importance_bound(likelihood):
    vae, rng = small_vae(likelihood), np.random.default_rng(6)
    x = tensor(rng.random((3, 5)))
    one, several = tensor(rng.standard_normal((3, 2))), tensor(rng.standard_normal((4, 3, 2)))

    parameters = vae.parameters()
    start = [parameter.numpy() for parameter in parameters]

    def bound(step=0.0, directions=start):
        for parameter, value, direction in zip(parameters, start, directions):
            parameter.data = tensor(value + step * direction).data
        return vae.elbo(x, one, 0.5) + importance_bound(vae.log_weights(x, several)).mean()

    gradients = [g.numpy() for g in mg.grad(bound(), parameters)]
    for i in range(len(parameters)):
        directions = [rng.standard_normal(s.shape) * (i == j) for j, s in enumerate(start)]
        want = (bound(1e-6, directions).item() - bound(-1e-6, directions).item()) / 2e-6
        assert (gradients[i] * directions[i]).sum() == pytest.approx(want, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("f", [
    lambda mu, log_var: gaussian_kl(mu, log_var).sum(),
    lambda mu, log_var: (reparameterise(mu, log_var, tensor([[0.3, -1.0]])) ** 3).sum(),
    lambda mu, log_var: gaussian_log_likelihood(tensor([[0.2, 0.1]]), mu, log_var).sum(),
    lambda mu, log_var: bernoulli_log_likelihood(tensor([[0.0, 1.0]]), mu + log_var).sum(),
])
def test_gradcheck_of_the_parts(f):
    mg.gradcheck(f, [tensor([[0.5, -1.0]], True), tensor([[0.2, -0.7]], True)])


def test_the_learned_variance_is_the_mean_squared_error():
    rng = np.random.default_rng(7)
    x, output = tensor(rng.standard_normal((9, 4))), tensor(rng.standard_normal((9, 4)))
    mse = ((x - output) ** 2).mean().item()
    likelihood = double(GaussianLikelihood(mse))
    slope, = mg.grad(likelihood.log_prob(x, output).mean(), [likelihood.log_var])
    assert abs(slope.item()) < 1e-6


def test_a_fixed_variance_is_no_parameter():
    assert GaussianLikelihood(0.5, learned=False).parameters() == []
    assert GaussianLikelihood(0.5).log_var.item() == pytest.approx(math.log(0.5))


def test_images_pass_through_convolutions():
    rng = np.random.default_rng(8)
    encoder = nn.Sequential(nn.Conv2d(1, 3, 4, 2, 1, generator=rng), nn.Flatten(),
                            nn.Linear(48, 4, generator=rng))
    vae = VAE(encoder, nn.MLP((2, 64), generator=rng), BernoulliLikelihood())
    x, eps = mg.rand(5, 1, 8, 8, generator=rng), mg.randn(5, 2, generator=rng)
    loss = -vae.elbo(x, eps)
    assert all(np.isfinite(g.numpy()).all() for g in mg.grad(loss, vae.parameters()))
    assert vae.decode(eps).shape == (5, 64)
    assert vae.log_weights(x, mg.randn(7, 5, 2, generator=rng)).shape == (7, 5)


def test_decoding_gives_the_mean():
    z = tensor([[0.3, -0.4]])
    bits, numbers = (small_vae(kind) for kind in (BernoulliLikelihood(), GaussianLikelihood()))
    np.testing.assert_allclose(bits.decode(z).numpy(), 1 / (1 + np.exp(-bits.decoder(z).numpy())))
    np.testing.assert_array_equal(numbers.decode(z).numpy(), numbers.decoder(z).numpy())


def test_one_noise_gives_one_answer():
    vae, x, eps = small_vae(BernoulliLikelihood()), tensor(np.ones((2, 5))), tensor(np.ones((2, 2)))
    assert vae.elbo(x, eps).item() == vae.elbo(x, eps).item()
    assert small_vae(BernoulliLikelihood()).elbo(x, eps).item() == vae.elbo(x, eps).item()


X, EPS = mg.zeros(3, 5, dtype="float64"), mg.zeros(3, 2, dtype="float64")


@pytest.mark.parametrize("call, words", [
    (lambda: reparameterise(EPS, EPS, X), "reparameterise: eps must be"),
    (lambda: small_vae(BernoulliLikelihood()).elbo(X, EPS[:2]), "eps must be"),
    (lambda: small_vae(BernoulliLikelihood()).log_weights(X, EPS), r"eps must be \(K, n, latent\)"),
    (lambda: VAE(nn.MLP((5, 3)), nn.MLP((2, 5)), BernoulliLikelihood()).encode(X.astype("float32")),
     "encoder must give"),
    (lambda: VAE(nn.MLP((5, 4)), nn.MLP((2, 6)), BernoulliLikelihood()).elbo(
        X.astype("float32"), EPS.astype("float32")), "decoder must give 5 numbers a code"),
    (lambda: GaussianLikelihood(0.0), "variance must be > 0"),
    (lambda: gaussian_log_likelihood(X, mg.zeros(5, 1, dtype="float64"), tensor([0.0])),
     r"x has shape \(3, 5\) but mean \(5, 1\)"),
    (lambda: bernoulli_log_likelihood(X, mg.zeros(3, dtype="float64")), "but logits"),
])
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()

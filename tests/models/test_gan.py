"""The discriminator's loss and optimum, against closed forms."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.models.gan import (Discriminator, Generator, MinibatchStd, discriminator_loss,
                                generator_loss, minimax_generator_loss, optimal_discriminator,
                                r1_penalty, value)


def logits(*numbers):
    return mg.Tensor(np.array(numbers).reshape(-1, 1), requires_grad=True)


def test_value_is_the_mean_of_the_two_logarithms():
    real, fake = logits(0.3, -2.0), logits(1.5)
    d_real, d_fake = (1 / (1 + np.exp(-t.numpy())) for t in (real, fake))
    want = np.log(d_real).mean() + np.log(1 - d_fake).mean()
    assert value(real, fake).item() == pytest.approx(want, rel=1e-12)


def test_value_stays_finite_for_a_discriminator_that_is_sure():
    assert value(logits(-1000.0), logits(1000.0)).item() == -2000.0


def test_discriminator_loss_is_minus_half_the_value():
    real, fake = logits(0.3, -2.0), logits(1.5)
    assert discriminator_loss(real, fake).item() == pytest.approx(-value(real, fake).item() / 2)


@pytest.mark.parametrize("prior", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("smoothing", [1.0, 0.9])
def test_the_loss_is_flat_at_the_optimal_discriminator(prior, smoothing):
    p_r, p_g = 0.7, 0.4
    d = optimal_discriminator(p_r, p_g, prior, smoothing)
    logit = logits(math.log(d / (1 - d)))
    share = prior * p_r / (prior * p_r + (1 - prior) * p_g)
    discriminator_loss(logit, logit, share, smoothing).backward()
    assert abs(logit.grad.item()) < 1e-12


def test_a_discriminator_gives_one_logit_a_point():
    d = Discriminator(3, hidden=(8, 4), generator=np.random.default_rng(0))
    assert d(mg.randn(5, 3)).shape == (5, 1)
    assert len(d.parameters()) == 6


def test_one_seed_makes_one_discriminator():
    first, second = (Discriminator(2, generator=np.random.default_rng(7)) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters()):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_generator_turns_noise_into_points():
    g = Generator(5, 3, hidden=(8, 4), generator=np.random.default_rng(0))
    assert g(mg.randn(7, 5)).shape == (7, 3)
    assert len(g.parameters()) == 6


def test_without_hidden_layers_a_generator_is_affine():
    g = Generator(2, 3, hidden=(), generator=np.random.default_rng(0))
    a, b = mg.randn(4, 2), mg.randn(4, 2)
    middle = g(0.5 * (a + b)).numpy()
    np.testing.assert_allclose(middle, (g(a).numpy() + g(b).numpy()) / 2, rtol=1e-5)


def test_the_generators_losses_and_their_slopes():
    fake = logits(-3.0, 0.2, 5.0)
    d = 1 / (1 + np.exp(-fake.numpy()))
    assert minimax_generator_loss(fake).item() == pytest.approx(np.log(1 - d).mean())
    assert generator_loss(fake).item() == pytest.approx(-np.log(d).mean())
    minimax, = mg.grad(minimax_generator_loss(fake), fake)
    saturating_not, = mg.grad(generator_loss(fake), fake)
    np.testing.assert_allclose(minimax.numpy(), -d / 3)
    np.testing.assert_allclose(saturating_not.numpy(), -(1 - d) / 3)


def test_the_generators_losses_stay_finite_for_a_discriminator_that_is_sure():
    assert generator_loss(logits(-1000.0)).item() == 1000.0
    assert minimax_generator_loss(logits(1000.0)).item() == -1000.0


def test_the_minimax_loss_is_the_part_of_the_value_that_the_generator_moves():
    real, fake = logits(0.3, -2.0), logits(1.5, 0.1)
    whole, = mg.grad(value(real, fake), fake)
    part, = mg.grad(minimax_generator_loss(fake), fake)
    np.testing.assert_allclose(whole.numpy(), part.numpy())


class Quadratic(nn.Module):
    """The logit |x|^2 w / 2, of slope w x."""

    def __init__(self):
        self.w = mg.Tensor([3.0], requires_grad=True, dtype="float64")

    def forward(self, x):
        return 0.5 * self.w * (x * x).sum(axis=1, keepdims=True)


def test_r1_is_half_the_mean_squared_slope_and_has_a_gradient_itself():
    d = Quadratic()
    x = np.random.default_rng(0).standard_normal((5, 2))
    mean_square = (x**2).sum(axis=1).mean()
    penalty = r1_penalty(d, mg.Tensor(x))
    assert penalty.item() == pytest.approx(9 * mean_square / 2)
    slope, = mg.grad(penalty, d.w)
    assert slope.item() == pytest.approx(3 * mean_square)


def test_r1_sums_over_all_axes_of_an_image():
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 3))
    penalty = r1_penalty(lambda images: 0.5 * (images * images).sum(axis=(1, 2, 3)), mg.Tensor(x))
    assert penalty.item() == pytest.approx((x**2).sum(axis=(1, 2, 3)).mean() / 2)


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 4, 3)])
def test_minibatch_std_appends_the_mean_deviation_over_the_batch(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    y = MinibatchStd()(mg.Tensor(x)).numpy()
    assert y.shape == (6, 3, *shape[2:])
    np.testing.assert_array_equal(y[:, :2], x)
    np.testing.assert_allclose(y[:, 2:], x.std(axis=0).mean(), rtol=1e-12)


def test_minibatch_std_is_0_on_a_collapsed_batch_and_harmless_there():
    x = mg.Tensor(np.tile([2.0, -1.0], (8, 1)), requires_grad=True)
    feature = MinibatchStd()(x)[:, 2]
    np.testing.assert_allclose(feature.numpy(), 0.0, atol=1e-15)
    slope, = mg.grad(feature.sum(), x)
    assert np.isfinite(slope.numpy()).all()

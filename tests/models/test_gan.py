"""The discriminator's loss and optimum, against closed forms."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.models.gan import Discriminator, discriminator_loss, optimal_discriminator, value


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

"""The gradient penalty and where it looks, against closed forms and difference quotients."""

import numpy as np
import pytest

import minigen as mg
from minigen import ops
from minigen.models.wgan_gp import ConvCritic, ConvGenerator, gradient_penalty, interpolate

SHAPES = [(7, 3), (5, 2, 4, 4)]  # points and images


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw(rng, *shape):
    return mg.Tensor(rng.standard_normal(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_point_between_is_on_the_line_of_its_pair(shape, rng):
    real, fake = draw(rng, *shape), draw(rng, *shape)
    between = interpolate(real, fake, rng)
    eps = ((between - fake) / (real - fake)).numpy().reshape(shape[0], -1)
    assert np.ptp(eps, axis=1).max() < 1e-12
    assert 0 <= eps.min() and eps.max() < 1


def test_each_pair_has_an_eps_of_its_own(rng):
    eps = interpolate(mg.ones(1000, 1), mg.zeros(1000, 1), rng).numpy()
    assert len(np.unique(eps)) > 990


def test_eps_is_uniform(rng):
    eps = np.sort(interpolate(mg.ones(4000, 1), mg.zeros(4000, 1), rng).numpy().ravel())
    steps = (np.arange(4000) + 0.5) / 4000
    assert np.abs(eps - steps).max() < 2 / np.sqrt(4000)  # Kolmogorov: one in 3,000 is beyond


def test_points_between_keep_the_dtype(rng):
    assert interpolate(mg.ones(3, 2), mg.zeros(3, 2), rng).dtype == np.float32


def test_pairs_of_unequal_shapes_are_refused(rng):
    with pytest.raises(ValueError, match=r"real has shape \(4, 2\) but fake \(4, 1\)"):
        interpolate(mg.ones(4, 2), mg.zeros(4, 1), rng)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_critic_has_the_penalty_of_its_weights(shape, rng):
    w = draw(rng, *shape[1:])
    penalty = gradient_penalty(lambda x: (x * w).reshape(len(x), -1).sum(1), draw(rng, *shape))
    want = (np.linalg.norm(w.numpy()) - 1) ** 2
    assert penalty.item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_penalty_is_the_mean_over_samples_of_each_ones_own(shape, rng):
    x = draw(rng, *shape)
    penalty = gradient_penalty(lambda x: (x * x).reshape(len(x), -1).sum(1) / 2, x)  # slope x
    norms = np.linalg.norm(x.numpy().reshape(shape[0], -1), axis=1)
    assert penalty.item() == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize("shape, weight", list(zip(SHAPES, [(3, 4), (3, 2, 3, 3)])))
def test_the_penaltys_gradient_passes_gradcheck(shape, weight, rng):
    x = draw(rng, *shape)

    def penalty(w, v):
        layer = (lambda x: x @ w) if x.ndim == 2 else (lambda x: ops.conv2d(x, w))
        return gradient_penalty(lambda x: layer(x).tanh().reshape(len(x), -1) @ v, x)

    features = 4 if x.ndim == 2 else 3 * 2 * 2
    w, v = [mg.Tensor(rng.standard_normal(s), requires_grad=True) for s in (weight, (features, 1))]
    assert mg.gradcheck(penalty, (w, v))


def test_where_the_slope_is_0_the_gradient_is_0_and_not_nan():
    w = mg.zeros(3, 1, requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ w, mg.ones(4, 3))
    assert penalty.item() == 1.0
    np.testing.assert_array_equal(mg.grad(penalty, w)[0].numpy(), 0.0)


def test_the_penalty_leaves_its_points_and_whoever_made_them_alone(rng):
    maker = mg.ones(4, 3, requires_grad=True)
    w = mg.ones(3, 1, requires_grad=True)
    x = 2.0 * maker
    gradient_penalty(lambda x: (x @ w).tanh(), x).backward()
    assert maker.grad is None and x.grad is None and w.grad is not None


def test_float32_stays_float32(rng):
    critic = ConvCritic(1, 8, width=2, generator=rng)
    penalty = gradient_penalty(critic, mg.rand(3, 1, 8, 8, generator=rng))
    weights = [p for p in critic.parameters() if p.ndim > 1]  # between its kinks, f's slope has
    gradients = mg.grad(penalty, weights)                      # no bias in it
    assert {g.dtype for g in (penalty, *gradients)} == {np.dtype(np.float32)}


def test_a_critic_scores_each_image_by_itself(rng):
    critic = ConvCritic(2, 8, width=3, generator=rng)
    images = mg.rand(4, 2, 8, 8, generator=rng)
    assert critic(images).shape == (4, 1)
    np.testing.assert_allclose(critic(images)[1:2].numpy(), critic(images[1:2]).numpy(), rtol=1e-5)


@pytest.mark.parametrize("side", [8, 28])
def test_a_generator_makes_images_between_0_and_1(side, rng):
    images = ConvGenerator(5, 3, side, width=2, generator=rng)(mg.randn(2, 5, generator=rng))
    assert images.shape == (2, 3, side, side)
    assert 0 <= images.numpy().min() and images.numpy().max() <= 1


@pytest.mark.parametrize("make", [lambda side: ConvCritic(1, side),
                                  lambda side: ConvGenerator(5, 1, side)])
@pytest.mark.parametrize("side", [0, 30])
def test_a_side_that_is_no_multiple_of_4_is_refused(make, side):
    with pytest.raises(ValueError, match=f"side must be a multiple of 4, got {side}"):
        make(side)

"""The WGAN's losses and its clipping; and W1 by a library's linear program, where there is one."""

import numpy as np
import pytest

import minigen as mg
from minigen.divergences import wasserstein1_samples
from minigen.models.gan import Discriminator
from minigen.models.wgan import clip_weights, critic_loss, generator_loss


def scores(*numbers):
    return mg.Tensor(np.array(numbers).reshape(-1, 1), requires_grad=True)


def test_the_critic_raises_real_scores_and_lowers_fake_ones():
    real, fake = scores(1.0, 3.0), scores(-1.0, 0.0, 4.0)
    loss = critic_loss(real, fake)
    assert loss.item() == pytest.approx(1.0 - 2.0)
    on_real, on_fake = mg.grad(loss, [real, fake])
    np.testing.assert_allclose(on_real.numpy(), -1 / 2)
    np.testing.assert_allclose(on_fake.numpy(), 1 / 3)


def test_the_generator_works_against_the_critic():
    real, fake = scores(1.0, 3.0), scores(-1.0, 0.0, 4.0)
    by_critic, = mg.grad(critic_loss(real, fake), fake)
    by_generator, = mg.grad(generator_loss(fake), fake)
    np.testing.assert_allclose(by_generator.numpy(), -by_critic.numpy())


def test_a_constant_added_to_all_scores_changes_nothing():
    real, fake = scores(1.0, 3.0), scores(-1.0, 0.0, 4.0)
    shifted = critic_loss(real + 7.0, fake + 7.0)
    assert shifted.item() == pytest.approx(critic_loss(real, fake).item())


def test_clipping_cuts_what_is_too_large_and_leaves_the_rest():
    critic = Discriminator(2, generator=np.random.default_rng(0))
    before = [p.numpy() for p in critic.parameters()]
    kept = critic.parameters()[0].detach()
    clip_weights(critic, 0.1)
    for was, now in zip(before, critic.parameters()):
        np.testing.assert_array_equal(now.numpy(), np.clip(was, -0.1, 0.1).astype(np.float32))
        assert now.requires_grad and now.dtype == np.float32
    np.testing.assert_array_equal(kept.numpy(), before[0])


def test_wasserstein1_of_samples_is_the_linear_programs_optimum():
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(5), 2 * rng.standard_normal(7) + 1
    cost = np.abs(np.subtract.outer(x, y))
    from_x = np.kron(np.eye(5), np.ones(7))
    to_y = np.kron(np.ones(5), np.eye(7))
    plan = optimize.linprog(cost.ravel(), A_eq=np.vstack([from_x, to_y]),
                            b_eq=np.concatenate([np.full(5, 1 / 5), np.full(7, 1 / 7)]))
    assert plan.fun == pytest.approx(wasserstein1_samples(x, y), rel=1e-9)

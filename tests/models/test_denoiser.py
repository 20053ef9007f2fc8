"""The perceptron that denoises points: its embeddings and its classes."""

import numpy as np
import pytest

import minigen as mg
from minigen import optim
from minigen.models.denoiser import MLPDenoiser, drop_labels, time_embedding
from minigen.models.diffusion import simple_loss
from minigen.models.schedule import linear_schedule
from minigen.training import minimise


def denoiser(features=2, classes=0):
    return MLPDenoiser(features, (16, 16), classes, code=8, generator=np.random.default_rng(0))


def test_the_embedding_is_sines_and_cosines():
    code = time_embedding(np.array([1, 50]), 6)
    angles = np.array([1, 50])[:, None] * 10_000.0 ** -np.array([0, 1 / 3, 2 / 3])
    np.testing.assert_allclose(code, np.hstack([np.sin(angles), np.cos(angles)]))
    assert time_embedding(3, 6).shape == (1, 6)
    with pytest.raises(ValueError, match="features must be even"):
        time_embedding(3, 5)


def test_no_two_of_1000_steps_look_alike():
    code = time_embedding(np.arange(1, 1001), 64)
    gaps = np.linalg.norm(np.diff(code, axis=0), axis=1)
    assert gaps.min() > 0.5 and gaps.max() / gaps.min() < 1.001  # each is as far from the next
    products = code @ code.T
    np.fill_diagonal(products, 0)
    assert products.max() < 32 - 0.5 * gaps.min() ** 2 + 1e-9  # and none is nearer


def test_one_step_for_all_is_that_step_for_each():
    net, x = denoiser(), mg.randn(5, 2, generator=np.random.default_rng(1))
    np.testing.assert_allclose(net(x, 7).numpy(), net(x, np.full(5, 7)).numpy(), rtol=1e-5)
    assert net(x, 7).shape == (5, 2) and net(x, 7).dtype == np.float32
    assert abs(net(x, 7).numpy() - net(x, 8).numpy()).max() > 1e-3


def test_a_class_changes_the_guess_and_null_is_no_class():
    net, x = denoiser(classes=3), mg.randn(4, 2, generator=np.random.default_rng(1))
    guesses = [net(x, 7, y).numpy() for y in range(4)]
    assert min(abs(a - b).max() for a, b in zip(guesses, guesses[1:])) > 1e-3
    np.testing.assert_array_equal(guesses[3], net(x, 7).numpy())
    mixed = net(x, 7, np.array([0, 1, 2, 3])).numpy()
    np.testing.assert_allclose(mixed, [guesses[i][i] for i in range(4)], rtol=1e-4, atol=1e-6)


def test_a_class_that_is_none_is_refused():
    x = mg.zeros(2, 2)
    for y in (-1, 4, np.array([0, 4])):
        with pytest.raises(ValueError, match="y must be in 0 .. 3"):
            denoiser(classes=3)(x, 1, y)
    with pytest.raises(ValueError, match="classes is 0"):
        denoiser()(x, 1, 0)


def test_dropped_labels_become_null_as_often_as_asked():
    y = np.arange(20_000) % 3
    dropped = drop_labels(y, 3, 0.1, np.random.default_rng(0))
    assert abs((dropped == 3).mean() - 0.1) < 5 * 0.3 / 20_000**0.5
    np.testing.assert_array_equal(dropped[dropped != 3], y[dropped != 3])


def test_training_lowers_the_loss_and_reaches_every_parameter():
    rng, schedule, net = np.random.default_rng(0), linear_schedule(50), denoiser(classes=2)
    optimiser = optim.Adam(net.parameters(), lr=0.01)
    x0 = mg.Tensor(np.repeat([[-1.0, 0.0], [1.0, 0.0]], 64, axis=0), dtype="float32")
    y = drop_labels(np.repeat([0, 1], 64), net.classes, 0.2, rng)
    losses = []
    for _ in range(150):
        loss = simple_loss(lambda x, t: net(x, t, y), schedule, x0, schedule.draw_steps(128, rng),
                           mg.randn(128, 2, generator=rng))
        minimise(loss, optimiser, net)
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.4 * np.mean(losses[:5])
    assert all(abs(p.grad.numpy()).max() > 0 for p in net.parameters())

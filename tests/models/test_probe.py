"""The linear probe: its minimum is the minimum, and it is a function of the data alone."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen import losses
from minigen.models.probe import Probe


def clouds(n=200, d=5, classes=4, seed=0):
    """Points around a centre for each class, and their labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    labels = rng.integers(0, classes, n)
    return centres[labels] + rng.normal(size=(n, d)), labels


def loss_and_slopes(probe, x, labels, l2):
    """The probe's loss by the engine, and its gradient in weight and bias."""
    z = mg.Tensor((x - probe.mean) / probe.scale)
    w, b = (mg.Tensor(value, requires_grad=True) for value in (probe.weight, probe.bias))
    loss = losses.cross_entropy(z @ w + b, labels) + l2 / 2 * (w * w).sum()
    return loss.item(), *(g.numpy() for g in mg.grad(loss, [w, b]))


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("n, d", [(200, 5), (12, 40)])
def test_the_engines_gradient_is_0_at_the_fitted_weights(n, d, l2):
    x, labels = clouds(n, d)
    _, slope_w, slope_b = loss_and_slopes(Probe.fit(x, labels, l2), x, labels, l2)
    assert np.abs(slope_w).max() < 1e-5
    assert np.abs(slope_b).max() < 1e-5


def test_any_other_weights_have_a_greater_loss():
    x, labels = clouds()
    probe = Probe.fit(x, labels, 1e-2)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1, 1.0):
        other = probe._replace(weight=probe.weight + size * rng.normal(size=probe.weight.shape))
        assert (loss_and_slopes(other, x, labels, 1e-2)[0]
                > loss_and_slopes(probe, x, labels, 1e-2)[0])


def test_between_two_gaussians_the_logit_is_the_log_ratio_of_their_densities():
    rng = np.random.default_rng(0)
    labels = np.arange(20_000) % 2
    x = rng.normal(2.0 * labels - 1, 1.0)[:, None]
    probe = Probe.fit(x, labels, l2=1e-6)
    difference = probe.logits(np.array([[0.0], [1.0]])) @ [-1, 1]
    # ln p(x|1) - ln p(x|0) = 2x; the standard error of the slope is .027 for so many points.
    assert difference[1] - difference[0] == pytest.approx(2.0, abs=5 * 0.027)
    assert difference[0] == pytest.approx(0.0, abs=5 * 0.021)


def test_without_any_difference_between_points_the_classes_get_their_shares():
    probe = Probe.fit(np.full((4, 3), 7.0), np.array([0, 1, 1, 1]))
    logits = probe.logits(np.full((1, 3), 7.0))[0]
    assert logits[1] - logits[0] == pytest.approx(math.log(3), abs=1e-4)
    assert not probe.weight.any()


def test_turning_shifting_and_scaling_the_features_changes_no_prediction():
    x, labels = clouds()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    changed = 100.0 * x @ turn + 3.0
    np.testing.assert_allclose(Probe.fit(changed, labels).logits(changed),
                               Probe.fit(x, labels).logits(x), atol=1e-3)


def test_a_new_point_is_judged_alike_alone_and_in_a_crowd():
    x, labels = clouds()
    probe = Probe.fit(x[:100], labels[:100])
    crowd = probe.logits(x[100:])
    alone = np.concatenate([probe.logits(x[i:i + 1]) for i in range(100, 200)])
    np.testing.assert_allclose(alone, crowd, rtol=1e-10)


def test_labels_may_be_any_integers_and_come_back_as_they_are():
    x, labels = clouds()
    named = np.array([7, -3, 100, 5])[labels]
    probe = Probe.fit(x, named)
    np.testing.assert_array_equal(probe.classes, [-3, 5, 7, 100])
    plain = Probe.fit(x, labels)
    np.testing.assert_array_equal(probe.predict(x), np.array([7, -3, 100, 5])[plain.predict(x)])
    assert probe.accuracy(x, named) == plain.accuracy(x, labels) > 0.7


def test_one_class_is_always_predicted():
    x, _ = clouds()
    assert Probe.fit(x, np.full(200, 3)).accuracy(x, np.full(200, 3)) == 1.0


def test_images_in_float32_give_the_same_probe_as_in_float64():
    x, labels = clouds()
    x = x.astype(np.float32)
    first, second = Probe.fit(x, labels), Probe.fit(x.astype(np.float64), labels)
    assert first.weight.dtype == np.float64
    np.testing.assert_allclose(first.weight, second.weight, atol=1e-6)


@pytest.mark.parametrize("x, labels, l2", [
    (np.zeros((3, 2, 2)), np.zeros(3, int), 1.0),
    (np.zeros((3, 2)), np.zeros(4, int), 1.0),
    (np.zeros((3, 2)), np.zeros((3, 1), int), 1.0),
    (np.zeros((0, 2)), np.zeros(0, int), 1.0),
    (np.zeros((3, 2)), np.zeros(3, int), 0.0),
])
def test_other_shapes_and_no_penalty_are_refused(x, labels, l2):
    with pytest.raises(ValueError, match="Probe.fit: expected x"):
        Probe.fit(x, labels, l2)


def test_a_feature_that_is_not_finite_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        Probe.fit(np.array([[0.0], [np.nan], [1.0]]), np.array([0, 1, 1]))

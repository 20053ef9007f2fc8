"""Losses: their values by hand, their gradients, their edges, and PyTorch's agreement."""

import math

import numpy as np
import pytest

from minigen import Tensor, grad, gradcheck, losses, ops


def leaf(value, dtype="float64"):
    return Tensor(value, requires_grad=True, dtype=dtype)


def const(value):
    return Tensor(np.array(value, dtype="float64"))


def test_mse_is_the_mean_over_all_elements():
    assert losses.mse(const([[1.0, 2.0], [3.0, 4.0]]), const([[1.0, 2.0], [3.0, 0.0]])).item() == 4


def test_bce_of_one_half_is_ln_2_whatever_the_target():
    for t in (0.0, 0.3, 1.0):
        assert losses.bce(const([0.5, 0.5]), t).item() == pytest.approx(math.log(2), rel=1e-15)
        assert losses.bce_with_logits(const([0.0]), t).item() == pytest.approx(math.log(2))


def test_bce_with_logits_is_bce_of_the_sigmoid():
    logits, target = const(np.linspace(-5, 5, 11)), const(np.linspace(0, 1, 11))
    assert losses.bce_with_logits(logits, target).item() == pytest.approx(
        losses.bce(ops.sigmoid(logits), target).item(), rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_bce_with_logits_is_finite_for_any_logit():
    logits = leaf([-1e4, 1e4, -1e4, 1e4], "float32")
    loss = losses.bce_with_logits(logits, Tensor([1.0, 0.0, 0.0, 1.0]))
    assert loss.item() == 5e3
    assert grad(loss, logits)[0].numpy().tolist() == [-0.25, 0.25, 0.0, 0.0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bce_of_a_saturated_probability_is_finite_in_value_and_gradient(dtype):
    p = leaf([0.0, 1.0, 0.0, 1.0], dtype)
    loss = losses.bce(p, Tensor([1.0, 0.0, 0.0, 1.0], dtype=dtype))
    assert loss.item() == 50.0  # two logarithms stop at -100
    assert np.isfinite(grad(loss, p)[0].numpy()).all()


def test_bce_of_what_is_no_probability_is_nan():
    with np.errstate(invalid="ignore"):
        assert math.isnan(losses.bce(const([-0.5]), 1.0).item())
        assert math.isnan(losses.bce(const([1.5]), 0.0).item())


def test_cross_entropy_of_equal_logits_is_the_log_of_the_number_of_classes():
    for labels in (Tensor([0, 3], dtype="int64"), np.array([0, 3]), [0, 3]):
        assert losses.cross_entropy(const(np.ones((2, 4))), labels).item() == pytest.approx(
            math.log(4))


def test_the_gradient_of_cross_entropy_is_softmax_minus_one_hot_over_n():
    logits = leaf([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    labels = np.array([2, 0])
    found, = grad(losses.cross_entropy(logits, labels), logits)
    want = (ops.softmax(logits, 1).numpy() - np.eye(3)[labels]) / 2
    np.testing.assert_allclose(found.numpy(), want, atol=1e-16)


def test_every_loss_differentiates_twice():
    rng = np.random.default_rng(0)
    x, p, t = rng.standard_normal((3, 2)), rng.uniform(0.1, 0.9, (3, 2)), rng.random((3, 2))
    gradcheck(losses.mse, [leaf(x), leaf(t)], order=2)
    gradcheck(losses.bce, [leaf(p), leaf(t)], order=2)
    gradcheck(losses.bce_with_logits, [leaf(x), leaf(t)], order=2)
    gradcheck(lambda x: losses.cross_entropy(x, [0, 1, 1]), leaf(x), order=2)


@pytest.mark.parametrize("loss", [losses.mse, losses.bce, losses.bce_with_logits])
def test_a_target_of_another_shape_raises_naming_both(loss):
    with pytest.raises(ValueError, match=rf"{loss.__name__}: .*\(3, 1\).*\(3,\)"):
        loss(const([[0.1], [0.2], [0.3]]), const([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("logits, labels", [((2, 3), 3), ((2, 3), [0]), ((2, 3), [[0], [1]]),
                                            ((3,), [0, 1, 2]), ((2, 3), np.array(1))])
def test_cross_entropy_of_wrong_shapes_raises_naming_both(logits, labels):
    with pytest.raises(ValueError, match="cross_entropy: expected logits"):
        losses.cross_entropy(const(np.zeros(logits)), labels)


def test_losses_agree_with_pytorch_in_value_and_gradient():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    rng = np.random.default_rng(0)
    x, p, t = rng.standard_normal((5, 4)), rng.uniform(0, 1, (5, 4)), rng.random((5, 4))
    p[0, 0], t[0, 0] = 0.0, 1.0
    labels = rng.integers(0, 4, 5)
    for ours, theirs, value, target in [
        (losses.mse, F.mse_loss, x, t),
        (losses.bce, F.binary_cross_entropy, p, t),
        (losses.bce_with_logits, F.binary_cross_entropy_with_logits, x, t),
        (losses.cross_entropy, F.cross_entropy, x, labels),
    ]:
        a, b = leaf(value), torch.tensor(value, requires_grad=True)
        z, w = ours(a, Tensor(target)), theirs(b, torch.tensor(target))
        assert z.item() == pytest.approx(w.item(), rel=1e-12)
        w.backward()
        inside = np.abs(b.grad.numpy()) < 1e9  # at p = 0 PyTorch gives 1e12, we give 0
        np.testing.assert_allclose(grad(z, a)[0].numpy()[inside], b.grad.numpy()[inside],
                                   rtol=1e-12)

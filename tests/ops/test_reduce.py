"""Reductions at their edges: no axes, no elements, infinities, ties."""

import numpy as np
import pytest

from minigen import Tensor, grad, gradcheck, ops

EVERY = [ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.logsumexp, ops.softmax, ops.log_softmax]
OF_SOMETHING = EVERY[1:]


def leaf(value):
    return Tensor(value, requires_grad=True, dtype="float64")


@pytest.mark.parametrize("f", EVERY)
@pytest.mark.parametrize("axis", [None, 0, -1, ()])
def test_a_tensor_without_axes_is_reduced_as_numpy_does(f, axis):
    x = leaf(3.0)
    if f in (ops.mean, ops.var) and axis in (0, -1):  # the two of which NumPy says no
        with pytest.raises(ValueError, match="op '"):
            f(x, axis)
    else:
        assert f(x, axis).shape == ()
        assert grad(f(x, axis), x)[0].shape == ()


@pytest.mark.parametrize("f", EVERY)
def test_an_axis_may_be_a_numpy_integer(f):
    gradcheck(lambda x: f(x, np.int64(-1)), leaf([[1.0, 2.0], [4.0, 3.0]]), order=2)


@pytest.mark.parametrize("f", EVERY)
@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, 0), (0, -2), 0.5])
def test_a_wrong_axis_raises_naming_the_op(f, axis):
    with pytest.raises((ValueError, TypeError, IndexError), match="op '"):
        f(leaf([[1.0, 2.0]]), axis)


@pytest.mark.parametrize("f", OF_SOMETHING)
def test_nothing_has_no_mean_or_maximum(f):
    with pytest.raises(ValueError, match="no elements"):
        f(leaf(np.zeros((2, 0))), 1)
    assert f(leaf(np.zeros((0, 2))), 1).size == 0


def test_the_sum_of_nothing_is_zero():
    assert ops.sum(leaf(np.zeros((2, 0))), 1).numpy().tolist() == [0.0, 0.0]


def test_a_variance_of_too_few_raises():
    with pytest.raises(ValueError, match="too few"):
        ops.var(leaf([1.0]), correction=1)


def test_ties_share_the_gradient_of_a_maximum():
    x = leaf([[3.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(grad(ops.max(x, 1).sum(), x)[0].numpy(),
                               [[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3]])


@pytest.mark.filterwarnings("error")
def test_logsumexp_and_the_softmaxes_neither_overflow_nor_underflow():
    x = Tensor([[1000.0, 1000.0], [-1000.0, -1000.0]])
    np.testing.assert_allclose(ops.logsumexp(x, 1).numpy(), [1000 + np.log(2), -1000 + np.log(2)])
    np.testing.assert_allclose(ops.softmax(x, 1).numpy(), 0.5)
    np.testing.assert_allclose(ops.log_softmax(x, 1).numpy(), -np.log(2), rtol=1e-6)


def test_a_masked_term_of_minus_infinity_takes_no_part():
    x = leaf([-np.inf, 0.0, 0.0])
    for f, value, slope in [
        (ops.logsumexp, np.log(2), [0, 0.5, 0.5]),
        (lambda x: ops.softmax(x)[1], 0.5, [0, 0.25, -0.25]),
        (lambda x: ops.log_softmax(x)[1], -np.log(2), [0, 0.5, -0.5]),
    ]:
        z = f(x)
        assert z.item() == pytest.approx(value)
        np.testing.assert_allclose(grad(z, x)[0].numpy(), slope, atol=1e-15)


def test_logsumexp_of_masked_terms_alone_is_minus_infinity_with_slope_zero():
    x = leaf([-np.inf, -np.inf])
    with np.errstate(divide="ignore"):
        z = ops.logsumexp(x)
    assert z.item() == -np.inf
    assert grad(z, x)[0].numpy().tolist() == [0.0, 0.0]


def test_a_mean_of_float32_sums_pairwise():
    x = Tensor(np.full(10 ** 6, 0.1, np.float32))
    assert x.mean().item() == pytest.approx(0.1, rel=1e-6)

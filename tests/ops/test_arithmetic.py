"""Arithmetic at its edges."""

import math

import numpy as np
import pytest

from minigen import Tensor, grad, ops


def leaf(value, dtype="float64"):
    return Tensor(value, requires_grad=True, dtype=dtype)


def slopes(f, *values, dtype="float64"):
    """The gradients of sum f at these values, as lists."""
    leaves = [leaf(value, dtype) for value in values]
    return [g.numpy().tolist() for g in grad(f(*leaves).sum(), leaves)]


def test_a_number_alone_is_refused():
    with pytest.raises(TypeError, match="op 'add': .*at least one Tensor or array"):
        ops.add(1.0, 2.0)
    with pytest.raises(TypeError, match="op 'where'.*at least one"):
        ops.where(Tensor([True], dtype=bool), 1.0, 2.0)


def test_ops_that_choose_take_tensors_without_axes():
    assert slopes(ops.relu, 2.0) == [1.0]
    assert slopes(lambda x: ops.leaky_relu(x, 0.1), -2.0) == [0.1]
    assert slopes(lambda x: ops.clip(x, 0.0, 1.0), 2.0) == [0.0]
    assert slopes(ops.maximum, 2.0, 1.0) == [1.0, 0.0]
    assert slopes(ops.pow, 2.0, 3.0) == [12.0, 8 * math.log(2)]


def test_a_quotient_by_a_tiny_number_has_a_finite_gradient():
    x, y = slopes(ops.div, 1e-22, 1e-22, dtype="float32")
    assert x == pytest.approx(1e22) and y == pytest.approx(-1e22)


def test_zero_to_the_zero_has_slope_zero_and_to_the_one_slope_one():
    assert slopes(lambda a: a ** 0, 0.0) == [0.0]
    assert slopes(lambda a: a ** 1, 0.0) == [1.0]
    assert slopes(lambda a: a ** 2, 0.0) == [0.0]
    assert slopes(ops.pow, [0.0, 0.0], [0.0, 1.0]) == [[0.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize("exponent", [2, 2.0])
def test_the_second_slope_of_a_square_at_zero_is_two(exponent):
    x = leaf(0.0)
    first, = grad(x ** exponent, x, create_graph=True)
    assert grad(first, x)[0].item() == 2.0


def test_the_mixed_second_slope_of_a_power_at_exponent_zero_is_one_over_the_base():
    a, b = leaf([2.0]), leaf([0.0])
    first, = grad((a ** b).sum(), a, create_graph=True)
    assert grad(first.sum(), b)[0].numpy() == [0.5]  # d/db of b a^(b-1)


def test_the_slope_in_the_exponent_of_a_negative_base_is_nan():
    with np.errstate(invalid="ignore"):
        base, exponent = slopes(ops.pow, [-2.0], [3.0])
    assert base == [12.0] and np.isnan(exponent).all()
    with np.errstate(invalid="ignore"):
        exponent, = slopes(lambda b: -2.0 ** 0 * (-2.0) ** b, [3.0])
    assert np.isnan(exponent).all()


def test_a_tie_is_shared():
    assert slopes(ops.maximum, [1.0], [1.0]) == [[0.5], [0.5]]
    assert slopes(ops.minimum, [1.0], [1.0]) == [[0.5], [0.5]]
    assert slopes(lambda x: ops.maximum(x, x), [1.0]) == [[1.0]]


def test_clip_passes_gradients_on_its_bounds_and_none_beyond():
    assert slopes(lambda x: ops.clip(x, 0.0, 1.0), [-0.1, 0.0, 0.5, 1.0, 1.1]) == [[0, 1, 1, 1, 0]]


def test_numpy_numbers_as_parameters_do_not_widen_float32():
    x = Tensor([1.0, 2.0])
    assert ops.clip(x, np.float64(0), np.float64(1)).dtype == np.float32
    assert ops.leaky_relu(x, np.float64(0.1)).dtype == np.float32


def test_where_keeps_nan_out_of_the_value_but_not_out_of_the_gradient():
    x = leaf([0.0, 4.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = ops.where(x.data > 0, ops.sqrt(x), 0.0)
        assert np.isfinite(z.numpy()).all()
        assert np.isnan(grad(z.sum(), x)[0].numpy()[0])  # 0 * inf: why safe_sqrt chooses first

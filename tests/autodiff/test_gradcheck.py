"""gradcheck finds planted errors, says where they are, and is not fooled by kinks."""

import re

import numpy as np
import pytest

from minigen import GradcheckError, Tensor, gradcheck, ops
from minigen.autodiff.op import Op
from minigen.ops.shape import broadcast_to


def point(*shape):
    return Tensor(np.random.default_rng(0).uniform(0.5, 2, shape))


def planted(forward, vjp):
    """An op with this value and this gradient, right or wrong, as a function."""
    kind = type("Planted", (Op,), {
        "name": "planted",
        "forward": lambda self, *xs: forward(*xs),
        "vjp": lambda self, g, *xs: vjp(g, *xs),
    })
    return lambda *xs: kind()(*xs)


RIGHT = {
    "square": (lambda x: x * x, lambda g, x: 2.0 * g * x),
    "product": (lambda a, b: a * b, lambda g, a, b: (g * b, g * a)),
    "mean": (lambda x: x.mean(), lambda g, x: broadcast_to(g / x.size, x.shape)),
}
WRONG = {
    "wrong sign": (lambda x: x * x, lambda g, x: -2.0 * g * x),
    "missing factor": (lambda x: x * x, lambda g, x: g * x),
    "factor off by 1e-4": (lambda x: x * x, lambda g, x: 2.0002 * g * x),
    "operands exchanged": (lambda a, b: a * b * b, lambda g, a, b: (2.0 * g * a * b, g * b * b)),
    "gradient of the second forgotten": (lambda a, b: a * b, lambda g, a, b: (g * b, 0.0 * g)),
    "mean for sum": (lambda x: x.sum(), lambda g, x: broadcast_to(g / x.size, x.shape)),
    "NaN": (lambda x: x * x, lambda g, x: 2.0 * g * x + np.nan),
    "reversed": (lambda x: x * x, lambda g, x: (2.0 * g * x)[::-1]),
    "one element wrong": (lambda x: x + 0, lambda g, x: ops.scatter(g[1:], slice(1, 99), x.shape)),
}
ARITY = {"product": 2, "operands exchanged": 2, "gradient of the second forgotten": 2}


@pytest.mark.parametrize("size", [3, 40], ids=["full Jacobian", "random directions"])
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes_to_the_second_order(name, size):
    assert gradcheck(planted(*RIGHT[name]), [point(size)] * ARITY.get(name, 1), order=2) is True


@pytest.mark.parametrize("size", [3, 40], ids=["full Jacobian", "random directions"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_found(name, size):
    inputs = [point(size) + float(i) for i in range(ARITY.get(name, 1))]
    with pytest.raises(GradcheckError, match="op 'planted'"):
        gradcheck(planted(*WRONG[name]), inputs)


def test_a_statistic_frozen_in_a_vjp_is_found_in_the_second_order_alone():
    def frozen(g, x):
        deviation = x - Tensor.wrap(x.data.mean(keepdims=True))  # the mean moves with x
        return broadcast_to(g, x.shape) * deviation * (2.0 / x.size)

    f = planted(lambda x: x.var(), frozen)
    assert gradcheck(f, point(5))
    with pytest.raises(GradcheckError, match="gradcheck: gradient of op"):
        gradcheck(f, point(5), order=2)


def test_a_value_kept_as_a_constant_is_found_in_the_second_order_alone():
    f = planted(lambda x: x ** 3, lambda g, x: g * Tensor.wrap(3 * x.data ** 2))
    assert gradcheck(f, point(3))
    with pytest.raises(GradcheckError, match="gradient of"):
        gradcheck(f, point(3), order=2)


def test_an_input_that_the_graph_has_lost_is_found():
    with pytest.raises(GradcheckError, match="input 1"):
        gradcheck(lambda a, b: a * b.detach(), [point(2), point(2)])


def test_an_input_without_influence_passes():
    assert gradcheck(lambda a, b: a * a, [point(2), point(2)], order=2)


def test_the_message_says_op_input_index_both_numbers_and_the_step():
    def wrong(g, a, b):
        return g * b, g * a * Tensor([[1.0, 1.0], [1.0, 3.0]], dtype="float64")

    a, b = Tensor(np.ones((2, 2))), Tensor(np.ones((2, 2)))
    with pytest.raises(GradcheckError) as error:
        gradcheck(planted(lambda a, b: a * b, wrong), [a, b])
    found = re.fullmatch(
        r"gradcheck: op 'planted', input 1 \(2, 2\), index \(1, 1\), output \(3,\): "
        r"analytic 3, numeric (\S+), step 1e-05", str(error.value))
    assert found and float(found[1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("f, x", [
    (ops.abs, [0.0, 1.0]), (ops.relu, [0.0, -1.0]), (lambda x: ops.leaky_relu(x, 0.1), [0.0]),
    (lambda x: ops.clip(x, -1.0, 1.0), [1.0, -1.0]), (ops.max, [2.0, 2.0, 1.0]),
    (lambda x: ops.maximum(x, 1.0), [1.0, 0.0]), (lambda x: ops.relu(x) * ops.relu(-x), [0.0, 0.0]),
    (lambda x: ops.relu(x) ** 2, [0.0, 1.0]),  # smooth once; its gradient has the kink
], ids=["abs", "relu", "leaky_relu", "clip", "max", "maximum", "product", "second order"])
def test_exactly_at_a_kink_the_check_moves_aside(f, x):
    assert gradcheck(f, Tensor(x, dtype="float64"), order=2)


@pytest.mark.parametrize("offset", [1e-6, -1e-6, 4e-6, 1e-5, -1e-7])
def test_a_kink_within_a_step_is_noticed(offset):
    assert gradcheck(ops.abs, Tensor([offset], dtype="float64"), order=2)


def test_a_kink_is_no_excuse_for_a_wrong_gradient():
    f = planted(np.abs, lambda g, x: -g * Tensor.wrap(np.sign(x.data)))
    with pytest.raises(GradcheckError, match="analytic"):
        gradcheck(f, Tensor([0.0, 1.0], dtype="float64"))


def test_a_function_that_is_smooth_nowhere_near_is_an_error():
    noise = np.random.default_rng(0)
    f = planted(lambda x: x + noise.standard_normal(x.shape), lambda g, x: g)
    with pytest.raises(GradcheckError, match="no smooth point"):
        gradcheck(f, point(2))


def test_float32_is_refused():
    with pytest.raises(TypeError, match=r"inputs\[1\] is \(1,\) float32; differences need float64"):
        gradcheck(ops.add, [point(1), Tensor([1.0])])


def test_another_order_is_refused():
    for order in (0, 3):
        with pytest.raises(ValueError, match="order must be 1 or 2"):
            gradcheck(ops.exp, point(1), order=order)


def test_several_outputs_and_no_elements_pass():
    assert gradcheck(lambda x: (ops.exp(x), x.sum(), x * x), point(2, 2), order=2)
    assert gradcheck(ops.exp, Tensor(np.zeros((2, 0))), order=2)
    assert gradcheck(ops.sum, Tensor(np.zeros((2, 0))), order=2)


def test_a_wrong_second_output_is_found():
    wrong = planted(*WRONG["wrong sign"])
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: (ops.exp(x), wrong(x)), point(2))


def test_the_inputs_are_left_alone():
    x = point(2)
    before = x.numpy()
    gradcheck(ops.exp, x, order=2)
    assert (x.numpy() == before).all() and x.grad is None and not x.requires_grad

"""Functions of one number, at their edges."""

import numpy as np
import pytest

from minigen import Tensor, grad, ops


def value_and_slope(f, values, dtype="float32"):
    x = Tensor(values, requires_grad=True, dtype=dtype)
    z = f(x)
    return z.numpy().tolist(), grad(z.sum(), x)[0].numpy().tolist()


@pytest.mark.filterwarnings("error")
def test_sigmoid_softplus_and_silu_do_not_overflow():
    far = [-1000.0, 1000.0]
    assert value_and_slope(ops.sigmoid, far) == ([0.0, 1.0], [0.0, 0.0])
    assert value_and_slope(ops.softplus, far) == ([0.0, 1000.0], [0.0, 1.0])
    assert value_and_slope(ops.silu, far) == ([0.0, 1000.0], [0.0, 1.0])


def test_log1p_and_expm1_are_exact_for_small_numbers():
    assert ops.log1p(Tensor([1e-10])).numpy() == np.float32(1e-10)
    assert ops.expm1(Tensor([1e-10])).numpy() == np.float32(1e-10)


def test_kinks_have_slope_zero():
    for f in (ops.abs, ops.relu, ops.safe_sqrt):
        assert value_and_slope(f, [0.0]) == ([0.0], [0.0])


def test_safe_sqrt_has_a_finite_second_derivative_at_zero():
    x = Tensor([0.0, 4.0], requires_grad=True, dtype="float64")
    first, = grad(ops.safe_sqrt(x).sum(), x, create_graph=True)
    second, = grad(first.sum(), x)
    assert first.numpy().tolist() == [0.0, 0.25]
    assert second.numpy().tolist() == [0.0, -1 / 32]


def test_safe_sqrt_hides_neither_nan_nor_a_negative_number():
    with np.errstate(invalid="ignore"):
        assert np.isnan(ops.safe_sqrt(Tensor([np.nan, -1.0])).numpy()).all()


@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_passes_through_every_activation():
    for f in (ops.relu, ops.leaky_relu, ops.silu, ops.gelu, ops.sigmoid, ops.softplus, ops.tanh):
        assert np.isnan(f(Tensor([np.nan])).item())


def test_gelu_is_near_its_exact_form():
    from math import erf
    x = np.linspace(-4, 4, 101)
    exact = [v / 2 * (1 + erf(v / 2 ** 0.5)) for v in x]
    assert np.abs(ops.gelu(Tensor(x)).numpy() - exact).max() < 5e-4

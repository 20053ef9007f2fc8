"""Tensor: dtypes, weak scalars, what it says of itself, and errors that help."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen import Tensor, grad, ops


# Dtypes.


@pytest.mark.parametrize("data, dtype", [
    (1, "float32"), (1.5, "float32"), ([1, 2], "float32"), ([[1.0], [2.0]], "float32"),
    (True, "float32"), (np.ones(2), "float64"), (np.ones(2, "float32"), "float32"),
    (np.arange(3), "int64"), (np.array([True]), "bool"), (np.float64(1), "float64"),
    (np.float32(1), "float32"), (np.uint8([1]), "uint8"), (range(3), "float32"),
])
def test_python_numbers_become_float32_and_arrays_keep_their_dtype(data, dtype):
    assert Tensor(data).dtype == dtype
    assert Tensor(data, dtype="float64").dtype == np.float64


def test_a_tensor_copies_what_it_is_given():
    data = np.ones(2)
    x = Tensor(data)
    data[:] = 5.0
    assert x.numpy().tolist() == [1.0, 1.0]
    x.numpy()[:] = 7.0
    assert Tensor(x).numpy().tolist() == x.numpy().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", ["float16", "complex64", "longdouble", ">f4"])
def test_a_dtype_that_the_engine_does_not_compute_in_raises_with_a_hint(dtype):
    with pytest.raises(TypeError, match="expected float32, float64.*dtype='float32'"):
        Tensor(np.ones(2, dtype))


def test_text_is_no_tensor():
    with pytest.raises((TypeError, ValueError)):
        Tensor("three")


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_an_integer_that_requires_a_gradient_raises(dtype):
    with pytest.raises(TypeError, match="a gradient needs floats"):
        Tensor(np.ones(2, dtype), requires_grad=True)


SCALARS = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.uint8(2)]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: type(scalar).__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars_are_weak_on_either_side_of_every_operator(scalar, dtype):
    x = Tensor([1.0, 2.0], requires_grad=True, dtype=dtype)
    for z in (x + scalar, scalar + x, x - scalar, scalar - x, x * scalar, scalar * x,
              x / scalar, scalar / x, x ** scalar, scalar ** x):
        assert isinstance(z, Tensor) and z.dtype == dtype
        assert grad(z.sum(), x)[0].dtype == dtype
    for z in (x > scalar, x >= scalar, x < scalar, x <= scalar, scalar > x, scalar <= x):
        assert isinstance(z, Tensor) and z.dtype == bool


def test_operators_take_arrays_on_either_side():
    x, a = Tensor([[1.0, 2.0]], requires_grad=True), np.array([[3.0, 4.0]], "float32")
    for z, want in [(x + a, [[4, 6]]), (a + x, [[4, 6]]), (a - x, [[2, 2]]), (a / x, [[3, 2]]),
                    (a * x, [[3, 8]]), (a ** x, [[3, 16]]), (a @ x.T, [[11]]), (x @ a.T, [[11]])]:
        assert isinstance(z, Tensor) and z.node is not None
        assert z.numpy().tolist() == want
    assert (a > x).numpy().tolist() == [[True, True]]


def test_mixed_float_dtypes_raise_naming_both_and_a_way_out():
    narrow, wide = Tensor([1.0]), Tensor([[1.0]], dtype="float64")
    with pytest.raises(TypeError) as error:
        narrow * wide
    assert str(error.value) == (
        "op 'mul': operands have different dtypes; convert one with .astype(...)\n"
        "  a: (1,) float32\n"
        "  b: (1, 1) float64\n"
        "  expected: operands of shapes that broadcast: equal or 1, axis by axis from the right")


@pytest.mark.parametrize("array", [np.ones(1), np.array(2.0), np.arange(1)],
                         ids=["float64", "no axes", "int64"])
def test_an_array_of_another_dtype_raises_too(array):
    for mix in (lambda: Tensor([1.0]) * array, lambda: array * Tensor([1.0])):
        with pytest.raises(TypeError, match="op 'mul': operands have different dtypes"):
            mix()


def test_what_is_no_number_raises_naming_the_op():
    for other in ("1", None, [1.0], 1j, object()):
        with pytest.raises(TypeError, match="op 'add': expected a Tensor, an array or a Python"):
            Tensor([1.0]) + other


def test_shapes_that_do_not_broadcast_raise_naming_op_arguments_and_shapes():
    with pytest.raises(ValueError) as error:
        Tensor(np.zeros((2, 3))) - Tensor(np.zeros((2, 4)))
    lines = str(error.value).split("\n")
    assert lines[0].startswith("op 'sub': ")
    assert lines[1:3] == ["  a: (2, 3) float64", "  b: (2, 4) float64"]
    assert lines[3].startswith("  expected: ")


def test_a_wrong_reshape_names_the_operand():
    with pytest.raises(ValueError, match=r"op 'reshape'.*\n  x: \(6,\) float64\n  expected"):
        Tensor(np.zeros(6)).reshape(4, 2)


# What it says of itself.


@pytest.mark.parametrize("make, text", [
    (lambda: Tensor([1.0, 2.5]), "Tensor([1. , 2.5])"),
    (lambda: Tensor(3.0), "Tensor(3.)"),
    (lambda: Tensor([1.0], True), "Tensor([1.], requires_grad=True)"),
    (lambda: Tensor([1.0], True) * 2.0, "Tensor([2.], made by mul)"),
    (lambda: Tensor([1.0], dtype="float64"), "Tensor([1.], dtype=float64)"),
    (lambda: Tensor([1.0]) > 0, "Tensor([ True], dtype=bool)"),
    (lambda: Tensor(np.zeros((0, 2), "float32")), "Tensor([])"),
])
def test_repr_shows_the_numbers_and_what_is_not_the_default(make, text):
    assert repr(make()) == text


def test_shape_size_ndim_len_and_kind():
    x = Tensor(np.zeros((2, 3)))
    assert (x.shape, x.size, x.ndim, len(x), x.kind) == ((2, 3), 6, 2, 2, "(2, 3) float64")
    with pytest.raises(TypeError):
        len(Tensor(1.0))


def test_item_and_float_want_one_element():
    assert Tensor([[2.5]]).item() == 2.5 and float(Tensor(2.5)) == 2.5
    assert type(Tensor([1], dtype="int64").item()) is int
    with pytest.raises(ValueError, match=r"item: expected one element, got \(2,\) float32"):
        Tensor([1.0, 2.0]).item()


def test_the_truth_of_one_element_is_its_own_and_of_several_is_refused():
    assert Tensor(1.0) > 0 and not Tensor([1.0]) < 0
    for x in (Tensor([-1.0, -2.0]) > 0, Tensor(np.zeros((0, 2)))):
        with pytest.raises(ValueError, match="bool: expected one element"):
            bool(x)


def test_t_is_for_matrices():
    assert Tensor(np.zeros((2, 3))).T.shape == (3, 2)
    with pytest.raises(ValueError, match="T: expected a matrix"):
        Tensor([1.0]).T


# Leaving the graph, and making new Tensors.


def test_detach_shares_the_numbers_and_cuts_the_graph():
    x = Tensor([1.0], True) * 2.0
    assert x.detach().data is x.data
    assert x.detach().node is None and not x.detach().requires_grad


def test_methods_are_the_ops_of_their_names():
    x = Tensor(np.random.default_rng(0).uniform(0.5, 2, (2, 3)))
    for name in ("exp", "log", "sqrt", "tanh"):
        assert (getattr(x, name)().numpy() == getattr(ops, name)(x).numpy()).all()
    for name in ("sum", "mean", "var", "max"):
        got, want = getattr(x, name)(1, keepdims=True), getattr(ops, name)(x, 1, keepdims=True)
        assert (got.numpy() == want.numpy()).all() and got.shape == (2, 1)
    assert (abs(-x).numpy() == x.numpy()).all()
    assert x.reshape(3, 2).transpose(1, 0).shape == (2, 3) and x.transpose().shape == (3, 2)


def test_new_tensors_are_float32_unless_told_otherwise():
    for make in (mg.zeros, mg.ones, mg.randn, mg.rand):
        assert make(2, 3).dtype == np.float32 and make(2, 3).shape == (2, 3)
        assert make(2, dtype="float64", requires_grad=True).requires_grad
        assert make(2, dtype="float64").dtype == np.float64
    assert mg.zeros(2).numpy().tolist() == [0, 0] and mg.ones(2).numpy().tolist() == [1, 1]


def test_random_tensors_have_the_moments_they_promise():
    z, u = mg.randn(100_000).numpy(), mg.rand(100_000).numpy()
    assert abs(z.mean()) < 5 / math.sqrt(1e5) and abs(z.var() - 1) < 5 * math.sqrt(2 / 1e5)
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12e5) and 0 <= u.min() and u.max() < 1

"""Every op, without exception: its value, its gradient and its gradient's gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen import Tensor, gradcheck, ops
from minigen.autodiff.op import Op
from minigen.autodiff.registry import OPS

from .cases import CASES, LAYOUTS, leaf, on_backend, value_and_gradients

every_case = pytest.mark.parametrize("case", CASES, ids=repr)


def close(got, want, rtol):
    """Equal within rtol of the largest number around."""
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= rtol * (1 + np.abs(want).max(initial=0))


def subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_op_of_the_package_has_a_case():
    ours = {name for name, op in OPS.items() if op.__module__.startswith("minigen.")}
    assert ours - {case.op for case in CASES} == set(), "add an entry to tests/ops/cases.py"


def test_every_public_function_of_ops_has_a_case():
    assert set(ops.__all__) - {case.label for case in CASES} == set()


def test_every_case_names_an_op():
    assert {case.op for case in CASES} <= OPS.keys()


def test_every_op_class_of_the_package_is_in_the_registry():
    for cls in subclasses(Op):
        if cls.__module__.startswith("minigen.") and "forward" in vars(cls):
            assert OPS.get(cls.name) is cls, f"{cls.__name__} has no name of its own"


@every_case
@given(data=st.data())
def test_the_value_is_numpys(case, data):
    sample = case.draw(data)
    want = np.asarray(case.reference(*sample.arrays, **sample.params))
    close(value_and_gradients(case, sample)[0].numpy(), want, 1e-12)


@every_case
@given(data=st.data())
def test_float32_stays_float32_to_the_second_order_and_agrees_with_float64(case, data):
    sample = case.draw(data)
    narrow = value_and_gradients(case, sample, "float32")
    for got, want in zip(narrow, value_and_gradients(case, sample, "float64")):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.dtype == np.float32
            close(got.numpy(), want.numpy(), 1e-4)


@every_case
@given(data=st.data(), layout=st.sampled_from(list(LAYOUTS)[1:]))
def test_the_memory_layout_of_the_operands_changes_nothing(case, data, layout):
    sample = case.draw(data)
    plain = value_and_gradients(case, sample)
    for got, want in zip(value_and_gradients(case, sample, layout=layout), plain):
        assert (got is None) == (want is None)
        if got is not None:
            close(got.numpy(), want.numpy(), 1e-12)


def check(case, arrays, params):
    params = {name: on_backend(param) for name, param in params.items()}
    order = 2 if OPS[case.op].twice else 1
    gradcheck(lambda *xs: case.call(*xs, **params), [leaf(x) for x in arrays], order=order)


@every_case
@given(data=st.data())
def test_both_gradients_agree_with_differences(case, data):
    sample = case.draw(data)
    check(case, sample.arrays, sample.params)


@pytest.mark.parametrize("case", [case for case in CASES if case.kinks], ids=repr)
@given(data=st.data())
def test_both_gradients_agree_with_differences_beside_a_kink(case, data):
    sample = case.draw(data)
    check(case, [np.round(x) for x in sample.arrays], sample.params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scalar", [2, 0.5, True, np.float32(0.5), np.float64(0.5), np.int64(2)],
                         ids=lambda scalar: f"{type(scalar).__name__}")
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("case", [case for case in CASES if case.scalars], ids=repr)
def test_a_python_number_on_either_side_is_an_array_of_the_others_dtype(case, side, scalar, dtype):
    params = {"condition": Tensor([True, False, True], dtype=bool)} if case.op == "where" else {}
    array, full = leaf(np.array([0.5, 1.5, 2.5]), dtype), leaf(np.full(3, float(scalar)), dtype)
    got = case.call(*((scalar, array) if side == 0 else (array, scalar)), **params)
    want = case.call(*((full, array) if side == 0 else (array, full)), **params)
    assert got.dtype == want.dtype == dtype
    close(got.numpy(), want.numpy(), 1e-6)
    got.sum().backward()
    got_grad, array.grad = array.grad, None
    want.sum().backward()
    assert got_grad.dtype == dtype
    close(got_grad.numpy(), array.grad.numpy(), 1e-6)

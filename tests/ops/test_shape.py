"""Moving numbers: edges and errors."""

import numpy as np
import pytest

from minigen import Tensor, grad, ops


def leaf(value):
    return Tensor(value, requires_grad=True, dtype="float64")


def test_sum_to_is_the_transpose_of_broadcast_to():
    rng = np.random.default_rng(0)
    for small, large in [((), (2, 3)), ((1,), (3,)), ((2, 1), (4, 2, 3)), ((1, 1), (0, 2)),
                         ((), ())]:
        x, g = Tensor(rng.standard_normal(small)), Tensor(rng.standard_normal(large))
        left = (ops.broadcast_to(x, large) * g).sum().item()
        assert left == pytest.approx((x * ops.sum_to(g, small)).sum().item(), rel=1e-12)


@pytest.mark.parametrize("shape, small", [
    ((), (1,)), ((2,), (1, 2)), ((2, 3), (3, 3)), ((2,), (0,)), ((2, 3), (2,)), ((), (1, 1)),
])
def test_sum_to_a_shape_that_does_not_broadcast_raises(shape, small):
    with pytest.raises(ValueError, match="op 'sum_to': .* does not broadcast to"):
        ops.sum_to(leaf(np.zeros(shape)), small)


def test_a_tensor_without_axes_is_padded_by_nothing():
    assert ops.pad(leaf(3.0), ()).item() == 3.0


@pytest.mark.parametrize("width", [[(1, 1)], [(-1, 0), (0, 0)], [(1,), (1,)]])
def test_a_wrong_padding_raises(width):
    with pytest.raises((ValueError, TypeError), match="op 'pad'"):
        ops.pad(leaf(np.zeros((2, 2))), width)


@pytest.mark.parametrize("axis", [3, -4])
def test_stacking_along_an_axis_that_cannot_be_raises(axis):
    with pytest.raises(IndexError, match="stack: axis"):
        ops.stack([leaf([[1.0]]), leaf([[1.0]])], axis)


@pytest.mark.parametrize("sizes", [[1, 1], [2, 2], [-1, 4]])
def test_splitting_into_sizes_that_do_not_fit_raises(sizes):
    with pytest.raises(ValueError, match="split: sizes"):
        ops.split(leaf([1.0, 2.0, 3.0]), sizes)


def test_splitting_by_one_size_leaves_the_rest_in_the_last_part():
    parts = ops.split(leaf(np.arange(5.0)), 2)
    assert [part.numpy().tolist() for part in parts] == [[0, 1], [2, 3], [4]]


def test_reshape_takes_sizes_or_a_tuple_and_numpy_integers():
    x = leaf(np.zeros(6))
    for shape in [(2, 3), ((2, 3),), ([2, 3],), (np.int64(2), 3), (2, -1)]:
        assert x.reshape(*shape).shape == (2, 3)
    assert x.reshape(np.int64(6)).shape == x.reshape(-1).shape == (6,)
    assert leaf([1.0]).reshape().shape == leaf([1.0]).reshape(()).shape == ()


def test_no_gradient_flows_through_integers():
    x = leaf([1.5])
    rounded = x.astype("int64")
    assert not rounded.requires_grad
    assert grad((x * rounded.astype("float64")).sum(), x)[0].numpy() == [1.0]


def test_astype_to_a_dtype_that_the_engine_does_not_compute_in_raises():
    for dtype in ("float16", "complex128", "no such dtype"):
        with pytest.raises(TypeError):
            leaf([1.0]).astype(dtype)


def test_the_gradient_of_astype_comes_back_in_the_operands_dtype():
    x = Tensor([1.0], requires_grad=True)
    assert grad((x.astype("float64") * 2).sum(), x)[0].dtype == np.float32


def test_joining_nothing_or_a_number_raises():
    with pytest.raises((TypeError, ValueError), match="op 'concatenate'"):
        ops.concatenate([])
    with pytest.raises((TypeError, ValueError), match="op 'concatenate'"):
        ops.concatenate([leaf([1.0]), 2.0])

"""Indexing: what a key may be, repeated elements, and what is refused."""

import numpy as np
import pytest

from minigen import Tensor, grad, gradcheck, ops


def leaf(value):
    return Tensor(value, requires_grad=True, dtype="float64")


def integers(*values):
    return Tensor(np.array(values, dtype="int64"))


def test_an_element_picked_twice_gets_both_gradients():
    x = leaf([1.0, 2.0, 3.0])
    z = x[integers(0, 2, 0)] * Tensor([1.0, 10.0, 100.0], dtype="float64")
    assert grad(z.sum(), x)[0].numpy().tolist() == [101.0, 0.0, 10.0]


def test_repeated_indices_beside_slices_and_new_axes_accumulate_to_the_second_order():
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    i, j = integers(1, 1, 0), integers(2, 2, -1)
    for key in [(i,), (i, slice(None, None, -1)), (i, slice(1, 3), j), (Ellipsis, i, j),
                (None, i, None, j), (0, i), (slice(None), 1, j)]:
        gradcheck(lambda x: x[key] * x[key], x, order=2)


def test_scatter_is_the_transpose_of_getitem():
    rng = np.random.default_rng(0)
    key = (integers(1, 1, 0), slice(0, 2))
    x, g = Tensor(rng.standard_normal((2, 3))), Tensor(rng.standard_normal((3, 2)))
    left = (x[key] * g).sum().item()
    right = (x * ops.scatter(g, key, (2, 3))).sum().item()
    assert left == pytest.approx(right, rel=1e-14)


def test_a_list_is_an_array_of_integers():
    x = leaf([1.0, 2.0, 3.0])
    assert x[[2, 0]].numpy().tolist() == [3.0, 1.0]
    assert x[[]].shape == (0,)


@pytest.mark.parametrize("key", [[True, False, True], np.array([True, False, True]),
                                 Tensor([1.0, 0.0, 1.0]) > 0])
def test_a_mask_is_refused(key):
    with pytest.raises(TypeError, match="mask"):
        leaf([1.0, 2.0, 3.0])[key]


@pytest.mark.parametrize("key", [[0.9, 1.9], Tensor([1.0]), np.array([1.0])])
def test_fractions_are_no_indices(key):
    with pytest.raises(TypeError, match="expected integers"):
        leaf([1.0, 2.0, 3.0])[key]


@pytest.mark.parametrize("key", [3, -4, integers(3), (0, 0)])
def test_an_index_out_of_range_raises_an_index_error_naming_the_op(key):
    with pytest.raises(IndexError, match="op 'getitem'"):
        leaf([1.0, 2.0, 3.0])[key]


@pytest.mark.parametrize("axis", [2, -3])
def test_take_along_an_axis_that_is_not_there_raises(axis):
    with pytest.raises(IndexError, match="take: axis"):
        ops.take(leaf([[1.0, 2.0]]), integers(0), axis)


def test_a_tensor_is_iterated_and_unpacked_along_its_first_axis():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert [row.numpy().tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    a, b = x
    assert grad((b * b).sum(), x)[0].numpy().tolist() == [[0.0, 0.0], [6.0, 8.0]]
    with pytest.raises(TypeError):
        iter(x.sum())


def test_embedding_adds_up_the_gradient_of_a_row_used_twice():
    weight = leaf(np.zeros((3, 2)))
    z = ops.embedding(weight, integers([1, 1], [2, 1]))
    assert z.shape == (2, 2, 2)
    assert grad(z.sum(), weight)[0].numpy().tolist() == [[0, 0], [3, 3], [1, 1]]

"""Matrix products: every pair of shapes that NumPy takes, and errors for the others."""

import numpy as np
import pytest

from minigen import Tensor, gradcheck, ops

SHAPES = [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2)),
          ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((4, 1, 2, 3), (2, 3, 2)), ((0, 3), (3, 2)),
          ((2, 0), (0, 2)), ((1, 1), (1, 1))]


@pytest.mark.parametrize("a, b", SHAPES)
def test_vectors_matrices_and_batches_differentiate_twice(a, b):
    rng = np.random.default_rng(0)
    gradcheck(ops.matmul, [Tensor(rng.standard_normal(a)), Tensor(rng.standard_normal(b))], order=2)


@pytest.mark.parametrize("a, b", [((2, 3), (2, 3)), ((), (2,)), ((2,), ()), ((2, 2, 3), (3, 3, 2))])
def test_shapes_that_do_not_match_raise_naming_both(a, b):
    with pytest.raises(ValueError, match="op 'matmul'") as error:
        ops.matmul(Tensor(np.zeros(a)), Tensor(np.zeros(b)))
    assert f"a: {a} float64" in str(error.value) and f"b: {b} float64" in str(error.value)
    assert "expected: a (..., n, k)" in str(error.value)


def test_a_number_is_no_matrix():
    with pytest.raises((TypeError, ValueError), match="op 'matmul'"):
        Tensor([[1.0]]) @ 2.0


@pytest.mark.parametrize("column, row", [((3, 1), (1, 4)), ((2, 3, 1), (1, 4)),
                                         ((2, 1, 3, 1), (5, 1, 4))])
def test_a_column_times_a_row_is_a_table_of_products(column, row):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(column), rng.standard_normal(row)
    np.testing.assert_array_equal(ops.matmul(Tensor(a), Tensor(b)).numpy(), np.matmul(a, b))


def test_a_column_is_no_match_for_two_rows():
    with pytest.raises(ValueError, match="op 'matmul'"):
        ops.matmul(Tensor(np.ones((3, 1))), Tensor(np.ones((2, 4))))

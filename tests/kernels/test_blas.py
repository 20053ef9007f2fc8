"""Products are NumPy's, BLAS's threads come back, and all goes on without a switch for them."""

import numpy as np
import pytest

from minigen.kernels import blas
from minigen.kernels.parallel import in_parallel

SHAPES = [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)),
          ((2, 1, 3, 4), (3, 4, 5)), ((6, 1), (1, 7)), ((0, 4), (4, 5)), ((3, 0), (0, 5)),
          ((200, 100), (100, 300))]


@pytest.fixture
def threads_come_back():
    """After the test BLAS must have as many threads as before."""
    before = blas.threads()
    yield
    assert blas.threads() == before


@pytest.fixture
def another_blas(monkeypatch):
    monkeypatch.setattr(blas, "switch", lambda: None)


@pytest.mark.parametrize("a, b", SHAPES)
def test_a_product_is_numpys(a, b, threads_come_back):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 10, a).astype(float), rng.integers(-9, 10, b).astype(float)
    np.testing.assert_array_equal(blas.product(a, b), a @ b)


def test_a_scalar_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        blas.product(np.ones(3), 2.0)


def test_within_there_is_one_thread_and_an_error_gives_the_others_back(threads_come_back):
    with pytest.raises(ZeroDivisionError):
        with blas.one_thread():
            assert blas.threads() == 1
            raise ZeroDivisionError


def test_small_products_take_one_core_and_large_ones_all(threads_come_back, monkeypatch):
    seen = []
    monkeypatch.setattr(blas, "switch", lambda: (lambda: 7, seen.append))
    small, large = np.ones((50, 50), np.float32), np.ones((128, 128), np.float32)
    blas.product(large, large)
    assert seen == []
    blas.product(small, small)
    assert seen == [1, 7]


def test_on_another_blas_nothing_has_an_effect(another_blas):
    assert blas.threads() == 1
    with blas.one_thread():
        np.testing.assert_array_equal(blas.product(np.ones((2, 3)), np.ones((3, 2))), 3.0)


def test_our_threads_are_no_more_than_blas_has(another_blas):
    names = []
    in_parallel(lambda group: names.append(group), range(5))
    assert names == [0, 1, 2, 3, 4]  # in order: by one thread


def test_our_threads_compute_their_products_themselves(threads_come_back):
    seen = []
    in_parallel(lambda group: seen.append(blas.threads()), range(4))
    assert seen == [1] * 4

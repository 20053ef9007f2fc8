"""The stand-in for CuPy is as strict as it says, and its lists are true of CuPy."""

import inspect
import re

import numpy as np
import pytest

from minigen import Tensor, use

from . import strict


@pytest.fixture
def xp():
    return strict.module


def test_nothing_becomes_a_numpy_array_unasked(xp):
    x = xp.ones((2, 2))
    for escape in (np.asarray, np.exp, np.sum, np.array, lambda x: np.stack([x]),
                   lambda x: np.zeros((2, 2))[x]):
        with pytest.raises((TypeError, IndexError)):
            escape(x)
    assert isinstance(xp.asnumpy(x), np.ndarray)


@pytest.mark.parametrize("mix", [lambda s, n: s + n, lambda s, n: n + s, lambda s, n: n * s,
                                 lambda s, n: s @ n, lambda s, n: n > s, lambda s, n: s[n],
                                 lambda s, n: strict.module.maximum(s, n),
                                 lambda s, n: strict.module.where(n > 0, s, s),
                                 lambda s, n: strict.module.concatenate([s, n])])
def test_strict_and_numpy_arrays_do_not_mix(xp, mix):
    with pytest.raises(TypeError):
        mix(xp.ones((2, 2)), np.ones((2, 2), dtype=int))


def test_mixing_in_place_is_refused_both_ways(xp):
    with pytest.raises(TypeError):
        x = xp.ones(2)
        x += np.ones(2)
    with pytest.raises(TypeError):
        x = np.ones(2)
        x += xp.ones(2)


def test_what_cupy_lacks_is_not_there(xp):
    for name in ("random", "errstate", "vectorize", "isclose_", "unique_counts", "spacing"):
        assert not hasattr(xp, name)
    for call in (lambda: xp.max(xp.ones(2), initial=0), lambda: xp.ones(2).sum(where=True),
                 lambda: xp.exp(xp.ones(2), where=True)):
        with pytest.raises(TypeError, match="CuPy takes"):
            call()


def test_reductions_and_single_elements_are_arrays_without_axes(xp):
    x = xp.ones((2, 3))
    for value in (x.sum(), xp.sum(x), x[0, 0], x.max(), x.mean() * 2, x.sum() > 1):
        assert isinstance(value, xp.ndarray) and value.shape == ()


def test_indices_out_of_range_wrap_around(xp):
    x = xp.asarray(np.arange(6.0).reshape(2, 3))
    index = xp.asarray(np.array([3, -4, 1]))
    assert x[:, index].get().tolist() == [[0, 2, 1], [3, 5, 4]]
    assert x[..., index].get().tolist() == [[0, 2, 1], [3, 5, 4]]
    with pytest.raises(IndexError):
        x[2]


def test_a_sync_is_noticed(xp):
    x = xp.ones((), dtype=int)
    use(strict.install())
    loss = (Tensor([2.0]) * 2).sum()
    for sync in (float, int, bool, lambda x: x.item(), xp.asnumpy, lambda x: x[x > 0],
                 lambda x: x.tolist(), range, lambda _: loss.item(),
                 lambda _: loss.numpy(), lambda _: bool(loss > 0), lambda _: repr(loss)):
        sync(x)
        with strict.no_sync(), pytest.raises(strict.HostSync):
            sync(x)


def words(function):
    """The argument names of a CuPy function; its docstring has them where it is compiled."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set(re.findall(r"(\w+)\s*[=,)]", function.__doc__.split("\n")[0]))


def test_the_lists_of_the_stand_in_are_true_of_cupy():
    cupy = pytest.importorskip("cupy")
    for name in strict.UFUNCS:
        assert hasattr(cupy, name), name
    for owner, table in ((cupy, strict.FUNCTIONS), (cupy.ndarray, strict.METHODS)):
        for name, keywords in table.items():
            assert hasattr(owner, name), name
            assert set(keywords.split()) <= words(getattr(owner, name)), name

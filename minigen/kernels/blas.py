"""Matrix products are BLAS's, and so are its threads: how many there are, and a way to use one.

After a product BLAS's threads wait for the next one by spinning, for some 20 ms, and take the cores
from whoever else has work for them. So a small product stays on one core, and where we have threads
of our own, in `parallel.py`, each computes its products itself.

NumPy has no switch for this. Its wheels bring an OpenBLAS, which has one. On another BLAS nothing
here has an effect: it counts one thread, and does as it likes.
"""

import ctypes
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from ..backend import Array

SMALL = 1 << 20                                     # multiplications: on one core, some 30 µs


@cache
def switch() -> tuple[Any, Any] | None:
    """OpenBLAS's functions that read and set the number of threads, if this NumPy has them."""
    for path in sorted((Path(np.__file__).parents[1] / "numpy.libs").glob("*openblas*")):
        library = ctypes.CDLL(str(path))
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_"):
            if hasattr(library, name.format("set")):
                return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None


def threads() -> int:
    """How many threads a product takes: OPENBLAS_NUM_THREADS, or as many as there are cores."""
    found = switch()
    return found[0]() if found else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Products within are computed by the thread that asks for them."""
    found, before = switch(), threads()
    if found:
        found[1](1)
    try:
        yield
    finally:
        if found:
            found[1](before)


def product(a: Array, b: Array) -> Array:
    """a @ b, for arrays of any library; ValueError for a scalar."""
    if not (getattr(a, "ndim", 0) and getattr(b, "ndim", 0)):
        raise ValueError("a scalar is no matrix")
    if min(a.ndim, b.ndim) > 1 and a.shape[-1] == b.shape[-2] == 1:
        return a * b                                # for which BLAS takes ten times as long
    if isinstance(a, np.ndarray) and a.size * b.shape[-1] < SMALL:
        with one_thread():
            return a @ b
    return a @ b

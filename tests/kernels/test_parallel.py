"""One loop on all cores: every group once, errors come out, and a forked child has threads too."""

import multiprocessing
import os

import numpy as np
import pytest

from minigen.kernels.adain import adain
from minigen.kernels.parallel import in_parallel


def cut(n, size):
    return [slice(i, i + size) for i in range(0, n, size)]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_every_group_is_worked_on_once(count):
    touched = np.zeros(count)

    def work(group):
        touched[group] += 1

    in_parallel(work, cut(count, 1))
    np.testing.assert_array_equal(touched, 1)


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
def test_an_error_in_any_group_comes_out(bad):
    def work(group):
        if group.start == bad:
            raise ZeroDivisionError(f"group {bad}")

    with pytest.raises(ZeroDivisionError, match=f"group {bad}"):
        in_parallel(work, cut(4, 1))


def first_pixel():
    x = np.random.default_rng(0).standard_normal((64, 32, 32, 32)).astype(np.float32)
    one = np.ones((64, 32), np.float32)
    return float(adain(x, one, one, 1e-5)[0][-1, 0, 0, 0])


def put_first_pixel(queue):
    queue.put(first_pixel())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_threads_of_its_own():
    here = first_pixel()  # starts the parent's threads, which the child will lack
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=put_first_pixel, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=20) == here
    finally:
        child.kill()
        child.join()

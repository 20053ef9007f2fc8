"""One loop on all cores: NumPy's loops and products release the GIL, so plain threads do."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Callable, Sequence, TypeVar

from . import blas

Group = TypeVar("Group")
CORES = os.cpu_count() or 1


@cache
def helpers() -> ThreadPoolExecutor:
    """Threads for all cores but one, started at the first call and kept: a start costs 0.1 ms."""
    return ThreadPoolExecutor(max(1, CORES - 1), "minigen")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork; a child starts its own
    os.register_at_fork(after_in_child=helpers.cache_clear)


def in_parallel(work: Callable[[Group], None], groups: Sequence[Group]) -> None:
    """Call `work` on every group. This thread takes its share: waiting would waste a core.

    There are as many threads as BLAS has, and BLAS's own rest meanwhile. Which thread takes a group
    makes no difference to what it computes: groups must not overlap.
    """
    count = min(CORES, blas.threads(), len(groups))

    def take(share: int) -> None:
        for group in groups[share::count]:
            work(group)

    with blas.one_thread():
        others = [helpers().submit(take, share) for share in range(1, count)]
        if groups:
            take(0)
        for other in others:
            other.result()  # an error in a thread is raised here

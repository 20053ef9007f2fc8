"""Timing: the same work done by two libraries, in turns of a block each.

Turns shorter than a block would let the two thread pools slow each other down: the one that has
just worked keeps its threads awake for a while. A figure is the median over blocks of the time for
one piece of work; what to quote is the ratio, since machines differ and drift.

On a GPU the time is that between two CUDA events, before and after a block. Both libraries queue
their kernels on the default stream, so one kind of event serves both. For small work that is the
time the host takes to launch it, as it is in training.
"""

import statistics
import time
from typing import Any, Callable, Sequence

Work = Callable[[], Any]
Clock = Callable[[Work, int], float]    # microseconds that one of `count` pieces of work takes


def host_clock(work: Work, count: int) -> float:
    """Microseconds for one piece of work, by the host's clock."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count * 1e6


def gpu_clock(work: Work, count: int) -> float:
    """Microseconds for one piece of work, between two CUDA events."""
    import cupy
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    for _ in range(count):
        work()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(start, end) / count * 1e3


def in_turns(works: Sequence[Work], clock: Clock, blocks: int, seconds: float) -> list[float]:
    """The median microseconds for each piece of work, over `blocks` blocks of about `seconds`."""
    counts = [_count(work, clock, seconds) for work in works]
    times: list[list[float]] = [[] for _ in works]
    for _ in range(blocks):
        for work, count, taken in zip(works, counts, times):
            work()                      # not counted: it wakes this library's threads
            taken.append(clock(work, count))
    return [statistics.median(taken) for taken in times]


def _count(work: Work, clock: Clock, seconds: float) -> int:
    """How many times `work` fills a block; trying it out also warms up."""
    clock(work, 2)
    return max(1, round(seconds / (clock(work, 3) * 1e-6)))

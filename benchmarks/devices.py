"""The devices that a benchmark may run on, and how fast each can multiply and copy at best."""

from typing import Any, NamedTuple

from timing import Clock, Work, gpu_clock, host_clock

import minigen as mg
from minigen import backend

try:
    import torch
except ImportError:                     # minigen is then measured alone
    torch: Any = None


class Device(NamedTuple):
    """A device, as each library calls it, and the clock to time it with."""

    name: str
    minigen: str
    torch: str
    clock: Clock


CPU = Device("CPU", "numpy", "cpu", host_clock)
GPU = Device("GPU", "cupy", "cuda", gpu_clock)


def missing(device: Device) -> str:
    """Why nothing can be measured on a device; empty if it can."""
    try:
        backend.module(device.minigen)
    except mg.BackendError as error:
        return str(error)
    return ""


def float32_only(on: bool = True) -> None:
    """Let PyTorch round the factors of a product to TF32 (10 bits of mantissa) on a GPU, or not.

    It may also try cuDNN's algorithms for each shape and keep the fastest.
    """
    if torch is not None:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = not on
        torch.backends.cuda.matmul.allow_tf32 = not on


class Rates(NamedTuple):
    """A device's best: 10⁹ operations a second in a float32 matrix product (a multiplication and
    an addition are two), and 10⁹ bytes a second that a copy reads and writes."""

    gflops: float
    gbytes: float


def measure_rates(device: Device) -> Rates:
    """The better of both libraries, at sizes that no cache holds."""
    n, numbers = (2048, 2**25) if device is CPU else (8192, 2**28)
    products, copies = zip(*_products_and_copies(device, n, numbers))
    return Rates(2 * n**3 / _fastest(products, device) * 1e-3,
                 2 * 4 * numbers / _fastest(copies, device) * 1e-3)


def _products_and_copies(device: Device, n: int, numbers: int) -> list[tuple[Work, Work]]:
    """For each library: the product of two n x n matrices, and a copy of so many numbers."""
    xp = backend.module(device.minigen)
    a, x, y = xp.ones((n, n), "f"), xp.ones(numbers, "f"), xp.ones(numbers, "f")
    works: list[tuple[Work, Work]] = [(lambda: a @ a, lambda: xp.copyto(y, x))]
    if torch is not None:
        with torch.device(device.torch):
            b, u, v = torch.ones(n, n), torch.ones(numbers), torch.ones(numbers)
        works.append((lambda: b @ b, lambda: v.copy_(u)))
    return works


def _fastest(works: Any, device: Device) -> float:
    """The fewest microseconds that any of the works took in a few tries."""
    for work in works:
        work()
    return min(device.clock(work, 1) for work in works for _ in range(5))

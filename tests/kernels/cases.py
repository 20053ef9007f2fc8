"""The shapes on which kernels are tried, and how far their numbers may be from float64's.

The same cases run on the CPU (test_execute), against planted bugs (test_mutants) and on a GPU
(test_gpu).
"""

from typing import Any, Callable, NamedTuple

import numpy as np

from minigen.kernels import cuda, reference

TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def same(array: Any) -> Any:
    return array


def check(what: str, got: np.ndarray, want: np.ndarray) -> None:
    """Largest error over largest value; 0 is expected exactly."""
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    error = np.abs(got - want).max() / (np.abs(want).max() or 1)
    assert error <= TOLERANCE[str(got.dtype)], f"{what}: relative error {error:.1e}"


class Conv(NamedTuple):
    """A convolution x, w -> y. That H and W are given covers every output padding."""

    name: str
    x: tuple[int, int, int, int]
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


CONVOLUTIONS = [
    Conv("3x3, padded", (2, 5, 9, 7), 6, (3, 3), (1, 1), (1, 1)),
    Conv("more channels than a small tile has rows", (2, 5, 9, 8), 70, (3, 3), (2, 2), (1, 1)),
    Conv("4x4, stride 2", (2, 3, 10, 10), 5, (4, 4), (2, 2), (1, 1)),
    Conv("stride 3, last pixels unreached", (1, 2, 10, 11), 3, (3, 3), (3, 3)),
    Conv("everything rectangular", (1, 3, 8, 9), 4, (3, 2), (3, 2), (1, 0)),
    Conv("1x1", (1, 67, 8, 8), 4, (1, 1)),
    Conv("kernel smaller than stride", (2, 3, 7, 8), 4, (1, 2), (2, 3)),
    Conv("kernel as large as the image", (3, 2, 4, 5), 3, (4, 5)),
    Conv("fewer pixels than phases", (2, 3, 1, 5), 4, (1, 3), (3, 2)),
    Conv("padding larger than the kernel", (1, 2, 3, 4), 2, (2, 3), (1, 2), (3, 4)),
    Conv("one of everything", (1, 1, 1, 1), 1, (1, 1)),
    Conv("one channel in and out", (1, 1, 12, 12), 1, (5, 5), (1, 1), (2, 2)),
    Conv("weight gradient in two parts", (2, 3, 17, 19), 5, (3, 3), (1, 1), (1, 1)),
]

# rows = cols = depth, for all three kernels at once
TILE_EDGES = [Conv(f"{n} by {n} by {n}", (1, n, 1, n), n, (1, 1))
              for n in (63, 64, 65, 127, 128, 129)]


def check_conv(case: Conv, dtype: Any, to: Callable = same, back: Callable = same) -> None:
    """Forward and both gradients against the reference in float64. `to` moves to the device."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.x).astype(dtype)
    w = rng.standard_normal((case.channels, case.x[1], *case.kernel)).astype(dtype)
    y = reference.conv2d(x.astype(float), w.astype(float), case.stride, case.padding)
    g = rng.standard_normal(y.shape).astype(dtype)
    how = case.stride, case.padding
    hw = case.x[2:]

    check("conv2d", back(cuda.conv2d(to(x), to(w), *how)), y)
    check("conv2d_input_grad", back(cuda.conv2d_input_grad(to(g), to(w), *how, hw)),
          reference.conv2d_input_grad(g.astype(float), w.astype(float), *how, hw))
    check("conv2d_weight_grad", back(cuda.conv2d_weight_grad(to(x), to(g), *how, case.kernel)),
          reference.conv2d_weight_grad(x.astype(float), g.astype(float), *how, case.kernel))


PLANES = [
    (2, 3, 7, 5),                      # odd: one pixel at a time
    (1, 2, 32, 32),                    # four pixels at a time, four warps
    (2, 2, 1, 1),                      # a plane of one pixel
    (3, 1, 6, 6),                      # fewer packs than a warp has threads
    (1, 2, 64, 64),                    # as many threads as there are
    (1, 1, 84, 86),                    # backward: two planes are too large to stage
    (1, 1, 109, 113),                  # too large, and odd
    (1, 1, 128, 128),                  # too large, four at a time
]


def check_adain(shape: tuple[int, ...], dtype: Any, to: Callable = same,
                back: Callable = same) -> None:
    """AdaIN forward and backward against the reference in float64."""
    rng = np.random.default_rng(1)
    x = (1 + 2 * rng.standard_normal(shape)).astype(dtype)
    g = rng.standard_normal(shape).astype(dtype)
    scale, shift = rng.standard_normal((2, *shape[:2])).astype(dtype)
    eps = 1e-5
    want = reference.adain(x.astype(float), scale.astype(float), shift.astype(float), eps)
    got = [back(array) for array in cuda.adain(to(x), to(scale), to(shift), eps)]
    for name, got_array, want_array in zip(("y", "mean", "rstd"), got, want):
        check(f"adain {name}", got_array, want_array)

    _, mean, rstd = (array.astype(dtype) for array in want)
    want = reference.adain_backward(
        *(array.astype(float) for array in (g, x, scale, mean, rstd)))
    got = [back(array)
           for array in cuda.adain_backward(*(to(array) for array in (g, x, scale, mean, rstd)))]
    for name, got_array, want_array in zip(("gx", "gscale", "gshift"), got, want):
        check(f"adain_backward {name}", got_array, want_array)

"""The cases of test_execute, through CuPy on a real GPU."""

import numpy as np
import pytest

from minigen import backend
from minigen.kernels import cuda, reference

from .cases import CONVOLUTIONS, PLANES, TILE_EDGES, Conv, check, check_adain, check_conv

pytestmark = pytest.mark.gpu

TILES = {"large": (cuda.LARGE, np.float32), "wide": (cuda.WIDE, np.float32),
         "small": (cuda.SMALL, np.float32), "float64": (cuda.SMALL, np.float64)}

# Too large for the CPU executor: whole grids of each tile, chosen by choose_tile itself.
LARGE_CASES = [
    Conv("the 3x3 layer of a residual network", (64, 64, 56, 56), 64, (3, 3), (1, 1), (1, 1)),
    Conv("a generator's 4x4 layer", (64, 128, 16, 16), 64, (4, 4), (2, 2), (1, 1)),
    Conv("many channels", (16, 256, 28, 28), 256, (3, 3), (1, 1), (1, 1)),
]


@pytest.fixture(scope="module")
def cupy():
    try:
        return backend.module("cupy")
    except backend.BackendError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("case", [*CONVOLUTIONS, *TILE_EDGES], ids=lambda case: case.name)
def test_convolutions_agree_with_float64(case, tile, cupy, monkeypatch):
    chosen, dtype = TILES[tile]
    monkeypatch.setattr(cuda, "choose_tile", lambda *_: chosen)
    check_conv(case, dtype, cupy.asarray, cupy.asnumpy)


@pytest.mark.parametrize("case", LARGE_CASES, ids=lambda case: case.name)
def test_large_convolutions_agree_with_the_reference_on_the_gpu(case, cupy):
    rng = np.random.default_rng(0)
    how = case.stride, case.padding
    w_shape = (case.channels, case.x[1], *case.kernel)
    y_shape = cuda.conv2d_shape("test", case.x, w_shape, *how)
    x, w, g = (cupy.asarray(rng.standard_normal(shape), np.float32)
               for shape in (case.x, w_shape, y_shape))

    def all_three(functions, x, w, g):
        return {"y": functions.conv2d(x, w, *how),
                "gx": functions.conv2d_input_grad(g, w, *how, case.x[2:]),
                "gw": functions.conv2d_weight_grad(x, g, *how, case.kernel)}

    got = all_three(cuda, x, w, g)
    want = all_three(reference, *(array.astype(np.float64) for array in (x, w, g)))
    for name in got:
        check(f"{case.name}: {name}", cupy.asnumpy(got[name]), cupy.asnumpy(want[name]))


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", [*PLANES, (32, 64, 32, 32)], ids=str)
def test_adain_agrees_with_float64(shape, dtype, cupy):
    check_adain(shape, dtype, cupy.asarray, cupy.asnumpy)


def test_weight_gradients_are_the_same_bits_every_time(cupy):
    x = cupy.asarray(np.random.default_rng(0).standard_normal((32, 16, 28, 28)), np.float32)
    g = cupy.asarray(np.random.default_rng(1).standard_normal((32, 32, 28, 28)), np.float32)
    runs = [cuda.conv2d_weight_grad(x, g, (1, 1), (1, 1), (3, 3)) for _ in range(5)]
    assert all(bool((run == runs[0]).all()) for run in runs)

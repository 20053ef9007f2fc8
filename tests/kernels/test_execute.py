"""The kernels, run on the CPU: numbers against float64, under every schedule that could hurt."""

import numpy as np
import pytest

from minigen.kernels import cuda, launch

from .cases import CONVOLUTIONS, PLANES, TILE_EDGES, check_adain, check_conv
from .shim.cpu_module import CpuModule, KernelError, Schedule

SCHEDULES = {
    "in turn": Schedule("in turn", "after"),
    "reversed": Schedule("reversed", "before"),
    "random": Schedule("random", "after", isolated=True),
}
TILES = {"large": (cuda.LARGE, np.float32), "wide": (cuda.WIDE, np.float32),
         "small": (cuda.SMALL, np.float32), "float64": (cuda.SMALL, np.float64)}


def by_name(case):
    return case.name if hasattr(case, "name") else "x".join(map(str, case))


@pytest.fixture(params=SCHEDULES)
def schedule(request, run_on_cpu):
    run_on_cpu(SCHEDULES[request.param])


@pytest.fixture(params=TILES)
def dtype(request, monkeypatch):
    """The dtype; the fixture also makes every convolution use one tile."""
    tile, dtype = TILES[request.param]
    monkeypatch.setattr(cuda, "choose_tile", lambda *_: tile)
    return dtype


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=by_name)
def test_convolutions_agree_with_float64(case, dtype, schedule):
    check_conv(case, dtype)


@pytest.mark.parametrize("case", TILE_EDGES, ids=by_name)
def test_tiles_have_no_seams(case, dtype, run_on_cpu):
    run_on_cpu(Schedule("random", "after", isolated=True))
    check_conv(case, dtype)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape", PLANES, ids=by_name)
def test_adain_agrees_with_float64(shape, dtype, schedule):
    check_adain(shape, dtype)


def test_the_tile_chosen_for_a_shape_works(run_on_cpu):
    """No patched choice: 128 blocks of pixels, so the WIDE tile and the whole Python path."""
    run_on_cpu()
    assert cuda.choose_tile(8, 128 * 128, 1, np.float32) is cuda.WIDE
    check_conv(CONVOLUTIONS[0]._replace(x=(1, 1, 128, 128), channels=8), np.float32)


def test_weight_gradients_are_the_same_bits_in_any_order(run_on_cpu):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 40, 40)).astype(np.float32)
    g = rng.standard_normal((2, 5, 38, 38)).astype(np.float32)
    results = []
    for schedule in SCHEDULES.values():
        run_on_cpu(schedule)
        results.append(cuda.conv2d_weight_grad(x, g, (1, 1), (0, 0), (3, 3)))
    assert all((result == results[0]).all() for result in results)
    assert cuda.choose_parts(1, 2 * 38 * 38) == 11       # it was a sum of parts


def test_views_that_are_not_contiguous_are_read_rightly(run_on_cpu):
    run_on_cpu()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 5, 4, 2)).astype(np.float32).transpose(3, 2, 1, 0)
    w = rng.standard_normal((3, 3, 4, 2)).astype(np.float32).transpose(3, 2, 1, 0)
    assert not x.flags.c_contiguous
    want = cuda.conv2d(np.ascontiguousarray(x), np.ascontiguousarray(w), (1, 1), (1, 1))
    assert (cuda.conv2d(x, w, (1, 1), (1, 1)) == want).all()

    plane = x[:, :, :, ::2]
    scale = np.ones((6, 2), np.float32).T[:, :4]
    want = cuda.adain(np.ascontiguousarray(plane), np.ascontiguousarray(scale), scale, 1e-5)
    assert (cuda.adain(plane, scale, scale, 1e-5)[0] == want[0]).all()


def test_adain_of_an_unaligned_array_reads_single_pixels(run_on_cpu):
    run_on_cpu()
    memory = np.random.default_rng(0).standard_normal(4 * 4 + 4).astype(np.float32)
    start = next(i for i in range(4) if memory[i:].ctypes.data % 16 == 4)
    x = memory[start:start + 16].reshape(1, 1, 4, 4)
    ones = np.ones((1, 1), np.float32)
    y, mean, _ = cuda.adain(x, ones, ones, 1e-5)
    assert abs(mean - x.mean()) < 1e-6 and abs(y.mean() - 1) < 1e-6


def test_a_constant_plane_and_a_scale_of_zero_are_harmless(run_on_cpu):
    run_on_cpu()
    x = np.full((1, 2, 5, 5), 0.1, np.float32)
    x[0, 1] = np.arange(25).reshape(5, 5)
    scale = np.array([[2, 0]], np.float32)
    shift = np.array([[3, 4]], np.float32)
    y, mean, rstd = cuda.adain(x, scale, shift, 1e-5)
    np.testing.assert_allclose(y[0, 0], 3, atol=1e-4)
    np.testing.assert_array_equal(y[0, 1], 4)
    gx, gscale, gshift = cuda.adain_backward(x, x, scale, mean, rstd)
    assert all(np.isfinite(array).all() for array in (gx, gscale, gshift))
    np.testing.assert_array_equal(gx[0, 1], 0)
    assert gscale[0, 1] > 1                              # scale can leave 0 again


def test_adain_keeps_its_digits_when_the_mean_is_large(run_on_cpu):
    """E[x^2] - E[x]^2 in float32 would have no correct digit here."""
    run_on_cpu()
    x = (5000 + np.random.default_rng(0).standard_normal((1, 1, 32, 32))).astype(np.float32)
    ones = np.ones((1, 1), np.float32)
    _, _, rstd = cuda.adain(x, ones, ones, 1e-5)
    np.testing.assert_allclose(rstd, 1 / x.astype(float).std(), rtol=1e-4)


def test_empty_batches_give_empty_outputs_and_zero_gradients(run_on_cpu):
    run_on_cpu()
    x = np.zeros((0, 2, 5, 5), np.float32)
    w = np.ones((3, 2, 3, 3), np.float32)
    g = np.zeros((0, 3, 3, 3), np.float32)
    assert cuda.conv2d(x, w, (1, 1), (0, 0)).shape == g.shape
    assert cuda.conv2d_input_grad(g, w, (1, 1), (0, 0), (5, 5)).shape == x.shape
    np.testing.assert_array_equal(
        cuda.conv2d_weight_grad(x, g, (1, 1), (0, 0), (3, 3)), np.zeros_like(w))
    no_statistics = np.zeros((0, 2), np.float32)
    y, mean, rstd = cuda.adain(x, no_statistics, no_statistics, 1e-5)
    assert y.shape == x.shape and mean.shape == (0, 2)
    assert cuda.adain_backward(y, x, mean, mean, rstd)[0].shape == x.shape


def test_division_by_multiplication_is_exact(run_on_cpu):
    """struct Divisor of conv.cu, for divisors and dividends at and beside the powers of two."""
    run_on_cpu()
    kernel = '''
    extern "C" __global__ void divide(const int* n, const int* d, int* quotient, int count)
    {
        for (int i = threadIdx.x; i < count; i += 32)
            quotient[i] = Divisor(n[i]).divide(d[i]);
    }
    '''
    corners = {2**power + by for power in range(31) for by in (-1, 0, 1)} | {2**31 - 1}
    divisors = np.array(sorted(corners - {0}))
    rng = np.random.default_rng(0)
    n = np.concatenate([np.repeat(divisors, divisors.size), rng.integers(1, 5000, 20000)])
    d = np.concatenate([np.tile(divisors, divisors.size), rng.integers(0, 2**31, 20000)])
    n, d = n.astype(np.int32), d.astype(np.int32)
    got = np.empty_like(n)
    options = cuda.SMALL.kernel("conv_forward", np.float32).options
    module = CpuModule(launch.read_source("conv.cu") + kernel, options)
    module.get_function("divide")((1,), (32,), (n, d, got, np.int32(n.size)))
    np.testing.assert_array_equal(got, d // n)


# ---- the executor itself must notice what it promises to notice --------------------------------

HEAD = 'extern "C" __global__ void bad(float* out, int n)\n'
CRIMES = {
    "a write after the array": "out[n + threadIdx.x] = 1;",
    "a write before the array": "out[-1] = 1;",
    "a barrier that half of the block skips": "if (threadIdx.x < 16) __syncthreads(); out[0] = 1;",
    "two different barriers": "if (threadIdx.x < 16) __syncthreads(); else { __syncthreads(); }\n",
    "a shuffle that a lane misses":
        "if (threadIdx.x > 0) out[0] = __shfl_xor_sync(0xffffffffu, 1.f, 1);",
    "an index outside a shared array":
        "__shared__ float tile[8]; tile[threadIdx.x] = 1; out[0] = tile[n % 8];",
    "dynamic shared memory that was not asked for":
        "\nextern __shared__ float pad[];\n pad[n] = 1; out[0] = pad[n];",
    "two blocks writing one element": "out[0] = blockIdx.x;",
}


@pytest.mark.parametrize("guard", ("after", "before"))
@pytest.mark.parametrize("crime", CRIMES)
def test_the_executor_catches(crime, guard, run_on_cpu):
    run_on_cpu()
    body = CRIMES[crime].replace("else {", "else {\n")   # barriers are told apart by line
    module = CpuModule(f"{HEAD}{{ {body} }}", (), Schedule("reversed", guard, isolated=True))
    with pytest.raises(KernelError):
        module.get_function("bad")((3,), (32,), (np.zeros(5, np.float32), np.int32(5)))

"""The launch helper: what it lets through, and what its errors say."""

import subprocess
import sys
import types

import numpy as np
import pytest

from minigen import backend
from minigen.kernels import cuda, launch
from minigen.kernels.launch import Kernel, declared_parameters


class Recorder:
    """Stands for a compiled module: keeps what it is called with."""

    def __init__(self):
        self.calls = []

    def compile(self, code, options):
        self.options = options
        return self

    def get_function(self, name):
        return lambda grid, block, args, shared_mem: self.calls.append((name, grid, block, args))


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(launch, "compile_module", recorder.compile)
    return recorder


def plane_arguments(**changes):
    """Valid arguments of adain_forward, with changes."""
    plane, numbers = np.ones((1, 2, 3, 3), np.float32), np.ones((1, 2), np.float32)
    arguments = dict(x=plane, scale=numbers, shift=numbers, y=plane.copy(), mean=numbers.copy(),
                     rstd=numbers.copy(), pixels=9, staged=9, eps=1e-5)
    return {**arguments, **changes}


ADAIN = Kernel("adain.cu", "adain_forward", Real="float", PACK=1)


def test_importing_minigen_imports_no_cupy():
    check = "import sys, minigen.kernels.cuda; sys.exit('cupy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_scalars_take_the_declared_type_and_inputs_become_contiguous(recorder):
    wide = np.ones((1, 2, 3, 6), np.float32)[:, :, :, ::2]
    ADAIN((2,), (32,), 36, **plane_arguments(x=wide))
    name, grid, block, args = recorder.calls[0]
    assert (name, grid, block) == ("adain_forward", (2,), (32,))
    assert args[0].flags.c_contiguous and (args[0] == wide).all()
    assert [type(value) for value in args[6:]] == [np.int32, np.int32, np.float32]
    assert recorder.options == ("-DReal=float", "-DPACK=1")


def test_a_module_is_compiled_once(monkeypatch):
    compilations = []

    def compile_module(code, options):
        compilations.append(options)
        return Recorder()

    monkeypatch.setattr(launch, "compile_module", compile_module)
    for _ in range(3):
        ADAIN((2,), (32,), **plane_arguments())
    Kernel("adain.cu", "adain_forward", Real="float", PACK=1)((2,), (32,), **plane_arguments())
    assert len(compilations) == 1


def test_declarations_are_read_from_the_source():
    code = launch.read_source("conv.cu")
    parameters = declared_parameters(code, "conv_forward")
    assert [p.name for p in parameters] == ["x", "w", "y", "shape"]
    assert [p.type for p in parameters] == ["Real", "Real", "Real", "Shape"]
    assert [p.is_output for p in parameters] == [False, False, True, False]
    with pytest.raises(LookupError, match="conv_backward"):
        declared_parameters(code, "conv_backward")


READ_ONLY_VIEW = np.ones((1, 2, 3, 6), np.float32)[:, :, :, ::2]

MISTAKES = {
    "float64 for float": (dict(x=np.ones((1, 2, 3, 3))),
                          "adain_forward: argument x: expected float32, got float64"),
    "a list for an array": (dict(scale=[1, 2]),
                            "adain_forward: argument scale: expected an array, got list"),
    "a strided output": (dict(y=READ_ONLY_VIEW),
                         "adain_forward: argument y: expected a contiguous array to write to"),
    "a float for an int": (dict(pixels=9.0),
                           "adain_forward: argument pixels: expected an int, got 9.0"),
    "an int of 33 bits": (dict(pixels=2**32),
                          "adain_forward: argument pixels: expected an int of 32 bits"),
    "a word for a number": (dict(eps="small"),
                            "adain_forward: argument eps: expected a number, got 'small'"),
    "an unknown argument": (dict(epsilon=1), "adain_forward: expected the arguments x, scale"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_error_names_kernel_argument_and_expectation(mistake, recorder):
    changes, message = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError)) as caught:
        ADAIN((2,), (32,), **plane_arguments(**changes))
    assert str(caught.value).startswith(message)
    assert not recorder.calls


def test_a_missing_argument_is_named(recorder):
    arguments = plane_arguments()
    del arguments["shift"]
    with pytest.raises(TypeError, match="expected the arguments x, scale, shift"):
        ADAIN((2,), (32,), **arguments)


def test_a_struct_must_be_one_structured_element(recorder):
    kernel = cuda.SMALL.kernel("conv_forward", np.float32)
    x = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(TypeError, match="conv_forward: argument shape: .* struct Shape"):
        kernel((1,), (256,), x=x, w=x, y=x.copy(), shape=3)


@pytest.mark.parametrize("grid, block, shared", [
    ((0,), (32,), 0), ((1, 70000), (32,), 0), ((2**31,), (32,), 0), ((1, 1, 1, 1), (32,), 0),
    ((1,), (2048,), 0), ((1,), (0,), 0), ((1,), (32,), 49 * 1024)])
def test_what_the_gpu_cannot_launch_is_refused(grid, block, shared, recorder):
    with pytest.raises(ValueError, match="adain_forward: expected"):
        ADAIN(grid, block, shared, **plane_arguments())


def test_a_numpy_array_is_refused_where_kernels_run_on_a_gpu():
    with pytest.raises(TypeError, match=r"argument x: expected an array on a GPU, got a NumPy"):
        ADAIN((2,), (32,), **plane_arguments())


def test_arrays_of_two_libraries_are_refused(recorder, monkeypatch):
    class OtherArray(np.ndarray):
        """Stands for cupy.ndarray."""

    for table in ("_modules", "_namespaces", "_names"):
        monkeypatch.setattr(backend, table, dict(getattr(backend, table)))
    backend.register("other", types.SimpleNamespace(ndarray=OtherArray, __name__="other"))
    with pytest.raises(ValueError, match="expected all arrays on one device, .*x: other on cpu"):
        ADAIN((2,), (32,), **plane_arguments(x=np.ones((1, 2, 3, 3), "f").view(OtherArray)))


# ---- the functions on top of it ----------------------------------------------------------------

X, W = np.ones((2, 3, 5, 5), np.float32), np.ones((4, 3, 3, 3), np.float32)
G = np.ones((2, 4, 3, 3), np.float32)
ONE, NONE = (1, 1), (0, 0)


@pytest.mark.parametrize("call, message", [
    (lambda: cuda.conv2d(X, W[:, :2], ONE, NONE), "conv2d: .*one C.*(2, 3, 5, 5).*(4, 2, 3, 3)"),
    (lambda: cuda.conv2d(X[0], W, ONE, NONE), "conv2d: .*N,C,H,W"),
    (lambda: cuda.conv2d(X[:, :, :2], W, ONE, NONE), "conv2d: the kernel is larger than"),
    (lambda: cuda.conv2d(X, W, (0, 1), NONE), "conv2d: .*stride and kernel >= 1"),
    (lambda: cuda.conv2d_input_grad(G, W, ONE, NONE, (6, 5)),
     r"conv2d_input_grad: expected g of shape \(2, 4, 4, 3\), got \(2, 4, 3, 3\)"),
    (lambda: cuda.conv2d_weight_grad(X, G, ONE, NONE, (2, 3)),
     r"conv2d_weight_grad: expected g of shape \(2, 4, 4, 3\), got"),
    (lambda: cuda.adain(X, W[0], W[0], 1e-5), r"adain: expected x \(N,C,H,W\) and scale, shift"),
    (lambda: cuda.adain_backward(G, X, *[X[:, :, 0, 0]] * 3), "adain_backward: expected g of x's"),
    (lambda: cuda.conv2d_shape("conv2d", (2**20, 1, 64, 64), (1, 1, 1, 1), ONE, NONE),
     "conv2d: .*split the batch"),
])
def test_shapes_that_do_not_fit_are_refused(call, message, recorder):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_refused(recorder):
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        cuda.conv2d(X.astype(np.int64), W.astype(np.int64), ONE, NONE)


def test_large_outputs_get_large_tiles():
    assert cuda.choose_tile(128, 64 * 56 * 56, 1, np.float32) is cuda.LARGE
    assert cuda.choose_tile(64, 64 * 56 * 56, 1, np.float32) is cuda.WIDE
    assert cuda.choose_tile(64, 64 * 7 * 7, 1, np.float32) is cuda.SMALL
    assert cuda.choose_tile(128, 64 * 56 * 56, 1, np.float64) is cuda.SMALL
    assert [tile.threads for tile in cuda.TILES] == [256, 128, 256]

"""Launching a CUDA kernel, with every argument checked against the kernel's declaration.

A kernel receives bare addresses and bytes. Give it a float64 array where it declares float, a
transposed view, an array of another GPU, or a Python int (which CuPy passes as 8 bytes) where it
declares a 4-byte int, and it reads garbage in silence. A `Kernel` therefore reads its declaration
in the .cu file and compares:

    conv_forward = Kernel("conv.cu", "conv_forward", Real="float", BM=64, BN=64, BK=16, SIDE=4)
    conv_forward(grid, block, x=x, w=w, y=y, shape=shape)

CuPy is imported when the first kernel is compiled, not before. What `compile_module` names decides
where kernels run: the tests put there an executor that runs them on the CPU, on NumPy arrays.
"""

import contextlib
import functools
import math
import pathlib
import re
from typing import Any, Callable, NamedTuple

import numpy as np

from ..backend import Array, is_array, namespace

MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_THREADS = 1024
MAX_SHARED_BYTES = 48 * 1024       # what every GPU grants a block without being asked for more

REAL: dict[str, np.dtype] = {"float": np.dtype(np.float32), "double": np.dtype(np.float64)}


def compile_with_cupy(code: str, options: tuple[str, ...]) -> Any:
    """CUDA C text -> a module; `get_function(name)(grid, block, args, shared_mem=n)` runs it."""
    import cupy
    return cupy.RawModule(code=code, options=("--std=c++17", *options), backend="nvrtc")


compile_module: Callable[[str, tuple[str, ...]], Any] = compile_with_cupy


@functools.cache
def _compiled(compiler: Callable[..., Any], code: str, options: tuple[str, ...]) -> Any:
    return compiler(code, options)


@functools.cache
def read_source(file: str) -> str:
    """The text of a .cu file of this folder."""
    return (pathlib.Path(__file__).parent / file).read_text()


class Parameter(NamedTuple):
    """One parameter of a kernel, as declared: `const Real* __restrict__ x`."""

    name: str
    type: str                          # Real, int, or the name of a struct
    is_array: bool
    is_output: bool                    # an array that is not const


@functools.cache
def declared_parameters(code: str, kernel: str) -> tuple[Parameter, ...]:
    """The parameters of a kernel, read from the CUDA C text that declares it."""
    declaration = re.search(rf'extern "C" __global__[^{{;]*?\b{kernel}\s*\(([^)]*)\)', code)
    if declaration is None:
        raise LookupError(f'{kernel}: the source declares no such extern "C" __global__ function')
    parameters = []
    for text in declaration.group(1).split(","):
        *words, name = text.replace("*", " * ").replace("__restrict__", "").split()
        is_array = "*" in words
        is_const = "const" in words
        type_name = next(word for word in words if word not in ("const", "*"))
        parameters.append(Parameter(name, type_name, is_array, is_array and not is_const))
    return tuple(parameters)


class Kernel:
    """One kernel of a .cu file. It is compiled, with its -D options, at the first call."""

    def __init__(self, file: str, name: str, **options: object):
        self.name = name
        self.code = read_source(file)
        self.dtype = REAL[str(options["Real"])]
        self.options = tuple(f"-D{option}={value}" for option, value in options.items())
        self.parameters = declared_parameters(self.code, name)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int = 0,
                 **arguments: Any) -> None:
        """Run `grid` blocks of `block` threads, each block with `shared_mem` dynamic bytes.

        Arrays that the kernel declares const are made contiguous; outputs must be so already.
        Raises TypeError or ValueError, naming the kernel, the argument, what was expected and
        what came.
        """
        self._check_launch(grid, block, shared_mem)
        self._check_names(list(arguments))
        self._check_one_device({p.name: arguments[p.name] for p in self.parameters if p.is_array})
        values = tuple(self._checked(p, arguments[p.name]) for p in self.parameters)

        device = next(v.device for v, p in zip(values, self.parameters) if p.is_array)
        on_cpu = isinstance(device, str)   # NumPy says "cpu"; CuPy has an object to enter
        with contextlib.nullcontext() if on_cpu else device:
            module = _compiled(compile_module, self.code, self.options)
            module.get_function(self.name)(grid, block, values, shared_mem=shared_mem)

    def _check_launch(self, grid: tuple[int, ...], block: tuple[int, ...], shared: int) -> None:
        if not all(1 <= size <= most for size, most in zip(grid, MAX_GRID)) or len(grid) > 3:
            raise ValueError(f"{self.name}: expected a grid from (1, 1, 1) to {MAX_GRID}, "
                             f"got {grid}; split the work")
        if not 1 <= math.prod(block) <= MAX_THREADS:
            raise ValueError(f"{self.name}: expected 1 to {MAX_THREADS} threads in a block, "
                             f"got {block}")
        if not 0 <= shared <= MAX_SHARED_BYTES:
            raise ValueError(f"{self.name}: expected at most {MAX_SHARED_BYTES} bytes of shared "
                             f"memory, got {shared}")

    def _check_names(self, given: list[str]) -> None:
        declared = [parameter.name for parameter in self.parameters]
        if sorted(given) != sorted(declared):
            raise TypeError(f"{self.name}: expected the arguments {', '.join(declared)}; "
                            f"got {', '.join(given)}")

    def _check_one_device(self, arrays: dict[str, Array]) -> None:
        for name, array in arrays.items():
            if not is_array(array):
                raise TypeError(f"{self.name}: argument {name}: expected an array, "
                                f"got {type(array).__name__}")
            if isinstance(array, np.ndarray) and compile_module is compile_with_cupy:
                raise TypeError(f"{self.name}: argument {name}: expected an array on a GPU, "
                                "got a NumPy array; tensor.to('cupy') moves it there")
        first = next(iter(arrays.values()))
        if any(type(a) is not type(first) or a.device != first.device for a in arrays.values()):
            homes = ", ".join(f"{name}: {namespace(array).__name__} on {array.device}"
                              for name, array in arrays.items())
            raise ValueError(f"{self.name}: expected all arrays on one device, got {homes}")

    def _checked(self, parameter: Parameter, value: Any) -> Any:
        """The value as the kernel wants it, or an error that says what is wrong with it."""
        label = f"{self.name}: argument {parameter.name}"
        if parameter.is_array:
            return self._checked_array(label, value, parameter.is_output)
        if parameter.type == "int":
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
                raise TypeError(f"{label}: expected an int, got {value!r}")
            if not -2**31 <= value < 2**31:
                raise ValueError(f"{label}: expected an int of 32 bits, got {value}")
            return np.int32(value)
        if parameter.type == "Real":
            if not isinstance(value, (int, float, np.number)):
                raise TypeError(f"{label}: expected a number, got {value!r}")
            return self.dtype.type(value)
        # A struct: CuPy passes a NumPy array of one element by value.
        if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.names is None:
            raise TypeError(f"{label}: expected one structured NumPy element for struct "
                            f"{parameter.type}, got {value!r}")
        return value

    def _checked_array(self, label: str, array: Array, is_output: bool) -> Array:
        if array.dtype != self.dtype:
            raise TypeError(f"{label}: expected {self.dtype}, got {array.dtype}")
        if array.flags.c_contiguous:
            return array
        if is_output:
            raise ValueError(f"{label}: expected a contiguous array to write to, got one of shape "
                             f"{array.shape} with strides {array.strides}")
        return namespace(array).ascontiguousarray(array)

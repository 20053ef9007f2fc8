"""Which library owns an array, moving arrays between libraries, and random numbers.

NumPy is always here. CuPy is optional: it is imported the first time somebody asks for it, by
`use("cupy")` or `tensor.to("cupy")`, and nothing above this file imports it. An op asks
`namespace(array)` for the module that owns the array, and calls that module's functions: one
source, two libraries.
"""

from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the one alias that speaks of both


class BackendError(RuntimeError):
    """A backend that cannot be used here; the message says what is missing and how to get it."""


# The C library gives a large array's memory back to the system when the array dies, and then has
# to fetch it anew, page by page, for the next one: as slow as the arithmetic itself. But glibc
# learns: once it has seen a block of this size freed, it keeps smaller ones (man mallopt). A
# training step of the convolutional lessons takes a quarter less time for this line.
np.empty(31 << 20, np.uint8)

_modules: dict[str, Any] = {"numpy": np}
_namespaces: dict[type, Any] = {np.ndarray: np}
_names: dict[type, str] = {np.ndarray: "numpy"}
_current = "numpy"


def register(name: str, module: Any) -> None:
    """Make `module` known as backend `name`.

    The module speaks NumPy's function names and has `ndarray`, `asarray` and `asnumpy`, as
    CuPy does.
    """
    _modules[name] = module
    _namespaces[module.ndarray] = module
    _names[module.ndarray] = name


def namespace(*arrays: Array) -> Any:
    """The module whose functions take these arrays (Python scalars among them do not count)."""
    for array in arrays:
        module = _namespaces.get(type(array))
        if module is not None:
            return module
    kinds = ", ".join(type(array).__name__ for array in arrays)
    raise TypeError(f"expected an array of {' or '.join(_modules)}, got {kinds}")


def is_array(value: object) -> bool:
    """Is this an array of a known backend?"""
    return type(value) in _namespaces


def name_of(array: Array) -> str:
    """The name of the backend that owns an array: "numpy" or "cupy"."""
    return _names[type(array)]


def module(name: str) -> Any:
    """The module behind a backend's name, importing CuPy the first time it is asked for.

    Raises BackendError where CuPy or a CUDA device is missing, ValueError for another name.
    """
    if name not in _modules and name == "cupy":
        register("cupy", _import_cupy())
    if name not in _modules:
        raise ValueError(f"backend: expected 'numpy' or 'cupy', got {name!r}")
    return _modules[name]


def _import_cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "backend 'cupy': CuPy is not installed; pip install 'minigen[cuda12]' or "
            f"'minigen[cuda13]', whichever `nvidia-smi` names ({error})"
        ) from error
    try:
        cupy.cuda.runtime.getDevice()
    except Exception as error:
        raise BackendError(
            "backend 'cupy': CuPy is installed but finds no CUDA device; does `nvidia-smi` list "
            f"one? Everything also runs on 'numpy' ({error})"
        ) from error
    return cupy


def use(name: str) -> None:
    """Make new Tensors live on `name`, "numpy" or "cupy"; those that exist stay where they are."""
    global _current
    module(name)
    _current = name


def current() -> str:
    """The name of the backend on which new Tensors are made."""
    return _current


def to(array: Array, name: str) -> Array:
    """The array on backend `name`: itself if it lives there already, else a copy."""
    if name_of(array) == name:
        return array
    if name_of(array) != "numpy":
        array = namespace(array).asnumpy(array)
    return module(name).asarray(array)


# Random numbers are drawn on the host by a NumPy generator and then moved, so that a run with one
# seed sees the same numbers on both backends.

_generator = np.random.default_rng(0)


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the default generator from `seed`, and return it."""
    global _generator
    _generator = np.random.default_rng(seed)
    return _generator


def default_generator() -> np.random.Generator:
    """The generator that serves where none is given; `manual_seed` restarts it."""
    return _generator

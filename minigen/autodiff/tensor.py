"""Tensor: an array that remembers which op made it.

    data            the numbers, a NumPy or CuPy array
    requires_grad   does anybody want the gradient with respect to this?
    node            the op that made it; None for a leaf, which somebody wrote down
    grad            for a leaf: where `backward` adds up its gradient, a Tensor

A Tensor is not changed once made; only an optimiser gives a leaf new data. The operators are the
ops of `minigen.ops`, found by name (see registry.py).
"""

from typing import Any, Iterator

import numpy as np

from .. import backend
from . import graph
from .registry import OPS

Axis = int | tuple[int, ...] | None


class Tensor:
    """An n-dimensional array in a graph of operations.

    data: a Tensor or array (copied; float32, float64, integers and booleans keep their dtype), or
        Python numbers, nested lists of them (which become float32).
    requires_grad: whether `grad` and `backward` may ask for its gradient; floats only.
    dtype: "float32", "float64" or another, if it shall differ.

    Raises TypeError for a dtype that the engine does not compute in.
    """

    __slots__ = ("data", "requires_grad", "grad", "node", "__weakref__")
    __array_ufunc__ = None  # so that array * tensor is left to Tensor.__rmul__

    data: Any
    requires_grad: bool
    grad: "Tensor | None"
    node: Any

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            data = data.data
        given = backend.is_array(data) or isinstance(data, np.ndarray | np.generic)
        if not given:
            data = np.asarray(data, dtype=dtype or np.float32)
        if dtype is None:
            dtype = data.dtype
        xp = backend.module(backend.current())
        if isinstance(data, np.ndarray | np.generic):
            data = xp.asarray(data)
        self.data = backend.namespace(data).array(data, dtype=dtype)
        if self.data.dtype.kind not in "iub" and self.data.dtype not in (np.float32, np.float64):
            raise TypeError(f"Tensor: data has dtype {self.data.dtype}; expected float32, float64, "
                            "integers or booleans; pass dtype='float32' to convert")
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"Tensor: requires_grad=True with dtype {self.data.dtype}; a gradient "
                            "needs floats: pass dtype='float32'")
        self.requires_grad = requires_grad
        self.grad = None
        self.node = None

    @classmethod
    def wrap(cls, data: Any) -> "Tensor":
        """A Tensor around an array that the caller made and gives away: no copy, no checks."""
        tensor = object.__new__(cls)
        tensor.data = np.asarray(data) if isinstance(data, np.generic) else data
        tensor.requires_grad = False
        tensor.grad = None
        tensor.node = None
        return tensor

    # What it is.

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def backend(self) -> str:
        """The library that owns the data: "numpy" or "cupy"."""
        return backend.name_of(self.data)

    @property
    def kind(self) -> str:
        """Shape and dtype in words, for messages: "(2, 3) float32"."""
        return f"{self.shape} {self.dtype}"

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a Tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"bool: expected one element, got {self.kind}")
        return bool(self.item())

    def __repr__(self) -> str:
        numbers = np.array2string(self.numpy(), precision=4, separator=", ", prefix="Tensor(")
        extra = f", made by {self.node.name}" if self.node is not None else ""
        extra += ", requires_grad=True" if self.requires_grad and self.node is None else ""
        extra += f", dtype={self.dtype}" if self.dtype != np.float32 else ""
        extra += f", backend={self.backend}" if self.backend != "numpy" else ""
        return f"Tensor({numbers}{extra})"

    # Out of the graph.

    def detach(self) -> "Tensor":
        """The same numbers as a new leaf: gradients stop here."""
        return Tensor.wrap(self.data)

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array of the caller's own."""
        return np.array(backend.to(self.data, "numpy"))

    def item(self) -> float:
        """The one number of a Tensor of size 1, as a Python number. On a GPU this waits for it."""
        if self.size != 1:
            raise ValueError(f"item: expected one element, got {self.kind}")
        return self.numpy().reshape(()).item()

    def __float__(self) -> float:
        return float(self.item())

    def to(self, name: str) -> "Tensor":
        """A leaf with the same numbers on backend `name`; itself if it is there already."""
        if self.backend == name:
            return self
        if self.node is not None:
            raise ValueError(f"to: a value made by {self.node.name} is no leaf, and its graph does "
                             "not span two backends; detach() it first")
        moved = Tensor.wrap(backend.to(self.data, name))
        moved.requires_grad = self.requires_grad
        return moved

    def ones_like(self) -> "Tensor":
        """Ones, of the same shape and dtype, in the same place."""
        return Tensor.wrap(backend.namespace(self.data).ones_like(self.data))

    # Differentiation.

    def backward(
        self,
        grad_output: "Tensor | None" = None,
        create_graph: bool = False,
        retain_graph: bool | None = None,
    ) -> None:
        """Add d self / d leaf to the `.grad` of every leaf behind this value. See graph.grad."""
        graph.backward(self, grad_output, create_graph, retain_graph)

    # Operators: each is the op of that name.

    def __add__(self, other: Any) -> "Tensor":
        return OPS["add"]()(self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return OPS["add"]()(other, self)

    def __sub__(self, other: Any) -> "Tensor":
        return OPS["sub"]()(self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return OPS["sub"]()(other, self)

    def __mul__(self, other: Any) -> "Tensor":
        return OPS["mul"]()(self, other)

    def __rmul__(self, other: Any) -> "Tensor":
        return OPS["mul"]()(other, self)

    def __truediv__(self, other: Any) -> "Tensor":
        return OPS["div"]()(self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return OPS["div"]()(other, self)

    def __pow__(self, other: Any) -> "Tensor":
        return OPS["pow"]()(self, other)

    def __rpow__(self, other: Any) -> "Tensor":
        return OPS["pow"]()(other, self)

    def __neg__(self) -> "Tensor":
        return OPS["neg"]()(self)

    def __abs__(self) -> "Tensor":
        return OPS["abs"]()(self)

    def __matmul__(self, other: Any) -> "Tensor":
        return OPS["matmul"]()(self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return OPS["matmul"]()(other, self)

    def __getitem__(self, key: Any) -> "Tensor":
        return OPS["getitem"](key)(self)

    # Comparisons: booleans, through which no gradient flows.

    def __gt__(self, other: Any) -> "Tensor":
        return Tensor.wrap(self.data > _raw(other))

    def __ge__(self, other: Any) -> "Tensor":
        return Tensor.wrap(self.data >= _raw(other))

    def __lt__(self, other: Any) -> "Tensor":
        return Tensor.wrap(self.data < _raw(other))

    def __le__(self, other: Any) -> "Tensor":
        return Tensor.wrap(self.data <= _raw(other))

    # Methods: the common ops, under NumPy's and PyTorch's names.

    def astype(self, dtype: Any) -> "Tensor":
        """The same numbers in another dtype; the gradient comes back in this one."""
        return OPS["astype"](dtype)(self)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return OPS["sum"](axis, keepdims)(self)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return OPS["mean"](axis, keepdims)(self)

    def var(self, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> "Tensor":
        return OPS["var"](axis, keepdims, correction)(self)

    def max(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        return OPS["max"](axis, keepdims)(self)

    def reshape(self, *shape: Any) -> "Tensor":
        return OPS["reshape"](_unpack(shape))(self)

    def transpose(self, *axes: Any) -> "Tensor":
        return OPS["transpose"](_unpack(axes) or None)(self)

    @property
    def T(self) -> "Tensor":
        if self.ndim != 2:
            raise ValueError(f"T: expected a matrix, got {self.kind}; transpose(...) names axes")
        return OPS["transpose"](None)(self)

    def exp(self) -> "Tensor":
        return OPS["exp"]()(self)

    def log(self) -> "Tensor":
        return OPS["log"]()(self)

    def sqrt(self) -> "Tensor":
        return OPS["sqrt"]()(self)

    def tanh(self) -> "Tensor":
        return OPS["tanh"]()(self)


def _unpack(given: tuple[Any, ...]) -> tuple[int, ...]:
    """reshape(2, 3) and reshape((2, 3)) are the same."""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given


def _raw(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value

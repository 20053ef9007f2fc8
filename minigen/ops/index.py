"""Picking numbers out, and putting them back: each is the other's transpose.

    getitem   z = x[key]
    scatter   z = 0, then z[key] += x: an element that was picked twice gets both gradients
"""

from typing import Any, Sequence

import numpy as np

from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from ..backend import is_array, namespace


class Getitem(Op):
    """z = x[key]: slices, integers, integer arrays."""

    name = "getitem"
    expects = "a key of slices, integers, None, ... or integer arrays, inside the operand's shape"

    def __init__(self, key):
        self.key = plain_key(key)

    def forward(self, x):
        return x[self.key]

    def vjp(self, g, x):
        return scatter(g, self.key, x.shape)


class Scatter(Op):
    """z = 0, then z[key] += x, as often as an element is named."""

    name = "scatter"
    expects = "an operand of the shape that x[key] has for an x of the given shape"

    def __init__(self, key, shape):
        self.key = plain_key(key)
        self.shape = shape

    def forward(self, x):
        xp = namespace(x)
        z = xp.zeros(self.shape, dtype=x.dtype)
        if any(is_array(part) for part in self.key):
            xp.add.at(z, self.key, x)  # z[key] += x would count a repeated element once
        else:
            z[self.key] = x
        return z

    def vjp(self, g, x):
        return g[self.key]


def plain_key(key: Any) -> tuple[Any, ...]:
    """A key as a tuple of slices, integers and raw integer arrays."""
    return tuple(plain_part(part) for part in (key if isinstance(key, tuple) else (key,)))


def plain_part(part: Any) -> Any:
    if isinstance(part, Tensor):
        part = part.data
    if isinstance(part, list):
        part = Tensor(np.array(part, dtype=None if part else int)).data
    if is_array(part) and part.dtype.kind == "b":
        raise TypeError("op 'getitem': a boolean mask has a result whose shape depends on the "
                        "data; use ops.where, or integer indices")
    if is_array(part) and part.dtype.kind not in "iu":
        raise TypeError(f"op 'getitem': an index array has dtype {part.dtype}; expected integers")
    return part


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key]. An index out of range raises on NumPy; on a GPU it wraps around, unseen."""
    return Getitem(key)(x)


def scatter(x: Tensor, key: Any, shape: Sequence[int]) -> Tensor:
    """Zeros of the given shape, with x added in at [key]; repeated places add up."""
    return Scatter(key, tuple(shape))(x)


def take(x: Tensor, indices: Any, axis: int = 0) -> Tensor:
    """The slices of x at these integer indices along an axis."""
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"take: axis {axis} is not among those of x {x.kind}")
    return getitem(x, (slice(None),) * (axis % x.ndim) + (indices,))


def embedding(weight: Tensor, indices: Any) -> Tensor:
    """Row `indices[...]` of a table (n, d): (...) integers give (..., d)."""
    return take(weight, indices)

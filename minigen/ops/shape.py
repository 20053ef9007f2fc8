"""Moving numbers without changing them. Each op is linear; its gradient is its transpose.

    reshape    <-> reshape             broadcast_to <-> sum_to
    transpose  <-> transpose           pad          <-> a slice (see index.py)
    astype     <-> astype              concatenate  <-> slices
"""

from typing import Any, Sequence

import numpy as np

from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from ..backend import namespace
from ..kernels.planes import sum_over


class Reshape(Op):
    """The same numbers in another shape; the gradient goes back into the old one.

    Into its memory layout, too: what our convolutions make has its channels last in memory (see
    kernels/conv.py), and arithmetic on arrays of unlike layouts is slow.
    """

    name = "reshape"
    expects = "a shape of as many elements; one size may be -1"

    def __init__(self, shape, channels_last=False):
        self.shape = shape
        self.channels_last = channels_last

    def forward(self, x):
        z = x.reshape(self.shape)
        if self.channels_last:
            z = namespace(z).ascontiguousarray(z.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return z

    def vjp(self, g, x):
        last = x.ndim == 4 and x.data.transpose(0, 2, 3, 1).flags.c_contiguous
        return Reshape(x.shape, channels_last=last)(g)


class Transpose(Op):
    """z's axis i is x's axis axes[i]; the gradient goes through the inverse permutation."""

    name = "transpose"
    expects = "every axis of the operand once; none given: all in reverse"

    def __init__(self, axes=None):
        self.axes = axes

    def forward(self, x):
        return x.transpose(self.axes)

    def vjp(self, g, x):
        if self.axes is None:
            return g.transpose()
        axes = [a % x.ndim for a in self.axes]
        return g.transpose(*(axes.index(a) for a in range(x.ndim)))


class BroadcastTo(Op):
    """Copies along new axes and along axes of size 1; the gradients of the copies add up."""

    name = "broadcast_to"
    expects = "a shape to which the operand broadcasts"

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return namespace(x).broadcast_to(x, self.shape)

    def vjp(self, g, x):
        return sum_to(g, x.shape)


class SumTo(Op):
    """Sums over the axes along which `shape` would have been broadcast: the transpose of that."""

    name = "sum_to"
    expects = "a shape that broadcasts to the operand's"

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        new = x.ndim - len(self.shape)
        if new < 0 or any(m not in (1, n) for n, m in zip(x.shape[new:], self.shape)):
            raise ValueError(f"{self.shape} does not broadcast to {x.shape}")
        stretched = [new + a for a, n in enumerate(self.shape) if n == 1 != x.shape[new + a]]
        return sum_over(x, (*range(new), *stretched)).reshape(self.shape)

    def vjp(self, g, x):
        return broadcast_to(g, x.shape)


class Concatenate(Op):
    """Operands end to end along `axis`; each gets back its slice of the gradient."""

    name = "concatenate"
    expects = "operands of equal shapes but along the axis"

    def __init__(self, axis=0):
        self.axis = axis

    def forward(self, *xs):
        return namespace(*xs).concatenate(xs, axis=self.axis)

    def vjp(self, g, *xs):
        return tuple(split(g, [x.shape[self.axis] for x in xs], self.axis))


class Pad(Op):
    """A border of zeros, (before, after) wide on each axis; the gradient is the part inside."""

    name = "pad"
    expects = "a pair (before, after) for each axis, none negative"

    def __init__(self, width):
        self.width = width

    def forward(self, x):
        if [len(pair) for pair in self.width] != [2] * x.ndim:
            raise ValueError(f"{self.width} for {x.ndim} axes")
        return namespace(x).pad(x, self.width) if self.width else x

    def vjp(self, g, x):
        return g[tuple(slice(low, low + n) for (low, _), n in zip(self.width, x.shape))]


class Astype(Op):
    """Another dtype; the gradient comes back in the operand's own. None flows through integers."""

    name = "astype"
    expects = "a dtype, such as 'float64'"

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "iub" and self.dtype not in (np.float32, np.float64):
            raise TypeError(f"op 'astype': expected float32, float64, integers or booleans, got "
                            f"{self.dtype}")

    def __call__(self, x):
        return super().__call__(x if self.dtype.kind == "f" else x.detach())

    def forward(self, x):
        return x.astype(self.dtype)

    def vjp(self, g, x):
        return g.astype(x.dtype)


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The same numbers in another shape, in C order; one size may be -1."""
    return Reshape(tuple(shape))(x)


def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; in reverse if none is given."""
    return Transpose(None if axes is None else tuple(axes))(x)


def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x repeated along new axes and axes of size 1, up to `shape`."""
    return BroadcastTo(tuple(shape))(x)


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x summed down to `shape`, which broadcasts to x's: the transpose of `broadcast_to`."""
    return SumTo(tuple(shape))(x)


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The operands end to end along an axis that they have."""
    return Concatenate(axis)(*xs)


def stack(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The operands side by side along a new axis."""
    ndim = xs[0].ndim + 1
    if not -ndim <= axis < ndim:
        raise IndexError(f"stack: axis {axis} is not among the {ndim} of the result")
    axis = axis % ndim
    return concatenate([x.reshape(*x.shape[:axis], 1, *x.shape[axis:]) for x in xs], axis)


def split(x: Tensor, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along an axis into parts of these sizes, or of one size each (the last may be less).

    Raises ValueError where the sizes do not add up to the axis.
    """
    length = x.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, length - start) for start in range(0, length, sizes)]
    if sum(sizes) != length or any(size < 0 for size in sizes):
        raise ValueError(f"split: sizes {list(sizes)} do not add up to {length}, axis {axis} of "
                         f"x {x.kind}")
    parts = []
    start = 0
    for size in sizes:
        inside = [slice(None)] * x.ndim
        inside[axis] = slice(start, start + size)
        parts.append(x[tuple(inside)])
        start += size
    return parts


def pad(x: Tensor, width: Sequence[tuple[int, int]]) -> Tensor:
    """x with zeros around it: `width` has a pair (before, after) for each axis."""
    return Pad(tuple(tuple(pair) for pair in width))(x)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype."""
    return Astype(dtype)(x)

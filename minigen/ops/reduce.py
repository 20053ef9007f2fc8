"""Reductions: one number from many, along `axis` (an int, several, or None for all).

The gradient of a sum is the same for every term: it is spread back out. `kept` gives the shape of
the result with its reduced axes kept at size 1, from where broadcasting does the spreading.
"""

import math
from typing import Any

from ..autodiff.op import Op
from ..autodiff.tensor import Axis, Tensor
from ..backend import namespace
from .arithmetic import where
from .shape import broadcast_to


class Reduction(Op):
    """Base: the parameters, the shapes, and the spreading."""

    expects = "axis: None, or one or more of the operand's axes, each once"

    def __init__(self, axis: Axis = None, keepdims: bool = False) -> None:
        self.axis = axis
        self.keepdims = keepdims

    def axes(self, x: Any) -> tuple[int, ...]:
        """The reduced axes of x, from 0 up."""
        if self.axis is None or x.ndim == 0:  # with no axes, NumPy lets 0 and -1 pass
            return tuple(range(x.ndim))
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        return tuple(range(x.ndim)[a] for a in axes)

    def count(self, x: Any) -> int:
        """How many numbers go into each result."""
        return math.prod(x.shape[a] for a in self.axes(x))

    def kept(self, z: Tensor, x: Tensor) -> Tensor:
        """z (a result, or its gradient) with the reduced axes at size 1."""
        if self.keepdims:
            return z
        axes = self.axes(x)
        return z.reshape(tuple(1 if a in axes else n for a, n in enumerate(x.shape)))

    def refuse_empty(self, x: Any) -> None:
        """For an op that has no value over nothing."""
        if self.count(x) == 0:
            raise ValueError(f"axis {self.axis} has no elements to reduce")


class Sum(Reduction):
    """z = sum_i x_i:  dz/dx_i = 1."""

    name = "sum"

    def forward(self, x):
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def vjp(self, g, x):
        return spread(self.kept(g, x), x)


class Mean(Reduction):
    """z = sum_i x_i / n:  dz/dx_i = 1/n."""

    name = "mean"

    def forward(self, x):
        self.refuse_empty(x)
        return x.mean(axis=self.axis, keepdims=self.keepdims)

    def vjp(self, g, x):
        return spread(self.kept(g / self.count(x), x), x)


class Var(Reduction):
    """z = sum_i (x_i - m)^2 / n,  m the mean:  dz/dx_i = 2 (x_i - m) / n.

    m moves with x too, but sum_i (x_i - m) = 0 takes that term away.
    """

    name = "var"

    def __init__(self, axis=None, keepdims=False, correction=0):
        super().__init__(axis, keepdims)
        self.correction = correction

    def forward(self, x):
        self.refuse_empty(x)
        if self.count(x) <= self.correction:
            raise ValueError(f"{self.count(x)} elements are too few for correction "
                             f"{self.correction}")
        return x.var(axis=self.axis, keepdims=self.keepdims, ddof=self.correction)

    def vjp(self, g, x):
        deviation = x - x.mean(self.axis, keepdims=True)
        return self.kept(g, x) * deviation * (2.0 / (self.count(x) - self.correction))


class Max(Reduction):
    """z = max_i x_i: the gradient goes to the largest, in equal shares if there are several."""

    name = "max"
    saves_output = True

    def forward(self, x):
        self.refuse_empty(x)
        return x.max(axis=self.axis, keepdims=self.keepdims)

    def vjp(self, g, x):
        largest = (x.data == self.kept(self.output, x).data).astype(x.dtype)
        share = largest / largest.sum(axis=self.axis, keepdims=True)
        return self.kept(g, x) * Tensor.wrap(share)


class Logsumexp(Reduction):
    """z = ln sum_i e^{x_i}:  dz/dx_i = e^{x_i - z}, the softmax.

    The largest is taken out first, ln sum e^x = m + ln sum e^{x - m}, so that nothing overflows.
    """

    name = "logsumexp"
    saves_output = True

    def forward(self, x):
        self.refuse_empty(x)
        xp = namespace(x)
        m = x.max(axis=self.axis, keepdims=True)
        m = xp.where(xp.isfinite(m), m, 0.0)  # -inf - -inf would be NaN
        z = m + xp.log(xp.exp(x - m).sum(axis=self.axis, keepdims=True))
        return z if self.keepdims else z.squeeze(self.axes(x))

    def vjp(self, g, x):
        z = self.kept(self.output, x)
        z = where(z.data == -math.inf, 0.0, z)  # -inf - -inf again: every term is e^-inf = 0
        return self.kept(g, x) * (x - z).exp()


class Softmax(Reduction):
    """z_i = e^{x_i} / sum_j e^{x_j}:  dz_i/dx_j = z_i (delta_ij - z_j)."""

    name = "softmax"
    saves_output = True

    def forward(self, x):
        self.refuse_empty(x)
        z = namespace(x).exp(x - x.max(axis=self.axis, keepdims=True))
        z /= z.sum(axis=self.axis, keepdims=True)
        return z

    def vjp(self, g, x):
        z = self.output
        return z * (g - (g * z).sum(self.axis, keepdims=True))


class LogSoftmax(Reduction):
    """z_i = x_i - ln sum_j e^{x_j}:  dz_i/dx_j = delta_ij - softmax_j."""

    name = "log_softmax"
    saves_output = True

    def forward(self, x):
        self.refuse_empty(x)
        xp = namespace(x)
        z = x - x.max(axis=self.axis, keepdims=True)
        return z - xp.log(xp.exp(z).sum(axis=self.axis, keepdims=True))

    def vjp(self, g, x):
        return g - self.output.exp() * g.sum(self.axis, keepdims=True)


def spread(g: Tensor, x: Tensor) -> Tensor:
    """g broadcast to the shape of x."""
    return g if g.shape == x.shape else broadcast_to(g, x.shape)


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum along `axis`."""
    return Sum(axis, keepdims)(x)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean along `axis`."""
    return Mean(axis, keepdims)(x)


def var(x: Tensor, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Tensor:
    """The variance along `axis`: squared deviations over n - correction."""
    return Var(axis, keepdims, correction)(x)


def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest along `axis`."""
    return Max(axis, keepdims)(x)


def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest along `axis`."""
    return -Max(axis, keepdims)(-x)


def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln sum e^x along `axis`, without overflow."""
    return Logsumexp(axis, keepdims)(x)


def softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """e^x / sum e^x along `axis`: positive, of sum 1."""
    return Softmax(axis)(x)


def log_softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """ln softmax(x) along `axis`, without overflow or underflow."""
    return LogSoftmax(axis)(x)

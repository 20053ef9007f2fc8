"""Arithmetic: two operands that broadcast. The engine undoes the broadcasting (see graph.walk)."""

import math
from typing import Any

from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from ..backend import namespace


class Add(Op):
    """z = a + b:  dz = da + db."""

    name = "add"

    def forward(self, a, b):
        return a + b

    def vjp(self, g, a, b):
        return g, g


class Sub(Op):
    """z = a - b:  dz = da - db."""

    name = "sub"

    def forward(self, a, b):
        return a - b

    def vjp(self, g, a, b):
        return g, -g if self.needs[1] else None


class Mul(Op):
    """z = a b:  dz = b da + a db."""

    name = "mul"

    def forward(self, a, b):
        return a * b

    def vjp(self, g, a, b):
        return (g * b if self.needs[0] else None,
                g * a if self.needs[1] else None)


class Div(Op):
    """z = a / b:  dz = da / b - a / b^2 db."""

    name = "div"

    def forward(self, a, b):
        return a / b

    def vjp(self, g, a, b):
        return (g / b if self.needs[0] else None,
                -g * (a / b) / b if self.needs[1] else None)  # b * b might underflow


class Neg(Op):
    """z = -x:  dz = -dx."""

    name = "neg"

    def forward(self, x):
        return -x

    def vjp(self, g, x):
        return -g


class Pow(Op):
    """z = a^b:  dz = b a^(b-1) da + a^b ln(a) db.

    At the edges, the limits: a^0 = 1 has slope 0 in a even at a = 0, and 0^b (b > 0) slope 0 in b.
    For a < 0 there is no slope in b: NaN.
    """

    name = "pow"

    def forward(self, a, b):
        return a ** b

    def vjp(self, g, a, b):
        return (g * self.slope(a, b) if self.needs[0] else None,
                g * a ** b * log_or_zero(a) if self.needs[1] else None)

    def slope(self, a: Any, b: Any) -> Any:
        if isinstance(b, Tensor):
            return b * where((raw(a) == 0) & (b.data == 0), 1.0, a) ** (b - 1.0)  # not 0 * 0^-1
        return b * a ** (b - 1) if b != 0 else 0.0


def log_or_zero(a: Any) -> Any:
    """ln a, but 0 where a = 0; NaN where a < 0."""
    if isinstance(a, Tensor):
        return where(a.data != 0, a, 1.0).log()
    return math.log(a) if a > 0 else 0.0 if a == 0 else math.nan


class Abs(Op):
    """z = |x|:  dz = sign(x) dx, and 0 at the kink."""

    name = "abs"

    def forward(self, x):
        return abs_(x)

    def vjp(self, g, x):
        return g * Tensor.wrap(namespace(x.data).sign(x.data))


abs_ = abs  # the builtin, before our own function takes the name


class Maximum(Op):
    """z = max(a, b): the gradient goes to the larger; each gets half where they are equal."""

    name = "maximum"

    def forward(self, a, b):
        return namespace(a, b).maximum(a, b)

    def vjp(self, g, a, b):
        return (g * won(a, b, g) if self.needs[0] else None,
                g * won(b, a, g) if self.needs[1] else None)


def won(a: Any, b: Any, g: Tensor) -> Tensor:
    """1 where a > b, 1/2 where a = b, else 0: constant between the kinks, so a constant here."""
    a, b = raw(a), raw(b)
    weight = 0.5 * (a > b) + 0.5 * (a >= b)
    return Tensor.wrap(weight.astype(g.dtype))


def raw(operand: Any) -> Any:
    """The array of a Tensor; a Python scalar as it is."""
    return operand.data if isinstance(operand, Tensor) else operand


class Where(Op):
    """z = a where the condition holds, else b; so does the gradient choose."""

    name = "where"

    def __init__(self, condition):
        self.condition = condition

    def forward(self, a, b):
        return namespace(self.condition).where(self.condition, a, b)

    def vjp(self, g, a, b):
        return (where(self.condition, g, 0.0) if self.needs[0] else None,
                where(self.condition, 0.0, g) if self.needs[1] else None)


class Clip(Op):
    """z = x kept within [low, high]; no gradient where it was cut."""

    name = "clip"

    def __init__(self, low, high):
        self.low = float(low)  # a NumPy float64 would not be weak
        self.high = float(high)

    def forward(self, x):
        return namespace(x).clip(x, self.low, self.high)

    def vjp(self, g, x):
        return where((x.data >= self.low) & (x.data <= self.high), g, 0.0)


def add(a: Any, b: Any) -> Tensor:
    """a + b, elementwise."""
    return Add()(a, b)


def sub(a: Any, b: Any) -> Tensor:
    """a - b, elementwise."""
    return Sub()(a, b)


def mul(a: Any, b: Any) -> Tensor:
    """a b, elementwise."""
    return Mul()(a, b)


def div(a: Any, b: Any) -> Tensor:
    """a / b, elementwise."""
    return Div()(a, b)


def neg(x: Tensor) -> Tensor:
    """-x."""
    return Neg()(x)


def pow(a: Any, b: Any) -> Tensor:
    """a to the power b, elementwise; NaN for a negative a and a fractional b."""
    return Pow()(a, b)


def abs(x: Tensor) -> Tensor:
    """|x|, elementwise; its gradient at 0 is taken as 0."""
    return Abs()(x)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, elementwise."""
    return Maximum()(a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, elementwise."""
    return -maximum(-a, -b)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition (a boolean Tensor or array) holds, else b."""
    if not isinstance(condition, Tensor):
        condition = Tensor.wrap(condition)  # NumPy compares arrays without axes into scalars
    return Where(condition.data)(a, b)


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """x, but no less than `low` and no more than `high`."""
    return Clip(low, high)(x)

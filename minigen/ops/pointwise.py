"""Functions of one number, applied to each: z = f(x), and the gradient is g f'(x)."""

import math
from typing import Any

import numpy as np

from ..autodiff.op import Op
from ..autodiff.tensor import Tensor
from ..backend import namespace
from .arithmetic import where


class Exp(Op):
    """f = e^x:  f' = e^x = z."""

    name = "exp"
    saves_output = True

    def forward(self, x):
        return namespace(x).exp(x)

    def vjp(self, g, x):
        return g * self.output


class Expm1(Op):
    """f = e^x - 1, exact for small x:  f' = e^x = z + 1."""

    name = "expm1"
    saves_output = True

    def forward(self, x):
        return namespace(x).expm1(x)

    def vjp(self, g, x):
        return g * (self.output + 1.0)


class Log(Op):
    """f = ln x:  f' = 1/x."""

    name = "log"

    def forward(self, x):
        return namespace(x).log(x)

    def vjp(self, g, x):
        return g / x


class Log1p(Op):
    """f = ln(1 + x), exact for small x:  f' = 1/(1 + x)."""

    name = "log1p"

    def forward(self, x):
        return namespace(x).log1p(x)

    def vjp(self, g, x):
        return g / (1.0 + x)


class Sqrt(Op):
    """f = sqrt(x):  f' = 1/(2 z), infinite at 0 (see safe_sqrt)."""

    name = "sqrt"
    saves_output = True

    def forward(self, x):
        return namespace(x).sqrt(x)

    def vjp(self, g, x):
        return g / (2.0 * self.output)


class Tanh(Op):
    """f = tanh x:  f' = 1 - z^2."""

    name = "tanh"
    saves_output = True

    def forward(self, x):
        return namespace(x).tanh(x)

    def vjp(self, g, x):
        z = self.output
        return g * (1.0 - z * z)


def logistic(x: Any) -> Any:
    """1/(1 + e^-x) of a raw array. Far below 0, e^-x overflows to inf, and 1/inf = 0 is right."""
    with np.errstate(over="ignore"):
        z = namespace(x).exp(-x)
    z += 1
    return 1 / z


class Sigmoid(Op):
    """f = 1/(1 + e^-x):  f' = z (1 - z)."""

    name = "sigmoid"
    saves_output = True

    def forward(self, x):
        return logistic(x)

    def vjp(self, g, x):
        z = self.output
        return g * (z * (1.0 - z))


class Softplus(Op):
    """f = ln(1 + e^x):  f' = sigmoid(x)."""

    name = "softplus"

    def forward(self, x):
        xp = namespace(x)
        return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))  # never e^(large)

    def vjp(self, g, x):
        return g * sigmoid(x)


class Silu(Op):
    """f = x s with s = sigmoid(x):  f' = s + x s (1 - s) = s (1 + x (1 - s))."""

    name = "silu"

    def forward(self, x):
        return x * logistic(x)

    def vjp(self, g, x):
        s = sigmoid(x)
        return g * (s * (1.0 + x * (1.0 - s)))


class LeakyRelu(Op):
    """f = x for x > 0, else slope x, with 0 <= slope <= 1:  f' = 1 or slope."""

    name = "leaky_relu"

    def __init__(self, slope):
        if not 0 <= slope <= 1:
            raise ValueError(f"op 'leaky_relu': slope must be between 0 and 1, got {slope}")
        self.slope = float(slope)

    def forward(self, x):
        return namespace(x).maximum(x, self.slope * x)

    def vjp(self, g, x):
        return g * two_slopes(x, self.slope)


class Relu(Op):
    """f = max(x, 0):  f' = 1 for x > 0, else 0."""

    name = "relu"

    def forward(self, x):
        return namespace(x).maximum(x, 0.0)

    def vjp(self, g, x):
        return g * two_slopes(x, 0.0)


def two_slopes(x: Tensor, below: float) -> Tensor:
    """1 where x > 0, else `below`: constant between the kinks, so a constant here.

    A product with this is ten times as fast as `where`, whose branches no processor can predict.
    """
    above = (x.data > 0).astype(x.dtype)
    return Tensor.wrap(namespace(x.data).maximum(above, below))


class Gelu(Op):
    """f = x/2 (1 + t),  t = tanh(u),  u = c (x + 0.044715 x^3),  c = sqrt(2/pi).

    f' = (1 + t)/2 + x/2 (1 - t^2) u',  u' = c (1 + 3 * 0.044715 x^2)
    """

    name = "gelu"
    c = math.sqrt(2 / math.pi)

    def forward(self, x):
        u = self.c * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + namespace(x).tanh(u))

    def vjp(self, g, x):
        t = (self.c * (x + 0.044715 * x * x * x)).tanh()
        slope_u = self.c * (1.0 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope_u)


def exp(x: Tensor) -> Tensor:
    """e^x, elementwise."""
    return Exp()(x)


def expm1(x: Tensor) -> Tensor:
    """e^x - 1, elementwise, without the cancellation near 0."""
    return Expm1()(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm, elementwise: -inf at 0, NaN below."""
    return Log()(x)


def log1p(x: Tensor) -> Tensor:
    """ln(1 + x), elementwise, without the cancellation near 0."""
    return Log1p()(x)


def sqrt(x: Tensor) -> Tensor:
    """The square root, elementwise. Its slope at 0 is infinite; `safe_sqrt` says 0 there."""
    return Sqrt()(x)


def safe_sqrt(x: Tensor) -> Tensor:
    """The square root, with slope 0 at 0 (a choice, as |x| has slope 0 there), to any order.

    A norm sqrt(sum x^2) at x = 0 would otherwise give inf * 0 = NaN. Choosing the value afterwards
    is not enough, because NaN * 0 is NaN: the root must never see the 0.
    """
    nonzero = x.data != 0
    return where(nonzero, sqrt(where(nonzero, x, 1.0)), 0.0)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, elementwise."""
    return Tanh()(x)


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function 1/(1 + e^-x), elementwise."""
    return Sigmoid()(x)


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), elementwise: -ln sigmoid(-x), without overflow."""
    return Softplus()(x)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), elementwise (Hendrycks and Gimpel 2016; also called swish)."""
    return Silu()(x)


def relu(x: Tensor) -> Tensor:
    """max(x, 0), elementwise; slope 0 at 0."""
    return Relu()(x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x where positive, else slope x."""
    return LeakyRelu(slope)(x)


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), in the tanh form of Hendrycks and Gimpel (2016), within 5e-4 of the exact one."""
    return Gelu()(x)

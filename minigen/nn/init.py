"""How parameters start. Too small and signals die on their way through the layers, too large and
they explode; var(w) = gain^2 / fan_in keeps the variance of a layer's output at that of its input.

fan_in is the number of inputs to one output: all of a weight's axes but the first.
"""

import math

import numpy as np

from .. import backend
from ..autodiff.tensor import Tensor

Generator = np.random.Generator | None


def uniform(shape: tuple[int, ...], bound: float, generator: Generator = None) -> Tensor:
    """A parameter, uniform in [-bound, bound)."""
    draw = generator or backend.default_generator()
    return Tensor(draw.uniform(-bound, bound, shape), requires_grad=True, dtype="float32")


def normal(shape: tuple[int, ...], std: float, generator: Generator = None) -> Tensor:
    """A parameter drawn from N(0, std^2)."""
    draw = generator or backend.default_generator()
    return Tensor(std * draw.standard_normal(shape), requires_grad=True, dtype="float32")


def constant(shape: tuple[int, ...], value: float) -> Tensor:
    """A parameter that starts at one value everywhere."""
    return Tensor(np.full(shape, value), requires_grad=True, dtype="float32")


def xavier_uniform(
    shape: tuple[int, ...], gain: float = 1.0, generator: Generator = None
) -> Tensor:
    """var = 2 gain^2 / (fan_in + fan_out): for both directions (Glorot and Bengio 2010, eq. 16)."""
    fan_in, fan_out = fans(shape)
    return uniform(shape, gain * math.sqrt(6 / (fan_in + fan_out)), generator)


def kaiming_normal(
    shape: tuple[int, ...], gain: float = math.sqrt(2), generator: Generator = None
) -> Tensor:
    """var = gain^2 / fan_in; gain sqrt(2) for the half that relu cuts (He et al. 2015, eq. 10)."""
    return normal(shape, gain / math.sqrt(fans(shape)[0]), generator)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(inputs to one output, outputs of one input) of a weight (out, in, ...)."""
    if len(shape) < 2:
        raise ValueError(f"init: a weight needs two axes or more, (out, in, ...), got {shape}")
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area

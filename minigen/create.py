"""New Tensors: zeros, ones, and random numbers from an explicit generator.

Random numbers are drawn on the host (see backend.py), from the `generator` given or from the
default one, which `manual_seed` restarts.
"""

from typing import Any

import numpy as np

from . import backend
from .autodiff.tensor import Tensor

Generator = np.random.Generator | None


def zeros(*shape: int, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Zeros of a shape."""
    return Tensor(np.zeros(shape, dtype), requires_grad)


def ones(*shape: int, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Ones of a shape."""
    return Tensor(np.ones(shape, dtype), requires_grad)


def randn(
    *shape: int, generator: Generator = None, dtype: Any = "float32", requires_grad: bool = False
) -> Tensor:
    """Independent draws from N(0, 1)."""
    draw = generator or backend.default_generator()
    return Tensor(draw.standard_normal(shape, dtype=np.dtype(dtype).type), requires_grad)


def rand(
    *shape: int, generator: Generator = None, dtype: Any = "float32", requires_grad: bool = False
) -> Tensor:
    """Independent draws from the uniform distribution on [0, 1)."""
    draw = generator or backend.default_generator()
    return Tensor(draw.random(shape, dtype=np.dtype(dtype).type), requires_grad)

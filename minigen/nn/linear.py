"""Linear: y = x W^T + b."""

import math

import numpy as np

from ..autodiff.tensor import Tensor
from . import init
from .module import Module


class Linear(Module):
    """A fully connected layer: x (n, in_features) gives (n, out_features).

    The weight is (out_features, in_features), as PyTorch keeps it, so that a row belongs to an
    output. Both start uniform in +-1/sqrt(in_features), PyTorch's default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        generator: np.random.Generator | None = None,
    ) -> None:
        bound = 1 / math.sqrt(in_features)
        self.weight = init.uniform((out_features, in_features), bound, generator)
        self.bias = init.uniform((out_features,), bound, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias

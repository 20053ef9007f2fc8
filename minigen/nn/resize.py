"""Pooling, upsampling and flattening as layers, for use in Sequential."""

from .. import ops
from ..autodiff.tensor import Tensor
from .module import Module


class AvgPool2d(Module):
    """The mean of every size x size square."""

    def __init__(self, size: int) -> None:
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, self.size)


class MaxPool2d(Module):
    """The largest of every size x size square."""

    def __init__(self, size: int) -> None:
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.size)


class Upsample(Module):
    """An image `factor` times as large; mode "nearest" or "bilinear"."""

    def __init__(self, factor: int = 2, mode: str = "nearest") -> None:
        modes = {"nearest": ops.upsample_nearest, "bilinear": ops.upsample_bilinear}
        if mode not in modes:
            raise ValueError(f"Upsample: mode must be 'nearest' or 'bilinear', got {mode!r}")
        self.resize = modes[mode]
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.resize(x, self.factor)


class Flatten(Module):
    """Each point's axes into one: (N, ...) -> (N, features)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.size // max(x.shape[0], 1))

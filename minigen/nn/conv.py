"""Conv2d and ConvTranspose2d: layers for images (N, C, H, W)."""

import math
from typing import Any

import numpy as np

from .. import ops
from ..autodiff.tensor import Tensor
from ..ops.conv import pair
from . import init
from .module import Module


class Conv2d(Module):
    """Filters slid over an image: (N, in, H, W) -> (N, out, P, Q). See ops.conv2d.

    weight (out, in, kh, kw) and bias (out,) start uniform in +-1/sqrt(in kh kw), as PyTorch's do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        bias: bool = True,
        generator: np.random.Generator | None = None,
    ) -> None:
        kernel = pair(kernel_size, "kernel_size")
        bound = 1 / math.sqrt(in_channels * math.prod(kernel))
        self.weight = init.uniform((out_channels, in_channels, *kernel), bound, generator)
        self.bias = init.uniform((out_channels,), bound, generator) if bias else None
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class ConvTranspose2d(Module):
    """The transpose of a convolution: (N, in, P, Q) -> (N, out, H, W). See ops.conv_transpose2d.

    weight (in, out, kh, kw) and bias (out,) start uniform in +-1/sqrt(out kh kw), as PyTorch's do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        bias: bool = True,
        generator: np.random.Generator | None = None,
    ) -> None:
        kernel = pair(kernel_size, "kernel_size")
        bound = 1 / math.sqrt(out_channels * math.prod(kernel))
        self.weight = init.uniform((in_channels, out_channels, *kernel), bound, generator)
        self.bias = init.uniform((out_channels,), bound, generator) if bias else None
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding,
                                    self.output_padding)

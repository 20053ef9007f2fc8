"""Sums over the planes of images, and a number per plane spread over it, without short loops.

A NumPy loop runs along the memory for as long as all its operands go on evenly. Between images with
their channels last and one number per channel that is a single pixel, C steps, and starting a loop
costs more than eight steps of it.
"""

import numpy as np

from ..backend import Array


def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    """x.sum(axes), the axes kept at size 1.

    Images with their channels last are matrices, a pixel a row, and the sum of each plane is a
    vector of ones times such a matrix: with BLAS ten times as fast as NumPy's loops over a pixel.
    """
    if axes in ((2, 3), (0, 2, 3)) and has_channels_last(x):
        n, channels, height, width = x.shape
        pixels = x.transpose(0, 2, 3, 1).reshape(n, height * width, channels)
        sums = np.ones(height * width, x.dtype) @ pixels
        return (sums if axes == (2, 3) else sums.sum(axis=0)).reshape(-1, channels, 1, 1)
    return x.sum(axis=axes, keepdims=True)


def spread(numbers: Array, x: Array) -> Array:
    """numbers (N,C), or (1,C), as an array that broadcasts over the pixels of x (N,C,H,W).

    Where x has its channels last, a row of pixels is filled with the numbers: the loops are then as
    long as a row.
    """
    if not has_channels_last(x):
        return numbers[:, :, None, None]
    row = np.empty((len(numbers), 1, x.shape[3], x.shape[1]), numbers.dtype)
    row[:] = numbers[:, None, None, :]
    return row.transpose(0, 3, 1, 2)


def has_channels_last(x: Array) -> bool:
    """Whether x is a NumPy array (N,C,H,W) with its channels side by side and its pixels evenly
    spaced in memory; a slice of the channels is, too."""
    if not isinstance(x, np.ndarray) or x.ndim != 4 or x.size == 0:
        return False
    _, by_channel, by_row, by_pixel = x.strides
    return by_channel == x.itemsize and by_row == x.shape[3] * by_pixel

"""Standardising arrays over some axes, with few passes and few new arrays. NumPy or CuPy.

Large temporaries are what costs time here, so results are computed in place where they are ours.
"""

import math

import numpy as np

from ..backend import Array

Axes = tuple[int, ...]


def standardize(x: Array, axes: Axes, eps: float) -> tuple[Array, Array, Array]:
    """z = (x - mean) / sqrt(var + eps), and mean and var, whose reduced axes have size 1."""
    count = math.prod(x.shape[a] for a in axes)
    mean = sum_over(x, axes) / count
    z = x - mean
    var = sum_over(z * z, axes) / count
    z *= (var + eps) ** -0.5
    return z, mean, var


def standardize_backward(g: Array, z: Array, rstd: Array, axes: Axes) -> Array:
    """rstd (g - mean(g) - z mean(g z)): the gradient in x, for a gradient g in z."""
    count = math.prod(z.shape[a] for a in axes)
    gx = z * (sum_over(g * z, axes) / count)
    gx += sum_over(g, axes) / count
    gx -= g
    gx *= -rstd
    return gx


def sum_over(x: Array, axes: Axes) -> Array:
    """x.sum(axes), the axes kept at size 1.

    Images with their channels last in memory, summed per channel, are a matrix whose rows are to be
    added: BLAS does that several times as fast as NumPy's loop over rows as short as a pixel.
    """
    if x.ndim == 4 and axes == (0, 2, 3) and isinstance(x, np.ndarray):
        pixels = x.transpose(0, 2, 3, 1)
        if pixels.flags.c_contiguous and x.size:
            rows = pixels.reshape(-1, x.shape[1])
            return (np.ones(len(rows), x.dtype) @ rows).reshape(1, -1, 1, 1)
    return x.sum(axis=axes, keepdims=True)

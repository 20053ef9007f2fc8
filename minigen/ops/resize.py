"""Smaller and larger images: pooling and upsampling, made of other ops.

Pooling cuts an image into squares and keeps one number of each: an image (N, C, H, W), reshaped to
(N, C, H/k, k, W/k, k), has a square along the two axes of size k.
"""

import numpy as np

from ..autodiff.tensor import Tensor
from .reduce import max
from .shape import broadcast_to


def avg_pool2d(x: Tensor, size: int) -> Tensor:
    """The mean of every size x size square: (N, C, H, W) -> (N, C, H/size, W/size)."""
    return squares("avg_pool2d", x, size).mean((3, 5))


def max_pool2d(x: Tensor, size: int) -> Tensor:
    """The largest of every size x size square: (N, C, H, W) -> (N, C, H/size, W/size)."""
    return max(squares("max_pool2d", x, size), (3, 5))


def squares(who: str, x: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H/size, size, W/size, size); ValueError if it does not divide."""
    if x.ndim != 4 or size < 1 or x.shape[2] % size or x.shape[3] % size:
        raise ValueError(f"{who}: expected x (N, C, H, W) with H and W multiples of size {size}, "
                         f"got {x.kind}")
    n, c, h, w = x.shape
    return x.reshape(n, c, h // size, size, w // size, size)


def upsample_nearest(x: Tensor, factor: int = 2) -> Tensor:
    """Every pixel becomes a factor x factor square: (N, C, H, W) -> (N, C, H factor, W factor)."""
    n, c, h, w = image_shape("upsample_nearest", x, factor)
    copies = broadcast_to(x.reshape(n, c, h, 1, w, 1), (n, c, h, factor, w, factor))
    return copies.reshape(n, c, h * factor, w * factor)


def upsample_bilinear(x: Tensor, factor: int = 2) -> Tensor:
    """Between four pixels, their mean weighted by nearness: (N, C, H, W) -> H factor, W factor.

    Bilinear means linear along each axis, which is a matrix product on each side, U_h x U_w^T.
    Pixel centres stay where they are, edges repeat (PyTorch's align_corners=False).
    """
    _, _, h, w = image_shape("upsample_bilinear", x, factor)
    rows, columns = (Tensor(interpolation(n, factor), dtype=x.dtype).to(x.backend) for n in (h, w))
    return rows @ (x @ columns.T)


def interpolation(n: int, factor: int) -> np.ndarray:
    """The matrix (n factor, n) that interpolates n numbers linearly; every row sums to 1.

    Output i has its centre at (i + 1/2)/factor - 1/2, measured in input pixels.
    """
    centre = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    below = np.floor(centre).astype(int)
    above = np.minimum(below + 1, n - 1)
    weights = np.zeros((n * factor, n))
    np.add.at(weights, (np.arange(n * factor), below), 1 - (centre - below))
    np.add.at(weights, (np.arange(n * factor), above), centre - below)
    return weights


def image_shape(who: str, x: Tensor, factor: int) -> tuple[int, int, int, int]:
    if x.ndim != 4 or factor < 1:
        raise ValueError(f"{who}: expected x (N, C, H, W) and a factor of 1 or more, got x "
                         f"{x.kind} and factor {factor}")
    n, c, h, w = x.shape
    return n, c, h, w

"""Convolution and its two gradients as plain loops: slow, short, and hard to get wrong.

One sum defines all three.  For every output pixel (p, q) and every tap (r, s) of the filter,
the tap looks at the input pixel

    i = p·sh + r - ph        j = q·sw + s - pw        (stride sh, sw; padding ph, pw)

and, if that pixel exists, adds one term to

    y[n, k, p, q]  =  Σ_{c,r,s}  x[n, c, i, j] · w[k, c, r, s]

A term is a product of two numbers, so its derivative by one of them is the other: both gradients
below visit the same terms and only change which array is added to.  The sum over channels is
written as a matrix product: each tap is a little linear layer, applied pixel by pixel.

`conv.py` computes the same numbers fast; the tests compare the two.
"""

from typing import Iterator

import numpy as np

Pair = tuple[int, int]


def terms(input_hw: Pair, kernel_hw: Pair, output_hw: Pair, stride: Pair, padding: Pair
          ) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (p, q, r, s, i, j) above whose input pixel (i, j) is not in the padding."""
    for p in range(output_hw[0]):
        for q in range(output_hw[1]):
            for r in range(kernel_hw[0]):
                for s in range(kernel_hw[1]):
                    i = p * stride[0] + r - padding[0]
                    j = q * stride[1] + s - padding[1]
                    if 0 <= i < input_hw[0] and 0 <= j < input_hw[1]:
                        yield p, q, r, s, i, j


def conv2d_naive(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    """x (N,C,H,W), w (K,C,R,S) -> y (N,K,P,Q)."""
    (N, _, H, W), (K, _, R, S) = x.shape, w.shape
    P = (H + 2 * padding[0] - R) // stride[0] + 1
    Q = (W + 2 * padding[1] - S) // stride[1] + 1
    y = np.zeros((N, K, P, Q), x.dtype)
    for p, q, r, s, i, j in terms((H, W), (R, S), (P, Q), stride, padding):
        y[:, :, p, q] += x[:, :, i, j] @ w[:, :, r, s].T
    return y


def conv2d_input_grad_naive(g: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair,
                            input_hw: Pair) -> np.ndarray:
    """g = ∂L/∂y (N,K,P,Q), w (K,C,R,S) -> ∂L/∂x (N,C,H,W)."""
    (N, _, P, Q), (_, C, R, S) = g.shape, w.shape
    gx = np.zeros((N, C, *input_hw), g.dtype)
    for p, q, r, s, i, j in terms(input_hw, (R, S), (P, Q), stride, padding):
        gx[:, :, i, j] += g[:, :, p, q] @ w[:, :, r, s]
    return gx


def conv2d_weight_grad_naive(x: np.ndarray, g: np.ndarray, stride: Pair, padding: Pair,
                             kernel_hw: Pair) -> np.ndarray:
    """x (N,C,H,W), g = ∂L/∂y (N,K,P,Q) -> ∂L/∂w (K,C,R,S)."""
    (_, C, H, W), (_, K, P, Q) = x.shape, g.shape
    gw = np.zeros((K, C, *kernel_hw), x.dtype)
    for p, q, r, s, i, j in terms((H, W), kernel_hw, (P, Q), stride, padding):
        gw[:, :, r, s] += g[:, :, p, q].T @ x[:, :, i, j]
    return gw

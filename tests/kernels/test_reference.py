"""reference.py, by which the kernels are judged, against the formula written as loops."""

import itertools

import numpy as np
import pytest

from minigen.kernels import reference

from .cases import CONVOLUTIONS, PLANES


def every_term(case, output_hw):
    """All (n,k,c, p,q, r,s, i,j) that meet in equation (1) of conv.cu."""
    (N, C, H, W), (R, S) = case.x, case.kernel
    for n, k, c, p, q, r, s in itertools.product(
            *map(range, (N, case.channels, C, *output_hw, R, S))):
        i = p * case.stride[0] + r - case.padding[0]
        j = q * case.stride[1] + s - case.padding[1]
        if 0 <= i < H and 0 <= j < W:
            yield (n, k, p, q), (k, c, r, s), (n, c, i, j)


@pytest.mark.parametrize("case", [case for case in CONVOLUTIONS if np.prod(case.x) < 800],
                         ids=lambda case: case.name)
def test_convolution_and_gradients_are_the_loops(case):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.x)
    w = rng.standard_normal((case.channels, case.x[1], *case.kernel))
    how = case.stride, case.padding
    y = reference.conv2d(x, w, *how)
    g = rng.standard_normal(y.shape)
    want_y, want_gx, want_gw = np.zeros_like(y), np.zeros_like(x), np.zeros_like(w)
    for at_y, at_w, at_x in every_term(case, y.shape[2:]):
        want_y[at_y] += w[at_w] * x[at_x]
        want_gx[at_x] += w[at_w] * g[at_y]
        want_gw[at_w] += g[at_y] * x[at_x]
    np.testing.assert_allclose(y, want_y, atol=1e-12)
    gx = reference.conv2d_input_grad(g, w, *how, case.x[2:])
    np.testing.assert_allclose(gx, want_gx, atol=1e-12)
    gw = reference.conv2d_weight_grad(x, g, *how, case.kernel)
    np.testing.assert_allclose(gw, want_gw, atol=1e-12)


@pytest.mark.parametrize("shape", PLANES[:4], ids=str)
def test_adain_gradients_are_finite_differences(shape):
    rng = np.random.default_rng(0)
    x, g, d_x = rng.standard_normal((3, *shape))
    scale, shift, d_scale, d_shift = rng.standard_normal((4, *shape[:2]))
    eps, step = 1e-2, 1e-5

    def loss(t):
        y, _, _ = reference.adain(x + t * d_x, scale + t * d_scale, shift + t * d_shift, eps)
        return (g * y).sum()

    _, mean, rstd = reference.adain(x, scale, shift, eps)
    gx, gscale, gshift = reference.adain_backward(g, x, scale, mean, rstd)
    slope = (gx * d_x).sum() + (gscale * d_scale).sum() + (gshift * d_shift).sum()
    np.testing.assert_allclose(slope, (loss(step) - loss(-step)) / (2 * step), rtol=1e-7, atol=1e-8)

"""Adaptive instance normalisation on NumPy arrays, forward and backward.

Every plane (one channel of one image, M = H·W pixels) is normalised by its own statistics and
given a new scale and shift (Huang and Belongie 2017, https://arxiv.org/abs/1703.06868):

    mean = Σx / M      rstd = 1 / √(Σ(x - mean)² / M + eps)      x̂ = (x - mean)·rstd
    y = scale·x̂ + shift

The gradients of a loss with ∂L/∂y = g follow from ∂x̂ᵢ/∂xⱼ = rstd·(δᵢⱼ - 1/M - x̂ᵢ·x̂ⱼ/M), where
-1/M is the path through the mean and -x̂ᵢ·x̂ⱼ/M the one through rstd:

    ∂L/∂shift = Σg     ∂L/∂scale = Σ g·x̂     ∂L/∂x = scale·rstd·(g - Σg/M - x̂·Σ(g·x̂)/M)

Nothing is divided by scale or by the variance, so scale 0, constant planes and M = 1 are safe.

Each formula takes several passes over x.  They run over a few images at a time, which then stay
in the cache from pass to pass, and on all cores, for no plane needs another.  The results keep
the memory layout of x.
"""

import numpy as np

from .conv import batches
from .parallel import in_parallel
from .planes import spread, sum_over

IMAGE_BYTES = 2 << 20                               # images that one thread takes at a time


def adain(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N,C,H,W); scale, shift (N,C) -> y (N,C,H,W); mean, rstd (N,C)."""
    N, C, H, W = x.shape
    y = np.empty_like(x)
    mean, rstd = np.empty((N, C), x.dtype), np.empty((N, C), x.dtype)

    def normalise(some: slice) -> None:
        mean[some] = sum_over(x[some], (2, 3))[:, :, 0, 0] / (H * W)
        centred = np.subtract(x[some], spread(mean[some], x), out=y[some])
        variance = sum_of_products(centred, centred) / (H * W)
        rstd[some] = 1 / np.sqrt(variance + eps)
        centred *= spread(scale[some] * rstd[some], x)
        centred += spread(shift[some], x)           # centred lies in y: y is ready

    in_parallel(normalise, batches(N, C * H * W * x.itemsize, IMAGE_BYTES))
    return y, mean, rstd


def adain_backward(g: np.ndarray, x: np.ndarray, scale: np.ndarray, mean: np.ndarray,
                   rstd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g = ∂L/∂y and x (N,C,H,W); the rest (N,C) -> ∂L/∂x (N,C,H,W); ∂L/∂scale, ∂L/∂shift (N,C)."""
    N, C, H, W = x.shape
    gx = np.empty_like(x)
    gscale, gshift = np.empty((N, C), x.dtype), np.empty((N, C), x.dtype)

    def differentiate(some: slice) -> None:
        centred = x[some] - spread(mean[some], x)
        gscale[some] = sum_of_products(g[some], centred) * rstd[some]
        gshift[some] = sum_over(g[some], (2, 3))[:, :, 0, 0]
        centred *= spread(rstd[some] * gscale[some] / (H * W), x)       # x̂·Σ(g·x̂)/M
        centred += spread(gshift[some] / (H * W), x)
        np.subtract(g[some], centred, out=gx[some])
        gx[some] *= spread(scale[some] * rstd[some], x)

    in_parallel(differentiate, batches(N, C * H * W * x.itemsize, IMAGE_BYTES))
    return gx, gscale, gshift


def sum_of_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Σ a·b over each plane, in one pass and without an array for the products."""
    return np.einsum("nchw,nchw->nc", a, b)


def adain_naive(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The formulas above, plane by plane."""
    N, C, H, W = x.shape
    y, mean, rstd = np.empty(x.shape), np.empty((N, C)), np.empty((N, C))
    for n in range(N):
        for c in range(C):
            plane = x[n, c]
            mean[n, c] = plane.mean()
            rstd[n, c] = 1 / np.sqrt(((plane - mean[n, c]) ** 2).mean() + eps)
            y[n, c] = scale[n, c] * (plane - mean[n, c]) * rstd[n, c] + shift[n, c]
    return y.astype(x.dtype), mean.astype(x.dtype), rstd.astype(x.dtype)


def adain_backward_naive(g: np.ndarray, x: np.ndarray, scale: np.ndarray, mean: np.ndarray,
                         rstd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same gradients from the whole matrix ∂x̂ᵢ/∂xⱼ of each plane, M² numbers."""
    N, C, H, W = x.shape
    M = H * W
    gx, gscale, gshift = np.empty(x.shape), np.empty((N, C)), np.empty((N, C))
    for n in range(N):
        for c in range(C):
            g_plane = g[n, c].reshape(M)
            xhat = (x[n, c].reshape(M) - mean[n, c]) * rstd[n, c]
            jacobian = rstd[n, c] * (np.eye(M) - 1 / M - np.outer(xhat, xhat) / M)
            gx[n, c] = (scale[n, c] * g_plane @ jacobian).reshape(H, W)
            gscale[n, c] = g_plane @ xhat
            gshift[n, c] = g_plane.sum()
    return gx.astype(x.dtype), gscale.astype(x.dtype), gshift.astype(x.dtype)

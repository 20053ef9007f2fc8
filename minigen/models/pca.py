"""Principal component analysis: the best linear code of k numbers.

Pearson, On lines and planes of closest fit, 1901; Hotelling 1933. Which k directions lose least of
the data? With centred data and covariance S = E[(x - mean)(x - mean)^T], a code onto orthonormal
directions u_1 ... u_k leaves the squared error

    E|x - x_hat|^2 = tr S - sum_j u_j^T S u_j,

which is least where the u_j are the eigenvectors of the k largest eigenvalues of S: what is lost is
the sum of the others, the tail. Lesson 02 derives it. All on the host, in float64.
"""

from typing import NamedTuple

import numpy as np


class PCA(NamedTuple):
    """A fitted PCA; `PCA.fit(x, k)` makes one.

    mean (d,). components (k, d): orthonormal rows, the one of the largest eigenvalue first.
    eigenvalues (d,): all of them, of the covariance (1/n, not 1/(n - 1)), the largest first.
    """

    mean: np.ndarray
    components: np.ndarray
    eigenvalues: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, k: int) -> "PCA":
        """The first k components of x (n, d). Raises ValueError unless 0 <= k <= d."""
        if x.ndim != 2 or len(x) == 0:
            raise ValueError(f"PCA.fit: x must be (n, d) with n > 0, got shape {x.shape}")
        if not 0 <= k <= x.shape[1]:
            raise ValueError(f"PCA.fit: k must be between 0 and d = {x.shape[1]}, got {k}")
        mean = x.mean(axis=0, dtype=np.float64)
        centred = x - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(x))  # the smallest first
        return cls(mean, vectors.T[::-1][:k], np.maximum(values[::-1], 0.0))

    @property
    def tail(self) -> float:
        """The sum of the eigenvalues left out: the mean squared error per point it was fitted to.

        The error sums over a point's d numbers and averages over the points.
        """
        return float(self.eigenvalues[len(self.components):].sum())

    def encode(self, x: np.ndarray) -> np.ndarray:
        """The codes (n, k) of x (n, d): coordinates along the components, from the mean."""
        return (x - self.mean) @ self.components.T

    def decode(self, code: np.ndarray) -> np.ndarray:
        """The points (n, d) of codes (n, k): for `encode(x)`, x projected on the subspace."""
        return self.mean + code @ self.components

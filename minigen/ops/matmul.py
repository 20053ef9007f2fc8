"""Matrix products: each gradient is again a matrix product, with the other operand transposed."""

from typing import Any

from .. import kernels
from ..autodiff.op import Op
from ..autodiff.tensor import Tensor


class Matmul(Op):
    """Z = A B:  dZ = dA B + A dB,  so  g_A = g B^T  and  g_B = A^T g.

    Leading axes are a batch, and broadcast.
    """

    name = "matmul"
    expects = "a (..., n, k) and b (..., k, m); batch axes broadcast; a vector is (k,)"

    def forward(self, a, b):
        return kernels.blas.product(a, b)

    def vjp(self, g, a, b):
        rows, columns = a, b
        if b.ndim == 1:  # on the right, a vector is one column
            columns = b.reshape(b.size, 1)
            g = g.reshape(*g.shape, 1)
        if a.ndim == 1:  # on the left, one row
            rows = a.reshape(1, a.size)
            g = g.reshape(*g.shape[:-1], 1, g.shape[-1])
        return (g @ swap(columns) if self.needs[0] else None,
                drop_column(swap(rows) @ g, b) if self.needs[1] else None)


def swap(x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    return x.T if x.ndim == 2 else x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)


def drop_column(g_b: Tensor, b: Tensor) -> Tensor:
    """The gradient of a vector b, which took part as a matrix of one column."""
    return g_b.reshape(g_b.shape[:-1]) if b.ndim == 1 else g_b


def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product a @ b: (..., n, k) and (..., k, m) give (..., n, m)."""
    return Matmul()(a, b)

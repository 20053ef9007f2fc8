"""The readable reference of the CUDA kernels: the same five functions by im2col and matmul.

Runs on NumPy and on CuPy, in any dtype, and is what a kernel is compared with. The letters:
x (N,C,H,W), w (K,C,R,S), y and g (N,K,P,Q); `stride` and `padding` are (height, width) pairs.
"""

from ..backend import Array, namespace

Pair = tuple[int, int]


def im2col(x: Array, kernel_hw: Pair, stride: Pair, padding: Pair) -> Array:
    """Every window that the kernel sees, as a column: (N,C,H,W) -> (N, C*R*S, P*Q)."""
    (R, S), (sh, sw), (ph, pw) = kernel_hw, stride, padding
    padded = namespace(x).pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    N, C, height, width = padded.shape
    P, Q = (height - R) // sh + 1, (width - S) // sw + 1
    columns = namespace(x).empty((N, C, R, S, P, Q), x.dtype)
    for r in range(R):
        for s in range(S):
            columns[:, :, r, s] = padded[:, :, r:r + sh * P:sh, s:s + sw * Q:sw]
    return columns.reshape(N, C * R * S, P * Q)


def col2im(columns: Array, input_shape: tuple[int, ...], kernel_hw: Pair, stride: Pair,
           padding: Pair) -> Array:
    """The adjoint of im2col: every column is added back where it came from."""
    (N, C, H, W), (R, S), (sh, sw), (ph, pw) = input_shape, kernel_hw, stride, padding
    P, Q = (H + 2 * ph - R) // sh + 1, (W + 2 * pw - S) // sw + 1
    columns = columns.reshape(N, C, R, S, P, Q)
    padded = namespace(columns).zeros((N, C, H + 2 * ph, W + 2 * pw), columns.dtype)
    for r in range(R):
        for s in range(S):
            padded[:, :, r:r + sh * P:sh, s:s + sw * Q:sw] += columns[:, :, r, s]
    return padded[:, :, ph:ph + H, pw:pw + W]


def conv2d(x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
    """y = w @ im2col(x), the weights of one output channel being one row."""
    (N, _, H, W), (K, _, R, S) = x.shape, w.shape
    P, Q = (H + 2 * padding[0] - R) // stride[0] + 1, (W + 2 * padding[1] - S) // stride[1] + 1
    y = w.reshape(K, -1) @ im2col(x, (R, S), stride, padding)
    return y.reshape(N, K, P, Q)


def conv2d_input_grad(g: Array, w: Array, stride: Pair, padding: Pair, input_hw: Pair) -> Array:
    """gx = col2im(w.T @ g): the adjoint of conv2d in x."""
    (N, K, P, Q), (_, C, R, S) = g.shape, w.shape
    columns = w.reshape(K, -1).T @ g.reshape(N, K, P * Q)
    return col2im(columns, (N, C, *input_hw), (R, S), stride, padding)


def conv2d_weight_grad(x: Array, g: Array, stride: Pair, padding: Pair, kernel_hw: Pair) -> Array:
    """gw = g @ im2col(x).T, summed over the images: the adjoint of conv2d in w."""
    columns = im2col(x, kernel_hw, stride, padding)
    N, K, P, Q = g.shape
    gw = (g.reshape(N, K, P * Q) @ columns.transpose(0, 2, 1)).sum(axis=0)
    return gw.reshape(K, x.shape[1], *kernel_hw)


def adain(x: Array, scale: Array, shift: Array, eps: float) -> tuple[Array, Array, Array]:
    """y = scale * (x - mean) * rstd + shift, with the mean and rstd of each plane."""
    mean = x.mean(axis=(2, 3))
    centred = x - mean[:, :, None, None]
    rstd = 1 / namespace(x).sqrt((centred**2).mean(axis=(2, 3)) + eps)
    y = (scale * rstd)[:, :, None, None] * centred + shift[:, :, None, None]
    return y, mean, rstd


def adain_backward(g: Array, x: Array, scale: Array, mean: Array,
                   rstd: Array) -> tuple[Array, Array, Array]:
    """(gx, gscale, gshift): equation (2) of adain.cu."""
    xhat = (x - mean[:, :, None, None]) * rstd[:, :, None, None]
    mean_g = g.mean(axis=(2, 3), keepdims=True)
    mean_g_xhat = (g * xhat).mean(axis=(2, 3), keepdims=True)
    gx = (scale * rstd)[:, :, None, None] * (g - mean_g - xhat * mean_g_xhat)
    return gx, (g * xhat).sum(axis=(2, 3)), g.sum(axis=(2, 3))

"""The primitives, by family. Each op shows its value and its derivative together.

An op is a class (its name, `forward` on arrays, `vjp` on Tensors) and a function, which is what
you call. Notation in the comments: z is the output, g the gradient of the loss with respect to z.
"""

from .arithmetic import abs, add, clip, div, maximum, minimum, mul, neg, pow, sub, where
from .pointwise import (exp, expm1, gelu, leaky_relu, log, log1p, relu, safe_sqrt, sigmoid, silu,
                        softplus, sqrt, tanh)
from .reduce import log_softmax, logsumexp, max, mean, min, softmax, sum, var
from .matmul import matmul
from .shape import (astype, broadcast_to, concatenate, pad, reshape, split, stack, sum_to,
                    transpose)
from .conv import conv2d, conv2d_weight_grad, conv_transpose2d
from .norm import adain, adain_of_ops, batch_norm, instance_norm, layer_norm, standardize
from .resize import avg_pool2d, max_pool2d, upsample_bilinear, upsample_nearest
from .index import embedding, getitem, scatter, take

__all__ = [
    "abs", "adain", "adain_of_ops", "add", "astype", "avg_pool2d", "batch_norm", "broadcast_to",
    "clip", "concatenate", "conv2d", "conv2d_weight_grad", "conv_transpose2d", "div", "embedding",
    "exp", "expm1", "gelu", "getitem", "instance_norm", "layer_norm", "leaky_relu", "log", "log1p",
    "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "min", "minimum",
    "mul", "neg", "pad", "pow", "relu", "reshape", "safe_sqrt", "scatter", "sigmoid", "silu",
    "softmax", "softplus", "split", "sqrt", "stack", "standardize", "sub", "sum", "sum_to", "take",
    "tanh", "transpose", "upsample_bilinear", "upsample_nearest", "var", "where",
]

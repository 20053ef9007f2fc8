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
from .index import embedding, getitem, scatter, take

__all__ = [
    "abs", "add", "astype", "broadcast_to", "clip", "concatenate", "div", "embedding", "exp",
    "expm1", "gelu", "getitem", "leaky_relu", "log", "log1p", "log_softmax", "logsumexp",
    "matmul", "max", "maximum", "mean", "min", "minimum", "mul", "neg", "pad", "pow", "relu",
    "reshape", "safe_sqrt", "scatter", "sigmoid", "silu", "softmax", "softplus", "split", "sqrt",
    "stack", "sub", "sum", "sum_to", "take", "tanh", "transpose", "var", "where",
]

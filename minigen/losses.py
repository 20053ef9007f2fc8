"""Losses: one number that says how far a prediction is from its target, averaged over all elements.

A mean over elements suits optimisation. A likelihood (of a VAE, say) sums over the pixels of an
image instead, and so does not belong here. Shapes must agree: (n,) against (n, 1) would broadcast
to (n, n) without a word, one of the most common silent bugs.
"""

from typing import Any

import numpy as np

from . import ops
from .autodiff.tensor import Tensor


def mse(prediction: Tensor, target: Any) -> Tensor:
    """Mean squared error, mean (prediction - target)^2. Its optimum is E[target | input].

    It is the negative log-likelihood of a Gaussian of fixed width, up to scale and constant.
    Derived in lesson 02. Raises ValueError where the shapes differ.
    """
    _agree("mse", "prediction", prediction, target)
    difference = prediction - target
    return (difference * difference).mean()


def bce(p: Tensor, target: Any) -> Tensor:
    """Binary cross-entropy in nats, mean -[t ln p + (1 - t) ln(1 - p)], for probabilities p.

    The logarithms stop at -100, as PyTorch's do, so that p = 0 or 1 stays finite, and the gradient
    there is 0; `bce_with_logits` needs no such stop. Derived in lesson 04. Raises ValueError where
    the shapes differ.
    """
    _agree("bce", "p", p, target)
    log_p = _log_or_stop(ops.log, p, 0.0)
    log_not_p = _log_or_stop(lambda q: ops.log1p(-q), p, 1.0)
    return -(target * log_p + (1.0 - target) * log_not_p).mean()


def _log_or_stop(log: Any, p: Tensor, edge: float) -> Tensor:
    """log(p), no less than -100. At the edge log never sees p: a gradient 0 * inf would be NaN."""
    inside = p.data != edge
    return ops.where(inside, ops.maximum(log(ops.where(inside, p, 0.5)), -100.0), -100.0)


def bce_with_logits(logits: Tensor, target: Any) -> Tensor:
    """Binary cross-entropy in nats of p = sigmoid(logits), without computing p.

    With a = logit: -ln p = softplus(-a) and -ln(1 - p) = softplus(a), and softplus(-a) =
    softplus(a) - a, so that -[t ln p + (1 - t) ln(1 - p)] = softplus(a) - t a. The gradient in a
    is p - t. target: 0 .. 1, of the same shape, or one number for all. Derived in lesson 04.
    Raises ValueError where the shapes differ.
    """
    _agree("bce_with_logits", "logits", logits, target)
    return (ops.softplus(logits) - target * logits).mean()


def cross_entropy(logits: Tensor, labels: Any) -> Tensor:
    """Mean -ln softmax(logits)[label], in nats; logits (n, classes), labels (n,) integers.

    The negative log-likelihood of the labels. Its gradient in the logits is (softmax - one-hot)/n.
    Derived in lesson 00. Raises ValueError for other shapes.
    """
    labels = np.array(labels) if isinstance(labels, (list, tuple)) else labels
    shape = np.shape(labels)
    if logits.ndim != 2 or shape != logits.shape[:1]:
        raise ValueError(f"cross_entropy: expected logits (n, classes) and labels (n,); got logits "
                         f"{logits.shape} and labels {shape}")
    rows, columns = (Tensor(index).to(logits.backend) for index in (np.arange(*shape), labels))
    return -ops.log_softmax(logits, axis=1)[rows, columns].mean()


def _agree(loss: str, name: str, prediction: Tensor, target: Any) -> None:
    shape = getattr(target, "shape", None)  # a Python number has none, and stands for all
    if shape is not None and shape != prediction.shape:
        raise ValueError(f"{loss}: {name} has shape {prediction.shape} but target {shape}; they "
                         "must be equal (reshape one of them)")

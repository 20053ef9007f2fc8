"""Optimisers: from gradients to new parameters.

For a step, all parameters are laid end to end in one flat buffer; afterwards each parameter's data
is a view into it. An update is then a few operations on one long array instead of a few on each of
many short ones. Every step takes a new buffer and leaves the old one alone: a graph made before the
step, or a detached copy, still holds the numbers that it saw, and an op can tell by the new view
that its operand has changed between its forward and its backward pass.
"""

import math
from typing import Any, Iterable, Mapping

import numpy as np

from .autodiff.tensor import Tensor
from .backend import Array, is_array, namespace, to


class Optimizer:
    """Base: the flat buffer. A subclass says how a gradient changes it.

    params: leaf Tensors that require gradients, of one dtype on one backend. lr: the step size.
    Raises ValueError for no parameters, one twice, or mixed ones.
    """

    memory: tuple[str, ...] = ()  # the attributes that a subclass carries from step to step

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        self.lr = lr
        _check_params(type(self).__name__, self.params)
        self.xp = namespace(self.params[0].data)
        self.flat = self._joined(self.params)

    def step(self) -> None:
        """Update every parameter by its `.grad`; RuntimeError for one that has none."""
        missing = [i for i, p in enumerate(self.params) if p.grad is None]
        if missing:
            raise RuntimeError(f"{type(self).__name__}.step: parameter {missing[0]} "
                               f"{self.params[missing[0]].kind} has no gradient; was backward "
                               "called, and does the loss depend on it?")
        self.flat = self._joined(self.params)
        self.update(self._joined([p.grad for p in self.params]))
        self._hand_out()

    def update(self, g: Array) -> None:
        """Change `self.flat` in place, given the flat gradient g, which may be overwritten."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients, so that the next backward starts from nothing."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of lr and the memory, by name, as NumPy arrays. The parameters are the model's."""
        values = {name: getattr(self, name) for name in ("lr", *self.memory)}
        return {name: np.array(to(value, "numpy") if is_array(value) else value)
                for name, value in values.items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over lr and the memory; ValueError for other names or shapes."""
        own = self.state_dict()
        shapes, given = ({name: v.shape for name, v in s.items()} for s in (own, state))
        if shapes != given:
            raise ValueError(f"load_state_dict: {type(self).__name__} has {shapes}, got {given}")
        for name, value in own.items():
            new = np.array(state[name], dtype=value.dtype)
            setattr(self, name, self.xp.asarray(new) if value.ndim else new.item())

    def _joined(self, tensors: Iterable[Any]) -> Array:
        """The numbers of all tensors end to end, in a new buffer."""
        return self.xp.concatenate([tensor.data.ravel() for tensor in tensors])

    def _hand_out(self) -> None:
        """Give every parameter a view of its part of the buffer."""
        start = 0
        for p in self.params:
            p.data = self.flat[start:start + p.size].reshape(p.shape)
            start += p.size


class SGD(Optimizer):
    """Gradient descent with momentum: m <- momentum m + g;  theta <- theta - lr m.

    momentum = 0 is plain descent. (Polyak 1964; in the form of Sutskever et al. 2013, PyTorch's.)
    """

    memory = ("m",)

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum = momentum
        self.m = self.xp.zeros_like(self.flat)

    def update(self, g: Array) -> None:
        self.m *= self.momentum
        self.m += g
        self.flat -= self.lr * self.m


class RMSprop(Optimizer):
    """Each slope is divided by its running size: theta <- theta - lr g / (sqrt(v) + eps).

    v <- alpha v + (1 - alpha) g^2 (Tieleman and Hinton 2012, lecture 6.5).
    """

    memory = ("v",)

    def __init__(
        self, params: Iterable[Tensor], lr: float, alpha: float = 0.99, eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr)
        self.alpha = alpha
        self.eps = eps
        self.v = self.xp.zeros_like(self.flat)

    def update(self, g: Array) -> None:
        self.v *= self.alpha
        self.v += (1 - self.alpha) * g * g
        self.flat -= self.lr * g / (self.xp.sqrt(self.v) + self.eps)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1): a running mean of g over a running size of g.

        m <- b1 m + (1 - b1) g          m_hat = m / (1 - b1^t)
        v <- b2 v + (1 - b2) g^2        v_hat = v / (1 - b2^t)
        theta <- theta - lr m_hat / (sqrt(v_hat) + eps)

    m and v start at 0 and would be too small at first; the divisions by 1 - b^t undo just that. At
    t = 1, m_hat = g and v_hat = g^2: the first step is lr sign(g).
    """

    memory = ("t", "m", "v")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr)
        self.betas = betas
        self.eps = eps
        self.t = 0
        self.m = self.xp.zeros_like(self.flat)
        self.v = self.xp.zeros_like(self.flat)

    def update(self, g: Array) -> None:
        b1, b2 = self.betas
        self.t += 1
        self.m *= b1
        self.m += (1 - b1) * g
        self.v *= b2
        g *= g
        g *= 1 - b2
        self.v += g
        size = self.xp.sqrt(self.v, out=g)  # the gradient's buffer has served
        size /= math.sqrt(1 - b2 ** self.t)
        size += self.eps
        step = self.m / size
        step *= self.lr / (1 - b1 ** self.t)
        self.flat -= step


def _check_params(who: str, params: list[Any]) -> None:
    if not params:
        raise ValueError(f"{who}: params is empty")
    for i, p in enumerate(params):
        if not isinstance(p, Tensor) or not p.requires_grad or p.node is not None:
            raise ValueError(f"{who}: params[{i}] must be a leaf Tensor with requires_grad=True, "
                             f"got {p!r}")
    if len(set(params)) != len(params):
        raise ValueError(f"{who}: a parameter is listed twice; it would be updated twice")
    kinds = {(p.backend, str(p.dtype)) for p in params}
    if len(kinds) > 1:
        raise ValueError(f"{who}: params must share one backend and dtype, got {sorted(kinds)}")

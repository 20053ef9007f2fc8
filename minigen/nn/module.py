"""Module: parameters, the modules inside it, and a forward computation.

There is no registration. A module looks through its own attributes: a Tensor that requires a
gradient is a parameter, another Tensor is a buffer (a running mean, say), a Module is a child; and
lists of them count like their items.
"""

from typing import Any, Iterator

import numpy as np

from ..autodiff.tensor import Tensor
from ..backend import module as backend_module


class Module:
    """Base of all layers and models: set attributes in `__init__`, compute in `forward`."""

    training = True

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules directly inside, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield f"{name}.{i}", item

    def modules(self) -> Iterator["Module"]:
        """This module and all below it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def named_tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers, with dotted names: "encoder.weight"."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                yield prefix + name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, Tensor):
                        yield f"{prefix}{name}.{i}", item
        for name, child in self.children():
            yield from child.named_tensors(f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The Tensors that are to be learned, each once, with the first of its names."""
        seen = set()
        for name, tensor in self.named_tensors():
            if tensor.requires_grad and tensor not in seen:
                seen.add(tensor)
                yield name, tensor

    def parameters(self) -> list[Tensor]:
        """The Tensors that are to be learned, as an optimiser takes them."""
        return [tensor for _, tensor in self.named_parameters()]

    def train(self, on: bool = True) -> "Module":
        """Switch to training, or with on=False to evaluation (batch norm and dropout differ)."""
        for module in self.modules():
            module.training = on
        return self

    def eval(self) -> "Module":
        """Switch to evaluation."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every parameter and buffer, by name, as NumPy arrays."""
        return {name: tensor.numpy() for name, tensor in self.named_tensors()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over parameters and buffers; all or nothing.

        Raises ValueError that names what is missing, unexpected, or of another shape.
        """
        own = dict(self.named_tensors())
        if own.keys() != state.keys():
            missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ValueError(f"load_state_dict: missing {missing}, unexpected {extra}")
        for name, tensor in own.items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"load_state_dict: {name} has shape {state[name].shape}, expected "
                                 f"{tensor.shape}")
        for name, tensor in own.items():
            xp = backend_module(tensor.backend)
            tensor.data = xp.asarray(np.array(state[name], dtype=tensor.dtype))


class Sequential(Module):
    """Modules one after the other; their names are "0", "1", ..."""

    def __init__(self, *layers: Module) -> None:
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), layer) for i, layer in enumerate(self.layers))

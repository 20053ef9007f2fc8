"""MLP: the multilayer perceptron, affine maps with a nonlinearity between them."""

from typing import Callable, Sequence

import numpy as np

from .activations import SiLU
from .linear import Linear
from .module import Module, Sequential


class MLP(Sequential):
    """Linear layers of these widths: x (n, widths[0]) gives (n, widths[-1]).

    activation: the layer between them, after every one but the last. Two widths make one affine
    map. Raises ValueError for fewer.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Callable[[], Module] = SiLU,
        generator: np.random.Generator | None = None,
    ) -> None:
        if len(widths) < 2:
            raise ValueError(f"MLP: widths must have two numbers or more, in and out; got {widths}")
        layers: list[Module] = [Linear(widths[0], widths[1], generator=generator)]
        for width_in, width_out in zip(widths[1:], widths[2:]):
            layers += [activation(), Linear(width_in, width_out, generator=generator)]
        super().__init__(*layers)

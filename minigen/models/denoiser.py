"""A denoiser for points: one perceptron for all steps, told by an embedding which step it is.

Ho et al. (2020, appendix B) tell their network the time as a Transformer is told a position
(Vaswani et al. 2017, section 3.5): by sines and cosines of many frequencies, so that neighbouring
steps look alike and distant ones do not. A class is told by a learned vector, added to that. One
more vector stands for "no class": a network that is shown it now and then learns both the
conditional and the unconditional denoiser, which classifier-free guidance needs (Ho and Salimans
2022).
"""

from typing import Any

import numpy as np

from .. import nn, ops
from ..autodiff.tensor import Tensor
from .schedule import beside


def time_embedding(t: Any, features: int) -> np.ndarray:
    """sin(w t) and cos(w t) for features/2 frequencies w, from 1 down to nearly 1/10,000.

    t: one step or (n,); gives (1, features) or (n, features), float64, on the host. Raises
    ValueError for an odd number of features.
    """
    if features % 2:
        raise ValueError(f"time_embedding: features must be even, got {features}")
    frequencies = 10_000.0 ** -(np.arange(features // 2) / (features // 2))
    angles = np.reshape(t, (-1, 1)) * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


class MLPDenoiser(nn.Module):
    """eps(x_t, t), or eps(x_t, t, y): points (n, features) in and out.

    hidden: widths. classes: how many; 0 for a denoiser that knows none. code: the width of the
    embedding of time and class.
    """

    def __init__(
        self,
        features: int,
        hidden: tuple[int, ...] = (128, 128, 128),
        classes: int = 0,
        code: int = 64,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.classes = classes
        self.code = code
        self.labels = nn.init.normal((classes + 1, code), 1.0, generator) if classes else None
        self.net = nn.MLP((features + code, *hidden, features), generator=generator)

    def forward(self, x: Tensor, t: Any, y: Any = None) -> Tensor:
        """t: one step, or (n,) integers. y: (n,) integers, or one for all; `classes` or None for
        no class. ValueError for a class beyond that."""
        code = beside(x, time_embedding(t, self.code))
        if self.labels is not None:
            code = code + ops.embedding(self.labels, self._rows(x, y))
        elif y is not None:
            raise ValueError("MLPDenoiser: y was given, but classes is 0")
        return self.net(ops.concatenate([x, ops.broadcast_to(code, (len(x), self.code))], axis=1))

    def _rows(self, x: Tensor, y: Any) -> Tensor:
        rows = np.reshape(self.classes if y is None else y, -1)
        if rows.min() < 0 or rows.max() > self.classes:
            raise ValueError(f"MLPDenoiser: y must be in 0 .. {self.classes}, got {rows.min()} .. "
                             f"{rows.max()}")
        return Tensor(rows).to(x.backend)


def drop_labels(
    y: np.ndarray, null: int, p: float, generator: np.random.Generator
) -> np.ndarray:
    """The labels (n,), each replaced by `null`, "no class", with probability p: for training."""
    return np.where(generator.random(len(y)) < p, null, y)

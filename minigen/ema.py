"""An exponential moving average of a model's weights.

Late in training the weights of a diffusion model still jitter about the place where the loss is
least; their average lies nearer to it (Polyak and Juditsky 1992; Ho et al. 2020 use decay .9999).
"""

import copy

import numpy as np

from .nn import Module


class EMA:
    """`ema.model` is a twin of the model whose weights follow: w <- decay w + (1 - decay) new.

    Call `update()` after each step of the optimiser, and use `ema.model` to sample. The weights of
    the start are soon forgotten: the decay begins at 2/11 and rises, (1 + i)/(10 + i) at update i,
    until it reaches the one given. Buffers are not averaged but copied.
    """

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay must be in [0, 1), got {decay}")
        self.source = model
        self.model = copy.deepcopy(model).eval()
        self.decay = decay
        self.updates = 0

    def update(self) -> None:
        """Take the model's weights of now into the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for (_, mine), (_, new) in zip(self.model.named_tensors(), self.source.named_tensors()):
            averaged = new.requires_grad  # else a buffer
            mine.data = decay * mine.data + (1 - decay) * new.data if averaged else new.data

    def state_dict(self) -> dict[str, np.ndarray]:
        """The average and the number of updates, for a checkpoint."""
        return {"updates": np.array(self.updates), **self.model.state_dict()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state."""
        weights = dict(state)
        self.updates = int(weights.pop("updates"))
        self.model.load_state_dict(weights)

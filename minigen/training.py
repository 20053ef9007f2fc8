"""Training: a step, again and again; its losses kept, its state safe on the disk.

    batches = Batches((x, y), 64, rng)

    def step(i):
        a, b = next(batches)
        loss = losses.mse(net(a), b)
        norm = minimise(loss, optimiser, net)
        return {"loss": loss, "gradient norm": norm}

    history = train(step, 2000)
    history.plot(ax, ["loss"])

What one step is, the model says: a VAE's minimises one loss, a GAN's its discriminator's, several
times perhaps, and then its generator's. `train` repeats it, and needs to know no more.
"""

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence
from zipfile import ZipFile

import numpy as np
from tqdm import tqdm

from .autodiff.graph import grad
from .autodiff.tensor import Tensor
from .backend import default_generator
from .nn import Module
from .optim import Optimizer


class TrainingError(FloatingPointError):
    """A loss or a gradient that is not finite; the message names the parameter."""


class CheckpointError(RuntimeError):
    """A file that training cannot go on from; the message says why, and what to do."""


class Batches(Iterator[tuple[Tensor, ...]]):
    """Endless minibatches: `next(batches)` is a tuple of Tensors (size, ...), one per array.

    The points come in a random order, and when all have come, in another. This stream is cut into
    pieces of one size; a piece may hold the end of one epoch and the start of the next.

    arrays: (n, ...) each, of one n. rng: draws the orders. Raises ValueError for lengths that
    differ or are 0.
    """

    def __init__(self, arrays: Sequence[Any], size: int, rng: np.random.Generator) -> None:
        self.arrays = [Tensor(array) for array in arrays]
        self.size = size
        self.rng = rng
        self.left = np.empty(0, np.int64)  # of the current order
        lengths = {len(array) for array in self.arrays}
        if len(lengths) != 1 or min(lengths) == 0 or size < 1:
            raise ValueError("Batches: expected arrays of one length and batches of a size, both "
                             f"at least 1; got lengths {sorted(lengths)}, size {size}")

    def __next__(self) -> tuple[Tensor, ...]:
        while len(self.left) < self.size:
            self.left = np.append(self.left, self.rng.permutation(len(self.arrays[0])))
        chosen, self.left = self.left[:self.size], self.left[self.size:]
        return tuple(array[Tensor(chosen)] for array in self.arrays)

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is left of the order, filled up to (n,) with -1, and the generator's state."""
        left = np.full(len(self.arrays[0]), -1)
        left[:len(self.left)] = self.left
        return {"left": left, **_state_of(self.rng)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where the Batches of this state would have."""
        self.left = state["left"][state["left"] >= 0]
        _give_state(self.rng, state)


def minimise(loss: Tensor, optimiser: Optimizer, model: Module,
             max_norm: float = math.inf) -> float:
    """One update of the optimiser's parameters, down the gradient of the loss.

    model: where they have their names. max_norm: a longer gradient, of all parameters together, is
    shortened to it (Pascanu et al. 2013). Returns the length of the gradient, before that.
    Raises TrainingError, and changes no parameter, if the loss or a gradient is not finite.
    """
    gradients = grad(loss, optimiser.params)
    squares = [optimiser.xp.vdot(g.data, g.data) for g in gradients]
    # Here an update waits for a GPU, once, for a few numbers. To go on without a look would be
    # quicker, but one NaN makes all parameters NaN, and then nobody can tell where it came from.
    numbers = optimiser.xp.stack([loss.data.reshape(()), *squares])
    value, *squares = Tensor.wrap(numbers).numpy().tolist()
    if not math.isfinite(sum(squares, value)):
        names = {p: name for name, p in model.named_parameters()}
        bad = [names.get(p, p.kind) for p, square in zip(optimiser.params, squares)
               if not math.isfinite(square)]
        raise TrainingError(f"the loss is {value:g}; not finite, or too large to square: "
                            f"{len(bad)} of {len(squares)} gradients, {', '.join(bad[:3])}. No "
                            "parameter was changed. A smaller lr? A log(0), an x/0, a large exp?")
    norm = math.sqrt(sum(squares))
    for p, g in zip(optimiser.params, gradients):
        p.grad = g * (max_norm / norm) if norm > max_norm else g
    optimiser.step()
    return norm


class History:
    """The losses of all steps so far."""

    def __init__(self, losses: Mapping[str, list[float]] | None = None) -> None:
        self._values: dict[str, list[Any]] = dict(losses or {})

    def __len__(self) -> int:
        """The number of steps."""
        return min(map(len, self._values.values()), default=0)

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a step's losses: Tensors of one element, or numbers, under the names of before."""
        names = list(self._values) or list(values)
        if not names or set(names) != set(values):
            raise ValueError(f"history: expected losses {names}, got {list(values)}")
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self._values.setdefault(name, []).append(value)

    @property
    def losses(self) -> dict[str, np.ndarray]:
        """Name -> float64 array, one number a step."""
        for values in self._values.values():
            values[:] = map(float, values)  # waits for a GPU, so that nobody asks at every step
        return {name: np.array(values) for name, values in self._values.items()}

    def plot(self, ax: Any, names: Sequence[str] | None = None, unit: str = "") -> None:
        """Draw all losses, or those named, on a matplotlib axis: a mean over 1/40 of the steps,
        and faintly behind it every step. unit: of the losses, "nats" say.
        """
        losses = self.losses
        for name in names or losses:
            width = max(1, len(self) // 40)
            mean = np.convolve(losses[name], np.full(width, 1 / width), "valid")
            line, = ax.plot(np.arange(len(mean)) + (width + 1) / 2, mean, label=name, zorder=3)
            ax.plot(range(1, len(self) + 1), losses[name], color=line.get_color(), lw=.6, alpha=.3)
        ax.set(xlabel="step", ylabel=f"loss ({unit})" if unit else "loss")
        ax.legend()


class Checkpoint:
    """A file (.npz) from which `train` goes on as if it had never stopped.

    state: all that a step changes, by name: Modules, Optimizers (their lr too), Batches, NumPy
    generators, and what else has `state_dict` and `load_state_dict`. The default generator is
    always part of it. every: seconds between two saves.
    """

    def __init__(self, path: str | Path, state: Mapping[str, Any], every: float = 30.0) -> None:
        self.path = Path(path)
        self.state = state
        self.every = every
        self.saved = time.monotonic()

    def save(self, history: History) -> None:
        """Write the file. Whenever this is killed: the old one stands there, or the new one."""
        part = self.path.with_name(self.path.name + ".part")
        entries: dict[str, Any] = {f"state/{key}": v for key, v in self._entries().items()}
        entries |= {f"losses/{name}": values for name, values in history.losses.items()}
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            np.savez(file, **entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)
        self.saved = time.monotonic()

    def load(self) -> History:
        """Take over the file's state, all or nothing; where there is no file, do nothing.

        Raises CheckpointError for a damaged file, or one of another model.
        """
        if not self.path.exists():
            return History()
        try:
            if damaged := ZipFile(self.path).testzip():  # looks at each entry's CRC-32
                raise ValueError(f"{damaged} is damaged")
            with np.load(self.path, allow_pickle=False) as file:
                found = dict(file)
            losses, found, own = _below("losses/", found), _below("state/", found), self._entries()
            for key in own | found:
                here, there = _kind(own.get(key)), _kind(found.get(key))
                if here != there:
                    raise ValueError(f"{key} is {there} in the file, but {here} in this program")
            for name, thing in self._things().items():
                _give_state(thing, _below(f"{name}/", found))
        except Exception as error:  # a damaged archive may raise almost anything
            raise CheckpointError(f"checkpoint {self.path}: {error}. It is kept, and training does "
                                  "not begin anew: move it away, or name another") from error
        return History({name: values.tolist() for name, values in losses.items()})

    def _things(self) -> dict[str, Any]:
        return {**self.state, "default generator": default_generator()}

    def _entries(self) -> dict[str, np.ndarray]:
        """The whole state, flat: "net/encoder.weight" -> array."""
        return {f"{name}/{key}": value for name, thing in self._things().items()
                for key, value in _state_of(thing).items()}


def _below(start: str, entries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key[len(start):]: value for key, value in entries.items() if key.startswith(start)}


def _kind(array: np.ndarray | None) -> str:
    return "missing" if array is None else f"{array.shape} {array.dtype.type.__name__}"


def _state_of(thing: Any) -> dict[str, np.ndarray]:
    if isinstance(thing, np.random.Generator):
        state = thing.bit_generator.state  # has integers of 128 bits: it is kept as a text
        return {state["bit_generator"]: np.array(json.dumps(state, default=np.ndarray.tolist))}
    return thing.state_dict()


def _give_state(thing: Any, state: Mapping[str, np.ndarray]) -> None:
    if isinstance(thing, np.random.Generator):
        kind = thing.bit_generator.state["bit_generator"]
        thing.bit_generator.state = json.loads(str(state[kind]))
    else:
        thing.load_state_dict(state)


def train(step: Callable[[int], Mapping[str, Any]], steps: int,
          checkpoint: Checkpoint | None = None, label: str = "training") -> History:
    """Call step(i) for i = 0 .. steps - 1, and keep the losses that it returns by name.

    With a checkpoint, begin where its file stopped, and at Ctrl-C finish the step, save and stop:
    half a step is no state to go on from. Raises TrainingError, with the step, from `minimise`.
    """
    history = checkpoint.load() if checkpoint else History()
    looked = 0.0
    noted: list[Any] = []  # not empty after a Ctrl-C; a second one stops at once
    before = signal.getsignal(signal.SIGINT)
    if checkpoint:
        signal.signal(signal.SIGINT, lambda *_: noted.append(signal.signal(signal.SIGINT, before)))
    bar = tqdm(range(len(history), steps), label, total=steps, initial=len(history), disable=None,
               leave=False)
    try:
        for i in bar:
            history.append(step(i))
            if time.monotonic() - looked > 0.5:
                bar.set_postfix({name: values[-1] for name, values in history.losses.items()})
                looked = time.monotonic()
            last = bool(noted) or i + 1 == steps
            if checkpoint and (last or time.monotonic() - checkpoint.saved >= checkpoint.every):
                checkpoint.save(history)
            if last:
                break
    except TrainingError as error:
        raise TrainingError(f"{label}, step {len(history)}: {error}") from None
    finally:
        bar.close()
        if checkpoint:
            signal.signal(signal.SIGINT, before)
    if noted:
        raise KeyboardInterrupt
    return history

"""Whole training steps in minigen and in PyTorch eager, side by side in one run.

    python benchmarks/steps.py [--json FILE] [--blocks N] [--only NAME]

Each library runs a block of steps, then the other, and so on: turns shorter than a block would let
the two thread pools slow each other down. A figure is the median over blocks of the time per step;
what to quote is the ratio, since machines differ and drift.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
from machine import describe

import minigen as mg

Step = Callable[[], None]


class Row(NamedTuple):
    """One comparison: microseconds per step (None: not measured) and what they did."""

    name: str
    minigen: float
    torch: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.torch is None else self.minigen / self.torch


# The 2-D denoiser: a noisy point, 16 sines and 16 cosines of the time -> the noise in it.

DENOISER = (34, 128, 128, 2)
BATCH = 256


def denoiser_minigen() -> Step:
    layers: list[mg.nn.Module] = []
    for n_in, n_out in zip(DENOISER, DENOISER[1:]):
        layers += [mg.nn.Linear(n_in, n_out), mg.nn.SiLU()]
    net = mg.nn.Sequential(*layers[:-1])
    optimiser = mg.optim.Adam(net.parameters(), lr=1e-3)
    x, noise = _denoiser_batch()

    def step() -> None:
        loss = mg.losses.mse(net(mg.Tensor(x)), mg.Tensor(noise))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def denoiser_torch() -> Step:
    import torch
    layers: list[torch.nn.Module] = []
    for n_in, n_out in zip(DENOISER, DENOISER[1:]):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.SiLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, noise = (torch.from_numpy(a) for a in _denoiser_batch())

    def step() -> None:
        loss = torch.nn.functional.mse_loss(net(x), noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _denoiser_batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((BATCH, DENOISER[0]), dtype=np.float32),
            rng.standard_normal((BATCH, DENOISER[-1]), dtype=np.float32))


STEPS: dict[str, tuple[Callable[[], Step], Callable[[], Step]]] = {
    "2-D denoiser, 34-128-128-2, batch 256": (denoiser_minigen, denoiser_torch),
}


def compare(name: str, blocks: int) -> Row:
    """Time both libraries in turns of a block each."""
    ours, theirs = STEPS[name]
    try:
        makers = [ours, theirs] if _has_torch() else [ours]
        steps = [make() for make in makers]
    except ImportError:
        steps = [ours()]
    counts = [_steps_per_block(step) for step in steps]
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(blocks):
        for step, count, taken in zip(steps, counts, times):
            taken.append(_time(step, count))
    medians = [statistics.median(taken) for taken in times]
    return Row(name, medians[0], medians[1] if len(medians) > 1 else None)


def _steps_per_block(step: Step, seconds: float = 0.3) -> int:
    """How many steps fill a block; the first ones also warm up."""
    for _ in range(3):
        step()
    return max(3, int(seconds / (_time(step, 3) * 1e-6)))


def _time(step: Step, count: int) -> float:
    """Microseconds per step, over `count` steps."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count * 1e6


def overhead() -> Row:
    """One recorded multiplication of 3 x 3 numbers, less NumPy's own time for it: microseconds."""
    array = np.ones((3, 3), np.float32)
    tensor = mg.Tensor(array, requires_grad=True)
    best = [min(_time(f, 20_000) for _ in range(7))
            for f in (lambda: tensor * tensor, lambda: array * array)]
    return Row("overhead of one op over NumPy's own", best[0] - best[1], None)


def _has_torch() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--blocks", type=int, default=11, help="blocks of each library")
    parser.add_argument("--only", default="", help="only the steps whose name contains this")
    args = parser.parse_args()
    machine = describe()
    for fact, value in machine.items():
        print(f"{fact:>22}: {value}")
    print(f"\n{'':44} {'minigen µs':>12} {'torch µs':>12} {'ratio':>7}")
    rows = [overhead()] if args.only in "overhead" else []
    rows += [compare(name, args.blocks) for name in STEPS if args.only in name]
    for row in rows:
        torch = "not measured" if row.torch is None else f"{row.torch:.0f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        print(f"{row.name:44} {row.minigen:12.1f} {torch:>12} {ratio:>7}")
    if args.json:
        table = [{**row._asdict(), "ratio": row.ratio} for row in rows]
        Path(args.json).write_text(json.dumps({"machine": machine, "rows": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()

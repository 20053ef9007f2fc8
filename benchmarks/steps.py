"""Whole training steps in minigen and in PyTorch eager, side by side in one run.

    python benchmarks/steps.py [--only NAME] [--backend cupy] [--json FILE] [--blocks N]

Before a step is timed, both libraries do it once from the same weights and must agree.
"""

import argparse
from typing import Any

import numpy as np
from devices import CPU, GPU, Device, float32_only, missing, torch
from machine import describe
from networks import STEPS, Make, Twin
from table import markdown, write
from timing import host_clock, in_turns

import minigen as mg

TITLE = "Training steps, minigen and PyTorch eager"


def row(name: str, minigen: float, peer: Any, ratio: Any) -> dict[str, Any]:
    """Microseconds per step in both libraries, and the first over the second."""
    return {"step": name, "minigen µs": minigen, "torch µs": peer, "ratio": ratio}


def compare(name: str, device: Device, blocks: int) -> dict[str, Any]:
    """Make both twins on the device, check that they agree, and time them in turns."""
    ours, theirs = STEPS[name]
    mg.manual_seed(0)
    twins = [ours()]
    if torch is not None:
        twins.append(made_on(device, theirs))
        agree(name, *twins)
    times = in_turns([twin.step for twin in twins], device.clock, blocks, seconds=0.3)
    peer = times[1] if len(times) > 1 else None
    return row(name, times[0], peer, times[0] / peer if peer else None)


def made_on(device: Device, make: Make) -> Twin:
    """PyTorch's twin, on a device. Only its making is inside `with`, which slows every call."""
    with torch.device(device.torch):
        return make()


def agree(name: str, ours: Twin, theirs: Twin) -> None:
    """Copy minigen's weights to PyTorch; the losses must be equal, and again after one step.

    Equal to 1e-4, which float32 allows. After a step, the gradients have had their say too.
    """
    if ours.net is not None:
        state = {key: torch.from_numpy(array) for key, array in ours.net.state_dict().items()}
        counters = theirs.net.state_dict()          # PyTorch's batch norm also counts batches
        theirs.net.load_state_dict({**counters, **state})
    for moment in ("at the start", "after one step"):
        losses = [twin.loss().item() for twin in (ours, theirs)]
        if not np.isclose(*losses, rtol=1e-4, atol=0):
            raise SystemExit(f"{name}: {moment}, minigen's loss is {losses[0]:.6f} but PyTorch's "
                             f"{losses[1]:.6f}; they must do the same work to be compared")
        ours.step()
        theirs.step()


def overhead() -> dict[str, Any]:
    """One recorded multiplication of 3 x 3 numbers, less NumPy's own time for it."""
    array = np.ones((3, 3), np.float32)
    tensor = mg.Tensor(array, requires_grad=True)
    best = [min(host_clock(f, 20_000) for _ in range(7))
            for f in (lambda: tensor * tensor, lambda: array * array)]
    return row("overhead of one op over NumPy's own", best[0] - best[1], "", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the steps whose name contains this")
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                        help="cupy: minigen on the GPU, and PyTorch too")
    parser.add_argument("--json", metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--blocks", type=int, default=11, help="blocks of each library")
    args = parser.parse_args()
    device = GPU if args.backend == "cupy" else CPU
    if missing(device):
        raise SystemExit(missing(device))
    machine = describe()
    mg.use(device.minigen)
    float32_only()
    rows = [overhead()] if device is CPU and args.only in "overhead" else []
    rows += [compare(name, device, args.blocks) for name in STEPS if args.only in name]
    if not rows:
        raise SystemExit(f"--only: no step is called {args.only!r}; there are {', '.join(STEPS)}")
    report = {"title": f"{TITLE}, on the {device.name}", "machine": machine, "rows": rows}
    print(markdown(report))
    if args.json:
        write(report, args.json)


if __name__ == "__main__":
    main()

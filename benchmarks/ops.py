"""Single ops in minigen and in PyTorch eager, forward and backward, side by side in one run.

    python benchmarks/ops.py [--only NAME] [--device CPU] [--json FILE] [--blocks N]

It measures on the CPU and, where there is one, on the GPU: there PyTorch twice, with its products
in float32 (the ratio's peer) and with TF32. `rate` is what minigen reaches, and `share` that over
the best that the device did in this run, multiplying matrices or copying memory; cases.py says what
is counted. What fits in a cache may be faster than a copy in memory. Before an op is timed, both
libraries must agree on its value or gradients.
"""

import argparse
from typing import Any, Callable, NamedTuple

import numpy as np
from cases import Case, Shape, all_cases
from devices import CPU, GPU, Device, Rates, float32_only, measure_rates, missing, torch
from machine import describe
from table import markdown, write
from timing import Work, in_turns

import minigen as mg

BLOCK = 0.1                             # seconds


class Library(NamedTuple):
    """What a pass needs of a library: to and from arrays, an op, and gradients."""

    tensor: Callable[[np.ndarray], Any]
    array: Callable[[Any], np.ndarray]
    op: Callable[..., Any]
    grad: Callable[..., Any]


class Pass(NamedTuple):
    """One pass of an op in one library, which gives a list of tensors; and how much it reads."""

    work: Work
    numbers_read: int


def libraries(case: Case, device: Device) -> list[Library]:
    """minigen, and PyTorch where it is installed, on the device."""
    both = [Library(lambda a: mg.Tensor(a, requires_grad=True),
                    lambda t: t.numpy(), case.minigen, mg.grad)]
    if torch is not None:
        both.append(Library(lambda a: torch.tensor(a, requires_grad=True, device=device.torch),
                            lambda t: t.detach().cpu().numpy(), case.torch, torch.autograd.grad))
    return both


def prepare(case: Case, library: Library, wanted: tuple[int, ...]) -> Pass:
    """The forward pass (recorded, as in training), or the gradients of the wanted operands."""
    last = case.channels_last and library.grad is mg.grad
    arrays = [normal(shape, seed, last) for seed, shape in enumerate(case.shapes)]
    operands = [library.tensor(array) for array in arrays]
    size = sum(array.size for array in arrays)
    if not wanted:
        return Pass(lambda: [library.op(*operands)], size)
    y = library.op(*operands)
    g = normal(tuple(y.shape), len(arrays), last)
    inputs, seed = [operands[i] for i in wanted], library.tensor(g)
    return Pass(lambda: library.grad(y, inputs, seed, retain_graph=True), size + g.size)


def normal(shape: Shape, seed: int, channels_last: bool) -> np.ndarray:
    """N(0, 1) draws; for images, perhaps with the channels of a pixel side by side in memory."""
    array = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    if channels_last and len(shape) == 4:
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return array


def agree(label: str, results: list[list[np.ndarray]]) -> None:
    """Both libraries must give the same arrays, to 1e-4 of the largest number in each."""
    for ours, theirs in zip(*results):
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        if not error < 1e-4:
            raise SystemExit(f"{label}: minigen and PyTorch differ by {error:.1e} of the largest "
                             "number; they must do the same work to be compared")


def measure(case: Case, name: str, device: Device, best: Rates, blocks: int) -> dict[str, Any]:
    """One pass of a case on a device: its cells of the table."""
    wanted = case.passes[name]
    both = libraries(case, device)
    passes = [prepare(case, library, wanted) for library in both]
    results = [[library.array(t) for t in p.work()] for library, p in zip(both, passes)]
    if len(both) > 1:
        agree(f"{case.label}, {name}", results)
    works = [p.work for p in passes]
    minigen, peer = (*in_turns(works, device.clock, blocks, BLOCK), None)[:2]
    if case.flop:
        rate, limit = case.flop * max(1, len(wanted)) / minigen * 1e-3, best.gflops
    else:
        numbers = passes[0].numbers_read + sum(array.size for array in results[0])
        rate, limit = 4 * numbers / minigen * 1e-3, best.gbytes
    cells = {"minigen µs": minigen, "torch µs": peer, "ratio": minigen / peer if peer else None,
             "rate": rate, "share": rate / limit}
    if device is GPU:
        cells["TF32 µs"] = with_tf32(works[1:], blocks) if case.flop else ""
    return cells


def with_tf32(works: list[Work], blocks: int) -> float | None:
    """PyTorch's microseconds where it may round the factors of products to TF32."""
    float32_only(False)
    times = in_turns(works, GPU.clock, blocks, BLOCK)
    float32_only()
    return times[0] if times else None


def measure_all(device: Device, only: str, blocks: int) -> tuple[str, dict[Any, dict[str, Any]]]:
    """What the device does at best, in words, and its cells of the table for each (op, pass)."""
    mg.use(device.minigen)
    best = measure_rates(device)
    at_best = f"{best.gflops:.0f} GFLOP/s in products, {best.gbytes:.0f} GB/s in copies"
    return at_best, {(case.label, name): measure(case, name, device, best, blocks)
                     for case in all_cases() if only in case.label and device in case.devices
                     for name in case.passes}


COLUMNS = ("minigen µs", "torch µs", "ratio", "rate", "share")


def table_rows(only: str, measured: dict[str, dict[Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each pass of each case; None in cells that were not measured."""
    rows = []
    for case in all_cases():
        for name in case.passes if only in case.label else ():
            row = {"op": case.label, "pass": name, "unit of rate": case.unit}
            for device, columns in (("CPU", COLUMNS), ("GPU", (*COLUMNS, "TF32 µs"))):
                cells = measured[device].get((case.label, name), {})
                for column in columns if measured[device] else ():
                    row[f"{device} {column}"] = cells.get(column)
                if not measured[device]:
                    row[device] = None
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the ops whose name contains this")
    parser.add_argument("--device", choices=("CPU", "GPU"), help="only this one; default: both")
    parser.add_argument("--json", metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--blocks", type=int, default=7, help="blocks of each library")
    args = parser.parse_args()
    machine = describe()
    float32_only()
    measured: dict[str, dict[Any, dict[str, Any]]] = {"CPU": {}, "GPU": {}}
    for device in (CPU, GPU):
        if args.device in (None, device.name) and not missing(device):
            machine[f"{device.name} at best"], measured[device.name] = measure_all(
                device, args.only, args.blocks)
    rows = table_rows(args.only, measured)
    if not rows:
        raise SystemExit(f"--only: no op's name contains {args.only!r}")
    report = {"title": "Ops, minigen and PyTorch eager", "machine": machine, "rows": rows}
    print(markdown(report))
    if args.json:
        write(report, args.json)


if __name__ == "__main__":
    main()

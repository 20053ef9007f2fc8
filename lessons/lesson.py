"""What every lesson shares: its flags, its steps, its checks and its figures.

    lesson = Lesson("04_gan_optimum", __doc__)
    lesson.step('''1. A claim ... and its derivation, in numbered lines''')
    lesson.check("V at the optimum", got, want, kind="quadrature", tolerance=1e-9)
    lesson.figure(fig, "d_star")
    lesson.finish()

A check compares a number that was computed with one that was known before. Its kind says where its
tolerance comes from:

    exact         rounding alone: 1e-9 of the size of the number, unless the step says why not
    quadrature    the integral's own error estimate, and rounding
    monte-carlo   5 standard errors of an average over n draws; n is printed
    trained       the spread of the trained result over seeds, stated by `why`

A lesson with a failed check, or with none, exits with status 1.
"""

import argparse
import json
import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Iterable

import matplotlib
import numpy as np
from tqdm import tqdm

import minigen as mg
from minigen.quadrature import Integral

ROUNDING = 1e-9  # of the size of a number: float64 sums of a few thousand terms stay well below
KINDS = ("exact", "quadrature", "monte-carlo", "trained")
IN_NOTEBOOK = "ipykernel" in sys.modules

STYLE = {
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "font.size": 10,
}
REAL, FAKE, LEARNED, THEORY = "#2166ac", "#d6604d", "#4d9221", "#333333"


class Lesson:
    """One run of a lesson.

    name: the script's name without ".py". doc: its docstring; the first line is its title.
    arguments: flags of its own, as pairs (name, keywords of `add_argument`).

    The flags are in `args`; `full`, `seed` and the NumPy generator `rng` also stand alone.
    """

    def __init__(
        self, name: str, doc: str, arguments: Iterable[tuple[str, dict[str, Any]]] = ()
    ) -> None:
        self.name = name
        self.start = time.perf_counter()
        self.checks: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.figures: list[Path] = []
        self.args = _parser(name, doc, arguments).parse_args([] if IN_NOTEBOOK else None)
        self.full: bool = self.args.full
        self.seed: int = self.args.seed
        if hasattr(sys.stdout, "reconfigure"):  # σ and → on any terminal; a notebook needs no help
            sys.stdout.reconfigure(encoding="utf-8", errors="replace")
        try:
            mg.use(self.args.backend)
            Path(self.args.out).mkdir(parents=True, exist_ok=True)  # now, not after all the work
        except (mg.BackendError, OSError) as error:
            self.refuse(error)
        self.rng = mg.manual_seed(self.seed)
        if not self.args.show and not IN_NOTEBOOK:
            matplotlib.use("Agg")
        matplotlib.rcParams.update(STYLE)
        title = doc.strip().splitlines()[0]
        print(f"\n{title}\n{'=' * len(title)}")

    def step(self, text: str) -> None:
        """Print one step: its title on the first line, then claim and derivation."""
        title, _, body = textwrap.dedent(text).strip().partition("\n")
        print(f"\n{title}\n{'-' * len(title)}")
        if body.strip():
            print(body.strip("\n"))

    def say(self, text: str) -> None:
        """Print a result, a line or several."""
        print("\n" + textwrap.dedent(text).strip("\n"))

    def progress(self, items: Iterable[Any], label: str) -> Iterable[Any]:
        """The items, with a bar on the terminal that says how far we are."""
        return tqdm(items, desc=label, disable=None, leave=False)

    def check(
        self,
        name: str,
        got: Any,
        want: Any,
        kind: str = "exact",
        tolerance: float | None = None,
        n: int | None = None,
        standard_error: float | None = None,
        why: str = "",
    ) -> bool:
        """Compare `got` with `want`, print the verdict, and keep it for the table.

        Numbers or arrays of one shape; of an array the worst element counts. A tolerance is a
        distance, not a ratio. An `Integral` brings its own error estimate. monte-carlo takes n and
        standard_error; trained takes tolerance and `why`, the spread over seeds that it was taken
        from.
        """
        if isinstance(got, Integral):
            got, error = got
            if tolerance is None:
                tolerance = max(error, ROUNDING * max(1.0, abs(want)))
        got, want = _numbers(got), _numbers(want)
        if got.ndim and want.ndim and got.shape != want.shape:
            print(f"  {name}: got has shape {got.shape}, expected {want.shape}")
            got = np.full(want.shape, np.nan)  # a wrong shape is a wrong answer
        got, want = np.broadcast_arrays(got, want)
        tolerance = _tolerance(name, kind, want, tolerance, n, standard_error, why)
        with np.errstate(invalid="ignore"):  # inf - inf is NaN, though the two are equal
            distance = np.where(got == want, 0.0, np.abs(got - want))
        worst = np.unravel_index(int(np.argmax(np.where(np.isnan(distance), np.inf, distance))),
                                 got.shape)
        ok = bool((distance <= tolerance).all())
        self.checks.append({
            "name": name, "kind": kind, "got": float(got[worst]), "want": float(want[worst]),
            "tolerance": float(tolerance), "ok": ok,
        })
        self.notes.append(f"n = {n:,}" if kind == "monte-carlo" else why)
        if self.args.json:
            self._write_json(Path(self.args.json))  # at once: a lesson that breaks off leaves it
        of = f", the worst of {got.size}" if got.size > 1 else ""
        print(f"  {_verdict(ok)} {name}: got {got[worst]:.6g}, want {want[worst]:.6g} "
              f"± {tolerance:.2g}{of}")
        return ok

    def figure(self, fig: Any, name: str = "") -> Path:
        """Save a figure as out/LESSON_name.png."""
        path = Path(self.args.out) / f"{self.name}{'_' + name if name else ''}.png"
        part = path.with_suffix(".part.png")
        fig.savefig(part)
        os.replace(part, path)
        self.figures.append(path)
        return path

    def refuse(self, error: object) -> None:
        """Stop for bad input: say what was wrong, and exit with status 2."""
        print(f"{self.name}: {error}", file=sys.stderr)
        sys.exit(2)

    def finish(self) -> None:
        """Print the table of checks, show the figures; exit with status 1 if a check failed."""
        _print_table(self.checks, self.notes)
        for path in self.figures:
            print(f"figure: {os.path.relpath(path)}")
        failed = [check["name"] for check in self.checks if not check["ok"]]
        verdict = f"{len(self.checks) - len(failed)} of {len(self.checks)} checks passed"
        print(f"{verdict} in {time.perf_counter() - self.start:.0f} s (seed {self.seed})")
        if self.args.show:
            matplotlib.pyplot.show()
        if failed or not self.checks:
            print("failed: " + (", ".join(failed) or "a lesson must check something"))
            if not IN_NOTEBOOK:
                sys.exit(1)

    def _write_json(self, path: Path) -> None:
        report = {"lesson": self.name, "seed": self.seed, "checks": self.checks}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(report, indent=2) + "\n")
        os.replace(part, path)


def _parser(
    name: str, doc: str, arguments: Iterable[tuple[str, dict[str, Any]]]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{name}.py", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="train longer, on more seeds")
    parser.add_argument("--backend", default="numpy", choices=["numpy", "cupy"],
                        help="the library to compute with (cupy needs a CUDA device)")
    parser.add_argument("--seed", type=_seed, default=0, help="where all randomness starts")
    parser.add_argument("--out", default=str(Path(__file__).parent / "out"),
                        help="the folder for figures")
    parser.add_argument("--show", action="store_true", help="also open the figures")
    parser.add_argument("--json", metavar="FILE", help="write the checks to FILE")
    for flag, keywords in arguments:
        parser.add_argument(flag, **keywords)
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)


def _numbers(value: Any) -> np.ndarray:
    """A Tensor, an array or a number as a float64 array."""
    return np.asarray(value.numpy() if isinstance(value, mg.Tensor) else value, dtype=np.float64)


def _tolerance(
    name: str,
    kind: str,
    want: np.ndarray,
    tolerance: float | None,
    n: int | None,
    standard_error: float | None,
    why: str,
) -> float:
    """How far off a check of this kind may be."""
    if kind not in KINDS:
        raise ValueError(f"check {name!r}: kind must be one of {KINDS}, got {kind!r}")
    if kind == "monte-carlo":
        if n is None or standard_error is None:
            raise ValueError(f"check {name!r}: monte-carlo needs n and standard_error")
        return 5 * float(standard_error)
    if kind == "trained" and (tolerance is None or not why):
        raise ValueError(f"check {name!r}: trained needs a tolerance, and why that one")
    finite = np.abs(want[np.isfinite(want)])
    rounding = ROUNDING * max(1.0, float(finite.max(initial=0.0)))
    return rounding if tolerance is None else float(tolerance)


def _verdict(ok: bool) -> str:
    word = "ok  " if ok else "FAIL"
    return f"\033[{32 if ok else 31}m{word}\033[0m" if sys.stdout.isatty() else word


def _print_table(checks: list[dict[str, Any]], notes: list[str]) -> None:
    width = max((len(check["name"]) for check in checks), default=4)
    header = f"     {'check':{width}}  {'kind':11}  {'got':>12}  {'want':>12}  {'tolerance':>9}"
    print(f"\n{header}\n{'-' * len(header)}")
    for check, note in zip(checks, notes):
        print(f"{_verdict(check['ok'])} {check['name']:{width}}  {check['kind']:11}  "
              f"{check['got']:12.6g}  {check['want']:12.6g}  {check['tolerance']:9.2g}  {note}")
    print()

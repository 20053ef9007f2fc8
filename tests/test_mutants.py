"""A check that cannot fail teaches nothing: each mutant, planted in a copy, reddens its killer."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path):
    """The project, copied, so that a bug can be planted in it."""
    for folder in ("minigen", "lessons", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder,
                        ignore=shutil.ignore_patterns("__pycache__", "out", "gallery"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


def plant(mutant: Mutant, root: Path) -> None:
    path = root / mutant.file
    source = path.read_text()
    assert source.count(mutant.line) == 1, f"{mutant.line!r} must stand once in {mutant.file}"
    path.write_text(source.replace(mutant.line, mutant.bug))


def run(root: Path, *arguments: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(root)}  # before the installed minigen
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True,
                          cwd=root, env=environment)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_line_stands_once_in_its_file(mutant):
    assert (ROOT / mutant.file).read_text().count(mutant.line) == 1
    assert mutant.bug != mutant.line


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_turns_its_killer_red(mutant, copy):
    plant(mutant, copy)
    if mutant.killer.startswith("tests/"):
        done = run(copy, "-m", "pytest", "-q", "-x", "-m", "", mutant.killer)
        assert done.returncode == 1, f"survived:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return
    lesson, _, name = mutant.killer.partition(": ")
    verdict = first_verdict(copy, lesson, name)
    assert verdict is not None, f"the lesson broke off before {name}"
    assert verdict is False, f"survived: {name} is green"


def first_verdict(root: Path, lesson: str, name: str) -> bool | None:
    """Run the lesson until it has made the check of that name, and no further. None: it never did.

    A lesson writes its report at each check, so that what comes after need not be waited for.
    """
    report = root / "checks.json"
    command = [sys.executable, f"lessons/{lesson}.py", "--json", str(report), "--out", "out"]
    with subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        ended = False
        while not ended:
            time.sleep(0.1)
            ended = running.poll() is not None  # asked first: then the report is whole
            verdicts = read_verdicts(report)
            if name in verdicts:
                running.kill()
                return verdicts[name]
    return None


def read_verdicts(report: Path) -> dict[str, bool]:
    if not report.exists():
        return {}
    return {check["name"]: check["ok"] for check in json.loads(report.read_text())["checks"]}

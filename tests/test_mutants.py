"""A check that cannot fail teaches nothing: each mutant, planted in a copy, reddens its killer."""

import json
import os
import shutil
import subprocess
import sys
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
    done = run(copy, f"lessons/{lesson}.py", "--json", "checks.json", "--out", copy / "out")
    assert (copy / "checks.json").exists(), f"the lesson broke off:\n{done.stderr[-2000:]}"
    checks = {c["name"]: c["ok"] for c in json.loads((copy / "checks.json").read_text())["checks"]}
    assert checks[name] is False, f"survived: {name} is green"
    assert done.returncode == 1

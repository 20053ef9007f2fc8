"""Lesson 12 on a learner's own points: learned, and sampled in their own units, or refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigen.data.points import PointsError, read_points

LESSON = Path(__file__).parents[2] / "lessons" / "12_diffusion_samplers.py"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The lesson's own functions: its cells up to where the lesson itself begins."""
    source = LESSON.read_text(encoding="utf-8").split("if lesson.args.data:")[0]
    sys.path.insert(0, str(LESSON.parent))
    before, sys.argv = sys.argv, ["x.py", "--out", str(tmp_path_factory.mktemp("out"))]
    try:
        cells = {"__name__": "lesson_12"}
        exec(compile(source, str(LESSON), "exec"), cells)
    finally:
        sys.argv = before
        sys.path.remove(str(LESSON.parent))
    return cells


def run(path, out):
    return subprocess.run([sys.executable, str(LESSON), "--data", str(path), "--out", str(out)],
                          capture_output=True, text=True)


def cloud(columns, n=60):
    return np.random.default_rng(0).normal(3.0, 2.0, (n, columns))


def test_a_missing_file_is_refused_with_exit_code_2_and_no_traceback(tmp_path):
    done = run(tmp_path / "absent.csv", tmp_path)
    assert done.returncode == 2
    assert "absent.csv: no such file" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("text, message", [
    ("", "a.txt: has 0 points, expected 20 or more"),
    ("x,y\n1,2\n3,4\n", "a.txt: has 2 points, expected 20 or more"),
    ("\n".join(f"{i},4" for i in range(30)), "a.txt, column 2: has the standard deviation 0"),
    ("\n".join(f"{i % 17}e307" for i in range(30)), "a.txt, column 1: has the standard deviation"),
    ("one\ntwo\n", "a.txt, line 2, column 1: 'two' is not a finite number"),
])
def test_points_that_cannot_be_learned_from_are_refused(own, tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(PointsError, match=message):
        own["read_own"](tmp_path / "a.txt")


@pytest.mark.parametrize("columns, name", [(1, "points.npy"), (2, "points.csv")])
def test_new_points_are_learned_in_the_units_of_the_old(own, tmp_path, columns, name, monkeypatch):
    points = cloud(columns)
    if name == "points.npy":
        np.save(tmp_path / name, points.ravel())
    else:
        np.savetxt(tmp_path / name, points, delimiter=",", header="x,y", comments="")
    monkeypatch.setitem(own, "STEPS", 150)  # instead of thousands
    own["learn_from"](tmp_path / name)
    out = Path(own["lesson"].args.out)
    new = read_points(out / f"12_diffusion_samplers_samples{Path(name).suffix}")
    assert new.points.shape == points.shape and new.header == ("x,y" if columns == 2 else "")
    assert abs(new.points.mean(0) - 3.0).max() < 1.5 and 0.5 < new.points.std() < 4.0
    assert (out / "12_diffusion_samplers_own.png").stat().st_size > 5_000

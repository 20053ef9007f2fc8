"""The frame that all lessons share: checks that can fail, JSON that says so, exit codes."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LESSON_04 = ROOT / "lessons" / "04_gan_optimum.py"


@pytest.fixture
def lesson(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "lessons"))
    arguments = ["x.py", "--out", str(tmp_path), "--seed", "3", "--json", str(tmp_path / "c.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    from lesson import Lesson
    return Lesson("99_test", "99. A test\n")


def run(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True,
                          cwd=ROOT)


def test_a_number_within_its_tolerance_passes_and_one_outside_fails(lesson):
    assert lesson.check("a", 1 + 5e-10, 1.0)
    assert not lesson.check("b", 1 + 5e-9, 1.0)
    assert lesson.check("c", 1.09, 1.0, "trained", 0.1, why="spread .02 over 20 seeds")
    assert not lesson.check("d", 1.11, 1.0, "trained", 0.1, why="spread .02 over 20 seeds")


def test_monte_carlo_allows_five_standard_errors(lesson):
    assert lesson.check("a", 0.49, 0.0, "monte-carlo", n=100, standard_error=0.1)
    assert not lesson.check("b", 0.51, 0.0, "monte-carlo", n=100, standard_error=0.1)


def test_nan_fails_and_equal_infinities_pass(lesson):
    assert not lesson.check("a", math.nan, 1.0)
    assert not lesson.check("b", math.nan, math.nan)
    assert lesson.check("c", math.inf, math.inf)
    assert not lesson.check("d", math.inf, 1.0)


def test_the_worst_element_of_an_array_decides_and_is_reported(lesson):
    assert not lesson.check("a", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 3.0]))
    assert lesson.checks[-1]["got"] == 2.0 and lesson.checks[-1]["want"] == 2.5


def test_an_array_of_another_shape_fails_but_one_number_stands_for_all(lesson):
    assert lesson.check("a", np.ones(3), 1.0)
    assert not lesson.check("b", np.ones((3, 2)), np.ones(2))


def test_an_integral_brings_its_own_tolerance(lesson):
    from minigen.quadrature import Integral
    assert lesson.check("a", Integral(1.005, 0.01), 1.0, "quadrature")
    assert not lesson.check("b", Integral(1.005, 0.001), 1.0, "quadrature")


def test_a_check_without_the_grounds_of_its_tolerance_is_refused(lesson):
    with pytest.raises(ValueError, match="trained needs a tolerance, and why"):
        lesson.check("a", 1.0, 1.0, "trained", 0.1)
    with pytest.raises(ValueError, match="monte-carlo needs n and standard_error"):
        lesson.check("b", 1.0, 1.0, "monte-carlo")
    with pytest.raises(ValueError, match="kind must be one of"):
        lesson.check("c", 1.0, 1.0, "lucky")


def test_a_green_lesson_writes_its_checks_as_json(lesson, tmp_path):
    lesson.check("a", 1.0, 1.0)
    lesson.finish()
    assert json.loads((tmp_path / "c.json").read_text()) == {
        "lesson": "99_test", "seed": 3, "checks": [
            {"name": "a", "kind": "exact", "got": 1.0, "want": 1.0, "tolerance": 1e-9, "ok": True},
        ],
    }


def test_a_red_lesson_exits_with_1_after_writing_its_checks(lesson, tmp_path):
    lesson.check("a", 1.0, 2.0)
    with pytest.raises(SystemExit) as stop:
        lesson.finish()
    assert stop.value.code == 1
    assert json.loads((tmp_path / "c.json").read_text())["checks"][0]["ok"] is False


def test_a_lesson_without_checks_exits_with_1(lesson):
    with pytest.raises(SystemExit) as stop:
        lesson.finish()
    assert stop.value.code == 1


def test_help_names_every_flag():
    done = run(LESSON_04, "--help")
    assert done.returncode == 0
    for flag in ("--full", "--backend", "--seed", "--out", "--show", "--json", "--real", "--fake"):
        assert flag in done.stdout


def test_lesson_04_compares_two_files_and_leaves_a_figure(tmp_path):
    rng = np.random.default_rng(0)
    np.savetxt(tmp_path / "real.txt", rng.normal(1, 1, 300))
    np.save(tmp_path / "fake.npy", rng.normal(-1, 1, 300))
    done = run(LESSON_04, "--real", tmp_path / "real.txt", "--fake", tmp_path / "fake.npy",
               "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "95% bootstrap interval" in done.stdout
    assert (tmp_path / "04_gan_optimum_files.png").stat().st_size > 10_000


@pytest.mark.parametrize("text, message", [
    (None, "real.txt: no such file"),
    ("", "real.txt: holds no numbers"),
    ("1\nx\n", "real.txt, line 2, column 1: 'x' is not a finite number"),
    ("1\n2\n", "real: 2 points are too few"),
])
def test_lesson_04_refuses_a_bad_file_with_exit_code_2(tmp_path, text, message):
    if text is not None:
        (tmp_path / "real.txt").write_text(text)
    np.save(tmp_path / "fake.npy", np.arange(50.0))
    done = run(LESSON_04, "--real", tmp_path / "real.txt", "--fake", tmp_path / "fake.npy",
               "--out", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_lesson_04_refuses_one_file_alone():
    done = run(LESSON_04, "--real", "some.txt")
    assert done.returncode == 2
    assert "--real and --fake go together" in done.stderr


def test_a_backend_that_is_missing_is_refused_in_one_line_with_exit_code_2():
    try:
        import cupy
        if cupy.cuda.runtime.getDeviceCount():
            pytest.skip("this machine has CuPy and a device")
    except Exception:
        pass
    done = run(LESSON_04, "--backend", "cupy")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "backend 'cupy'" in done.stderr


@pytest.mark.parametrize("arguments, message", [
    (("--seed", "-1"), "expected a whole number, 0 or more, got '-1'"),
    (("--out", __file__), "exists"),
])
def test_a_wrong_flag_is_refused_before_any_work(arguments, message):
    done = run(LESSON_04, *arguments)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_without_greek_letters_is_no_obstacle(tmp_path):
    lesson = ROOT / "lessons" / "01_autodiff.py"
    done = subprocess.run([sys.executable, lesson, "--out", tmp_path], capture_output=True,
                          env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0 and "→".encode() in done.stdout

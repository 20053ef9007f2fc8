"""Every lesson on the strict stand-in for CuPy: no NumPy array slips into a GPU's arithmetic."""

import os
import subprocess
import sys

import pytest

from .test_all_lessons import LESSONS, ROOT

RUN = """
import runpy, sys
from minigen import backend, kernels
from tests.backend import strict
backend.register("cupy", strict.module)
sys.path.insert(0, {folder!r})
kernels.conv_for = kernels.adain_for = lambda array: kernels.reference  # there is no GPU
sys.argv = [{lesson!r}, "--backend", "cupy", "--out", {out!r}]
runpy.run_path({lesson!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_green_on_the_stand_in(lesson, tmp_path):
    code = RUN.format(folder=str(lesson.parent), lesson=str(lesson), out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

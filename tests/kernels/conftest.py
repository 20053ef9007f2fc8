"""The fixture that makes minigen's CUDA kernels run on the CPU."""

import pytest

from minigen.kernels import launch

from .requirements import require
from .shim.cpu_module import GXX, Schedule


@pytest.fixture
def run_on_cpu(monkeypatch):
    """Call it with a Schedule: from then on, kernels run on the CPU in that way."""
    require(GXX, "running kernels on the CPU needs g++")

    def use(schedule: Schedule = Schedule()) -> None:
        monkeypatch.setattr(launch, "compile_module", schedule.compile)

    return use

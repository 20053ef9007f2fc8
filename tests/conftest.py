"""What all tests share: hypothesis profiles, a clean state for each test, and who may use a GPU."""

import os

import pytest
from hypothesis import HealthCheck, settings

from minigen import backend
from minigen.autodiff.graph import mode
from minigen.autodiff.registry import OPS

SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
settings.register_profile("default", deadline=None, max_examples=25, suppress_health_check=SLOW)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=200)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def clean_state():
    """No test sees another's backend, seed, recording mode or ops."""
    name, ops = backend.current(), dict(OPS)
    backend.manual_seed(0)
    yield
    backend.use(name)
    mode.recording = True
    OPS.clear()
    OPS.update(ops)


def pytest_collection_modifyitems(items):
    """Skip what is marked `gpu` where there is no GPU, and say why."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    try:
        backend.module("cupy")
    except backend.BackendError as error:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=str(error)))

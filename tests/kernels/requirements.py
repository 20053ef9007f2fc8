"""Skipping where a tool is missing, unless MINIGEN_FORBID_SKIP=1 says that it must be there."""

import os

import pytest


def require(present: object, reason: str) -> None:
    """Skip the test, or where skips are forbidden fail it, unless `present`."""
    if present:
        return
    if os.environ.get("MINIGEN_FORBID_SKIP") == "1":
        pytest.fail(f"{reason} (and MINIGEN_FORBID_SKIP=1)", pytrace=False)
    pytest.skip(reason)

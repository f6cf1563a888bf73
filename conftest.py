"""A temporary folder of its own for every run of the tests."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

# pytest closes its shared folder to others when a run begins; a server that another run is just
# setting up under a system user of its own would lose its way there
_ROOT = tempfile.mkdtemp(prefix="orchestrate-tests-")
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _ROOT)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the folder away again."""
    shutil.rmtree(_ROOT, ignore_errors=True)

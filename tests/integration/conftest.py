"""What several files of tests begin with."""

from __future__ import annotations

import pytest

from tests.boards import Workspace


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A family that waits for USER at its first checkpoint, made once."""
    work = Workspace(tmp_path_factory.mktemp("asked"))
    work.conductor().run("WO-512")
    return work

"""One database and one worker for each file of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_backend.targets.postgres import start_embedded
from orchestrator.workers.store import close_stores
from tests.workers import VARIABLE, Machine, Team


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("dbos")
    server = start_embedded(tmp_path_factory.mktemp("queue") / ".orchestrate" / "postgres")
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = server.uri()
    yield server.uri()
    close_stores()
    os.environ.pop(VARIABLE)
    if before is not None:
        os.environ[VARIABLE] = before
    server.stop()


@pytest.fixture(scope="module")
def machine(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine") / "root").at_work() as one:
        yield one


@pytest.fixture(params=["local", "dbos"])
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Team:
    """A repository with each engine in turn."""
    at = request.getfixturevalue("machine") if request.param == "dbos" else None
    return Team(tmp_path, at)


@pytest.fixture
def away(machine: Machine, tmp_path: Path) -> Team:
    """A repository whose makers are workers."""
    return Team(tmp_path, machine)

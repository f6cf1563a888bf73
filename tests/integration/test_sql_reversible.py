"""Ways back that lead all the way, and those that do not, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.workflow import Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services
from orchestrator.gates.loading import load_checks
from tests.claims import lay

BINDER = Binder(load_checks())
BEFORE = "CREATE TABLE shops (id int PRIMARY KEY, name text NOT NULL);\n"
UP = "CREATE TABLE lamps (id int PRIMARY KEY);\nALTER TABLE shops ADD COLUMN lit boolean;\n"
DOWN = "ALTER TABLE shops DROP COLUMN lit;\nDROP TABLE lamps;\n"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def judge(root: Path, path: str, services: Services, statement: str) -> Result:
    stage = Stage(2, "SOOP", "Tables", 1, deliverables=(Deliverable(path, "write", 1),))
    workflow = Workflow(root / "w.md", "", "", "", (stage,))
    context = Context(root=root, workflow=workflow, stage=stage, services=services)
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    return binding.check.function(context, **binding.arguments)


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        ({"db/002_x.up.sql": UP, "db/002_x.down.sql": DOWN}, "proven"),
        ({"db/002_x.sql": UP, "db/002_x_down.sql": DOWN}, "proven"),
        ({"db/002_x.sql": UP, "db/down/002_x.sql": DOWN}, "proven"),
        ({"db/002_x.sql": f"{UP}-- migrate:down\n{DOWN}"}, "proven"),
        ({"db/002_x.sql": f"-- +goose Up\n{UP}-- +goose Down\n{DOWN}"}, "proven"),
        ({"db/002_x.sql": UP}, "failed"),
        ({"db/002_x.sql": f"-- rollback is easy\n{UP}"}, "failed"),
        ({"db/002_x.sql": UP, "db/002_x.down.sql": "-- nothing\n"}, "failed"),
        ({"db/002_x.sql": UP, "db/002_x.down.sql": "DROP TABLE lamps;\n"}, "failed"),
        ({"db/002_x.sql": UP, "db/002_x.down.sql": "DROP TABLE lamp;\n"}, "failed"),
        ({"db/002_x.sql": UP, "db/002_x.down.sql": f"{DOWN}DROP TABLE shops;\n"}, "failed"),
        ({"db/002_x.sql": UP, "db/002_x.down.sql": f"{DOWN}DELETE FROM shops;\n"}, "failed"),
    ],
)
def test_what_is_left_afterwards_decides(
    files: dict[str, str], verdict: str, tmp_path: Path, services: Services
) -> None:
    lay(tmp_path, {"db/001_shops.sql": BEFORE, **files})
    path = next(iter(files))
    for statement in ("The migration is reversible", f"`{path}` can be rolled back"):
        result = judge(tmp_path, path, services, statement)
        assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    "statement",
    [
        "The migration is not reversible",
        "The migration is reversible within a day",
        "The migration can be rolled back by hand",
        "Deployments can be rolled back",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert all(b.check is None for b in BINDER.bind(statement))

"""What applies to the proving server and not to an older target is not proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.sql.scratch import scratch
from orchestrate_agents.sql.server_versions import FUNCTIONS
from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Services, Verdict
from orchestrator.gates.loading import load_checks
from orchestrator.gates.receipts import Gate, Receipt
from tests.claims import lay

BINDER = Binder([c for c in load_checks() if c.name.startswith("sql.")])
PATH = "db/001_visits.sql"
IDEMPOTENT = f"`{PATH}` is idempotent"
SEVEN = "CREATE TABLE IF NOT EXISTS visits (id uuid PRIMARY KEY DEFAULT uuidv7());\n"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def receipt(root: Path, services: Services, database: dict[str, Any]) -> Receipt:
    statement = Statement(IDEMPOTENT, StatementKind.DONE_WHEN, "w.md", 1)
    context = Context(root=root, settings={"database": database}, services=services)
    (found,) = Gate(BINDER).prove([statement], context)
    return found


def test_the_same_sql_is_proven_or_not_by_what_the_target_runs(
    tmp_path: Path, services: Services
) -> None:
    lay(tmp_path, {PATH: SEVEN})
    assert receipt(tmp_path, services, {}).verdict is Verdict.PROVEN
    lay(tmp_path, {"supabase/config.toml": "[db]\nmajor_version = 17\n"})
    older = receipt(tmp_path, services, {"target": "supabase"})
    assert older.verdict is Verdict.FAILED
    assert "line 1: uuidv7() needs PostgreSQL 18, the target has 17" in older.detail
    assert "supabase/config.toml" in older.detail
    # a rehearsal on the embedded server is still for the project
    assert receipt(tmp_path, services, {}).verdict is Verdict.FAILED
    assert receipt(tmp_path, services, {"major_version": 18}).verdict is Verdict.PROVEN


def test_a_target_of_which_nobody_says_what_it_runs_leaves_it_unproven(
    tmp_path: Path, services: Services
) -> None:
    lay(tmp_path, {PATH: SEVEN})
    unknown = receipt(tmp_path, services, {"target": "postgres"})
    assert unknown.verdict is Verdict.UNPROVEN
    assert "database.major_version" in unknown.detail
    lay(tmp_path, {PATH: SEVEN.replace("uuidv7", "gen_random_uuid")})
    assert receipt(tmp_path, services, {"target": "postgres"}).verdict is Verdict.PROVEN


def test_sql_that_asks_for_the_version_is_not_blamed(tmp_path: Path, services: Services) -> None:
    sql = (
        "CREATE TABLE IF NOT EXISTS visits (id uuid PRIMARY KEY);\nDO $$ BEGIN IF"
        " current_setting('server_version_num')::int >= 180000 THEN"
        " ALTER TABLE visits ALTER id SET DEFAULT uuidv7(); END IF; END $$;\n"
    )
    lay(tmp_path, {PATH: sql})
    found = receipt(tmp_path, services, {"target": "postgres", "major_version": 17})
    assert found.verdict is Verdict.UNPROVEN


def test_the_proving_server_has_every_function_that_is_said_to_be_new(services: Services) -> None:
    named = sorted(name for names in FUNCTIONS.values() for name in names.split())
    with scratch(services).database() as database, database.connect() as owner:
        query = "SELECT proname::text FROM pg_proc WHERE proname = ANY(%s)"
        there = {name for (name,) in owner.execute(query, [named]).fetchall()}
    assert sorted({*named} - there) == []

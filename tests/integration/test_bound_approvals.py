"""DESIGN 7.3, 7.5: an approval binds the database, the settings, the verdicts and the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrate_agents.effect_runner import EffectKind, TargetRunner
from orchestrate_backend.targets.choose import EmbeddedTarget, PostgresTarget
from orchestrator.approvals.answers import AnswerRefusedError
from orchestrator.approvals.effects import Effect
from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.errors import OrchestrateError
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import DatabaseSettings
from orchestrator.storage.atomic import sha256_file
from orchestrator.tickets.board import Board
from tests.claims import lay

TICKET = """\
---
id: WO-1
title: A shelf
status: 00_INBOX
owner: SOOP
pipeline_workflow: workflows/shelf.md
---
# A shelf

## Acceptance Criteria

- [ ] The shelf is within its limit
"""

WORKFLOW = """\
# A shelf

## STAGE 1: SOOP — Schema
Write `migrations/001_shelf.sql`.

Write `scripts/seed.py`.

**Done when:** `migrations/001_shelf.sql` exists

## STAGE 2: USER CHECKPOINT #1 — Apply

- Apply `migrations/001_shelf.sql`

```bash
python scripts/seed.py
```
"""

CHECK = """\
from orchestrator.gates.checks import Context, Result, check, failed, proven


@check("The shelf is within its limit", name="shelf.limit", examples=())
def limit(ctx: Context) -> Result:
    \"\"\"Reads a file that it does not name as its subject.\"\"\"
    verdict = proven if ctx.path("limit.txt").read_text() == "10" else failed
    return verdict("looked at the limit", "migrations/001_shelf.sql")
"""

SQL = "CREATE TABLE IF NOT EXISTS public.shelf (id int PRIMARY KEY);\n"


class Soop:
    """Writes the migration and a script."""

    def work(self, job: Job) -> Report:
        made = {"migrations/001_shelf.sql": SQL, "scripts/seed.py": "print('seeded')\n"}
        lay(job.root, made)
        artifacts = tuple(Artifact(path=p, sha256=sha256_file(job.root / p)) for p in made)
        return Report(outcome=Outcome.DONE, artifacts=artifacts, section="## SOOP DONE\n\nDone.")


class Shelf:
    def __init__(self, root: Path) -> None:
        self.root = root
        lay(
            root,
            {
                "_WORK_ORDERS/00_INBOX/WO-1_Shelf.md": TICKET,
                "workflows/shelf.md": WORKFLOW,
                "checks/shelf.py": CHECK,
                "limit.txt": "10",
            },
        )
        self.told: list[str] = []

    def conductor(self) -> Conductor:
        return Conductor(
            Board(self.root),
            agents={"SOOP": Soop()},
            settings=Settings(database=DatabaseSettings(target="postgres")),
            on_event=lambda event: self.told.append(event.text),
        )

    def run(self) -> RunOutcome:
        return self.conductor().run("WO-1")

    def approved(self) -> None:
        assert self.run().stage == 2
        self.conductor().approve("WO-1", target="postgres", accept_unproven=True)

    def ticket(self) -> Path:
        (file,) = (self.root / "_WORK_ORDERS").glob("*/WO-1_Shelf.md")
        return file

    def asked_again(self) -> int:
        outcome = self.run()
        assert outcome.outcome.value == "waiting", outcome
        return self.conductor().status("WO-1")["question"]["number"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    target = EmbeddedTarget(tmp_path_factory.mktemp("server"))
    yield target
    target.close()


@pytest.fixture
def databases(server: EmbeddedTarget) -> tuple[str, str]:
    """Two databases on one server."""
    admin = server._running().uri()
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in ("one", "two"):
            connection.execute(f"DROP DATABASE IF EXISTS shelf_{name}")
            connection.execute(f"CREATE DATABASE shelf_{name}")
    parts = psycopg.conninfo.conninfo_to_dict(admin)
    one, two = (
        psycopg.conninfo.make_conninfo(**{**parts, "dbname": f"shelf_{name}"})
        for name in ("one", "two")
    )
    return one, two


@pytest.fixture
def shelf(tmp_path: Path, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("DATABASE_URL", databases[0])
    return Shelf(tmp_path)


def has_table(uri: str) -> bool:
    with psycopg.connect(uri) as connection:
        row = connection.execute("SELECT to_regclass('public.shelf')").fetchone()
    return row is not None and row[0] is not None


def test_what_was_approved_runs(shelf: Shelf, databases: tuple[str, str]) -> None:
    shelf.approved()
    assert shelf.run().outcome.value == "complete"
    assert has_table(databases[0])


def test_another_database_under_the_same_variable_is_asked_about(
    shelf: Shelf, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.approved()
    monkeypatch.setenv("DATABASE_URL", databases[1])
    assert shelf.asked_again() == 2
    assert any("is another database now" in text for text in shelf.told)
    assert not any(map(has_table, databases))


def test_a_database_is_known_by_its_server(databases: tuple[str, str]) -> None:
    one, again, two = (PostgresTarget(u) for u in (databases[0], databases[0], databases[1]))
    try:
        assert one.identity() == again.identity() != two.identity()
        assert one.identity().split()[-1].split("/")[0].isdigit()
        nowhere = PostgresTarget("postgresql://nobody@127.0.0.1:1/shelf_one")
        assert nowhere.identity().endswith("(not reached)")
    finally:
        for target in (one, again, two):
            target.close()


def test_what_a_verdict_depends_on_is_looked_at_again_before_effects(
    shelf: Shelf, databases: tuple[str, str]
) -> None:
    shelf.approved()
    (shelf.root / "limit.txt").write_text("11", encoding="utf-8")
    assert shelf.asked_again() == 2
    assert any("The shelf is within its limit” was proven, is failed" in t for t in shelf.told)
    assert not any(map(has_table, databases))


def test_what_a_verdict_depends_on_is_looked_at_again_with_the_answer(shelf: Shelf) -> None:
    shelf.run()
    (shelf.root / "limit.txt").write_text("11", encoding="utf-8")
    with pytest.raises(AnswerRefusedError, match="was proven, is failed"):
        shelf.conductor().approve("WO-1", target="postgres", accept_unproven=True)
    status = shelf.conductor().status("WO-1")
    assert status["question"]["number"] == 2
    assert [s["text"] for s in status["question"]["failed"]] == ["The shelf is within its limit"]


def test_a_ticket_that_is_dragged_to_its_end_runs_nothing(
    shelf: Shelf, databases: tuple[str, str]
) -> None:
    shelf.run()
    text = shelf.ticket().read_text(encoding="utf-8")
    dragged = text.replace("status: 05_USER_REVIEW", "status: 06_COMPLETE\ntarget: postgres")
    shelf.ticket().write_text(dragged, encoding="utf-8")
    assert shelf.run().outcome.value == "waiting"
    assert not any(map(has_table, databases))
    shelf.conductor().approve("WO-1", target="postgres", accept_unproven=True)
    assert shelf.run().outcome.value == "complete"


def test_the_copy_is_hashed_before_every_effect(
    shelf: Shelf, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TargetRunner.run

    def tampering(self: TargetRunner, effect: Effect, frozen: Path) -> object:
        done = run(self, effect, frozen)
        (frozen / "scripts").mkdir(exist_ok=True)
        (frozen / "scripts" / "seed.py").write_text("print('other')\n", encoding="utf-8")
        return done

    monkeypatch.setattr(TargetRunner, "run", tampering)
    shelf.approved()
    with pytest.raises(OrchestrateError, match="frozen copy") as refused:
        shelf.run()
    assert refused.value.code == "not-approved"
    monkeypatch.setattr(TargetRunner, "run", run)
    assert shelf.run().outcome.value == "complete"


def test_8_1_an_interrupted_effect_is_not_run_again_unasked(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, runs = TargetRunner.run, list[str]()

    def killed(self: TargetRunner, effect: Effect, frozen: Path) -> object:
        done = run(self, effect, frozen)
        runs.append(effect.title)
        if runs == ["apply `migrations/001_shelf.sql`", "run `scripts/seed.py`"]:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(TargetRunner, "run", killed)
    shelf.approved()
    with pytest.raises(KeyboardInterrupt):
        shelf.run()
    assert shelf.asked_again() == 2
    assert len(runs) == 2
    told = " ".join(shelf.ticket().read_text(encoding="utf-8").split())
    assert "“run `scripts/seed.py`” on " in told
    assert "was interrupted: it began, and nothing says that it ended." in told
    assert "Run before it: apply `migrations/001_shelf.sql`. Not run: nothing." in told
    shelf.conductor().approve("WO-1", target="postgres", accept_unproven=True)
    assert shelf.run().outcome.value == "complete"
    assert runs[2:] == ["run `scripts/seed.py`"]


def test_settings_of_a_script_are_part_of_what_is_approved(tmp_path: Path) -> None:
    source = 'import argparse\nfrom backend.trials import ctgov  # "--base-url"\n'
    lay(tmp_path, {"backend/scripts/seed_benchmark_trials.py": source})
    script = Effect(
        EffectKind.SCRIPT, "seed", ("backend/scripts/seed_benchmark_trials.py",), {"options": []}
    )
    found = set()
    for url in ("", "http://127.0.0.1:9", "http://127.0.0.1:10"):
        runner = TargetRunner("embedded", tmp_path, {"trials": {"base_url": url, "offline": False}})
        found.add(runner.configuration([script]))
    assert len(found) == 3

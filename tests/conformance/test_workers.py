"""What holds between the conductor and its workers when one of them, or the line, fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator import Board, telemetry
from orchestrator.daemon.daemon import Daemon
from orchestrator.domain.agent import Job, Report
from orchestrator.errors import ElsewhereError, OrchestrateError, UsageError
from orchestrator.settings.agents import WorkersSettings
from orchestrator.settings.tables import TelemetrySettings
from orchestrator.workers import delivery, engine, serve, store, work
from orchestrator.workers.attending import Attendant
from orchestrator.workers.parcel import Carried, Parcel, Result
from orchestrator.workers.store import QUEUES, AwayError, Store, WorkerRow
from tests.conformance.test_engines import Hand, writes
from tests.integration.test_telemetry import Collector, collector
from tests.repositories import BESIDE
from tests.workers import Machine, Team, wait_until, workers_settings

# a connection that is cut, or cannot be made, is not closed by anybody
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function BaseConnection:pytest.PytestUnraisableExceptionWarning"
)


__all__ = ["collector"]


class KilledError(BaseException):
    """Stands for a conductor's end without a word."""


def told(team: Team) -> str:
    return " | ".join(str(r["text"]) for r in team.records("worker"))


@contextlib.contextmanager
def job_of(store: Store, name: str) -> Iterator[str]:
    """A job that no worker listens for."""
    id = f"{'0' * 32}/WO-9/WO-9/1/1/1/{name}"
    store.submit(id, "0" * 32, "WO-9", "NOBODY", "{}", "tree")
    yield id
    store.stop(id, "test")


# -- one worker at a time ------------------------------------------------------------------------


def test_a_dead_workers_job_is_given_out_again_and_its_late_result_dropped(
    machine: Machine,
) -> None:
    db = Store(store.database_url(workers_settings()), workers_settings(lease=1))
    with job_of(db, "late") as id:
        assert db.claim(id, 1, "first") == "{}"
        assert db.claim(id, 1, "second") is None
        assert db.beat(id, 1, "first", ["{}"]) == ""
        db.reap()
        assert db.find(id).delivery == 1  # type: ignore[union-attr]
        wait_until(lambda: db.reap() or db.find(id).delivery == 2)  # type: ignore[union-attr]
        assert db.beat(id, 1, "first") is None
        assert not db.finish(id, 1, "first", "{}", None, "done")
        assert db.claim(id, 1, "first") is None
        assert db.claim(id, 2, "second") == "{}"
        assert db.finish(id, 2, "second", '{"a": 1}', None, "done")
        row, lines = db.look(id, 0)
        assert row is not None
        assert (row.state, row.result) == ("done", '{"a": 1}')
        notes = [line.line for line in lines if line.kind == "note"]
        assert "first showed no sign of life" in notes[0]
        assert "late result of first" in notes[1]
    db.close()


def test_a_job_is_not_given_out_for_ever(machine: Machine) -> None:
    db = machine.worker.store
    with job_of(db, "again") as id:
        for delivery_ in range(1, store.MOST_DELIVERIES + 1):
            assert db.claim(id, delivery_, "w") is not None
            db.hand_back(id, delivery_, "w", "no space left on device")
        assert db.find(id).state == "stopped"  # type: ignore[union-attr]


def test_a_worker_deletes_jobs_that_ended_long_ago(machine: Machine) -> None:
    db = machine.worker.store
    ids = []
    for name in ("done", "stopped", "never taken", "of late", "at work"):
        with job_of(db, name) as id:
            ids.append(id)
            if name != "never taken":
                assert db.claim(id, 1, "first")
            if name == "stopped":
                db.stop(id, "enough")
                db.hand_back(id, 1, "first", "no such agent here")
            elif name in ("done", "of late"):
                assert db.finish(id, 1, "first", "{}", None, "done")
    done, stopped, never, late, at_work = ids
    long_ago = "ended = ended - make_interval(days => :days)"
    db._all(
        f"UPDATE @jobs SET {long_ago} WHERE id <> :late AND id = ANY(:ids) RETURNING id",
        days=store.KEPT_DAYS,
        late=late,
        ids=ids,
    )
    gone = {"machine": "m", "agents": (), "labels": (), "slots": 1, "program": "1", "note": ""}
    db.greet(WorkerRow(id="gone", age=0, **gone))
    db._all("UPDATE @workers SET seen = seen - interval '2 days' WHERE id = 'gone' RETURNING id")
    # it looks once an hour
    machine.worker._prunes_at = 0.0
    wait_until(lambda: not any(db.find(id) for id in (done, stopped, never)))
    wait_until(lambda: "gone" not in [worker.id for worker in db.workers()])
    assert db.find(late)
    assert db.find(at_work)
    kept = [
        row["workflow_uuid"]
        for row in db._all(f"SELECT workflow_uuid FROM {QUEUES}.workflow_status")
    ]
    assert f"{late}/1" in kept
    assert not {f"{done}/1", f"{stopped}/1", f"{never}/1"} & set(kept)


def test_slots_hold_over_all_agents(away: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    away.write("workflows/w.md", BESIDE)
    away.commit("two makers")
    busy, most = list[int](), list[int]()

    def works(name: str) -> Any:
        def act(root: Path) -> None:
            busy.append(1)
            most.append(len(busy))
            time.sleep(0.3)
            busy.pop()
            writes(**{name: "x\n"})(root)

        return act

    assert away.machine is not None
    monkeypatch.setattr(away.machine.worker.slots, "number", 1)
    away.agents["BUILDER"] = Hand(works("colour"))
    away.agents["TESTER"] = Hand(works("test"), name="TESTER")
    assert away.conductor.run("WO-1").outcome == "waiting"
    assert most == [1, 1]


# -- a conductor that dies -----------------------------------------------------------------------


def run_and_die(team: Team, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Run until the conductor is about to do something, and end it there."""
    owner: Any = engine.QueuedDispatcher if place == "_wait" else work.Work
    whole = getattr(owner, place)

    def dies(self: Any, *args: Any) -> Any:
        if place != "_wait":
            whole(self, *args)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, dies)
        with pytest.raises(KilledError):
            team.conductor.run("WO-1")


@pytest.mark.parametrize("place", ["_wait", "_bring", "take"])
def test_the_next_conductor_takes_the_result(
    away: Team, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    hand = away.agents["BUILDER"] = Hand(writes(colour="green\n", more="x\n"))
    run_and_die(away, monkeypatch, place)
    assert away.conductor.run("WO-1").outcome == "waiting"
    assert len(hand.jobs) == 1
    assert [r["ended"] for r in away.records("turn")] == [""]
    assert not away.records("failure")
    assert (away.checkout / "more.txt").is_file()


def test_a_result_for_other_files_is_dropped_and_told(
    away: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    run_and_die(away, monkeypatch, "_wait")
    wait_until(lambda: hand.jobs)
    (away.checkout / "README.md").write_text("a person was here\n")
    assert away.conductor.run("WO-1").outcome == "waiting"
    assert len(hand.jobs) == 2
    assert "is dropped" in told(away)
    assert (away.checkout / "README.md").read_text() == "a person was here\n"


def test_what_a_person_edits_meanwhile_is_not_lost(away: Team) -> None:
    def works(root: Path) -> None:
        (away.checkout / "README.md").write_text("a person was here\n")
        (root / "README.md").write_text("so was an agent\n")

    away.agents["BUILDER"] = Hand(works)
    away.conductor.run("WO-1")
    assert (away.checkout / "README.md").read_text() == "a person was here\n"
    report = away.records("report")[-1]["report"]
    assert report["outcome"] == "needs_person"
    assert "README.md was edited in the checkout" in report["reason"]


# -- what does not work --------------------------------------------------------------------------


def test_a_worker_that_cannot_gives_the_job_back_and_says_why(
    away: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failures = delivery.Delivery._lay_out, [OSError(28, "No space left on device")]

    def fails_once(self: delivery.Delivery) -> None:
        if failures:
            raise failures.pop()
        whole(self)

    monkeypatch.setattr(delivery.Delivery, "_lay_out", fails_once)
    monkeypatch.setattr(serve, "_REST", 0.05)
    hand = away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert away.conductor.run("WO-1").outcome == "waiting"
    assert len(hand.jobs) == 1
    assert "No space left on device" in told(away)
    assert not away.records("failure")


def test_a_worker_with_another_program_under_the_name_is_no_worker_for_it(
    away: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_DELIVERIES", 2)
    monkeypatch.setattr(serve, "_REST", 0.05)
    conductor = away.conductor
    assert away.machine is not None
    away.machine.inside.clear()
    conductor.run("WO-1")
    assert "BUILDER is `builtin` here and `fake` at home" in told(away)
    assert away.records("report")[-1]["outcome"] == "needs_person"
    assert not away.records("failure")


def test_connections_that_are_cut_lose_nothing(away: Team) -> None:
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND application_name = 'orchestrate'"
    )

    def works(root: Path) -> None:
        writes(colour="green\n")(root)
        for _ in range(2):
            away.store._all(cut)
            time.sleep(0.2)

    hand = away.agents["BUILDER"] = Hand(works)
    assert away.conductor.run("WO-1").outcome == "waiting"
    assert len(hand.jobs) == 1


def test_a_result_that_is_not_what_it_says_is_refused(
    away: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, lies = delivery.Delivery._pack, [True]

    def lies_once(self: delivery.Delivery, report: Report) -> tuple[Result, bytes | None]:
        result, bundle = whole(self, report)
        return (result.model_copy(update={"head": result.commit}), bundle) if lies.pop() else (
            result,
            bundle,
        )  # fmt: skip

    lies[:0] = [False]
    monkeypatch.setattr(delivery.Delivery, "_pack", lies_once)
    away.agents["BUILDER"] = Hand(writes(colour="red\n"), writes(colour="green\n"))
    assert away.conductor.run("WO-1").outcome == "waiting"
    first = away.records("report")[0]["report"]
    assert "not those that its result names" in first["reason"]
    assert (away.checkout / "colour.txt").read_text() == "green\n"


def test_commits_go_through_the_database_where_a_worker_may_not_push(
    away: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery.Delivery, "_push", lambda *_: False)
    away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert away.conductor.run("WO-1").outcome == "waiting"
    assert away.store._all("SELECT octet_length(bundle) AS n FROM @jobs WHERE bundle IS NOT NULL")


def test_a_repository_that_cannot_be_pushed_to_is_named_with_what_git_says(away: Team) -> None:
    away.more["repository"] = "file:///nowhere/shop.git"
    with pytest.raises(UsageError, match=r"file:///nowhere/shop\.git .*does not") as caught:
        away.conductor.run("WO-1")
    assert caught.value.code == "workers-repository"


def test_work_goes_by_ssh(away: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a program in the place of ssh that runs here what it is given."""
    ssh = tmp_path / "ssh.sh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\necho "$@" >> "$0.log"\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"'{ssh}'")
    monkeypatch.setenv("GIT_SSH_VARIANT", "ssh")
    bare = tmp_path / "shop.git"
    away.git("init", "-q", "--bare", str(bare))
    away.more["repository"] = f"anna@git.example.org:{bare}"
    away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert away.conductor.run("WO-1").outcome == "waiting"
    used = (tmp_path / "ssh.sh.log").read_text()
    assert used.count("anna@git.example.org git-receive-pack") == 2
    assert "anna@git.example.org git-upload-pack" in used


def test_tables_of_another_version_are_refused(machine: Machine) -> None:
    db = machine.worker.store
    db._all("UPDATE @about SET version = 99 RETURNING version")
    try:
        with pytest.raises(UsageError, match="version 99, this program 1") as caught:
            Store(store.database_url(workers_settings()), workers_settings())
        assert caught.value.code == "workers-version"
    finally:
        db._all("UPDATE @about SET version = 1 RETURNING version")


def test_a_database_that_is_away_at_the_start_is_told() -> None:
    with pytest.raises(AwayError, match="cannot be reached"):
        Store("postgresql://nobody@127.0.0.1:1/none", WorkersSettings())


def test_a_board_has_one_home(away: Team) -> None:
    away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    place = engine.place_of(away.root)
    assert away.store.claim_home(place, "another", "carl:/elsewhere", 60) == ""
    # however slow this machine is, it was seen just now
    away.store._all("UPDATE @homes SET seen = now() + interval '1 minute' RETURNING home")
    with pytest.raises(UsageError, match="carl:/elsewhere conducts this board") as caught:
        away.conductor.run("WO-1")
    assert caught.value.code == "two-conductors"
    away.store._all("DELETE FROM @homes WHERE home = 'another' RETURNING home")
    assert away.conductor.run("WO-1").outcome == "waiting"


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "ext::sh -c id"},
        {"repository": "--upload-pack=id"},
        {"reference": "refs/heads/main"},
        {"reference": "refs/heads/work/a b"},
        {"branch": "main"},
        {"head": "HEAD"},
        {"below": "../.."},
        {"board": "/etc"},
        {"model": "x; id"},
        {"files": [{"path": "../.bashrc", "data": ""}]},
        {"files": [{"path": "/etc/passwd", "data": ""}]},
        {"files": [{"path": "checks/run_me.py", "data": ""}]},
        {"files": [{"path": "orchestrate.toml", "data": ""}]},
        {"board": ".", "files": []},
    ],
)
def test_a_parcel_that_leads_elsewhere_is_not_read(change: dict[str, Any]) -> None:
    job = Job(
        ticket="WO-1", parent="WO-1", family=(), stage=1, agent="BUILDER", workspace="/x",
        workflow="w.md", workflow_text="",
    )  # fmt: skip
    known: dict[str, Any] = {
        "job": job, "use": "builtin", "repository": "file:///srv/shop.git",
        "reference": "refs/heads/work/WO-1", "branch": "work/WO-1", "head": "0" * 40,
        "commit": "1" * 40, "below": "", "board": "_WORK_ORDERS",
        "files": [Carried(path="_WORK_ORDERS/a/b", data="")],
    }  # fmt: skip
    Parcel.model_validate(known)
    with pytest.raises(ValidationError):
        Parcel.model_validate({**known, **change})


def test_unknown_agents_are_refused_at_the_start() -> None:
    from orchestrator.settings.config import Settings

    with pytest.raises(OrchestrateError, match="there is no agent PAINTER here"):
        serve.known_agents(Settings(), ["BUILDER", "PAINTER"])


def test_workers_and_what_waits_are_listed(away: Team) -> None:
    from typer.testing import CliRunner

    from orchestrator.cli.app import app
    from orchestrator.settings.config import load_settings
    from orchestrator.web.site import Site

    away.write("orchestrate.toml", '[workers]\nengine = "dbos"\n')
    with job_of(away.store, "listed"):
        said = CliRunner().invoke(app, ["-C", str(away.root), "workers"])
        assert said.exit_code == 0, said.output
        assert "BUILDER,TESTER" in said.output
        assert "for NOBODY" in said.output
        nothing: Any = None
        site = Site(Board(away.root), load_settings(away.root), nothing, nothing)
        found = dict(site._examine())
        assert [w.agents for w in found["workers"]] == [("BUILDER", "TESTER")]
        assert found["waiting"]["orchestrate-NOBODY"] >= 1


def test_the_most_urgent_job_is_first(away: Team) -> None:
    work = "(SELECT priority FROM @jobs WHERE family = 'WO-1' AND home = :home)"
    text = (away.root / "_WORK_ORDERS/00_INBOX/WO-1_Colours.md").read_text()
    away.write(
        "_WORK_ORDERS/00_INBOX/WO-1_Colours.md", text.replace("title:", "priority: P1\ntitle:")
    )
    away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    away.conductor.run("WO-1")
    home = (away.root / ".orchestrate" / "workers-home").read_text().strip()
    assert away.store._all(f"SELECT {work} AS priority", home=home) == [{"priority": 2}]


def test_spans_go_on_at_the_worker(
    away: Team, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert away.machine is not None
    away.settings["telemetry"] = seen = TelemetrySettings(otlp=collector.address)
    worker = away.machine.worker
    monkeypatch.setattr(worker, "settings", worker.settings.model_copy(update={"telemetry": seen}))
    away.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert away.conductor.run("WO-1").outcome == "waiting"
    wait_until(lambda: not worker._running)
    telemetry.flush(collector.address)
    by_id = {span.span_id: span for span in collector.spans()}
    (job,) = [span for span in by_id.values() if span.name == "job"]
    assert by_id[job.parent_span_id].name == "turn"
    assert {"orchestrate.machine", "orchestrate.outcome"} <= {a.key for a in job.attributes}


# -- watch while workers work ----------------------------------------------------------------------


class Watched:
    """A daemon with one thread, and what it wrote to its log."""

    def __init__(self, team: Team) -> None:
        self.said: list[str] = []
        settings = team.conductor.settings
        self.daemon = Daemon(
            team.conductor.board, settings=settings, workers=1,
            log=lambda line: self.said.append(f"{line.family} {line.kind} {line.text}"),
        )  # fmt: skip
        self.thread = threading.Thread(target=self.daemon.run)

    def __enter__(self) -> Watched:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()
        self.thread.join(30)

    def says(self, text: str) -> bool:
        return any(text in line for line in self.said)


def test_watch_holds_nothing_while_workers_work(away: Team) -> None:
    """Neither a thread nor the family's lock, and a hold reaches the worker."""
    stopped = threading.Event()

    def waits(root: Path) -> None:
        assert away.machine is not None
        (at_work,) = away.machine.worker._running.values()
        wait_until(lambda: at_work._stopped)
        stopped.set()

    away.agents["BUILDER"] = Hand(waits, writes(colour="green\n"))
    conductor = away.conductor
    conductor.leave_to(Attendant(lambda _: None))
    with pytest.raises(ElsewhereError):
        conductor.run("WO-1")
    with Watched(away) as watched:
        wait_until(lambda: watched.says("BUILDER works elsewhere"))
        away.conductor.hold("WO-1", reason="wrong colour")
        wait_until(stopped.is_set, 5)
        away.conductor.resume("WO-1")
        wait_until(lambda: watched.says("WO-1 outcome waiting"))
    assert away.records("turn")[-1]["outcome"] == "done"
    assert not away.records("failure")

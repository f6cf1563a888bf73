"""The database between the conductor and its workers: who does which job, and what came of it.

DBOS has the queues (schema `orchestrate_dbos`); what a job is, who has it and for how long stands
in `orchestrate_workers`. Every time is the database's. A job has a number of *deliveries*: what
another delivery than the present one says is not taken (DESIGN 14.2).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict

from orchestrator import plugins
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.errors.masking import hand_out
from orchestrator.settings.agents import WorkersSettings
from orchestrator.workers.listener import CHANNEL, Listener

if TYPE_CHECKING:
    import sqlalchemy as sa
    from dbos import DBOSClient

#: what both sides have to agree on: tables, parcels and results
VERSION = 1
SCHEMA, QUEUES, APPLICATION = "orchestrate_workers", "orchestrate_dbos", "orchestrate"
#: the name of the workflow that takes a job, and the version by which DBOS matches workers
WORKFLOW, QUEUE_VERSION = "orchestrate_job", f"orchestrate-{VERSION}"
#: deliveries after which a person is asked
MOST_DELIVERIES = 6
#: seconds between two signs of life of a worker
GREET = 3.0
#: days that a job is kept after its end
KEPT_DAYS = 7
#: seconds for a connection; between tries; after which a database that is away is reported
_CONNECT, _AGAIN, _REPORT_AFTER = 5, 0.5, 3.0
#: lines of events that are read at a time
_MOST_LINES = 2_000
_Value = TypeVar("_Value")
_TABLES = Path(__file__).with_name("tables.sql")
#: what statements have in common
_PARTS = {
    "@": f"{SCHEMA}.",
    # wakes who waits for a job
    "$call": f"pg_notify('{CHANNEL}', id)",
    "$job": "id, state, delivery, tree, worker, stop, result, octet_length(bundle) AS bundle",
    "$lease": "now() + make_interval(secs => :seconds)",
    "$mine": "id = :id AND delivery = :delivery AND worker = :worker AND state = 'running'",
}


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Line(_Row):
    """A line about a job: an event of its agent (`event`), or what became of it (`note`)."""

    number: int
    delivery: int
    kind: str
    line: str
    job: str = ""


class JobRow(_Row):
    """How a job stands."""

    id: str
    state: str
    delivery: int
    tree: str
    worker: str | None = None
    stop: str = ""
    result: str | None = None
    #: bytes of the bundle, None without one
    bundle: int | None = None


class WorkerRow(_Row):
    """A worker, as `orchestrate workers` shows it."""

    id: str
    machine: str
    agents: tuple[str, ...]
    labels: tuple[str, ...]
    slots: int
    program: str
    note: str
    #: seconds since its last sign of life
    age: float
    jobs: tuple[str, ...] = ()


class AwayError(OrchestrateError):
    """The database cannot be reached, or does not let this user in."""

    code = "workers-database"


def database_url(settings: WorkersSettings) -> str:
    """The database's address, from the environment. Raises UsageError if there is none."""
    url = os.environ.get(settings.database_url_env, "").strip()
    hand_out(url)
    if not url:
        raise UsageError(
            f"{settings.database_url_env} is not set: the address of the database with the queue",
            code="no-database-url",
            hint=f"export {settings.database_url_env}=postgresql://user:password@host/database",
        )
    if not re.match(r"postgres(?:ql)?://", url):
        raise UsageError(
            f"{settings.database_url_env} is not an address of a PostgreSQL database",
            code="no-database-url",
            hint="it begins with postgresql://",
        )
    return url


class Store:
    """The database. Every method raises AwayError when it cannot be reached."""

    def __init__(self, url: str, settings: WorkersSettings) -> None:
        self.settings = settings
        self._sa = plugins.require_extra("sqlalchemy", "workers", "work on several machines")
        dbos = plugins.require_extra("dbos", "workers", "work on several machines")
        own = self._sa.engine.make_url(url).set(drivername="postgresql+psycopg")
        # a pooler between may give each transaction another connection
        options: Any = {
            "connect_timeout": _CONNECT, "prepare_threshold": None,
            "application_name": "orchestrate", "keepalives_idle": 5, "keepalives_interval": 2,
            "keepalives_count": 3, "tcp_user_timeout": 10_000,
        }  # fmt: skip
        self.engine: sa.Engine = self._sa.create_engine(
            own, pool_size=5, max_overflow=20, pool_pre_ping=True, connect_args=options
        )
        plain = own.set(drivername="postgresql").render_as_string(hide_password=False)
        self.listener = Listener(plain, options)
        self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._url = own.render_as_string(hide_password=False)
        self._queues = set[str]()
        with self._begin():
            pass
        self._prepare(dbos)
        self.client: DBOSClient = dbos.DBOSClient(
            system_database_engine=self.engine,
            dbos_system_schema=QUEUES,
            application_name=APPLICATION,
            retry_connection_errors=False,
            lazy=True,
        )

    def close(self) -> None:
        self.listener.close()
        self.client.destroy()
        self.engine.dispose()

    @contextlib.contextmanager
    def _begin(self, *, alone: bool = False) -> Iterator[sa.Connection]:
        """A transaction; `alone`: of one statement, in one way to the database and back."""
        opened = self._single.connect if alone else self.engine.begin
        with self.explaining(), opened() as connection:
            yield connection

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise AwayError for what the database's driver raises."""
        try:
            yield
        except self._sa.exc.DBAPIError as exc:
            raise self._explain(exc) from exc
        except self._sa.exc.TimeoutError as exc:
            raise AwayError(f"the database of the workers is busy: {exc}") from exc

    def _explain(self, exc: Any) -> OrchestrateError:
        said = " ".join(str(exc.orig).split())
        if isinstance(exc, self._sa.exc.OperationalError) or exc.connection_invalidated:
            hint = f"is it running, and is {self.settings.database_url_env} its address?"
            return AwayError(f"the database of the workers cannot be reached: {said}", hint=hint)
        hint = "see docs/workers.md for the rights that the database's user needs"
        return AwayError(f"the database of the workers refuses: {said}", hint=hint)

    def _prepare(self, dbos: Any) -> None:
        """Make the tables unless they are there. Raises UsageError for those of another version."""
        is_there = self._text("SELECT to_regclass('@about') IS NOT NULL")
        # nobody waits in a transaction: DBOS makes indices that wait for all others to end
        free = self._text("SELECT pg_try_advisory_xact_lock(231017)")
        while True:
            with self._begin() as c:
                if c.execute(is_there).scalar():
                    break
                if c.execute(free).scalar():
                    with self.explaining():
                        dbos.DBOS.migrate(self._url, schema=QUEUES)
                    c.exec_driver_sql(_TABLES.read_text(encoding="utf-8"))
                    c.execute(self._text("INSERT INTO @about VALUES (:v)"), {"v": VERSION})
                    break
            time.sleep(_AGAIN)
        with self._begin() as c:
            version = c.execute(self._text("SELECT version FROM @about")).scalar()
        if version != VERSION:
            older = "this program" if (version or 0) > VERSION else "whoever made it"
            raise UsageError(
                f"the workers' tables have version {version}, this program {VERSION}",
                code="workers-version",
                hint=f"{older} is older: bring conductor and workers to one version, drained first",
            )

    def _all(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        with self._begin(alone=True) as c:
            return [dict(row._mapping) for row in c.execute(self._text(sql), values)]

    def _text(self, sql: str) -> Any:
        for name, part in _PARTS.items():
            sql = sql.replace(name, part)
        return self._sa.text(sql)

    # -- the conductor's side ----------------------------------------------------------------

    def register(self, queue: str, at_once: int | None = None) -> None:
        """Make a queue known. Once in a process."""
        if queue in self._queues:
            return
        with self.explaining():
            self.client.register_queue(
                queue,
                global_concurrency=at_once,
                polling_interval_sec=self.settings.poll,
                on_conflict="always_update" if at_once is not None else "never_update",
            )
        self._queues.add(queue)

    def claim_home(self, place: str, home: str, machine: str, seconds: float) -> str:
        """Say that `home` conducts a place; the machine of another home that did lately, or ""."""
        rows = self._all(
            "INSERT INTO @homes AS h VALUES (:place, :home, :machine, now()) "
            "ON CONFLICT (place) DO UPDATE SET home = :home, machine = :machine, seen = now() "
            "WHERE h.home = :home OR h.seen < now() - make_interval(secs => :seconds) "
            "RETURNING home",
            place=place, home=home, machine=machine, seconds=seconds,
        )  # fmt: skip
        if rows:
            return ""
        other = self._all("SELECT machine FROM @homes WHERE place = :place", place=place)
        return str(other[0]["machine"]) if other else ""

    def find(self, id: str) -> JobRow | None:
        """A job as it stands."""
        rows = self._all("SELECT $job FROM @jobs WHERE id = :id", id=id)
        return JobRow.model_validate(rows[0]) if rows else None

    def submit(
        self, id: str, home: str, family: str, agent: str, parcel: str, tree: str, priority: int = 1
    ) -> int:
        """Put a job on its queue; the number of its delivery. One that is there is asked again."""
        queue = self.settings.queue(agent)
        self.register(queue, self.settings.at_once.get(agent))
        with self._begin() as c:
            delivery = c.execute(
                self._text(
                    "INSERT INTO @jobs AS j (id, home, family, agent, queue, priority, parcel, "
                    "tree, state) VALUES (:id, :home, :family, :agent, :queue, :priority, :parcel, "
                    ":tree, 'queued') ON CONFLICT (id) DO UPDATE SET parcel = :parcel, "
                    "tree = :tree, queue = :queue, priority = :priority, state = 'queued', "
                    "delivery = j.delivery + 1, worker = NULL, lease = NULL, stop = '', "
                    "result = NULL, bundle = NULL, queued = now(), begun = NULL, ended = NULL "
                    "RETURNING delivery"
                ),
                {
                    "id": id, "home": home, "family": family, "agent": agent, "queue": queue,
                    "priority": priority, "parcel": parcel, "tree": tree,
                },
            ).scalar_one()  # fmt: skip
            self._enqueue(c, id, delivery, queue, priority)
        self._cancel(id, delivery - 1)
        return int(delivery)

    def _enqueue(self, c: sa.Connection, id: str, delivery: int, queue: str, priority: int) -> None:
        options: Any = {
            "workflow_name": WORKFLOW,
            "queue_name": queue,
            "workflow_id": f"{id}/{delivery}",
            "app_version": QUEUE_VERSION,
            "priority": priority,
        }
        self.client.enqueue_in_transaction(c, options, id, delivery)
        c.execute(
            self._text("SELECT pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": queue}
        )

    def _cancel(self, id: str, delivery: int) -> None:
        """Tell DBOS that a delivery counts no more."""
        if delivery > 0:
            with contextlib.suppress(Exception):
                self.client.cancel_workflow(f"{id}/{delivery}")

    def look(self, id: str, after: int) -> tuple[JobRow | None, list[Line]]:
        """A job, and the lines about it after a number."""
        lines = self._all(
            "SELECT number, delivery, kind, line FROM @lines WHERE job = :id AND number > :after "
            "ORDER BY number LIMIT :most",
            id=id, after=after, most=_MOST_LINES,
        )  # fmt: skip
        return self.find(id), [Line.model_validate(line) for line in lines]

    def watch(self, seen: Mapping[str, int]) -> tuple[set[str], list[Line]]:
        """Which of some jobs are queued or at work, and the lines about them after a number."""
        ids = list(seen)
        at_work = self._all(
            "SELECT id FROM @jobs WHERE id = ANY(:ids) AND state IN ('queued', 'running')", ids=ids
        )
        lines = self._all(
            "SELECT l.job, l.number, l.delivery, l.kind, l.line FROM "
            "unnest(CAST(:ids AS text[]), CAST(:after AS bigint[])) AS w(job, after) "
            "JOIN @lines l ON l.job = w.job AND l.number > w.after ORDER BY l.number LIMIT :most",
            ids=ids, after=list(seen.values()), most=_MOST_LINES,
        )  # fmt: skip
        return {row["id"] for row in at_work}, [Line.model_validate(line) for line in lines]

    def bundle(self, id: str, delivery: int) -> bytes:
        """The bundle that came with a result."""
        sql = "SELECT bundle FROM @jobs WHERE id = :id AND delivery = :delivery"
        rows = self._all(sql, id=id, delivery=delivery)
        return bytes(rows[0]["bundle"] or b"") if rows else b""

    def stop(self, id: str, why: str) -> None:
        """Let the worker that has a job end it; one that nobody has is taken off its queue."""
        self._stop(why, id=id)

    def stop_family(self, home: str, family: str, why: str) -> None:
        """The same for all jobs of a family at its home."""
        self._stop(why, home=home, family=family)

    def _stop(self, why: str, *, id: str = "", home: str = "", family: str = "") -> None:
        rows = self._all(
            "UPDATE @jobs SET stop = :why, state = CASE state WHEN 'queued' THEN 'stopped' "
            "ELSE state END, ended = CASE state WHEN 'queued' THEN now() END "
            "WHERE state IN ('queued', 'running') AND "
            "(id = :id OR (home = :home AND family = :family)) "
            "RETURNING id, delivery, state, $call",
            why=why, id=id, home=home, family=family,
        )  # fmt: skip
        for row in rows:
            if row["state"] == "stopped":
                self._cancel(row["id"], row["delivery"])

    def prune(self) -> None:
        """Delete jobs that ended `KEPT_DAYS` ago, and workers not seen for a day."""
        old = "DELETE FROM @jobs WHERE ended < now() - make_interval(days => :days)"
        for row in self._all(f"{old} RETURNING id, delivery", days=KEPT_DAYS):
            with contextlib.suppress(Exception):
                ids = [f"{row['id']}/{n + 1}" for n in range(row["delivery"])]
                self.client.delete_workflows(ids)
        self._all("DELETE FROM @workers WHERE seen < now() - interval '1 day' RETURNING id")

    # -- a worker's side ---------------------------------------------------------------------

    def greet(self, worker: WorkerRow) -> None:
        """Write down that a worker is there."""
        self._all(
            "INSERT INTO @workers (id, machine, agents, labels, slots, program, note) VALUES "
            "(:id, :machine, :agents, :labels, :slots, :program, :note) ON CONFLICT (id) "
            "DO UPDATE SET seen = now(), note = :note RETURNING id",
            **{
                **worker.model_dump(exclude={"age", "jobs"}),
                "agents": list(worker.agents),
                "labels": list(worker.labels),
            },
        )

    def leave(self, worker: str) -> None:
        self._all("DELETE FROM @workers WHERE id = :id RETURNING id", id=worker)

    def claim(self, id: str, delivery: int, worker: str) -> str | None:
        """The parcel of a job that is this worker's now; None if it is not to be had any more."""
        rows = self._all(
            "UPDATE @jobs SET state = 'running', worker = :worker, begun = now(), "
            "lease = $lease WHERE id = :id AND delivery = :delivery AND (state = 'queued' "
            # the answer to its first claim was lost
            "OR (state = 'running' AND worker = :worker)) RETURNING parcel",
            id=id, delivery=delivery, worker=worker, seconds=self.settings.lease,
        )  # fmt: skip
        return str(rows[0]["parcel"]) if rows else None

    def beat(self, id: str, delivery: int, worker: str, lines: Sequence[str] = ()) -> str | None:
        """Keep a job, and hand in events; why it is to be stopped, "", or None if it is lost."""
        rows = self._all(
            "UPDATE @jobs SET lease = $lease WHERE $mine RETURNING stop",
            id=id, delivery=delivery, worker=worker, seconds=self.settings.lease,
        )  # fmt: skip
        if not rows:
            return None
        self._add_lines(id, delivery, "event", lines)
        return str(rows[0]["stop"])

    def _add_lines(self, id: str, delivery: int, kind: str, lines: Sequence[str]) -> None:
        if lines:
            self._all(
                "INSERT INTO @lines (job, delivery, kind, line) SELECT :id, :delivery, :kind, l "
                "FROM unnest(CAST(:lines AS text[])) WITH ORDINALITY AS t(l, n) ORDER BY n "
                "RETURNING number",
                id=id, delivery=delivery, kind=kind, lines=[x.replace("\0", "") for x in lines],
            )  # fmt: skip

    def finish(
        self, id: str, delivery: int, worker: str, result: str, bundle: bytes | None, state: str
    ) -> bool:
        """Hand in a result; whether it was taken, which that of a lost job is not."""
        sql = (
            "UPDATE @jobs SET state = :state, result = :result, bundle = :bundle, ended = now(), "
            "lease = NULL WHERE id = :id AND delivery = :delivery AND worker = :worker "
            # said once more when the answer was lost, it is taken as well
            "AND state IN ('running', :state) RETURNING $call"
        )
        own = {"id": id, "delivery": delivery, "worker": worker}
        rows = self._all(sql, **own, state=state, result=result or None, bundle=bundle)
        if not rows:
            text = f"a late result of {worker} for delivery {delivery} was dropped"
            with contextlib.suppress(AwayError):
                self._add_lines(id, delivery, "note", [text])
        return bool(rows)

    def hand_back(self, id: str, delivery: int, worker: str, why: str) -> None:
        """Give a job back that this worker cannot do."""
        with self._begin() as c:
            rows = c.execute(
                self._text("SELECT id FROM @jobs WHERE $mine FOR UPDATE"),
                {"id": id, "delivery": delivery, "worker": worker},
            ).all()
            if rows:
                self._give_again(c, id, f"{worker} gives it back: {why}")

    def reap(self) -> None:
        """Give out again what workers had that have shown no sign of life."""
        dead: list[tuple[str, int]] = []
        with self._begin() as c:
            found = c.execute(
                self._text(
                    "SELECT id, delivery, worker FROM @jobs WHERE state = 'running' AND "
                    "lease < now() ORDER BY id LIMIT 50 FOR UPDATE SKIP LOCKED"
                )
            ).all()
            for id, delivery, worker in found:
                self._give_again(c, id, f"{worker} showed no sign of life")
                dead.append((id, delivery))
        for id, delivery in dead:
            self._cancel(id, delivery)

    def _give_again(self, c: sa.Connection, id: str, why: str) -> None:
        """Make the next delivery of a job, whose row is locked; the last one asks a person."""
        row = c.execute(
            self._text(
                "UPDATE @jobs SET delivery = delivery + 1, worker = NULL, lease = NULL, "
                "begun = NULL, state = CASE WHEN stop <> '' OR delivery >= :most THEN 'stopped' "
                "ELSE 'queued' END, ended = CASE WHEN stop <> '' OR delivery >= :most THEN now() "
                "END WHERE id = :id RETURNING delivery, queue, priority, state, stop"
            ),
            {"id": id, "most": MOST_DELIVERIES},
        ).one()
        text = f"{why}; " + (
            f"it is given out again (delivery {row.delivery})"
            if row.state == "queued"
            else "it is not given out again"
        )
        c.execute(
            self._text(
                "INSERT INTO @lines (job, delivery, kind, line) VALUES (:id, :d, 'note', :line)"
            ),
            {"id": id, "d": row.delivery - 1, "line": text},
        )
        if row.state == "queued":
            self._enqueue(c, id, row.delivery, row.queue, row.priority)

    # -- looking -----------------------------------------------------------------------------

    def workers(self) -> list[WorkerRow]:
        """Every worker that was seen within a day, and what it does."""
        rows = self._all(
            "SELECT w.id, w.machine, w.agents, w.labels, w.slots, w.program, w.note, "
            "EXTRACT(epoch FROM now() - w.seen)::float AS age, ARRAY(SELECT j.agent || ' ' || "
            "j.family FROM @jobs j WHERE j.worker = w.id AND j.state = 'running' ORDER BY j.id) "
            "AS jobs FROM @workers w ORDER BY w.machine, w.id"
        )
        return [WorkerRow.model_validate(row) for row in rows]

    def waiting(self) -> dict[str, int]:
        """Queue → jobs that wait in it."""
        sql = "SELECT queue, count(*)::int AS n FROM @jobs WHERE state = 'queued' GROUP BY queue"
        return {row["queue"]: row["n"] for row in self._all(sql)}


_opened: dict[tuple[str, str], Store] = {}
_opening = threading.Lock()


def open_store(url: str, settings: WorkersSettings) -> Store:
    """The database, opened once in a process. Raises AwayError, UsageError, MissingExtraError."""
    key = (url, settings.model_dump_json())
    with _opening:
        if key not in _opened:
            if not _opened:
                atexit.register(close_stores)
            _opened[key] = Store(url, settings)
        return _opened[key]


def who_works(settings: WorkersSettings) -> tuple[list[WorkerRow], dict[str, int]]:
    """The workers, and queue → jobs that wait in it. Raises AwayError, UsageError."""
    if settings.engine == "local":
        return [], {}
    store = open_store(database_url(settings), settings)
    return store.workers(), store.waiting()


def close_stores() -> None:
    """Close what `open_store` opened."""
    while _opened:
        _opened.popitem()[1].close()


def patiently(
    ask: Callable[[], _Value],
    stopped: Callable[[], bool],
    tell: Callable[[str], object] = lambda _: None,
) -> _Value:
    """What `ask` gives once the database can be reached; AwayError only if `stopped` meanwhile."""
    since, reported = time.monotonic(), False
    while True:
        try:
            return ask()
        except AwayError as exc:
            if stopped():
                raise
            if not reported and time.monotonic() - since > _REPORT_AFTER:
                reported = True
                tell(f"{exc.message}; trying again")
            time.sleep(_AGAIN)

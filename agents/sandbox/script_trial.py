"""A trial of a seed script: run twice on a database, then where its source or the database fails.

What the runs that fail something have to do with each other is only that each begins with empty
tables: they are made in several places at once where there are sandboxes to spare.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from orchestrate_agents.sandbox.client import (
    Sandbox,
    ScriptRun,
    create_schema,
    shared_sandboxes,
)
from orchestrate_agents.sandbox.runs import Run
from orchestrate_agents.sandbox.scratch_tables import (
    TableContents,
    empty_tables,
    read_contents,
    refuse_all,
    refuse_one,
    untold,
)
from orchestrate_agents.sandbox.served import (
    SOURCES,
    Served,
    Specified,
    compare_served,
    differs,
    try_source,
)
from orchestrate_agents.sandbox.statement_watch import Said, StatementWatch, beyond_loading
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_agents.tools.python import Python
from orchestrator.gates.checks import Services

#: a project's host name as the hosted ones have it
_PROJECT = "kqzvbnmlwoiuytrehgas.supabase.co"


@dataclass(frozen=True)
class IdempotencyTrial:
    """A script's two runs on one database."""

    first: ScriptRun
    second: ScriptRun
    #: on emptied tables that refuse each row, or (if it told that) all; None if nothing was added
    refused: ScriptRun | None
    #: before the first run, after it, and after the second
    before: TableContents
    after_first: TableContents
    after_second: TableContents
    #: where the tables differ from what a simulated source served
    differing: tuple[str, ...] = ()

    @property
    def added(self) -> dict[str, int]:
        """Rows that the first run added, by table."""
        return {
            table: rows - self.before.rows.get(table, 0)
            for table, rows in self.after_first.rows.items()
            if rows != self.before.rows.get(table, 0)
        }


@dataclass
class _Place:
    """A database with the script's tables, and a sandbox, in which it runs again and again."""

    database: Database
    watch: StatementWatch
    #: a run of the script, whose statements are not looked at
    attempt: Callable[..., ScriptRun]
    #: the statements of all other runs
    said: list[Said] = field(default_factory=list)

    def run(self, source: str = "", project: str = "") -> ScriptRun:
        """A run whose statements are looked at."""
        self.watch.clear()
        ended = self.attempt(source=source, project=project)
        self.said.extend(self.watch.heard())
        return ended

    def empty(self) -> None:
        empty_tables(self.database)


#: what is tried in a place: what goes wrong there
_Task = Callable[[_Place], Sequence[str]]


def run_idempotency_trial(
    services: Services,
    root: Path,
    script: str,
    *,
    schema: Sequence[str],
    libraries: Collection[str],
    python: Python | None = None,
    specified: Specified | None = None,
) -> IdempotencyTrial:
    """Run the script on a scratch database with this schema: twice, where the source or the
    database fails, and once where it may not write.

    Raises SandboxError if the schema cannot be created.
    """
    pool = shared_sandboxes(services, python)
    specified = specified or Specified()

    @contextmanager
    def tables() -> Iterator[tuple[Database, StatementWatch]]:
        import psycopg

        with (
            scratch(services).database() as database,
            psycopg.connect(database.uri, autocommit=True) as admin,
        ):
            create_schema(database, schema)
            yield database, StatementWatch(admin)

    def place_of(database: Database, watch: StatementWatch, sandbox: Sandbox) -> _Place:
        run = partial(sandbox.run, script, cwd=copy, database=database, libraries=libraries)
        return _Place(database, watch, run)

    @contextmanager
    def another(wanted: Callable[[], bool]) -> Iterator[_Place | None]:
        with tables() as made, pool.spare(wanted) as sandbox:
            yield None if sandbox is None else place_of(*made, sandbox)

    with (
        pool.tree.copy_of(root) as copy,
        tables() as made,
        pool.acquire() as sandbox,
    ):
        place = place_of(*made, sandbox)
        database = place.database
        before = read_contents(database)
        # its client is known to find the way there
        first = place.run(project=_PROJECT if "supabase" in libraries else "")
        after_first = read_contents(database)
        differing = compare_served(database, first.served, first.run.text, specified)
        second = place.run()
        after_second = read_contents(database)
        refused = None
        if after_first != before:
            own = [name for name, count in after_first.rows.items() if count]
            differing = (*differing, *differs(first, specified))
            tasks: list[_Task] = []
            if first.run.ok and not differing:
                sources = SOURCES if first.served else ()
                tasks += [partial(_try_source, s, first.served, specified) for s in sources]
                if len(first.writes) != 1:
                    tasks.append(partial(_try_refusal, own, after_first.total))
            found, said = _work_off(tasks, place, another)
            differing = (*differing, *found, *beyond_loading(said, own))
            for _ in refuse_all(database, own, place.empty):
                refused = place.attempt(source="few")
                if refused.run.ok:
                    break
        runs = [r and replace(r, served=(), asked=()) for r in (first, second, refused)]
        assert runs[0] is not None
        assert runs[1] is not None
        contents = before, after_first, after_second
        return IdempotencyTrial(runs[0], runs[1], runs[2], *contents, differing)


def _try_source(
    source: str, served: Sequence[Served], specified: Specified, place: _Place
) -> Sequence[str]:
    place.empty()
    return tuple(try_source(source, place.database, served, place.run, specified))


def _try_refusal(own: Sequence[str], total: int, place: _Place) -> Sequence[str]:
    """Where one write of all is refused."""
    place.empty()
    ended: Run = refuse_one(place.database, own, lambda: place.run().run)
    return tuple(untold(ended, total - read_contents(place.database).total))


def _work_off(
    tasks: Sequence[_Task],
    place: _Place,
    another: Callable[[Callable[[], bool]], AbstractContextManager[_Place | None]],
) -> tuple[list[str], list[Said]]:
    """What all tasks find, in their order, and the statements of all runs.

    They are done in the given place, and in another one as soon as there is a sandbox to spare.
    """
    waiting = deque(enumerate(tasks))
    found: dict[int, Sequence[str]] = {}
    said: list[Said] = []

    def work(here: _Place) -> None:
        while waiting:
            try:
                number, task = waiting.popleft()
            except IndexError:
                return
            found[number] = task(here)

    def help_out() -> None:
        with another(lambda: bool(waiting)) as there:
            if there is not None:
                work(there)
                said.extend(there.said)

    if len(tasks) > 1:
        with ThreadPoolExecutor(1) as pool:
            helping = pool.submit(help_out)
            work(place)
            helping.result()
    else:
        work(place)
    return [line for number in sorted(found) for line in found[number]], [*place.said, *said]

"""Load registered trials into a table: the run and the command line of the seed script."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from orchestrate_backend.errors import BackendError, TargetError
from orchestrate_backend.targets.base import Target, Written, batches
from orchestrate_backend.trials.registry_client import (
    REGISTRY_URL,
    STUDY_STATUSES,
    Registry,
    RegistrySettings,
)
from orchestrate_backend.trials.sources import (
    Harvest,
    Step,
    fetch_trials,
    find_snapshot,
    load_trials,
)
from orchestrate_backend.trials.trials import Selection, Selector, TrialSpec

_SHOWN = 20


class SeedStatus(StrEnum):
    """How a load ended. PASS and LACKING (and a dry run to which all came) exit with 0."""

    PASS = "PASS"
    #: the source is loaded whole, and the table holds fewer rows than are expected
    LACKING = "LACKING"
    PARTIAL = "PARTIAL"
    FAIL = "FAIL"
    DRY_RUN = "DRY-RUN"


@dataclass(frozen=True)
class TrialReport:
    """What a load did, with its figures."""

    spec: TrialSpec
    harvest: Harvest
    selection: Selection
    target: str = ""
    written: Written = field(default_factory=Written)
    #: rows in the table afterwards, None in a dry run
    in_table: int | None = None

    @property
    def status(self) -> SeedStatus:
        """PASS only if every record of the source came, and the table holds each selected row.

        Nothing to store is a failure, of a dry run too.
        """
        if self.in_table is None:
            partial = SeedStatus.PARTIAL if self.harvest.shortfalls else SeedStatus.DRY_RUN
            return partial if self.selection.rows else SeedStatus.FAIL
        if not self.written.stored or self.in_table < self.written.stored:
            return SeedStatus.FAIL
        if self.harvest.shortfalls:
            return SeedStatus.PARTIAL
        return SeedStatus.LACKING if self.lacking else SeedStatus.PASS

    @property
    def lacking(self) -> int:
        """Rows that are expected and not there; of another registry than the real one none are."""
        there = len(self.selection.rows) if self.in_table is None else self.in_table
        other = self.harvest.source.startswith("http") and REGISTRY_URL not in self.harvest.source
        return 0 if other else max(0, self.spec.expected - there)

    @property
    def last_line(self) -> str:
        """`[STATUS: PASS] Seeded X benchmark trials.`, or why it is not that."""
        if self.in_table is None:
            said = f"Would seed {len(self.selection.rows)} {self.spec.label}."
        elif self.status is SeedStatus.FAIL and self.written.stored:
            said = f"{self.written.stored} rows were written, the table holds {self.in_table}."
        else:
            said = f"Seeded {self.written.stored} {self.spec.label}."
        if self.status is SeedStatus.PARTIAL:
            said += f" Not all: {'; '.join(self.harvest.shortfalls)}."
        if self.lacking and self.status is not SeedStatus.FAIL:
            said += f" {self.lacking} are lacking of the {self.spec.expected} that are expected."
        return f"[STATUS: {self.status}] {said}"

    @property
    def rejected(self) -> list[tuple[str, str]]:
        """Records that became no row, and rows that the database refused: key and reason."""
        unread = [(error.key or "(no id)", error.reason) for error in self.selection.rejected]
        refused = [("/".join(map(str, r.key)), r.reason) for r in self.written.rejected]
        return unread + refused

    def lines(self) -> Iterator[str]:
        """The report for people, without its last line."""
        chosen = self.selection
        yield f"{chosen.read} records read from {self.harvest.source}"
        yield from (f"  warning: {missing}" for missing in self.harvest.shortfalls)
        if self.harvest.notice:
            yield f"  notice: {self.harvest.notice}"
        yield f"{len(chosen.rows)} selected{_listed(chosen.modalities)}"
        if chosen.skipped:
            yield f"{chosen.skipped.total()} left out{_listed(chosen.skipped)}"
        yield from self.notes()
        yield from _first("rejected", self.rejected)
        yield from _first("value left out", chosen.problems)
        if self.in_table is not None:
            done = self.written
            yield (
                f"{self.spec.table} on {self.target}: {done.inserted} inserted, "
                f"{done.updated} updated, {done.unchanged} unchanged; {self.in_table} rows in it"
            )

    def notes(self) -> Iterator[str]:
        """What was stored as NULL on purpose."""
        chosen = self.selection
        if chosen.partial_dates:
            yield f"  {chosen.partial_dates} dates without a day are stored as NULL"
        if chosen.estimated_dates:
            yield f"  {chosen.estimated_dates} estimated dates are stored as NULL"
        if chosen.enrollment_unproven:
            yield f"  {chosen.enrollment_unproven} enrolments not marked actual are stored as NULL"
        if chosen.status_unknown:
            yield f"  {chosen.status_unknown} studies of unknown status are stored with status NULL"

    def as_json(self) -> dict[str, Any]:
        """The report for machines; a dry run lists the rows as well."""
        dry = self.in_table is None
        return {
            "status": str(self.status),
            "message": self.last_line,
            "table": self.spec.table,
            "target": self.target,
            "source": self.harvest.source,
            "read": self.selection.read,
            "announced": self.harvest.announced,
            "shortfalls": list(self.harvest.shortfalls),
            "selected": len(self.selection.rows),
            "modalities": dict(self.selection.modalities),
            "skipped": {str(reason): n for reason, n in self.selection.skipped.items()},
            "lacking": self.lacking,
            "rejected": [{"key": key, "reason": why} for key, why in self.rejected],
            "notes": [note.strip() for note in self.notes()],
            "inserted": self.written.inserted,
            "updated": self.written.updated,
            "unchanged": self.written.unchanged,
            "in_table": self.in_table,
            **({"rows": self.selection.rows} if dry else {}),
        }


def _listed(counts: Mapping[Any, int]) -> str:
    parts = sorted(counts.items(), key=lambda item: -item[1])
    return ": " + ", ".join(f"{n} {name}" for name, n in parts) if parts else ""


def _first(what: str, found: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield from (f"  {what}: {key}: {why}" for key, why in found[:_SHOWN])
    if len(found) > _SHOWN:
        yield f"  {what}: and {len(found) - _SHOWN} more"


def store_trials(
    target: Target, spec: TrialSpec, harvest: Harvest, selection: Selection, step: Step
) -> TrialReport:
    """Write the selection in batches, and count what the table holds then.

    Raises TargetError, saying how far it came.
    """
    rows, written = selection.rows, Written()
    try:
        known = {column.name for column in target.columns(spec.table)}
        if known and (missing := [c for c in spec.columns if c not in known]):
            raise TargetError(
                f"table {spec.table} has no column {', '.join(missing)}",
                hint="apply the migration that this script was written for",
                code="column-missing",
            )
        done = 0
        for batch in batches(rows, spec.batch):
            try:
                written += target.upsert(spec.table, batch, spec.key, spec.batch)
            except TargetError as exc:
                exc.message += f" ({done} of {len(rows)} rows were written before)"
                raise
            done += len(batch)
            step("writing", done, len(rows))
        count = target.count(spec.table)
    finally:
        target.close()
    return TrialReport(spec, harvest, selection, target.name, written, count)


Say = Callable[[str], None]


@contextmanager
def show_progress(stream: TextIO) -> Iterator[tuple[Step, Say]]:
    """Bars where `stream` is a terminal, plain lines where it is not."""
    if not stream.isatty():

        def say(line: str) -> None:
            print(f"  {line}", file=stream, flush=True)

        yield (
            lambda what, done, total: say(
                f"{what}: {done}" + ("" if total is None else f" of {total}")
            ),
            say,
        )
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(file=stream)) as bars:
        tasks: dict[str, Any] = {}

        def step(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield step, lambda line: bars.console.print(line, markup=False)


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _status_list(text: str) -> tuple[str, ...]:
    given = tuple(part.strip().upper() for part in text.replace("|", ",").split(","))
    unknown = [status for status in given if status not in STUDY_STATUSES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no such status: {', '.join(unknown)} (choose from {', '.join(STUDY_STATUSES)})"
        )
    return given


def trials_parser(spec: TrialSpec, env: Mapping[str, str]) -> argparse.ArgumentParser:
    """The command line of the seed script."""
    parser = argparse.ArgumentParser(
        description=f"Load trials from ClinicalTrials.gov into {spec.table}. Running it again "
        "updates rows by key and doubles none.",
        epilog="Exit code 0: all trials of the source are in the table, or would be after a dry "
        "run; 1: they are not; 2: usage.",
    )
    source = parser.add_argument_group("source").add_mutually_exclusive_group()
    source.add_argument(
        "--from",
        dest="files",
        action="append",
        type=Path,
        metavar="FILE",
        help="a website download, a saved API page, or JSON lines; may be given several times",
    )
    source.add_argument("--offline", action="store_true", help="load the shipped snapshot")
    group = parser.add_argument_group("registry")
    group.add_argument(
        "--base-url",
        default=env.get("CTGOV_BASE_URL") or REGISTRY_URL,
        help="another host (default: CTGOV_BASE_URL, else %(default)s)",
    )
    group.add_argument(
        "--interval",
        type=_seconds,
        default=env.get("CTGOV_INTERVAL") or "1",
        help="seconds between two requests (default: CTGOV_INTERVAL, else 1)",
    )
    group.add_argument(
        "--attempts", type=_positive, default=4, help="tries for one page (default: 4)"
    )
    group.add_argument(
        "--max-pages", type=_positive, help="pages for each search; the load is PARTIAL then"
    )
    group = parser.add_argument_group("selection")
    group.add_argument(
        "--statuses",
        type=_status_list,
        metavar="A,B",
        help=f"statuses to take (default: {','.join(spec.statuses)})",
    )
    group.add_argument(
        "--all-conditions",
        action="store_true",
        help="also take trials on anaesthesia, pain and anything else than the listed conditions",
    )
    parser.add_argument("--target", metavar="NAME", help="embedded, postgres or supabase")
    parser.add_argument("--root", type=Path, help="the workspace (default: this script's)")
    parser.add_argument("--dry-run", action="store_true", help="select, and write nothing")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


def run_trials(
    options: argparse.Namespace, spec: TrialSpec, script: Path, env: Mapping[str, str]
) -> TrialReport:
    """One load from source to table. Raises BackendError; nothing is written before all came."""
    from orchestrate_backend.targets.choose import choose_target

    spec = replace(spec, statuses=options.statuses or spec.statuses)
    # the tree that a script at `backend/scripts/` belongs to
    tree = script.parents[min(2, len(script.parents) - 1)]
    root = (options.root or Path(env.get("ORCHESTRATE_ROOT") or tree)).resolve()
    target = None if options.dry_run else choose_target(options.target, env, root)
    if target is not None:
        said = sys.stderr if options.json else sys.stdout
        print(f"writing to {spec.table} on {target.name}: {target.describe()}", file=said)
    selector = Selector(spec, options.all_conditions, keep_unknown_status=options.offline)
    with show_progress(sys.stderr) as (step, say):
        if options.offline:
            harvest = load_trials([find_snapshot((tree, root))])
        elif options.files:
            harvest = load_trials(options.files)
        else:
            settings = RegistrySettings(options.base_url, options.interval, options.attempts)
            with closing(Registry(settings, notify=say)) as registry:
                harvest = fetch_trials(spec, registry, step, options.max_pages)
        selection = selector.select(harvest.records)
        if target is None:
            return TrialReport(spec, harvest, selection)
        return store_trials(target, spec, harvest, selection, step)


def trials_main(
    spec: TrialSpec,
    script: str | Path,
    argv: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """The seed script: parse, load, report. Returns the exit code."""
    env = os.environ if env is None else env
    options = trials_parser(spec, env).parse_args(argv)
    try:
        report = run_trials(options, spec, Path(script).resolve(), env)
    except BackendError as exc:
        if options.json:
            failure = {"status": "FAIL", "code": exc.code, "message": exc.message}
            print(json.dumps({**failure, "hint": exc.hint}, ensure_ascii=False))
        print(f"[STATUS: FAIL] {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again, rows are matched by key", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(report.as_json(), ensure_ascii=False, default=str))
    else:
        print(*report.lines(), report.last_line, sep="\n")
    return 1 if report.status in {SeedStatus.PARTIAL, SeedStatus.FAIL} else 0

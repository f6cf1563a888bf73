"""Which data files a claim is about, their tables, and how problems in them are reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrate_agents.seed_data.csv_file import Fault, Sheet, read_sheet
from orchestrate_agents.seed_data.table_schema import table_for, words, workflow_tables
from orchestrate_agents.seed_data.verified_facts import (
    Facts,
    FactsError,
    Sources,
    find_facts,
    read_sources,
    sources_path,
)
from orchestrate_agents.sql.parse import SqlError, Table, tables_of
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import (
    TYPES,
    Context,
    Result,
    failed,
    parameter_type,
    proven,
    unproven,
)

#: problems spelled out in a receipt's sentence; all of them are in its evidence
_LISTED = 6
_IN_EVIDENCE = 200


@dataclass(frozen=True)
class Amount:
    """`≥ 8`, `8+`, `at least 8`, `exactly 8`, `8`."""

    least: int
    most: int | None = None

    def holds(self, number: int) -> bool:
        return number >= self.least and (self.most is None or number <= self.most)

    def __str__(self) -> str:
        return f"exactly {self.least:,}" if self.most is not None else f"at least {self.least:,}"


_COUNT = TYPES["int"][0]
_AMOUNT = (
    rf"(?:(?:≥|>=|at least|no fewer than|no less than|a minimum of|minimum|min\.?)\s*{_COUNT}"
    rf"|(?:more than|over|>)\s*{_COUNT}|{_COUNT}\s*\+|{_COUNT} or more|(?:exactly |= ?)?{_COUNT})"
)


def amount(text: str) -> Amount:
    """Read an amount. Raises KeyError or ValueError for text that the pattern does not take."""
    found = re.search(_COUNT, text, re.IGNORECASE)
    number = TYPES["int"][1](found.group()) if found else 0
    around = text.lower()
    if re.match(r"more than|over|>(?!=)", around):
        return Amount(number + 1)
    least = re.match(r"≥|>=|at least|no (?:fewer|less)|a? ?min", around)
    if least or around.endswith(("+", "or more")):
        return Amount(number)
    return Amount(number, number)


parameter_type("amount", _AMOUNT, amount)


@dataclass(frozen=True)
class Data:
    """One CSV file with all that is known about it."""

    path: str
    sheet: Sheet
    table: Table | None
    sources: Sources
    #: verified facts for the same file, independent of what lies beside it
    facts: Facts | None
    #: what is wrong with the sources file itself, "" if it can be read
    sources_problem: str = ""

    @property
    def subjects(self) -> tuple[str, ...]:
        return (self.path, sources_path(self.path))


def data_files(ctx: Context, name: str = "") -> tuple[Data, ...] | Result:
    """The CSV files that a claim means: the named one, else the stage's, else all of the family's.

    A failed result if one of them is missing, an unproven one if there is none to speak of.
    """
    paths = _named_paths(ctx, name) if name else _claimed_paths(ctx)
    if not paths:
        return unproven("no stage delivers a CSV file, so there is none that this could mean")
    missing = [p for p in paths if not ctx.path(p).is_file()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return failed(f"{', '.join(missing)} {verb} missing", *paths)
    tables = known_tables(ctx)
    return tuple(_data(ctx, path, tables) for path in paths)


def _csv_paths(ctx: Context) -> tuple[str, ...]:
    stages = ctx.workflow.stages if ctx.workflow else ()
    asked = [d.path for stage in stages for d in stage.deliverables]
    asked += [need.path for stage in stages for need in stage.needs]
    return tuple(dict.fromkeys(p for p in (*asked, *ctx.artifacts) if p.lower().endswith(".csv")))


def _claimed_paths(ctx: Context) -> tuple[str, ...]:
    own = tuple(d.path for d in ctx.stage.deliverables) if ctx.stage else ()
    return tuple(p for p in own if p.lower().endswith(".csv")) or _csv_paths(ctx)


def _named_paths(ctx: Context, name: str) -> tuple[str, ...]:
    """The path itself; a bare file name may stand for a delivered one."""
    if "/" in name:
        return (name,)
    known = [p for p in _csv_paths(ctx) if PurePosixPath(p).name == name]
    return (name,) if name in known else tuple(known) or (name,)


def files_of_table(ctx: Context, table: str) -> tuple[Data, ...] | Result:
    """The CSV files that seed a table."""
    found = data_files(ctx, "")
    everything = _csv_paths(ctx)
    paths = [p for p in everything if _seeds(ctx, p, table)]
    if not paths:
        return unproven(f"no CSV file of this family seeds {table}") if everything else found
    results = [data_files(ctx, p) for p in paths]
    bad = next((r for r in results if isinstance(r, Result)), None)
    return bad or tuple(d for r in results if not isinstance(r, Result) for d in r)


def _seeds(ctx: Context, path: str, table: str) -> bool:
    found = table_for(path, known_tables(ctx), _columns_in(ctx, path))
    stem = PurePosixPath(path).name.removesuffix(".csv").lower()
    return (found is not None and found.name.lower() == table.lower()) or bool(
        re.search(rf"(?:^|[-_.]){re.escape(table.lower())}(?:$|[-_.])", stem)
    )


def _columns_in(ctx: Context, path: str) -> tuple[str, ...]:
    file = ctx.path(path)
    return read_sheet(file, path).columns if file.is_file() else ()


def known_tables(ctx: Context) -> tuple[Table, ...]:
    """The tables of the delivered SQL files, then those that only the workflow's SQL names.

    Where none is delivered, it is the files that the tickets name.
    """
    from orchestrate_agents.checks.sql.subjects import migration_paths

    found: dict[str, Table] = {}
    for path in delivered_paths(ctx, (".sql",)) or migration_paths(ctx):
        for table in _tables_in_file(ctx, path):
            found.setdefault(table.qualified, table)
    for table in workflow_tables(ctx.workflow) if ctx.workflow else ():
        found.setdefault(table.qualified, table)
    return tuple(found.values())


def _tables_in_file(ctx: Context, path: str) -> tuple[Table, ...]:
    try:
        return tables_of(ctx.path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, SqlError, OrchestrateError):
        return ()


def delivered_paths(ctx: Context, suffixes: Sequence[str] = ()) -> tuple[str, ...]:
    """What the workflow asks for or an agent reported, with one of the suffixes (all if none)."""
    asked = [d.path for _, d in ctx.workflow.deliverables] if ctx.workflow else []
    paths = dict.fromkeys((*asked, *ctx.artifacts))
    return tuple(p for p in paths if not suffixes or p.lower().endswith(tuple(suffixes)))


def _data(ctx: Context, path: str, tables: Iterable[Table]) -> Data:
    sheet = read_sheet(ctx.path(path), path)
    table = table_for(path, tables, sheet.columns)
    folder = str(ctx.settings.get("facts") or "facts")
    facts = find_facts(ctx.root, path, table.name if table else "", folder)
    beside = sources_path(path)
    try:
        return Data(path, sheet, table, read_sources(ctx.path(beside), beside), facts)
    except FactsError as exc:
        return Data(path, sheet, table, Sources(beside), facts, f"line {exc.line}: {exc.message}")


def column_named(data: Data, name: str) -> str | None:
    """The column of that name, or the only one whose name has it as a word (`citation`)."""
    exact = next((c for c in data.sheet.columns if c.lower() == name.lower()), None)
    if exact is not None:
        return exact
    singular = name.lower().removesuffix("s")
    alike = [c for c in data.sheet.columns if words(c) & {name.lower(), singular}]
    return alike[0] if len(alike) == 1 else None


def with_problems(data: Data, what: str, faults: Sequence[Fault]) -> Result:
    """A failed result that lists the first problems and carries all of them."""
    listed = "; ".join(str(fault) for fault in faults[:_LISTED])
    more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return failed(
        f"{data.path}: {what}: {listed}{more}",
        *data.subjects,
        problems=[str(fault) for fault in faults[:_IN_EVIDENCE]],
    )


def each(found: tuple[Data, ...] | Result, judge: Callable[[Data], Result]) -> Result:
    """The first failure among the files, else one result over all of them."""
    if isinstance(found, Result):
        return found
    results = [judge(data) for data in found]
    worst = next((r for r in results if r.verdict != "proven"), None)
    if worst is not None:
        return worst
    subjects = tuple(dict.fromkeys(s for r in results for s in r.subjects))
    evidence = {data.path: dict(r.evidence) for data, r in zip(found, results, strict=True)}
    return proven("; ".join(r.detail for r in results), *subjects, **evidence)

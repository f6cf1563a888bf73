"""Which data files a claim is about, their tables, and how faults in them are reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from orchestrate_agents.seed_data.csv_file import Fault, Sheet, read_sheet
from orchestrate_agents.seed_data.source_kinds import DEFAULT_KINDS
from orchestrate_agents.seed_data.table_schema import (
    Kind,
    kinds,
    table_for,
    words,
    workflow_tables,
)
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
from orchestrator.gates.trust import approved_files
from orchestrator.settings.board import FILE
from orchestrator.storage.atomic import sha256_file

#: faults in a receipt's sentence; more of them are in its evidence
_LISTED = 6
_IN_EVIDENCE = 200


@dataclass(frozen=True)
class Amount:
    """`≥ 8`, `8+`, `at least 8`, `at most 8`, `exactly 8`, `8`."""

    least: int = 0
    most: int | None = None

    def holds(self, number: int) -> bool:
        return number >= self.least and (self.most is None or number <= self.most)

    def __str__(self) -> str:
        if self.most is None:
            return f"at least {self.least:,}"
        return f"{'exactly' if self.least == self.most else 'at most'} {self.most:,}"


_COUNT = TYPES["int"][0]
_AMOUNT = (
    rf"(?:(?:≥|>=|at least|no fewer than|no less than|a minimum of|minimum|min\.?)\s*{_COUNT}"
    rf"|(?:≤|<=|at most|no more than|not more than|up to|a maximum of|max\.?)\s*{_COUNT}"
    rf"|(?:fewer than|less than|under|below|<)\s*{_COUNT}|{_COUNT} or (?:fewer|less)"
    rf"|(?:more than|over|>)\s*{_COUNT}|{_COUNT}\s*\+|{_COUNT} or more|(?:exactly |= ?)?{_COUNT})"
)


def parse_amount(text: str) -> Amount:
    """Read an amount. Raises KeyError or ValueError for text that the pattern does not match."""
    found = re.search(_COUNT, text, re.IGNORECASE)
    number = TYPES["int"][1](found.group()) if found else 0
    lowered = text.lower()
    if re.match(r"more than|over|>(?!=)", lowered):
        return Amount(number + 1)
    if re.match(r"≤|<=|at most|(?:no|not) more|up to|a? ?max", lowered):
        return Amount(0, number)
    if re.match(r"fewer|less|under|below|<", lowered):
        return Amount(0, number - 1)
    if lowered.endswith(("or fewer", "or less")):
        return Amount(0, number)
    least = re.match(r"≥|>=|at least|no (?:fewer|less)|a? ?min", lowered)
    if least or lowered.endswith(("+", "or more")):
        return Amount(number)
    return Amount(number, number)


parameter_type("amount", _AMOUNT, parse_amount)
parameter_type("csvfile", r"`?[\w.@+-]+(?:/[\w.@+-]+)*\.csv`?", lambda text: text.strip(" `"))


@dataclass(frozen=True)
class SeedFile:
    """One CSV file with everything that is known about it."""

    path: str
    sheet: Sheet
    table: Table | None
    sources: Sources
    #: verified facts for the same file, independent of the sources next to it
    facts: Facts | None
    #: what is wrong with the sources file itself, "" if it can be read
    sources_problem: str = ""
    #: whether the sources file stood as it is before this family began, or was approved
    sources_count: bool = True
    #: facts of the workspace that do not count, since this family wrote or changed them, ""
    own_facts: str = ""
    #: kinds of sources that the workspace allows
    allowed: tuple[str, ...] = DEFAULT_KINDS

    @property
    def subjects(self) -> tuple[str, ...]:
        return (self.path, sources_path(self.path))

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """The kind of every column."""
        return kinds(self.sheet, self.table)


# -- which files -----------------------------------------------------------------------------------


def seed_files(ctx: Context, name: str = "") -> tuple[SeedFile, ...] | Result:
    """The CSV files that a claim means: the named one, else the stage's, else all of the family's.

    A failed result if one of them is missing, an unproven one if there is none.
    """
    known = _csv_paths(ctx)
    if name:
        # a bare file name may stand for a delivered file
        alike = [p for p in known if PurePosixPath(p).name == name]
        paths = (name,) if "/" in name or name in alike else tuple(alike) or (name,)
    else:
        own = [d.path for d in ctx.stage.deliverables] if ctx.stage else []
        paths = tuple(p for p in own if p.lower().endswith(".csv")) or known
    return _read_files(ctx, paths)


def files_of_table(ctx: Context, table: str) -> tuple[SeedFile, ...] | Result:
    """The CSV files that seed a table."""
    tables = known_tables(ctx)
    in_name = re.compile(rf"(?:^|[-_.]){re.escape(table.lower())}(?:$|[-_.])")

    def seeds_table(path: str) -> bool:
        columns = read_sheet(ctx.path(path), path).columns if ctx.path(path).is_file() else ()
        found = table_for(path, tables, columns)
        stem = PurePosixPath(path).name.removesuffix(".csv").lower()
        named = found is not None and found.name.lower() == table.lower()
        return named or in_name.search(stem) is not None

    known = _csv_paths(ctx)
    paths = tuple(p for p in known if seeds_table(p))
    if known and not paths:
        return unproven(f"no CSV file of this family seeds {table}")
    return _read_files(ctx, paths)


def _csv_paths(ctx: Context) -> tuple[str, ...]:
    stages = ctx.workflow.stages if ctx.workflow else ()
    asked = [d.path for stage in stages for d in stage.deliverables]
    asked += [need.path for stage in stages for need in stage.needs]
    return tuple(dict.fromkeys(p for p in (*asked, *ctx.artifacts) if p.lower().endswith(".csv")))


def _read_files(ctx: Context, paths: Sequence[str]) -> tuple[SeedFile, ...] | Result:
    if not paths:
        return unproven("no stage delivers a CSV file, so there is none that this could mean")
    missing = [p for p in paths if not ctx.path(p).is_file()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return failed(f"{', '.join(missing)} {verb} missing", *paths)
    tables = known_tables(ctx)
    folder, allowed = _facts_settings(ctx)

    def counts(place: str) -> bool:
        return _stood_before(ctx, place)

    files = []
    for path in paths:
        sheet = read_sheet(ctx.path(path), path)
        table = table_for(path, tables, sheet.columns)
        facts = find_facts(ctx.root, path, table.name if table else "", folder, counts)
        every = find_facts(ctx.root, path, table.name if table else "", folder)
        own = every.origin if every and (not facts or every.origin != facts.origin) else ""
        place, problem = sources_path(path), ""
        try:
            sources = read_sources(ctx.path(place), place)
        except FactsError as exc:
            sources, problem = Sources(place), f"line {exc.line}: {exc.message}"
        known = (problem, counts(place), own, allowed)
        files.append(SeedFile(path, sheet, table, sources, facts, *known))
    return tuple(files)


def _facts_settings(ctx: Context) -> tuple[str, tuple[str, ...]]:
    """The folder of facts and the kinds of sources; by default where this family changed them."""
    table = ctx.settings.get("facts") if _stood_before(ctx, FILE) else None
    if not isinstance(table, Mapping):
        return str(table or "facts"), DEFAULT_KINDS
    return str(table.get("folder") or "facts"), tuple(table.get("sources", DEFAULT_KINDS))


def _stood_before(ctx: Context, path: str) -> bool:
    """Whether a file is as it was when the family began, or USER approved a question showing it.

    Unlike a rule of the workspace, evidence does not count because a person wrote it: whoever
    fills in the figures must not be who vouches for them unseen.
    """
    file = ctx.path(path)
    if not file.is_file() or (ctx.at_start is None and ctx.changed is None):
        return True
    if ctx.at_start is not None and ctx.at_start(path) == file.read_bytes():
        return True
    return (path, sha256_file(file)) in approved_files(ctx.history)


def known_tables(ctx: Context) -> tuple[Table, ...]:
    """The tables of the delivered SQL files, then those that only the workflow's SQL names.

    Where none is delivered, those of the files that the tickets name.
    """
    from orchestrate_agents.checks.sql.subjects import migration_paths

    found: dict[str, Table] = {}
    for path in delivered_paths(ctx, (".sql",)) or migration_paths(ctx):
        try:
            tables = tables_of(ctx.path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, SqlError, OrchestrateError):
            continue
        for table in tables:
            found.setdefault(table.qualified, table)
    for table in workflow_tables(ctx.workflow) if ctx.workflow else ():
        found.setdefault(table.qualified, table)
    return tuple(found.values())


def delivered_paths(ctx: Context, suffixes: Sequence[str] = ()) -> tuple[str, ...]:
    """What the workflow asks for or an agent reported, with one of the suffixes (all if none)."""
    asked = [d.path for _, d in ctx.workflow.deliverables] if ctx.workflow else []
    paths = dict.fromkeys((*asked, *ctx.artifacts))
    return tuple(p for p in paths if not suffixes or p.lower().endswith(tuple(suffixes)))


def column_named(file: SeedFile, name: str) -> str | None:
    """The column of that name, or the only one whose name has it as a word (`citation`)."""
    exact = next((c for c in file.sheet.columns if c.lower() == name.lower()), None)
    if exact is not None:
        return exact
    singular = name.lower().removesuffix("s")
    alike = [c for c in file.sheet.columns if words(c) & {name.lower(), singular}]
    return alike[0] if len(alike) == 1 else None


def column_of(file: SeedFile, name: str) -> str | None:
    """The column of that name, whatever its case; its plural may be said."""
    names = (name.lower(), name.lower().removesuffix("s"))
    columns = [c for wanted in names for c in file.sheet.columns if c.lower() == wanted]
    return columns[0] if columns else None


def shorten(text: str) -> str:
    """A text short enough for a receipt's sentence."""
    return text if len(text) <= 60 else text[:59] + "…"


# -- verdicts --------------------------------------------------------------------------------------


def report_faults(file: SeedFile, what: str, faults: Sequence[Fault]) -> Result:
    """A failed result that lists the first faults and carries the others."""
    listed = "; ".join(str(fault) for fault in faults[:_LISTED])
    more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return failed(
        f"{file.path}: {what}: {listed}{more}",
        *file.subjects,
        problems=[str(fault) for fault in faults[:_IN_EVIDENCE]],
    )


def judge_files(
    found: tuple[SeedFile, ...] | Result,
    what: str,
    find_faults: Callable[[SeedFile], Iterable[Fault]],
    conclude: Callable[[SeedFile], str | Result],
) -> Result:
    """One result over all files: failed with a file's faults (`what` they are), else what
    `conclude` says of a file without faults; text means proven."""
    if isinstance(found, Result):
        return found
    results: list[Result] = []
    for file in found:
        if faults := list(find_faults(file)):
            results.append(report_faults(file, what, faults))
        else:
            result = conclude(file)
            results.append(proven(result, file.path) if isinstance(result, str) else result)
    worst = next((r for v in ("failed", "unproven") for r in results if r.verdict == v), None)
    if worst is not None:
        return worst
    subjects = dict.fromkeys(s for r in results for s in r.subjects)
    evidence: dict[str, object] = {
        file.path: dict(r.evidence) for file, r in zip(found, results, strict=True)
    }
    if counted := [str(r.evidence["counted"]) for r in results if "counted" in r.evidence]:
        evidence["counted"] = "; ".join(counted)
    return proven("; ".join(r.detail for r in results), *subjects, **evidence)

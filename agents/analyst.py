"""ANALYST writes seed data from verified facts: every figure with its source, else a blank.

Facts come from the workspace (`facts/NAME.csv`, NAME being the file's or the table's) or ship with
the product; see `orchestrate_agents.seed_data.verified_facts` for their form. A figure without
a source is not entered.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestrate_agents.analyst_section import render_section
from orchestrate_agents.seed_data.csv_file import Row, Sheet, parse_sheet
from orchestrate_agents.seed_data.table_schema import (
    Kind,
    completeness,
    kinds,
    required_columns,
    seed_columns,
    table_for,
    workflow_tables,
)
from orchestrate_agents.seed_data.verified_facts import (
    WHOLE_ROW,
    Evidence,
    Facts,
    evidence_problem,
    find_facts,
    is_published,
    sources_path,
)
from orchestrate_agents.specification.files import csv_columns
from orchestrate_agents.sql.parse import Table
from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.domain.workflow import Stage, Workflow
from orchestrator.storage.atomic import inside, replace, sha256_bytes


@dataclass(frozen=True)
class Wanted:
    """A CSV file that the stage asks for (`extra`: that its workflow's SQL suggests)."""

    path: str
    columns: tuple[str, ...]
    table: Table | None
    extra: bool = False


@dataclass(frozen=True)
class Drafted:
    """What a wanted file became: its content and sources, or why there is none."""

    wanted: Wanted
    facts: Facts | None = None
    sheet: Sheet | None = None
    artifacts: tuple[Artifact, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Content:
    """A CSV file's text, its sources' text, and the rows that could not be entered."""

    csv: str
    sources: str
    left_out: tuple[tuple[str, str], ...] = field(default=())


class Analyst:
    """The agent that provides seed data."""

    name = "ANALYST"

    def work(self, job: Job) -> Report:
        """Write every CSV file of the stage; the same facts give the same files."""
        from orchestrator.workflow_reader.parser import read_workflow_text

        workflow = read_workflow_text(job.workflow_text, job.root / job.workflow)
        stage = workflow.stage(job.stage)
        wanted = wanted_files(workflow, stage, job)
        if not wanted:
            return Report(
                outcome=Outcome.NEEDS_PERSON,
                reason=f"{stage.label} names no CSV file: say which one, `Create data/NAME.csv`, "
                "with a block `CSV schema:` that lists its columns",
            )
        return _report(job, stage, [_draft(job, one) for one in wanted])


def wanted_files(workflow: Workflow, stage: Stage, job: Job) -> tuple[Wanted, ...]:
    """The stage's CSV deliverables, then files for further tables that facts are at hand for."""
    tables = workflow_tables(workflow)
    asked = tuple(
        Wanted(d.path, listed or (seed_columns(table) if table else ()), table)
        for d in stage.deliverables
        if d.path.lower().endswith(".csv")
        for listed in [csv_columns(d, stage)]
        for table in [table_for(d.path, tables, listed)]
    )
    return (*asked, *_further(workflow, asked, tables, job))


def _further(
    workflow: Workflow, asked: Sequence[Wanted], tables: Sequence[Table], job: Job
) -> Iterator[Wanted]:
    """Files named like the first asked one, for tables with facts that no stage delivers."""
    pattern = next((w for w in asked if w.table), None)
    if pattern is None or pattern.table is None:
        return
    delivered = [(s, d) for s, d in workflow.deliverables if d.path.lower().endswith(".csv")]
    found = [table_for(d.path, tables, csv_columns(d, s)) for s, d in delivered]
    served = {t.name for t in found if t is not None}
    for table in tables:
        path = _named_alike(pattern.path, pattern.table.name, table.name)
        if table.name not in served and find_facts(job.root, path, table.name, _folder(job)):
            yield Wanted(path, seed_columns(table), table, extra=True)


def _named_alike(path: str, table: str, other: str) -> str:
    file = PurePosixPath(path)
    name = re.sub(re.escape(table), lambda _: other, file.name, count=1, flags=re.IGNORECASE)
    return str(file.with_name(name))


def _folder(job: Job) -> str:
    return str(job.settings.get("facts") or "facts")


# -- one file ------------------------------------------------------------------------------------


def _draft(job: Job, wanted: Wanted) -> Drafted:
    table = wanted.table.name if wanted.table else ""
    facts = find_facts(job.root, wanted.path, table, _folder(job))
    columns = wanted.columns or (facts.sheet.columns if facts else ())
    content = draft_content(facts, columns, wanted.table) if facts and columns else None
    file = inside(job.root, wanted.path)
    if file.is_file() and _is_someone_elses(job, wanted.path, content):
        return _kept(job, wanted, facts)
    if content is None or facts is None or content.csv.count("\n") < 2:
        said = _what_is_missing(wanted, columns, facts, _folder(job))
        if content is not None and content.left_out:
            row, blank = content.left_out[0]
            said += f"; the first, {row}, lacks one for {blank}"
        return Drafted(wanted, missing=said)
    artifacts = (
        _put(job, wanted.path, content.csv),
        _put(job, sources_path(wanted.path), content.sources),
    )
    sheet = parse_sheet(content.csv.encode("utf-8"), wanted.path)
    return Drafted(wanted, facts, sheet, artifacts, content.left_out)


def _is_someone_elses(job: Job, path: str, content: Content | None) -> bool:
    held = inside(job.root, path).read_bytes()
    ours = content is not None and held == content.csv.encode("utf-8")
    return not ours and sha256_bytes(held) != job.written.get(path)


def _kept(job: Job, wanted: Wanted, facts: Facts | None) -> Drafted:
    artifacts = []
    for path in (wanted.path, sources_path(wanted.path)):
        file = inside(job.root, path)
        if file.is_file():
            digest = sha256_bytes(file.read_bytes())
            artifacts.append(Artifact(path=path, sha256=digest, state="kept"))
    sheet = parse_sheet(inside(job.root, wanted.path).read_bytes(), wanted.path)
    return Drafted(wanted, facts, sheet, tuple(artifacts))


def _put(job: Job, path: str, text: str) -> Artifact:
    """Write a file unless it is there as it must be, or somebody else's."""
    file, data = inside(job.root, path), text.encode("utf-8")
    digest = sha256_bytes(data)
    if file.is_file():
        held = sha256_bytes(file.read_bytes())
        if held not in (digest, job.written.get(path)):
            return Artifact(path=path, sha256=held, state="kept")
        if held == digest:
            state = "written" if job.written.get(path) == digest else "kept"
            return Artifact(path=path, sha256=digest, state=state)
    replace(file, data)
    return Artifact(path=path, sha256=digest)


def _what_is_missing(
    wanted: Wanted, columns: Sequence[str], facts: Facts | None, folder: str
) -> str:
    name = wanted.table.name if wanted.table else PurePosixPath(wanted.path).stem
    if not columns:
        return (
            f"nothing says which columns {wanted.path} has: add a block `CSV schema:` to the "
            "stage, or SQL that creates its table"
        )
    if facts is not None:
        return f"no row of {facts.origin} has a source for every value that is required"
    return (
        f"no verified facts for {wanted.path} (columns {', '.join(columns)}): provide "
        f"{folder}/{name}.csv with these columns and {folder}/{name}.sources.jsonl with one line "
        f"per figure (row, column, value, source, locator, printed), or put {wanted.path} there"
    )


# -- the content ---------------------------------------------------------------------------------


def draft_content(facts: Facts, columns: Sequence[str], table: Table | None) -> Content:
    """The facts in the schema's columns and order. A cell without a source stays blank."""
    typed = kinds(facts.sheet, table)
    required = [c for c in (required_columns(table) if table else ()) if c in columns]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    sources: list[str] = []
    left_out: list[tuple[str, str]] = []
    for row in facts.sheet.rows:
        cells = {c: _sourced(facts, row, c, typed.get(c, Kind.TEXT)) for c in columns}
        blank = [c for c in required if not cells[c]]
        if blank:
            left_out.append((_row_name(row), ", ".join(blank)))
            continue
        writer.writerow([cells[c] for c in columns])
        sources.extend(_evidence_lines(facts, row, cells))
    return Content(out.getvalue(), "".join(sources), tuple(left_out))


def _sourced(facts: Facts, row: Row, column: str, kind: Kind) -> str:
    """The cell's text if a source supports it, else ""."""
    text = row.get(column)
    if not text:
        return ""
    entries = {e.column: e for e in facts.sources.of_row(row)}
    if kind.numeric:
        return "" if evidence_problem(entries.get(column), column, text) else text
    words = entries.get(column) or entries.get(WHOLE_ROW)
    return text if words is not None and is_published(words.source) else ""


def _evidence_lines(facts: Facts, row: Row, cells: dict[str, str]) -> Iterator[str]:
    key = {k: cells[k] for k in facts.sources.key_columns if k in cells}
    if len(key) < len(facts.sources.key_columns):
        key = {c: text for c, text in cells.items() if text}
    for entry in facts.sources.of_row(row):
        if entry.column == WHOLE_ROW or cells.get(entry.column):
            line = Evidence(**{**entry.to_dict(), "row": key}).to_dict()
            yield json.dumps(line, ensure_ascii=False) + "\n"


def _row_name(row: Row) -> str:
    return next((text for text in row.cells.values() if text), f"line {row.line}")


# -- the report ----------------------------------------------------------------------------------


def _report(job: Job, stage: Stage, drafted: Sequence[Drafted]) -> Report:
    artifacts = tuple(a for d in drafted for a in d.artifacts)
    missing = [d.missing for d in drafted if d.missing]
    section = render_section(stage, drafted)
    if missing:
        return Report(
            outcome=Outcome.NEEDS_PERSON,
            reason="; ".join(missing),
            artifacts=artifacts,
            section=section,
        )
    if (job.words or job.findings) and all(job.written.get(a.path) == a.sha256 for a in artifacts):
        return Report(
            outcome=Outcome.CANNOT,
            reason=_nothing_new(job, drafted),
            artifacts=artifacts,
        )
    return Report(outcome=Outcome.DONE, artifacts=artifacts, section=section, log=_log(drafted))


def _nothing_new(job: Job, drafted: Sequence[Drafted]) -> str:
    asked = job.words or "; ".join(dict.fromkeys(f.statement for f in job.findings))
    origins = ", ".join(dict.fromkeys(d.facts.origin for d in drafted if d.facts))
    return (
        f"the verified facts ({origins or 'none'}) give the same files as before, so this stays "
        f"open: {asked}. Add facts with their sources to {_folder(job)}/, or edit the CSV file"
    )


def _log(drafted: Sequence[Drafted]) -> tuple[str, ...]:
    lines = []
    for one in drafted:
        if one.sheet is not None:
            rule = completeness(one.wanted.table, one.sheet.columns)
            complete = sum(1 for row in one.sheet.rows if not rule.lacking(row))
            lines.append(f"{one.wanted.path}: {len(one.sheet.rows)} rows, {complete} complete")
    return tuple(lines)

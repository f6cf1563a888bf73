"""ANALYST writes seed data from verified facts: every figure with its source, else a blank.

Facts come from the workspace (`facts/NAME.csv`, NAME being the file's or the table's) or from an
installed package; see `orchestrate_agents.seed_data.verified_facts` for their form.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents import preparing
from orchestrate_agents.render import render_markdown
from orchestrate_agents.seed_data.citations import claimed_rows, compare
from orchestrate_agents.seed_data.csv_file import Sheet, SheetRow, parse_sheet
from orchestrate_agents.seed_data.table_schema import (
    Kind,
    completeness,
    kinds,
    required_columns,
    seed_columns,
    table_for,
    words,
    workflow_tables,
)
from orchestrate_agents.seed_data.verified_facts import (
    WHOLE_ROW,
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
from orchestrator.storage import atomic
from orchestrator.storage.atomic import inside, sha256_bytes

#: incomplete rows listed by name before the rest is only counted
_MAX_LISTED = 12


@dataclass(frozen=True)
class CsvDraft:
    """A CSV file to write, and what became of it."""

    path: str
    columns: tuple[str, ...]
    table: Table | None
    #: whether the workflow's SQL suggests it and the stage does not ask for it
    extra: bool = False
    facts: Facts | None = None
    #: the content, None where there is none
    sheet: Sheet | None = None
    artifacts: tuple[Artifact, ...] = ()
    #: (row, required columns without a source)
    left_out: tuple[tuple[str, str], ...] = ()
    #: why nothing was written
    missing: str = ""


@dataclass(frozen=True)
class SeedContent:
    """The texts of a CSV file and of its sources, and the rows that could not be entered."""

    csv: str
    sources: str
    left_out: tuple[tuple[str, str], ...]


class Analyst:
    """The agent that provides seed data."""

    name = "ANALYST"

    @staticmethod
    def prepare() -> None:
        """Load what the work needs, before there is any."""
        preparing.load(*preparing.SQL)

    def work(self, job: Job) -> Report:
        """Write every CSV file of the stage; the same facts give the same files."""
        from orchestrator.workflow_reader.parser import read_workflow_text

        workflow = read_workflow_text(job.workflow_text, job.root / job.workflow)
        stage = workflow.stage(job.stage)
        files = [_write(job, file) for file in tuple(_csv_drafts(workflow, stage, job))]
        if not files:
            return Report(
                outcome=Outcome.NEEDS_PERSON,
                reason=f"{stage.label} names no CSV file: say which one, `Create data/NAME.csv`, "
                "with a block `CSV schema:` that lists its columns",
            )
        artifacts = tuple(artifact for file in files for artifact in file.artifacts)
        missing = [file.missing for file in files if file.missing]
        again = all(job.written.get(a.path) == a.sha256 for a in artifacts)
        if not missing and (job.words or job.findings) and again:
            return Report(
                outcome=Outcome.CANNOT, reason=_nothing_new(job, files), artifacts=artifacts
            )
        log = []
        for file in files if not missing else []:
            if file.sheet is not None:
                rule = completeness(file.table, file.sheet.columns)
                complete = sum(not rule.lacking(row) for row in file.sheet.rows)
                log.append(f"{file.path}: {len(file.sheet.rows)} rows, {complete} complete")
        return Report(
            outcome=Outcome.NEEDS_PERSON if missing else Outcome.DONE,
            reason="; ".join(missing),
            artifacts=artifacts,
            section=render_markdown(
                "analyst/section.md.j2", files=[_section_view(stage, file) for file in files]
            ),
            log=tuple(log),
        )


def _csv_drafts(workflow: Workflow, stage: Stage, job: Job) -> Iterator[CsvDraft]:
    """The stage's CSV deliverables, then files for further tables that there are facts for."""
    tables = workflow_tables(workflow)
    pattern: CsvDraft | None = None
    for deliverable in stage.deliverables:
        if not deliverable.path.lower().endswith(".csv"):
            continue
        listed = csv_columns(deliverable, stage)
        table = table_for(deliverable.path, tables, listed)
        columns = listed or (seed_columns(table) if table else ())
        file = CsvDraft(deliverable.path, columns, table)
        pattern = pattern or (file if table else None)
        yield file
    if pattern is None or pattern.table is None:
        return
    served = {
        table.name
        for other, d in workflow.deliverables
        if d.path.lower().endswith(".csv")
        and (table := table_for(d.path, tables, csv_columns(d, other)))
    }
    pattern_name = PurePosixPath(pattern.path).name
    named = re.search(re.escape(pattern.table.name), pattern_name, re.IGNORECASE)
    for table in tables:
        name = pattern_name
        if named:
            name = name[: named.start()] + table.name + name[named.end() :]
        path = str(PurePosixPath(pattern.path).with_name(name))
        if table.name not in served and find_facts(job.root, path, table.name, _facts_folder(job)):
            yield CsvDraft(path, seed_columns(table), table, extra=True)


def _facts_folder(job: Job) -> str:
    return str(job.settings.get("facts") or "facts")


def _nothing_new(job: Job, files: Sequence[CsvDraft]) -> str:
    asked = job.words or "; ".join(dict.fromkeys(f.statement for f in job.findings))
    origins = ", ".join(dict.fromkeys(file.facts.origin for file in files if file.facts))
    return (
        f"the verified facts ({origins or 'none'}) give the same files as before, so this stays "
        f"open: {asked}. Add facts with their sources to {_facts_folder(job)}/, or edit the CSV "
        "file"
    )


# -- writing -------------------------------------------------------------------------------------


def _write(job: Job, wanted: CsvDraft) -> CsvDraft:
    """Write the file and its sources, unless somebody else's is there."""
    path, table = wanted.path, wanted.table
    facts = find_facts(job.root, path, table.name if table else "", _facts_folder(job))
    columns = wanted.columns or (facts.sheet.columns if facts else ())
    content = draft_content(facts, columns, table) if facts and columns else None
    file = inside(job.root, path)
    held = file.read_bytes() if file.is_file() else None
    ours = content is not None and held == content.csv.encode("utf-8")
    if held is not None and not ours and sha256_bytes(held) != job.written.get(path):
        kept = tuple(
            Artifact(path=p, sha256=sha256_bytes(inside(job.root, p).read_bytes()), state="kept")
            for p in (path, sources_path(path))
            if inside(job.root, p).is_file()
        )
        return replace(wanted, facts=facts, sheet=parse_sheet(held, path), artifacts=kept)
    if content is None or content.csv.count("\n") < 2:
        missing = _what_is_missing(wanted, columns, facts, _facts_folder(job))
        if content is not None and content.left_out:
            row, blank = content.left_out[0]
            missing += f"; the first, {row}, lacks one for {blank}"
        return replace(wanted, missing=missing)
    return replace(
        wanted,
        facts=facts,
        sheet=parse_sheet(content.csv.encode("utf-8"), path),
        artifacts=(
            _write_own(job, path, content.csv),
            _write_own(job, sources_path(path), content.sources),
        ),
        left_out=content.left_out,
    )


def _write_own(job: Job, path: str, text: str) -> Artifact:
    """Write a text unless the file has it already, or is somebody else's."""
    file, data = inside(job.root, path), text.encode("utf-8")
    digest, known = sha256_bytes(data), job.written.get(path)
    if file.is_file():
        held = sha256_bytes(file.read_bytes())
        if held == digest or held != known:
            state = "written" if held == digest == known else "kept"
            return Artifact(path=path, sha256=held, state=state)
    atomic.replace(file, data)
    return Artifact(path=path, sha256=digest)


def _what_is_missing(
    wanted: CsvDraft, columns: Sequence[str], facts: Facts | None, folder: str
) -> str:
    if not columns:
        return (
            f"nothing says which columns {wanted.path} has: add a block `CSV schema:` to the "
            "stage, or SQL that creates its table"
        )
    if facts is not None:
        return f"no row of {facts.origin} has a source for every value that is required"
    name = wanted.table.name if wanted.table else PurePosixPath(wanted.path).stem
    return (
        f"no verified facts for {wanted.path} (columns {', '.join(columns)}): provide "
        f"{folder}/{name}.csv with these columns and {folder}/{name}.sources.jsonl with one line "
        f"per figure (row, column, value, source, locator, printed), or put {wanted.path} there"
    )


def draft_content(facts: Facts, columns: Sequence[str], table: Table | None) -> SeedContent:
    """The facts in the schema's columns and order. A cell without a source stays blank."""
    typed = kinds(facts.sheet, table)
    required = [c for c in (required_columns(table) if table else ()) if c in columns]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    sources: list[str] = []
    left_out: list[tuple[str, str]] = []
    for row in facts.sheet.rows:
        cells = {c: _sourced_cell(facts, row, c, typed.get(c, Kind.TEXT)) for c in columns}
        blank = [c for c in required if not cells[c]]
        if blank:
            left_out.append((row.name or f"line {row.line}", ", ".join(blank)))
            continue
        writer.writerow([cells[c] for c in columns])
        key = {k: cells[k] for k in facts.sources.key_columns if k in cells}
        if len(key) < len(facts.sources.key_columns):
            key = {c: text for c, text in cells.items() if text}
        sources.extend(
            json.dumps({**entry.to_dict(), "row": key}, ensure_ascii=False) + "\n"
            for entry in facts.sources.of_row(row)
            if entry.column == WHOLE_ROW or cells.get(entry.column)
        )
    return SeedContent(out.getvalue(), "".join(sources), tuple(left_out))


def _sourced_cell(facts: Facts, row: SheetRow, column: str, kind: Kind) -> str:
    """The cell's text if a source supports it, else ""."""
    text = row.get(column)
    if not text:
        return ""
    entries = {e.column: e for e in facts.sources.of_row(row)}
    if kind.numeric:
        return "" if evidence_problem(entries.get(column), column, text) else text
    evidence = entries.get(column) or entries.get(WHOLE_ROW)
    return text if evidence is not None and is_published(evidence.source) else ""


# -- the section ---------------------------------------------------------------------------------


def _section_view(stage: Stage, file: CsvDraft) -> Mapping[str, Any]:
    """What the ticket's section shows of a file: entered, blank, and wrong in the stage."""
    sheet = file.sheet
    if sheet is None:
        return {"path": file.path, "missing": file.missing}
    rule = completeness(file.table, sheet.columns)
    lacking = Counter(
        (_cell(r.name or "unnamed row"), why) for r in sheet.rows if (why := rule.lacking(r))
    )
    origin = f"From {file.facts.origin}." if file.facts else ""
    if any(a.path == file.path and a.state == "kept" for a in file.artifacts):
        origin = "The file was already there and is kept as it is."
    blanks = {c: len(sheet.rows) - len(sheet.filled(c)) for c in sheet.columns}
    licensed = next((c for c in sheet.columns if words(c) & {"license", "licence"}), None)
    free = next((c for c in sheet.columns if words(c) & {"usable", "free", "freely", "open"}), "")
    licenses = Counter((r.get(licensed), r.get(free)) for r in sheet.rows) if licensed else {}
    comparisons = []
    for claimed in claimed_rows(stage.text) if file.facts and not file.extra else ():
        assert file.facts is not None
        found = compare(claimed, file.facts)
        if found is None:
            continue
        said = [f"N {claimed.n}" if claimed.n else "", claimed.instrument, claimed.license]
        texts = (claimed.paper, ", ".join(filter(None, said)), found.found)
        comparisons.append([*map(_cell, texts), _cell("; ".join(found.differences)) or "none"])
    return {
        "path": file.path,
        "missing": "",
        "rows": len(sheet.rows),
        "complete": len(sheet.rows) - lacking.total(),
        "columns": len(sheet.columns),
        "origin": origin,
        "definition": rule.definition,
        "extra": file.extra,
        "incomplete": [(*key, n) for key, n in list(lacking.items())[:_MAX_LISTED]],
        "more_incomplete": sum(list(lacking.values())[_MAX_LISTED:]),
        "left_out": [(_cell(name), why) for name, why in file.left_out],
        "blanks": [f"`{c}` in {n} of {len(sheet.rows)}" for c, n in blanks.items() if n],
        "licenses": [
            (_cell(text) or "(blank)", n, usable or "(blank)")
            for (text, usable), n in licenses.items()
        ],
        "comparisons": comparisons,
    }


def _cell(text: str) -> str:
    """Text that cannot end a table cell, a line or open a heading or a tag."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()

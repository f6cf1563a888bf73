"""Check that every figure has a source, and that what vouches for it is not the work's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrate_agents.checks.data.citations import CITING, find_malformed_dois
from orchestrate_agents.checks.data.subjects import (
    SeedFile,
    judge_files,
    report_faults,
    seed_files,
    shorten,
)
from orchestrate_agents.seed_data.csv_file import Fault, SheetRow
from orchestrate_agents.seed_data.source_kinds import SourceKind, same_source, source_kind
from orchestrate_agents.seed_data.table_schema import (
    cell_faults,
    change_taken_for_endpoint,
    vocabulary,
    words,
)
from orchestrate_agents.seed_data.verified_facts import (
    Evidence,
    dois,
    evidence_problem,
    same_value,
)
from orchestrator.gates.checks import (
    Context,
    Result,
    Verdict,
    check,
    proven,
)

#: longer texts are sentences
_LONGEST_CATEGORY = 80
#: so many equal figures are not a coincidence
_FEWEST_ALIKE = 3
#: heads of what a specification lists, and of what is the writer's own
_LISTING = vocabulary("paper papers publication publications study studies article articles")
_PROSE = vocabulary("note notes comment comments remark remarks description")


@check(
    "[all] (values|numbers|figures) [are] (verified|checked|validated) against [the] "
    "[source|published|original] (papers|sources|publications|literature)",
    "(every|each) (value|number|figure) [in {path:csvfile}] is (verified|checked) against "
    "[its|the|a] [source|published] (paper|source|publication)",
    "(every|each) (value|number|figure) [in {path:csvfile}] (must cite|cites|must have|has) a "
    "[real] [published] source",
    "all (values|numbers|figures) [in {path:csvfile}] (cite|have) a [real] [published] source",
    "no (synthetic|invented|fabricated|made-up) [(or|and) (synthetic|invented|fabricated|made-up)] "
    "(data|values|numbers|figures)",
    name="csv.sourced",
    version=3,
    examples=(
        "all values verified against source papers",
        "No synthetic or invented data — every number must cite a real published source",
    ),
)
def every_figure_is_sourced(ctx: Context, path: str = "") -> Result:
    """Each figure has an entry in the sources file: a published source, a place, what it prints.

    Refuted also by a cell that is not what its entry or the verified facts hold, by a DOI that is
    not the sources', by a row with another one's figures, by a change score entered as an endpoint,
    and by any malformed cell. Unproven where only this family's own files vouch for a figure, or a
    place of no kind that `facts.sources` allows.
    """

    def conclude(file: SeedFile) -> Result:
        typed = file.kinds
        figures = sum(len(file.sheet.filled(c)) for c, kind in typed.items() if kind.numeric)
        said = f"{file.path}: {figures} figures follow from what their sources print"
        missing = _missing_publications(ctx, file, file.sheet.rows)
        extra = f"; the specification also lists {', '.join(missing)}" if missing else ""
        if doubts := list(_find_unvouched(file)):
            return replace(report_faults(file, f"{said}, but", doubts), verdict=Verdict.UNPROVEN)
        agrees = f", and agree with the {file.facts.origin}" if file.facts else ""
        return proven(said + agrees + extra, *file.subjects, missing=missing)

    def find(file: SeedFile) -> Iterator[Fault]:
        yield from _find_unsourced(file)
        if file.facts is not None:
            unknown = _missing_publications(ctx, file, file.facts.sheet.rows)
            for paper in _missing_publications(ctx, file, file.sheet.rows):
                if paper not in unknown:
                    said = f"the specification lists {paper}, the {file.facts.origin} hold it"
                    yield Fault(1, "", f"{said}, and it has no row")

    return judge_files(seed_files(ctx, path), "not supported by a source", find, conclude)


def _find_unvouched(file: SeedFile) -> Iterator[Fault]:
    """Figures for which nothing vouches but what this family wrote, or a place of no known kind."""
    numeric = [c for c, kind in file.kinds.items() if kind.numeric]
    ours = f"; {file.own_facts} is this work's own, and counts once USER approved it"
    for row in file.sheet.rows:
        verified = file.facts.row_like(row) if file.facts else None
        entries = {entry.column: entry for entry in file.sources.of_row(row)}
        held = (
            {e.column: e.source for e in file.facts.sources.of_row(verified)}
            if verified and file.facts
            else {}
        )
        if verified is None and not file.sources_count and any(row.get(c) for c in numeric):
            said = "no facts that stood before this work hold its figures"
            yield Fault(row.line, "", said + (ours if file.own_facts else ""))
        for column in filter(row.get, numeric):
            source = entries[column].source
            if column in held and same_source(source, held[column]):
                continue
            if source_kind(source, file.allowed) is not SourceKind.ALLOWED:
                said = f"{source!r} is not a kind of source that `facts.sources` allows"
                yield Fault(row.line, column, said)


def _missing_publications(ctx: Context, file: SeedFile, among: Sequence[SheetRow]) -> list[str]:
    """What the tables of the file's stage list and none of the rows names, in the list's order."""
    stages = ctx.workflow.stages if ctx.workflow else ()
    texts = [s.text for s in stages if any(d.path == file.path for d in s.deliverables)]
    rows = [" ".join(row.cells.values()).casefold() for row in among]
    missing = []
    for cell in (cell for text in texts for cell in _listed_publications(text, file.path)):
        named = re.search(
            r"([^\W\d_][\w'’-]+)(?: et al\.?,?| and [\w'’-]+)?,? ((?:19|20)\d\d)", cell
        )
        terms = named.groups() if named else re.findall(r"[\w'’-]{3,}", cell)[:1]
        if terms and not any(all(t.casefold() in row for t in terms) for row in rows):
            missing.append(cell)
    return missing


def _listed_publications(text: str, path: str) -> Iterator[str]:
    """The cells below a head like “Paper” in the table that follows the file's name."""
    at, head = -1, False
    for line in text[max(text.find(path), 0) :].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            if head:
                return
        elif not head:
            head = True
            at = next((i for i, c in enumerate(cells) if words(c) & _LISTING), -1)
        elif 0 <= at < len(cells) and re.search(r"\w", cells[at]):
            yield cells[at]


def _find_unsourced(file: SeedFile) -> Iterator[Fault]:
    if file.sources_problem:
        yield Fault(1, "", f"{file.sources.path}: {file.sources_problem}")
    if not file.sheet.rows:
        yield Fault(1, "", "there are no rows")
    malformed = list(cell_faults(file.sheet, file.table))
    yield from malformed
    yield from find_malformed_dois(file)
    yield from change_taken_for_endpoint(file.sheet)
    yield from _find_borrowed_rows(file)
    broken = {(fault.line, fault.column) for fault in malformed}
    for row in file.sheet.rows:
        for fault in _find_unsourced_cells(file, row):
            if (fault.line, fault.column) not in broken:
                yield fault


def _find_borrowed_rows(file: SeedFile) -> Iterator[Fault]:
    """Rows that are a verified one again, or have its figures under another name."""
    if file.facts is None:
        return
    numeric = [c for c, kind in file.kinds.items() if kind.numeric]
    taken: dict[int, int] = {}
    for row in file.sheet.rows:
        verified = file.facts.row_like(row)
        if verified is not None:
            first = taken.setdefault(verified.line, row.line)
            if first != row.line:
                yield Fault(row.line, "", f"its figures are those of line {first} again")
            continue
        figures = [(c, row.get(c)) for c in numeric if row.get(c)]
        for other in file.facts.sheet.rows:
            same = sum(same_value(other.get(c), figure) for c, figure in figures if other.get(c))
            if same >= _FEWEST_ALIKE and same * 2 > len(figures):
                name = next((other.get(k) for k in file.facts.sources.key_columns), "")
                yield Fault(row.line, "", f"its figures are those of {shorten(name)}")
                break


def _find_unsourced_cells(file: SeedFile, row: SheetRow) -> Iterator[Fault]:
    entries = {entry.column: entry for entry in file.sources.of_row(row)}
    known_dois = {doi for entry in entries.values() for doi in dois(entry.source)}
    verified = file.facts.row_like(row) if file.facts else None
    typed = file.kinds
    for column, text in row.cells.items():
        if not text:
            continue
        numeric = typed[column].numeric
        citing = bool(words(column) & CITING)
        problem = ""
        if numeric:
            problem = evidence_problem(entries.get(column), column, text)
        elif column in entries:
            problem = _differs(entries[column].value, text, "its source entry holds")
        if verified and not problem:
            problem = _contradicts(file, verified, column, text, numeric, citing)
        if numeric and not problem:
            problem = _of_another_source(file, verified, entries.get(column), column)
        if problem:
            yield Fault(row.line, column, problem)
        for doi in dois(text) if citing and known_dois else ():
            if doi not in known_dois:
                yield Fault(row.line, column, f"{doi} is not among the row's sources")


def _contradicts(
    file: SeedFile, verified: SheetRow, column: str, text: str, numeric: bool, citing: bool
) -> str:
    """Why the verified row speaks against a cell, "" if it does not."""
    held = verified.get(column)
    if not held:
        return "the verified facts have no figure here" if numeric else ""
    if numeric or citing or words(column) & {"license", "licence"}:
        return _differs(held, text, "the verified facts hold")
    if file.facts is None or text.lower() in ("true", "false") or words(column) & _PROSE:
        return ""
    return _find_wrong_category(file.facts.values(column), held, text)


def _of_another_source(
    file: SeedFile, verified: SheetRow | None, entry: Evidence | None, column: str
) -> str:
    """Whether a figure is said to stand where the verified facts of its row do not have it from."""
    if verified is None or entry is None or file.facts is None:
        return ""
    held = file.facts.sources.of(verified, column)
    known = {e.source for e in file.facts.sources.of_row(verified)}
    if held is None or any(same_source(entry.source, source) for source in known):
        return ""
    return f"{shorten(entry.source)} is not where the verified facts have it from: {held.source}"


def _find_wrong_category(known: frozenset[str], held: str, text: str) -> str:
    """What is wrong with a word that others look rows up by: an instrument, a drug, a condition.

    More words than the facts' are the writer's own; other words are not what was verified.
    """
    if text == held or len(text) > _LONGEST_CATEGORY:
        return ""
    if text.casefold() == held.casefold():
        return f"{text}, but it is written {held}"
    if text.casefold() in {value.casefold() for value in known}:
        return f"{text} is true of another row; the verified facts hold {shorten(held)} for this"
    if set(_terms(held)) <= set(_terms(text)):
        return ""
    return f"{shorten(text)}, but the verified facts hold {shorten(held)}"


def _terms(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _differs(held: str, text: str, who: str) -> str:
    return "" if same_value(held, text) else f"{shorten(text)}, but {who} {shorten(held)}"

"""A stage's table of papers compared with the verified rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from orchestrate_agents.seed_data.csv_file import SheetRow
from orchestrate_agents.seed_data.licenses import LicenseStatus, license_status
from orchestrate_agents.seed_data.table_schema import is_sample_size, vocabulary, words
from orchestrate_agents.seed_data.verified_facts import Facts

_MAX_CLAIMED = 500
_ROLES: Mapping[str, re.Pattern[str]] = {
    "paper": re.compile(r"papers?|stud(?:y|ies)|publications?|references?|sources?", re.IGNORECASE),
    "license": re.compile(r"licen[cs]e", re.IGNORECASE),
    "n": re.compile(r"n|sample(?: size)?|participants", re.IGNORECASE),
    "instrument": re.compile(r"instruments?|scales?|measures?", re.IGNORECASE),
}
#: words of many titles, which distinguish no paper
_COMMON = vocabulary(
    "with from trial study phase psychiatry medicine nature journal pooled effect data"
)
#: fewer shared words name no row
_LEAST_MATCH = 2.0


@dataclass(frozen=True)
class ClaimedPaper:
    """One row of the stage's table, as written."""

    paper: str
    license: str = ""
    n: str = ""
    instrument: str = ""


@dataclass(frozen=True)
class PaperComparison:
    """One claimed row and the verified one."""

    claimed: ClaimedPaper
    #: name, sample size and instrument as verified, "" if there is no such row
    found: str
    differences: tuple[str, ...]


def claimed_rows(markdown: str) -> tuple[ClaimedPaper, ...]:
    """The rows of every table in the text that has a column of papers."""
    found: list[ClaimedPaper] = []
    for header, body in _tables(markdown):
        names = [cell.strip("*` ") for cell in header]
        places = {
            role: next(i for i, name in enumerate(names) if pattern.fullmatch(name))
            for role, pattern in _ROLES.items()
            if any(map(pattern.fullmatch, names))
        }
        for cells in body[:_MAX_CLAIMED] if "paper" in places else []:
            texts = {role: cells[at] for role, at in places.items() if at < len(cells)}
            if texts.get("paper"):
                found.append(ClaimedPaper(**texts))
    return tuple(found)


def _tables(markdown: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    from markdown_it import MarkdownIt

    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level >= 3 and rows:
            rows[-1].append(token.content.strip())
        elif token.type == "table_close" and rows:
            yield rows[0], rows[1:]


def compare(claimed: ClaimedPaper, facts: Facts) -> PaperComparison:
    """Find the verified row that a claimed one means, and say where they differ."""
    scored = [(_likeness(claimed, row), -i) for i, row in enumerate(facts.sheet.rows)]
    best, place = max(scored, default=(0.0, 0))
    if best < _LEAST_MATCH:
        return PaperComparison(claimed, "", ("no verified row for this paper",))
    row = facts.sheet.rows[-place]
    n = _count(_cell(row, is_sample_size))
    instrument = _cell(row, lambda column: bool(words(column) & {"instrument", "scale"}))
    held = license_status(_cell(row, lambda column: bool(words(column) & {"license", "licence"})))
    differences = [_n_difference(claimed, row, facts)]
    said = [s for s in re.split(r"\s*/\s*|\s*,\s*", claimed.instrument) if s]
    same = any(s.split("(")[0].strip().lower() in instrument.lower() for s in said)
    if instrument and said and not same:
        differences.append(f"instrument {claimed.instrument} is not the verified {instrument}")
    if claimed.license and held is not LicenseStatus.OPEN:
        differences.append(f"license {claimed.license} is not verified ({held.value})")
    parts = [next(iter(row.cells.values()), ""), f"n {n:,}" if n is not None else "", instrument]
    found = "; ".join(part for part in parts if part)
    return PaperComparison(claimed, found, tuple(filter(None, differences)))


def _likeness(claimed: ClaimedPaper, row: SheetRow) -> float:
    text = _folded(" ".join(row.cells.values()))
    name = _folded(next(iter(row.cells.values()), ""))
    terms = {t for t in re.findall(r"\w{4,}", _folded(claimed.paper)) if t not in _COMMON}
    score = sum(1.0 + 0.5 * (t in name) for t in terms if re.search(rf"\b{re.escape(t)}\b", text))
    number = _count(claimed.n)
    same_n = number is not None and number == _count(_cell(row, is_sample_size))
    return score + (1.5 if same_n and score else 0.0)


def _folded(text: str) -> str:
    return re.sub(r"[^\w]+", " ", text.lower())


def _cell(row: SheetRow, wanted: Callable[[str], bool]) -> str:
    return next((text for column, text in row.cells.items() if wanted(column) and text), "")


def _count(text: str) -> int | None:
    digits = text.replace(",", "").strip()
    return int(digits) if re.fullmatch(r"\d{1,12}", digits, re.ASCII) else None


def _n_difference(claimed: ClaimedPaper, row: SheetRow, facts: Facts) -> str:
    said, held = _count(claimed.n), _count(_cell(row, is_sample_size))
    if said is None or held is None or said == held:
        return ""
    texts = [*row.cells.values(), *(e.printed for e in facts.sources.of_row(row))]
    if said in {_count(found) for text in texts for found in re.findall(r"\d[\d,]*", text)}:
        return f"the source has N {said:,}, the row holds {held:,} (see its notes)"
    return f"N {said:,} is not supported by any verified source; verified is {held:,}"

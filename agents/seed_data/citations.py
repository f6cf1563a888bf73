"""A stage's table of papers beside the verified rows: what agrees and what does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from orchestrate_agents.seed_data.csv_file import Row
from orchestrate_agents.seed_data.licenses import Standing, standing
from orchestrate_agents.seed_data.table_schema import is_sample_size, vocabulary, words
from orchestrate_agents.seed_data.verified_facts import Facts

_MAX_CLAIMED = 500
_ROLES: Mapping[str, re.Pattern[str]] = {
    "paper": re.compile(r"papers?|stud(?:y|ies)|publications?|references?|sources?", re.IGNORECASE),
    "licence": re.compile(r"licen[cs]e", re.IGNORECASE),
    "n": re.compile(r"n|sample(?: size)?|participants", re.IGNORECASE),
    "instrument": re.compile(r"instruments?|scales?|measures?", re.IGNORECASE),
}
#: words that stand in many titles and tell no paper from another
_COMMON = vocabulary(
    "with from trial study phase psychiatry medicine nature journal pooled effect data"
)
#: fewer shared words name no row
_LEAST_MATCH = 2.0


@dataclass(frozen=True)
class Claimed:
    """One row of the stage's table, as written."""

    paper: str
    licence: str = ""
    n: str = ""
    instrument: str = ""


@dataclass(frozen=True)
class Comparison:
    """One claimed row beside the verified one (None if there is none)."""

    claimed: Claimed
    verified: Row | None
    #: name, sample size and instrument as verified, for a reader
    found: str
    differences: tuple[str, ...]


def claimed_rows(markdown: str) -> tuple[Claimed, ...]:
    """The rows of every table in the text that has a column of papers."""
    found: list[Claimed] = []
    for header, body in _tables(markdown):
        places = _places(header)
        if "paper" not in places:
            continue
        for cells in body[:_MAX_CLAIMED]:
            texts = {role: cells[at] for role, at in places.items() if at < len(cells)}
            if texts.get("paper"):
                found.append(Claimed(**texts))
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


def _places(header: list[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for role, pattern in _ROLES.items():
        fitting = [i for i, cell in enumerate(header) if pattern.fullmatch(cell.strip("*` "))]
        if fitting:
            places[role] = fitting[0]
    return places


def compare(claimed: Claimed, facts: Facts) -> Comparison:
    """Find the verified row that a claimed one means, and say where they differ."""
    scored = [(_likeness(claimed, row), -i) for i, row in enumerate(facts.sheet.rows)]
    best, place = max(scored, default=(0.0, 0))
    if best < _LEAST_MATCH:
        return Comparison(claimed, None, "", ("no verified row for this paper",))
    row = facts.sheet.rows[-place]
    found = (_n(claimed, row, facts), _instrument(claimed, row), _licence(claimed, row))
    differences = tuple(difference for difference in found if difference)
    return Comparison(claimed, row, _summary(row), differences)


def _likeness(claimed: Claimed, row: Row) -> float:
    text = _folded(" ".join(row.cells.values()))
    name = _folded(next(iter(row.cells.values()), ""))
    terms = {t for t in re.findall(r"\w{4,}", _folded(claimed.paper)) if t not in _COMMON}
    score = sum(1.0 + 0.5 * (t in name) for t in terms if re.search(rf"\b{re.escape(t)}\b", text))
    number = _count(claimed.n)
    same_n = number is not None and number == _count(_cell(row, is_sample_size))
    return score + (1.5 if same_n and score else 0.0)


def _folded(text: str) -> str:
    return re.sub(r"[^\w]+", " ", text.lower())


def _cell(row: Row, wanted: Callable[[str], bool]) -> str:
    return next((text for column, text in row.cells.items() if wanted(column) and text), "")


def _named(*names: str) -> Callable[[str], bool]:
    return lambda column: bool(words(column) & set(names))


def _count(text: str) -> int | None:
    digits = text.replace(",", "").strip()
    return int(digits) if re.fullmatch(r"\d{1,12}", digits, re.ASCII) else None


def _n(claimed: Claimed, row: Row, facts: Facts) -> str:
    said, held = _count(claimed.n), _count(_cell(row, is_sample_size))
    if said is None or held is None or said == held:
        return ""
    if said in _mentioned(row, facts):
        return f"N {said:,} stands in the source, the row holds {held:,} (see its notes)"
    return f"N {said:,} is not supported by any verified source; verified is {held:,}"


def _mentioned(row: Row, facts: Facts) -> set[int | None]:
    texts = [*row.cells.values(), *(e.printed for e in facts.sources.of_row(row))]
    return {_count(found) for text in texts for found in re.findall(r"\d[\d,]*", text)}


def _instrument(claimed: Claimed, row: Row) -> str:
    held = _cell(row, _named("instrument", "scale"))
    said = [s for s in re.split(r"\s*/\s*|\s*,\s*", claimed.instrument) if s]
    if not held or not said or any(s.split("(")[0].strip().lower() in held.lower() for s in said):
        return ""
    return f"instrument {claimed.instrument} is not the verified {held}"


def _licence(claimed: Claimed, row: Row) -> str:
    held = standing(_cell(row, _named("license", "licence")))
    if not claimed.licence or held is Standing.OPEN:
        return ""
    return f"licence {claimed.licence} is not verified ({held.value})"


def _summary(row: Row) -> str:
    n = _count(_cell(row, is_sample_size))
    parts = [next(iter(row.cells.values()), ""), f"n {n:,}" if n is not None else ""]
    return "; ".join(p for p in (*parts, _cell(row, _named("instrument", "scale"))) if p)

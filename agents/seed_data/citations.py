"""A stage's table of papers compared with the verified rows.

A paper is known by its first author and its year, both in a column that names the source. Where
that does not lead to exactly one row, nothing is said: a wrong comparison is worse than none.
"""

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
#: words in the names of columns that say where a row comes from
_SOURCES = vocabulary("citation reference publication paper study source")
#: `Mitchell 2021`, `Mitchell JM, et al. (2021)`, `Goodwin and Vane, 2022`
_PAPER = re.compile(
    r"(?P<author>[^\W\d_][\w'’-]+)(?:\s+[A-Z]{1,3})?"
    r"(?:,?\s+et\s+al\.?|\s+(?:and|&)\s+[^\W\d_][\w'’-]+)?"
    r"[,.]?\s*\(?\b(?P<year>(?:19|20)\d\d)(?![\d-])"
)
_DOI = re.compile(r"\bdoi:?\s*\S+|\b10\.\d{4,}/\S+|https?://\S+", re.IGNORECASE)


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
    #: name, sample size and instrument as verified
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


def compare(claimed: ClaimedPaper, facts: Facts) -> PaperComparison | None:
    """The verified row of a claimed paper, and where they differ; None if no row surely is it."""
    rows = _rows_of(claimed.paper, facts)
    if len(rows) != 1:
        return None
    (row,) = rows
    n = _count(_cell(row, is_sample_size))
    instrument = _cell(row, lambda column: bool(words(column) & {"instrument", "scale"}))
    differences = [_n_difference(claimed, row, facts)]
    said = [s for s in re.split(r"\s*/\s*|\s*,\s*", claimed.instrument) if s]
    same = any(s.split("(")[0].strip().lower() in instrument.lower() for s in said)
    if instrument and said and not same:
        differences.append(f"instrument {claimed.instrument} is not the verified {instrument}")
    held = _cell(row, lambda column: bool(words(column) & {"license", "licence"}))
    differences.append(_license_difference(claimed.license, held))
    parts = [next(iter(row.cells.values()), ""), f"n {n:,}" if n is not None else "", instrument]
    found = "; ".join(part for part in parts if part)
    return PaperComparison(claimed, found, tuple(filter(None, differences)))


def _rows_of(paper: str, facts: Facts) -> list[SheetRow]:
    """The rows whose source begins with the paper's first author and has its year."""
    named = _PAPER.search(paper)
    columns = [c for c in facts.sheet.columns if words(c) & _SOURCES]
    if named is None or not columns:
        return []
    author = re.compile(rf"{re.escape(named['author'])}(?![\w-])", re.IGNORECASE)
    year = re.compile(rf"(?<![\d.:-]){named['year']}(?![\d-])")

    def names_it(text: str) -> bool:
        return author.match(text) is not None and year.search(_DOI.sub("", text)) is not None

    return [row for row in facts.sheet.rows if any(names_it(row.get(c)) for c in columns)]


def _license_difference(claimed: str, held: str) -> str:
    """A license that is claimed and not verified, or a doubt that is none."""
    if not claimed:
        return ""
    status = license_status(held)
    if license_status(claimed) is LicenseStatus.DOUBTFUL:
        return f"license {claimed}; verified is {held}" if status is LicenseStatus.OPEN else ""
    if status is LicenseStatus.OPEN:
        return ""
    return f"license {claimed} is not verified ({status.value})"


def _cell(row: SheetRow, wanted: Callable[[str], bool]) -> str:
    return next((text for column, text in row.cells.items() if wanted(column) and text), "")


def _count(text: str) -> int | None:
    digits = text.replace(",", "").strip()
    return int(digits) if re.fullmatch(r"\d{1,12}", digits, re.ASCII) else None


def _n_difference(claimed: ClaimedPaper, row: SheetRow, facts: Facts) -> str:
    said, held = _count(claimed.n), _count(_cell(row, is_sample_size))
    if said is None or held is None or said == held:
        return ""
    number = f"(?:{said}|{said:,})"
    people = "participants|patients|subjects|people|adults|volunteers|respondents|randomi[sz]ed"
    group = rf"\b(?:n\s*[=:]?|of)\s*{number}(?![\d,.]*\d)"
    counts = re.compile(rf"{group}|(?<![\d.,]){number}\s+(?:{people})", re.IGNORECASE)
    texts = [*row.cells.values(), *(e.printed for e in facts.sources.of_row(row))]
    if any(counts.search(text) for text in texts):
        return f"the source has N {said:,}, the row holds {held:,} (see its notes)"
    return f"N {said:,} is not supported by any verified source; verified is {held:,}"

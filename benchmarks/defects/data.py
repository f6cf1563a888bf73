"""Defects and harmless changes of the seed data and its sources."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

from defects import Site, defect, harmless

COHORTS = "backend/data/benchmark_cohorts_seed.csv"
BASELINES = "backend/data/population_baselines_seed.csv"
SOURCES = "backend/data/benchmark_cohorts_seed.sources.jsonl"

Rows = list[list[str]]


def _rows(text: str) -> Rows:
    return list(csv.reader(io.StringIO(text)))


def _text(rows: Rows, **style: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", **style).writerows(rows)
    return out.getvalue()


def _change(site: Site, change: Callable[[Rows], object], path: str = COHORTS) -> None:
    """Change the rows; the header is the first."""

    def edit(text: str) -> str:
        rows = _rows(text)
        change(rows)
        return _text(rows)

    site.edit(path, edit)


def _cell(
    name: str, column: str, value: str, line: int = 1, path: str = COHORTS, board: int = 0
) -> None:
    """A defect of one cell."""

    def change(site: Site) -> None:
        def put(rows: Rows) -> None:
            rows[line][rows[0].index(column)] = value

        _change(site, put, path)

    defect(f"data.{name}", board)(change)


# -- the table's form --------------------------------------------------------------------------


@defect("data.column-missing")
def column_missing(site: Site) -> None:
    """A column of the table is not in the file."""

    def change(rows: Rows) -> None:
        at = rows[0].index("followup_weeks")
        for row in rows:
            del row[at]

    _change(site, change)


@defect("data.column-renamed")
def column_renamed(site: Site) -> None:
    """A header is spelt otherwise."""
    site.replace(COHORTS, "n_participants", "participants", 1)


@defect("data.columns-swapped-in-the-header")
def columns_swapped(site: Site) -> None:
    """Two headers change places, the values do not."""
    site.replace(COHORTS, "baseline_mean,baseline_sd", "baseline_sd,baseline_mean", 1)


@defect("data.column-twice")
def column_twice(site: Site) -> None:
    """Two columns have one name."""
    site.replace(COHORTS, "setting,", "country,", 1)


@defect("data.extra-column")
def extra_column(site: Site) -> None:
    """A column that the table does not have."""

    def change(rows: Rows) -> None:
        for number, row in enumerate(rows):
            row.append("checked_by" if number == 0 else "nobody")

    _change(site, change)


@defect("data.eighteen-of-twenty-cells", board=3)
def eighteen_cells(site: Site) -> None:
    """A row lacks two cells, so that its values stand in other columns."""

    def change(rows: Rows) -> None:
        at = rows[0].index("baseline_sd")
        rows[2] = rows[2][:at] + rows[2][at + 2 :]

    _change(site, change)


@defect("data.one-cell-too-many")
def one_cell_too_many(site: Site) -> None:
    """A comma that is not quoted."""
    _change(site, lambda rows: rows[2].insert(3, ""))


@defect("data.semicolons")
def semicolons(site: Site) -> None:
    """Another delimiter."""
    site.edit(COHORTS, lambda text: _text(_rows(text), delimiter=";"))


@defect("data.quote-not-closed")
def quote_not_closed(site: Site) -> None:
    """The last row has no end."""
    site.append(COHORTS, '"open,')


@defect("data.wrong-encoding")
def wrong_encoding(site: Site) -> None:
    """Bytes that are not UTF-8."""
    file = site.root / COHORTS
    file.write_bytes(file.read_bytes().replace(b"Mitchell", b"Mitch\xe9ll", 1))


@defect("data.header-only")
def header_only(site: Site) -> None:
    """No rows."""
    site.edit(COHORTS, lambda text: text.split("\n")[0] + "\n")


@defect("data.empty")
def empty(site: Site) -> None:
    """Nothing in it."""
    site.edit(BASELINES, lambda text: "")


@defect("data.too-few-rows")
def too_few_rows(site: Site) -> None:
    """Seven where eight are demanded."""
    _change(site, lambda rows: rows.__delitem__(slice(8, None)))


@defect("data.row-twice")
def row_twice(site: Site) -> None:
    """The same row again."""
    _change(site, lambda rows: rows.append(list(rows[1])))


@defect("data.same-key-other-figures")
def same_key(site: Site) -> None:
    """Two rows of one cohort that contradict each other."""

    def change(rows: Rows) -> None:
        again = list(rows[1])
        again[rows[0].index("endpoint_mean")] = "25.0"
        rows.append(again)

    _change(site, change)


@defect("data.file-missing")
def file_missing(site: Site) -> None:
    """The file is gone."""
    (site.root / BASELINES).unlink()


@defect("data.link-in-place-of-a-file")
def link(site: Site) -> None:
    """A link to somewhere else."""
    file = site.root / BASELINES
    file.unlink()
    file.symlink_to("/etc/hostname")


# -- cells -------------------------------------------------------------------------------------

for _name, _value in (
    ("blank", ""), ("one-space", " "), ("non-breaking-space", "\u00a0"), ("zero-width", "\u200b"),
    ("dash", "—"), ("to-be-done", "TBD"), ("not-available", "N/A"), ("null", "null"), ("word", "see paper"),
    ("nobody", "Various authors"),
):  # fmt: skip
    _cell(f"citation-{_name}", "source_citation", _value)
_cell(
    "citation-doi-malformed", "source_citation", "Mitchell JM. Nat Med. 2021. doi:10.1038", board=14
)
_cell("citation-doi-of-another-paper", "source_citation",
      "Mitchell JM et al. Nat Med. 2021;27:1025. doi:10.1056/NEJMoa2206443", board=14)  # fmt: skip
_cell("condition-blank", "condition", "")
_cell("instrument-blank", "instrument", "")
_cell("participants-blank", "n_participants", "")
_cell("participants-zero", "n_participants", "0")
_cell("participants-negative", "n_participants", "-90")
_cell("participants-a-fraction", "n_participants", "90.5")
_cell("participants-in-words", "n_participants", "ninety")
_cell("participants-about", "n_participants", "~90")
_cell("participants-of-another-study", "n_participants", "104", board=14)
_cell("percent-over-hundred", "response_rate_pct", "871")
_cell("percent-negative", "response_rate_pct", "-88.1")
_cell("percent-with-its-sign", "response_rate_pct", "88.1%")
_cell("percent-as-a-fraction", "response_rate_pct", "0.881")
_cell("percent-of-another-outcome", "response_rate_pct", "67", board=14)
_cell("decimal-comma", "baseline_mean", "44,0")
_cell("number-with-words", "baseline_mean", "44.0 points")
_cell("not-a-number", "baseline_mean", "NaN")
_cell("infinite", "baseline_mean", "Infinity")
_cell("figure-changed-by-a-tenth", "baseline_mean", "44.1")
_cell("digits-transposed", "endpoint_mean", "16.9")
_cell("spread-negative", "endpoint_sd", "-13.61")
_cell("change-score-for-endpoint", "endpoint_mean", "-24.4")
_cell("change-score-without-its-sign", "endpoint_mean", "24.4")
_cell("effect-size-sign", "effect_size_hedges_g", "0.77")
_cell("effect-size-of-a-wrong-kind", "effect_size_hedges_g", "-0.91")
_cell("weeks-in-months", "followup_weeks", "4.5")
_cell("invented-in-a-blank-cell", "adverse_event_rate_pct", "12.0", board=16)
_cell("boolean-in-words", "data_freely_usable", "yes, as far as I know", board=3)
_cell("boolean-one", "data_freely_usable", "2")
_cell("free-without-a-licence", "license", "", board=14)
_cell("free-under-no-derivatives", "license", "CC BY-NC-ND 4.0")
_cell("free-though-paywalled", "data_freely_usable", "true", line=2, board=14)
_cell("licence-unread", "license", "probably open")
_cell("cohort-renamed", "cohort_name", "Another trial (Nobody 2020)")
_cell("year-in-the-future", "year", "2107", path=BASELINES)
_cell("year-in-words", "year", "FY17", path=BASELINES)
_cell("count-with-separators", "n_episodes", "1.962.371", path=BASELINES)
_cell("count-changed", "n_episodes", "1962372", path=BASELINES)
_cell("female-over-hundred", "pct_female", "355", path=BASELINES)
_cell("region-blank", "region", "", path=BASELINES)
_cell("source-blank", "source", " ", path=BASELINES)


@defect("data.endpoint-and-baseline-swapped")
def swapped(site: Site) -> None:
    """Means in each other's place."""

    def change(rows: Rows) -> None:
        one, two = rows[0].index("baseline_mean"), rows[0].index("endpoint_mean")
        rows[1][one], rows[1][two] = rows[1][two], rows[1][one]

    _change(site, change)


@defect("data.rows-exchange-their-figures")
def exchanged(site: Site) -> None:
    """Two studies have each other's endpoint."""

    def change(rows: Rows) -> None:
        at = rows[0].index("endpoint_mean")
        rows[1][at], rows[2][at] = rows[2][at], rows[1][at]

    _change(site, change)


@defect("data.invented-row")
def invented_row(site: Site) -> None:
    """A study that no source has."""

    def change(rows: Rows) -> None:
        row = list(rows[1])
        row[0] = "Invented trial, MDMA arm (Doe 2022)"
        row[1] = "Doe J. A trial. J Psychedelic Stud. 2022;1:1-9. doi:10.1556/2054.2022.00001"
        rows.append(row)

    _change(site, change)


# -- sources -----------------------------------------------------------------------------------


def _entries(site: Site, change: Callable[[list[dict[str, Any]]], object]) -> None:
    def edit(text: str) -> str:
        entries = [json.loads(line) for line in text.splitlines()]
        change(entries)
        return "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in entries)

    site.edit(SOURCES, edit)


def _first(entries: list[dict[str, Any]], column: str) -> dict[str, Any]:
    return next(e for e in entries if e["column"] == column)


@defect("data.sources-missing")
def sources_missing(site: Site) -> None:
    """No file says where a figure stands."""
    (site.root / SOURCES).unlink()


@defect("data.sources-not-json")
def sources_not_json(site: Site) -> None:
    """A line that nobody can read."""
    site.append(SOURCES, "see the papers\n")


@defect("data.source-of-one-figure-missing")
def one_source_missing(site: Site) -> None:
    """A cell without a source."""
    _entries(site, lambda entries: entries.remove(_first(entries, "endpoint_mean")))


@defect("data.source-prints-another-figure")
def prints_another(site: Site) -> None:
    """The quoted words do not contain the figure."""
    _entries(site, lambda entries: _first(entries, "endpoint_mean").update(printed="21.3"))


@defect("data.source-prints-nothing")
def prints_nothing(site: Site) -> None:
    """The figure is quoted from nowhere."""
    _entries(site, lambda entries: _first(entries, "baseline_mean").update(printed=""))


@defect("data.source-without-a-place")
def without_place(site: Site) -> None:
    """Nobody can find it in the paper."""
    _entries(site, lambda entries: _first(entries, "baseline_mean").update(locator=" "))


@defect("data.source-unpublished")
def unpublished(site: Site) -> None:
    """A source that no reader has."""
    _entries(
        site, lambda entries: _first(entries, "baseline_mean").update(source="personal estimate")
    )


@defect("data.figure-and-source-changed-together")
def changed_together(site: Site) -> None:
    """An invented figure with an invented quotation."""

    def put(rows: Rows) -> None:
        rows[1][rows[0].index("baseline_mean")] = "51.0"

    _change(site, put)
    _entries(
        site,
        lambda entries: _first(entries, "baseline_mean").update(
            value="51.0", printed="51.0 (6.01)"
        ),
    )


# -- privacy -----------------------------------------------------------------------------------

for _name, _value in (
    ("e-mail", "contact jane.roe@clinic.example.org"),
    ("e-mail-disguised", "contact jane.roe (at) clinic-berlin (dot) de"),
    ("telephone", "patient reached at +1 (415) 555-2671"),
    ("record-number", "MRN 00482913 had a relapse"),
    ("social-security-number", "SSN 078-05-1120"),
    ("birth-date", "patient 12, DOB 1984-03-07, withdrew"),
    ("patient-name", "patient name: Jane Roe, withdrew in week 3"),
):  # fmt: skip
    _cell(f"notes-with-{_name}", "notes", _value)


@defect("data.column-of-patient-names")
def patient_names(site: Site) -> None:
    """Another column, of persons."""

    def change(rows: Rows) -> None:
        for number, row in enumerate(rows):
            row.append("patient_name" if number == 0 else "Jane Roe")

    _change(site, change)


@defect("data.key-in-a-cell")
def key_in_a_cell(site: Site) -> None:
    """A secret among the notes."""

    def put(rows: Rows) -> None:
        rows[1][rows[0].index("notes")] = "loaded with sb_secret_9dQ2mXw7Lr4TzVb8KpYc3N_a1B2c3D4"

    _change(site, put)


# -- what harms nothing ------------------------------------------------------------------------


@harmless("data.rows-in-another-order")
def other_order(site: Site) -> None:
    """Order says nothing."""
    _change(site, lambda rows: rows.__setitem__(slice(1, None), rows[:0:-1]))


@harmless("data.everything-quoted")
def everything_quoted(site: Site) -> None:
    """Quotes around each cell."""
    site.edit(COHORTS, lambda text: _text(_rows(text), quoting=csv.QUOTE_ALL))


@harmless("data.windows-line-ends")
def windows_line_ends(site: Site) -> None:
    """CRLF, as the format's own standard has it."""
    site.edit(COHORTS, lambda text: text.replace("\n", "\r\n"))


@harmless("data.byte-order-mark")
def byte_order_mark(site: Site) -> None:
    """As a spreadsheet writes it."""
    site.edit(COHORTS, lambda text: "\ufeff" + text)


@harmless("data.blank-line-at-the-end")
def blank_line(site: Site) -> None:
    """One more line end."""
    site.append(COHORTS, "\n")


@harmless("data.same-number-otherwise-spelt")
def other_spelling(site: Site) -> None:
    """44 is 44.0."""

    def put(rows: Rows) -> None:
        rows[1][rows[0].index("baseline_mean")] = "44"

    _change(site, put)


@harmless("data.capital-booleans")
def capital_booleans(site: Site) -> None:
    """TRUE and FALSE."""

    def put(rows: Rows) -> None:
        at = rows[0].index("data_freely_usable")
        for row in rows[1:]:
            row[at] = row[at].upper()

    _change(site, put)


@harmless("data.longer-note")
def longer_note(site: Site) -> None:
    """More words of a person, with dates, ids and figures in them."""

    def put(rows: Rows) -> None:
        at = rows[0].index("notes")
        rows[1][at] += (
            " See NCT03537014; published 2021-05-10; 90 randomised; doi:10.1038/s41591-021-01336-3."
        )

    _change(site, put)


@harmless("data.sources-in-another-order")
def sources_order(site: Site) -> None:
    """Order says nothing there either."""
    site.edit(SOURCES, lambda text: "\n".join(reversed(text.strip().split("\n"))) + "\n")


@harmless("data.sources-with-other-spaces")
def sources_spaces(site: Site) -> None:
    """JSON without spaces."""
    site.edit(
        SOURCES,
        lambda text: "".join(
            json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False) + "\n"
            for line in re.split(r"\n", text.strip())
        ),
    )

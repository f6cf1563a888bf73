"""Figures that look sourced, and are not: facts and sources that the maker wrote, other rows' figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from defects import Site, defect, harmless
from defects.data import BASELINES, COHORTS, SOURCES, _cell, _change, _entries, _first

Row = dict[str, str]


def _rows(site: Site, change: Callable[[Row], object], line: int = 1, path: str = COHORTS) -> None:
    """Change a row by its columns' names."""

    def put(rows: list[list[str]]) -> None:
        row = dict(zip(rows[0], rows[line], strict=True))
        change(row)
        rows[line] = list(row.values())

    _change(site, put, path)


def _own_facts(site: Site, folder: str = "facts") -> None:
    """Facts that this work wrote: the seed files as they are now."""
    for path in (COHORTS, BASELINES):
        for old, new in (("_seed.csv", ".csv"), ("_seed.csv", ".sources.jsonl")):
            source = path if new == ".csv" else path.replace(".csv", ".sources.jsonl")
            name = path.rpartition("/")[2].replace(old, new)
            site.write(f"{folder}/{name}", site.read(source))


_EXTRA_SOURCE = {"source": "doi:10.1001/jamapsychiatry.2022.1111", "locator": "Table 2"}


def _invented(site: Site) -> None:
    name = "Made-up trial (Doe 2022)"

    def add(rows: list[list[str]]) -> None:
        row = dict(zip(rows[0], rows[1], strict=True))
        row |= {
            "cohort_name": name,
            "source_citation": "Doe J. A trial. JAMA Psychiatry. 2022;79:1. doi:10.1001/jamapsychiatry.2022.1111",
        }
        rows.append(list(row.values()))

    _change(site, add)

    def entries(known: list[dict[str, Any]]) -> None:
        first = known[0]["row"]
        for entry in [e for e in known if e["row"] == first]:
            known.append({**entry, "row": {"cohort_name": name}, **_EXTRA_SOURCE})

    _entries(site, entries)


# -- facts that the maker wrote ----------------------------------------------------------------


@defect("sourcing.own-facts-agree-with-an-invented-row")
def own_invented(site: Site) -> None:
    """The row, its source and the facts are all of this work."""
    _invented(site)
    _own_facts(site)


@defect("sourcing.invented-row-with-a-full-source")
def full_source(site: Site) -> None:
    """Each cell has a source that looks right, and no facts know it."""
    _invented(site)


@defect("sourcing.own-facts-outrank-the-packaged")
def own_outrank(site: Site) -> None:
    """A figure of the packaged facts is changed by facts of this work."""
    _rows(site, lambda row: row.update(endpoint_mean="12.0"))
    _entries(
        site,
        lambda known: _first(known, "endpoint_mean").update(value="12.0", printed="12.0 (13.61)"),
    )
    _own_facts(site)


@defect("sourcing.own-facts-in-a-folder-of-the-data")
def own_elsewhere(site: Site) -> None:
    """The same, in a folder beside the data."""
    _rows(site, lambda row: row.update(endpoint_mean="12.0"))
    _entries(
        site,
        lambda known: _first(known, "endpoint_mean").update(value="12.0", printed="12.0 (13.61)"),
    )
    _own_facts(site, "backend/data/facts")
    _own_facts(site, "backend/trials/facts")


@defect("sourcing.own-licence-in-own-facts")
def own_licence(site: Site) -> None:
    """A paper that is not open becomes free by facts of this work."""
    _rows(site, lambda row: row.update(data_freely_usable="true", license="CC BY 4.0"), 3)
    _own_facts(site)


@defect("sourcing.blank-filled-by-own-facts")
def blank_filled(site: Site) -> None:
    """A cell without a verified figure is filled, with a source of this work."""
    _rows(site, lambda row: row.update(adverse_event_rate_pct="11.1"))

    def add(known: list[dict[str, Any]]) -> None:
        entry = dict(_first(known, "endpoint_mean"))
        known.append(
            entry | {"column": "adverse_event_rate_pct", "value": "11.1", "printed": "11.1%"}
        )

    _entries(site, add)
    _own_facts(site)


# -- sources of a kind that proves nothing -----------------------------------------------------

_SOURCES = {
    "a-chat": "https://chatgpt.com/share/6712ab34-aaaa-bbbb-cccc-1234567890ab",
    "another-chat": "https://claude.ai/share/6712ab34-aaaa",
    "an-example-domain": "https://example.com/papers/mapp1",
    "a-search-page": "https://www.google.com/search?q=MAPP1+CAPS-5+44.0",
    "a-scholar-search": "https://scholar.google.com/scholar?q=mapp1",
    "a-registry-search": "https://pubmed.ncbi.nlm.nih.gov/?term=mdma+ptsd",
    "this-machine": "http://localhost:3000/paper",
    "a-file": "file:///home/me/mapp1.pdf",
    "a-short-link": "https://bit.ly/3abcd",
    "a-message": "personal communication, Mitchell, May 2021",
    "a-doi-like-host": "https://doi.org.papers.example.net/10.1038/s41591-021-01336-3",
    "a-doi-in-a-query": "https://paste.example.org/?x=doi:10.1038/s41591-021-01336-3",
    "another-paper": "doi:10.1056/NEJMoa2206443",
    "a-doi-with-words": "doi:10.1038/s41591-021-01336-3 or so, from memory",
    "a-registry-number-too-short": "NCT0353",
    "a-pad": "https://docs.google.com/document/d/1abc/edit",
    "a-forum": "https://www.reddit.com/r/psychedelics/comments/abc",
    "an-encyclopedia": "https://en.wikipedia.org/wiki/MDMA-assisted_psychotherapy",
}  # fmt: skip


def _register_sources() -> None:
    for name, source in _SOURCES.items():

        def change(site: Site, source: str = source) -> None:
            _entries(site, lambda known: _first(known, "baseline_mean").update(source=source))

        defect(f"sourcing.source-is-{name}")(change)


_register_sources()


@defect("sourcing.every-source-is-a-chat")
def all_chats(site: Site) -> None:
    """The whole file leads to one talk."""
    _entries(
        site,
        lambda known: [
            e.update(source="https://chatgpt.com/share/6712ab34-aaaa-bbbb-cccc-1234567890ab")
            for e in known
        ],
    )


# -- a right figure in a wrong place -----------------------------------------------------------

for _column, _name, _value in (
    ("instrument", "under-another-instrument", "MADRS"),
    ("instrument", "under-a-version-of-the-instrument", "CAPS-IV"),
    ("condition", "under-another-condition", "MDD"),
    ("modality", "under-another-drug", "psilocybin"),
    ("country", "of-another-country", "Germany"),
    ("setting", "of-another-setting", "naturalistic"),
    ("followup_weeks", "at-another-time", "8"),
    ("followup_weeks", "time-in-days", "126"),
    ("n_participants", "of-one-arm", "46"),
    ("cohort_name", "of-the-other-arm", "MAPP1 Phase 3, placebo arm (Mitchell 2021)"),
    ("response_rate_pct", "as-a-share", "0.881"),
    ("response_rate_pct", "ten-times-too-large", "881"),
    ("remission_rate_pct", "of-loss-of-diagnosis", "67"),
    ("baseline_mean", "of-another-time", "19.6"),
    ("endpoint_sd", "of-the-baseline", "6.01"),
    ("source_citation", "of-another-year",
     "Mitchell JM, Bogenschutz M, et al. Nat Med. 2023;27:1025-1033. doi:10.1038/s41591-021-01336-3"),
    ("license", "opened", "CC0 1.0"),
):  # fmt: skip
    _cell(f"figure-{_name}", _column, _value)
_cell("admissions-of-another-year", "year", "2019", path=BASELINES)
_cell("admissions-of-another-substance", "substance", "heroin", path=BASELINES)
_cell("admissions-in-thousands", "n_episodes", "1962", path=BASELINES)
_cell("admissions-share-of-men", "pct_female", "64.5", path=BASELINES)


@defect("sourcing.instruments-of-two-rows-exchanged")
def instruments(site: Site) -> None:
    """Two instruments in each other's place."""

    def change(rows: list[list[str]]) -> None:
        at = rows[0].index("instrument")
        rows[1][at], rows[3][at] = rows[3][at], rows[1][at]

    _change(site, change)


@defect("sourcing.renamed-with-its-sources")
def renamed(site: Site) -> None:
    """The figures of the drug's arm under the name of the other, in the file and in the sources."""
    old, new = "MAPP1 Phase 3, MDMA arm", "MAPP1 Phase 3, placebo arm"
    site.replace(COHORTS, old, new)
    site.replace(SOURCES, old, new)


@defect("sourcing.copied-under-another-instrument")
def copied(site: Site) -> None:
    """A second row, with the same figures on another scale."""

    def change(rows: list[list[str]]) -> None:
        row = dict(zip(rows[0], rows[1], strict=True)) | {"instrument": "PCL-5"}
        rows.append(list(row.values()))

    _change(site, change)


@defect("sourcing.first-publication-missing")
def first_missing(site: Site) -> None:
    """The first of the listed papers has no row."""
    _change(site, lambda rows: rows.__delitem__(1))


@defect("sourcing.all-figures-blank")
def all_blank(site: Site) -> None:
    """A listed publication has a row, and none of its figures."""
    blank = ("baseline_mean", "baseline_sd", "endpoint_mean", "endpoint_sd", "response_rate_pct",
             "remission_rate_pct", "effect_size_hedges_g", "followup_weeks")  # fmt: skip
    _rows(site, lambda row: row.update(dict.fromkeys(blank, "")))


# -- what harms nothing ------------------------------------------------------------------------


@harmless("sourcing.doi-as-an-address")
def doi_address(site: Site) -> None:
    """The resolver's address in place of the bare number."""
    site.edit(SOURCES, lambda text: text.replace('"doi:10.', '"https://doi.org/10.'))


@harmless("sourcing.doi-in-capitals")
def doi_capitals(site: Site) -> None:
    """Letters of a DOI have no case."""
    _entries(
        site,
        lambda known: [
            e.update(source=f"DOI:{e['source'][4:].upper()}")
            for e in known
            if e["source"].startswith("doi:")
        ],
    )


@harmless("sourcing.more-notes-on-a-source")
def notes(site: Site) -> None:
    """A note and a field more."""
    _entries(
        site,
        lambda known: _first(known, "baseline_mean").update(note="read twice", read="2026-01-12"),
    )


@harmless("sourcing.same-facts-in-the-workspace")
def same_facts(site: Site) -> None:
    """The workspace keeps a copy of the packaged facts."""
    _own_facts(site)


@harmless("sourcing.locator-in-other-words")
def locator(site: Site) -> None:
    """The place in the paper, more exactly."""
    _entries(
        site,
        lambda known: _first(known, "baseline_mean").update(locator="Table 2, first row, MDMA"),
    )

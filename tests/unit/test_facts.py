"""Facts: what a printed figure yields, what counts as a source, and the facts that ship."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_agents.checks.data.privacy import find_in_sheet
from orchestrate_agents.seed_data.csv_file import parse_sheet
from orchestrate_agents.seed_data.licenses import LicenseStatus, license_status
from orchestrate_agents.seed_data.table_schema import (
    cell_faults,
    change_taken_for_endpoint,
    completeness,
    kinds,
)
from orchestrate_agents.seed_data.verified_facts import (
    Evidence,
    Facts,
    FactsError,
    evidence_problem,
    find_facts,
    is_published,
    malformed_doi,
    packaged_folders,
    read_sources,
    sources_path,
    yields,
)
from orchestrate_agents.sql.parse import tables_of
from orchestrator.errors import UnsafePathError
from tests.seed_family import CSV, ROWS, evidence, write_csv, write_sources

PACKAGED = ("benchmark_cohorts", "population_baselines")


@pytest.mark.parametrize(
    ("printed", "value", "column"),
    [
        ("44.0 (6.01)", "6.01", "baseline_sd"),
        ("44.0", "44", "baseline_mean"),
        ("13.6096", "13.61", "endpoint_sd"),
        ("-0.7711", "-0.77", "effect_size"),
        ("−0.9031", "-0.9", "effect_size"),
        ("37/42", "88.1", "response_rate_pct"),
        ("1,962,371", "1962371", "n_episodes"),
        ("53 + 51", "104", "n_participants"),
        ("Twenty people", "20", "n_participants"),
        ("24 h", "0", "followup_weeks"),
        ("14 days", "2", "followup_weeks"),
        ("week-18", "18", "followup_weeks"),
        ("17 (71%)", "71", "response_rate_pct"),
        ("13 of 24 people", "54.2", "response_rate_pct"),
        ("13 out of 24.", "54.2", "response_rate_pct"),
        ("19·6 (SD 13·61)", "13.61", "endpoint_sd"),
    ],
)
def test_a_printed_figure_yields_the_value(printed: str, value: str, column: str) -> None:
    assert yields(printed, value, column)


@pytest.mark.parametrize(
    ("printed", "value", "column"),
    [
        ("mean change -24.4", "24.4", "endpoint_mean"),
        ("44.0", "44.1", "baseline_mean"),
        ("37/42", "88.1", "endpoint_mean"),
        ("37/42", "88.2", "response_rate_pct"),
        ("1025-1033", "-1033", "n"),
        ("1,962,371", "962371", "n_episodes"),
        ("", "0", "n"),
        ("67%", "67.5", "response_rate_pct"),
        ("24 h", "0", "n_participants"),
        ("5/0", "100", "failure_rate_pct"),
        ("12", "nan", "n"),
        ("12", "1e999999", "n"),
        ("13 of 24", "54.2", "endpoint_mean"),
        ("13 of 24.5", "54.2", "response_rate_pct"),
        ("19·6", "196", "endpoint_mean"),
    ],
)
def test_a_printed_figure_does_not_yield_another_value(
    printed: str, value: str, column: str
) -> None:
    assert not yields(printed, value, column)


@given(st.decimals(-(10**6), 10**6, allow_nan=False, places=3))
def test_every_figure_yields_itself_and_not_the_next_one(figure: Decimal) -> None:
    assert yields(f"({figure})", str(figure))
    assert not yields(f"({figure})", str(figure + Decimal("0.001")))


@given(st.text(max_size=60), st.text(max_size=12))
def test_any_text_can_be_asked_about(printed: str, value: str) -> None:
    assert yields(printed, value, "rate_pct") in (True, False)


@pytest.mark.parametrize(
    "source",
    [
        "doi:10.1038/s41591-021-01336-3",
        "10.5281/zenodo.15714852",
        "https://github.com/a/b",
        "NCT03537014",
    ],
)
def test_a_published_source_can_be_looked_up(source: str) -> None:
    assert is_published(source)


@pytest.mark.parametrize(
    "source",
    ["", " ", "own data", "doi:11.1038/x", "doi:10.1/x", "https://example.org/x", "http://localhost/x",
     "https://[::1", "file:///tmp/x", "https://intranet/x"],
)  # fmt: skip
def test_what_nobody_can_look_up_is_no_source(source: str) -> None:
    assert not is_published(source)


def test_a_malformed_doi_is_named() -> None:
    assert malformed_doi("Brook 2019. doi:10.12/x") == "10.12/x"
    assert malformed_doi("see https://doi.org/abc") == "abc"
    assert malformed_doi("Brook 2019. doi:10.1234/x.1") == ""


@pytest.mark.parametrize(
    "text", ["CC BY 4.0", "CC-BY-SA 4.0", "CC0", "ODC-By 1.0", "public domain"]
)
def test_licences_of_the_allow_list_are_open(text: str) -> None:
    assert license_status(text) is LicenseStatus.OPEN


@pytest.mark.parametrize(
    "text",
    ["CC BY-NC 4.0", "CC BY-ND", "CC BY 4.0 unconfirmed", "not CC BY", "no CC BY licence", "CC BY?",
     "Article: not open; values ODC-By 1.0", "CC BY 4.0, paywalled", "free to read",
     "Creative Commons Attribution-NonCommercial"],
)  # fmt: skip
def test_a_doubt_or_a_restriction_outweighs_the_licence(text: str) -> None:
    assert license_status(text) is LicenseStatus.DOUBTFUL


@pytest.mark.parametrize("text", ["", "Open Access", "Published", "Nature Medicine"])
def test_open_access_alone_names_no_licence(text: str) -> None:
    assert license_status(text) is LicenseStatus.UNNAMED


# -- files -----------------------------------------------------------------------------------------


def test_sources_lie_beside_the_csv() -> None:
    assert sources_path("a/b.csv") == "a/b.sources.jsonl"


_ROWLESS = {"row": {}, "column": "n", "value": "1", "source": "x", "locator": "y", "printed": "1"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "not a JSON object"),
        ("[]", "lacks"),
        ('{"row": {}}', "lacks"),
        (json.dumps(_ROWLESS), "names no row"),
    ],
)
def test_a_broken_sources_line_is_refused_with_its_line(
    tmp_path: Path, line: str, says: str
) -> None:
    file = tmp_path / "x.sources.jsonl"
    file.write_text("\n" + line + "\n", encoding="utf-8")
    with pytest.raises(FactsError, match=says) as caught:
        read_sources(file)
    assert caught.value.line == 2


def test_the_workspace_comes_before_the_package(tmp_path: Path) -> None:
    path = "backend/data/benchmark_cohorts_seed.csv"
    shipped = find_facts(tmp_path, path, "benchmark_cohorts")
    assert shipped is not None
    assert shipped.origin.startswith("packaged")
    write_csv(tmp_path / "facts/benchmark_cohorts.csv", ROWS)
    own = find_facts(tmp_path, path, "benchmark_cohorts")
    assert own is not None
    assert own.origin == "facts/benchmark_cohorts.csv"
    assert find_facts(tmp_path, "data/x.csv", "../benchmark_cohorts") is None


def test_a_folder_of_facts_outside_the_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafePathError):
        find_facts(tmp_path, "data/x.csv", "x", folder="../elsewhere")


def test_a_broken_facts_file_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts/x.csv").write_text("a,b\n1,2\n1\n", encoding="utf-8")
    with pytest.raises(FactsError) as caught:
        find_facts(tmp_path, "data/x.csv")
    assert caught.value.line == 3


def test_evidence_is_found_by_the_cells_that_name_the_row(tmp_path: Path) -> None:
    write_csv(tmp_path / CSV, ROWS)
    write_sources(tmp_path / "x.sources.jsonl", evidence(ROWS))
    sources = read_sources(tmp_path / "x.sources.jsonl")
    sheet = parse_sheet((tmp_path / CSV).read_bytes(), CSV)
    entry = sources.of(sheet.rows[0], "endpoint_sd")
    assert entry is not None
    assert evidence_problem(entry, "endpoint_sd", "4.25") == ""
    assert "is not the 4.25" in evidence_problem(entry, "endpoint_sd", "4.26")
    assert sources.of(sheet.rows[1], "endpoint_sd") is None
    assert "no source" in evidence_problem(None, "endpoint_sd", "4.25")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_a_sheet(data: bytes) -> None:
    sheet = parse_sheet(data, "x.csv")
    assert all(set(row.cells) <= set(sheet.columns) for row in sheet.rows)


# -- the facts that ship ---------------------------------------------------------------------------


def packaged(table: str) -> Facts:
    facts = find_facts(packaged_folders()[0], f"data/{table}.csv", table)
    assert facts is not None
    return facts


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_figure_follows_from_its_source(name: str) -> None:
    facts = packaged(name)
    typed = kinds(facts.sheet, None)
    checked = 0
    for row in facts.sheet.rows:
        assert facts.sources.of(row, "*") is not None
        for column in (c for c, kind in typed.items() if kind.numeric and row.get(c)):
            problem = evidence_problem(facts.sources.of(row, column), column, row.get(column))
            assert problem == "", f"{name} line {row.line} {column}"
            checked += 1
    assert checked > 50


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_facts_are_clean(name: str) -> None:
    facts = packaged(name)
    assert list(cell_faults(facts.sheet, None)) == []
    assert list(change_taken_for_endpoint(facts.sheet)) == []
    assert list(find_in_sheet(facts.sheet)) == []
    assert len({tuple(row.cells.values()) for row in facts.sheet.rows}) == len(facts.sheet.rows)


#: people enrolled in the arm or sample that the figures are of
ENROLLED = {
    "MAPP1": "46", "MAPP2": "53", "COMP360": "79", "Davis 2021": "13", "Nayak 2023": "2833",
    "Carhart-Harris 2021": "30", "Carhart-Harris 2018": "20", "Bogenschutz": "49", "SYPRES": "694",
    "Murrough": "47", "Feder": "41",
}  # fmt: skip


def test_packaged_cohorts_count_the_people_of_their_figures() -> None:
    facts = packaged("benchmark_cohorts")
    counts = {row.get("cohort_name"): row.get("n_participants") for row in facts.sheet.rows}
    found = {part: n for part in ENROLLED for name, n in counts.items() if part in name}
    assert found == ENROLLED
    assert len(counts) == len(ENROLLED)


def test_packaged_endpoints_are_printed_or_derived_as_noted() -> None:
    facts = packaged("benchmark_cohorts")
    rows = {row.get("cohort_name"): row for row in facts.sheet.rows}
    derivations = {
        (name, column): entry.derivation
        for name, row in rows.items()
        for column in ("endpoint_mean", "endpoint_sd")
        if (entry := facts.sources.of(row, column)) and entry.derivation
    }
    assert sorted(derivations.values()) == ["2.1 * sqrt(42)", "31.9 - 12.0", "39.5 - 23.7"]
    assert all(f"{column} is derived" in rows[name].get("notes") for name, column in derivations)
    (carhart,) = (row for name, row in rows.items() if "Carhart-Harris 2021" in name)
    assert (carhart.get("endpoint_mean"), carhart.get("response_rate_pct")) == ("", "70")


def test_packaged_cohorts_are_counted_both_ways() -> None:
    facts = packaged("benchmark_cohorts")
    sql = Path(__file__).parents[1] / "fixtures/benchmark_tables.sql"
    table = next(t for t in tables_of(sql.read_text()) if t.name == "benchmark_cohorts")
    rule = completeness(table, facts.sheet.columns)
    rows = facts.sheet.rows
    assert sum(not rule.lacking(row) for row in rows) == 8
    assert sum(all(map(row.get, rule.outcomes)) for row in rows) == 0
    assert len(rows) == 11


def _entry(**about: str) -> Evidence:
    given = {"source": "doi:10.1038/x1", "locator": "table 2", "value": "19.9", "printed": ""}
    return Evidence(row={"n": "x"}, column="endpoint_mean", **{**given, **about})


@pytest.mark.parametrize(
    ("printed", "formula", "value", "problem"),
    [
        ("31.9 and -12.0", "31.9 - 12.0", "19.9", ""),
        ("19.9", "31.9 - 12.0", "19.9", ""),
        ("13.6096", "2.1 * sqrt(42)", "13.61", ""),
        ("t(46) = -10.31", "46 + 1", "47", ""),
        ("31.9", "31.9 - 12.0", "19.9", "does not print"),
        ("31.9 and -12.0", "31.9 - 12.0", "19.8", "is not what"),
        ("31.9 and -12.0", "__import__('os')", "19.9", "not part of a formula"),
        ("31.9 and -12.0", "31.9 / 0", "19.9", "cannot be worked out"),
        ("31.9 and -12.0", "31.9 -", "19.9", "cannot be worked out"),
        ("-1", "sqrt(-1)", "1", "cannot be worked out"),
    ],
)
def test_a_derivation_comes_to_the_value_from_printed_figures(
    printed: str, formula: str, value: str, problem: str
) -> None:
    said = evidence_problem(
        _entry(printed=printed, derivation=formula, value=value), "endpoint_mean", value
    )
    assert problem in said
    assert bool(said) == bool(problem)


def test_a_staging_host_is_noted_or_no_source() -> None:
    for host in ("staging.physiciansweekly.com", "dev-data.icfng-sites.com", "preview.x.org"):
        page = _entry(source=f"https://{host}/node/1", printed="19.9")
        assert "staging host" in evidence_problem(page, "endpoint_mean", "19.9")
        noted = replace(page, note="a staging copy; the public page was not found")
        assert evidence_problem(noted, "endpoint_mean", "19.9") == ""
    for page in ("www.devon.gov.uk/stages", "dev.to/x", "www.x.org/dev.html"):
        public = _entry(source=f"https://{page}", printed="19.9")
        assert evidence_problem(public, "endpoint_mean", "19.9") == ""


def test_packaged_cohorts_claim_free_use_only_under_an_open_licence() -> None:
    facts = packaged("benchmark_cohorts")
    free = [r for r in facts.sheet.rows if r.get("data_freely_usable") == "true"]
    assert free
    assert all(license_status(row.get("license")) is LicenseStatus.OPEN for row in free)
    assert all(facts.sources.of(row, "license") for row in facts.sheet.rows)


def test_a_hundred_is_a_figure_of_no_source_where_a_rate_is_derived() -> None:
    entry = _entry(printed="13 responders, 24 people", derivation="100 * 13 / 24", value="54.2")
    assert evidence_problem(entry, "response_rate_pct", "54.2") == ""
    assert "does not print" in evidence_problem(entry, "endpoint_mean", "54.2")

"""No column, value or row that is about a person gets through (issue 3, privacy)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.checks.data import privacy
from orchestrate_agents.checks.data.privacy import find_in_sheet, find_personal, is_personal
from orchestrate_agents.seed_data.csv_file import parse_sheet
from tests.seed_family import CSV, WORKFLOW, context, deliver, edit, say, verdicts

STATEMENT = "No PHI/PII — all seeded data is aggregate/anonymized"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "statement",
    [
        STATEMENT,
        "No PHI — all data is aggregate/anonymized benchmark data",
        "no PII",
        "Contains no PHI or PII",
        "no personal data in the seed data",
        "every row is anonymised",
    ],
)
def test_aggregate_data_is_proven_in_every_wording(root: Path, statement: str) -> None:
    assert verdicts(context(root), statement) == {"proven"}


@pytest.mark.parametrize(
    "statement",
    ["No PHI/PII but names", "some data is aggregate", "PII — all data is aggregate/anonymized"],
)
def test_other_claims_do_not_bind(root: Path, statement: str) -> None:
    with pytest.raises(AssertionError):
        say(context(root), statement)


def test_no_personal_data_at_all_is_said_of_every_data_file_and_program(root: Path) -> None:
    assert verdicts(context(root), "No personal data") == {"proven"}
    (root / "old").mkdir()
    (root / "old/members.py").write_text('WHO = "ann.lee@clinic.org"\n', encoding="utf-8")
    assert verdicts(context(root), "No personal data") == {"unproven"}
    assert verdicts(context(root), "No personal data in the delivered files") == {"proven"}


def test_nothing_delivered_is_unproven(tmp_path: Path) -> None:
    assert verdicts(context(tmp_path), STATEMENT) == {"unproven"}


@pytest.mark.parametrize(
    "column",
    ["patient_name", "first_name", "Surname", "dob", "date_of_birth", "birthDate", "ssn", "email",
     "contact_email", "phone", "phone_number", "mrn", "medical_record_number", "patient_id",
     "participantId", "home_address", "zip_code", "ip_address", "Full Name"],
)  # fmt: skip
def test_personal_columns_are_known_by_their_name(column: str) -> None:
    assert is_personal(column)


@pytest.mark.parametrize(
    "column",
    ["cohort_name", "n_participants", "source_citation", "avg_age", "pct_female", "nct_id", "title",
     "notes", "country", "branch_name", "table_name", "id", "effect_size_hedges_g", "modality",
     "demographic_group", "start_date", "phase", "license"],
)  # fmt: skip
def test_columns_of_aggregates_are_not(column: str) -> None:
    assert not is_personal(column)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("write to jane.roe@clinic.org", "mail"),
        ("SSN 123-45-6789", "social security"),
        ("call (415) 555-0134", "phone"),
        ("call 415-555-0134", "phone"),
        ("+44 20 7946 0958", "phone"),
        ("born 12/03/1961", "date of birth"),
        ("DOB: 1961-03-12", "date of birth"),
        ("MRN 00482913", "record number"),
        ("patient Jane Roe improved", "name"),
        ("Mrs. Roe", "name"),
    ],
)
def test_personal_values_are_known_by_their_form(text: str, what: str) -> None:
    assert any(what in found for found in find_personal(text))


@pytest.mark.parametrize(
    "text",
    [
        "Nat Med. 2021;27:1025-1033. doi:10.1038/s41591-021-01336-3",
        "Am J Psychiatry. 2013;170(10):1134-1142. doi:10.1176/appi.ajp.2013.13030392",
        "n=90 randomized (46 MDMA, 44 placebo), 95% CI -26.94 to -20.44",
        "NCT03537014",
        "https://example.org/a/415-555-0134",
        "2017-01-31",
        "patients with PTSD",
        "18,049 of 1,962,371 participants in the United States",
        "user@example.org",
        "7T MRS Study of ketamine",
    ],
)
def test_citations_figures_and_dates_have_no_personal_form(text: str) -> None:
    assert list(find_personal(text)) == []


def test_authors_of_a_cited_work_are_public() -> None:
    sheet = parse_sheet(b"source_citation,notes\nMs. Roe 2019,x\nx,Ms. Roe 2019\n", "x.csv")
    assert [fault.column for fault in find_in_sheet(sheet)] == ["notes"]


def test_a_row_about_one_participant_is_a_person(root: Path) -> None:
    edit(root, lambda t: t.replace(",12,bar", ",1,bar"))
    [first, _] = say(context(root), STATEMENT)
    assert first.verdict == "failed"
    assert "one participant" in first.detail


@pytest.mark.parametrize(
    "note", ["Reported by jane.roe@clinic.org", "Patient Jane Roe", "MRN 483920"]
)
def test_a_personal_value_in_a_cell_fails_and_is_not_repeated(root: Path, note: str) -> None:
    edit(root, lambda t: t.replace("No result is printed.", note))
    [first, _] = say(context(root), STATEMENT)
    assert first.verdict == "failed"
    assert note not in first.detail


@pytest.mark.parametrize(
    "note", ["Doses in Patient Controlled Analgesia", "A Patient Reported Outcome of Two Arms"]
)
def test_the_words_of_a_title_are_not_a_name(root: Path, note: str) -> None:
    edit(root, lambda t: t.replace("No result is printed.", note))
    [first, _] = say(context(root), STATEMENT)
    assert first.verdict == "proven", first


def test_a_personal_column_in_the_csv_fails(root: Path) -> None:
    edit(root, lambda t: t.replace("site", "patient_name", 1))
    assert verdicts(context(root), STATEMENT) == {"failed"}


def test_a_personal_column_in_the_specified_sql_fails(root: Path) -> None:
    text = WORKFLOW.replace("  site TEXT,", "  patient_email TEXT,")
    assert verdicts(context(root, text=text), STATEMENT) == {"failed"}


@pytest.mark.parametrize(
    ("path", "content", "verdict"),
    [
        ("sql/x.sql", "INSERT INTO t VALUES ('jane.roe@clinic.org');", "failed"),
        ("sql/x.sql", "-- ask jane.roe@clinic.org\nSELECT 1;", "proven"),
        ("sql/x.sql", "CREATE TABLE t (mrn text);", "failed"),
        ("src/x.py", "CONTACT = 'jane.roe@clinic.org'\n", "failed"),
        ("src/x.py", "# jane.roe@clinic.org\nX = 1\n", "proven"),
        ("src/x.ts", "const dob = 'DOB: 1961-03-12'\n", "failed"),
    ],
)
def test_literals_of_delivered_code_are_judged(
    tmp_path: Path, path: str, content: str, verdict: str
) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(content, encoding="utf-8")
    artifacts = {path: {"agent": "BUILDER", "state": "written"}}
    assert verdicts(context(tmp_path, artifacts=artifacts), STATEMENT) == {verdict}


def test_the_delivered_file_is_the_receipts_subject(root: Path) -> None:
    assert all(CSV in result.subjects for result in say(context(root), STATEMENT))


def test_cells_that_say_the_same_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[tuple[str, bool]] = []

    def find(text: str, *, names: bool = True) -> Iterator[str]:
        judged.append((text, names))
        return find_personal(text, names=names)

    monkeypatch.setattr(privacy, "find_personal", find)
    rows = "adults,555-867-5309 x\n" * 3
    sheet = parse_sheet(f"cohort,notes\n{rows}".encode(), "a.csv")
    assert len([*privacy.find_in_sheet(sheet)]) == 3 * len([*find_personal("555-867-5309 x")])
    assert len(judged) == len(set(judged)) == 2
    # where a column may cite people, the same words are another question
    cited = parse_sheet(b"notes,authors\nJane Doe,Jane Doe\n", "b.csv")
    judged.clear()
    list(privacy.find_in_sheet(cited))
    assert judged == [("Jane Doe", True), ("Jane Doe", False)]

"""Trial records: awkward values, selection, and the sample importer's faults."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_backend.errors import BackendError
from orchestrate_backend.scripts.seed_benchmark_trials import COLUMNS, SPEC
from orchestrate_backend.trials.partial_dates import parse_partial_date
from orchestrate_backend.trials.registry_client import STUDY_FIELDS
from orchestrate_backend.trials.trials import (
    Selection,
    Selector,
    Skip,
    TrialSpec,
    clean_text,
    essie_term,
)
from tests.replay import PIECES, study


def selected(*records: Any, spec: TrialSpec = SPEC, **options: bool) -> Selection:
    return Selector(spec, **options).select(records)


def row_of(record: Any, **options: bool) -> dict[str, Any]:
    (row,) = selected(record, **options).rows
    return row


# awkward values


@pytest.mark.parametrize(
    ("text", "day"),
    [("2021-03-18", dt.date(2021, 3, 18)), ("2021-03", None), ("2021", None)],
)
def test_a_partial_date_never_gets_a_day(text: str, day: dt.date | None) -> None:
    assert parse_partial_date(text).day == day
    assert parse_partial_date(text).text == text


@pytest.mark.parametrize("text", ["", "March 2021", "2021-13", "2021-02-30", "21-3-1", "0000"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.compile("date|month|day|year")):
        parse_partial_date(text)


def test_dates_are_stored_whole_or_not_at_all() -> None:
    status = {
        "overallStatus": "COMPLETED",
        "startDateStruct": {"date": "2019-05", "type": "ACTUAL"},
        "completionDateStruct": {"date": "2021-03-18", "type": "ACTUAL"},
    }
    chosen = selected(study(1, statusModule=status))
    assert chosen.rows[0]["start_date"] is None
    assert chosen.rows[0]["completion_date"] == dt.date(2021, 3, 18)
    assert chosen.partial_dates == 1


@pytest.mark.parametrize(
    ("status", "types", "stored"),
    [
        ("COMPLETED", ("ACTUAL", "ACTUAL"), (True, True)),
        ("ACTIVE_NOT_RECRUITING", ("ACTUAL", "ESTIMATED"), (True, False)),
        ("ACTIVE_NOT_RECRUITING", (None, None), (True, False)),
        ("COMPLETED", (None, None), (True, True)),
        ("NOT_YET_RECRUITING", (None, "ESTIMATED"), (False, False)),
        (None, (None, None), (False, False)),
        (None, ("ACTUAL", "ACTUAL"), (True, True)),
        ("COMPLETED", ("ESTIMATED", "FORESEEN"), (False, False)),
    ],
)
def test_estimated_dates_are_stored_as_null(
    status: str | None, types: tuple[str | None, str | None], stored: tuple[bool, bool]
) -> None:
    names = ("startDateStruct", "completionDateStruct")
    dates = {
        name: {"date": "2021-03-18", **({"type": kind} if kind else {})}
        for name, kind in zip(names, types, strict=True)
    }
    given = {"overallStatus": status} if status else {}
    chosen = Selector(
        replace(SPEC, statuses=("COMPLETED", "ACTIVE_NOT_RECRUITING", "NOT_YET_RECRUITING")),
        keep_unknown_status=True,
    ).select([study(1, statusModule={**given, **dates})])
    row = chosen.rows[0]
    assert (row["start_date"] is not None, row["completion_date"] is not None) == stored
    assert chosen.estimated_dates == stored.count(False)


@pytest.mark.parametrize(
    ("info", "stored"),
    [
        ({"count": 90, "type": "ACTUAL"}, 90),
        ({"count": 0, "type": "ACTUAL"}, 0),
        ({"count": 90, "type": "ESTIMATED"}, None),
        ({"count": 90}, None),
        ({}, None),
        ({"count": "90", "type": "ACTUAL"}, None),
        ({"count": True, "type": "ACTUAL"}, None),
        ({"count": -1, "type": "ACTUAL"}, None),
        ({"count": 2**31, "type": "ACTUAL"}, None),
        ("90", None),
    ],
)
def test_only_actual_enrolment_is_stored(info: Any, stored: int | None) -> None:
    record = study(1, designModule={"enrollmentInfo": info})
    assert row_of(record)["enrollment_actual"] == stored


@pytest.mark.parametrize(
    ("phases", "stored"),
    [
        (["PHASE2", "PHASE3"], "PHASE2/PHASE3"),
        (["NA"], "NA"),
        (["EARLY_PHASE1"], "EARLY_PHASE1"),
        ([], None),
        (None, None),
        ("PHASE2", None),
        (["PHASE9", "PHASE2"], "PHASE2"),
    ],
)
def test_phases_are_a_list(phases: Any, stored: str | None) -> None:
    assert row_of(study(1, designModule={"phases": phases}))["phase"] == stored


def test_each_country_is_named_once_in_order() -> None:
    places = [{"country": c} for c in ("United States", "Canada", "United States", None, 7)]
    record = study(1, contactsLocationsModule={"locations": [*places, "Mars", {}]})
    assert row_of(record)["country"] == "United States; Canada"
    assert row_of(study(1))["country"] is None


def test_text_loses_control_characters_and_excess_length() -> None:
    assert clean_text("a\x00b\u202e\nc\ud800 d\u200b", 99) == "a b c d"
    assert clean_text("x" * 50, 10) == "x" * 10
    assert clean_text(" \t ", 10) is None
    assert clean_text(["text"], 10) is None


def test_an_unreadable_value_is_left_out_and_told() -> None:
    status = {"overallStatus": "COMPLETED", "startDateStruct": {"date": "soon"}}
    chosen = selected(study(1, statusModule=status))
    assert chosen.rows[0]["start_date"] is None
    assert chosen.problems == [
        ("NCT00000001", "startDateStruct: 'soon' is not a date like 2021-03-18, 2021-03 or 2021")
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "not a JSON object"),
        ("NCT00000001", "not a JSON object"),
        ([], "not a JSON object"),
        ({}, "NCT and eight digits"),
        ({"protocolSection": []}, "NCT and eight digits"),
        (study(1, identificationModule={"nctId": "NCT1; DROP", "briefTitle": "x"}), "eight digits"),
        (study(1, identificationModule={"nctId": "NCT00000001"}), "no title"),
        (study(1, identificationModule={"nctId": "NCT00000001", "briefTitle": " "}), "no title"),
    ],
)
def test_one_bad_record_costs_one_record(record: Any, reason: str) -> None:
    chosen = selected(study(2), record, study(3))
    assert [r["nct_id"] for r in chosen.rows] == ["NCT00000002", "NCT00000003"]
    assert [reason in error.reason for error in chosen.rejected] == [True]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)
MODULES = [
    "statusModule",
    "designModule",
    "conditionsModule",
    "armsInterventionsModule",
    "outcomesModule",
    "contactsLocationsModule",
]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(MODULES, JSON)), JSON)
def test_hostile_records_are_rows_or_rejections_never_crashes(modules: Any, other: Any) -> None:
    spoilt = {"protocolSection": {**study(1)["protocolSection"], **modules}}
    chosen = selected(spoilt, other, keep_unknown_status=True, all_conditions=True)
    assert chosen.read == len(chosen.rows) + chosen.skipped.total() + len(chosen.rejected)
    json.dumps(chosen.rows, default=str).encode("ascii")


# selection


def test_only_the_specified_statuses_are_taken() -> None:
    records = [
        study(n, status=status)
        for n, status in enumerate(["COMPLETED", "ACTIVE_NOT_RECRUITING", "RECRUITING", None], 1)
    ]
    chosen = selected(*records)
    assert [r["status"] for r in chosen.rows] == ["COMPLETED", "ACTIVE_NOT_RECRUITING"]
    assert chosen.skipped == {Skip.STATUS: 1, Skip.NO_STATUS: 1}


def test_unknown_status_is_kept_as_null_only_on_demand() -> None:
    chosen = selected(study(1, status=None), keep_unknown_status=True)
    assert chosen.rows[0]["status"] is None
    assert chosen.status_unknown == 1
    unknown = selected(study(1, status="UNKNOWN"), keep_unknown_status=True)
    assert unknown.skipped == {Skip.STATUS: 1}


def test_each_id_is_taken_once() -> None:
    chosen = selected(study(1), study(2), study(1))
    assert [r["nct_id"] for r in chosen.rows] == ["NCT00000001", "NCT00000002"]
    assert chosen.skipped == {Skip.REPEATED: 1}


def test_columns_may_have_other_names() -> None:
    spec = TrialSpec("registry.studies", {"id": "nct_id", "name": "title"}, key=("id",))
    assert selected(study(1), spec=spec).rows == [
        {"id": "NCT00000001", "name": "Psilocybin for Depression"}
    ]
    assert spec.label == "studies"


@pytest.mark.parametrize(
    "wrong", [{"columns": {"x": "colour"}}, {"modalities": {}}, {"key": ("trial",)}]
)
def test_a_specification_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BackendError) as caught:
        TrialSpec(**wrong)
    assert caught.value.code == "trial-spec"


@pytest.mark.parametrize(
    ("phrase", "term"),
    [
        ("psilocybin", "psilocybin"),
        ("lysergic acid", '"lysergic acid"'),
        ("3,4-methylenedioxy", '"3,4-methylenedioxy"'),
        ('a" OR AREA[x]y', '"a OR AREA x y"'),
        ("or", '"or"'),
        ("depress*", "depress"),
        ("*", ""),
    ],
)
def test_a_keyword_cannot_break_out_of_its_search_term(phrase: str, term: str) -> None:
    assert essie_term(phrase) == term


def test_each_substance_is_one_search() -> None:
    spec = TrialSpec(modalities={"lsd": ["LSD", "lysergic acid"], "mdma": []})
    assert spec.searches() == {"lsd": 'LSD OR "lysergic acid"', "mdma": "mdma"}


# the faults of the workflow's sample importer, in the order in which they are known; the others
# (paging, time-outs, exit code, batches) are proven in test_ctgov and test_trial_seeding


def test_fault_1_2_fields_are_the_registrys_pieces_and_fit_what_is_read() -> None:
    assert set(STUDY_FIELDS) <= set(PIECES)
    assert "Condition" in STUDY_FIELDS
    assert "PrimaryOutcomeMeasure" in STUDY_FIELDS
    assert "EnrollmentType" in STUDY_FIELDS


def test_fault_4_to_9_values_are_read_at_their_place_in_version_2() -> None:
    record = study(
        1,
        statusModule={"overallStatus": "COMPLETED", "startDateStruct": {"date": "2020-01-02"}},
        designModule={
            "phases": ["PHASE1", "PHASE2"],
            "enrollmentInfo": {"count": 12, "type": "ACTUAL"},
        },
        outcomesModule={"primaryOutcomes": [{"measure": "MADRS", "description": "a scale"}]},
        contactsLocationsModule={"locations": [{"country": "Brazil"}]},
    )
    assert row_of(record) == {
        "nct_id": "NCT00000001",
        "title": "Psilocybin for Depression",
        "phase": "PHASE1/PHASE2",
        "status": "COMPLETED",
        "modality": "psilocybin",
        "conditions": ["Depression"],
        "country": "Brazil",
        "enrollment_actual": 12,
        "start_date": dt.date(2020, 1, 2),
        "completion_date": None,
        "primary_outcome_measure": "MADRS",
        "source": "clinicaltrials.gov",
    }
    assert list(COLUMNS) == list(row_of(record))


def test_fault_6_and_7_empty_lists_are_no_failure() -> None:
    record = study(
        1, contactsLocationsModule={"locations": []}, outcomesModule={"primaryOutcomes": []}
    )
    assert row_of(record)["primary_outcome_measure"] is None


def test_fault_12_the_found_record_is_classified_not_the_searched_word() -> None:
    assert row_of(study(1, "Ketamine-Like", interventions=["Esketamine"]))["modality"] == (
        "esketamine"
    )


def test_fault_13_what_is_none_of_the_substances_is_not_stored() -> None:
    chosen = selected(study(1, "Sertraline for Depression", interventions=["Sertraline"]))
    assert chosen.skipped == {Skip.SUBSTANCE: 1}


def test_fault_17_a_record_without_title_costs_itself() -> None:
    chosen = selected(study(1, title=""), study(2, title="", conditions=["Asthma"]))
    assert [str(error) for error in chosen.rejected] == ["NCT00000001: has no title"]
    assert chosen.skipped == {Skip.CONDITION: 1}, "what is left out anyway lacks nothing"
    columns = {name: fact for name, fact in COLUMNS.items() if fact != "title"}
    assert len(selected(study(1, title=""), spec=replace(SPEC, columns=columns)).rows) == 1


@pytest.mark.parametrize("kind", ["ACTUAL", None])
def test_a_day_that_lies_ahead_has_not_happened(kind: str | None) -> None:
    ahead = (dt.date.today() + dt.timedelta(days=400)).isoformat()
    date = {"date": ahead} if kind is None else {"date": ahead, "type": kind}
    record = study(1, statusModule={"overallStatus": "COMPLETED", "completionDateStruct": date})
    chosen = selected(record)
    assert chosen.rows[0]["completion_date"] is None
    assert chosen.estimated_dates == 1


# real files, where they are at hand

REAL = Path(os.environ.get("ORCHESTRATE_TEST_CTGOV_PAGES") or "no-such-folder")


@pytest.mark.skipif(not REAL.is_dir(), reason="ORCHESTRATE_TEST_CTGOV_PAGES names no folder")
def test_real_downloads_are_read_whole() -> None:
    from orchestrate_backend.trials.sources import load_trials

    files = sorted(REAL.glob("download-*.json"))
    harvest = load_trials(files)
    chosen = selected(*harvest.records, all_conditions=True)
    assert files
    assert chosen.read == len(harvest.records) > 0
    assert not chosen.rejected
    assert not chosen.rows

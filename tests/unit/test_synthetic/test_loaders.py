"""The loader's pure parts: structure, coercion, checks, bisecting, retries, results."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import src.ml.synthetic.loaders as loaders
from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.attempts import Retry, RowFaultError, isolate
from orchestrate_backend.targets.supabase import is_passing
from orchestrate_backend.targets.upsert import upsert_statement
from src.ml.synthetic.loaders import (
    LOADING_ORDER,
    TABLE_COLUMNS,
    AsyncBatchLoader,
    BatchLoader,
    LoaderConfig,
    LoadResult,
    RowFailure,
    get_loading_summary,
    renamed,
)
from src.ml.synthetic.loaders.checks import faults, repeated_keys
from src.ml.synthetic.loaders.coerce import canonical_json, coerced, json_texts
from src.ml.synthetic.loaders.postgres_store import upsert_of
from src.ml.synthetic.loaders.stores import CheckingStore, Outcome, Progress
from src.ml.synthetic.loaders.supabase_store import SupabaseStore
from src.ml.synthetic.loaders.tables import TABLES, Table

NOW = pd.Timestamp("2026-11-21T10:00:00")
DRY = LoaderConfig(dry_run=True, supabase_url=None, supabase_key=None)


def hcps(size: int = 10) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "hcp_id": [f"hcp_{n:05d}" for n in range(size)],
            "npi": [str(10**9 + n) for n in range(size)],
            "specialty": "oncology",
            "practice_type": "academic",
            "geographic_region": "south",
            "years_experience": np.arange(size) % 30,
            "total_patient_volume": 100,
            "brand": "Kisqali",
        }
    )


def patients(size: int = 10) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_journey_id": [f"journey_{n:06d}" for n in range(size)],
            "patient_id": [f"pt_{n:06d}" for n in range(size)],
            "hcp_id": [f"hcp_{n % 10:05d}" for n in range(size)],
            "brand": "Kisqali",
            "journey_start_date": "2024-01-05",
            "insurance_type": "commercial",
            "geographic_region": "west",
            "disease_severity": 5.123,
            "academic_hcp": 1,
            "engagement_score": 4.0,
            "treatment_initiated": 1,
            "days_to_treatment": pd.array([19, None] * (size // 2), dtype="Int64"),
            "age_at_diagnosis": 50,
            "data_split": "train",
        }
    )


def coerced_value(table: str, column: str, value: Any) -> Any:
    frame = pd.DataFrame({column: pd.Series([value], dtype=object)})
    return coerced(frame, TABLES[table])[column].iloc[0]


class MemoryStore:
    """A store that holds rows by key, and refuses a batch that has a row which `refuses`."""

    def __init__(self, refuses: Callable[[Mapping[str, Any]], bool] = lambda _: False) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        self.stored_ids: dict[str, str] = {}
        self.attempts = 0
        self._refuses = refuses

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        held = self.rows.setdefault(table.name, {})
        records = frame.to_dict("records")

        def attempt(low: int, high: int) -> None:
            self.attempts += 1
            if any(self._refuses(row) for row in records[low:high]):
                raise RowFaultError("refused")
            for row in records[low:high]:
                key = tuple(json.dumps(row[c], sort_keys=True) for c in table.key)
                held[key] = {str(name): value for name, value in row.items()}

        refused = isolate(0, len(records), attempt).refused
        progress(len(records))
        return Outcome(inserted=len(records) - len(refused), refused=refused)

    def ids(self, table: Table, frame: pd.DataFrame) -> list[Any]:
        return [self.stored_ids.get(name) for name in frame["name"]]

    def close(self) -> None:
        self.attempts += 0


# -- names and structure


def test_the_package_gives_every_public_name_of_its_modules() -> None:
    from src.ml.synthetic.loaders import batch_loader, stats

    public = {
        name
        for name, item in vars(stats).items()
        if getattr(item, "__module__", "") == stats.__name__ and not name.startswith("_")
    }
    assert {*batch_loader.__all__, *public} == set(loaders.__all__)
    assert all(hasattr(loaders, name) for name in loaders.__all__)


def test_parents_are_loaded_before_their_children() -> None:
    places = {name: place for place, name in enumerate(LOADING_ORDER)}
    for table in TABLES.values():
        for reference in table.references:
            assert places[reference.parent] < places[table.name]


def test_the_causal_columns_are_sent() -> None:
    assert {
        "hcp_id",
        "disease_severity",
        "academic_hcp",
        "engagement_score",
        "treatment_initiated",
        "days_to_treatment",
        "age_at_diagnosis",
    } <= set(TABLE_COLUMNS["patient_journeys"])
    sizes = {name: len(TABLE_COLUMNS[name]) for name in LOADING_ORDER[-4:]}
    assert sizes == {
        "business_metrics": 17,
        "feature_groups": 8,
        "features": 9,
        "feature_values": 6,
    }


def test_generators_columns_get_the_databases_names() -> None:
    frames = {
        "treatment_events": pd.DataFrame(
            columns=["treatment_date", "treatment_type", "days_supply"]
        ),
        "ml_predictions": pd.DataFrame(columns=["prediction_date"]),
    }
    found = renamed(frames)
    assert list(found["treatment_events"]) == ["event_date", "event_type", "duration_days"]
    assert list(found["ml_predictions"]) == ["prediction_timestamp"]


def test_structure_is_validated() -> None:
    loader = BatchLoader(DRY)
    assert loader.validate_datasets({"patient_journeys": patients()}) == (True, [])
    bare = patients().drop(columns=["data_split"])
    assert loader.validate_datasets({"patient_journeys": bare}) == (True, [])
    ok, errors = loader.validate_datasets(
        {"planets": hcps(), "hcp_profiles": hcps().drop(columns=["npi"]), "triggers": hcps(0)}
    )
    assert not ok
    text = " ".join(errors)
    assert "Unknown table: planets" in text
    assert "Missing columns in hcp_profiles: npi" in text
    assert "Empty dataset: triggers" in text


# -- coercion


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("patient_journeys", "days_to_treatment", 19.0, 19),
        ("patient_journeys", "days_to_treatment", np.int64(19), 19),
        ("patient_journeys", "days_to_treatment", pd.NA, None),
        ("patient_journeys", "days_to_treatment", float("nan"), None),
        ("patient_journeys", "days_to_treatment", "19", 19),
        ("patient_journeys", "academic_hcp", True, True),
        ("patient_journeys", "days_to_treatment", 19.5, 19.5),
        ("patient_journeys", "days_to_treatment", "soon", "not a valid integer: 'soon'"),
        ("patient_journeys", "disease_severity", 5.126, 5.13),
        ("patient_journeys", "disease_severity", np.float64("inf"), None),
        ("business_metrics", "value", 0.07489, 0.0749),
        ("patient_journeys", "journey_start_date", pd.Timestamp("2024-01-05"), "2024-01-05"),
        ("patient_journeys", "journey_start_date", "someday", "not a valid date: 'someday'"),
        ("patient_journeys", "journey_start_date", "today", "not a valid date: 'today'"),
        ("patient_journeys", "journey_start_date", "2024", "not a valid date: '2024'"),
        ("patient_journeys", "journey_start_date", "03/04/2024", "not a valid date: '03/04/2024'"),
        ("patient_journeys", "journey_start_date", 20240203, "not a valid date: 20240203"),
        ("patient_journeys", "disease_severity", "nan", "not a valid decimal: 'nan'"),
        ("patient_journeys", "days_to_treatment", "1_0", "not a valid integer: '1_0'"),
        ("triggers", "outcome_tracked", "yes", "not a valid boolean: 'yes'"),
        (
            "ml_predictions",
            "prediction_timestamp",
            "2024-01-05",
            "2024-01-05T00:00:00.000000+00:00",
        ),
        (
            "feature_values",
            "event_timestamp",
            "2024-01-05T06:07:08.5+02:00",
            "2024-01-05T04:07:08.500000+00:00",
        ),
        ("triggers", "outcome_tracked", np.bool_(True), True),
        ("triggers", "causal_chain", {"a": np.float64(1), "b": [np.nan]}, {"a": 1.0, "b": [None]}),
        ("feature_groups", "tags", ["a", "b"], ["a", "b"]),
        ("hcp_profiles", "specialty", None, None),
    ],
)
def test_values_are_coerced_or_left_for_the_database_to_refuse(
    table: str, column: str, value: Any, expected: Any
) -> None:
    found = coerced_value(table, column, value)
    assert found == expected
    assert type(found) is type(expected)


def test_typed_columns_are_coerced_too() -> None:
    frame = patients(4)
    frame["academic_hcp"] = frame["academic_hcp"].astype(bool)
    frame["journey_start_date"] = pd.to_datetime(frame["journey_start_date"])
    found = coerced(frame, TABLES["patient_journeys"])
    assert found["academic_hcp"].tolist() == [1, 1, 1, 1]
    assert found["days_to_treatment"].tolist() == [19, None, 19, None]
    assert found["journey_start_date"].tolist() == ["2024-01-05"] * 4
    assert list(found.columns) == TABLE_COLUMNS["patient_journeys"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(), st.integers(), st.floats(), st.text(), st.booleans(), st.dates(),
            st.lists(st.integers(), max_size=2), st.dictionaries(st.text(), st.floats(), max_size=2)
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(
        [(t.name, c.name) for t in TABLES.values() for c in t.columns]
    ),
)  # fmt: skip
def test_any_value_in_any_column_is_coerced_and_checked_without_an_error(
    values: list[Any], place: tuple[str, str]
) -> None:
    name, column = place
    frame = coerced(pd.DataFrame({column: pd.Series(values, dtype=object)}), TABLES[name])
    assert len(frame) == len(values)
    json.dumps(frame[column].tolist(), allow_nan=False, default=str)
    found = faults(frame, TABLES[name], {}, NOW)
    assert set(found) <= set(range(len(values)))


# -- checks


def patient_faults(**columns: Any) -> dict[int, str]:
    frame = coerced(patients(2).assign(**columns), TABLES["patient_journeys"])
    return faults(frame, TABLES["patient_journeys"], {"hcp_profiles": {"hcp_00000"}}, NOW)


def test_a_good_row_has_no_fault_and_an_orphan_has_one() -> None:
    assert patient_faults() == {1: "hcp_id is not in hcp_profiles"}
    assert patient_faults(hcp_id=None) == {}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("patient_id", None, "patient_id is null"),
        ("brand", "kisqali", "brand is none of Remibrutinib"),
        ("disease_severity", 1e6, "disease_severity is too large"),
        ("disease_severity", 11, "disease_severity is not between 0 and 10"),
        ("disease_severity", "grave", "disease_severity is not a valid decimal"),
        ("age_at_diagnosis", 121, "age_at_diagnosis is not between 0 and 120"),
        ("age_at_diagnosis", 40.5, "age_at_diagnosis is not a valid integer"),
        ("days_to_treatment", 2**31, "days_to_treatment is too large"),
        ("journey_start_date", "2024-13-01", "journey_start_date is not a valid date"),
        ("insurance_type", "x" * 21, "insurance_type is longer than 20 characters"),
        ("insurance_type", "a\0b", "insurance_type holds a NUL character"),
        ("data_split", None, "data_split is null"),
    ],
)
def test_each_rule_of_a_column_refuses(column: str, value: Any, reason: str) -> None:
    found = patient_faults(hcp_id=None, **{column: [value, patients(2)[column].iloc[1]]})
    assert list(found) == [0]
    assert found[0].startswith(reason)


def test_the_future_has_no_feature_values() -> None:
    frame = pd.DataFrame(
        {
            "id": [str(uuid.uuid4()) for _ in range(2)],
            "feature_id": str(uuid.uuid4()),
            "entity_values": [{"a": 1}, {"a": 2}],
            "value": [{"value": 1}] * 2,
            "event_timestamp": ["2026-11-21T10:00:00", "2026-11-21T10:00:00.000001"],
            "freshness_status": "fresh",
        }
    )
    table = TABLES["feature_values"]
    found = faults(coerced(frame, table), table, {}, NOW)
    assert found == {1: "event_timestamp is in the future"}


def test_a_unique_column_is_judged_among_good_rows_only() -> None:
    frame = hcps(3).assign(npi="1000000000", geographic_region=["north", "south", "west"])
    table = TABLES["hcp_profiles"]
    found = faults(coerced(frame, table), table, {}, NOW)
    assert set(found) == {0, 2}
    assert found[2] == "an earlier row has the same npi"


def test_repeated_keys_are_found_also_in_json_and_never_by_null() -> None:
    frame = pd.DataFrame(
        {"a": ["x", "x", None, None], "b": [{"k": 1, "l": 2}, {"l": 2, "k": 1}, {}, {}]}
    )
    assert list(repeated_keys(frame, ("a", "b"))) == [1]
    assert repeated_keys(frame, ("a", "missing")) == {}


JSON = st.recursive(
    st.none() | st.text(max_size=3) | st.sampled_from(["\0", '", "', [], ["\0", "\0"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
)


@given(st.lists(JSON, max_size=6))
def test_json_is_written_together_as_one_by_one(values: list[Any]) -> None:
    assert json_texts(values) == list(map(canonical_json, values))


# -- bisecting


@settings(deadline=None)
@given(st.integers(0, 300), st.sets(st.integers(0, 299), max_size=12))
def test_bad_rows_cost_exactly_themselves(size: int, wanted: set[int]) -> None:
    bad = {row for row in wanted if row < size}
    kept: list[int] = []
    attempts = 0

    def attempt(low: int, high: int) -> int:
        nonlocal attempts
        attempts += 1
        if bad & set(range(low, high)):
            raise RowFaultError(f"{low}")
        kept.extend(range(low, high))
        return high - low

    found = isolate(0, size, attempt)
    assert set(found.refused) == bad
    assert sorted(kept) == sorted(set(range(size)) - bad)
    assert sum(found.taken) == size - len(bad)
    assert attempts <= 1 + 2 * len(bad) * (size.bit_length() + 1)


def test_of_two_rows_that_clash_the_first_stays() -> None:
    written: set[str] = set()
    names = ["a", "b", "c", "a"]

    def attempt(low: int, high: int) -> None:
        part = names[low:high]
        if len({*part}) < len(part) or written & {*part}:
            raise RowFaultError("taken")
        written.update(part)

    assert isolate(0, 4, attempt).refused == {3: "taken"}


def test_an_error_that_is_about_no_row_passes_through() -> None:
    def attempt(low: int, high: int) -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        isolate(0, 8, attempt)


def test_the_loader_reports_table_key_and_reason_of_each_bad_row() -> None:
    store = MemoryStore(lambda row: row["specialty"] == "bad")
    frame = hcps(1000).assign(specialty=["bad" if n in {3, 700} else "good" for n in range(1000)])
    result = BatchLoader(LoaderConfig(batch_size=300), store).load_table("hcp_profiles", frame)
    assert (result.records_loaded, result.records_failed) == (998, 2)
    assert result.failures == [
        RowFailure("hcp_profiles", ("hcp_00003",), "refused"),
        RowFailure("hcp_profiles", ("hcp_00700",), "refused"),
    ]
    assert result.errors == [
        "hcp_profiles hcp_00003: refused",
        "hcp_profiles hcp_00700: refused",
    ]
    assert (result.total_batches, result.failed_batches) == (4, [1, 3])
    assert store.attempts < 60


def test_a_repeated_key_costs_the_later_row() -> None:
    frame = pd.concat([hcps(5), hcps(1).assign(specialty="other")], ignore_index=True)
    store = MemoryStore()
    result = BatchLoader(DRY, store).load_table("hcp_profiles", frame)
    assert [f.reason for f in result.failures] == ["an earlier row has the same hcp_id"]
    assert store.rows["hcp_profiles"]['"hcp_00000"',]["specialty"] == "oncology"


def test_a_bad_row_does_not_cost_the_good_row_of_its_key() -> None:
    frame = pd.concat([hcps(1).assign(specialty="bad"), hcps(5)], ignore_index=True)
    store = MemoryStore(lambda row: row["specialty"] == "bad")
    result = BatchLoader(DRY, store).load_table("hcp_profiles", frame)
    assert [f.reason for f in result.failures] == ["refused"]
    assert store.rows["hcp_profiles"]['"hcp_00000"',]["specialty"] == "oncology"


def test_children_are_sent_with_the_ids_that_the_store_holds() -> None:
    ours, theirs = str(uuid.uuid4()), str(uuid.uuid4())
    group = pd.DataFrame({c: ["x"] for c in TABLE_COLUMNS["feature_groups"]}).assign(
        id=ours, name="group", tags=[["t"]], expected_update_frequency_hours=1, max_age_hours=1
    )
    feature = pd.DataFrame({c: ["x"] for c in TABLE_COLUMNS["features"]}).assign(
        id=str(uuid.uuid4()),
        feature_group_id=ours,
        name="feature",
        value_type="int64",
        entity_keys=[["hcp_id"]],
        tags=[["t"]],
        drift_threshold=0.1,
    )
    store = MemoryStore()
    store.stored_ids = {"group": theirs}
    BatchLoader(DRY, store).load_all({"features": feature, "feature_groups": group})
    [row] = store.rows["features"].values()
    assert row["feature_group_id"] == theirs


# -- retries


class PassingError(Exception):
    pass


def test_a_passing_fault_is_tried_again_and_no_other() -> None:
    calls: list[str] = []

    def flaky() -> str:
        calls.append("call")
        if len(calls) < 3:
            raise PassingError
        return "done"

    retry = Retry(times=3, delay=0.0)
    before: list[int] = []
    assert retry(flaky, lambda e: isinstance(e, PassingError), lambda: before.append(1)) == "done"
    assert (len(calls), len(before)) == (3, 2)
    calls.clear()
    with pytest.raises(PassingError):
        retry(flaky, lambda e: False)
    assert len(calls) == 1


def test_retries_end() -> None:
    calls: list[int] = []

    def broken() -> None:
        calls.append(1)
        raise PassingError

    with pytest.raises(PassingError):
        Retry(times=2, delay=0.0)(broken, lambda e: True)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("code", "passing"),
    [("40001", True), ("503", True), ("PGRST003", True), ("23505", False), ("22003", False)],
)
def test_what_is_passing_over_rest(code: str, passing: bool) -> None:
    from postgrest.exceptions import APIError

    assert is_passing(APIError({"code": code, "message": "m"})) is passing


# -- results


@pytest.mark.parametrize(
    ("loaded", "failed", "rate", "success"),
    [(96, 4, 0.96, True), (95, 5, 0.95, True), (90, 10, 0.90, False), (0, 0, 0.0, False)],
)
def test_success_rate(loaded: int, failed: int, rate: float, success: bool) -> None:
    result = LoadResult("t", loaded, failed, 1)
    assert (result.success_rate, result.is_success) == (rate, success)


def test_the_summary_has_a_line_per_table_and_a_total() -> None:
    results = {"a": LoadResult("a", 1500, 0, 2), "b": LoadResult("b", 1, 2, 1)}
    text = get_loading_summary(results)
    assert text.startswith("SYNTHETIC DATA LOADING SUMMARY")
    assert "100.0%" in text
    assert "33.3%" in text
    assert text.splitlines()[-1].split() == ["TOTAL:", "1,501", "of", "1,503", "99.9%"]
    assert "TOTAL:" in get_loading_summary({})


def test_settings_come_from_the_environment_and_keys_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://p.supabase.co")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "secret-key")
    config = LoaderConfig(dsn="postgresql://u:hidden@h/d")
    assert (config.supabase_url, config.supabase_key) == ("https://p.supabase.co", "secret-key")
    assert "secret-key" not in repr(config)
    assert "hidden" not in repr(config)
    assert (config.batch_size, config.max_retries, config.retry_delay_seconds) == (1000, 3, 1.0)


def test_a_batch_holds_a_row() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        LoaderConfig(batch_size=0)


# -- loading without a database


def test_a_dry_run_needs_no_database_and_counts_as_the_real_one_would() -> None:
    frame = patients(10)
    frame.loc[0, "brand"] = "kisqali"
    frame.loc[1, "hcp_id"] = "hcp_99999"
    frame.loc[2, "disease_severity"] = 1e5
    frame = pd.concat([frame, frame.iloc[[5]]], ignore_index=True)
    results = BatchLoader(DRY).load_all({"patient_journeys": frame, "hcp_profiles": hcps()})
    assert list(results) == ["hcp_profiles", "patient_journeys"]
    assert results["hcp_profiles"].records_failed == 0
    keys = [failure.key for failure in results["patient_journeys"].failures]
    assert keys == [(f"journey_00000{n}",) for n in (0, 1, 2, 5)]


def test_a_parent_that_is_not_loaded_is_not_checked() -> None:
    assert (
        BatchLoader(DRY).load_all({"patient_journeys": patients()})["patient_journeys"].success_rate
        == 1.0
    )


def test_other_ids_missing_nullable_columns_and_extra_columns_are_accepted() -> None:
    frame = patients().drop(columns=["days_to_treatment", "data_split"]).assign(extra=1)
    result = BatchLoader(DRY).load_table("patient_journeys", frame)
    assert (result.records_loaded, result.errors) == (10, [])


def test_a_missing_required_column_fails_every_row() -> None:
    result = BatchLoader(DRY).load_table("hcp_profiles", hcps().drop(columns=["hcp_id"]))
    assert (result.records_loaded, result.records_failed) == (0, 10)
    assert "Missing columns: hcp_id" in result.errors[0]


def test_an_empty_frame_loads_nothing() -> None:
    result = BatchLoader(DRY).load_table("hcp_profiles", hcps(0))
    assert (result.records_loaded, result.records_failed, result.total_batches) == (0, 0, 0)


def test_a_column_that_is_there_twice_is_refused() -> None:
    frame = hcps()
    with pytest.raises(ValueError, match="hcp_profiles has the columns npi twice"):
        BatchLoader(DRY).load_all({"hcp_profiles": pd.concat([frame, frame[["npi"]]], axis=1)})


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("hcp_profiles", "specialty", "\ud800", "half of a surrogate pair"),
        ("feature_values", "value", "x", "value is not JSON"),
        ("feature_values", "value", {"value": "a\0b"}, "NUL character"),
        ("feature_values", "value", {"value": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_what_a_server_would_refuse_is_refused_without_one(
    table: str, column: str, value: Any, reason: str
) -> None:
    frame = pd.DataFrame({column: pd.Series([value, None], dtype=object)})
    listed = replace(TABLES[table], columns=(TABLES[table].column(column),))
    found = faults(coerced(frame, listed), listed, {}, pd.Timestamp(2026, 1, 1))
    assert reason in found[0]


def test_an_unknown_table_is_refused_alone_and_passed_over_among_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValueError, match="Unknown table: planets"):
        BatchLoader(DRY).load_table("planets", hcps())
    given = {"planets": hcps(), "business_outcomes": hcps(), "hcp_profiles": hcps()}
    assert list(BatchLoader(DRY).load_all(given)) == ["hcp_profiles"]
    assert caplog.messages == ["not loaded, there is no such table: planets"]


def test_without_a_database_nothing_is_loaded() -> None:
    config = LoaderConfig(supabase_url=None, supabase_key=None)
    with pytest.raises(TargetError, match="no database to load into"):
        BatchLoader(config).load_all({"hcp_profiles": hcps()})


def test_progress_names_each_table_from_one_on() -> None:
    told: list[tuple[str, int, int]] = []
    rows: list[tuple[str, int]] = []
    BatchLoader(DRY).load_all(
        {"patient_journeys": patients(), "hcp_profiles": hcps()},
        lambda *args: told.append(args),
        lambda *args: rows.append(args),
    )
    assert told == [("hcp_profiles", 1, 2), ("patient_journeys", 2, 2)]
    assert rows == [("hcp_profiles", 10), ("patient_journeys", 10)]


def test_the_event_loop_goes_on_while_a_thread_loads() -> None:
    async def both() -> tuple[dict[str, LoadResult], LoadResult, int]:
        loader, ticks = AsyncBatchLoader(DRY), 0
        task = asyncio.create_task(loader.load_all_async({"hcp_profiles": hcps(5000)}))
        while not task.done():
            await asyncio.sleep(0)
            ticks += 1
        return await task, await loader.load_table_async("hcp_profiles", hcps()), ticks

    results, single, ticks = asyncio.run(both())
    assert results["hcp_profiles"].records_loaded == 5000
    assert single.records_loaded == 10
    assert ticks > 1


def test_a_checking_store_forgets_when_it_is_closed() -> None:
    store = CheckingStore(NOW)
    table = TABLES["patient_journeys"]
    store.write(TABLES["hcp_profiles"], coerced(hcps(1), TABLES["hcp_profiles"]), lambda _: None)
    frame = coerced(patients(2), table)
    assert list(store.write(table, frame, lambda _: None).refused) == [1]
    store.close()
    assert store.write(table, frame, lambda _: None).refused == {}


def test_an_upsert_leaves_equal_rows_and_stored_ids_alone() -> None:
    table = TABLES["feature_groups"]
    text = upsert_statement(upsert_of(table, ("id", "name", "owner"))).as_string()
    assert 'ON CONFLICT ("name") DO UPDATE SET "owner" = excluded."owner"' in text
    assert 'WHERE (t."owner") IS DISTINCT FROM (excluded."owner")' in text
    assert '"id" = excluded' not in text
    assert "DO NOTHING" in upsert_statement(upsert_of(table, ("id", "name"))).as_string()


@pytest.mark.parametrize("url", ["not a url", "http://[::1"])
def test_an_address_that_cannot_be_one_is_said(url: str) -> None:
    store = SupabaseStore(url, "ey.a.b")
    with pytest.raises(TargetError, match="Supabase") as caught:
        store.write(TABLES["hcp_profiles"], hcps(1), lambda _: None)
    assert caught.value.code == "supabase-key"

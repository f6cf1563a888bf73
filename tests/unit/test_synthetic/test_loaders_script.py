"""The load script without a database: sizes, what it says, and when it ends with 0."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scripts.load_synthetic_data import FULL_SIZES, SMALL_SIZES, main, naive_utc
from src.ml.synthetic import load_run
from src.ml.synthetic.config import DGPType
from src.ml.synthetic.datasets import Recipe, generate, start_of_today
from src.ml.synthetic.loaders import LOADING_ORDER, TABLE_COLUMNS, BatchLoader, LoaderConfig

SIZES = {name: max(60, size // 100) for name, size in FULL_SIZES.items()}
AS_OF = datetime(2026, 11, 20)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return generate(Recipe(SIZES, as_of=AS_OF))


def dry_run(root: Path, *words: str) -> int:
    return main(["--dry-run", "--target", "embedded", "--root", str(root), *words])


def give(monkeypatch: pytest.MonkeyPatch, tables: dict[str, pd.DataFrame]) -> None:
    monkeypatch.setattr(load_run, "generate", lambda _recipe, _announce: tables)


def test_the_small_sizes_are_a_tenth() -> None:
    assert FULL_SIZES["treatment_events"] == 75_000
    assert {name: 10 * size for name, size in SMALL_SIZES.items()} == dict(FULL_SIZES)


def test_a_recipe_gives_all_tables_and_the_same_each_time(
    tables: dict[str, pd.DataFrame],
) -> None:
    again = generate(Recipe(SIZES, as_of=AS_OF))
    assert list(tables) == list(LOADING_ORDER)
    for name, frame in tables.items():
        pd.testing.assert_frame_equal(frame, again[name])
        assert set(TABLE_COLUMNS[name]) <= set(frame.columns)


def test_another_seed_and_another_process_give_other_values(
    tables: dict[str, pd.DataFrame],
) -> None:
    for other in (Recipe(SIZES, seed=7, as_of=AS_OF), Recipe(SIZES, DGPType.SIMPLE_LINEAR)):
        scores = generate(other)["patient_journeys"]["engagement_score"]
        assert not scores.equals(tables["patient_journeys"]["engagement_score"])


def test_no_feature_value_lies_after_as_of(tables: dict[str, pd.DataFrame]) -> None:
    assert tables["feature_values"]["event_timestamp"].max() <= AS_OF.isoformat()
    assert start_of_today().time().isoformat() == "00:00:00"


def test_the_generated_tables_pass_the_loaders_own_checks(
    tables: dict[str, pd.DataFrame],
) -> None:
    loader = BatchLoader(LoaderConfig(dry_run=True, supabase_url=None))
    assert loader.validate_datasets(tables) == (True, [])
    assert [r.records_failed for r in loader.load_all(tables).values()] == [0] * 9


def test_a_good_dry_run_ends_with_0_and_makes_nothing(
    tmp_path: Path,
    tables: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(monkeypatch, tables)
    assert dry_run(tmp_path) == 0
    said = capsys.readouterr()
    total = sum(len(frame) for frame in tables.values())
    assert said.out.startswith("Dry run for embedded")
    assert said.out.endswith(f"{total:,} rows would load, 0 failed.\n")
    assert all(name in said.out for name in LOADING_ORDER)
    assert list(tmp_path.iterdir()) == []


def test_figures_as_json(
    tmp_path: Path,
    tables: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(monkeypatch, tables)
    assert dry_run(tmp_path, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures["tables"]) == list(LOADING_ORDER)
    assert figures["total"]["failed"] == 0
    assert figures["errors"] == []


def test_a_row_that_fails_ends_with_1_and_is_told(
    tmp_path: Path,
    tables: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    events = tables["treatment_events"].copy()
    events.loc[3, "hcp_id"] = "hcp_99999"
    give(monkeypatch, {**tables, "treatment_events": events})
    assert dry_run(tmp_path) == 1
    said = capsys.readouterr()
    assert said.err == "failed: treatment_events trx_00003: hcp_id is not in hcp_profiles\n"
    assert said.out.endswith("1 failed.\n")


@pytest.mark.parametrize(
    ("table", "change", "text"),
    [
        ("hcp_profiles", {"specialty": "astrology"}, "hcp_profiles.specialty: 'astrology' fails"),
        ("features", {"drift_threshold": 7.0}, "features.drift_threshold: 7.0 fails"),
    ],
)
def test_data_that_are_not_valid_are_not_loaded(
    tmp_path: Path,
    tables: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    change: dict[str, Any],
    text: str,
) -> None:
    give(monkeypatch, {**tables, table: tables[table].assign(**change)})
    assert dry_run(tmp_path) == 1
    said = capsys.readouterr()
    assert "VALIDATION FAILED" in said.err
    assert text in said.err
    assert "would load" not in said.out


def test_missing_columns_and_tables_end_with_1(
    tmp_path: Path,
    tables: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(monkeypatch, {**tables, "triggers": tables["triggers"].drop(columns=["priority"])})
    assert dry_run(tmp_path) == 1
    assert "Missing columns in triggers: priority" in capsys.readouterr().err


def test_a_target_that_is_not_there_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    assert main(["--target", "postgres", "--root", str(tmp_path), "--small"]) == 1
    assert "error: postgres: 127.0.0.1:1/nothing" in capsys.readouterr().err


def test_times_are_read_as_utc() -> None:
    assert naive_utc("2026-11-20") == AS_OF
    assert naive_utc("2026-11-20T02:00:00+02:00") == AS_OF


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--batch", "0"], "--batch: 0 is less than 1"),
        (["--batch", "x"], "--batch: 'x' is not a whole number"),
        (["--seed", "-1"], "--seed: -1 is less than 0"),
        (["--retries", "-1"], "--retries: -1 is less than 0"),
        (["--as-of", "soon"], "--as-of: 'soon' is not an ISO time"),
        (["--as-of", "2999-01-01"], "2999-01-01 is in the future"),
        (["--as-of", "2020-01-01"], "2020-01-01 is not after 2022-01-01"),
        (["--end-date", "1990-01-01"], "1990-01-01 is not after 2022-01-01"),
        (["--end-date", "31.12.2024"], "--end-date: '31.12.2024' is not a day"),
    ],
)
def test_a_bad_argument_ends_with_its_reason_before_anything_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        dry_run(tmp_path, *words)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

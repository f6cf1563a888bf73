"""What every generator keeps to: sizes, batches, determinism, the split rule."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.ml.synthetic.config import Brand, DataSplit
from src.ml.synthetic.generators import (
    BaseGenerator,
    BusinessMetricsGenerator,
    EngagementGenerator,
    FeatureStoreSeeder,
    FeatureValueGenerator,
    GenerationResult,
    GeneratorConfig,
    HCPGenerator,
    OutcomeGenerator,
    PatientGenerator,
    PredictionGenerator,
    TreatmentGenerator,
    TriggerGenerator,
)
from src.ml.synthetic.generators.dates import day_number, days_of, iso_dates, splits_of
from src.ml.synthetic.generators.draws import truncated_integers, truncated_normal
from tests.synthetic_data import config, linked_tables

ROOT = Path(__file__).parents[3]
ENTITIES: dict[type[BaseGenerator], str] = {
    HCPGenerator: "hcp_profiles",
    PatientGenerator: "patient_journeys",
    TreatmentGenerator: "treatment_events",
    EngagementGenerator: "engagement_events",
    OutcomeGenerator: "business_outcomes",
    PredictionGenerator: "ml_predictions",
    TriggerGenerator: "triggers",
    BusinessMetricsGenerator: "business_metrics",
    FeatureStoreSeeder: "feature_store_metadata",
    FeatureValueGenerator: "feature_values",
}
ROW_BY_ROW = [
    HCPGenerator,
    PatientGenerator,
    TreatmentGenerator,
    EngagementGenerator,
    OutcomeGenerator,
    PredictionGenerator,
    TriggerGenerator,
]
DATES = {
    "patient_journeys": "journey_start_date",
    "treatment_events": "treatment_date",
    "engagement_events": "engagement_date",
    "business_outcomes": "outcome_date",
    "ml_predictions": "prediction_date",
    "triggers": "trigger_timestamp",
    "business_metrics": "metric_date",
}


def _named(value: object) -> str:
    return getattr(value, "__name__", "")


each = pytest.mark.parametrize("kind", ROW_BY_ROW, ids=lambda kind: kind.__name__)


def digest(df: pd.DataFrame) -> str:
    return hashlib.sha256(df.to_json(orient="split").encode()).hexdigest()


@pytest.mark.parametrize(("kind", "entity"), ENTITIES.items(), ids=_named)
def test_a_generator_says_what_it_makes(kind: type[BaseGenerator], entity: str) -> None:
    assert kind().entity_type == entity
    assert kind().config == GeneratorConfig()


def test_the_settings_have_this_order_and_these_defaults() -> None:
    assert vars(GeneratorConfig()) == {
        "seed": 42,
        "batch_size": 1000,
        "n_records": 1000,
        "brand": None,
        "dgp_type": None,
        "start_date": date(2022, 1, 1),
        "end_date": date(2024, 12, 31),
        "verbose": False,
    }
    assert GeneratorConfig(7, 10, 20).n_records == 20


@each
def test_exactly_as_many_rows_as_asked(kind: type[BaseGenerator]) -> None:
    for n in (0, 1, 347):
        df = kind(config(n)).generate()
        assert len(df) == n
        assert len(df.columns) > 8


@each
def test_batches_go_on_numbering_and_the_last_is_the_rest(kind: type[BaseGenerator]) -> None:
    frames = list(kind(config(350, batch_size=100)).generate_batched())
    assert [len(frame) for frame in frames] == [100, 100, 100, 50]
    first = pd.concat(frames).iloc[:, 0]
    assert first.is_unique
    assert first.tolist() == kind(config(350)).generate().iloc[:, 0].tolist()


@each
def test_every_batch_has_its_own_stream(kind: type[BaseGenerator]) -> None:
    one, two = list(kind(config(200, batch_size=100)).generate_batched())
    changed = one.iloc[:, 1:].astype(str).to_numpy() != two.iloc[:, 1:].astype(str).to_numpy()
    assert changed.any(axis=0).mean() > 0.7


@pytest.mark.parametrize("kind", [PatientGenerator, EngagementGenerator, TreatmentGenerator])
def test_a_day_has_one_split_in_all_batches(kind: type[BaseGenerator]) -> None:
    generator = kind(config(2000, batch_size=300))
    df = pd.concat(generator.generate_batched())
    day = DATES[generator.entity_type]
    assert (df.groupby(day)["data_split"].nunique() == 1).all()
    assert set(df["data_split"]) == {split.value for split in DataSplit}
    assert 0.55 < (df["data_split"] == "train").mean() < 0.65


@each
def test_equal_settings_give_equal_frames_and_stay_as_they_are(kind: type[BaseGenerator]) -> None:
    settings = config(200)
    before = dict(vars(settings))
    first = kind(settings)
    pd.testing.assert_frame_equal(first.generate(), kind(settings).generate())
    pd.testing.assert_frame_equal(first.generate(), kind(settings).generate())
    assert vars(settings) == before


@each
def test_another_seed_gives_other_values(kind: type[BaseGenerator]) -> None:
    df, other = kind(config(200)).generate(), kind(config(200, seed=1)).generate()
    assert not df.iloc[:, 1:].astype(str).equals(other.iloc[:, 1:].astype(str))


def test_frames_are_the_same_in_every_process() -> None:
    script = (
        "import hashlib\n"
        "from tests.synthetic_data import linked_tables\n"
        "for df in linked_tables().values():\n"
        "    columns = [c for c in df if c != 'freshness_status']\n"
        "    print(hashlib.sha256(df[columns].to_json(orient='split').encode()).hexdigest())\n"
    )
    outputs = []
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", script]
        outputs.append(subprocess.check_output(command, env=env, cwd=ROOT, text=True).split())
    here = [
        digest(df[[c for c in df if c != "freshness_status"]]) for df in linked_tables().values()
    ]
    assert outputs == [here, here]


def test_the_command_line_loads_nothing_of_it() -> None:
    heavy = "{'pandas', 'scipy', 'statsmodels', 'pandera', 'src.ml.synthetic'}"
    script = f"import sys, orchestrator.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_result_tells_rows_time_and_settings() -> None:
    result = HCPGenerator(config(50, brand=Brand.KISQALI)).generate_with_result()
    assert (result.is_valid, result.n_records, result.entity_type) == (True, 50, "hcp_profiles")
    assert result.generation_time > 0
    assert result.metadata == {"seed": 42, "brand": "Kisqali", "dgp_type": None}


class Numbers(BaseGenerator):
    """The least that a generator has to say."""

    @property
    def entity_type(self) -> str:
        return "numbers"

    def generate(self) -> pd.DataFrame:
        return pd.DataFrame({"number": range(self.config.n_records)})


def test_a_generator_needs_a_name_and_a_frame() -> None:
    frames = list(Numbers(config(350, batch_size=100)).generate_batched())
    assert [len(frame) for frame in frames] == [100, 100, 100, 50]
    assert frames[3]["number"].tolist() == list(range(300, 350))
    assert Numbers().generate_with_result().is_valid
    with pytest.raises(TypeError, match="abstract"):
        BaseGenerator()  # type: ignore[abstract]


def test_a_result_whose_rows_do_not_agree_is_not_valid() -> None:
    assert not GenerationResult(pd.DataFrame({"a": [1]}), "x", 2, 0.1).is_valid


def test_verbose_tells_what_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    HCPGenerator(config(1500, verbose=True)).generate_with_result()
    assert capsys.readouterr().out.startswith("hcp_profiles: 1,500 rows")


@pytest.mark.parametrize(
    "settings",
    [
        {"n_records": -1},
        {"batch_size": 0},
        {"start_date": date(2024, 1, 2), "end_date": date(2024, 1, 1)},
        {"brand": "kisqali"},
        {"n_records": "100"},
        {"n_records": 10.5},
        {"n_records": True},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": None},
        {"start_date": "2024-01-01"},
        {"end_date": datetime(2024, 1, 1, tzinfo=UTC)},
    ],
)
def test_settings_that_no_frame_can_meet_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is a whole number|is a day|is before|kisqali"):
        HCPGenerator(GeneratorConfig(**settings))  # type: ignore[arg-type]


def test_frames_that_rows_cannot_be_linked_to_are_refused() -> None:
    hcps = HCPGenerator(config(20)).generate()
    for flag in (np.nan, 2):
        odd = hcps.assign(academic_hcp=[flag] + [0] * 19)
        with pytest.raises(ValueError, match="academic_hcp of hcp_df is 0 or 1"):
            PatientGenerator(config(20), odd).generate()
    with pytest.raises(ValueError, match="features_df lacks the columns id, name, entity_keys"):
        FeatureValueGenerator(config(20), pd.DataFrame({"a": [1]})).generate()


@pytest.mark.parametrize("kind", [*ROW_BY_ROW[1:], BusinessMetricsGenerator])
def test_no_date_lies_outside_the_range(kind: type[BaseGenerator]) -> None:
    start, end = date(2024, 2, 27), date(2024, 3, 9)
    generator = kind(config(400, start_date=start, end_date=end))
    days = days_of(generator.generate()[DATES[generator.entity_type]])
    assert day_number(start) <= days.min()
    assert days.max() <= day_number(end)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=200))
def test_the_split_rule_counts_distinct_days(values: list[int]) -> None:
    days = np.array(values, dtype=np.int64)
    distinct = sorted(set(values))
    k = len(distinct)
    edges = [int(k * 0.60), int(k * 0.80), int(k * 0.95)]
    names = [split.value for split in DataSplit]
    expected = [names[sum(distinct.index(d) >= edge for edge in edges)] for d in values]
    assert splits_of(days).tolist() == expected


def test_a_single_day_is_holdout() -> None:
    assert set(splits_of(np.array([5, 5, 5]))) == {"holdout"}


@given(st.lists(st.dates(date(1900, 1, 1), date(2100, 1, 1)), max_size=30))
def test_days_and_texts_turn_into_each_other(days: list[date]) -> None:
    numbers = np.array([day_number(day) for day in days], dtype=np.int64)
    texts = iso_dates(numbers)
    assert texts.tolist() == [day.isoformat() for day in days]
    assert days_of(pd.Series(texts, dtype=object)).tolist() == numbers.tolist()


@given(
    st.floats(-1e3, 1e3),
    st.floats(0.01, 100),
    st.floats(-100, 100),
    st.floats(0.01, 50),
    st.integers(0, 9),
)
def test_truncated_draws_stay_inside(
    mean: float, sd: float, low: float, width: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = truncated_normal(rng, 50, mean, sd, (low, low + width))
    assert ((values >= low) & (values <= low + width)).all()
    whole = truncated_integers(rng, 50, mean, sd, (int(low), int(low) + 3))
    assert set(whole) <= set(range(int(low), int(low) + 4))


Maker = Callable[[GeneratorConfig], BaseGenerator]


@pytest.mark.parametrize("kind", [*ROW_BY_ROW, BusinessMetricsGenerator])
def test_one_brand_alone(kind: Maker) -> None:
    assert set(kind(config(300, brand=Brand.FABHALTA)).generate()["brand"]) == {"Fabhalta"}


@pytest.mark.parametrize("kind", ROW_BY_ROW)
def test_texts_are_plain_objects(kind: Maker) -> None:
    df = kind(config(20)).generate()
    texts = [name for name in df if isinstance(df[name].iloc[0], str)]
    assert {str(df[name].dtype) for name in texts} == {"object"}
    assert {type(df[name].iloc[0]) for name in texts} == {str}

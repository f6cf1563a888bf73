"""Known effects and their store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.ml.synthetic.config import DGP_CONFIGS, Brand, DGPType
from src.ml.synthetic.ground_truth import causal_effects as module
from src.ml.synthetic.ground_truth.causal_effects import (
    GroundTruthEffect,
    GroundTruthStore,
    create_ground_truth_from_dgp_config,
    get_global_store,
    get_ground_truth,
    store_ground_truth,
    validate_estimate,
)


def effect(ate: float = 0.25, brand: Brand = Brand.KISQALI) -> GroundTruthEffect:
    return GroundTruthEffect(
        brand,
        DGPType.CONFOUNDED,
        ate,
        0.05,
        ["disease_severity"],
        "engagement_score",
        "treatment_initiated",
    )


@pytest.fixture
def global_store() -> Iterator[GroundTruthStore]:
    store = get_global_store()
    store.clear()
    yield store
    store.clear()


@pytest.mark.parametrize(
    ("estimated", "valid"), [(0.25, True), (0.2999, True), (0.2001, True), (0.31, False)]
)
def test_an_estimate_within_the_tolerance_is_right(estimated: float, valid: bool) -> None:
    assert effect().is_estimate_valid(estimated) is valid


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_the_error_is_absolute(true: float, estimated: float) -> None:
    assert effect(true).get_error(estimated) == abs(true - estimated)


def test_an_effect_becomes_plain_data() -> None:
    found = effect().to_dict()
    assert (found["brand"], found["dgp_type"]) == ("Kisqali", "confounded")
    assert {type(found["brand"]), type(found["dgp_type"])} == {str}
    assert datetime.fromisoformat(found["generation_timestamp"])
    assert set(json.loads(json.dumps(found))) == {
        "brand",
        "dgp_type",
        "true_ate",
        "tolerance",
        "confounders",
        "treatment_variable",
        "outcome_variable",
        "generation_timestamp",
        "cate_by_segment",
        "n_samples",
        "data_split_counts",
    }


def test_the_last_effect_of_a_key_is_kept() -> None:
    store = GroundTruthStore()
    store.store(effect(0.1))
    store.store(effect(0.2))
    store.store(effect(0.3, Brand.FABHALTA))
    kept = store.get(Brand.KISQALI, DGPType.CONFOUNDED)
    assert kept is not None
    assert kept.true_ate == 0.2
    assert [e.true_ate for e in store.get_all()] == [0.2, 0.3]
    assert store.get(Brand.KISQALI, DGPType.SIMPLE_LINEAR) is None
    store.clear()
    assert store.get_all() == []


def test_a_store_judges_estimates() -> None:
    store = GroundTruthStore()
    store.store(effect())
    assert store.validate_estimate(Brand.KISQALI, DGPType.CONFOUNDED, 0.5) == {
        "is_valid": False,
        "true_ate": 0.25,
        "estimated_ate": 0.5,
        "error": 0.25,
        "tolerance": 0.05,
        "brand": "Kisqali",
        "dgp_type": "confounded",
    }
    assert store.validate_estimate(Brand.KISQALI, DGPType.CONFOUNDED, 0.26)["is_valid"]


def test_an_unknown_effect_is_told() -> None:
    found = GroundTruthStore().validate_estimate(Brand.KISQALI, DGPType.CONFOUNDED, 0.5)
    assert found["is_valid"] is False
    assert found["error"] == "no ground truth for Kisqali and confounded"


def test_a_brand_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="aspirin"):
        GroundTruthStore().get("aspirin", DGPType.CONFOUNDED)  # type: ignore[arg-type]


def test_a_process_has_one_store(global_store: GroundTruthStore) -> None:
    assert get_global_store() is global_store is module.get_global_store()
    store_ground_truth(effect())
    assert get_ground_truth(Brand.KISQALI, DGPType.CONFOUNDED) == effect_of(global_store)
    assert validate_estimate(Brand.KISQALI, DGPType.CONFOUNDED, 0.25)["is_valid"]
    assert get_ground_truth(Brand.FABHALTA, DGPType.CONFOUNDED) is None


def effect_of(store: GroundTruthStore) -> GroundTruthEffect:
    return store.get_all()[0]


@pytest.mark.parametrize("dgp", list(DGPType))
def test_an_effect_is_made_of_the_settings(dgp: DGPType) -> None:
    found = create_ground_truth_from_dgp_config(Brand.FABHALTA, dgp, 10, {"train": 6})
    settings = DGP_CONFIGS[dgp]
    assert (found.true_ate, found.tolerance) == (settings.true_ate, settings.tolerance)
    assert (found.n_samples, found.data_split_counts) == (10, {"train": 6})
    assert found.cate_by_segment == settings.cate_by_segment
    found.confounders.append("x")
    assert "x" not in settings.confounders

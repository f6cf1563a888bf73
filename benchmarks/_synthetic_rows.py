"""The synthetic tables row by row: one NumPy draw after another, one dict for each row.

This is how such generators are usually written. They make the same columns as the vectorised ones
from much the same distributions, and serve `synthetic_generators.py` as the measure.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

Rng = np.random.Generator
_START, _DAYS = date(2022, 1, 1), 1096
_BRANDS = ["Remibrutinib", "Fabhalta", "Kisqali"]
_REGIONS = ["northeast", "south", "midwest", "west"]
_SPLITS = ["train", "validation", "test", "holdout"]


def _day(rng: Rng) -> date:
    return _START + timedelta(days=int(rng.integers(_DAYS)))


def _frame(n: int, row: Callable[[Rng, int], dict[str, Any]]) -> pd.DataFrame:
    rng = np.random.default_rng(42)
    return pd.DataFrame([row(rng, i) for i in range(n)])


def _owner(rng: Rng, patients: pd.DataFrame | None) -> dict[str, Any]:
    """The keys of a patient: one of the frame, else an invented one."""
    if patients is not None:
        found = patients.iloc[int(rng.integers(len(patients)))]
        names = ("patient_journey_id", "patient_id", "hcp_id", "brand", "data_split")
        return {name: found[name] for name in names}
    number = int(rng.integers(100_000))
    return {
        "patient_journey_id": f"patient_{number:06d}",
        "patient_id": f"pt_{number:06d}",
        "hcp_id": f"hcp_{int(rng.integers(10_000)):05d}",
        "brand": rng.choice(_BRANDS),
        "data_split": rng.choice(
            ["train", "validation", "test", "holdout"], p=[0.6, 0.2, 0.15, 0.05]
        ),
    }


def hcps(n: int) -> pd.DataFrame:
    """hcp_profiles."""

    def row(rng: Rng, i: int) -> dict[str, Any]:
        practice = rng.choice(["academic", "community", "private"], p=[0.25, 0.5, 0.25])
        return {
            "hcp_id": f"hcp_{i:05d}",
            "npi": str(1_000_000_000 + i),
            "specialty": rng.choice(
                ["dermatology", "allergy_immunology", "rheumatology"], p=[0.5, 0.35, 0.15]
            ),
            "practice_type": practice,
            "geographic_region": rng.choice(_REGIONS, p=[0.22, 0.38, 0.21, 0.19]),
            "years_experience": int(np.clip(rng.normal(16, 9), 2, 39)),
            "academic_hcp": int(rng.random() < (0.8 if practice == "academic" else 0.15)),
            "total_patient_volume": int(np.clip(rng.normal(200, 80), 50, 600)),
            "brand": rng.choice(_BRANDS),
        }

    return _frame(n, row)


def patients(n: int, hcp_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """patient_journeys of the confounded process."""

    def row(rng: Rng, i: int) -> dict[str, Any]:
        severity, academic = float(np.clip(rng.normal(5, 2), 0, 10)), int(rng.random() < 0.3)
        hcp = f"hcp_{int(rng.integers(10_000)):05d}"
        if hcp_df is not None:
            found = hcp_df.iloc[int(rng.integers(len(hcp_df)))]
            hcp, academic = found["hcp_id"], found["academic_hcp"]
        drive = (3 + 0.3 * severity + 2 * academic + rng.normal()) / 3
        engagement = 10 / (1 + np.exp(-drive))
        latent = -4.25 + 0.25 * engagement + 0.4 * severity + 0.6 * academic + rng.normal()
        return {
            "patient_journey_id": f"patient_{i:06d}",
            "patient_id": f"pt_{i:06d}",
            "hcp_id": hcp,
            "brand": rng.choice(_BRANDS),
            "journey_start_date": _day(rng).isoformat(),
            "data_split": rng.choice(_SPLITS),
            "disease_severity": severity,
            "academic_hcp": academic,
            "engagement_score": engagement,
            "treatment_initiated": int(latent > 0),
            "days_to_treatment": int(rng.integers(7, 90)) if latent > 0 else None,
            "geographic_region": rng.choice(_REGIONS),
            "insurance_type": rng.choice(["commercial", "medicare", "medicaid"], p=[0.6, 0.3, 0.1]),
            "age_at_diagnosis": int(np.clip(rng.normal(55, 15), 18, 84)),
        }

    return _frame(n, row)


def treatments(n: int, patient_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """treatment_events."""
    kinds = ["prescription", "consultation", "lab_test", "procedure"]

    def row(rng: Rng, i: int) -> dict[str, Any]:
        return {
            "treatment_event_id": f"trx_{i:05d}",
            **_owner(rng, patient_df),
            "treatment_date": _day(rng).isoformat(),
            "treatment_type": rng.choice(kinds, p=[0.7, 0.15, 0.11, 0.04]),
            "days_supply": int(rng.integers(7, 90)),
            "refill_number": int(rng.integers(12)),
            "adherence_score": round(float(np.clip(rng.normal(0.75, 0.15), 0, 1)), 2),
            "efficacy_score": round(float(np.clip(rng.normal(0.65, 0.2), 0, 1)), 2),
        }

    return _frame(n, row)


def engagements(n: int, hcp_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """engagement_events."""
    kinds = ["detail_visit", "digital", "speaker_program", "sample_request", "webinar"]

    def row(rng: Rng, i: int) -> dict[str, Any]:
        hcp = f"hcp_{int(rng.integers(10_000)):05d}"
        if hcp_df is not None:
            hcp = hcp_df.iloc[int(rng.integers(len(hcp_df)))]["hcp_id"]
        return {
            "engagement_event_id": f"eng_{i:05d}",
            "hcp_id": hcp,
            "rep_id": f"rep_{int(rng.integers(200)):05d}",
            "brand": rng.choice(_BRANDS),
            "engagement_date": _day(rng).isoformat(),
            "engagement_type": rng.choice(kinds, p=[0.4, 0.2, 0.1, 0.2, 0.1]),
            "quality_score": round(float(np.clip(rng.normal(6.5, 1.8), 0, 10)), 1),
            "duration_minutes": int(rng.integers(2, 180)),
            "data_split": rng.choice(_SPLITS),
        }

    return _frame(n, row)


def outcomes(n: int, patient_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """business_outcomes."""
    worth = {"prescription_written": 0, "prescription_filled": 5000, "treatment_adherent": 15_000}

    def row(rng: Rng, i: int) -> dict[str, Any]:
        kind = str(rng.choice(list(worth), p=[0.4, 0.35, 0.25]))
        engagement, severity = rng.uniform(0, 10), rng.uniform(0, 10)
        return {
            "outcome_id": f"out_{i:05d}",
            **_owner(rng, patient_df),
            "outcome_type": kind,
            "outcome_date": _day(rng).isoformat(),
            "outcome_value": round(
                worth[kind] * (0.5 + engagement / 10) * rng.lognormal(0, 0.2), 2
            ),
            "engagement_at_outcome": engagement,
            "disease_severity_at_outcome": severity,
        }

    return _frame(n, row)


def predictions(n: int, patient_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """ml_predictions."""
    kinds = ["propensity", "risk", "trigger", "churn", "next_best_action"]

    def row(rng: Rng, i: int) -> dict[str, Any]:
        confidence = round(rng.uniform(0.6, 0.95), 3)
        return {
            "prediction_id": f"pred_{i:05d}",
            **_owner(rng, patient_df),
            "prediction_type": rng.choice(kinds, p=[0.3, 0.25, 0.2, 0.15, 0.1]),
            "prediction_value": round(float(rng.beta(2, 3)), 4),
            "confidence_score": confidence,
            "uncertainty": round(1 - confidence, 3),
            "model_version": f"v{int(rng.integers(1, 4))}.{int(rng.integers(5))}",
            "prediction_date": _day(rng).isoformat(),
        }

    return _frame(n, row)


def triggers(n: int, patient_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """triggers."""
    kinds = ["adherence_risk", "churn_prevention", "cross_sell", "engagement_gap"]

    def row(rng: Rng, i: int) -> dict[str, Any]:
        day, lead = _day(rng), int(rng.integers(3, 30))
        answer = rng.choice(["pending", "accepted", "rejected", "expired"], p=[0.3, 0.4, 0.2, 0.1])
        tracked = bool(rng.random() < 0.4)
        return {
            "trigger_id": f"trg_{i:05d}",
            **_owner(rng, patient_df),
            "trigger_timestamp": day.isoformat(),
            "trigger_type": rng.choice(kinds),
            "priority": rng.choice(["critical", "high", "medium", "low"], p=[0.1, 0.3, 0.4, 0.2]),
            "confidence_score": round(rng.uniform(0.5, 0.99), 3),
            "lead_time_days": lead,
            "expiration_date": (day + timedelta(days=lead)).isoformat(),
            "delivery_channel": rng.choice(["email", "crm", "mobile", "portal", "rep_alert"]),
            "delivery_status": rng.choice(
                ["pending", "delivered", "viewed", "failed"], p=[0.1, 0.6, 0.25, 0.05]
            ),
            "acceptance_status": answer,
            "outcome_tracked": tracked,
            "outcome_value": round(rng.uniform(), 3) if tracked and answer == "accepted" else None,
            "trigger_reason": "Refills come later than the supply lasts",
            "recommended_action": "Offer the support programme",
            "causal_chain": {"root_cause": "refill_gap", "confidence": round(rng.uniform(), 3)},
            "supporting_evidence": {"model_version": "v1.0", "data_sources": ["claims", "crm"]},
        }

    return _frame(n, row)


def metrics(n: int) -> pd.DataFrame:
    """business_metrics, its changes drawn and not computed."""
    names = ["trx", "nrx", "market_share", "conversion_rate", "hcp_engagement_score"]

    def row(rng: Rng, i: int) -> dict[str, Any]:
        target = 27_500 * rng.uniform(1.05, 1.15)
        value = 27_500 * float(np.clip(rng.normal(1, 0.13), 0.82, 1.18))
        return {
            "metric_id": f"metric_{uuid.uuid4().hex[:12]}",
            "metric_date": (_START + timedelta(days=i // 60)).isoformat(),
            "metric_type": names[i % 5],
            "metric_name": "Total Prescriptions",
            "brand": _BRANDS[i // 20 % 3],
            "region": _REGIONS[i // 5 % 4],
            "value": round(value, 2),
            "target": round(target, 2),
            "achievement_rate": round(value / target, 3),
            "year_over_year_change": round(float(np.clip(rng.normal(0.06, 0.1), -1, 1.5)), 3),
            "month_over_month_change": round(float(np.clip(rng.normal(0, 0.1), -0.5, 0.5)), 3),
            "roi": round(float(np.clip(rng.normal(2.3, 0.8), 0.6, 4.1)), 2),
            "statistical_significance": round(rng.uniform(0.001, 0.1), 3),
            "confidence_interval_lower": round(value * 0.95, 2),
            "confidence_interval_upper": round(value * 1.05, 2),
            "sample_size": int(rng.integers(500, 5000)),
            "data_split": rng.choice(_SPLITS),
        }

    return _frame(n, row)


_FEATURES: list[tuple[str, tuple[str, ...], tuple[float, float] | None]] = [
    ("specialty_encoded", ("hcp_id",), None),
    ("years_experience", ("hcp_id",), (16, 9)),
    ("disease_severity", ("patient_id",), (5, 2)),
    ("insurance_tier", ("patient_id",), None),
    ("conversion_rate", ("brand", "region"), (0.15, 0.05)),
    ("engagement_score", ("patient_id",), (5.5, 2)),
]


def feature_values(n: int, patient_df: pd.DataFrame | None = None) -> pd.DataFrame:
    """feature_values."""
    ids = {name: str(uuid.uuid4()) for name, _, _ in _FEATURES}
    end = pd.Timestamp(_START) + pd.Timedelta(days=_DAYS)

    def row(rng: Rng, i: int) -> dict[str, Any]:
        name, keys, normal = _FEATURES[i % len(_FEATURES)]
        owner = {} if "brand" in keys else _owner(rng, patient_df)
        places = {"brand": str(rng.choice(_BRANDS)), "region": str(rng.choice(_REGIONS))}
        entity = {key: {**places, **owner}[key] for key in keys}
        age = pd.Timedelta(days=min(float(rng.exponential(300)), _DAYS))
        moment = (end - age).isoformat()
        key = ids[name] + json.dumps(entity, sort_keys=True) + moment
        hours = age.total_seconds() / 3600
        value = (
            str(rng.choice(["high", "medium", "low"], p=[0.3, 0.5, 0.2]))
            if normal is None
            else round(float(np.clip(rng.normal(*normal), 0, 45)), 4)
        )
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, key)),
            "feature_id": ids[name],
            "entity_values": entity,
            "value": {"value": value},
            "event_timestamp": moment,
            "freshness_status": "fresh" if hours < 24 else "stale" if hours < 168 else "expired",
        }

    return _frame(n, row)

"""Triggers: what a representative is told to do about a patient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.generators.base import Batch, GeneratorConfig
from src.ml.synthetic.generators.dates import Text, day_number, iso_dates
from src.ml.synthetic.generators.draws import (
    Floats,
    Ints,
    collector_paused,
    frame_of,
    numbered,
    objects,
    picked,
)
from src.ml.synthetic.generators.links import required
from src.ml.synthetic.generators.patient_events import PatientEventGenerator, Rows

#: type: (why, what to do, root cause)
TRIGGER_TEXTS: dict[str, tuple[str, str, str]] = {
    "prescription_opportunity": (
        "The patient meets the criteria and has no prescription yet",
        "Discuss eligibility at the next visit",
        "unmet_need",
    ),
    "adherence_risk": (
        "Refills come later than the supply lasts",
        "Offer the support programme to the patient",
        "refill_gap",
    ),
    "churn_prevention": (
        "The pattern of visits resembles that of patients who stopped",
        "Arrange a follow-up within two weeks",
        "declining_visits",
    ),
    "cross_sell": (
        "A second condition makes another product suitable",
        "Send the material on the second indication",
        "comorbidity",
    ),
    "engagement_gap": (
        "The HCP was not reached for more than a quarter",
        "Plan a detail visit in the coming weeks",
        "low_contact",
    ),
    "competitive_threat": (
        "A competitor's product was prescribed in this practice",
        "Present the comparative evidence",
        "competitor_activity",
    ),
    "treatment_switch": (
        "The response to the present treatment is weak",
        "Review alternatives together with the HCP",
        "weak_response",
    ),
    "reactivation": (
        "A former patient has become eligible again",
        "Invite the HCP to re-evaluate the patient",
        "lapsed_patient",
    ),
}
#: for patients with treatment, and for the others
_RETENTION = ("adherence_risk", "churn_prevention", "treatment_switch", "cross_sell")
_ACQUISITION = (
    "prescription_opportunity",
    "engagement_gap",
    "competitive_threat",
    "reactivation",
)
PRIORITIES = {"critical": 0.10, "high": 0.30, "medium": 0.40, "low": 0.20}
CHANNELS = ("email", "crm", "mobile", "portal", "rep_alert")
DELIVERIES = {"pending": 0.10, "delivered": 0.60, "viewed": 0.25, "failed": 0.05}
ANSWERS = {"pending": 0.30, "accepted": 0.40, "rejected": 0.20, "expired": 0.10}
_TRACKED = 0.4
_SECONDS_A_DAY = 86_400
_VERSIONS = ("v1.0", "v1.1", "v2.0")
_SOURCES = ("claims", "ehr", "crm", "lab")


class TriggerGenerator(PatientEventGenerator):
    """Rows of triggers, of the patients and HCPs that are given, else of invented ones.

    Only with both frames do timestamps have a time of day and types depend on treatment.
    """

    entity_type = "triggers"

    def __init__(
        self,
        config: GeneratorConfig | None = None,
        patient_df: pd.DataFrame | None = None,
        hcp_df: pd.DataFrame | None = None,
    ) -> None:
        """Raises ValueError where hcp_df has no hcp_id or no row."""
        super().__init__(config, patient_df)
        self._both = patient_df is not None and hcp_df is not None
        if hcp_df is None:
            return
        required(hcp_df, "hcp_df", ("hcp_id",))
        if hcp_df.empty:
            raise ValueError("hcp_df holds no HCP")
        hcps = objects(hcp_df["hcp_id"].tolist())
        # a patient whose HCP does not exist gets another
        known = np.isin(self._patients.hcp_id.astype(str), hcps.astype(str))
        others = hcps[np.arange(len(self._patients)) % hcps.size]
        hcp_id = np.where(known, self._patients.hcp_id, others)
        self._patients = replace(self._patients, hcp_id=hcp_id)

    @collector_paused()
    def _frame(self, batch: Batch) -> pd.DataFrame:
        rows, rng = self._rows(batch), batch.rng
        size, patients = len(rows), rows.patients
        kind = self._types(rng, patients.initiated)
        why, action, cause = (
            objects(list(texts)) for texts in zip(*TRIGGER_TEXTS.values(), strict=True)
        )
        lead = rng.integers(3, 30, size=size)
        columns: dict[str, Any] = {
            "trigger_id": numbered("trg", self._numbers(batch, rows)),
            "patient_id": patients.patient_id,
            "hcp_id": patients.hcp_id,
            "trigger_timestamp": self._timestamps(rng, rows),
            "trigger_type": objects(list(TRIGGER_TEXTS))[kind],
            "priority": picked(rng, size, list(PRIORITIES), list(PRIORITIES.values())),
            "confidence_score": rng.integers(500, 991, size=size) / 1000,
            "lead_time_days": lead,
            "expiration_date": iso_dates(rows.days + lead),
            "delivery_channel": picked(rng, size, CHANNELS, None),
        }
        # each is possible only after the one before
        delivery = picked(rng, size, list(DELIVERIES), list(DELIVERIES.values()))
        answer = picked(rng, size, list(ANSWERS), list(ANSWERS.values()))
        answer[(delivery != "delivered") & (delivery != "viewed")] = "pending"
        tracked = rng.random(size) < _TRACKED
        value: Floats = rng.beta(3, 2, size=size).round(3)
        value[~(tracked & (answer == "accepted"))] = np.nan
        sure = (rng.integers(500, 991, size=size) / 1000).tolist()
        versions = picked(rng, size, _VERSIONS, None)
        firsts = rng.integers(len(_SOURCES), size=size).tolist()
        pairs = [[a, b] for a, b in zip(_SOURCES, (*_SOURCES[1:], _SOURCES[0]), strict=True)]
        columns |= {
            "delivery_status": delivery,
            "acceptance_status": answer,
            "outcome_tracked": tracked,
            "outcome_value": value,
            "trigger_reason": why[kind],
            "recommended_action": action[kind],
            "causal_chain": objects(
                [{"root_cause": c, "confidence": p} for c, p in zip(cause[kind], sure, strict=True)]
            ),
            "supporting_evidence": objects(
                [
                    {"model_version": version, "data_sources": pairs[first].copy()}
                    for version, first in zip(versions, firsts, strict=True)
                ]
            ),
            "brand": patients.brand,
            "data_split": rows.split,
        }
        return frame_of(columns)

    def _types(self, rng: np.random.Generator, initiated: Ints) -> Ints:
        """Positions in `TRIGGER_TEXTS`; retention for treated patients, acquisition for others."""
        if not self._both:
            return rng.integers(len(TRIGGER_TEXTS), size=len(initiated))
        names = list(TRIGGER_TEXTS)
        table = np.array([[names.index(n) for n in kinds] for kinds in (_ACQUISITION, _RETENTION)])
        return table[initiated, rng.integers(table.shape[1], size=len(initiated))]

    def _timestamps(self, rng: np.random.Generator, rows: Rows) -> Text:
        """The date, with both frames a time of day too; never after midnight of the end date."""
        if not self._both:
            return iso_dates(rows.days)
        seconds = rng.integers(_SECONDS_A_DAY, size=len(rows))
        seconds[rows.days == day_number(self.config.end_date)] = 0
        moments = (rows.days * _SECONDS_A_DAY + seconds).astype("datetime64[s]")
        return objects([text.replace("T", " ") for text in np.datetime_as_string(moments).tolist()])

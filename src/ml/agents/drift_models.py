"""What the drift monitor is asked, and what it answers."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from src.ml.agents.names import check_brand, storable
from src.ml.agents.periods import check_anchor

_LONGEST = 365
_WINDOW = re.compile(r"^[0-9]{1,7}d$")
_ModelId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]


class Severity(StrEnum):
    """How far a distribution has moved."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class DriftType(StrEnum):
    """What has moved: features, a model's predictions, or how often it is right.

    `missing` is of alerts: values, types or rows that a feature has lost.
    """

    MISSING = "missing"
    DATA = "data"
    MODEL = "model"
    CONCEPT = "concept"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class DriftRequest(_Model):
    """A question to the drift monitor."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    #: names; null is every feature that is stored
    features: Annotated[list[str], Field(min_length=1)] | None = None
    #: `<N>d`, N days from 1 to 365: the length of the current window and of the baseline before it
    time_window: Annotated[
        str, Field(json_schema_extra={"maxLength": 8, "pattern": _WINDOW.pattern})
    ] = "7d"
    #: version of the model whose predictions are checked too
    model_id: _ModelId | None = None
    brand: str | None = None
    #: end of the current window; by default the latest timestamp in the data
    as_of: Annotated[datetime | None, AfterValidator(check_anchor)] = None
    significance_level: Annotated[float, Field(ge=0.01, le=0.10)] = 0.05
    #: in place of each feature's own threshold
    psi_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    check_data_drift: bool = True
    check_model_drift: bool = True
    check_concept_drift: bool = True

    @field_validator("time_window")
    @classmethod
    def _days_in_range(cls, text: str) -> str:
        if not _WINDOW.fullmatch(text) or not 1 <= int(text[:-1]) <= _LONGEST:
            raise ValueError(f"time_window is 1d to {_LONGEST}d, not {text[:20]}")
        return text

    @field_validator("brand")
    @classmethod
    def _brand_is_known(cls, name: str | None) -> str | None:
        return None if name is None else check_brand(name)

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if not (self.check_data_drift or self.check_model_drift or self.check_concept_drift):
            raise ValueError(
                "nothing to check: set check_data_drift, check_model_drift or check_concept_drift"
            )
        return self

    @property
    def days(self) -> int:
        """Length of each window."""
        return int(self.time_window[:-1])


class DriftResult(_Model):
    """What was found for one feature, or one check of a model."""

    feature: str
    status: Literal["checked", "insufficient_data"]
    drift_type: DriftType
    #: PSI less what it is without drift; for `model_accuracy` the z value of the drop
    test_statistic: float | None
    p_value: float | None
    #: after Benjamini-Hochberg over the features
    p_value_adjusted: float | None
    drift_detected: bool
    severity: Severity
    #: ISO timestamps `start/end`, the start excluded
    baseline_period: str
    current_period: str
    n_baseline: int
    n_current: int
    #: what else than the distribution has moved: missing or mistyped values, rows
    reasons: list[str] = []
    #: how grave the move of the distribution is, and the loss; `severity` is the graver one
    shift_severity: Severity = Severity.NONE
    loss_severity: Severity = Severity.NONE
    #: share of the values that would have to move, 0 to 1
    effect_size: float | None = None
    #: how many values say as much as one independent value
    design_effect: float = 1.0


class DriftAlert(_Model):
    """Something that a person should look at."""

    alert_id: str
    severity: Literal["critical", "warning"]
    drift_type: DriftType
    affected_features: list[str]
    message: str
    recommended_action: str
    timestamp: datetime


class DriftReport(_Model):
    """The drift monitor's answer."""

    status: Literal["completed", "insufficient_data", "no_data"]
    #: 0 to 1, mean over what was checked; null if nothing could be
    overall_drift_score: float | None
    features_checked: int
    features_with_drift: list[str]
    results: list[DriftResult]
    alerts: list[DriftAlert]
    drift_summary: str
    recommended_actions: list[str]
    detection_latency_ms: float
    timestamp: datetime
    warnings: list[str]

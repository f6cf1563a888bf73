"""What the loader knows of each table: columns, types, keys and references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from types import MappingProxyType

from src.ml.synthetic.config import BRANDS, COLUMN_RENAMES, REGIONS, DataSplit

LOADING_ORDER = (
    "hcp_profiles",
    "patient_journeys",
    "treatment_events",
    "ml_predictions",
    "triggers",
    "business_metrics",
    "feature_groups",
    "features",
    "feature_values",
)


class Kind(Enum):
    """How a column's values are written."""

    TEXT = auto()
    CHOICE = auto()
    INTEGER = auto()
    DECIMAL = auto()
    FLOAT = auto()
    BOOLEAN = auto()
    DATE = auto()
    TIMESTAMP = auto()
    UUID = auto()
    JSON = auto()


@dataclass(frozen=True)
class Column:
    """A column that is sent, with what the database demands of it."""

    name: str
    kind: Kind = Kind.TEXT
    #: whether the database refuses a null
    required: bool = False
    #: whether the database fills in the column where it is not sent at all
    defaulted: bool = False
    #: characters of a text; digits in all of a DECIMAL
    width: int | None = None
    #: digits behind the point of a DECIMAL
    scale: int = 0
    #: smallest and largest number
    low: float | None = None
    high: float | None = None
    #: the words of a CHOICE
    choices: tuple[str, ...] = ()
    #: whether a timestamp may not lie after now
    past: bool = False
    #: whether a JSON value must be a list with an item
    filled: bool = False


@dataclass(frozen=True)
class Reference:
    """A foreign key: `column` holds a value of `parent`'s `parent_column`."""

    column: str
    parent: str
    parent_column: str


@dataclass(frozen=True)
class Table:
    """A table that is loaded."""

    name: str
    columns: tuple[Column, ...]
    #: the natural key: what an upsert finds its row by
    key: tuple[str, ...]
    #: the surrogate that a row keeps once it is stored, if the key is another
    surrogate: str | None = None
    #: further single columns that are unique
    unique: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which no row can be written."""
        return tuple(c.name for c in self.columns if c.required and not c.defaulted)

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]


_text = partial(Column, kind=Kind.TEXT)
_choice = partial(Column, kind=Kind.CHOICE)
_integer = partial(Column, kind=Kind.INTEGER)
_decimal = partial(Column, kind=Kind.DECIMAL)
_float = partial(Column, kind=Kind.FLOAT)
_boolean = partial(Column, kind=Kind.BOOLEAN)
_date = partial(Column, kind=Kind.DATE)
_moment = partial(Column, kind=Kind.TIMESTAMP, required=True)
_uuid = partial(Column, kind=Kind.UUID, required=True)
_json = partial(Column, kind=Kind.JSON)

_BRAND = _choice("brand", choices=(*BRANDS, "competitor", "other"))
_REGION = _choice("geographic_region", choices=tuple(REGIONS))
_SPLIT = _choice("data_split", choices=(*DataSplit, "unassigned"), required=True, defaulted=True)
_SCALARS = ("int64", "float64", "string")
_VALUE_TYPES = (*_SCALARS, "bool", "timestamp", *(f"array_{kind}" for kind in _SCALARS))
_HCP = Reference("hcp_id", "hcp_profiles", "hcp_id")

_TABLES = (
    Table(
        "hcp_profiles",
        (
            _text("hcp_id", width=20, required=True),
            _text("npi", width=20),
            _text("specialty", width=100),
            _text("practice_type", width=50),
            _REGION,
            _integer("years_experience"),
            _integer("total_patient_volume"),
        ),
        key=("hcp_id",),
        unique=("npi",),
    ),
    Table(
        "patient_journeys",
        (
            _text("patient_journey_id", width=20, required=True),
            _text("patient_id", width=20, required=True),
            _text("hcp_id", width=20),
            _BRAND,
            _date("journey_start_date", required=True),
            _text("insurance_type", width=20),
            _REGION,
            _decimal("disease_severity", width=4, scale=2, low=0, high=10),
            _integer("academic_hcp", low=0, high=1),
            _decimal("engagement_score", width=4, scale=2, low=0, high=10),
            _integer("treatment_initiated", low=0, high=1),
            _integer("days_to_treatment"),
            _integer("age_at_diagnosis", low=0, high=120),
            _SPLIT,
        ),
        key=("patient_journey_id",),
        references=(_HCP,),
    ),
    Table(
        "treatment_events",
        (
            _text("treatment_event_id", width=30, required=True),
            _text("patient_journey_id", width=20),
            _text("patient_id", width=20, required=True),
            _text("hcp_id", width=20),
            _BRAND,
            _date("event_date", required=True),
            _choice(
                "event_type",
                choices=(
                    "diagnosis",
                    "prescription",
                    "lab_test",
                    "procedure",
                    "consultation",
                    "hospitalization",
                ),
            ),
            _integer("duration_days"),
            _SPLIT,
        ),
        key=("treatment_event_id",),
        references=(
            Reference("patient_journey_id", "patient_journeys", "patient_journey_id"),
            _HCP,
        ),
    ),
    Table(
        "ml_predictions",
        (
            _text("prediction_id", width=30, required=True),
            _text("patient_id", width=20, required=True),
            _text("hcp_id", width=20),
            _choice(
                "prediction_type",
                choices=("trigger", "propensity", "risk", "churn", "next_best_action"),
            ),
            _decimal("prediction_value", width=5, scale=4),
            _decimal("confidence_score", width=5, scale=4),
            _text("model_version", width=20),
            _moment("prediction_timestamp"),
            _SPLIT,
        ),
        key=("prediction_id",),
        references=(_HCP,),
    ),
    Table(
        "triggers",
        (
            _text("trigger_id", width=30, required=True),
            _text("patient_id", width=20, required=True),
            _text("hcp_id", width=20),
            _moment("trigger_timestamp"),
            _text("trigger_type", width=50),
            _choice("priority", choices=("critical", "high", "medium", "low")),
            _decimal("confidence_score", width=4, scale=3),
            _integer("lead_time_days"),
            _date("expiration_date"),
            _text("delivery_channel", width=20),
            _text("delivery_status", width=20),
            _text("acceptance_status", width=20),
            _boolean("outcome_tracked"),
            _decimal("outcome_value", width=4, scale=3),
            _text("trigger_reason"),
            _json("causal_chain"),
            _json("supporting_evidence"),
            _text("recommended_action"),
            _SPLIT,
        ),
        key=("trigger_id",),
        references=(_HCP,),
    ),
    Table(
        "business_metrics",
        (
            _text("metric_id", width=50, required=True),
            _date("metric_date", required=True),
            _text("metric_type", width=30, required=True),
            _text("metric_name", width=100),
            replace(_BRAND, required=True),
            replace(_REGION, name="region", required=True),
            _decimal("value", width=15, scale=4),
            _decimal("target", width=15, scale=4),
            _decimal("achievement_rate", width=5, scale=3),
            _decimal("year_over_year_change", width=5, scale=3),
            _decimal("month_over_month_change", width=5, scale=3),
            _decimal("roi", width=5, scale=2),
            _decimal("statistical_significance", width=4, scale=3),
            _decimal("confidence_interval_lower", width=15, scale=4),
            _decimal("confidence_interval_upper", width=15, scale=4),
            _integer("sample_size"),
            _SPLIT,
        ),
        key=("metric_date", "metric_type", "brand", "region"),
        surrogate="metric_id",
        unique=("metric_id",),
    ),
    Table(
        "feature_groups",
        (
            _uuid("id"),
            _text("name", width=255, required=True),
            _text("description"),
            _text("owner", width=100),
            _json("tags"),
            _text("source_table", width=255),
            _integer("expected_update_frequency_hours", low=1),
            _integer("max_age_hours", low=1),
        ),
        key=("name",),
        surrogate="id",
        unique=("id",),
    ),
    Table(
        "features",
        (
            _uuid("id"),
            _uuid("feature_group_id"),
            _text("name", width=255, required=True),
            _text("description"),
            _choice("value_type", choices=_VALUE_TYPES, required=True),
            _json("entity_keys", required=True, filled=True),
            _text("owner", width=100),
            _json("tags"),
            _float("drift_threshold"),
        ),
        key=("feature_group_id", "name"),
        surrogate="id",
        unique=("id",),
        references=(Reference("feature_group_id", "feature_groups", "id"),),
    ),
    Table(
        "feature_values",
        (
            _uuid("id"),
            _uuid("feature_id"),
            _json("entity_values", required=True),
            _json("value", required=True),
            _moment("event_timestamp", past=True),
            _choice(
                "freshness_status",
                choices=("fresh", "stale", "expired"),
                required=True,
                defaulted=True,
            ),
        ),
        key=("feature_id", "entity_values", "event_timestamp"),
        surrogate="id",
        unique=("id",),
        references=(Reference("feature_id", "features", "id"),),
    ),
)

TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _TABLES})

#: table → the columns that are sent, in the database's names
TABLE_COLUMNS: dict[str, list[str]] = {name: list(TABLES[name].names) for name in LOADING_ORDER}

#: table → generator's column → database's column
RENAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(COLUMN_RENAMES)

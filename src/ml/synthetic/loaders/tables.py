"""What the loader knows of each table: columns, types, keys and references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

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


def _text(name: str, width: int | None = None, *, required: bool = False) -> Column:
    return Column(name, Kind.TEXT, required, width=width)


def _choice(name: str, *choices: str, required: bool = False, defaulted: bool = False) -> Column:
    return Column(name, Kind.CHOICE, required or defaulted, defaulted, choices=choices)


def _integer(
    name: str, low: float | None = None, high: float | None = None, *, required: bool = False
) -> Column:
    return Column(name, Kind.INTEGER, required, low=low, high=high)


def _decimal(
    name: str, width: int, scale: int, low: float | None = None, high: float | None = None
) -> Column:
    return Column(name, Kind.DECIMAL, width=width, scale=scale, low=low, high=high)


def _date(name: str, *, required: bool = False) -> Column:
    return Column(name, Kind.DATE, required)


def _moment(name: str, *, past: bool = False) -> Column:
    return Column(name, Kind.TIMESTAMP, required=True, past=past)


def _uuid(name: str) -> Column:
    return Column(name, Kind.UUID, required=True)


def _json(name: str, *, required: bool = False, filled: bool = False) -> Column:
    return Column(name, Kind.JSON, required, filled=filled)


_REGIONS = ("northeast", "south", "midwest", "west")
_BRAND = _choice("brand", "Remibrutinib", "Fabhalta", "Kisqali", "competitor", "other")
_SPLIT = _choice(
    "data_split", "train", "validation", "test", "holdout", "unassigned", defaulted=True
)
_REGION = _choice("geographic_region", *_REGIONS)
_HCP = Reference("hcp_id", "hcp_profiles", "hcp_id")

_TABLES = (
    Table(
        "hcp_profiles",
        (
            _text("hcp_id", 20, required=True),
            _text("npi", 20),
            _text("specialty", 100),
            _text("practice_type", 50),
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
            _text("patient_journey_id", 20, required=True),
            _text("patient_id", 20, required=True),
            _text("hcp_id", 20),
            _BRAND,
            _date("journey_start_date", required=True),
            _text("insurance_type", 20),
            _REGION,
            _decimal("disease_severity", 4, 2, 0, 10),
            _integer("academic_hcp", 0, 1),
            _decimal("engagement_score", 4, 2, 0, 10),
            _integer("treatment_initiated", 0, 1),
            _integer("days_to_treatment"),
            _integer("age_at_diagnosis", 0, 120),
            _SPLIT,
        ),
        key=("patient_journey_id",),
        references=(_HCP,),
    ),
    Table(
        "treatment_events",
        (
            _text("treatment_event_id", 30, required=True),
            _text("patient_journey_id", 20),
            _text("patient_id", 20, required=True),
            _text("hcp_id", 20),
            _BRAND,
            _date("event_date", required=True),
            _choice(
                "event_type",
                "diagnosis",
                "prescription",
                "lab_test",
                "procedure",
                "consultation",
                "hospitalization",
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
            _text("prediction_id", 30, required=True),
            _text("patient_id", 20, required=True),
            _text("hcp_id", 20),
            _choice(
                "prediction_type", "trigger", "propensity", "risk", "churn", "next_best_action"
            ),
            _decimal("prediction_value", 5, 4),
            _decimal("confidence_score", 5, 4),
            _text("model_version", 20),
            _moment("prediction_timestamp"),
            _SPLIT,
        ),
        key=("prediction_id",),
        references=(_HCP,),
    ),
    Table(
        "triggers",
        (
            _text("trigger_id", 30, required=True),
            _text("patient_id", 20, required=True),
            _text("hcp_id", 20),
            _moment("trigger_timestamp"),
            _text("trigger_type", 50),
            _choice("priority", "critical", "high", "medium", "low"),
            _decimal("confidence_score", 4, 3),
            _integer("lead_time_days"),
            _date("expiration_date"),
            _text("delivery_channel", 20),
            _text("delivery_status", 20),
            _text("acceptance_status", 20),
            Column("outcome_tracked", Kind.BOOLEAN),
            _decimal("outcome_value", 4, 3),
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
            _text("metric_id", 50, required=True),
            _date("metric_date", required=True),
            _text("metric_type", 30, required=True),
            _text("metric_name", 100),
            Column("brand", Kind.CHOICE, required=True, choices=_BRAND.choices),
            _choice("region", *_REGIONS, required=True),
            _decimal("value", 15, 4),
            _decimal("target", 15, 4),
            _decimal("achievement_rate", 5, 3),
            _decimal("year_over_year_change", 5, 3),
            _decimal("month_over_month_change", 5, 3),
            _decimal("roi", 5, 2),
            _decimal("statistical_significance", 4, 3),
            _decimal("confidence_interval_lower", 15, 4),
            _decimal("confidence_interval_upper", 15, 4),
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
            _text("name", 255, required=True),
            _text("description"),
            _text("owner", 100),
            _json("tags"),
            _text("source_table", 255),
            _integer("expected_update_frequency_hours", 1),
            _integer("max_age_hours", 1),
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
            _text("name", 255, required=True),
            _text("description"),
            _choice(
                "value_type",
                "int64",
                "float64",
                "string",
                "bool",
                "timestamp",
                "array_int64",
                "array_float64",
                "array_string",
                required=True,
            ),
            _json("entity_keys", required=True, filled=True),
            _text("owner", 100),
            _json("tags"),
            Column("drift_threshold", Kind.FLOAT),
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
            _choice("freshness_status", "fresh", "stale", "expired", defaulted=True),
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
RENAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "treatment_events": MappingProxyType(
            {
                "treatment_date": "event_date",
                "treatment_type": "event_type",
                "days_supply": "duration_days",
            }
        ),
        "ml_predictions": MappingProxyType({"prediction_date": "prediction_timestamp"}),
    }
)

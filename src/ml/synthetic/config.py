"""What synthetic data looks like: value sets, causal structures, split boundaries and volumes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import NoReturn


class _Name(StrEnum):
    """A fixed set of names; the refusal of any other lists them."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"{value!r} is not a {cls.__name__}; known are {', '.join(cls)}")


class Brand(_Name):
    """The brands, spelled as the database spells them."""

    REMIBRUTINIB = "Remibrutinib"
    FABHALTA = "Fabhalta"
    KISQALI = "Kisqali"


class DGPType(_Name):
    """Data-generating processes, by what makes their effect hard to estimate."""

    SIMPLE_LINEAR = "simple_linear"
    CONFOUNDED = "confounded"
    HETEROGENEOUS = "heterogeneous"
    TIME_SERIES = "time_series"
    SELECTION_BIAS = "selection_bias"


class DataSplit(_Name):
    """The parts of a data set, in the order of time."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    HOLDOUT = "holdout"


class SpecialtyEnum(_Name):
    """Specialties of health-care professionals (HCPs)."""

    DERMATOLOGY = "dermatology"
    HEMATOLOGY = "hematology"
    ONCOLOGY = "oncology"
    NEUROLOGY = "neurology"
    RHEUMATOLOGY = "rheumatology"
    INTERNAL_MEDICINE = "internal_medicine"
    GENERAL_PRACTICE = "general_practice"
    ALLERGY_IMMUNOLOGY = "allergy_immunology"


class PracticeTypeEnum(_Name):
    """Kinds of practice."""

    ACADEMIC = "academic"
    COMMUNITY = "community"
    PRIVATE = "private"


class RegionEnum(_Name):
    """Sales regions."""

    NORTHEAST = "northeast"
    SOUTH = "south"
    MIDWEST = "midwest"
    WEST = "west"


class InsuranceTypeEnum(_Name):
    """Who pays."""

    COMMERCIAL = "commercial"
    MEDICARE = "medicare"
    MEDICAID = "medicaid"


class EngagementTypeEnum(_Name):
    """How a representative reaches an HCP."""

    DETAIL_VISIT = "detail_visit"
    DIGITAL = "digital"
    SPEAKER_PROGRAM = "speaker_program"
    SAMPLE_REQUEST = "sample_request"
    WEBINAR = "webinar"


BRANDS: list[str] = [brand.value for brand in Brand]
DGP_TYPES: list[str] = [dgp.value for dgp in DGPType]
REGIONS: list[str] = [region.value for region in RegionEnum]

#: column of a generated frame: column of the database, by table
COLUMN_RENAMES: dict[str, dict[str, str]] = {
    "treatment_events": {
        "treatment_date": "event_date",
        "treatment_type": "event_type",
        "days_supply": "duration_days",
    },
    "ml_predictions": {"prediction_date": "prediction_timestamp"},
}


@dataclass(frozen=True)
class DGPConfig:
    """One data-generating process; `true_ate` is the probit slope per engagement point."""

    dgp_type: DGPType
    true_ate: float
    #: largest error of an estimate that still counts as right
    tolerance: float = 0.05
    confounders: list[str] = field(default_factory=list)
    treatment_variable: str = "engagement_score"
    outcome_variable: str = "treatment_initiated"
    description: str = ""
    #: slope by segment of disease severity, where it differs
    cate_by_segment: dict[str, float] | None = None
    #: earlier engagement values that act on the outcome
    lag_periods: int = 1
    include_seasonality: bool = False


_BOTH = ("disease_severity", "academic_hcp")

DGP_CONFIGS: dict[DGPType, DGPConfig] = {
    DGPType.SIMPLE_LINEAR: DGPConfig(
        DGPType.SIMPLE_LINEAR,
        0.40,
        description="Engagement is drawn at random; a comparison without adjustment is right.",
    ),
    DGPType.CONFOUNDED: DGPConfig(
        DGPType.CONFOUNDED,
        0.25,
        confounders=list(_BOTH),
        description="Severity and academic practice drive engagement and initiation alike.",
    ),
    DGPType.HETEROGENEOUS: DGPConfig(
        DGPType.HETEROGENEOUS,
        0.30,
        confounders=list(_BOTH),
        description="The sicker the patient, the more engagement does.",
        cate_by_segment={"high_severity": 0.50, "medium_severity": 0.30, "low_severity": 0.15},
    ),
    DGPType.TIME_SERIES: DGPConfig(
        DGPType.TIME_SERIES,
        0.30,
        confounders=["disease_severity"],
        description="Present and earlier engagement act together, under a yearly season.",
        lag_periods=2,
        include_seasonality=True,
    ),
    DGPType.SELECTION_BIAS: DGPConfig(
        DGPType.SELECTION_BIAS,
        0.35,
        confounders=list(_BOTH),
        description="Representatives seek out the HCPs of the sickest patients.",
    ),
}


@dataclass(frozen=True)
class SplitBoundaries:
    """Dates and shares of the splits; each end date still belongs to its split."""

    data_start_date: date = date(2022, 1, 1)
    data_end_date: date = date(2024, 12, 31)
    train_end_date: date = date(2023, 6, 30)
    validation_end_date: date = date(2024, 3, 31)
    test_end_date: date = date(2024, 9, 30)
    train_ratio: float = 0.60
    validation_ratio: float = 0.20
    test_ratio: float = 0.15
    holdout_ratio: float = 0.05
    #: days to leave out between two splits; kept as a setting, the generators do not apply it
    temporal_gap_days: int = 7

    @property
    def ratios(self) -> dict[str, float]:
        """Share of the rows by split, in the order of time; they sum to 1."""
        shares = (self.train_ratio, self.validation_ratio, self.test_ratio, self.holdout_ratio)
        return {split.value: share for split, share in zip(DataSplit, shares, strict=True)}

    def get_split_for_date(self, d: date) -> DataSplit:
        """The split that a calendar day falls into."""
        if d <= self.train_end_date:
            return DataSplit.TRAIN
        if d <= self.validation_end_date:
            return DataSplit.VALIDATION
        return DataSplit.TEST if d <= self.test_end_date else DataSplit.HOLDOUT


@dataclass(frozen=True)
class EntityVolumes:
    """How many rows a full data set has, and (lowest, highest) counts per patient or HCP."""

    hcp_profiles_per_brand: int = 5000
    patient_journeys_per_brand: int = 28333
    treatment_events_per_patient: tuple[int, int] = (10, 40)
    engagement_events_per_patient: tuple[int, int] = (2, 10)
    ml_predictions_per_patient: tuple[int, int] = (1, 5)
    triggers_per_hcp: tuple[int, int] = (5, 20)
    outcomes_per_patient: tuple[int, int] = (0, 3)

    @property
    def total_hcps(self) -> int:
        """HCPs of all brands."""
        return self.hcp_profiles_per_brand * len(Brand)

    @property
    def total_patients(self) -> int:
        """Patients of all brands."""
        return self.patient_journeys_per_brand * len(Brand)


@dataclass(frozen=True)
class SyntheticDataConfig:
    """Settings of a whole data set."""

    config_name: str = "e2i_synthetic_v1"
    config_version: str = "1.0.0"
    split_boundaries: SplitBoundaries = field(default_factory=SplitBoundaries)
    entity_volumes: EntityVolumes = field(default_factory=EntityVolumes)
    batch_size: int = 1000
    random_seed: int = 42
    min_refutation_pass_rate: float = 0.60
    ate_tolerance: float = 0.05
    #: share of values that a study may blank, by column; the generators blank none
    missingness_rates: dict[str, float] = field(
        default_factory=lambda: {"insurance_type": 0.05, "age_at_diagnosis": 0.02}
    )
    #: standard deviation of noise that a study may add, by column; the generators add none
    measurement_error_std: dict[str, float] = field(
        default_factory=lambda: {"disease_severity": 0.3, "engagement_score": 0.2}
    )

    def get_dgp_config(self, t: DGPType) -> DGPConfig:
        """The settings of one process. Raises ValueError for an unknown one."""
        return DGP_CONFIGS[DGPType(t)]

    def get_all_dgp_configs(self) -> dict[DGPType, DGPConfig]:
        """The settings of every process."""
        return dict(DGP_CONFIGS)


DEFAULT_CONFIG = SyntheticDataConfig()

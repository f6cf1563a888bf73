"""Figures that describe data sets: columns, splits, brands, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from src.ml.synthetic.config import BRANDS, DataSplit

_SPLITS = tuple(split.value for split in DataSplit)
_SAMPLES = 5


@dataclass
class SplitStats:
    """How many rows a split has."""

    split_name: str
    record_count: int
    #: 0 to 100
    percentage: float
    #: first and last date, ISO
    date_range: tuple[str, str] | None = None


@dataclass
class ColumnStats:
    """What a column holds; the figures from `mean` on only for numeric columns."""

    column_name: str
    dtype: str
    null_count: int
    #: 0 to 100
    null_percentage: float
    unique_count: int
    sample_values: list[Any] = field(default_factory=list)
    mean: float | None = None
    std: float | None = None
    min_value: float | None = None
    max_value: float | None = None
    #: at "25%", "50%" and "75%"
    percentiles: dict[str, float] | None = None


@dataclass
class DatasetStats:
    """What a table holds."""

    table_name: str
    total_records: int
    column_count: int
    column_stats: dict[str, ColumnStats] = field(default_factory=dict)
    split_stats: list[SplitStats] | None = None
    brand_distribution: dict[str, int] | None = None
    memory_usage_mb: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values; memory to two decimals."""
        return {**asdict(self), "memory_usage_mb": round(self.memory_usage_mb, 2)}

    def summary(self) -> str:
        """A few lines for people."""
        lines = [
            f"{self.table_name}: {self.total_records:,} records, {self.column_count} columns, "
            f"{self.memory_usage_mb:.2f} MB"
        ]
        lines += [
            f"  split {split.split_name}: {split.record_count:,} ({split.percentage:.1f}%)"
            for split in self.split_stats or ()
        ]
        lines += [
            f"  brand {brand}: {count:,}"
            for brand, count in (self.brand_distribution or {}).items()
        ]
        return "\n".join(lines)


def get_column_stats(df: pd.DataFrame, column: str) -> ColumnStats:
    """Figures of one column. Raises KeyError if it is not there."""
    values = df[column]
    nulls = int(values.isna().sum())
    present = values.dropna()
    stats = ColumnStats(
        column,
        # text is "object" under every version of pandas
        "object" if isinstance(values.dtype, pd.StringDtype) else str(values.dtype),
        nulls,
        100.0 * nulls / len(values) if len(values) else 0.0,
        # dicts and lists are counted as text
        int((present.astype(str) if values.dtype == object else present).nunique()),
        present.head(_SAMPLES).tolist(),
    )
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = present.astype(float)
        stats.mean, stats.std = float(numbers.mean()), float(numbers.std())
        stats.min_value, stats.max_value = float(numbers.min()), float(numbers.max())
        stats.percentiles = {f"{n}%": float(numbers.quantile(n / 100)) for n in (25, 50, 75)}
    return stats


def get_split_stats(
    df: pd.DataFrame, split_column: str = "data_split", date_column: str | None = None
) -> list[SplitStats]:
    """The standard splits that occur, in the order of time; none without the column."""
    if split_column not in df.columns:
        return []
    counts = df[split_column].astype(object).value_counts()
    return [
        SplitStats(
            split,
            int(counts[split]),
            100.0 * int(counts[split]) / len(df),
            _date_range(df.loc[df[split_column] == split], date_column),
        )
        for split in _SPLITS
        if split in counts.index
    ]


def _date_range(df: pd.DataFrame, column: str | None) -> tuple[str, str] | None:
    if column is None or column not in df.columns:
        return None
    dates = pd.to_datetime(df[column].dropna())
    if dates.empty:
        return None
    return dates.min().date().isoformat(), dates.max().date().isoformat()


def get_dataset_stats(
    df: pd.DataFrame,
    table_name: str,
    split_column: str = "data_split",
    brand_column: str = "brand",
    date_column: str | None = None,
) -> DatasetStats:
    """Figures of a table; splits and brands only if it has such columns."""
    brands = None
    if brand_column in df.columns:
        counts = df[brand_column].astype(object).value_counts()
        brands = {str(brand): int(count) for brand, count in counts.items()}
    return DatasetStats(
        table_name,
        len(df),
        len(df.columns),
        {column: get_column_stats(df, column) for column in df.columns},
        get_split_stats(df, split_column, date_column) if split_column in df.columns else None,
        brands,
        float(df.memory_usage(deep=True).sum()) / 2**20,
    )


def get_all_datasets_stats(
    datasets: Mapping[str, pd.DataFrame],
    split_column: str = "data_split",
    brand_column: str = "brand",
) -> dict[str, DatasetStats]:
    """Figures of every table, by name."""
    return {
        name: get_dataset_stats(df, name, split_column, brand_column)
        for name, df in datasets.items()
    }


def validate_supabase_data(
    datasets: Mapping[str, pd.DataFrame],
    expected_brands: Sequence[str] | None = None,
    expected_splits: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Whether brands and splits are those that the database knows.

    `is_valid`, `errors`, `warnings` and `stats` (figures by table). A column that is not there is
    not judged.
    """
    errors: list[str] = []
    warnings: list[str] = []
    for name, df in datasets.items():
        if df.empty:
            errors.append(f"Empty dataset: {name}")
            continue
        brands = [] if "brand" not in df.columns else map(str, df["brand"].dropna().unique())
        for brand in (b for b in brands if b not in (expected_brands or BRANDS)):
            what = "Lowercase" if brand == brand.lower() else "Invalid"
            errors.append(f"{what} brand in {name}: {brand}")
        if "data_split" in df.columns:
            splits = expected_splits or _SPLITS
            missing = [split for split in splits if not (df["data_split"] == split).any()]
            # without a holdout nothing can be judged at the end
            if DataSplit.HOLDOUT in missing:
                missing.remove(DataSplit.HOLDOUT)
                errors.append(f"Missing holdout in {name}")
            if missing:
                warnings.append(f"Missing splits in {name}: {', '.join(missing)}")
    stats = get_all_datasets_stats(datasets)
    return {"is_valid": not errors, "errors": errors, "warnings": warnings, "stats": stats}


def print_dataset_summary(datasets: Mapping[str, pd.DataFrame]) -> None:
    """Print the figures of every table."""
    print("SYNTHETIC DATA SUMMARY")
    for stats in get_all_datasets_stats(datasets).values():
        print(stats.summary())

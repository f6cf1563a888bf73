"""Checks that the splits of a data set share no entity, follow in time, and have their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pandas as pd

from src.ml.synthetic.config import DEFAULT_CONFIG, DataSplit, SyntheticDataConfig

_CRITICAL, _WARNING = "critical", "warning"
#: how many entities a leakage names
_SHOWN = 5


@dataclass
class LeakageInfo:
    """Something that a model would learn from rows it must not see."""

    leakage_type: str
    #: "critical" or "warning"
    severity: str
    description: str
    affected_entities: int = 0
    affected_splits: list[str] = field(default_factory=list)
    sample_ids: list[Any] = field(default_factory=list)


@dataclass
class SplitValidationResult:
    """What was found in one table; ratios are shares of all its records."""

    is_valid: bool
    total_records: int
    split_counts: dict[str, int] = field(default_factory=dict)
    split_ratios: dict[str, float] = field(default_factory=dict)
    expected_ratios: dict[str, float] = field(default_factory=dict)
    #: absolute difference to the expected ratio
    ratio_errors: dict[str, float] = field(default_factory=dict)
    leakages: list[LeakageInfo] = field(default_factory=list)
    temporal_violations: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add_leakage(self, leakage: LeakageInfo) -> None:
        """Note a leakage; a critical one makes the result invalid."""
        self.leakages.append(leakage)
        if leakage.severity == _CRITICAL:
            self.is_valid = False

    def add_entities(self, kind: str, pairs: pd.DataFrame, what: str) -> None:
        """Note a critical leakage if there are pairs of an entity and a split that must not be."""
        entity, split = pairs.columns
        ids = pairs[entity].drop_duplicates()
        if len(ids):
            splits = sorted(pairs[split].astype(str).unique())
            text = f"{len(ids)} values of {entity} {what}"
            shown = ids.head(_SHOWN).tolist()
            self.add_leakage(LeakageInfo(kind, _CRITICAL, text, len(ids), splits, shown))

    def has_critical_leakage(self) -> bool:
        """Whether any leakage is critical."""
        return any(leakage.severity == _CRITICAL for leakage in self.leakages)


class SplitValidator:
    """Looks for leakage between splits."""

    def __init__(
        self, config: SyntheticDataConfig | None = None, ratio_tolerance: float = 0.05
    ) -> None:
        self.config = DEFAULT_CONFIG if config is None else config
        self.ratio_tolerance = ratio_tolerance

    def validate(
        self,
        df: pd.DataFrame,
        entity_column: str = "patient_id",
        date_column: str = "journey_start_date",
        split_column: str = "data_split",
        target_column: str | None = None,
    ) -> SplitValidationResult:
        """Leakages and ratios of one table; the date column may be absent.

        A target that is the same in a whole split is warned of.
        """
        result = SplitValidationResult(True, len(df))
        missing = [column for column in (entity_column, split_column) if column not in df]
        if missing:
            result.is_valid = False
            result.errors.append(f"Missing columns: {', '.join(missing)}")
            return result
        result.expected_ratios = self.config.split_boundaries.ratios
        counts = df[split_column].value_counts()
        result.split_counts = {str(name): int(count) for name, count in counts.items()}
        total = max(len(df), 1)
        result.split_ratios = {name: n / total for name, n in result.split_counts.items()}
        for name, expected in result.expected_ratios.items():
            found = result.split_ratios.get(name, 0.0)
            result.ratio_errors[name] = abs(found - expected)
            if result.ratio_errors[name] > self.ratio_tolerance:
                text = f"split {name} holds {found:.1%} of the records, expected {expected:.1%}"
                result.warnings.append(text)
        pairs = df[[entity_column, split_column]].dropna().drop_duplicates()
        shared = pairs[pairs.duplicated(entity_column, keep=False)]
        result.add_entities("entity_overlap", shared, "occur in more than one split")
        if date_column in df:
            _check_order(result, df, date_column, split_column)
        if target_column is not None and target_column not in df:
            result.warnings.append(f"the target column {target_column} is missing")
        elif target_column is not None:
            values = df.groupby(df[split_column].astype(object))[target_column].nunique()
            result.warnings += [
                f"{target_column} has one value only in split {name}"
                for name in values.index[values == 1]
            ]
        return result

    def validate_multiple_datasets(
        self,
        datasets: Mapping[str, pd.DataFrame],
        entity_column: str = "patient_id",
        date_column: str = "journey_start_date",
        split_column: str = "data_split",
    ) -> dict[str, SplitValidationResult]:
        """The result of every table; entities must keep the split of the first table with them.

        A table without the split or entity column has nothing to check and is warned of.
        """
        results: dict[str, SplitValidationResult] = {}
        known = pd.Series(dtype=object)
        for name, df in datasets.items():
            missing = [column for column in (split_column, entity_column) if column not in df]
            if missing:
                warning = f"{name} has no column {', '.join(missing)} and was not checked"
                results[name] = SplitValidationResult(True, len(df), warnings=[warning])
                continue
            results[name] = self.validate(df, entity_column, date_column, split_column)
            first = df.drop_duplicates(entity_column).set_index(entity_column)[split_column]
            # entities whose split differs from that in an earlier table
            pairs = df[[entity_column, split_column]].drop_duplicates()
            expected = pairs[entity_column].map(known)
            moved = pairs[expected.notna() & (expected != pairs[split_column])]
            what = f"have another split in {name} than before"
            results[name].add_entities("cross_dataset_inconsistency", moved, what)
            known = pd.concat([known, first[~first.index.isin(known.index)].astype(object)])
        return results

    def get_validation_summary(
        self, results: Mapping[str, SplitValidationResult]
    ) -> dict[str, Any]:
        """Totals over all tables, and one entry for each."""
        leakages = [(name, leak) for name, r in results.items() for leak in r.leakages]
        valid = sum(r.is_valid for r in results.values())
        return {
            "all_valid": valid == len(results),
            "total_tables": len(results),
            "valid_tables": valid,
            "total_leakages": len(leakages),
            "critical_leakages": sum(leak.severity == _CRITICAL for _, leak in leakages),
            "leakages": [
                {
                    "table": name,
                    "type": leak.leakage_type,
                    "severity": leak.severity,
                    "description": leak.description,
                }
                for name, leak in leakages
            ],
            "tables": {
                name: {
                    "is_valid": r.is_valid,
                    "total_records": r.total_records,
                    "split_counts": r.split_counts,
                    "leakages": len(r.leakages),
                }
                for name, r in results.items()
            },
        }


def _check_order(result: SplitValidationResult, df: pd.DataFrame, day: str, split: str) -> None:
    """Warn of every split that ends after a later one begins."""
    days = pd.to_datetime(df[day])
    present = [s.value for s in DataSplit if (df[split] == s.value).any()]
    for earlier, later in pairwise(present):
        last, first = days[df[split] == earlier].max(), days[df[split] == later].min()
        if last > first:
            text = f"{earlier} ends on {last.date()}, after {later} begins on {first.date()}"
            result.temporal_violations.append(text)
            result.add_leakage(
                LeakageInfo("temporal_overlap", _WARNING, text, affected_splits=[earlier, later])
            )

"""What the loader asks of a place that rows are written to, and the place that only checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from src.ml.synthetic.loaders.checks import faults
from src.ml.synthetic.loaders.tables import TABLES, Table

#: is told the number of rows of each part that is done
Progress = Callable[[int], None]


@dataclass
class Outcome:
    """What came of a frame's rows."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    #: position in the frame of each row that was refused, and the reason
    refused: dict[int, str] = field(default_factory=dict)

    def add(self, part: Outcome, rows: Sequence[int] | pd.Index[int]) -> None:
        """Count in what came of the rows at these positions."""
        self.inserted += part.inserted
        self.updated += part.updated
        self.unchanged += part.unchanged
        self.refused |= {int(rows[at]): reason for at, reason in part.refused.items()}


class Store(Protocol):
    """A place that rows are written to."""

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        """Upsert a coerced frame with unique keys; positions of the outcome count from 0.

        Raises TargetError where the table is missing, or the store cannot be reached.
        """
        ...

    def ids(self, table: Table, frame: pd.DataFrame) -> Sequence[Any]:
        """The stored surrogate of each row of a coerced frame; None for a row that is not there."""
        ...

    def close(self) -> None:
        """Let go of the connection; what a dry run wrote is undone."""
        ...


class CheckingStore:
    """Writes nothing: it refuses the rows that a database would refuse.

    Foreign keys are checked against what was offered before, for parents that were offered at all.
    """

    def __init__(self, now: pd.Timestamp | None = None) -> None:
        self._now = now or pd.Timestamp.now("UTC").tz_localize(None)
        self._known: dict[str, set[Any]] = {}

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        refused = faults(frame, table, self._known, self._now)
        good = frame.drop(index=list(refused))
        for reference in (r for child in TABLES.values() for r in child.references):
            if reference.parent == table.name:
                keys = good[reference.parent_column]
                self._known.setdefault(table.name, set()).update(keys)
        progress(len(frame))
        return Outcome(inserted=len(good), refused=refused)

    def ids(self, table: Table, frame: pd.DataFrame) -> Sequence[Any]:
        return frame[table.surrogate].tolist() if table.surrogate else []

    def close(self) -> None:
        """Forget what was offered."""
        self._known.clear()

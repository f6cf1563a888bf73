"""The two windows that the drift monitor compares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Windows:
    """Baseline (end − 2N days, end − N days] and current (end − N days, end]."""

    end: datetime
    days: int

    @property
    def start(self) -> datetime:
        return self.end - timedelta(days=2 * self.days)

    @property
    def split(self) -> datetime:
        return self.end - timedelta(days=self.days)

    @property
    def baseline_period(self) -> str:
        return f"{self.start.isoformat()}/{self.split.isoformat()}"

    @property
    def current_period(self) -> str:
        return f"{self.split.isoformat()}/{self.end.isoformat()}"


def as_utc(moment: datetime) -> datetime:
    """The instant in UTC; one without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

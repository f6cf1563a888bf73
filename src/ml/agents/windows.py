"""The two windows that the drift monitor compares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_WEEK = 7


@dataclass(frozen=True)
class Windows:
    """Current (end − N days, end], and the baseline of N days that ends where it starts.

    Of less than a week the baseline is the same days of the week before: a Sunday is not compared
    with a Saturday.
    """

    end: datetime
    days: int

    @property
    def start(self) -> datetime:
        return self.baseline_end - timedelta(days=self.days)

    @property
    def baseline_end(self) -> datetime:
        return self.end - timedelta(days=max(self.days, _WEEK))

    @property
    def split(self) -> datetime:
        return self.end - timedelta(days=self.days)

    @property
    def baseline_period(self) -> str:
        return f"{self.start.isoformat()}/{self.baseline_end.isoformat()}"

    @property
    def current_period(self) -> str:
        return f"{self.split.isoformat()}/{self.end.isoformat()}"


def as_utc(moment: datetime) -> datetime:
    """The instant in UTC; one without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

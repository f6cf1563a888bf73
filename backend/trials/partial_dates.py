"""Dates as the registry gives them: to the year, the month or the day."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

_PARTIAL_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True)
class PartialDate:
    """A date as the registry gives it; `day` is None where it names no day."""

    text: str
    day: dt.date | None
    #: a plan, not what happened
    estimated: bool = False

    @property
    def actual_day(self) -> dt.date | None:
        """The day on which it happened, None if that is not known."""
        return None if self.estimated else self.day


def parse_partial_date(text: str) -> PartialDate:
    """'2021', '2021-03' or '2021-03-18'. Raises ValueError for anything else."""
    found = _PARTIAL_DATE.fullmatch(text.strip())
    try:
        year, month, day = (int(part or 1) for part in found.groups()) if found else (0, 0, 0)
        date = dt.date(year, month, day)
    except ValueError:
        shown = repr(text[:40])
        raise ValueError(f"{shown} is not a date like 2021-03-18, 2021-03 or 2021") from None
    return PartialDate(text.strip(), date if found and found.group(3) else None)

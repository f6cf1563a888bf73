"""Bisecting: a row that the database refuses costs itself, not its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class RowFaultError(Exception):
    """The database refuses a row's values; its text is the reason."""


class Isolated(NamedTuple):
    """What came of a run of rows."""

    #: what `attempt` returned for each run that was taken
    taken: list[Any]
    #: position of each refused row, and the reason
    refused: dict[int, str]


def isolate(start: int, stop: int, attempt: Callable[[int, int], Any]) -> Isolated:
    """Attempt the rows [start, stop), halving what is refused until the bad row stands alone.

    `attempt(start, stop)` writes all of these rows or none, and raises RowFaultError if one of
    them is refused. Any other error passes through. k bad rows of n cost about 2 k log2(n)
    attempts.
    """
    done = Isolated([], {})
    runs = [(start, stop)] if start < stop else []
    while runs:
        low, high = runs.pop()
        try:
            done.taken.append(attempt(low, high))
        except RowFaultError as fault:
            if high - low == 1:
                done.refused[low] = str(fault)
            else:
                middle = (low + high) // 2
                # the earlier half is tried first, so the first of two rows that clash stays
                runs += [(middle, high), (low, middle)]
    return done

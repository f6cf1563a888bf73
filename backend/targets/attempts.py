"""Attempts at a write: again after a fault of the moment, in halves where a row is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Done = TypeVar("Done")


@dataclass(frozen=True)
class Retry:
    """How often, and after which pause in seconds; the pause doubles, up to a minute."""

    times: int = 3
    delay: float = 1.0

    def __call__(
        self,
        work: Callable[[], Done],
        is_transient: Callable[[BaseException], bool],
        before: Callable[[], None] = lambda: None,
    ) -> Done:
        """`work()`, again while its error is transient; `before` runs before each further attempt.

        The last error passes through.
        """
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(self.times + 1),
            wait=wait_exponential(multiplier=self.delay, max=60),
            before_sleep=lambda _: before(),
            reraise=True,
        )
        return retrying(work)


#: of a target that nobody has given other times
DEFAULT_RETRY = Retry(3, 0.1)


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

"""Trying again after a fault of the moment, and after no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """How often, and after which pause in seconds; the pause doubles, up to a minute."""

    times: int = 3
    delay: float = 1.0

    def __call__(
        self,
        work: Callable[[], T],
        is_transient: Callable[[BaseException], bool],
        before: Callable[[], None] = lambda: None,
    ) -> T:
        """`work()`, again while its error is transient; `before` runs before each further attempt.

        The last error passes through.
        """
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(self.times + 1),
            wait=wait_exponential(multiplier=self.delay, max=60),
            before_sleep=lambda _: before(),
            reraise=True,
        )
        return retrying(work)

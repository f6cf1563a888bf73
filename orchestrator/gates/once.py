"""A cache that threads share: what several checks ask for at once is computed once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def once(most: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """`lru_cache(most)`, where threads that ask for the same wait for the first instead of all
    computing it. What is returned is shared: nobody may change it."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        cached, lock = lru_cache(maxsize=most)(function), threading.RLock()

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with lock:
                return cached(*args, **kwargs)  # type: ignore[arg-type]

        return call

    return decorate

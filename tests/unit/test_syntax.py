"""Several threads read Python's syntax at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from orchestrate_agents.syntax import parsed

TEXT = "".join(f"def f{n}(a, b):\n    return [a + b, {{a: (b, -a)}}]\n\n" for n in range(150))


class Yields:
    """Gives way to other threads when it is collected, as any finalizer may."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(50):
            pass


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_that_parse_at_once_do_not_disturb_each_other(eager: None) -> None:
    failed: list[Exception] = []

    def work(depth: int) -> None:
        if depth:
            return work(depth - 1)
        for _ in range(25):
            for _ in range(60):
                Yields()
            try:
                assert len(parsed(TEXT).body) == 150
            except SystemError as exc:
                failed.append(exc)
        return None

    threads = [threading.Thread(target=work, args=(depth,)) for depth in (0, 20, 40, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []

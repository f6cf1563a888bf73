"""What is tried of a seed script where its source or the database fails, in several places."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from orchestrate_agents.sandbox.client import SandboxError
from orchestrate_agents.sandbox.script_trial import _Place, _work_off
from orchestrate_agents.sandbox.statement_watch import Said

Wanted = Callable[[], bool]


def place(name: str) -> _Place:
    none = cast("Any", None)
    return _Place(none, none, none, said=[Said("INSERT", name, 1, "")])


@contextmanager
def nowhere(wanted: Wanted) -> Iterator[_Place | None]:
    yield None


def test_tasks_are_worked_off_in_two_places_and_told_in_their_order() -> None:
    first, second, seen = place("first"), place("second"), dict[int, _Place]()
    together = threading.Barrier(2)

    def task(number: int) -> Callable[[_Place], Sequence[str]]:
        def run(here: _Place) -> Sequence[str]:
            seen[number] = here
            if number < 2:
                together.wait(20)  # only two at once come past here
            return [f"{number}a", f"{number}b"]

        return run

    @contextmanager
    def another(wanted: Wanted) -> Iterator[_Place | None]:
        assert wanted()
        yield second

    found, said = _work_off([task(n) for n in range(4)], first, another)
    assert found == ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]
    assert {seen[0] is first, seen[1] is first} == {True, False}
    assert sorted(one.object for one in said) == ["first", "second"]


def test_without_a_sandbox_to_spare_all_is_done_in_one_place() -> None:
    found, said = _work_off([lambda _: ["a"], lambda _: ["b"]], place("first"), nowhere)
    assert (found, [one.object for one in said]) == (["a", "b"], ["first"])


def test_a_fault_in_the_other_place_is_not_lost() -> None:
    begun = threading.Event()

    @contextmanager
    def another(wanted: Wanted) -> Iterator[_Place | None]:
        begun.set()
        raise SandboxError("the sandbox for scripts stopped")
        yield

    def wait(here: _Place) -> Sequence[str]:
        begun.wait(20)
        return []

    with pytest.raises(SandboxError, match="stopped"):
        _work_off([wait, wait], place("first"), another)

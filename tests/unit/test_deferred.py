"""Dataclasses and patterns that are made when they are first used behave as the usual ones."""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
import pkgutil
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import orchestrate_agents
import orchestrator
from orchestrator import deferred
from orchestrator.deferred import dataclass, regex


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2
    near: tuple[int, ...] = field(default=(), compare=False)

    @cached_property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True)
class Named(Point):
    """A point with a name."""

    name: str = "p"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a name")


@dataclass
class Bag:
    things: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class OwnHash:
    x: int

    def __hash__(self) -> int:
        return 7


@dataclass(frozen=True, eq=False)
class Identity:
    x: int


@pytest.fixture(params=("deferred", "usual"))
def made(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """How a class becomes a dataclass."""
    return dataclass if request.param == "deferred" else dataclasses.dataclass


def test_nothing_is_made_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    usual = dataclasses.dataclass

    def counted(*args: Any, **options: Any) -> Any:
        made.append("class")
        return usual(*args, **options)

    monkeypatch.setattr(deferred.dataclasses, "dataclass", counted)
    monkeypatch.setattr(deferred.re, "compile", lambda *_: made.append("pattern"))

    @dataclass(frozen=True)
    class Unused:
        x: int

    regex("unused")
    assert made == []
    assert Unused(1).x == Unused(x=1).x == 1
    assert made == ["class"]


def test_instances_are_those_of_a_dataclass(made: Callable[..., Any]) -> None:
    @made(frozen=True)
    class Value:
        x: int
        y: list[int] = field(default_factory=list)
        z: int = field(default=3, repr=False)

    value = Value(1)
    assert repr(value).endswith("Value(x=1, y=[])")
    assert value == Value(1)
    assert value != Value(2)
    assert Value.z == 3
    assert not hasattr(Value, "y")
    assert asdict(replace(value, x=5)) == {"x": 5, "y": [], "z": 3}
    with pytest.raises(TypeError):
        Value()
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)  # its list is not hashable
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        value.x = 2
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'other'"):
        value.other = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del value.x


def test_one_that_can_change_has_no_hash(made: Callable[..., Any]) -> None:
    @made
    class Value:
        x: int = 1

    value = Value()
    value.x = 2
    assert value == Value(2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(value)


def test_fields_are_known_before_there_is_an_instance(made: Callable[..., Any]) -> None:
    @made
    class Value:
        x: int
        y: int = 2

    assert dataclasses.is_dataclass(Value)
    assert [f.name for f in fields(Value)] == list(Value.__match_args__) == ["x", "y"]

    @made
    class Other:
        x: int

    match Other(4):
        case Other(x):
            assert x == 4


def test_a_class_has_the_fields_of_those_above_it() -> None:
    named = Named(1, name="q")
    assert named == Named(1, 2, (), "q")
    assert {named: 1}[Named(1, 2, (9,), "q")] == 1
    assert named.total == 3
    assert Named.__doc__ == "A point with a name."
    with pytest.raises(ValueError, match="a name"):
        Named(1, name="")
    with pytest.raises(FrozenInstanceError):
        named.x = 4  # type: ignore[misc]

    class Further(Point):
        pass

    further: Any = Further(1)
    further.more = 1
    with pytest.raises(FrozenInstanceError):
        further.x = 2


def test_methods_of_its_own_are_kept() -> None:
    assert hash(OwnHash(3)) == 7
    assert Identity(1) != Identity(1)
    assert len({Identity(1), Identity(1)}) == 2
    assert Bag() == Bag([])
    assert Bag().things is not Bag().things


def test_what_was_kept_is_read_though_nothing_was_made_yet() -> None:
    @dataclass(frozen=True)
    class Kept:
        x: int

    # as the unpickler does it: no `__init__`
    kept = Kept.__new__(Kept)
    kept.__dict__.update(x=1)
    assert hash(kept) == hash(Kept(1))

    @dataclass(frozen=True)
    class Compared:
        x: int

    one, other = Compared.__new__(Compared), Compared.__new__(Compared)
    one.__dict__.update(x=1)
    other.__dict__.update(x=1)
    assert one == other
    assert pickle.loads(pickle.dumps(Point(1))) == copy.copy(Point(1))


def test_many_threads_may_use_one_first() -> None:
    for _ in range(50):

        @dataclass(frozen=True)
        class Shared:
            x: int
            y: int = 2

        begin, failures = threading.Barrier(8), []

        def use(kind: Any = Shared, begin: Any = begin, failures: Any = failures) -> None:
            begin.wait()
            try:
                assert (kind(1), hash(kind(1))) == (kind(1, 2), hash(kind(1, 2)))
                assert repr(kind(1)).endswith("Shared(x=1, y=2)")
            except BaseException as exc:  # noqa: BLE001
                failures.append(exc)

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def test_a_pattern_is_as_it_is_compiled() -> None:
    word = regex(r"(?P<word>[a-z]+)", re.IGNORECASE)
    assert word.pattern == r"(?P<word>[a-z]+)"
    assert word.groupindex == {"word": 1}
    assert [m["word"] for m in word.finditer("a B")] == ["a", "B"]
    assert word.sub("x", "a B") == "x x"
    assert word.search is word.search


def _modules() -> Iterator[Any]:
    for package in (orchestrator, orchestrate_agents):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield import_module(found.name)


def test_every_pattern_compiles_and_no_module_function_of_re_gets_one() -> None:
    """`re.sub` takes a compiled pattern, and not what stands for one."""
    wrong, count = [], 0
    for module in _modules():
        patterns = {name for name, value in vars(module).items() if type(value) is deferred._Regex}
        for name in patterns:
            assert vars(module)[name].flags is not None
        count += len(patterns)
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
                named = [a.id for a in node.args if isinstance(a, ast.Name)]
                wrong += [f"{module.__file__}:{node.lineno}" for n in named if n in patterns]
    assert wrong == []
    assert count > 300

"""Effects: what is done outside the workspace after an approval (DESIGN 4.3, 7.5).

The conductor knows that a checkpoint stage asks for things to be done; registered binders know
which of them they can do. What no binder takes is shown to USER to run and attest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orchestrator import plugins
from orchestrator.domain.workflow import Stage, Workflow
from orchestrator.errors import UsageError


@dataclass(frozen=True)
class Effect:
    """One thing to do on a target, with the files whose bytes the approval covers."""

    #: registered kind, e.g. "sql.apply", "script.run", "sql.count"
    kind: str
    #: what USER reads ("apply migrations/059_x.sql")
    title: str
    #: files it depends on, relative to the workspace; they are frozen at approval
    inputs: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: changes nothing (a count); safe to run again
    read_only: bool = False
    #: line of the workflow that asks for it
    line: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All but `line`: where the workflow asks for it is not part of what is approved."""
        return {name: value for name, value in asdict(self).items() if name != "line"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Effect:
        return cls(**{**data, "inputs": tuple(data["inputs"])})


@dataclass(frozen=True)
class EffectResult:
    """What running an effect did."""

    ok: bool
    detail: str
    #: counts and other figures for the receipt, JSON-able
    figures: Mapping[str, Any] = field(default_factory=dict)
    #: the printed output's last lines
    output: str = ""


@dataclass(frozen=True)
class Bound:
    """A checkpoint stage's requests: what can be done, and what USER does (text, line)."""

    effects: tuple[Effect, ...] = ()
    by_user: tuple[tuple[str, int], ...] = ()


class Runner(Protocol):
    """Runs effects on one target. Made by the registered factory for the named target."""

    #: "embedded", "postgres" or "supabase"
    name: str

    def describe(self) -> str:
        """Host and database in words, without secrets."""
        ...

    def remarks(self, effects: Sequence[Effect]) -> tuple[str, ...]:
        """What USER has to know before approving these effects on this target."""
        ...

    def identity(self) -> str:
        """Tells the database that is written to from every other one, without secrets."""
        ...

    def configuration(self, effects: Sequence[Effect]) -> str:
        """Digest of the settings that decide, besides the inputs, what these effects do."""
        ...

    def foresee(self, effects: Sequence[Effect]) -> tuple[Any, Any] | None:
        """Stand-ins for `target`: as full as these effects can make it, and fuller than that.

        What a check finds lacking in the first and not in the second will be lacking. None if the
        effects are not known so far.
        """
        ...

    def run(self, effect: Effect, frozen: Path) -> EffectResult:
        """Run one effect from the frozen copy of what was approved; a failure is a result."""
        ...

    @property
    def target(self) -> Any:
        """What checks of phase EFFECT get as `ctx.target`."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class EffectForm:
    """A kind of effect, for people: what it does, and which words of a checkpoint bind to it."""

    kind: str
    summary: str
    #: how it is worded, in the notation of checks
    wordings: tuple[str, ...]
    examples: tuple[str, ...] = ()
    #: twice comes to the same as once
    repeatable: bool = False
    #: names of checks that prove that of what an effect runs, its first input
    repeatable_by: tuple[str, ...] = ()


Binder = Callable[[Stage, Workflow, Path], Bound]
Opener = Callable[[str, Path, Mapping[str, Any]], Runner]

_BINDERS: list[Binder] = []
_FORMS: dict[str, EffectForm] = {}
#: target → how it is opened
_OPENERS: dict[str, Opener] = {}


def effect_binder(function: Binder) -> Binder:
    """Register how a checkpoint stage's fenced blocks and items become effects."""
    _BINDERS.append(function)
    return function


def runner_opener(*targets: str) -> Callable[[Opener], Opener]:
    """Register how these targets are opened: `(target, root, settings) -> Runner`.

    Raises UsageError if another function opens one of them already.
    """

    def register(function: Opener) -> Opener:
        for target in targets:
            if _OPENERS.setdefault(target, function) is not function:
                raise UsageError(
                    f"two plug-ins open the target {target}: "
                    f"{_OPENERS[target].__module__} and {function.__module__}",
                    hint="uninstall one of them",
                )
        return function

    return register


def describe_effects(*forms: EffectForm) -> None:
    """Register what a plug-in's effects are, for `orchestrate effects`."""
    _FORMS.update((form.kind, form) for form in forms)


def effect_forms() -> tuple[EffectForm, ...]:
    """The kinds of effects that are known, of all plug-ins."""
    plugins.load("effects")
    return tuple(_FORMS.values())


def bind_effects(stage: Stage, workflow: Workflow, root: Path) -> Bound:
    """The effects of a checkpoint stage, from the first registered binder that knows any."""
    plugins.load("effects")
    for binder in _BINDERS:
        bound = binder(stage, workflow, root)
        if bound.effects or bound.by_user:
            return bound
    return Bound()


def open_runner(target: str, root: Path, settings: Mapping[str, Any]) -> Runner:
    """The runner of a target. Raises UsageError if nothing opens it, or it cannot be reached."""
    plugins.load("effects")
    if target not in _OPENERS:
        raise UsageError(
            f"no plug-in opens the target {target!r}", hint=f"known: {', '.join(sorted(_OPENERS))}"
        )
    return _OPENERS[target](target, root, settings)

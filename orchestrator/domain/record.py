"""The record: the `flow:` block of a conducted parent, the only source of position (DESIGN 2.1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.states import FolderRole
from orchestrator.errors import TicketError
from orchestrator.markdown.frontmatter import quoted
from orchestrator.markdown.yaml_text import is_plain


class State(StrEnum):
    """What the family is doing, as a person reads it in the ticket."""

    RUNNING = "running"
    WAITING = "waiting for USER"
    NEEDS_PERSON = "needs a person"
    PAUSED = "waiting for a usage limit"
    EFFECTS = "running effects"
    HELD = "held"
    COMPLETE = "complete"
    ARCHIVED = "archived"

    @property
    def ended(self) -> bool:
        return self in (State.COMPLETE, State.ARCHIVED)


class QuestionKind(StrEnum):
    CHECKPOINT = "checkpoint"
    #: an agent cannot go on, or a gate stays closed
    EXCEPTION = "exception"
    #: expectations not met after the effects
    COUNTS = "counts"
    #: the workflow changed under way
    WORKFLOW = "workflow"
    #: a stopped effect
    EFFECT = "effect"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Record):
    """Where a member is, where it was before the last transition, and its owner."""

    at: FolderRole
    was: FolderRole | None = None
    owner: str = ""
    failures: int = 0
    held_from: FolderRole | None = None

    def evolve(self, at: FolderRole, owner: str) -> Place:
        """The place after a move."""
        return self.model_copy(update={"at": at, "was": self.at, "owner": owner})

    def counted(self) -> Place:
        """The place with one failure more."""
        return self.model_copy(update={"failures": self.failures + 1})


class Question(_Record):
    """The open question. Its text and what it covers are in the history."""

    number: int
    stage: int
    kind: QuestionKind
    digest: str
    came_from: FolderRole
    owner_before: str = ""
    asked: str
    #: DESIGN 6.3: open because of these statements (failed), in the words shown
    failed: tuple[str, ...] = ()


class Approval(_Record):
    """USER's recorded answer to a checkpoint, and the digest of what it covers."""

    question: int
    stage: int
    digest: str
    at: str
    target: str = ""
    effects_done: bool = False


class Flow(_Record):
    """A family's record."""

    workflow: str
    sha256: str
    revision: int = 0
    #: digest of the history when this record was made
    history: str = ""
    state: State = State.RUNNING
    #: the stage in hand (the first unfinished one)
    stage: int = 0
    attempts: dict[int, int] = Field(default_factory=dict)
    finished: tuple[int, ...] = ()
    members: dict[str, Place] = Field(default_factory=dict)
    question: Question | None = None
    #: questions asked so far
    asked: int = 0
    approvals: tuple[Approval, ...] = ()
    #: failed statements that USER accepted by name
    accepted: tuple[str, ...] = ()
    #: why it waits, is held or needs a person
    reason: str = ""

    def approval(self, stage: int) -> Approval | None:
        """The latest approval of a checkpoint stage."""
        return next((a for a in reversed(self.approvals) if a.stage == stage), None)

    def attempt(self, stage: int) -> int:
        return self.attempts.get(stage, 1)

    def evolve(self, **changes: Any) -> Flow:
        """A copy with changes."""
        return self.model_copy(update=changes)


def done_before(history: Iterable[Mapping[str, Any]]) -> tuple[frozenset[int], frozenset[str]]:
    """Stages and members that were over when the family was first conducted, and are untouched.

    Takes the records of its history. No ticket moved for them: what a workflow says of where they
    lie in between was never to be seen.
    """
    flows = [record["flow"] for record in history if record["type"] == "transition"]
    if not flows:
        return frozenset(), frozenset()
    redone = {int(n) for n, attempt in flows[-1].get("attempts", {}).items() if attempt > 1}
    stay = [
        {m for m, place in flow["members"].items() if place["at"] == FolderRole.COMPLETE}
        for flow in flows
    ]
    return frozenset(flows[0].get("finished", ())) - redone, frozenset(set.intersection(*stay))


def to_mapping(flow: Flow) -> dict[str, Any]:
    """What the `flow:` block says, in the order in which it says it."""
    data = flow.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    order = ["state", "reason", "stage", "workflow", "sha256", "revision", "history"]
    data = {
        "state": flow.state.value,
        "stage": flow.stage,
        "revision": flow.revision,
        **data,
    }
    keys = [k for k in order if k in data] + [k for k in data if k not in order]
    return {key: data[key] for key in keys}


def to_lines(data: Mapping[str, Any]) -> list[str]:
    """The YAML lines below `flow:`, made to be read by a person."""
    return [line for key, value in data.items() for line in _entry(key, value)]


def _entry(key: str, value: Any) -> list[str]:
    if key in ("members", "question") and isinstance(value, dict):
        return [f"  {key}:", *[f"    {_inline(k)}: {_inline(v)}" for k, v in value.items()]]
    if key in ("approvals", "accepted"):
        return [f"  {key}:", *[f"    - {_inline(v)}" for v in value]]
    return [f"  {key}: {_inline(value)}"]


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, str):
        return _scalar(value)
    if isinstance(value, dict):
        return "{" + ", ".join([f"{_inline(k)}: {_inline(v)}" for k, v in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([_inline(each) for each in value]) + "]"
    return str(value) if type(value) is int else json.dumps(value)


@lru_cache(maxsize=1024)
def _scalar(text: str) -> str:
    """Most words of a record are those of the one before."""
    return text if is_plain(text) else quoted(text)


def from_mapping(data: Mapping[str, Any], *, path: str = "") -> Flow:
    """The record from a ticket's parsed `flow:` block.

    Raises TicketError (code `bad-record`) if the block cannot be trusted.
    """
    try:
        return Flow.model_validate(dict(data))
    except ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        raise TicketError(
            f"the flow: block cannot be read: {key}: {first['msg']}",
            path=path,
            code="bad-record",
            hint="undo the edit of the flow: block (git has the last version); nothing is moved",
        ) from exc

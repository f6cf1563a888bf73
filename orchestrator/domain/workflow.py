"""A workflow as data: stages, deliverables, statements, moves (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class StatementKind(StrEnum):
    """Where a statement comes from, which decides when it is proven."""

    DONE_WHEN = "done-when"
    CHECKBOX = "checkbox"  # an item of a workflow's checklist
    ACCEPTANCE = "acceptance"  # a box of a ticket's own acceptance criteria
    PROHIBITION = "prohibition"  # "Do NOT create …"
    METRIC = "metric"  # a row of a metric table
    EXPECTATION = "expectation"  # "Confirm counts match expectations (…)"


def read_out(text: str, kind: str) -> str:
    """A statement as people read it: a metric's row without the bar between its two cells."""
    return text.replace(" | ", ": ", 1) if kind == StatementKind.METRIC else text


@dataclass(frozen=True)
class Statement:
    """A line that claims something, word for word as in `source`."""

    text: str
    kind: StatementKind
    #: file of the statement, relative to the workspace where possible
    source: str
    #: 1-based line in `source`
    line: int
    #: heading or bold label above it ("Schema Checks"), or ""
    group: str = ""
    #: "- [x]" in the source (an agent's or a person's tick; proves nothing)
    ticked: bool = False
    #: metric rows only: the agent or person named under "Verified By"
    verifier: str = ""
    #: the id of its ticket, "" for the workflow
    ticket: str = ""

    @property
    def key(self) -> str:
        """The statement's identity in records and receipts."""
        return f"{self.ticket or self.source}:{self.text}"

    @property
    def shown(self) -> str:
        """The text as people read it."""
        return read_out(self.text, self.kind)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Statement:
        """A stored statement. Raises KeyError or ValueError if a field is missing or unknown."""
        return cls(
            data["text"],
            StatementKind(data["kind"]),
            data["source"],
            data["line"],
            group=data.get("group", ""),
            verifier=data.get("verifier", ""),
            ticket=data.get("ticket", ""),
        )


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str
    #: 1-based line of the opening fence
    line: int


@dataclass(frozen=True)
class Deliverable:
    """A file that a stage is to write, with the specification that follows it, if any."""

    path: str
    #: the verb that named it, lower case ("create", "write", …)
    verb: str
    line: int
    block: Block | None = None
    #: the sentence or list item that names it (for agents that need its words)
    text: str = ""


@dataclass(frozen=True)
class Move:
    """``Move WO-231a to `04_QA` with `owner: INSPECTOR` ``. `members` holds ids as written."""

    members: tuple[str, ...]
    folder: str
    owner: str
    line: int


@dataclass(frozen=True)
class ChildSpec:
    """``**WO-231a** → SOOP (schema + migration SQL)``."""

    id: str
    agent: str
    title: str
    line: int


@dataclass(frozen=True)
class Need:
    """``ANALYST will provide `path` `` in another agent's stage: `provider` is notified."""

    provider: str
    path: str
    line: int


@dataclass(frozen=True)
class Metric:
    """A row of a metric table. `statement` carries the row as one claimable text."""

    metric: str
    target: str
    verifier: str
    line: int


@dataclass(frozen=True)
class Stage:
    """One stage heading and its content, up to the next stage or the end of its section."""

    number: int
    #: agent name in upper case; "USER" at a checkpoint
    agent: str
    title: str
    line: int
    #: k of `USER CHECKPOINT #k`, else None
    checkpoint: int | None = None
    #: ✅ in the heading: the dispatch is skipped, the proof is not
    ready: bool = False
    parallel_with: int | None = None
    #: ids of the family's members that the stage works on; empty = the parent
    members: tuple[str, ...] = ()
    children: tuple[ChildSpec, ...] = ()
    deliverables: tuple[Deliverable, ...] = ()
    moves: tuple[Move, ...] = ()
    statements: tuple[Statement, ...] = ()
    needs: tuple[Need, ...] = ()
    blocks: tuple[Block, ...] = ()
    #: the text after "If PASS:" and "If FAIL:", or ""
    on_pass: str = ""
    on_fail: str = ""
    #: the instructions, list items and paragraphs in order, markdown as written
    items: tuple[tuple[int, str], ...] = ()
    #: the stage's own markdown, heading included
    text: str = ""

    @property
    def is_checkpoint(self) -> bool:
        return self.checkpoint is not None

    @property
    def label(self) -> str:
        """`STAGE 2: SOOP — Database Schema Migration`."""
        who = f"USER CHECKPOINT #{self.checkpoint}" if self.is_checkpoint else self.agent
        return f"STAGE {self.number}: {who} — {self.title}"


@dataclass(frozen=True)
class Workflow:
    """A workflow file as understood. `text` is the rendered markdown, `sha256` that of the file."""

    path: Path
    sha256: str
    title: str
    text: str
    stages: tuple[Stage, ...]
    metrics: tuple[Metric, ...] = ()
    #: metric rows and other statements that belong to no stage
    statements: tuple[Statement, ...] = ()
    agents: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    #: whether it says the same of every ticket with this owner: no template, names none, moves none
    for_any: bool = False

    def stage(self, number: int) -> Stage:
        """The stage with that number. Raises KeyError."""
        for stage in self.stages:
            if stage.number == number:
                return stage
        raise KeyError(number)

    @property
    def deliverables(self) -> tuple[tuple[Stage, Deliverable], ...]:
        """Every deliverable with its stage, in order."""
        return tuple((s, d) for s in self.stages for d in s.deliverables)

    @property
    def checkpoints(self) -> tuple[Stage, ...]:
        return tuple(s for s in self.stages if s.is_checkpoint)

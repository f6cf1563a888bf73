"""The protocol of agents (DESIGN 5): `work(job) -> Report`, JSON between processes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemberInfo(_Message):
    """One ticket of the family. `path` is relative to the workspace."""

    id: str
    path: str
    status: str
    owner: str
    role_hint: str = ""
    #: the state that the record has it in, if its folder and status agree with that
    place: str = ""


class Finding(_Message):
    """One statement with the engine's verdict, as an inspector or the next attempt sees it."""

    statement: str
    verdict: str
    detail: str
    receipt: str = ""
    source: str = ""
    group: str = ""
    #: the family member whose maker is responsible for it, "" if none
    member: str = ""


class Demand(_Message):
    """A statement that the stage has to satisfy, and the check that proves it."""

    text: str
    #: names of the checks that its claims bind to; empty: nothing proves it
    checks: tuple[str, ...] = ()
    #: ticket or workflow, with its line
    source: str = ""
    group: str = ""


class Allowance(_Message):
    """What a turn may still spend; None: no limit."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


class Job(_Message):
    """One stage's work for one agent."""

    #: id of the ticket that the stage works on (a child, or the parent)
    ticket: str
    parent: str
    family: tuple[MemberInfo, ...]
    stage: int
    agent: str
    #: absolute path; everything that the agent writes is below it
    workspace: str
    #: workflow path relative to the workspace (or as given) and its whole text
    workflow: str
    workflow_text: str
    #: [agents.NAME] and the shared tables of orchestrate.toml that agents may see
    settings: dict[str, Any] = Field(default_factory=dict)
    attempt: int = 1
    #: what failed last time (gate) — empty on a first attempt
    findings: tuple[Finding, ...] = ()
    #: what USER said when sending back
    words: str = ""
    #: sha256 by path of what this agent wrote last in this family (DESIGN 5.6)
    written: dict[str, str] = Field(default_factory=dict)
    #: what the gate of the stage, and the ticket's criteria, will demand
    demands: tuple[Demand, ...] = ()
    #: the only files that the agent may change, as patterns; empty: any
    files: tuple[str, ...] = ()
    #: files that no agent may change, as patterns
    frozen: tuple[str, ...] = ()
    #: the turn of a coding agent within the attempt, from 1
    turn: int = 1
    #: the coding agent's session that goes on, "" for a new one
    session: str = ""
    allowance: Allowance = Allowance()
    #: absolute path of the workspace with the board: another one than `workspace` where the family
    #: has a checkout of its own
    home: str = ""
    #: absolute path of the file that takes the events of the attempt
    log: str = ""
    #: further variables of the agent's environment: the ports that are its own
    environment: dict[str, str] = Field(default_factory=dict)

    @property
    def root(self) -> Path:
        return Path(self.workspace)

    @property
    def board_root(self) -> Path:
        """The workspace with the board, below which the tickets' paths are."""
        return Path(self.home or self.workspace)


#: `Report.ended` of a turn that waits: for a usage limit to end, for a service to be reached
LIMIT, UNREACHABLE = "limit", "unreachable"


class Outcome(StrEnum):
    """How an agent's work ended."""

    DONE = "done"
    FAILED = "failed"
    CANNOT = "cannot"
    NEEDS_PERSON = "needs_person"
    #: a usage limit, or no connection: the family goes on by itself at `Report.resumes_at`
    LATER = "later"


class Artifact(_Message):
    """A file that the agent says it wrote, deleted, or found as it has to be.

    The conductor looks at the workspace itself; a claim that differs from it fails the attempt.
    """

    path: str
    #: "" if the agent does not say
    sha256: str = ""
    #: "written", "kept" (it existed and is unchanged) or "deleted"
    state: str = "written"


class NewTicket(_Message):
    """A child ticket that a triager asks for. The conductor never overwrites an existing one."""

    id: str
    agent: str
    #: file name without folder
    filename: str
    #: whole file: frontmatter and body
    text: str


class Notice(_Message):
    """A message to another agent or person, written as a `needs` line into the ticket."""

    to: str
    text: str
    path: str = ""


class NewCheck(_Message):
    """A check that an agent proposes for a statement that none fits; USER has to take it."""

    statement: str
    #: a Python program that ends with exit code 0 only if the statement holds
    code: str = ""
    #: or a command of the workspace
    command: str = ""


class Usage(_Message):
    """What a turn took of one model."""

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    #: US dollars; None: not known
    usd: float | None = None


class Report(_Message):
    """What an agent says that it did. None of it counts as proven."""

    outcome: Outcome
    #: why it failed or cannot, or what the person has to do
    reason: str = ""
    artifacts: tuple[Artifact, ...] = ()
    #: markdown to append to the stage's ticket, beginning with its own `## ` heading, or ""
    section: str = ""
    tickets: tuple[NewTicket, ...] = ()
    notices: tuple[Notice, ...] = ()
    checks: tuple[NewCheck, ...] = ()
    #: short lines for the log
    log: tuple[str, ...] = ()
    #: a coding agent's session, by which its next turn goes on
    session: str = ""
    usage: tuple[Usage, ...] = ()
    #: seconds of the agent's work
    seconds: float = 0.0
    #: why the turn ended early: "budget", "stall", "timeout", "limit", "question" or ""
    ended: str = ""
    #: with `later`: when the usage limit ends (seconds since the epoch)
    resumes_at: float | None = None


class AgentInfo(_Message):
    """What is known of a coding agent's program on this machine."""

    #: where the program is, "" if it is not found
    found: str = ""
    version: str = ""
    #: None: it cannot be determined
    signed_in: bool | None = None
    #: what to do before it can work, and where it may write
    notes: tuple[str, ...] = ()


def json_schema(message: type[_Message]) -> dict[str, Any]:
    """The JSON Schema of a message between the conductor and an agent."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **message.model_json_schema(),
    }


class Agent(Protocol):
    """An agent. It never moves a ticket and never decides that it is done."""

    #: upper-case name
    name: str

    def work(self, job: Job) -> Report:
        """Do the stage's work below `job.root`, idempotently, and report it."""
        ...

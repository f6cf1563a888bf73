"""Which tools there are, and what may be given to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from orchestrator.errors import UsageError

_Id = Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)]
_Name = Annotated[str, StringConstraints(pattern=r"^([A-Za-z][A-Za-z0-9_.-]{0,40})?$")]
_Statement = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)
]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(_Arguments):
    """No arguments."""


class OneTicket(_Arguments):
    id: _Id = Field(min_length=1, description="Id of a ticket, e.g. WO-231.")


class MaybeTicket(_Arguments):
    id: _Id = Field(default="", description="Id of a ticket; without it, all of them.")


class Some(_Arguments):
    status: _Id = Field(default="", description="Only in this place, e.g. BUILD.")
    owner: _Id = Field(default="", description="Only whose.")


class CheckStatement(_Arguments):
    statement: _Statement = Field(description="A statement, as a ticket would have it.")
    ticket: _Id = Field(default="", description="Judge it as part of this ticket's family.")


class Question(_Arguments):
    question: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)
    ] = Field(description="What has to be decided, and between what.")


class TicketDraft(_Arguments):
    title: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
    ] = Field(description="What the ticket is about, in one line.")
    text: str = Field(default="", max_length=20_000, description="What to do and why, as markdown.")
    criteria: list[Annotated[str, StringConstraints(max_length=1_000)]] = Field(
        default_factory=list,
        max_length=100,
        description="Statements that can be checked, one line each.",
    )
    id: _Name = Field(default="", description="For a triager: the id that the stage gives it.")
    agent: _Name = Field(default="", description="For a triager: whose work it is.")


class CheckDraft(_Arguments):
    statement: _Statement = Field(description="A statement of the family that no check fits.")
    code: str = Field(
        default="",
        max_length=20_000,
        description="A Python program that ends with exit code 0 only if the statement holds.",
    )
    command: str = Field(
        default="", max_length=1_000, description="Or a command of this repository."
    )

    @model_validator(mode="after")
    def _is_one(self) -> CheckDraft:
        if bool(self.code.strip()) == bool(self.command.strip()):
            raise ValueError("name a program or a command, and not both")
        return self


@dataclass(frozen=True)
class Tool:
    """One tool: what it takes, what it does, and whether it needs a job."""

    arguments: type[BaseModel]
    description: str
    of_job: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        found = self.arguments.model_json_schema()
        found.pop("description", None)
        return found


TOOLS: Mapping[str, Tool] = {
    "board_list": Tool(Some, "List the tickets of the board."),
    "ticket_show": Tool(OneTicket, "Show a ticket: what is read from it, and its text."),
    "status": Tool(MaybeTicket, "Show where a family is and what it waits for."),
    "receipts": Tool(OneTicket, "Show what was proven of a family, the newest of each statement."),
    "verify": Tool(
        MaybeTicket,
        "Prove again, on the files as they are, what was proven of a family; in a job, all "
        "statements of the job. Nothing is stored.",
    ),
    "check_statement": Tool(
        CheckStatement,
        "Show which check a statement binds to, and prove it now on the files as they are. Nothing "
        "is stored, and it counts for nothing: the conductor proves for itself.",
    ),
    "my_job": Tool(
        Nothing,
        "Show the job in hand: ticket, stage, what has to hold, what failed, which files may be "
        "changed, what may still be spent.",
        of_job=True,
    ),
    "statements": Tool(
        Nothing, "List the statements that the job has to satisfy, with their checks.", of_job=True
    ),
    "ask_user": Tool(
        Question,
        "Ask USER for a decision that only a person can take. End your turn after it: the answer "
        "comes with the next one.",
        of_job=True,
    ),
    "propose_ticket": Tool(
        TicketDraft,
        "Propose a ticket for work that is not this job's. USER decides; nothing is put on the "
        "board by it.",
        of_job=True,
    ),
    "propose_check": Tool(
        CheckDraft,
        "Propose a check for a statement that no check fits: a program or a command. It is tried "
        "at once, and counts only after USER has taken it.",
        of_job=True,
    ),
}


def read_arguments(name: str, given: Any) -> BaseModel:
    """The arguments of a call. Raises UsageError for an unknown tool, and for what does not fit."""
    tool = TOOLS.get(name)
    if tool is None:
        raise UsageError(f"there is no tool {name[:60]!r}", code="no-such-tool")
    try:
        return tool.arguments.model_validate({} if given is None else given)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise UsageError(
            f"{name}: {where}: {first['msg']}" if where else f"{name}: {first['msg']}",
            code="bad-arguments",
        ) from exc


@cache
def describe_tools() -> dict[str, Any]:
    """The tools as the protocol has them, and this program's version."""
    tools = [
        {
            "name": name,
            "description": tool.description,
            "inputSchema": tool.schema,
            "annotations": {
                "readOnlyHint": not tool.of_job or name in ("my_job", "statements"),
                "destructiveHint": False,
            },
        }
        for name, tool in TOOLS.items()
    ]
    return {"tools": tools, "version": version("orchestrate-tickets")}

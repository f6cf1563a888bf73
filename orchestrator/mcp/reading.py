"""What the tools answer that only read, on the board of a workspace. Nothing is written to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.conductor.conductor import Conductor
from orchestrator.conductor.verify import count_standings, verify
from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.family.session import Session
from orchestrator.family.untrusted_checks import untrusted_checks
from orchestrator.gates.binding import Binding
from orchestrator.gates.checks import Context, Phase, Services
from orchestrator.gates.loading import load_binder
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.gates.receipts import Receipt
from orchestrator.mcp.tools import TOOLS, CheckStatement, MaybeTicket, OneTicket, Some
from orchestrator.settings.config import load_settings
from orchestrator.templating import one_line
from orchestrator.tickets.board import Board

#: characters of a ticket's text, and tickets of a list
_MOST_TEXT, _MOST_TICKETS = 60_000, 500
#: where a statement comes from that nobody wrote down
_SOURCE = "asked over MCP"


def open_conductor(root: Path) -> Conductor:
    """The conductor of a workspace's board. Raises UsageError (code `no-board`)."""
    settings = load_settings(root)
    if not (root / settings.board.folder).is_dir():
        raise UsageError("no board here", path=root, code="no-board", hint="orchestrate init")
    return Conductor(Board(root), settings=settings)


@contextmanager
def reading_session(conductor: Conductor, id: str) -> Iterator[Session]:
    """A conducted family without its lock, while it may be at work. Raises OrchestrateError."""
    board, opener = conductor.board, conductor.opener
    family, workflow, plan, _ = opener.preview(id)
    # one that is not conducted is said here
    _ = family.flow
    cache = user_proof_cache()
    with Services(cache) as services:
        yield Session(
            board,
            conductor.settings,
            family,
            workflow,
            plan,
            lambda: load_binder(board.root, untrusted_checks(family), cache),
            services,
        )


def prove_texts(session: Session, context: Context, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Which checks statements bind to and what they say now; nothing is stored."""
    statements = [Statement(one_line(t), StatementKind.CHECKBOX, _SOURCE, 1) for t in texts]
    receipts = session.gate.prove(statements, context, (Phase.CONTENT, Phase.POSITION))
    return [describe_proof(r, session.binder.bind(r.statement.text)) for r in receipts]


def describe_proof(receipt: Receipt, bindings: tuple[Binding, ...]) -> dict[str, Any]:
    """A verdict with its claims, JSON-able."""
    return {
        "statement": receipt.statement.text,
        "verdict": receipt.verdict.value,
        "detail": receipt.detail,
        "claims": [
            {
                "claim": claim.claim,
                "check": claim.check,
                "verdict": claim.result.verdict.value,
                "detail": claim.result.detail,
            }
            for claim in receipt.claims
        ],
        "not_bound": [b.problem for b in bindings if b.check is None],
    }


def answer_reading(root: Path, name: str, given: Any) -> Any:
    """What a tool says that needs no job. Raises OrchestrateError; UsageError for any other."""
    answer = _ANSWERS.get(name)
    if answer is None:
        needs = name in TOOLS and TOOLS[name].of_job
        raise UsageError(
            f"{name} answers only within a job, to the agent whose job it is; outside of one there "
            "is only reading" if needs else f"there is no tool {name[:60]!r}",
            code="no-job" if needs else "no-such-tool",
        )  # fmt: skip
    return answer(open_conductor(root), given)


def _resolve(conductor: Conductor, id: str) -> str:
    return conductor.board.resolve(id)


def _board_list(conductor: Conductor, given: Some) -> Any:
    board = conductor.board
    role = board.folders.role_of_status(given.status) if given.status else None
    if given.status and role is None:
        raise UsageError(f"{given.status} is not a place of the board")
    found = [
        ticket.to_dict()
        for ticket in board.tickets()
        if (role is None or ticket.role is role)
        and given.owner.casefold() in ("", ticket.owner.casefold())
    ]
    return {"tickets": found[:_MOST_TICKETS], "left_out": max(0, len(found) - _MOST_TICKETS)}


def _ticket_show(conductor: Conductor, given: OneTicket) -> Any:
    ticket = conductor.board.find(_resolve(conductor, given.id))
    # of a file that cannot be read there is no text; its diagnosis says why
    is_read = not {"link", "unreadable"}.intersection(d.code for d in ticket.diagnoses)
    body = ticket.body if is_read else ""
    return {
        **ticket.to_dict(),
        "depends_on": list(ticket.depends_on),
        "files": list(ticket.files),
        "workflow": ticket.workflow,
        "body": body[:_MOST_TEXT],
        "left_out": max(0, len(body) - _MOST_TEXT),
    }


def _status(conductor: Conductor, given: MaybeTicket) -> Any:
    if given.id:
        return conductor.status(_resolve(conductor, given.id))
    families: list[dict[str, Any]] = []
    for ticket in conductor.board.tickets():
        if ticket.conducted:
            # one whose record is broken must not hide the others
            try:
                families.append(conductor.status(ticket.id))
            except OrchestrateError as exc:
                families.append({"id": ticket.id, "error": exc.in_a_line})
    return {"families": families}


def _receipts(conductor: Conductor, given: OneTicket) -> Any:
    return {"receipts": conductor.receipts(_resolve(conductor, given.id))}


def _verify(conductor: Conductor, given: MaybeTicket) -> Any:
    if not given.id:
        raise UsageError("verify: name a ticket", code="bad-arguments")
    with reading_session(conductor, _resolve(conductor, given.id)) as session:
        found = verify(session)
    counts = {standing.value: number for standing, number in count_standings(found).items()}
    return {"counts": counts, "statements": [v.to_dict() for v in found]}


def _check_statement(conductor: Conductor, given: CheckStatement) -> Any:
    if not given.ticket:
        return describe_proof(*conductor.try_statement(given.statement))
    with reading_session(conductor, _resolve(conductor, given.ticket)) as session:
        stage = session.plan.stage(session.flow.stage)
        context = session.context(None if stage.is_checkpoint else stage)
        return prove_texts(session, context, [given.statement])[0]


_ANSWERS: Mapping[str, Callable[[Conductor, Any], Any]] = {
    "board_list": _board_list,
    "ticket_show": _ticket_show,
    "status": _status,
    "receipts": _receipts,
    "verify": _verify,
    "check_statement": _check_statement,
}

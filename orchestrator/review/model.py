"""What USER looks at before answering: the request with its proofs, files and panels (DESIGN 7.1).

Reading only: no lock is taken, nothing is moved, nothing is proven again. Without an open request
a review shows the family's state by its newest receipts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.approvals.changed_files import (
    FileDiff,
    diff_files,
    list_changed_files,
    list_notes,
)
from orchestrator.approvals.request import ApprovalRequest, answer_commands, group_statements
from orchestrator.approvals.status import describe_family
from orchestrator.domain.record import QuestionKind
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.family.change_log import change_log_of
from orchestrator.family.family import Family
from orchestrator.family.workflow_discovery import find_workflow, referenced
from orchestrator.gates.checks import Context, Services
from orchestrator.gates.receipts import (
    Receipt,
    ReceiptSummary,
    newest_receipts,
    summarize_by_text,
)
from orchestrator.review.panels import Chart, Panel, Reviewer, collect_panels, load_reviewers
from orchestrator.settings.config import Settings
from orchestrator.storage.atomic import inside, sha256_file
from orchestrator.storage.history import History
from orchestrator.tickets.board import Board

#: bytes; a larger file is named, not shown
LARGEST_SHOWN = 120_000


@dataclass(frozen=True)
class ReviewFile:
    """A file to look at."""

    path: str
    #: sha256 as the request (or else the agent) gave it, and today's
    sha256: str
    today: str
    #: None if it is missing, too large or not text
    text: str | None


@dataclass(frozen=True)
class Saying:
    """What an agent reported at its last attempt at a stage."""

    stage: int
    attempt: int
    agent: str
    outcome: str
    reason: str
    #: its section, in markdown
    text: str


@dataclass(frozen=True)
class Review:
    """A family as a reviewer sees it."""

    id: str
    title: str
    #: where its files are: a checkout of its own, or the workspace
    root: Path
    #: the parent's file, relative to the workspace
    ticket: str
    state: str
    reasons: tuple[str, ...]
    members: tuple[Mapping[str, Any], ...]
    #: the open request, None if there is none, and when it was asked
    question: ApprovalRequest | None
    asked: str
    statements: tuple[ReceiptSummary, ...]
    #: the statements' receipts by id, as far as the history has them
    receipts: Mapping[str, Receipt]
    files: tuple[ReviewFile, ...]
    #: every file that the family changed since its start, with its diff
    changes: tuple[FileDiff, ...]
    #: what its agents did in git besides
    notes: tuple[str, ...]
    #: what each stage's agent said last
    said: tuple[Saying, ...]
    #: records of effects that ran
    effects: tuple[Mapping[str, Any], ...]
    panels: tuple[Panel, ...]
    #: commands that answer
    how: tuple[str, ...]
    #: history file, relative to the workspace
    history: str
    #: files that are no longer as the request showed them: an answer would not be taken
    changed: tuple[str, ...] = ()
    #: the question shown has been answered or withdrawn
    closed: bool = False

    @property
    def is_current(self) -> bool:
        """Whether all files that it shows are still as they were when it was made."""
        return all(_hash(self.root, file.path) == file.today for file in self.files)

    @property
    def groups(self) -> list[tuple[str, tuple[ReceiptSummary, ...]]]:
        """The statements by verdict, worst first, without empty groups."""
        return group_statements(self.statements)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without the text of files and the pictures of charts."""
        panels = [
            replace(p, blocks=tuple(b.grid if isinstance(b, Chart) else b for b in p.blocks))
            for p in self.panels
        ]
        return {
            **{name: getattr(self, name) for name in ("id", "title", "ticket", "state", "asked")},
            "reasons": list(self.reasons),
            "members": [dict(m) for m in self.members],
            "question": self.question.to_dict() if self.question else None,
            "digest": self.question.digest if self.question else "",
            "changed": list(self.changed),
            "statements": [self._statement_to_dict(s) for s in self.statements],
            "files": [{"path": f.path, "sha256": f.sha256, "today": f.today} for f in self.files],
            "changes": [
                {**asdict(d.file), "added": d.added, "removed": d.removed, "diff": d.lines}
                for d in self.changes
            ],
            "notes": list(self.notes),
            "said": [asdict(each) for each in self.said],
            "effects": [dict(e) for e in self.effects],
            "panels": [asdict(panel) for panel in panels],
            "how": list(self.how),
        }

    def _statement_to_dict(self, summary: ReceiptSummary) -> dict[str, Any]:
        receipt = self.receipts.get(summary.receipt)
        return {
            "text": summary.text,
            "verdict": summary.label,
            "detail": summary.detail,
            "receipt": summary.receipt,
            "at": receipt.at if receipt else "",
            "claims": [
                {
                    "text": c.claim,
                    "verdict": c.result.verdict.value,
                    "detail": c.result.detail,
                    "check": c.check_label,
                    "evidence": c.result.evidence,
                }
                for c in (receipt.claims if receipt else ())
            ],
            "subjects": dict(receipt.subjects) if receipt else {},
        }


def build_review(
    board: Board,
    settings: Settings,
    id: str,
    reviewers: Sequence[Reviewer] | None = None,
    number: int | None = None,
) -> Review:
    """Collect what there is to look at; `number`: what that question showed, though it is closed.

    Raises TicketError if there is no such family, UsageError if there was no such question.
    """
    parent = board.family(id)[0].id
    family = Family(board, parent)
    history = family.history
    status = describe_family(board, parent)
    question = family.flow.question if family.conducted else None
    asked = question.asked if question else ""
    request = ApprovalRequest.find(history, question.digest) if question else None
    if number is not None and (question is None or question.number != number):
        asked, request = _find_closed(history, number)
        question = None
    if request is not None:
        statements = request.statements
    else:
        accepted = family.flow.accepted if family.conducted else ()
        statements = summarize_by_text(newest_receipts(history).values(), accepted)
    ids = {s.receipt for s in statements}
    covered = {**request.artifacts, **request.inputs} if request else {}
    log = change_log_of(family, request.stage if request is not None else 0)
    # a checkout of its own, or the workspace
    root = log.tree.root
    files = _read_files(root, _files_to_show(family, request))
    now = list_changed_files(log, settings)
    shown = request.files if request is not None else now
    stale = {p for p, sha in covered.items() if _hash(root, p) != sha}
    if request is not None and request.kind != QuestionKind.WORKFLOW:
        states = [{f.path: f.state for f in found} for found in (request.files, now)]
        stale |= {p for p in {*states[0], *states[1]} if states[0].get(p) != states[1].get(p)}
    with Services() as services:
        context = _make_context(board, root, settings, family, services)
        ways = load_reviewers() if reviewers is None else reviewers
        panels = tuple(collect_panels(context, [f.path for f in files], ways))
    return Review(
        id=parent,
        title=status["title"] or "",
        root=root,
        ticket=str(family.ticket(parent).path.relative_to(board.root)),
        state=status["state"],
        reasons=tuple(status["reasons"]),
        members=tuple(status["members"]),
        question=request,
        asked=asked,
        statements=statements,
        receipts={r["id"]: Receipt.from_dict(r) for r in history.of("receipt") if r["id"] in ids},
        files=files,
        changes=diff_files(log, shown),
        notes=request.notes if request is not None else list_notes(log),
        said=tuple(_list_sayings(history)),
        effects=tuple(history.of("effect")),
        panels=panels,
        how=tuple(answer_commands(request, parent)) if request and question else (),
        closed=request is not None and question is None,
        history=str(history.path.relative_to(board.root)),
        changed=tuple(sorted(stale)),
    )


def _find_closed(history: History, number: int) -> tuple[str, ApprovalRequest]:
    """When a question was asked, and all that it showed. Raises UsageError."""
    records = [r for r in history.of("question") if r["sheet"]["number"] == number]
    if not records:
        known = ", ".join(str(r["sheet"]["number"]) for r in history.of("question"))
        raise UsageError(f"there was no question {number}", hint=f"asked so far: {known or 'none'}")
    return str(records[-1]["at"]), ApprovalRequest.from_dict(records[-1]["sheet"])


def _list_sayings(history: History) -> Iterator[Saying]:
    """What agents reported last, by stage."""
    newest = {report["stage"]: report for report in history.of("report")}
    for number in sorted(newest):
        report = newest[number]
        said = report.get("report", {})
        fields = (report["attempt"], report["agent"], report["outcome"], said.get("reason", ""))
        yield Saying(number, *fields, said.get("section", ""))


def _files_to_show(family: Family, request: ApprovalRequest | None) -> dict[str, str]:
    """path → sha256: what the request shows and its effects read, else all that agents made.

    A migration that an earlier checkpoint showed and this one applies is shown again.
    """
    made = {
        path: origin["sha256"]
        for path, origin in family.history.artifacts().items()
        if origin["state"] != "deleted"
    }
    if request is None:
        return made
    inputs = {path: sha for path, sha in request.inputs.items() if path in made}
    return {**request.artifacts, **inputs} or made


def _read_files(root: Path, covered: Mapping[str, str]) -> tuple[ReviewFile, ...]:
    found = []
    for path, sha in sorted(covered.items()):
        text = None
        try:
            file = inside(root, path)
            if file.is_file() and file.stat().st_size <= LARGEST_SHOWN:
                text = file.read_text(encoding="utf-8-sig")
        except (OrchestrateError, OSError, UnicodeDecodeError):
            text = None
        shown = None if text is not None and "\0" in text else text
        found.append(ReviewFile(path, sha, _hash(root, path), shown))
    return tuple(found)


def _hash(root: Path, path: str) -> str:
    try:
        file = inside(root, path)
        return sha256_file(file) if file.is_file() else "absent"
    except (OrchestrateError, OSError):
        return "absent"


def _make_context(
    board: Board, root: Path, settings: Settings, family: Family, services: Services
) -> Context:
    """What reviewers get; a workflow that cannot be read is left out."""
    given = referenced(board.root, family.flow.workflow) if family.conducted else None
    try:
        workflow = find_workflow(board.root, settings, family.ticket(family.parent), given)
    except OrchestrateError:
        workflow = None
    return Context(
        root=root,
        home=board.root,
        ticket=family.parent,
        parent=family.parent,
        workflow=workflow,
        family=family.members(),
        artifacts=family.history.artifacts(),
        history=tuple(family.history.records),
        settings=settings.model_dump(mode="json"),
        services=services,
    )

"""What USER looks at before answering: the question with its proofs, files and panels (DESIGN 7.1).

Reading only: no lock is taken, nothing is moved, and nothing is proven again. Without an open
question a review shows where the family stands, by the newest receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.approvals.request import ApprovalRequest, accepted_name
from orchestrator.approvals.status import answers, describe_family
from orchestrator.config import Settings
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import OrchestrateError
from orchestrator.family.family import Family
from orchestrator.gates.checks import SEVERITY, Context, Services, Verdict
from orchestrator.review.panels import Chart, Panel, Reviewer, gather, load_reviewers
from orchestrator.storage.atomic import inside, sha256_file
from orchestrator.tickets.board import Board

#: a file larger than this is named, not shown
LARGEST_SHOWN = 120_000

#: what a person has to see first stands first
_ORDER = (
    ("Failed", Verdict.FAILED.value),
    ("Unproven", Verdict.UNPROVEN.value),
    ("Failed, accepted by USER", "accepted"),
    ("Judged later", Verdict.PENDING.value),
    ("Proven", Verdict.PROVEN.value),
    ("Not applicable", Verdict.NOT_APPLICABLE.value),
)


@dataclass(frozen=True)
class Claim:
    """One claim of a statement with what its check found."""

    text: str
    verdict: str
    detail: str
    #: `name@version`, "" where none fits
    check: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """A statement with its receipt."""

    text: str
    #: a verdict, or "accepted"
    verdict: str
    detail: str
    receipt: str
    at: str
    claims: tuple[Claim, ...]
    #: path → sha256 of what the verdict is about
    subjects: Mapping[str, str]


@dataclass(frozen=True)
class File:
    """A file that there is to look at."""

    path: str
    #: sha256 as the question (or else the agent) gave it, and today's
    sha256: str
    today: str
    #: its text, None where it is gone, too large or no text
    text: str | None


@dataclass(frozen=True)
class Review:
    """A family as a reviewer sees it."""

    id: str
    title: str
    #: where the parent lies, relative to the workspace
    ticket: str
    state: str
    reasons: tuple[str, ...]
    members: tuple[Mapping[str, Any], ...]
    #: the open question, None where there is none, and when it was asked
    question: ApprovalRequest | None
    asked: str
    statements: tuple[Shown, ...]
    files: tuple[File, ...]
    #: records of effects that ran
    effects: tuple[Mapping[str, Any], ...]
    panels: tuple[Panel, ...]
    #: commands that answer
    how: tuple[str, ...]
    #: history file, relative to the workspace
    history: str
    #: what is no longer as the question showed it: an answer would not be taken
    changed: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[str, tuple[Shown, ...]]]:
        """The statements by verdict, worst first, without empty groups."""
        found = ((head, self.with_verdict(verdict)) for head, verdict in _ORDER)
        return [(head, statements) for head, statements in found if statements]

    def with_verdict(self, verdict: str) -> tuple[Shown, ...]:
        return tuple(s for s in self.statements if s.verdict == verdict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; texts of files and pictures are left out."""
        panels = [
            asdict(replace(p, blocks=tuple(_plain(b) for b in p.blocks))) for p in self.panels
        ]
        return {
            **{name: getattr(self, name) for name in ("id", "title", "ticket", "state", "asked")},
            "reasons": list(self.reasons),
            "members": [dict(m) for m in self.members],
            "question": self.question.to_dict() if self.question else None,
            "digest": self.question.digest if self.question else "",
            "changed": list(self.changed),
            "statements": [asdict(s) for s in self.statements],
            "files": [{"path": f.path, "sha256": f.sha256, "today": f.today} for f in self.files],
            "effects": [dict(e) for e in self.effects],
            "panels": panels,
            "how": list(self.how),
        }


def _plain(block: Any) -> Any:
    return block.grid if isinstance(block, Chart) else block


def review(
    board: Board, settings: Settings, id: str, reviewers: Sequence[Reviewer] | None = None
) -> Review:
    """Gather what there is to look at. Raises TicketError if there is no such family."""
    parent = board.family(id)[0].id
    family = Family(board, parent)
    status = describe_family(board, parent)
    sheet, asked = _question(family)
    files = _files(board.root, _covered(family, sheet))
    with Services() as services:
        context = _context(board, settings, family, services)
        ways = load_reviewers() if reviewers is None else reviewers
        panels = tuple(gather(context, [f.path for f in files], ways))
    return Review(
        id=parent,
        title=status["title"] or "",
        ticket=str(family.ticket(parent).path.relative_to(board.root)),
        state=status["state"],
        reasons=tuple(status["reasons"]),
        members=tuple(status["members"]),
        question=sheet,
        asked=asked,
        statements=_asked_about(family, sheet) if sheet else _newest(family),
        files=files,
        effects=tuple(family.history.of("effect")),
        panels=panels,
        how=tuple(answers(sheet, parent)) if sheet else (),
        history=str(family.history.path.relative_to(board.root)),
        changed=_changed(board.root, sheet),
    )


def _question(family: Family) -> tuple[ApprovalRequest | None, str]:
    question = family.flow.question if family.conducted else None
    if question is None:
        return None, ""
    record = family.history.latest("question", digest=question.digest)
    return (ApprovalRequest.from_dict(record["sheet"]) if record else None), question.asked


# -- statements ------------------------------------------------------------------------------


def _asked_about(family: Family, sheet: ApprovalRequest) -> tuple[Shown, ...]:
    """The question's own statements with the claims of their receipts."""
    records = {r["id"]: r for r in family.history.of("receipt")}
    return tuple(
        _shown(records.get(s.receipt, {}), s.text, _word(s.verdict, s.accepted), s.detail)
        if s.receipt in records
        else Shown(s.text, _word(s.verdict, s.accepted), s.detail, s.receipt, "", (), {})
        for s in sheet.statements
    )


def _newest(family: Family) -> tuple[Shown, ...]:
    """The newest receipt of each statement; one that stands in several places by its worst."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for record in family.history.of("receipt"):
        statement = record["statement"]
        newest[statement["ticket"] or statement["source"], statement["text"]] = record
    accepted = family.flow.accepted if family.conducted else ()
    worst: dict[str, Mapping[str, Any]] = {}
    for (_, text), found in newest.items():
        if text not in worst or _severity(found) < _severity(worst[text]):
            worst[text] = found
    return tuple(
        _shown(r, text, _word(r["verdict"], _is_accepted(r, accepted)), r["detail"])
        for text, r in worst.items()
    )


def _severity(record: Mapping[str, Any]) -> int:
    return SEVERITY.index(Verdict(record["verdict"]))


def _is_accepted(record: Mapping[str, Any], accepted: Iterable[str]) -> bool:
    from orchestrator.gates.receipts import receipt_of

    digest = receipt_of(record).subject_digest
    failed = record["verdict"] == Verdict.FAILED.value
    return failed and accepted_name(record["statement"]["text"], digest) in accepted


def _word(verdict: str, accepted: bool) -> str:
    return "accepted" if accepted else verdict


def _shown(record: Mapping[str, Any], text: str, verdict: str, detail: str) -> Shown:
    claims = tuple(
        Claim(
            c["claim"],
            c["verdict"],
            c["detail"],
            f"{c['check']}@{c['version']}" if c["check"] else "",
            c["evidence"],
        )
        for c in record["claims"]
    )
    return Shown(text, verdict, detail, record["id"], record["at"], claims, record["subjects"])


# -- files -----------------------------------------------------------------------------------


def _covered(family: Family, sheet: ApprovalRequest | None) -> dict[str, str]:
    """path → sha256: what the question shows and its effects take in, else all that agents made.

    A migration that was shown at an earlier checkpoint and is applied by this one is shown again.
    """
    made = {path: origin["sha256"] for path, origin in family.history.artifacts().items()}
    if sheet is None:
        return made
    taken_in = {path: sha for path, sha in sheet.inputs.items() if path in made}
    return {**sheet.artifacts, **taken_in} or made


def _changed(root: Path, sheet: ApprovalRequest | None) -> tuple[str, ...]:
    covered = {**sheet.artifacts, **sheet.inputs} if sheet else {}
    return tuple(path for path, sha in sorted(covered.items()) if _sha(root, path) != sha)


def _sha(root: Path, path: str) -> str:
    try:
        file = inside(root, path)
        return sha256_file(file) if file.is_file() else "absent"
    except (OrchestrateError, OSError):
        return "absent"


def _files(root: Path, covered: Mapping[str, str]) -> tuple[File, ...]:
    return tuple(_file(root, path, sha) for path, sha in sorted(covered.items()))


def _file(root: Path, path: str, sha: str) -> File:
    try:
        file = inside(root, path)
        small = file.is_file() and file.stat().st_size <= LARGEST_SHOWN
        text = file.read_text(encoding="utf-8-sig") if small else None
    except (OrchestrateError, OSError, UnicodeDecodeError):
        text = None
    return File(path, sha, _sha(root, path), None if text is not None and "\0" in text else text)


# -- what reviewers get ----------------------------------------------------------------------


def _context(board: Board, settings: Settings, family: Family, services: Services) -> Context:
    return Context(
        root=board.root,
        ticket=family.parent,
        parent=family.parent,
        workflow=_workflow(board, settings, family),
        family=family.members(),
        artifacts=family.history.artifacts(),
        history=tuple(family.history.records),
        settings=settings.model_dump(mode="json"),
        services=services,
    )


def _workflow(board: Board, settings: Settings, family: Family) -> Workflow | None:
    """The family's workflow; a review goes on without one that cannot be read."""
    from orchestrator.family.workflow_discovery import find_workflow, referenced

    given = referenced(board.root, family.flow.workflow) if family.conducted else None
    try:
        return find_workflow(board.root, settings, family.ticket(family.parent), given)
    except OrchestrateError:
        return None

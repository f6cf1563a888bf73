"""Questions to USER and their answers: what is shown, its digest, what was answered (DESIGN 7)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator import templating
from orchestrator.approvals.effects import Effect
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.history import canonical


def accepted_name(text: str, subject_digest: str) -> str:
    """How the record keeps an acceptance: it holds until the statement or its subject changes."""
    return f"{text} @{subject_digest}"


@dataclass(frozen=True)
class Shown:
    """One statement as the question shows it."""

    text: str
    verdict: str
    detail: str
    receipt: str
    #: check → edition, so that an approval lapses when a check changes its meaning
    checks: Mapping[str, str]
    key: str
    subject_digest: str
    accepted: bool = False

    @classmethod
    def of(cls, receipt: Receipt, accepted: bool) -> Shown:
        return cls(
            receipt.statement.text,
            receipt.verdict.value,
            receipt.detail,
            receipt.id,
            {c.check: c.version for c in receipt.claims if c.check},
            receipt.key,
            receipt.subject_digest,
            accepted,
        )

    @property
    def name(self) -> str:
        """What stands in the record when USER accepts this statement."""
        return accepted_name(self.text, self.subject_digest)


@dataclass(frozen=True)
class ApprovalRequest:
    """All that a question shows; its digest covers all of it but the words."""

    number: int
    stage: int
    kind: str
    label: str
    workflow: str
    attempts: Mapping[str, int]
    statements: tuple[Shown, ...] = ()
    #: path → sha256 of what there is to read
    artifacts: Mapping[str, str] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    #: path → sha256 of what the effects take in
    inputs: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    target_words: str = ""
    by_user: tuple[str, ...] = ()
    #: what to know about the effects on this target
    remarks: tuple[str, ...] = ()
    why: str = ""
    changed: tuple[str, ...] = ()
    final: bool = False

    @property
    def covered(self) -> dict[str, Any]:
        """What the digest is taken over: no times, no words, not the answer."""
        return {
            "stage": self.stage,
            "kind": self.kind,
            "workflow": self.workflow,
            "attempts": dict(self.attempts),
            "statements": [[s.key, s.verdict, dict(s.checks)] for s in self.statements],
            "artifacts": dict(self.artifacts),
            "effects": [e.to_dict() for e in self.effects],
            "inputs": dict(self.inputs),
            "target": self.target,
            "by_user": list(self.by_user),
            "remarks": list(self.remarks),
        }

    @property
    def digest(self) -> str:
        return sha256_bytes(canonical(self.covered))

    def with_verdict(self, *verdicts: Verdict) -> tuple[Shown, ...]:
        names = {v.value for v in verdicts}
        return tuple(s for s in self.statements if s.verdict in names and not s.accepted)

    @property
    def failed(self) -> tuple[Shown, ...]:
        return self.with_verdict(Verdict.FAILED)

    @property
    def unproven(self) -> tuple[Shown, ...]:
        return self.with_verdict(Verdict.UNPROVEN)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "effects": [e.to_dict() for e in self.effects]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ApprovalRequest:
        fields = dict(data)
        fields["statements"] = tuple(Shown(**s) for s in data["statements"])
        fields["effects"] = tuple(Effect.from_dict(e) for e in data["effects"])
        fields["by_user"] = tuple(data["by_user"])
        fields["remarks"] = tuple(data["remarks"])
        fields["changed"] = tuple(data["changed"])
        return cls(**fields)


def describe_differences(asked: ApprovalRequest, now: ApprovalRequest) -> list[str]:
    """What an answer would cover today that it did not show, in words."""
    found = []
    if asked.workflow != now.workflow:
        found.append("the workflow file has changed")
    for label, before, after in (
        ("", {**asked.inputs, **asked.artifacts}, {**now.inputs, **now.artifacts}),
    ):
        for path in sorted({*before, *after}):
            if before.get(path) != after.get(path):
                old, new = before.get(path, "absent"), after.get(path, "absent")
                found.append(f"{label}`{path}`: sha256 {old[:12]} is now {new[:12]}")
    before_verdicts = {s.key: (s.verdict, dict(s.checks)) for s in asked.statements}
    for shown in now.statements:
        if before_verdicts.get(shown.key, ("", {})) != (shown.verdict, dict(shown.checks)):
            was = before_verdicts.get(shown.key, ("not shown", {}))[0]
            found.append(f"“{shown.text}” was {was}, is {shown.verdict}")
    if [e.to_dict() for e in asked.effects] != [e.to_dict() for e in now.effects]:
        found.append("the effects that approving would run")
    if asked.target != now.target:
        found.append(f"the target: {asked.target or 'none'} is now {now.target or 'none'}")
    if dict(asked.attempts) != dict(now.attempts):
        found.append("a stage has been done again")
    return found or (["what is shown"] if asked.digest != now.digest else [])


_GROUPS = (
    ("Failed", Verdict.FAILED),
    ("Unproven", Verdict.UNPROVEN),
    ("Proven", Verdict.PROVEN),
    ("Not applicable", Verdict.NOT_APPLICABLE),
    ("Judged later", Verdict.PENDING),
)


def heading(sheet: ApprovalRequest) -> str:
    """The section's heading line without `## `; it is how the section is found again."""
    return f"{sheet.label} — question {sheet.number}"


def render_request(sheet: ApprovalRequest, ticket: str) -> str:
    """The section that goes into the parent's file."""
    groups = [(head, sheet.with_verdict(v)) for head, v in _GROUPS]
    accepted = tuple(s for s in sheet.statements if s.accepted)
    groups.insert(2, ("Failed, accepted by USER", accepted))
    flags, beside = _ways(sheet)
    after = "the family then moves to COMPLETE" if sheet.final else "`orchestrate run` then goes on"
    text = templating.render(
        "question.md.j2",
        sheet=sheet,
        title=sheet.label,
        id=ticket,
        groups=[(head, items) for head, items in groups if items],
        brief=lambda head: head in ("Proven", "Not applicable"),
        flags=flags,
        beside=beside,
        after=after,
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def flags_for(sheet: ApprovalRequest) -> str:
    """The flags that `orchestrate approve` needs here, as text after the id."""
    return _ways(sheet)[0]


def _ways(sheet: ApprovalRequest) -> tuple[str, str]:
    """The flags that approving needs here, on the command line and beside the status."""
    flags, beside = "", []
    if sheet.failed:
        names = [s.text for s in sheet.failed]
        flags += "".join(f" --accept {shlex.quote(name)}" for name in names)
        beside.append(f"`accept: {json.dumps(names, ensure_ascii=False)}`")
    if sheet.unproven:
        flags += " --accept-unproven"
        beside.append("`accept: unproven`" if not sheet.failed else '`"unproven"` in that list')
    if sheet.effects and sheet.target not in ("", "embedded"):
        flags += f" --target {sheet.target}"
        beside.append(f"`target: {sheet.target}`")
    return flags, ", ".join(beside)


# -- answers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What USER answered, in the file or on the command line."""

    #: "approved", "changes_requested" or "hold"
    verb: str
    words: str = ""
    accept: tuple[str, ...] = ()
    accept_unproven: bool = False
    target: str = ""
    #: members named by a `CHANGES_REQUESTED` of their own
    members: tuple[str, ...] = ()
    via: str = "file"


class AnswerRefusedError(OrchestrateError):
    """An answer that cannot be taken as it stands; the question stays open."""

    code = "answer-refused"


def verb_of(status: str) -> str | None:
    """ "approved", "changes_requested" or "hold" for a status that answers, else None."""
    word = re.sub(r"^\d+(\.\d+)?_", "", status.strip().upper())
    word = re.sub(r"[\s_-]+", "_", word)
    return {
        "APPROVED": "approved",
        "CHANGES_REQUESTED": "changes_requested",
        "HOLD": "hold",
    }.get(word)


def words_under_user(body: str, number: int) -> str:
    """USER's words under `### USER` in the section of a question, the last of its number."""
    pattern = rf"^## [^\n]*question {number}\s*$(.*?)(?=^## |\Z)"
    sections = re.findall(pattern, body, re.MULTILINE | re.DOTALL)
    if not sections:
        return ""
    words = re.search(r"^### USER[ \t]*$(.*)", sections[-1], re.MULTILINE | re.DOTALL)
    return words.group(1).strip() if words else ""


def accept_names(value: Any) -> tuple[tuple[str, ...], bool]:
    """The `accept:` beside a status: names of failed statements, and whether unproven ones go."""
    items = value if isinstance(value, list) else [value] if value else []
    names = tuple(str(item).strip() for item in items if str(item).strip())
    unproven = any(n.lower() == "unproven" for n in names)
    return tuple(n for n in names if n.lower() != "unproven"), unproven


def resolve_acceptances(sheet: ApprovalRequest, answer: Answer) -> tuple[str, ...]:
    """What an approval accepts, as the record keeps it.

    Raises AnswerRefusedError when it leaves a failed or an unproven statement open, names one that
    is not there or not alone, or does not name the target.
    """
    accepted = tuple(_named(sheet, name) for name in answer.accept)
    open_ones = [s for s in sheet.failed if s.name not in {a.name for a in accepted}]
    if open_ones:
        raise AnswerRefusedError(
            f"{len(open_ones)} failed statement(s) are not accepted: "
            + "; ".join(f"“{s.text}” ({s.detail})" for s in open_ones),
            hint='accept each by name (--accept "…", or `accept: ["…"]` beside the status), '
            "or send back, or hold",
        )
    if sheet.unproven and not answer.accept_unproven:
        raise AnswerRefusedError(
            f"{len(sheet.unproven)} statement(s) are unproven: "
            + "; ".join(f"“{s.text}”" for s in sheet.unproven),
            hint="take them with --accept-unproven, or `accept: unproven` beside the status",
        )
    if sheet.effects and sheet.target != "embedded" and answer.target != sheet.target:
        raise AnswerRefusedError(
            f"approving writes to {sheet.target_words}; the answer has to name it",
            hint=f"--target {sheet.target}, or `target: {sheet.target}` beside the status",
        )
    return tuple(a.name for a in accepted)


def _plain(text: str) -> str:
    return re.sub(r"[\s`*“”\"']+", " ", text).strip().casefold()


def _named(sheet: ApprovalRequest, name: str) -> Shown:
    hits = [s for s in sheet.failed if _plain(s.text) == _plain(name) or s.receipt == name]
    hits = hits or [s for s in sheet.failed if _plain(name) and _plain(name) in _plain(s.text)]
    if len(hits) == 1:
        return hits[0]
    what = "is not among the failed statements" if not hits else "fits more than one"
    raise AnswerRefusedError(
        f"“{name}” {what}",
        hint="failed: " + ("; ".join(f"“{s.text}”" for s in sheet.failed) or "none"),
    )

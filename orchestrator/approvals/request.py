"""Approval requests: what USER is shown, its digest, and the section that asks (DESIGN 7)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator import templating
from orchestrator.approvals.changed_file import ChangedFile
from orchestrator.approvals.effects import Effect
from orchestrator.approvals.proposed import ProposedCheck
from orchestrator.domain.record import QuestionKind
from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import ReceiptSummary
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.history import History, canonical
from orchestrator.workspaces.landing import LAND

#: heading → verdict or "accepted", in the order in which USER has to see them
GROUPS = (
    ("Failed", Verdict.FAILED),
    ("Unproven", Verdict.UNPROVEN),
    ("Failed, accepted by USER", "accepted"),
    ("Judged later", Verdict.PENDING),
    ("Proven", Verdict.PROVEN),
    ("Not applicable", Verdict.NOT_APPLICABLE),
)


#: the heading of the statements about positions and answers, which are only counted
BOOKKEEPING = "Bookkeeping"


def group_statements(
    statements: Sequence[ReceiptSummary],
) -> list[tuple[str, tuple[ReceiptSummary, ...]]]:
    """The statements under the headings of `GROUPS`, without empty ones; what is known to fail
    comes first under its heading. Bookkeeping that is in order comes last, under its own.
    """
    plain = [s for s in statements if not _in_order(s)]
    found = [
        (head, tuple(sorted((s for s in plain if s.label == label), key=lambda s: not s.forecast)))
        for head, label in GROUPS
    ]
    found.append((BOOKKEEPING, tuple(s for s in statements if _in_order(s))))
    return [(head, group) for head, group in found if group]


def _in_order(statement: ReceiptSummary) -> bool:
    """Whether it is bookkeeping that nobody has to look at."""
    labels = (Verdict.PROVEN, Verdict.NOT_APPLICABLE, Verdict.PENDING)
    return statement.bookkeeping and statement.label in labels


@dataclass(frozen=True)
class ApprovalRequest:
    """Everything that USER is shown; its digest covers all of it but the prose."""

    number: int
    stage: int
    kind: str
    label: str
    workflow: str
    attempts: Mapping[str, int]
    statements: tuple[ReceiptSummary, ...] = ()
    #: path → sha256 of what there is to read
    artifacts: Mapping[str, str] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    #: path → sha256 of what the effects read
    inputs: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    target_words: str = ""
    #: which database that is, and digest of the settings that the effects use
    identity: str = ""
    configuration: str = ""
    by_user: tuple[str, ...] = ()
    #: what to know about the effects on this target
    remarks: tuple[str, ...] = ()
    why: str = ""
    changed: tuple[str, ...] = ()
    final: bool = False
    #: what the family changed since its start, and what its agents did in git besides
    files: tuple[ChangedFile, ...] = ()
    notes: tuple[str, ...] = ()
    #: lines of the tickets that look like criteria and were not read
    not_read: tuple[str, ...] = ()
    #: the members whose tickets have no criterion
    without_criteria: tuple[str, ...] = ()
    #: checks that approving takes
    proposed: tuple[ProposedCheck, ...] = ()

    @property
    def covered(self) -> dict[str, Any]:
        """What the digest is taken over: no times, no prose, not the answer."""
        names = ("stage", "kind", "workflow", "attempts", "artifacts", "inputs", "target")
        covered = {name: getattr(self, name) for name in (*names, "by_user", "remarks")}
        covered["statements"] = [[s.key, s.verdict, dict(s.checks)] for s in self.statements]
        covered["effects"] = [e.to_dict() for e in self.effects]
        if self.files or self.notes:
            covered["files"] = [file.state for file in self.files]
            covered["notes"] = list(self.notes)
        # not in requests of earlier editions
        later = ("not_read", "without_criteria", "identity", "configuration")
        added = {name: getattr(self, name) for name in later}
        added["proposed"] = [asdict(each) for each in self.proposed]
        return {**covered, **{name: value for name, value in added.items() if value}}

    @property
    def digest(self) -> str:
        return sha256_bytes(canonical(self.covered))

    @property
    def on_target(self) -> tuple[Effect, ...]:
        """The effects that need the database's target: all but a landing."""
        return tuple(effect for effect in self.effects if effect.kind != LAND)

    @property
    def heading(self) -> str:
        """The section's heading line without `## `, by which it is found again."""
        return f"{self.label} — question {self.number}"

    @property
    def consequence(self) -> str:
        """What approving does where the request lists no effects."""
        if self.kind == QuestionKind.EFFECT:
            return "tries again what failed and runs what has not run, from the same approved bytes"
        if self.final:
            return "ends the work: nothing is run, and the family moves to COMPLETE"
        return "runs nothing on any database; the work then continues"

    @property
    def unchanged(self) -> dict[str, str]:
        """What there is to read besides the changed files: path → sha256."""
        named = {file.path for file in self.files}
        return {path: sha for path, sha in self.artifacts.items() if path not in named}

    def with_label(self, label: str) -> tuple[ReceiptSummary, ...]:
        """The statements with a verdict, or "accepted"."""
        return tuple(s for s in self.statements if s.label == label)

    @property
    def failed(self) -> tuple[ReceiptSummary, ...]:
        return self.with_label(Verdict.FAILED)

    @property
    def unproven(self) -> tuple[ReceiptSummary, ...]:
        return self.with_label(Verdict.UNPROVEN)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "effects": [e.to_dict() for e in self.effects]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ApprovalRequest:
        fields = dict(data)
        fields["statements"] = tuple(ReceiptSummary(**s) for s in data["statements"])
        fields["effects"] = tuple(Effect.from_dict(e) for e in data["effects"])
        fields["files"] = tuple(map(ChangedFile.from_dict, data.get("files", ())))
        fields["proposed"] = tuple(map(ProposedCheck.from_dict, data.get("proposed", ())))
        names = ("by_user", "remarks", "changed", "notes", "not_read", "without_criteria")
        for name in names:
            fields[name] = tuple(data.get(name, ()))
        return cls(**fields)

    @classmethod
    def find(cls, history: History, digest: str) -> ApprovalRequest | None:
        """The request that the history stored under a digest; it is intact if `digest` is equal."""
        record = history.latest("question", digest=digest)
        return cls.from_dict(record["sheet"]) if record else None


def describe_differences(asked: ApprovalRequest, now: ApprovalRequest) -> list[str]:
    """What an answer would cover today that the request did not show, in words."""
    found = []
    if asked.workflow != now.workflow:
        found.append("the workflow file has changed")
    before, after = {**asked.inputs, **asked.artifacts}, {**now.inputs, **now.artifacts}
    for path in sorted({*before, *after}):
        old, new = before.get(path, "absent"), after.get(path, "absent")
        if old != new:
            found.append(f"`{path}`: sha256 {old[:12]} is now {new[:12]}")
    found += list(describe_changed_files(asked.files, now.files, {*before, *after}))
    verdicts = {s.key: (s.verdict, dict(s.checks)) for s in asked.statements}
    for summary in now.statements:
        was, checks = verdicts.get(summary.key, ("not shown", {}))
        if (was, checks) != (summary.verdict, dict(summary.checks)):
            same = was == summary.verdict
            how = "is judged by another check now" if same else f"was {was}, is {summary.verdict}"
            found.append(f"“{summary.shown}” {how}")
    gone = {s.text for s in asked.statements} - {s.text for s in now.statements}
    found += [f"“{text}” is no longer demanded" for text in sorted(gone)]
    if asked.proposed != now.proposed:
        found.append("the checks that are proposed")
    if asked.not_read != now.not_read:
        found.append("the lines of the tickets that are not read as criteria")
    for id in sorted({*asked.without_criteria} ^ {*now.without_criteria}):
        has = "no criterion any more" if id in now.without_criteria else "criteria now"
        found.append(f"{id} has {has}")
    if [e.to_dict() for e in asked.effects] != [e.to_dict() for e in now.effects]:
        found.append("the effects that approving would run")
    if asked.target != now.target:
        found.append(f"the target: {asked.target or 'none'} is now {now.target or 'none'}")
    found += list(describe_settings(asked, now.identity, now.configuration))
    if dict(asked.attempts) != dict(now.attempts):
        found.append("a stage has been done again")
    return found or (["what is shown"] if asked.digest != now.digest else [])


def describe_settings(asked: ApprovalRequest, identity: str, configuration: str) -> Iterator[str]:
    """How the database and the settings of effects differ from what was shown, in words."""
    if asked.identity and asked.identity != identity:
        yield f"{asked.target_words} is another database now"
    if asked.configuration and asked.configuration != configuration:
        yield "the settings that the effects use"


#: the headings under which all is in order
IN_ORDER = ("Proven", "Not applicable", BOOKKEEPING)


def _groups_in_ticket(request: ApprovalRequest, ticket: str, body: str) -> list[dict[str, Any]]:
    """The statements as the ticket shows them: what is in order and shown above is only counted."""
    groups = []
    for head, found in group_statements(request.statements):
        listed, note = found, ""
        if head == BOOKKEEPING:
            listed, note = (), f": `orchestrate review {ticket}` lists it"
        elif head in IN_ORDER:
            listed = tuple(s for s in found if not s.receipt or s.receipt not in body)
            if len(listed) < len(found):
                note = f", {len(found) - len(listed)} of them listed above with these receipts"
        parts = {"head": head, "count": len(found), "listed": listed, "note": note}
        groups.append({**parts, "detailed": head not in IN_ORDER})
    return groups


def describe_changed_files(
    asked: Sequence[ChangedFile], now: Sequence[ChangedFile], named: Container[str] = ()
) -> Iterator[str]:
    """How the family's change differs from the one that was shown, in words.

    What is `named` elsewhere is left out, unless it is no longer the same kind of change.
    """
    was, is_now = ({f.path: f for f in files} for files in (asked, now))
    for path in sorted({*was, *is_now}):
        old, new = was.get(path), is_now.get(path)
        if old is None:
            yield f"`{path}` is changed now"
        elif new is None:
            yield f"`{path}` is no longer changed"
        elif old.state != new.state and not (path in named and old.kind == new.kind):
            yield f"`{path}`: {old.kind} was shown, {new.kind} with other content is there now"


def render_request(
    request: ApprovalRequest, ticket: str, body: str = "", changed_files: str = ""
) -> str:
    """The section that goes into the parent's file.

    `body` is what the file says already, `changed_files` the section's block of that name.
    """
    flags, keys = _required_acceptances(request)
    text = templating.render(
        "question.md.j2",
        request=request,
        id=ticket,
        groups=_groups_in_ticket(request, ticket, body),
        flags=flags,
        keys=keys,
        changed_files=changed_files,
        unchanged=request.unchanged,
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def answer_commands(request: ApprovalRequest, parent: str) -> list[str]:
    """The commands that answer a request."""
    return [
        f"orchestrate approve {parent}{_required_acceptances(request)[0]}",
        f'orchestrate send-back {parent} --note "…"',
        f'orchestrate hold {parent} --reason "…"',
    ]


def _required_acceptances(request: ApprovalRequest) -> tuple[str, str]:
    """What approving has to name: as flags, and as keys next to the status."""
    flags, keys = "", []
    if request.failed:
        names = [s.shown for s in request.failed]
        flags += "".join(f" --accept {shlex.quote(name)}" for name in names)
        keys.append(templating.code_span(f"accept: {json.dumps(names, ensure_ascii=False)}"))
    if request.unproven:
        flags += " --accept-unproven"
        keys.append('`"unproven"` in that list' if request.failed else "`accept: unproven`")
    if request.on_target and request.target not in ("", "embedded"):
        flags += f" --target {request.target}"
        keys.append(f"`target: {request.target}`")
    return flags, ", ".join(keys)

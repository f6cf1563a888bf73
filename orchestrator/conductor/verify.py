"""`orchestrate verify`: prove again, on today's tree, what has a receipt (DESIGN 6.5)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from orchestrator.approvals.judging import all_statements
from orchestrator.domain.record import State
from orchestrator.family.intact import ALTERED, find_damage
from orchestrator.family.session import Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.gates.receipts import Receipt, newest_receipts
from orchestrator.git.commits import Committer


class Standing(StrEnum):
    """How a statement that has a receipt stands today, worst first."""

    #: it was proven and is not any more, or its record is damaged
    BROKEN = "no longer holds"
    #: it failed then and now, and USER did not accept it
    FAILED = "failed"
    UNPROVEN = "unproven"
    ACCEPTED = "accepted"
    PENDING = "judged later"
    #: true at its time, by its receipt: a position, an answer, a count right after the effects
    THEN = "held then"
    HOLDS = "holds"


@dataclass(frozen=True)
class Verified:
    """One statement: what its last receipt says, and what is found today."""

    statement: str
    source: str
    receipt: str
    then: str
    now: str
    detail: str
    #: subjects whose sha256 differs from the receipt's
    changed: tuple[str, ...] = ()
    #: the commit that changed each of them last, where git knows it
    since: tuple[str, ...] = ()
    #: checks whose version differs from the receipt's: "name 1 → 2"
    checks: tuple[str, ...] = ()
    #: position and answers hold for a moment; their receipt is kept
    kept: bool = False
    #: it was about an earlier moment that has passed
    past: bool = False
    #: USER accepted by name that it fails
    accepted: bool = False
    #: the record itself is not as the engine wrote it
    damaged: bool = False
    #: the family is complete though it was never judged (an earlier edition, a later edit)
    missed: bool = False

    @property
    def standing(self) -> Standing:
        fine = (Verdict.PROVEN.value, Verdict.NOT_APPLICABLE.value)
        has_to_hold = self.missed or self.then in fine
        if self.damaged or (has_to_hold and self.now not in fine):
            return Standing.BROKEN
        if self.now in fine:
            return Standing.THEN if self.kept or self.past else Standing.HOLDS
        if self.now == Verdict.FAILED.value:
            return Standing.ACCEPTED if self.accepted else Standing.FAILED
        return Standing.PENDING if self.now == Verdict.PENDING.value else Standing.UNPROVEN

    @property
    def holds(self) -> bool:
        """False for what no longer holds, and for what failed without USER accepting it."""
        return self.standing not in (Standing.BROKEN, Standing.FAILED)

    def to_dict(self) -> dict[str, Any]:
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {**values, "standing": self.standing.value, "holds": self.holds}


def count_standings(found: Iterable[Verified]) -> dict[Standing, int]:
    """How many statements stand how, in the order of `Standing`; all of them are named."""
    counts = Counter(v.standing for v in found)
    return {standing: counts[standing] for standing in Standing}


def verify(session: Session) -> list[Verified]:
    """Prove again every statement of the family that has a receipt; name what is damaged.

    A claim about content is proven again; the other claims of its statement (position, an answer,
    an effect) had their moment, and keep their result.
    """
    stored = newest_receipts(session.family.history, [s.number for s in session.plan.stages])
    again = {k: r for k, r in stored.items() if any(c.phase is Phase.CONTENT for c in r.claims)}
    contexts = {s.number: session.context(s) for s in session.plan.stages}
    pairs = [(r.statement, contexts[r.stage]) for r in again.values()]
    proofs = {p.key: p for p in session.gate.prove_each(pairs, (Phase.CONTENT,), again)}
    in_order = sorted(stored.values(), key=lambda receipt: receipt.stage)
    # many receipts have the same files as their subjects
    shas = {path: session.sha(path) for path in {p for r in in_order for p in r.subjects}}
    compared = [_compare(session, r, proofs.get(r.key), shas) for r in in_order]
    return [*_find_damaged(session), *compared, *_judge_unjudged(session, stored)]


def _judge_unjudged(session: Session, stored: Container[str]) -> Iterator[Verified]:
    """What the tickets of a complete family demand, and was never judged."""
    if session.flow.state is not State.COMPLETE:
        return
    demanded = [s for s in all_statements(session) if s.ticket and s.key not in stored]
    for receipt in session.gate.prove(demanded, session.context(session.plan.last)):
        source = f"{receipt.statement.source}:{receipt.statement.line}"
        yield Verified(
            receipt.statement.shown,
            source,
            "",
            "not judged",
            receipt.verdict.value,
            receipt.detail,
            missed=True,
        )


def _compare(
    session: Session, receipt: Receipt, proof: Receipt | None, shas: Mapping[str, str]
) -> Verified:
    changed = tuple(p for p, sha in receipt.subjects.items() if shas[p] != sha)
    git = Committer(session.root)
    today = {c.claim: c for c in proof.claims} if proof else {}
    pairs = [(old, new) for old in receipt.claims if (new := today.get(old.claim))]
    return Verified(
        receipt.statement.shown,
        f"{receipt.statement.source}:{receipt.statement.line}",
        receipt.id,
        receipt.verdict.value,
        (proof or receipt).verdict.value,
        (proof or receipt).detail,
        changed,
        since=tuple(git.last_change(session.inside(p)) for p in changed),
        checks=tuple(
            f"{old.check} {old.version} → {new.check} {new.version}"
            for old, new in pairs
            if (old.check, old.version) != (new.check, new.version)
        ),
        kept=proof is None,
        past=proof is not None and all(claim.result.past for claim in proof.claims),
        accepted=session.is_accepted(proof or receipt),
    )


def _find_damaged(session: Session) -> Iterator[Verified]:
    """Lines of the history that are not as the engine wrote them.

    A receipt's id is the digest of its content. A last line that is cut off is a crash, no damage.
    """
    path = session.family.history.path
    block = session.flow.model_dump(mode="json")
    altered = find_damage(session.family.history, block, session.settings.trust.keys)
    if altered is not None and altered.code == ALTERED:
        source = f"{path.relative_to(session.board.root)}:{altered.line}"
        yield Verified(altered.message, source, "", "", "", altered.hint, damaged=True)
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    for number, line in enumerate(lines[:-1], start=1):
        why, record = _find_damage(line)
        if why:
            statement = record.get("statement")
            text = statement.get("text", "") if isinstance(statement, dict) else ""
            yield Verified(
                text or f"line {number} of the record",
                f"{path.relative_to(session.board.root)}:{number}",
                str(record.get("id", "")),
                str(record.get("verdict", "")),
                Verdict.UNPROVEN.value,
                f"{why}; restore the line from the history of the repository",
                damaged=True,
            )


def _find_damage(line: str) -> tuple[str, Mapping[str, Any]]:
    """What is wrong with a line, or "", and its record as far as it can be read."""
    try:
        record = json.loads(line)
    except ValueError:
        return "the line cannot be read", {}
    if not isinstance(record, dict):
        return "the line is not a record", {}
    if record.get("type") != "receipt":
        return "", record
    try:
        receipt = Receipt.from_dict(record)
    except (KeyError, TypeError, ValueError, AttributeError):
        return "the receipt is incomplete", record
    if (receipt.id, receipt.verdict.value) != (record.get("id"), record.get("verdict")):
        return "the receipt differs from what was written", record
    return "", record

"""`orchestrate verify`: what has a receipt is proven again on today's tree (DESIGN 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.case import Case
from orchestrator.checks import Phase, Verdict
from orchestrator.commits import Committer
from orchestrator.gate import Receipt, statement_of


@dataclass(frozen=True)
class Verified:
    """One statement: what its last receipt says, and what is found today."""

    statement: str
    source: str
    receipt: str
    then: str
    now: str
    detail: str
    #: subjects whose sha256 is another one than in the receipt
    changed: tuple[str, ...] = ()
    #: the change that each of them comes from, where git tells
    since: tuple[str, ...] = ()
    #: position and answers hold for a moment; their receipt is kept
    kept: bool = False

    @property
    def holds(self) -> bool:
        """False if something that was proven no longer is."""
        return self.then != Verdict.PROVEN.value or self.now == Verdict.PROVEN.value

    def to_dict(self) -> dict[str, Any]:
        return {
            "statement": self.statement,
            "source": self.source,
            "receipt": self.receipt,
            "then": self.then,
            "now": self.now,
            "detail": self.detail,
            "changed": list(self.changed),
            "since": list(self.since),
            "kept": self.kept,
            "holds": self.holds,
        }


def verify(case: Case) -> list[Verified]:
    """Prove again every statement of the family that has a receipt."""
    records = case.stored_receipts([s.number for s in case.plan.stages])
    found = []
    for stage in case.plan.stages:
        mine = [r for r in records if r["stage"] == stage.number]
        again = {id(r): r for r in mine if _provable(r)}
        statements = [statement_of(r) for r in again.values()]
        proofs = case.gate.prove(statements, case.context(stage), (Phase.CONTENT,))
        by_record = dict(zip(again, proofs, strict=True))
        found += [_compared(case, r, by_record.get(id(r))) for r in mine]
    return found


def _provable(record: Mapping[str, Any]) -> bool:
    """Whether the receipt speaks of content; position, answers and effects had their moment."""
    return all(c["phase"] == Phase.CONTENT.value for c in record["claims"])


def _compared(case: Case, record: Mapping[str, Any], proof: Receipt | None) -> Verified:
    changed = tuple(p for p, sha in record["subjects"].items() if case.sha(p) != sha)
    git = Committer(case.root)
    since = tuple(git.last_change(case.inside(p)) for p in changed)
    source = f"{record['statement']['source']}:{record['statement']['line']}"
    now, detail = (
        (record["verdict"], record["detail"])
        if proof is None
        else (proof.verdict.value, proof.detail)
    )
    return Verified(
        record["statement"]["text"],
        source,
        record["id"],
        record["verdict"],
        now,
        detail,
        changed,
        since,
        kept=proof is None,
    )

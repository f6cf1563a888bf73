"""Gates: a stage's statements, proven by the engine, each with a receipt (DESIGN 6)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import OrchestrateError
from orchestrator.gates.binding import Binder, Binding
from orchestrator.gates.checks import (
    SEVERITY,
    Context,
    Phase,
    Result,
    Verdict,
    failed,
    unproven,
)
from orchestrator.storage.atomic import sha256_bytes, sha256_file
from orchestrator.storage.history import canonical

_EVIDENCE_LIMIT = 20_000


@dataclass(frozen=True)
class ClaimProof:
    """One claim with its check's result."""

    claim: str
    check: str
    #: the check's edition
    version: str
    phase: str
    result: Result


@dataclass(frozen=True)
class Receipt:
    """The stored result for one statement. The id is a digest: the same proof has the same id."""

    statement: Statement
    claims: tuple[ClaimProof, ...]
    #: sha256 by path of what the verdict is about
    subjects: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        found = {claim.result.verdict for claim in self.claims}
        return next((v for v in SEVERITY if v in found), Verdict.UNPROVEN)

    @property
    def detail(self) -> str:
        """What a person reads beside the statement: the worst claims' words first."""
        worst = [c for c in self.claims if c.result.verdict is self.verdict]
        return "; ".join(dict.fromkeys(c.result.detail for c in worst))

    @property
    def id(self) -> str:
        body = {
            "statement": self.statement.text,
            "ticket": self.statement.ticket,
            "claims": [[c.claim, c.check, c.version, c.result.verdict.value] for c in self.claims],
            "subjects": dict(self.subjects),
        }
        return sha256_bytes(canonical(body))[:8]

    @property
    def subject_digest(self) -> str:
        """What an acceptance by name is bound to, besides the statement itself."""
        return sha256_bytes(canonical(dict(self.subjects)))[:8]

    @property
    def key(self) -> str:
        """The statement with its place, as records and questions name it."""
        return f"{self.statement.ticket or self.statement.source}:{self.statement.text}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "statement": {
                "text": self.statement.text,
                "kind": self.statement.kind.value,
                "source": self.statement.source,
                "line": self.statement.line,
                "group": self.statement.group,
                "ticket": self.statement.ticket,
                "verifier": self.statement.verifier,
            },
            "claims": [
                {
                    "claim": c.claim,
                    "check": c.check,
                    "version": c.version,
                    "phase": c.phase,
                    "verdict": c.result.verdict.value,
                    "detail": c.result.detail,
                    "evidence": _bounded(c.result.evidence),
                }
                for c in self.claims
            ],
            "subjects": dict(self.subjects),
        }


def receipt_of(data: Mapping[str, Any]) -> Receipt:
    """A stored receipt as it was."""
    claims = tuple(
        ClaimProof(
            c["claim"],
            c["check"],
            c["version"],
            c["phase"],
            Result(
                Verdict(c["verdict"]),
                c["detail"],
                tuple(data["subjects"]) if c["phase"] == Phase.CONTENT.value else (),
                c["evidence"],
            ),
        )
        for c in data["claims"]
    )
    return Receipt(statement_of(data), claims, data["subjects"])


def statement_of(data: Mapping[str, Any]) -> Statement:
    """The statement of a stored receipt."""
    s = data["statement"]
    return Statement(
        s["text"],
        StatementKind(s["kind"]),
        s["source"],
        s["line"],
        group=s.get("group", ""),
        verifier=s.get("verifier", ""),
        ticket=s.get("ticket", ""),
    )


def _bounded(evidence: Mapping[str, Any]) -> Any:
    text = canonical(dict(evidence))
    if len(text) <= _EVIDENCE_LIMIT:
        return dict(evidence)
    return {"truncated": text[:_EVIDENCE_LIMIT].decode("utf-8", "ignore")}


class Gate:
    """Proves statements in a context, several at a time."""

    def __init__(self, binder: Binder, workers: int = 8) -> None:
        self.binder = binder
        self.workers = workers

    def prove(
        self,
        statements: Sequence[Statement],
        context: Context,
        phases: Iterable[Phase] = (Phase.CONTENT,),
        earlier: Mapping[str, Receipt] | None = None,
        done: Callable[[Receipt], None] = lambda _: None,
    ) -> list[Receipt]:
        """Receipts in the order of the statements; `done` gets each as soon as it is proven.

        Claims of other phases keep the result that `earlier` (receipts by key) has, else stay
        pending.
        """
        return self.prove_each([(s, context) for s in statements], phases, earlier, done)

    def prove_each(
        self,
        statements: Sequence[tuple[Statement, Context]],
        phases: Iterable[Phase] = (Phase.CONTENT,),
        earlier: Mapping[str, Receipt] | None = None,
        done: Callable[[Receipt], None] = lambda _: None,
    ) -> list[Receipt]:
        """The same for statements that have each a context of their own; slow ones begin first."""
        wanted, guard = frozenset(phases), threading.Lock()

        def one(number: int) -> Receipt:
            statement, context = statements[number]
            receipt = self._prove_one(statement, context, wanted, earlier or {})
            with guard:
                done(receipt)
            return receipt

        for services in {id(c.services): c.services for _, c in statements}.values():
            services.epoch += 1
        order = sorted(range(len(statements)), key=lambda n: not self._is_slow(statements[n][0]))
        if not statements:
            return []
        with ThreadPoolExecutor(self.workers) as pool:
            proven = dict(zip(order, pool.map(one, order), strict=True))
        return [proven[number] for number in range(len(statements))]

    def _is_slow(self, statement: Statement) -> bool:
        return any(b.check is not None and b.check.slow for b in self.binder.bind(statement.text))

    def _prove_one(
        self,
        statement: Statement,
        context: Context,
        phases: frozenset[Phase],
        earlier: Mapping[str, Receipt],
    ) -> Receipt:
        context = replace(context, statement=statement, ticket=statement.ticket or context.ticket)
        blank = Receipt(statement, ())
        before = {c.claim: c for c in earlier[blank.key].claims} if blank.key in earlier else {}
        claims = tuple(
            self._claim(binding, context, phases, before.get(binding.claim))
            for binding in self.binder.bind(statement.text)
        )
        paths = {p for claim in claims for p in claim.result.subjects}
        return Receipt(statement, claims, {p: _sha(context, p) for p in sorted(paths)})

    @staticmethod
    def _claim(
        binding: Binding, context: Context, phases: frozenset[Phase], before: ClaimProof | None
    ) -> ClaimProof:
        if binding.check is None:
            short, _, stub = binding.problem.partition("\n")
            return ClaimProof(binding.claim, "", "", "content", unproven(short, stub=stub))
        check = binding.check
        if check.phase in phases:
            result = _run(binding, context)
        elif before is not None:
            result = before.result
        else:
            result = Result(Verdict.PENDING, f"judged {_WHEN[check.phase]}")
        return ClaimProof(binding.claim, check.name, check.edition, check.phase.value, result)


_WHEN = {
    Phase.CONTENT: "at the gate",
    Phase.POSITION: "when the tickets have moved",
    Phase.ANSWER: "by USER's answer",
    Phase.EFFECT: "on the target, after the effects",
}


def _run(binding: Binding, context: Context) -> Result:
    """A check that raises proves nothing: a user's error fails, anything else is unproven."""
    assert binding.check is not None
    broke = f"the check {binding.check.name} broke"
    try:
        result: object = binding.check.function(context, **binding.arguments)
    except OrchestrateError as exc:
        return failed(str(exc))
    # a broken check must not take the conductor down, least of all with exit code 0
    except (Exception, SystemExit) as exc:  # noqa: BLE001
        return unproven(f"{broke}: {type(exc).__name__}: {exc}")
    if not isinstance(result, Result) or not isinstance(result.verdict, Verdict):
        return unproven(f"{broke}: it gives {result!r:.80} and no Result, such as proven(…)")
    try:
        canonical(dict(result.evidence))
    except (TypeError, ValueError) as exc:
        return unproven(f"{broke}: its evidence cannot be stored: {exc}")
    return result


def _sha(context: Context, path: str) -> str:
    try:
        file = context.path(path)
        return sha256_file(file) if file.is_file() else "absent"
    except OrchestrateError:
        return "absent"

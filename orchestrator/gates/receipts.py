"""Gates: a stage's statements are proven by the engine, each with a receipt (DESIGN 6)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.workflow import Statement, read_out
from orchestrator.errors import MissingToolError, OrchestrateError
from orchestrator.gates.checks import (
    SEVERITY,
    Context,
    Elsewhere,
    Found,
    Phase,
    Result,
    Verdict,
    failed,
    not_applicable,
    unproven,
)
from orchestrator.storage.atomic import sha256_bytes, sha256_file
from orchestrator.storage.history import History, canonical

if TYPE_CHECKING:
    from orchestrator.gates.binding import Binder, Binding

#: bytes of evidence that a stored receipt keeps per claim
_EVIDENCE_LIMIT = 20_000
#: what the conductor and USER do themselves, and what holds for a moment only
_MOMENTARY = frozenset({Phase.POSITION, Phase.ANSWER})
#: when a claim that is still pending will be judged
_WHEN = {
    Phase.CONTENT: "at the gate",
    Phase.POSITION: "when the tickets have moved",
    Phase.ANSWER: "by USER's answer",
    Phase.EFFECT: "on the target, after the effects",
}


@dataclass(frozen=True)
class ClaimProof:
    """One claim with its check's result."""

    claim: str
    #: "" where no check fits
    check: str
    #: the check's edition
    version: str
    phase: Phase
    result: Result

    @property
    def check_label(self) -> str:
        """`name@version`, "" where no check fits."""
        return f"{self.check}@{self.version}" if self.check else ""


@dataclass(frozen=True)
class ReceiptSummary:
    """A receipt as an approval request lists and stores it."""

    text: str
    verdict: str
    detail: str
    #: the receipt's id
    receipt: str
    #: check → edition: an approval lapses when a check changes its meaning
    checks: Mapping[str, str]
    key: str
    subject_digest: str
    #: USER accepted this failed statement by name
    accepted: bool = False
    #: what kind of statement it is, "" in records of 0.1.0
    kind: str = ""
    #: it only says where a ticket lies, whose it is, or what USER answered
    bookkeeping: bool = False
    #: of a statement that is judged later: why it is known to fail already, else ""
    forecast: str = ""
    #: counts of its checks (evidence `counted`), shown though it is proven
    counted: str = ""

    @property
    def shown(self) -> str:
        """The text as people read it."""
        return read_out(self.text, self.kind)

    @property
    def name(self) -> str:
        """What the record keeps when USER accepts this statement (see `Receipt.acceptance`)."""
        return f"{self.text} @{self.subject_digest}"

    @property
    def label(self) -> str:
        """The verdict, or "accepted"."""
        return "accepted" if self.accepted else self.verdict

    @property
    def severity(self) -> int:
        """0 for the worst; what USER accepted comes last."""
        return SEVERITY.index(Verdict(self.verdict)) + len(SEVERITY) * self.accepted


@dataclass(frozen=True)
class Receipt:
    """The stored result for one statement. The id is a digest: the same proof has the same id."""

    statement: Statement
    claims: tuple[ClaimProof, ...]
    #: path → sha256 of what the verdict is about
    subjects: Mapping[str, str] = field(default_factory=dict)
    #: of a stored receipt: its stage, the stage's attempt, and when it was written
    stage: int = 0
    attempt: int = 1
    at: str = ""

    @property
    def verdict(self) -> Verdict:
        found = {claim.result.verdict for claim in self.claims}
        return next((v for v in SEVERITY if v in found), Verdict.UNPROVEN)

    @property
    def detail(self) -> str:
        """What a person reads next to the statement: the details of its worst claims."""
        worst = [c for c in self.claims if c.result.verdict is self.verdict]
        return "; ".join(dict.fromkeys(c.result.detail for c in worst))

    @property
    def is_bookkeeping(self) -> bool:
        """Whether it only says where tickets lie, whose they are, or what USER answered."""
        phases = {claim.phase for claim in self.claims if claim.check}
        return bool(phases) and phases <= _MOMENTARY and all(claim.check for claim in self.claims)

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
    def key(self) -> str:
        """The statement with its place, as records and approval requests name it."""
        return self.statement.key

    @property
    def acceptance(self) -> str:
        """How the record keeps USER's acceptance: until the statement or its subjects change."""
        return self.summarize().name

    def is_accepted(self, accepted: Container[str]) -> bool:
        """Whether it failed and `accepted` (of the record) names it."""
        return self.verdict is Verdict.FAILED and self.acceptance in accepted

    def summarize(self, accepted: Container[str] = ()) -> ReceiptSummary:
        """The receipt without evidence; `accepted` holds the names that USER accepted."""
        summary = ReceiptSummary(
            self.statement.text,
            self.verdict.value,
            self.detail,
            self.id,
            {c.check: c.version for c in self.claims if c.check},
            self.key,
            sha256_bytes(canonical(dict(self.subjects)))[:8],
            kind=self.statement.kind.value,
            bookkeeping=self.is_bookkeeping,
            counted="; ".join(str(c.result.evidence.get("counted", "")) for c in self.claims),
        )
        is_accepted = self.verdict is Verdict.FAILED and summary.name in accepted
        return replace(summary, accepted=is_accepted)

    def to_dict(self) -> dict[str, Any]:
        """The fields of a history record of type `receipt`, without those of its stage."""
        s = self.statement
        return {
            "id": self.id,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "statement": {
                "text": s.text,
                "kind": s.kind.value,
                "source": s.source,
                "line": s.line,
                "group": s.group,
                "ticket": s.ticket,
                "verifier": s.verifier,
            },
            "claims": [
                {
                    "claim": c.claim,
                    "check": c.check,
                    "version": c.version,
                    "phase": c.phase.value,
                    "verdict": c.result.verdict.value,
                    "detail": c.result.detail,
                    "evidence": _limit_evidence(c.result.evidence),
                }
                for c in self.claims
            ],
            "subjects": dict(self.subjects),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Receipt:
        """A stored receipt. Raises KeyError, TypeError or ValueError for one that is damaged."""
        subjects = data["subjects"]
        claims = tuple(
            ClaimProof(
                c["claim"],
                c["check"],
                c["version"],
                phase := Phase(c["phase"]),
                Result(
                    Verdict(c["verdict"]),
                    c["detail"],
                    tuple(subjects) if phase is Phase.CONTENT else (),
                    c["evidence"],
                ),
            )
            for c in data["claims"]
        )
        return cls(
            Statement.from_dict(data["statement"]),
            claims,
            subjects,
            data.get("stage", 0),
            data.get("attempt", 1),
            data.get("at", ""),
        )


def _limit_evidence(evidence: Mapping[str, Any]) -> dict[str, Any]:
    text = canonical(dict(evidence))
    if len(text) <= _EVIDENCE_LIMIT:
        return dict(evidence)
    return {"truncated": text[:_EVIDENCE_LIMIT].decode("utf-8", "ignore")}


def newest_records(
    history: History, stages: Container[int] | None = None
) -> dict[str, dict[str, Any]]:
    """The newest stored receipt of each statement, by its key; `stages`: of these alone."""
    return {
        Statement.from_dict(record["statement"]).key: record
        for record in history.of("receipt")
        if stages is None or record["stage"] in stages
    }


def newest_receipts(history: History, stages: Container[int] | None = None) -> dict[str, Receipt]:
    """As `newest_records`, parsed."""
    found = newest_records(history, stages)
    return {key: Receipt.from_dict(record) for key, record in found.items()}


def summarize_by_text(
    receipts: Iterable[Receipt], accepted: Container[str]
) -> tuple[ReceiptSummary, ...]:
    """Summaries, worst first for each text: what several places claim is listed once."""
    worst: dict[str, ReceiptSummary] = {}
    for receipt in receipts:
        one = receipt.summarize(accepted)
        known = worst.get(one.text)
        if known is None or one.severity < known.severity:
            worst[one.text] = one
    return tuple(worst.values())


class Gate:
    """Proves statements in a context, several at a time; slow ones maybe on other machines."""

    def __init__(
        self, binder: Binder, workers: int = 8, elsewhere: Elsewhere | None = None
    ) -> None:
        self.binder = binder
        self.workers = workers
        self.elsewhere = elsewhere

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
        """The same where each statement has its own context; slow ones start first."""
        wanted, guard = frozenset(phases), threading.Lock()
        if not statements:
            return []
        for services in {id(c.services): c.services for _, c in statements}.values():
            services.epoch += 1
        each = range(len(statements))
        slow = frozenset(number for number in each if self._is_slow(statements[number][0]))
        # others are told one context, so it has to be everybody's
        shared = statements[0][1]
        ask = self.elsewhere if slow and all(c is shared for _, c in statements) else None
        with ThreadPoolExecutor(self.workers) as pool:
            far = None
            if ask is not None:
                far = pool.submit(ask, [statements[number][0] for number in sorted(slow)], shared)

            def prove_one(number: int) -> Receipt:
                statement, context = statements[number]
                found = far.result() if far is not None and number in slow else {}
                before = (earlier or {}).get(statement.key)
                receipt = self._prove_statement(statement, context, wanted, before, found)
                with guard:
                    done(receipt)
                return receipt

            # what waits for other machines keeps nothing else waiting
            order = sorted(each, key=lambda number: (number in slow) is (far is not None))
            proven = dict(zip(order, pool.map(prove_one, order), strict=True))
        return [proven[number] for number in each]

    def _is_slow(self, statement: Statement) -> bool:
        bound = self.binder.bind(statement.text)
        return any(b.check is not None and b.check.slow for b in bound)

    def _prove_statement(
        self,
        statement: Statement,
        context: Context,
        phases: frozenset[Phase],
        before: Receipt | None,
        found: Mapping[tuple[str, str, str], Found],
    ) -> Receipt:
        context = replace(context, statement=statement, ticket=statement.ticket or context.ticket)
        kept = {c.claim: c.result for c in before.claims} if before else {}
        claims = []
        for binding in self.binder.bind(statement.text):
            check = binding.check
            if check is None:
                short, _, stub = binding.problem.partition("\n")
                result = unproven(short, stub=stub)
                claims.append(ClaimProof(binding.claim, "", "", Phase.CONTENT, result))
                continue
            if check.phase in phases:
                far = found.get((statement.key, binding.claim, f"{check.name}@{check.edition}"))
                # what others found has to be about the files as they are here
                fits = far and all(_hash_subject(context, p) == s for p, s in far.subjects.items())
                result = far.result if far and fits else _run_check(binding, context)
            else:
                pending = Result(Verdict.PENDING, f"judged {_WHEN[check.phase]}")
                result = kept.get(binding.claim, pending)
            if binding.beside and result.verdict is Verdict.UNPROVEN:
                result = not_applicable(f"left to the named evidence: {result.detail}")
            claims.append(ClaimProof(binding.claim, check.name, check.edition, check.phase, result))
        paths = sorted({path for claim in claims for path in claim.result.subjects})
        return Receipt(statement, tuple(claims), {p: _hash_subject(context, p) for p in paths})


def _run_check(binding: Binding, context: Context) -> Result:
    """A check that raises proves nothing: a user's error fails, all else (no tool) is unproven."""
    assert binding.check is not None
    broke = f"the check {binding.check.name} broke"
    context = replace(context, reservations=[])
    try:
        result: object = binding.check.function(context, **binding.arguments)
    except MissingToolError as exc:
        return unproven(exc.message, install=exc.command)
    except OrchestrateError as exc:
        return failed(str(exc))
    # a broken check must not take the conductor down, least of all with exit code 0
    except (Exception, SystemExit) as exc:  # noqa: BLE001
        return unproven(f"{broke}: {type(exc).__name__}: {exc}")
    if not isinstance(result, Result) or not isinstance(result.verdict, Verdict):
        return unproven(f"{broke}: it returned {result!r:.80}, not a Result such as proven(…)")
    try:
        canonical(dict(result.evidence))
    except (TypeError, ValueError) as exc:
        return unproven(f"{broke}: its evidence cannot be stored: {exc}")
    if context.reservations and result.verdict is Verdict.PROVEN:
        reasons = "; ".join(dict.fromkeys(context.reservations))
        return replace(result, verdict=Verdict.UNPROVEN, detail=f"{reasons} ({result.detail})")
    return result


def _hash_subject(context: Context, path: str) -> str:
    try:
        file = context.path(path)
        return sha256_file(file) if file.is_file() else "absent"
    except OrchestrateError:
        return "absent"

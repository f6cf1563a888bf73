"""Proofs on other machines: python -m orchestrator.workers.proofs, JSON job in, report out.

A worker's verdict is a claim about the very files that were sent, by a check of the same edition;
what it cannot prove is tried at home, and so is everything right before effects (docs/trust.md).
"""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.agent_process.dispatcher import Tell
from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.domain.workflow import Stage, Statement, Workflow
from orchestrator.errors import OrchestrateError, StoppedError
from orchestrator.errors.masking import sanitize
from orchestrator.gates.checks import Context, Elsewhere, Found, Result, Services, Verdict
from orchestrator.gates.loading import load_binder
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.gates.receipts import Gate
from orchestrator.settings.agents import PROVE
from orchestrator.settings.config import load_settings
from orchestrator.storage.history import History, canonical
from orchestrator.workers.parcel import MOST_BYTES, digest

#: what of a worker's verdicts is taken at a gate; between turns a failure is, too
AT_GATES = frozenset({Verdict.PROVEN, Verdict.NOT_APPLICABLE})
BETWEEN_TURNS = AT_GATES | {Verdict.FAILED}


class _Asked(BaseModel):
    """What is to be proven, and all that a context has beside the files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statements: tuple[Statement, ...]
    workflow: Workflow | None
    stage: Stage | None
    artifacts: dict[str, dict[str, Any]]
    #: path → its bytes (base64) when the family began; None: which paths changed is not known
    changed: dict[str, str | None] | None
    #: whether it is known how files were then
    at_start: bool
    by_person: tuple[str, ...]

    @classmethod
    def of(cls, statements: Sequence[Statement], context: Context) -> _Asked:
        paths = context.changed() if context.changed is not None else None
        changed: dict[str, str | None] = {}
        size = 0
        for path in sorted(paths or ()):
            data = context.at_start(path) if context.at_start is not None else None
            changed[path] = None if data is None else base64.b64encode(data).decode("ascii")
            size += len(data or b"")
        if size > MOST_BYTES:
            raise OrchestrateError(f"what has changed is larger than {MOST_BYTES >> 20} MB")
        by_person = context.by_person or (lambda _: False)
        return cls(
            statements=tuple(statements),
            workflow=context.workflow,
            stage=context.stage,
            artifacts={path: dict(made) for path, made in context.artifacts.items()},
            changed=None if paths is None else changed,
            at_start=context.at_start is not None,
            by_person=tuple(path for path in changed if by_person(path)),
        )


class _Claim(BaseModel):
    """What a check found about a claim."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    claim: str
    check: str
    verdict: Verdict
    detail: str = Field(max_length=20_000)
    evidence: dict[str, Any] = Field(default_factory=dict)
    #: path → sha256
    subjects: dict[str, str] = Field(default_factory=dict, max_length=10_000)


class _Claims(BaseModel):
    claims: tuple[_Claim, ...]


# -- at home ---------------------------------------------------------------------------------------


def elsewhere(
    send: Callable[[Job, Tell], Report], believed: Collection[Verdict], tell: Tell
) -> Elsewhere:
    """Asks workers for proofs, by sending them a job; see `Gate`."""

    def ask(
        statements: Sequence[Statement], context: Context
    ) -> Mapping[tuple[str, str, str], Found]:
        try:
            report = send(_job(statements, context), tell)
            claims = _Claims.model_validate_json(report.section or '{"claims": []}')
        except StoppedError:
            raise
        except (OrchestrateError, ValidationError) as exc:
            said = exc.message if isinstance(exc, OrchestrateError) else "a report of another form"
            tell(f"proven here: {sanitize(said)}")
            return {}
        if report.outcome is not Outcome.DONE:
            tell(f"proven here: {sanitize(report.reason)}")
        found = {}
        for claim in claims.claims:
            with contextlib.suppress(TypeError, ValueError):
                canonical(claim.evidence)
                if claim.verdict in believed:
                    evidence = {**claim.evidence, "machine": report.log[-1].removeprefix("by ")}
                    result = Result(
                        claim.verdict, sanitize(claim.detail), tuple(claim.subjects), evidence
                    )
                    key = claim.key, claim.claim, claim.check
                    found[key] = Found(result, claim.subjects)
        return found

    return ask


def _job(statements: Sequence[Statement], context: Context) -> Job:
    asked = _Asked.of(statements, context).model_dump(mode="json")
    workflow, stage, home = context.workflow, context.stage, context.home or context.root
    board = context.settings["board"]["folder"]
    return Job(
        ticket=context.ticket,
        parent=context.parent,
        family=context.family,
        stage=stage.number if stage is not None else 0,
        agent=PROVE,
        workspace=str(context.root),
        home=str(home),
        workflow=str(workflow.path) if workflow is not None else "",
        workflow_text=workflow.text if workflow is not None else "",
        settings={"board": board, "proof": asked},
        # the same question has the same name, and another one another
        words=digest(canonical(asked).decode("utf-8", "replace"), str(len(context.history))),
    )


# -- at the worker ---------------------------------------------------------------------------------


def prove(job: Job) -> Report:
    """Prove what a job asks for, by the checks and settings that are here."""
    asked = _Asked.model_validate(job.settings["proof"])
    settings = load_settings(job.board_root)
    changed = asked.changed

    def at_start(path: str) -> bytes | None:
        if changed is not None and path in changed:
            kept = changed[path]
            return None if kept is None else base64.b64decode(kept)
        file = job.root / path
        return file.read_bytes() if file.is_file() else None

    cache = user_proof_cache()
    with Services(cache) as services:
        context = Context(
            root=job.root,
            home=job.board_root,
            ticket=job.ticket,
            parent=job.parent,
            workflow=asked.workflow,
            stage=asked.stage,
            family=job.family,
            artifacts=asked.artifacts,
            history=tuple(History(job.board_root / job.settings["board"], job.parent).records),
            settings=settings.model_dump(mode="json"),
            services=services,
            changed=(lambda: frozenset(changed)) if changed is not None else None,
            at_start=at_start if asked.at_start else None,
            by_person=lambda path: path in asked.by_person,
        )
        binder = load_binder(job.board_root, cache=cache)
        receipts = Gate(binder).prove(asked.statements, context)
    claims = [
        _Claim(
            key=receipt.key,
            claim=proof.claim,
            check=proof.check_label,
            verdict=proof.result.verdict,
            detail=proof.result.detail[:20_000],
            evidence=dict(proof.result.evidence),
            subjects={path: receipt.subjects[path] for path in proof.result.subjects},
        )
        for receipt in receipts
        for proof in receipt.claims
    ]
    return Report(outcome=Outcome.DONE, section=_Claims(claims=tuple(claims)).model_dump_json())


def main() -> int:
    """Read a job from stdin, prove, write the report to stdout."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    with contextlib.redirect_stdout(sys.stderr):
        report = prove(job)
    sys.stdout.write(report.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())

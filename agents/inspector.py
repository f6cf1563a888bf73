"""INSPECTOR: writes up a QA gate from what the engine has proven (DESIGN 5.3, 6.4)."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import PurePosixPath

from orchestrate_agents import preparing
from orchestrate_agents.render import render_markdown
from orchestrator.domain.agent import Finding, Job, Outcome, Report
from orchestrator.domain.id_grammar import id_from_name


class Inspector:
    """Judges nothing by reading: every verdict in its report is the engine's, with its receipt."""

    name = "INSPECTOR"

    @staticmethod
    def prepare() -> None:
        """Load what the work needs, before there is any."""
        preparing.load()

    def work(self, job: Job) -> Report:
        """FAIL with the list if a statement failed; PASS if all are proven; else what is so."""
        if not job.findings:
            return Report(
                outcome=Outcome.NEEDS_PERSON,
                reason=f"stage {job.stage} has no statement to inspect; add a checklist to "
                f"{job.workflow} or acceptance criteria to the ticket",
            )
        findings = _merge_repeated(job.findings)
        failed = [f for f in findings if f.verdict == "failed"]
        found = Counter(f.verdict for f in findings)
        order = ("proven", "failed", "unproven", "accepted", "pending", "not applicable")
        parts = [f"{found[v]} {v}" for v in order if found[v]]
        counts = f"{len(findings)} statements: {', '.join(parts)}"
        status = _status(found)
        section = render_markdown(
            "inspector/qa.md.j2",
            status=status,
            agent=job.agent,
            stage=job.stage,
            attempt=job.attempt,
            counts=counts,
            groups=[
                {"name": name, "findings": list(items)}
                for name, items in groupby(findings, key=_label)
            ],
            failed=failed,
        )
        if failed:
            reason = f"{len(failed)} of {len(findings)} statements failed"
            return Report(outcome=Outcome.FAILED, reason=reason, section=section)
        log = (counts,) if status == "PASS" else (status, counts)
        return Report(outcome=Outcome.DONE, section=section, log=log)


def _status(found: Counter[str]) -> str:
    """What the gate says in a word: PASS only if all that could be judged is proven."""
    judged = found.total() - found["pending"]
    proven = found["proven"] + found["not applicable"]
    if found["failed"]:
        return "FAIL"
    if judged and proven == judged:
        return "PASS"
    word = "UNPROVEN" if found["unproven"] else "ACCEPTED BY USER"
    noun = "criterion" if judged == 1 else "criteria"
    return f"{word} ({proven} of {judged} {noun} proven)" if judged else "NOTHING JUDGED YET"


def _label(finding: Finding) -> str:
    """The heading above the finding in its document, after the ticket."""
    document = finding.source.rsplit(":", 1)[0]
    ticket = id_from_name(PurePosixPath(document).name)
    return " — ".join(part for part in (ticket, finding.group) if part) or document


def _merge_repeated(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What a workflow and its tickets both say appears once, with the receipts of all."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.statement.rstrip(" ."), finding.verdict)
        if known := found.get(key):
            finding = known.model_copy(update={"receipt": f"{known.receipt}, {finding.receipt}"})
        found[key] = finding
    return tuple(found.values())

"""INSPECTOR: writes up a QA gate from what the engine has proven (DESIGN 5.3, 6.4)."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from agents.render import render_markdown
from orchestrator.agent import Finding, Job, Outcome, Report


class Inspector:
    """Judges nothing by reading: every verdict in its report is the engine's, with its receipt."""

    name = "INSPECTOR"

    def work(self, job: Job) -> Report:
        """PASS if no statement failed; FAIL with the list otherwise."""
        if not job.findings:
            return Report(
                outcome=Outcome.NEEDS_PERSON,
                reason=f"stage {job.stage} has no statement to inspect; add a checklist to "
                f"{job.workflow} or acceptance criteria to the ticket",
            )
        failed = [f for f in job.findings if f.verdict == "failed"]
        section = render_markdown(
            "inspector/qa.md.j2",
            agent=job.agent,
            stage=job.stage,
            attempt=job.attempt,
            counts=_counts(job.findings),
            groups=_groups(job.findings),
            failed=failed,
        )
        if failed:
            return Report(
                outcome=Outcome.FAILED,
                reason=f"{len(failed)} of {len(job.findings)} statements failed",
                section=section,
            )
        return Report(outcome=Outcome.DONE, section=section, log=(_counts(job.findings),))


def _counts(findings: tuple[Finding, ...]) -> str:
    found = Counter(f.verdict for f in findings)
    order = ("proven", "failed", "unproven", "accepted", "pending", "not applicable")
    parts = [f"{found[v]} {v}" for v in order if found[v]]
    return f"{len(findings)} statements: {', '.join(parts)}"


def _groups(findings: tuple[Finding, ...]) -> list[dict[str, object]]:
    """Findings in order, by the label above them in their own document."""

    def label(f: Finding) -> str:
        return f.group or f.source.rsplit(":", 1)[0]

    return [{"name": name, "findings": list(items)} for name, items in groupby(findings, key=label)]

"""Checks and receipts on the command line: `checks`, `checks try`, `verify`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.text import mark, one_line, paint, say, say_json
from orchestrator.cli.workspace import AsJson, TicketId, workspace

if TYPE_CHECKING:
    from orchestrator.conductor.verify import Verified


def list_checks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the checks that statements bind to, with examples.

    Yours come from `checks/*.py` of the workspace and from installed packages.
    """
    if context.invoked_subcommand is not None:
        return
    from orchestrator.gates.loading import load_checks

    found = sorted(load_checks(workspace(context).root), key=lambda c: c.name)
    if as_json:
        say_json(
            [
                {
                    "name": check.name,
                    "summary": check.summary,
                    "phase": check.phase.value,
                    "version": check.version,
                    "patterns": list(check.patterns),
                    "examples": list(check.examples),
                }
                for check in found
            ]
        )
        return
    for subject, checks in groupby(found, key=lambda c: c.name.split(".")[0]):
        say(paint(subject, "bold"))
        for check in checks:
            when = "" if check.phase.value == "content" else f" [{check.phase.value}]"
            say(f"  {check.name}{when}: {check.summary}")
            for example in check.examples:
                say(f"      e.g. {example}")


def list_effects(context: typer.Context, as_json: AsJson = False) -> None:
    """List what approving can do, and the wordings that bind to it.

    What binds to none of them is shown as yours to do. `orchestrate review ID` lists the effects
    of an open question.
    """
    from orchestrator.approvals.effects import effect_forms

    found = effect_forms()
    if as_json:
        say_json([asdict(form) for form in found])
        return
    for form in found:
        say(f"{paint(form.kind, 'bold')}: {form.summary}")
        for wording in form.wordings:
            say(f"  {wording}")
        for example in form.examples:
            say(f"      e.g. {example}")


def try_statement(
    context: typer.Context,
    statement: Annotated[str, typer.Argument(help="A statement, as a ticket would have it.")],
    ticket: Annotated[
        str, typer.Option("--ticket", metavar="ID", help="Judge it as part of this family.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show which check a statement binds to, and its result now.

    Exit code 0 if it is proven, 1 if not.
    """
    from orchestrator.gates.checks import Verdict

    here = workspace(context)
    member = here.id(ticket) if ticket else ""
    receipt, bindings = here.conductor().try_statement(statement, member)
    proven = receipt.verdict in (Verdict.PROVEN, Verdict.NOT_APPLICABLE)
    if as_json:
        described = [
            {
                "claim": binding.claim,
                "check": binding.check.name if binding.check else None,
                "arguments": {k: str(v) for k, v in binding.arguments.items()},
                "problem": binding.problem,
            }
            for binding in bindings
        ]
        say_json({**receipt.to_dict(), "bindings": described})
        raise typer.Exit(0 if proven else 1)
    unclear = False
    for binding, claim in zip(bindings, receipt.claims, strict=True):
        verdict = claim.result.verdict
        say(f"{mark(verdict.value)} {one_line(binding.claim)}")
        if binding.check is None:
            say("    " + binding.problem.replace("\n", "\n    "))
            continue
        given = ", ".join(f"{k} = {v}" for k, v in binding.arguments.items())
        say(f"    {binding.check.name}({given})")
        say(f"    {verdict.value}: {one_line(claim.result.detail)}")
        unclear = unclear or verdict is Verdict.UNPROVEN
    if unclear and not ticket:
        say("judged without a ticket: `--ticket ID` uses that family's stage and files")
    raise typer.Exit(0 if proven else 1)


def verify(
    context: typer.Context,
    id: TicketId,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run everything, even what ran on the same bytes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove again, on today's files, what was proven.

    Told apart: what holds, what held then (positions, answers, counts right after the effects: by
    their receipts, not judged on today's files), and what no longer holds. Exit code 1 if something
    no longer holds, or failed and was not accepted by USER.
    """
    from orchestrator.conductor.verify import Standing, count_standings

    found = workspace(context).conductor().verify(id, fresh=fresh)
    counts = count_standings(found)
    code = 0 if all(v.holds for v in found) else 1
    if as_json:
        counted = {standing.value: number for standing, number in counts.items()}
        say_json({"counts": counted, "statements": [v.to_dict() for v in found]})
        raise typer.Exit(code)
    for standing in (s for s in reversed(Standing) if counts[s]):
        then = standing is Standing.THEN
        note = ", by its receipt; not judged on today's files" if then else ""
        say(
            paint(
                f"{standing.value[:1].upper()}{standing.value[1:]} ({counts[standing]}){note}",
                "bold",
            )
        )
        for v in (v for v in found if v.standing is standing):
            _say_verified(v)
    reported = [
        f"{n} {s.value if n == 1 else s.value.replace('holds', 'hold')}"
        for s, n in counts.items()
        if n or s is Standing.BROKEN
    ]
    say(f"{len(found)} statements: {', '.join(reversed(reported))}")
    raise typer.Exit(code)


#: standing → the verdict whose mark it has
_MARKS = {"no longer holds": "failed", "holds": "proven", "held then": "not applicable"}


def _say_verified(v: Verified) -> None:
    """A statement with its mark; if it does not hold, what was found and what changed."""
    standing = v.standing.value.replace("judged later", "pending")
    say(f"  {mark(_MARKS.get(standing, standing))} {one_line(v.statement)}")
    if v.damaged:
        say(f"      {v.source}")
    if v.holds:
        return
    say(f"      was {v.then or 'unreadable'}, is {v.now}: {one_line(v.detail)}")
    if v.checks:
        say(f"      other checks: {'; '.join(v.checks)}")
    if v.changed:
        paths = [f"{p} ({s})" if s else p for p, s in zip(v.changed, v.since, strict=True)]
        say(f"      changed since: {'; '.join(paths)}")

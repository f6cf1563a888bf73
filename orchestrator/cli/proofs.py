"""Checks and receipts on the command line: `checks`, `checks try`, `receipts`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.session import AsJson, TicketId, session
from orchestrator.cli.text import mark, one_line, paint, say, say_json

if TYPE_CHECKING:
    from orchestrator.gates.binding import Binding
    from orchestrator.gates.checks import Check
    from orchestrator.gates.receipts import Receipt


def list_checks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the checks that statements bind to, with examples.

    Yours come from `checks/*.py` of the workspace and from installed packages.
    """
    if context.invoked_subcommand is not None:
        return
    from orchestrator.gates.checks import load_checks

    found = sorted(load_checks(session(context).root), key=lambda c: c.name)
    if as_json:
        say_json([_check(c) for c in found])
        return
    for subject, checks in groupby(found, key=lambda c: c.name.split(".")[0]):
        say(paint(subject, "bold"))
        for each in checks:
            when = "" if each.phase.value == "content" else f" [{each.phase.value}]"
            say(f"  {each.name}{when}: {each.summary}")
            for example in each.examples:
                say(f"      e.g. {example}")


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "summary": check.summary,
        "phase": check.phase.value,
        "version": check.version,
        "patterns": list(check.patterns),
        "examples": list(check.examples),
    }


def try_statement(
    context: typer.Context,
    statement: Annotated[str, typer.Argument(help="A statement, as it would stand in a ticket.")],
    ticket: Annotated[
        str, typer.Option("--ticket", metavar="ID", help="Judge it as one of this family.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show which check a statement binds to, and what it says now.

    Exit code 0 if it is proven, 1 if not.
    """
    from orchestrator.gates.checks import Verdict

    receipt, bindings = session(context).conductor().try_statement(statement, ticket)
    if as_json:
        say_json({**receipt.to_dict(), "bindings": [_binding(b) for b in bindings]})
    else:
        _say_trial(receipt, bindings)
        if not ticket and _may_need_family(receipt, bindings):
            say("judged without a ticket: `--ticket ID` judges it by that family's stage and files")
    proven = receipt.verdict in (Verdict.PROVEN, Verdict.NOT_APPLICABLE)
    raise typer.Exit(0 if proven else 1)


def _may_need_family(receipt: Receipt, bindings: tuple[Binding, ...]) -> bool:
    """Whether a check was found, and could not tell."""
    return any(
        binding.check is not None and claim.result.verdict.value == "unproven"
        for binding, claim in zip(bindings, receipt.claims, strict=True)
    )


def _binding(binding: Binding) -> dict[str, Any]:
    return {
        "claim": binding.claim,
        "check": binding.check.name if binding.check else None,
        "arguments": {k: str(v) for k, v in binding.arguments.items()},
        "problem": binding.problem,
    }


def _say_trial(receipt: Receipt, bindings: tuple[Binding, ...]) -> None:
    for binding, claim in zip(bindings, receipt.claims, strict=True):
        say(f"{mark(claim.result.verdict.value)} {one_line(binding.claim)}")
        if binding.check is None:
            say("    " + binding.problem.replace("\n", "\n    "))
            continue
        given = ", ".join(f"{k} = {v}" for k, v in binding.arguments.items())
        say(f"    {binding.check.name}({given})")
        say(f"    {claim.result.verdict.value}: {one_line(claim.result.detail)}")


def receipts(
    context: typer.Context,
    id: TicketId,
    statement: Annotated[
        str, typer.Option("--statement", metavar="TEXT", help="Only statements with these words.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show a family's receipts, the newest of each statement."""
    found = session(context).conductor().receipts(id)
    wanted = [r for r in found if statement.casefold() in r["statement"]["text"].casefold()]
    if as_json:
        say_json(wanted)
        return
    for record in wanted:
        _say_receipt(record)
    say(f"{len(wanted)} receipts")


def _say_receipt(record: dict[str, Any]) -> None:
    told = record["statement"]
    say(f"{mark(record['verdict'])} {record['id']}  {one_line(told['text'])}")
    say(f"    {told['source']}:{told['line']} · stage {record['stage']} · {record['at']}")
    for claim in record["claims"]:
        name = f"{claim['check']} v{claim['version']}" if claim["check"] else "no check"
        say(f"    {claim['verdict']} by {name}: {one_line(claim['detail'])}")
    for path, sha in record["subjects"].items():
        say(f"    about {path} (sha256 {sha[:12]})")

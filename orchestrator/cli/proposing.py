"""`checks propose`: a check for a statement that nothing proves."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.text import callable_commands, one_line, say, say_json
from orchestrator.cli.workspace import AsJson, TicketId, workspace
from orchestrator.errors import UsageError


def propose(
    context: typer.Context,
    id: TicketId,
    statement: Annotated[
        str, typer.Option("--statement", metavar="TEXT", help="Which one, by its words.")
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", metavar="FILE", help="A Python program; -: standard input.")
    ] = "",
    command: Annotated[
        str, typer.Option("--command", metavar="COMMAND", help="A command of this repository.")
    ] = "",
    take: Annotated[
        bool, typer.Option("--take", help="Take it now, as USER, instead of at the next question.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show what is proposed, with the code.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Take proposals back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Propose a check for a statement of a family that no check fits.

    A Python program or a command, which must end with exit code 0 only if the statement holds. It
    is tried on today's tree and on broken ones, where it has to fail. The next question lists it;
    approving writes it to `checks/scripts`, bound to its bytes. Without --from and --command the
    first agent that is a command writes it, else a beginning of one is put down for you.
    """
    from orchestrator.conductor.propose import drop_proposals, propose_check

    conductor = workspace(context).conductor()
    if show:
        return _show(conductor.log(id), as_json)
    if drop:
        dropped = drop_proposals(conductor, id, statement)
        if as_json:
            return say_json({"dropped": dropped})
        return say(
            "\n".join(f"dropped: “{one_line(each)}”" for each in dropped) or "nothing to drop"
        )
    if from_ and command:
        raise UsageError("name a program or a command, not both")
    code = ""
    if from_:
        place = workspace(context).file(Path(from_))
        if from_ != "-" and (place is None or not place.is_file()):
            raise UsageError("no such file", path=from_, code="no-such-file")
        data = sys.stdin.buffer.read() if place is None or from_ == "-" else place.read_bytes()
        code = data.decode("utf-8", "replace")
    found = propose_check(conductor, id, statement, code=code, command=command, take=take)
    if as_json:
        return say_json({**asdict(found), "taken": take})
    say(f"“{one_line(found.statement)}”")
    say(f"    by: {found.command}")
    say(f"    on today's tree {found.today}: {one_line(found.detail)}")
    for tree in found.fails_on:
        say(f"    ✓ fails where {tree}")
    for tree in found.passes_on:
        say(f"    ! succeeds where {tree}")
    then = "taken" if take else "the next question lists it, and approving takes it"
    return say(
        callable_commands(f"{then}; take it back: orchestrate checks revoke" if take else then)
    )


def _show(records: list[dict[str, object]], as_json: bool) -> None:
    kinds = ("proposal", "proposal-closed")
    latest = {r["statement"]: r for r in records if r.get("type") in kinds}
    found = [r for r in latest.values() if r["type"] == "proposal"]
    if as_json:
        return say_json(found)
    for record in found:
        say(f"“{one_line(str(record['statement']))}” — {record['command']}")
        say("\n".join(f"    {line}" for line in str(record["code"]).splitlines()))
    return None if found else say("nothing is proposed")

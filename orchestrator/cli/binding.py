"""`checks bind`: what the lines of a file bind to, without running anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.text import mark, one_line, say, say_json
from orchestrator.cli.workspace import AsJson, workspace
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.gates.binding import Binding


def bind(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Text or markdown, one statement a line; -: stdin."),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what each line of a file binds to; nothing is run.

    Boxes, bullets, numbers, headings and code blocks are left out. Exit code 0 whatever binds.
    """
    from orchestrator.gates.loading import load_binder
    from orchestrator.markdown.statement_lines import statement_lines

    here = workspace(context)
    if file == "-":
        data = sys.stdin.buffer.read()
    else:
        place = here.file(Path(file))
        if place is None or not place.is_file():
            raise UsageError("no such file", path=file, code="no-such-file")
        data = place.read_bytes()
    binder = load_binder(here.root)
    found = [_describe(line, text, binder.bind(text)) for line, text in statement_lines(data)]
    if as_json:
        say_json(found)
        return
    for each in found:
        say(f"{mark('proven' if each['check'] else 'unproven')} {one_line(each['statement'])}")
        for claim in each["claims"]:
            said = f"“{one_line(claim['text'])}”: " if len(each["claims"]) > 1 else ""
            say(f"    {said}{claim['check'] or claim['problem']}")
    bound = sum(each["check"] is not None for each in found)
    say(f"{bound} of {len(found)} statements bind")


def _describe(line: int, statement: str, bound: tuple[Binding, ...]) -> dict[str, Any]:
    names = [binding.check.name if binding.check else None for binding in bound]
    claims = [
        {"text": b.claim, "check": name, "problem": b.problem.partition("\n")[0]}
        for b, name in zip(bound, names, strict=True)
    ]
    # a statement is bound if all of it is
    checks = list(dict.fromkeys(filter(None, names)))
    check = ", ".join(checks) if None not in names else None
    return {"statement": statement, "line": line, "claims": claims, "check": check}

"""`review`: the checkpoint in the terminal, or as a page."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.text import callable_commands, mark, one_line, paint, say, say_json
from orchestrator.cli.workspace import AsJson, TicketId, workspace
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.review.model import Review
    from orchestrator.review.panels import Grid, Panel, Source

_WIDTH = 80
_TONES = {"good": "green", "bad": "red", "doubt": "yellow", "quiet": "dim", "plain": ""}


def review(
    context: typer.Context,
    id: TicketId,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page instead.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Show whole files and the details of every statement.")
    ] = False,
    number: Annotated[
        int | None,
        typer.Option("--question", metavar="N", help="Show what an answered question showed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the open question: proofs, access matrix, data, files.

    Read-only: nothing is moved or answered.
    """
    from orchestrator.review.model import build_review

    here = workspace(context)
    found = build_review(here.board, here.settings, id, number=number)
    if html is not None:
        _write_page(found, html)
        say(f"wrote {html}")
    elif as_json:
        say_json(found.to_dict())
    else:
        _say_review(found, full)


def _write_page(review: Review, file: Path) -> None:
    """Write the page; a file of another kind is not overwritten."""
    from orchestrator.review.html import render_page
    from orchestrator.storage.atomic import create, replace

    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError("not an .html file", path=file, hint="--html review.html")
    if not file.parent.is_dir():
        raise UsageError("no such folder", path=file.parent, hint="create it first")
    data = render_page(review).encode("utf-8")
    if file.exists():
        replace(file, data)
    else:
        create(file, data)


# -- the terminal ------------------------------------------------------------------------------


def _say_review(review: Review, full: bool) -> None:
    from orchestrator.approvals.request import IN_ORDER

    _say_head(review)
    _say_changes(review)
    for head, statements in review.groups:
        say()
        say(paint(f"{head} ({len(statements)})", "bold"))
        brief = head in IN_ORDER and not full
        for shown in statements:
            sign = mark("failed" if shown.forecast else shown.label)
            _say_wrapped(f"{shown.shown}  [{shown.receipt}]", sign=sign)
            if not brief and (detail := shown.forecast or shown.detail):
                _say_wrapped(detail, indent=4, style="dim")
    for panel in review.panels:
        _say_panel(panel, full)
    _say_sayings(review)
    for file in review.files if full else ():
        say()
        say(paint(file.path, "bold"))
        say(file.text if file.text is not None else "(not shown: missing, too large, or not text)")
    if review.how and review.question is not None:
        say()
        say(paint("To answer", "bold"))
        for line in review.how:
            say(f"  {callable_commands(one_line(line))}")
        say(f"  digest of all that is shown: {review.question.digest[:16]}")


def _say_changes(review: Review) -> None:
    """Every changed file and its diff."""
    from orchestrator.approvals.changed_files import describe_file, printable

    if review.changes:
        say()
        say(paint(f"Changed files ({len(review.changes)})", "bold"))
    for diff in review.changes:
        _say_wrapped(describe_file(diff), indent=2)
    for note in review.notes:
        _say_wrapped(note, indent=2, style="yellow")
    styles = {"+": "green", "-": "red", "@": "dim"}
    for diff in review.changes:
        if diff.lines:
            say()
            say(paint(f"--- {diff.file.path}", "bold"))
        for line in diff.lines or ():
            say(paint(printable(line), styles.get(line[:1], "")))


def _say_sayings(review: Review) -> None:
    """What each agent said last; whoever wants its whole section has the ticket."""
    if review.said:
        say()
        say(paint("What the agents said last", "bold"))
    for each in review.said:
        what = f"stage {each.stage}, attempt {each.attempt}, {each.agent}: {each.outcome}"
        _say_wrapped(what + (f" — {each.reason}" if each.reason else ""), indent=2)
        for line in each.text.splitlines():
            if line.strip():
                _say_wrapped(line, indent=4, style="dim")


def _say_head(review: Review) -> None:
    say(paint(f"{review.id}  {one_line(review.title)}", "bold"))
    question = review.question
    if question is None:
        _say_wrapped(f"No question is open; the family is {review.state}.")
        for reason in review.reasons:
            _say_wrapped(reason)
        return
    _say_wrapped(f"{question.heading}, asked {review.asked}")
    if review.closed:
        _say_wrapped("It is closed; this is what it showed.")
    elif review.changed:
        _say_wrapped(
            "Changed since it was asked, so no answer to it is accepted: "
            f"{', '.join(review.changed)}. "
            + callable_commands(f"`orchestrate run {review.id}` asks again."),
            style="red",
        )
    if question.why:
        _say_wrapped(question.why)
    if question.effects:
        say()
        on = question.target_words or question.target
        _say_wrapped(f"Approving will{f', on {on}' if on else ''}:")
        for number, effect in enumerate(question.effects, start=1):
            _say_wrapped(f"{number}. {effect.title}", indent=2)
    remarks = [*question.remarks, *(f"for you to do: {b}" for b in question.by_user)]
    remarks += [f"approving takes a check: {p.describe(review.id)}" for p in question.proposed]
    remarks += [f"not read as criteria: {line}" for line in question.not_read]
    remarks += [f"no criterion: {id}" for id in question.without_criteria]
    for line in remarks:
        _say_wrapped(f"Note: {line}")


def _say_wrapped(text: str, indent: int = 0, style: str = "", sign: str = "") -> None:
    """Words on as many lines as they need; a sign goes before the first."""
    space = " " * (indent + 2 * bool(sign))
    lines = textwrap.wrap(
        one_line(text), _WIDTH - len(space), break_on_hyphens=False, break_long_words=True
    )
    for number, line in enumerate(lines or [""]):
        start = f"{' ' * indent}{sign} " if sign and number == 0 else space
        say(start + paint(line, style))


def _say_panel(panel: Panel, full: bool) -> None:
    from orchestrator.review.panels import Chart, Grid

    say()
    say(paint(one_line(panel.title), "bold"))
    for line in panel.warnings:
        _say_wrapped(line, style="red")
    for line in panel.words:
        _say_wrapped(line, style="dim")
    for block in panel.blocks:
        if isinstance(block, Grid | Chart):
            _say_grid(block.grid if isinstance(block, Chart) else block)
        else:
            _say_source(block, full)


def _say_grid(grid: Grid) -> None:
    """A table; where the terminal is too narrow, its widest columns are cut."""
    rows = [row for row in grid.rows if len(row) > 1]
    columns = [[name, *(row[n].text for row in rows)] for n, name in enumerate(grid.columns)]
    widths = [max(len(one_line(text)) for text in column) for column in columns]
    over = sum(widths) + 2 * (len(widths) - 1) - _WIDTH + 2
    for n in sorted(range(len(widths)), key=lambda n: -widths[n]):
        cut = max(0, min(over, widths[n] - 12))
        widths[n], over = widths[n] - cut, over - cut

    def pad(number: int, text: str) -> str:
        flat = one_line(text, widths[number])
        right = grid.columns[number] in grid.figures
        return flat.rjust(widths[number]) if right else flat.ljust(widths[number])

    say("  " + paint("  ".join(map(pad, range(len(widths)), grid.columns)), "dim").rstrip())
    for row in grid.rows:
        if len(row) == 1:
            say("  " + paint(one_line(row[0].text), "bold"))
        else:
            cells = (paint(pad(n, c.text), _TONES[c.tone.value]) for n, c in enumerate(row))
            say("  " + "  ".join(cells).rstrip())


def _say_source(source: Source, full: bool) -> None:
    from orchestrator.review.html import diff_lines

    lines = source.text.splitlines()
    if full:
        for number, line in enumerate(lines, start=1):
            say(f"{number:4} {line}")
    kinds = [kind for kind, _ in diff_lines(source)]
    counts = f"+{kinds.count('added')} −{kinds.count('removed')}"
    compared = f"; compared with {source.against_name}: {counts}" if source.against else ""
    more = "" if full else "; --full shows it"
    _say_wrapped(f"{source.path}: {len(lines)} lines{compared}{more}", indent=2)

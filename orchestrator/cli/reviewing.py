"""`review`: the checkpoint in the terminal, or as a page to look at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.session import AsJson, TicketId, session
from orchestrator.cli.text import mark, one_line, paint, say, say_json
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.review.model import Review, Shown
    from orchestrator.review.panels import Cell, Grid, Panel, Source

_WIDTH = 80
_TONES = {"good": "green", "bad": "red", "doubt": "yellow", "quiet": "dim", "plain": ""}


def review(
    context: typer.Context,
    id: TicketId,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page to look at.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Show whole files and every proven statement's finding.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what USER is asked, with proofs, access and data; `--html FILE` as a page.

    Reads only: nothing is moved or answered.
    """
    from orchestrator.review.model import review as gathered

    here = session(context)
    found = gathered(here.board, here.settings, id)
    if html is not None:
        _write(found, html)
        say(f"{html} shows {found.id}")
    elif as_json:
        say_json(found.to_dict())
    else:
        _say(found, full)


def _write(review: Review, file: Path) -> None:
    """Write the page; another kind of file is not overwritten."""
    from orchestrator.review.html import page
    from orchestrator.storage.atomic import create, replace

    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError("a page is an .html file", path=file, hint="--html review.html")
    if not file.parent.is_dir():
        raise UsageError("there is no such folder", path=file.parent, hint="make it first")
    data = page(review).encode("utf-8")
    if file.exists():
        replace(file, data)
    else:
        create(file, data)


# -- the terminal ------------------------------------------------------------------------------


def _say(review: Review, full: bool) -> None:
    _head(review)
    for head, statements in review.groups:
        say()
        say(paint(f"{head} ({len(statements)})", "bold"))
        brief = statements[0].verdict in ("proven", "not applicable") and not full
        for shown in statements:
            _statement(shown, brief)
    for panel in review.panels:
        _panel(panel, full)
    if full:
        for file in review.files:
            say()
            say(paint(file.path, "bold"))
            say(file.text if file.text is not None else "(not shown: gone, large, or no text)")
    _foot(review)


def _head(review: Review) -> None:
    say(paint(f"{review.id}  {one_line(review.title)}", "bold"))
    if review.question is None:
        _wrapped(f"No question is open; the family is {review.state}.")
        for reason in review.reasons:
            _wrapped(reason)
        return
    question = review.question
    _wrapped(f"{question.label} — question {question.number}, asked {review.asked}")
    if review.changed:
        _wrapped(
            "Changed since it was asked, so no answer to it is taken: "
            f"{', '.join(review.changed)}. `orchestrate run {review.id}` asks anew.",
            style="red",
        )
    for line in filter(None, [question.why]):
        _wrapped(line)
    if question.effects:
        say()
        _wrapped(f"Approving will, on {question.target_words or question.target}:")
        for number, effect in enumerate(question.effects, start=1):
            _wrapped(f"{number}. {effect.title}", indent=2)
    for line in (*question.remarks, *(f"yours to do: {b}" for b in question.by_user)):
        _wrapped(f"Note: {line}")


def _foot(review: Review) -> None:
    if not review.how or review.question is None:
        return
    say()
    say(paint("To answer", "bold"))
    for line in review.how:
        say(f"  {one_line(line)}")
    say(f"  digest of all that is shown: {review.question.digest[:16]}")


def _statement(shown: Shown, brief: bool) -> None:
    _wrapped(f"{shown.text}  [{shown.receipt}]", sign=mark(shown.verdict))
    if not brief and shown.detail:
        _wrapped(shown.detail, indent=4, style="dim")


def _wrapped(text: str, indent: int = 0, style: str = "", sign: str = "") -> None:
    """Words on as many lines as they need; a sign stands before the first."""
    space = " " * (indent + 2 * bool(sign))
    lines = textwrap.wrap(
        one_line(text), _WIDTH - len(space), break_on_hyphens=False, break_long_words=True
    )
    for number, line in enumerate(lines or [""]):
        start = f"{' ' * indent}{sign} " if sign and number == 0 else space
        say(start + paint(line, style))


def _panel(panel: Panel, full: bool) -> None:
    from orchestrator.review.panels import Chart, Grid

    say()
    say(paint(one_line(panel.title), "bold"))
    for line in panel.warnings:
        _wrapped(line, style="red")
    for line in panel.words:
        _wrapped(line, style="dim")
    for block in panel.blocks:
        if isinstance(block, Grid):
            _grid(block)
        elif isinstance(block, Chart):
            _grid(block.grid)
        else:
            _source(block, full)


def _grid(grid: Grid) -> None:
    """A table; its first column gives way where the terminal is too narrow."""
    rows = [row for row in grid.rows if len(row) > 1]
    columns = [[name, *(row[n].text for row in rows)] for n, name in enumerate(grid.columns)]
    widths = [max(len(one_line(text)) for text in column) for column in columns]
    over = sum(widths) + 2 * (len(widths) - 1) - _WIDTH + 2
    for n in sorted(range(len(widths)), key=lambda n: -widths[n]):
        cut = max(0, min(over, widths[n] - 12))
        widths[n], over = widths[n] - cut, over - cut
    right = [name in grid.figures for name in grid.columns]
    for line in _lines(grid, widths, right):
        say(f"  {line}")


def _lines(grid: Grid, widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    yield paint(_row(grid.columns, widths, right), "dim").rstrip()
    for row in grid.rows:
        if len(row) == 1:
            yield paint(one_line(row[0].text), "bold")
        else:
            yield "  ".join(map(_cell, row, widths, right)).rstrip()


def _row(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return "  ".join(map(_padded, texts, widths, right))


def _cell(cell: Cell, width: int, right: bool) -> str:
    return paint(_padded(cell.text, width, right), _TONES[cell.tone.value])


def _padded(text: str, width: int, right: bool) -> str:
    flat = one_line(text, width)
    return flat.rjust(width) if right else flat.ljust(width)


def _source(source: Source, full: bool) -> None:
    from orchestrator.review.html import diff

    lines = source.text.splitlines()
    if full:
        for number, line in enumerate(lines, start=1):
            say(f"{number:4} {line}")
    added = sum(kind == "added" for kind, _ in diff(source))
    removed = sum(kind == "removed" for kind, _ in diff(source))
    compared = f"; against {source.against_name}: +{added} −{removed}" if source.against else ""
    more = "" if full else "; --full shows it"
    _wrapped(f"{source.path}: {len(lines)} lines{compared}{more}", indent=2)

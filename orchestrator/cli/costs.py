"""`orchestrate costs`: what coding agents have spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.text import paint, say, say_json, table
from orchestrator.cli.workspace import AsJson, workspace

if TYPE_CHECKING:
    from orchestrator.family.spending import Spent, Turn


class By(StrEnum):
    """What each line of the list sums up."""

    TICKET = "ticket"
    AGENT = "agent"
    DAY = "day"
    MODEL = "model"


def costs(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="A ticket; by default the whole board.")] = "",
    by: Annotated[By, typer.Option("--by", help="What to sum up by.")] = By.TICKET,
    as_json: AsJson = False,
) -> None:
    """Show what coding agents have spent: turns, tokens, US$, time.

    Tokens are input and output, without what the provider had cached. A cost that is not known is
    said, and is never counted as zero.
    """
    from orchestrator.family.spending import sum_of, turns_of_board

    here = workspace(context)
    family = here.board.family(id)[0].id if id else ""
    turns = [t for t in turns_of_board(here.board.path) if family in ("", t.family)]
    groups: dict[str, list[Turn]] = {}
    for turn in turns:
        for key in _KEYS[by](turn):
            groups.setdefault(key, []).append(_only(turn, key) if by is By.MODEL else turn)
    sums = {key: sum_of(found) for key, found in sorted(groups.items())}
    # a turn with two models is in two lines, and counts once
    total = sum_of(turns)
    if as_json:
        rows = [_as_dict(by.value, key, spent) for key, spent in sums.items()]
        say_json({"by": by.value, "rows": rows, "total": _as_dict(by.value, "", total)})
        return
    if not sums:
        say("no coding agent has worked here yet")
        return
    head = (by.value, "turns", "tokens", "US dollars", "minutes")
    lines = [head, *(_row(key, spent) for key, spent in sums.items())]
    if len(sums) > 1:
        lines.append(_row("together", total))
    for number, line in enumerate(table(lines)):
        say(paint(line, "bold") if number == 0 else line)


def _only(turn: Turn, model: str) -> Turn:
    """The turn as far as it is one model's."""
    from dataclasses import replace

    own = tuple(u for u in turn.usage if (u.model or "unnamed") == model)
    return replace(turn, usage=own, seconds=turn.seconds if len(own) == len(turn.usage) else 0.0)


def _models(turn: Turn) -> Iterable[str]:
    return dict.fromkeys(u.model or "unnamed" for u in turn.usage)


_KEYS: dict[By, Callable[[Turn], Iterable[str]]] = {
    By.TICKET: lambda turn: (turn.family,),
    By.AGENT: lambda turn: (f"{turn.agent} ({turn.adapter})",),
    By.DAY: lambda turn: (turn.day,),
    By.MODEL: _models,
}


def _row(key: str, spent: Spent) -> tuple[str, ...]:
    usd = f"{spent.usd:.4f}"
    if spent.unpriced:
        usd = f"{usd} + not known: {', '.join(sorted(spent.unpriced))}"
    return key, str(spent.turns), f"{spent.tokens:,}", usd, f"{spent.seconds / 60:.1f}"


def _as_dict(by: str, key: str, spent: Spent) -> dict[str, Any]:
    return {
        **({by: key} if key else {}),
        "turns": spent.turns,
        "tokens": spent.tokens,
        "usd": round(spent.usd, 6),
        "seconds": round(spent.seconds, 1),
        "unpriced": sorted(spent.unpriced),
    }

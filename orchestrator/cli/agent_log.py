"""The events of coding agents, as `orchestrate log --events` and `--follow` show them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.cli.text import paint, say, say_json, say_wrapped
from orchestrator.domain.record import State
from orchestrator.storage.locks import is_locked
from orchestrator.tickets.board import Board
from orchestrator.views.events import new_events

#: seconds between two looks at the files
_LOOK_EVERY = 0.2
#: what a family does in which nothing more comes until somebody does something
_AT_REST = (State.WAITING, State.NEEDS_PERSON, State.HELD, State.COMPLETE, State.ARCHIVED)
#: kind → sign and color; the agent's own words have none
_SIGNS = {
    "thought": ("·", "dim"),
    "tool": ("▸", "cyan"),
    "result": ("◂", "dim"),
    "error": ("✗", "red"),
    "end": ("■", "dim"),
}
#: lines of a tool's result, and columns of one
_LINES, _COLUMNS = 4, 160


def show_events(folder: Path, *, follow: Callable[[], str] | None, as_json: bool) -> bool:
    """Print the events in a family's logs; whether there is anything to show.

    `follow`: those that come too, until it says why nothing more does, or one interrupts.
    """
    printer = _Printer(as_json)
    offsets: dict[Path, int] = {}
    try:
        while True:
            # asked before the last look, so that nothing is missed
            why = follow() if follow is not None else ""
            for file, event in new_events(folder, offsets):
                with suppress(ValueError, KeyError, TypeError):
                    printer.show(file.stem, event)
            if why and not as_json:
                say(f"\n{why}")
            if why or follow is None:
                return bool(offsets) or bool(why)
            time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        # how one stops to follow
        return True


def rest_of(board: Board, family: str) -> str:
    """Why nothing more comes of a family, "" while something may."""
    flow = board.family(family)[0].flow or {}
    if flow.get("state") not in _AT_REST:
        return ""
    if is_locked(board.root / ".orchestrate" / "state", family):
        return ""
    return f"{family}: {flow['state']}" + (f" ({flow['reason']})" if flow.get("reason") else "")


class _Printer:
    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._turn: tuple[str, int] | None = None
        self._usage: dict[str, Mapping[str, Any]] = {}

    def show(self, log: str, event: Mapping[str, Any]) -> None:
        """Print one event."""
        if self._as_json:
            say_json({"log": log, **event}, indent=None)
            return
        turn = (log, int(event.get("turn", 1)))
        if turn != self._turn:
            self._turn, self._usage = turn, {}
            stage = log.replace("-", " ").replace(" attempt", ", attempt")
            say(f"\n{paint(f'{stage}, turn {turn[1]}', 'bold')}  {event.get('at', '')}")
        kind, text = event["kind"], str(event.get("text", ""))
        if kind == "usage":
            usage = event["usage"]
            self._usage[str(usage.get("model", ""))] = usage
            return
        if kind in ("start", "text") and not text:
            return
        sign, style = _SIGNS.get(kind, ("", ""))
        if kind == "tool":
            text = " ".join(str(event.get(name, "")) for name in ("tool", "path", "text")).strip()
            text = " ".join(text.split())[:_COLUMNS]
        elif kind == "result":
            lines = [line[:_COLUMNS] for line in text.strip().splitlines()]
            more = len(lines) - _LINES
            text = "\n".join(lines[:_LINES] + ([f"… {more} lines more"] if more > 0 else []))
        elif kind == "end":
            text = " · ".join(filter(None, [text, self._cost()]))
        if not text:
            return
        first = f"  {paint(sign, style)} " if sign else "  "
        for number, line in enumerate(text.splitlines()):
            say_wrapped(line, first if number == 0 else "    ", "    ")

    def _cost(self) -> str:
        """What the turn took, once it is over."""
        if not self._usage:
            return ""
        used = self._usage.values()
        tokens = sum(u.get("input_tokens", 0) + u.get("output_tokens", 0) for u in used)
        usd = [u.get("usd") for u in used]
        cost = "cost not known" if None in usd else f"${sum(map(float, usd)):.4f}"  # type: ignore[arg-type]
        return f"{', '.join(self._usage)}: {tokens:,} tokens, {cost}"

"""The commands that find tickets: list and search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.text import (
    callable_commands,
    one_line,
    padded,
    paint,
    say,
    say_json,
    terminal_width,
)
from orchestrator.cli.workspace import AsJson, Workspace, complete_from, workspace
from orchestrator.domain.folders import state_in_words
from orchestrator.domain.states import FolderRole
from orchestrator.errors import UsageError
from orchestrator.views.plain import columns, fitted

if TYPE_CHECKING:
    from orchestrator.tickets.ticket import Ticket
    from orchestrator.views.filters import Filter

#: characters of a title where there is no terminal, and the fewest at one
_TITLE, _LEAST_TITLE = 70, 16
#: characters of a place or an owner in the table
_CELL = 16
#: hits that are shown by default
_HITS = 20


def _many(option: str, metavar: str, help: str, complete: Callable[..., Any] | None = None) -> Any:
    names = (option, "--status") if option == "--state" else (option,)
    return typer.Option(
        *names, metavar=metavar, help=f"{help} (repeatable, or A,B).", autocompletion=complete
    )


def _said_by(value: Callable[[Ticket], Iterable[str]]) -> Callable[..., list[str]]:
    """Completes what the tickets of the board say."""

    def found(here: Workspace) -> list[str]:
        words = {word for ticket in here.board.tickets() for word in value(ticket) if word}
        return sorted(words, key=str.casefold)

    return complete_from(found)


_STATES = complete_from(lambda _: [role.value for role in FolderRole])
_SORTS = complete_from(lambda _: _sorts())


def _sorts() -> list[str]:
    from orchestrator.views.filters import SORTS

    return list(SORTS)


def list_tickets(
    context: typer.Context,
    state: Annotated[
        list[str] | None, _many("--state", "S", "Only in this place: BUILD, 03_BUILD", _STATES)
    ] = None,
    owner: Annotated[
        list[str] | None, _many("--owner", "NAME", "Only whose", _said_by(lambda t: (t.owner,)))
    ] = None,
    agent: Annotated[
        list[str] | None,
        _many("--agent", "NAME", "Only whose work it is: BUILDER, claude"),
    ] = None,
    family: Annotated[
        str, typer.Option("--family", metavar="ID", help="Only the family of this ticket.")
    ] = "",
    label: Annotated[
        list[str] | None,
        _many("--label", "L", "Only with this label", _said_by(lambda t: t.labels)),
    ] = None,
    priority: Annotated[
        list[str] | None,
        _many("--priority", "P", "Only of this priority", _said_by(lambda t: (t.priority,))),
    ] = None,
    mine: Annotated[
        bool, typer.Option("--mine", help="Only what USER or you, by your login, own.")
    ] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only what waits for USER: reviews and holds.")
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="Only files written since: 2026-11-29, 4h, 2d."
        ),
    ] = "",
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="KEY",
            help="id, state, owner, priority, title, created, changed, failures; -KEY: turned.",
            autocompletion=_SORTS,
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most so many.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List the tickets, with the problems of their files."""
    here = workspace(context)
    given: dict[str, Iterable[str]] = {
        "state": state or (), "owner": owner or (), "agent": agent or (), "family": (family,),
        "label": label or (), "priority": priority or (), "mine": ("1" * mine,),
        "waiting": ("1" * waiting,), "since": (since,), "sort": (sort,),
        "limit": (str(limit or ""),),
    }  # fmt: skip
    wanted = _filter(here, [(name, value) for name, values in given.items() for value in values])
    board = here.board
    tickets, unread = board.tickets_and_unread()
    found = [ticket for ticket in tickets if wanted.matches(ticket)]
    shown = wanted.sorted(found)[: limit or None]
    if as_json:
        say_json([ticket.to_dict() for ticket in shown])
        return
    if shown:
        _say_tickets(shown, board.duplicate_ids())
    elif wanted.narrows:
        say("no ticket is like that")
    if (left := len(found) - len(shown)) > 0:
        say(paint(f"… and {left} more", "dim"))
    if not wanted.narrows and (count := len(unread)):
        text = "1 file is not read as a ticket: `orchestrate doctor` names it"
        if count > 1:
            text = f"{count} files are not read as tickets: `orchestrate doctor` names them"
        say(callable_commands(text))


def _filter(here: Workspace, pairs: list[tuple[str, str]]) -> Filter:
    import getpass

    from orchestrator.views.filters import Filter

    try:
        me = [getpass.getuser()]
    except (OSError, KeyError):
        me = []
    # the models of all settings are imported for this only
    agents = here.settings.agents if any(pair[0] == "agent" for pair in pairs) else None
    return Filter.parse(pairs, here.board, agents, me)


def _say_tickets(tickets: list[Ticket], taken: set[str]) -> None:
    """A table as wide as the terminal: titles are cut first, then columns go, problems never."""
    # the same few places and owners again and again
    place, owner = cache(_place), cache(partial(fitted, width=_CELL))
    starts = [
        padded(["ID", *(t.id for t in tickets)]),
        padded(["PLACE", *(place(t.role, t.folder, t.folder or t.status) for t in tickets)]),
        padded(["OWNER", *(owner(t.owner or "-") for t in tickets)]),
        padded(["PRIO", *(t.priority or "-" for t in tickets)]),
    ]
    problems = [_problems(t, taken) for t in tickets]
    longest = max(map(columns, set(problems)))
    while True:
        head = "  ".join([*(column[0] for column in starts), ""])
        width = terminal_width(columns(head))
        if len(starts) == 2 or not width or width - longest >= _LEAST_TITLE:
            break
        starts.pop()
    cells = zip(*starts, strict=True)
    next(cells)
    shown = [paint(head + fitted("TITLE", width or _TITLE), "dim")]
    for start, ticket, found in zip(cells, tickets, problems, strict=True):
        most = max(_LEAST_TITLE, width - columns(found)) if width else _TITLE
        title = one_line(ticket.title)
        fits = title.isascii() and len(title) <= most
        shown.append(f"{'  '.join(start)}  {title if fits else fitted(title, most)}{found}")
    say("\n".join(shown))


def _place(role: FolderRole | None, folder: str, status: str) -> str:
    return fitted(state_in_words(role, folder, status), _CELL)


def _problems(ticket: Ticket, taken: set[str]) -> str:
    """The codes of what is wrong with a ticket, behind its title."""
    if not ticket.diagnoses and ticket.id not in taken:
        return ""
    codes = [d.code for d in ticket.diagnoses] + ["duplicate-id"] * (ticket.id in taken)
    return "".join(f"  [{code}]" for code in dict.fromkeys(codes))


def search(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help='Words; "some words" are found together.')
    ],
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="At most so many; 0: all.")
    ] = _HITS,
    as_json: AsJson = False,
) -> None:
    """Find tickets by words of their id, title, keys and text.

    The best come first. Every word has to be there; case does not matter. A hit names the line that
    has the first one.
    """
    from orchestrator.views.search import search_once, split_words

    query = " ".join(f'"{word}"' if " " in word else word for word in words)
    if not split_words(query):
        raise UsageError("nothing to search for", hint='orchestrate search "some words"')
    board = workspace(context).board
    hits = search_once(query, board.tickets())
    shown = hits[: limit or None]
    if as_json:
        say_json(
            [
                {**h.ticket.to_dict(), "score": h.score, "line": h.line, "excerpt": h.excerpt}
                for h in shown
            ]
        )
        return
    width = terminal_width(0)
    for hit in shown:
        ticket = hit.ticket
        place = paint(ticket.state, "dim")
        used = len(ticket.id + ticket.state) + 4
        title = fitted(one_line(ticket.title), max(20, width - used) if width else 0)
        say(f"{paint(ticket.id, 'bold')}  {place}  {title}")
        if hit.line:
            say(f"  {paint(f'{hit.line}:', 'dim')} {fitted(hit.excerpt, max(0, width - 8))}")
    if not hits:
        say("no ticket has these words")
    elif len(hits) > len(shown):
        say(paint(f"… and {len(hits) - len(shown)} more (--limit 0 shows all)", "dim"))

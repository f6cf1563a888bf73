"""`orchestrate board`: the board at a terminal, with the keyboard alone, at 80 columns too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from textual import work
from textual.app import App, ComposeResult
from textual.containers import HorizontalScroll
from textual.screen import Screen
from textual.widgets import Footer, Input, Label, OptionList
from textual.widgets.option_list import Option

from orchestrator.approvals.signatures import message_of, sign
from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.conductor.going_on import GoingOn
from orchestrator.daemon.presence import DAEMON
from orchestrator.domain.answer import Answer, AnswerVerb
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.storage.locks import is_locked
from orchestrator.tickets.ticket import Ticket
from orchestrator.tui.dialogs import VIA, Approve, AskWords, Words
from orchestrator.tui.screens import Column, Family, Help, Log
from orchestrator.tui.text import (
    card_text,
    describe_family,
    question_text,
    record_lines,
    styled,
)
from orchestrator.views.cards import BoardView
from orchestrator.views.live import LiveBoard
from orchestrator.views.search import Search

#: columns of the terminal that one of the board takes, and cards that it shows
_WIDTH, _MOST = 26, 200
_QUESTIONS = "questions"
#: act → what is said when it is in the record
_RECORDED = {
    "approve": "approved",
    "send_back": "sent back",
    "hold": "on hold",
    "resume": "resumed",
}
_CSS = f"""
HorizontalScroll {{ height: 1fr; }}
.column {{ width: {_WIDTH}; height: 100%; }}
.column Label {{ width: 100%; background: $boost; text-style: bold; }}
.column OptionList {{ height: 1fr; border: none; padding: 0; }}
.column OptionList > .option-list--option-highlighted {{ background: transparent; }}
.column OptionList:focus > .option-list--option-highlighted {{ background: $primary; }}
.column OptionList:focus {{ border: none; background-tint: $foreground 5%; }}
#head {{ width: 100%; text-style: bold; }}
#search {{ display: none; }}
#search.shown {{ display: block; }}
_Dialog, Help {{ align: center middle; }}
.dialog {{ width: 90%; max-width: 100; height: auto; max-height: 90%; border: round $primary; }}
.dialog Horizontal {{ height: auto; }}
.dialog Checkbox, .dialog Button, .dialog Input {{ height: auto; }}
"""


class BoardApp(App[None]):
    """The live board of one workspace."""

    TITLE = "Orchestrate"
    CSS = _CSS
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    BINDINGS = [
        ("a", "answer('approve')", "Approve"),
        ("s", "answer('send_back')", "Send back"),
        ("h", "answer('hold')", "Hold"),
        ("r", "answer('resume')", "Resume"),
        ("l", "show_log", "Log"),
        ("slash", "search", "Search"),
        ("question_mark", "help", "Help"),
        ("escape", "show_all", ""),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, conductor: Callable[[], Conductor]) -> None:
        super().__init__()
        #: makes one for each act
        self._conductor = conductor
        first = conductor()
        self._root = first.board.root
        self._going_on = GoingOn(conductor, self._came_to_rest)
        self._live = LiveBoard(first.board, first.settings.trust.keys)
        self._search = Search()
        self._query = ""
        self._asked_to_quit = False
        self._showing = asyncio.Lock()
        #: what the options of the columns stand for: id → ticket
        self._tickets: dict[str, Ticket] = {}

    def compose(self) -> ComposeResult:
        yield Label("", id="head", markup=False)
        yield HorizontalScroll(id="columns", can_focus=False)
        yield Input(placeholder="search; enter keeps, escape shows all", id="search")
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        self._live.start()
        await self.show()
        self._follow()
        self._read_texts()

    @work(thread=True, group="reading")
    def _read_texts(self) -> None:
        """So that the first search need not read the whole board."""
        self._search.update([card.ticket for card in self._live.view.cards])

    def on_unmount(self) -> None:
        self._live.stop()
        self._going_on.stop()

    def _came_to_rest(self, family: str) -> None:
        self._live.refresh()
        if why := self._going_on.failures.get(family):
            with suppress(RuntimeError):
                self.call_from_thread(self.notify, why, severity="error", timeout=10, markup=False)

    @work(exclusive=True, group="follow")
    async def _follow(self) -> None:
        """Show the board again each time that it has changed."""
        async for _ in self._live.changes():
            await self.show()

    # -- showing -----------------------------------------------------------------------------

    def _lists(self) -> list[Column]:
        return list(self._base.query(Column))

    @property
    def _base(self) -> Screen[Any]:
        """The board itself, whatever is open upon it."""
        return self.screen_stack[0]

    async def show(self) -> None:
        """Show the board as it is now, as far as it fits what is searched for."""
        async with self._showing:
            try:
                await self._show(self._live.view)
            except Exception:
                # when the program ends, its widgets go one by one
                if self.is_running:
                    raise

    async def _show(self, view: BoardView) -> None:
        cards = view.cards
        if self._query:
            tickets = [card.ticket for card in cards]
            hits = {hit.ticket.source for hit in self._search.find(self._query, tickets)}
            cards = tuple(card for card in cards if card.ticket.source in hits)
        found = {card.ticket.id for card in cards}
        asked = [q for q in view.questions if not self._query or q.family in found]
        self._tickets = {card.ticket.source: card.ticket for card in cards}
        by_id = view.by_id
        self._tickets |= {f"?{q.family}": by_id[q.family].ticket for q in asked}
        columns = view.columns(cards)
        await self._arrange([_QUESTIONS, *(column.name.replace(" ", "_") for column in columns)])
        questions, *states = self._lists()
        options = [Option(question_text(q, _WIDTH - 2), id=f"?{q.family}") for q in asked]
        questions.show(options[:_MOST], len(asked))
        for shown, column in zip(states, columns, strict=True):
            if shown.is_of(column):
                continue
            options = [
                Option(card_text(card, _WIDTH - 2), id=card.ticket.source)
                for card in column.cards[:_MOST]
            ]
            if (more := len(column.cards) - _MOST) > 0:
                options.append(Option(styled(f"… and {more} more: /"), disabled=True))
            shown.show(options, len(column.cards), column.cards)
        at_work = sum(family.at_work for family in view.families.values())
        tickets_, asked_ = ("" if len(each) == 1 else "s" for each in (cards, asked))
        reported = (
            f"{len(cards)} ticket{tickets_} · {len(asked)} question{asked_} · {at_work} at work"
        )
        if self._query:
            reported += f" · found: {self._query}"
        self._base.query_one("#head", Label).update(styled(f" {self._root.name}: {reported}"))

    async def _arrange(self, names: list[str]) -> None:
        """One column for each name; those that stay keep what is highlighted, and the focus."""
        place = self._base.query_one("#columns")
        wanted = [f"column-{name}" for name in names]
        before = self._lists()
        if [column.id for column in before] == wanted:
            return
        await place.remove_children([column for column in before if column.id not in wanted])
        for at, name in enumerate(names):
            now = self._lists()
            found = next((column for column in now if column.id == wanted[at]), None)
            if found is None:
                await place.mount(Column(name), before=at if at < len(now) else None)
            elif now[at] is not found:
                place.move_child(found, before=at)
        # a focus that is only asked for might come when its column has gone again
        if self._base.focused is None:
            for column in self._lists()[:1]:
                self._base.set_focus(column.list)

    @property
    def _chosen(self) -> Ticket | None:
        """The ticket that is open, or else highlighted in the column that has the focus."""
        opened = next((s.ticket for s in reversed(self.screen_stack) if isinstance(s, Family)), "")
        if opened:
            return next((t for t in self._tickets.values() if t.id == opened), None)
        lists = (column.list for column in self._base.query(Column))
        focused = next((each for each in lists if each is self._base.focused), None)
        if focused is None or focused.highlighted is None:
            return None
        return self._tickets.get(str(focused.get_option_at_index(focused.highlighted).id))

    # -- keys --------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        """Go to the column beside the one that has the focus."""
        columns = self._lists()
        at = next((n for n, column in enumerate(columns) if column.list is self._base.focused), 0)
        self._base.set_focus(columns[max(0, min(len(columns) - 1, at + by))].list)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        ticket = self._tickets.get(str(event.option.id))
        if ticket is not None:
            screen = Family(ticket.id)
            self.push_screen(screen)
            self._read_family(screen, ticket)

    @work(thread=True, group="reading")
    def _read_family(self, screen: Family, ticket: Ticket) -> None:
        try:
            text = describe_family(self._conductor().status(ticket.id), ticket.body)
        except (OrchestrateError, OSError) as exc:
            text = styled(f"{ticket.id} cannot be read: {exc}", "red")
        self.call_from_thread(screen.show, text)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def action_search(self) -> None:
        """Ask for words; the board shows what has them all."""
        field = self._base.query_one("#search", Input)
        field.add_class("shown")
        field.focus()

    async def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "search":
            self._query = event.value
            await self.show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "search":
            event.input.remove_class("shown")
            for column in [c for c in self._lists() if c.list.option_count][:1]:
                column.list.focus()

    async def action_show_all(self) -> None:
        """End the search."""
        field = self._base.query_one("#search", Input)
        field.value = self._query = ""
        field.remove_class("shown")
        await self.show()
        for column in self._lists()[:1]:
            column.list.focus()

    @work(thread=True, group="reading")
    def action_show_log(self) -> None:
        """Show what the family's agents do."""
        ticket = self._chosen
        if ticket is None:
            return
        try:
            conductor = self._conductor()
            family = conductor.board.family(ticket.id)[0].id
            history = list(record_lines(conductor.log(family)))
        except (OrchestrateError, OSError) as exc:
            self.call_from_thread(self._complain, exc)
            return
        folder = self._root / ".orchestrate" / "logs" / family
        self.call_from_thread(self.push_screen, Log(family, folder, history))

    # -- answers -----------------------------------------------------------------------------

    @work(group="answer", exclusive=True)
    async def action_answer(self, what: str) -> None:
        """Ask what is needed, and record the answer; it covers what the dialog showed."""
        ticket = self._chosen
        if ticket is None:
            return
        try:
            status = await self._in_thread(lambda c: c.status(ticket.id))
            act = await self._ask(what, ticket.id, status)
            if act is None:
                return
            outcome: RunOutcome = await self._in_thread(act)
        except (OrchestrateError, OSError) as exc:
            self._complain(exc)
            return
        if isinstance(self.screen, Family):
            self.pop_screen()
        self.notify(f"{outcome.ticket}: {_RECORDED[what]}{self._go_on(what, outcome.ticket)}")
        await self._in_thread(lambda _: self._live.refresh())

    def _go_on(self, what: str, family: str) -> str:
        """Let a family go on, as the board in the browser does; what is said of it."""
        if what == "hold":
            return ""
        if is_locked(self._root / ".orchestrate" / "state", DAEMON):
            return "; the daemon takes it further"
        self._going_on.begin(family)
        return "; it goes on here, while this board is open"

    async def action_quit(self) -> None:
        """End the board; not at the first key while families go on in it."""
        if (going := self._going_on.families) and not self._asked_to_quit:
            self._asked_to_quit = True
            text = f"{', '.join(going)} at work from here: q again stops that, `run` continues it"
            self.notify(text, severity="warning", markup=False)
            return
        self.exit()

    async def _in_thread(self, act: Callable[[Conductor], Any]) -> Any:
        return await asyncio.to_thread(lambda: act(self._conductor()))

    async def _ask(
        self, what: str, id: str, status: dict[str, Any]
    ) -> Callable[[Conductor], RunOutcome] | None:
        """The act that USER confirms, None for none. Raises UsageError where nothing is asked."""
        family, question = status["id"], status["question"]
        if what == "resume":
            return lambda c: c.resume(family)
        if what == "hold":
            dialog = AskWords(f"Hold {id}?", "why it has to wait")
            words: Words | None = await self.push_screen_wait(dialog)
            if words is None:
                return None
            reason = words.text
            if question is None or id != family:
                return lambda c: c.hold(id, reason=reason)
            held = Answer(AnswerVerb.HOLD, reason, via=VIA, digest=question["digest"])
            return lambda c: c.answer(family, held)
        if question is None:
            raise UsageError(f"{family} has no open question", hint="h holds, enter opens it")
        if what == "approve":
            given: Answer | None = await self.push_screen_wait(Approve(family, question))
            return partial(_answer, family, given) if given is not None else None
        members = [member["id"] for member in status["members"]]
        hint = "what has to change, for the maker"
        words = await self.push_screen_wait(AskWords(f"Send {family} back?", hint, members))
        if words is None:
            return None
        sent = Answer(
            AnswerVerb.CHANGES_REQUESTED,
            words.text,
            members=(words.member,) if words.member else (),
            via=VIA,
            digest=question["digest"],
        )
        return partial(_answer, family, sent)

    def _complain(self, exc: OrchestrateError | OSError) -> None:
        hint = f"\n{exc.hint}" if isinstance(exc, OrchestrateError) and exc.hint else ""
        message = exc.message if isinstance(exc, OrchestrateError) else str(exc)
        self.notify(styled(message + hint).plain, severity="error", timeout=10, markup=False)


def _answer(family: str, answer: Answer, conductor: Conductor) -> RunOutcome:
    """Record an answer, signed where it has to be."""
    if answer.verb is AnswerVerb.APPROVED and conductor.settings.approval.signed:
        message = message_of(family, answer.digest, answer)
        answer = replace(answer, signature=sign(message, conductor.board.root))
    return conductor.answer(family, answer)

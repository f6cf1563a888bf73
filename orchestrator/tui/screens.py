"""What the terminal board is made of: its columns, and a family, its live log, the help."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Label, OptionList, RichLog, Static
from textual.widgets.option_list import Option

from orchestrator.tui.text import event_lines, lines, styled
from orchestrator.views.cards import Card
from orchestrator.views.cards import Column as StateColumn
from orchestrator.views.events import new_events

#: seconds between two looks at the log
_LOOK_EVERY = 0.3
_HELP = """\
←  →  tab   from column to column          enter   open
↑  ↓        from card to card              /       search; escape shows all again
a   approve the open question              l       live log of the agent, or the history
s   send back, with words                  r       resume what is held
h   put on hold, with a reason             q       quit

The first column has the open questions, what needs you most first:
✗ failed   ? unproven   » effects that approving runs   ⧗ tickets that wait behind

An answer covers exactly what is shown: if it has changed meanwhile, it is refused and
the question is asked again. What you answer goes on by itself while this board is open.
"""


class Column(Vertical):
    """One state of the board, or the open questions."""

    # here, as what holds the columns would scroll by these keys
    BINDINGS = [("left", "app.step(-1)", ""), ("right", "app.step(1)", "")]

    def __init__(self, name: str) -> None:
        super().__init__(classes="column", id=f"column-{name}")
        self.title = name.replace("_", " ").lower()
        self.list = OptionList(markup=False)
        #: what the list shows: ids and texts
        self._shown: list[tuple[str | None, str]] = []
        self._cards: tuple[Card, ...] = ()
        self.head = Label("", markup=False)

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.list

    def is_of(self, column: StateColumn) -> bool:
        """Whether it shows these cards already."""
        return self._cards == column.cards and self.list.highlighted is not None

    def show(self, options: list[Option], count: int, cards: tuple[Card, ...] = ()) -> None:
        """Put these, of `cards`, in place of what was there; the same one stays highlighted."""
        self._cards = cards
        self.head.update(styled(f" {self.title} {count}"))
        shown = [(option.id, str(option.prompt)) for option in options]
        # one that was just put there forgets what was highlighted
        if shown == self._shown and (self.list.highlighted is not None or not shown):
            return
        self._shown = shown
        at = self.list.highlighted
        chosen = self.list.get_option_at_index(at).id if at is not None else None
        self.list.clear_options()
        self.list.add_options(options)
        if options:
            ids = [option.id for option in options]
            same = ids.index(chosen) if chosen in ids else min(at or 0, len(options) - 1)
            self.list.highlighted = same


class Family(Screen[None]):
    """A family or a ticket, with its open question."""

    BINDINGS = [
        ("escape", "dismiss", "Back"),
        ("a", "app.answer('approve')", "Approve"),
        ("s", "app.answer('send_back')", "Send back"),
        ("h", "app.answer('hold')", "Hold"),
        ("l", "app.show_log", "Log"),
    ]

    def __init__(self, id: str) -> None:
        super().__init__()
        #: the ticket that was opened
        self.ticket = id

    # so that the arrows scroll it
    AUTO_FOCUS = "VerticalScroll"

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(styled(f"reading {self.ticket} …"), id="text")
        yield Footer()

    def show(self, text: Content) -> None:
        """Show what was read."""
        self.query_one("#text", Static).update(text)


class Log(Screen[None]):
    """What a family's agents do, as it comes; below the last records of its history."""

    BINDINGS = [("escape", "dismiss", "Back"), ("l", "dismiss", "Back")]

    def __init__(self, family: str, folder: Path, history: list[Content]) -> None:
        super().__init__()
        self._family = family
        self._folder = folder
        self._history = history
        self._offsets: dict[Path, int] = {}

    def compose(self) -> ComposeResult:
        yield Static(styled(f"{self._family}: live log", "bold"))
        yield RichLog(wrap=True, max_lines=5_000)
        yield Footer()

    def on_mount(self) -> None:
        for line in self._history:
            self._write(line)
        self._look()
        self.set_interval(_LOOK_EVERY, self._look)
        self.query_one(RichLog).focus()

    def _look(self) -> None:
        for _, event in new_events(self._folder, self._offsets):
            for each in event_lines(event):
                self._write(each)

    def _write(self, line: Content) -> None:
        self.query_one(RichLog).write(line)


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS = [("escape,question_mark,q,enter", "dismiss", "Back")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(lines([styled("Keys", "bold"), styled(_HELP)]))

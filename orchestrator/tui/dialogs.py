"""What the terminal board asks before USER's answer is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from orchestrator.domain.answer import Answer, AnswerVerb
from orchestrator.tui.text import describe_question, styled

#: the door that is in the record
VIA = "terminal board"
_EMBEDDED = ("", "embedded")


class _Dialog(ModalScreen[Any]):
    """A dialog that Escape leaves without an answer."""

    BINDINGS = [("escape", "dismiss(None)", "Cancel")]

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "cancel":
            self.dismiss(None)
        else:
            self.confirm()

    def on_input_submitted(self) -> None:
        self.confirm()

    def confirm(self) -> None:
        """Leave with the answer, or say what it lacks."""
        raise NotImplementedError

    def refuse(self, text: str) -> None:
        """Say why there is no answer yet."""
        self.query_one("#lacking", Label).update(styled(text, "bold red"))

    def typed(self, name: str) -> str:
        """What is in a field, "" if the dialog does not have it."""
        return next((field.value.strip() for field in self.query(f"#{name}").results(Input)), "")


class Approve(_Dialog):
    """The open question, what has to be accepted by name, and the database to name.

    Ends with an Answer that is bound to this question's digest, or None.
    """

    def __init__(self, family: str, question: Mapping[str, Any]) -> None:
        super().__init__()
        self._family = family
        self._question = question
        #: statements as they have to be accepted, in the order of their boxes
        self._failed: Sequence[Mapping[str, Any]] = question["failed"]

    def compose(self) -> ComposeResult:
        question = self._question
        with VerticalScroll(classes="dialog"):
            yield Label(styled(f"Approve {self._family}?", "bold"))
            for number, each in enumerate(self._failed):
                yield Checkbox(styled(f"accept, failed: {each['text']}"), id=f"failed-{number}")
            if unproven := len(question["unproven"]):
                yield Checkbox(styled(f"accept {unproven} unproven"), id="unproven")
            if self._must_name:
                name = question["target_name"]
                yield Input(placeholder=f"type {name}: effects run on it", id="target")
            yield Input(placeholder="words for the record (optional)", id="words")
            yield Label("", id="lacking")
            with Horizontal():
                yield Button("Approve", variant="success", id="ok")
                yield Button("Cancel", id="cancel")
            yield Static(describe_question(question))

    @property
    def _must_name(self) -> bool:
        question = self._question
        return bool(question["effects"]) and question["target_name"] not in _EMBEDDED

    def on_mount(self) -> None:
        # what has to be ticked or typed comes first
        first = (*self.query(Checkbox), *self.query("#target"), self.query_one("#ok"))
        first[0].focus()

    def confirm(self) -> None:
        ticked = [box.value for box in self.query(Checkbox) if box.id != "unproven"]
        if not all(ticked):
            return self.refuse("accept each failed statement by itself, or send it back")
        unproven = any(box.value for box in self.query(Checkbox) if box.id == "unproven")
        if self._question["unproven"] and not unproven:
            return self.refuse("what is unproven has to be accepted, or send it back")
        target = self.typed("target")
        if self._must_name and target != self._question["target_name"]:
            return self.refuse(f"type {self._question['target_name']} to run the effects there")
        self.dismiss(
            Answer(
                AnswerVerb.APPROVED,
                self.typed("words"),
                tuple(str(each["receipt"] or each["text"]) for each in self._failed),
                accept_unproven=unproven,
                target=target,
                via=VIA,
                digest=self._question["digest"],
            )
        )
        return None


@dataclass(frozen=True)
class Words:
    """What was typed, and the member that it is about ("" for those that did the work)."""

    text: str
    member: str = ""


class AskWords(_Dialog):
    """Words for a send-back or a hold, which have to be there. Ends with Words, or None."""

    def __init__(self, title: str, hint: str, members: Sequence[str] = ()) -> None:
        super().__init__()
        self._title = title
        self._hint = hint
        self._members = members

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Label(styled(self._title, "bold"))
            yield Input(placeholder=self._hint, id="words")
            if len(self._members) > 1:
                options = [(styled(member), member) for member in self._members]
                yield Select(options, prompt="who did the work", id="member")
            yield Label("", id="lacking")
            with Horizontal():
                yield Button("OK", variant="primary", id="ok")
                yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        self.query_one("#words").focus()

    def confirm(self) -> None:
        words = self.typed("words")
        if not words:
            return self.refuse("words are needed: " + self._hint)
        chosen = [box.value for box in self.query("#member").results(Select)]
        member = chosen[0] if chosen and isinstance(chosen[0], str) else ""
        self.dismiss(Words(words, member))
        return None

"""What a transition writes into tickets besides the fields of the record."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.domain.workflow import StatementKind
from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.markdown import frontmatter
from orchestrator.markdown.sections import fold_section, marked

#: stands before the id of a receipt that USER accepted though it is not proven
ACCEPTED = "accepted"


@dataclass
class Additions:
    """What a transition writes into tickets besides the fields of the record."""

    #: member → sections to append
    sections: dict[str, list[str]] = field(default_factory=dict)
    #: member → sections to fold: (as it was appended, what takes its place)
    folds: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    #: member → boxes: statement text → receipt id ("" unticks the box; behind `ACCEPTED` it is
    #: USER's word, and no tick)
    boxes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: keys that an answer wrote next to the parent's status, and that are removed again
    drop: tuple[str, ...] = ()
    #: set a status even where a person requests another: the request is being carried out, or
    #: a question is being asked that it must not be taken to answer
    over_requests: bool = False
    hold_reason: str = ""
    #: further files that the git commit of this transition includes
    paths: list[Path] = field(default_factory=list)

    def section(self, member: str, markdown: str) -> None:
        """Append a section to a member's ticket, unless it is blank."""
        if markdown.strip():
            self.sections.setdefault(member, []).append(marked(markdown) + "\n")

    def fold(self, member: str, written: str, folded: str) -> None:
        """Replace a section that was appended earlier, but for what a person wrote into it."""
        self.folds.setdefault(member, []).append((written, folded))

    @property
    def touched(self) -> set[str]:
        """The members whose text they change."""
        return {*self.sections, *self.folds, *self.boxes}

    def edit(self, member: str, data: bytes) -> bytes:
        """A member's file with its boxes, folds and sections."""
        for text, receipt in self.boxes.get(member, {}).items():
            if receipt.startswith(ACCEPTED):
                number = receipt.removeprefix(ACCEPTED).strip()
                data = frontmatter.accept_box(data, text, f"receipt {number}")
            elif receipt:
                data = frontmatter.tick_box(data, text, f"receipt {receipt}")
            else:
                data = frontmatter.untick_box(data, text)
        for written, folded in self.folds.get(member, ()):
            data = fold_section(data, written, folded)
        for section in self.sections.get(member, ()):
            data = frontmatter.append_section(data, section)
        return data

    def add_later(self, later: Additions) -> None:
        """Take over what a later transition wrote. A section it folded is not written again."""
        for member, folds in later.folds.items():
            for written, folded in folds:
                own = self.sections.get(member, [])
                self.sections[member] = [folded if text == written else text for text in own]
                self.fold(member, written, folded)
        for member, sections in later.sections.items():
            self.sections.setdefault(member, []).extend(sections)
        for member, boxes in later.boxes.items():
            self.boxes.setdefault(member, {}).update(boxes)
        self.drop, self.hold_reason = later.drop, later.hold_reason
        self.over_requests = later.over_requests

    def to_dict(self) -> dict[str, Any]:
        return {
            "sections": self.sections,
            "folds": self.folds,
            "boxes": self.boxes,
            "drop": list(self.drop),
            "over_wishes": self.over_requests,
            "hold_reason": self.hold_reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Additions:
        return cls(
            {k: list(v) for k, v in data.get("sections", {}).items()},
            {k: [(a, b) for a, b in v] for k, v in data.get("folds", {}).items()},
            {k: dict(v) for k, v in data.get("boxes", {}).items()},
            tuple(data.get("drop", ())),
            bool(data.get("over_wishes", False)),
            data.get("hold_reason", ""),
        )


def tick_boxes(
    additions: Additions,
    receipts: Iterable[Receipt],
    accepted: Container[str] = (),
    taken: Container[str] = (),
) -> None:
    """A box is ticked only with a receipt, and loses its tick with it.

    What USER accepted by name (`accepted`, as in the record), or took unproven (the texts `taken`),
    is marked as that, and not ticked.
    """
    for r in receipts:
        if r.statement.kind is StatementKind.ACCEPTANCE and r.statement.ticket:
            proven = r.verdict in (Verdict.PROVEN, Verdict.NOT_APPLICABLE)
            boxes = additions.boxes.setdefault(r.statement.ticket, {})
            answered = r.verdict is Verdict.UNPROVEN and r.statement.text in taken
            if answered or r.is_accepted(accepted):
                boxes[r.statement.text] = f"{ACCEPTED} {r.id}"
            else:
                boxes[r.statement.text] = r.id if proven else ""

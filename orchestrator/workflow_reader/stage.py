"""One stage's blocks → its deliverables, statements, moves, children and needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.domain.id_grammar import ids_in
from orchestrator.domain.workflow import (
    Block,
    ChildSpec,
    Deliverable,
    Need,
    Statement,
    StatementKind,
)
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.markdown.leads import heading_turns, title_turns, turns, turns_without_colon
from orchestrator.markdown.prohibitions import prohibition_in_sentence
from orchestrator.workflow_reader import ticket_mentions as tickets
from orchestrator.workflow_reader import vocabulary as words
from orchestrator.workflow_reader.deliverables import file_headed, files_made
from orchestrator.workflow_reader.headings import StageHead
from orchestrator.workflow_reader.metrics import find_column


class Mode(StrEnum):
    """What the next items of a stage belong to."""

    INSTRUCTIONS = "instructions"
    DONE_WHEN = "done when"
    IF_PASS = "if pass"
    IF_FAIL = "if fail"


_CLAUSE = (
    r"(?:(?:it|all|any|a|one|some|every|everything|of|the|them|these|qa|gate|checks?|box(?:es)?"
    r"|review)\s+)*"
)


def _if_verdict(in_clause: str, alone: str) -> re.Pattern[str]:
    """ "If it passes:", or a bare "PASS →"."""
    return re.compile(
        rf"(?:(?:if|on|when|upon)\s+{_CLAUSE}{in_clause}|{alone}(?=\s*(?:[:→—–]|$)))\b"
        r"\s*[:,→—–>-]*\s*",
        re.IGNORECASE,
    )


_KEYWORDS = {
    Mode.DONE_WHEN: re.compile(rf"{words.any_of('done_when')}\b\s*[:—–-]*\s*", re.IGNORECASE),
    Mode.IF_PASS: _if_verdict("pass(?:es|ed)?", "pass(?:ed)?"),
    Mode.IF_FAIL: _if_verdict("fail(?:s|ed|ure)?", "fail(?:ed|ure)?"),
}
_CONFIRMS = re.compile(rf"{words.any_of('confirm')}s?\b", re.IGNORECASE)
_FIGURE = re.compile(
    r"\bexpect(?:ed|ations?)\b|\d[\d,]*\s*\+|(?:[≥>]=?|=>)\s*\d"
    r"|\b(?:at least|no (?:fewer|less) than|minimum of|more than|exactly)\s+\d",
    re.IGNORECASE,
)
_LISTS_FILES = re.compile(words.any_of("lists_files"), re.IGNORECASE)
_DESCRIBES = re.compile(rf"\b{words.any_of('describes_file')}\b", re.IGNORECASE)


_REMARK = re.compile(r"\s*\([^()]*\)\Z")


@dataclass
class StageDraft:
    """A stage as read; ids and pronouns are resolved when the whole family is known."""

    head: StageHead
    deliverables: list[Deliverable] = field(default_factory=list)
    children: list[ChildSpec] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    #: (line, move)
    moves: list[tuple[int, tickets.NamedMove]] = field(default_factory=list)
    worked_on: list[str] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    #: (line, markdown) of each instruction
    items: list[tuple[int, str]] = field(default_factory=list)
    on_pass: str = ""
    on_fail: str = ""


class BoxLeads:
    """What changes the meaning of boxes: headings, lines and boxes above them."""

    def __init__(self) -> None:
        #: (level, text) of the headings above that do
        self._headings: list[tuple[int, str]] = []
        #: the last line that does, and its depth: -1 for a paragraph
        self._lead, self._level = "", -1
        #: nothing was below that line yet
        self._is_new = False
        #: the last box, and its depth
        self._last, self._last_level = "", 0

    @property
    def headings(self) -> str:
        """What the headings above say."""
        return " ".join(text for _, text in self._headings)

    def of(self, piece: Piece) -> str:
        """What is said before this box; call it with each piece in order."""
        if piece.kind is Kind.HEADING:
            title = words.plain(piece.text).rstrip(":")
            self._headings = [h for h in self._headings if h[0] < piece.level]
            if heading_turns(title):
                self._headings.append((piece.level, f"{title}:"))
        last, self._last, self._last_level = (self._last, self._last_level), "", 0
        if piece.box is None:
            turned = turns(piece.said) or (not piece.text and title_turns(piece.label))
            self._lead, self._level = piece.said.strip() if turned else "", -1
            return ""
        if piece.level > last[1] and turns_without_colon(last[0]) and not self._is_new:
            self._lead, self._level = f"{self._lead} {last[0]}:".strip(), last[1]
        self._last, self._last_level = _text_of(piece), piece.level
        beside = self._is_new and self._lead.endswith(":") and piece.level == self._level
        # a colon with nothing below it leads to the boxes beside it
        self._level -= beside
        if piece.level <= self._level:
            self._lead = ""
        said = f"{self.headings} {self._lead}".strip()
        self._is_new = turns(_text_of(piece))
        if self._is_new:
            self._lead, self._level = f"{self._lead} {_text_of(piece)}".strip(), piece.level
        return said


def _text_of(piece: Piece) -> str:
    """The words of a point, with a label that changes what they say."""
    return piece.said if piece.label and title_turns(piece.label) else piece.text


class StageReader:
    """Reads the pieces below one stage heading, in order."""

    def __init__(self, head: StageHead, source: str) -> None:
        self.draft = StageDraft(head)
        self.source = source
        self.group = ""
        self.splitting = False
        #: deliverables whose specification may follow: (index, depth of the list item)
        self.open: list[tuple[int, int]] = []
        self.mode = Mode.INSTRUCTIONS
        self.mode_level = 0
        #: whether something was read in this mode
        self.mode_fed = False
        #: what changes the meaning of the points below it
        self.lead, self.lead_line, self.lead_level = "", 0, -1
        self.above = BoxLeads()
        #: text, depth and line of the last point, if it may change what is nested in it
        self.last_point: tuple[str, int, int] | None = None

    def read(self, pieces: Iterable[Piece]) -> StageDraft:
        """Fill the draft."""
        for piece in pieces:
            lead = self.above.of(piece)
            if piece.kind is Kind.FENCE:
                self._read_fence(piece)
            elif piece.kind is Kind.TABLE:
                self._read_table(piece)
            elif piece.kind is Kind.HEADING:
                self._read_heading(piece)
            elif piece.box is not None:
                if said := _text_of(piece):
                    text = f"{lead} {said}".strip()
                    self._add_statement(text, StatementKind.CHECKBOX, piece.line, piece.box)
            elif not self._read_keyword(piece) and not self._read_below_keyword(piece):
                self._read_instruction(piece)
        self._leave_lead()
        return self.draft

    # -- blocks ------------------------------------------------------------------------------

    def _read_fence(self, piece: Piece) -> None:
        """A block of code; it specifies the last open deliverable that it fits."""
        self._leave_lead()
        self.mode = Mode.INSTRUCTIONS
        block = Block(piece.language, piece.text, piece.line)
        self.draft.blocks.append(block)
        for index, level in sorted(self.open, key=lambda opened: -opened[0]):
            deliverable = self.draft.deliverables[index]
            if deliverable.block is None and words.can_specify(piece.language, deliverable.path):
                self.draft.deliverables[index] = replace(deliverable, block=block)
                self.open.remove((index, level))
                return

    def _read_table(self, piece: Piece) -> None:
        """A table of children, or of files to make."""
        ticket, agent = find_column(piece, "ticket_column"), find_column(piece, "agent_column")
        files = find_column(piece, "lists_files")
        for row in piece.rows[1:]:
            cells = [words.plain(cell) for cell in row.cells]
            if ticket is not None and agent is not None and max(ticket, agent) < len(cells):
                ids = ids_in(cells[ticket])
                if ids and re.fullmatch(words.AGENT, cells[agent]):
                    rest = [c for i, c in enumerate(cells) if i not in (ticket, agent) and c]
                    title = rest[0] if rest else ""
                    self._add_child(ChildSpec(ids[0], cells[agent], title, row.line))
            if files is not None and files < len(row.cells):
                for _, _, path in words.paths_in(row.cells[files]):
                    self._add_deliverable(path, "deliver", row.line, " | ".join(row.cells), 0)

    def _read_heading(self, piece: Piece) -> None:
        self._leave_lead()
        self.mode, self.group = Mode.INSTRUCTIONS, words.plain(piece.text).rstrip(":")
        self.splitting = tickets.mentions_split(self.group)
        if not _DESCRIBES.search(self.group):
            self.open.clear()
        if _KEYWORDS[Mode.DONE_WHEN].fullmatch(_REMARK.sub("", self.group)):
            self._enter(Mode.DONE_WHEN, 0)
        else:
            self._read_files(piece)

    # -- words -------------------------------------------------------------------------------

    def _read_keyword(self, piece: Piece) -> bool:
        """A "Done when", "If PASS" or "If FAIL" line."""
        for mode, pattern in _KEYWORDS.items():
            rest = rest_after(pattern, piece)
            if rest is not None:
                self._enter(mode, piece.level)
                if turns(rest):
                    self.lead, self.lead_line = rest, piece.line
                elif rest and not rest.endswith(":"):
                    self._take(rest, piece.line)
                    self.mode = Mode.INSTRUCTIONS
                return True
        return False

    def _leave_lead(self) -> None:
        """Forget what changes the meaning of points; it is said for itself if none came."""
        if self.lead and self.lead_line:
            self._take(self.lead, self.lead_line)
        self.lead, self.lead_line, self.lead_level = "", 0, -1

    def _enter(self, mode: Mode, level: int) -> None:
        self._leave_lead()
        self.last_point = None
        self.mode, self.mode_level, self.mode_fed = mode, level, False

    def _read_below_keyword(self, piece: Piece) -> bool:
        """What is below an empty "Done when:" line belongs to it."""
        below = piece.kind is Kind.ITEM and piece.level > self.mode_level
        first = piece.kind is Kind.PARAGRAPH and not self.mode_fed
        # an item's label names what it says or has below; a paragraph's heads something else
        heads = piece.label and not below
        if self.mode is Mode.INSTRUCTIONS or heads or not (below or first):
            self._leave_lead()
            self.mode = Mode.INSTRUCTIONS
            return False
        said = _text_of(piece) or piece.label
        if self.last_point and piece.level > self.last_point[1]:
            self._make_lead(*self.last_point)
        self.last_point = None
        if piece.level == self.lead_level and self.lead_line and self.lead.endswith(":"):
            # a colon with nothing below it leads to the points beside it
            self.lead_level -= 1
        elif piece.level <= self.lead_level:
            self._leave_lead()
        if turns(said) or (not piece.text and title_turns(said)):
            self._leave_lead()
            self.lead, self.lead_line = (said if piece.text else f"{said}:"), piece.line
            self.lead_level = piece.level if piece.kind is Kind.ITEM else -1
        elif piece.text:
            self._take(f"{self.lead} {said}".strip(), piece.line)
            if piece.kind is Kind.ITEM and not self.lead and turns_without_colon(said):
                self.last_point = (said, piece.level, piece.line)
            # it is said with its points
            self.lead_line = 0
        self.mode_fed = True
        return True

    def _make_lead(self, text: str, level: int, line: int) -> None:
        """Take the last point for what changes the meaning of those nested in it."""
        if self.mode is Mode.DONE_WHEN and self.draft.statements[-1].line == line:
            self.draft.statements.pop()
            self.lead, self.lead_line, self.lead_level = f"{text}:", line, level

    def _take(self, text: str, line: int) -> None:
        if self.mode is Mode.DONE_WHEN:
            said = f"{self.above.headings} {text}".strip()
            self._add_statement(said, StatementKind.DONE_WHEN, line)
        elif self.mode is Mode.IF_FAIL:
            self.draft.on_fail = f"{self.draft.on_fail} {text}".strip()
        else:
            self.draft.on_pass = f"{self.draft.on_pass} {text}".strip()
            self._read_tickets(text, line)

    def _read_instruction(self, piece: Piece) -> None:
        self.draft.items.append((piece.line, piece.markdown))
        if piece.is_label or (piece.text.endswith(":") and piece.kind is Kind.PARAGRAPH):
            self.group = words.plain(piece.label or piece.text).rstrip(":")
            if piece.is_label and not _DESCRIBES.search(self.group):
                self.open.clear()
                self.splitting = False
        if piece.kind is Kind.ITEM:
            self.open = [o for o in self.open if o[1] < piece.level or o[1] == 0]
        if tickets.mentions_split(piece.markdown):
            self.splitting = True
        self._read_files(piece)
        self._read_tickets(piece.markdown, piece.line)
        for child in tickets.children_in(piece.markdown, piece.line, splitting=self.splitting):
            self._add_child(child)
        for sentence in words.sentences(piece.markdown):
            if text := prohibition_in_sentence(sentence):
                self._add_statement(text, StatementKind.PROHIBITION, piece.line)
        # "Confirm counts match expectations (…)": USER is to compare figures
        if self.draft.head.is_checkpoint and piece.kind is Kind.ITEM:
            said = words.plain(piece.said)
            if _CONFIRMS.match(said) and _FIGURE.search(said):
                text = piece.markdown.rstrip(":")
                self._add_statement(text, StatementKind.EXPECTATION, piece.line)

    # -- what words name ---------------------------------------------------------------------

    def _read_files(self, piece: Piece) -> None:
        listed = _LISTS_FILES.match(self.group) is not None and piece.kind is Kind.ITEM
        made = list(files_made(piece.markdown))
        if piece.kind is Kind.HEADING or piece.label or listed:
            headed = file_headed(piece.markdown.replace("**", "").strip(), bare=listed)
            if headed and headed.path not in {named.path for named in made}:
                made.insert(0, headed)
        level = piece.level if piece.kind is Kind.ITEM else 0
        if made and piece.kind is not Kind.HEADING:
            self.open = [o for o in self.open if o[1] < level]
        for named in made:
            if words.is_ticket_file(named.path):
                continue
            if named.by and named.by != self.draft.head.agent:
                self.draft.needs.append(Need(named.by, named.path, piece.line))
            else:
                self._add_deliverable(named.path, named.verb, piece.line, piece.markdown, level)

    def _read_tickets(self, text: str, line: int) -> None:
        self.draft.worked_on.extend(tickets.worked_on(text))
        self.draft.moves.extend((line, move) for move in tickets.moves_in(text))

    def _add_deliverable(self, path: str, verb: str, line: int, text: str, level: int) -> None:
        known = [d.path for d in self.draft.deliverables]
        if path not in known:
            self.draft.deliverables.append(Deliverable(path, verb, line, text=text))
            known.append(path)
        self.open.append((known.index(path), level))

    def _add_child(self, child: ChildSpec) -> None:
        if child.id not in {known.id for known in self.draft.children}:
            self.draft.children.append(child)

    def _add_statement(
        self, text: str, kind: StatementKind, line: int, ticked: bool = False
    ) -> None:
        group = self.group if kind is StatementKind.CHECKBOX else ""
        self.draft.statements.append(Statement(text, kind, self.source, line, group, ticked))


def rest_after(pattern: re.Pattern[str], piece: Piece) -> str | None:
    """The text after a keyword, or None if the piece does not begin with it."""
    if piece.label:
        label = words.plain(piece.label)
        if not pattern.fullmatch(_REMARK.sub("", label)):
            return None
        # "Done when (any of):"
        turned = _REMARK.search(label) is not None and heading_turns(label)
        return f"{label}: {piece.text}".strip() if turned else piece.text
    text = piece.text.lstrip("*_")
    found = pattern.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    return rest if text == piece.text else rest.lstrip("*_:—– ")

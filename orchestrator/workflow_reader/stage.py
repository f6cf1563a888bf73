"""One stage's blocks → its deliverables, statements, moves, children and needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestrator.domain.workflow import (
    Block,
    ChildSpec,
    Deliverable,
    Need,
    Statement,
    StatementKind,
)
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.markdown.prohibitions import prohibition_in_sentence
from orchestrator.tickets.id_grammar import ids_in
from orchestrator.workflow_reader import deliverables as files
from orchestrator.workflow_reader import ticket_mentions as tickets
from orchestrator.workflow_reader import vocabulary as words

DONE = re.compile(
    r"(?:done[- ]when|definition of done|completed? when|finished when|exit criteri(?:on|a))\b"
    r"\s*[:—–-]*\s*",
    re.IGNORECASE,
)
_CLAUSE = (
    r"(?:(?:it|all|any|a|one|some|every|everything|of|the|them|these|qa|gate|checks?|box(?:es)?"
    r"|review)\s+)*"
)
PASS = re.compile(
    rf"(?:(?:if|on|when|upon)\s+{_CLAUSE}pass(?:es|ed)?|pass(?:ed)?(?=\s*(?:[:→—–]|$)))\b\s*[:,→—–>-]*\s*",
    re.IGNORECASE,
)
FAIL = re.compile(
    rf"(?:(?:if|on|when|upon)\s+{_CLAUSE}fail(?:s|ed|ure)?|fail(?:ed|ure)?(?=\s*(?:[:→—–]|$)))\b\s*[:,→—–>-]*\s*",
    re.IGNORECASE,
)
_CONFIRMS = re.compile(r"(?:confirm|verify|check|ensure|make sure|expect|prove)s?\b", re.IGNORECASE)
_FIGURE = re.compile(
    r"\bexpect(?:ed|ations?)\b|\d[\d,]*\s*\+|(?:[≥>]=?|=>)\s*\d"
    r"|\b(?:at least|no (?:fewer|less) than|minimum of|more than|exactly)\s+\d",
    re.IGNORECASE,
)
_LISTS_FILES = re.compile(
    r"(?:deliverables?|outputs?|artifacts?|files to (?:create|write|make|deliver))\b", re.IGNORECASE
)
_DESCRIBES = re.compile(
    r"\b(?:schema|columns?|header|specification|spec|format|signatures?|content|code|example|ddl)\b",
    re.IGNORECASE,
)
#: fence languages by file extension; an empty one fits all
_LANGUAGES = {
    "py": {"py", "python", "python3"},
    "sql": {"sql", "postgres", "postgresql", "pgsql", "plpgsql"},
    "ts": {"ts", "typescript"},
    "tsx": {"tsx", "ts", "typescript"},
    "js": {"js", "javascript"},
    "csv": {"csv", "text", "txt"},
    "tsv": {"tsv", "text", "txt"},
    "md": {"md", "markdown", "text"},
    "yml": {"yml", "yaml"},
    "yaml": {"yml", "yaml"},
    "txt": {"txt", "text"},
    "sh": {"sh", "bash", "shell", "zsh"},
}


@dataclass(frozen=True)
class Head:
    """A stage's heading."""

    number: int
    agent: str
    title: str
    line: int
    level: int
    checkpoint: int | None = None
    is_checkpoint: bool = False
    ready: bool = False
    beside: tuple[int, ...] = ()


@dataclass
class Draft:
    """A stage as read; ids and pronouns are resolved when the whole family is known."""

    head: Head
    deliverables: list[Deliverable] = field(default_factory=list)
    children: list[ChildSpec] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    moves: list[tuple[int, tickets.NamedMove]] = field(default_factory=list)
    worked_on: list[str] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    items: list[tuple[int, str]] = field(default_factory=list)
    on_pass: str = ""
    on_fail: str = ""


@dataclass(frozen=True)
class _Open:
    """A deliverable whose specification may follow; `level` is the depth of its list item."""

    index: int
    level: int


class StageReader:
    """Reads the pieces below one stage heading, in order."""

    def __init__(self, head: Head, source: str) -> None:
        self.draft = Draft(head)
        self.source = source
        self.group = ""
        self.splitting = False
        self.open: list[_Open] = []
        #: what the next items belong to: "done", "pass", "fail" or nothing
        self.mode = ""
        self.mode_level = 0
        self.fed = False

    def read(self, pieces: Iterable[Piece]) -> Draft:
        """Fill the draft."""
        for piece in pieces:
            if piece.kind is Kind.FENCE:
                self._fence(piece)
            elif piece.kind is Kind.TABLE:
                self._table(piece)
            elif piece.kind is Kind.HEADING:
                self._heading(piece)
            else:
                self._words(piece)
        return self.draft

    # -- blocks ------------------------------------------------------------------------------

    def _fence(self, piece: Piece) -> None:
        self.mode = ""
        block = Block(piece.language, piece.text, piece.line)
        self.draft.blocks.append(block)
        for opened in sorted(self.open, key=lambda o: -o.index):
            deliverable = self.draft.deliverables[opened.index]
            if deliverable.block is None and fits(deliverable.path, piece.language):
                self.draft.deliverables[opened.index] = replace(deliverable, block=block)
                self.open.remove(opened)
                return

    def _table(self, piece: Piece) -> None:
        for child in _children_of_table(piece):
            self._child(child)
        header = piece.rows[0].cells if piece.rows else ()
        column = next(
            (i for i, cell in enumerate(header) if _LISTS_FILES.match(words.plain(cell))), None
        )
        for row in piece.rows[1:] if column is not None else ():
            cell = row.cells[column] if column is not None and column < len(row.cells) else ""
            for _, _, path in words.paths_in(cell):
                self._deliver(path, "deliver", row.line, " | ".join(row.cells), 0)

    def _heading(self, piece: Piece) -> None:
        self.mode, self.group = "", words.plain(piece.text).rstrip(":")
        self.splitting = tickets.SPLIT.search(self.group) is not None
        if not _DESCRIBES.search(self.group):
            self.open.clear()
        if DONE.fullmatch(self.group):
            self._begin("done", 0)
            return
        self._name_files(piece)

    # -- words -------------------------------------------------------------------------------

    def _words(self, piece: Piece) -> None:
        if piece.box is not None:
            self._box(piece)
        elif not self._keyword(piece) and not self._feed(piece):
            self._instruction(piece)

    def _statement(
        self, text: str, kind: StatementKind, line: int, *, ticked: bool = False
    ) -> None:
        group = self.group if kind is StatementKind.CHECKBOX else ""
        self.draft.statements.append(Statement(text, kind, self.source, line, group, ticked))

    def _box(self, piece: Piece) -> None:
        if piece.text:
            self._statement(
                piece.text, StatementKind.CHECKBOX, piece.line, ticked=piece.box is True
            )

    def _keyword(self, piece: Piece) -> bool:
        """A "Done when", "If PASS" or "If FAIL" line."""
        for mode, pattern in (("done", DONE), ("pass", PASS), ("fail", FAIL)):
            rest = rest_after(pattern, piece)
            if rest is not None:
                self._begin(mode, piece.level)
                if rest and not rest.endswith(":"):
                    self._take(rest, piece.line)
                    self.mode = ""
                return True
        return False

    def _begin(self, mode: str, level: int) -> None:
        self.mode, self.mode_level, self.fed = mode, level, False

    def _feed(self, piece: Piece) -> bool:
        """What stands below an empty "Done when:" line belongs to it."""
        below = piece.kind is Kind.ITEM and piece.level > self.mode_level
        if (
            not self.mode
            or not (below or (piece.kind is Kind.PARAGRAPH and not self.fed))
            or piece.label
        ):
            self.mode = ""
            return False
        self._take(piece.text, piece.line)
        self.fed = True
        return True

    def _take(self, text: str, line: int) -> None:
        if self.mode == "done":
            self._statement(text, StatementKind.DONE_WHEN, line)
        elif self.mode == "fail":
            self.draft.on_fail = f"{self.draft.on_fail} {text}".strip()
        else:
            self.draft.on_pass = f"{self.draft.on_pass} {text}".strip()
            self._name_tickets(text, line)

    def _instruction(self, piece: Piece) -> None:
        self.draft.items.append((piece.line, piece.markdown))
        if piece.is_label or (piece.text.endswith(":") and piece.kind is Kind.PARAGRAPH):
            self._new_group(piece)
        if piece.kind is Kind.ITEM:
            self.open = [o for o in self.open if o.level < piece.level or o.level == 0]
        if tickets.SPLIT.search(piece.markdown):
            self.splitting = True
        self._name_files(piece)
        self._name_tickets(piece.markdown, piece.line)
        for child in tickets.children_in(piece.markdown, splitting=self.splitting):
            self._child(ChildSpec(child.id, child.agent, child.title, piece.line))
        for text in prohibitions(piece.markdown):
            self._statement(text, StatementKind.PROHIBITION, piece.line)
        if self.draft.head.is_checkpoint and is_expectation(piece):
            self._statement(piece.markdown.rstrip(":"), StatementKind.EXPECTATION, piece.line)

    def _new_group(self, piece: Piece) -> None:
        self.group = words.plain(piece.label or piece.text).rstrip(":")
        if piece.is_label and not _DESCRIBES.search(self.group):
            self.open.clear()
            self.splitting = False

    # -- what words name ---------------------------------------------------------------------

    def _name_files(self, piece: Piece) -> None:
        listed = _LISTS_FILES.match(self.group) is not None and piece.kind is Kind.ITEM
        headed = None
        if piece.kind is Kind.HEADING or piece.label or listed:
            headed = files.file_headed(words.unbold(piece.markdown), bare=listed)
        made = list(files.files_made(piece.markdown))
        if headed and headed.path not in {named.path for named in made}:
            made.insert(0, headed)
        level = piece.level if piece.kind is Kind.ITEM else 0
        if made and piece.kind is not Kind.HEADING:
            self.open = [o for o in self.open if o.level < level]
        for named in made:
            if words.is_ticket_file(named.path):
                continue
            if named.by and named.by != self.draft.head.agent:
                self.draft.needs.append(Need(named.by, named.path, piece.line))
            else:
                self._deliver(named.path, named.verb, piece.line, piece.markdown, level)

    def _deliver(self, path: str, verb: str, line: int, text: str, level: int) -> None:
        known = [d.path for d in self.draft.deliverables]
        if path not in known:
            self.draft.deliverables.append(Deliverable(path, verb, line, text=text))
            known.append(path)
        self.open.append(_Open(known.index(path), level))

    def _name_tickets(self, text: str, line: int) -> None:
        self.draft.worked_on.extend(tickets.worked_on(text))
        self.draft.moves.extend((line, move) for move in tickets.moves_in(text))

    def _child(self, child: ChildSpec) -> None:
        if child.id not in {known.id for known in self.draft.children}:
            self.draft.children.append(child)


def fits(path: str, language: str) -> bool:
    """Whether a fence in `language` can be the specification of the file `path`."""
    extension = path.rsplit(".", 1)[-1].lower()
    if not language or language == extension:
        return True
    known = _LANGUAGES.get(extension)
    return language in known if known else language not in _LANGUAGES["sh"]


def rest_after(pattern: re.Pattern[str], piece: Piece) -> str | None:
    """The text after a keyword, or None if the piece does not begin with it."""
    if piece.label:
        return piece.text if pattern.fullmatch(words.plain(piece.label)) else None
    text = piece.text.lstrip("*_")
    found = pattern.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    return rest if text == piece.text else rest.lstrip("*_:—– ")


def prohibitions(text: str) -> tuple[str, ...]:
    """The "Do NOT …" sentences of a text, without the reason after a dash."""
    return tuple(filter(None, map(prohibition_in_sentence, words.sentences(text))))


def is_expectation(piece: Piece) -> bool:
    """ "Confirm counts match expectations (…)": a line that tells USER to compare figures."""
    said = words.plain(piece.said)
    return piece.kind is Kind.ITEM and bool(_CONFIRMS.match(said) and _FIGURE.search(said))


_TICKET_COLUMN = re.compile(
    r"(?:child|sub)?[ -]?(?:tickets?|work orders?|id)$|child", re.IGNORECASE
)
_AGENT_COLUMN = re.compile(r"agent|owner|assignee|assigned to|goes to|for$", re.IGNORECASE)


def _children_of_table(piece: Piece) -> tuple[ChildSpec, ...]:
    """The rows of a table with a ticket and an agent column."""
    header = [words.plain(cell) for cell in piece.rows[0].cells] if piece.rows else []
    ticket = next((i for i, cell in enumerate(header) if _TICKET_COLUMN.match(cell)), None)
    agent = next((i for i, cell in enumerate(header) if _AGENT_COLUMN.match(cell)), None)
    if ticket is None or agent is None:
        return ()
    found = []
    for row in piece.rows[1:]:
        cells = [words.plain(cell) for cell in row.cells]
        ids = ids_in(cells[ticket]) if ticket < len(cells) else ()
        if ids and agent < len(cells) and re.fullmatch(words.AGENT, cells[agent]):
            rest = [c for i, c in enumerate(cells) if i not in (ticket, agent) and c]
            found.append(ChildSpec(ids[0], cells[agent], rest[0] if rest else "", row.line))
    return tuple(found)

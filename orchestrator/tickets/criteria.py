"""What a ticket demands: its criteria, in whatever shape they are written, and what is not read.

Nothing that looks like a criterion is dropped in silence (DESIGN 4.7): a box or line that is not
read as one is kept with its line and the reason.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby, pairwise, takewhile

from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.markdown import body
from orchestrator.markdown.body import MARK
from orchestrator.markdown.evidence_lines import indent_of, with_evidence
from orchestrator.markdown.frontmatter_parser import bare
from orchestrator.markdown.leads import (
    heading_turns,
    title_turns,
    turns,
    turns_without_colon,
)
from orchestrator.markdown.loose_lists import is_list, mark_of, points, with_breaks
from orchestrator.markdown.prohibitions import forbids_otherwise, prohibition_in_line
from orchestrator.tickets.criteria_headings import (
    Headings,
    criterion_in_row,
    headings_of,
    says_nothing,
)

_QUOTE = re.compile(r"\s*(?:>[ \t]?)+")
#: also as Jira nests items: `** x`
_MARK = re.compile(r"\s*(?:[-+]|\*{1,4}|\d{1,9}[.)])[ \t]+")
_JIRA_HEADING = re.compile(r"h(?P<level>[1-6])\.\s+(?P<text>\S.*)\Z")
_JIRA_ITEM = re.compile(r"(#{1,3})[ \t]+(?=\S)")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*\Z")
_UNDERLINES = frozenset(" =-")
_SIGN = re.compile(r"[☐☑☒✓✔✅]\ufe0f?[ \t]*")
_RULE = re.compile(r"\s*(?:[-*_][ \t]*){3,}\Z")
_CELL = re.compile(r"(?<!\\)\|")
_TABLE_RULE = re.compile(r"[ \t:|-]*-[ \t|:]*\Z")
_PLURALS = {"box": "boxes", "line": "lines", "block of code": "blocks of code"}
_PLURALS["comment"] = "comments"
_PLURALS["table row without a box"] = "table rows without a box"
_FORBIDS = "a prohibition that does not begin with “Do not”"
_HTML_ITEM = re.compile(r"(?i)<li\b[^>]*>(?P<box>\s*(?:\[[ x~-]?\]|<input\b[^>]*checkbox[^>]*>))?")
#: what is behind the item is left out
_TAG = re.compile(r"</li\b.*|<[^>]*>", re.IGNORECASE)
_UNKNOWN = "not known as a heading of criteria"
_STEP = re.compile(r"(?i)\s*(?:given|when|then|and|but|\*)\b")
#: around a title that is written as a line: tags, signs, the marks of Jira
_DECORATION = re.compile(
    r"</?\w[^<>]*>|\{panel:title=|\{/?[a-z]+(?::[^{}]*)?\}|[^\w\s()\[\]:,;.'’\"“”*`/&–—-]+|\}"
)
_LONGEST_TITLE = 100
_STRUCK = re.compile(r"~~.+~~\W*(?:\(.*\))?\W*\Z")


def _after(lead: re.Pattern[str], line: str) -> str:
    """A line without what it begins with."""
    found = lead.match(line)
    return line[found.end() :] if found else line


@dataclass(frozen=True)
class Unread:
    """Lines under one heading that look like criteria and are not read as such."""

    #: 1-based
    lines: tuple[int, ...]
    #: the words of each line
    texts: tuple[str, ...]
    #: "2 boxes"
    what: str
    #: "" if there is none
    heading: str
    why: str

    def moved(self, by: int) -> Unread:
        """The same where the file's lines stand so many lines further down."""
        return replace(self, lines=tuple(line + by for line in self.lines))

    def describe(self, ticket: str, *, numbered: bool = False) -> str:
        """One line for a person; `numbered`: with the numbers of the lines as they are now."""
        under = f"under “{self.heading}”" if self.heading else "under no heading"
        at = ""
        if numbered:
            at = f", line{'s' * (len(self.lines) > 1)} {', '.join(map(str, self.lines))}"
        said = "; ".join(f"“{text}”" for text in self.texts)
        return f"{ticket}{at}: {self.what} {under}, {self.why}: {said}"


@dataclass(frozen=True)
class Criteria:
    """What a ticket demands."""

    #: in the order of the file: criteria and prohibitions
    statements: tuple[Statement, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def demanded(self) -> tuple[Statement, ...]:
        """The criteria without the prohibitions."""
        return tuple(s for s in self.statements if s.kind is StatementKind.ACCEPTANCE)


@dataclass
class _Place:
    """The heading or label that a line is below."""

    level: int
    text: str
    #: True: what is below has to hold; False: it does not; None: nobody says
    demands: bool | None
    #: in a section that an agent or the conductor appended
    kept: bool = False
    #: of a label, which heads the list or paragraph below it, not all words that come later:
    #: whether something was read below it, and whether that has ended
    fed: bool = False
    ended: bool = False
    #: a label that is a list item
    of_item: bool = False
    #: of a label that demands what is below it: its line, and how much was read before it
    line: int = -1
    read_before: int = 0
    #: "None of these:", where the heading or one above it changes the meaning of what is below
    turn: str = ""


@dataclass
class _Reader:
    """One pass over a ticket's lines."""

    lines: list[str]
    start: int
    headings: Headings
    source: str
    ticket: str
    found: list[Statement] = field(default_factory=list)
    #: (heading, what, why, line, words)
    odd: list[tuple[str, str, str, int, str]] = field(default_factory=list)
    places: list[_Place] = field(default_factory=list)
    #: line → level, text and the line after the heading
    heads: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    #: what changes the meaning of the points below it, and the columns before it (-1: a paragraph)
    lead: tuple[str, int] = ("", -1)
    #: the lines at which sections begin, and of those looked at whether they have items
    bounds: list[int] = field(default_factory=list)
    with_items: dict[int, bool] = field(default_factory=dict)
    #: the lines that go on with a paragraph, whatever stands above them
    prose: set[int] = field(default_factory=set)

    def read(self) -> Criteria:
        hidden = {
            block.start + self.start: replace(
                block, start=block.start + self.start, end=block.end + self.start
            )
            for block in body.hidden_blocks(self.lines[self.start :])
        }
        outside = dict(self._outside())
        boxes = {box.line: box for box in body.boxes(self.lines, self.start)}
        at = self.start
        after = (*outside.values(), "")[1:]
        # a look at a line first, as most are prose
        looks = [
            n
            for (n, line), below in zip(outside.items(), after, strict=False)
            if "#" in line or "<" in line or below[:1] in _UNDERLINES or line[2:3] == "."
        ]
        self.heads = {n: h for n in looks if (h := self._heading(n, outside)) is not None}
        self.prose = {n for n, line in outside.items() if _is_prose(line)} - self.heads.keys()
        title = self._title()
        while at < len(self.lines):
            if at in hidden:
                at = self._skip_block(hidden[at])
                continue
            line = outside[at]
            if heading := self.heads.get(at):
                level, text, end = heading
                self._enter(level, text, self.headings.is_exactly(text) if at == title else None)
                at = end
            elif not line.strip() or _RULE.match(line):
                at += 1
            elif (box := boxes.get(at)) is not None and not self._place.kept:
                self._take_box(box)
                at = box.below
            else:
                at = self._read_line(at, outside)
        self._leave_places()
        return Criteria(
            tuple(sorted(dict.fromkeys(self.found), key=lambda s: s.line)),
            tuple(self._describe_odd()),
        )

    def _outside(self) -> Iterator[tuple[int, str]]:
        for at, line in body.lines_outside_code(self.lines[self.start :]):
            yield at + self.start, line

    # -- headings ----------------------------------------------------------------------------

    def _title(self) -> int:
        """The line of the ticket's title: the first heading, if no other has its level; or -1."""
        levels = [level for level, _, _ in self.heads.values()]
        return next(iter(self.heads)) if levels[:1] == [1] and levels.count(1) == 1 else -1

    def _heading(self, at: int, outside: dict[int, str]) -> tuple[int, str, int] | None:
        """Level, text and the line after a heading, if one is here."""
        line, after = outside[at], outside.get(at + 1, "")
        if line[:1] == ">":
            line = _after(_QUOTE, line)
        if jira := _JIRA_HEADING.match(line.rstrip()) if line[:1] == "h" else None:
            return int(jira["level"]), jira["text"].strip(), at + 1
        if found := body.parse_heading(line) or body.parse_html_heading(line):
            return *found, at + 1
        below = _UNDERLINE.match(after) if after[:1] in _UNDERLINES else None
        if below is None:
            return None
        plain = line.strip() and not _MARK.match(line) and not line.lstrip().startswith(("|", ">"))
        if plain and not outside.get(at - 1, "").strip():
            return (1 if below[1][0] == "=" else 2), line.strip(), at + 2
        return None

    def _enter(self, level: int, text: str, demands: bool | None = None) -> None:
        self._leave_places(level)
        self.lead, turn = ("", -1), ""
        if demands is None:
            if self.headings.means_criteria(text):
                demands = True
                above = self.places[-1] if self.places else _Place(0, "", None)
                excluded = above.text if above.demands is False and title_turns(above.text) else ""
                said = (excluded, text if heading_turns(text) else "")
                turn = " ".join(f"{each.rstrip(':')}:" for each in said if each)
            elif self.headings.excludes(text):
                demands = False
            else:
                demands = self.places[-1].demands if self.places else None
                turn = self.places[-1].turn if self.places else ""
                if demands and title_turns(text):
                    turn = f"{turn} {text.rstrip(':')}:".strip()
        kept = any(p.kept for p in self.places)
        self.places.append(_Place(level, text, demands, kept, turn=turn))

    def _read_label(self, at: int, text: str, outside: dict[int, str]) -> int:
        """A bold line: it heads what is below it, or is said for itself."""
        if "`" in text and self._place.demands and not _heads_points(self._below(at + 1, outside)):
            self._add(text, StatementKind.ACCEPTANCE, at)
            return at + 1
        self._enter(body.LABEL_LEVEL, text)
        place = self._place
        if place.demands and not self.headings.means_criteria(text):
            place.line, place.read_before = at, len(self.found) + len(self.odd)
        return at + 1

    def _below(self, at: int, outside: dict[int, str]) -> str:
        """The first line that says something, near a line."""
        return next((outside[n] for n in range(at, at + 3) if outside.get(n, "").strip()), "")

    def _leave_places(self, level: int = 0) -> None:
        """Leave what is not above a heading of this level; a label with nothing below is told."""
        left = next((n for n, p in enumerate(self.places) if p.level >= level), len(self.places))
        for place in self.places[left:]:
            is_fed = place.fed or place.read_before < len(self.found) + len(self.odd)
            if place.line >= 0 and not is_fed:
                self._leave("line", "a label with nothing below it", place.line, place.text)
        self.places = [p for p in self.places if p.level < level]

    def _enter_kept(self, at: int) -> None:
        """What follows was appended by an agent or the conductor: it is not a demand."""
        above = bare(self.lines[at - 1]) if at else ""
        if not self.places or body.parse_heading(above) is None:
            self.places.append(_Place(body.LABEL_LEVEL + 1, "", None))
        self.places[-1].kept = True

    @property
    def _place(self) -> _Place:
        return self.places[-1] if self.places else _Place(0, "", None)

    @property
    def _among_criteria(self) -> bool:
        """Whether a heading above means criteria, whatever those below it say."""
        return any(place.demands for place in self.places)

    @property
    def _below_title(self) -> list[str]:
        """The headings above a line, without the ticket's title."""
        return [p.text for p in self.places if p.level > 1 or len(self.places) == 1]

    # -- lines -------------------------------------------------------------------------------

    def _read_line(self, at: int, outside: dict[int, str]) -> int:
        """A line that is neither heading nor box; returns the line after what was read."""
        line = outside[at]
        if label := body.LABEL.match(line.strip()):
            return self._read_label(at, label["label"].strip(), outside)
        inner = _after(_MARK, line) if "*" in line or "_" in line else line
        if inner != line and (label := body.LABEL.match(inner.strip())):
            said = label["label"].strip()
            if self._place.of_item or self.headings.means_criteria(said):
                self._enter(body.LABEL_LEVEL, said)
                self._place.of_item = True
                return at + 1
        end = at + 1
        if self._place.kept:
            return end
        items = _HTML_ITEM.finditer(line) if "<" in line else ()
        if found := [m for m in items if m["box"] or self._place.demands]:
            for item in found:
                what, text = "box" if item["box"] else "line", _TAG.sub("", line[item.end() :])
                self._leave(what, "in HTML", at, text.strip())
            return end
        if "|" in line and _CELL.search(line) and _TABLE_RULE.match(outside.get(end, "")):
            return self._read_table(at, outside)
        while end in self.prose or (
            end in outside and body.continues(outside[end]) and not self._starts(end, outside)
        ):
            end += 1
        raw = [_after(_QUOTE, line), *(_after(_QUOTE, outside[n]) for n in range(at + 1, end))]
        is_item = _MARK.match(raw[0]) is not None
        parts, numbers = with_breaks(raw) if not is_item and self._place.demands else ([], [])
        if parts and is_list(parts):
            said = [(at + numbers[n], text) for n, text in points(parts)]
            for (start, text), (after, _) in pairwise(said):
                self._take(start, after, text, not text.endswith(":"), outside)
            start, text = said[-1]
            text, end = with_evidence(text, outside, end, indent_of(line))
            self._take(start, end, text, True, outside)
            return end
        text = " ".join(part.strip() for part in [_after(_MARK, raw[0]), *raw[1:]]).strip()
        text, end = with_evidence(text, outside, end, indent_of(line))
        self._take(at, end, text, is_item, outside)
        return end

    def _take(self, at: int, end: int, text: str, is_item: bool, outside: dict[int, str]) -> None:
        """The words of an item or a paragraph."""
        if forbids := prohibition_in_line(text):
            self._leave_lead(outside[at], is_item)
            self._add(forbids, StatementKind.PROHIBITION, at)
            if turns(forbids):
                self.lead = (forbids, indent_of(outside[at]) if is_item else -1)
        elif self.headings.is_scenario(text):
            self._add(text, StatementKind.ACCEPTANCE, at)
        elif (rest := self.headings.after_keyword(text)) is None:
            self._take_words(at, end, _after(_SIGN, text), is_item, outside)
        elif rest:
            self._leave_lead(outside[at], is_item)
            self._add(rest, StatementKind.ACCEPTANCE, at)
        else:
            self._enter(body.LABEL_LEVEL, text.rstrip(": "))

    def _starts(self, at: int, outside: dict[int, str]) -> bool:
        """Whether a line begins something of its own."""
        line = outside[at].strip()
        if at in self.heads or prohibition_in_line(line):
            return True
        if "<" in line and _HTML_ITEM.search(line):
            return True
        if line[:1].isalpha():
            return self.headings.after_keyword(line) is not None
        return (
            body.LABEL.match(line) is not None
            or self.headings.after_keyword(_after(_MARK, line)) is not None
            or _SIGN.match(line) is not None
            or _MARK.match(line) is not None
        )

    def _take_words(
        self, at: int, end: int, text: str, is_item: bool, outside: dict[int, str]
    ) -> None:
        """A list item or paragraph without a box."""
        self._leave_lead(outside[at], is_item)
        place = self._place
        if place.level == body.LABEL_LEVEL:
            place.ended = place.ended or (
                place.fed and not is_item and not outside[at][:1].isspace()
            )
            place.fed = True
            if place.ended:
                place = self.places[-2] if len(self.places) > 1 else _Place(0, "", None)
        if says_nothing(text):
            return
        if end == at + 1 and self._enter_title(text, is_item, self._below(end, outside)):
            return
        if _STRUCK.match(text):
            self._leave("line", "struck out", at, text)
            return
        if not place.demands and forbids_otherwise(text):
            self._leave("line", _FORBIDS, at, text)
            return
        follows = self._below(end, outside)
        text = text if text[-1:] not in "*_" or not turns(text) else text.strip("*_ ")
        if text.endswith(":") and len(text) < 60 and self.headings.resembles(text):
            self._enter(body.LABEL_LEVEL, text.rstrip(": "))
            if turns(text) and not title_turns(text):
                self._place.turn = f"{self._place.turn} {text}".strip()
            return
        is_lead = _heads_points(follows)
        is_above = is_lead and (not is_item or indent_of(follows) > indent_of(outside[at]))
        if place.demands and (turns(text) or (is_above and turns_without_colon(text))):
            self._take_lead(text, outside[at], is_item, follows, at)
            return
        if text.endswith(":") and is_lead:
            return
        if place.demands:
            self._add(text, StatementKind.ACCEPTANCE, at)
        elif self._among_criteria and place.demands is False:
            self._leave("line", "not a heading of criteria", at, text)
        elif any(map(self.headings.resembles, self._below_title)) and (
            is_item or (self.headings.resembles(place.text) and not self._has_items(at))
        ):
            self._leave("line", _UNKNOWN, at, text)

    def _enter_title(self, text: str, is_item: bool, below: str) -> bool:
        """Enter what a line alone heads, if it is a heading of criteria in all but its mark."""
        title = _DECORATION.sub(" ", text[:_LONGEST_TITLE]).strip(" *_:=")
        if not below or len(text) > _LONGEST_TITLE or "`" in title or text[:1] == "#":
            return False
        is_exact = self.headings.is_exactly(title) and not title.endswith(".")
        is_lead = _heads_points(below) and (is_exact or self._leads_to_criteria(title))
        if not (is_lead or (is_exact and " " in title)):
            return False
        self._enter(body.LABEL_LEVEL, title)
        self._place.of_item = is_item
        return True

    def _leads_to_criteria(self, title: str) -> bool:
        """Whether a line above points says that they are criteria: "We are done when"."""
        is_sentence = title.endswith(".") and not re.search(r"(?i)\b(?:when|if)\b", title)
        # among criteria it is one itself, and what stands behind a colon is said for itself
        is_said = bool(self._place.demands) or is_sentence or ":" in title
        return not is_said and self.headings.means_criteria(title)

    def _take_lead(
        self, text: str, line: str, is_item: bool, below: str, at: int, ticked: bool = False
    ) -> None:
        """A line that changes what the points below it say, or that is said for itself."""
        own = indent_of(line) if is_item else -1
        if not _heads_points(below) or indent_of(below) <= own:
            # nothing is below it
            self._add(text, StatementKind.ACCEPTANCE, at, ticked)
            # but a colon leads to something: the points beside it
            own -= is_item and text.endswith(":")
        self.lead = (text if text[-1:] in ":—–.,*>" else f"{text}:", own)

    def _has_items(self, at: int) -> bool:
        """Whether a section has items: then its paragraphs say what they are about."""
        if not self.bounds:
            self.bounds = [self.start, *sorted(self.heads), len(self.lines)]
        last = bisect.bisect_right(self.bounds, at)
        first = self.bounds[last - 1]
        if first not in self.with_items:
            section = self.lines[first + 1 : self.bounds[last]]
            self.with_items[first] = any(map(_MARK.match, section))
        return self.with_items[first]

    def _take_box(self, box: body.Box) -> None:
        if not (text := box.text):
            return
        line = self.lines[box.line]
        self._leave_lead(line, True)
        self._place.fed = True
        below = next(filter(str.strip, self.lines[box.below :]), "")
        is_above = _MARK.match(below) is not None and indent_of(below) > indent_of(line)
        if self._place.demands and (turns(text) or (is_above and turns_without_colon(text))):
            self._take_lead(text, line, True, below, box.line, box.ticked)
            return
        if _STRUCK.match(text):
            self._leave("box", "struck out", box.line, text)
        elif self._place.demands or self.headings.after_keyword(text):
            self._add(text, StatementKind.ACCEPTANCE, box.line, box.ticked)
        else:
            self._leave("box", _UNKNOWN, box.line, text)

    def _read_table(self, at: int, outside: dict[int, str]) -> int:
        """A table: rows with a box are criteria under their heading."""
        head, end = body.cells_of(_after(_MARK, _after(_QUOTE, outside[at]))), at + 2
        while "|" in outside.get(end, ""):
            said, boxes = body.row_boxes(outside[end])
            # without a box, what the column says that is known to say it
            cells = body.cells_of(_after(_QUOTE, outside[end]))
            criterion = "" if boxes else criterion_in_row(head, cells)
            if self._place.demands and (criterion or (said and boxes)):
                self._add(criterion or said, StatementKind.ACCEPTANCE, end, any(boxes))
            elif said and boxes:
                self._leave("box", _UNKNOWN, end, said)
            elif not boxes and self._among_criteria and (row := outside[end].strip("| \t")):
                self._leave("table row without a box", "not read", end, said or row)
            end += 1
        return end

    def _skip_block(self, block: body.Hidden) -> int:
        """Code or a comment; code among criteria, and items in what is left open, are told."""
        inside = [bare(line) for line in self.lines[block.start : block.end]]
        if inside[0].rstrip() == MARK:
            self._enter_kept(block.start)
        elif self._place.kept:
            pass
        elif not block.closed and any(map(body.box_text, inside)):
            why = f"in a {'block of code' if block.is_code else 'comment'} that is not closed"
            for at, line in enumerate(inside, block.start):
                if text := body.box_text(line):
                    self._leave("box", why, at, text)
        elif block.is_code and block.closed and (found := list(_scenarios(inside))):
            for offset, text in found:
                self._add(text, StatementKind.ACCEPTANCE, block.start + offset)
        elif self._among_criteria and (block.is_code or not block.closed):
            what = "block of code" if block.is_code else "comment"
            why = "not read" if block.closed or block.is_code else "not read, as it is not closed"
            self._leave(what, why, block.start, inside[1].strip() if len(inside) > 1 else inside[0])
        return block.end

    # -- results -----------------------------------------------------------------------------

    def _leave_lead(self, line: str, is_item: bool) -> None:
        """Forget what changes the meaning of points, if a line is none of them."""
        indent = indent_of(line)
        if indent <= self.lead[1] or not (is_item or indent):
            self.lead = ("", -1)

    def _add(self, text: str, kind: StatementKind, at: int, ticked: bool = False) -> None:
        group = self._place.text
        if kind is StatementKind.ACCEPTANCE:
            # it stays unproven until somebody says it of each
            turn = next((p.turn for p in reversed(self.places) if not p.ended), "")
            text = " ".join(filter(None, (turn, self.lead[0], text)))
        self.found.append(
            Statement(text, kind, self.source, at + 1, group, ticked, ticket=self.ticket)
        )

    def _leave(self, what: str, why: str, at: int, text: str) -> None:
        self.odd.append((self._place.text, what, why, at + 1, text))

    def _describe_odd(self) -> Iterator[Unread]:
        for (heading, what, why), group in groupby(self.odd, key=lambda each: each[:3]):
            _, _, _, lines, texts = zip(*group, strict=True)
            plural = _PLURALS[what]
            counted = f"1 {what}" if len(lines) == 1 else f"{len(lines)} {plural}"
            yield Unread(lines, texts, counted, heading, why)


def _scenarios(inside: list[str]) -> Iterator[tuple[int, str]]:
    """(line, text) of each scenario in a block of Gherkin."""
    starts = [n for n, line in enumerate(inside) if re.match(r"(?i)\s*given\b", line)]
    for start, end in pairwise([*starts, len(inside)]):
        steps = takewhile(_STEP.match, inside[start:end])
        text = " ".join(step.strip() for step in steps)
        if re.search(r"(?i)\bthen\b", text):
            yield start, text


def _heads_points(below: str) -> bool:
    """Whether a line that says something is a point, or the head of a table."""
    return bool(_MARK.match(below) or mark_of(below)[0] or "|" in below)


def _is_prose(line: str) -> bool:
    """A look at a line first, as most are prose: whether it can begin nothing of its own."""
    plain = line[:1].isalpha() and line[:2].lower() != "do" and ":" not in line
    return plain and "<" not in line and "—" not in line and "–" not in line


def read_criteria(
    lines: list[str],
    start: int,
    *,
    source: str,
    ticket: str,
    own_headings: tuple[str, ...] = (),
) -> Criteria:
    """The criteria in a ticket's lines from `start` (0-based) on.

    What stands in sections that the conductor keeps is not a demand.
    """
    found = _read_cached(_without_jira_lists(lines[start:]), ticket, own_headings)
    return Criteria(
        tuple(replace(s, line=s.line + start, source=source) for s in found.statements),
        tuple(unread.moved(start) for unread in found.unread),
    )


def _without_jira_lists(lines: list[str]) -> tuple[str, ...]:
    """Lines with the numbered items of Jira (`# x`, and `## y` below it) as those of markdown.

    Below a heading of Jira (`h3. Title`) they are no headings.
    """
    first = next((n for n, line in enumerate(lines) if _JIRA_HEADING.match(line.rstrip())), None)
    if first is None:
        return tuple(lines)
    said, is_item = lines[:first], False
    for line in lines[first:]:
        item = _JIRA_ITEM.match(line)
        is_item = item is not None and (is_item or item[1] == "#")
        mark = f"{'   ' * (len(item[1]) - 1)}1. " if item else ""
        said.append(mark + line[item.end() :] if item and is_item else line)
    return tuple(said)


@lru_cache(maxsize=64)
def _read_cached(lines: tuple[str, ...], ticket: str, own_headings: tuple[str, ...]) -> Criteria:
    """The tickets of a family are read at every step of it, and mostly only their keys changed."""
    return _Reader(list(lines), 0, headings_of(own_headings), "", ticket).read()

"""What a ticket says beside the keys that are read: that it is finished, or what it waits for.

Nothing of this decides anything; it is told, and no work begins on what anything calls finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from orchestrator.domain.folders import Folders
from orchestrator.domain.id_grammar import is_field_id
from orchestrator.domain.keys import KeyTable
from orchestrator.domain.states import FolderRole
from orchestrator.markdown.body import (
    box_text,
    cells_of,
    lines_outside_code,
    parse_heading,
    placed_lines,
)
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.near_misses import folded
from orchestrator.tickets.criteria_headings import Headings, headings_of
from orchestrator.tickets.ticket import Ticket

_TOLD = ("status", "finished", "depends_on")
#: a look at the text first: all that is said in it has one of these
_WORTH_A_LOOK = re.compile(r"[:|=#\d]|\*\*")
#: a line without a label, a table's bar, and what may be an id says what its heading says
_MAY_SAY = re.compile(r"[:=|\d_-]")
#: a title is among the first lines
_HEADER = 60
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_LEAD = re.compile(r"[\s>]*(?:(?:[-*+•]|\d{1,3}[.)])\s+)?")
_PAIR = re.compile(r"(?P<label>[^\W\d][^:=|]{0,40}?)\s*[:=]\s*(?P<value>\S.*)\Z")
_NO = re.compile(
    r"\W*(?:no|not|none|nothing|false|n/?a|null|nil|never|tbd|tba|pending|open|un\w+"
    r"|in[ _-]progress|ongoing|todo|wip|\d{1,2}(?:[.,]\d+)?\s*%?)?\W*\Z|not\b",
    re.IGNORECASE,
)
_YES = re.compile(
    r"\W*(?:yes|true|x|100\s*%?|(?:on\s+)?\d{4}-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*)\W*\Z|[✅✔☑]",
    re.IGNORECASE,
)
#: where a status ends and a remark begins: "Done (see #12)", "done on 2025-03-02"
_REMARK = re.compile(r"[(,;.–—|]|\s-\s|\s+(?:on|in|at|by|since|with|via|as)\b|\s+\d")
_TITLES = (
    re.compile(r"\W*[\[(](?P<word>[A-Za-z' _-]{1,20})[\])]"),
    re.compile(r".*[\[(](?P<word>[A-Za-z' _-]{1,20})[\])]\W*\Z"),
    re.compile(r"(?P<word>[A-Z]{2,}(?:[ _-][A-Z]+)?)\s*[:|—–-]\s"),
    re.compile(r".*\s[—–|-]\s*(?P<word>[A-Z]{2,})\W*\Z"),
)
_SIGNED = re.compile(r"\W*(?:~~.+~~\W*\Z|\[[xX]\]|[✅✔☑])|.*[✅✔☑]\ufe0f?\s*\Z", re.DOTALL)


#: keys of the place that another tool gives a ticket, of which a word for the end says that it is
#: finished; any other value is that tool's own
_PLACES = frozenset(
    ("boardcolumn", "bucket", "column", "kanban", "kanbancolumn", "kanbanstatus", "list", "phase",
     "progress", "stage", "swimlane", "workflowstate", "workflowstatus")
)  # fmt: skip
_WHOLE = re.compile(r"100\s*%?")


class Said(NamedTuple):
    """One thing that the text says: `name` as in `keys.toml`."""

    name: str
    value: str
    #: 1-based
    line: int
    text: str


def said_in_text(
    document: Document, keys: KeyTable, headings: Headings, id: str
) -> tuple[Said, ...]:
    """`Status: done`, `| Depends on | T-1 |`, `Blocked by T-1`, items below `## Blocked by` …

    Boxes and what stands among criteria has to hold, and says nothing yet.
    """
    asked = said_in_text, keys, headings, id
    if asked not in document.findings:
        start = document.body_line - 1
        said = _WORTH_A_LOOK.search(document.body) is not None
        found = _said(tuple(document.lines[start:]), keys, headings, id) if said else ()
        document.findings[asked] = tuple(each._replace(line=each.line + start) for each in found)
    known: tuple[Said, ...] = document.findings[asked]
    return known


@lru_cache(maxsize=64)
def _said(lines: tuple[str, ...], keys: KeyTable, headings: Headings, id: str) -> tuple[Said, ...]:
    head: list[str] = []
    found: list[Said] = []
    above: tuple[str, ...] | None = None
    below = False
    heading = ""
    for line in placed_lines(lines):
        if line.above is not above:
            above = line.above
            below = any(map(headings.means_criteria, above))
            heading = keys.name_of(_plain(line.group))
        bare = line.text.strip()
        if below or not bare:
            continue
        if heading not in _TOLD and not _MAY_SAY.search(bare):
            head = []
            continue
        if box_text(line.text):
            continue
        at, shown = line.at + 1, bare[:80]
        if bare.startswith("|"):
            cells = [_plain(cell) for cell in cells_of(bare)]
            filled = [cell for cell in cells if cell]
            if len(filled) == 2:
                pairs = [(filled[0], filled[1])]
            else:
                pairs = list(zip(head, cells, strict=False)) if id in cells else []
            head = head or cells
            names = [(keys.name_of(label), value) for label, value in pairs]
        else:
            head = []
            names = [_labelled(_plain(_LEAD.sub("", bare, count=1)), keys, heading)]
        found += [Said(name, value, at, shown) for name, value in names if name in _TOLD]
    return tuple(found)


def _plain(text: str) -> str:
    is_plain = "*" not in text and "`" not in text and "_" not in text
    return text.strip() if is_plain else _EMPHASIS.sub("", text).strip()


def _labelled(text: str, keys: KeyTable, heading: str) -> tuple[str, str]:
    """(what a line says, the value): by its label, else as the heading above it says."""
    if (pair := _PAIR.match(text)) and (name := keys.name_of(pair["label"])) in _TOLD:
        return name, pair["value"]
    words = text.split(maxsplit=4)[:4]
    for count in (3, 2, 1) if words and keys.may_begin(words[0]) else ():
        label, rest = " ".join(words[:count]), words[count : count + 1]
        if rest and keys.name_of(label) == "depends_on" and is_field_id(rest[0].strip(",.;")):
            return "depends_on", text
    return heading, text


def find_finished(
    ticket: Ticket,
    document: Document,
    keys: KeyTable,
    held: dict[str, list[str]],
    folders: Folders,
    own_headings: tuple[str, ...],
) -> Iterator[tuple[int, str]]:
    """(line, text) of whatever says that a ticket is finished where its place does not.

    `held`: what is said → the document's keys that say it.
    """
    headings = headings_of(own_headings)
    # made, and yet to be inspected: then it is no wonder that somebody says when
    places = (ticket.role, folders.role_of_status(ticket.status))
    is_made = FolderRole.QA in places or FolderRole.USER_REVIEW in places
    for key in () if is_made else (*held.get("finished", ()), *held.get("labels", ())):
        values = document.meta[key]
        is_label = keys.name_of(key) == "labels"
        values = values if isinstance(values, list) and is_label else [values]
        texts = [str(value) for value in values if not isinstance(value, list | dict)]
        says = any(_is_finished(t, folders) if is_label else not _NO.match(t) for t in texts)
        if says and (line := document.line_of(key)):
            yield line, document.lines[line - 1].strip()
    for key in () if is_made else document.meta:
        text = document.text(key) if folded(key) in _PLACES else ""
        if text and (_is_finished(text, folders) or _WHOLE.fullmatch(text)):
            line = document.line_of(key)
            yield line, document.lines[line - 1].strip()
    for line, title in _titles(document, held):
        if _SIGNED.match(title) or any(
            _is_finished(found["word"], folders)
            for found in (pattern.match(title) for pattern in _TITLES)
            if found
        ):
            yield line, title
    for said in said_in_text(document, keys, headings, ticket.local_id):
        if said.name == "depends_on" or (is_made and said.name == "finished"):
            continue
        dated = said.name == "finished" and _YES.match(said.value)
        if dated or _is_finished(said.value, folders):
            yield said.line, said.text
    boxes = () if is_made else ticket.boxes()
    if boxes and all(box.ticked for box in boxes):
        # what has no box in a list may be open all the same
        demanded = ticket.criteria(own_headings).demanded
        if all(statement.ticked for statement in demanded):
            yield boxes[0].line + 1, f"all boxes are ticked ({len(boxes)})"


def _is_finished(text: str, folders: Folders) -> bool:
    """Whether a text is a word for a finished state; "archive" alone is also a subject."""
    for word in (text, _REMARK.split(text.strip(), maxsplit=1)[0]):
        role = folders.role_of_status(word)
        if role is not None and role.finished:
            return word.strip().casefold() not in ("archive", "complete")
    return False


def _titles(document: Document, held: dict[str, list[str]]) -> Iterator[tuple[int, str]]:
    for key in held.get("title", ()):
        if (title := document.text(key)) and (line := document.line_of(key)):
            yield line, title
    for at, text in lines_outside_code(document.lines[document.body_line - 1 :]):
        if at >= _HEADER:
            return
        if found := parse_heading(text):
            if found[0] == 1:
                yield document.body_line + at, found[1]
            return

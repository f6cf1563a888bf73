"""What reads like a person's approval and is no checkpoint (DESIGN 4.7).

A gate that a person wrote into a workflow is asked or doubted, never passed over: a workflow that
has one which is not understood does not start until USER has said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.headings import heading_words, is_gate, is_personal
from orchestrator.workflow_reader.outline import Outline, Section, read_outline
from orchestrator.workflow_reader.vocabulary import any_of

#: the code of the doubt, by which it is accepted
UNREAD_GATE = "human-gate"

# blanks are escaped: the pattern below is a verbose one
_PERSON, _CONSENT, _PAUSE = (any_of(k).replace(" ", r"\ ") for k in ("person", "consent", "pause"))
_ONLY_WITH = r"(?:requires?|needs?|await(?:s|ing)?|pending|subject\s+to|only\s+(?:after|with|once))"
#: sentences that make whoever follows them wait for a person
_WAITS = re.compile(
    rf"""(?xi)
      \b{_PAUSE}\b [^.;!?]{{0,60}}? \b(?:until|till|for|unless|without|before)\b
      [^.;!?]{{0,60}}? \b(?:{_CONSENT}\b | {_PERSON}\b (?=\s*(?:[.,;:!)]|$)))
    | \b(?:stop|pause|halt)\b [\s_.:!—–-]{{1,6}} [^.;!?]{{0,80}}? \b{_CONSENT}\b
    | \b{_PERSON}\b [^.;!?]{{0,20}}? \b(?:must|has\s+to|have\s+to|needs?\s+to|shall)\b
      \s+ (?:\w+\s+){{0,2}}? {_CONSENT}\b
    | \b{_ONLY_WITH}\b [^.;!?]{{0,30}}? \b{_PERSON}\b [^.;!?]{{0,20}}? \b{_CONSENT}\b
    | \b{_ONLY_WITH}\b [^.;!?]{{0,20}}? \b(?:explicit|manual|written|final)\s+{_CONSENT}\b
    """
)
#: a paragraph, item or quote that is a gate by its first words: **HUMAN GATE:** …
_LABEL = re.compile(rf"\W*(?:{any_of('person')}|manual)\s+{any_of('gate')}\b", re.IGNORECASE)
_LABEL_CAPS = re.compile(r"\W*(?:HUMAN|USER|MANUAL|OWNER) (?:GATE|CHECKPOINT|APPROVAL|REVIEW)\b")


@dataclass(frozen=True)
class UnreadGate:
    """A line that asks for a person's approval outside of every checkpoint."""

    line: int
    words: str
    is_heading: bool = False
    #: named as a gate, in a heading or as the first words
    is_explicit: bool = False
    #: the last line of what stands below it
    last: int = 0


@lru_cache(maxsize=16)
def unread_gates_in(text: str, path: str) -> tuple[UnreadGate, ...]:
    """As `unread_gates`, of a workflow's text: many families begin with the same one."""
    return unread_gates(read_outline(text, path))


def unread_gates(outline: Outline) -> tuple[UnreadGate, ...]:
    """Where a workflow asks for an approval that no checkpoint stands for, in order of lines."""
    return tuple(sorted(_find(outline), key=lambda gate: gate.line))


def _find(outline: Outline) -> Iterator[UnreadGate]:
    by_line = sorted(outline.stages, key=lambda s: s.head.line)
    for section in by_line:
        head = section.head
        if head.is_checkpoint:
            continue
        if is_personal(head.title):
            yield UnreadGate(head.line, f"{head.agent} — {head.title}")
            continue
        asked_after = _leads_to_checkpoint(section, outline.stages)
        for gate in _read(section.body):
            # USER is asked after the stage: that covers what asks for it at its end
            if not asked_after or (gate.is_explicit and gate.last < section.body[-1].end):
                yield gate
    # what stands between two stages may be either's
    for count, between in groupby(
        outline.rest, key=lambda p: sum(s.head.line < p.line for s in by_line)
    ):
        around = by_line[max(count - 1, 0) : count + 1]
        if not any(section.head.is_checkpoint for section in around):
            # before the first stage, sentences speak of the workflow as a whole
            yield from (g for g in _read(tuple(between)) if count or g.is_heading)


def _read(pieces: Sequence[Piece]) -> Iterator[UnreadGate]:
    """The gates among blocks; what stands below a gate's heading is part of it."""
    level = 0
    for at, piece in enumerate(pieces):
        if piece.kind is Kind.HEADING:
            words = heading_words(piece)
            if level and piece.level > level:
                continue
            level = piece.level if is_gate(words) else 0
            if level:
                after = (p for p in pieces[at + 1 :] if p.kind is Kind.HEADING and p.level <= level)
                following = next(after, None)
                last = following.line - 1 if following else pieces[-1].end
                yield UnreadGate(piece.line, words, is_heading=True, is_explicit=True, last=last)
        elif not level and piece.kind not in (Kind.FENCE, Kind.TABLE):
            plain = re.sub(r"[*_`]{1,3}", "", piece.markdown)
            labelled = _LABEL.match(plain) if piece.label or plain.isupper() else None
            labelled = labelled or _LABEL_CAPS.match(plain)
            if found := labelled or _WAITS.search(plain):
                words = " ".join(found.group().split()).lstrip("> -⛔🛑")
                yield UnreadGate(
                    piece.line, words, is_explicit=labelled is not None, last=piece.end
                )


def _leads_to_checkpoint(section: Section, stages: Sequence[Section]) -> bool:
    """Whether USER is asked directly after a stage, or the stages beside it."""
    beside = {section.head.number, *section.head.beside}
    later = [s.head for s in stages if s.head.number > section.head.number]
    later = [h for h in later if not beside & {h.number, *h.beside}]
    return not later or later[0].is_checkpoint

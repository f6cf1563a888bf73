"""Full-text search over a board's tickets, held in memory and kept up with the files.

Five thousand tickets are some ten megabytes of text: looking for a word in all of them takes less
time than an index of words would save, and finds parts of words too.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.domain.id_grammar import folded_id, without_prefix
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.frontmatter_parser import lines_of, locate
from orchestrator.storage.atomic import read
from orchestrator.tickets.ticket import Ticket
from orchestrator.views.filters import natural_key

#: bytes of a ticket that are searched
_MOST = 1_000_000
#: characters of a line that is shown
_EXCERPT = 160
#: what a word weighs by where it is found; in the text each time counts, up to five
_ID, _ID_BEGINS, _TITLE_WORD, _TITLE, _KEY = 100, 60, 30, 20, 15
_MOST_IN_TEXT = 5


@dataclass(frozen=True, slots=True)
class _Text:
    """A ticket's words, folded, and what shows whether its file has changed."""

    stamp: tuple[int, int, int]
    id: str
    title: str
    #: owner, priority and labels
    keys: str
    body: str
    #: the body as it is written, and the lines of the file before it
    written: str
    start: int

    def has(self, word: str) -> bool:
        return word in self.body or word in self.title or word in self.id or word in self.keys


@dataclass(frozen=True)
class Hit:
    """A ticket in which every word was found."""

    ticket: Ticket
    score: int
    _text: _Text
    _words: Sequence[str]

    @property
    def line(self) -> int:
        """The line of the file that has the first word, 0 if none of its text has it."""
        return self._place[0]

    @property
    def excerpt(self) -> str:
        """What of that line is shown."""
        return self._place[1]

    @cached_property
    def _place(self) -> tuple[int, str]:
        return _excerpt(self._text, self._words)


class Search:
    """The texts of tickets as they were when last looked at. Safe to use from threads."""

    def __init__(self) -> None:
        self._texts: dict[str, _Text] = {}
        self._lock = threading.Lock()

    def update(self, tickets: Iterable[Ticket], words: Sequence[str] = ()) -> None:
        """Read the tickets whose files have changed since, and forget those that are gone.

        Of those that are read, only what has all `words` is kept.
        """
        with self._lock:
            texts: dict[str, _Text] = {}
            for ticket in tickets:
                known = self._texts.get(ticket.source)
                stamp = _stamp(ticket)
                if known is None or known.stamp != stamp:
                    known = _read(ticket, stamp, words)
                if known is not None:
                    texts[ticket.source] = known
            self._texts = texts

    def find(
        self,
        query: str,
        tickets: Sequence[Ticket],
        limit: int = 0,
        *,
        look: bool = True,
        once: bool = False,
    ) -> list[Hit]:
        """The tickets that have every word of `query`, the best first, at most `limit` (0: all).

        Words in quotes are looked for together. Case does not matter. `look`: at the files first,
        as `update` does; who is told of every change need not. `once`: for nothing else after it.
        """
        words = split_words(query)
        if not words:
            return []
        if look:
            self.update(tickets, words if once else ())
        texts = self._texts
        scored: list[tuple[int, Ticket]] = []
        for ticket in tickets:
            text = texts.get(ticket.source)
            if text is not None and all(map(text.has, words)):
                scored.append((sum(_score(text, word) for word in words), ticket))
        scored = [each for each in scored if each[0]]
        scored.sort(key=lambda each: natural_key(each[1].id))
        scored.sort(key=lambda each: -each[0])
        shown = scored[:limit] if limit else scored
        return [Hit(t, score, texts[t.source], words) for score, t in shown]


def split_words(query: str) -> list[str]:
    """The words of a query, folded; what is in quotes is one."""
    try:
        words = shlex.split(query.replace("'", "\\'"))
    except ValueError:
        # a quote that is still open: somebody is typing
        words = query.replace('"', " ").split()
    return [folded for word in words if (folded := " ".join(_fold(word).split()))]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _stamp(ticket: Ticket) -> tuple[int, int, int]:
    try:
        stat = os.lstat(ticket.path)
    except OSError:
        return (0, 0, 0)
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(ticket: Ticket, stamp: tuple[int, int, int], words: Sequence[str]) -> _Text | None:
    """A ticket's text; None if it lacks one of `words`."""
    try:
        data = read(ticket.path)[:_MOST]
    except (OSError, OrchestrateError):
        data = b""
    keys = " ".join((ticket.owner, ticket.priority, *ticket.labels))
    id, title, keys = map(_fold, (ticket.id, ticket.title, keys))
    if words:
        # a look at the whole file first: what it lacks, its text lacks too
        whole = _fold(data.decode("utf-8", "surrogateescape"))
        if not all(word in whole or word in title or word in id or word in keys for word in words):
            return None
    lines = lines_of(data)
    block, _ = locate(lines)
    start = block.body if block else 0
    written = "".join(lines[start:])
    return _Text(stamp, id, title, keys, _fold(written), written, start)


def _score(text: _Text, word: str) -> int:
    """How well a ticket fits a word."""
    score = 0
    if word in text.id:
        folded = folded_id(text.id)
        same = folded_id(word) in (folded, without_prefix(folded))
        score += _ID if same else _ID_BEGINS if text.id.startswith(word) else _TITLE
    if (at := text.title.find(word)) >= 0:
        score += _TITLE_WORD if at == 0 or not text.title[at - 1].isalnum() else _TITLE
    if word in text.keys:
        score += _KEY
    at = -1
    for _ in range(_MOST_IN_TEXT):
        if (at := text.body.find(word, at + 1)) < 0:
            break
        score += 1
    return score


def _excerpt(text: _Text, words: Sequence[str]) -> tuple[int, str]:
    """The line of the text that has the first of the words which it has, with its number."""
    at = next((at for word in words if (at := text.body.find(word)) >= 0), -1)
    if at < 0:
        return 0, ""
    above = text.body.count("\n", 0, at)
    line = text.written.split("\n", above + 1)[above]
    return text.start + above + 1, _around(" ".join(line.split()), words)


def _around(line: str, words: Sequence[str]) -> str:
    """The part of a line around the first word, where the line is long."""
    if len(line) <= _EXCERPT:
        return line
    found = (re.search(re.escape(word), line, re.IGNORECASE) for word in words)
    at = next((match.start() for match in found if match), 0)
    begin = max(0, at - _EXCERPT // 3)
    end = begin + _EXCERPT
    return ("…" if begin else "") + line[begin:end].strip() + ("…" if end < len(line) else "")

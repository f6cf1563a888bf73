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
from typing import NamedTuple

from orchestrator.domain.id_grammar import folded_id, without_prefix
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.frontmatter_parser import find_body
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
_NO_STAMP = (0, 0, 0)


class _Words(NamedTuple):
    """What a ticket says, folded."""

    id: str
    title: str
    #: owner, priority and labels
    keys: str
    body: str

    def has(self, word: str) -> bool:
        return word in self.body or word in self.title or word in self.id or word in self.keys

    def score(self, word: str) -> int:
        """How well the ticket fits a word."""
        score = 0
        if word in self.id:
            folded = folded_id(self.id)
            same = folded_id(word) in (folded, without_prefix(folded))
            score += _ID if same else _ID_BEGINS if self.id.startswith(word) else _TITLE
        if (at := self.title.find(word)) >= 0:
            score += _TITLE_WORD if at == 0 or not self.title[at - 1].isalnum() else _TITLE
        if word in self.keys:
            score += _KEY
        at = -1
        for _ in range(_MOST_IN_TEXT):
            if (at := self.body.find(word, at + 1)) < 0:
                break
            score += 1
        return score


@dataclass(frozen=True, slots=True)
class _Text:
    """A ticket's words, and what shows whether its file has changed."""

    stamp: tuple[int, int, int]
    words: _Words
    #: the body as it is written, and the lines of the file before it
    written: str
    start: int


@dataclass(frozen=True)
class Hit:
    """A ticket in which every word was found."""

    ticket: Ticket
    score: int
    _words: Sequence[str]
    #: None: to be read for the line that is shown
    _text: _Text | None = None

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
        return _excerpt(self._text or _read(self.ticket, _NO_STAMP), self._words)


class Search:
    """The texts of tickets as they were when last looked at. Safe to use from threads."""

    def __init__(self) -> None:
        self._texts: dict[str, _Text] = {}
        self._lock = threading.Lock()

    def update(self, tickets: Iterable[Ticket]) -> None:
        """Read the tickets whose files have changed since, and forget those that are gone."""
        with self._lock:
            texts: dict[str, _Text] = {}
            for ticket in tickets:
                known = self._texts.get(ticket.source)
                stamp = _stamp(ticket)
                if known is None or known.stamp != stamp:
                    known = _read(ticket, stamp)
                texts[ticket.source] = known
            self._texts = texts

    def find(
        self, query: str, tickets: Sequence[Ticket], limit: int = 0, *, look: bool = True
    ) -> list[Hit]:
        """The tickets that have every word of `query`, the best first, at most `limit` (0: all).

        Words in quotes are looked for together. Case does not matter. `look`: at the files first,
        as `update` does; who is told of every change need not.
        """
        words = split_words(query)
        if not words:
            return []
        if look:
            self.update(tickets)
        texts = self._texts
        hits = []
        for ticket in tickets:
            text = texts.get(ticket.source)
            if text is not None and all(map(text.words.has, words)):
                hits.append(Hit(ticket, sum(map(text.words.score, words)), words, text))
        return _ranked(hits)[: limit or None]


def search_once(query: str, tickets: Iterable[Ticket]) -> list[Hit]:
    """As `Search().find`, but no text is kept: it is read again for a hit that is shown."""
    words = split_words(query)
    if not words:
        return []
    return _ranked([Hit(t, score, words) for t in tickets if (score := _score(t, words))])


def _ranked(hits: list[Hit]) -> list[Hit]:
    """The best first."""
    found = sorted((h for h in hits if h.score), key=lambda hit: natural_key(hit.ticket.id))
    return sorted(found, key=lambda hit: -hit.score)


def split_words(query: str) -> list[str]:
    """The words of a query, folded; what is in quotes is one."""
    try:
        words = shlex.split(query.replace("'", "\\'"))
    except ValueError:
        # a quote that is still open: somebody is typing
        words = query.replace('"', " ").split()
    return [folded for word in words if (folded := " ".join(_fold(word).split()))]


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).casefold()


def _stamp(ticket: Ticket) -> tuple[int, int, int]:
    try:
        stat = os.lstat(ticket.file)
    except OSError:
        return _NO_STAMP
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _data(ticket: Ticket) -> bytes:
    try:
        return read(ticket.file)[:_MOST]
    except (OSError, OrchestrateError):
        return b""


def _words_of(ticket: Ticket, body: str, words: Sequence[str] | None = None) -> _Words:
    """What a ticket says; `words`: labels that have none of them may be left out."""
    keys = f"{ticket.owner} {ticket.priority}"
    # a word of several may begin in one key and end in the next
    if words is None or any(" " in word or ticket.may_have_label(word) for word in words):
        keys = " ".join((keys, *ticket.labels))
    return _Words(_fold(ticket.id), _fold(ticket.title), _fold(keys), body)


def _read(ticket: Ticket, stamp: tuple[int, int, int]) -> _Text:
    data = _data(ticket)
    begin, above = find_body(data)
    written = data[begin:].decode("utf-8", "surrogateescape")
    return _Text(stamp, _words_of(ticket, _fold(written)), written, above)


def _score(ticket: Ticket, words: Sequence[str]) -> int:
    """How well a ticket fits all words; 0 if it lacks one of them."""
    data = _data(ticket)
    whole = _fold(data.decode("utf-8", "surrogateescape"))
    # a look at the whole file first: what it lacks, its text lacks too
    if not all(word in whole for word in words) and not all(
        map(_words_of(ticket, whole, words).has, words)
    ):
        return 0
    begin, _ = find_body(data)
    # only what is ASCII has as many signs as bytes
    plain = len(whole) == len(data) and data.isascii()
    body = whole[begin:] if plain else _fold(data[begin:].decode("utf-8", "surrogateescape"))
    said = _words_of(ticket, body, words)
    return sum(map(said.score, words)) if all(map(said.has, words)) else 0


def _excerpt(text: _Text, words: Sequence[str]) -> tuple[int, str]:
    """The line of the text that has the first of the words which it has, with its number."""
    body = text.words.body
    at = next((at for word in words if (at := body.find(word)) >= 0), -1)
    if at < 0:
        return 0, ""
    above = body.count("\n", 0, at)
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

"""Which key of a ticket says what. The words are data: `keys.toml` (DESIGN 4.8)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from orchestrator.markdown.near_misses import folded

#: what a ticket says → its keys, the one that counts most first
KEYS: Mapping[str, Sequence[str]] = tomllib.loads(
    Path(__file__).with_name("keys.toml").read_text(encoding="utf-8")
)
#: the keys that hold an id and nothing else
ID_KEYS = tuple(KEYS["id"])


class KeyTable:
    """Tells what a key means, whatever its case and separators; `own` are the workspace's."""

    def __init__(self, own: Sequence[tuple[str, str]] = ()) -> None:
        known = {folded(key): name for name, keys in KEYS.items() for key in keys}
        self._names = known | {folded(key): name for key, name in own}
        self._begins = {key[:end] for key in self._names for end in range(len(key) + 1)}
        self._rank = {key: rank for rank, key in enumerate(self._names)}

    def name_of(self, key: str) -> str:
        """What the key says (`depends_on` for `blockedBy`), "" if it is none of the known."""
        return self._names.get(folded(key), "")

    def may_begin(self, word: str) -> bool:
        """Whether a key may begin with this word."""
        return folded(word) in self._begins

    def found_in(self, meta: Mapping[str, Any]) -> dict[str, list[str]]:
        """What is said → the keys that say it, as they are written, the one that counts first."""
        found: dict[str, list[str]] = {}
        for key in meta:
            if isinstance(key, str) and (name := self.name_of(key)):
                found.setdefault(name, []).append(key)
        # a key in the very spelling of the table comes before its likes
        for name, keys in found.items():
            if len(keys) > 1:
                keys.sort(key=partial(self._order, name))
        return found

    def _order(self, name: str, key: str) -> tuple[bool, int]:
        return key != name, self._rank[folded(key)]

    def words(self) -> Iterator[tuple[str, str]]:
        """(key without separators, what it says), of all keys that are known."""
        return iter(self._names.items())


@lru_cache(maxsize=8)
def key_table(own: tuple[tuple[str, str], ...] = ()) -> KeyTable:
    """The table with the workspace's own keys."""
    return KeyTable(own)

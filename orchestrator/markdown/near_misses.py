"""Which known word a misspelt one was meant to be."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache


def distance(one: str, other: str) -> int:
    """How many letters were left out, added, exchanged or swapped with the next one."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, older[j - 2] + 1)
            row.append(best)
    return row[-1]


@lru_cache(maxsize=16_384)
def folded(word: str) -> str:
    """A word without case, hyphens, underscores and spaces: `dependsOn` is `depends_on`."""
    return re.sub(r"[\W_]+", "", word).casefold()


def meant(word: str, known: Collection[str]) -> str:
    """The one known word that `word` was meant to be, "" if it is none or too far from all.

    A long word may have two wrong letters, a short one a single one, and the first has to be right:
    a person's own words look like known ones by chance.
    """
    near = []
    for each in known:
        if each == word or folded(each)[:1] != folded(word)[:1]:
            continue
        far = distance(folded(word), folded(each))
        if far <= (2 if len(folded(each)) > 8 else 1):
            near.append((far, each))
    return min(near)[1] if near else ""

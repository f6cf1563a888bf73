"""128-bit ids of feature values, a hash of what makes a value unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii

import numpy as np
import numpy.typing as npt
from pandas.util import hash_array

from backend.synthetic.generators.dates import Text
from backend.synthetic.generators.draws import Ints, objects

Words = npt.NDArray[np.uint64]

_HASH_KEYS = ("feature-values-1", "feature-values-2")

# Constants of SplitMix64 (Steele, Lea, Flood 2014)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def canonical(columns: Mapping[str, Text]) -> list[str]:
    """Every row of the columns as JSON with sorted keys and no spaces."""
    parts = [
        [
            f"{encode_basestring_ascii(key)}:{encode_basestring_ascii(value)}"
            for value in columns[key]
        ]
        for key in sorted(columns)
    ]
    return ["{" + ",".join(row) + "}" for row in zip(*parts, strict=True)]


def text_hashes(texts: Sequence[str]) -> Words:
    """(n, 2) words: two SipHashes of every text under fixed keys."""
    array = objects(texts)
    halves = [hash_array(array, hash_key=key, categorize=False) for key in _HASH_KEYS]
    return np.column_stack(halves)


def value_ids(feature: Words, entities: Words, times: Ints) -> Text:
    """Ids written like UUIDs, of (2,) feature words, (n, 2) entity words and n timestamps."""
    when = times.astype(np.uint64)
    words = np.empty((len(times), 2), dtype=np.uint64)
    for half in (0, 1):
        mixed = _mixed(feature[half] ^ entities[:, half])
        # the other half of both hashes goes in too, so that all 128 bits decide
        mixed = _mixed(mixed + entities[:, 1 - half] * _SECOND + feature[1 - half])
        words[:, half] = _mixed(mixed ^ (when + np.uint64(half)) * _GAMMA)
    return _as_uuids(words)


def _mixed(words: Words) -> Words:
    """The bijective finish of SplitMix64, on words that may overflow."""
    words = words + _GAMMA
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def _as_uuids(words: Words) -> Text:
    digits = words.astype(">u8").tobytes().hex()
    starts = range(0, len(digits), 32)
    return objects(
        [
            f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-{digits[i + 12 : i + 16]}"
            f"-{digits[i + 16 : i + 20]}-{digits[i + 20 : i + 32]}"
            for i in starts
        ]
    )

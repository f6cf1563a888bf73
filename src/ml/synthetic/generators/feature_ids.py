"""128-bit ids of feature values, a hash of what makes a value unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii

import numpy as np
import numpy.typing as npt
from pandas.util import hash_array

from src.ml.synthetic.generators.dates import Text
from src.ml.synthetic.generators.draws import Ints, objects

Words = npt.NDArray[np.uint64]

_HASH_KEYS = ("feature-values-1", "feature-values-2")

# Constants of SplitMix64 (Steele, Lea, Flood 2014)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

_UUID_LENGTH = 36
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_DIGITS = [place for place in range(_UUID_LENGTH) if place not in (8, 13, 18, 23)]
_HIGH_DIGITS, _LOW_DIGITS = _DIGITS[::2], _DIGITS[1::2]


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
    """The hex digits of two words a row, in groups of 8, 4, 4, 4 and 12."""
    octets = words.astype(">u8").view(np.uint8).reshape(-1, 16)
    letters = np.full((len(words), _UUID_LENGTH), ord("-"), dtype=np.uint8)
    letters[:, _HIGH_DIGITS] = _HEX[octets >> 4]
    letters[:, _LOW_DIGITS] = _HEX[octets & 15]
    # one long text, cut with one slice a row
    text = letters.tobytes().decode("ascii")
    return objects([text[i : i + _UUID_LENGTH] for i in range(0, len(text), _UUID_LENGTH)])

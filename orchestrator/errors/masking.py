"""What may be written and shown of a text that others made: no keys, nothing that steers or hides.

A key is the value of a variable that is named like one, a password in an address, and whatever else
was handed to a child (`hand_out`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "***"
#: names of variables whose values are keys
_KEY_NAME = re.compile(
    r"key|token|secret|passw|passphrase|credential|(?:^|_)(?:auth|pwd|pat|pass|dsn)(?:_|$)"
    r"|webhook|^database_url$|^orchestrate_notify_urls$",
    re.IGNORECASE,
)
_QUERY_KEY = re.compile(r"key|token|secret|passw|pwd|sig(?:nature)?$|auth", re.IGNORECASE)
#: values that no name makes a key: a word, a number, a place, a language
_PLAIN = re.compile(
    r"[A-Za-z]+|[\d.,:]+|[~./\\].*|[a-z]{2}_[A-Z]{2}(?:\.[\w-]+)?|https?://[^\s@?]*|[a-z]:\\.*"
)
#: keys by their form, wherever they come from
_KEY_FORMS = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{12,}|AIza[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
#: a text that has none of these has no such key
_KEY_BEGINS = (
    *("sk-", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("xox", "AKIA", "eyJ", "-----BEGIN "),
)
_DSN_PASSWORD = re.compile(r"\bpassword\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']\S*)", re.IGNORECASE)
_SHORTEST = 6
#: controls but tab and line end, C1, marks of direction, what takes no place, lone surrogates; two
#: joiners belong to scripts and emoji
_STEERING = re.compile(
    r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b"
    r"\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    r"|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
#: colors
_PAINT = re.compile(r"\x1b\[[\d;]*m")
_handed_out: set[str] = set()


# -- keys ------------------------------------------------------------------------------------------


def hand_out(*values: str) -> None:
    """Values that a child is given, or that settings hold: they are keys from now on."""
    _handed_out.update(value for value in values if not _is_plain(value))


def mask(text: str, *, forms: bool = True) -> str:
    """Text without keys: as they are, in parts of addresses, encoded or quoted.

    `forms`: and without what has the form of a key, wherever it comes from.
    """
    if pattern := _pattern(_environment(), len(_handed_out)):
        text = pattern.sub(MASK, text)
    if forms:
        for begin in _KEY_BEGINS:
            if begin in text:
                return _KEY_FORMS.sub(MASK, text)
    return text


def mask_all(data: Any) -> Any:
    """The same for all texts in a structure of mappings and lists; their names stay."""
    match data:
        case str():
            return mask(data)
        case Mapping():
            return {key: mask_all(value) for key, value in data.items()}
        case list() | tuple():
            return [mask_all(value) for value in data]
    return data


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that hold keys."""
    return {name: value for name, value in environment.items() if not _is_key(name, value)}


def _is_key(name: str, value: str) -> bool:
    if _KEY_NAME.search(name) and not _is_plain(value):
        return True
    return "://" in value and "@" in value and bool(_passwords(value))


def _is_plain(value: str) -> bool:
    return len(value) < _SHORTEST or bool(_PLAIN.fullmatch(value))


def _environment() -> tuple[tuple[bytes, bytes], ...]:
    # asked for every line that is written; `environb` checks and copies each variable again
    held: Mapping[bytes, bytes] = getattr(os.environ, "_data", os.environb)
    return tuple(held.items())


@lru_cache(maxsize=4)
def _pattern(_environment: tuple[tuple[bytes, bytes], ...], _of: int) -> re.Pattern[str] | None:
    """What finds all keys; the arguments say whether it is still the same."""
    held = {*_handed_out, *(v for n, v in os.environ.items() if _is_key(n, v))}
    found = {form for value in held for part in _parts(value) for form in _forms(part)}
    # the longest first: a part of a key must not be masked before the whole
    forms = sorted((f for f in found if len(f) >= _SHORTEST), key=len, reverse=True)
    if not forms:
        return None
    begins = "".join(sorted({re.escape(form[0]) for form in forms}))
    return re.compile(f"(?=[{begins}])(?:{'|'.join(map(re.escape, forms))})")


def _parts(value: str) -> Iterator[str]:
    """A value, and the keys in it."""
    yield value.strip()
    yield from (line for line in value.split() if len(line) >= 16)
    for address in value.split():
        yield from _passwords(address)
    for found in _DSN_PASSWORD.findall(value):
        yield found.strip("'")


def _passwords(address: str) -> tuple[str, ...]:
    """Who signs in by an address, and with what."""
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return ()
    place, _, _ = parts.netloc.rpartition("@")
    user, _, password = place.partition(":")
    found = [value for name, value in parse_qsl(parts.query) if _QUERY_KEY.search(name)]
    if password:
        found += [place, unquote(place)]
        # a word that many texts have is a password only behind its user
        found += [] if _is_plain(password) else [password, unquote(password)]
    elif user and not _is_plain(user) and parts.scheme not in ("ssh", "git"):
        found.append(user)
    return tuple(found)


def _forms(part: str) -> Iterator[str]:
    """How a key looks where it is encoded or quoted."""
    import base64
    import html

    data = part.encode("utf-8", "surrogateescape")
    yield part
    with contextlib.suppress(UnicodeError):
        for encoded in (quote(part, safe=""), quote(part), quote_plus(part)):
            yield from (encoded, re.sub(r"%..", lambda m: m[0].lower(), encoded))
    yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
    yield from (repr(part)[1:-1], html.escape(part), html.escape(part, quote=False))
    yield from (data.hex(), data.hex().upper())
    for ahead in range(3):
        # the digits that do not depend on what stands around it
        digits = base64.b64encode(bytes(ahead) + data)
        core = digits[(0, 2, 3)[ahead] : (ahead + len(data)) * 8 // 6].decode()
        if len(core) >= _SHORTEST + 2:
            yield from (core, core.replace("+", "-").replace("/", "_"))


def hide_environment() -> None:
    """Take the environment out of this process's memory where others of the same user read it.

    `/proc/PID/environ` is then empty, and (but for root) nobody may look into this process. What
    Python and the C library know of it stays. Linux only.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - at every start
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[47]), int(fields[48])
        for name, value in os.environ.items():
            # the C library keeps a copy of its own
            os.putenv(name, value)
        if 0 < start < end < start + (1 << 24):
            ctypes.memset(start, 0, end - start)
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


# -- characters ------------------------------------------------------------------------------------


def _is_plain_ascii(text: str) -> bool:
    """A look at a text first, which may be that of a whole board: whether nothing in it steers."""
    return text.isascii() and (text.isprintable() or text.replace("\n", "").isprintable())


def visible(text: str) -> str:
    """Text without colors, with characters named that steer, turn a direction or hide."""
    if _is_plain_ascii(text):
        return text
    return _STEERING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", _PAINT.sub("", text))


def visible_json(text: str) -> str:
    """JSON that means the same, with such characters escaped."""
    if _is_plain_ascii(text):
        return text
    return _STEERING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def sanitize(text: str) -> str:
    """What may be shown of a text: `mask` and `visible`."""
    return visible(mask(text))

"""What ticket ids look like: in file names, in frontmatter, in the text of workflows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

ID_KEYS = ("id", "work_order_id", "wo")

_NUMBER = r"\d+(?:\.\d+|-\d{3,}|-?[A-Za-z])?(?=[-_. ]|$)"
_AT_START = re.compile(
    rf"(?:(?:WO|GO)[-_](?:{_NUMBER}|EPIC-\d+"
    r"|[A-Z](?:\d+[a-z]?|[A-Z]{1,3}\d+[a-z])(?=[-_. ]|$)"
    r"|[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*(?=[-_. ]|$))"
    rf"|[A-Z][A-Z0-9]*-{_NUMBER})"
)
#: in a workflow's text: `WO-231`, `WO-231a`, `GO-77.1`, `WO-CALENDAR-EXPORT`; other prefixes need
#: a number of two digits, or UTF-8 would be a ticket
TICKET_ID = re.compile(
    r"(?<![\w/-])(?:(?:WO|GO)[-_](?:\d+(?:\.\d+|-\d{2,}|-?[A-Za-z])?|[A-Z]\d+[a-z]?|[A-Z]{2,4}\d+[a-z]"
    r"|EPIC-\d+|[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*)|[A-Z][A-Z0-9]{1,9}-\d{2,}[a-z]?)(?![A-Za-z0-9])"
)
#: in a key that lists tickets, where every word of that shape is one
_IN_FIELD = re.compile(r"\b[A-Z][A-Z0-9]*[-_](?:\d\w*|(?<=[WG]O[-_])[A-Z]\w*)(?:[.-]\w+)*")
_WITH_ROLE = re.compile(rf"(?P<id>{_IN_FIELD.pattern})(?: ?\( ?(?P<role>[A-Z][A-Z_]+)\b)?")
#: an id becomes part of file names
_USABLE = re.compile(r"[^\W_][\w.-]{0,79}")
_PLACEHOLDER = re.compile(r"[A-Z]+[-_](?:N{2,}|X{2,}|#+)[a-z]?")
_RANGE = re.compile(r"\w+?[-_]\d{3,}-\d{3,}(?=\D|\Z)")
_CHILD_SUFFIX = re.compile(r"(?<=\d)(?:-?[A-Za-z]|\.\d+)\Z")
#: a longer number is a date, or somebody's joke
_SERIAL = re.compile(
    r"[A-Z][A-Z0-9]*[-_](?:EPIC-)?(?P<letters>[A-Z]{0,4})(?P<number>\d{1,6})(?!\d)"
    r"(?:-(?P<last>\d{3,6})(?!\d))?"
)
_LETTERED = re.compile(r"[A-Z][A-Z0-9]*[-_][A-Z]")
#: without a child's letter: its children get letters
_PARENT = re.compile(r"[A-Z]+[-_][A-Z]{0,4}\d+")
_ID_LINE = re.compile(
    rb"^(?:" + "|".join(ID_KEYS).encode() + rb""")[ \t]*:[ \t]*["']?([^\s"'#]{1,80})""", re.M
)


def is_usable_id(text: str) -> bool:
    """Whether a ticket may have this id at all."""
    return _USABLE.fullmatch(text) is not None


def folded_id(text: str) -> str:
    """An id without what people leave out: case, `_` for `-`, zeros before the number."""
    plain = unicodedata.normalize("NFC", text.strip()).casefold().replace("_", "-")
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)


def without_prefix(folded: str) -> str:
    """A folded id from its number on: `8a` for `wo-8a`."""
    return re.sub(r"\A[a-z][a-z0-9]*-(?=\d)", "", folded)


def is_placeholder(id: str) -> bool:
    """Whether the id is a template's: `WO-NNN`."""
    return _PLACEHOLDER.fullmatch(id) is not None


def is_range(id: str) -> bool:
    """Whether the id covers several numbers: `WO-940-943-EPIC`."""
    return _RANGE.match(id) is not None


def is_field_id(text: str) -> bool:
    """Whether the whole text is one id, as keys like `depends_on` list them."""
    return _IN_FIELD.fullmatch(text) is not None


def id_from_name(name: str) -> str:
    """The id that a file name begins with, "" if none: `WO-231b_Slug.md` is WO-231b."""
    found = _AT_START.match(unicodedata.normalize("NFC", name))
    return found.group() if found else ""


def id_from_head(head: bytes) -> str:
    """The id in the first bytes of a ticket's file, "" if none."""
    found = _ID_LINE.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


def ids_in(text: str) -> tuple[str, ...]:
    """The ids that a workflow's text names, each once, in order."""
    return tuple(dict.fromkeys(TICKET_ID.findall(text)))


def ids_in_field(text: str) -> tuple[str, ...]:
    """The ids in the text of a key that lists tickets, each once, in order."""
    return tuple(dict.fromkeys(_IN_FIELD.findall(text)))


def ids_with_roles(text: str) -> Iterator[tuple[str, str]]:
    """(id, role) for each id in such a text: `WO-231a (SOOP)`; the role may be ""."""
    return ((found["id"], found["role"] or "") for found in _WITH_ROLE.finditer(text))


def without_child_suffix(id: str) -> str:
    """The id that a child's id is derived from: WO-231 for WO-231a, WO-231-b and WO-231.1."""
    return _CHILD_SUFFIX.sub("", id)


def can_have_lettered_children(id: str) -> bool:
    """Whether a letter behind the id makes a child's id (not WO-231a, WO-CALENDAR)."""
    return _PARENT.fullmatch(id) is not None


def has_letters(name: str) -> bool:
    """Whether letters precede the number, as in the ids of clones: `WO-KDRT7`."""
    return _LETTERED.match(name) is not None


def numbers_in(name: str) -> Iterator[tuple[str, int]]:
    """(letters, number) for each number that an id or a file's name takes: both ends of a range."""
    found = _SERIAL.match(id_from_name(name) or name)
    for number in found.group("number", "last") if found else ():
        if found and number:
            yield found["letters"], int(number)

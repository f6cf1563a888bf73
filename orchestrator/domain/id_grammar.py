"""What ticket ids look like: in file names, in frontmatter, in the text of workflows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from orchestrator.domain.keys import ID_KEYS

#: behind the prefix: `231`, `231b`, `928.1`, `265.10.01`, `928-C`, a range `940-943`; a letter
#: before further words is one of them (`OPS-057-a-scan-of-x` is OPS-057, no child of it)
_NUMBER = r"\d+(?:\.\d+)*(?:-\d{3,}|[A-Za-z]|-[A-Za-z](?=[_.:)\]]|$))?(?=[-_. :)\]]|$)"
#: prefixes of one or several words: `CORE-CONF-`
_WORDS = r"(?:[A-Z][A-Z0-9]*[-_])+"
#: without a hyphen: `WP01`, `T007`
_GLUED = r"(?:[A-Z]{2,5}\d{2,6}|[A-Z]\d{3,6})"
_LETTERED_ID = (
    r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?=[-_. :)\]]|$)"
    rf"|(?:WO|GO)[-_](?:{_NUMBER}|EPIC-\d+"
    r"|[A-Z](?:\d+[a-z]?|[A-Z]{1,3}\d+[a-z])(?=[-_. :]|$)"
    r"|(?!(?:[A-Z][A-Z0-9]*-)+\d{2})[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*(?=[-_. :]|$))"
    rf"|{_WORDS}\d+(?:-[A-Z]{{2,}}-?\d+)+(?=[-_. :)\]]|$)|{_WORDS}{_NUMBER}"
    rf"|{_GLUED}[a-z]?(?=[-_. :]|$)"
    rf"|[a-z][a-z0-9]{{0,11}}[-_]{_NUMBER}"
    # as tools draw them: `nw-5c46`, `bd-a3f8.1`
    r"|[a-z][a-z0-9]{0,11}-(?=[a-z]*\d)[0-9a-z]{4,8}(?:\.\d+)*(?=[-_. :]|$))"
)
_PLAIN_NUMBER = r"(?!\d{4}-\d\d(?!\d))\d{1,6}(?:\.\d+)*(?=[-_. ]|$)"
_DATE = r"\d{4}-\d\d-\d\d(?!\d)"
#: a file may be named after its day, or by the number alone
_AT_START = re.compile(rf"(?:{_DATE}[-_ ]+)?(?P<id>{_LETTERED_ID}|{_PLAIN_NUMBER})")
_IN_TITLE = re.compile(rf"[\[(]?(?P<id>{_LETTERED_ID})[\])]?\s*(?:[:—–|]|-\s|\Z)")
#: in a workflow's text: `WO-231`, `WO-231a`, `GO-77.1`, `WO-CALENDAR-EXPORT`; other prefixes need
#: a number of two digits, or UTF-8 would be a ticket
TICKET_ID = re.compile(
    r"(?<![\w/-])(?:(?:WO|GO)[-_](?:\d+(?:(?:\.\d+)+|-\d{2,}|[A-Za-z]|-[A-Za-z](?!-\w))?"
    r"|[A-Z]\d+[a-z]?|[A-Z]{2,4}\d+[a-z]"
    r"|EPIC-\d+|[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*)"
    r"|(?:[A-Z][A-Z0-9]{1,9}-)+\d{2,}(?:\.\d+)*[a-z]?)(?![A-Za-z0-9])"
)
#: in a key that lists tickets, where every word of that shape is one
_IN_FIELD = rf"\b(?:{_WORDS}\d\w*|(?:WO|GO)[-_][A-Z]\w*)(?:[.-]\w+)*"
#: … and an item that is nothing but one word with a number in it, or as tools draw them
_ITEM = re.compile(rf"(?!{_DATE})(?:(?=[\w.-]*\d)[^\W_]\w*(?:[.-]\w+)*|[a-z]{{1,8}}-[0-9a-f]{{4}})")
_ROLE = re.compile(r" ?\( ?(?P<role>[A-Z][A-Z_]+)\b")
#: an id becomes part of file names
_USABLE = re.compile(r"[^\W_][\w.-]{0,79}")
_PLACEHOLDER = re.compile(r"[A-Z]+[-_](?:N{2,}|X{2,}|#+)[a-z]?")
_RANGE = re.compile(r"\w+?[-_]\d{3,}-\d{3,}(?=\D|\Z)")
_CHILD = re.compile(
    r"(?P<parent>(?:.*[-_])?[A-Z]{0,5}\d+(?:\.\d+)*)(?:-?[A-Za-z]|\.\d+)", re.DOTALL
)
#: a longer number is a date, or somebody's joke
_SERIAL = re.compile(
    r"[A-Z][A-Z0-9]*[-_](?:EPIC-)?(?P<letters>[A-Z]{0,4})(?P<number>\d{1,6})(?!\d)"
    r"(?:-(?P<last>\d{3,6})(?!\d))?"
)
_LETTERED = re.compile(r"[A-Z][A-Z0-9]*[-_][A-Z]")
#: without a child's letter: its children get letters
_PARENT = re.compile(r"[A-Z]+[-_][A-Z]{0,4}\d+")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_ID_LINE = re.compile(
    rb"^(?:" + "|".join(ID_KEYS).encode() + rb""")[ \t]*:[ \t]*["']?([^\s"'#]{1,80})""",
    re.M | re.I,
)


def is_usable_id(text: str) -> bool:
    """Whether a ticket may have this id at all."""
    return _USABLE.fullmatch(text) is not None


@lru_cache(maxsize=65_536)
def folded_id(text: str) -> str:
    """An id without what people leave out: case, `_` for `-`, zeros before the number."""
    plain = unicodedata.normalize("NFC", text.strip()).casefold().replace("_", "-")
    return _ZEROS.sub("", plain) if "0" in plain else plain


def without_prefix(folded: str) -> str:
    """A folded id from its number on: `8a` for `wo-8a`."""
    return re.sub(r"\A[a-z][a-z0-9]*-(?=\d)", "", folded)


def is_placeholder(id: str) -> bool:
    """Whether the id is a template's: `WO-NNN`."""
    return _PLACEHOLDER.fullmatch(id) is not None


def is_range(id: str) -> bool:
    """Whether the id covers several numbers: `WO-940-943-EPIC`."""
    return _RANGE.match(id) is not None


def prefix_of(id: str) -> str:
    """What precedes the number of an id, whatever its case: `task` for TASK-15."""
    return re.split(r"[-_]?\d", id, maxsplit=1)[0].casefold()


def is_id(text: str) -> bool:
    """Whether the whole text has the shape of an id: `TASK-015`, not `Write the page` or 15."""
    return re.fullmatch(_LETTERED_ID, text) is not None


def id_from_name(name: str) -> str:
    """The id that a file name begins with, "" if none: `WO-231b_Slug.md` is WO-231b."""
    found = _AT_START.match(unicodedata.normalize("NFC", name))
    return found["id"] if found else ""


def id_in_title(title: str) -> str:
    """The id that a title begins with, "" if none: `OPS-57: a scan` is about OPS-57."""
    found = _IN_TITLE.match(unicodedata.normalize("NFC", title.strip()))
    return found["id"] if found else ""


def agree(id: str, other: str) -> bool:
    """Whether two spellings are one id: `task-15` and `TASK-015`, `15` and `TASK-15`."""
    one, two = folded_id(id), folded_id(other)
    return one == two or without_prefix(one) == two or one == without_prefix(two)


def is_named_after(name: str, id: str) -> bool:
    """Whether a file's name, as far as it names a ticket at all, names the one with this id."""
    named = id_from_name(name)
    extends = id.startswith((f"{named}-", f"{named}_"))
    return not named or extends or agree(named, id) or begins_with(name, id)


def begins_with(name: str, id: str) -> bool:
    """Whether a file's name begins with this very id, in whatever spelling."""
    stem = folded_id(re.sub(rf"\A{_DATE}[-_ ]+", "", name))
    return re.match(rf"{re.escape(folded_id(id))}(?![^\W_])", stem) is not None


def id_from_head(head: bytes) -> str:
    """The id in the first bytes of a ticket's file, "" if none."""
    found = _ID_LINE.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


def ids_in(text: str) -> tuple[str, ...]:
    """The ids that a workflow's text names, each once, in order."""
    return tuple(dict.fromkeys(TICKET_ID.findall(text)))


@lru_cache(maxsize=64)
def _field(like: str) -> re.Pattern[str]:
    """What is an id in the text of a key that lists tickets, also with the prefix of `like`."""
    prefix = re.match(r"[A-Za-z]+(?:[-_][A-Za-z]+)*(?=[-_]?\w*\d)", like)
    if prefix is None:
        return re.compile(_IN_FIELD)
    own = rf"\b(?i:{re.escape(prefix.group())})[-_]?(?=[a-z]*\d)\w+(?:\.\d+)*"
    return re.compile(rf"{_IN_FIELD}|{own}")


def is_field_id(text: str, like: str = "") -> bool:
    """Whether the whole text is one id, as keys like `depends_on` list them."""
    bare = text.strip("[]#`")
    return (_field(like).fullmatch(bare) or _ITEM.fullmatch(bare)) is not None


@lru_cache(maxsize=256)
def ids_in_field(text: str, like: str = "") -> tuple[str, ...]:
    """The ids in the text of a key that lists tickets, each once, in order.

    `like` is an id of the same board: what has its prefix is one in any case of letters.
    """
    return tuple(dict.fromkeys(id for id, _ in ids_with_roles(text, like)))


def ids_with_roles(text: str, like: str = "") -> Iterator[tuple[str, str]]:
    """(id, role) for each id in such a text: `WO-231a (SOOP)`; the role may be ""."""
    if is_field_id(text, like):
        yield text.strip("[]#`"), ""
        return
    for found in _field(like).finditer(text):
        role = _ROLE.match(text, found.end())
        yield found.group(), role["role"] if role else ""


def without_child_suffix(id: str) -> str:
    """The id that a child's id is derived from: WO-231 for WO-231a, WO-231-b and WO-231.1."""
    found = _CHILD.fullmatch(id)
    return found["parent"] if found else id


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

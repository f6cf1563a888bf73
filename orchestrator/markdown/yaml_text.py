"""Safely loaded YAML: what most blocks of keys hold is read without YAML's reader."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from typing import Any

REFUSED = "too large, nested too deep, or with aliases"
#: what may nest or refer: more than a few of these and the events are looked at first
_STRUCTURE = re.compile(r"[\[{]|[-?] |\s[&*]\w|^[&*]\w", re.MULTILINE)
_FEW, _DEEPEST, _LARGEST = 200, 50, 1 << 18
#: texts that every YAML reader takes for themselves
_PLAIN = re.compile(r"[A-Za-z]\w*(?:[ /.-]\w+)*\Z", re.ASCII)
#: a line of a block that is read without YAML's reader
_SIMPLE = re.compile(
    r"""(?P<key>[A-Za-z_]\w*):[ ]
    (?:(?P<number>0|[1-9]\d{0,8})|(?P<day>\d{4}-\d\d-\d\d)|"(?P<quoted>[ !#-[\]-~]*)"
    |\[(?P<items>[\w ,./-]*)\]|(?P<text>\w[\w ./-]*))\n""",
    re.ASCII | re.VERBOSE,
)
#: a folder: `03_BUILD`
_NUMBERED = re.compile(r"\d+_[A-Z][A-Z_]*\Z")
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}


def is_plain(text: str) -> bool:
    """Whether a text may be in YAML without quotes; False for some that may."""
    return _PLAIN.match(text) is not None and text.lower() not in _WORDS


def load(text: str) -> tuple[Any, str]:
    """Safely loaded YAML, or None and why not."""
    if (simple := _load_simple(text)) is not None:
        return simple, ""
    import yaml

    try:
        if not _is_harmless(text):
            return None, REFUSED
        return yaml.load(text, Loader=_loader()), ""  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as exc:
        return None, str(exc).splitlines()[0]


def _load_simple(text: str) -> dict[str, Any] | None:
    """What most blocks are, at a tenth of the time: keys with words, days, numbers or a list.

    None for all that YAML may take for something else.
    """
    found: dict[str, Any] = {}
    at = 0
    while at < len(text):
        line = _SIMPLE.match(text, at)
        if line is None or line["key"].lower() in _WORDS or len(text) > _LARGEST:
            return None
        at, kind = line.end(), line.lastgroup or ""
        value: Any = line[kind]
        if kind == "number":
            value = int(value)
        elif kind == "day":
            try:
                value = date.fromisoformat(value)
            except ValueError:
                return None
        elif kind == "items":
            value = [item.strip(" ") for item in value.split(",")] if value.strip(" ") else []
            if not all(map(is_plain, value)):
                return None
        elif kind == "text" and not is_plain(value) and _NUMBERED.match(value) is None:
            return None
        found[line["key"]] = value
    return found or None


@cache
def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _is_harmless(text: str) -> bool:
    """Whether it may be loaded: deep nesting crashes the C loader, aliases grow without bound."""
    if len(text) > _LARGEST:
        return False
    marks = _STRUCTURE.findall(text)
    if len(marks) < _FEW and not any("&" in mark or "*" in mark for mark in marks):
        return True
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
            return False
    return True

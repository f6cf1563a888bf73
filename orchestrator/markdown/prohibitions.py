""" "Do NOT …": which lines of a ticket and which sentences of a workflow forbid something."""

from __future__ import annotations

import re

_REASON = re.compile(r"\s+(?:[—–-]|--)\s+.*", re.DOTALL)
#: a ticket's line, behind its list marker
_LINE = re.compile(
    r"\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)?(?P<text>(?:\*\*|__)?do(?:es)? not\b.*)", re.IGNORECASE
)
_SENTENCE = re.compile(
    r"[*_]*(?:(?:do|must|may)\s+not|don't|never)\b"
    r"|[*_]*[A-Z][A-Z_]+[*_]*\s+(?:must|may|shall)\s+(?:not|never)\b",
    re.IGNORECASE,
)

#: other words at the beginning of a line that forbid something
_OTHER_WORDS = re.compile(
    r"(?:never|don['’]t|under no circumstances|in no case|at no (?:time|point)|on no account"
    r"|no ?(?:one|body) (?:may|must|should)|refrain from"
    r"|(?:leave|keep)\s.{1,80}\s(?:alone|as (?:it|they) (?:is|are)|untouched|unchanged|intact)"
    r"|(?:[\w`*_./-]+\s+){1,4}?(?:must|has to|have to|shall|should)\s+"
    r"(?:stay|remain|be (?:kept|left))\s+(?:as|alone|untouched|unchanged|intact|the same)"
    r"|(?:[\w`*_./-]+\s+){1,4}?(?:(?:must|may|shall)\s+(?:not|never)|mustn['’]t))\b",
    re.IGNORECASE,
)


def forbids_otherwise(text: str) -> bool:
    """Whether a line forbids something in other words than "Do not": it is not read as such."""
    return _OTHER_WORDS.match(text.lstrip("*_ ")) is not None


def prohibition_in_line(line: str) -> str:
    """What a line of a ticket forbids, without the reason after a dash; "" if nothing."""
    begin = line.lstrip()[:2]
    if begin[:1].isalpha() and begin.lower() != "do":
        return ""
    found = _LINE.match(line)
    return _REASON.sub("", " ".join(found["text"].split())).replace("**", "") if found else ""


def prohibition_in_sentence(sentence: str) -> str:
    """What a sentence of a workflow forbids, without the reason after a dash; "" if nothing."""
    return _REASON.sub("", sentence).rstrip(" .:;*_") if _SENTENCE.match(sentence) else ""

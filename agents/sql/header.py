"""The comment at the head of a migration: its number, and the base schema that it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrate_agents.sql.parse import Migration, tokens
from orchestrate_agents.sql.prerequisites import needs_of

_NUMBERED = re.compile(r"(?i)\b(migration\s*(?:no\.?|nr\.?|number|#)?\s*)(\d+)")


@dataclass(frozen=True)
class Header:
    """What the head of the file says. `number` is spelled as in the file's name (`059`), or ""."""

    number: str
    ticket: str = ""
    #: where the specification is: `workflows/x.md`, stage 2
    source: str = ""


def with_header(text: str, header: Header, specification: Migration) -> tuple[str, str]:
    """The text below a head with the right number; and a note if the head had another number."""
    end = _comment_end(text)
    head, body, note = text[:end], text[end:], ""
    if header.number:
        wrong = [m[2] for m in _NUMBERED.finditer(head) if int(m[2]) != int(header.number)]
        if wrong:
            note = f"the head said migration {wrong[0]}, the file is {header.number}"
        head = _NUMBERED.sub(lambda m: m[1] + header.number, head)
        if not _NUMBERED.search(head):
            head = f"-- MIGRATION {header.number}\n{head}"
    lines = [
        f"-- Base schema: {needs_of(specification)}",
        "-- Re-runnable: a second run changes nothing.",
    ]
    if header.source:
        ticket = f" ({header.ticket})" if header.ticket else ""
        lines.insert(0, f"-- Specification: {header.source}{ticket}")
    block = head.rstrip("\n").splitlines()
    # a closing rule stays the last line
    closed = len(block) > 1 and re.fullmatch(r"--\s*[-=*#]{3,}\s*", block[-1]) is not None
    block[len(block) - closed : len(block) - closed] = lines
    gap = "\n" * max(1, len(head) - len(head.rstrip("\n")))
    return "\n".join(block) + gap + body, note


def _comment_end(text: str) -> int:
    """Where the first comment block ends: at an empty line or the first statement."""
    first = next((t for t in tokens(text) if not t.name.endswith("COMMENT")), None)
    limit = len(text) if first is None else first.start
    gap = text.find("\n\n", 0, limit)
    block = text[: gap + 1] if gap >= 0 else text[:limit]
    return len(block) if block.lstrip().startswith(("--", "/*")) else 0


def header_number(text: str) -> str:
    """The migration number that a file's head names, or ""."""
    found = _NUMBERED.search(text[: _comment_end(text)])
    return found[2] if found else ""

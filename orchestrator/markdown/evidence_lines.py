"""Evidence below a statement, on lines of its own: an item `- check: …` nested under it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_EVIDENCE = re.compile(
    r"(?P<indent>[ \t]*)(?:[-*+•][ \t]+)?(?:\*\*|__)?"
    r"(?:check|verify|verification|proof|prove|test|evidence|validation|command|run|"
    r"how to (?:verify|test|check)|(?:verified|prove[nd]|checked|tested|validated)[ ](?:by|with))"
    r"(?:\*\*|__)?[ \t]*(?::|[—–-])?(?:\*\*|__)?[ \t]*(?P<proof>`[^`]+`.*)\Z",
    re.IGNORECASE,
)


def with_evidence(text: str, lines: Mapping[int, str], at: int, indent: int) -> tuple[str, int]:
    """A statement with the evidence that stands from line `at` on, and the line after that.

    Nested deeper than the statement, whose mark has this `indent`.
    """
    proofs = []
    while found := _EVIDENCE.match(lines.get(at, "").rstrip()):
        if len(found["indent"].expandtabs(4)) <= indent:
            break
        proofs.append(found["proof"].rstrip(" ."))
        at += 1
    if not proofs:
        return text, at
    return f"{text.rstrip(' .:')} — check: {' and '.join(proofs)}", at


def indent_of(line: str) -> int:
    """The columns before a line's first character; a quote's mark counts as none."""
    bare = re.sub(r"^(?:[ \t]*>[ \t]?)+", "", line)
    return len(bare.expandtabs(4)) - len(bare.expandtabs(4).lstrip())

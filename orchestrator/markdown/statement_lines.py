"""The statements of any text, one a line: list marks are stripped, what wraps is joined."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.markdown import body
from orchestrator.markdown.evidence_lines import indent_of, with_evidence
from orchestrator.markdown.frontmatter_parser import bare, lines_of, locate

_MARK = re.compile(r"\s*(?:>[ \t]?)*(?:[-*+•]|\d{1,9}[.)])[ \t]+")
_BOX = re.compile(r"\[[ xX~/>!?-]?\][ \t]*|[☐☑☒✓✔✅]\ufe0f?[ \t]*")


def statement_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """(line, 1-based; statement) of everything but headings, code, comments and frontmatter."""
    lines = lines_of(data)
    block, _ = locate(lines)
    start = block.body if block else 0
    outside = {at + start: text for at, text in body.lines_outside_code(lines[start:])}
    at = start
    while at < len(lines):
        line = outside.get(at, "")
        if not line.strip() or body.parse_heading(line) or body.LABEL.match(line.strip()):
            at += 1
            continue
        first, parts = at, [_without_marks(line)]
        at += 1
        while body.continues(wrapped := outside.get(at, "")) and wrapped[0].isspace():
            parts.append(bare(wrapped).strip())
            at += 1
        text, at = with_evidence(" ".join(filter(None, parts)), outside, at, indent_of(line))
        if text:
            yield first + 1, text


def _without_marks(line: str) -> str:
    text = line.strip()
    if found := _MARK.match(line):
        text = line[found.end() :].strip()
    return _BOX.sub("", text, count=1) if _BOX.match(text) else text

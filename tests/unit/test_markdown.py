"""What an agent writes into a ticket ends where it ends."""

from __future__ import annotations

import pytest

from orchestrator.markdown.body import closed, lines_outside_code


@pytest.mark.parametrize(
    "markdown",
    [
        "## PAINTER\n\n```\nno end",
        "## PAINTER\n\n~~~~ text\n```\nno end\n```",
        "## PAINTER\n\n<!-- no end",
        "## PAINTER\n\n<!-- a comment\n\nover lines",
        "## PAINTER\n\n<script>\nlet a = 1;",
        "## PAINTER\n\n- item\n\n  ```sh\n  no end",
        "## PAINTER\n\n```\nno end\n\n<!-- not a comment",
    ],
)
def test_what_follows_an_open_fence_or_comment_is_read(markdown: str) -> None:
    text = closed(markdown)
    lines = [line for _, line in lines_outside_code([*text.splitlines(), "", "## After"])]
    assert lines[-1] == "## After"
    assert all(line in text for line in markdown.splitlines())


@pytest.mark.parametrize(
    "markdown",
    [
        "",
        "plain",
        "## P\n\n```\nclosed\n```",
        "<!-- done -->",
        "---\na: b\n---",
    ],
)
def test_what_is_closed_stays_as_it_is(markdown: str) -> None:
    assert closed(markdown) == markdown

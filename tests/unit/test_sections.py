"""Sections of the conductor in a ticket: told from a person's, and folded without losing a line."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.markdown.body import MARK
from orchestrator.markdown.sections import fold_section, marked
from orchestrator.tickets.criteria import read_criteria

WRITTEN = marked(
    """## CHECKPOINT #1: Tea — question 1

**Approving will** run nothing.

**Unproven (1)**
- the tea is hot — no check fits

**To answer**, set `status:`
- `APPROVED`

### USER"""
)
FOLDED = f"## CHECKPOINT #1: Tea — question 1\n{MARK}\n**APPROVED** today\n"
BEFORE = "---\nid: WO-1\n---\n# Tea\n\n- [ ] it is hot\n\n"
AFTER = f"\n## CHECKPOINT #2: More — question 2\n{MARK}\n\n- `APPROVED`\n\n### USER\n"


def fold(text: str) -> str:
    return fold_section(text.encode(), WRITTEN, FOLDED).decode()


def test_a_section_does_not_take_in_what_a_person_writes_below_it() -> None:
    section = marked("# Top\n\ndone\n\n```\n# code\n```\n ## Two\n # More\n")
    assert [line for line in section.splitlines() if "#" in line] == [
        "## Top", "# code", " ## Two", " ## More",
    ]  # fmt: skip
    text = f"# T\n\n{section}\n\n## Acceptance Criteria\n- [ ] late\n"
    found = read_criteria(text.splitlines(), 0, source="t.md", ticket="WO-1")
    assert [s.text for s in found.statements] == ["late"]


def test_nothing_is_left_but_one_line_where_nobody_wrote() -> None:
    assert fold(BEFORE + WRITTEN + "\n" + AFTER) == BEFORE + FOLDED + AFTER
    assert fold(BEFORE + WRITTEN) == BEFORE + FOLDED
    assert fold(BEFORE + FOLDED + AFTER) == BEFORE + FOLDED + AFTER


def test_a_person_s_words_stay_in_full_and_where_they_stood() -> None:
    words = "More sugar.\n\n```\na  \n\n\n- `APPROVED`\n```\n\n## And a heading\n\nlast"
    noted = WRITTEN.replace("no check fits", "no check fits (I felt it)")
    kept = fold(BEFORE + noted + "\n\n" + words + "\n" + AFTER)
    hot = "- the tea is hot — no check fits (I felt it)"
    assert kept == f"{BEFORE}{FOLDED}\n{hot}\n\n### USER\n\n{words}\n{AFTER}"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_stay(end: str) -> None:
    text = (BEFORE + WRITTEN + "\n\nmine  \n" + AFTER).replace("\n", end)
    assert fold(text) == f"{BEFORE}{FOLDED}\n### USER\n\nmine  \n{AFTER}".replace("\n", end)


def test_a_section_that_is_not_there_or_has_another_heading_is_left_alone() -> None:
    other = BEFORE + WRITTEN.replace("Tea — question", "Tee — question") + AFTER
    assert fold(other) == other
    assert fold(BEFORE) == BEFORE


def test_a_section_of_0_1_0_has_no_mark() -> None:
    old = WRITTEN.replace(MARK + "\n", "")
    text = f"{BEFORE}{old}\n\nmine\n\n## QA\n\n- `APPROVED`\n"
    folded = fold_section(text.encode(), old, FOLDED).decode()
    assert folded == f"{BEFORE}{FOLDED}\n### USER\n\nmine\n\n## QA\n\n- `APPROVED`\n"


LINES = st.one_of(
    st.sampled_from([*WRITTEN.splitlines(), "## Notes", "```", "<!--", "-->", "  x  ", MARK]),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12),
)


@given(st.data())
def test_8_2_no_line_that_a_person_wrote_is_lost(data: st.DataObject) -> None:
    lines = (BEFORE + WRITTEN + "\n" + AFTER).splitlines()
    theirs = data.draw(st.lists(LINES, max_size=8))
    for line in theirs:
        lines.insert(data.draw(st.integers(3, len(lines))), line)
    for at in sorted(data.draw(st.sets(st.integers(3, len(lines) - 1), max_size=4)), reverse=True):
        del lines[at]
    here = Counter(line for line in lines if line.strip())
    once = fold("\n".join(lines) + "\n")
    lost = here - Counter(once.splitlines())
    # what is gone is gone no more often than the conductor wrote it
    assert not lost - Counter(WRITTEN.splitlines())
    assert fold(once) == once


@given(st.lists(LINES, min_size=1, max_size=8))
def test_every_section_of_the_conductor_says_so(lines: list[str]) -> None:
    text = marked("\n".join(lines))
    assert MARK in text.splitlines()[:2]
    # a heading of the first level becomes one of the second
    given_lines = "\n".join(lines).strip("\r\n").splitlines()
    mine = Counter(line.lstrip("#") for line in given_lines if line != MARK)
    assert not mine - Counter(line.lstrip("#") for line in text.splitlines())

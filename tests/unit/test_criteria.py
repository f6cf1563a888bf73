"""What a ticket demands: the shapes and headings of criteria, and what is not read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from orchestrator.domain.folders import Folders
from orchestrator.domain.workflow import StatementKind
from orchestrator.markdown import body
from orchestrator.markdown.body import MARK
from orchestrator.markdown.sections import marked
from orchestrator.tickets.board import Board
from orchestrator.tickets.criteria import Criteria, _is_prose, _Reader, read_criteria
from orchestrator.tickets.criteria_headings import criteria_in_keys, headings_of
from orchestrator.tickets.reader import read_ticket


def read(text: str, *own: str) -> Criteria:
    lines = text.splitlines(keepends=True)
    return read_criteria(lines, 0, source="t.md", ticket="WO-1", own_headings=own)


def texts(found: Criteria) -> list[str]:
    return [s.text for s in found.statements]


def unread(found: Criteria) -> list[tuple[str, tuple[str, ...]]]:
    return [(u.heading, u.texts) for u in found.unread]


# -- headings --------------------------------------------------------------------------------

MEAN_CRITERIA = [
    "## Acceptance", "## Acceptance Criteria", "### acceptance criteria (must)", "## AC", "## DoD",
    "## ✅ Acceptance Criteria", "## 4. Acceptance tests", "## Success Criteria", "## Checklist",
    "## Requirements", "## Functional requirements", "## Definition of Done", "## Done when",
    "**Acceptance Criteria:**", "**Done when**", "Acceptance criteria:", "## Exit criteria",
    "## Release checklist", "Acceptance Criteria\n-------------------", "## Criteria",
    "## Must-haves", "## *Acceptance* Criteria",
    "## ACs", "### AC 1: login", "### AC-2", "## Requirement 1.2",
    "## Requirements are met when", "## This is done when …", "## Ready when", "## Verification",
    "## How to verify", "### How we test it", "## Test plan", "## Test cases",
    "## Expected results",
    "## Expected behaviour", "## Must be true", "## What must hold", "## Given/When/Then",
    "### Scenario 2: no login", "## Checks", "## What does “done” look like?",
    "##### 🎯 Success metrics",
    "###### Post-conditions", "## Validation steps", "__Acceptance criteria__",
    "> ## Acceptance Criteria", "h3. Acceptance Criteria", "- **Acceptance Criteria**",
    "* __Definition of Done:__", "## It's done when", "## It’s done when",
]  # fmt: skip


@pytest.mark.parametrize("heading", MEAN_CRITERIA)
@pytest.mark.parametrize("item", ["- [ ] x holds", "- x holds", "1. x holds", "x holds"])
def test_a_heading_that_means_criteria(heading: str, item: str) -> None:
    found = read(f"# T\n\nWords.\n\n{heading}\n\n{item}\n\n## Other\n\n- y\n\nz\n")
    assert texts(found) == ["x holds"]
    assert found.unread == ()


def test_criteria_of_a_list_end_at_its_next_bold_item() -> None:
    text = "- **Goal**\n  - a\n- **Acceptance criteria**\n  - `b` exists\n- **Notes**\n  - c\n"
    assert texts(read(f"# T\n\n{text}")) == ["`b` exists"]


def test_items_and_headings_of_jira_are_read() -> None:
    text = "h2. Story\n\n* a\n\nh2. Acceptance Criteria\n\n* b\n** c\n\nh2. Notes\n\n* d\n"
    assert texts(read(text)) == ["b", "c"]


@pytest.mark.parametrize("mark", "/>!?~-")
def test_boxes_with_the_marks_of_other_tools_are_open_boxes(mark: str) -> None:
    (found,) = read(f"## Acceptance Criteria\n\n- [{mark}] one\n").statements
    assert (found.text, found.ticked) == ("one", False)
    assert unread(read(f"## Tasks\n\n- [{mark}] one\n")) == [("Tasks", ("one",))]


@pytest.mark.parametrize("heading", ["## Tasks", "## Akzeptanzkriterien", "## AC adapter", ""])
def test_4_7_boxes_under_another_heading_are_told(heading: str) -> None:
    found = read(f"# T\n\n{heading}\n\n- [ ] one\n- [x] two\n\nwords\n\n- three\n")
    assert texts(found) == []
    (said, boxes), *lines = unread(found)
    assert lines == ([("Akzeptanzkriterien", ("three",))] if "kriterien" in heading else [])
    assert said == (heading.removeprefix("## ") or "T")
    assert boxes == ("one", "two")
    assert found.unread[0].describe("WO-1", numbered=True).startswith("WO-1, lines 5, 6: 2 boxes")


def test_4_8_a_workspace_names_further_headings() -> None:
    german = "## Akzeptanzkriterien\n\n- [ ] Es läuft\n\n## Fertig, wenn\n\nalles grün ist\n"
    assert texts(read(german, "Akzeptanzkriterien", "fertig,  wenn")) == [
        "Es läuft",
        "alles grün ist",
    ]


def test_a_title_that_speaks_of_criteria_is_none() -> None:
    found = read("# Write acceptance tests for the login\n\nWe need them.\n\n## Why\n\n- people\n")
    assert texts(found) == []
    assert texts(read("# Acceptance Criteria\n\n- x\n\n## More\n\n- y\n")) == ["x", "y"]


@pytest.mark.parametrize(
    "heading",
    ["Critères d'acceptation", "验收标准", "Akzeptanzkriterien",
     "Constraints", "Verification notes", "Acceptence Criterea",
     "Criterios de aceptación", "Критерии приёмки", "受け入れ基準",
     "Expected load", "Crite\u0300res", "Kabul kriterleri"],
)  # fmt: skip
def test_a_list_under_a_heading_that_resembles_criteria_is_told(heading: str) -> None:
    found = read(f"# T\n\n## AC\n\n- [ ] one\n\n## {heading}\n\nWords.\n\n- two\n- three\n")
    assert texts(found) == ["one"]
    assert unread(found) == [(heading, ("two", "three"))]


@pytest.mark.parametrize("heading", ["Acceptance-Criteria", "Acceptance Criterias"])
def test_spellings_of_acceptance_criteria(heading: str) -> None:
    assert texts(read(f"## {heading}\n\n- one\n")) == ["one"]


@pytest.mark.parametrize("heading", ["Steps", "Plan", "Background", "Files"])
def test_a_list_under_any_other_heading_is_nothing(heading: str) -> None:
    assert read(f"# Verify it\n\n## {heading}\n\n- one\n") == Criteria()


@pytest.mark.parametrize(
    "heading",
    ["<h2>Acceptance Criteria</h2>", "<summary><b>Acceptance Criteria</b></summary>",
     "<details open><summary>Acceptance criteria</summary>"],
)  # fmt: skip
def test_a_heading_in_html_heads_criteria(heading: str) -> None:
    below = "- [ ] one\n- two\n\n<ul><li>three</li><li>four</li></ul>\n\n</details>\n"
    found = read(f"# T\n\n{heading}\n\n{below}\n## Notes\n\n- five\n")
    assert texts(found) == ["one", "two"]
    assert [(place.casefold(), told) for place, told in unread(found)] == [
        ("acceptance criteria", ("three", "four"))
    ]


def test_boxes_in_html_are_told() -> None:
    found = read("## AC\n\n- one\n\n<ul>\n<li>[ ] <b>two</b></li><li>[x] three</li>\n</ul>\n")
    assert unread(found) == [("AC", ("two", "three"))]


@pytest.mark.parametrize("heading", ["Notes", "Background", "Steps"])
@pytest.mark.parametrize("mark", ["- ", "", "1. "])
@pytest.mark.parametrize(
    "text",
    ["Never delete keep.txt", "You must not edit README.md", "**Never** touch it", "Don't ask",
     "The agent may never push", "`keep.txt` must not change"],
)  # fmt: skip
def test_prohibitions_in_other_words_are_told(heading: str, mark: str, text: str) -> None:
    found = read(f"## AC\n\n- one\n\n## {heading}\n\n{mark}{text}\n")
    assert texts(found) == ["one"]
    assert unread(found) == [(heading, (text,))]


# -- shapes ----------------------------------------------------------------------------------

SHAPES = {
    "- [ ] {}": True, "* [x] {}": True, "+ [ ] {}": True, "1. [ ] {}": True, "- [] {}": True,
    "-[ ] {}": True, "- [-] {}": True, "[ ] {}": True, "  - [ ] {}": True, "- [ ]{}": True,
    "> - [ ] {}": True, "- ☐ {}": True, "☐ {}": True,
    "- {}": True, "* {}": True, "7) {}": True, "{}": True, "> {}": True,
    "| # | | what |\n|---|---|---|\n| 1 | [ ] | {} |": True,
    "**Done when:** {}": True, "Done when: {}": True, "- **Acceptance:** {}": True, "AC3: {}": True,
    "AC-3: {}": True,
    "| a | b |\n|---|---|\n| {} | y |": False, "```gherkin\n{}\n```": False,
    "| # | Criterion | Status |\n|---|---|---|\n| 1 | {} | open |": True, "1) {}": True,
    "- [ ] group:\n  - [ ] {}": True, "- group:\n  - {}": True, "- ✅ {}": True, "> {}\n>": True,
    "- ~~{}~~": False, "- [ ] ~~{}~~ (dropped)": False, "**How to verify:** {}": True,
    "#### Notes\n\n- {}": False, "#### Out of scope\n\n- [ ] {}": False,
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_among_criteria_is_read_or_told(shape: str) -> None:
    found = read(f"# T\n\n## Acceptance Criteria\n\n{shape.format('x holds')}\n")
    assert [t for t in texts(found) if t != "group:"] == (["x holds"] if SHAPES[shape] else [])
    assert len(found.unread) == (not SHAPES[shape])


def test_a_comment_that_ends_with_the_file_is_read() -> None:
    assert texts(read("## AC\n\n- one\n\n>- <!-- todo\n>  ")) == ["one"]


@pytest.mark.parametrize("line", ["**Done when:** {}", "Done when: {}", "DoD: {}", "- AC1 — {}"])
def test_a_line_that_begins_with_a_keyword_counts_anywhere(line: str) -> None:
    assert texts(read(f"# T\n\n## Problem\n\n{line.format('x holds')}\n")) == ["x holds"]


@pytest.mark.parametrize("heading", ["## Story", "## Acceptance Criteria"])
@pytest.mark.parametrize("shape", ["{}", "- {}", "```gherkin\nScenario: s\n  {}\n```", "> {}"])
def test_scenarios_are_criteria_wherever_they_stand(heading: str, shape: str) -> None:
    steps = ["Given a user", "When they log in", "Then they see x"]
    said = ("\n  " if "gherkin" in shape else " ").join(steps)
    assert texts(read(f"# T\n\n{heading}\n\n{shape.format(said)}\n")) == [" ".join(steps)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["a", "b"], ["a", "b"]),
        ("- a\n- [ ] b\n", ["a", "b"]),
        ([{"id": "AC1", "text": "a", "status": "open"}], ["a"]),
        ([{"AC1": "a"}], ["AC1: a"]),
        ([{"text": "a", "verify": "pytest -q"}], ["a — `pytest -q`"]),
        ([{"given": "g", "when": "w", "then": "t"}], ["given g when w then t"]),
        ([{"text": "a", "because": "b"}], ["a | b"]),
        ([{"rows": 8}], ["rows: 8"]),
        ({"api": ["a"], "ui": ["b"]}, ["a", "b"]),
        (
            "It must not be possible to delete\n`orders`",
            ["It must not be possible to delete `orders`"],
        ),
    ],
)
def test_a_key_holds_lists_blocks_and_mappings(value: object, said: list[str]) -> None:
    assert [text for _, text in criteria_in_keys({"acceptance_criteria": value})] == said


@pytest.mark.parametrize(
    "line", ["None", "n/a", "-", "<!-- one line each -->", "---", "[x](https://a.b)", "[1]: c.d"]
)
def test_what_says_nothing_is_no_criterion(line: str) -> None:
    found = read(f"# T\n\n## Acceptance Criteria\n\n{line}\n\n## Other\n\n[1] Smith 2018\n")
    assert [t for t in texts(found) if t != line] == []
    assert found.unread == ()


def test_a_lead_in_is_no_criterion_and_wrapped_lines_are_one() -> None:
    found = read("## Acceptance Criteria\nAll of these hold:\n- x is\n  so\n- y\nholds\n\n1. z\n")
    assert texts(found) == ["x is so", "y holds", "z"]


def test_a_label_heads_what_follows_it_and_no_more() -> None:
    text = "## Problem\n\n**Acceptance:**\n\n- x\n- y\n\nThe shop was built in 2019.\n\n- [ ] z\n"
    assert texts(read(text)) == ["x", "y", "z"]


def test_2_4_the_keys_of_a_ticket_may_hold_criteria(tmp_path: Path) -> None:
    path = tmp_path / "_WORK_ORDERS/00_INBOX/WO-1_x.md"
    path.parent.mkdir(parents=True)
    text = "---\nid: WO-1\nacceptance_criteria:\n  - '`a` exists'\n  - b\ndone_when: c\n---\n# T\n"
    path.write_text(text, encoding="utf-8")
    found = Board(tmp_path).find("WO-1").criteria()
    assert [(s.text, s.line) for s in found.demanded] == [("`a` exists", 3), ("b", 3), ("c", 6)]


def test_6_4_what_an_agent_appends_is_no_criterion() -> None:
    agents = marked("## BUILDER DONE\n- [x] theirs\n\n### Requirements\n- x\n## AC\n- [x] well")
    headless = marked("- [ ] without a heading")
    text = (
        f"## Acceptance Criteria\n- [ ] mine\n\n{agents}\n\n{headless}\n\n## Checklist\n- [ ] too\n"
    )
    assert MARK in text
    found = read(text)
    assert (texts(found), found.unread) == (["mine", "too"], ())


def test_prohibitions_are_read_once() -> None:
    found = read("## Acceptance Criteria\n- Do NOT touch `a.md`\n- [ ] x\n")
    assert [(s.kind, s.text) for s in found.statements] == [
        (StatementKind.PROHIBITION, "Do NOT touch `a.md`"),
        (StatementKind.ACCEPTANCE, "x"),
    ]


WORDS = st.from_regex(r"[a-z]{2,8} [a-z]{2,8}( `[a-z]{1,5}\.md`)?", fullmatch=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*MEAN_CRITERIA, "## Tasks", "## Plan", "**Steps**"]),
            st.lists(st.tuples(st.sampled_from(sorted(SHAPES)), WORDS), max_size=4),
        ),
        max_size=5,
    )
)
def test_4_7_no_box_is_dropped_in_silence(
    parts: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    """Every line below a heading of criteria, and every box anywhere, is read or told."""
    text, wanted = "# Title\n\n", []
    for heading, items in parts:
        text += f"{heading}\n\n"
        for shape, words in items:
            text += f"{shape.format(words)}\n\n"
            # "#### Notes" is not below a heading of a deeper level, nor a label
            lower = heading.startswith(("**", "__", "####", "Acceptance c"))
            demands = heading in MEAN_CRITERIA and not lower
            if demands or "[" in shape.split("{")[0]:
                wanted.append(words)
    found = read(text)
    known = " ; ".join([*texts(found), *(t for u in found.unread for t in u.texts)])
    assert [words for words in wanted if words not in known] == []


# -- code and comments that are left open ------------------------------------------------------

_LEAVES = st.sampled_from(
    ["- [ ] @", "- [x] @", "1. [ ] @", "[ ] @", "words", "", "    ~~~", "```", "~~~~", "~~~ sh",
     "```sh\ntext\n```", "<!-- todo", "<!-- - [ ] @ -->", "-->", "words <!-- on", "<div>",
     "<!-- a\n\n- [ ] @\n-->", "``` a`b"]
)  # fmt: skip


def _indented(inner: list[str], first: str, rest: str) -> list[str]:
    lines = [line for block in inner for line in block.split("\n")] or [""]
    return [(first if at == 0 else rest) + line for at, line in enumerate(lines)]


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    marks = st.sampled_from([("- ", "  "), ("1. ", "   "), ("> ", "> "), (">", ">"), ("* ", "  ")])
    blocks = st.lists(inner, min_size=1, max_size=5)
    return st.builds(lambda b, m: "\n".join(_indented(b, *m)), blocks, marks)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.recursive(_LEAVES, _containers, max_leaves=12), max_size=8))
def test_every_box_that_markdown_shows_is_read_or_told(blocks: list[str]) -> None:
    number = iter(range(1_000))
    text = "## Acceptance Criteria\n\n" + "\n".join(blocks) + "\n"
    text = re.sub("@", lambda _: f"w{next(number)}w", text)
    tokens = MarkdownIt("commonmark").parse(text)
    shown = [
        found[1]
        for at, token in enumerate(tokens)
        if token.type == "inline" and tokens[at - 2].type == "list_item_open"
        if (found := re.match(r"\[[ x]\]\s+(w\d+w)", token.content))
    ]
    found = read(text)
    known = " ".join([*texts(found), *(t for u in found.unread for t in u.texts)])
    assert [word for word in shown if word not in known] == []


@pytest.mark.parametrize(
    "text",
    [
        "- [ ] one\n  ~~~\n  sample\n\n- [ ] two\n",
        "- [ ] one\n\n> ```\n> quoted\n\n- [ ] two\n",
        "- [ ] one\n  <!-- todo\n- [ ] two\n",
        "- [ ] one\n\n      ```\n\n- [ ] two\n",
    ],
)
def test_code_ends_with_its_item_or_quote(text: str) -> None:
    assert texts(read("## Acceptance Criteria\n\n" + text))[-1] == "two"


@pytest.mark.parametrize("first", ["- ", "> ", "1. ", "- > ", ""])
def test_a_box_in_code_is_none(first: str) -> None:
    inner = ["```", "- [ ] sample", "```"]
    rest = re.sub(r"[^>]", " ", first)
    lines = [(first if at == 0 else rest) + line for at, line in enumerate(inner)]
    found = read("## AC\n\n- [ ] one\n\n" + "\n".join(lines) + "\n\n- [ ] two\n")
    assert texts(found) == ["one", "two"]
    ((heading, (said,)),) = unread(found)
    assert (heading, said.lstrip("> ")) == ("AC", "- [ ] sample")


@pytest.mark.parametrize(
    ("opens", "why"),
    [("<!-- todo", "comment"), ("```", "block of code"), ("~~~~", "block of code")],
)
def test_what_is_left_open_hides_no_box_and_no_kept_section(opens: str, why: str) -> None:
    section = marked("## BUILDER\n\n- [ ] not asked\n- neither\n\n### Acceptance Criteria\n\n- no")
    found = read(f"## Acceptance Criteria\n\n- [ ] one\n{opens}\n- [ ] two\n\n{section}\n")
    assert texts(found) == ["one"]
    assert unread(found) == [("Acceptance Criteria", ("two",))]
    assert found.unread[0].why == f"in a {why} that is not closed"


@pytest.mark.parametrize(
    "key", ["acceptance-criteria", "acceptanceCriteria", "Acceptance Criteria", "doneWhen", "DoD"]
)
def test_a_key_is_read_in_any_spelling_of_its_words(key: str) -> None:
    assert list(criteria_in_keys({key: ["`a` exists"]})) == [(key, "`a` exists")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["`a` exists", "lint"], ["`a` exists"]),
        (["not needed", "TBD by QA"], []),
        ("- `a` exists\n- [ ] `b` exists\n", ["`a` exists", "`b` exists"]),
        (["lint", "types"], []),
        ("by hand on Friday", []),
        (True, []),
    ],
)
@pytest.mark.parametrize("key", ["verification", "quality_bar", "expectedOutcomes"])
def test_a_common_word_as_a_key_means_criteria_where_sentences_follow(
    key: str, value: object, said: list[str]
) -> None:
    assert [text for _, text in criteria_in_keys({key: value})] == said


# -- items and paragraphs in any container ----------------------------------------------------

_PLAIN = st.sampled_from(
    ["- @", "* @", "1. @", "- [ ] @", "2) [x] @", "@", "**AC1:** @", "- **Given** @", "> @",
     "| # | Criterion |\n|---|---|\n| 1 | @ |", "- ~~@~~", "Done when: @", "- a:\n  - @",
     "#### Notes\n\n- @", "##### Edge cases\n\n@", "**More**\n\n- @", "- ✅ @ (#12)"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.recursive(_PLAIN, _containers, max_leaves=6), min_size=1, max_size=6))
def test_4_7_every_line_below_a_heading_of_criteria_is_read_or_told(blocks: list[str]) -> None:
    number = iter(range(1_000))
    text = "## Definition of Done\n\n" + "\n\n".join(blocks) + "\n"
    text = re.sub("@", lambda _: f"w{next(number)}w holds", text)
    found = read(text)
    known = " ".join([*texts(found), *(t for u in found.unread for t in u.texts)])
    assert [word for word in re.findall(r"w\d+w", text) if word not in known] == []


@given(st.text("aDdoOn Tt:—–-<>#*|[]=1.é\t", max_size=12))
def test_a_line_that_is_taken_for_prose_begins_nothing(line: str) -> None:
    if _is_prose(line):
        reader = _Reader(["A paragraph", line], 0, headings_of(()), "", "WO-1")
        assert body.continues(line)
        assert not reader._starts(1, dict(enumerate(reader.lines)))


def test_the_lines_of_a_ticket_are_placed_once_for_its_boxes_and_criteria(tmp_path: Path) -> None:
    file = tmp_path / "03_BUILD" / "WO-1.md"
    file.parent.mkdir()
    file.write_text("---\nid: WO-1\n---\n# T\nStatus: built\n## Acceptance Criteria\n- [x] `a`\n")
    body._placed.cache_clear()
    body._boxes.cache_clear()
    ticket = read_ticket(file, Folders())
    assert [box.line for box in ticket.boxes()] == [6]
    assert ticket.criteria().statements
    assert body._placed.cache_info().misses == body._boxes.cache_info().misses == 1

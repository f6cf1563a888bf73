"""What a line above a list says of its points is part of them: none of these, only if, one of."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.loading import load_checks
from orchestrator.markdown.leads import turns
from orchestrator.tickets.criteria import read_criteria
from orchestrator.tickets.criteria_headings import criteria_in_keys
from orchestrator.workflow_reader.parser import read_workflow_text

TURNS = (
    "None of the following may exist:",
    "Only if the importer ran:",
    "Either:",
    "One of these is true:",
    "At least one of:",
    "Not:",
    "It is wrong if:",
    "These must be gone:",
    "Unless told otherwise:",
    "Never:",
    "Optional:",
    "These must not be true:",
    "There must be no file such that:",
    "Keines davon gilt:",
)
TURNS_NOT = (
    "All of these:",
    "The following must hold:",
    "Backend:",
    "No regressions:",
    "Not done yet:",
    "The importer:",
    "The work is done if:",
    "Check if:",
)


def criteria(text: str) -> list[str]:
    lines = [f"{line}\n" for line in f"## Acceptance criteria\n\n{text}".split("\n")]
    return [s.text for s in read_criteria(lines, 0, source="a.md", ticket="WO-1").statements]


@pytest.mark.parametrize("mark", ["- ", "1. ", "- [ ] ", "• ", "a) "])
@pytest.mark.parametrize("lead", TURNS)
def test_what_changes_the_meaning_of_points_is_part_of_them(lead: str, mark: str) -> None:
    items = f"{mark}`a` exists\n{mark}`b` exists\n"
    both = [f"{lead} `a` exists", f"{lead} `b` exists"]
    assert criteria(f"{lead}\n{items}") == both
    # with an empty line between, the marks of these alone are a list's
    if mark[0] in "-1":
        assert criteria(f"{lead}\n\n{items}\nMore words.\n\n- `c` exists\n")[:2] == both
        assert criteria(f"{lead}\n\n{items}\nMore words.\n\n- `c` exists\n")[-1] == "`c` exists"


@pytest.mark.parametrize("lead", TURNS_NOT)
def test_what_only_names_the_points_is_not(lead: str) -> None:
    assert not turns(lead)
    assert criteria(f"{lead}\n- `a` exists\n")[-1] == "`a` exists"


def test_a_point_changes_the_meaning_of_those_nested_in_it() -> None:
    text = "- [ ] None of these:\n  - [ ] `a` exists\n- [ ] `b` exists\n"
    assert criteria(text) == ["None of these: `a` exists", "`b` exists"]
    assert criteria(text.replace("[ ] ", "")) == ["None of these: `a` exists", "`b` exists"]


@pytest.mark.parametrize("head", ["### Must not\n", "**Must not:**\n", "**None of these**\n"])
def test_so_does_a_heading_or_a_label(head: str) -> None:
    (said,) = criteria(f"{head}- `a` exists\n")
    assert said.endswith(": `a` exists")
    assert criteria("### No data loss\n- `a` exists\n") == ["`a` exists"]


@pytest.mark.parametrize(
    "label",
    [
        "Failure conditions",
        "Get rid of",
        "Was",
        "Files that must not exist",
        "Things to delete",
        "Old behaviour",
        "Reject if",
        "Nothing of this",
        "Maybe",
        "Current state",
        "Any of",
    ],
)
@pytest.mark.parametrize("head", ["### {}\n\n", "### {}\n\n#### API\n\n", "**{}**\n\n", "{}:\n\n"])
def test_words_that_turn_by_themselves_do(head: str, label: str) -> None:
    said = criteria(f"{head.format(label)}- `a` exists\n\n## Acceptance\n\n- `b` exists\n")
    assert said == [f"{label}: `a` exists", "`b` exists"]
    binder = Binder(load_checks(None))
    assert [claim.check for claim in binder.bind(said[0])] == [None]


@pytest.mark.parametrize(
    "label",
    [
        "Invalid input",
        "Error cases",
        "Failure scenarios",
        "Blocking",
        "Error handling",
        "Missing values",
        "Errors",
        "Rollback",
        "Bug fixes",
        "Removal of duplicates",
        "Delete an account",
        "Before the release",
        "Existing users",
    ],
)
def test_a_subject_named_after_what_fails_does_not(label: str) -> None:
    assert criteria(f"### {label}\n\n- `a` exists\n") == ["`a` exists"]
    assert criteria(f"{label}:\n\n- `a` exists\n") == ["`a` exists"]


def test_boxes_of_a_stage_have_what_headings_and_boxes_above_them_say() -> None:
    boxes = (
        "- [ ] None of these:\n  - [ ] `a` exists\n- [ ] `b` exists\n\n### Get rid of\n\n"
        "#### Files\n\n- [ ] `c` exists\n\n### More\n\n- [ ] `d` exists\n- [ ] Either:\n"
        "- [ ] `e` exists\n"
    )
    (stage,) = read_workflow_text(
        f"# F\n\n## STAGE 1: INSPECTOR — Look\nLook.\n\n{boxes}", Path("w.md")
    ).stages
    assert [statement.text for statement in stage.statements] == [
        "None of these:",
        "None of these: `a` exists",
        "`b` exists",
        "Get rid of: `c` exists",
        "`d` exists",
        "Either:",
        "Either: `e` exists",
    ]


def test_a_label_that_turns_stays_with_its_point() -> None:
    flow = "# F\n\n## STAGE 1: BUILDER — Build\nDo it.\n\n**Done when:**\n- **Was:** `a` exists\n"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    assert [statement.text for statement in stage.statements] == ["Was: `a` exists"]


def test_keys_and_items_of_lists_in_frontmatter_turn() -> None:
    def found(**keys: object) -> list[str]:
        return [text for _, text in criteria_in_keys(keys)]

    assert found(acceptance_criteria=["`a` exists", {"none_of": ["`b` exists"]}]) == [
        "`a` exists",
        "none of: `b` exists",
    ]
    assert found(acceptance_criteria=["None of these may exist:", "`a` exists"]) == [
        "None of these may exist: `a` exists"
    ]
    assert found(criteria={"must_not": ["`a` exists"], "must": ["`b` exists"]}) == [
        "must not: `a` exists",
        "`b` exists",
    ]
    assert found(done_when={"not": "`a` exists"}) == ["not: `a` exists"]


def test_a_bold_line_is_a_criterion_or_told() -> None:
    text = "## Acceptance criteria\n\n**`a` exists**\n**`b` exists**\n\n**Data**\n\n**More**\n- c\n"
    lines = [f"{line}\n" for line in text.split("\n")]
    found = read_criteria(lines, 0, source="a.md", ticket="WO-1")
    assert [s.text for s in found.statements] == ["`a` exists", "`b` exists", "c"]
    assert [(u.texts, u.why) for u in found.unread] == [
        (("Data",), "a label with nothing below it")
    ]
    # where points are below, it is their label
    assert criteria("**`GET /x`**\n\n- `a` exists\n") == ["`a` exists"]


def test_a_list_below_a_prohibition_is_forbidden() -> None:
    assert criteria("Do NOT do this:\n- `a` exists\n")[-1] == "Do NOT do this: `a` exists"


@pytest.mark.parametrize("lead", TURNS)
def test_so_does_the_first_line_of_a_block_under_a_key(lead: str) -> None:
    value = f"{lead}\n- `a` exists\n- `b` exists\n"
    found = [said for _, said in criteria_in_keys({"acceptance_criteria": value})]
    assert found == [f"{lead} `a` exists", f"{lead} `b` exists"]


@pytest.mark.parametrize("lead", TURNS)
def test_so_does_what_stands_behind_done_when(lead: str) -> None:
    for head in (f"**Done when:** {lead}\n", f"**Done when:**\n{lead}\n"):
        flow = f"# F\n\n## STAGE 1: BUILDER — Build\nDo it.\n\n{head}- `a` exists\n- `b` exists\n"
        (stage,) = read_workflow_text(flow, Path("w.md")).stages
        said = [statement.text for statement in stage.statements]
        assert said == [f"{lead} `a` exists", f"{lead} `b` exists"]


@pytest.mark.parametrize("lead", [*TURNS, "**Must not:**"])
def test_so_does_a_line_above_the_boxes_of_a_stage(lead: str) -> None:
    boxes = "- [ ] `a` exists\n- [ ] `b` exists\n\nMore:\n- [ ] `c` exists\n"
    flow = f"# F\n\n## STAGE 1: INSPECTOR — Look\nLook at it.\n\n{lead}\n{boxes}"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    said = [statement.text for statement in stage.statements]
    lead = lead.strip("*")
    assert said[-3:] == [f"{lead} `a` exists", f"{lead} `b` exists", "`c` exists"]


def test_a_line_that_turns_is_said_for_itself_where_no_point_is_below() -> None:
    said = "Nobody can log in without a password:"
    # a colon with nothing below it leads to the points beside it
    both = [said, f"{said} `a` exists"]
    assert criteria(f"- [ ] {said}\n- [ ] `a` exists\n") == both
    assert criteria(f"- {said}\n- `a` exists\n") == both
    assert criteria(f"- {said}\n- `a` exists\n\nMore:\n\n- `b` exists\n")[-1] == "`b` exists"
    assert criteria(f"{said}\n\n```\nx\n```\n")[0] == said
    flow = f"# F\n\n## STAGE 1: BUILDER — Build\nDo it.\n\nDone when:\n- {said}\n- `a` exists\n"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    assert [statement.text for statement in stage.statements] == both[1:]
    # also where code follows
    flow = (
        f"# F\n\n## STAGE 1: BUILDER — Build\nDo it.\n\nDone when:\n- {said}\n\n  ```\n  x\n  ```\n"
    )
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    assert [statement.text for statement in stage.statements] == [said]
    assert stage.on_pass == ""
    found = criteria_in_keys({"acceptance_criteria": f"- `a` exists\n- `b` exists\n- {said}\n"})
    assert [text for _, text in found] == ["`a` exists", "`b` exists", said]


def test_what_demands_something_itself_is_said_with_its_points() -> None:
    assert criteria("`a.md` exists and contains:\n- “Summary”\n") == [
        "`a.md` exists and contains: “Summary”"
    ]


@pytest.mark.parametrize("lead", TURNS)
@pytest.mark.parametrize("point", ["`make test` passes", "`a` exists", "`make lint` exits 0"])
def test_no_check_binds_to_what_is_turned(lead: str, point: str) -> None:
    binder = Binder(load_checks(None))
    assert [claim.check for claim in binder.bind(f"{lead} {point}")] == [None]
    assert [claim.check is not None for claim in binder.bind(point)] == [True]


def test_a_long_line_is_no_lead() -> None:
    assert not turns("`" + " and " * 50_000 + "x:")
    assert not turns("exits " * 50_000 + ":")

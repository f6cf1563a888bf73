"""LEAD hands each criterion to one child or keeps it at the parent: none lost, none doubled."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrate_agents.lead import Lead
from orchestrator.domain.agent import Job, MemberInfo, Report

HEAD = "# Beds\n\n## STAGE 1: LEAD — Split\n\nSplit into tickets:\n"
SQL = (
    "## STAGE 2: SOOP — Tables\n\n1. Read WO-7a\n2. Write `sql/012_beds.sql`:\n\n"
    "```sql\nCREATE TABLE bed_plan (ward text PRIMARY KEY, beds int);\n```\n\n"
    "**Done when:** `sql/012_beds.sql` exists.\n\n"
)
CODE = (
    "## STAGE 3: BUILDER — Code\n\n1. Read WO-7b\n2. Write `etl/load.py`\n"
    "3. Write `src/beds.ts`\n\n**Done when:** `etl/load.py` compiles.\n\n"
)
CLERK = "## STAGE 4: CLERK — Wards\n\nCreate `data/wards.csv`.\n\n"
CHILDREN = "- **WO-7a** → SOOP (tables)\n- **WO-7b** → BUILDER (code)\n\n"


def lead(root: Path, workflow: str, **tickets: str) -> Report:
    inbox = root / "_WORK_ORDERS/00_INBOX"
    inbox.mkdir(parents=True, exist_ok=True)
    for id, text in {"WO-7": "# Beds\n", **tickets}.items():
        head = f"---\nid: {id}\ntitle: t\nstatus: 00_INBOX\nowner: LEAD\n---\n"
        (inbox / f"{id}_x.md").write_text(head + text, encoding="utf-8")
    job = Job(
        ticket="WO-7",
        parent="WO-7",
        family=(MemberInfo(id="WO-7", path="", status="00_INBOX", owner="LEAD"),),
        stage=1,
        agent="LEAD",
        workspace=str(root),
        workflow="w.md",
        workflow_text=workflow,
    )
    return Lead().work(job)


def handed(report: Report) -> dict[str, list[str]]:
    """Who answers for what: by the boxes of the new tickets, and LEAD's own section."""
    found = {t.id: re.findall(r"^- \[ \] (.*)$", t.text, re.MULTILINE) for t in report.tickets}
    found["WO-7"] = re.findall(r"^- WO-7 keeps: (.*)$", report.section, re.MULTILINE)
    return found


def checklist(*texts: str, group: str = "") -> str:
    boxes = "".join(f"- [ ] {text}\n" for text in texts)
    label = f"**{group}**\n\n" if group else ""
    return f"## STAGE 5: INSPECTOR — QA\n\n{label}{boxes}\n"


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("Only service_role can write", "WO-7a"),
        ("ward and beds are indexed", "WO-7a"),
        ("RLS is enabled on all tables", "WO-7a"),
        ("TypeScript interface `Bed` matches the database table", "WO-7b"),
        ("Python seed script sends each `nct_id` once", "WO-7b"),
        ("`etl/load.py` fills `bed_plan`", "WO-7b"),
        ("WO-7a says why", "WO-7a"),
        ("the table bed_plan has one row for each ward", "WO-7a"),
        # about a file of a stage without a child, about both, or about nothing that is made
        ("`data/wards.csv` has at least 8 rows", "WO-7"),
        ("Every figure has a published source", "WO-7"),
        ("`sql/012_beds.sql` and `etl/load.py` agree", "WO-7"),
        ("No secrets or keys in delivered files", "WO-7"),
        ("WO-7a and WO-7b agree", "WO-7"),
        ("The nurses like it", "WO-7"),
    ],
)
def test_a_criterion_goes_to_the_child_that_it_is_about(
    tmp_path: Path, text: str, owner: str
) -> None:
    found = handed(lead(tmp_path, HEAD + CHILDREN + SQL + CODE + CLERK + checklist(text)))
    assert [id for id, texts in found.items() if text in texts] == [owner]


ORDERS = (
    HEAD + "- **WO-7a** → SOOP (schema)\n- **WO-7b** → BUILDER (TypeScript hook)\n\n"
    "## STAGE 2: SOOP — Schema\n\n1. Read WO-7a\n2. Write `migrations/001_orders.sql`:\n\n"
    "```sql\nCREATE TABLE orders (id int PRIMARY KEY, total int);\n```\n\n"
    "## STAGE 3: BUILDER — Hook\n\n1. Read WO-7b\n2. Write `src/orders.ts`\n\n"
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("TypeScript types match the table `orders`", "WO-7a"),
        ("The TypeScript interface covers all columns of table `orders`", "WO-7a"),
        ("Hook reads `orders` through RLS", "WO-7a"),
        ("Column `total` of `orders` is nullable in the TypeScript type", "WO-7a"),
        ("Types for `orders` are exported", "WO-7a"),
        ("`getOrders` of the hook returns rows of orders", "WO-7a"),
        ("The schema is documented in the hook's comment", "WO-7a"),
        ("Orders are shown newest first", "WO-7a"),
        ("The table on the page can be sorted", "WO-7a"),
        ("Users in the role admin see the button", "WO-7a"),
        ("The page is told when a migration runs", "WO-7a"),
        ("The form names `migrations/001_orders.sql`", "WO-7a"),
        ("SQL comments explain why `src/orders.ts` needs the view", "WO-7b"),
        ("The migration says what `src/orders.ts` reads", "WO-7b"),
        ("Table `orders` has a comment that names TypeScript", "WO-7b"),
    ],
)
def test_a_mention_of_what_another_one_makes_does_not_decide(
    tmp_path: Path, text: str, wrong: str
) -> None:
    found = handed(lead(tmp_path, ORDERS + checklist(text)))
    assert text not in found[wrong]
    assert sum(text in texts for texts in found.values()) == 1


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("`src/orders.ts` exports `getOrders`", "WO-7b"),
        ("`src/orders.ts` fills orders", "WO-7b"),
        ("The migration can run twice", "WO-7a"),
        ("TypeScript code has no `any`", "WO-7b"),
        ("RLS is enabled on all tables", "WO-7a"),
        # the subject and the rest do not agree
        ("The migration is listed on the page", "WO-7"),
        ("TypeScript code knows each migration", "WO-7"),
        ("TypeScript code reads orders", "WO-7"),
    ],
)
def test_the_subject_of_a_criterion_decides(tmp_path: Path, text: str, owner: str) -> None:
    found = handed(lead(tmp_path, ORDERS + checklist(text)))
    assert [id for id, texts in found.items() if text in texts] == [owner]


def test_what_two_stages_say_stands_once(tmp_path: Path) -> None:
    workflow = HEAD + CHILDREN + SQL + CODE + checklist("`sql/012_beds.sql` exists")
    assert handed(lead(tmp_path, workflow))["WO-7a"] == ["`sql/012_beds.sql` exists."]


def test_a_stage_of_two_children_is_no_ones_alone(tmp_path: Path) -> None:
    both = HEAD + "- **WO-7a** → BUILDER (x)\n- **WO-7b** → BUILDER (y)\n\n"
    both += "## STAGE 2: BUILDER — Both\n\nWrite `a.txt`\n\n**Done when:** `a.txt` exists\n"
    assert handed(lead(tmp_path, both)) == {"WO-7a": [], "WO-7b": [], "WO-7": ["`a.txt` exists"]}


def test_what_an_adopted_child_does_not_say_stays_with_the_parent(tmp_path: Path) -> None:
    known, new = "RLS is enabled on all tables", "Only service_role can write"
    workflow = HEAD + CHILDREN + SQL + CODE + checklist(known, new)
    child = f"parent: WO-7\n\n## Acceptance Criteria\n\n- [ ] {known}\n"
    found = handed(lead(tmp_path, workflow, **{"WO-7a": child}))
    assert new in found["WO-7"]
    assert known not in found["WO-7"]


TEXTS = st.sampled_from(
    [
        "RLS is enabled on all tables", "Only service_role can write", "ward is indexed",
        "TypeScript interface `Bed` matches the database table", "`src/beds.ts` exports `beds`",
        "`etl/load.py` runs twice", "`data/wards.csv` is well-formed", "No secrets in files",
        "The wards agree", "WO-7b is quick", "WO-7a and WO-7b agree", "the script is short",
        "`sql/012_beds.sql` exists", "`etl/load.py` compiles.", "All calls have error handling",
    ]
)  # fmt: skip
AGENTS = st.sampled_from(["SOOP", "BUILDER", "CLERK"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), AGENTS), max_size=4, unique_by=lambda c: c[0]),
    st.lists(st.sampled_from([SQL, CODE, CLERK]), unique=True),
    st.lists(st.tuples(st.sampled_from(["Schema", "Code", "Data", ""]), TEXTS), max_size=8),
)
def test_no_criterion_is_lost_and_none_is_doubled(
    children: list[tuple[str, str]], stages: list[str], boxes: list[tuple[str, str]]
) -> None:
    workflow = HEAD + "".join(f"- **WO-7{c}** → {agent} (it)\n" for c, agent in children) + "\n"
    workflow += "".join(stages) + "## STAGE 9: INSPECTOR — QA\n\n"
    workflow += "".join(f"**{group or 'Other'}**\n\n- [ ] {text}\n\n" for group, text in boxes)
    with TemporaryDirectory() as folder:
        found = handed(lead(Path(folder), workflow))
    given_out = [text.rstrip(".") for texts in found.values() for text in texts]
    assert len(given_out) == len(set(given_out))
    if children:
        assert {text.rstrip(".") for _, text in boxes} <= set(given_out)
    for child, agent in children:
        for text in found[f"WO-7{child}"]:
            assert agent != "SOOP" or not re.search(r"TypeScript|\.ts|\.csv", text)

"""DESIGN 1, 2.6: tickets as people write them, folded to one vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.id_grammar import id_from_name
from orchestrator.domain.states import FolderRole
from orchestrator.domain.workflow import StatementKind
from orchestrator.storage.atomic import read
from orchestrator.tickets.board import Folders
from orchestrator.tickets.diagnosis import count_rejections
from orchestrator.tickets.reader import read_ticket
from orchestrator.tickets.ticket import Ticket

ODD = Path(__file__).parent.parent / "fixtures" / "odd_tickets"
EXPECTED: dict[str, dict[str, Any]] = json.loads(
    (ODD / "expectations.json").read_text(encoding="utf-8")
)


def write(root: Path, text: str, name: str = "WO-1_x.md", folder: str = "03_BUILD") -> Ticket:
    path = root / "_WORK_ORDERS" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read_ticket(path, Folders(), root)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_2_6_odd_tickets_are_read_and_diagnosed_as_expected(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    path = tmp_path / "_WORK_ORDERS" / expected["place_as"]
    path.parent.mkdir(parents=True)
    path.write_bytes((ODD / name).read_bytes())
    ticket = read_ticket(path, Folders(), tmp_path)
    read_as = [text or None for text in (ticket.id, ticket.status, ticket.owner)]
    assert read_as == [expected["id"], expected["status"], expected["owner"]]
    codes = {d.code for d in ticket.diagnoses}
    # boxes below "Tasks" and the like are not criteria, which is told
    told = name in ("02_preamble.md", "08_blank_before.md", "28_biggest.md")
    assert ("criteria-unread" in codes) == told
    assert codes - {"criteria-unread"} == (
        set() if expected["diagnosis"] == "ok" else {expected["diagnosis"]}
    )
    assert path.read_bytes() == (ODD / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("WO-231.md", "WO-231"), ("WO-231b.md", "WO-231b"), ("WO-904-blade-list.md", "WO-904"),
        ("WO_010_My_List.md", "WO_010"), ("WO-928.1_Day.md", "WO-928.1"),
        ("WO-928-C_Front.md", "WO-928-C"), ("WO-B7-back.md", "WO-B7"), ("WO-B0b_x.md", "WO-B0b"),
        ("WO-CALENDAR-EXPORT_Dates.md", "WO-CALENDAR-EXPORT"), ("WO-940-943_K.md", "WO-940-943"),
        ("WO-EPIC-901_x.md", "WO-EPIC-901"), ("GO-77_hours.md", "GO-77"), ("TASK-7_x.md", "TASK-7"),
        ("WO-5.md", "WO-5"), ("README.md", ""), ("notes.md", ""), ("wo-231.md", "wo-231"),
        ("Meeting-2025.md", ""),
    ],
)  # fmt: skip
def test_an_id_is_read_from_a_file_name(name: str, id: str) -> None:
    assert id_from_name(name) == id


def test_aliases_are_folded_and_the_main_key_wins(tmp_path: Path) -> None:
    ticket = write(
        tmp_path,
        "---\nwork_order_id: WO-1\nowner: LEAD → BUILDER\nassigned_to: SOOP\n"
        "parent_epic: WO-9 (x)\nchild_wos: [WO-1a (SOOP), WO-1b]\n"
        "blocked_by: [WO-2, WO-3]\nprerequisite: none (see WO-4)\n"
        "filed: 2025-01-02\npriority: P1 — soon\nfailure_count: '1'\n---\n# WO-1: The title\n",
    )
    assert (ticket.id, ticket.owner, ticket.parent) == ("WO-1", "LEAD", "WO-9")
    assert ticket.children == ("WO-1a", "WO-1b")
    assert ticket.child_roles == {"WO-1a": "SOOP"}
    assert (ticket.depends_on, ticket.depends_note) == (("WO-2", "WO-3"), "")
    assert (ticket.created, ticket.priority, ticket.failure_count) == ("2025-01-02", "P1 — soon", 1)
    assert (ticket.title, ticket.role) == ("The title", FolderRole.BUILD)


@pytest.mark.parametrize(
    ("depends", "ids", "note"),
    [
        ("WO-901", ("WO-901",), ""),
        ("WO-901, WO_010; GO-5-X", ("WO-901", "WO_010", "GO-5-X"), ""),
        ("[WO-1, 'WO-2 (later)']", ("WO-1", "WO-2"), "WO-2 (later)"),
        ("'WO-901 (must be live)'", ("WO-901",), "WO-901 (must be live)"),
        ("the new counter", (), "the new counter"),
        ("none (may run beside WO-901a)", (), ""),
        ("N/A", (), ""),
        ("[]", (), ""),
        ("no", (), ""),
        ("", (), ""),
    ],
)
def test_3_4_ids_are_read_from_dependencies(
    tmp_path: Path, depends: str, ids: tuple[str, ...], note: str
) -> None:
    ticket = write(tmp_path, f"---\nid: WO-1\ndepends_on: {depends}\n---\n")
    assert (ticket.depends_on, ticket.depends_note) == (ids, note)
    assert ("depends-prose" in {d.code for d in ticket.diagnoses}) == bool(note)


@pytest.mark.parametrize(
    ("owner", "first"),
    [
        ("PENDING_LEAD_ASSIGNMENT", "PENDING_LEAD_ASSIGNMENT"),
        ("USER (Anna)", "USER"),
        ("LEAD -> SOOP", "LEAD"),
        ("BUILDER / INSPECTOR", "BUILDER"),
        ("", ""),
    ],
)
def test_the_first_role_of_a_chain_acts(tmp_path: Path, owner: str, first: str) -> None:
    assert write(tmp_path, f"---\nid: WO-1\nowner: {owner}\n---\n").owner == first


@pytest.mark.parametrize("id", ["../../etc/x", "a/b", "''", "'a\\0b'", "[WO-1]", "x" * 90])
def test_8_4_an_id_that_is_none_is_not_taken(tmp_path: Path, id: str) -> None:
    ticket = write(tmp_path, f"---\nid: {id}\nstatus: 03_BUILD\n---\n", "WO-7_x.md")
    assert ticket.id == "WO-7"
    assert {d.code for d in ticket.diagnoses} & {"bad-id", "no-id"}


def test_the_frontmatter_outranks_the_name_and_a_mismatch_is_said(tmp_path: Path) -> None:
    ticket = write(tmp_path, "---\nid: WO-8\n---\n", "WO-7_x.md")
    assert (ticket.id, [d.code for d in ticket.diagnoses]) == ("WO-8", ["id-name"])


@pytest.mark.parametrize(
    ("status", "folder", "code"),
    [
        ("03_BUILD", "03_BUILD", None),
        ("04_BUILD", "03_BUILD", "status-renumbered"),
        ("BUILD", "03_BUILD", None),
        ("04_QA", "03_BUILD", "status-drift"),
        ("ASSIGNED", "03_BUILD", "status-unknown"),
    ],
)
def test_2_5_a_status_that_is_not_the_folder_is_drift(
    tmp_path: Path, status: str, folder: str, code: str | None
) -> None:
    ticket = write(tmp_path, f"---\nid: WO-1\nstatus: {status}\n---\n", folder=folder)
    assert [d.code for d in ticket.diagnoses] == ([code] if code else [])


# -- body ----------------------------------------------------------------------------------------

HOOK = """---
id: WO-512b
parent: WO-512
---
# Hook
**Owner: BUILDER | Parent: WO-512 | Pipeline: `flows/hours.md`**

## Important Notes
- **Do NOT create** `data/hours.csv` — that is ANALYST's job
- Do not touch the old table.

```
- [ ] boxes in code are content
Do NOT read this
```

## Acceptance Criteria
- [ ] `src/hours.ts` exports both functions
  with correct types
- [x] runs twice · receipt ab12

### Checks
- [ ] no personal data

## Later
- [ ] not a criterion
"""


def test_acceptance_gives_criteria_and_prohibitions_with_their_lines(tmp_path: Path) -> None:
    ticket = write(tmp_path, HOOK, "WO-512b.md")
    found = [(s.kind, s.text, s.line, s.group, s.ticked) for s in ticket.acceptance()]
    acceptance, prohibition = StatementKind.ACCEPTANCE, StatementKind.PROHIBITION
    assert found == [
        (prohibition, "Do NOT create `data/hours.csv`", 9, "Important Notes", False),
        (prohibition, "Do not touch the old table.", 10, "Important Notes", False),
        (
            acceptance,
            "`src/hours.ts` exports both functions with correct types",
            18,
            "Acceptance Criteria",
            False,
        ),
        (acceptance, "runs twice", 20, "Acceptance Criteria", True),
        (acceptance, "no personal data", 23, "Checks", False),
    ]
    assert {(s.source, s.ticket) for s in ticket.acceptance()} == {
        ("_WORK_ORDERS/03_BUILD/WO-512b.md", "WO-512b")
    }
    assert len(ticket.boxes()) == 4


@pytest.mark.parametrize(
    ("label", "count"),
    [
        ("# Acceptance criteria", 1),
        ("#### ACCEPTANCE CRITERIA (all)", 1),
        ("**Acceptance Criteria:**", 1),
        ("## Definition of done", 1),
        ("## 4. ✅ Acceptance Criteria", 1),
        ("## Tasks", 0),
        ("# WO-1: a page of acceptance criteria", 0),
    ],
)
def test_criteria_are_known_by_their_heading(tmp_path: Path, label: str, count: int) -> None:
    ticket = write(tmp_path, f"---\nid: WO-1\n---\n{label}\n- [ ] one\n# Else\n- [ ] two\n")
    assert len(ticket.acceptance()) == count


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HOOK, "flows/hours.md"),
        ("---\npipeline_workflow: a.md\n---\nPipeline: `b.md`\n", "a.md"),
        ("---\nid: WO-1\n---\n**Pipeline:** flows/x.md\n", "flows/x.md"),
        ("---\nid: WO-1\n---\n```\nPipeline: `b.md`\n```\n", ""),
    ],
)
def test_4_4_the_workflow_is_named_in_frontmatter_or_body(
    tmp_path: Path, text: str, named: str
) -> None:
    assert write(tmp_path, text).workflow == named


def test_a_section_ends_at_the_next_heading_of_its_level(tmp_path: Path) -> None:
    ticket = write(tmp_path, "# A\n## B\nx\n### C\ny\n```\n## no heading\n```\n## D\nz\n")
    assert ticket.section("b") == "x\n### C\ny\n```\n## no heading\n```\n"
    assert ticket.section("D") == "z\n"
    assert ticket.section("E") is None


def test_2_1_the_record_is_read_from_the_parent(tmp_path: Path) -> None:
    ticket = write(tmp_path, "---\nid: WO-1\nflow:\n  stage: 2\n---\n")
    assert (ticket.conducted, ticket.flow) == (True, {"stage": 2})
    plain = write(tmp_path, "---\nid: WO-1\nflow: yes\n---\n")
    assert (plain.conducted, plain.flow) == (False, None)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("## [STATUS: FAIL] - INSPECTOR REJECTION\nx\n", 1),
        ("## 🛑 [STATUS: FAIL] — INSPECTOR REJECTION #2\n**INSPECTOR Decision:** ❌ REJECTED\n", 1),
        ("**INSPECTOR Decision:** ❌ REJECTED\n", 1),
        ("## [STATUS: FAIL]\na\n## [STATUS: FAIL]\nb\n", 2),
        ("## [STATUS: PASS] - INSPECTOR APPROVED\n", 0),
        ("- If FAIL: append `## [STATUS: FAIL] - INSPECTOR REJECTION`\n", 0),
        ("## INSPECTOR 03_REVIEW CLEARANCE: [STATUS: FAIL]\n", 0),
        ("```\n## [STATUS: FAIL]\n```\n", 0),
    ],
)
def test_a_rejection_is_a_verdict_of_qa_and_counts_once(body: str, count: int) -> None:
    assert count_rejections(body) == count


def test_the_number_of_strikes_is_a_setting(tmp_path: Path) -> None:
    text = "---\nid: WO-1\nfailure_count: 2\n---\n"
    path = write(tmp_path, text).path
    assert [d.code for d in read_ticket(path, Folders(), tmp_path).diagnoses] == ["strike-limit"]
    assert read_ticket(path, Folders(), tmp_path, limit=3).diagnoses == ()
    held = text.replace("---\n", "---\nhold_reason: two strikes\n", 1)
    assert write(tmp_path, held, folder="98_HOLD").diagnoses == ()


@pytest.mark.parametrize("data", [b"", b"\x00\xff\xfe", b"---\nid: [\n", b"\xef\xbb\xbf"])
def test_2_6_a_bad_file_is_a_ticket_with_a_diagnosis(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "_WORK_ORDERS" / "00_INBOX" / "WO-3_x.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    ticket = read_ticket(path, Folders(), tmp_path)
    assert (ticket.id, ticket.note) == ("WO-3", False)
    assert ticket.diagnoses
    assert read(path) == data


def test_8_4_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("---\nid: WO-9\ntitle: key\n---\n", encoding="utf-8")
    path = tmp_path / "_WORK_ORDERS" / "00_INBOX" / "WO-3_x.md"
    path.parent.mkdir(parents=True)
    path.symlink_to(secret)
    ticket = read_ticket(path, Folders(), tmp_path)
    assert (ticket.id, ticket.title, [d.code for d in ticket.diagnoses]) == ("WO-3", "", ["link"])


@pytest.mark.timeout(20)
def test_8_4_long_runs_of_anything_are_read_at_once(tmp_path: Path) -> None:
    gap = " " * 60_000
    ticket = write(
        tmp_path,
        f"---\nid: WO-1\nowner: LEAD{gap}x\ndepends_on: WO-2{gap}x\nchildren: {'a,' * 30_000}\n"
        f"note: 'x{gap}\n---\n**A:**{gap}x\nPipeline:{gap}x\n"
        f"## Acceptance Criteria\n- [ ] a{gap}b\nDo NOT{gap}x\n{'**' * 9000}\n{'> ' * 9000}```\n",
    )
    assert (ticket.owner, ticket.depends_on, ticket.workflow) == ("LEAD x", ("WO-2",), "")
    assert [s.text for s in ticket.acceptance()][1:] == ["Do NOT x"]


@pytest.mark.parametrize("key", ["acceptance_critera", "acceptence-criteria", "succes_criteria"])
def test_a_misspelt_key_of_criteria_is_told(tmp_path: Path, key: str) -> None:
    path = tmp_path / "00_INBOX" / "WO-7_x.md"
    path.parent.mkdir()
    path.write_text(f"---\nid: WO-7\nstatus: 00_INBOX\n{key}: [x]\n---\n# T\n", encoding="utf-8")
    found = read_ticket(path, Folders()).diagnoses
    assert ("key-misspelt", 4) in [(d.code, d.line) for d in found]

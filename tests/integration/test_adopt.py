"""`orchestrate adopt` (DESIGN 2.1, 2.5): what is understood, what would change, only after yes."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import adopting
from orchestrator.cli.app import app
from orchestrator.conductor import adoption
from orchestrator.conductor.conductor import Conductor
from orchestrator.family import workflow_discovery
from orchestrator.markdown.frontmatter import Document
from orchestrator.tickets.board import Board
from orchestrator.tickets.catalog import Catalog
from orchestrator.workflow_reader import parser

ODD = Path(__file__).parent.parent / "fixtures" / "odd_tickets"
WORKFLOW = """# Two

## STAGE 1: BUILDER — Write
Create `out.txt`.

**Done when:** `out.txt` exists

## STAGE 2: USER CHECKPOINT #1 — Look

**Done when:** USER says "approved".
"""

Adopt = Callable[..., Result]
PROPOSE = adoption.propose


def lay(root: Path, place: str, text: str) -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def ticket(id: str, *lines: str) -> str:
    return "\n".join(["---", f"id: {id}", *lines, "---", f"# {id}", ""])


def snapshot(root: Path) -> dict[str, bytes]:
    files = (p for p in (root / "_WORK_ORDERS").rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A board with one family that has drifted, one ticket at rest, and a workflow."""
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "two.md").write_text(WORKFLOW, encoding="utf-8")
    lay(
        tmp_path,
        "01_TRIAGE/WO-5_P.md",
        '---\r\nid: WO-5\r\nstatus: "00_INBOX"   # by hand\r\nzebra: last\r\n'
        "pipeline_workflow: workflows/two.md\r\n---\r\n# Parent \r\n",
    )
    lay(tmp_path, "03_BUILD/WO-5a_A.md", ticket("WO-5a", "status: 04_QA", "parent: WO-5"))
    lay(tmp_path, "06_COMPLETE/WO-1_Done.md", ticket("WO-1", "status: 03_BUILD"))
    return tmp_path


@pytest.fixture
def adopt(root: Path) -> Adopt:
    return lambda *args: CliRunner().invoke(app, ["-C", str(root), "adopt", *args])


def told(result: Result) -> Any:
    return json.loads(result.stdout)


def reasons(result: Result) -> dict[str, str]:
    return {refusal["id"]: refusal["code"] for refusal in told(result)["refused"]}


# -- the preview ---------------------------------------------------------------------------------


def test_the_preview_shows_what_was_understood(adopt: Adopt) -> None:
    shown = adopt("WO-5a", "--dry-run").stdout
    for text in (
        "WO-5  Parent",
        "WO-5a  03_BUILD   nobody  _WORK_ORDERS/03_BUILD/WO-5a_A.md",
        "follows workflows/two.md: named by the ticket",
        "→ STAGE 1: BUILDER — Write (it would start here)",
        "  STAGE 2: USER CHECKPOINT #1 — Look",
        "! WO-5a [status-drift] line 3:",
        '-status: "00_INBOX"   # by hand',
        '+status: "01_TRIAGE"   # by hand',
        "-status: 04_QA",
        "+status: 03_BUILD",
        "+flow:",
        "1 family could be adopted; this was a dry run",
    ):
        assert text in shown, shown


def test_the_preview_as_json(adopt: Adopt) -> None:
    found = told(adopt("WO-5", "--dry-run", "--json"))
    assert set(found) == {"families", "refused", "conducted", "adopted", "dry_run"}
    (family,) = found["families"]
    assert [m["id"] for m in family["members"]] == ["WO-5", "WO-5a"]
    assert (family["workflow"], family["stage"]) == ("workflows/two.md", 1)
    assert {d["code"] for d in family["diagnoses"]} == {"status-drift"}
    assert [c["path"] for c in family["changes"]] == [m["path"] for m in family["members"]]


@pytest.mark.parametrize("args", [(), ("--dry-run",), ("--json",), ("--json", "--dry-run")])
def test_without_a_yes_nothing_changes(root: Path, adopt: Adopt, args: tuple[str, ...]) -> None:
    before = snapshot(root)
    result = adopt("WO-5", *args)
    assert result.exit_code == (0 if "--dry-run" in args else 1)
    assert ("nothing is changed without your consent" in result.stderr) is ("--dry-run" not in args)
    assert snapshot(root) == before


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_at_a_terminal_it_asks(
    root: Path, adopt: Adopt, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal:
        """The runner's streams, as a terminal has them."""

        def __getattr__(self, name: str) -> Any:
            return getattr(sys, name)

        def __init__(self) -> None:
            self.stdin = self.stdout = self

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(adopting, "sys", Terminal())
    before = snapshot(root)
    result = CliRunner().invoke(app, ["-C", str(root), "adopt", "WO-5"], input=answer)
    assert "Adopt 1 family? [y/N]" in result.stdout
    assert result.exit_code == code
    assert (snapshot(root) == before) is (code == 1)


# -- adopting ------------------------------------------------------------------------------------


def test_what_changes_is_what_was_shown_and_nothing_else(root: Path, adopt: Adopt) -> None:
    (family,) = told(adopt("WO-5", "--dry-run", "--json"))["families"]
    before = snapshot(root)
    assert adopt("WO-5", "--yes").exit_code == 0
    after = snapshot(root)
    changed = {p for p, data in after.items() if data != before.get(p)}
    assert changed == {c["path"] for c in family["changes"]} | {"_WORK_ORDERS/.receipts/WO-5.jsonl"}
    for change in family["changes"]:
        had, has = (set(b[change["path"]].decode().split("\n")) for b in (before, after))
        lines = [line for line in change["diff"] if line[:3] not in ("---", "+++")]
        assert {line[1:] for line in lines if line[0] == "+"} == has - had
        assert {line[1:] for line in lines if line[0] == "-"} == had - has


def test_2_5_a_status_that_was_stale_is_not_taken_for_a_wish(root: Path, adopt: Adopt) -> None:
    assert adopt("WO-5", "--yes").exit_code == 0
    board = Board(root)
    assert [(t.id, t.folder, t.status) for t in board.family("WO-5")] == [
        ("WO-5", "01_TRIAGE", "01_TRIAGE"),
        ("WO-5a", "03_BUILD", "03_BUILD"),
    ]
    assert board.find("WO-5").flow is not None
    assert not (root / "out.txt").exists()


def test_adopting_again_changes_nothing(root: Path, adopt: Adopt) -> None:
    adopt("--all", "--yes")
    before = snapshot(root)
    result = adopt("--all", "--yes", "--json")
    assert (result.exit_code, told(result)["conducted"]) == (0, ["WO-5"])
    assert told(result)["families"] == []
    assert snapshot(root) == before


def test_a_family_that_changed_since_it_was_shown_is_left(root: Path) -> None:
    conductor = Conductor(Board(root))
    found = adoption.survey(conductor, ["WO-5"])
    path = root / "_WORK_ORDERS/03_BUILD/WO-5a_A.md"
    path.write_text(path.read_text().replace("# WO-5a", "owner: x\n"), encoding="utf-8")
    lay(root, "00_INBOX/WO-6_x.md", ticket("WO-6", "parent: WO-5"))
    before = snapshot(root)
    adopted, late = adoption.adopt(conductor, found.proposals)
    assert (adopted, [(r.id, r.code) for r in late]) == ([], [("WO-5", "changed")])
    assert snapshot(root) == before


def test_a_remark_written_meanwhile_does_not_prevent_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor = Conductor(Board(root))
    lay(root, "00_INBOX/WO-8_x.md", ticket("WO-8", "status: 00_INBOX"))
    found = adoption.survey(conductor, ["WO-5", "WO-8"])
    path = root / "_WORK_ORDERS/03_BUILD/WO-5a_A.md"
    path.write_text(path.read_text() + "\nAnother line.\n", encoding="utf-8")
    again = []

    def propose(*given: Any) -> adoption.Proposal:
        again.append(given[1][0].id)
        return PROPOSE(*given)

    monkeypatch.setattr(adoption, "propose", propose)
    assert adoption.adopt(conductor, found.proposals) == (["WO-5", "WO-8"], [])
    assert again == ["WO-5"], "what is as it was shown is not worked out again"


def test_a_family_that_is_conducted_meanwhile_is_left(root: Path) -> None:
    conductor = Conductor(Board(root))
    found = adoption.survey(conductor, ["WO-5"])
    Conductor(Board(root)).adopt("WO-5")
    before = snapshot(root)
    adopted, late = adoption.adopt(conductor, found.proposals)
    assert (adopted, [r.id for r in late]) == ([], ["WO-5"])
    assert snapshot(root) == before


def test_a_child_that_came_after_the_survey_is_seen(root: Path) -> None:
    conductor = Conductor(Board(root))
    found = adoption.survey(conductor, ["WO-5"])
    lay(root, "00_INBOX/WO-5b_x.md", ticket("WO-5b", "parent: WO-5"))
    adopted, late = adoption.adopt(conductor, found.proposals)
    assert (adopted, [r.code for r in late]) == ([], ["changed"])


def test_a_ticket_that_left_its_place_meanwhile_is_found(root: Path) -> None:
    conductor = Conductor(Board(root))
    lay(root, "00_INBOX/WO-8_x.md", ticket("WO-8", "status: 00_INBOX"))
    found = adoption.survey(conductor, ["WO-5", "WO-8"])
    before = root / "_WORK_ORDERS/00_INBOX/WO-8_x.md"

    def leave(*_: Any) -> None:
        if before.exists():
            before.rename(root / "_WORK_ORDERS/01_TRIAGE/WO-8_x.md")

    conductor.opener.listener = leave
    conductor.board.remember = leave  # type: ignore[assignment,method-assign]
    adopted, late = adoption.adopt(conductor, found.proposals)
    assert (adopted, [(r.id, r.code) for r in late]) == (["WO-5"], [("WO-8", "changed")])


def test_many_families_are_looked_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(100, 108):
        text = ticket(f"WO-{n}", "status: 00_INBOX", "owner: LEAD")
        lay(root, f"00_INBOX/WO-{n}_x.md", text.replace("owner", "pipeline_workflow: w.md\nowner"))
    (root / "w.md").write_text("# W\n\n## STAGE 1: USER CHECKPOINT #1 — Look\n", "utf-8")
    conductor = Conductor(Board(root))
    ids = [f"WO-{n}" for n in range(100, 108)]
    done: Counter[str] = Counter()

    def count(of: Any, name: str) -> None:
        real = getattr(of, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            done[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(of, name, counted)

    count(parser, "read_workflow_bytes")
    count(workflow_discovery, "_Values")
    found = adoption.survey(conductor, ids)
    assert done["read_workflow_bytes"] + done["_Values"] == 1, "what names no ticket is read once"
    count(Catalog, "_list_all")
    count(Document, "parse")
    assert adoption.adopt(conductor, found.proposals) == (ids, [])
    assert done["_list_all"] == 1, "the folders"
    assert done["parse"] == 0, "what the survey has read, and what is written, is known"


def test_a_workflow_can_be_given(root: Path, adopt: Adopt) -> None:
    lay(root, "00_INBOX/WO-7_x.md", ticket("WO-7", "status: 00_INBOX"))
    (family,) = told(adopt("WO-7", "--dry-run", "--json"))["families"]
    assert family["found"].startswith("the shipped default")
    result = adopt("WO-7", "--workflow", "workflows/two.md", "--yes", "--json")
    (family,) = told(result)["families"]
    assert (family["workflow"], family["found"]) == ("workflows/two.md", "named by --workflow")
    assert told(result)["adopted"] == ["WO-7"]


def test_ids_or_all_but_not_both_and_not_neither(adopt: Adopt) -> None:
    assert adopt().exit_code == 2
    assert adopt("WO-5", "--all").exit_code == 2


# -- what cannot be adopted ----------------------------------------------------------------------


def test_what_cannot_be_adopted_is_listed_and_does_not_stop_the_others(
    root: Path, adopt: Adopt
) -> None:
    lay(root, "00_INBOX/WO-10_x.md", ticket("WO-10", "depends_on: WO-11"))
    lay(root, "00_INBOX/WO-11_x.md", ticket("WO-11", "depends_on: [WO-12, WO-5]"))
    lay(root, "00_INBOX/WO-12_x.md", ticket("WO-12", "depends_on: WO-10"))
    lay(root, "00_INBOX/WO-13_x.md", ticket("WO-13", "depends_on: WO-10"))
    lay(root, "00_INBOX/WO-20_x.md", ticket("WO-20", "parent: WO-21"))
    lay(root, "00_INBOX/WO-21_x.md", ticket("WO-21", "parent: WO-20"))
    lay(root, "00_INBOX/WO-30_x.md", ticket("WO-30", "flow: {stage: x}"))
    lay(root, "00_INBOX/WO-31_a.md", ticket("WO-31"))
    lay(root, "03_BUILD/WO-31_b.md", ticket("WO-31"))
    lay(root, "00_INBOX/WO-32_x.md", ticket("WO-32", "title: a: b"))
    lay(root, "NOWHERE/WO-33_x.md", ticket("WO-33"))
    lay(root, "00_INBOX/WO-34_x.md", ticket("WO-34", "pipeline_workflow: ../../secret.md"))
    lay(root, "00_INBOX/WO-35_x.md", ticket("WO-35"))
    lay(root, "00_INBOX/WO-35a_x.md", ticket("WO-35a", "parent: WO-35", "flow: {stage: 1}"))
    lay(root, "00_INBOX/WO-36_x.md", ticket("WO-36") + "<<<<<<< ours\n")
    wide = lay(root, "00_INBOX/WO-37_x.md", "")
    wide.write_bytes(ticket("WO-37").encode("utf-16"))
    before = snapshot(root)
    result = adopt("--all", "--yes", "--json")
    assert result.exit_code == 0
    assert sorted(told(result)["adopted"]) == ["WO-13", "WO-5"]
    assert reasons(result) == {
        "WO-1": "not-startable",
        "WO-10": "cycle",
        "WO-11": "cycle",
        "WO-12": "cycle",
        "WO-20": "cycle",
        "WO-30": "bad-record",
        "WO-31": "duplicate-id",
        "WO-32": "yaml-colon",
        "WO-33": "unknown-folder",
        "WO-34": "no-such-workflow",
        "WO-35": "conducted-member",
        "WO-36": "merge-conflict",
        "WO-37": "not-utf8",
    }
    after = snapshot(root)
    same = {p for p in before if after[p] == before[p]}
    assert {p for p in before if p not in same} == {
        "_WORK_ORDERS/00_INBOX/WO-13_x.md",
        "_WORK_ORDERS/01_TRIAGE/WO-5_P.md",
        "_WORK_ORDERS/03_BUILD/WO-5a_A.md",
    }


def test_a_named_ticket_that_is_refused_is_exit_code_1(root: Path, adopt: Adopt) -> None:
    result = adopt("WO-1", "WO-404", "WO-5", "--yes")
    assert result.exit_code == 1
    assert "✗ WO-1 [not-startable] it is in 06_COMPLETE" in result.stdout
    assert "✗ WO-404 [no-such-ticket] there is no ticket WO-404" in result.stdout
    assert "adopted 1 family: WO-5" in result.stdout


def test_refusals_of_one_kind_are_one_line(root: Path, adopt: Adopt) -> None:
    for n in range(100, 120):
        lay(root, f"06_COMPLETE/WO-{n}_x.md", ticket(f"WO-{n}"))
    lines = [line for line in adopt("--all", "--dry-run").stdout.splitlines() if "✗" in line]
    assert lines == [
        "✗ WO-100, WO-101, WO-102, WO-103, WO-104, WO-105, WO-106, WO-107 and 13 more "
        "[not-startable] it is in 06_COMPLETE"
    ]


def test_8_4_control_characters_of_a_ticket_do_not_reach_the_terminal(
    root: Path, adopt: Adopt
) -> None:
    lay(root, "00_INBOX/WO-40_x.md", ticket("WO-40", "status: '\x1b]0;x\x07'", "owner: \x1b[2J"))
    shown = adopt("WO-40", "--dry-run").stdout
    assert "WO-40" in shown
    assert "\x1b" not in shown


def test_the_odd_tickets_are_adopted_line_by_line_or_left_alone(root: Path, adopt: Adopt) -> None:
    places = json.loads((ODD / "expectations.json").read_text(encoding="utf-8"))
    for name, expected in places.items():
        path = root / "_WORK_ORDERS" / expected["place_as"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ODD / name, path)
    before = snapshot(root)
    result = adopt("--all", "--yes", "--json")
    assert len(told(result)["adopted"]) > 10
    assert {"yaml-colon", "yaml-after-quote", "not-startable"} <= set(reasons(result).values())
    changes = {c["path"]: c for f in told(result)["families"] for c in f["changes"]}
    for path, data in snapshot(root).items():
        if path in before and data != before[path]:
            had, has = (b.decode().split("\n") for b in (before[path], data))
            removed = [line[1:] for line in changes[path]["diff"][2:] if line[0] == "-"]
            added = [line[1:] for line in changes[path]["diff"][2:] if line[0] == "+"]
            kept = list(has)
            for line in added:
                kept.remove(line)
            for line in removed:
                had.remove(line)
            assert kept == had
    again = adopt("--all", "--yes", "--json")
    assert told(again)["adopted"] == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((word, "not-startable") for word in ("done", "Closed", "resolved", "CANCELLED")),
        *((word, "not-startable") for word in ("won't fix", "paused", "blocked", "Deferred")),
        *((word, "unknown-status") for word in ("cooking", "P2", "ask Bob")),
        *((word, "") for word in ("todo", "To Do", "open", "in-progress", "Doing", "01_TRIAGE")),
    ],
)
def test_4_8_finished_and_unknown_work_is_not_begun(tmp_path: Path, status: str, code: str) -> None:
    path = lay(
        tmp_path, "00_INBOX/WO-9_x.md", ticket("WO-9", f'status: "{status}"', "owner: BUILDER")
    )
    before = path.read_bytes()
    done = CliRunner().invoke(app, ["-C", str(tmp_path), "adopt", "WO-9", "--yes"])
    assert (done.exit_code == 0) is (code == ""), done.output
    assert code in done.output
    if code:
        assert path.read_bytes() == before


def test_4_8_a_word_of_the_board_is_configured(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-9_x.md", ticket("WO-9", "status: cooking", "owner: BUILDER"))
    (tmp_path / "orchestrate.toml").write_text(
        '[board.aliases]\ncooking = "BUILD"\n', encoding="utf-8"
    )
    done = CliRunner().invoke(app, ["-C", str(tmp_path), "adopt", "WO-9", "--yes"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("status", ["in progress", "QA", "APPROVED"])
def test_2_5_a_status_of_another_place_is_settled_before_a_family_begins(
    tmp_path: Path, status: str
) -> None:
    path = lay(
        tmp_path, "00_INBOX/WO-9_x.md", ticket("WO-9", f"status: {status}", "owner: BUILDER")
    )
    before = path.read_bytes()
    run = CliRunner().invoke(app, ["-C", str(tmp_path), "run", "WO-9"])
    assert run.exit_code == 1
    assert "status-drift" in run.output
    assert path.read_bytes() == before
    adopted = CliRunner().invoke(app, ["-C", str(tmp_path), "adopt", "WO-9", "--yes"])
    assert adopted.exit_code == 0, adopted.output
    assert "status: 00_INBOX" in path.read_text(encoding="utf-8")

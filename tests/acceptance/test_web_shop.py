"""A team's first hour: a web shop in its own repository, from `init` to COMPLETE.

The coding agent is a command of the shop's own. It does what it was asked for, and at first
a little more; it reports nothing but that it is done.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspaces import Desk

TICKET = """\
---
id: WO-2
title: Round totals to cents
status: 00_INBOX
owner: BUILDER
files: ["shop/totals.py", "tests/"]
pipeline_workflow: workflows/fix.md
---
# Round totals to cents

Customers saw 0.36000000000000004.

## Acceptance Criteria

- [ ] All tests in `tests/` pass
- [ ] `shop/totals.py` exports total
- [ ] Only `shop/` and `tests/` changed
- [] The prices look right to a customer

**Done when:** `tests/test_rounding.py` exists.
"""

TESTS = """\
from shop.totals import total


def test_tax_is_added() -> None:
    assert total([10.0]) == 12.0
"""


class Shop(Desk):
    def __init__(self, root: Path) -> None:
        super().__init__("shop", root, "WO-2")
        (root / "tests").mkdir()
        (root / "tests" / "test_totals.py").write_text(TESTS, encoding="utf-8")
        (root / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n", encoding="utf-8")
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ana")
        self.git("config", "user.email", "ana@shop.example")
        self.commit("The shop")

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The shop after `init`, with its first ticket."""
    shop = Shop(tmp_path / "shop")
    shop.orchestrate("init")
    settings = shop.root / "orchestrate.toml"
    agent = f'\n[agents.BUILDER]\npart = "maker"\ncommand = ["{sys.executable}", "{{}}"]\n'
    program = (shop.root / "tools" / "coder.py").as_posix()
    settings.write_text(
        settings.read_text(encoding="utf-8") + agent.format(program), encoding="utf-8"
    )
    board = shop.root / "_WORK_ORDERS" / "00_INBOX"
    (board / "WO-2_Round_Totals.md").write_text(TICKET, encoding="utf-8")
    shop.commit("Plan the rounding")
    return shop


def test_from_init_to_complete(shop: Shop) -> None:
    told = shop.orchestrate("run", "WO-2", code=10)
    question = told.partition("Question 1")[2]

    # the first attempt went further than it was asked to: it is taken back, and kept
    assert "BUILDER changed README.md, shop/legacy.py, which is outside of the `files:`" in told
    kept = shop.root / ".orchestrate/kept/WO-2/stage-1-attempt-1"
    assert "The best web shop" in (kept / "README.md").read_text(encoding="utf-8")
    assert "A small web shop" in (shop.root / "README.md").read_text(encoding="utf-8")
    assert (shop.root / "shop/legacy.py").is_file()
    assert shop.places()["WO-2"] == "05_USER_REVIEW"

    # approving first, then what is open, then a count of what is proven, and every line once
    heads = ["Approving ends the work", "Unproven (1)", "4 proven", "Changed files (2)"]
    places = [question.index(head) for head in heads]
    assert places == sorted(places), question
    assert "+    return round(sum(prices) * (1 + tax), 2)" in question
    assert "tests/test_rounding.py · added" in question
    lines = [line.strip() for line in question.splitlines() if len(line.strip()) > 40]
    assert len(lines) == len(set(lines)), question
    asked = shop.question()
    assert [s["text"] for s in asked["unproven"]] == ["The prices look right to a customer"]
    assert len(asked["proven"]) == 4
    assert asked["failed"] == []

    # a bare approval does not cover what is unproven
    refused = shop.orchestrate("approve", "WO-2", code=1)
    assert "look right" in refused or refused == ""
    shop.approve("--accept-unproven")
    shop.orchestrate("run", "WO-2")
    assert shop.places()["WO-2"] == "06_COMPLETE"

    # the ticket is still a ticket: what a person wrote, ticked, and one line for the question
    text = shop.text("WO-2")
    boxes = [line for line in text.splitlines() if line.startswith(("- [", "-["))]
    assert [line[:5] for line in boxes[:3]] == ["- [x]"] * 3
    assert "Customers saw 0.36000000000000004." in text
    assert text.count("**APPROVED**") == 1
    assert "### USER" not in text
    assert len(text.splitlines()) < 3 * len(TICKET.splitlines())
    assert "4 hold, 1 unproven, 0 no longer hold" in shop.orchestrate("verify", "WO-2")


def test_an_edit_after_the_question_is_shown_before_anything_is_approved(shop: Shop) -> None:
    shop.orchestrate("run", "WO-2", code=10)
    totals = shop.root / "shop/totals.py"
    totals.write_text(totals.read_text(encoding="utf-8") + "\n\nLATE = True\n", encoding="utf-8")
    shop.orchestrate("approve", "WO-2", "--accept-unproven", code=1)
    assert "+LATE = True" in shop.orchestrate("review", "WO-2")
    assert shop.places()["WO-2"] == "05_USER_REVIEW"


def test_what_git_sees(shop: Shop) -> None:
    shop.orchestrate("run", "WO-2", code=10)
    shop.approve("--accept-unproven")
    shop.orchestrate("run", "WO-2")
    commits = shop.git("log", "--format=%s%x00%(trailers:key=Orchestrate-Ticket,valueonly)%x01")
    by_conductor = [c for c in commits.split("\x01") if c.strip().startswith("WO-2: ")]
    assert by_conductor
    assert all(c.split("\x00")[1].strip() == "WO-2" for c in by_conductor)

    # a clone in which `init` never ran has nothing of the conductor's own to commit
    clone = shop.root.parent / "clone"
    shop.git("clone", "-q", ".", str(clone))
    copy = Desk.__new__(Desk)
    copy.root, copy.ticket = clone, "WO-2"
    copy.orchestrate("list")
    assert (clone / ".orchestrate").is_dir()
    status = ["git", "-C", str(clone), "status", "--short"]
    assert subprocess.run(status, check=True, capture_output=True, text=True).stdout == ""

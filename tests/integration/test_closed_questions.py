"""A question that is closed is one line in the ticket; all that it showed is still to be seen."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.errors import UsageError
from orchestrator.family.additions import Additions
from orchestrator.markdown.body import MARK
from orchestrator.review.model import build_review
from orchestrator.settings.config import Settings
from orchestrator.tickets.board import Board
from tests.boards import Workspace


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    found.conductor().run("WO-512")
    return found


def section(work: Workspace, number: int) -> str:
    """A question's section, up to the next one of its level."""
    text = work.file("WO-512").read_text(encoding="utf-8")
    pattern = rf"^## [^\n]*question {number}$\n(.*?)(?=^## |\Z)"
    (found,) = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return str(found)


def edit(work: Workspace, old: str, new: str) -> None:
    file = work.file("WO-512")
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_approval_folds_to_who_when_how_digest_and_counts(work: Workspace) -> None:
    digest = work.conductor().status("WO-512")["question"]["digest"]
    work.conductor().approve("WO-512", note="looks good\n# and no heading")
    lines = section(work, 1).strip().splitlines()
    assert lines[0] == MARK
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    pattern = rf"\*\*APPROVED\*\* {when} by USER \(command line\) · \d+ proven · digest `(\w+)` · "
    found = re.match(pattern, lines[1])
    assert found is not None
    assert digest.startswith(found[1])
    assert "[receipts](../.receipts/WO-512.jsonl)" in lines[1]
    assert lines[2:] == ["", "> looks good", r"> \# and no heading"]


def test_words_in_the_file_and_notes_between_the_lines_stay(work: Workspace) -> None:
    edit(work, "### USER\n", "### USER\n\nFirst.\n\n- and second\n\n#### third\n")
    edit(work, "**To answer**", "I read none of it.\n\n**To answer**")
    edit(work, "status: 05_USER_REVIEW", "status: CHANGES_REQUESTED")
    work.conductor().run("WO-512")
    kept = section(work, 1)
    assert "**CHANGES_REQUESTED**" in kept
    assert "(file)" in kept
    assert kept.index("I read none of it.") < kept.index("### USER")
    assert kept.endswith("### USER\n\nFirst.\n\n- and second\n\n#### third\n\n")
    assert "To answer" not in kept
    assert "> - and second" in work.file("WO-512a").read_text(encoding="utf-8")


def test_every_way_to_close_a_question_folds_it(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.hold("WO-512", reason="wait for the licence")
    assert "**HOLD**" in section(work, 1)
    assert "> wait for the licence" in section(work, 1)
    conductor.resume("WO-512")
    conductor.run("WO-512")
    (work.root / "out/first.txt").write_text("other", encoding="utf-8")
    with pytest.raises(Exception, match="has changed"):
        conductor.approve("WO-512")
    assert "**Asked again**" in section(work, 2)
    assert "because `out/first.txt`: sha256" in section(work, 2)
    conductor.archive("WO-512")
    assert "**ARCHIVE**" in section(work, 3)
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "### USER" not in text
    assert "**To answer**" not in text


def test_what_a_closed_question_showed_can_be_seen_again(work: Workspace) -> None:
    asked = work.conductor().status("WO-512")["question"]
    work.to_the_end()
    review = build_review(Board(work.root), Settings(), "WO-512", number=1)
    assert review.question is not None
    assert review.question.digest == asked["digest"]
    assert [s.text for s in review.statements if s.verdict == "proven"] == [
        s["text"] for s in asked["proven"]
    ]
    assert (review.closed, review.how) == (True, ())
    with pytest.raises(UsageError, match="no question 7"):
        build_review(Board(work.root), Settings(), "WO-512", number=7)
    ran = CliRunner().invoke(app, ["-C", str(work.root), "review", "WO-512", "--question", "1"])
    assert "It is closed; this is what it showed." in ran.output
    assert "To answer" not in ran.output


@pytest.mark.parametrize("known", [True, False], ids=["an old save", "an old version"])
def test_8_2_an_old_file_brings_back_neither_the_answer_keys_nor_the_question(
    work: Workspace, known: bool
) -> None:
    old = work.file("WO-512").read_bytes()
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    if not known:
        shutil.rmtree(work.root / ".orchestrate/state")
    work.file("WO-512").write_bytes(old)
    work.conductor().run("WO-512")
    assert "**APPROVED**" in section(work, 1)
    assert "To answer" not in section(work, 1)
    assert "To answer" in section(work, 2)


def test_8_1_what_was_not_on_disk_yet_is_written_folded_and_only_once() -> None:
    asked, answered = Additions(), Additions()
    asked.section("WO-1", "## Q — question 1\n\n- `APPROVED`\n\n### USER")
    written = asked.sections["WO-1"][0]
    folded = f"## Q — question 1\n{MARK}\n**APPROVED**\n"
    answered.fold("WO-1", written, folded)
    united = Additions()
    for one in (asked, answered):
        united.add_later(Additions.from_dict(json.loads(json.dumps(one.to_dict()))))
    for lost in ("", written, written + "\nmine\n", folded):
        text = united.edit("WO-1", f"# T\n\n{lost}".encode()).decode()
        assert text.count("## Q") == text.count("**APPROVED**") == 1
        assert "`APPROVED`" not in text
        assert ("mine" in text) is ("mine" in lost)


def test_every_section_of_the_conductor_is_marked(work: Workspace) -> None:
    work.to_the_end()
    lines = work.file("WO-512").read_text(encoding="utf-8").splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("## ")]
    assert heads
    assert all(lines[at + 1] == MARK for at in heads)

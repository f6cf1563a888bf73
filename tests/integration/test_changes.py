"""What agents change is looked at, not what they say: with git and without (DESIGN 5.6a)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.approvals.answers import AnswerRefusedError
from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.family.untrusted_checks import checks_left_by_agents
from orchestrator.review.html import render_page
from orchestrator.review.model import build_review
from orchestrator.settings.config import Settings
from orchestrator.storage import syscalls
from tests.boards import Workspace

WORKFLOW = """\
# One file

## STAGE 1: SOOP — Work
Do what the ticket says.

**Done when:** `README.md` exists

## STAGE 2: USER CHECKPOINT #1 — Look
"""
TICKET = """\
---
id: WO-512
title: "One file"
status: 00_INBOX
owner: SOOP
pipeline_workflow: workflows/two-files.md
{files}
---
# One file
"""
FILES = {"README.md": "one\ntwo\n", "src/app.py": "a = 1\n", "sql/001.sql": "select 1;\n"}


def git(root: Path, *args: str) -> str:
    identity = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
    done = subprocess.run(
        ["git", *identity, *args], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(params=["git", "plain"])
def by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def lay(root: Path, by: str, files: str = "files:", workflow: str = WORKFLOW) -> Workspace:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    work = Workspace(root, workflow, TICKET.format(files=files))
    if by == "git":
        git(root, "init", "-q", "-b", "main")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "base")
    return work


def acts(work: Workspace, act: Callable[[Path], object], **report: Any) -> None:
    """Let the agent do something, and report nothing of it."""

    def work_on(job: Job) -> Report:
        act(job.root)
        return Report(**{"outcome": Outcome.DONE, **report})

    work.soop.act = work_on


def write(path: str, text: str) -> Callable[[Path], object]:
    def act(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")

    return act


def question(work: Workspace) -> str:
    """The text of the question in the ticket."""
    return work.file("WO-512").read_text(encoding="utf-8").partition("## USER ")[2]


def changed(work: Workspace) -> dict[str, str]:
    """Path → kind of what the open question covers."""
    found = work.conductor().status("WO-512")["question"]["changed_files"]
    return {each["path"]: each["kind"] for each in found}


def records(work: Workspace, kind: str) -> list[dict[str, Any]]:
    return [r for r in work.conductor().log("WO-512") if r["type"] == kind]


# -- what is seen ------------------------------------------------------------------------------


def everything(root: Path) -> None:
    write("docs/a new file.md", "new\n")(root)
    write("README.md", "one\n2\n")(root)
    (root / "sql" / "001.sql").rename(root / "sql" / "002.sql")
    (root / "src" / "app.py").chmod(0o755)
    (root / "link").symlink_to("/etc/passwd")
    (root / "line\nend").write_bytes(b"\0")
    (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9"))).write_text("x\n", encoding="utf-8")


def test_every_kind_of_change_is_in_the_question(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, everything)
    work.conductor().run("WO-512")
    assert changed(work) == {
        "README.md": "edited",
        "caf\\xe9": "added",
        "docs/a new file.md": "added",
        "line\\nend": "added",
        "link": "added",
        "sql/002.sql": "renamed",
        "src/app.py": "mode",
    }
    asked = question(work)
    for line in ("-two", "+2", "+-> /etc/passwd", "renamed from sql/001.sql", "made executable"):
        assert line in asked
    assert "root:" not in asked


def test_a_deletion_can_be_reported_and_is_looked_at(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    gone = Artifact(path="sql/001.sql", state="deleted")
    acts(work, lambda root: (root / "sql/001.sql").unlink(), artifacts=(gone,))
    work.conductor().run("WO-512")
    assert changed(work) == {"sql/001.sql": "deleted"}

    other = lay(tmp_path / "other", by)
    acts(other, lambda _: None, artifacts=(gone,))
    assert other.conductor().run("WO-512").outcome == "held"
    assert "as deleted, which is still there" in other.file("WO-512").read_text(encoding="utf-8")


def test_what_was_changed_before_is_the_persons(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    write("src/app.py", "mine\n")(tmp_path)
    write("notes.txt", "mine too\n")(tmp_path)
    acts(work, write("README.md", "three\n"))
    work.conductor().run("WO-512")
    assert changed(work) == {"README.md": "edited"}


def test_a_further_edit_makes_the_approval_stale(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, lambda root: (root / "sql/001.sql").unlink())
    conductor = work.conductor()
    conductor.run("WO-512")
    write("notes.txt", "not of the family\n")(tmp_path)
    write("sql/001.sql", "drop table everything;\n")(tmp_path)
    with pytest.raises(AnswerRefusedError, match=r"sql/001\.sql"):
        conductor.approve("WO-512")
    assert "+drop table everything;" in question(work)
    conductor.approve("WO-512")
    assert conductor.run("WO-512").outcome == "complete"


def test_what_is_not_of_the_family_does_not_make_it_stale(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, write("README.md", "three\n"))
    conductor = work.conductor()
    conductor.run("WO-512")
    write("src/app.py", "mine\n")(tmp_path)
    conductor.approve("WO-512")
    assert conductor.run("WO-512").outcome == "complete"


def test_only_a_path_changed_compares_with_the_start(tmp_path: Path, by: str) -> None:
    rule = WORKFLOW.replace("`README.md` exists", "only `README.md` changed")
    work = lay(tmp_path, by, workflow=rule)
    write("src/app.py", "mine\n")(tmp_path)
    write(".npm/_logs/x.log", "a cache\n")(tmp_path)
    acts(work, write("README.md", "three\n"))
    work.conductor().run("WO-512")
    (receipt,) = (
        r for r in work.conductor().receipts("WO-512") if "only" in r["statement"]["text"]
    )
    assert receipt["verdict"] == "proven", receipt


def test_a_file_that_is_not_to_be_created_is_seen_unreported(tmp_path: Path, by: str) -> None:
    rule = WORKFLOW.replace("**Done", "Do NOT create `seed.csv`\n\n**Done")
    work = lay(tmp_path, by, workflow=rule)
    acts(work, write("seed.csv", "a,b\n"))
    assert work.conductor().run("WO-512").outcome == "held"


# -- what is refused, and taken back -----------------------------------------------------------


def test_what_is_outside_of_files_is_taken_back_each_time(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by, "files: [README.md]")
    write("src/app.py", "mine, not committed\n")(tmp_path)
    write("mine.txt", "mine\n")(tmp_path)

    def once(root: Path) -> None:
        write("README.md", f"attempt {len(work.soop.jobs)}\n")(root)
        if len(work.soop.jobs) == 1:
            write("src/app.py", "the agent's\n")(root)
            write("new/deep/x.py", "the agent's\n")(root)
            (root / "sql/001.sql").unlink()
            (root / "mine.txt").unlink()

    acts(work, once)
    work.conductor().run("WO-512")
    assert len(work.soop.jobs) == 2
    assert changed(work) == {"README.md": "edited"}
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "mine, not committed\n"
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine\n"
    assert (tmp_path / "sql/001.sql").read_text(encoding="utf-8") == FILES["sql/001.sql"]
    assert not (tmp_path / "new").exists()
    kept = tmp_path / ".orchestrate/kept/WO-512/stage-1-attempt-1"
    assert (kept / "src/app.py").read_text(encoding="utf-8") == "the agent's\n"
    assert (kept / "new/deep/x.py").is_file()
    assert "outside of the `files:` of WO-512" in work.soop.jobs[1].findings[0].detail
    assert any("taken back" in r["text"] for r in records(work, "notice"))


def test_a_retry_cannot_pass_with_the_edits_of_the_first(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by, "files: [README.md]")
    acts(work, lambda root: write("src/app.py", "b = 2\n")(root) if len(work.soop.jobs) == 1 else 0)
    work.conductor().run("WO-512")
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == FILES["src/app.py"]


def test_a_failed_attempt_is_taken_back(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, write("half.txt", "half\n"), outcome=Outcome.FAILED, reason="no luck")
    assert work.conductor().run("WO-512").outcome == "held"
    assert not (tmp_path / "half.txt").exists()
    assert (tmp_path / ".orchestrate/kept/WO-512/stage-1-attempt-2/half.txt").is_file()


def test_what_a_person_edited_since_is_not_taken_back(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.conductor import attempts

    work = lay(tmp_path, by, "files: [README.md]")
    acts(work, write("src/app.py", "the agent's\n"))
    undo = attempts.undo_attempt

    def edited_before(*args: Any) -> None:
        write("src/app.py", "the person's\n")(tmp_path)
        undo(*args)

    monkeypatch.setattr(attempts, "undo_attempt", edited_before)
    assert work.conductor().run("WO-512").outcome == "held"
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "the person's\n"
    assert any("it was edited since" in r["text"] for r in records(work, "notice"))


def test_a_save_in_the_moment_of_taking_back_stays(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by, "files: [README.md]")
    acts(work, write("src/app.py", "the agent's\n"))

    def save(operation: str, path: Path) -> None:
        if operation == "exchange" and path.name == "app.py":
            write("src/app.py", "the person's\n")(tmp_path)

    with syscalls.watched(save):
        work.conductor().run("WO-512")
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "the person's\n"


def test_a_file_that_git_ignores_is_seen_where_files_names_it(tmp_path: Path) -> None:
    work = lay(tmp_path, "git", "files: [dist, README.md]")
    write(".gitignore", "dist/\nother/\n.env\n")(tmp_path)
    write(".env", "KEY=1\n")(tmp_path)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "ignore")

    def build(root: Path) -> None:
        write("dist/app.js", "built\n")(root)
        write("other/x.js", "not seen\n")(root)
        write(".env", "KEY=2\n")(root)

    acts(work, build)
    frozen = Settings(frozen=(".env",))
    assert work.conductor(settings=frozen).run("WO-512").outcome == "held"
    assert (tmp_path / ".env").read_text(encoding="utf-8") == "KEY=1\n"
    acts(work, write("dist/app.js", "built\n"))
    work.conductor().resume("WO-512")
    work.conductor().run("WO-512")
    assert changed(work) == {"dist/app.js": "added"}


# -- git ---------------------------------------------------------------------------------------


def test_branches_commits_and_the_index_are_told(tmp_path: Path) -> None:
    work = lay(tmp_path, "git")

    def act(root: Path) -> None:
        git(root, "checkout", "-qb", "agent/feature")
        write("src/app.py", "b = 2\n")(root)
        git(root, "commit", "-qam", "sneaky")
        write("README.md", "three\n")(root)

    acts(work, act)
    work.conductor().run("WO-512")
    assert changed(work) == {"README.md": "edited", "src/app.py": "edited"}
    asked = question(work)
    assert "HEAD went from main to agent/feature" in asked
    assert "sneaky" in asked

    staged = lay(tmp_path / "staged", "git")
    acts(staged, lambda root: (write("README.md", "x\n")(root), git(root, "add", "-A")))
    staged.conductor().run("WO-512")
    assert "git's index was changed: README.md" in question(staged)


def test_a_start_whose_commit_is_gone(tmp_path: Path) -> None:
    work = lay(tmp_path, "git")
    acts(work, write("src/app.py", "b = 2\n"))
    work.conductor().run("WO-512")
    git(tmp_path, "checkout", "-q", "--orphan", "fresh")
    git(tmp_path, "commit", "-qm", "all again")
    git(tmp_path, "branch", "-D", "main")
    git(tmp_path, "reflog", "expire", "--expire=now", "--all")
    git(tmp_path, "gc", "-q", "--prune=now")
    assert changed(work) == {"src/app.py": "edited"}
    work.conductor().send_back("WO-512", note="once more")
    acts(work, write("README.md", "three\n"))
    work.conductor().run("WO-512")
    assert changed(work) == {"README.md": "edited", "src/app.py": "edited"}


def test_another_clone_knows_the_start_by_git(tmp_path: Path) -> None:
    import shutil

    work = lay(tmp_path, "git")
    acts(work, write("src/app.py", "b = 2\n"))
    work.conductor().run("WO-512")
    shutil.rmtree(tmp_path / ".orchestrate")
    assert changed(work) == {"src/app.py": "edited"}
    (diff,) = build_review(work.conductor().board, Settings(), "WO-512", ()).changes
    assert diff.lines == ("@@ -1 +1 @@", "-a = 1", "+b = 2")
    work.conductor().approve("WO-512")
    assert work.conductor().run("WO-512").outcome == "complete"


def test_what_git_is_told_to_overlook_is_seen(tmp_path: Path) -> None:
    work = lay(tmp_path, "git")

    def act(root: Path) -> None:
        git(root, "update-index", "--assume-unchanged", "src/app.py")
        write("src/app.py", "b = 2\n")(root)
        write(".git/info/exclude", "hidden.txt\n")(root)
        write("hidden.txt", "hidden\n")(root)
        write("inner/x.py", "in a repository of its own\n")(root)
        git(root / "inner", "init", "-q")
        git(root / "inner", "add", "-A")
        git(root / "inner", "commit", "-qm", "inner")

    acts(work, act)
    work.conductor().run("WO-512")
    found = changed(work)
    assert {"src/app.py", "hidden.txt", "inner/x.py", ".git/info/exclude"} <= found.keys()


def test_a_rule_that_shows_ignored_files_does_not_make_them_the_agents(tmp_path: Path) -> None:
    work = lay(tmp_path, "git", "files: [README.md]")
    write(".gitignore", ".env\nout/\n")(tmp_path)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "ignore")
    write(".env", "KEY=1\n")(tmp_path)
    write("out/mine.txt", "mine\n")(tmp_path)
    acts(work, write(".gitignore", "\n"))
    assert work.conductor().run("WO-512").outcome == "held"
    assert (tmp_path / ".env").read_text(encoding="utf-8") == "KEY=1\n"
    assert (tmp_path / "out/mine.txt").is_file()


def test_no_program_of_the_repositorys_settings_is_run(tmp_path: Path) -> None:
    work = lay(tmp_path, "git", "files: [README.md]")
    ran = tmp_path.parent / f"{tmp_path.name}-ran"

    def act(root: Path) -> None:
        write("src/app.py", "b = 2\n")(root)
        git(root, "add", "src/app.py")
        trap = root / ".git" / "trap.sh"
        trap.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n", encoding="utf-8")
        trap.chmod(0o755)
        for name in ("core.fsmonitor", "filter.x.clean", "filter.x.smudge", "filter.x.process"):
            git(root, "config", name, str(trap))
        git(root, "config", "filter.x.required", "true")
        for name in ("diff.external", "diff.x.textconv", "diff.x.command", "core.pager"):
            git(root, "config", name, str(trap))
        for name in ("post-index-change", "post-checkout", "reference-transaction"):
            (root / ".git/hooks" / name).write_text(trap.read_text(encoding="utf-8"))
            (root / ".git/hooks" / name).chmod(0o755)
        write(".gitattributes", "* filter=x diff=x\n")(root)
        write("README.md", "three\n")(root)

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "held"
    assert not ran.exists()
    safe = ("-c", "core.fsmonitor=false", "-c", "filter.x.required=false")
    assert git(tmp_path, *safe, "diff", "--cached", "--name-only", "--no-ext-diff") == ""
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == FILES["src/app.py"]


@pytest.mark.parametrize("way", ["hook", "setting"])
def test_an_agents_hook_is_not_run_by_the_conductors_commit(tmp_path: Path, way: str) -> None:
    work = lay(tmp_path, "git")
    ran = tmp_path.parent / f"{tmp_path.name}-ran"

    def act(root: Path) -> None:
        if len(work.soop.jobs) > 1:
            return
        hook = root / (".git/hooks/pre-commit" if way == "hook" else "tools/pre-commit")
        write(str(hook.relative_to(root)), f"#!/bin/sh\ntouch {ran}\n")(root)
        hook.chmod(0o755)
        if way == "setting":
            git(root, "config", "core.hooksPath", "tools")

    acts(work, act)
    settings = Settings.model_validate({"git": {"commit": True}})
    work.conductor(settings=settings).run("WO-512")
    assert not ran.exists()
    assert "by which git would run programs" in work.soop.jobs[1].findings[0].detail
    assert "hooksPath" not in (tmp_path / ".git/config").read_text(encoding="utf-8")


def test_a_branch_that_a_persons_git_tracks_is_no_fault(tmp_path: Path) -> None:
    work = lay(tmp_path, "git", "files: [README.md]")
    acts(work, lambda root: git(root, "config", "branch.main.remote", "origin"))
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert changed(work) == {".git/config": "edited"}


def test_a_workspace_below_the_top_of_its_repository(tmp_path: Path) -> None:
    top = tmp_path
    work = lay(top / "some" / "place", "plain", "files: [README.md]")
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "base")
    write("outside.txt", "of somebody else\n")(top)

    def act(root: Path) -> None:
        write("README.md", "three\n")(root)
        if len(work.soop.jobs) == 1:
            write("src/app.py", "b = 2\n")(root)
            git(root, "add", "src/app.py")

    acts(work, act)
    work.conductor().run("WO-512")
    assert changed(work) == {"README.md": "edited"}
    assert git(top, "diff", "--cached", "--name-only") == ""


# -- what is shown -----------------------------------------------------------------------------


def test_the_review_shows_every_diff_and_what_was_said(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, everything, section="## SOOP\n\nI have <done> it.\n")
    conductor = work.conductor()
    conductor.run("WO-512")
    found = build_review(conductor.board, conductor.settings, "WO-512", ())
    diffs = {d.file.path: d for d in found.changes}
    assert set(diffs) == set(changed(work))
    assert diffs["README.md"].lines == ("@@ -1,2 +1,2 @@", " one", "-two", "+2")
    assert found.said[0].text == "## SOOP\n\nI have <done> it.\n"
    page = render_page(found)
    assert '<span class="removed">-two</span>' in page
    assert "I have &lt;done&gt; it." in page
    json.dumps(found.to_dict())


def test_a_changed_workflow_is_shown_as_a_diff_and_covered(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, write("README.md", "three\n"))
    conductor = work.conductor()
    conductor.run("WO-512")
    file = tmp_path / "workflows/two-files.md"
    file.write_text(WORKFLOW.replace("ticket says", "ticket asks"), encoding="utf-8")
    conductor.run("WO-512")
    asked = question(work).rpartition("USER QUESTION")[2] or question(work)
    assert "-Do what the ticket says." in asked
    assert "+Do what the ticket asks." in asked
    file.write_text(WORKFLOW.replace("ticket says", "ticket wants"), encoding="utf-8")
    with pytest.raises(AnswerRefusedError, match="two-files"):
        conductor.approve("WO-512")
    assert "+Do what the ticket wants." in work.file("WO-512").read_text(encoding="utf-8")
    conductor.approve("WO-512")


# -- the board, and odd things -------------------------------------------------------------------


def test_tickets_that_were_edited_meanwhile_are_named(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    other = tmp_path / "_WORK_ORDERS/03_BUILD/WO-600_Other.md"
    other.parent.mkdir()
    other.write_text("---\nid: WO-600\nstatus: 03_BUILD\n---\n", encoding="utf-8")

    def act(root: Path) -> None:
        other.write_text("---\nid: WO-600\nstatus: APPROVED\n---\n", encoding="utf-8")

    acts(work, act)
    work.conductor().run("WO-512")
    assert "WO-600_Other.md (edited)" in question(work)
    assert "WO-512" not in question(work).partition("on the board")[2].partition("\n")[0]


def test_rules_of_the_work_are_marked(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    acts(work, write("checks/mine.py", "# nothing\n"))
    work.conductor().run("WO-512")
    assert "rules how work is done and judged" in question(work)


def test_a_check_of_another_familys_agent_counts_once_it_is_approved(
    tmp_path: Path, by: str
) -> None:
    work = lay(tmp_path, by)
    acts(work, write("checks/mine.py", "# nothing\n"))
    conductor = work.conductor()
    conductor.run("WO-512")
    assert checks_left_by_agents(conductor.board) == {"checks/mine.py"}
    write("checks/persons.py", "# by a person\n")(tmp_path)
    assert checks_left_by_agents(conductor.board) == {"checks/mine.py"}
    conductor.approve("WO-512")
    conductor.run("WO-512")
    assert checks_left_by_agents(conductor.board) == set()


def test_files_of_a_submodule_are_seen(tmp_path: Path) -> None:
    inner = tmp_path / "library"
    write("x.py", "x = 1\n")(inner)
    git(inner, "init", "-q")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "library")
    work = lay(tmp_path / "work", "git", "files: [README.md]")
    git(work.root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "lib")
    git(work.root, "commit", "-qm", "with a submodule")
    acts(work, write("lib/x.py", "x = 2\n"))
    assert work.conductor().run("WO-512").outcome == "held"
    assert (work.root / "lib/x.py").read_text(encoding="utf-8") == "x = 1\n"
    assert "lib/x.py" in work.soop.jobs[1].findings[0].detail


def test_a_link_is_never_followed(tmp_path: Path, by: str) -> None:
    secret = tmp_path / "secret"
    write("001.sql", "the person's\n")(secret)
    work = lay(tmp_path / "work", by, "files: [README.md]")

    def act(root: Path) -> None:
        (root / "sql/001.sql").unlink()
        (root / "sql").rmdir()
        (root / "sql").symlink_to(secret)

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "held"
    assert (secret / "001.sql").read_text(encoding="utf-8") == "the person's\n"
    assert not (work.root / "sql").is_symlink()
    assert (work.root / "sql/001.sql").read_text(encoding="utf-8") == FILES["sql/001.sql"]


def test_a_large_file_is_named_and_left_where_it_cannot_be_put_back(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.changes import entries

    monkeypatch.setattr(entries, "LARGEST_KEPT", 10)
    work = lay(tmp_path, by, "files: [README.md]")
    write("big.csv", "a" * 50)(tmp_path)
    acts(work, write("big.csv", "b" * 50))
    assert work.conductor().run("WO-512").outcome == "held"
    assert (tmp_path / "big.csv").read_text(encoding="utf-8") == "b" * 50
    assert any("too large" in r["text"] for r in records(work, "notice"))
    # the second attempt left it alone, and is held against it all the same
    assert len(records(work, "failure")) == 2


def test_a_file_that_git_lfs_keeps_is_not_replaced_by_its_pointer(tmp_path: Path) -> None:
    import hashlib

    work = lay(tmp_path, "git", "files: [README.md]")
    content = "the picture\n"
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 12\n"
    write("picture.bin", pointer)(tmp_path)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "picture")
    write("picture.bin", content)(tmp_path)
    write(f".git/lfs/objects/{sha256[:2]}/{sha256[2:4]}/{sha256}", content)(tmp_path)
    git(tmp_path, "update-index", "--assume-unchanged", "picture.bin")
    acts(work, write("picture.bin", "the agent's\n"))
    assert work.conductor().run("WO-512").outcome == "held"
    assert (tmp_path / "picture.bin").read_text(encoding="utf-8") == content

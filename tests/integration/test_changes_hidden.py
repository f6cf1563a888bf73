"""What an agent does to stay unseen: it removes the record, edits tickets, works elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.domain.agent import Job, Outcome
from orchestrator.errors import OrchestrateError
from orchestrator.settings.agents import AgentSettings
from tests.boards import Workspace
from tests.integration.test_changes import acts, by, changed, git, lay, question, write

__all__ = ["by"]


def remove_record(root: Path) -> None:
    shutil.rmtree(root / ".orchestrate" / "changes")


def alter_record(root: Path) -> None:
    for file in (root / ".orchestrate" / "changes").glob("WO-512/*.json"):
        file.write_text("[]", encoding="utf-8")


def alter_contents(root: Path) -> None:
    for file in (root / ".orchestrate" / "changes" / "contents").glob("??/*"):
        file.write_bytes(b"other")


@pytest.mark.parametrize("hide", [remove_record, alter_record, alter_contents])
def test_an_attempt_that_alters_its_record_is_refused_and_taken_back(
    tmp_path: Path, by: str, hide: Callable[[Path], None]
) -> None:
    work = lay(tmp_path, by)
    write("mine.txt", "not committed\n")(tmp_path)

    def act(root: Path) -> None:
        write("mine.txt", "evil\n")(root)
        write("src/app.py", "evil\n")(root)
        hide(root)

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "held"
    assert ".orchestrate/changes) was removed or altered" in work.file("WO-512").read_text()
    assert (tmp_path / "mine.txt").read_text() == "not committed\n"
    assert (tmp_path / "src/app.py").read_text() == "a = 1\n"


def test_a_record_lost_between_attempts_shows_all_that_git_sees(tmp_path: Path) -> None:
    work = lay(tmp_path, "git")
    acts(work, write("README.md", "one\n2\n"))
    work.conductor().run("WO-512")
    remove_record(tmp_path)
    write("late.txt", "unseen\n")(tmp_path)
    assert changed(work) == {"README.md": "edited"}
    work.conductor().send_back("WO-512", note="again")
    acts(work, write("README.md", "one\n3\n"))
    work.conductor().run("WO-512")
    assert changed(work) == {"README.md": "edited", "late.txt": "added"}
    assert "is no longer known" in question(work)


def test_what_is_written_where_git_does_not_look_is_named(tmp_path: Path) -> None:
    write(".gitignore", "dist/\nnode_modules/\n.orchestrate/\n")(tmp_path)
    write("dist/old.js", "old\n")(tmp_path)
    work = lay(tmp_path, "git")

    def act(root: Path) -> None:
        write("README.md", "one\n2\n")(root)
        write("dist/deep/new.js", "new\n")(root)
        write("dist/old.js", "other\n")(root)
        write("node_modules/a/b.js", "x\n")(root)

    acts(work, act)
    work.conductor().run("WO-512")
    assert "also written, ignored by git: dist/deep/new.js, dist/old.js" in question(work)
    assert "node_modules/a" not in question(work)
    work.conductor().send_back("WO-512", note="again")
    acts(work, lambda root: [write(f"dist/{n}.js", "x\n")(root) for n in range(30)])
    work.conductor().run("WO-512")
    asked = question(work)
    assert "dist/0.js, dist/1.js" in asked
    assert "dist/29.js" not in asked
    assert "and more" in asked


# -- tickets -----------------------------------------------------------------------------------

CRITERIA = "files:\n---\n## Acceptance Criteria\n- [ ] `blue.md` exists\n"


def drop(text: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        write("README.md", "three\n")(root)
        (file,) = (root / "_WORK_ORDERS").glob("*/WO-512*.md")
        file.write_text(file.read_text(encoding="utf-8").replace(text, ""), encoding="utf-8")

    return act


def lay_criteria(root: Path) -> Workspace:
    work = lay(root, "git")
    file = work.file("WO-512")
    file.write_text(file.read_text().replace("files:\n---\n", CRITERIA), encoding="utf-8")
    return work


def test_a_criterion_removed_while_an_agent_works_is_judged(tmp_path: Path) -> None:
    work = lay_criteria(tmp_path)
    acts(work, drop("- [ ] `blue.md` exists\n"))
    conductor = work.conductor()
    conductor.run("WO-512")
    asked = question(work)
    assert "`blue.md` exists" in asked
    assert "“-- [ ] 'blue.md' exists”" in asked
    with pytest.raises(OrchestrateError, match="1 failed statement"):
        conductor.approve("WO-512")


def test_a_criterion_that_a_person_removes_at_rest_is_gone(tmp_path: Path) -> None:
    work = lay_criteria(tmp_path)
    acts(work, write("README.md", "three\n"))
    drop("- [ ] `blue.md` exists\n")(tmp_path)
    work.conductor().run("WO-512")
    assert "`blue.md` exists" not in question(work)


def test_files_that_are_widened_while_an_agent_works_count_once_a_person_has_answered(
    tmp_path: Path, by: str
) -> None:
    work = lay(tmp_path, by, files="files: [README.md]")

    def act(root: Path) -> None:
        write("README.md", "three\n")(root)
        write("src/app.py", "a = 3\n")(root)
        (file,) = (root / "_WORK_ORDERS").glob("*/WO-512*.md")
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("files: [README.md]", "files: [README.md, src/]"))

    acts(work, act)
    conductor = work.conductor()
    assert conductor.run("WO-512").outcome == "held"
    told = [e.text for e in work.events if "`files:` was edited" in e.text]
    assert len(told) == 1
    assert (tmp_path / "src/app.py").read_text() == "a = 1\n"
    conductor.resume("WO-512")
    assert conductor.run("WO-512").outcome == "waiting"
    assert changed(work) == {"README.md": "edited", "src/app.py": "edited"}


def test_an_acceptance_that_is_there_before_the_question_accepts_nothing(tmp_path: Path) -> None:
    work = lay_criteria(tmp_path)
    planted = "accept: ['`blue.md` exists', unproven]\nfiles:\n"
    acts(work, lambda _: work.edit("WO-512", "files:\n", planted))
    work.conductor().run("WO-512")
    assert "accept:" not in work.file("WO-512").read_text(encoding="utf-8").split("---")[1]
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert work.places()["WO-512"] == "05_USER_REVIEW"


def test_other_files_on_the_board_are_named(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)

    def act(root: Path) -> None:
        write("_WORK_ORDERS/run.sh", "rm -rf /\n")(root)
        write("_WORK_ORDERS/03_BUILD/deep/note.md", "x\n")(root)
        write("_WORK_ORDERS/03_BUILD/.WO-512.md.swp", "an editor's\n")(root)

    acts(work, act)
    work.conductor().run("WO-512")
    asked = question(work)
    assert "run.sh (added)" in asked
    assert "03_BUILD/deep/note.md (added)" in asked
    assert ".swp" not in asked


def test_what_the_agents_code_would_write_when_a_check_runs_it_is_refused_and_told(
    tmp_path: Path, by: str
) -> None:
    work = lay(tmp_path, by)
    file = work.file("WO-512")
    criteria = "files:\n---\n## Acceptance Criteria\n- [ ] `src/app.py` exports total\n"
    file.write_text(file.read_text().replace("files:\n---\n", criteria), encoding="utf-8")
    target = tmp_path / "sneaky.txt"
    once = f"import pathlib\ntotal = 1\np = pathlib.Path({str(target)!r})\n"
    acts(work, write("src/app.py", f"{once}p.exists() or p.write_text('evil')\n"))
    conductor = work.conductor()
    conductor.run("WO-512")
    assert not target.exists()
    assert changed(work) == {"src/app.py": "edited"}
    assert f"wrote to {target}, outside of its folder" in question(work)
    failed = conductor.status("WO-512")["question"]["failed"]
    assert [s["text"] for s in failed] == ["`src/app.py` exports total"]


def test_a_branch_that_a_refused_attempt_has_left_is_told(tmp_path: Path) -> None:
    work = lay(tmp_path, "git", files="files: [README.md]")

    def act(root: Path) -> None:
        git(root, "checkout", "-q", "-B", "aside")
        write("src/app.py", "evil\n")(root)

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "held"
    told = [e.text for e in work.events if "HEAD went from main to aside" in e.text]
    assert len(told) == 1
    assert "HEAD went from main to aside" in "".join(work.conductor().status("WO-512")["notices"])


# -- git is told not to see ------------------------------------------------------------------------


def replace_blob(root: Path) -> None:
    write("README.md", "evil\n")(root)
    new = git(root, "hash-object", "-w", "README.md").strip()
    git(root, "replace", git(root, "rev-parse", "HEAD:README.md").strip(), new)


def hide_mode(root: Path) -> None:
    git(root, "config", "core.fileMode", "false")
    (root / "README.md").chmod(0o755)


def hide_by_case(root: Path) -> None:
    git(root, "config", "core.ignoreCase", "true")
    write("readme.md", "evil\n")(root)


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        (replace_blob, {"README.md": "edited"}),
        (hide_mode, {"README.md": "mode", ".git/config": "edited"}),
        (hide_by_case, {"readme.md": "added", ".git/config": "edited"}),
    ],
)
def test_what_git_would_overlook_is_seen(
    tmp_path: Path, act: Callable[[Path], None], seen: dict[str, str]
) -> None:
    work = lay(tmp_path, "git")
    acts(work, act)
    work.conductor().run("WO-512")
    assert changed(work) == seen


# -- elsewhere in the repository ---------------------------------------------------------------


def lay_in_folder(root: Path) -> Workspace:
    """A workspace in a subfolder of a repository, beside another one."""
    work = lay(root / "app", "plain")
    for name in ("lib/core.txt", "top.txt", "shop/orchestrate.toml"):
        write(name, "core\n")(root)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "base")
    return work


def test_a_change_elsewhere_in_the_repository_is_refused_and_taken_back(tmp_path: Path) -> None:
    work = lay_in_folder(tmp_path)

    def act(root: Path) -> None:
        write("README.md", "three\n")(root)
        write("../lib/core.txt", "evil\n")(root)
        write("../new/file.txt", "evil\n")(root)
        (root / "../top.txt").unlink()
        git(root, "add", "../lib/core.txt")

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "held"
    said = work.file("WO-512").read_text(encoding="utf-8")
    assert "changed ../lib/core.txt, ../new/file.txt, ../top.txt, which is outside" in said
    assert (tmp_path / "lib/core.txt").read_text() == "core\n"
    assert (tmp_path / "top.txt").read_text() == "core\n"
    assert not (tmp_path / "new").exists()
    assert git(tmp_path, "diff", "--cached", "--name-only", "--", "lib", "top.txt") == ""
    assert (tmp_path / "app/README.md").read_text() == "one\ntwo\n"
    kept = tmp_path / "app/.orchestrate/kept/WO-512/stage-1-attempt-1"
    assert (kept / "outside/lib/core.txt").read_text() == "evil\n"


def test_the_board_of_another_workspace_is_its_own(tmp_path: Path) -> None:
    work = lay_in_folder(tmp_path)
    acts(work, write("../shop/_WORK_ORDERS/03_BUILD/WO-001.md", "---\nid: WO-001\n---\n"))
    work.conductor().run("WO-512")
    assert changed(work) == {}


# -- git's settings, and processes -------------------------------------------------------------


@pytest.mark.parametrize("key", ["user.email", "branch.main.remote", "core.autocrlf", "alias.st"])
def test_a_setting_that_runs_nothing_is_shown_and_no_reason_to_refuse(
    tmp_path: Path, key: str
) -> None:
    work = lay(tmp_path, "git")
    acts(work, lambda root: git(root, "config", key, "input"))
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert changed(work) == {".git/config": "edited"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.hooksPath", "h"),
        ("core.fsmonitor", "./x"),
        ("core.sshCommand", "x"),
        ("filter.a.clean", "x"),
        ("diff.a.textconv", "x"),
        ("diff.external", "x"),
        ("merge.a.driver", "x"),
        ("alias.st", "!x"),
        ("credential.helper", "x"),
        ("include.path", "x"),
        ("url.b.insteadOf", "a"),
        ("remote.origin.url", "ext::x"),
    ],
)
def test_a_setting_that_runs_a_program_is_refused_by_its_key(
    tmp_path: Path, key: str, value: str
) -> None:
    work = lay(tmp_path, "git")
    acts(work, lambda root: git(root, "config", key, value))
    assert work.conductor().run("WO-512").outcome == "held"
    said = work.file("WO-512").read_text(encoding="utf-8").lower()
    assert f"by which git would run programs or look elsewhere: {key.lower()}" in said


@pytest.mark.parametrize(
    "start",
    [
        "setsid sh -c '{late}' </dev/null >/dev/null 2>&1 &",
        "( setsid nohup sh -c '{late}' >/dev/null 2>&1 & )",
        "env -i PATH=\"$PATH\" setsid -f sh -c '{late}' </dev/null >/dev/null 2>&1",
    ],
)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_what_an_agent_leaves_behind_is_killed(tmp_path: Path, start: str) -> None:
    late = tmp_path / "late.txt"
    script = tmp_path / "agent.sh"
    command = start.format(late=f"sleep 0.8; echo x > {late}")
    report = '{"outcome": "done", "section": "done"}'
    script.write_text(f"#!/bin/sh\ncat >/dev/null\n{command}\necho '{report}'\n", encoding="utf-8")
    script.chmod(0o755)
    job = Job(
        ticket="WO-512",
        parent="WO-512",
        family=(),
        stage=1,
        agent="SOOP",
        workspace=str(tmp_path),
        workflow="",
        workflow_text="",
    )
    done = Dispatcher().dispatch(job, AgentSettings(command=[str(script)]))
    assert done.outcome is Outcome.DONE, done.reason
    time.sleep(1.2)
    assert not late.exists()


# -- ignored files -----------------------------------------------------------------------------


@pytest.mark.parametrize("files", ["files:", "files: [README.md]"])
@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_ignored_file_is_seen_and_taken_back(
    tmp_path: Path, files: str, is_deleted: bool
) -> None:
    write(".gitignore", ".env\n*.log\n")(tmp_path)
    work = lay(tmp_path, "git", files)
    write(".env", "SECRET=1\n")(tmp_path)
    write("debug.log", "1\n")(tmp_path)

    def act(root: Path) -> None:
        write("debug.log", "2\n")(root)
        if is_deleted:
            (root / ".env").unlink()
        else:
            write(".env", "SECRET=2\n")(root)

    acts(work, act)
    outcome = work.conductor().run("WO-512").outcome
    if files == "files:":
        assert changed(work) == {".env": "deleted" if is_deleted else "edited"}
        assert "SECRET" not in question(work)
    else:
        assert outcome == "held"
        assert (tmp_path / ".env").read_text() == "SECRET=1\n"

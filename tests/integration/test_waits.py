"""DESIGN 3.3, 3.4: what a family waits for, and what its agents may not touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.errors import UsageError
from orchestrator.family.blockers import covers
from orchestrator.settings.config import Settings, load_settings
from orchestrator.storage.atomic import sha256_file
from tests.boards import TICKET, Workspace


def lay(work: Workspace, folder: str, id: str, *lines: str) -> Path:
    path = work.root / "_WORK_ORDERS" / folder / f"{id}_Other.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(["---", f"id: {id}", f"status: {folder}", *lines, "---", ""])
    path.write_text(text, encoding="utf-8")
    return path


def lone(root: Path, *lines: str) -> Workspace:
    """A ticket that follows the default workflow, made by SOOP."""
    ticket = TICKET.replace("pipeline_workflow: workflows/two-files.md", "\n".join(lines) or "x: y")
    return Workspace(root, ticket=ticket.replace("owner: LEAD", "owner: SOOP"))


def test_3_3_a_ticket_waits_for_a_free_place_in_build(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    other = lay(work, "03_BUILD", "WO-600")
    conductor = work.conductor(settings=Settings(wip_limit=1))
    outcome = conductor.run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 1)
    assert "waits for a free place in BUILD" in outcome.reasons[0]
    assert conductor.status("WO-512")["reasons"] == list(outcome.reasons)
    assert work.places() == {"WO-512": "00_INBOX"}
    other.unlink()
    assert conductor.run("WO-512").stage == 3


def test_a_family_may_be_larger_than_the_limit_when_it_builds_alone(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    assert work.conductor(settings=Settings(wip_limit=1)).run("WO-512").stage == 3


def test_3_4_status_says_what_a_family_waits_for_and_a_circle_is_told_with_its_line(
    tmp_path: Path,
) -> None:
    work = lone(tmp_path, "depends_on: [WO-600]")
    other = lay(work, "03_BUILD", "WO-600")
    conductor = work.conductor()
    conductor.run("WO-512")
    assert conductor.status("WO-512")["reasons"] == ["waits for WO-600, which is in 03_BUILD"]
    other.write_text("---\nid: WO-600\ndepends_on: [WO-512]\n---\n", encoding="utf-8")
    (told,) = conductor.status("WO-512")["reasons"]
    lines = work.file("WO-512").read_text(encoding="utf-8").splitlines()
    at = 1 + lines.index("depends_on: [WO-600]")
    assert f"_Two_Files.md:{at}: " in told
    assert "WO-512 → WO-600 → WO-512" in told
    other.unlink()
    (told,) = conductor.status("WO-512")["reasons"]
    assert "which cannot be found on the board" in told


@pytest.mark.parametrize(
    ("mine", "theirs", "stops"),
    [
        ("[out/first.txt]", "[out/first.txt   [NEW]]", True),
        ("[out]", "[./out/first.txt]", True),
        ("[out/first.txt]", "[out/]", True),
        ("[out/first.txt]", "[out/first.txt.bak]", False),
        ("[out/first.txt]", "none", False),
    ],
)
def test_3_3_two_do_not_build_on_one_file(
    tmp_path: Path, mine: str, theirs: str, stops: bool
) -> None:
    work = lone(tmp_path, f"files: {mine}")
    other = lay(work, "03_BUILD", "WO-600", "files:", f"  - {theirs.strip('[]')}")
    outcome = work.conductor().run("WO-512")
    assert ("which WO-600 is working on" in " ".join(outcome.reasons)) is stops
    if stops:
        assert work.soop.jobs == []
        other.unlink()
        work.conductor().run("WO-512")
    assert len(work.soop.jobs) >= 1


@pytest.mark.parametrize(("other", "waits"), [("WO-600", False), ("WO-400", True)])
def test_of_two_that_build_on_one_file_already_only_one_waits(
    tmp_path: Path, other: str, waits: bool
) -> None:
    """Neither may wait for the other for ever."""
    work = lone(tmp_path, "files: [out/first.txt]")
    work.edit("WO-512", "00_INBOX", "03_BUILD")
    lay(work, "03_BUILD", other, "files: [out/first.txt]")
    source = work.file("WO-512")
    source.rename(source.parents[1] / "03_BUILD" / source.name)
    work.conductor().run("WO-512")
    assert (work.soop.jobs == []) is waits


@pytest.mark.parametrize("told", [True, False])
def test_8_4_a_frozen_file_fails_the_attempt_whether_it_is_reported_or_not(
    tmp_path: Path, told: bool
) -> None:
    work = lone(tmp_path)
    frozen = work.root / "core" / "deep" / "auth.py"
    frozen.parent.mkdir(parents=True)
    frozen.write_text("as it was", encoding="utf-8")

    def touch(job: Job) -> Report:
        frozen.write_text(f"attempt {job.attempt}", encoding="utf-8")
        made = (Artifact(path="core/deep/auth.py", sha256=sha256_file(frozen)),) if told else ()
        return Report(outcome=Outcome.DONE, artifacts=made)

    work.soop.act = touch
    outcome = work.conductor(settings=Settings(frozen=("core/**/*.py",))).run("WO-512")
    assert outcome.outcome == "held"
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "core/deep/auth.py" in text
    assert "frozen" in text


def test_what_lies_outside_of_the_tickets_files_fails_the_attempt(tmp_path: Path) -> None:
    work = lone(tmp_path, "files: [out/second.txt]")
    assert work.conductor().run("WO-512").outcome == "held"
    assert "outside of the `files:` of WO-512" in work.file("WO-512").read_text(encoding="utf-8")


@pytest.mark.parametrize("pattern", ["/etc/*", "../x", ""])
def test_frozen_patterns_stay_in_the_workspace(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "orchestrate.toml").write_text(f'frozen = ["{pattern}"]\n', encoding="utf-8")
    with pytest.raises(UsageError, match="below the workspace"):
        load_settings(tmp_path)


def test_a_place_covers_itself_and_what_is_below_it() -> None:
    assert covers("src", "src/a.ts")
    assert covers("src/", "src")
    assert not covers("src", "src2/a.ts")


def test_only_those_who_are_about_to_work_are_loaded(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    conductor, loaded = work.conductor(), list[set[str]]()
    conductor.opener.dispatcher.prepare = lambda agents: loaded.append(set(agents))  # type: ignore[method-assign]
    assert conductor.run("WO-512").stage == 3
    first = loaded[0]
    assert "INSPECTOR" not in first
    loaded.clear()
    # it waits for USER: nobody works
    conductor.run("WO-512")
    assert loaded == []

"""A family that waits as it did before is not opened again; whatever it rests on opens it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.family.at_rest import KEY
from orchestrator.family.known_history import KnownHistory
from orchestrator.family.open_session import Opener
from orchestrator.family.session import Progress, ProgressKind
from orchestrator.settings.config import Settings
from orchestrator.storage.history import FOLDER
from tests.boards import Workspace

BOARD = "_WORK_ORDERS"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an open question, which a daemon has looked at once."""
    root = tmp_path_factory.mktemp("asked") / "work"
    work = Workspace(root)
    work.conductor().run("WO-512")
    look(work.conductor())
    return root


@pytest.fixture
def work(asked: Path, tmp_path: Path) -> Workspace:
    """The same, moved to a place of its own and looked at there."""
    found = Workspace(tmp_path / "work")
    shutil.rmtree(found.root)
    shutil.copytree(asked, found.root, symlinks=True)
    KnownHistory(found.root, "WO-512").forget()
    look(found.conductor())
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The families that were opened."""
    found: list[str] = []
    real = Opener.open_session

    def open_session(self: Opener, id: str, *given: Any, **named: Any) -> Any:
        found.append(id)
        return real(self, id, *given, **named)

    monkeypatch.setattr(Opener, "open_session", open_session)
    return found


def look(conductor: Conductor) -> RunOutcome:
    """What a daemon does with a family that may go on; its board was swept just before."""
    conductor.board.sweep()
    return conductor.run("WO-512", create=False)


def test_a_family_that_waits_as_before_is_not_opened(work: Workspace, opened: list[str]) -> None:
    outcome = look(work.conductor())
    assert opened == []
    assert (outcome.outcome, outcome.stage) == ("waiting", 3)
    assert outcome == work.conductor().run("WO-512")


def a_new_child(work: Workspace) -> None:
    text = "---\nid: WO-512z\nparent: WO-512\nstatus: 03_BUILD\nowner: SOOP\n---\n# Late\n"
    (work.root / BOARD / "03_BUILD" / "WO-512z_Late.md").write_text(text, encoding="utf-8")


def a_copy(work: Workspace) -> None:
    shutil.copy(work.file("WO-512"), work.root / BOARD / "00_INBOX")


def a_forged_outcome(work: Workspace) -> None:
    known = KnownHistory(work.root, "WO-512")
    said = json.loads(known.path.read_bytes())
    said[KEY]["outcome"]["outcome"] = "complete"
    known.path.write_text(json.dumps(said), encoding="utf-8")


def a_moved_file(work: Workspace) -> None:
    file = work.file("WO-512a")
    file.rename(work.root / BOARD / "01_TRIAGE" / file.name)


def a_longer_history(work: Workspace) -> None:
    with (work.root / BOARD / FOLDER / "WO-512.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")


CHANGES: dict[str, Callable[[Workspace], None]] = {
    "a status": lambda work: work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD"),
    "a child's status": lambda work: work.edit("WO-512a", "status: 04_QA", "status: nothing"),
    "a text": lambda work: work.edit("WO-512", "A person wrote", "A person has written"),
    "a new child": a_new_child,
    "a copy of a ticket": a_copy,
    "a moved file": a_moved_file,
    "the history": a_longer_history,
    "the workflow": lambda work: (work.root / "workflows" / "two-files.md").write_text("# One"),
    "a forged outcome": a_forged_outcome,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_it_rests_on_opens_it(
    work: Workspace, opened: list[str], change: Callable[[Workspace], None]
) -> None:
    change(work)
    try:
        look(work.conductor())
    finally:
        assert opened == ["WO-512"]


def test_other_settings_open_it(work: Workspace, opened: list[str]) -> None:
    look(work.conductor(settings=Settings(failure_limit=7)))
    assert opened == ["WO-512"]


def test_an_answer_of_the_last_moment_is_taken(work: Workspace) -> None:
    """It is saved after the family was looked at last, and before what it rests on is kept."""
    KnownHistory(work.root, "WO-512").forget()
    conductor = work.conductor()
    real = conductor.opener.board.children_of

    def answer_now(*given: Any) -> tuple[str, ...]:
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        return real(*given)

    conductor.opener.board.children_of = answer_now  # type: ignore[method-assign]
    assert look(conductor).stage == 3
    assert look(work.conductor()).stage == 7


def test_a_request_that_was_refused_is_told_each_time(work: Workspace, opened: list[str]) -> None:
    work.edit("WO-512a", "status: 04_QA", "status: APPROVED")
    told = [look(work.conductor()).reasons for _ in range(2)]
    assert opened == ["WO-512", "WO-512"]
    assert told[0] == told[1] != ()


def test_a_board_that_lacks_what_was_done_last_is_opened(
    work: Workspace, opened: list[str]
) -> None:
    known = KnownHistory(work.root, "WO-512")
    known.set_aside("awaited", "what git took away")
    with pytest.raises(Exception, match="lacks what was done last"):
        look(work.conductor())
    assert opened == ["WO-512"]


def test_one_that_goes_on_is_not_at_rest(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "work")
    seen: list[bool] = []

    def listen(event: Progress) -> None:
        if event.kind is ProgressKind.AGENT:
            seen.append(KEY in KnownHistory(work.root, "WO-512").read())

    conductor = work.conductor()
    conductor.opener.listener = listen
    conductor.run("WO-512")
    assert KEY in KnownHistory(work.root, "WO-512").read()
    conductor.approve("WO-512")
    assert KEY not in KnownHistory(work.root, "WO-512").read()
    assert True not in seen

"""DESIGN 3.2: each command of USER on a family in each state, and what the record says after it.

A command has its one right effect, or is refused with a hint that names a command, and then
nothing has been written.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.app import app
from orchestrator.conductor.conductor import Conductor
from orchestrator.domain.agent import Outcome, Report
from orchestrator.errors import OrchestrateError
from tests.boards import Workspace

pytestmark = pytest.mark.long

ID = "WO-512"

COMMANDS: dict[str, Callable[[Conductor], object]] = {
    "hold": lambda c: c.hold(ID, reason="later"),
    "resume": lambda c: c.resume(ID),
    "approve": lambda c: c.approve(ID),
    "send-back": lambda c: c.send_back(ID, note="in blue"),
    "undo": lambda c: c.undo(ID),
    "shelve": lambda c: c.shelve(ID),
    "archive": lambda c: c.archive(ID),
    "reopen": lambda c: c.reopen(ID),
    "run": lambda c: c.run(ID),
}


def by_commands(*names: str) -> Callable[[Workspace], None]:
    """A state that is reached by commands."""

    def reach(work: Workspace) -> None:
        for name in names:
            COMMANDS[name](work.conductor())

    return reach


def by_report(outcome: Outcome) -> Callable[[Workspace], None]:
    """A state that is reached by what the maker of the first file reports."""

    def reach(work: Workspace) -> None:
        work.soop.act = lambda _: Report(outcome=outcome, reason="no paint")
        work.conductor().run(ID)
        work.soop.act = None

    return reach


def begun(work: Workspace) -> None:
    work.conductor().run(ID, until=1)


def child_held(work: Workspace) -> None:
    work.conductor().run(ID)
    work.conductor().hold(f"{ID}a", reason="later")


RUNNING, ASKED, HELD = "running", "waiting for USER", "held"
COMPLETE, ARCHIVED = "complete", "archived"
#: of a family that lies in the backlog, or is held
RESTS = {"hold": HELD, "archive": ARCHIVED, "resume": RUNNING, "run": HELD}
#: of a family that is under way, with its parent in triage
ON_ITS_WAY = {
    "hold": HELD, "archive": ARCHIVED, "shelve": HELD, "send-back": RUNNING, "run": ASKED,
}  # fmt: skip
QUESTION = {
    "hold": HELD, "archive": ARCHIVED, "approve": RUNNING, "send-back": RUNNING, "run": ASKED,
}  # fmt: skip

END = ("run", "approve", "run", "approve", "run")

#: state → how it is reached, and the state after each command that it takes
STATES: dict[str, tuple[Callable[[Workspace], None], dict[str, str]]] = {
    "adopted": (
        lambda w: w.conductor().adopt(ID) and None,
        {"hold": HELD, "archive": ARCHIVED, "run": ASKED},
    ),
    "under way": (begun, ON_ITS_WAY),
    "asked": (by_commands("run"), QUESTION),
    "approved": (by_commands("run", "approve"), {**ON_ITS_WAY, "undo": ASKED}),
    "sent back": (by_commands("run", "send-back"), ON_ITS_WAY),
    "asked at the end": (by_commands(*END[:3]), {**QUESTION, "undo": ASKED}),
    "asked, for an agent cannot": (by_report(Outcome.CANNOT), {**QUESTION, "approve": ""}),
    "needs a person": (by_report(Outcome.NEEDS_PERSON), ON_ITS_WAY),
    "struck out": (by_report(Outcome.FAILED), {**RESTS, "shelve": HELD}),
    "complete": (
        by_commands(*END),
        {"hold": HELD, "archive": ARCHIVED, "reopen": RUNNING, "run": COMPLETE},
    ),
    "archived": (
        by_commands("run", "archive"),
        {"hold": HELD, "archive": ARCHIVED, "reopen": RUNNING, "run": ARCHIVED},
    ),
    "reopened": (by_commands(*END, "reopen"), ON_ITS_WAY),
    "held": (by_commands("run", "hold"), {**RESTS, "shelve": HELD, "hold": ""}),
    "held after an approval": (
        by_commands("run", "approve", "hold"),
        {**RESTS, "shelve": HELD, "hold": ""},
    ),
    "a child held": (child_held, RESTS),
    "shelved": (by_commands("run", "hold", "shelve"), RESTS),
    "shelved, then held": (
        by_commands("run", "hold", "shelve", "hold"),
        {**RESTS, "resume": HELD, "shelve": HELD, "hold": ""},
    ),
    "complete, then held": (
        by_commands(*END, "hold"),
        {**RESTS, "resume": COMPLETE, "shelve": HELD, "hold": ""},
    ),
    "archived, then held": (
        by_commands("run", "archive", "hold"),
        {**RESTS, "resume": ARCHIVED, "shelve": HELD, "hold": ""},
    ),
}


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A workspace in a state, made once."""
    made: dict[str, Path] = {}

    def reach(state: str) -> Path:
        if state not in made:
            made[state] = tmp_path_factory.mktemp("state") / "board"
            STATES[state][0](Workspace(made[state]))
        return made[state]

    return reach


class Again(Workspace):
    """The small workspace on a copy of a board that is there already."""

    def __init__(self, made: Path, root: Path) -> None:
        super().__init__(root.parent / "new")
        shutil.copytree(made, root)
        # a copy is not a second home of the board: this one stands for the first
        shutil.rmtree(root / ".orchestrate" / "state" / "known", ignore_errors=True)
        self.root = root

    def texts(self) -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in (self.root / "_WORK_ORDERS").rglob("*") if p.is_file()}

    def state(self) -> str:
        return str(self.conductor().status(ID)["state"])


def require_sound(work: Again) -> None:
    """The record's state fits the folders that it names, and the files lie there."""
    status = work.conductor().status(ID)
    told = {member["id"]: member["folder"] for member in status["members"]}
    assert told == work.places()
    rests = told[ID] == "08_BACKLOG" or "98_HOLD" in told.values()
    assert rests == (status["state"] == HELD)
    assert (told[ID] == "06_COMPLETE") == (status["state"] == COMPLETE)
    assert (told[ID] == "07_ARCHIVED") == (status["state"] == ARCHIVED)
    if status["state"] == ASKED:
        assert told[ID] == "05_USER_REVIEW"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", STATES)
def test_3_2_a_command_has_its_effect_or_none(
    reached: Callable[[str], Path], tmp_path: Path, state: str, command: str
) -> None:
    work = Again(reached(state), tmp_path / "board")
    before = work.texts()
    after = STATES[state][1].get(command, "")
    if after:
        COMMANDS[command](work.conductor())
        assert work.state() == after
        require_sound(work)
        return
    with pytest.raises(OrchestrateError) as refused:
        COMMANDS[command](work.conductor())
    assert work.texts() == before
    named = re.findall(r"orchestrate ([\w-]+)", refused.value.hint)
    assert set(named) <= {c.name for c in app.registered_commands}
    assert named or "--accept" in refused.value.hint


@pytest.mark.parametrize("state", STATES)
def test_3_2_a_family_that_rests_says_by_which_command_it_begins_again(
    reached: Callable[[str], Path], tmp_path: Path, state: str
) -> None:
    work = Again(reached(state), tmp_path / "board")
    begins = {HELD: "resume", COMPLETE: "reopen", ARCHIVED: "reopen"}.get(work.state())
    if begins is None:
        return
    for command in ("approve", "send-back", "undo"):
        with pytest.raises(OrchestrateError) as refused:
            COMMANDS[command](work.conductor())
        assert refused.value.hint == f"orchestrate {begins} {ID}"

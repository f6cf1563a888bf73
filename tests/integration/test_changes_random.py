"""Random edits by an agent and a person: nothing of hers is lost, nothing of the agent's unseen.

The workspace is looked at as the conductor does it; what the two of them do is a model's dictionary
of path → content next to the real files.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.changes.compare import paths_of
from orchestrator.changes.snapshot import WorkTree
from orchestrator.changes.take_back import take_back
from orchestrator.family.attempt_files import Worker
from orchestrator.family.change_log import ChangeLog
from orchestrator.storage.history import History

PATHS = ("a", "b c", "d/e", "d/f/g", "ignored/x", "é")
Tree = dict[str, str]
#: (what, path, other path, text)
Action = tuple[str, str, str, str]

actions = st.lists(
    st.tuples(
        st.sampled_from(("write", "write", "delete", "rename")),
        st.sampled_from(PATHS),
        st.sampled_from(PATHS),
        st.text("xyz\n", min_size=0, max_size=6),
    ),
    max_size=5,
)
attempts = st.lists(
    st.fixed_dictionaries(
        {"before": actions, "agent": actions, "since": actions, "refused": st.booleans()}
    ),
    min_size=1,
    max_size=3,
)


def git(root: Path, *args: str) -> None:
    identity = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
    subprocess.run(["git", *identity, *args], cwd=root, check=True, capture_output=True)


def read_tree(root: Path) -> Tree:
    files = (p for p in root.rglob("*") if p.is_file())
    own = (".git", ".orchestrate", "_WORK_ORDERS")
    names = ((p.relative_to(root).as_posix(), p) for p in files)
    return {n: p.read_text(encoding="utf-8") for n, p in names if not n.startswith(own)}


def carry_out(root: Path, done: list[Action]) -> set[str]:
    """Do these things where they can be done; the paths that they touched."""
    touched = set()
    for what, path, other, text in done:
        source, target = root / path, root / other
        if what == "write":
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text, encoding="utf-8")
            touched.add(path)
        elif what == "delete" and source.is_file():
            source.unlink()
            touched.add(path)
        elif what == "rename" and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            touched |= {path, other}
    return touched


_NOTHING = {"before": [], "agent": [], "since": [], "refused": False}
_SAME: list[Action] = [("write", "a", "a", "")]


@settings(max_examples=60, deadline=None)
@given(by_git=st.booleans(), committed=actions, rounds=attempts)
# a person saves what the agent wrote as it is
@example(False, [], [_NOTHING, _NOTHING | {"agent": _SAME, "since": _SAME}])
def test_nothing_of_the_person_is_lost_and_nothing_of_the_agent_unseen(
    by_git: bool, committed: list[Action], rounds: list[dict[str, list[Action]]]
) -> None:
    root = Path(tempfile.mkdtemp(prefix="orchestrate-changes-")).resolve()
    try:
        _play(root, by_git, committed, rounds)
    finally:
        shutil.rmtree(root)


def _play(
    root: Path, by_git: bool, committed: list[Action], rounds: list[dict[str, list[Action]]]
) -> None:
    board = root / "_WORK_ORDERS"
    board.mkdir()
    carry_out(root, committed)
    if by_git:
        (root / ".gitignore").write_text("ignored/\n", encoding="utf-8")
        git(root, "init", "-q")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "base", "--allow-empty")
    places = ["ignored/x"]
    accepted: set[str] = set()
    start: Tree | None = None
    stayed: dict[str, str | None] = {}
    for number, each in enumerate(rounds, 1):
        carry_out(root, each["before"])
        # a new process each time
        log = ChangeLog(WorkTree(root, "_WORK_ORDERS"), History(board, "WO-1"), "WO-1")
        worker = Worker("WO-1", 1, number, "BUILDER", "WO-1")
        log.open(worker, places)
        log.history.append("dispatch")
        before = read_tree(root)
        start = before if start is None else start
        carry_out(root, each["agent"])
        left = read_tree(root)
        seen = log.close(worker, places)
        log.history.append("report")
        changed = {p for p in {*before, *left} if before.get(p) != left.get(p)}
        # what a person had in hand, and is again as the attempt before left it, counts too
        again = {path for path, text in stayed.items() if left.get(path) == text}
        assert changed <= seen.paths <= changed | again
        stayed = {}
        persons = carry_out(root, each["since"])
        since = read_tree(root)
        if not each["refused"]:
            accepted |= changed
            continue
        assert seen.before is not None
        aside = root / ".orchestrate" / "kept" / str(number)
        done = take_back(log.tree, seen.before, seen.changes, aside)
        log.record_taken_back(worker, done.back, done.left, str(aside))
        stayed = {path: left.get(path) for path in done.left}
        now, kept = read_tree(root), list(_texts(aside))
        for path in {*before, *left, *since}:
            # put back as it was, unless a person had it in hand
            mine = path in changed and since.get(path) == left.get(path)
            assert now.get(path) == (before if mine else since).get(path), path
            if mine and path in left and path not in persons:
                assert left[path] in kept
    assert start is not None
    now = read_tree(root)
    log = ChangeLog(WorkTree(root, "_WORK_ORDERS"), History(board, "WO-1"), "WO-1")
    shown = paths_of(log.family_changes())
    assert {p for p in accepted if start.get(p) != now.get(p)} <= shown


def _texts(folder: Path) -> list[str]:
    return [p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()]

"""Checks that agents wrote into the workspace count once USER has approved them."""

from __future__ import annotations

from orchestrator.changes.entries import Entry
from orchestrator.errors import OrchestrateError
from orchestrator.family.attempt_files import PERSON, pack, unpack
from orchestrator.family.change_log import ChangeLog, change_log_of
from orchestrator.family.family import Family
from orchestrator.gates.trust import approved_files
from orchestrator.storage.atomic import inside, sha256_file
from orchestrator.storage.history import FOLDER, History
from orchestrator.tickets.board import Board


def untrusted_checks(family: Family, seen: ChangeLog | None = None) -> frozenset[str]:
    """The files of `checks/` that agents changed, as they are, without USER's approval of that.

    `seen`: the changes where they are looked at, by default in the family's files.
    """
    board = family.board
    if not any((board.root / "checks").glob("*.py")):
        return frozenset()
    log = seen or change_log_of(family)
    touched, changed = log.touched() or {}, log.changed_paths() or frozenset()
    found = {path for path in changed if path.startswith("checks/") and path.endswith(".py")}
    for path in tuple(found):
        doers = [record["paths"][pack(path)][2] for record in touched.get(path, {}).values()]
        if doers and all(set(each) == {PERSON} for each in doers):
            found.discard(path)
    approved = approved_files(family.history.records) if found else set()
    own = {p for p in found if (p, _sha(board, p)) not in approved}
    return frozenset(own) | checks_left_by_agents(board, family.history)


def checks_left_by_agents(board: Board, known: History | None = None) -> frozenset[str]:
    """The files of `checks/` that are as an agent left them, in any family, without an approval.

    `known`: a history that has been read already.
    """
    files = {f"checks/{file.name}" for file in (board.root / "checks").glob("*.py")}
    left: set[tuple[str, str]] = set()
    approved: set[tuple[str, str]] = set()
    for file in sorted((board.path / FOLDER).glob("*.jsonl")) if files else ():
        if b"checks/" not in file.read_bytes():
            continue
        same = known is not None and known.path == file
        history = known if known is not None and same else History(board.path, file.stem)
        approved |= approved_files(history.records)
        for record in (r for r in history.records if r["type"] == "changes"):
            for name, (_, after, doers) in record["paths"].items():
                if set(doers) != {PERSON}:
                    left.add((unpack(name), Entry.from_list(after).sha256))
    now = {(path, _sha(board, path)) for path in files}
    return frozenset(path for path, _ in (now & left) - approved)


def _sha(board: Board, path: str) -> str:
    try:
        file = inside(board.root, path)
        return sha256_file(file) if file.is_file() else "absent"
    except OrchestrateError:
        return "outside"

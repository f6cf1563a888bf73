"""Checks that the family's agents wrote into the workspace count once USER has approved them."""

from __future__ import annotations

from orchestrator.errors import OrchestrateError
from orchestrator.family.attempt_files import PERSON, pack
from orchestrator.family.change_log import change_log_of
from orchestrator.family.family import Family
from orchestrator.gates.trust import approved_files
from orchestrator.storage.atomic import inside, sha256_file


def untrusted_checks(family: Family) -> frozenset[str]:
    """The files of `checks/` that agents changed, as they are, without USER's approval of that."""
    if not any((family.board.root / "checks").glob("*.py")):
        return frozenset()
    log = change_log_of(family)
    touched, changed = log.touched() or {}, log.changed_paths() or frozenset()
    found = {path for path in changed if path.startswith("checks/") and path.endswith(".py")}
    for path in tuple(found):
        doers = [record["paths"][pack(path)][2] for record in touched.get(path, {}).values()]
        if doers and all(set(each) == {PERSON} for each in doers):
            found.discard(path)
    approved = approved_files(family.history.records) if found else set()
    return frozenset(p for p in found if (p, _sha(family, p)) not in approved)


def _sha(family: Family, path: str) -> str:
    try:
        file = inside(family.board.root, path)
        return sha256_file(file) if file.is_file() else "absent"
    except OrchestrateError:
        return "outside"

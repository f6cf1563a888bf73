"""Checks that the family's agents wrote into the workspace count once USER has approved them."""

from __future__ import annotations

from orchestrator.errors import OrchestrateError
from orchestrator.family.change_log import change_log_of
from orchestrator.family.family import Family
from orchestrator.storage.atomic import inside, sha256_file
from orchestrator.storage.history import History


def untrusted_checks(family: Family) -> frozenset[str]:
    """The files of `checks/` that agents changed, as they are, without USER's approval of that."""
    if not any((family.board.root / "checks").glob("*.py")):
        return frozenset()
    changed = change_log_of(family).changed_paths() or frozenset()
    found = {path for path in changed if path.startswith("checks/") and path.endswith(".py")}
    approved = _approved(family.history) if found else set()
    return frozenset(p for p in found if (p, _sha(family, p)) not in approved)


def _sha(family: Family, path: str) -> str:
    try:
        file = inside(family.board.root, path)
        return sha256_file(file) if file.is_file() else "absent"
    except OrchestrateError:
        return "outside"


def _approved(history: History) -> set[tuple[str, str]]:
    """(path, sha256) of every changed file that a question showed which USER approved."""
    shown = {record["digest"]: record["sheet"] for record in history.of("question")}
    given = [r.get("digest") for r in history.of("answer") if r["answer"] == "approved"]
    sheets = [shown[digest] for digest in given if digest in shown]
    return {(f["path"], f["after"][1]) for s in sheets for f in s.get("files", ())}

"""SOOP's section of the ticket: what was changed against the specification, and what was proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrate_agents.render import render_markdown
from orchestrate_agents.sql.access_matrix import VERBS, Access
from orchestrate_agents.sql.destructive import DestructiveChange
from orchestrate_agents.sql.prove import Proof
from orchestrate_agents.sql.rerunnable import SpecChange
from orchestrate_backend.targets.supabase_setup import API_ROLES

_VERB_WORDS = {"SELECT": "read", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}


def render_section(files: Sequence[Mapping[str, Any]]) -> str:
    """The markdown section, beginning with its own heading."""
    return render_markdown("soop/section.md.j2", files=files)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def view(
    *,
    path: str,
    sha256: str,
    kept: bool,
    source: str,
    needs: str,
    offset: int,
    changes: Sequence[SpecChange],
    proof: Proof,
    destructive: Sequence[DestructiveChange],
) -> dict[str, Any]:
    """What the template shows of one migration."""
    verb = "Kept as it was" if kept else "Written"
    return {
        "path": path,
        "state": f"{verb} (sha256 `{sha256[:12]}`).",
        "kept": kept,
        "source": source,
        "needs": needs,
        "changes": [(offset + c.line, _cell(c.what), _cell(c.why)) for c in changes],
        "proof": proof,
        "applied": _applied(proof),
        "catalogue": _catalogue(proof),
        "rows": _rows(proof),
        "taken": _taken(proof, destructive),
        "locks": ", ".join(f"`{table}` {mode}" for table, mode in proof.locks),
        "notes": [*proof.notes, *proof.misshapen],
        "matrix": [_matrix_row(proof, r.qualified) for r in proof.relations],
    }


def _applied(proof: Proof) -> str:
    if proof.blocked:
        return f"Not proven: {proof.blocked}."
    if proof.first is not None:
        return f"The first run stopped: {proof.first}."
    if proof.second is not None:
        return f"The second run stopped: {proof.second}."
    return "Applied twice without an error."


def _catalogue(proof: Proof) -> str:
    if not proof.applied_twice:
        return "The catalogue could not be compared."
    if proof.diff:
        return f"The second run changed the catalogue: {'; '.join(proof.diff[:4])}."
    entries = len(proof.catalog)
    return f"Catalogue after the second run equal to that after the first ({entries} entries)."


def _rows(proof: Proof) -> str:
    if not proof.applied_twice:
        return "Rows could not be compared."
    if proof.rows_changed:
        return f"The second run changed rows: {'; '.join(proof.rows_changed)}."
    return "Rows that stood in the tables were the same after the second run."


def _taken(proof: Proof, destructive: Sequence[DestructiveChange]) -> str:
    if destructive:
        return "Not additive: " + "; ".join(str(d) for d in destructive) + "."
    if proof.taken or proof.lessened:
        return "Not additive when run: " + "; ".join((*proof.taken, *proof.lessened)) + "."
    seen = "neither written nor seen when it ran" if proof.applied else "as it is written"
    return f"Additive: no drop, truncation, type change or overwritten row, {seen}."


def _matrix_row(proof: Proof, table: str) -> dict[str, str]:
    return {"table": table} | {role: _abilities(proof, role, table) for role in API_ROLES}


def _abilities(proof: Proof, role: str, table: str) -> str:
    words = []
    for verb in VERBS:
        cell = proof.cell(role, table, verb)
        if cell is None or cell.access in (Access.UNKNOWN, Access.ERROR):
            why = f" ({_cell(cell.summary.partition(': ')[2])})" if cell is not None else ""
            words.append(f"{_VERB_WORDS[verb]}?{why}")
        elif cell.access.allowed:
            own = " own rows" if cell.access is Access.OWN else ""
            words.append(_VERB_WORDS[verb] + own)
    return ", ".join(words) or "nothing"

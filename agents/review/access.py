"""Who may do what, in a review: the probed matrix of role, table and verb as a colored grid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.checks.sql.subjects import specification_of
from orchestrate_agents.review.migration import read_migrations
from orchestrate_agents.sql.access_matrix import VERBS, Access
from orchestrate_agents.sql.prerequisites import prerequisite_sql
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_backend.targets.supabase_setup import API_ROLES
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Context
from orchestrator.review.panels import Cell, Grid, Panel, Tone
from orchestrator.storage.atomic import sha256_file

#: table → role → verb → what a probe showed
Matrix = Mapping[str, Mapping[str, Mapping[str, str]]]

_LEGEND = (
    "Each cell was tried with real rows under Supabase's default privileges, and compared with "
    "what the specification allows: “yes” and “no” are as specified, LEAK is open against it, "
    "MISSING is closed against it."
)
_NO_SPECIFICATION = (
    "Each cell was tried with real rows under Supabase's default privileges. No specification can "
    "be run to compare with, so access of anon counts as a leak, and nothing else is judged."
)


@dataclass(frozen=True)
class ProbedAccess:
    """A matrix and where it comes from."""

    matrix: Matrix
    source: str
    #: `table: mode` of locks on tables that existed before
    locks: tuple[str, ...] = ()


def show_access(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """One grid for each migration."""
    for path, text in read_migrations(context, paths):
        base = prerequisite_sql(context.root, path, context.workflow)
        probed = _read_recorded(context, path)
        if probed is None and (proof := _try_prove(context, text, base)):
            now = proof.to_dict()
            source = f"probed for this review, on a {proof.base}"
            probed = ProbedAccess(now["matrix"], source, tuple(now["locks"]))
        if probed is None or not probed.matrix:
            continue
        # what the specification's own SQL allows when it is run
        specified = specification_of(context, path)
        wanted = _try_prove(context, specified, base) if specified is not None else None
        matrix = wanted.to_dict()["matrix"] if wanted else None
        grid, warnings = _build_grid(probed.matrix, matrix, _read_refuted(context, path))
        locked = "It locked no table that existed before."
        if probed.locks:
            locked = f"Locks that it took on tables that existed before: {'; '.join(probed.locks)}."
        legend = _LEGEND if wanted is not None else _NO_SPECIFICATION
        yield Panel(
            "Who may do what",
            words=(legend, f"{path}: {probed.source}.", locked),
            blocks=(grid,),
            warnings=tuple(warnings),
        )


# -- where matrices come from ----------------------------------------------------------------------


def _receipts_of(context: Context, path: str) -> list[Mapping[str, Any]]:
    """The receipts about the file as it is today, oldest first."""
    today = sha256_file(context.path(path))
    records = (r for r in context.history if r["type"] == "receipt")
    return [r for r in records if r["subjects"].get(path) == today]


def _read_recorded(context: Context, path: str) -> ProbedAccess | None:
    """The newest receipt's matrix of the file as it is today."""
    for record in reversed(_receipts_of(context, path)):
        for evidence in (claim["evidence"] for claim in record["claims"]):
            if "matrix" in evidence:
                base = evidence.get("base", "")
                source = f"from receipt {record['id']}" + (f", on a {base}" if base else "")
                locks = tuple(map(str, evidence.get("locks", ())))
                return ProbedAccess(evidence["matrix"], source, locks)
    return None


def _read_refuted(context: Context, path: str) -> tuple[str, ...]:
    """What failed receipts of today's file say that a role can or cannot do."""
    newest = {
        (record["statement"]["ticket"], record["statement"]["text"]): record
        for record in _receipts_of(context, path)
    }
    claims = (claim for record in newest.values() for claim in record["claims"])
    bad = (c["evidence"].get("problems", ()) for c in claims if c["verdict"] == "failed")
    return tuple(str(problem) for problems in bad for problem in problems)


def _try_prove(context: Context, text: str, base: Mapping[str, str]) -> Proof | None:
    """The proof of a migration that can be applied; None without a scratch server too."""
    try:
        proof = prove(text, context.services, base=base)
    except (OrchestrateError, OSError, RuntimeError):
        return None
    return proof if proof.applied else None


# -- the grid --------------------------------------------------------------------------------------


def _build_grid(
    matrix: Matrix, wanted: Matrix | None, refuted: Sequence[str]
) -> tuple[Grid, list[str]]:
    """The grid, and a warning for each cell that is not as it should be."""
    rows: list[tuple[Cell, ...]] = []
    warnings: list[str] = []
    for table, roles in matrix.items():
        rows.append((Cell(table.removeprefix("public.")),))
        known = {role: place for place, role in enumerate(API_ROLES)}
        for role in sorted(roles, key=lambda role: (known.get(role, len(known)), role)):
            cells = [Cell(role)]
            for verb in VERBS:
                seen = _read_access(roles[role].get(verb, "?"))
                specified = (wanted or {}).get(table, {}).get(role, {}).get(verb)
                can = "can" if seen.opens else "cannot"
                if _contradicts(refuted, f"{role} {can}", verb, table.rpartition(".")[2]):
                    right: bool | None = not seen.opens
                elif wanted is None or table not in wanted:
                    right = None
                else:
                    allowed = _read_access(specified)
                    right = None if allowed is Access.UNKNOWN else allowed.opens
                cell = _color(seen, right, role, roles[role].get(verb, "?").partition(": ")[2])
                cells.append(cell)
                if cell.tone is Tone.BAD:
                    warnings.append(f"{role} {can} {verb} {table.removeprefix('public.')}.")
            rows.append(tuple(cells))
    return Grid(("role", *VERBS), tuple(rows), "Role by verb, for each table"), warnings


def _color(seen: Access, right: bool | None, role: str, reason: str) -> Cell:
    """The cell for what was seen; `right` is what should be allowed, None if nothing says."""
    if seen in (Access.UNKNOWN, Access.ERROR):
        said = f"{'?' if seen is Access.UNKNOWN else 'error:'} {reason or 'not probed'}"
        return Cell(said, Tone.DOUBT if seen is Access.UNKNOWN else Tone.BAD)
    if right is None:
        right = seen.opens and role != "anon"
        fine = Tone.PLAIN
    else:
        fine = Tone.GOOD
    if seen.opens is not right:
        return Cell(f"LEAK: {seen.value}" if seen.opens else "MISSING", Tone.BAD)
    return Cell(seen.value, fine if seen.opens else Tone.QUIET)


def _read_access(seen: Any) -> Access:
    try:
        return Access(str(seen).partition(": ")[0])
    except ValueError:
        return Access.UNKNOWN


def _contradicts(problems: Sequence[str], subject: str, verb: str, table: str) -> bool:
    """Whether a problem reads `anon can INSERT, UPDATE branch_hours`."""
    pattern = rf"{re.escape(subject)} (?:[A-Z]+, )*{verb}(?:, [A-Z]+)* {re.escape(table)}(?:: .*)?"
    return any(re.fullmatch(pattern, problem) for problem in problems)

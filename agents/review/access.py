"""Who may do what, in a review: the probed matrix of role, table and verb as a coloured grid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.checks.sql.subjects import specification_of
from orchestrate_agents.review.migration import migrations
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
    "Each cell was tried with real rows under Supabase's default privileges. Compared with what "
    "the specification allows: “yes” and “no” are as wanted, LEAK is open against it, MISSING is "
    "shut against it."
)
_NO_SPECIFICATION = (
    "Each cell was tried with real rows under Supabase's default privileges. No specification can "
    "be run to compare with, so access of anon is taken for a leak, and nothing else is judged."
)


@dataclass(frozen=True)
class Probed:
    """A matrix and where it comes from."""

    matrix: Matrix
    source: str
    #: `table: mode` of locks on tables that were there before
    locks: tuple[str, ...] = ()


def grids(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """One grid for each migration."""
    for path, text in migrations(context, paths):
        base = prerequisite_sql(context.root, path, context.workflow)
        probed = _recorded(context, path) or _probed_now(context, text, base)
        if probed is None or not probed.matrix:
            continue
        wanted = _wanted(context, path, base)
        refuted = tuple(_refuted(context, path))
        grid = _grid(probed.matrix, wanted, refuted)
        legend = _LEGEND if wanted is not None else _NO_SPECIFICATION
        yield Panel(
            "Who may do what",
            words=(legend, f"{path}: {probed.source}.", _locks(probed.locks)),
            blocks=(grid,),
            warnings=tuple(_leaks(grid)),
        )


def _locks(locks: Sequence[str]) -> str:
    if not locks:
        return "It locked no table that was there before."
    return f"Locks that it took on tables that were there before: {'; '.join(locks)}."


# -- where matrices come from ----------------------------------------------------------------


def _recorded(context: Context, path: str) -> Probed | None:
    """The newest receipt's matrix of the file as it is today."""
    today = sha256_file(context.path(path))
    for record in reversed(context.history):
        if record["type"] != "receipt" or record["subjects"].get(path) != today:
            continue
        for claim in record["claims"]:
            if "matrix" in claim["evidence"]:
                base = claim["evidence"].get("base", "")
                source = f"from receipt {record['id']}" + (f", on a {base}" if base else "")
                locks = tuple(map(str, claim["evidence"].get("locks", ())))
                return Probed(claim["evidence"]["matrix"], source, locks)
    return None


def _probed_now(context: Context, text: str, base: Mapping[str, str]) -> Probed | None:
    proof = _proof(context, text, base)
    if proof is None or not proof.applied:
        return None
    told = proof.to_dict()
    source = f"probed for this review, on a {proof.base}"
    return Probed(told["matrix"], source, tuple(told["locks"]))


def _wanted(context: Context, path: str, base: Mapping[str, str]) -> Matrix | None:
    """What the specification's own SQL allows when it is run."""
    text = specification_of(context, path)
    proof = _proof(context, text, base) if text is not None else None
    if proof is None or not proof.applied:
        return None
    matrix: Matrix = proof.to_dict()["matrix"]
    return matrix


def _proof(context: Context, text: str, base: Mapping[str, str]) -> Proof | None:
    try:
        return prove(text, context.services, base=base)
    except (OrchestrateError, OSError, RuntimeError):
        # no disposable server: the receipts' matrix is still shown
        return None


def _refuted(context: Context, path: str) -> Iterator[str]:
    """What failed receipts of today's file say that a role can or cannot do."""
    today = sha256_file(context.path(path))
    newest = {}
    for record in context.history:
        if record["type"] == "receipt" and record["subjects"].get(path) == today:
            newest[record["statement"]["ticket"], record["statement"]["text"]] = record
    for record in newest.values():
        for claim in record["claims"]:
            if claim["verdict"] == "failed":
                yield from map(str, claim["evidence"].get("problems", ()))


# -- the grid --------------------------------------------------------------------------------


def _grid(matrix: Matrix, wanted: Matrix | None, refuted: Sequence[str]) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for table, roles in matrix.items():
        name = table.removeprefix("public.")
        rows.append((Cell(name),))
        for role in _in_order(roles):
            cells = (
                _cell(verb, role, table, roles[role].get(verb, "?"), wanted, refuted)
                for verb in VERBS
            )
            rows.append((Cell(role), *cells))
    return Grid(("role", *VERBS), tuple(rows), "Role by verb, for each table")


def _in_order(roles: Iterable[str]) -> list[str]:
    known = {role: place for place, role in enumerate(API_ROLES)}
    return sorted(roles, key=lambda role: (known.get(role, len(known)), role))


def _cell(
    verb: str, role: str, table: str, seen: str, wanted: Matrix | None, refuted: Sequence[str]
) -> Cell:
    access = _access(seen)
    if access is Access.UNKNOWN:
        return Cell("? not probed", Tone.DOUBT)
    name = table.rpartition(".")[2]
    if _says(refuted, role, "can" if access.allowed else "cannot", verb, name):
        return _against(access)
    right = _is_wanted(wanted, role, table, verb)
    if right is None:
        return _unjudged(access, role)
    if access.allowed is not right:
        return _against(access)
    return Cell(access.value, Tone.GOOD if access.allowed else Tone.QUIET)


def _access(seen: Any) -> Access:
    try:
        return Access(seen)
    except ValueError:
        return Access.UNKNOWN


def _is_wanted(wanted: Matrix | None, role: str, table: str, verb: str) -> bool | None:
    if wanted is None or table not in wanted:
        return None
    access = _access(wanted[table].get(role, {}).get(verb, Access.UNKNOWN))
    return None if access is Access.UNKNOWN else access.allowed


def _unjudged(access: Access, role: str) -> Cell:
    if not access.allowed:
        return Cell(access.value, Tone.QUIET)
    return _against(access) if role == "anon" else Cell(access.value)


def _against(access: Access) -> Cell:
    return Cell(f"LEAK: {access.value}" if access.allowed else "MISSING", Tone.BAD)


def _says(problems: Iterable[str], role: str, can: str, verb: str, table: str) -> bool:
    """Whether a problem reads `anon can INSERT, UPDATE benchmark_trials`."""
    pattern = rf"{re.escape(role)} {can} (?:[A-Z]+, )*{verb}(?:, [A-Z]+)* {re.escape(table)}"
    return any(re.fullmatch(pattern, problem) for problem in problems)


def _leaks(grid: Grid) -> Iterator[str]:
    table = ""
    for row in grid.rows:
        if len(row) == 1:
            table = row[0].text
            continue
        for verb, cell in zip(VERBS, row[1:], strict=True):
            if cell.tone is Tone.BAD:
                can = "can" if cell.text.startswith("LEAK") else "cannot"
                yield f"{row[0].text} {can} {verb} {table}."

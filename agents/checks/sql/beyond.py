"""What a migration opens beyond its specification, or beyond what a claim about access allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from orchestrate_agents.checks.sql.subjects import (
    Subject,
    migration_of,
    proof_of,
    specification_of,
)
from orchestrate_agents.sql.access_matrix import VERBS
from orchestrate_agents.sql.compare import unmet, unspecified
from orchestrate_agents.sql.openings import beyond, written_openings
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_agents.sql.reach import RlsBypass
from orchestrator.gates.checks import Context, Result, failed

_WRITES = frozenset(("INSERT", "UPDATE", "DELETE"))


@dataclass
class Beyond:
    """What is opened besides, and what may be."""

    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, sure: bool, line: str) -> None:
        """Note a line once."""
        into = self.problems if sure else self.unknown
        if line not in into:
            into.append(line)


def beyond_claim(
    ctx: Context, subject: Subject, roles: Collection[str], verbs: Collection[str] = VERBS
) -> Beyond:
    """What these roles can do besides, with verbs that they must not.

    Where the workflow or a ticket gives the migration's SQL, that is what may be opened; else only
    what no table needs counts.
    """
    found = Beyond()
    real, wanted = subject.proof, _wanted(ctx, subject)
    opened = beyond(real.opened, wanted.opened if wanted else ())
    for opening in opened:
        if any(map(opening.concerns, roles)) and (wanted is not None or opening.of_tables):
            found.add(True, str(opening))
    does = {"writes": bool(_WRITES & set(verbs)), "reads": "SELECT" in verbs, "defines": True}
    for lent in _new_bypasses(real, wanted):
        if lent.role in ("", *roles) and does.get(lent.does, wanted is not None):
            sure = wanted is not None or (lent.does != "answers" and not lent.trigger)
            found.add(sure, str(lent))
    if wanted is not None:
        _add_cells(found, real, wanted, roles, verbs)
        for line in unmet(wanted, real):
            found.add(True, line)
        for policy, line in unspecified(wanted, real, roles, verbs):
            if policy.permissive:
                found.add(True, line)
    return found


def _new_bypasses(real: Proof, wanted: Proof | None) -> Iterator[RlsBypass]:
    known = set(wanted.rls_bypasses) if wanted else set()
    yield from (b for b in real.rls_bypasses if b not in known)


def _add_cells(
    found: Beyond, real: Proof, wanted: Proof, roles: Collection[str], verbs: Collection[str]
) -> None:
    """What the matrix shows beyond the specification's, and requests that get past it."""
    invoked = real.invoked
    for cell in real.matrix:
        if cell.role not in roles or cell.verb not in verbs or cell.table in invoked:
            continue
        specified = wanted.cell(cell.role, cell.table, cell.verb)
        if cell.access.opens and not (specified is not None and specified.access.opens):
            found.add(True, f"{cell.role} can {cell.verb} {cell.table}, which is not specified")
    known = {(b.role, b.table, b.verb, b.asks) for b in wanted.by_request}
    for more in real.by_request:
        new = (more.role, more.table, more.verb, more.asks) not in known
        if more.role in roles and more.verb in verbs and new:
            found.add(more.sure, str(more))


def _wanted(ctx: Context, subject: Subject) -> Proof | None:
    """The proof of what is specified for the migration, where that can be run."""
    text = specification_of(ctx, subject.path)
    proof = prove(text, ctx.services, base=subject.base) if text is not None else None
    return proof if proof is not None and proof.first is None and not proof.blocked else None


def opened_unjudged(ctx: Context, result: Result) -> Result:
    """A verdict about a migration that could not be run, failed if it opens what is not specified.

    Roles belong to the whole server, so that no proof makes them; that one is given away is read.
    """
    path = migration_of(ctx)
    if isinstance(path, Result) or not (proof := proof_of(ctx, path)).blocked:
        return result
    text = specification_of(ctx, str(path))
    specified = tuple(written_openings(text)) if text is not None else ()
    opened = [o for o in beyond(proof.opened, specified) if text is not None or o.of_tables]
    if not opened:
        return result
    lines = "; ".join(map(str, opened[:6]))
    return failed(f"{path}: {lines}", str(path), base=proof.base, opened=[str(o) for o in opened])

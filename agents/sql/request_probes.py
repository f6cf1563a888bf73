"""What policies let through for some requests only: probed with their conditions relaxed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrate_agents.sql.access_matrix import (
    VERBS,
    Access,
    Cell,
    Planted,
    Seen,
    probe_verb,
    row_counts,
)
from orchestrate_agents.sql.catalog import RealPolicy, Relation
from orchestrate_agents.sql.function_bodies import Functions, own_functions
from orchestrate_agents.sql.ownership import claim_names, claims_of
from orchestrate_agents.sql.probe_rows import STRANGER, quote, quoted
from orchestrate_agents.sql.requests import Relaxed, relaxed
from orchestrate_agents.sql.scratch import Database


@dataclass(frozen=True)
class ByRequest:
    """One verb that a role can do where a request fulfils what a policy asks."""

    role: str
    table: str
    verb: str
    policy: str
    #: what has to hold
    asks: str
    #: False if it asks a function whose answer nothing shows
    sure: bool

    def __str__(self) -> str:
        return f"{self.role} can {self.verb} {self.table} where {self.asks} (policy {self.policy})"


def by_request(
    database: Database, tables: Sequence[Relation], matrix: Sequence[Cell], planted: Planted
) -> tuple[ByRequest, ...]:
    """What roles can do besides, for requests that fulfil the conditions. All is rolled back."""
    # where the server raises an error, nobody gets anything
    judged = (Access.ALLOWED, Access.ERROR)
    whole = {(c.role, c.table, c.verb) for c in matrix if c.access in judged}
    refused = {(c.role, c.table, c.verb) for c in matrix if c.access is Access.DENIED}
    found: list[ByRequest] = []
    with database.connect() as owner:
        functions, names = own_functions(owner), claim_names(owner)
        for role in ("anon", "authenticated"):
            claims = json.dumps(claims_of(role, STRANGER, names))
            for table in (t for t in tables if t.rls):
                verbs = [v for v in VERBS if (role, table.qualified, v) not in whole]
                asked = _relaxations(table, role, functions)
                if verbs and any(r.asks for pair in asked.values() for r in pair if r):
                    client = _Client(role, claims, table, planted)
                    found += client.probed(owner, verbs, asked)
                reported = {f.verb for f in found if (f.role, f.table) == (role, table.qualified)}
                left = [
                    v for v in verbs if v not in reported and (role, table.qualified, v) in refused
                ]
                if role == "authenticated":
                    found += _by_other_rows(table, role, left, asked)
    return tuple(found)


def _by_other_rows(
    table: Relation, role: str, verbs: Sequence[str], asked: _Asked
) -> Iterator[ByRequest]:
    """Refused writes that show nothing: a policy lets some rows in, and none was tried.

    Which rows a user reads is looked at with those of two users.
    """
    for verb in (v for v in verbs if v != "SELECT"):
        for policy, part in _of_verb(asked, verb):
            if part.text != "false":
                asks = "rows or requests that were not tried"
                yield ByRequest(role, table.qualified, verb, policy.name, asks, sure=False)


#: policy → what its USING and its WITH CHECK are relaxed to
_Asked = Mapping[RealPolicy, tuple[Relaxed | None, Relaxed | None]]


def _relaxations(table: Relation, role: str, functions: Functions) -> _Asked:
    from pglast.parser import ParseError

    def of(policy: RealPolicy, source: str | None) -> Relaxed | None:
        if not source:
            return None
        try:
            found = relaxed(source, role, functions)
        except (ParseError, IndexError):
            return Relaxed("true", ("a condition that cannot be read",), ("?",))
        if found.text == "false" != source and policy.roles == ("anon",) and policy.permissive:
            # whoever gives it to anon alone expects requests of anon that fulfil it
            return Relaxed("true", (source,), ("?",))
        return found

    held = [p for p in table.policies if {role, "public"} & set(p.roles)]
    return {p: (of(p, p.using), of(p, p.check)) for p in held}


@dataclass(frozen=True)
class _Client:
    role: str
    claims: str
    table: Relation
    planted: Planted

    def probed(self, owner: Any, verbs: Sequence[str], asked: _Asked) -> Iterator[ByRequest]:
        """The verbs that come to be possible, or possible for more rows."""
        import psycopg

        before = self._seen(owner, verbs, {})
        after: dict[str, Seen] = {}
        with contextlib.suppress(psycopg.Error):
            after = self._seen(owner, verbs, asked)
        for verb in verbs:
            access, detail = after.get(verb, (Access.UNKNOWN, ""))
            named = [(p, r) for p, r in _of_verb(asked, verb) if r.asks]
            more = access.allowed and (access, detail) != before[verb]
            if named and (more or access is Access.UNKNOWN):
                asks = dict.fromkeys(ask for _, r in named for ask in r.asks)
                sure = more and not all(r.own for _, r in named)
                policies = ", ".join(dict.fromkeys(p.name for p, _ in named))
                yield ByRequest(
                    self.role, self.table.qualified, verb, policies, " / ".join(asks), sure
                )

    def _seen(self, owner: Any, verbs: Sequence[str], asked: _Asked) -> dict[str, Seen]:
        rows = row_counts(owner, [self.table])
        with owner.transaction(force_rollback=True):
            for policy, (using, check) in asked.items():
                parts = [f"USING ({using.text})"] if using else []
                parts += [f"WITH CHECK ({check.text})"] if check else []
                on = f"ALTER POLICY {quote(policy.name)} ON {quoted(self.table)}"
                owner.execute(f"{on} {' '.join(parts)}".replace("%%", "%"))
            owner.execute(f"SET LOCAL ROLE {self.role}")
            owner.execute("SELECT set_config('request.jwt.claims', %s, true)", [self.claims])
            return {v: probe_verb(owner, self.table, v, self.planted, rows) for v in verbs}


def _of_verb(asked: _Asked, verb: str) -> Iterator[tuple[RealPolicy, Relaxed]]:
    for policy, (using, check) in asked.items():
        if policy.permissive and policy.verb in ("ALL", verb):
            for part in (check or using,) if verb == "INSERT" else (using, check):
                if part is not None:
                    yield policy, part


def with_requests(matrix: Sequence[Cell], found: Sequence[ByRequest]) -> tuple[Cell, ...]:
    """The matrix in which a refusal that some request gets past is none."""
    reported = {(f.role, f.table, f.verb): f for f in found}
    cells = []
    for cell in matrix:
        more = reported.get((cell.role, cell.table, cell.verb))
        if more is not None and cell.access in (Access.DENIED, Access.UNKNOWN):
            access = Access.REQUEST if more.sure else Access.UNKNOWN
            cell = replace(cell, access=access, detail=f"policy {more.policy} asks {more.asks}")
        cells.append(cell)
    return tuple(cells)

"""Where a migration departs from its specification, compared by what running both left behind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from orchestrate_agents.sql.access_matrix import VERBS, Access
from orchestrate_agents.sql.catalog import RealIndex, RealPolicy, Relation
from orchestrate_agents.sql.environment import HOSTED
from orchestrate_agents.sql.prove import Proof
from orchestrate_agents.sql.requests import holds_always, holds_never
from orchestrate_backend.targets.supabase_setup import API_ROLES

_LETTERS = {"p": "primary key", "u": "unique key", "f": "reference", "c": "check", "x": "exclusion"}


def departures(wanted: Proof, real: Proof) -> tuple[str, ...]:
    """What the specification makes and the migration does not, or what it opens beyond that.

    More columns, keys and indexes than specified are not a departure; more access is, and so are
    rows, and what refuses rows.
    """
    out: list[str] = []
    for relation in wanted.relations:
        other = real.relation(relation.qualified)
        if other is None:
            out.append(f"{relation.qualified} is missing")
            continue
        out += _columns(relation, other)
        out += _constraints(relation, other)
        out += _restrictions(relation, other)
        out += _indexes(relation, other)
    out += unmet(wanted, real)
    return (*out, *_rows(wanted, real), *_triggers(wanted, real), *_access(wanted, real))


def unmet(wanted: Proof, real: Proof) -> Iterator[str]:
    """What branches would change that did not run here, and that the specification does not."""
    for line in real.unmet:
        if line not in wanted.unmet:
            yield f"in a branch that did not run here, and that is not specified: {line}"


def _rows(wanted: Proof, real: Proof) -> Iterator[str]:
    """Rows that nobody asked for: data comes from files that say where each figure is from."""
    specified = dict(wanted.filled)
    for table, count in real.filled:
        if table in specified and count != specified[table]:
            yield f"{table} has {count} rows after it, specified are {specified[table]}"


def _columns(wanted: Relation, real: Relation) -> Iterator[str]:
    for column in wanted.columns:
        other = real.column(column.name)
        name = f"{wanted.name}.{column.name}"
        if other is None:
            yield f"column {name} is missing"
        elif other.type != column.type:
            yield f"{name} is {other.type}, specified is {column.type}"
        elif other.not_null != column.not_null:
            may = "must not" if other.not_null else "may"
            yield f"{name} {may} be null, against the specification"
        elif _plain_default(other.default) != _plain_default(column.default):
            default = column.default or "none"
            yield f"{name} has default {other.default or 'none'}, specified is {default}"


def _plain_default(text: str | None) -> str | None:
    """A default in one of its spellings: the time of the transaction has three."""
    return "now()" if text in ("CURRENT_TIMESTAMP", "transaction_timestamp()") else text


def _constraints(wanted: Relation, real: Relation) -> Iterator[str]:
    have = {(c.type, c.definition) for c in real.constraints}
    unique = {frozenset(key) for key in real.unique_keys}
    for constraint in wanted.constraints:
        if (constraint.type, constraint.definition) in have:
            continue
        if constraint.type == "u" and frozenset(constraint.columns) in unique:
            continue
        kind = _LETTERS.get(constraint.type, "constraint")
        yield f"{wanted.name} lacks its {kind}: {constraint.definition}"


def _restrictions(wanted: Relation, real: Relation) -> Iterator[str]:
    """What refuses or loses rows that the specification takes."""
    known = {(c.type, c.definition) for c in wanted.constraints}
    for constraint in real.constraints:
        if constraint.type in "cx" and (constraint.type, constraint.definition) not in known:
            yield f"{wanted.name} refuses rows, which is not specified: {constraint.definition}"
    for index in real.indexes:
        if index.unique and not index.primary and _shape(index) not in map(_shape, wanted.indexes):
            yield from _too_narrow(index, real)
    if real.unlogged and not wanted.unlogged:
        yield f"{wanted.name} is unlogged: a crash empties it"


def _too_narrow(index: RealIndex, real: Relation) -> Iterator[str]:
    """A key within another key refuses rows that the other one distinguishes."""
    columns = set(index.columns)
    if any(columns < set(key) for key in real.unique_keys):
        names = ", ".join(c or "(expression)" for c in index.columns)
        yield f"{real.name} refuses rows, which is not specified: unique index on ({names})"


def _triggers(wanted: Proof, real: Proof) -> Iterator[str]:
    """What changes, refuses or tells rows of a specified or hosted table on their way in."""
    tables = tuple(f"{relation.qualified}." for relation in wanted.tables)
    hosted = tuple(f"{schema}." for schema in HOSTED)
    specified = set(wanted.catalog)
    new = [entry for entry in real.catalog if entry not in specified]
    functions = {name.partition("(")[0].rpartition(".")[2] for k, name, _ in new if k == "function"}
    for kind, name, text in new:
        if kind == "trigger" and name.startswith(tables + hosted):
            yield f"trigger {name} is not specified"
        # what a column of each row is made by runs as a trigger does
        called = functions & set(re.findall(r"(\w+)\(", text)) if kind in _COMPUTED else ()
        for function in called:
            yield f"{kind} {name} calls {function}(), which is not specified"


#: entries of the catalog that can run functions for each row
_COMPUTED = ("index", "column")


def _indexes(wanted: Relation, real: Relation) -> Iterator[str]:
    for index in wanted.indexes:
        if not index.primary and not any(_serves(other, index) for other in real.indexes):
            columns = ", ".join(c or "(expression)" for c in index.columns)
            yield f"{wanted.name} has no {'unique ' if index.unique else ''}index on ({columns})"


def _serves(real: RealIndex, wanted: RealIndex) -> bool:
    """Whether an index does what one that was specified is for."""
    if _shape(real) == _shape(wanted):
        return True
    if wanted.unique or wanted.partial or not real.valid or None in wanted.columns:
        return False
    leads = real.columns[: len(wanted.columns)] == wanted.columns
    # a hash finds values as well, of one column
    hashed = real.method == "hash" and wanted.method == "btree" and len(wanted.columns) == 1
    return leads and real.whole and (hashed or real.method == wanted.method)


def _shape(index: RealIndex) -> tuple[object, ...]:
    return index.columns, index.unique, index.method, index.partial, index.valid


def _access(wanted: Proof, real: Proof) -> Iterator[str]:
    for cell in wanted.matrix:
        other = real.cell(cell.role, cell.table, cell.verb)
        if other is None or other.access is cell.access:
            continue
        if other.access.opens != cell.access.opens:
            can = "can" if other.access.opens else "cannot"
            yield f"{cell.role} {can} {cell.verb} {cell.table}, against the specification"
        elif cell.access.opens:
            yield (
                f"{cell.role} {cell.verb} {cell.table}: {other.access.value}, "
                f"specified is {cell.access.value}"
            )
    yield from (line for _, line in unspecified(wanted, real))
    for relation in wanted.tables:
        other_relation = real.relation(relation.qualified)
        if relation.rls and other_relation is not None and not other_relation.rls:
            yield f"{relation.name} has no row level security"


def unspecified(
    wanted: Proof,
    real: Proof,
    roles: Collection[str] = API_ROLES[:2],
    verbs: Collection[str] = VERBS,
) -> Iterator[tuple[RealPolicy, str]]:
    """Policies of specified tables by which these roles can do more, or less, than specified.

    For which rows or requests one is, no probe shows. What holds for none, or takes nothing from
    what is open to all, is left out.
    """
    for relation in wanted.tables:
        other = real.relation(relation.qualified)
        known = {replace(p, name="") for p in relation.policies}
        for policy in other.policies if other is not None else ():
            if replace(policy, name="") in known:
                continue
            does = [
                f"{role} {verb}"
                for role in roles
                for verb in verbs
                if policy.concerns(role, verb)
                and _differs(policy, relation.qualified, role, verb, wanted, real)
            ]
            if does:
                name = f"policy {policy.name} of {relation.name}"
                yield policy, f"{name} is not specified: {', '.join(does)}"


def _differs(
    policy: RealPolicy, table: str, role: str, verb: str, wanted: Proof, real: Proof
) -> bool:
    """Whether a policy that is not specified gives a role more than the specification, or less."""
    specified = wanted.cell(role, table, verb)
    seen = real.cell(role, table, verb)
    if specified is None or seen is None or seen.access is Access.NO_PRIVILEGE:
        return False
    if policy.permissive:
        # of those for anon alone a claim may be meant that no other request of anon has
        asker = "" if policy.roles == ("anon",) else role
        return not specified.access.opens and not any(
            holds_never(c, asker) for c in policy.conditions(verb)
        )
    return specified.access.opens and not all(map(holds_always, policy.conditions(verb)))

"""What each role of the API can really do to each table: probed with rows, not read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrate_agents.sql.catalog import RealColumn, Relation
from orchestrate_agents.sql.ownership import claim_names, claims_of, owned_columns, unplanted
from orchestrate_agents.sql.policy_conditions import policy_by_clock, policy_by_content
from orchestrate_agents.sql.probe_rows import (
    PLANTED,
    STRANGER,
    SUBJECT,
    USERS,
    ProbeRow,
    bucket_names,
    make_row,
    quote,
    quoted,
    user_id,
)
from orchestrate_agents.sql.scratch import Database
from orchestrate_backend.targets.supabase_setup import API_ROLES

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_MAX_REPAIRS = 25


class Access(StrEnum):
    """What a probe showed."""

    #: done to a row
    ALLOWED = "yes"
    #: done, but not to every row, or not to all of it, or not at all times
    SOME = "some rows"
    #: done, but only by the user whom the row belongs to
    OWN = "own rows"
    #: done by requests that carry a claim, header or setting, or come at a time, and by no others
    REQUEST = "some requests"
    #: refused, or no row reached, by a role that holds the table privilege: RLS did it
    DENIED = "no"
    #: refused for want of the table privilege: says nothing about RLS
    NO_PRIVILEGE = "no privilege"
    #: the server raised an error for every row that was tried
    ERROR = "error"
    #: the probe itself could not be made
    UNKNOWN = "?"

    @property
    def allowed(self) -> bool:
        return self in (Access.ALLOWED, Access.SOME, Access.OWN)

    @property
    def opens(self) -> bool:
        """Whether some request of the role does it."""
        return self.allowed or self is Access.REQUEST


@dataclass(frozen=True)
class Cell:
    """One role, one table, one verb."""

    role: str
    table: str
    verb: str
    access: Access
    detail: str = ""

    @property
    def summary(self) -> str:
        """What was seen; with the reason where that is not a plain yes or no."""
        if self.access in (Access.UNKNOWN, Access.ERROR, Access.REQUEST):
            return f"{self.access.value}: {self.detail}"
        return self.access.value


@dataclass(frozen=True)
class _Client:
    """Who asks: a role of the API, as one user."""

    role: str
    user: str


_CLIENTS = (*(_Client(r, SUBJECT) for r in API_ROLES), _Client("authenticated", STRANGER))

#: probe rows by table
Planted = dict[str, list[dict[str, str]]]


def plant(
    database: Database,
    tables: Iterable[Relation],
    *,
    standing: Planted | None = None,
    refused: dict[str, str] | None = None,
    force: bool = False,
    user: str = SUBJECT,
    first: int = 0,
) -> Planted:
    """Insert probe rows as service_role, parents before children, and commit them.

    A table whose checks refuse the generated rows gets none; with `force` (when nothing but roles
    remains to be probed) the checks in the way are dropped first. Tables in `standing` have their
    rows already. `refused` takes the server's words by table. The rows are `user`'s, numbered
    from `first`, a multiple of PLANTED. Returns the rows by table.
    """
    planted: Planted = dict(standing or {})
    done, listed = frozenset(planted), list(tables)
    owned = owned_columns(listed)
    with database.connect() as owner, database.connect_api() as api:
        # without the triggers of a migration: the rows that they would make are made below
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "INSERT INTO auth.users (id, email) SELECT u, u || '@example.org' "
            "FROM unnest(%s::uuid[]) u ON CONFLICT DO NOTHING",
            [[user_id(n) for n in range(USERS)]],
        )
        owner.execute("SET session_replication_role = origin")
        for bucket in bucket_names(listed):
            query = "INSERT INTO storage.buckets (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING"
            owner.execute(query, [bucket, bucket])
        # defaults and triggers may ask whose request it is
        claims = json.dumps(claims_of("authenticated", user) | {"role": "service_role"})
        api.execute("SELECT set_config('request.jwt.claims', %s, false)", [claims])
        api.execute("SET ROLE service_role")
        for table in _parents_first([t for t in listed if t.is_table]):
            for serial in range(PLANTED if table.qualified not in done else 0):
                own = owned.get(table.qualified)
                made = make_row(table, first + serial, planted, own, user)
                row = _plant_row(owner, api, made, force=force)
                if isinstance(row, dict):
                    planted.setdefault(table.qualified, []).append(row)
                elif refused is not None:
                    refused[table.qualified] = row
    return planted


def _parents_first(tables: Sequence[Relation]) -> list[Relation]:
    by_name = {t.qualified: t for t in tables} | {t.name: t for t in tables if t.schema == "public"}
    out: dict[str, Relation] = {}

    def visit(table: Relation, above: frozenset[str]) -> None:
        if table.qualified in out or table.qualified in above:
            return
        for constraint in table.constraints:
            if constraint.type == "f" and constraint.target in by_name:
                visit(by_name[constraint.target], above | {table.qualified})
        out.setdefault(table.qualified, table)

    for table in tables:
        visit(table, frozenset())
    return list(out.values())


def _plant_row(owner: Any, api: Any, row: ProbeRow, *, force: bool) -> dict[str, str] | str:
    """Insert one row, as the owner if service_role may not.

    Returns it as the server has it, or why the server refused it.
    """
    import psycopg

    connection = api
    query = f"{row.insert} RETURNING to_jsonb({quote(row.relation.name)}), ctid::text"
    for _ in range(_MAX_REPAIRS):
        try:
            values, place = connection.execute(query, row.parameters).fetchone()
        except psycopg.errors.InsufficientPrivilege as error:
            if connection is owner:
                return _words(error)
            connection = owner
        except psycopg.Error as error:
            if not force or not _drop_obstacle(owner, row.relation, error):
                return _words(error)
        else:
            present = {name: value for name, value in values.items() if value is not None}
            found = {n: v if isinstance(v, str) else json.dumps(v) for n, v in present.items()}
            return found | {"ctid": place}
    return "its checks refuse every row that was tried"


def _drop_obstacle(owner: Any, table: Relation, error: Any) -> bool:
    """Drop what refuses a probe row; the database is thrown away afterwards."""
    import psycopg

    name, column = error.diag.constraint_name, error.diag.column_name
    if isinstance(error, psycopg.errors.UniqueViolation):
        return False
    if isinstance(error, psycopg.errors.NotNullViolation) and column:
        action = f"ALTER COLUMN {quote(column)} DROP NOT NULL"
    elif isinstance(error, psycopg.errors.IntegrityError) and name:
        action = f"DROP CONSTRAINT {quote(name)}"
    else:
        action = "DISABLE TRIGGER USER"
    try:
        owner.execute(f"ALTER TABLE {quoted(table)} {action}", [])
    except psycopg.Error:
        return False
    return True


#: what a probe showed, with a detail
Seen = tuple[Access, str]


def probe(
    database: Database,
    tables: Sequence[Relation],
    planted: Planted,
    refused: Mapping[str, str] | None = None,
) -> tuple[Cell, ...]:
    """The role × table × verb matrix. Every probe is rolled back.

    `refused` says why a table has no probe rows.
    """
    with database.connect_api() as api:
        privileges = _privileges(api, tables)
        rows = row_counts(api, tables)
        seen = {c: _probe_client(api, c, tables, planted, privileges, rows) for c in _CLIENTS}
    cells = []
    for role in API_ROLES:
        for table in tables:
            for verb in VERBS:
                key = (table.qualified, verb)
                access, detail = seen[_Client(role, SUBJECT)][key]
                if access is Access.UNKNOWN and not planted.get(table.qualified):
                    detail = ": ".join(filter(None, (detail, (refused or {}).get(table.qualified))))
                if role == "authenticated" and access.allowed:
                    stranger, _ = seen[_Client(role, STRANGER)][key]
                    access = access if stranger.allowed else Access.OWN
                if access is Access.DENIED and (policy := policy_by_content(table, role, verb)):
                    access, detail = Access.UNKNOWN, f"no probe row is what policy {policy} opens"
                asks = access is Access.DENIED and role == "authenticated"
                if asks and (why := unplanted(table, role, verb, planted, SUBJECT)):
                    access, detail = Access.UNKNOWN, why
                if access is Access.ALLOWED and (policy := policy_by_clock(table, role, verb)):
                    access, detail = Access.SOME, f"policy {policy} asks the clock"
                cells.append(Cell(role, table.qualified, verb, access, detail))
    return tuple(cells)


def row_counts(api: Any, tables: Sequence[Relation]) -> dict[str, int]:
    """Rows by table, as service_role sees them: past all policies."""
    import psycopg

    found = {}
    for table in tables:
        with api.transaction(force_rollback=True), contextlib.suppress(psycopg.Error):
            api.execute("SET LOCAL ROLE service_role")
            cursor = api.execute(f"SELECT count(*) FROM {quoted(table)}", [])  # noqa: S608
            found[table.qualified] = cursor.fetchone()[0]
    return found


def _privileges(api: Any, tables: Sequence[Relation]) -> set[tuple[str, str, str]]:
    """(role, table, verb) if the role holds the privilege, on the table or a column."""
    rows = api.execute(
        """
        SELECT r, s || '.' || t, v
        FROM unnest(%s::text[]) r, unnest(%s::text[], %s::text[]) q (s, t), unnest(%s::text[]) v,
          pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = s AND c.relname = t AND has_schema_privilege(r, n.oid, 'USAGE')
          AND CASE WHEN v = 'DELETE' THEN has_table_privilege(r, c.oid, v)
            ELSE has_any_column_privilege(r, c.oid, v) END
        """,
        [list(API_ROLES), [t.schema for t in tables], [t.name for t in tables], list(VERBS)],
    ).fetchall()
    return set(rows)


def _probe_client(
    api: Any,
    client: _Client,
    tables: Sequence[Relation],
    planted: Planted,
    privileges: set[tuple[str, str, str]],
    rows: Mapping[str, int],
) -> dict[tuple[str, str], Seen]:
    """What one client can do, by table and verb."""
    claims = json.dumps(claims_of(client.role, client.user, claim_names(api)))
    found: dict[tuple[str, str], Seen] = {}
    with api.transaction(force_rollback=True):
        api.execute(f"SET LOCAL ROLE {client.role}")
        api.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
        for table in tables:
            for verb in VERBS:
                seen: Seen = (Access.NO_PRIVILEGE, "")
                if (client.role, table.qualified, verb) in privileges:
                    seen = probe_verb(api, table, verb, planted, rows)
                found[table.qualified, verb] = seen
    return found


def probe_verb(
    api: Any, table: Relation, verb: str, planted: Planted, rows: Mapping[str, int]
) -> Seen:
    """What the role of a connection can do to a table with these probe rows and row counts."""
    name = quoted(table)
    if verb == "SELECT" and table.kind == "m":
        # it holds the rows of its last refresh, and no policy is over them
        return Access.ALLOWED, ""
    if verb != "INSERT" and table.is_table and not planted.get(table.qualified):
        return Access.UNKNOWN, "no probe row could be made"
    if verb == "SELECT":
        seen = _attempt(api, f"SELECT FROM {name}", [], rows.get(table.qualified, 0))
        # a privilege on some columns is not enough for all of each row
        if seen[0].allowed and _attempt(api, f"SELECT * FROM {name}", [])[0] is Access.DENIED:  # noqa: S608
            return Access.SOME, "some columns only"
        if seen[0] is Access.UNKNOWN and _raises_for_each(api, name, planted, table):
            return Access.ERROR, seen[1]
        return seen
    if verb == "DELETE":
        return _attempt(api, f"DELETE FROM {name}", [])  # noqa: S608 - a quoted name
    if verb == "INSERT":
        own = owned_columns([table]).get(table.qualified)
        new = [make_row(table, PLANTED + n, planted, own) for n in range(PLANTED)]
        return _best([_attempt(api, row.insert, row.parameters) for row in new])
    # set a column to a constant: without WHERE and reference, so that SELECT is not needed too
    values = make_row(table, 1, {}).values
    results = []
    for column in updatable(table)[:3]:
        value = values.get(column.name)
        constant = f"%s::{column.type}" if value is not None else "DEFAULT"
        query = f"UPDATE {name} SET {quote(column.name)} = {constant}"  # noqa: S608 - quoted
        results.append(_attempt(api, query, [value] if value is not None else []))
    return _best(results)


def _raises_for_each(api: Any, name: str, planted: Planted, table: Relation) -> bool:
    """Whether the server raises an error for every row, and not only for one that is odd."""
    query = f"SELECT FROM {name} WHERE ctid = %s::tid"
    rows = [r["ctid"] for r in planted.get(table.qualified, ()) if "ctid" in r]
    return bool(rows) and all(_attempt(api, query, [c])[0] is Access.UNKNOWN for c in rows)


def _words(error: Any) -> str:
    """The server's own words, with the code by which they can be looked up."""
    return f"{error.diag.message_primary or error} ({error.sqlstate})"


def _best(results: Sequence[Seen]) -> Seen:
    order = list(Access)
    return min(results, key=lambda r: order.index(r[0]), default=(Access.UNKNOWN, "no column"))


def updatable(table: Relation) -> list[RealColumn]:
    """Columns whose change breaks no key, the last ones first: policies rarely look at them."""
    keyed = {c for i in table.indexes if i.unique for c in i.columns}
    keyed |= {c for k in table.constraints for c in k.columns}
    able = [c for c in reversed(table.columns) if not c.made]
    return [c for c in able if c.name not in keyed and c.base != "uuid"] or able


def _attempt(api: Any, query: str, parameters: list[str], all_of: int = 0) -> Seen:
    import psycopg

    refused = (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.ObjectNotInPrerequisiteState,
    )
    try:
        with api.transaction(force_rollback=True):
            count = api.execute(query, parameters).rowcount
    except refused as error:
        return Access.DENIED, str(error.diag.message_primary or "")
    except psycopg.errors.IntegrityError:
        # policies are judged before keys and references: the role came past them
        return Access.ALLOWED, "refused by a constraint only"
    except psycopg.Error as error:
        # of class 42 and 54 whatever the rows are: a name that leads nowhere, endless recursion
        always = (error.sqlstate or "").startswith(("42", "54"))
        return Access.ERROR if always else Access.UNKNOWN, _words(error)
    if count < all_of and count:
        return Access.SOME, f"{count} of {all_of} rows"
    return (Access.ALLOWED, "") if count > 0 else (Access.DENIED, "no row reached")

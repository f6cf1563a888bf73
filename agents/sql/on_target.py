"""What approved SQL makes, and where a target differs from that after it was applied."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrate_agents.sql.apply import apply
from orchestrate_agents.sql.arrivals import Query, literal, place
from orchestrate_agents.sql.catalog import Snapshot, catalog_query, relations, snapshot
from orchestrate_agents.sql.existing_schema import PRIVILEGES
from orchestrate_agents.sql.parse import SqlError, parse_migration, walk
from orchestrate_agents.sql.prove import apply_base
from orchestrate_agents.sql.scratch import scratch
from orchestrate_backend.targets.supabase_setup import OWNER
from orchestrator.gates.checks import Services
from orchestrator.storage.atomic import sha256_bytes

#: what a client of the API is allowed beyond grants and policies
_ROLES = """
SELECT 'role' AS kind, r.rolname::text AS name, concat_ws(', ',
         CASE WHEN r.rolsuper THEN 'is a superuser' END,
         CASE WHEN r.rolbypassrls THEN 'passes by row level security' END,
         (SELECT 'is a member of ' || string_agg(m.roleid::regrole::text, ', ' ORDER BY 1)
            FROM pg_auth_members m WHERE m.member = r.oid)) AS definition
  FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated')
"""
#: parts of a table, named `schema.table.part`
_PARTS = ("column", "column grant", "constraint", "policy", "trigger", "rule")
#: whose entries name an owner
_OWNED = ("table", "view", "sequence", "grant", "column grant", "function")
_WHOLE = ("table", "row level security", "grant")


@dataclass(frozen=True)
class Approved:
    """What the approved migrations make on a schema that nobody else has touched."""

    #: the schema that they were applied to: "bare schema", or with earlier migrations
    base: str
    made: Snapshot = ()
    gone: Snapshot = ()
    roles: Snapshot = ()
    #: the roles that they grant something themselves, "" for everybody
    grants: tuple[str, ...] = ()
    #: the rows that they insert, by table, and the columns that these are in
    rows: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] | None = None
    #: why nothing can be said
    blocked: str = ""

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(name for kind, name, _ in self.made if kind == "table")


def catalog_of(query: Query) -> Snapshot:
    """The catalog of a target, and what roles of the API may do beyond it."""
    rows = [*query(catalog_query()), *query(_ROLES)]
    return tuple((str(r["kind"]), str(r["name"]), str(r["definition"] or "")) for r in rows)


#: (name, SQL, whether it was approved, or else is only what that builds on)
Step = tuple[str, str, bool]


def approved_state(services: Services, steps: Sequence[Step]) -> Approved:
    """Apply migrations in order to a fresh database and see what the approved ones make."""
    key = ("sql.approved", tuple((name, sha256_bytes(t.encode()), own) for name, t, own in steps))
    return services.remember(key, Approved, lambda: _apply(services, steps))


def _apply(services: Services, steps: Sequence[Step]) -> Approved:
    with scratch(services).database() as database:
        grants: set[str] = set()
        new: set[tuple[str, str, str]] = set()
        gone: set[tuple[str, str, str]] = set()
        base = {name: text for name, text, own in steps if not own}
        described = f"a bare schema with {len(base)} earlier migrations" if base else "bare schema"
        for name, text, own in steps:
            if not own:
                # one that does not apply here is left out, as where the migration was proven
                apply_base(database, {name: text})
                continue
            with database.connect() as owner:
                before = set(snapshot(owner))
            try:
                migration = parse_migration(text)
            except SqlError as error:
                return Approved(described, blocked=f"{name}: {error.message}")
            done = apply(database, migration)
            if done.failure is not None:
                return Approved(described, blocked=f"{name}: {done.failure}")
            with database.connect() as owner:
                now = set(snapshot(owner))
            new, gone = new | (now - before), gone | (before - now)
            granting = migration.of("GrantStmt", "AlterDefaultPrivilegesStmt")
            nodes = walk([statement.node for statement in granting])
            grants |= {n.rolename or "" for n in nodes if type(n).__name__ == "RoleSpec"}
        with database.connect() as owner:
            after = snapshot(owner)
            allowed = owner.execute(_ROLES).fetchall()
            roles = tuple((str(kind), str(name), str(more)) for kind, name, more in allowed)
            made = tuple(row for row in after if row in new)
            names = {name for kind, name, _ in made if kind == "table"}
            rows = {}
            for table in relations(owner):
                columns = tuple(
                    c.name for c in table.columns
                    if not c.made and not c.identity and "(" not in (c.default or "")
                )  # fmt: skip
                if table.qualified in names and columns:
                    lines = owner.execute(_rows_query(table.qualified, columns)).fetchall()
                    if lines:
                        rows[table.qualified] = (columns, tuple(r for (r,) in lines))
        left = tuple(sorted(gone - set(after)))
        return Approved(described, made, left, roles, tuple(sorted(grants)), rows)


def _rows_query(table: str, columns: Iterable[str]) -> str:
    listed = ", ".join(map(place, columns))
    return f"SELECT ROW({listed})::text AS r FROM {place(table)}"  # noqa: S608 - quoted


def target_differences(
    approved: Approved,
    query: Query,
    changes: Iterable[Sequence[str]] = (),
    *,
    rows: bool = True,
) -> Iterator[str]:
    """Where a target is not what the approved SQL makes.

    `changes` are what applying it changed there: sign, kind, name and definition. With `rows` the
    rows that it inserts have to be there too.
    """
    here = _Reader(query)
    there: dict[tuple[str, str], set[str]] = {}
    for kind, name, definition in here.read(catalog_of(query)):
        there.setdefault((kind, name), set()).add(definition)
    wanted = tuple(here.read(approved.made, here.owner))
    known = {(kind, name) for kind, name, _ in wanted}
    for kind, name, definition in wanted:
        found = there.get((kind, name), set())
        if kind != "grant" and definition not in found:
            what = f"is {' and '.join(found)}" if found else "is missing"
            yield f"{kind} {name} {what}, approved is: {definition or 'that it is there'}"
    yield from _grants(approved, here, there, dict(_of_kind(wanted, "grant")))
    tables = approved.tables
    for (kind, name), found in there.items():
        of_table = kind in _PARTS and name.rpartition(".")[0] in tables
        of_table = of_table or (kind in _WHOLE and kind != "grant" and name in tables)
        if kind == "index":
            of_table = any(f" ON {table} " in text for table in tables for text in found)
        if of_table and (kind, name) not in known:
            yield f"{kind} {name} is there and was not approved: {' and '.join(found)}".rstrip(": ")
    yield from _roles(approved, there)
    expected = known | {(kind, name) for kind, name, _ in here.read(approved.gone, here.owner)}
    for sign, kind, name, definition in changes:
        if (kind, name) not in expected and not _is_noise(kind, definition):
            did = "made" if sign == "+" else "removed"
            yield f"applying it {did} {kind} {name}, which was not approved"
    if rows:
        yield from _rows(approved, query)


class _Reader:
    """Puts two catalogs into the same words, whatever their owners and versions are."""

    def __init__(self, query: Query) -> None:
        (row,) = query("SELECT current_user::text AS who")
        self._query = query
        # the embedded target writes as a role of the API; its tables belong to the owner
        self.owner = OWNER if row["who"] == "service_role" else row["who"]
        found = query("SELECT rolname::text AS name FROM pg_roles")
        self.roles = {row["name"] for row in found}

    def read(self, rows: Snapshot, owner: str = "") -> Iterator[tuple[str, str, str]]:
        """The entries; `owner` takes the place of the proving server's."""
        for kind, name, definition in rows:
            if kind == "extension":
                yield kind, name, ""
            elif not _is_noise(kind, definition):
                if owner and owner != OWNER and kind in _OWNED:
                    definition = re.sub(rf"(?<![\w.]){OWNER}(?!\w)", owner, definition)
                yield kind, name, definition


def _is_noise(kind: str, definition: str) -> bool:
    """What servers of other versions list on their own, or what says nothing."""
    return kind == "comment" or (kind == "constraint" and definition.startswith("NOT NULL"))


def _of_kind(rows: Iterable[tuple[str, str, str]], wanted: str) -> Iterator[tuple[str, str]]:
    return ((name, text) for kind, name, text in rows if kind == wanted)


def _grants(
    approved: Approved,
    here: _Reader,
    there: Mapping[tuple[str, str], set[str]],
    wanted: Mapping[str, str],
) -> Iterator[str]:
    """Privileges of others than the owner: none more, and none fewer for whom the SQL grants any.

    What a hosted project gives by default may lack.
    """
    made = {name for kind, name, _ in approved.made if kind in ("table", "view", "sequence")}
    for name in sorted({*made, *wanted}):
        if any((kind, name) in there for kind in ("table", "view", "sequence")):
            now = _privileges(next(iter(there.get(("grant", name), {""}))), here.owner)
            then = _privileges(wanted.get(name, ""), here.owner)
            for role in sorted({*now, *then}):
                more = now.get(role, set()) - then.get(role, set())
                less = then.get(role, set()) - now.get(role, set())
                if more:
                    yield f"{role or 'PUBLIC'} has {_words(more)} on {name}, which was not approved"
                if less and role in approved.grants and role in {*here.roles, ""}:
                    yield f"{role or 'PUBLIC'} lacks {_words(less)} on {name}"


def _words(letters: Iterable[str]) -> str:
    return ", ".join(sorted(PRIVILEGES[letter] for letter in letters))


def _privileges(text: str, owner: str) -> dict[str, set[str]]:
    """Letters by role of an access list such as `anon=ar/owner`, without the owner's."""
    found: dict[str, set[str]] = {}
    for entry in text.split():
        role, _, letters = entry.rpartition("/")[0].rpartition("=")
        if role.strip('"') != owner:
            found[role.strip('"')] = set(letters) & PRIVILEGES.keys()
    return found


def _roles(approved: Approved, there: Mapping[tuple[str, str], set[str]]) -> Iterator[str]:
    usual = {name: text for _, name, text in approved.roles}
    for (kind, name), found in there.items():
        more = next(iter(found))
        if kind == "role" and more and more != usual.get(name, ""):
            yield f"{name} {more}, which no proof knew of"


def _rows(approved: Approved, query: Query) -> Iterator[str]:
    for table, (columns, rows) in (approved.rows or {}).items():
        if not query(f"SELECT to_regclass({literal(place(table))}) AS t")[0]["t"]:
            continue
        there = Counter(row["r"] for row in query(_rows_query(table, columns)))
        lacking = Counter(rows) - there
        if lacking:
            row = next(iter(lacking))
            yield f"{lacking.total()} rows that it inserts are not so in {table}: {row[:200]}"

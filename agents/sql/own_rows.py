"""Whether users reach each other's rows: two users with rows of their own, probed verb by verb."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrate_agents.sql.access_matrix import VERBS, Planted, plant, updatable
from orchestrate_agents.sql.apply import apply
from orchestrate_agents.sql.catalog import Relation, relations
from orchestrate_agents.sql.ownership import Owned, claim_names, claims_of, owned_columns
from orchestrate_agents.sql.parse import parse_migration
from orchestrate_agents.sql.probe_rows import PLANTED, make_row, quote, quoted, user_id
from orchestrate_agents.sql.prove import Proof, apply_base
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrator.gates.checks import Services

#: two users, and the number of the first row of each
_USERS = {user_id(37): 12, user_id(38): 24}


@dataclass(frozen=True)
class OwnRows:
    """What two users could do to the rows of a table."""

    table: str
    #: a row says, itself or by what it leads to, whose it is
    owned: bool = False
    #: verbs that each user could do to own rows
    own: tuple[str, ...] = ()
    #: (verb, who) of what was done to rows of somebody else
    foreign: tuple[tuple[str, str], ...] = ()
    #: (verb, words) of what could not be tried; verb "" if nothing could
    unknown: tuple[tuple[str, str], ...] = ()
    #: a column holds a user, not only a team
    personal: bool = False
    #: verbs that were done to rows of somebody in the same team, and what of that was not tried
    mates: tuple[str, ...] = ()
    mates_unknown: tuple[tuple[str, str], ...] = ()
    #: verbs that users could do to rows whose owner is null
    ownerless: tuple[str, ...] = ()


def own_rows(
    text: str, proof: Proof, services: Services, base: Mapping[str, str]
) -> tuple[OwnRows, ...]:
    """What users can do to their own rows and to each other's, by table of the migration."""
    wanted = [r.qualified for r in (*proof.relations, *proof.standing) if r.is_table]
    parts = [text, *(part for item in base.items() for part in item)]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def run() -> tuple[OwnRows, ...]:
        with scratch(services).database() as database:
            apply_base(database, base)
            apply(database, parse_migration(text))
            with database.connect() as owner:
                present = relations(owner)
            return tuple(_probe(database, present, wanted))

    found: tuple[OwnRows, ...] = services.share(("sql.own-rows", digest), run)
    return found


def _probe(
    database: Database, present: Sequence[Relation], wanted: Sequence[str]
) -> Iterator[OwnRows]:
    refused: dict[str, str] = {}
    worlds = {
        user: plant(database, present, refused=refused, force=True, user=user, first=first)
        for user, first in _USERS.items()
    }
    owned = owned_columns(present)
    with database.connect() as owner:
        _drop_constraints(owner, present)
    with database.connect_api() as api:
        names = claim_names(api)
        made = []
        for table in (r for r in present if r.qualified in wanted):
            if all(world.get(table.qualified) for world in worlds.values()):
                made.append((table, _Table(api, table, worlds, owned, names).seen(present)))
            else:
                words = refused.get(table.qualified, "no row")
                why = f"no rows of two users could be made: {words}"
                yield OwnRows(table.qualified, unknown=(("", why),))
        with database.connect() as owner:
            _join_teams(owner, present, worlds)
        for table, seen in made:
            probes = _Table(api, table, worlds, owned, names)
            mates = tuple(v for v in VERBS if v in probes.reached_by_mate())
            unknown = tuple(probes.unknown)
            yield replace(seen, mates=mates, mates_unknown=unknown)


def _join_teams(owner: Any, present: Sequence[Relation], worlds: Mapping[str, Planted]) -> None:
    """Give the first user a copy of each row that says what the second one belongs to."""
    import psycopg

    me, them = worlds
    # triggers would make rows of their own
    owner.execute("SET session_replication_role = replica")
    for table in (r for r in present if r.is_table):
        for serial, row in enumerate(worlds[them].get(table.qualified, ())):
            if copied := _copy_for(table, row, me, them, serial):
                own = _personal(row, them)
                name = quoted(table)
                keys = _keys(table)
                with contextlib.suppress(psycopg.Error):
                    for key in (k for k in keys if set(k) <= set(own)):
                        # there can be one only
                        same = " AND ".join(f"{quote(c)}::text = '{me}'" for c in key)
                        owner.execute(f"DELETE FROM {name} WHERE {same}", [])  # noqa: S608
                    query, parameters = copied
                    owner.execute(query, [*parameters, row["ctid"]])


def _personal(row: Mapping[str, str], user: str) -> list[str]:
    """The columns that hold a user, and not a team: the probe's rows call both by the same id."""
    return [n for n, value in row.items() if value == user and not _GROUPS.search(n)]


def _keys(table: Relation) -> list[tuple[str, ...]]:
    found = [c.columns for c in table.constraints if c.type in "pu"]
    indexed = [i.columns for i in table.indexes if i.unique and not i.partial]
    return found + [tuple(c for c in columns if c is not None) for columns in indexed]


def _copy_for(
    table: Relation, row: Mapping[str, str], me: str, them: str, serial: int
) -> tuple[str, list[str]] | None:
    """A query that copies a row of a user as another's; None where keys allow no such row."""
    own = set(_personal(row, them))
    linked = {c for k in table.constraints if k.type == "f" for c in k.columns}
    fresh: set[str] = set()
    for key in _keys(table):
        if not own & set(key):
            fresh |= (spare := set(key) - linked)
            if not spare:
                return None
    if not own:
        return None
    other = make_row(table, 2 * PLANTED * PLANTED * PLANTED + serial, {}).values
    columns, sources, values = [], [], []
    for column in table.columns:
        given = me if column.name in own else None
        if column.name in fresh:
            if column.default is not None or column.identity or column.made:
                continue
            given = other.get(column.name)
        elif column.made or column.identity:
            continue
        columns.append(quote(column.name))
        sources.append(quote(column.name) if given is None else f"%s::{column.type}")
        values += [] if given is None else [given]
    query = f"INSERT INTO {quoted(table)} ({', '.join(columns)}) SELECT {', '.join(sources)}"
    return f"{query} FROM {quoted(table)} WHERE ctid = %s::tid", values


def _drop_constraints(owner: Any, present: Sequence[Relation]) -> None:
    """Drop what refuses a change of rows for another reason than whose they are."""
    import psycopg

    for table in (r for r in present if r.is_table):
        drops = [f"DROP CONSTRAINT {quote(c.name)}" for c in table.constraints if c.type in "cfpux"]
        drops = [f"ALTER TABLE {quoted(table)} {drop} CASCADE" for drop in drops]
        schema = quote(table.schema)
        loose = (i for i in table.indexes if i.unique)
        drops += [f"DROP INDEX IF EXISTS {schema}.{quote(i.name)}" for i in loose]
        for drop in drops:
            # Supabase's own tables keep theirs
            with contextlib.suppress(psycopg.Error):
                owner.execute(drop, [])


class _Table:
    """The probes of one table."""

    def __init__(
        self,
        api: Any,
        table: Relation,
        worlds: Mapping[str, Planted],
        owned: Owned,
        names: Sequence[str],
    ) -> None:
        self.api, self.table, self.worlds, self.names = api, table, worlds, names
        self.owned = owned.get(table.qualified, {})
        self.places = {u: {r["ctid"] for r in w[table.qualified]} for u, w in worlds.items()}
        self.unknown: dict[tuple[str, str], None] = {}

    def seen(self, present: Sequence[Relation]) -> OwnRows:
        one, other = self.worlds
        foreign: dict[tuple[str, str], None] = {}
        own = set(VERBS)
        for me, them in ((one, other), (other, one)):
            done, reached = self._as(me, them, "authenticated")
            own &= done
            foreign |= {(verb, "a signed-in user"): None for verb in reached}
        _, reached = self._as("", one, "anon")
        foreign |= {(verb, "anon"): None for verb in reached}
        return OwnRows(
            self.table.qualified,
            _is_owned(self.table, self.worlds, present, frozenset()) or _asks(self.table),
            tuple(v for v in VERBS if v in own),
            tuple(foreign),
            tuple(self.unknown),
            any(
                user in value and not _GROUPS.search(name)
                for user, world in self.worlds.items()
                for row in world[self.table.qualified]
                for name, value in row.items()
            ),
            ownerless=tuple(v for v in VERBS if v in self._of_nobody(one)),
        )

    def reached_by_mate(self) -> set[str]:
        """The verbs that the first user does to the second one's rows, being of the same team."""
        me, them = self.worlds
        own = [name for name in self.names if not _GROUPS.search(name)]
        claims = claims_of("authenticated", them, self.names)
        mine = claims_of("authenticated", me, own)
        for part in ("app_metadata", "user_metadata"):
            mine[part] = claims[part] | mine[part]
        with self._asking("authenticated", claims | mine):
            return {
                verb
                for verb in VERBS
                if (self._insert if verb == "INSERT" else self._reach)(verb, them, me)
            }

    def _as(self, me: str, them: str, role: str) -> tuple[set[str], set[str]]:
        """The verbs that a client does to own rows, and to those of the other user."""
        claims = claims_of(role, me, self.names)
        own: set[str] = set()
        foreign: set[str] = set()
        with self._asking(role, claims):
            for verb in VERBS:
                tries = self._insert if verb == "INSERT" else self._reach
                for user in filter(None, (me, them)):
                    if tries(verb, user, me):
                        (own if user == me else foreign).add(verb)
            if me and self._hands_over(them, role):
                foreign.add("UPDATE")
        if self.names and me:
            # users write their own user_metadata: whatever it says, they can make it say
            said = claims_of(role, them, self.names)["user_metadata"]
            with self._asking(role, claims | {"user_metadata": said}):
                foreign |= {v for v in VERBS if v != "INSERT" and self._reach(v, them, me)}
        return own, foreign

    @contextlib.contextmanager
    def _asking(self, role: str, claims: Mapping[str, Any]) -> Iterator[None]:
        """What is done inside is done by a client, and rolled back."""
        with self.api.transaction(force_rollback=True):
            self.api.execute(f"SET LOCAL ROLE {role}")
            given = [json.dumps(claims)]
            self.api.execute("SELECT set_config('request.jwt.claims', %s, true)", given)
            yield

    def _of_nobody(self, me: str) -> set[str]:
        """The verbs that a user does to rows whose columns for an owner are all null."""
        columns = [self.table.column(name) for name in self.owned]
        if not columns or any(c is None or c.not_null or c.made for c in columns):
            return set()
        import psycopg

        empty = ", ".join(f"{quote(name)} = NULL" for name in self.owned)
        mine = self.places
        with self.api.transaction(force_rollback=True):
            self.api.execute("SET LOCAL ROLE service_role")
            try:
                self.api.execute(f"UPDATE {quoted(self.table)} SET {empty}")  # noqa: S608 - quoted
            except psycopg.Error:
                return set()
            there = self.api.execute(f"SELECT ctid::text FROM {quoted(self.table)}").fetchall()  # noqa: S608
            self.places = {me: {place for (place,) in there}}
            try:
                with self._asking("authenticated", claims_of("authenticated", me, self.names)):
                    return {v for v in VERBS if v != "INSERT" and self._reach(v, me, me)}
            finally:
                self.places = mine

    def _try(self, verb: str, query: str, parameters: Sequence[Any], after: str = "") -> Any:
        """What `after` (run past all policies) finds once the query ran; None if it was refused."""
        import psycopg

        with self.api.transaction(force_rollback=True):
            try:
                with self.api.transaction():
                    cursor = self.api.execute(query, parameters)
                    rows = cursor.fetchall() if cursor.description else []
            except psycopg.errors.InsufficientPrivilege as error:
                words = str(error.diag.message_primary)
                own = "row-level security" in words or words.endswith(f" {self.table.name}")
                if not own:
                    self.unknown[verb, words] = None
                return None
            except psycopg.errors.IntegrityError as error:
                # policies are judged before keys
                if verb == "INSERT":
                    return []
                self.unknown[verb, str(error.diag.message_primary)] = None
                return None
            except psycopg.Error as error:
                self.unknown[verb, f"{error.diag.message_primary} ({error.sqlstate})"] = None
                return None
            if not after:
                return rows
            self.api.execute("SET LOCAL ROLE service_role")
            return self.api.execute(after, []).fetchall()

    def _reach(self, verb: str, user: str, me: str) -> bool:
        """Whether rows of a user are seen, changed or deleted."""
        name, places = quoted(self.table), self.places[user]
        there = f"SELECT ctid::text FROM {name}"  # noqa: S608 - a quoted name
        if verb == "SELECT":
            rows = self._try(verb, there, [])
            return bool(rows) and not places.isdisjoint(p for (p,) in rows)
        queries: list[tuple[str, list[Any]]] = [(f"DELETE FROM {name}", [])]  # noqa: S608 - a quoted name
        if verb == "UPDATE":
            columns = updatable(self.table)[:3]
            queries = [self._update(c.name, c.type) for c in columns]
            names = [quote(column.name) for column in columns]
            queries += [(f"UPDATE {name} SET {c} = {c}", []) for c in names]  # noqa: S608
            if me and user != me:
                queries += list(self._takeovers(me))
        for query, parameters in queries:
            left = self._try(verb, query, parameters, there)
            if left is not None and (not places <= {p for (p,) in left}):
                return True
        return False

    def _takeovers(self, me: str) -> Iterator[tuple[str, list[Any]]]:
        """Changes that make rows, whosever they are, a user's own."""
        for column, what in self.owned.items():
            found = self.table.column(column)
            if what == "id" and found is not None and not found.base.endswith("[]"):
                changed = f"SET {quote(column)} = %s::{found.type}"
                yield f"UPDATE {quoted(self.table)} {changed}", [me]

    def _update(self, column: str, kind: str) -> tuple[str, list[Any]]:
        # a constant, without WHERE: then no policy for reading is asked too
        value = make_row(self.table, 1, {}).values.get(column)
        given = "DEFAULT" if value is None else f"%s::{kind}"
        query = f"UPDATE {quoted(self.table)} SET {quote(column)} = {given}"  # noqa: S608 - quoted
        return query, [] if value is None else [value]

    def _insert(self, verb: str, user: str, me: str) -> bool:
        """Whether a row can be made that is a user's."""
        world, first = self.worlds[user], _USERS[user] + PLANTED
        known = set().union(*self.places.values())
        all_of = f"SELECT ctid::text, to_jsonb(t)::text FROM {quoted(self.table)} t"  # noqa: S608
        for serial in range(first, first + PLANTED):
            row = make_row(self.table, serial, world, self.owned, user)
            rows = self._try(verb, row.insert, row.parameters, all_of)
            if rows is None:
                continue
            made = [text for place, text in rows if place not in known]
            # a trigger may have made it the row of whoever asks
            if not made or user in made[0] or not (me and me in made[0]):
                return True
        return False

    def _hands_over(self, them: str, role: str) -> bool:
        """Whether a user can make an own row the other's."""
        for column, what in self.owned.items():
            found = self.table.column(column)
            if what != "id" or found is None or found.base.endswith("[]"):
                continue
            query = f"UPDATE {quoted(self.table)} SET {quote(column)} = %s::{found.type}"  # noqa: S608
            count = f"SELECT FROM {quoted(self.table)} WHERE {quote(column)}::text = '{them}'"
            rows = self._try("UPDATE", query, [them], count)
            theirs = sum(them == r.get(column) for r in self.worlds[them][self.table.qualified])
            if rows is not None and len(rows) > theirs:
                return True
        return False


#: columns and claims that name those who have rows in common
_GROUPS = re.compile(
    r"team|org|tenant|compan|workspace|group|account|crew|club|house|family|school|clinic|site|"
    r"department|store|shop|branch|project|community",
    re.IGNORECASE,
)
#: columns that say whose a row is, by their names
_OWNERS = re.compile(
    r"(?:.*_)?(?:user|owner|author|creator|member|customer|tenant|account|profile)(?:_?u?u?id)?"
    r"|uid|(?:created|owned|uploaded|written)_by",
    re.IGNORECASE,
)


def _asks(table: Relation) -> bool:
    """Whether a policy of the table looks at who asks, or a column is called after an owner."""
    if any(_OWNERS.fullmatch(column.name) for column in table.columns):
        return True
    sources = [s or "" for p in table.policies for s in (p.using, p.check)]
    return any("auth." in source or "current_setting" in source for source in sources)


def _is_owned(
    table: Relation,
    worlds: Mapping[str, Planted],
    present: Sequence[Relation],
    above: frozenset[str],
) -> bool:
    """Whether rows hold their user's id, or lead to rows that do."""
    for user, world in worlds.items():
        if any(user in value for row in world.get(table.qualified, ()) for value in row.values()):
            return True
    targets = {c.target for c in table.constraints if c.type == "f"} - above
    parents = [r for r in present if targets & {r.qualified, f"{r.name}"}]
    return any(_is_owned(p, worlds, present, above | targets) for p in parents)

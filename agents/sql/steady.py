"""What a migration's own code asks while it runs, and whether a target must answer the same.

What is computed from constants, from the catalog of what the migration itself makes, and from what
every project has is the same everywhere. Everything else (the server's name, clock, settings, other
sessions, rows) may differ on the target, and with it what the migration does there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from orchestrate_agents.sql.asked_names import Sources, asked_for
from orchestrate_agents.sql.branches import Marked, body_of, branches_of
from orchestrate_agents.sql.environment import HOSTED, STANDING
from orchestrate_agents.sql.nested_statements import (
    NestedStatement,
    nested_statements,
    sources_of,
)
from orchestrate_agents.sql.parse import Migration, SqlError, walk


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: functions that are not immutable, and yet say the same wherever the migration runs
_SAME = _words(
    "format concat concat_ws quote_ident quote_literal quote_nullable string_agg array_agg "
    "array_to_string array_append array_length to_regclass to_regtype to_regproc to_regprocedure "
    "to_regnamespace to_regrole pg_get_serial_sequence pg_get_constraintdef pg_get_viewdef "
    "pg_get_functiondef pg_get_indexdef pg_get_expr format_type obj_description col_description "
    "setval nextval currval lastval pg_notify set_config to_char to_jsonb to_json row_to_json "
    "json_build_object jsonb_build_object json_agg jsonb_agg json_object_agg jsonb_object_agg "
    "jsonb_populate_record generate_series json_build_array jsonb_build_array unnest jsonb_each "
    "jsonb_each_text current_database pg_advisory_xact_lock pg_advisory_lock pg_advisory_unlock"
)
#: … and that give values of the moment, which may be stored, but decide nothing
_VALUES = _words(
    "now clock_timestamp statement_timestamp transaction_timestamp timeofday random "
    "gen_random_uuid uuidv4 uuidv7 age to_date to_timestamp date_trunc date_part extract timezone "
    "make_interval"
)
#: functions of PostgreSQL that change something
_ACTING = _words("set_config setval nextval pg_notify lo_create lo_unlink lo_from_bytea lo_put")
_CATALOGS = _words(
    "pg_class pg_attribute pg_attrdef pg_constraint pg_index pg_indexes pg_type pg_enum pg_proc "
    "pg_policy pg_policies pg_trigger pg_tables pg_views pg_matviews pg_sequences pg_sequence "
    "pg_namespace pg_publication pg_publication_tables pg_publication_rel pg_roles pg_extension "
    "pg_inherits pg_description pg_rewrite pg_depend pg_auth_members"
)
#: constants in questions to the catalog that tell kinds and places: they name no object
_KINDS = _words(
    "public pg_catalog information_schema BASE VIEW TABLE FUNCTION YES NO PRIMARY KEY UNIQUE "
    "FOREIGN CHECK ALL SELECT INSERT UPDATE DELETE uuid text boolean smallint integer bigint "
    "numeric real double precision json jsonb date time timestamp timestamptz with without zone "
    "character varying varchar bytea USER-DEFINED ARRAY"
)
#: … and those that name what every project has
_PLAIN = (
    _words(
        "anon authenticated service_role authenticator postgres supabase_admin dashboard_user "
        "supabase_auth_admin supabase_storage_admin supabase_realtime_admin pgbouncer "
        "supabase_realtime users identities sessions buckets objects messages email id"
    )
    | _KINDS
    | {*HOSTED, *STANDING}
)
_NAMING = _words(
    "relname colname conname idxname policy_name trigname newname schemaname extname newVal"
)
_OF_MAKING = _words(
    "CreateStmt ColumnDef Constraint IndexStmt CreatePolicyStmt CreateTrigStmt RenameStmt "
    "CreateSchemaStmt CreateExtensionStmt AlterEnumStmt CreateFunctionStmt CreateEnumStmt "
    "CreateDomainStmt CompositeTypeStmt ViewStmt CreateSeqStmt"
)
_ROWS = _words("SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CallStmt CreateTableAsStmt")
#: first words of what changes rows and nothing else
_ROW_WORDS = ("INSERT", "UPDATE", "DELETE", "MERGE")
_REGISTERED = re.compile(r"reg(?:class|type|proc|procedure|namespace|role)|to_reg\w+")
#: errors that show that something is there already
_OF_REPEATS = re.compile(r"WHEN duplicate_\w+(?: OR duplicate_\w+)*", re.IGNORECASE)
_MOMENT = re.compile(r"\b(?:found|row_count|returning)\b", re.IGNORECASE)


_NONE: Sources = MappingProxyType({})


@dataclass
class Questions:
    """What a migration asks while it runs."""

    migration: Migration
    #: the earlier migrations, by name, and the names of objects that were there before
    base: Mapping[str, str] = field(default_factory=dict)
    existing: Collection[str] = ()
    #: names of pg_catalog's functions that are not immutable
    mutable: Collection[str] = ()
    #: names of what the migration made when it ran
    made: Collection[str] = ()

    def problems(self) -> Iterator[str]:
        """Why it may do something else on a target, with lines; what is said once is not again."""
        reported: set[str] = set()
        for statement in self.migration.statements:
            source = self.migration.source(statement)
            if statement.kind == "DoStmt":
                found = self._problems_of_block(_whole(source, statement.line), sources_of(source))
            elif statement.kind in _ROWS:
                found = self._problems_of_rows(statement.node, statement.line)
            else:
                continue
            for problem in found:
                if problem not in reported:
                    reported.add(problem)
                    yield problem
        yield from self._problems_of_called()

    def reads_rows(self, source: str) -> str:
        """The table whose rows decide what a DO block does, or ""."""
        if _MOMENT.search(source):
            return "the rows that it changes"
        asking = (
            nested.node
            for nested in _whole(source, 1)
            if type(nested.node).__name__ == "SelectStmt" or not _is_statement(nested.node)
        )
        names = (name for node in asking for name in self._tables(node))
        return next((f"the rows of {name}" for name in names), "")

    @cached_property
    def own_functions(self) -> dict[str, list[NestedStatement]]:
        """Functions that the migration or an earlier one makes, with their statements."""
        found: dict[str, list[NestedStatement]] = {}
        for text in (*self.base.values(), self.migration.text):
            for nested in _whole(text, 1):
                if nested.function and type(nested.node).__name__ != "CreateFunctionStmt":
                    found.setdefault(nested.function, []).append(nested)
        return found

    @cached_property
    def acting(self) -> frozenset[str]:
        """Own functions that do more than read and write rows."""
        return frozenset(
            name
            for name, body in self.own_functions.items()
            if any(
                nested.node is None
                or nested.dynamic
                or (_is_statement(nested.node) and type(nested.node).__name__ not in _ROWS)
                for nested in body
            )
        )

    def _acts(self, nested: NestedStatement) -> bool:
        """Whether a part of a block does more than read, compare and raise errors."""
        if nested.node is None or nested.dynamic:
            return True
        if _is_statement(nested.node) and type(nested.node).__name__ not in (
            "SelectStmt",
            "DoStmt",
        ):
            return True
        calls = [n.funcname for n in walk(nested.node) if type(n).__name__ == "FuncCall"]
        return any(
            name[-1].sval in self.own_functions
            or (len(name) > 1 and name[0].sval != "pg_catalog")
            or name[-1].sval in _ACTING
            for name in calls
        )

    def _problems_of_block(
        self, statements: Collection[NestedStatement], sources: Sources
    ) -> Iterator[str]:
        # what only compares and raises errors can do nothing else elsewhere
        if not any(map(self._acts, statements)):
            return
        for nested in statements:
            kind = type(nested.node).__name__
            if nested.function:
                continue
            if kind == "DoStmt" and nested.dynamic:
                yield f"line {nested.line}: a block is executed as a string"
            values = kind in _ROWS and kind != "SelectStmt"
            if kind in _ROWS or not _is_statement(nested.node):
                yield from self._unsteady(
                    nested.node, nested.line, sources, values=values, loops=nested.loops
                )

    def _problems_of_rows(self, node: Any, line: int) -> Iterator[str]:
        yield from self._unsteady(node, line, values=True)
        calls = {n.funcname[-1].sval for n in walk(node) if type(n).__name__ == "FuncCall"}
        tables = list(self._tables(node))
        for name in sorted(calls & self.acting):
            if tables:
                yield f"line {line}: whether {name}() is called depends on the rows of {tables[0]}"

    def _problems_of_called(self) -> Iterator[str]:
        """Of the functions that run with the migration, what no mark can tell."""
        outer = [s.node for s in self.migration.statements if s.kind in ("DoStmt", *_ROWS)]
        pending = [n for node in outer for n in walk(node)]
        pending += [
            n
            for s in self.migration.of("DoStmt")
            for nested in _whole(self.migration.source(s), 1)
            for n in walk(nested.node)
        ]
        called: dict[str, None] = {}
        while pending:
            node = pending.pop()
            if type(node).__name__ != "FuncCall" or node.funcname[-1].sval in called:
                continue
            name = node.funcname[-1].sval
            if name in self.own_functions:
                called[name] = None
                pending += [n for nested in self.own_functions[name] for n in walk(nested.node)]
        for statement in self.migration.of("CreateFunctionStmt"):
            name = statement.node.funcname[-1].sval
            if name not in called:
                continue
            for nested in self.own_functions.get(name, ()):
                values = type(nested.node).__name__ in _ROWS
                yield from self._unsteady(nested.node, nested.line, values=values)
            language, body = body_of(statement.node)
            if language == "plpgsql":
                yield from _unseen_of(body, statement.line, self.acting)

    def _unsteady(
        self, node: Any, line: int, sources: Sources = _NONE, *, values: bool, loops: bool = False
    ) -> Iterator[str]:
        """What in a tree a target may answer otherwise. `values`: of the moment may be stored."""
        if node is None:
            return
        ctes = {n.ctename for n in walk(node) if type(n).__name__ == "CommonTableExpr"}
        asks_catalog = ""
        for one in walk(node):
            kind = type(one).__name__
            if kind == "FuncCall":
                schema, name = [*(p.sval for p in one.funcname[:-1]), ""][0], one.funcname[-1].sval
                if _REGISTERED.fullmatch(name):
                    asks_catalog = asks_catalog or f"{name}()"
                known = name in _SAME or (values and name in _VALUES)
                if schema in ("", "pg_catalog") and name in self.mutable and not known:
                    yield f"line {line}: what {name}() says may differ on the target"
            elif kind == "SQLValueFunction":
                word = one.op.name.removeprefix("SVFOP_").lower()
                timely = not values and not word.startswith(("current_user", "user", "session"))
                if word == "current_catalog" or (timely and word not in ("current_role",)):
                    yield f"line {line}: what {word} says may differ on the target"
            elif kind == "TypeName" and _REGISTERED.fullmatch(one.names[-1].sval):
                asks_catalog = asks_catalog or one.names[-1].sval
            elif kind == "RangeVar" and one.relname not in ctes:
                if one.schemaname == "information_schema" or one.relname in _CATALOGS:
                    asks_catalog = one.relname
                elif one.relname.startswith("pg_") or one.schemaname == "pg_catalog":
                    yield f"line {line}: what {one.relname} holds may differ on the target"
        if asks_catalog:
            yield from self._unknown(node, line, asks_catalog, sources, loops=loops)

    def _unknown(
        self, node: Any, line: int, catalog: str, sources: Sources, *, loops: bool
    ) -> Iterator[str]:
        """Names in a question to the catalog that nothing here makes.

        One that is looped over may ask for all of a kind: the same was done here for one of them.
        """
        constants, sure = asked_for(node, sources, self.made, loops=loops)
        names = {w for text in constants for w in re.split(r"[.\s()%\"]+", text) if w}
        if not sure or not (names if loops else names - _KINDS):
            yield f"line {line}: {catalog} is asked for no name, so the target may answer otherwise"
        for text in [text for text in constants if not self._is_known(text)][:1]:
            yield (
                f"line {line}: {catalog} is asked for {text}, which nothing here makes, so the "
                "target may answer otherwise"
            )

    def _is_known(self, text: str) -> bool:
        if text in self.known or len(text) <= 1:
            return True
        return all(w in self.known or len(w) <= 1 for w in re.split(r"[.\s()\"]+", text) if w)

    @cached_property
    def known(self) -> frozenset[str]:
        """Names of what was there, of what the migrations make, and of what every project has."""
        names = {part for name in (*self.existing, *self.made) for part in name.split(".")}
        for text in (*self.base.values(), self.migration.text):
            for nested in _whole(text, 1):
                for node in walk(nested.node):
                    if type(node).__name__ in _OF_MAKING:
                        names |= _names_in(node)
        return frozenset(names) | _PLAIN

    def _tables(self, node: Any) -> Iterator[str]:
        ctes = {n.ctename for n in walk(node) if type(n).__name__ == "CommonTableExpr"}
        for one in walk(node):
            if type(one).__name__ == "RangeVar" and one.relname not in ctes:
                of_catalog = one.relname.startswith("pg_") or one.schemaname == "information_schema"
                if not of_catalog:
                    yield f"{one.schemaname or 'public'}.{one.relname}"


def _is_statement(node: Any) -> bool:
    return type(node).__name__.endswith("Stmt")


def _names_in(node: Any) -> set[str]:
    found = {value for name in _NAMING if isinstance(value := getattr(node, name, None), str)}
    for part in ("relation", "view", "sequence", "typevar"):
        if (relation := getattr(node, part, None)) is not None and hasattr(relation, "relname"):
            found |= {relation.relname, relation.schemaname or ""}
    for part in ("funcname", "typeName", "domainname"):
        value = getattr(node, part, None)
        if isinstance(value, tuple):
            found |= {p.sval for p in value}
    for value in getattr(node, "vals", None) or ():
        found.add(value.sval)
    if type(node).__name__ == "Constraint" and node.contype.name == "CONSTR_UNIQUE":
        found |= {k.sval for k in node.keys or ()}
    return found - {""}


def _whole(text: str, line: int) -> list[NestedStatement]:
    try:
        found = list(nested_statements(text))
    except SqlError:
        return []
    return [replace(nested, line=nested.line + line - 1) for nested in found]


def _unseen_of(body: str, line: int, own: Collection[str]) -> Iterator[str]:
    """Branches of a body that carries no marks and that do something."""
    try:
        branches = branches_of(body, own)
    except ValueError as exc:
        yield f"line {line}: its branches cannot be read ({exc})"
        return
    for branch in branches:
        if branch.does is not None:
            at, what = branch.does
            yield f"line {line + at - 1}: `{what}` stands under a condition ({branch.condition})"


def unseen(
    marked: Marked, first: Collection[int], again: Collection[int], rows: str
) -> Iterator[str]:
    """Why the branches of a block leave open what the migration does on a target.

    `first` and `again`: the numbers of those that ran here, in either run. `rows`: what of the data
    decides, or "".
    """
    ran = {*first, *again}
    if marked.unread:
        yield f"line {marked.line}: its branches cannot be read ({marked.unread})"
    for number, branch in enumerate(marked.branches):
        line, what = branch.does or (branch.line, "")
        place, met = f"line {marked.line + line - 1}: ", f"({branch.condition})"
        if branch.handles and number in first and not _OF_REPEATS.fullmatch(branch.condition):
            yield f"{place}what may fail ({branch.condition}) failed here, and may not on a target"
        if what and number not in ran:
            yield f"{place}`{what}` did not run here: its condition {met} was never met"
        elif rows and (branch.leaves or (what and not what.upper().startswith(_ROW_WORDS))):
            does = f"whether `{what}` runs" if what else "what follows"
            yield f"{place}{does} depends on {rows} {met}"
        elif rows and branch.passes and number not in ran:
            yield f"{place}only one outcome was seen here, and it depends on {rows} {met}"

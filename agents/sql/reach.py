"""What runs with its owner's rights for whoever calls it, or writes where it is a trigger."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrate_agents.sql.access_matrix import Cell
from orchestrate_agents.sql.catalog import Relation, query_text
from orchestrate_agents.sql.environment import HOSTED
from orchestrate_agents.sql.parse import SqlError, tokens

_WRITING = {"INSERT", "UPDATE", "DELETE_P", "TRUNCATE", "MERGE", "EXECUTE"}
_DEFINING = {"ALTER", "GRANT", "CREATE", "DROP", "REVOKE"}
#: functions that read what a text says, whatever it is
_ANYTHING = frozenset(
    re.findall(
        r"\w+",
        """
        query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml table_to_xml
        table_to_xml_and_xmlschema schema_to_xml schema_to_xml_and_xmlschema database_to_xml
        database_to_xml_and_xmlschema ts_stat dblink dblink_exec dblink_send_query pg_read_file
        pg_read_binary_file lo_get lo_import lo_export
        """,
    )
)


_HOSTED_TABLES = """
SELECT n.nspname::text, c.relname::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v')
"""
_REFUSALS = frozenset(("raise", "assert", "strict"))


@dataclass(frozen=True)
class RlsBypass:
    """A function that runs with its owner's rights for whoever of a role calls it."""

    role: str
    function: str
    #: "writes", "defines" (changes tables, policies, grants), "reads" rows of a table and returns
    #: them, or "answers" yes or no about them
    does: str
    #: what makes it run, such as "INSERT public.notes"; "" if it is called
    trigger: str = ""
    #: the names in its body and in those of what it calls, in small letters; none if it may
    #: touch anything
    names: frozenset[str] = field(default=frozenset(), compare=False)

    def may_touch(self, tables: Collection[str]) -> bool:
        """Whether it may read or write one of the tables, named without their schemas."""
        return not self.names or not self.names.isdisjoint(tables)

    def __str__(self) -> str:
        how = f", which {self.does} with its owner's rights"
        if self.trigger:
            return f"{self.role or 'whoever'} can {self.trigger}, which runs {self.function}(){how}"
        return f"{self.role} can call {self.function}(){how}"


@dataclass(frozen=True)
class _Code:
    """A function or a view, and the words of its body."""

    kind: str
    schema: str
    name: str
    definer: bool
    returns: str
    callers: tuple[str, ...]
    #: kinds of keywords, and names
    kinds: frozenset[str]
    names: frozenset[str]
    #: its body cannot be read: it may do anything
    dark: bool = False


def _codes(connection: Any, roles: Sequence[str]) -> list[_Code]:
    rows = connection.execute(query_text("functions.sql"), [list(roles)]).fetchall()
    return [
        _Code(kind, schema, name, definer, returns, tuple(callers), *_words(body))
        for kind, schema, name, definer, returns, body, callers in rows
    ]


def _words(body: str) -> tuple[frozenset[str], frozenset[str], bool]:
    """Kinds of keywords, names, and whether the body cannot be read.

    What is executed as text counts by its words.
    """
    try:
        words = [(t.name, body[t.start : t.end + 1].lower().strip('"')) for t in tokens(body)]
    except SqlError:
        return frozenset(), frozenset(), True
    kinds, names = {kind for kind, _ in words}, {word for _, word in words}
    if "EXECUTE" in kinds:
        said = {w for k, text in words if k == "SCONST" for w in re.findall(r"\w+", text)}
        names |= said
        kinds |= _DEFINING & {word.upper() for word in said}
    return frozenset(kinds), frozenset(names), False


def _reached(start: _Code, codes: Sequence[_Code]) -> list[_Code]:
    """The function with all functions and views that it names, and those that they name."""
    reached, waiting = [start], [start]
    while waiting:
        names = waiting.pop().names
        more = [c for c in codes if c.name in names and c not in reached]
        reached += more
        waiting += more
    return reached


def rls_bypasses(
    connection: Any, roles: Sequence[str], tables: Sequence[Relation]
) -> tuple[RlsBypass, ...]:
    """The functions by which a role gets around row level security.

    One that only answers yes or no, as policies call them, returns no rows.
    """
    codes = _codes(connection, roles)
    names = {table.name.lower() for table in tables}
    hosted = connection.execute(_HOSTED_TABLES, [list(HOSTED)]).fetchall()
    found = []
    for code in codes:
        entries = [c for c in _reached(code, codes) if c.definer and c.kind != "view"]
        if code.kind != "function" or not code.callers or not entries:
            continue
        # what an invoker calls by itself it does with its own rights
        whole = [part for entry in entries for part in _reached(entry, codes)]
        does = _does(whole, names) or ("reads" if _names_any(whole, hosted) else "")
        if does == "reads" and code.returns in ("boolean", "void"):
            # one without a result can answer by its errors
            can = code.returns == "boolean" or any(c.names & _REFUSALS for c in whole)
            does = "answers" if can else ""
        if does:
            name = f"{code.schema}.{code.name}"
            named = _names_of(whole)
            found += [RlsBypass(role, name, does, "", named) for role in sorted(code.callers)]
    return tuple(sorted(found, key=lambda f: (f.role, f.function)))


def _names_of(codes: Sequence[_Code]) -> frozenset[str]:
    """What their bodies name; nothing if one runs text, or cannot be read."""
    if any(c.dark or "EXECUTE" in c.kinds or c.names & _ANYTHING for c in codes):
        return frozenset()
    return frozenset().union(*(c.names for c in codes))


def _names_any(codes: Sequence[_Code], tables: Sequence[tuple[str, str]]) -> bool:
    """Whether schema and name of one of the tables stand in a body."""
    return any({schema, name} <= code.names for code in codes for schema, name in tables)


def _does(codes: Sequence[_Code], tables: set[str]) -> str:
    functions = [c for c in codes if c.kind != "view"]
    if any(c.dark or not (_WRITING | _DEFINING).isdisjoint(c.kinds) for c in functions):
        return "writes"
    named = any(not tables.isdisjoint(c.names) for c in codes)
    return "reads" if named or any(c.names & _ANYTHING for c in codes) else ""


def trigger_bypasses(
    connection: Any, tables: Sequence[Relation], matrix: Sequence[Cell]
) -> Iterator[RlsBypass]:
    """Triggers that do more with their owner's rights than those who make them run may do."""
    codes = _codes(connection, ())
    by_name = {(c.schema, c.name): c for c in codes}
    able = {(c.role, c.table, c.verb) for c in matrix if c.access.opens}
    rows = connection.execute(
        "SELECT c.oid::regclass::text, cn.nspname || '.' || c.relname, fn.nspname, p.proname, "
        "array_remove(ARRAY[CASE WHEN tgtype::int & 4 > 0 THEN 'INSERT' END, "
        "CASE WHEN tgtype::int & 8 > 0 THEN 'DELETE' END, "
        "CASE WHEN tgtype::int & 16 > 0 THEN 'UPDATE' END], NULL) "
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "JOIN pg_namespace cn ON cn.oid = c.relnamespace "
        "JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace fn ON fn.oid = p.pronamespace "
        "WHERE NOT t.tgisinternal ORDER BY 1, 4"
    ).fetchall()
    for _, table, schema, function, verbs in rows:
        code = by_name.get((schema, function))
        entries = [c for c in _reached(code, codes) if c.definer] if code is not None else []
        whole = [part for entry in entries for part in _reached(entry, codes)]
        if not whole or _does(whole, set()) != "writes":
            continue
        if not all(_DEFINING.isdisjoint(c.kinds) for c in whole):
            yield RlsBypass("", f"{schema}.{function}", "defines", f"{'/'.join(verbs)} {table}")
        names = frozenset().union(*(c.names for c in whole))
        for role in ("anon", "authenticated"):
            for verb in (v for v in verbs if (role, table, v) in able):
                written = [
                    t for t in tables
                    if t.is_table and t.name.lower() in names and t.qualified != table
                    and not all((role, t.qualified, v) in able for v in _verbs(whole))
                ]  # fmt: skip
                if written:
                    yield RlsBypass(role, f"{schema}.{function}", "writes", f"{verb} {table}")


def _verbs(codes: Sequence[_Code]) -> list[str]:
    kinds = {k for c in codes for k in c.kinds}
    named = {"INSERT": "INSERT", "UPDATE": "UPDATE", "DELETE_P": "DELETE"}
    return [verb for kind, verb in named.items() if kind in kinds] or list(named.values())

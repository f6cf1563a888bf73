"""Whether SQL needs a newer PostgreSQL than the target runs; proofs run on one of the newest."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrate_agents.sql.nested_statements import nested_statements
from orchestrate_agents.sql.parse import SqlError, parse_migration, tokens, walk
from orchestrator.errors import OrchestrateError
from orchestrator.settings.board import FILE
from orchestrator.settings.tables import DatabaseSettings
from orchestrator.storage.atomic import inside

#: where a Supabase project says which PostgreSQL it runs
PROJECT_FILE = "supabase/config.toml"
#: the oldest version that anybody still maintains: every target has what it has
_OLDEST = 15
_MAX_BYTES = 1_000_000

#: functions of pg_catalog by the version that brought them (its release notes)
FUNCTIONS = {
    15: "regexp_count regexp_instr regexp_like regexp_substr",
    16: "any_value array_sample array_shuffle date_add date_subtract erf erfc pg_input_error_info "
    "pg_input_is_valid pg_split_walfile_name random_normal system_user",
    17: "icu_unicode_version pg_basetype pg_column_toast_chunk_id to_bin to_oct unicode_assigned "
    "unicode_version uuid_extract_timestamp uuid_extract_version xmltext",
    18: "array_reverse array_sort casefold crc32 crc32c gamma has_largeobject_privilege lgamma "
    "pg_get_acl uuidv4 uuidv7",
}
_SINCE = {name: version for version, names in FUNCTIONS.items() for name in names.split()}
#: functions that took a new form of arguments: (name, how many) → version
_FORMS = {("random", 2): 17, ("json_strip_nulls", 2): 18, ("jsonb_strip_nulls", 2): 18}

_JSON_CONSTRUCTORS = (
    *("JsonObjectConstructor", "JsonArrayConstructor", "JsonArrayQueryConstructor"),
    *("JsonObjectAgg", "JsonArrayAgg", "JsonIsPredicate"),
)
#: kinds of nodes that say by themselves what they need
_NODES: dict[str, tuple[str, int]] = {
    "MergeStmt": ("MERGE", 15),
    **dict.fromkeys(_JSON_CONSTRUCTORS, ("an SQL/JSON constructor", 16)),
    **dict.fromkeys(
        ("JsonParseExpr", "JsonScalarExpr", "JsonSerializeExpr", "JsonFuncExpr"),
        ("an SQL/JSON function", 17),
    ),
    "JsonTable": ("JSON_TABLE", 17),
    "MergeSupportFunc": ("merge_action()", 17),
    "ReturningOption": ("RETURNING WITH (OLD …, NEW …)", 18),
}


@dataclass(frozen=True)
class Newer:
    """Something that servers before a version do not have."""

    line: int
    what: str
    since: int
    #: the SQL itself may ask which server it runs on, and do without
    guarded: bool = False

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} needs PostgreSQL {self.since}"


@dataclass(frozen=True)
class TargetServer:
    """The PostgreSQL that a migration will run on."""

    #: its major version; None if nobody says, 0 if it is that of the proof
    major: int | None
    #: who says so
    source: str = ""

    def lacks(self, text: str, base: Mapping[str, str]) -> tuple[Newer, ...]:
        """What a migration needs and this server does not have, or may not have."""
        if self.major == 0:
            return ()
        has = self.major or _OLDEST
        return tuple(n for n in newer_than(text, base) if n.since > has)


def target_server(root: Path, settings: Mapping[str, Any]) -> TargetServer:
    """What `orchestrate.toml` or the Supabase project says of the target's PostgreSQL."""
    database = DatabaseSettings.model_validate(settings.get("database", {}))
    if database.major_version:
        return TargetServer(database.major_version, FILE)
    try:
        file = inside(root, PROJECT_FILE)
        with file.open("rb") as stream:
            project = tomllib.loads(stream.read(_MAX_BYTES).decode("utf-8", "replace"))
        said = project.get("db", {}).get("major_version")
    except (OSError, OrchestrateError, tomllib.TOMLDecodeError, AttributeError, RecursionError):
        said = None
    if isinstance(said, int) and said > 0:
        return TargetServer(said, PROJECT_FILE)
    return TargetServer(0 if database.target == "embedded" else None)


#: words by which SQL asks what the server has, or catches that it lacks something
_ASKS = re.compile(
    r"server_version|\bversion\s*\(|to_regproc|\bpg_proc\b|information_schema|\bexception\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def newer_than(text: str, base: Mapping[str, str]) -> Iterator[Newer]:
    """What a migration needs of a server newer than 14, in order, each thing once.

    `base` are the earlier migrations: functions that they or it make are not the server's.
    """
    reported: set[str] = set()
    try:
        statements = list(nested_statements(text))
        made = set(_made(text))
    except SqlError:
        return
    for sql in base.values():
        try:
            made.update(_made(sql))
        except SqlError:
            continue
    asks = bool(_ASKS.search(_COMMENT.sub(" ", text)))
    for one in statements:
        nodes = list(walk(one.node))
        # names of the statement's own, or a trigger's variables
        named = {n.aliasname for n in nodes if type(n).__name__ == "Alias"}
        named |= {n.relname for n in nodes if type(n).__name__ == "RangeVar"}
        named &= set(_IMAGES)
        needs = [need for node in nodes for need in _needs(node, made)]
        for what, since in (*needs, *_of_numbers(one.text)):
            if what in reported or (what == _OLD_OR_NEW and (one.function or named)):
                continue
            reported.add(what)
            # a body is looked at when it is called, and not when it is made
            yield Newer(one.line, what, since, asks or bool(one.function))


def _made(sql: str) -> Iterator[str]:
    """Functions of the schemas that names without one are looked for in."""
    for statement in parse_migration(sql).of("CreateFunctionStmt"):
        *schema, name = (part.sval for part in statement.node.funcname)
        if schema in ([], ["public"], ["extensions"]):
            yield name


def _needs(node: Any, made: Collection[str]) -> Iterator[tuple[str, int]]:
    kind = type(node).__name__
    if kind in _NODES:
        yield _NODES[kind]
    look = _LOOKS.get(kind)
    if look is not None:
        yield from look(node, made)


def _of_numbers(sql: str) -> Iterator[tuple[str, int]]:
    """Numbers that are written as no server before 16 reads them."""
    if not _NEW_NUMBER.search(sql):
        return
    with contextlib.suppress(SqlError):
        for token in tokens(sql):
            if token.name in ("ICONST", "FCONST"):
                said = sql[token.start : token.end + 1]
                if _NEW_NUMBER.search(said):
                    yield f"the number {said}", 16


_NEW_NUMBER = re.compile(r"0[xob]\w|\d_\d", re.IGNORECASE)


def _of_table(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.partspec is None:
        return
    for inner in walk(node.tableElts):
        if type(inner).__name__ == "Constraint":
            if inner.contype.name == "CONSTR_EXCLUSION":
                yield "EXCLUDE in a partitioned table", 17
            if inner.contype.name == "CONSTR_IDENTITY":
                yield "an identity column in a partitioned table", 17


def _of_call(node: Any, made: Collection[str]) -> Iterator[tuple[str, int]]:
    *schema, name = (part.sval for part in node.funcname)
    if schema[-1:] not in ([], ["pg_catalog"]) or (not schema and name in made):
        return
    form = (name, len(node.args or ()))
    if since := _SINCE.get(name) or _FORMS.get(form):
        yield f"{name}()", since
    if name == "timezone" and form[1] == 1 and schema:
        yield "AT LOCAL", 17


def _of_constraint(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    contype = node.contype.name
    if contype == "CONSTR_GENERATED" and node.generated_kind == "v":
        yield "a virtual generated column", 18
    if contype in ("CONSTR_CHECK", "CONSTR_FOREIGN") and not node.is_enforced:
        yield "NOT ENFORCED", 18
    if contype == "CONSTR_ATTR_NOT_ENFORCED":
        yield "NOT ENFORCED", 18
    if contype == "CONSTR_NOTNULL" and node.keys:
        yield "NOT NULL as a constraint of its table", 18
    if node.without_overlaps:
        yield "WITHOUT OVERLAPS", 18
    if node.fk_with_period or node.pk_with_period:
        yield "PERIOD in a foreign key", 18
    if node.nulls_not_distinct:
        yield "NULLS NOT DISTINCT", 15
    if node.fk_del_set_cols:
        yield "ON DELETE SET … with columns", 15


def _of_index(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.nulls_not_distinct:
        yield "NULLS NOT DISTINCT", 15


def _of_option(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.defname == "security_invoker":
        yield "security_invoker", 15


def _of_command(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.subtype.name == "AT_SetExpression":
        yield "ALTER COLUMN … SET EXPRESSION", 17
    if node.subtype.name == "AT_SetAccessMethod":
        yield "SET ACCESS METHOD", 15


def _of_alter_constraint(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.alterEnforceability or node.alterInheritability:
        yield "ALTER CONSTRAINT … ENFORCED or INHERIT", 18


def _of_merge(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if getattr(node.matchKind, "name", "") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
        yield "WHEN NOT MATCHED BY SOURCE", 17


def _of_returning(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    for inner in walk(node.exprs):
        first = inner.fields[0] if type(inner).__name__ == "ColumnRef" else None
        if len(getattr(inner, "fields", None) or ()) > 1 and getattr(first, "sval", "") in _IMAGES:
            yield _OLD_OR_NEW, 18


_IMAGES = ("old", "new")
_OLD_OR_NEW = "RETURNING OLD or NEW"


def _of_privilege(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.priv_name == "maintain":
        yield "the privilege MAINTAIN", 17


def _of_subquery(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.alias is None:
        yield "a subquery in FROM without an alias", 16


def _of_publication(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    table = node.pubtable
    if node.pubobjtype.name.startswith("PUBLICATIONOBJ_TABLES_IN"):
        yield "a publication of a schema", 15
    elif table is not None and (table.whereClause is not None or table.columns):
        yield "a publication of some rows or columns", 15


def _of_column(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.storage_name:
        yield "STORAGE in CREATE TABLE", 16


def _of_event(node: Any, _made: Collection[str]) -> Iterator[tuple[str, int]]:
    if node.eventname == "login":
        yield "an event trigger on login", 17


_Look = Callable[[Any, Collection[str]], Iterator[tuple[str, int]]]
_LOOKS: dict[str, _Look] = {
    "FuncCall": _of_call,
    "CreateStmt": _of_table,
    "Constraint": _of_constraint,
    "IndexStmt": _of_index,
    "DefElem": _of_option,
    "AlterTableCmd": _of_command,
    "ATAlterConstraint": _of_alter_constraint,
    "MergeWhenClause": _of_merge,
    "ReturningClause": _of_returning,
    "AccessPriv": _of_privilege,
    "RangeSubselect": _of_subquery,
    "PublicationObjSpec": _of_publication,
    "ColumnDef": _of_column,
    "CreateEventTrigStmt": _of_event,
}

"""How one statement is made to run twice: an editor per kind of statement, on the author's text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.parse import parse_migration, printed, tokens


@dataclass(frozen=True)
class Edit:
    """A statement's new text (without its semicolon), what changed, and why."""

    text: str
    what: str = ""
    why: str = ""


Editor = Callable[[Any, str], Edit]

_TWICE = "a second run would stop at the existing one"


def sql_literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """An identifier, quoted where PostgreSQL would need it."""
    from pglast.keywords import RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS

    plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name) is not None
    if plain and name not in RESERVED_KEYWORDS and name not in TYPE_FUNC_NAME_KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def tag_for(word: str, body: str) -> str:
    """A dollar quote that the body does not contain."""
    while f"${word}$" in body:
        word += "_"
    return f"${word}$"


def _insert(source: str, after: str, words: str, skip: str = "") -> str:
    """`words` behind the first token of that name (and behind a following `skip` token)."""
    found = list(tokens(source))
    at = next(i for i, t in enumerate(found) if t.name == after)
    if skip and found[at + 1].name == skip:
        at += 1
    end = found[at].end + 1
    return f"{source[:end]} {words}{source[end:]}"


def _if_not_exists(word: str) -> Editor:
    def edit(node: Any, source: str) -> Edit:
        if node.if_not_exists:
            return Edit(source)
        return Edit(_insert(source, word, "IF NOT EXISTS"), "`IF NOT EXISTS` added", _TWICE)

    return edit


def _or_replace(node: Any, source: str) -> Edit:
    if node.replace:
        return Edit(source)
    return Edit(_insert(source, "CREATE", "OR REPLACE"), "`OR REPLACE` added", _TWICE)


def _trigger(node: Any, source: str) -> Edit:
    return _once(node, source) if node.isconstraint else _or_replace(node, source)


def _index(node: Any, source: str) -> Edit:
    text, why = source, _TWICE
    if node.concurrent:
        text = re.sub(r"(?i)\bconcurrently\s+", "", text, count=1)
        why = "CONCURRENTLY cannot run inside a transaction, as the SQL editor runs a file"
    if not node.if_not_exists:
        name = "" if node.idxname else " " + sql_name(_index_name(node))
        text = _insert(text, "INDEX", "IF NOT EXISTS" + name)
    what = "index made re-runnable" if node.concurrent else "`IF NOT EXISTS` added"
    return Edit(text, what, why)


def _index_name(node: Any) -> str:
    parts = [p.name or "expr" for p in node.indexParams]
    return "_".join(["idx", node.relation.relname, *parts])[:63]


def _indented(source: str, by: str) -> str:
    """Each line indented, unless a string or comment spans lines and would change with it."""
    if any("\n" in source[t.start : t.end + 1] for t in tokens(source)):
        return by + source
    return "\n".join(by + line if line.strip() else line for line in source.splitlines())


def _guarded(source: str, condition: str, word: str) -> str:
    tag = tag_for(word, source)
    body = _indented(source, "    ")
    return f"DO {tag}\nBEGIN\n  IF {condition} THEN\n{body};\n  END IF;\nEND\n{tag}"


def _once(_node: Any, source: str) -> Edit:
    tag = tag_for("once", source)
    body = _indented(source, "  ")
    text = (
        f"DO {tag}\nBEGIN\n{body};\nEXCEPTION WHEN duplicate_object THEN\n"
        f"  NULL; -- made by an earlier run\nEND\n{tag}"
    )
    return Edit(text, "made only once (guarded block)", _TWICE)


def _policy(node: Any, source: str) -> Edit:
    role = _role_demanded(node)
    text, why = source, "CREATE POLICY has no IF NOT EXISTS, and a DROP is not additive"
    what = f"policy `{node.policy_name}` guarded"
    if role:
        text = _before_condition(source, f"TO {role}")
        what += f", `TO {role}` added"
        why += f"; its condition lets only {role} through, so no other role needs to try it"
    table = sql_literal(printed(node.table))
    condition = (
        "NOT EXISTS (\n    SELECT FROM pg_policy\n"
        f"    WHERE polrelid = {table}::regclass AND polname = {sql_literal(node.policy_name)}\n  )"
    )
    return Edit(_guarded(text, condition, "policy"), what, why)


_API_ROLES = ("anon", "authenticated", "service_role")


def _role_demanded(node: Any) -> str:
    """The role that every condition of a policy for PUBLIC asks `auth.role()` to be, or ""."""
    if any(r.roletype.name != "ROLESPEC_PUBLIC" for r in node.roles or ()):
        return ""
    conditions = [c for c in (node.qual, node.with_check) if c is not None]
    demanded = {_conjunct_role(c) for c in conditions}
    return demanded.pop() if len(demanded) == 1 else ""


def _conjunct_role(condition: Any) -> str:
    if type(condition).__name__ == "BoolExpr" and condition.boolop.name == "AND_EXPR":
        return next((r for c in condition.args if (r := _conjunct_role(c))), "")
    if type(condition).__name__ != "A_Expr" or condition.name[-1].sval != "=":
        return ""
    sides = {printed(condition.lexpr), printed(condition.rexpr)}
    calls = {"auth.role()", "(SELECT auth.role())"} & sides
    roles = [r for r in _API_ROLES if sql_literal(r) in sides]
    return roles[0] if calls and roles else ""


def _before_condition(source: str, words: str) -> str:
    at = next(t.start for t in tokens(source) if t.name in ("USING", "WITH"))
    return f"{source[:at]}{words}\n  {source[at:]}"


def _alter_table(node: Any, source: str) -> Edit:
    commands = [c.subtype.name for c in node.cmds]
    if not {"AT_AddConstraint", "AT_AddColumn"} & set(commands):
        return Edit(source)
    if len(commands) == 1:
        return _alter_one(node, source)
    parts = [_alter_table(parse_migration(p).statements[0].node, p) for p in _split_alter(source)]
    changed = [p for p in parts if p.what]
    if not changed:
        return Edit(source)
    return Edit(";\n".join(p.text for p in parts), changed[0].what, changed[0].why)


def _split_alter(source: str) -> list[str]:
    """`ALTER TABLE t a, b` as `ALTER TABLE t a` and `ALTER TABLE t b`."""
    node = parse_migration(source).statements[0].node
    found = tokens(source)
    at = next(i for i, t in enumerate(found) if t.start == node.relation.location)
    while found[at + 1].name == "ASCII_46":
        at += 2
    head = source[: found[at].end + 1]
    depth, pieces, start = 0, [], found[at].end + 1
    for token in found[at + 1 :]:
        depth += (token.name == "ASCII_40") - (token.name == "ASCII_41")
        if token.name == "ASCII_44" and depth == 0:
            pieces.append(source[start : token.start])
            start = token.end + 1
    return [f"{head} {piece.strip()}" for piece in [*pieces, source[start:]]]


def _alter_one(node: Any, source: str) -> Edit:
    command = node.cmds[0]
    if command.subtype.name == "AT_AddColumn":
        if command.missing_ok:
            return Edit(source)
        return Edit(_add_column(source), "`ADD COLUMN IF NOT EXISTS`", _TWICE)
    constraint = command.def_
    name, text = constraint.conname, source
    if not name:
        name = _constraint_name(node.relation.relname, constraint)
        at = constraint.location
        text = f"{source[:at]}CONSTRAINT {sql_name(name)} {source[at:]}"
    condition = (
        "NOT EXISTS (\n    SELECT FROM pg_constraint\n"
        f"    WHERE conrelid = {sql_literal(printed(node.relation))}::regclass "
        f"AND conname = {sql_literal(name)}\n  )"
    )
    why = "ADD CONSTRAINT has no IF NOT EXISTS"
    return Edit(_guarded(text, condition, "constraint"), f"constraint `{name}` guarded", why)


def _add_column(source: str) -> str:
    skip = "COLUMN" if any(t.name == "COLUMN" for t in tokens(source)) else ""
    words = "IF NOT EXISTS" if skip else "COLUMN IF NOT EXISTS"
    return _insert(source, "ADD_P", words, skip)


_SUFFIX = {
    "CONSTR_UNIQUE": "key",
    "CONSTR_PRIMARY": "pkey",
    "CONSTR_FOREIGN": "fkey",
    "CONSTR_CHECK": "check",
    "CONSTR_EXCLUSION": "excl",
}


def _constraint_name(table: str, constraint: Any) -> str:
    columns = [k.sval for k in (*(constraint.keys or ()), *(constraint.fk_attrs or ()))]
    suffix = _SUFFIX.get(constraint.contype.name, "constraint")
    return "_".join([table, *columns, suffix])[:63]


def _enum_value(node: Any, source: str) -> Edit:
    if node.skipIfNewValExists or node.oldVal:
        return Edit(source)
    return Edit(_insert(source, "VALUE_P", "IF NOT EXISTS"), "`IF NOT EXISTS` added", _TWICE)


def _insert_rows(node: Any, source: str) -> Edit:
    if node.onConflictClause is not None:
        return Edit(source)
    why = "a second run would add the rows again, or stop at the first one"
    clause = "ON CONFLICT DO NOTHING"
    returning = [t.start for t in tokens(source) if t.name == "RETURNING"]
    if returning and node.returningClause is not None:
        at = returning[-1]
        return Edit(f"{source[:at]}{clause}\n{source[at:]}", f"`{clause}` added", why)
    return Edit(f"{source}\n{clause}", f"`{clause}` added", why)


def _create_as(node: Any, source: str) -> Edit:
    word = "VIEW" if node.objtype.name == "OBJECT_MATVIEW" else "TABLE"
    return _if_not_exists(word)(node, source)


EDITORS: dict[str, Editor] = {
    "CreateStmt": _if_not_exists("TABLE"),
    "CreateTableAsStmt": _create_as,
    "CreateSeqStmt": _if_not_exists("SEQUENCE"),
    "CreateSchemaStmt": _if_not_exists("SCHEMA"),
    "CreateExtensionStmt": _if_not_exists("EXTENSION"),
    "IndexStmt": _index,
    "ViewStmt": _or_replace,
    "CreateFunctionStmt": _or_replace,
    "CreateTrigStmt": _trigger,
    "CreatePolicyStmt": _policy,
    "AlterTableStmt": _alter_table,
    "AlterEnumStmt": _enum_value,
    "InsertStmt": _insert_rows,
    "CreateEnumStmt": _once,
    "CompositeTypeStmt": _once,
    "CreateDomainStmt": _once,
    "CreateRangeStmt": _once,
    "DefineStmt": _once,
    "CreateRoleStmt": _once,
    "CreateCastStmt": _once,
    "CreatePublicationStmt": _once,
    "AlterPublicationStmt": _once,
}

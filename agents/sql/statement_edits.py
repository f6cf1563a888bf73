"""How one statement is made to run twice: an editor per kind of statement, on the author's text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrate_agents.sql.parse import parse_migration, printed, tokens


class Edit(NamedTuple):
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


def dollar_quote(word: str, body: str) -> str:
    """A dollar quote that the body does not contain."""
    while f"${word}$" in body:
        word += "_"
    return f"${word}$"


def _insert_after(source: str, token: str, words: str, skip: str = "") -> str:
    """`words` after the first token of that name (and after a following `skip` token)."""
    found = list(tokens(source))
    at = next(i for i, t in enumerate(found) if t.name == token)
    if skip and found[at + 1].name == skip:
        at += 1
    end = found[at].end + 1
    return f"{source[:end]} {words}{source[end:]}"


def _add_if_not_exists(word: str) -> Editor:
    def edit(node: Any, source: str) -> Edit:
        if node.if_not_exists:
            return Edit(source)
        return Edit(_insert_after(source, word, "IF NOT EXISTS"), "`IF NOT EXISTS` added", _TWICE)

    return edit


def _add_or_replace(node: Any, source: str) -> Edit:
    if node.replace:
        return Edit(source)
    return Edit(_insert_after(source, "CREATE", "OR REPLACE"), "`OR REPLACE` added", _TWICE)


def _edit_trigger(node: Any, source: str) -> Edit:
    return _create_once(node, source) if node.isconstraint else _add_or_replace(node, source)


def _edit_create_as(node: Any, source: str) -> Edit:
    word = "VIEW" if node.objtype.name == "OBJECT_MATVIEW" else "TABLE"
    return _add_if_not_exists(word)(node, source)


def _edit_index(node: Any, source: str) -> Edit:
    text, what, why = source, "`IF NOT EXISTS` added", _TWICE
    if node.concurrent:
        text = re.sub(r"(?i)\bconcurrently\s+", "", text, count=1)
        what = "index made re-runnable"
        why = "CONCURRENTLY cannot run inside a transaction, as the SQL editor runs a file"
    if not node.if_not_exists:
        name = ""
        if not node.idxname:
            parts = ["idx", node.relation.relname, *(p.name or "expr" for p in node.indexParams)]
            name = " " + sql_name("_".join(parts)[:63])
        text = _insert_after(text, "INDEX", "IF NOT EXISTS" + name)
    return Edit(text, what, why)


def _indent(source: str, by: str) -> str:
    """Each line indented, unless a string or comment spans lines and would change with it."""
    if any("\n" in source[t.start : t.end + 1] for t in tokens(source)):
        return by + source
    return "\n".join(by + line if line.strip() else line for line in source.splitlines())


def _guard(source: str, catalog: str, test: str, word: str) -> str:
    """A block that runs the statement only if the catalog has no such row."""
    tag = dollar_quote(word, source)
    return (
        f"DO {tag}\nBEGIN\n  IF NOT EXISTS (\n    SELECT FROM {catalog}\n    WHERE {test}\n  )"
        f" THEN\n{_indent(source, '    ')};\n  END IF;\nEND\n{tag}"
    )


def _create_once(_node: Any, source: str) -> Edit:
    tag = dollar_quote("once", source)
    text = (
        f"DO {tag}\nBEGIN\n{_indent(source, '  ')};\nEXCEPTION WHEN duplicate_object THEN\n"
        f"  NULL; -- made by an earlier run\nEND\n{tag}"
    )
    return Edit(text, "made only once (guarded block)", _TWICE)


def _edit_policy(node: Any, source: str) -> Edit:
    role = _demanded_role(node)
    text, why = source, "CREATE POLICY has no IF NOT EXISTS, and a DROP is not additive"
    what = f"policy `{node.policy_name}` guarded"
    if role:
        at = next(t.start for t in tokens(source) if t.name in ("USING", "WITH"))
        text = f"{source[:at]}TO {role}\n  {source[at:]}"
        what += f", `TO {role}` added"
        why += f"; its condition lets only {role} through, so no other role needs to try it"
    table = sql_literal(printed(node.table))
    test = f"polrelid = {table}::regclass AND polname = {sql_literal(node.policy_name)}"
    return Edit(_guard(text, "pg_policy", test, "policy"), what, why)


_API_ROLES = ("anon", "authenticated", "service_role")


def _demanded_role(node: Any) -> str:
    """The role that every condition of a policy for PUBLIC asks `auth.role()` to be, or ""."""
    if any(r.roletype.name != "ROLESPEC_PUBLIC" for r in node.roles or ()):
        return ""
    conditions = [c for c in (node.qual, node.with_check) if c is not None]
    demanded = {_compared_role(c) for c in conditions}
    return demanded.pop() if len(demanded) == 1 else ""


def _compared_role(condition: Any) -> str:
    if type(condition).__name__ == "BoolExpr" and condition.boolop.name == "AND_EXPR":
        return next((r for c in condition.args if (r := _compared_role(c))), "")
    if type(condition).__name__ != "A_Expr" or condition.name[-1].sval != "=":
        return ""
    sides = {printed(condition.lexpr), printed(condition.rexpr)}
    calls = {"auth.role()", "(SELECT auth.role())"} & sides
    roles = [r for r in _API_ROLES if sql_literal(r) in sides]
    return roles[0] if calls and roles else ""


_CONSTRAINT_SUFFIX = {
    "CONSTR_UNIQUE": "key",
    "CONSTR_PRIMARY": "pkey",
    "CONSTR_FOREIGN": "fkey",
    "CONSTR_CHECK": "check",
    "CONSTR_EXCLUSION": "excl",
}


def _edit_alter_table(node: Any, source: str) -> Edit:
    commands = [c.subtype.name for c in node.cmds]
    if not {"AT_AddConstraint", "AT_AddColumn"} & set(commands):
        return Edit(source)
    if len(commands) > 1:
        split = _split_alter(node, source)
        parts = [_edit_alter_table(parse_migration(p).statements[0].node, p) for p in split]
        changed = [p for p in parts if p.what]
        if not changed:
            return Edit(source)
        return Edit(";\n".join(p.text for p in parts), changed[0].what, changed[0].why)
    (command,) = node.cmds
    if command.subtype.name == "AT_AddColumn":
        if command.missing_ok:
            return Edit(source)
        skip = "COLUMN" if any(t.name == "COLUMN" for t in tokens(source)) else ""
        words = "IF NOT EXISTS" if skip else "COLUMN IF NOT EXISTS"
        text = _insert_after(source, "ADD_P", words, skip)
        return Edit(text, "`ADD COLUMN IF NOT EXISTS`", _TWICE)
    constraint, text = command.def_, source
    name = constraint.conname
    if not name:
        columns = [k.sval for k in (*(constraint.keys or ()), *(constraint.fk_attrs or ()))]
        suffix = _CONSTRAINT_SUFFIX.get(constraint.contype.name, "constraint")
        name = "_".join([node.relation.relname, *columns, suffix])[:63]
        at = constraint.location
        text = f"{source[:at]}CONSTRAINT {sql_name(name)} {source[at:]}"
    table = sql_literal(printed(node.relation))
    test = f"conrelid = {table}::regclass AND conname = {sql_literal(name)}"
    guarded = _guard(text, "pg_constraint", test, "constraint")
    return Edit(guarded, f"constraint `{name}` guarded", "ADD CONSTRAINT has no IF NOT EXISTS")


def _split_alter(node: Any, source: str) -> list[str]:
    """`ALTER TABLE t a, b` as `ALTER TABLE t a` and `ALTER TABLE t b`."""
    found = tokens(source)
    at = next(i for i, t in enumerate(found) if t.start == node.relation.location)
    while found[at + 1].name == "ASCII_46":
        at += 2
    head = source[: found[at].end + 1]
    depth, parts, start = 0, [], found[at].end + 1
    for token in found[at + 1 :]:
        depth += (token.name == "ASCII_40") - (token.name == "ASCII_41")
        if token.name == "ASCII_44" and depth == 0:
            parts.append(source[start : token.start])
            start = token.end + 1
    return [f"{head} {part.strip()}" for part in [*parts, source[start:]]]


def _edit_enum(node: Any, source: str) -> Edit:
    if node.skipIfNewValExists or node.oldVal:
        return Edit(source)
    text = _insert_after(source, "VALUE_P", "IF NOT EXISTS")
    return Edit(text, "`IF NOT EXISTS` added", _TWICE)


def _edit_insert(node: Any, source: str) -> Edit:
    if node.onConflictClause is not None:
        return Edit(source)
    clause = "ON CONFLICT DO NOTHING"
    text = f"{source}\n{clause}"
    if node.returningClause is not None:
        at = [t.start for t in tokens(source) if t.name == "RETURNING"][-1]
        text = f"{source[:at]}{clause}\n{source[at:]}"
    why = "a second run would add the rows again, or stop at the first one"
    return Edit(text, f"`{clause}` added", why)


EDITORS: dict[str, Editor] = {
    "CreateStmt": _add_if_not_exists("TABLE"),
    "CreateTableAsStmt": _edit_create_as,
    "CreateSeqStmt": _add_if_not_exists("SEQUENCE"),
    "CreateSchemaStmt": _add_if_not_exists("SCHEMA"),
    "CreateExtensionStmt": _add_if_not_exists("EXTENSION"),
    "IndexStmt": _edit_index,
    "ViewStmt": _add_or_replace,
    "CreateFunctionStmt": _add_or_replace,
    "CreateTrigStmt": _edit_trigger,
    "CreatePolicyStmt": _edit_policy,
    "AlterTableStmt": _edit_alter_table,
    "AlterEnumStmt": _edit_enum,
    "InsertStmt": _edit_insert,
    "CreateEnumStmt": _create_once,
    "CompositeTypeStmt": _create_once,
    "CreateDomainStmt": _create_once,
    "CreateRangeStmt": _create_once,
    "DefineStmt": _create_once,
    "CreateRoleStmt": _create_once,
    "CreateCastStmt": _create_once,
    "CreatePublicationStmt": _create_once,
    "AlterPublicationStmt": _create_once,
}

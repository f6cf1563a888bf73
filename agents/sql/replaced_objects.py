"""Policies that a migration drops only to make them anew: how they are written to run twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrate_agents.sql.parse import Statement, parse_migration


class Policy(NamedTuple):
    """A policy of a table, as the server names it when it is dropped."""

    name: str
    table: str


def replaced_policies(text: str) -> dict[Policy, int]:
    """Policies of the migration's own tables that are dropped and made again, with the drop's line.

    PostgreSQL has no CREATE POLICY IF NOT EXISTS, so nothing is taken away by it. Of a table that
    stood there before it may be another policy that goes, so those are not among them.
    """
    migration = parse_migration(text)
    own = {table.qualified for table in migration.tables}
    made = {_created(s): n for n, s in enumerate(migration.statements) if _is_create(s)}
    return {
        policy: statement.line
        for number, statement in enumerate(migration.statements)
        for policy in _dropped(statement)
        if policy.table in own and made.get(policy, -1) > number
    }


def _is_create(statement: Statement) -> bool:
    return statement.kind == "CreatePolicyStmt"


def _created(statement: Statement) -> Policy:
    table = statement.node.table
    return Policy(statement.node.policy_name, f"{table.schemaname or 'public'}.{table.relname}")


def _dropped(statement: Statement) -> Iterator[Policy]:
    node = statement.node
    if statement.kind == "DropStmt" and node.removeType.name == "OBJECT_POLICY":
        for item in node.objects:
            *schema, table, name = (part.sval for part in item)
            yield Policy(name, f"{schema[0] if schema else 'public'}.{table}")

"""The set-up makes a plain database look like a Supabase project's (DESIGN 6.7, 10.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from orchestrate_agents.sql.catalog import snapshot
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_backend.targets.supabase_setup import API_ROLES, AUTHENTICATOR, OWNER, set_up
from orchestrator.gates.checks import Services


@pytest.fixture
def database() -> Iterator[Database]:
    with Services() as services, scratch(services).database() as made:
        yield made


def rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return found


def test_setting_up_again_changes_nothing(database: Database) -> None:
    with psycopg.connect(database.uri) as admin:
        before = snapshot(admin)
        set_up(admin)
        assert snapshot(admin) == before


def test_only_the_service_role_and_the_owner_pass_by_row_level_security(
    database: Database,
) -> None:
    names = ", ".join(f"'{r}'" for r in (*API_ROLES, OWNER, AUTHENTICATOR))
    query = f"SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname IN ({names})"
    with database.connect() as owner:
        assert {(name, bypass) for name, super_, bypass in rows(owner, query) if not super_} == {
            ("anon", False),
            ("authenticated", False),
            ("authenticator", False),
            ("service_role", True),
            ("postgres", True),
        }


def test_a_new_table_is_open_to_every_role_until_security_is_enabled(database: Database) -> None:
    with database.connect() as owner, database.connect_api() as api:
        owner.execute("CREATE TABLE t (a int)")
        for role in API_ROLES:
            api.execute(f"SET ROLE {role}")
            api.execute("INSERT INTO t VALUES (1)")
        owner.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        api.execute("SET ROLE anon")
        assert rows(api, "SELECT a FROM t") == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            api.execute("INSERT INTO t VALUES (2)")


def test_the_claims_of_a_request_are_read_where_postgrest_leaves_them(database: Database) -> None:
    with database.connect_api() as api:
        api.execute("SET ROLE authenticated")
        assert rows(api, "SELECT auth.role(), auth.uid(), auth.jwt()") == [(None, None, None)]
        user = "00000000-0000-4000-8000-000000000001"
        claims = f'{{"role": "authenticated", "sub": "{user}", "email": "a@example.org"}}'
        api.execute("SELECT set_config('request.jwt.claims', %s, false)", [claims])
        found = rows(api, "SELECT auth.role(), auth.uid()::text, auth.email()")
        assert found == [("authenticated", user, "a@example.org")]


def test_the_owner_can_reach_nothing_outside_the_server(database: Database) -> None:
    with database.connect() as owner:
        for query in ("COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('/etc/hostname')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(query)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("SET SESSION AUTHORIZATION supabase_admin")

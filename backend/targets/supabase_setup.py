"""Make a plain PostgreSQL database look like a Supabase project's (DESIGN 6.7, 10.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: owns the database and runs migrations; no superuser, as on the hosted service
OWNER = "supabase_owner"
#: the login from which `SET ROLE` reaches the roles of the API, as PostgREST does it
AUTHENTICATOR = "authenticator"
#: the roles of the API, weakest first
API_ROLES = ("anon", "authenticated", "service_role")

SETUP_FILE = Path(__file__).with_name("supabase_setup.sql")


def setup_sql() -> str:
    """The set-up as one idempotent script."""
    return SETUP_FILE.read_text(encoding="utf-8")


def set_up(connection: Any) -> None:
    """Run the set-up in the database of a psycopg connection that is a superuser's.

    Makes the roles of the cluster, hands database and schema `public` to `OWNER`, grants the
    default privileges, and makes schema `auth`. Twice changes nothing. In an open transaction the
    caller commits.
    """
    with connection.transaction():
        connection.execute(setup_sql())


def as_user(uri: str, user: str) -> str:
    """The same connection URI for another login; the embedded server trusts its socket."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(uri, user=user)

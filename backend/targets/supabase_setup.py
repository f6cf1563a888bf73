"""Make a plain PostgreSQL database look like a Supabase project's (DESIGN 6.7, 10.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: the superuser, which nothing of a workspace ever runs as
ADMIN = "supabase_admin"
#: owns the database and runs migrations; no superuser, as on the hosted service
OWNER = "postgres"
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
    default privileges, and makes the schemas `auth`, `storage` and `realtime`. Twice changes
    nothing. In an open transaction the caller commits.
    """
    with connection.transaction():
        connection.execute(setup_sql())


def as_user(uri: str, user: str, password: str | None = None) -> str:
    """The same connection URI for another login; the embedded server trusts its socket."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(uri, user=user, password=password)


def rename_logins(uri: str) -> None:
    """Give the logins of a cluster that an older version made their names of today.

    There the superuser was `postgres`, and the owner `supabase_owner`. `uri` is the superuser's;
    nothing happens where it can log in.
    """
    import psycopg
    from psycopg import sql

    try:
        psycopg.connect(uri).close()
        return
    except psycopg.OperationalError as error:
        if f'role "{ADMIN}" does not exist' not in str(error):
            raise
    helper = sql.Identifier("orchestrate_renames")
    # a session cannot rename its own login
    with psycopg.connect(as_user(uri, "postgres"), autocommit=True) as old:
        old.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(helper))
        old.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(helper))
    with psycopg.connect(as_user(uri, "orchestrate_renames")) as other:
        other.execute(sql.SQL("ALTER ROLE postgres RENAME TO {}").format(sql.Identifier(ADMIN)))
        query = "SELECT FROM pg_roles WHERE rolname = 'supabase_owner'"
        if other.execute(query).fetchone() is not None:
            rename = sql.SQL("ALTER ROLE supabase_owner RENAME TO {}")
            other.execute(rename.format(sql.Identifier(OWNER)))
    with psycopg.connect(uri, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(helper))

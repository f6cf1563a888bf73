"""Which statements a script runs on a scratch database besides those that fill its tables.

What a statement does on the few rows of a trial says little of what it does elsewhere: a DELETE
that finds nothing here, or an UPDATE in another schema, is reported as it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrate_agents.sql.environment import HOSTED

if TYPE_CHECKING:
    from psycopg import Connection

_WATCH = """
CREATE TABLE proof_watch.said
  (place serial, tag text, object text, rows bigint, query text);
CREATE TABLE proof_watch.known AS SELECT oid FROM pg_class;
CREATE FUNCTION proof_watch.note_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  hit bigint;
BEGIN
  -- what a table's own triggers write is the migration's doing
  IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
  IF TG_OP = 'DELETE' THEN SELECT count(*) INTO hit FROM gone; END IF;
  INSERT INTO proof_watch.said (tag, object, rows, query)
  VALUES (TG_OP, TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, hit, current_query());
  RETURN NULL;
END
$$;
CREATE FUNCTION proof_watch.note_command() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO proof_watch.said (tag, object, query)
  SELECT c.command_tag, coalesce(c.object_identity, c.object_type), current_query()
  FROM pg_event_trigger_ddl_commands() c
  WHERE coalesce(c.schema_name, '') NOT LIKE 'pg\\_temp%'
    AND (c.objid IS NULL OR c.objid IN (SELECT oid FROM proof_watch.known)
         OR c.command_tag !~ '^(CREATE|ALTER) (TABLE|INDEX|SEQUENCE|TYPE|SCHEMA|EXTENSION)');
END
$$;
DO $$
DECLARE
  t regclass;
BEGIN
  FOR t IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
             AND n.nspname NOT LIKE 'pg\\_%'
             AND n.nspname NOT IN ('information_schema', 'proof_watch')
  LOOP
    EXECUTE format('CREATE TRIGGER zz_statement AFTER INSERT OR UPDATE OR TRUNCATE ON %s '
                   'EXECUTE FUNCTION proof_watch.note_statement()', t);
    EXECUTE format('CREATE TRIGGER zz_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS gone '
                   'EXECUTE FUNCTION proof_watch.note_statement()', t);
  END LOOP;
END $$;
CREATE EVENT TRIGGER proof_watch_command ON ddl_command_end
  EXECUTE FUNCTION proof_watch.note_command();
"""
_SHOWN = 120


@dataclass(frozen=True)
class Said:
    """A statement: what it does to which object, the rows that a DELETE removed, its text."""

    tag: str
    object: str
    rows: int
    query: str


class StatementWatch:
    """Hears the statements of a database from now on; `admin` is a superuser's connection."""

    def __init__(self, admin: Connection[Any]) -> None:
        self._admin = admin
        self._ask(_WATCH)

    def clear(self) -> None:
        """Forget what was heard: what follows is a script's."""
        self._ask("DELETE FROM proof_watch.said")

    def heard(self) -> list[Said]:
        """The statements since, in order."""
        rows = self._ask("SELECT tag, object, rows, query FROM proof_watch.said ORDER BY place")
        return [Said(tag, name, count or 0, query) for tag, name, count, query in rows]

    def _ask(self, sql: str) -> list[tuple[str, str, int | None, str]]:
        cursor = self._admin.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def beyond_loading(said: Iterable[Said], own: Collection[str]) -> Iterator[str]:
    """What of the statements of all runs does not fill the script's own tables, by their names.

    A DELETE that removed rows of these tables is judged by what it removed.
    """
    tables = {name if "." in name else f"public.{name}" for name in own}
    removed: dict[tuple[str, str], int] = defaultdict(int)
    reported: dict[str, None] = {}
    for one in said:
        text = " ".join(one.query.split())[:_SHOWN]
        strange = one.object not in tables
        if one.tag == "DELETE":
            removed[one.object, text] += one.rows
        elif one.tag == "TRUNCATE":
            reported.setdefault(f"it empties {one.object}: {text}")
        elif one.tag in ("INSERT", "UPDATE"):
            if one.object.partition(".")[0] in HOSTED or (strange and one.tag == "UPDATE"):
                reported.setdefault(f"it writes to {one.object}: {text}")
        else:
            reported.setdefault(f"it changes the schema, {one.tag} {one.object}: {text}")
    yield from reported
    for (name, text), rows in removed.items():
        if not rows or name not in tables:
            what = f"{rows} rows of {name}" if rows else f"from {name} what the trial does not have"
            yield f"it deletes {what}: {text}"

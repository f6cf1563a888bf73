"""The tables of a scratch database: what they hold, and how they refuse what a script writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrate_agents.sandbox.runs import Run
from orchestrate_agents.sandbox.served import tells_of
from orchestrate_agents.sql.scratch import Database

_TABLES = """
SELECT c.oid::regclass::text,
       array_agg(quote_ident(a.attname) ORDER BY a.attname)
         FILTER (WHERE d.adbin IS NULL OR t.typcategory <> 'D'
                    OR pg_get_expr(d.adbin, d.adrelid) !~ '\\(')
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
 GROUP BY c.oid ORDER BY 1
"""
#: refuses the second statement that inserts into any of the tables, and none after it
_ONE = """
CREATE SCHEMA refusal;
CREATE SEQUENCE refusal.writes;
CREATE FUNCTION refusal.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF nextval('refusal.writes') = 2 THEN
    RAISE EXCEPTION 'could not extend file: no space left on device' USING ERRCODE = '53100';
  END IF;
  RETURN NULL;
END
$$;
GRANT USAGE ON SCHEMA refusal TO PUBLIC;
"""
_TRIGGER = """CREATE TRIGGER refuses_one BEFORE INSERT ON {} FOR EACH STATEMENT
EXECUTE FUNCTION refusal.refuse()"""
_NONE = "CONSTRAINT refuses_every_row"


def owner_does(database: Database, statements: Iterable[str]) -> None:
    """Run statements as the database's owner."""
    with database.connect() as owner:
        for statement in statements:
            owner.execute(statement.encode())


@dataclass(frozen=True)
class TableContents:
    """What the tables hold: rows by table, and a digest of everything but the server's clock."""

    rows: Mapping[str, int]
    digest: str

    @property
    def total(self) -> int:
        return sum(self.rows.values())


def read_contents(database: Database) -> TableContents:
    """What the tables of schema `public` hold, generated ids included: a row that was deleted and
    inserted again is another one. Times that the server sets are left out."""
    from psycopg import sql

    rows: dict[str, int] = {}
    digest = hashlib.sha256()
    with database.connect() as owner:
        for table, columns in owner.execute(_TABLES).fetchall():
            listed = sql.SQL("ROW({})").format(sql.SQL(", ".join(columns or ["NULL"])))
            query = sql.SQL(
                "SELECT count(*), md5(string_agg(r, '|' ORDER BY r))"
                " FROM (SELECT {}::text AS r FROM {}) AS all_rows"
            )
            count, found = owner.execute(query.format(listed, sql.SQL(table))).fetchone()
            rows[table] = count
            digest.update(f"{table}:{count}:{found}\n".encode())
    return TableContents({table: n for table, n in rows.items() if n}, digest.hexdigest())


def empty_tables(database: Database) -> None:
    """Remove all rows of schema `public`."""
    with database.connect() as owner:
        names = [table for table, _ in owner.execute(_TABLES).fetchall()]
    owner_does(database, [f"TRUNCATE {table} CASCADE" for table in names])


def refuse_one(database: Database, tables: Sequence[str], run: Callable[[], Run]) -> Run:
    """A run whose second write meets a full disk, which the next one does not."""
    owner_does(database, [_ONE, *map(_TRIGGER.format, tables)])
    try:
        return run()
    finally:
        owner_does(database, ["DROP SCHEMA refusal CASCADE"])


def untold(ended: Run, lost: int) -> Iterator[str]:
    """That a run of which one write was refused ended well, and told nothing of what it lost."""
    if ended.ok and lost > 0 and not tells_of(ended.text, lost):
        yield f"where one write is refused, it ends well and does not say that {lost} rows lack"


def refuse_all(
    database: Database, tables: Sequence[str], empty: Callable[[], None]
) -> Iterator[None]:
    """Step by step: the emptied tables refuse each row, then the database is read-only."""
    empty()
    owner_does(database, [f"ALTER TABLE {name} ADD {_NONE} CHECK (false)" for name in tables])
    yield
    owner_does(database, [f"ALTER TABLE {name} DROP {_NONE}" for name in tables])
    read_only = "SET default_transaction_read_only = on"
    owner_does(database, [f'ALTER DATABASE "{database.name}" {read_only}'])
    yield

"""A small Supabase-like project for tests: the embedded server with a REST stand-in before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrate_backend.fake_postgrest.server import RestStandIn
from orchestrate_backend.targets.choose import EmbeddedTarget, SupabaseTarget

SECRET = "a secret of the tests, and of nothing else"

#: readable by signed-in users only, as the row level security says; written by the service role
STATIONS = """
CREATE TABLE stations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  region text NOT NULL,
  code text,
  height_m integer,
  rain_mm numeric(6,2),
  tags text[],
  opened date,
  checked_at timestamptz,
  open boolean DEFAULT true,
  extra jsonb
);
CREATE UNIQUE INDEX stations_key ON stations (region, code) NULLS NOT DISTINCT;
ALTER TABLE stations ENABLE ROW LEVEL SECURITY;
CREATE POLICY stations_read ON stations FOR SELECT TO authenticated USING (true);
"""

#: the columns that the front end's hook reads, with row level security of the same kind
BENCHMARKS = (Path(__file__).parent / "fixtures" / "benchmark_tables.sql").read_text(
    encoding="utf-8"
)


@dataclass
class Project:
    """A running project."""

    database: EmbeddedTarget
    api: RestStandIn
    url: str

    @contextmanager
    def client(self, role: str = "service_role") -> Iterator[SupabaseTarget]:
        """A `SupabaseTarget` with that role's key."""
        target = SupabaseTarget(self.url, self.api.token(role))
        try:
            yield target
        finally:
            target.close()

    def empty(self, table: str) -> None:
        self.database.apply_sql(f'TRUNCATE "{table}"')


@contextmanager
def running_project(root: Path, schema: str) -> Iterator[Project]:
    """A project in `root` with these tables."""
    database = EmbeddedTarget(root)
    try:
        database.apply_sql(schema)
        with RestStandIn(database.uri(), SECRET) as api:
            yield Project(database, api, api.start())
    finally:
        database.close()

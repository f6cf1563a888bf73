"""Which of a migration's tables are seeded by scripts, and so need a natural key."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrate_agents.sql.parse import Table

_DATA_FILE = r"[\w./-]*{name}[\w-]*\.(?:py|csv|tsv|jsonl?|parquet|xlsx|js|mjs|ts)\b"
_LOADED = re.compile(
    r"\b(?:seed|seeds|seeded|seeder|seeding|upsert|upserts|upserted|import|imports|imported|"
    r"importer|load|loads|loaded|loader|etl|csv|ingest|ingests|populate|populated)\b",
    re.IGNORECASE,
)
_COUNTED = (
    r"\bcount\s*\(\s*[*\w]*\s*\)[^;\n]*?\bfrom\s+(?:public\.)?\"?{name}\b"
    r"|\b{name}\"?\W{{0,4}}\s*(?:row |record )?count\b"
)


def seeded_tables(tables: Iterable[Table], texts: Iterable[str]) -> tuple[str, ...]:
    """The names of the tables that a workflow's or ticket's text loads with rows.

    A table counts as seeded if a script's or data file's name contains its name, a line names it
    together with a word for loading (seed, upsert, import, CSV …), or its rows are counted.
    """
    lines = [line for text in texts for line in text.splitlines()]
    return tuple(t.name for t in tables if _is_seeded(t.name, lines))


def _is_seeded(name: str, lines: Iterable[str]) -> bool:
    escaped = re.escape(name)
    data_file = re.compile(_DATA_FILE.format(name=escaped), re.IGNORECASE)
    counted = re.compile(_COUNTED.format(name=escaped), re.IGNORECASE)
    named = re.compile(rf"\b{escaped}\b", re.IGNORECASE)
    return any(
        data_file.search(line)
        or counted.search(line)
        or (named.search(line) and _LOADED.search(named.sub("", line)))
        for line in lines
    )

"""The natural key of a table, for an upsert: the columns that say which thing a row is about.

The rule, in order:

1. A key that the table has already, other than its surrogate one: the first UNIQUE key none of
   whose columns the server fills in; else a primary key that the server does not fill in.
2. Else the *identity columns*: text, enumerations, dates, years and other codes, references and
   whole numbers that are not quantities. Never the surrogate id, a column with a default, a
   measure (numeric, real, double precision, a time of day, an interval, a whole number with a
   quantity's name), a Boolean, an array, JSON, nor free prose (notes, description, licence …).
   a. If one of them is NOT NULL and names the thing (`…_name`, `title`, `code`, `…_id`, a foreign
      key), a row has a name of its own: the key is every NOT NULL identity column.
   b. Otherwise a row is a cell of an aggregate, distinguished by its dimensions: the key is every
      identity column, the nullable ones too, with NULLS NOT DISTINCT.
3. No NOT NULL identity column: no key can be derived, and none is invented.

A measure is never in the key, so a corrected figure updates its row instead of adding another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrate_agents.sql.parse import Column, Table

_TEXT = re.compile(r"^(text|varchar|char|bpchar|citext|uuid|date|timestamp|timestamptz|name)\b")
_WHOLE = re.compile(r"^(smallint|integer|bigint)\b")
_NEVER = re.compile(
    r"^(numeric|decimal|real|double precision|float|money|boolean|json|jsonb|bytea|time|timetz|"
    r"interval|tsvector|xml|point|inet|vector)\b"
)
_QUANTITY = re.compile(
    r"(^|_)(n|num|number_of|count|counts|total|sum|avg|mean|median|min|max|sd|pct|percent|rate|"
    r"ratio|score|amount|quantity|qty|age|weeks|days|hours|minutes|months|years|enrollment|"
    r"enrolment|participants|episodes|size|weight|height|capacity|population|price|cost|rank|"
    r"position|sort|order|version|duration|length)(_|$)"
)
_PROSE = re.compile(
    r"(^|_)(notes?|comments?|description|desc|summary|abstract|body|content|remarks?|details?|"
    r"licen[cs]e|message|payload|raw|status|setting)(_|$)"
)
_NAMING = re.compile(r"(^|_)(name|title|code|slug|label|key|ref|reference|id|uid|uri|doi|number)$")
_TOUCHED = re.compile(r"(^|_)(created|updated|modified|inserted|deleted|imported|loaded)(_|$)")


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


def natural_key(table: Table) -> tuple[str, ...]:
    """The columns of the table's natural key by the rule above, or () if there is none."""
    existing = _existing_key(table)
    if existing:
        return existing
    identity = [c for c in table.columns if _identifies(c, table)]
    required = [c for c in identity if c.not_null]
    if not required:
        return ()
    named = any(c.references or _NAMING.search(c.name.lower()) for c in required)
    return tuple(c.name for c in (required if named else identity))


def has_natural_key(table: Table) -> bool:
    """Whether the table already has a key other than its surrogate one."""
    return bool(_existing_key(table))


def needs_nulls_not_distinct(table: Table, key: tuple[str, ...]) -> bool:
    """Whether a column of the key may be null, so that plain UNIQUE would let duplicates in."""
    return any(not c.not_null for c in table.columns if c.name in key)


def _existing_key(table: Table) -> tuple[str, ...]:
    filled = {c.name for c in table.columns if c.generated or c.default is not None}
    for key in table.uniques:
        if not filled.intersection(key):
            return key
    return table.primary_key if table.primary_key and not filled & {*table.primary_key} else ()


def _identifies(column: Column, table: Table) -> bool:
    name, kind = column.name.lower(), column.type.lower()
    surrogate = column.primary_key and len(table.primary_key) == 1
    if column.default is not None or column.generated or column.is_array or surrogate:
        return False
    if column.references:
        return True
    if _NEVER.match(kind) or _PROSE.search(name) or _TOUCHED.search(name):
        return False
    if _WHOLE.match(kind):
        return not _QUANTITY.search(name)
    # what is neither a built-in text type nor a number is an enumeration or a domain
    return bool(_TEXT.match(kind)) or not kind.startswith("pg_")


def seeded_tables(tables: Iterable[Table], texts: Iterable[str]) -> tuple[str, ...]:
    """The names of the tables that a workflow's or ticket's text loads with rows.

    A table counts as seeded if a script's or data file's name contains its name, a line names it
    together with a word for loading (seed, upsert, import, CSV …), or its rows are counted.
    """
    lines = [line for text in texts for line in text.splitlines()]

    def is_seeded(name: str) -> bool:
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

    return tuple(t.name for t in tables if is_seeded(t.name))

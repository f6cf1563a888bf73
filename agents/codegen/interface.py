"""TypeScript interfaces and database tables: which belong together, and which type a column has."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrate_agents.codegen.signatures import Interface
from orchestrate_agents.sql.parse import Column, Table

_NUMBERS = re.compile(r"^(smallint|integer|bigint|numeric|decimal|real|double precision|float)\b")
_TEXTS = re.compile(
    r"^(text|varchar|character|char|bpchar|citext|uuid|date|time|timestamp|timestamptz|timetz|"
    r"interval|inet|bytea|name|money)\b"
)
#: share of an interface's fields that must be columns of a table for the two to belong together
_MATCHING = 0.6


def table_type(column: Column) -> str:
    """The TypeScript type of a column as the REST interface returns it; "" where any will do."""
    element = _element_type(column.type.removesuffix("[]").strip())
    if not element:
        return ""
    kind = f"{element}[]" if column.is_array else element
    nullable = not (column.not_null or column.primary_key)
    return f"{kind} | null" if nullable else kind


def _element_type(sql: str) -> str:
    if _NUMBERS.match(sql):
        return "number"
    if sql.startswith("bool"):
        return "boolean"
    return "string" if _TEXTS.match(sql) else ""


def interface_name(table: str) -> str:
    """`benchmark_cohorts` → `BenchmarkCohort`."""
    words = table.split("_")
    words[-1] = _singular(words[-1])
    return "".join(word[:1].upper() + word[1:] for word in words if word)


def _singular(word: str) -> str:
    if re.search(r"(ss|us|is)$", word):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if re.search(r"(ches|shes|sses|xes)$", word):
        return word[:-2]
    return word.removesuffix("s")


def interface_table(item: Interface, tables: Mapping[str, Table], module: str = "") -> Table | None:
    """The table whose rows an interface describes: by name, else by the fields that they share."""
    for table in tables.values():
        if item.name.lower() in {interface_name(table.name).lower(), table.name.replace("_", "")}:
            return table
    best, share = None, 0.0
    for table in tables.values():
        columns = {c.name for c in table.columns}
        shared = sum(name in columns for name in item.fields) / (len(item.fields) or 1)
        asked = re.search(rf"from\(\s*['\"`]{re.escape(table.name)}['\"`]", module)
        if asked and shared > share:
            best, share = table, shared
    return best if share >= _MATCHING else None

"""What simulated sources served, compared with the tables that an importer filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from orchestrate_agents.sandbox.runs import Run
from orchestrate_agents.sql.scratch import Database

#: a record as a simulator tells it (`orchestrate_agents.sandbox.simulators`)
Served = Mapping[str, Any]
#: how a source can behave, and what is said of it
_SOURCES = {
    "rough": "throttles a page and fails once",
    "broken": "fails from the third page on",
    "short": "ends before the number that it announced",
    "forged": "shows a certificate that nobody signed",
}
_ADMITS = re.compile(
    r"\b(?:partial\w*|incomplete|not all|not whole|fail\w*|error\w*|warning|missing)\b",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile(
    r"\b(?:skip\w*|left out|filter\w*|reject\w*|exclud\w*|ignor\w*|partial\w*|not all)\b",
    re.IGNORECASE,
)
_LISTED = 3


class Ended(Protocol):
    """A run of a script, with what it was served."""

    @property
    def run(self) -> Run: ...

    @property
    def counted(self) -> bool: ...

    @property
    def served(self) -> Sequence[Served]: ...


def try_sources(
    database: Database,
    served: Sequence[Served],
    run: Callable[[str], Ended],
    empty: Callable[[], None],
) -> Iterator[str]:
    """What goes wrong where the source throttles, fails once, breaks off, or ends too early.

    `served` is what an even source served; `empty` empties the tables. To end with an error, or to
    say that not all came, is right in each case.
    """
    for source, what in _SOURCES.items():
        empty()
        ended = run(source)
        if source == "forged":
            if ended.served:
                yield f"it takes what a source sends that {what}"
            continue
        if not ended.run.ok or (source == "short" and not ended.counted):
            continue
        if source == "rough":
            differing = compare_served(database, served, ended.run.text)
            yield from (f"where the source {what}: {line}" for line in differing)
        elif not _ADMITS.search(ended.run.text):
            yield f"though the source {what}, it ends well and does not say that some is missing"


def compare_served(database: Database, served: Sequence[Served], said: str) -> tuple[str, ...]:
    """How the tables that have the served records differ from them.

    `said` is what the script printed: what is not in the table has to be told there. A record that
    was served in several forms may be there in any of them.
    """
    records: dict[str, list[Served]] = {}
    for record in served:
        records.setdefault(record["key"], []).append(record)
    found: list[str] = []
    for table, rows in _rows(database):
        column = _key_column(rows, records)
        if not column:
            continue
        there = {str(row[column]): row for row in rows}
        strange = sorted(there.keys() - records.keys())
        if strange:
            found.append(f"{table} has {len(strange)} rows that the source did not serve")
        lost = sorted(key for key in records.keys() - there.keys() if key not in said)
        if lost and not (_LEFT_OUT.search(said) and re.search(rf"\b{len(lost)}\b", said)):
            shown = ", ".join(lost[:_LISTED])
            found.append(
                f"{len(lost)} of {len(records)} served records are neither in {table} nor named as "
                f"left out: {shown}"
            )
        wrong = {
            key: min((_differing(row, r) for r in records[key]), key=len)
            for key, row in there.items()
            if key in records
        }
        bad = {key: columns for key, columns in wrong.items() if columns}
        names = sorted({name for columns in bad.values() for name in columns})
        for name in names:
            key = next(k for k, columns in bad.items() if name in columns)
            count = sum(name in columns for columns in bad.values())
            found.append(
                f"{table}.{name} is another than the source served in {count} rows: {key} has "
                f"{str(there[key][name])[:60]!r} for {str(bad[key][name])[:80]}"
            )
    return tuple(found)


def _rows(database: Database) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    from psycopg import sql

    with database.connect() as owner:
        tables = owner.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
            " AND c.relkind IN ('r', 'p') ORDER BY 1"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier("public", table))
            yield table, [row for (row,) in owner.execute(query).fetchall()]


def _key_column(rows: Sequence[Mapping[str, Any]], records: Mapping[str, Any]) -> str:
    """The column whose values are keys of served records, in more than half of the rows."""
    for column in rows[0] if rows else ():
        if 2 * sum(str(row[column]) in records for row in rows) > len(rows):
            return column
    return ""


def _differing(row: Mapping[str, Any], record: Served) -> dict[str, Any]:
    """The columns that hold something else than the record gives → what it gives."""
    found = {}
    for column, value in row.items():
        for pattern, given in record["values"].items():
            if re.fullmatch(pattern, column):
                if not any(_same(value, wanted) for wanted in given):
                    found[column] = given[0]
                break
    return found


def _same(value: Any, wanted: Any) -> bool:
    """Equal, whether lists are stored as such or joined, and whatever spaces texts have."""
    if isinstance(wanted, list):
        parts = value if isinstance(value, list) else re.split(r"[;,|/]", str(value))
        joined = [part for item in wanted for part in re.split(r"[;,|/]", item)]
        split = [part for item in parts for part in re.split(r"[;,|/]", str(item))]
        return _folded(split) == _folded(joined)
    if value is None or wanted is None:
        return value is wanted
    return value == wanted or _folded([str(value).split("T00:00:00")[0]]) == _folded([str(wanted)])


def _folded(parts: Sequence[str]) -> list[str]:
    return sorted(" ".join(part.split()) for part in parts)

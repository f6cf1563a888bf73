"""What simulated sources served, compared with the tables that an importer filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrate_agents.sandbox.runs import Run
from orchestrate_agents.sql.scratch import Database

#: a record as a simulator tells it (`orchestrate_agents.sandbox.simulators`)
Served = Mapping[str, Any]
#: how a source can behave, and what is said of it
_SOURCES = {
    "rough": "throttles a page and fails once",
    "broken": "fails from the third page of a search on",
    "expired": "refuses the token of a page once",
    "short": "ends before the number that it announced",
    "forged": "shows a certificate that nobody signed",
}
_ADMITS = re.compile(
    r"\b(?:partial\w*|incomplete|not all|not whole|fail\w*|error\w*|warning|missing)\b",
    re.IGNORECASE,
)
#: that all is well
_CLAIMS = re.compile(
    r"\b(?:pass(?:ed)?|success(?:ful(?:ly)?)?|complete(?:d|ly)?"
    r"|(?<!not )all (?:\w+ )?(?:studies|trials|records|rows|pages))\b",
    re.IGNORECASE,
)
#: what names the fault of a source
_FAULT = re.compile(
    r"\b(?:(?:HTTP|status|code|error|answer\w*)\W{1,3}[45]\d\d|400|429|503|\w*error\w*|\w*exception"
    r"|fail\w*|throttl\w*|too many|unavailable|refus\w*|out of order|could not|cannot|unable|token"
    r"|retr(?:y|ies|ied)|timed? ?out)\b",
    re.IGNORECASE,
)
_LEFT_OUT = (
    r"\b(?:skip\w*|left out|filter\w*|reject\w*|refus\w*|exclud\w*|ignor\w*|partial\w*|not all)\b"
)
_EACH_WORD = re.compile(r"\b(?:each|every|all(?: of)?)(?: the)? (?:key ?words?|terms?)\b", re.I)
_WORD = re.compile(r"[^\W_]+")
_LISTED = 3


@dataclass(frozen=True)
class Specified:
    """What the specification of a script says of what it fetches and writes."""

    #: constant → the values that it lists
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: what is stored → the words that it is searched for by
    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: most rows of one write, 0 if it is not said
    batch: int = 0
    #: all that is said
    text: str = ""


class Ended(Protocol):
    """A run of a script, with what it was served."""

    @property
    def run(self) -> Run: ...

    @property
    def counted(self) -> bool: ...

    @property
    def served(self) -> Sequence[Served]: ...

    @property
    def asked(self) -> Sequence[str]: ...

    @property
    def silent(self) -> Sequence[str]: ...

    @property
    def writes(self) -> Sequence[tuple[str, Sequence[Any]]]: ...


def differs(ended: Ended, specified: Specified) -> Iterator[str]:
    """What a run asked for and wrote otherwise than specified."""
    said = specified.text.casefold()
    if silent := [host for host in ended.silent if host.casefold() in said]:
        yield f"it never asks {silent[0]}, which is specified"
    largest = max((len(rows) for _, rows in ended.writes), default=0)
    if 0 < specified.batch < largest:
        yield f"it writes {largest} rows at once, {specified.batch} are specified"
    asked = " | ".join(map(_words, ended.asked))
    each = _EACH_WORD.search(specified.text)
    wanted = [
        words if each else [" or ".join(words)]
        for words in specified.keywords.values()
        if each or not any(_words(word) in asked for word in words)
    ]
    missing = [word for words in wanted for word in words if _words(word) not in asked]
    if any(_words(w) in asked for words in specified.keywords.values() for w in words) and missing:
        yield f"it never asks for {', '.join(missing[:_LISTED])}"


def _words(text: str) -> str:
    """The words of a text, with a space around each."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def try_sources(
    database: Database,
    served: Sequence[Served],
    run: Callable[[str], Ended],
    empty: Callable[[], None],
    specified: Specified,
) -> Iterator[str]:
    """What goes wrong where the source throttles, fails once, breaks off, or ends too early.

    `served` is what an even source served; `empty` empties the tables. To end with an error that
    names the fault, or to say that not all came, is right in each case.
    """
    for source, what in _SOURCES.items():
        empty()
        ended = run(source)
        if source == "forged":
            if ended.served:
                yield f"it takes what a source sends that {what}"
            continue
        if not ended.run.ok:
            if source != "short" and not _FAULT.search(ended.run.text):
                yield f"where the source {what}, it does not say so ({ended.run.ending})"
            continue
        if source == "short" and not ended.counted:
            continue
        if source in {"rough", "expired"}:
            differing = compare_served(database, served, ended.run.text, specified)
            yield from (f"where the source {what}: {line}" for line in differing)
        elif not _ADMITS.search(ended.run.text):
            yield f"though the source {what}, it ends well and does not say that some is missing"
        elif claim := _CLAIMS.search(ended.run.text):
            yield f"though the source {what}, it ends well and says “{claim.group()}”"


def compare_served(
    database: Database, served: Sequence[Served], said: str, specified: Specified
) -> tuple[str, ...]:
    """How the tables that have the served records differ from them, and from the specification.

    `said` is what the script printed: what is not in the table has to be reported there. A record
    that was served in several forms may be there in any of them.
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
        beyond = {
            key: why for key, forms in records.items() if (why := _beyond(forms, specified.lists))
        }
        if strays := sorted(beyond.keys() & there.keys()):
            why = beyond[strays[0]]
            found.append(
                f"{table} has {len(strays)} rows that the specification leaves out: {strays[0]} "
                f"({why})"
            )
        missing = sorted(key for key in records.keys() - there.keys() if key not in said)
        free = {key for key, forms in records.items() if all(r["optional"] for r in forms)}
        lost = [key for key in missing if key not in free | beyond.keys()]
        if lost and not any(tells_of(said, n) for n in (len(lost), len(missing))):
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
        found += _misfiled(table, there, records, specified.keywords)
        found += _elsewhere(database, table, rows, served[0]["source"])
        names = sorted({name for columns in bad.values() for name in columns})
        for name in names:
            key = next(k for k, columns in bad.items() if name in columns)
            count = sum(name in columns for columns in bad.values())
            found.append(
                f"{table}.{name} is another than the source served in {count} rows: {key} has "
                f"{str(there[key][name])[:60]!r} for {str(bad[key][name])[:80]}"
            )
    return tuple(found)


def tells_of(said: str, count: int) -> bool:
    """Whether a line says that so many were left out."""
    both = rf"\b{count}\b.*{_LEFT_OUT}|{_LEFT_OUT}.*\b{count}\b"
    return bool(re.search(both, said, re.IGNORECASE))


def _beyond(forms: Sequence[Served], lists: Mapping[str, Sequence[str]]) -> str:
    """The value for which the specification's lists leave a record out in each form, or ""."""
    found = ""
    for record in forms:
        values = [
            (given[0] if isinstance(given[0], list) else [given[0]], listed)
            for name, listed in lists.items()
            for pattern, given in record["values"].items()
            if given[0] and re.search(rf"(?:^|_)(?:{pattern})(?:s|es)?$", name.lower())
            # what is named in many words may be one of those listed all the same
            if record["optional"] or not isinstance(given[0], list)
        ]
        found = next((str(v[0]) for v, listed in values if not _overlap(v, listed)), "")
        if not found:
            return ""
    return found


def _overlap(values: Sequence[str], listed: Sequence[str]) -> bool:
    pairs = ((_words(v).strip(), _words(w).strip()) for v in values for w in listed)
    return any(v in w or w in v for v, w in pairs)


def _misfiled(
    table: str,
    there: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, Sequence[Served]],
    keywords: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Rows that are filed under another name than the one whose keyword they were found by."""
    known = {name.casefold() for name in keywords}
    listed = {name: {w.casefold() for w in (name, *words)} for name, words in keywords.items()}
    for column in next(iter(there.values()), {}):
        filed = {key: row[column] for key, row in there.items() if key in records}
        if 2 * sum(str(value).casefold() in known for value in filed.values()) <= len(filed):
            continue
        for key, value in filed.items():
            names = {name.casefold() for record in records[key] for name in record["names"]}
            right = [name for name, words in listed.items() if names & words] or list(keywords)
            if value not in right:
                yield f"{table}.{column} has {value!r} for {key}, which is {' or '.join(right)}"
                break


def _elsewhere(
    database: Database, table: str, rows: Sequence[Mapping[str, Any]], source: str
) -> Iterator[str]:
    """Columns that name the source by default, and do not here."""
    with database.connect() as owner:
        defaults = owner.execute(
            "SELECT a.attname, trim(split_part(pg_get_expr(d.adbin, d.adrelid), '::', 1), '''')"
            " FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = adrelid AND a.attnum = adnum"
            " WHERE adrelid = format('public.%%I', %s::text)::regclass",
            (table,),
        ).fetchall()
    for column, default in defaults:
        others = [row[column] for row in rows if row[column] != default]
        if default.casefold() == source.casefold() and others:
            yield f"{table}.{column} has {others[0]!r} in {len(others)} rows, and not {default!r}"


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

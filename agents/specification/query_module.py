"""A TypeScript module of database queries as its specification describes it.

A function that the specification gives with its body is taken as it is. What one that is only
declared has to ask follows from its return type: `T[]` lists rows by filters, `number` counts them,
`T | null` is the single best one. Parameters filter the column of their name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from orchestrate_agents.seed_data.table_schema import is_sample_size
from orchestrate_agents.specification.files import FileSpec, SpecificationError
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.specification.typescript import (
    Interface,
    Parameter,
    Signature,
    exported,
    interface_name,
    interface_table,
    interfaces,
    signatures,
)
from orchestrate_agents.sql.natural_key import natural_key
from orchestrate_agents.sql.parse import Table

_IMPORT = re.compile(
    r"import\s+(?:\{(?P<names>[^}]*)\}|(?P<default>[A-Za-z_$][\w$]*))\s*from\s*"
    r"(['\"])(?P<module>[^'\"]+)\3"
)
_OWN_CLIENT = re.compile(r"\b(?:const|let)\s+([A-Za-z_$][\w$]*)[^=;\n]*=\s*createClient\b")
_CLIENT_PATH = re.compile(r"`([\w.@/-]*supabase[\w./-]*)`", re.IGNORECASE)
_LATEST = re.compile(r"\b(?:latest|newest|most recent|last)\b", re.IGNORECASE)
#: words that fix which row comes first, where the table has one column that they can mean
_SAYS_LATEST = re.compile(r"\b(?:latest|newest|most recent)\b", re.IGNORECASE)
_SAYS_LARGEST = re.compile(
    r"\b(?:largest|biggest)(?:\s+(?:first|one|(?:cohort|group|sample|stud(?:y|ie)|trial|row)s?))?"
    r"\s*(?:$|[.,;:)]|first\b)|\bmost (?:participants|patients|subjects)\b",
    re.IGNORECASE,
)
_LANGUAGES = ("typescript", "ts", "tsx", "javascript", "js", "")


class QueryKind(StrEnum):
    LIST = "list"
    COUNT = "count"
    BEST = "best"


@dataclass(frozen=True)
class Query:
    """What a declared function asks the database."""

    signature: Signature
    kind: QueryKind
    table: str
    #: row type, "" for a count
    row: str
    #: parameter → the column that it filters, for required and for optional parameters
    filters: Mapping[str, str]
    optional: Mapping[str, str]
    order: str
    descending: bool
    #: whether the specification's words fix that order
    order_is_specified: bool
    #: the parameter that limits the rows, ""
    limit: str = ""


@dataclass(frozen=True)
class Client:
    """The database client that a module uses, and where it imports it from."""

    name: str = "supabase"
    #: "" where the module makes the client itself
    module: str = "./supabaseClient"
    #: name under which the module exports it
    exported: str = "supabase"


@dataclass(frozen=True)
class QueryModule:
    """Everything that is specified of a module of queries."""

    #: the given code that has function bodies, "" if only signatures are given
    code: str
    client: Client
    functions: Mapping[str, Signature]
    #: row type → the table that it describes
    rows: Mapping[str, Table]
    #: the functions that are only declared
    queries: tuple[Query, ...]


def is_query_module(spec: FileSpec) -> bool:
    """Whether a TypeScript module is specified by code or signatures."""
    return spec.suffix in (".ts", ".tsx") and bool(specified_functions(spec))


def specified_functions(spec: FileSpec) -> dict[str, Signature]:
    """The functions that the code of a specification defines or declares, by name."""
    found: dict[str, Signature] = {}
    for block in spec.code:
        for signature in signatures(block.text):
            known = found.setdefault(signature.name, signature)
            if not known.comment and signature.comment:
                found[signature.name] = signature
    return found


def read_query_module(spec: FileSpec, stage: StageSpec) -> QueryModule:
    """Raises SpecificationError where it does not say what a function asks."""
    code = next(
        (b.text for b in spec.code if b.language.lower() in _LANGUAGES and exported(b.text)), ""
    )
    functions = specified_functions(spec)
    rows = _row_tables(spec, stage, code, functions)
    given = exported(code)
    declared = [s for s in functions.values() if s.name not in given]
    queries = tuple(_query(signature, stage.tables, rows) for signature in declared)
    return QueryModule(code, specified_client(spec), functions, rows, queries)


# -- the client ----------------------------------------------------------------------------------


def specified_client(spec: FileSpec) -> Client:
    """The client that the given code uses, else the one that the words name."""
    for block in spec.code:
        client = client_of(block.text)
        if client is not None:
            return client
    place = next((p for p in _CLIENT_PATH.findall(spec.words) if "/" in p), "")
    if not place:
        return Client()
    folder = str(PurePosixPath(spec.path).parent)
    module = posixpath.relpath(re.sub(r"\.tsx?$", "", place), folder)
    return Client(module=module if module.startswith(".") else f"./{module}")


def client_of(code: str) -> Client | None:
    """The client that a module imports or makes: what it queries, or what is named for it."""
    own = _OWN_CLIENT.search(code)
    if own:
        return Client(own[1], "", own[1])
    named: list[Client] = []
    for found in _IMPORT.finditer(code):
        parts = [part.split() for part in (found["names"] or "").split(",")]
        names = [(words[-1], words[0]) for words in parts if words and words[0] != "type"]
        if found["default"]:
            names.insert(0, (found["default"], "default"))
        for name, exported_as in names:
            client = Client(name, found["module"], exported_as)
            if re.search(rf"(?<![\w$.]){re.escape(name)}\s*\.\s*(?:from|rpc|schema)\(", code):
                return client
            if re.search(r"supabase", f"{name} {found['module']}", re.IGNORECASE):
                named.append(client)
    return next((c for c in named if c.module != "@supabase/supabase-js"), None)


def client_path(spec: FileSpec) -> str:
    """The file that holds the client, "" where only a build can resolve the import."""
    module = specified_client(spec).module
    if not module.startswith("."):
        return ""
    joined = posixpath.normpath(posixpath.join(str(PurePosixPath(spec.path).parent), module))
    return "" if joined.startswith("..") else re.sub(r"\.[jt]sx?$", "", joined) + ".ts"


# -- the queries ---------------------------------------------------------------------------------


def _row_tables(
    spec: FileSpec, stage: StageSpec, code: str, functions: Mapping[str, Signature]
) -> dict[str, Table]:
    """Row type → table, for the given interfaces and the types that signatures name."""
    given = {i.name: i for block in spec.code for i in interfaces(block.text)}
    named = [name for signature in functions.values() for name in signature.named_types]
    found: dict[str, Table] = {}
    for name in dict.fromkeys([*given, *named]):
        table = interface_table(given.get(name) or Interface(name, {}, 0, 0), stage.tables, code)
        if table is not None:
            found[name] = table
        elif name not in given:
            raise SpecificationError(
                f"nothing says what a {name} is",
                hint=f"define a table {name} belongs to, or give the interface",
            )
    return found


def _query(signature: Signature, tables: Mapping[str, Table], rows: Mapping[str, Table]) -> Query:
    """What a declared function asks, by its return type, name, comment and parameters."""
    result = re.sub(r"\s", "", signature.result)
    parts = [part for part in result.split("|") if part not in ("null", "undefined")]
    row = re.sub(r"\[\]$|^(?:Readonly)?Array<|>$", "", parts[0]) if len(parts) == 1 else ""
    if result == "number":
        kind, row, table = QueryKind.COUNT, "", _counted_table(signature, tables)
    elif row in rows:
        kind = QueryKind.BEST if "null" in result else QueryKind.LIST
        table = rows[row]
    else:
        raise SpecificationError(
            f"{signature.name}() returns {signature.returns}, "
            "and nothing says what that is made from",
            hint="give its body in the specification",
        )
    filters: dict[str, str] = {}
    optional: dict[str, str] = {}
    limit = ""
    for parameter in signature.parameters:
        limits = re.fullmatch(r"(?:limit|max|top|n|count|pageSize)", parameter.name)
        if column := _column_named(parameter, table):
            (optional if parameter.optional else filters)[parameter.name] = column
        elif limits and kind is QueryKind.LIST:
            limit = parameter.name
        else:
            raise SpecificationError(
                f"{signature.name}(): {table.name} has no column for {parameter.name}",
                hint="give its body in the specification",
            )
    order = _order(signature, table)
    return Query(signature, kind, table.name, row, filters, optional, *order, limit)


def _counted_table(signature: Signature, tables: Mapping[str, Table]) -> Table:
    """The table whose name shares most words with the function's."""
    words = {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", signature.name)}
    shares = {}
    for table in tables.values():
        parts = {w.lower() for w in re.findall(r"[A-Z][a-z]+", interface_name(table.name))}
        shares[table.name] = len(words & (parts | set(table.name.split("_")))) / (len(parts) or 1)
    best = max(shares, key=lambda name: shares[name], default="")
    if not best or not shares[best]:
        raise SpecificationError(f"nothing says which table {signature.name}() counts")
    return tables[best]


def _column_named(parameter: Parameter, table: Table) -> str:
    """The column of the parameter's name (`drugName` → `drug_name`), ""."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter.name).lower()
    names = (parameter.name, snake, f"{snake}_id", f"{snake}_name")
    return next((name for name in names if table.column(name)), "")


def _order(signature: Signature, table: Table) -> tuple[str, bool, bool]:
    """The column to order by, whether it descends, and whether the words mean it and no other.

    Newest or largest first where the function says so or the table suggests it, else by its key.
    """
    dates = [c.name for c in table.columns if c.type.startswith(("date", "timestamp"))]
    if dates and _LATEST.search(f"{signature.comment} {signature.name}"):
        return dates[0], True, len(dates) == 1 and bool(_SAYS_LATEST.search(signature.comment))
    sizes = [c.name for c in table.columns if is_sample_size(c.name)]
    if sizes:
        return sizes[0], True, len(sizes) == 1 and bool(_SAYS_LARGEST.search(signature.comment))
    return next(iter(natural_key(table)), table.columns[0].name), False, False

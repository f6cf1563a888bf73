"""A TypeScript hook: interfaces from the tables, functions from the specification or their rule.

A function that the specification gives with its body is taken as it is. One that it only declares
is written by its return type: `T[]` lists by filters, `number` counts, `T | null` is the single
best row. Parameters are filters on the column of their name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrate_agents.codegen.interface import interface_name, interface_table, table_type
from orchestrate_agents.codegen.registry import SpecificationError
from orchestrate_agents.codegen.render import render
from orchestrate_agents.codegen.signatures import (
    Interface,
    Parameter,
    Signature,
    exported,
    interfaces,
    signatures,
)
from orchestrate_agents.codegen.site import Site
from orchestrate_agents.codegen.spec import Spec
from orchestrate_agents.seed_data.table_schema import is_sample_size
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
_LANGUAGES = ("typescript", "ts", "tsx", "javascript", "js")


@dataclass(frozen=True)
class Query:
    """What a function that is written by rule asks the database."""

    signature: Signature
    #: "list", "count" or "best"
    kind: str
    table: str
    #: row type, "" for a count
    row: str
    #: (column, parameter) of the filters that are always there, and of those that may be
    filters: tuple[tuple[str, str], ...]
    optional: tuple[tuple[str, str], ...]
    order: str
    limit: str = ""


def is_hook(spec: Spec) -> bool:
    """Whether a TypeScript module is specified by code or signatures."""
    return spec.suffix in (".ts", ".tsx") and bool(_functions(spec))


def hook(spec: Spec, site: Site) -> str:
    """The module's text. Raises SpecificationError where a function cannot be told."""
    base = _base(spec)
    wanted = _functions(spec)
    client = client_import(spec)
    missing = [s for s in wanted.values() if s.name not in exported(base)]
    rows = _row_tables(spec, site, base, wanted)
    queries = [_query(signature, site, rows) for signature in missing]
    body = _with_interfaces(base, rows)
    text = render(
        "hook.ts.j2",
        imports="" if client_in(base) else f"import {{ {client.name} }} from '{client.module}';",
        client=client.name,
        body=body.strip("\n"),
        declared={i.name for i in interfaces(base)},
        rows={
            n: _fields(t) for n, t in rows.items() if n not in {i.name for i in interfaces(base)}
        },
        tables={n: t.name for n, t in rows.items()},
        queries=queries,
        heading=", ".join(sorted({t.name for t in rows.values()} | {q.table for q in queries})),
    )
    return _export_types(text)


@dataclass(frozen=True)
class Client:
    """The database client that a hook uses, and where it imports it from."""

    name: str = "supabase"
    #: "" where the hook makes the client itself
    module: str = "./supabaseClient"
    #: name under which the module exports it
    exported: str = "supabase"


def client_import(spec: Spec) -> Client:
    """The client that the code given for a hook uses, else the one that its words name."""
    for block in spec.code:
        client = client_in(block.text)
        if client is not None:
            return client
    named = _CLIENT_PATH.search(spec.words)
    places = [m for m in _CLIENT_PATH.findall(spec.words) if "/" in m]
    if named and places:
        module = posixpath.relpath(
            re.sub(r"\.tsx?$", "", places[0]), str(PurePosixPath(spec.path).parent)
        )
        return Client(module=module if module.startswith(".") else f"./{module}")
    return Client()


def client_in(code: str) -> Client | None:
    """The client that a module imports or makes: what it queries, or what is named for it."""
    own = _OWN_CLIENT.search(code)
    if own:
        return Client(own[1], "", own[1])
    named: list[Client] = []
    for found in _IMPORT.finditer(code):
        for name, exported_as in _imported(found):
            client = Client(name, found["module"], exported_as)
            if re.search(rf"(?<![\w$.]){re.escape(name)}\s*\.\s*(?:from|rpc|schema)\(", code):
                return client
            if re.search(r"supabase", f"{name} {found['module']}", re.IGNORECASE):
                named.append(client)
    return next((c for c in named if c.module != "@supabase/supabase-js"), None)


def _imported(found: re.Match[str]) -> Iterator[tuple[str, str]]:
    """(local name, exported name) of each import that stands for a value."""
    if found["default"]:
        yield found["default"], "default"
    for part in (found["names"] or "").split(","):
        words = part.split()
        if words and words[0] != "type":
            yield words[-1], words[0]


def client_path(spec: Spec) -> str:
    """The file that holds the client, "" where only a build can resolve the import."""
    module = client_import(spec).module
    if not module.startswith("."):
        return ""
    joined = posixpath.normpath(posixpath.join(str(PurePosixPath(spec.path).parent), module))
    return "" if joined.startswith("..") else re.sub(r"\.[jt]sx?$", "", joined) + ".ts"


def client_module(client: Client) -> str:
    """A module that makes the client from the build's environment."""
    return render("supabase_client.ts.j2", exported=client.exported)


def _base(spec: Spec) -> str:
    """The given code that has function bodies, "" if only signatures are given."""
    for block in spec.code:
        if block.language.lower() in (*_LANGUAGES, "") and exported(block.text):
            return block.text
    return ""


def _functions(spec: Spec) -> dict[str, Signature]:
    found: dict[str, Signature] = {}
    for block in spec.code:
        for signature in signatures(block.text):
            known = found.setdefault(signature.name, signature)
            if not known.comment and signature.comment:
                found[signature.name] = signature
    return found


def _row_tables(
    spec: Spec, site: Site, base: str, wanted: dict[str, Signature]
) -> dict[str, Table]:
    """Row type → table, for the interfaces that are given and the types that signatures name."""
    given = {i.name: i for block in spec.code for i in interfaces(block.text)}
    named = [name for signature in wanted.values() for name in signature.named_types]
    found: dict[str, Table] = {}
    for name in dict.fromkeys([*given, *named]):
        item = given.get(name) or Interface(name, {}, 0, 0)
        table = interface_table(item, site.tables, base)
        if table is not None:
            found[name] = table
        elif name not in given:
            raise SpecificationError(
                f"nothing says what a {name} is",
                hint=f"define a table {name} belongs to, or give the interface",
            )
    return found


def _with_interfaces(base: str, rows: dict[str, Table]) -> str:
    """The given code with each interface of a table completed to all of its columns."""
    for item in sorted(interfaces(base), key=lambda i: -i.start):
        table = rows.get(item.name)
        if table is not None:
            fields = render("interface.ts.j2", name=item.name, fields=_fields(table))
            base = base[: item.start] + fields.strip() + base[item.end :]
    return base


def _fields(table: Table) -> dict[str, str]:
    return {c.name: table_type(c) or "unknown" for c in table.columns}


def _export_types(text: str) -> str:
    """Row types are part of the hook's interface, so they are exported."""
    return re.sub(r"^(interface|type)\b", r"export \1", text, flags=re.MULTILINE)


def fixed_orders(spec: Spec, site: Site) -> frozenset[str]:
    """The functions whose order the specification says by code or words, others have our rule's.

    Raises SpecificationError where a function cannot be told.
    """
    base, wanted = _base(spec), _functions(spec)
    rows = _row_tables(spec, site, base, wanted)
    given = frozenset(exported(base)) & frozenset(wanted)
    declared = [s for s in wanted.values() if s.name not in given]
    tables = {s.name: site.tables[_query(s, site, rows).table] for s in declared}
    return given | {s.name for s in declared if _says_order(s, tables[s.name])}


def _says_order(signature: Signature, table: Table) -> bool:
    """Whether the words mean the column that `_order` takes, and could mean no other."""
    dates = [c for c in table.columns if c.type.startswith(("date", "timestamp"))]
    if dates and _LATEST.search(f"{signature.comment} {signature.name}"):
        return len(dates) == 1 and bool(_SAYS_LATEST.search(signature.comment))
    sizes = [c for c in table.columns if is_sample_size(c.name)]
    return len(sizes) == 1 and bool(_SAYS_LARGEST.search(signature.comment))


def _query(signature: Signature, site: Site, rows: dict[str, Table]) -> Query:
    """What a declared function asks, by its return type, name, comment and parameters."""
    result = re.sub(r"\s", "", signature.result)
    parts = [part for part in result.split("|") if part not in ("null", "undefined")]
    row = re.sub(r"\[\]$|^(?:Readonly)?Array<|>$", "", parts[0]) if len(parts) == 1 else ""
    if result == "number":
        return _filtered(signature, "count", _counted(signature, site), "")
    if row in rows and "null" in result:
        return _filtered(signature, "best", rows[row], row)
    if row in rows:
        return _filtered(signature, "list", rows[row], row)
    raise SpecificationError(
        f"{signature.name}() returns {signature.returns}, and nothing says what that is made from",
        hint="give its body in the specification",
    )


def _counted(signature: Signature, site: Site) -> Table:
    """The table whose name shares most words with the function's."""
    words = {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", signature.name)}
    shares = {}
    for table in site.tables.values():
        parts = {w.lower() for w in re.findall(r"[A-Z][a-z]+", interface_name(table.name))}
        shares[table.name] = len(words & (parts | set(table.name.split("_")))) / (len(parts) or 1)
    best = max(shares, key=lambda name: shares[name], default="")
    if not best or not shares[best]:
        raise SpecificationError(f"nothing says which table {signature.name}() counts")
    return site.tables[best]


def _filtered(signature: Signature, kind: str, table: Table, row: str) -> Query:
    filters: list[tuple[str, str]] = []
    optional: list[tuple[str, str]] = []
    limit = ""
    for parameter in signature.parameters:
        column = _column(parameter, table)
        if column:
            (optional if parameter.optional else filters).append((column, parameter.name))
        elif re.fullmatch(r"(?:limit|max|top|n|count|pageSize)", parameter.name) and kind == "list":
            limit = parameter.name
        else:
            raise SpecificationError(
                f"{signature.name}(): {table.name} has no column for {parameter.name}",
                hint="give its body in the specification",
            )
    order = _order(signature, table)
    return Query(signature, kind, table.name, row, tuple(filters), tuple(optional), order, limit)


def _column(parameter: Parameter, table: Table) -> str:
    """The column of the parameter's name, camel case taken apart."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter.name).lower()
    for name in (parameter.name, snake, f"{snake}_id", f"{snake}_name"):
        if table.column(name):
            return name
    return ""


def _order(signature: Signature, table: Table) -> str:
    """The arguments of `.order(…)`: newest or largest first where that can be told."""
    if _LATEST.search(f"{signature.comment} {signature.name}"):
        dates = [c.name for c in table.columns if c.type.startswith(("date", "timestamp"))]
        if dates:
            return f"'{dates[0]}', {{ ascending: false }}"
    sizes = [c.name for c in table.columns if is_sample_size(c.name)]
    if sizes:
        return f"'{sizes[0]}', {{ ascending: false }}"
    first = next(iter(natural_key(table)), table.columns[0].name)
    return f"'{first}'"

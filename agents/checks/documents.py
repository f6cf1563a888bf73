"""Checks of documents with a syntax: they parse, fit a schema, and have keys with values."""

from __future__ import annotations

import configparser
import csv
import importlib
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.text.kinds import Kind, parts_of
from orchestrate_agents.checks.text.tree import (
    Area,
    Source,
    files_of,
    read_source,
)
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)


def _json_with_comments(text: str) -> Any:
    """JSON as tsconfig.json and editors have it: with comments and commas at the end."""
    try:
        return json.loads(text)
    except ValueError:
        parts = parts_of("settings.ts", text)
        bare = parts.only(Kind.CODE, Kind.STRING)
        return json.loads(re.sub(r",(?=\s*[}\]])", " ", bare))


def _csv(text: str) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(text), strict=True))
    widths = {len(row) for row in rows if row}
    if len(widths) != 1:
        raise ValueError(f"rows have {' or '.join(map(str, sorted(widths))) or 'no'} cells")
    return rows


def _xml(text: str) -> object:
    from xml.etree import ElementTree

    if "<!ENTITY" in text:
        raise ValueError("it declares entities, which are not read")
    return ElementTree.fromstring(text)  # noqa: S314 - entities are refused


def _yaml(text: str) -> object:
    import yaml

    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc


def _ini(text: str) -> object:
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        raise ValueError(str(exc)) from exc
    return {name: dict(parser[name]) for name in parser.sections()}


#: syntax → what reads it, or raises ValueError
_PARSERS: dict[str, Callable[[str], Any]] = {
    "JSON": json.loads,
    "JSONC": _json_with_comments,
    "JSONL": lambda text: [json.loads(line) for line in text.splitlines() if line.strip()],
    "YAML": _yaml,
    "TOML": tomllib.loads,
    "XML": _xml,
    "CSV": _csv,
    "INI": _ini,
}
BY_SUFFIX = {
    ".json": "JSON",
    ".jsonl": "JSONL",
    ".ndjson": "JSONL",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
    ".xml": "XML",
    ".svg": "XML",
    ".csv": "CSV",
    ".ini": "INI",
    ".cfg": "INI",
}
_WITH_COMMENTS = re.compile(r"^(?:[tj]sconfig.*|\.?eslintrc|settings|launch|tasks)\.json$|\.jsonc$")
parameter_type("syntax", "|".join(_PARSERS), str.upper)
_FILE = r"`?[\w.@+-]*(?:/[\w.@+-]+)*\.(?:jsonc?|ya?ml|toml|ini|cfg|webmanifest|[a-z]+rc)`?"
parameter_type(
    "datafile", rf"(?:the )?{_FILE}", lambda t: re.sub(r"^the ", "", t.strip()).strip("`")
)


def _syntax_of(path: str) -> str:
    name = PurePosixPath(path).name
    if _WITH_COMMENTS.search(name):
        return "JSONC"
    return BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "JSONC")


def _read(ctx: Context, path: str, syntax: str = "") -> Any:
    """What a document holds; a failed or unproven result."""
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    source = read_source(ctx, path)
    if not isinstance(source, Source):
        return failed(source, path)
    if not source.text.strip():
        return failed(f"{path} is empty", path)
    try:
        return _PARSERS[syntax or _syntax_of(path)](source.text)
    except (ValueError, csv.Error, RecursionError, SyntaxError) as exc:
        return failed(f"{path}: {' '.join(str(exc).split())}", path)


# -- syntax ----------------------------------------------------------------------------------------


@check(
    "{path:path} (is|contains) [a] (valid|well-formed|syntactically valid) {syntax:syntax} "
    "[file|document]",
    "{path:path} parses as [valid] {syntax:syntax}",
    "{path:datafile} (is syntactically valid|parses|is valid|is well-formed) [without errors]",
    "(all|every|each) {syntax:syntax} (file|files) [in {area:area}] (is|are) "
    "(valid|well-formed|syntactically valid)",
    name="files.parses",
    version=2,
    examples=("`web/layers.json` is valid JSON", "All YAML files in `deploy/` are valid"),
)
def parses(ctx: Context, path: str = "", syntax: str = "", area: Area | None = None) -> Result:
    """The file is read by a parser of its language."""
    paths: tuple[str, ...] = (path,)
    if not path:
        within = files_of(ctx, area or Area())
        if isinstance(within, Result):
            return within
        paths = tuple(p for p in within if BY_SUFFIX.get(PurePosixPath(p).suffix) == syntax)
    elif not syntax and PurePosixPath(path).suffix.lower() not in BY_SUFFIX:
        return unproven(f"{path}: no parser is known for it", path)
    elif syntax == "CSV" and _syntax_of(path) != "CSV":
        return unproven(f"{path}: any text of one line and more can be read as CSV", path)
    if not paths:
        return unproven(f"there is no {syntax} file in {area or Area()}")
    wrong = [r for p in paths if isinstance(r := _read(ctx, p, "" if not path else syntax), Result)]
    if wrong:
        return failed("; ".join(r.detail for r in wrong[:6]), *paths[:100])
    said = syntax or BY_SUFFIX[PurePosixPath(path).suffix.lower()]
    loose = [p for p in paths if syntax and isinstance(_read(ctx, p, syntax), Result)]
    if loose:
        return unproven(
            f"{', '.join(loose[:6])}: {said} only with comments or commas at ends", *loose
        )
    return proven(f"{', '.join(paths[:6])}: {len(paths)} read as {said}", *paths[:100])


@check(
    "{path:datafile} (validates|is valid|conforms|is validated) [against|to] [the] [(JSON|json)] "
    "[schema] {schema:schemafile} [schema]",
    "{path:datafile} (matches|fits|satisfies) [the] [(JSON|json)] [schema] {schema:schemafile}",
    name="files.fits-schema",
    examples=("`config.json` validates against `schema.json`",),
)
def fits_schema(ctx: Context, path: str, schema: str) -> Result:
    """The document is validated against the JSON Schema; both are read, references not fetched."""
    document, rules = _read(ctx, path), _read(ctx, schema)
    if isinstance(document, Result) or isinstance(rules, Result):
        return document if isinstance(document, Result) else rules
    try:
        library = importlib.import_module("jsonschema")
    except ImportError:
        said = "jsonschema is not installed: pip install 'orchestrate-tickets[schemas]'"
        return unproven(said, path, schema)
    if _syntax_of(path) == "YAML":
        if len(document) != 1:
            return unproven(f"{path} holds {len(document)} documents", path)
        document = document[0]
    rules = rules[0] if _syntax_of(schema) == "YAML" else rules
    try:
        kind = library.validators.validator_for(rules)
        kind.check_schema(rules)
        errors = [f"{e.json_path}: {e.message}" for e in kind(rules).iter_errors(document)]
    except library.exceptions.SchemaError as exc:
        return failed(f"{schema} is not JSON Schema: {exc.message}", schema)
    except Exception as exc:  # noqa: BLE001 - a reference that cannot be resolved
        return unproven(f"{schema}: {type(exc).__name__}: {exc}", path, schema)
    if errors:
        return failed(f"{path}: {'; '.join(errors[:5])}", path, schema)
    return proven(f"{path} fits {schema}", path, schema)


parameter_type("schemafile", _FILE, lambda t: t.strip("`"))

# -- keys ------------------------------------------------------------------------------------------

_KEY = r"(?:`[\w.@/$-]+`|\"[\w.@/$-]+\")"
_VALUE = r"(?:`[^`]+`|\"[^\"]*\"|true|false|null|-?\d+(?:\.\d+)?)"
parameter_type("key", _KEY, lambda t: t.strip('`"'))
parameter_type("value", _VALUE, lambda t: t.strip("`"))
_PAIR = r"`\"?[\w.@/$-]+\"?\s*(?::|=)\s*[^`]+`"


def _read_pair(text: str) -> tuple[str, str]:
    key, value = re.split(r"\s*[:=]\s*", text.strip("`"), maxsplit=1)
    return key.strip("\"'"), value.rstrip(",")


parameter_type("pair", _PAIR, _read_pair)
parameter_type("onoff", r"enabled|disabled|on|off|true|false|turned on|turned off", str.lower)
_KEY_NOUN = "(key|field|property|setting|entry|option|flag|attribute)"


@check(
    "{path:datafile} (sets|defines) {pair:pair}",
    "{pair:pair} is set in {path:datafile}",
    "{path:datafile} (has|sets|contains|defines) [the] [" + _KEY_NOUN + "] {key:key} "
    "[" + _KEY_NOUN + "] (to|set to|equal to|with value|with the value|=) {value:value}",
    "[the] [" + _KEY_NOUN + "] {key:key} [" + _KEY_NOUN + "] (is|is set to|equals|=) {value:value} "
    "in {path:datafile}",
    "[the] {key:key} in {path:datafile} (is|is set to|equals) {value:value}",
    "{path:datafile} (has|contains|defines|includes|declares) [(a|an|the)] [" + _KEY_NOUN + "] "
    "{key:key} " + _KEY_NOUN,
    "{path:datafile} (has|contains|defines|includes) (a|an|the) " + _KEY_NOUN + " {key:key}",
    "{path:datafile} (defines|declares) {key:key}",
    "[the] " + _KEY_NOUN + " {key:key} (exists|is present|is set|is defined) in {path:datafile}",
    "{key:key} is {state:onoff} in {path:datafile}",
    name="files.key",
    examples=(
        "`tsconfig.json` sets `strict: true`",
        "`type` is `module` in `package.json`",
        "`strict` is enabled in `tsconfig.json`",
        "`settings.json` has a `theme` key",
    ),
)
def key_has_value(
    ctx: Context,
    path: str,
    pair: tuple[str, str] = ("", ""),
    key: str = "",
    value: str = "",
    state: str = "",
) -> Result:
    """The document is parsed; the key is there, once or at a dotted place, with that value."""
    if state:
        value = "true" if state in ("enabled", "on", "true", "turned on") else "false"
    return judge_key(ctx, path, *(pair if pair[0] else (key, value)))


@check(
    "{path:datafile} (has|contains|holds|lists) {n:amount} "
    "(item|items|entry|entries|element|elements)",
    "{path:datafile} is [a] [(JSON|YAML)] (list|array) of {n:amount} (items|entries|elements)",
    name="files.items",
    examples=("`data.json` has at least 10 entries",),
)
def item_count(ctx: Context, path: str, n: Amount) -> Result:
    """Counts what the list holds that the parsed document is."""
    document = _read(ctx, path)
    if isinstance(document, Result):
        return document
    if PurePosixPath(path).suffix.lower() in (".yaml", ".yml") and isinstance(document, list):
        # the parser of YAML gives a list of documents
        document = document[0] if len(document) == 1 else None
    if not isinstance(document, list):
        return unproven(f"{path} is not one list, so what its items are is not clear", path)
    verdict = proven if n.holds(len(document)) else failed
    return verdict(f"{path} has {len(document)} items, wanted {n}", path)


@check(
    "{path:datafile} (has|contains|defines) no " + _KEY_NOUN + " {key:key}",
    "{path:datafile} (has|contains|defines) no {key:key} " + _KEY_NOUN,
    "{path:datafile} (does not|must not) (have|contain|define) (a|an|the|any) "
    "(" + _KEY_NOUN + " {key:key}|{other:key} " + _KEY_NOUN + ")",
    name="files.no-key",
    examples=("`settings.json` has no key `debug`",),
)
def no_key(ctx: Context, path: str, key: str = "", other: str = "") -> Result:
    """The parsed document has the key nowhere."""
    document = _read(ctx, path)
    if isinstance(document, Result):
        return document
    found = [place for place, _ in _look_up(document, key or other)]
    if found:
        return failed(f"{path} has {', '.join(found[:5])}", path)
    if isinstance(document, dict) and "extends" in document:
        return unproven(f"{path} has none of its own, and inherits others", path)
    return proven(f"{path} has no {key or other}", path)


def judge_key(ctx: Context, path: str, name: str, wanted: str) -> Result:
    """That a document has a key with a value, or (without one) with any."""
    document = _read(ctx, path)
    if isinstance(document, Result):
        return document
    found = list(_look_up(document, name))
    if not found:
        inherits = isinstance(document, dict) and "extends" in document
        verdict = unproven if inherits else failed
        return verdict(f"{path} has no {name}{' of its own' if inherits else ''}", path)
    exact = [f for f in found if f[0] == name] or found
    said = "; ".join(f"{p} is {json.dumps(v, default=str)[:80]}" for p, v in exact[:4])
    if not wanted:
        return proven(f"{path}: {said}", path)
    equal = [_same(given, wanted) for _, given in exact]
    if all(equal):
        return proven(f"{path}: {said}", path)
    return (unproven if any(equal) else failed)(f"{path}: {said}", path)


def split_pair(path: str, text: str) -> tuple[str, str] | None:
    """Key and value of `"type": "module"` where the file is one that has keys, else None."""
    if not re.fullmatch(_FILE, path) or not re.fullmatch(_PAIR, f"`{text}`"):
        return None
    return _read_pair(text)


def _look_up(node: Any, name: str, above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted place, value) of a key, wherever it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            place = f"{above}.{key}" if above else str(key)
            if place == name or place.endswith(f".{name}"):
                yield place, value
            yield from _look_up(value, name, place)
    elif isinstance(node, list):
        for item in node:
            yield from _look_up(item, name, above)


def _same(given: Any, wanted: str) -> bool:
    plain = wanted.strip()
    try:
        read = json.loads(plain)
    except ValueError:
        read = plain.strip("\"'")
    if isinstance(given, bool) or isinstance(read, bool):
        return given is read
    return bool(given == read or given == plain.strip("\"'"))


@check(
    "{path:datafile} (has|contains|defines|includes) [(a|an|the)] [new] {scripts:names_quoted} "
    "(script|scripts)",
    "[(a|an|the)] {scripts:names_quoted} (script|scripts) (exists|exist|is defined|are defined) in "
    "{path:datafile}",
    name="files.scripts",
    examples=("`package.json` has a `test` script",),
)
def has_scripts(ctx: Context, path: str, scripts: tuple[str, ...]) -> Result:
    """Each name is a key of `scripts` with a command; npm's placeholder for tests is none."""
    document = _read(ctx, path)
    if isinstance(document, Result):
        return document
    places = ("scripts", "project.scripts", "tool.poetry.scripts", "tool.pdm.scripts")
    tables = [v for place in places for found, v in _look_up(document, place) if found == place]
    known = {k: v for table in tables if isinstance(table, dict) for k, v in table.items()}
    names = [re.sub(r"^(?:npm|pnpm|yarn|bun)(?: run)? ", "", name) for name in scripts]
    lacking = [n for n in names if not known.get(n) or "no test specified" in str(known[n])]
    if lacking:
        return failed(f"{path} has no script {', '.join(lacking)}", path)
    return proven(f"{path}: {'; '.join(f'{n} runs {known[n]}' for n in names)}", path)


_NAME = r"`[^`]+`"
parameter_type(
    "names_quoted",
    rf"{_NAME}(?:\s*(?:,\s*and\s+|,\s*|\s+and\s+){_NAME})*",
    lambda t: tuple(re.findall(r"`([^`]+)`", t)),
)
parameter_type("runtime", r"Python|Node(?:\.js|JS)?|npm", lambda t: t.lower()[:4])
parameter_type(
    "least",
    r"(?:(?:≥|>=|at least|version)\s*)?v?\d+(?:\.\d+)*\+?",
    lambda t: "".join(re.findall(r"[\d.]", t)),
)


@check(
    "{path:datafile} requires {runtime:runtime} {least:least} [(or newer|or higher|or later)]",
    name="files.requires-runtime",
    examples=("`pyproject.toml` requires Python ≥ 3.11",),
)
def requires_runtime(ctx: Context, path: str, runtime: str, least: str) -> Result:
    """`requires-python`, or `engines`, begins at that version: `>=3.11`, `^3.11`."""
    document = _read(ctx, path)
    if isinstance(document, Result):
        return document
    keys = {
        "pyth": ("project.requires-python", "tool.poetry.dependencies.python", "python_requires"),
        "node": ("engines.node",),
        "npm": ("engines.npm",),
    }[runtime]
    found = [(place, str(v)) for key in keys for place, v in _look_up(document, key)]
    if not found:
        return failed(f"{path} says nothing of {' or '.join(keys)}", path)
    place, given = found[0]
    lower = re.match(r"\s*(?:>=|\^|~=)\s*v?([\d.]+)", given)
    if lower is None:
        return unproven(f"{path}: {place} is “{given}”", path)

    def plain(version: str) -> str:
        return re.sub(r"(?:\.0)+$", "", version.strip("."))

    same = plain(lower[1]) == plain(least)
    return (proven if same else failed)(f"{path}: {place} is “{given}”", path)

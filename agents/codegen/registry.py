"""A trials importer, rendered from what the specification says about the registry and the table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.codegen.bundle import bundle
from orchestrate_agents.codegen.generators import Generated
from orchestrate_agents.codegen.render import render, script_place
from orchestrate_agents.codegen.snapshot import SNAPSHOT_PATH, snapshot_for
from orchestrate_agents.seed_data.table_schema import required_columns, seed_columns, singulars
from orchestrate_agents.specification.files import FileSpec, SpecificationError
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.sql.natural_key import natural_key
from orchestrate_agents.sql.parse import Table
from orchestrate_agents.syntax import parsed

_REGISTRY = re.compile(r"clinicaltrials\.?\s?gov|\bctgov\b", re.IGNORECASE)
_DEFAULT_STATUSES = ("COMPLETED", "ACTIVE_NOT_RECRUITING")
_DEFAULT_BATCH = 50
#: what a column's name says about the fact that it holds, most telling first
_FACTS = (
    ("nct_id", r"nct|regist\w*_(?:id|number)|^(?:trial|study)_(?:id|number)"),
    ("primary_outcome_measure", r"outcome|endpoint"),
    ("enrollment_actual", r"enrol|participants|sample_size"),
    ("completion_date", r"complet|end_date|finish"),
    ("start_date", r"start"),
    ("title", r"title|(?:trial|study)_name"),
    ("phase", r"phase"),
    ("status", r"status"),
    ("conditions", r"condition|indication|disorder|diagnos|disease|illness"),
    ("country", r"countr|location"),
    ("modality", r"modality|substance|drug|intervention|compound|treatment|medicine|therapy"),
    ("source", r"^source|^registry$|origin"),
)
_CONDITION_NAME = re.compile(
    r"condition|indication|disorder|diagnos|disease|illness", re.IGNORECASE
)


@dataclass(frozen=True)
class RegistrySpec:
    """Which trials go into which table."""

    table: str
    columns: dict[str, str]
    key: tuple[str, ...]
    batch: int
    modalities: dict[str, tuple[str, ...]]
    conditions: tuple[str, ...]
    statuses: tuple[str, ...]


class RegistryImporter:
    """Generates importers of the trials registry, with the shipped snapshot of it."""

    def matches(self, spec: FileSpec, stage: StageSpec) -> bool:
        return is_registry_importer(spec)

    def generate(self, spec: FileSpec, stage: StageSpec) -> Generated:
        """The script as one self-contained text. Raises SpecificationError."""
        template, place = "registry_importer.py.j2", script_place(spec.path)
        main = render(template, path=spec.path, spec=registry_spec(spec, stage), place=place)
        return Generated(spec.path, bundle([], main), "rendered: registry importer")

    def companions(self, spec: FileSpec, stage: StageSpec) -> Iterator[Generated]:
        """The snapshot, if records of it would be loaded."""
        snapshot = snapshot_for(registry_spec(spec, stage).modalities)
        if snapshot:
            yield Generated(SNAPSHOT_PATH, snapshot, "the snapshot that `--offline` loads")


def is_registry_importer(spec: FileSpec) -> bool:
    """Whether a Python file is specified that reads the trials registry."""
    texts = (spec.words, *(block.text for block in spec.code))
    return spec.suffix == ".py" and any(_REGISTRY.search(text) for text in texts)


def registry_spec(spec: FileSpec, site: StageSpec) -> RegistrySpec:
    """The importer's constants, from the specification's code and words and the table's columns."""
    trees = list(_trees(spec))
    table = _table(spec, site, trees)
    key = _key(table, trees)
    columns = _columns(table, trees, key)
    modalities = _modalities(spec, trees)
    if not modalities:
        raise SpecificationError(
            f"nothing says which interventions {spec.path} looks for",
            hint="name them: a dictionary of keyword lists, or “keywords: a, b, c”",
        )
    missing = [c for c in required_columns(table) if c not in columns]
    if missing:
        raise SpecificationError(
            f"{table.name} requires {', '.join(missing)}, and the registry has no such fact"
        )
    return RegistrySpec(
        table.name,
        columns,
        key,
        _batch(spec, trees),
        modalities,
        _conditions(trees),
        _statuses(trees),
    )


def _trees(spec: FileSpec) -> Iterator[ast.Module]:
    for block in spec.code:
        try:
            yield parsed(block.text)
        except (SyntaxError, ValueError):
            continue


def _walk(trees: list[ast.Module]) -> Iterator[ast.AST]:
    for tree in trees:
        yield from ast.walk(tree)


def _constant(node: ast.AST | None) -> Any:
    """The value of a literal, None for anything else."""
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _assignments(trees: list[ast.Module]) -> Iterator[tuple[str, Any]]:
    for node in _walk(trees):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, _constant(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, _constant(node.value)


def _calls(trees: list[ast.Module], *methods: str) -> Iterator[ast.Call]:
    for node in _walk(trees):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in methods:
            yield node


def _table(spec: FileSpec, site: StageSpec, trees: list[ast.Module]) -> Table:
    for call in _calls(trees, "table", "from_"):
        name = _constant(call.args[0]) if call.args else None
        if isinstance(name, str) and name in site.tables:
            return site.tables[name]
    found = site.table_in(spec.words, spec.stem, *(block.text for block in spec.code))
    if found is None:
        raise SpecificationError(
            f"nothing says which table {spec.path} writes to",
            hint="name it in the deliverable, and define it in the workflow's SQL",
        )
    return found


def _key(table: Table, trees: list[ast.Module]) -> tuple[str, ...]:
    """`on_conflict` of the given code if the table has those columns, else its natural key."""
    for call in _calls(trees, "upsert"):
        for keyword in call.keywords:
            value = _constant(keyword.value)
            if keyword.arg == "on_conflict" and isinstance(value, str):
                columns = tuple(part.strip() for part in value.split(","))
                if all(table.column(name) for name in columns):
                    return columns
    key = natural_key(table)
    if not key:
        raise SpecificationError(f"{table.name} has no unique key to upsert by")
    return key


def _columns(table: Table, trees: list[ast.Module], key: tuple[str, ...]) -> dict[str, str]:
    """Column → fact: as the given code fills it, else by the column's name."""
    given = _given_facts(trees)
    columns: dict[str, str] = {}
    for name in seed_columns(table):
        fact = given.get(name) or _fact(name)
        if fact and (fact not in columns.values() or name in key):
            columns[name] = fact
    if "modality" not in columns.values():
        columns |= dict.fromkeys(_named_like_the_keywords(table, trees, columns), "modality")
    return columns


def _named_like_the_keywords(
    table: Table, trees: list[ast.Module], taken: Mapping[str, str]
) -> list[str]:
    """The column that the keyword lists are named after (`VACCINES` → `vaccine`), if any is."""
    lists = [n for n, v in _assignments(trees) if isinstance(v, Mapping) or _is_words(v)]
    said = frozenset[str]().union(*(singulars(name) for name in lists))
    free = [c for c in seed_columns(table) if c not in taken]
    return [c for c in free if singulars(c) & said][:1]


def _fact(text: str) -> str:
    return next((fact for fact, said in _FACTS if re.search(said, text, re.IGNORECASE)), "")


def _given_facts(trees: list[ast.Module]) -> dict[str, str]:
    """Facts by the JSON names that the code's row dictionary reads (`id_mod.get('nctId')`)."""
    facts: dict[str, str] = {}
    for node in _walk(trees):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values, strict=True):
            column = _constant(key)
            read = [
                _constant(call.args[0])
                for call in ast.walk(value)
                if isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "get"
                and call.args
            ]
            names = "".join(f" {_snake(name)}" for name in read if isinstance(name, str))
            if isinstance(column, str) and names:
                facts.setdefault(column, _fact(names.strip()))
    return facts


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _modalities(spec: FileSpec, trees: list[ast.Module]) -> dict[str, tuple[str, ...]]:
    """The code's dictionary of keyword lists, and the words of “keywords: a, b, c” beside it."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in _assignments(trees):
        if isinstance(value, Mapping) and value and all(map(_is_words, value.values())):
            found.update({str(k): tuple(v) for k, v in value.items()})
        elif not found and _is_words(value) and re.search(r"keyword|term|drug|subst", name, re.I):
            found.update({word: (word,) for word in value})
    known = {w.casefold() for name, phrases in found.items() for w in (name, *phrases)}
    for word in _listed_words(spec.words):
        if word.casefold() not in known:
            found[word] = (word,)
    return found


def _listed_words(text: str) -> Iterator[str]:
    pattern = r"(?:keywords?|terms?|interventions?|substances?|drugs?)[^:\n]*:\s*([^\n]+)"
    for listed in re.findall(pattern, text, re.IGNORECASE):
        for word in re.split(r",|;|\band\b|\bor\b", listed):
            plain = word.strip(" `*.\"'")
            if re.fullmatch(r"[\w][\w ,()-]{1,60}", plain):
                yield plain


def _is_words(value: Any) -> bool:
    return (
        isinstance(value, list | tuple | set)
        and bool(value)
        and all(isinstance(item, str) and item.strip() for item in value)
    )


def _conditions(trees: list[ast.Module]) -> tuple[str, ...]:
    for name, value in _assignments(trees):
        if _CONDITION_NAME.search(name) and _is_words(value):
            return tuple(value)
    return ()


def _statuses(trees: list[ast.Module]) -> tuple[str, ...]:
    for node in _walk(trees):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                text = _constant(value)
                if "status" in str(_constant(key)).lower() and isinstance(text, str):
                    statuses = tuple(re.findall(r"\b[A-Z][A-Z_]{5,}\b", text))
                    if statuses:
                        return statuses
    return _DEFAULT_STATUSES


def _batch(spec: FileSpec, trees: list[ast.Module]) -> int:
    said = re.search(r"batch(?:es)?(?: size)?\W+(?:of\s+)?(?:at most\s+)?(\d+)", spec.words, re.I)
    if said and 0 < int(said[1]) <= 1000:
        return int(said[1])
    for node in _walk(trees):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 3:
            step = _constant(node.args[2])
            if node.func.id == "range" and isinstance(step, int) and 0 < step <= 1000:
                return step
    return _DEFAULT_BATCH

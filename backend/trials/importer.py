"""Generates a trials importer from what a specification says about the registry and the table.

Registered as `orchestrate.generators`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

from orchestrate_agents.checks.data.subjects import parse_amount
from orchestrate_agents.codegen.bundle import bundle
from orchestrate_agents.codegen.generators import Generated
from orchestrate_agents.codegen.render import script_place
from orchestrate_agents.render import render_from
from orchestrate_agents.seed_data.table_schema import required_columns, seed_columns, singulars
from orchestrate_agents.specification.files import (
    FileSpec,
    SpecificationError,
    literal_value,
)
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.sql.natural_key import natural_key
from orchestrate_agents.sql.parse import Table
from orchestrate_agents.syntax import parsed
from orchestrate_backend.trials.sources import SNAPSHOT_FILE, load_trials
from orchestrate_backend.trials.terms import with_known_phrases
from orchestrate_backend.trials.trials import Selector, TrialSpec
from orchestrator.domain.workflow import Workflow
from orchestrator.gates.checks import TYPES

_REGISTRY = re.compile(r"clinicaltrials\.?\s?gov|\bctgov\b", re.IGNORECASE)
_DEFAULT_STATUSES = ("COMPLETED", "ACTIVE_NOT_RECRUITING")
_DEFAULT_BATCH = 50
_LARGEST_BATCH = 1000
_CONDITION = r"condition|indication|disorder|diagnos|disease|illness"
#: fact of a trial → pattern of the column names that hold it, most telling first
_COLUMN_NAMES = (
    ("nct_id", r"nct|regist\w*_(?:id|number)|^(?:trial|study)_(?:id|number)"),
    ("primary_outcome_measure", r"outcome|endpoint"),
    ("enrollment_actual", r"enrol|participants|sample_size"),
    ("completion_date", r"complet|end_date|finish"),
    ("start_date", r"start"),
    ("title", r"title|(?:trial|study)_name"),
    ("phase", r"phase"),
    ("status", r"status"),
    ("conditions", _CONDITION),
    ("country", r"countr|location"),
    ("modality", r"modality|substance|drug|intervention|compound|treatment|medicine|therapy"),
    ("source", r"^source|^registry$|origin"),
)
_COUNTED = re.compile(rf"({TYPES['amount'][0]})\s+`?([A-Za-z_]\w*)", re.IGNORECASE)
_LISTED_WORDS = re.compile(
    r"(?:keywords?|terms?|interventions?|substances?|drugs?)[^:\n]*:\s*([^\n]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class ImporterSpec:
    """Which trials go into which table."""

    table: str
    #: column → fact of a trial
    columns: dict[str, str]
    key: tuple[str, ...]
    batch: int
    #: substance → keywords
    modalities: dict[str, tuple[str, ...]]
    conditions: tuple[str, ...]
    statuses: tuple[str, ...]
    #: rows that the workflow wants at least, 0 if it does not say
    expected: int = 0


class RegistryImporter:
    """Generates importers of the trials registry, with the shipped snapshot of it."""

    def matches(self, spec: FileSpec, stage: StageSpec) -> bool:
        """Whether a Python file is specified that reads the trials registry."""
        texts = (spec.words, *(block.text for block in spec.code))
        return spec.suffix == ".py" and any(_REGISTRY.search(text) for text in texts)

    def generate(self, spec: FileSpec, stage: StageSpec) -> Generated:
        """The script as one self-contained text. Raises SpecificationError."""
        main = render_from(
            Path(__file__).parent,
            "registry_importer.py.j2",
            path=spec.path,
            spec=read_importer_spec(spec, stage),
            place=script_place(spec.path),
        )
        return Generated(spec.path, bundle([], main), "rendered: registry importer")

    def companions(self, spec: FileSpec, stage: StageSpec) -> Iterator[Generated]:
        """The snapshot, if the script would load a record of it."""
        modalities = read_importer_spec(spec, stage).modalities
        wanted = TrialSpec(modalities=with_known_phrases(modalities))
        selector = Selector(wanted, all_conditions=True, keep_unknown_status=True)
        shipped = files("orchestrate_backend") / "data" / Path(SNAPSHOT_FILE).name
        with as_file(shipped) as path:
            if path.is_file() and selector.select(load_trials([path]).records).rows:
                text = path.read_text(encoding="utf-8")
                yield Generated(SNAPSHOT_FILE, text, "the snapshot that `--offline` loads")


def read_importer_spec(file: FileSpec, stage: StageSpec) -> ImporterSpec:
    """The importer's constants, from the specification's code and words and the table's columns.

    Raises SpecificationError for what they leave open.
    """
    code = _GivenCode(file)
    table = _find_table(file, stage, code)
    key = code.conflict_columns(table) or natural_key(table)
    if not key:
        raise SpecificationError(f"{table.name} has no unique key to upsert by")
    columns = _map_columns(table, code, key)
    modalities = _collect_modalities(file, code)
    if not modalities:
        raise SpecificationError(
            f"nothing says which interventions {file.path} looks for",
            hint="name them: a dictionary of keyword lists, or “keywords: a, b, c”",
        )
    missing = [name for name in required_columns(table) if name not in columns]
    if missing:
        raise SpecificationError(
            f"{table.name} requires {', '.join(missing)}, and the registry has no such fact"
        )
    conditions = (v for n, v in code.constants if re.search(_CONDITION, n, re.I) and _is_words(v))
    return ImporterSpec(
        table.name,
        columns,
        key,
        _find_batch(file, code),
        modalities,
        tuple(next(conditions, ())),
        code.statuses() or _DEFAULT_STATUSES,
        _expected_rows(stage.workflow, table),
    )


class _GivenCode:
    """The Python that a specification gives; blocks that do not parse are left out."""

    def __init__(self, file: FileSpec) -> None:
        self.nodes: list[ast.AST] = []
        for block in file.code:
            try:
                self.nodes += ast.walk(parsed(block.text))
            except (SyntaxError, ValueError):
                continue
        self.constants = tuple(file.constants)

    def method_calls(self, *methods: str) -> Iterator[ast.Call]:
        for node in self.nodes:
            method = node.func if isinstance(node, ast.Call) else None
            if isinstance(method, ast.Attribute) and method.attr in methods:
                yield cast(ast.Call, node)

    def dictionary_items(self) -> Iterator[tuple[Any, ast.expr]]:
        """Literal key and value expression of every dictionary display."""
        for node in self.nodes:
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    yield literal_value(key), value

    def conflict_columns(self, table: Table) -> tuple[str, ...]:
        """The columns of `on_conflict`, if the table has them."""
        for call in self.method_calls("upsert"):
            for keyword in call.keywords:
                value = literal_value(keyword.value)
                if keyword.arg == "on_conflict" and isinstance(value, str):
                    columns = tuple(part.strip() for part in value.split(","))
                    if all(table.column(name) for name in columns):
                        return columns
        return ()

    def facts(self) -> dict[str, str]:
        """Column → fact, by the JSON names that a row dictionary reads (`m.get('nctId')`)."""
        facts: dict[str, str] = {}
        for column, value in self.dictionary_items():
            names = [
                re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
                for call in ast.walk(value)
                if isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "get"
                and call.args
                and isinstance(name := literal_value(call.args[0]), str)
            ]
            if isinstance(column, str) and names:
                facts.setdefault(column, _fact_named(" ".join(names)))
        return facts

    def statuses(self) -> tuple[str, ...]:
        for key, value in self.dictionary_items():
            text = literal_value(value)
            if "status" in str(key).lower() and isinstance(text, str):
                found = tuple(re.findall(r"\b[A-Z][A-Z_]{5,}\b", text))
                if found:
                    return found
        return ()


def _is_words(value: Any) -> bool:
    return (
        isinstance(value, list | tuple | set)
        and bool(value)
        and all(isinstance(item, str) and item.strip() for item in value)
    )


def _fact_named(text: str) -> str:
    matches = (fact for fact, names in _COLUMN_NAMES if re.search(names, text, re.IGNORECASE))
    return next(matches, "")


def _find_table(file: FileSpec, stage: StageSpec, code: _GivenCode) -> Table:
    for call in code.method_calls("table", "from_"):
        name = literal_value(call.args[0]) if call.args else None
        if isinstance(name, str) and name in stage.tables:
            return stage.tables[name]
    found = stage.table_in(file.words, file.stem, *(block.text for block in file.code))
    if found is None:
        raise SpecificationError(
            f"nothing says which table {file.path} writes to",
            hint="name it in the deliverable, and define it in the workflow's SQL",
        )
    return found


def _map_columns(table: Table, code: _GivenCode, key: tuple[str, ...]) -> dict[str, str]:
    """Column → fact: as the given code fills it, else by the column's name."""
    given = code.facts()
    columns: dict[str, str] = {}
    for name in seed_columns(table):
        fact = given.get(name) or _fact_named(name)
        if fact and (fact not in columns.values() or name in key):
            columns[name] = fact
    if "modality" not in columns.values():
        # the column that the keyword lists are named after (`VACCINES` → `vaccine`)
        lists = [n for n, v in code.constants if isinstance(v, Mapping) or _is_words(v)]
        words = frozenset[str]().union(*(singulars(name) for name in lists))
        free = [c for c in seed_columns(table) if c not in columns and singulars(c) & words]
        columns |= dict.fromkeys(free[:1], "modality")
    return columns


def _collect_modalities(file: FileSpec, code: _GivenCode) -> dict[str, tuple[str, ...]]:
    """The code's dictionaries of keyword lists, and the words of “keywords: a, b, c”."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in code.constants:
        if isinstance(value, Mapping) and value and all(map(_is_words, value.values())):
            found.update({str(k): tuple(v) for k, v in value.items()})
        elif not found and _is_words(value) and re.search(r"keyword|term|drug|subst", name, re.I):
            found.update({word: (word,) for word in value})
    known = {w.casefold() for name, phrases in found.items() for w in (name, *phrases)}
    for listed in _LISTED_WORDS.findall(file.words):
        for item in re.split(r",|;|\band\b|\bor\b", listed):
            word = item.strip(" `*.\"'")
            if re.fullmatch(r"[\w][\w ,()-]{1,60}", word) and word.casefold() not in known:
                found[word] = (word,)
    return found


def _expected_rows(workflow: Workflow, table: Table) -> int:
    """The most rows that a statement wants in the table: `300+ trials`, `its rows: at least 8`."""
    wanted = [0]
    listed = (*workflow.statements, *(s for stage in workflow.stages for s in stage.statements))
    for text in dict.fromkeys(statement.text for statement in listed):
        if re.search(rf"\b{re.escape(table.name)}`?\s+(?:rows?|records?|count)\b", text):
            wanted += [parse_amount(m[0]).least for m in re.finditer(TYPES["amount"][0], text)]
        for amount, noun in _COUNTED.findall(text):
            # the last word of a table's name says what a row is
            if singulars(noun) <= singulars(table.name.rpartition("_")[2]):
                wanted.append(parse_amount(amount).least)
    return max(wanted)


def _find_batch(file: FileSpec, code: _GivenCode) -> int:
    """The batch size that words or constants name, else the step of a `range` in the code."""
    if 0 < file.batch <= _LARGEST_BATCH:
        return file.batch
    for node in code.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 3:
            step = literal_value(node.args[2])
            if node.func.id == "range" and isinstance(step, int) and 0 < step <= _LARGEST_BATCH:
                return step
    return _DEFAULT_BATCH

"""A script that loads a CSV file into a table, rendered from the table and the words about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrate_agents.codegen.bundle import bundle
from orchestrate_agents.codegen.render import render, script_place
from orchestrate_agents.seed_data.table_schema import is_percent, required_columns, seed_columns
from orchestrate_agents.specification.files import FileSpec, SpecificationError
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.sql.natural_key import natural_key
from orchestrate_agents.sql.parse import Table

_CSV = re.compile(r"`?([\w.@+-]+(?:/[\w.@+-]+)*\.csv)`?")
_MUST_BE_FILLED = re.compile(
    r"populated|must be (?:filled|present|given|set)|non-?empty|not (?:be )?(?:blank|empty)|"
    r"required",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SeederSpec:
    """The constants of a CSV seeder."""

    table: str
    csv: str
    columns: dict[str, str]
    required: tuple[str, ...]
    key: tuple[str, ...]
    percent: tuple[str, ...]
    what: str
    provider: str


def is_csv_seeder(spec: FileSpec, stage: StageSpec) -> bool:
    """Whether a Python file is specified that puts a CSV file into a table."""
    if spec.suffix != ".py":
        return False
    csv, table = _csv_and_table(spec, stage)
    return bool(csv) and table is not None


def render_csv_seeder(spec: FileSpec, stage: StageSpec) -> str:
    """The script as one self-contained text. Raises SpecificationError."""
    seed, place = seeder_spec(spec, stage), script_place(spec.path)
    return bundle([], render("csv_seeder.py.j2", path=spec.path, seed=seed, place=place))


def seeder_spec(spec: FileSpec, stage: StageSpec) -> SeederSpec:
    """The seeder's constants. Raises SpecificationError if the table has no key to upsert by."""
    csv, table = _csv_and_table(spec, stage)
    if not csv or table is None:
        raise SpecificationError(f"nothing says which CSV {spec.path} loads into which table")
    key = natural_key(table)
    if not key:
        raise SpecificationError(f"{table.name} has no unique key to upsert by")
    # the columns that some stage lists for the CSV, else the table's
    block = stage.schema_block(csv)
    listed = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", block.text) if block else [])
    names = tuple(name for name in listed if table.column(name))
    if len(names) < 2:
        names = seed_columns(table)
    demands = [line for line in spec.words.splitlines() if _MUST_BE_FILLED.search(line)]
    required = {name for name in names if any(f"`{name}`" in line for line in demands)}
    required |= set(required_columns(table))
    types = {c.name: c.type for c in table.columns}
    return SeederSpec(
        table=table.name,
        csv=csv,
        columns={name: types[name] for name in names},
        required=tuple(name for name in names if name in required),
        key=key,
        percent=tuple(name for name in names if is_percent(name)),
        what=_plural(table.name.replace("_", " ")),
        provider=stage.provider(csv),
    )


def missing_seeders(stage: StageSpec) -> tuple[FileSpec, ...]:
    """Seeders for tables of the workflow that no script loads, if it asks for other CSV seeders.

    A table without a script stays empty although the workflow counts it. Its script and its CSV go
    next to the others, named after the table.
    """
    asked = {s.path: _csv_and_table(s, stage) for s in stage.specs if is_csv_seeder(s, stage)}
    if not asked:
        return ()
    pattern = next(spec for spec in stage.specs if spec.path in asked)
    pattern_csv, pattern_table = asked[pattern.path]
    said = "\n".join([stage.ticket, *(s.words for s in stage.specs)])
    code = "\n".join(block.text for s in stage.specs for block in s.code if s.suffix == ".py")
    loaded = {table.name for _, table in asked.values() if table is not None}
    found = []
    for name in stage.tables:
        if name in loaded or name in code or re.search(rf"\b{re.escape(name)}\b", said):
            continue
        path = _named_alike(pattern.path, pattern_table, name, f"seed_{name}.py")
        csv = _named_alike(pattern_csv, pattern_table, name, f"{name}_seed.csv")
        words = f"Loads `{csv}` into `{name}`, which no other script fills"
        found.append(FileSpec(path, pattern.line, text=words))
    return tuple(found)


def _named_alike(path: str, table: Table | None, other: str, fallback: str) -> str:
    """The path with another table's name in place of its own, or with a fallback's."""
    file = PurePosixPath(path)
    known = table is not None and table.name in file.name
    name = file.name.replace(table.name, other) if table and known else fallback
    return str(file.with_name(name))


def _csv_and_table(spec: FileSpec, stage: StageSpec) -> tuple[str, Table | None]:
    """The CSV's path, as the words name it, completed by what others provide; and its table."""
    csv = _csv(spec, stage)
    named = stage.table_in(*spec.notes, spec.text)
    return csv, named or stage.table_in(spec.stem, PurePosixPath(csv).stem)


def _csv(spec: FileSpec, stage: StageSpec) -> str:
    named = _CSV.findall(spec.words)
    known = [need.path for need in stage.needs if need.path.endswith(".csv")]
    known += [d.path for _, d in stage.workflow.deliverables if d.path.endswith(".csv")]
    for path in named:
        whole = [k for k in known if k == path or k.endswith(f"/{path}")]
        if whole or "/" in path:
            return whole[0] if whole else path
    table = stage.table_in(spec.stem)
    fitting = [k for k in known if table is not None and table.name in k]
    return next(iter([*fitting, *named]), "")


def _plural(words: str) -> str:
    if re.search(r"[^aeiou]y$", words):
        return words[:-1] + "ies"
    if re.search(r"(?:s|data|info)$", words):
        return words
    return words + ("es" if re.search(r"(?:ch|sh|x|z)$", words) else "s")

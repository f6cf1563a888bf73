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


def is_csv_seeder(spec: FileSpec, site: StageSpec) -> bool:
    """Whether a Python file is specified that puts a CSV file into a table."""
    return spec.suffix == ".py" and bool(_csv(spec, site)) and _table(spec, site) is not None


def render_csv_seeder(spec: FileSpec, site: StageSpec) -> str:
    """The script as one self-contained text. Raises SpecificationError."""
    parsed = seeder_spec(spec, site)
    place = script_place(spec.path)
    return bundle([], render("csv_seeder.py.j2", path=spec.path, seed=parsed, place=place))


def seeder_spec(spec: FileSpec, site: StageSpec) -> SeederSpec:
    """The seeder's constants. Raises SpecificationError if the table has no key to upsert by."""
    csv, table = _csv(spec, site), _table(spec, site)
    if not csv or table is None:
        raise SpecificationError(f"nothing says which CSV {spec.path} loads into which table")
    names = _columns(site, csv, table)
    key = natural_key(table)
    if not key:
        raise SpecificationError(f"{table.name} has no unique key to upsert by")
    types = {c.name: c.type for c in table.columns}
    wanted = {*required_columns(table), *_demanded(spec, names)}
    return SeederSpec(
        table.name,
        csv,
        {name: types[name] for name in names},
        tuple(name for name in names if name in wanted),
        key,
        tuple(name for name in names if is_percent(name)),
        _plural(table.name.replace("_", " ")),
        site.provider(csv),
    )


def _plural(words: str) -> str:
    if re.search(r"[^aeiou]y$", words):
        return words[:-1] + "ies"
    if re.search(r"(?:s|data|info)$", words):
        return words
    return words + ("es" if re.search(r"(?:ch|sh|x|z)$", words) else "s")


def missing_seeders(site: StageSpec) -> tuple[FileSpec, ...]:
    """Seeders for tables of the workflow that no script loads, if it asks for other CSV seeders.

    A table without a script stays empty although the workflow counts it. Its script and its CSV lie
    beside the others, named after the table.
    """
    asked = [spec for spec in site.specs if is_csv_seeder(spec, site)]
    if not asked:
        return ()
    pattern = asked[0]
    folder, table = PurePosixPath(_csv(pattern, site)).parent, _table(pattern, site)
    said = "\n".join([site.ticket, *(s.words for s in site.specs)])
    code = "\n".join(block.text for s in site.specs for block in s.code if s.suffix == ".py")
    loaded = {t.name for spec in asked if (t := _table(spec, site)) is not None}
    found = []
    for name in site.tables:
        if name in loaded or name in code or re.search(rf"\b{re.escape(name)}\b", said):
            continue
        path = PurePosixPath(pattern.path).with_name(_named_alike(pattern.path, table, name))
        csv = folder / _named_alike(_csv(pattern, site), table, name)
        words = f"Loads `{csv}` into `{name}`, which no other script fills"
        found.append(FileSpec(str(path), pattern.line, text=words))
    return tuple(found)


def _named_alike(path: str, table: Table | None, other: str) -> str:
    """A file's name with another table's in place of its own; `seed_` where it has none."""
    name = PurePosixPath(path).name
    if table is not None and table.name in name:
        return name.replace(table.name, other)
    return f"seed_{other}.py" if name.endswith(".py") else f"{other}_seed.csv"


def _csv(spec: FileSpec, site: StageSpec) -> str:
    """The CSV's path: as the words name it, completed by what others provide."""
    named = _CSV.findall(spec.words)
    known = [need.path for need in site.needs if need.path.endswith(".csv")]
    known += [d.path for _, d in site.workflow.deliverables if d.path.endswith(".csv")]
    for path in named:
        whole = [k for k in known if k == path or k.endswith(f"/{path}")]
        if whole or "/" in path:
            return whole[0] if whole else path
    table = site.table_in(spec.stem)
    beside = [k for k in known if table is not None and table.name in k]
    return beside[0] if beside else next(iter(named), "")


def _table(spec: FileSpec, site: StageSpec) -> Table | None:
    csv = PurePosixPath(_csv(spec, site)).stem
    return site.table_in(*spec.notes, spec.text) or site.table_in(spec.stem, csv)


def _columns(site: StageSpec, csv: str, table: Table) -> tuple[str, ...]:
    """The CSV's columns: those of the schema that some stage gives for it, else the table's."""
    block = site.schema_block(csv)
    listed = re.findall(r"[A-Za-z_]\w*", block.text) if block else []
    own = [name for name in dict.fromkeys(listed) if table.column(name)]
    return tuple(own) if len(own) > 1 else seed_columns(table)


def _demanded(spec: FileSpec, names: tuple[str, ...]) -> set[str]:
    """Columns that the words demand in every row (“validates that `x` is populated”)."""
    lines = [line for line in spec.words.splitlines() if _MUST_BE_FILLED.search(line)]
    return {name for name in names for line in lines if re.search(rf"`{re.escape(name)}`", line)}

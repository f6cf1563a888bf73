"""Ways to break the good artifacts of WO-231, and changes that harm nothing, by subject.

The tables in `*.toml` were written without a look at the checks: changes that make a stated
criterion untrue, harms that nothing states, and harmless ones. The others followed the checks.
Each of these is a function of a workspace, registered with its name::

    @defect("sql.policy-for-anon", board=7)
    def policy_for_anon(site: Site) -> None:
        site.replace(site.migration, "TO authenticated", "TO anon")

`Site.replace` refuses a change that changes nothing, so a variant cannot pass by standing still.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """A workspace at checkpoint 2, to be changed."""

    root: Path
    #: what was written, relative to the workspace
    touched: set[str] = field(default_factory=set)

    def one(self, pattern: str) -> str:
        """The one path that a glob finds, relative to the workspace."""
        found = sorted(self.root.glob(pattern))
        if len(found) != 1:
            raise LookupError(f"{len(found)} files fit {pattern}")
        return found[0].relative_to(self.root).as_posix()

    @property
    def migration(self) -> str:
        return self.one("migrations/*benchmark*.sql")

    def ticket(self, id: str) -> str:
        """Where a ticket lies."""
        return self.one(f"_WORK_ORDERS/*/{id}_*.md")

    def read(self, path: str) -> str:
        return (self.root / path).read_bytes().decode("utf-8")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        self.touched.add(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("utf-8"))

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Write what `change` makes of a file. Raises LookupError if that is the same."""
        before = self.read(path)
        after = change(before)
        if after == before:
            raise LookupError(f"nothing changes in {path}")
        self.write(path, after)

    def replace(self, path: str, old: str, new: str, count: int = -1) -> None:
        """Replace a text that has to be there. Raises LookupError if it is not."""
        self.edit(path, lambda text: text.replace(old, new, count))

    def append(self, path: str, text: str) -> None:
        self.edit(path, lambda before: before + text)


@dataclass(frozen=True)
class Variant:
    """One change of the good artifacts."""

    name: str
    change: Callable[[Site], None]
    harmless: bool = False
    #: number in the list of defects that went through the gates of a real board, 0 for others
    board: int = 0
    #: known to get past the gates: counted as missed, and no reason for the benchmark to fail
    gets_through: bool = False
    #: the table that it stands in: "stated", "unstated", "harmless"; "" for a function
    blind: str = ""

    @property
    def subject(self) -> str:
        return self.name.partition(".")[0]


_REGISTERED: dict[str, Variant] = {}

Change = Callable[[Site], None]


def defect(name: str, board: int = 0, *, gets_through: bool = False) -> Callable[[Change], Change]:
    """Register a change that a gate has to refuse."""
    return _register(name, board=board, gets_through=gets_through)


def harmless(name: str) -> Callable[[Change], Change]:
    """Register a change that no gate may refuse."""
    return _register(name, harmless=True)


def _register(
    name: str,
    *,
    harmless: bool = False,
    board: int = 0,
    gets_through: bool = False,
    blind: str = "",
) -> Callable[[Change], Change]:
    if name in _REGISTERED:
        raise ValueError(f"two variants are called {name}")

    def register(change: Change) -> Change:
        _REGISTERED[name] = Variant(name, change, harmless, board, gets_through, blind)
        return change

    return register


#: short names of files in the tables
_FILES = {
    "hook": "src/lib/benchmarks.ts",
    "trials": "backend/scripts/seed_benchmark_trials.py",
    "cohort-script": "backend/scripts/seed_benchmark_cohorts.py",
    "baseline-script": "backend/scripts/seed_population_baselines.py",
    "cohorts": "backend/data/benchmark_cohorts_seed.csv",
    "sources": "backend/data/benchmark_cohorts_seed.sources.jsonl",
    "baselines": "backend/data/population_baselines_seed.csv",
}


def _apply(edits: Sequence[Sequence[str]], site: Site) -> None:
    """The edits of a table's entry, in order. Raises LookupError for one that changes nothing."""
    for file, *texts in edits:
        path = site.migration if file == "migration" else _FILES.get(file, file)
        if re.fullmatch(r"WO-\d+[a-z]?", file):
            path = site.ticket(file)
        match texts:
            case [text]:
                site.write(path, (site.read(path) if (site.root / path).exists() else "") + text)
            case ["!line", part]:
                site.edit(path, lambda t, part=part: re.sub(rf".*{re.escape(part)}.*\n", "", t))
            case ["!replace", text]:
                site.write(path, text)
            case ["!sort", _]:
                site.edit(path, _sorted_rows)
            case [old, new, *all_]:
                site.replace(path, old, new, -1 if all_ else 1)


def _sorted_rows(text: str) -> str:
    head, *rows = text.splitlines(keepends=True)
    return head + "".join(sorted(rows, reverse=True))


def _read_tables() -> None:
    for table in sorted(Path(__file__).parent.glob("*.toml")):
        blind = table.stem.partition("_")[0]
        for kind, entries in tomllib.loads(table.read_text(encoding="utf-8")).items():
            for name, edits in entries.items():
                each = [edits] if isinstance(edits[0], str) else edits
                register = _register(f"{kind}.{name}", harmless=blind == "harmless", blind=blind)
                register(partial(_apply, each))


def variants(names: Sequence[str] = ()) -> list[Variant]:
    """All variants, or those whose name, its beginning, or table is given."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    if not any(v.blind for v in _REGISTERED.values()):
        _read_tables()
    wanted = tuple(names)
    return [
        v
        for v in _REGISTERED.values()
        if not wanted or v.name.startswith(wanted) or (v.blind and f"@{v.blind}" in wanted)
    ]

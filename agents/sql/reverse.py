"""Whether a migration can be taken back: up, down, and up again on the disposable server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrate_agents.sql.access_matrix import plant
from orchestrate_agents.sql.apply import apply
from orchestrate_agents.sql.catalog import difference, relations, snapshot
from orchestrate_agents.sql.existing_schema import row_changes, rows_of
from orchestrate_agents.sql.migration_series import read_sql
from orchestrate_agents.sql.parse import SqlError, parse_migration
from orchestrate_agents.sql.prove import apply_base
from orchestrate_agents.sql.scratch import scratch
from orchestrator.gates.checks import Services
from orchestrator.storage.atomic import inside

#: where the way back begins, in files that hold both
_DOWN = re.compile(
    r"^--[ \t]*(?:migrate:down(?:[ \t]+transaction:\w+)?|\+(?:goose|migrate|micrate)[ \t]+down"
    r"|@?down(?:[ \t]+migration)?|rollback|revert)[ \t]*:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_IS_DOWN = re.compile(
    r"(?:^|/)(?:down|rollbacks?|reverts?)/|(?:^|[._/-])(?:down|rollback|revert)\.sql$",
    re.IGNORECASE,
)
_ENDS = (".down.sql", "_down.sql", "-down.sql", ".rollback.sql", "_rollback.sql", ".revert.sql")
_FOLDERS = ("down", "rollback", "rollbacks", "revert", "../down", "../rollback", "../revert")


@dataclass(frozen=True)
class Reversal:
    """What the way back showed; all empty if everything was as before."""

    #: the statement that stops it, with its words
    failure: str = ""
    #: what is not as it was: catalog entries, and rows of tables that were there before
    left: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    #: why the migration does not apply once more
    again: str = ""


def is_down(path: str) -> bool:
    """Whether a file is the way back of another one, by its name."""
    return bool(_IS_DOWN.search(path))


def way_back(root: Path, path: str) -> tuple[str, str, str] | None:
    """(up, down, where the down is) of a migration; None if there is no way back."""
    text = read_sql(inside(root, path))
    inline = _DOWN.search(text)
    if inline:
        up, down = text[: inline.start()], text[inline.end() :]
        return up, down, f"{path}:{text.count(chr(10), 0, inline.start()) + 1}"
    place = PurePosixPath(path)
    stem = re.sub(r"[._-]up$", "", place.stem)
    names = [place.with_name(stem + end) for end in _ENDS]
    names += [place.parent / folder / place.name for folder in _FOLDERS]
    names += [place.with_name("down.sql")] if place.stem in ("up", "migration") else []
    for name in names:
        parts: list[str] = []
        for part in name.parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        found = inside(root, "/".join(parts))
        if found.is_file() and "/".join(parts) != path:
            return text, read_sql(found), "/".join(parts)
    return None


def reverse(up: str, down: str, services: Services, base: Mapping[str, str]) -> Reversal:
    """Run it on its base with rows in every table, take it back, compare, and run it again."""

    def run() -> Reversal:
        try:
            forth, back = parse_migration(up), parse_migration(down)
        except SqlError as error:
            return Reversal(f"line {error.line}: {error.message}")
        if not back.statements:
            return Reversal("it has no statement")
        with scratch(services).database() as database:
            apply_base(database, base)
            with database.connect() as owner:
                before, present = snapshot(owner), relations(owner)
            plant(database, present)
            with database.connect() as owner:
                rows = rows_of(owner, present)
            if failure := apply(database, forth).failure:
                return Reversal(f"the migration itself stops at {failure}")
            if failure := apply(database, back).failure:
                return Reversal(f"it stops at {failure}")
            with database.connect() as owner:
                left = difference(before, snapshot(owner))
                kept = relations(owner) if not left else ()
                changed = tuple(row_changes(rows, rows_of(owner, kept))) if not left else ()
            again = apply(database, forth).failure
            return Reversal("", left, changed, str(again) if again else "")

    return services.remember(("sql.reverse", up, down, tuple(base.items())), Reversal, run)

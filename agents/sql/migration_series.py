"""The series of numbered migrations in a folder: numbers, clashes, what comes earlier."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

_NUMBER = re.compile(r"^[Vv]?(\d+)(?:[._-]|$)")
_MAX_BYTES = 2_000_000


def number_of(path: PurePath | str) -> str:
    """The number as the file's name spells it (`059`), or ""."""
    found = _NUMBER.match(PurePath(path).stem)
    return found[1] if found else ""


def series(folder: Path) -> tuple[Path, ...]:
    """The numbered `.sql` files of a folder, by number. Links are not followed."""
    if not folder.is_dir():
        return ()
    files = [f for f in folder.glob("*.sql") if number_of(f) and f.is_file() and not f.is_symlink()]
    return tuple(sorted(files, key=lambda f: (int(number_of(f)), f.name)))


def clashes(path: Path) -> tuple[Path, ...]:
    """Other files of the same series with the same number."""
    number = number_of(path)
    if not number:
        return ()
    same = (f for f in series(path.parent) if int(number_of(f)) == int(number))
    return tuple(f for f in same if f.name != path.name)


def next_free(folder: Path) -> int:
    """The number after the highest one in use."""
    return max((int(number_of(f)) for f in series(folder)), default=0) + 1


def earlier(path: Path) -> dict[str, str]:
    """The SQL of the series' migrations before this one, by file name, in order."""
    number = number_of(path)
    if not number:
        return {}
    before = [f for f in series(path.parent) if int(number_of(f)) < int(number)]
    return {f.name: read_sql(f) for f in before if f.stat().st_size <= _MAX_BYTES}


def read_sql(path: Path) -> str:
    """A file's text; bytes that are not UTF-8 are replaced, so that the parser names their line."""
    return path.read_text(encoding="utf-8-sig", errors="replace")

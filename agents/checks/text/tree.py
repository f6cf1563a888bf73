"""The workspace's own text files, as a statement names them: a path, the change, all of it."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents.checks.project.copies import board_of
from orchestrate_agents.checks.text.kinds import PROSE, Parts, parts_of
from orchestrator.gates.checks import Context, Result, failed, parameter_type, unproven
from orchestrator.git.command import GitError, run_git, split_names
from orchestrator.git.repository import TrackedFolder

#: installed or made by tools, whatever git says
_FOREIGN = frozenset(
    (".git", ".orchestrate", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache")
)
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|__tests__|spec|e2e|fixtures)/|(?:^|/)(?:test_[^/]*|conftest)\.py$"
    r"|_test\.(?:py|go)$|\.(?:test|spec)\.\w+$"
)
_DOCS = re.compile(r"^docs?/|(?:^|/)(?:README|CHANGELOG|CONTRIBUTING)\b", re.IGNORECASE)
#: larger files are not looked into
LARGEST = 256 * 1024 * 1024

#: bare names of files that everybody knows
_BARE = r"(?:README|CHANGELOG|LICENSE|CONTRIBUTING|Makefile|Dockerfile|Justfile|Procfile|Gemfile)"
_PART = r"[\w.@+\-\[\]()]"
# a name with an underscore behind its dot is a column, not a file
_PATH = rf"(?:[\w.@+-]*(?:/[\w.@+-]+)*(?:/|\.[A-Za-z][A-Za-z0-9]*(?!\w))|(?-i:{_BARE}))"
_QUOTED = (
    rf"`(?!/|\w+://|\.\.)(?:{_PART}*(?:/{_PART}+)*(?:/|\.[A-Za-z][A-Za-z0-9]*)|(?-i:{_BARE}))`"
)
#: a file or folder: with a slash at its end, an extension, or a name that everybody knows
PLACE = rf"(?:{_QUOTED}|{_PATH})"
_JOIN = r"\s*(?:,\s*and\s+|,|\+|&|\s+and\s+)\s*"


def read_places(text: str) -> tuple[str, ...]:
    """The paths of a list."""
    return tuple(p.strip(" `") for p in re.split(_JOIN, text) if p.strip(" `"))


parameter_type("place", PLACE, lambda text: text.strip(" `"))
parameter_type("places", rf"{PLACE}(?:{_JOIN}{PLACE})*", read_places)

_THE = r"(?:(?:the|our|all|any|entire|whole)\s+)*"
#: words for a part of the workspace → what is meant
_AREAS = {
    "changed": rf"{_THE}(?:(?:changed|modified|touched|new|edited|delivered)\s+(?:files?|code)"
    r"|diff|deliverables)",
    "product": rf"{_THE}(?:production|shipped|non-test)\s+(?:code|files|sources?)",
    "code": rf"{_THE}(?:source\s+code|source\s+tree|source\s+files|sources?|code)",
    "tests": rf"{_THE}tests?(?:\s+(?:files|code|suite))?",
    "docs": rf"{_THE}(?:docs|documentation)",
    "all": rf"{_THE}(?:repository|repo|project|workspace|tree|code\s?base)",
}


@dataclass(frozen=True, repr=False)
class Area:
    """Where a statement looks: paths, a part of the workspace, or (without words) all of it."""

    name: str = "all"
    paths: tuple[str, ...] = ()

    def __repr__(self) -> str:
        named = {
            "all": "the workspace",
            "changed": "what changed",
            "product": "the code without tests",
        }
        return ", ".join(self.paths) or named.get(self.name, f"the {self.name}")


def read_area(text: str) -> Area:
    """`the changed files`, `` `src/` and `lib/` ``."""
    for name, words in _AREAS.items():
        if re.fullmatch(words, text.strip(), re.IGNORECASE):
            return Area(name)
    return Area("paths", read_places(text))


_ANY_AREA = "|".join(_AREAS.values())
# within an area `src/routes` can only be a folder
_FOLDER = r"`(?!/|\w+://|\.\.)[\w.@+-]+(?:/[\w.@+-]+)+`"
_SPOT = rf"(?:{PLACE}|{_FOLDER})"
parameter_type("area", rf"(?:{_ANY_AREA}|(?:the\s+)?{_SPOT}(?:{_JOIN}{_SPOT})*)", read_area)


@dataclass(frozen=True)
class Source:
    """A text file."""

    path: str
    text: str

    @property
    def parts(self) -> Parts:
        return parts_of(self.path, self.text)

    def line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1


def is_test(path: str) -> bool:
    """Whether a file belongs to the tests, by its name."""
    return bool(_TESTS.search(path))


def is_prose(path: str) -> bool:
    """Whether a file is documentation, by its name."""
    return path.lower().endswith(PROSE) or bool(_DOCS.search(path))


def workspace_files(ctx: Context) -> list[str]:
    """The workspace's own files: what git tracks or would track, else all that no tool made.

    Without tickets, workflows and links.
    """
    try:
        asked = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        found = set(split_names(run_git(ctx.root, *asked)))
    except GitError:
        found = set(_walk(ctx.root))
    passed = (board_of(ctx), "workflows/")
    return sorted(
        path
        for path in found
        if _FOREIGN.isdisjoint(path.split("/"))
        and not path.startswith(passed)
        and _is_regular(f"{ctx.root}/{path}")
    )


def _is_regular(place: str) -> bool:
    """Whether there is a file that is not a link."""
    try:
        return stat.S_ISREG(os.lstat(place).st_mode)
    except (OSError, ValueError):
        return False


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _FOREIGN)
        for name in names:
            yield str((Path(folder) / name).relative_to(root))


def files_of(ctx: Context, area: Area) -> tuple[str, ...] | Result:
    """The paths of an area's files; a result where there is nothing to look at."""
    if area.paths:
        found: dict[str, None] = {}
        for named in area.paths:
            path = resolve(ctx, named)
            place = ctx.path(path)
            if place.is_file() and not path.endswith("/"):
                found[path] = None
            elif place.is_dir():
                below = path.rstrip("/") + "/"
                inside = [p for p in workspace_files(ctx) if p.startswith(below)]
                # a folder that git ignores, or that holds workflows, is meant all the same
                found |= dict.fromkeys(inside or (below + p for p in sorted(_walk(place))))
            else:
                return failed(f"{named} is missing", named)
        return tuple(found) or failed(f"{area} holds no file", *area.paths)
    if area.name == "changed":
        changed = changed_files(ctx)
        if changed is None:
            return unproven("nobody knows what changed: there is no git repository")
        return tuple(p for p in workspace_files(ctx) if p in changed)
    wanted = {
        "all": lambda p: True,
        "tests": is_test,
        "docs": is_prose,
        "code": lambda p: not is_prose(p),
        "product": lambda p: not is_prose(p) and not is_test(p),
    }[area.name]
    return tuple(filter(wanted, workspace_files(ctx))) or unproven(f"{area}: there is no such file")


def changed_files(ctx: Context) -> frozenset[str] | None:
    """What the family changed, else what is not committed; None if nobody knows."""
    known = ctx.changed() if ctx.changed is not None else None
    if known is None:
        seen = TrackedFolder(ctx.root, ".").changed()
        known = None if seen is None else frozenset(seen)
    return known


def resolve(ctx: Context, named: str) -> str:
    """The path of a file that is named without its extension: README is README.md."""
    if re.fullmatch(_BARE, named) and not ctx.path(named).exists():
        stems = (p for p in sorted(ctx.root.iterdir()) if p.is_file())
        alike = [p.name for p in stems if p.stem.lower() == named.lower()]
        return alike[0] if len(alike) == 1 else named
    return named


class Binary(str):
    """Why there is no text: the file holds none."""


def read_source(ctx: Context, path: str) -> Source | str:
    """A file's text in composed form; or why there is none, `Binary` if it is not text."""
    file = ctx.path(path)
    size = file.stat().st_size
    if size > LARGEST:
        return f"{path} is larger than {LARGEST // 1024 // 1024} MB"
    data = file.read_bytes()
    coding = next((c for mark, c in _MARKS.items() if data.startswith(mark)), "utf-8")
    if coding != "utf-16" and b"\0" in data[:8192]:
        return Binary(f"{path} is not text")
    text = data.decode(coding, errors="replace")
    return Source(path, text if text.isascii() else unicodedata.normalize("NFC", text))


_MARKS: Mapping[bytes, str] = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}

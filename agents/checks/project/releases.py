"""Checks of a release: its version and changelog, and how large what it ships is."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.start import find_start, text_now
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_VERSIONED = re.compile(
    r"(?:^|/)(?:package\.json|pyproject\.toml|Cargo\.toml|__init__\.py|VERSION)$"
)
_CHANGELOG = re.compile(r"^(?:docs/)?(?:CHANGELOG|CHANGES|HISTORY|NEWS)(?:\.\w+)?$", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def _version(path: str, text: str | None) -> str:
    """The version that a file gives its package, "" if it gives none."""
    try:
        match PurePosixPath(path).name:
            case "package.json":
                found = json.loads(text or "{}").get("version", "")
            case "pyproject.toml" | "Cargo.toml":
                table = tomllib.loads(text or "")
                poetry = table.get("tool", {}).get("poetry", {})
                parts = (table.get("project", {}), table.get("package", {}), poetry)
                found = next((p["version"] for p in parts if "version" in p), "")
            case "VERSION":
                found = (text or "").strip()
            case _:
                said = re.search(r"(?m)^__version__\s*=\s*['\"]([^'\"]+)['\"]", text or "")
                found = said[1] if said else ""
    except (ValueError, AttributeError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


parameter_type(
    "semver", r"`?v?\d+\.\d+(?:\.\d+)?(?:[-+.]?[a-z][\w.]*)?`?", lambda t: t.strip("` v")
)
parameter_type("bump", r"(?:major|minor|patch)", str.lower)


@check(
    "[the] [{level:bump}] [package] version (is|has been|was) (bumped|increased|incremented|raised|"
    "updated) [to {number:semver}] [in {where:path}]",
    "[{level:bump}] version (bumped|bump) [to {number:semver}] [in {where:path}]",
    name="release.bumped",
    examples=("Version bumped to 1.3.0", "Version is bumped in `package.json`"),
)
def bumped(ctx: Context, number: str = "", level: str = "", where: str = "") -> Result:
    """The versions that the repository gives itself agree, and are higher than at the start."""
    found = _versions(ctx, number, where)
    if isinstance(found, Result):
        return found
    listed, now = _list(found), next(iter(found.values()))
    start = find_start(ctx)
    if start is None or start.lacks:
        return unproven(f"{listed}; {start.lacks if start else 'the earlier version is not known'}")
    before = next((v for p in found if (v := _version(p, start.text(p)))), "")
    steps = [
        tuple(int(n or 0) for n in m.groups()) for v in (before, now) if (m := _NUMBER.match(v))
    ]
    if len(steps) < 2:
        return unproven(f"{listed}; {before or 'no version'} {start.moment}", *found)
    said = f"{listed}; {before} {start.moment}"
    if steps[1] <= steps[0]:
        return failed(said, *found)
    part = next(n for n, (a, b) in enumerate(zip(*steps, strict=True)) if a != b)
    right = not level or ("major", "minor", "patch")[part] == level
    return (proven if right else failed)(said, *found)


@check(
    "[the] [package] version is {number:semver} [in {where:path}]",
    "[the] [package] version in {where:path} is {number:semver}",
    name="release.version",
    examples=("Version is 1.3.0", "The version in `pyproject.toml` is 1.3.0"),
)
def version_is(ctx: Context, number: str, where: str = "") -> Result:
    """The versions that the repository gives itself agree, and are that one."""
    found = _versions(ctx, number, where)
    return found if isinstance(found, Result) else proven(_list(found), *found)


def _list(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{path} {version}" for path, version in versions.items())


def _versions(ctx: Context, number: str, where: str) -> dict[str, str] | Result:
    """File → version, all the same and, if it is given, `number`; else why not."""
    files = source_files(ctx)
    found = {
        p: v for p in files if _VERSIONED.search(p) if (v := _version(p, text_now(ctx.root, p)))
    }
    if where:
        found = {p: v for p, v in found.items() if p == where}
    else:
        # what lies deeper may be another package
        top = {p: v for p, v in found.items() if "/" not in p}
        own = {p: v for p, v in found.items() if p.count("/") <= 2 and p.endswith("__init__.py")}
        found = {**top, **own} if top else found
    if not found:
        return unproven(f"no version is found in {where or 'package.json, pyproject.toml, …'}")
    if len(set(found.values())) > 1:
        return failed(f"the versions differ: {_list(found)}", *found)
    if number and next(iter(found.values())) != number:
        return failed(f"{_list(found)}, not {number}", *found)
    return found


_LOG = r"(?:docs/)?(?:CHANGELOG|CHANGES|HISTORY|NEWS)"
parameter_type("log", rf"(?:change log|`?{_LOG}(?:\.\w+)?`?)", lambda text: text.strip("` "))


@check(
    "[the] {log:log} (is|has been|was) (updated|extended|amended)",
    "[the] {log:log} (updated|entry|entry added)",
    "[the] {log:log} (has|contains|gets) [(a|an|the)] [new] entry [for {number:semver}]",
    "[the] {log:log} (is|has been|was) updated for {number:semver}",
    name="release.changelog",
    examples=("CHANGELOG is updated", "The changelog has an entry for 1.3.0"),
)
def changelog(ctx: Context, log: str, number: str = "") -> Result:
    """The changelog has new lines since the start, and the version among its headings."""
    files = source_files(ctx)
    logs = [log] if "." in log else [p for p in files if _CHANGELOG.match(p)]
    if not logs or not ctx.path(logs[0]).is_file():
        return failed(f"{log} is not there")
    path = logs[0]
    text = text_now(ctx.root, path) or ""
    if number:
        heading = rf"(?m)^(?:#+|=+|\*\*|\[|v?\d).*(?<![\d.]){re.escape(number)}(?![\d.]*\d)"
        if not re.search(heading, text):
            return failed(f"{path} has no heading for {number}", path)
        below = re.split(r"(?m)^#+ ", text.partition(number)[2])[0]
        if len(below.strip().splitlines()) < 2 and not re.search(r"(?m)^\s*[-*+] \S", text):
            return failed(f"{path} says nothing of {number}", path)
        return proven(f"{path} has an entry for {number}", path)
    start = find_start(ctx)
    if start is None or start.lacks:
        return unproven(start.lacks if start else "without git it is not known what was there")
    before = set((start.text(path) or "").splitlines())
    new = [ln for ln in text.splitlines() if ln.strip() and ln not in before]
    said = f"{path} has {len(new)} lines that it had not {start.moment}"
    return (proven if any(re.search(r"\w{3}", ln) for ln in new) else failed)(said, path)


# -- size ------------------------------------------------------------------------------------------

_UNITS = {"b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2, "bytes": 1}


def _read_size(text: str) -> int:
    found = re.search(r"([\d.,]+)\s*(kib|mib|kb|mb|bytes|b)\b", text, re.IGNORECASE)
    assert found is not None
    return int(float(found[1].replace(",", "")) * _UNITS[found[2].lower()])


parameter_type("size", r"\d[\d,]*(?:\.\d+)?\s*(?:KiB|MiB|kB|MB|bytes|B)", _read_size)
parameter_type("zipped", r"(?:gzipped|gzip|min\+gzip|minified and gzipped|when gzipped)")
_UNDER = "(under|below|less than|smaller than|<|stays under|stays below|stays <)"
_AT_MOST = "(at most|≤|<=|no more than|no larger than|not larger than)"


@check(
    f"{{where:path}} [is] {_UNDER} {{size:size}} [{{zipped:zipped}}]",
    f"{{where:path}} [is] {_AT_MOST} {{most:size}} [{{zipped:zipped}}]",
    f"[the] size of {{where:path}} [is] {_UNDER} {{size:size}} [{{zipped:zipped}}]",
    f"[the] size of {{where:path}} [is] {_AT_MOST} {{most:size}} [{{zipped:zipped}}]",
    f"[the] [(main|total|production|js|javascript)] bundle [size] [is] {_UNDER} {{size:size}} "
    "[{zipped:zipped}]",
    f"[the] [(main|total|production|js|javascript)] bundle [size] [is] {_AT_MOST} {{most:size}} "
    "[{zipped:zipped}]",
    name="release.size",
    examples=("`dist/app.js` ≤ 200 KB", "The size of `dist/` is under 1.5 MB gzipped"),
)
def small(
    ctx: Context,
    where: str = "",
    size: int | None = None,
    most: int | None = None,
    zipped: str = "",
) -> Result:
    """The file, or all files of the folder together, as they lie there: their bytes are counted."""
    if not where:
        return unproven("name the file or folder that is the bundle, e.g. “`dist/app.js` ≤ 200 kB”")
    place = ctx.path(where)
    files = sorted(f for f in _below(place) if f.is_file() and not f.is_symlink())
    if not files:
        return unproven(f"{where} is not there, so it has no size; build it first", where)
    total = sum(
        len(gzip.compress(f.read_bytes(), mtime=0)) if zipped else f.stat().st_size for f in files
    )
    limit = (size or 0) if most is None else most
    fits = total < limit or (most is not None and total == limit)
    said = f"{where}: {total:,} bytes{' gzipped' if zipped else ''} in {len(files)} files"
    said += f", wanted {'at most' if most is not None else 'less than'} {limit:,}"
    top = where.rstrip("/")
    paths = [f"{top}/{f.relative_to(place).as_posix()}" if f != place else where for f in files]
    return (proven if fits else failed)(said, *paths[:200])


def _below(place: Path) -> Iterator[Path]:
    yield from place.rglob("*") if place.is_dir() else [place]

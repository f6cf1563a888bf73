"""Checks of what a repository depends on, of its version, its changelog and the size of files."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.start import find_start, text_now
from orchestrate_agents.tools.python import normalized
from orchestrator.gates.checks import (
    Context,
    Result,
    Verdict,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.git.command import GitError, read_objects, run_git

NODE_LISTS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
MANIFEST = re.compile(
    r"(?:^|/)(?:package\.json|pyproject\.toml|Pipfile|Cargo\.toml|go\.mod|setup\.cfg|setup\.py|"
    r"[\w.-]*requirements[\w.-]*\.(?:txt|in)|requirements/[\w.-]+\.(?:txt|in))$"
)
#: commits that touched a package's lines, the last ones
_COMMITS = 50
_REQUIREMENT = re.compile(
    r"^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)(?:;.*)?(?:\s#.*)?$"
)


@dataclass(frozen=True)
class Dependency:
    """A package that a manifest asks for, as it is written there."""

    manifest: str
    name: str
    wanted: str
    dev: bool

    @property
    def plain(self) -> str:
        return self.name if self.manifest.endswith("package.json") else normalized(self.name)


class UnreadableError(Exception):
    """A manifest that cannot be read."""


def _strip(text: str) -> str:
    return text.strip(" `")


def read_manifest(path: str, text: str | None) -> list[Dependency]:
    """What a manifest asks for, nothing if it is not there. Raises UnreadableError."""
    if text is None:
        return []
    try:
        return [d for d in _dependencies(path, text) if d.name]
    except (ValueError, TypeError, AttributeError) as exc:
        raise UnreadableError(f"{path} cannot be read: {exc}") from exc


def _dependencies(path: str, text: str) -> Iterator[Dependency]:
    name = PurePosixPath(path).name
    if name == "package.json":
        table = json.loads(text)
        for part in NODE_LISTS:
            for package, wanted in (table.get(part) or {}).items():
                yield Dependency(path, package, str(wanted), part == "devDependencies")
    elif name.endswith(".toml") or name == "Pipfile":
        yield from _of_toml(path, tomllib.loads(text))
    elif name == "go.mod":
        for package, wanted in re.findall(r"(?m)^(?:require)?\s+(\S+\.\S+) (v\S+)", text):
            yield Dependency(path, package, wanted, False)
    elif name in ("setup.py", "setup.cfg"):
        for line in re.findall(r"""["'\n]\s*([A-Za-z][\w.-]*\s*[=<>~!]=[^"'\n]*)""", text):
            yield from _requirement(path, line, False)
    else:
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith(("#", "-")):
                yield from _requirement(path, line, "dev" in name or "test" in name)


def _of_toml(path: str, table: Mapping[str, Any]) -> Iterator[Dependency]:
    project = table.get("project", {})
    for line in project.get("dependencies", ()):
        yield from _requirement(path, line, False)
    for lines in project.get("optional-dependencies", {}).values():
        for line in lines:
            yield from _requirement(path, line, False)
    for lines in table.get("dependency-groups", {}).values():
        for line in lines:
            if isinstance(line, str):
                yield from _requirement(path, line, True)
    tool = table.get("tool", {})
    for line in tool.get("uv", {}).get("dev-dependencies", ()):
        yield from _requirement(path, line, True)
    poetry = tool.get("poetry", {})
    groups = {f"group {k}": v.get("dependencies", {}) for k, v in poetry.get("group", {}).items()}
    tables = {
        "dependencies": poetry.get("dependencies", {}) or table.get("dependencies", {}),
        "dev": poetry.get("dev-dependencies", {}) or table.get("dev-dependencies", {}),
        "packages": table.get("packages", {}),
        "dev packages": table.get("dev-packages", {}),
        **groups,
    }
    for part, found in tables.items():
        for package, wanted in found.items():
            if package != "python":
                text = wanted.get("version", "") if isinstance(wanted, dict) else wanted
                yield Dependency(path, package, str(text), part not in ("dependencies", "packages"))


def _requirement(path: str, line: str, dev: bool) -> Iterator[Dependency]:
    if found := _REQUIREMENT.match(line):
        yield Dependency(path, found[1], found[2].strip(" ()"), dev)


def _manifests(ctx: Context) -> list[str]:
    return [path for path in source_files(ctx) if MANIFEST.search(path)]


def _now(ctx: Context) -> list[Dependency]:
    return [
        dependency
        for path in _manifests(ctx)
        for dependency in read_manifest(path, text_now(ctx.root, path))
    ]


# -- none new --------------------------------------------------------------------------------------

parameter_type(
    "deptype",
    r"(?:npm|python|pip|node|runtime|production|dev|development|external|third[- ]party)",
    str.lower,
)


@check(
    "[there are] no (new|added|additional|extra) [{kind:deptype}] (dependencies|dependency|"
    "packages|libraries) [(added|introduced|are added|are introduced|were added|required|needed)] "
    "[to {where:path}]",
    "(adds|introduces) no [new] [{kind:deptype}] dependencies",
    "no [{kind:deptype}] dependencies (are|were) (added|introduced)",
    name="packages.none-new",
    examples=("No new dependencies", "No new runtime dependencies are added"),
)
def none_new(ctx: Context, kind: str = "", where: str = "") -> Result:
    """Compared with the start: no manifest asks for a package that none asked for then."""
    start = find_start(ctx)
    if start is None or start.lacks:
        why = start.lacks if start else "without git it is not known what was asked for before"
        return unproven(why)
    now_paths = _manifests(ctx)
    paths = sorted({*now_paths, *(p for p in start.changed if MANIFEST.search(p))})
    if where:
        paths = [where]
    if not any(start.read(p) is not None for p in paths) and not now_paths:
        return unproven("no manifest (package.json, pyproject.toml, …) says what is asked for")
    try:
        then = {d.plain for p in paths for d in read_manifest(p, start.text(p))}
        now = [d for p in paths for d in read_manifest(p, text_now(ctx.root, p))]
    except UnreadableError as exc:
        return unproven(str(exc))
    python = kind in ("python", "pip")
    if python or kind in ("npm", "node"):
        now = [d for d in now if d.manifest.endswith("package.json") != python]
    if kind in ("runtime", "production"):
        now = [d for d in now if not d.dev]
    if kind in ("dev", "development"):
        now = [d for d in now if d.dev]
    new = sorted({f"{d.name} ({d.manifest})" for d in now if d.plain not in then})
    if new:
        return failed(f"asked for now and not {start.moment}: {', '.join(new)}", *now_paths)
    said = f"{len(now)} packages in {', '.join(paths) or 'no manifest'}, all of them also"
    return proven(f"{said} {start.moment}", *(p for p in paths if p in now_paths))


# -- one package -----------------------------------------------------------------------------------

_WORD = r"(?:@[\w.-]+/)?[A-Za-z][\w.-]*"
parameter_type("package", rf"(?:`{_WORD}`|(?!(?:it|this|that|version|code)\b){_WORD})", _strip)
parameter_type("release", r"`?[v^~]?\d+(?:\.\d+)*(?:[-+.]?[a-z][\w.]*)?`?", _strip)
_OF = "[{kind:deptype}] (dependencies|dependency|requirements)"


@check(
    "{package:package} [(is|has been|was)] (added|listed|declared) as [(a|an)] "
    "[{kind:deptype}] dependency [in {where:path}]",
    f"{{package:package}} (is|has been|was) [(added|listed|declared)] (in|to|among) [the] {_OF}",
    "{package:package} is a [{kind:deptype}] dependency",
    "[the] dependency on {package:package} (is|has been|was) added [(in|to) {where:path}]",
    name="packages.asked-for",
    examples=("`httpx` is added as a dependency", "`pytest` is a dev dependency"),
)
def asked_for(ctx: Context, package: str, kind: str = "", where: str = "") -> Result:
    """A manifest asks for the package."""
    return _judge_presence(ctx, package, kind, where, wanted=True)


@check(
    "{package:package} is not a [{kind:deptype}] dependency",
    "no dependency on {package:package} [exists]",
    name="packages.absent",
    examples=("`lodash` is not a dependency",),
)
def absent(ctx: Context, package: str, kind: str = "", where: str = "") -> Result:
    """No manifest asks for the package."""
    return _judge_presence(ctx, package, kind, where, wanted=False)


@check(
    f"{{package:package}} (is|has been|was) (removed|dropped|gone) from [the] {_OF}",
    "{package:package} (is|has been|was) removed from {where:path}",
    "{package:package} is no longer a [{kind:deptype}] dependency",
    "[the] dependency on {package:package} (is|has been|was) (removed|dropped|gone)",
    "no dependency on {package:package} (remains|is left)",
    "(we|the project|the app|the code|the package|the repository) no longer (depend|depends|rely|"
    "relies) on {package:package}",
    name="packages.not-asked-for",
    version=2,
    examples=("`lodash` is removed from the dependencies", "The dependency on `moment` is removed"),
)
def not_asked_for(ctx: Context, package: str, kind: str = "", where: str = "") -> Result:
    """No manifest asks for the package, and one did at the start, or before in git's history."""
    judged = _judge_presence(ctx, package, kind, where, wanted=False)
    if judged.verdict is not Verdict.PROVEN:
        return judged
    start = find_start(ctx)
    if start is None:
        return unproven(f"{judged.detail}; without git it is not known whether one ever did")
    known = [where] if where else [*_manifests(ctx), *filter(MANIFEST.search, start.changed)]
    try:
        then = [d for path in known for d in read_manifest(path, start.text(path))]
    except UnreadableError as exc:
        return unproven(str(exc))
    if any(_is_of(d, package) for d in then):
        return judged
    if any(_is_of(d, package) for d in _once_asked_for(ctx.root, package, known)):
        return judged
    return unproven(f"{judged.detail}, but it was not there when the work began either")


def _judge_presence(ctx: Context, package: str, kind: str, where: str, *, wanted: bool) -> Result:
    manifests = _manifests(ctx)
    if where and where not in manifests:
        return unproven(f"{where} is not a manifest that can be read here", where)
    if not manifests:
        return unproven("no manifest (package.json, pyproject.toml, …) says what is asked for")
    try:
        found = [d for d in _named(ctx, package) if not where or d.manifest == where]
    except UnreadableError as exc:
        return unproven(str(exc))
    if kind in ("dev", "development", "runtime", "production"):
        found = [d for d in found if d.dev == kind.startswith("dev")]
    elif kind:
        return unproven(f"which dependencies are {kind} cannot be determined")
    listed = ", ".join(f"{d.manifest} asks for {d.name} {d.wanted}".strip() for d in found)
    said = listed or f"{where or ', '.join(manifests)} asks for no {package}"
    return (proven if bool(found) == wanted else failed)(said, *manifests)


def _named(ctx: Context, package: str) -> list[Dependency]:
    return [d for d in _now(ctx) if _is_of(d, package)]


def _is_of(found: Dependency, package: str) -> bool:
    return package == found.name or normalized(package) == found.plain


def _once_asked_for(root: Path, package: str, manifests: Sequence[str]) -> Iterator[Dependency]:
    """What manifests asked for before the commits that changed lines about the package."""
    pattern = re.sub(r"[-_.]+", "[-_.]+", re.escape(package).replace("\\", ""))
    asked = ("log", "--format=%H", f"-n{_COMMITS}", "-i", f"-G{pattern}", "--", *manifests)
    try:
        commits = run_git(root, *asked).decode("ascii").split()
        names = [(path, f"{commit}^:./{path}") for commit in commits for path in manifests]
        for (path, _), data in zip(names, read_objects(root, [n for _, n in names]), strict=True):
            with contextlib.suppress(UnreadableError):
                yield from read_manifest(path, data.decode("utf-8", "replace"))
    except GitError:
        return


@check(
    "[the] [dependency] {package:package} is pinned [to [version] {release:release}]",
    name="packages.pinned",
    examples=("`requests` is pinned to 2.32",),
)
def pinned(ctx: Context, package: str, release: str = "") -> Result:
    """Every manifest that asks for the package asks for one version of it, and for that one."""
    return _judge_version(ctx, package, release, exact=True)


@check(
    "[all] [(the|our)] [{kind:deptype}] dependencies (are|have been) pinned "
    "[to (exact|fixed|specific) versions]",
    "(all|every|each) [{kind:deptype}] (dependency|dependencies|package|requirement) (is|are) "
    "pinned [to (an exact|a fixed|exact|fixed) (version|versions)]",
    name="packages.all-pinned",
    examples=("All dependencies are pinned", "Dependencies are pinned to exact versions"),
)
def all_pinned(ctx: Context, kind: str = "") -> Result:
    """Every manifest asks for one exact version of each package; lock files do not count."""
    manifests = _manifests(ctx)
    try:
        asked = _now(ctx)
    except UnreadableError as exc:
        return unproven(str(exc))
    if kind in ("dev", "development", "runtime", "production"):
        asked = [d for d in asked if d.dev == kind.startswith("dev")]
    elif kind:
        return unproven(f"which dependencies are {kind} cannot be determined")
    if not asked:
        return unproven("no manifest (package.json, pyproject.toml, …) asks for a package")
    loose = [d for d in asked if not _asks_for(d, "", exact=True)]
    listed = ", ".join(f"{d.manifest}: {d.name} {d.wanted or '(any version)'}" for d in loose[:6])
    # a path or an address has no version
    placed = r"(?:git|file|link|workspace|path|https?|npm)\b|@"
    unsure = [d for d in loose if re.match(placed, d.wanted)]
    if loose:
        judge = unproven if len(unsure) == len(loose) else failed
        return judge(f"not pinned: {listed}", *manifests)
    return proven(f"{len(asked)} packages, each at one version", *manifests)


@check(
    "[the] [dependency] {package:package} (is|has been|was) (upgraded|updated|bumped|downgraded) "
    "to [version] {release:release}",
    name="packages.version",
    examples=("`react` is upgraded to 19.1",),
)
def at_version(ctx: Context, package: str, release: str) -> Result:
    """Every manifest that asks for the package asks for that version, or that and later ones."""
    return _judge_version(ctx, package, release, exact=False)


def _judge_version(ctx: Context, package: str, release: str, *, exact: bool) -> Result:
    manifests = _manifests(ctx)
    try:
        found = _named(ctx, package)
    except UnreadableError as exc:
        return unproven(str(exc))
    if not found:
        if not manifests:
            return unproven("no manifest (package.json, pyproject.toml, …) says what is asked for")
        return failed(f"no manifest asks for {package}", *manifests)
    bad = [d for d in found if not _asks_for(d, release, exact)]
    listed = ", ".join(f"{d.manifest}: {d.name} {d.wanted or '(any version)'}" for d in found)
    return (failed if bad else proven)(listed, *manifests)


def _asks_for(found: Dependency, release: str, exact: bool) -> bool:
    """Whether what is asked for is that version: 2.32 also as 2.32.1, not as 2.3."""
    wanted = re.fullmatch(r"(===?|\^|~=|~|>=)?\s*v?(\d[\w.+-]*?)(\.\*|\.x)?", found.wanted.strip())
    if wanted is None:
        return False
    # poetry and Cargo read a bare version as "that or a compatible later one"
    bare = not found.manifest.endswith((".toml", "Pipfile"))
    if exact and (wanted[3] or not (wanted[1] in ("==", "===") or (wanted[1] is None and bare))):
        return False
    plain = release.lstrip("v^~")
    return not plain or wanted[2] == plain or wanted[2].startswith(f"{plain}.")

"""Checks that a lock file agrees with the manifest that it was made from, without network."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.packages import NODE_LISTS, UnreadableError, read_manifest
from orchestrate_agents.checks.project.start import text_now
from orchestrate_agents.tools.python import normalized
from orchestrator.gates.checks import (
    SEVERITY,
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

#: lock file → its manifest; of the others only the package manager can say
_LOCKS = {
    "package-lock.json": "package.json",
    "npm-shrinkwrap.json": "package.json",
    "uv.lock": "pyproject.toml",
}
_OTHERS = {"poetry.lock", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "Pipfile.lock", "pdm.lock"}
_OTHERS |= {"Cargo.lock", "Gemfile.lock", "composer.lock", "go.sum"}
_NAMES = "|".join(sorted(name.replace(".", r"\.") for name in {*_LOCKS, *_OTHERS}))
parameter_type("lockname", rf"`?(?:[\w.@-]+/)*(?:{_NAMES})`?", lambda text: text.strip(" `"))
parameter_type("lockfiles", r"lock\s?-?files?", str.lower)
parameter_type("manifest", r"`?(?:package\.json|pyproject\.toml)`?", lambda text: text.strip(" `"))
_FITS = (
    "(is|are|stays|remains) [still] (up to date|up-to-date|in sync|consistent) "
    "[with (the manifest|{manifest:manifest})]"
)


@check(
    f"[the] {{lock:lockname}} [lock file] {_FITS}",
    f"[(the|all)] {{kind:lockfiles}} {_FITS}",
    "[the] {lock:lockname} (matches|agrees with) [(the manifest|{manifest:manifest})]",
    "[the] {kind:lockfiles} (matches|match|agrees with) (the manifest|{manifest:manifest})",
    name="packages.locked",
    examples=("The lock file is up to date", "`package-lock.json` is in sync with `package.json`"),
)
def is_locked(ctx: Context, lock: str = "", kind: str = "", manifest: str = "") -> Result:
    """What the manifest asks for is what the lock file says that it was made for."""
    found = [p for p in source_files(ctx) if PurePosixPath(p).name in {*_LOCKS, *_OTHERS}]
    if lock:
        if lock not in found:
            return failed(f"{lock} is missing", lock)
        found = [lock]
    if kind and manifest:
        found = [p for p in found if _LOCKS.get(PurePosixPath(p).name) == manifest]
    if not found:
        return unproven("there is no lock file")
    results = [_judge(ctx, path, manifest if lock else "") for path in found]
    worst = min(results, key=lambda result: SEVERITY.index(result.verdict))
    details = [r.detail for r in results if r.verdict is worst.verdict]
    return Result(worst.verdict, "; ".join(details), tuple(found))


def _judge(ctx: Context, lock: str, manifest: str) -> Result:
    name = PurePosixPath(lock).name
    if name not in _LOCKS or (manifest and manifest != _LOCKS[name]):
        return unproven(f"{lock}: whether it is up to date, only its package manager can say")
    source = str(PurePosixPath(lock).with_name(_LOCKS[name]))
    asked = text_now(ctx.root, source)
    if asked is None:
        return unproven(f"{lock}: {source} is not there")
    read = _of_uv if name == "uv.lock" else _of_npm
    try:
        problems = list(read(source, asked, text_now(ctx.root, lock) or ""))
    except (UnreadableError, ValueError, TypeError, AttributeError, KeyError) as exc:
        return unproven(f"{lock} or {source} cannot be read: {exc}")
    if wrong := [said for sure, said in problems if sure]:
        return failed(f"{lock} is not that of {source}: {'; '.join(wrong[:6])}")
    if problems:
        return unproven(f"{lock}: {'; '.join(said for _, said in problems)}")
    return proven(f"{lock} was made for what {source} asks for")


def _of_npm(source: str, manifest: str, lock: str) -> Iterator[tuple[bool, str]]:
    """(whether it is sure, what does not agree)."""
    table, locked = json.loads(manifest), json.loads(lock)
    if "packages" not in locked:
        yield False, "its format, of npm 6, does not say what it was made for"
        return
    packages = locked["packages"]
    top = packages.get("", {})
    for part in NODE_LISTS:
        asked, was = table.get(part) or {}, top.get(part) or {}
        for name in sorted({*asked, *was}):
            now, then = asked.get(name), was.get(name)
            if now != then:
                yield True, f"{name} {now or 'is not asked for'}, locked for {then or 'nothing'}"
            elif part in NODE_LISTS[:2] and f"node_modules/{name}" not in packages:
                yield True, f"{name} is not locked"
    if table.get("workspaces"):
        yield False, "what the workspaces ask for is not compared"
    if table.get("overrides"):
        yield False, "overrides are not compared"


def _of_uv(source: str, manifest: str, lock: str) -> Iterator[tuple[bool, str]]:
    table, locked = tomllib.loads(manifest), tomllib.loads(lock)
    project, uv = table.get("project", {}), table.get("tool", {}).get("uv", {})
    name = normalized(project.get("name", ""))
    own = [p for p in locked["package"] if normalized(p["name"]) == name]
    if len(own) != 1:
        yield not own, f"it has {len(own) or 'no'} package {name}"
        return
    meta = own[0].get("metadata", {})
    asked = read_manifest(source, manifest)
    dev = [entry for entries in meta.get("requires-dev", {}).values() for entry in entries]
    for kind, entries in ((False, meta.get("requires-dist", [])), (True, dev)):
        now = {(d.plain, _sorted(d.wanted)) for d in asked if d.dev is kind}
        then = {(normalized(e["name"]), _sorted(e.get("specifier", ""))) for e in entries}
        for package, wanted in sorted(now ^ then):
            has = "is not locked" if (package, wanted) in now else "is not asked for"
            yield True, f"{package} {wanted}".strip() + f" {has}"
    held = {normalized(p["name"]) for p in locked["package"]}
    for package in sorted({d.plain for d in asked} - held):
        yield True, f"{package} is not locked"
    if _sorted(project.get("requires-python", "")) != _sorted(locked.get("requires-python", "")):
        yield False, "requires-python differs"
    groups = table.get("dependency-groups", {}).values()
    if any(not isinstance(line, str) for lines in groups for line in lines):
        yield False, "groups that include others are not compared"
    if kept := sorted({"sources", "workspace", "constraint-dependencies"} & set(uv)):
        yield False, f"tool.uv: {', '.join(kept)} not compared"
    if "dynamic" in project:
        yield False, "what is dynamic is not compared"


def _sorted(specifier: str) -> str:
    return ",".join(sorted(part.replace(" ", "") for part in specifier.split(",")))

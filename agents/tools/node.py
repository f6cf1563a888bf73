"""The workspace's Node packages: how they are installed, and which of them are not."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import MissingToolError

#: lock file → package manager, how it installs what is locked, and how it adds a package
_MANAGERS = {
    "package-lock.json": ("npm", "npm ci", "npm install --save-dev"),
    "npm-shrinkwrap.json": ("npm", "npm ci", "npm install --save-dev"),
    "yarn.lock": ("yarn", "yarn install --frozen-lockfile", "yarn add --dev"),
    "pnpm-lock.yaml": ("pnpm", "pnpm install --frozen-lockfile", "pnpm add --save-dev"),
    "bun.lock": ("bun", "bun install --frozen-lockfile", "bun add --dev"),
    "bun.lockb": ("bun", "bun install --frozen-lockfile", "bun add --dev"),
}
_NO_LOCK = ("npm", "npm install", "npm install --save-dev")
#: programs that come with Node.js, and package managers
PROGRAMS = frozenset({"node", "npm", "npx", "yarn", "pnpm", "bun", "bunx", "corepack", "tsc"})
_LISTS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
#: what Node, its bundlers and the TypeScript compiler say of a module that is not there
_NO_MODULE = re.compile(
    r"(?:Cannot find (?:module|package|type definition file for)|Can't resolve|"
    r"Failed to resolve import|Could not resolve) ['\"]([^'\"]+)['\"]"
)
#: npx, which may not fetch anything
_NPX = re.compile(
    r"npx canceled due to missing packages.*?\[\"?([@\w./-]+?)(?:@[\w.^~-]+)?\"?\]", re.DOTALL
)
_FETCH = re.compile(
    r"npm (?:error|ERR!).*?(?:ENOTFOUND|ECONNREFUSED|EAI_AGAIN|request to).*?"
    r"registry\.npmjs\.org/((?:@|%40)?[\w.%/-]+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class NodePackages:
    """The `package.json` nearest to a folder, upwards, and what is installed for it."""

    folder: Path
    manager: str
    #: the command that installs everything, and the one that adds a package
    install: str
    add: str
    #: the packages that it asks for
    declared: frozenset[str]
    #: its `scripts`
    scripts: Mapping[str, str]

    @classmethod
    def of(cls, root: Path) -> NodePackages | None:
        """None where no folder from `root` to the top of its repository has a `package.json`."""
        for folder in (root, *root.parents):
            if (folder / "package.json").is_file():
                return cls._read(folder)
            if (folder / ".git").exists():
                break
        return None

    @classmethod
    def _read(cls, folder: Path) -> NodePackages:
        try:
            table = json.loads((folder / "package.json").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            table = {}
        table = table if isinstance(table, dict) else {}
        locks = (known for lock, known in _MANAGERS.items() if (folder / lock).is_file())
        manager, install, add = next(locks, _NO_LOCK)
        if manager == "yarn" and (folder / ".yarnrc.yml").is_file():
            install = "yarn install --immutable"
        declared = frozenset(name for part in _LISTS for name in _keys(table.get(part)))
        scripts = table.get("scripts")
        return cls(
            folder, manager, install, add, declared, scripts if isinstance(scripts, dict) else {}
        )

    @property
    def installed(self) -> bool:
        """Whether there is anything at all; Yarn may keep packages without `node_modules`."""
        places = ("node_modules", ".pnp.cjs", ".pnp.js")
        return not self.declared or any((self.folder / place).exists() for place in places)

    def missing(self) -> list[str]:
        """The packages that it asks for and that are not installed, in order."""
        if (self.folder / ".pnp.cjs").exists() or (self.folder / ".pnp.js").exists():
            return []
        return sorted(name for name in self.declared if not self.has(name))

    def has(self, package: str) -> bool:
        return (self.folder / "node_modules" / package / "package.json").is_file()

    def lack(self, package: str) -> MissingToolError:
        """That a package is not installed, with the command."""
        if not self.installed:
            return MissingToolError("the workspace's Node packages are not installed", self.install)
        if package in self.declared:
            return MissingToolError(f"the Node package {package} is not installed", self.install)
        said = f"the Node package {package} is not installed, and package.json does not ask for it"
        return MissingToolError(said, f"{self.add} {shlex.quote(package)}")


def program_folders(root: Path) -> list[Path]:
    """`node_modules/.bin` of the workspace and of the folders above it in its repository."""
    found = []
    for folder in (root, *root.parents):
        if (place := folder / "node_modules" / ".bin").is_dir():
            found.append(place)
        if (folder / ".git").exists():
            break
    return found


def find_missing_node_package(root: Path, text: str) -> MissingToolError | None:
    """What is not installed, by the output of a failed program; None if it failed by itself.

    A module that package.json does not ask for, where all that it does ask for is installed, is a
    mistake of the program.
    """
    node = NodePackages.of(root)
    for name in _missing_modules(text):
        if node is None:
            return MissingToolError(
                f"the Node package {name} is not installed, and there is no package.json",
                f"npm install {shlex.quote(name)}",
            )
        if not node.has(name) and (name in node.declared or node.missing() or not node.declared):
            return node.lack(name)
    return None


def _missing_modules(text: str) -> Iterator[str]:
    """The packages of which a text says that they are not there."""
    for found in _NO_MODULE.findall(text):
        # a path is a file of the workspace, `#…` and `~…` are its aliases
        if not found.startswith((".", "/", "#", "~", "node:", "file:")) and ":\\" not in found:
            yield _package(found)
    for pattern in (_NPX, _FETCH):
        for found in pattern.findall(text):
            yield _package(found.replace("%40", "@").replace("%2f", "/").replace("%2F", "/"))


def _package(module: str) -> str:
    """`@scope/name` of `@scope/name/part`, `name` of `name/part`."""
    parts = module.split("/")
    return "/".join(parts[: 2 if module.startswith("@") else 1])


def _keys(table: Any) -> Iterator[str]:
    yield from table if isinstance(table, dict) else ()

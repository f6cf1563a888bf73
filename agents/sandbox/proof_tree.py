"""Copies of a workspace to run commands in, and broken ones, on which a real proof has to fail.

A command that also succeeds on a tree in which nothing is right looks at nothing: `exit 0`,
`… || true`, tests without tests, a `conftest.py` that forces the exit code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrate_agents.sandbox.runs import tree_copy, tree_digest, walk
from orchestrate_agents.tools.node import NodePackages
from orchestrator.gates.checks import Services

#: what tools keep among packages
_CACHES = (".cache", ".vite", ".vitest", ".package-lock")
#: how a command is started and set up, not what it looks at
_SETUP = re.compile(
    r"package\.json|.*lock.*|GNUmakefile|[Mm]akefile|.*\.mk|\.?[Jj]ustfile|Taskfile\.ya?ml|Rakefile|"
    r"pyproject\.toml|setup\.(?:cfg|py)|(?:tox|pytest|mypy)\.ini|noxfile\.py|conftest\.py|"
    r"(?:site|user)customize\.py|[tj]sconfig.*\.json|.*\.(?:config|setup)\.[cm]?[jt]s|.*\.pth|"
    r"Cargo\.toml|go\.(?:mod|sum|work)|Gemfile|pom\.xml|.*\.gradle(?:\.kts)?|turbo\.json|nx\.json|"
    r"\.[\w-]+(?:rc|ignore)(?:\..*)?|\.[\w-]+\.(?:ya?ml|json|toml|[cm]?js)"
)
_RUBBISH = ")]}>\"' broken for a proof {{{ <<<<<<<\n"
#: test files by name → a test that fails, and what fails as soon as the file is read
_FAILING = (
    (
        re.compile(r"(?:test_.*|.*_tests?)\.py"),
        "\n\ndef test_broken_for_a_proof():\n    assert False\n",
        "\n\nraise AssertionError('broken for a proof')\n",
    ),
    (
        re.compile(r".*[._-](?:test|spec)s?\.[cm]?[jt]sx?|(?:test|spec)s?\.[cm]?[jt]sx?"),
        '\ntest("broken for a proof", () => { throw new Error("broken for a proof") })\n',
        '\nthrow new Error("broken for a proof")\n',
    ),
    (
        re.compile(r".*_test\.go"),
        '\nfunc TestBrokenForAProof(t *testing.T) { t.Fatal("broken") }\n',
        '\nfunc init() { panic("broken for a proof") }\n',
    ),
)

_STARTS = re.compile(r"(?m)^if __name__\b")

#: breaks a copy and says whether there was anything to break
Break = Callable[[Path, Collection[str]], bool]


@contextmanager
def workspace_copy(root: Path) -> Iterator[Path]:
    """A copy in which installed packages are found.

    Each Node package is a link of its own, so that what tools keep beside them stays in the copy.
    """
    with tree_copy(root, built=True) as copy:
        found = (f for depth in ("", "*/", "*/*/") for f in root.glob(f"{depth}node_modules"))
        for place in {folder.parent for folder in found}:
            if "node_modules" not in place.relative_to(root).parts:
                _link_packages(place, copy / place.relative_to(root))
        packages = NodePackages.of(root)
        if packages is not None and packages.folder != root:
            _link_packages(packages.folder, copy)
        for name in (".venv", "venv"):
            if (root / name).is_dir():
                (copy / name).symlink_to(root / name)
        _link_within(root, copy)
        yield copy


def _link_within(root: Path, copy: Path) -> None:
    """The workspace's links to other parts of it."""
    top = root.resolve()
    for below, _ in list(walk(str(copy), left_out=frozenset({"node_modules"}))):
        for entry in os.scandir(root / below):
            if entry.is_symlink() and not (copy / below / entry.name).is_symlink():
                target = Path(entry.path).resolve()
                if target.is_relative_to(top) and (copy / target.relative_to(top)).exists():
                    inside = copy / target.relative_to(top)
                    (copy / below / entry.name).symlink_to(inside)


def workspace_digest(services: Services, root: Path) -> str:
    """A digest of the workspace's own files that `workspace_copy` copies."""
    return tree_digest(services, root, built=True)


def _link_packages(place: Path, copy: Path) -> None:
    own, there = place / "node_modules", copy / "node_modules"
    if not own.is_dir() or not copy.is_dir():
        return
    there.mkdir(exist_ok=True)
    for entry in os.scandir(own):
        if not entry.name.startswith(_CACHES):
            with suppress(FileExistsError):
                (there / entry.name).symlink_to(entry.path)


def _subjects(copy: Path, kept: Collection[str], setup: bool = False) -> Iterator[Path]:
    for below, files in walk(str(copy), left_out=frozenset({"node_modules"})):
        for entry in files:
            is_setup = not setup and _SETUP.fullmatch(entry.name)
            if f"{below}{entry.name}" not in kept and not is_setup:
                yield Path(entry.path)


def _spoil(copy: Path, kept: Collection[str]) -> bool:
    return _write_rubbish(_subjects(copy, kept))


def spoil_setup(copy: Path, kept: Collection[str]) -> bool:
    """Spoil also what says how commands are set up."""
    return _write_rubbish(_subjects(copy, kept, setup=True))


def _write_rubbish(subjects: Iterator[Path]) -> bool:
    files = list(subjects)
    for file in files:
        file.write_text(_RUBBISH, encoding="utf-8")
    return bool(files)


def _empty(copy: Path, kept: Collection[str]) -> bool:
    files = list(_subjects(copy, kept))
    for file in files:
        file.write_bytes(b"")
    return bool(files)


def _remove(copy: Path, kept: Collection[str]) -> bool:
    files = list(_subjects(copy, kept))
    for file in files:
        file.unlink()
    return bool(files)


def add_failing_tests(copy: Path, _: Collection[str]) -> bool:
    """Give every test file, also those that are kept, a test that fails."""
    return _append_to_tests(copy, {name: test for name, test, _ in _FAILING})


def raise_in_tests(copy: Path, _: Collection[str]) -> bool:
    """Let every test file fail as a whole, for a command that runs some of its tests only."""
    return _append_to_tests(copy, {name: test for name, _, test in _FAILING})


def _append_to_tests(copy: Path, texts: Mapping[re.Pattern[str], str]) -> bool:
    found = False
    for _, files in walk(str(copy), left_out=frozenset({"node_modules"})):
        for entry in files:
            for name, text in texts.items():
                if name.fullmatch(entry.name):
                    place = Path(entry.path)
                    code = place.read_text(encoding="utf-8", errors="surrogateescape")
                    # what starts the tests of a file stands at its end
                    at = _STARTS.search(code)
                    head, tail = (code[: at.start()], code[at.start() :]) if at else (code, "")
                    place.write_text(f"{head}{text}{tail}", "utf-8", errors="surrogateescape")
                    found = True
    return found


#: how a tree is broken, in the order in which it is tried
BROKEN: dict[str, Break] = {
    "all other files are spoilt": _spoil,
    "all other files are removed": _remove,
    "all other files are empty": _empty,
}

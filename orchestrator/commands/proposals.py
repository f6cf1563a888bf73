"""The commands by which a repository says itself how it is checked."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.commands.definitions import MAKEFILES, simple_commands

#: they do not end, change something outside of a copy, or prove nothing
_NO_PROOF = re.compile(
    r"(?i)(?:^|[:_.-])(?:dev|start|serve|server|watch|preview|deploy|publish|release|install|prepare|"
    r"clean|open|run|up|down|push|eject|storybook|tunnel|studio|migrate|seed|reset|help|upgrade|bump|"
    r"version|init|setup|bootstrap|all|default|fix|write|update|login|logs|shell|docker|image)(?:$|[:_.-])"
)
_LOCKS = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
#: first words of CI's steps that prepare or report
_NO_STEP = re.compile(
    r"(?:sudo|apt|apt-get|brew|pip|pip3|echo|cd|export|set|mkdir|cp|mv|rm|git|docker|curl|wget|source|"
    r"if|for|fi|done|then|else|npx playwright install|(?:npm|pnpm) (?:ci|install|i)|yarn install|"
    r"yarn$|poetry install|uv (?:sync|pip|venv)|corepack|gh|aws|gcloud|python -m pip|twine|chmod|"
    r"ls|cat)\b"
)
_TOOLS = {
    "pytest": "pytest -q", "ruff": "ruff check .", "mypy": "mypy .", "black": "black --check .",
    "pyright": "pyright",
}  # fmt: skip
_PLAIN = re.compile(r"[\w.:/@=+,-]+(?: [\w.:/@=+,*\[\]'\"-]+)*")


@dataclass(frozen=True)
class Proposal:
    """A command, and where the repository has it from."""

    command: str
    sources: tuple[str, ...]


def propose_commands(root: Path) -> list[Proposal]:
    """The commands of a repository that could prove statements, each once."""
    found: dict[str, list[str]] = {}
    for finder in (_node, _make, _just, _task, _python, _rust_and_go, _pre_commit, _ci):
        for command, source in finder(root):
            found.setdefault(command, []).append(source)
    return [Proposal(command, tuple(dict.fromkeys(s))) for command, s in found.items()]


def _text(root: Path, *names: str) -> tuple[str, str]:
    for name in names:
        if (root / name).is_file():
            return name, (root / name).read_text(encoding="utf-8-sig", errors="replace")
    return "", ""


def _table(root: Path, name: str) -> dict[str, Any]:
    _, text = _text(root, name)
    try:
        table = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def _at(table: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _node(root: Path) -> Iterator[tuple[str, str]]:
    manager = next((name for lock, name in _LOCKS.items() if (root / lock).is_file()), "npm")
    nested = sorted(root.glob("*/package.json")) + sorted(root.glob("packages/*/package.json"))
    for file in [root / "package.json", *nested]:
        folder = file.parent.relative_to(root).as_posix()
        if not file.is_file() or "node_modules" in file.parts:
            continue
        path = file.relative_to(root).as_posix()
        scripts = _at(_table(root, path), "scripts")
        for name, script in scripts.items():
            hook = any(name == f"{at}{other}" for at in ("pre", "post") for other in scripts)
            if hook or _NO_PROOF.search(name) or "no test specified" in str(script):
                continue
            prefix = "" if folder == "." else f" --prefix {folder}"
            yield (
                f"{manager}{prefix} test" if name == "test" else f"{manager}{prefix} run {name}",
                f"{path} scripts.{name}",
            )


def _make(root: Path) -> Iterator[tuple[str, str]]:
    name, text = _text(root, *MAKEFILES)
    for target in dict.fromkeys(re.findall(r"(?m)^([A-Za-z][\w-]*)\s*:(?!=)", text)):
        if not _NO_PROOF.search(target):
            yield f"make {target}", f"{name} {target}"


def _just(root: Path) -> Iterator[tuple[str, str]]:
    name, text = _text(root, "justfile", "Justfile", ".justfile")
    for target in dict.fromkeys(re.findall(r"(?m)^@?([A-Za-z][\w-]*)\s*:(?!=)", text)):
        if not _NO_PROOF.search(target):
            yield f"just {target}", f"{name} {target}"


def _yaml(root: Path, name: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(_text(root, name)[1])
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _task(root: Path) -> Iterator[tuple[str, str]]:
    for name in ("Taskfile.yml", "Taskfile.yaml"):
        for target in _at(_yaml(root, name), "tasks"):
            if isinstance(target, str) and not _NO_PROOF.search(target):
                yield f"task {target}", f"{name} {target}"


def _python(root: Path) -> Iterator[tuple[str, str]]:
    table = _table(root, "pyproject.toml")
    tools = _at(table, "tool")
    for tool, command in _TOOLS.items():
        if tool in tools:
            yield command, f"pyproject.toml [tool.{tool}]"
    tests = any((root / "tests").rglob("test_*.py")) or any(root.glob("test_*.py"))
    if "pytest" not in tools and ((root / "pytest.ini").is_file() or tests):
        yield _TOOLS["pytest"], "pytest.ini" if (root / "pytest.ini").is_file() else "its tests"
    for runner, keys in (("poe", ("poe", "tasks")), ("pdm run", ("pdm", "scripts"))):
        for name in _at(tools, *keys):
            if not _NO_PROOF.search(name):
                yield f"{runner} {name}", f"pyproject.toml [tool.{'.'.join(keys)}]"
    for name in _at(tools, "hatch", "envs", "default", "scripts"):
        if not _NO_PROOF.search(name):
            yield f"hatch run {name}", "pyproject.toml [tool.hatch]"
    _, tox = _text(root, "tox.ini")
    for env in re.findall(r"(?m)^\[testenv:([\w.-]+)\]", tox):
        yield f"tox -e {env}", "tox.ini"
    if "[testenv]" in tox:
        yield "tox", "tox.ini"
    _, nox = _text(root, "noxfile.py")
    try:
        sessions = ast.parse(nox).body
    except (SyntaxError, ValueError):
        sessions = []
    for node in sessions:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            yield f"nox -s {node.name}", "noxfile.py"


def _rust_and_go(root: Path) -> Iterator[tuple[str, str]]:
    for file, commands in (
        ("Cargo.toml", ("cargo test", "cargo build", "cargo clippy -- -D warnings")),
        ("go.mod", ("go test ./...", "go vet ./...", "go build ./...")),
    ):
        for command in commands if (root / file).is_file() else ():
            yield command, file


def _pre_commit(root: Path) -> Iterator[tuple[str, str]]:
    name = ".pre-commit-config.yaml"
    if (root / name).is_file():
        yield "pre-commit run --all-files", name


def _ci(root: Path) -> Iterator[tuple[str, str]]:
    files = [*(root / ".github" / "workflows").glob("*.y*ml"), root / ".gitlab-ci.yml"]
    for file in sorted(file for file in files if file.is_file()):
        path = file.relative_to(root).as_posix()
        for step in _steps(_yaml(root, path)):
            for line in step.replace("\\\n", " ").splitlines():
                command = " ".join(line.split())
                if not _PLAIN.fullmatch(command) or _NO_STEP.match(command):
                    continue
                try:
                    words = simple_commands(command)[-1]
                except ValueError:
                    continue
                if not any(map(_NO_PROOF.search, words[:3])):
                    yield command, path


def _steps(node: Any, depth: int = 12) -> Iterator[str]:
    """What a pipeline's `run:` and `script:` keys say."""
    if depth and isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script") and isinstance(value, str):
                yield value
            elif key == "script" and isinstance(value, list):
                yield from (line for line in value if isinstance(line, str))
            else:
                yield from _steps(value, depth - 1)
    elif depth and isinstance(node, list):
        for value in node:
            yield from _steps(value, depth - 1)

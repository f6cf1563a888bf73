"""The scripts of package.json that lint, format, check types or build: which tools they start.

A script's name says nothing of what it does. It counts where its text, followed through other
scripts and targets, starts a tool that is known for the purpose.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrate_agents.tools.node import NodePackages
from orchestrator.commands.definitions import define, plain_words, reader

#: purpose → names of scripts
_NAMES = {
    "lint": ("lint", "lint:check"),
    "format": ("format:check", "check:format", "format-check", "prettier:check"),
    "types": ("typecheck", "type-check", "check-types", "check:types", "types"),
    "build": ("build",),
}
_TOOL = {"lint": "linter", "format": "formatter", "types": "type checker", "build": "build tool"}
#: purpose → how the commands of tools begin
_STARTS = {
    "lint": r"eslint|oxlint|stylelint|tslint|xo|standard|biome (?:lint|check|ci)|golangci-lint run|"
    r"(?:next|ng|deno|vue-cli-service) lint|ruff check|flake8|pylint|cargo clippy|go vet|rubocop",
    "format": r"prettier(?= .*(?:--check|-c|--list-different|-l)(?: |$))|biome (?:format|check|ci)|"
    r"dprint check|(?:ruff format|black|cargo fmt|deno fmt)(?= .*--check(?: |$))|"
    r"isort(?= .*--check)",
    "types": r"tsc|vue-tsc|tsgo|svelte-check|astro check|flow check|mypy|pyright|basedpyright",
    "build": r"(?:vite|next|nuxt|nuxi|astro|ng|gatsby|parcel|remix|react-scripts|vue-cli-service|"
    r"rspack|rsbuild|docusaurus|vitepress|ember|cargo|go|hatch|poetry|uv|flit|bun) build|webpack|"
    r"rollup|esbuild|tsc|vue-tsc|tsup|tsdown|unbuild|microbundle|babel|swc|svelte-package|"
    r"python3? -m build",
}
#: options by which a tool looks at no code, or says that all is well
_IDLE = re.compile(
    r"(?:^| )(?:--?version|-[vVh]|--help|--init|--(?:print|show)-?config|--show-(?:files|settings)|"
    r"--exit-zero|--dry-run|--env-info|--no-config-lookup|--no-eslintrc|--isolated|--noCheck|"
    r"--listFilesOnly|--no-error-on-unmatched-pattern|--pass-on-no-patterns)(?:[ =]|$)",
    re.IGNORECASE,
)
#: by these a script hides how a program ended, or changes the files
_UNSURE = re.compile(r"\|\||[;|<>`$\n]|(?<!&)&(?!&)|--fix\b|--write\b|(?<=\s)-w\b")
#: lines of a Makefile by which a failure is passed over, or something else runs the rules
_LAX_MAKE = re.compile(
    r"(?m)^\t\s*@?-|^\.(?:IGNORE|ONESHELL)\b|^(?:export\s+)?(?:\.?SHELL|\.SHELLFLAGS|MAKEFLAGS)\b"
)
_NOTHING = re.compile(r"\s*(?:exit(?:\s+0)?|true|:|echo\b.*|printf\b.*|)\s*")

#: code that such tools read, and what sets them up
_CODE = re.compile(r"\.(?:[cm]?[jt]sx?|vue|svelte|astro|pyi?|go|rs|rb|css|scss)$")
_SET_UP = re.compile(
    r"(?:^|/)(?:\.[^/]*|[^/]*\.config\.\w+|(?:gulp|grunt)file\.\w+)$", re.IGNORECASE
)


def spoil_code(copy: Path, files: Sequence[str], purpose: str, text: str) -> bool:
    """Put no code of any language into the files of a copy; whether there were any.

    A file that a script names alone is kept: lint that looks at one file is not that of the code.
    """
    code = [p for p in files if _CODE.search(p) and not _SET_UP.search(p)]
    unnamed = [p for p in code if p.rpartition("/")[2] not in text] if purpose != "build" else []
    for path in unnamed or code:
        (copy / path).write_text("}{ ('\n", encoding="utf-8")
    return bool(code)


def find_script(root: Path, files: Sequence[str], purpose: str) -> tuple[str, str, str] | str:
    """The folder, name and text of the script for a purpose, "" if there is none.

    Any other text says why the script that there is proves nothing.
    """
    homes = [p.removesuffix("package.json") for p in files if re.fullmatch(
        r"(?:[^/]+/){0,2}package\.json", p)]  # fmt: skip
    for home in [""] if "" in homes else homes:
        packages = NodePackages.of(root / home)
        for name in _NAMES[purpose] if packages else ():
            text = str((packages.scripts if packages else {}).get(name, ""))
            if not text:
                continue
            if all(_NOTHING.fullmatch(part) for part in text.split("&&")):
                return f"the script `{name}` of package.json does nothing: `{text}`"
            if _UNSURE.search(text):
                if purpose == "build":
                    return f"the script `{name}` may hide how it ends: `{text}`"
                continue
            if not starts_tool(root / home, name, purpose):
                tool = _TOOL[purpose]
                return (
                    f"the script `{name}` starts no {tool} that is known here: `{text}`; name the "
                    f"command in the statement (“`npm run {name}` passes”) and allow it, or have "
                    f"the script start a known {tool}"
                )
            return home, name, text
    return ""


def starts_tool(home: Path, name: str, purpose: str) -> bool:
    """Whether a script of a folder's package.json, where it can be read, starts a known tool."""
    parts = define(f"npm run {name}", reader(home)).parts
    if any(where.endswith("akefile") and _LAX_MAKE.search(text) for where, text in parts):
        return False
    return any(
        re.match(rf"(?:{_STARTS[purpose]})(?: |$)", command) and not _IDLE.search(command)
        for where, text in parts
        for command in _commands(where, text)
    )


def _commands(where: str, text: str) -> Iterator[str]:
    """What a script or a line of a rule starts, so that its end decides; without what wraps it."""
    line = text.removeprefix("\t").lstrip("@ ")
    if (" scripts." not in where and not text.startswith("\t")) or _UNSURE.search(line):
        return
    for piece in line.split("&&"):
        try:
            words = plain_words(shlex.split(piece))
        except ValueError:
            return
        if words[:1] == ["node"]:
            words = [word for word in words[1:] if not word.startswith("--")]
        if not words or ("/" in words[0] and "node_modules/" not in words[0]):
            continue
        words[0] = re.sub(r"\.[cm]?js$", "", words[0].rpartition("/")[2])
        if re.fullmatch(r"python3?", words[0]) and words[1:2] == ["-m"] and words[2:3] != ["build"]:
            words = words[2:]
        yield " ".join(words)

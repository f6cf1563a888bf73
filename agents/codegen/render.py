"""BUILDER's templates, code given as it is, and where rendered scripts run from."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents import render as templates
from orchestrate_agents.specification.files import FileSpec

_LANGUAGES = {
    ".py": ("python", "py", "python3"),
    ".ts": ("typescript", "ts"),
    ".tsx": ("tsx", "typescript", "ts"),
    ".js": ("javascript", "js"),
    ".mjs": ("javascript", "js", "mjs"),
    ".jsx": ("jsx", "javascript", "js"),
    ".sh": ("bash", "sh", "shell"),
    ".sql": ("sql", "postgresql"),
    ".json": ("json", "jsonc"),
    ".yml": ("yaml", "yml"),
    ".yaml": ("yaml", "yml"),
    ".md": ("markdown", "md"),
    ".txt": ("text", "txt", "plaintext"),
}


def render(template: str, **values: Any) -> str:
    """Fill in one of BUILDER's templates."""
    return templates.render(f"builder/{template}", **values)


def script_place(path: str) -> str:
    """An expression for a script two folders below the project; "" where it is there already."""
    depth = len(PurePosixPath(path).parts) - 1
    if depth == 2:
        return ""
    project = f"Path(__file__).resolve().parents[{depth}]"
    return f'{project} / "backend" / "scripts" / Path(__file__).name'


def given_code(spec: FileSpec) -> str:
    """The first code block of the specification in the file's language, ""."""
    languages = (*_LANGUAGES.get(spec.suffix, (spec.suffix.lstrip("."),)), "")
    for block in spec.code:
        if block.text.strip() and block.language.lower() in languages:
            return block.text.rstrip("\n") + "\n"
    return ""

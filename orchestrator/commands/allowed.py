"""USER's leave to run commands: `[checks.allowed]` of orchestrate.toml, bound to what they run.

A line each, so that giving and taking leave changes no other byte of the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from orchestrator.commands.definitions import Definition
from orchestrator.config import FILE
from orchestrator.errors import UsageError

_TABLE = re.compile(r"\s*\[\s*checks\s*\.\s*allowed\s*\]\s*(?:#.*)?\Z")
_HEADER = re.compile(r"\s*\[")


def allow(text: str, definition: Definition) -> str:
    """The text of orchestrate.toml with leave for a command, as it is defined now.

    Raises UsageError if the file cannot be edited so that nothing else changes.
    """
    command = definition.command
    entry = {"sha256": definition.digest, "runs": definition.shown}
    said = ", ".join(f"{key} = {_quoted(value)}" for key, value in entry.items())
    line = f"{_quoted(command)} = {{ {said} }}"
    lines = [old for old in text.splitlines(keepends=True) if not _is_line_of(old, command)]
    end = "\r\n" if "\r\n" in text else "\n"
    at = next((n for n, old in enumerate(lines) if _TABLE.match(old.rstrip("\r\n"))), None)
    if at is None:
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += end
        lines += [end] if lines else []
        lines += [f"[checks.allowed]{end}", f"{line}{end}"]
    else:
        last = at
        for n in range(at + 1, len(lines)):
            if _HEADER.match(lines[n]):
                break
            last = n if lines[n].strip() else last
        if not lines[last].endswith(("\n", "\r")):
            lines[last] += end
        lines.insert(last + 1, f"{line}{end}")
    new = "".join(lines)
    wanted = _parsed(text)
    wanted.setdefault("checks", {}).setdefault("allowed", {})[command] = entry
    return _require(new, wanted, f"add to [checks.allowed]: {line}")


def revoke(text: str, command: str) -> str:
    """The text without leave for a command. Raises UsageError if it has none, or by hand only."""
    wanted = _parsed(text)
    checks = wanted.get("checks", {})
    pinned = checks.get("allowed", {}).pop(command, None)
    listed = command in checks.get("commands", ())
    if pinned is None and not listed:
        raise UsageError(f"`{command}` is not allowed", hint="orchestrate checks allow lists all")
    new = "".join(old for old in text.splitlines(keepends=True) if not _is_line_of(old, command))
    if listed:
        checks["commands"] = [each for each in checks["commands"] if each != command]
        form = rf"(?:{re.escape(_quoted(command))}|'{re.escape(command)}')"
        for pattern in (rf"(?m)^[ \t]*{form}[ \t]*,?[ \t]*(?:#.*)?\r?\n", rf"{form}\s*,[ \t]*",
                        rf",\s*{form}", form):  # fmt: skip
            tried = re.sub(pattern, "", new)
            if tried != new and _says(tried, wanted):
                return tried
    return _require(new, wanted, f"take {_quoted(command)} out of [checks] by hand")


def _require(text: str, wanted: Mapping[str, Any], hint: str) -> str:
    """The text, if it says exactly what is wanted."""
    if not _says(text, wanted):
        raise UsageError(f"{FILE} is written so that it cannot be edited safely", hint=hint)
    return text


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"not valid TOML: {exc}", path=FILE) from exc


def _is_line_of(line: str, command: str) -> bool:
    """Whether it is the line that gives leave for this command."""
    if not line.lstrip().startswith(('"', "'")) or "sha256" not in line:
        return False
    try:
        return list(tomllib.loads(line.strip())) == [command]
    except tomllib.TOMLDecodeError:
        return False


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    said = "".join(
        _ESCAPES.get(c, c if c.isprintable() else "".join(f"\\U{ord(c):08X}")) for c in text
    )
    return f'"{said}"'

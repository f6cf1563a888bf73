"""USER's leave to run commands: `[checks.allowed]` and `[checks.taken]` of orchestrate.toml.

A line each, bound to what they run: giving and taking leave changes no other byte of the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UsageError
from orchestrator.settings.board import FILE

if TYPE_CHECKING:
    from orchestrator.commands.definitions import Definition

ALLOWED, TAKEN = "allowed", "taken"
_HEADER = re.compile(r"\s*\[")


def allow(text: str, definition: Definition) -> str:
    """The text of orchestrate.toml with leave for a command, as it is defined now.

    Raises UsageError if the file cannot be edited so that nothing else changes.
    """
    entry = {"sha256": definition.digest, "runs": definition.shown}
    return _with_entry(text, ALLOWED, definition.command, entry)


def take(text: str, statement: str, definition: Definition) -> str:
    """The text with a command, as it is defined now, that proves a statement. Raises as `allow`."""
    entry = {"command": definition.command, "sha256": definition.digest}
    return _with_entry(text, TAKEN, statement, entry)


def _with_entry(text: str, table: str, key: str, entry: dict[str, str]) -> str:
    said = ", ".join(f"{name} = {_quoted(value)}" for name, value in entry.items())
    line = f"{_quoted(key)} = {{ {said} }}"
    lines = [old for old in text.splitlines(keepends=True) if not _is_line_of(old, key)]
    end = "\r\n" if "\r\n" in text else "\n"
    header = re.compile(rf"\s*\[\s*checks\s*\.\s*{table}\s*\]\s*(?:#.*)?\Z")
    at = next((n for n, old in enumerate(lines) if header.match(old.rstrip("\r\n"))), None)
    if at is None:
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += end
        lines += [end] if lines else []
        lines += [f"[checks.{table}]{end}", f"{line}{end}"]
    else:
        last = at
        for n in range(at + 1, len(lines)):
            if _HEADER.match(lines[n]):
                break
            last = n if lines[n].strip() else last
        if not lines[last].endswith(("\n", "\r")):
            lines[last] += end
        lines.insert(last + 1, f"{line}{end}")
    wanted = _parsed(text)
    wanted.setdefault("checks", {}).setdefault(table, {})[key] = entry
    return _require("".join(lines), wanted, f"add to [checks.{table}]: {line}")


def revoke(text: str, command: str) -> str:
    """The text without leave for a command, or without the one that proves this statement.

    Raises UsageError if there is none, or if it has to be taken out by hand.
    """
    wanted = _parsed(text)
    checks = wanted.get("checks", {})
    pinned = checks.get("allowed", {}).pop(command, None)
    pinned = checks.get(TAKEN, {}).pop(command, None) or pinned
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

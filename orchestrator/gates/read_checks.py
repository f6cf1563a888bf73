"""A workspace's own checks as their text says them, without running a line of it.

To say what a statement binds to takes the patterns alone. Whoever only wants to know that must not
have to trust `checks/*.py` of a workspace that nobody has looked at yet.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.gates.checks import Check, Phase, Result, load_checks, unproven
from orchestrator.gates.expressions import TYPES, compile_pattern, parameter_type


class _NotLiteralError(Exception):
    """A part of a check that is only known when it runs."""


def read_checks(root: Path) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """All checks as `load_checks` finds them, and `file:line: why` for those that cannot be read.

    Checks of the workspace have patterns and a summary, and prove nothing.
    """
    found: dict[str, Check] = {}
    unread: list[str] = []
    for file in sorted((root / "checks").glob("*.py")):
        shown = f"checks/{file.name}"
        try:
            body = ast.parse(file.read_text(encoding="utf-8")).body
        except (OSError, SyntaxError, ValueError, RecursionError) as exc:
            unread.append(f"{shown}: {exc}")
            continue
        known: dict[str, object] = {}
        for node in body:
            try:
                for check in _read(node, known):
                    found[check.name] = check
            except (_NotLiteralError, UsageError) as exc:
                unread.append(f"{shown}:{node.lineno}: {exc}")
    return (*load_checks(root, own=False), *found.values()), tuple(unread)


def _read(node: ast.stmt, known: dict[str, object]) -> list[Check]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]):
            try:
                known[name] = _value(node.value, known)
            except _NotLiteralError:
                known.pop(name, None)
        case ast.Expr(value=ast.Call(func=func, args=args)) if _last_name(func) == "parameter_type":
            kind, pattern = (_value(each, known) for each in args[:2])
            if TYPES.get(str(kind), ("",))[0] != pattern:
                parameter_type(str(kind), str(pattern))
        case ast.FunctionDef():
            calls = [d for d in node.decorator_list if isinstance(d, ast.Call)]
            return [_check(c, node, known) for c in calls if _last_name(c.func) == "check"]
    return []


def _check(call: ast.Call, function: ast.FunctionDef, known: Mapping[str, object]) -> Check:
    patterns = tuple(str(_value(each, known)) for each in call.args)
    for pattern in patterns:
        compile_pattern(pattern)
    options = {each.arg: each.value for each in call.keywords}
    name = str(_value(options["name"], known)) if "name" in options else function.name
    phase = _last_name(options["phase"]) if "phase" in options else "CONTENT"
    text = (ast.get_docstring(function) or name).splitlines()[0]
    evidence = "evidence" in options and bool(_value(options["evidence"], known))
    return Check(name, patterns, _not_run, Phase[phase], 1, text, evidence=evidence)


def _not_run(*_: object, **__: object) -> Result:
    return unproven("the check was read, not loaded")


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _value(node: ast.expr, known: Mapping[str, object]) -> object:
    """What an expression of literals and known names gives. Raises _NotLiteralError."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.JoinedStr(values=parts):
            return "".join(str(_value(part, known)) for part in parts)
        case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
            return _value(inner, known)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            texts = (_value(left, known), _value(right, known))
            if all(isinstance(text, str) for text in texts):
                return "".join(map(str, texts))
    raise _NotLiteralError(f"`{ast.unparse(node)[:60]}` is only known when it runs")

"""Who handles the errors of the calls that a Python program makes to network and database.

A call is *handled* when it stands in the body of a `try` with a handler that can catch what the
call raises and that says or raises something; or when every use of the function that holds it is
handled. A function that is passed on counts as used where its receiver calls it. Functions that the
script never reaches are left aside.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrate_agents.checks.python.calls import DATABASE_METHODS, last_name
from orchestrate_agents.checks.python.scopes import Scope, Source, Tries, Use, read_program

#: handlers of these catch no failed call
_UNRELATED = frozenset(
    (
        *("KeyError", "IndexError", "LookupError", "TypeError", "AttributeError", "NameError"),
        *("ValueError", "UnicodeError", "UnicodeDecodeError", "JSONDecodeError", "ImportError"),
        *("ModuleNotFoundError", "FileNotFoundError", "AssertionError", "StopIteration"),
        *("ArithmeticError", "ZeroDivisionError", "RecursionError", "MemoryError"),
        *("NotImplementedError", "KeyboardInterrupt", "SystemExit"),
    )
)


class Handling(StrEnum):
    """What becomes of an error that a call raises."""

    HANDLED = "handled"
    SWALLOWED = "swallowed"
    BARE = "not handled"


@dataclass(frozen=True)
class OutsideCall:
    """A call to the network or a database, with where it stands."""

    path: str
    line: int
    text: str
    handling: Handling

    def __str__(self) -> str:
        return f"{self.path}:{self.line} `{self.text}` is {self.handling}"


def outside_calls(root: Path, script: Path) -> list[OutsideCall]:
    """Every call to the network or a database that the script can reach, judged.

    Raises SyntaxError for a module that does not parse.
    """
    return _Judge(read_program(root, script)).calls()


class _Judge:
    """Follows the uses of functions to say which calls are reached and handled."""

    def __init__(self, sources: list[Source]) -> None:
        self.script = sources[0]
        self.scopes = [scope for source in sources for scope in source.scopes]
        self.named: dict[str, list[Scope]] = {}
        self.sites: dict[str, list[Use]] = {}
        self.classes = {
            n.name for s in sources for n in ast.walk(s.tree) if isinstance(n, ast.ClassDef)
        }
        self.verdicts: dict[Scope, Handling] = {}
        for scope in self.scopes:
            self.named.setdefault(_called_as(scope), []).append(scope)
            for use in scope.uses:
                self.sites.setdefault(use.name, []).append(use)
        self.reached = self._reached()

    def calls(self) -> list[OutsideCall]:
        """The outside calls of what runs when the script runs."""
        return [
            self._judged(scope, node, tries)
            for scope in self.scopes
            if scope in self.reached
            for node, tries in scope.calls
            if node in scope.module.outside and not self._is_own(node)
        ]

    def _is_own(self, node: ast.Call) -> bool:
        """A function of the program itself; the calls in it are judged where they stand."""
        name = last_name(node.func)
        return name in self.named and name not in DATABASE_METHODS | {"get", "connect"}

    def _judged(self, scope: Scope, node: ast.Call, tries: Tries) -> OutsideCall:
        text = ast.unparse(node)
        short = text if len(text) <= 60 else text[:57] + "…"
        handling = self._handling(scope, tries)
        return OutsideCall(scope.module.path, node.lineno, short, handling)

    def _handling(self, scope: Scope, tries: Tries) -> Handling:
        for guard in tries:
            verdict = self._guards(guard)
            if verdict is not None:
                return verdict
        return self._by_callers(scope)

    def _by_callers(self, scope: Scope) -> Handling:
        """The worst of what the function's uses do with its errors."""
        if not scope.name:
            return Handling.BARE
        if scope not in self.verdicts:
            self.verdicts[scope] = Handling.HANDLED  # recursion: the outer use decides
            found = {
                self._handling(use.scope, use.tries)
                for use in self._runs_of(scope)
                if use.scope is not scope
            }
            worst = (Handling.BARE, Handling.SWALLOWED, Handling.HANDLED)
            self.verdicts[scope] = next((v for v in worst if v in found), Handling.BARE)
        return self.verdicts[scope]

    def _runs_of(self, scope: Scope) -> list[Use]:
        """The places where the function runs: its uses, and those of parameters that it goes to."""
        runs: list[Use] = []
        for use in self.sites.get(_called_as(scope), []):
            if use.scope in self.reached and _means(use, scope):
                runs.extend(self._in_receiver(use) or [use])
        return runs

    def _in_receiver(self, use: Use) -> list[Use]:
        """Where the function that gets `use` as an argument uses that argument."""
        found: list[Use] = []
        for receiver in self.named.get(use.receiver, []) if use.receiver else []:
            parameter = _parameter(receiver, use.place)
            found += [u for u in receiver.all_uses if parameter and u.name == parameter]
        return found

    def _guards(self, guard: ast.Try) -> Handling | None:
        """What the `try` does with a failed call; None if no handler of it can catch one."""
        for handler in guard.handlers:
            kinds = _kinds(handler)
            if kinds and all(self._cannot_catch(kind) for kind in kinds):
                continue
            return Handling.HANDLED if _speaks(handler) else Handling.SWALLOWED
        return None

    def _cannot_catch(self, kind: str) -> bool:
        """An unrelated built-in, or an error class of the program's own (libraries know none)."""
        return kind in _UNRELATED or kind in self.classes

    def _reached(self) -> set[Scope]:
        """The scopes that run when the script runs, by name.

        Of a script that calls nothing itself, all functions count: others call them.
        """
        queue = [scope for scope in self.scopes if not scope.name]
        used = {use.name for use in self.script.scopes[0].uses}
        if not used & {scope.name for scope in self.script.scopes if not scope.owner}:
            queue.extend(self.script.scopes[1:])
        reached = set(queue)
        while queue:
            for use in queue.pop().uses:
                named = (s for s in self.named.get(use.name, ()) if s not in reached)
                fresh = [scope for scope in named if _means(use, scope)]
                reached.update(fresh)
                queue.extend(fresh)
        return reached


def _called_as(scope: Scope) -> str:
    """The name by which a function runs: a special method runs by its class."""
    special = scope.name.startswith("__") and scope.owner
    return scope.owner if special else scope.name


def _means(use: Use, scope: Scope) -> bool:
    """Whether a use of the scope's name can be a use of the scope."""
    if scope.parent is not None:
        return any(use is inside for inside in scope.parent.all_uses)
    if scope.owner:
        return True
    here = use.scope.module is scope.module
    return not use.attribute and (here or scope.name in use.scope.module.imports)


def _parameter(receiver: Scope, place: int | str) -> str:
    if isinstance(place, str):
        return place if place in receiver.parameters else ""
    bound = bool(receiver.owner) and receiver.parameters[:1] in (("self",), ("cls",))
    parameters = receiver.parameters[1:] if bound else receiver.parameters
    return parameters[place] if place < len(parameters) else ""


def _kinds(handler: ast.ExceptHandler) -> list[str]:
    """The last names of the handler's exception classes; empty for a bare `except`."""
    if handler.type is None:
        return []
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [last_name(part) or ast.unparse(part) for part in parts]


def _speaks(handler: ast.ExceptHandler) -> bool:
    """Whether the handler raises, calls something, counts, keeps the error or returns an answer."""
    for node in (n for statement in handler.body for n in ast.walk(statement)):
        if isinstance(node, ast.Raise | ast.Call | ast.AugAssign):
            return True
        if isinstance(node, ast.Name) and node.id == handler.name:
            return True
        if isinstance(node, ast.Return) and not _is_empty(node.value):
            return True
    return False


def _is_empty(value: ast.expr | None) -> bool:
    if value is None or (isinstance(value, ast.Constant) and value.value in (None, "")):
        return True
    return (isinstance(value, ast.List | ast.Tuple | ast.Set) and not value.elts) or (
        isinstance(value, ast.Dict) and not value.keys
    )

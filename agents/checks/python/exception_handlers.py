"""Who handles the errors of the calls that a Python program makes to network and database.

A call is *handled* when it is in the body of a `try` with a handler that can catch what the call
raises and that reports or raises something; or when every use of the function around it is handled.
A function that is passed on counts as used where its receiver calls it. Functions that the script
never reaches are ignored.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrate_agents.checks.python.calls import DATABASE_METHODS, last_name
from orchestrate_agents.checks.python.scopes import Scope, Source, Tries, Use, read_program
from orchestrator.gates.checks import Context

#: handlers of these do not catch a failed call
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
    """What happens to an error that a call raises."""

    HANDLED = "handled"
    SWALLOWED = "swallowed"
    BARE = "not handled"


@dataclass(frozen=True)
class OutsideCall:
    """A call to the network or a database, with its place."""

    path: str
    line: int
    text: str
    handling: Handling

    def __str__(self) -> str:
        return f"{self.path}:{self.line} `{self.text}` is {self.handling}"


def find_outside_calls(ctx: Context, path: str) -> list[OutsideCall]:
    """Every call to the network or a database that the script can reach, judged.

    Raises SyntaxError for a module that does not parse.
    """
    return _Program(read_program(ctx, path)).judge_calls()


class _Program:
    """Follows the uses of functions to find which calls are reached and handled."""

    def __init__(self, sources: list[Source]) -> None:
        self.script = sources[0]
        self.scopes = [scope for source in sources for scope in source.scopes]
        self.named: dict[str, list[Scope]] = defaultdict(list)
        self.uses: dict[str, list[Use]] = defaultdict(list)
        self.classes = {n.name for s in sources for n in s.nodes if isinstance(n, ast.ClassDef)}
        self.by_scope: dict[Scope, Handling] = {}
        for scope in self.scopes:
            self.named[_called_as(scope)].append(scope)
            for use in scope.uses:
                self.uses[use.name].append(use)
        self.reached = self._find_reached()

    def judge_calls(self) -> list[OutsideCall]:
        """The outside calls of what runs when the script runs."""
        calls = []
        for scope in self.scopes:
            for node, tries in scope.calls if scope in self.reached else ():
                name = last_name(node.func)
                # a function of the program itself: the calls in it are judged where they are
                own = name in self.named and name not in DATABASE_METHODS | {"get", "connect"}
                if node in scope.module.outside and not own:
                    text = ast.unparse(node)
                    short = text if len(text) <= 60 else text[:57] + "…"
                    handling = self._judge(scope, tries)
                    calls.append(OutsideCall(scope.module.path, node.lineno, short, handling))
        return calls

    def _judge(self, scope: Scope, tries: Tries) -> Handling:
        """What happens to an error inside these `try`s, innermost first, else in the callers."""
        for handler in (handler for guard in tries for handler in guard.handlers):
            kinds = _exception_names(handler)
            # an unrelated built-in, or an error of the program's own, which libraries do not raise
            if not kinds or any(k not in _UNRELATED and k not in self.classes for k in kinds):
                return Handling.HANDLED if _reacts(handler) else Handling.SWALLOWED
        if not scope.name:
            return Handling.BARE
        if scope not in self.by_scope:
            self.by_scope[scope] = Handling.HANDLED  # recursion: the outer use decides
            found = {
                self._judge(use.scope, use.tries)
                for use in self._find_runs(scope)
                if use.scope is not scope
            }
            worst = (Handling.BARE, Handling.SWALLOWED, Handling.HANDLED)
            self.by_scope[scope] = next((v for v in worst if v in found), Handling.BARE)
        return self.by_scope[scope]

    def _find_runs(self, scope: Scope) -> Iterator[Use]:
        """Where the function runs: its uses, and those of parameters that it is passed to."""
        for use in self.uses.get(_called_as(scope), ()):
            if use.scope not in self.reached or not _may_mean(use, scope):
                continue
            passed_on = []
            for receiver in self.named.get(use.receiver, ()) if use.receiver else ():
                if parameter := _find_parameter(receiver, use.place):
                    passed_on += [u for u in receiver.all_uses if u.name == parameter]
            yield from passed_on or [use]

    def _find_reached(self) -> set[Scope]:
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
                for scope in self.named.get(use.name, ()):
                    if scope not in reached and _may_mean(use, scope):
                        reached.add(scope)
                        queue.append(scope)
        return reached


def _called_as(scope: Scope) -> str:
    """The name by which a function runs: a special method runs by its class."""
    special = scope.name.startswith("__") and scope.owner
    return scope.owner if special else scope.name


def _may_mean(use: Use, scope: Scope) -> bool:
    """Whether a use of the scope's name can be a use of the scope."""
    if scope.parent is not None:
        return any(use is inside for inside in scope.parent.all_uses)
    if scope.owner:
        return True
    here = use.scope.module is scope.module
    return not use.attribute and (here or scope.name in use.scope.module.imports)


def _find_parameter(receiver: Scope, place: int | str) -> str:
    """The parameter at a position or of a name, "" if there is none."""
    if isinstance(place, str):
        return place if place in receiver.parameters else ""
    bound = bool(receiver.owner) and receiver.parameters[:1] in (("self",), ("cls",))
    parameters = receiver.parameters[1:] if bound else receiver.parameters
    return parameters[place] if place < len(parameters) else ""


def _exception_names(handler: ast.ExceptHandler) -> list[str]:
    """The last names of the handler's exception classes; empty for a bare `except`."""
    if handler.type is None:
        return []
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [last_name(part) or ast.unparse(part) for part in parts]


def _reacts(handler: ast.ExceptHandler) -> bool:
    """Whether the handler raises, calls something, counts, keeps the error or returns a value."""
    for node in (n for statement in handler.body for n in ast.walk(statement)):
        match node:
            case ast.Raise() | ast.Call() | ast.AugAssign():
                return True
            case ast.Name(id=name) if name == handler.name:
                return True
            case ast.Return(value=None | ast.Constant(value=None | "")):
                continue
            case ast.Return(value=ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Set(elts=[])):
                continue
            case ast.Return(value=ast.Dict(keys=[])):
                continue
            case ast.Return():
                return True
    return False

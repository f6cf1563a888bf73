"""A Python program taken apart: its functions, their calls, the `try`s around every use."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from orchestrate_agents.checks.python.calls import (
    clients_in,
    imported_names,
    last_name,
    leaves_process,
)
from orchestrate_agents.sandbox.import_closure import closure_of
from orchestrate_agents.syntax import nodes_of
from orchestrator.gates.checks import Context
from orchestrator.gates.once import once

#: innermost first
Tries = tuple[ast.Try, ...]


@dataclass(frozen=True, eq=False)
class Use:
    """One place where a name or an attribute is read."""

    name: str
    tries: Tries
    scope: Scope
    #: `x.name` rather than `name`
    attribute: bool = False
    #: function that gets it as an argument, and in which place (a number or a keyword)
    receiver: str = ""
    place: int | str = 0


@dataclass(eq=False)
class Scope:
    """A function, a lambda, or a module's own statements (which have no name)."""

    name: str
    module: Source
    #: class that the function is a method of, or ""
    owner: str = ""
    parameters: tuple[str, ...] = ()
    calls: list[tuple[ast.Call, Tries]] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    #: function that this one is defined in, if any
    parent: Scope | None = None
    #: scopes inside this one
    inner: list[Scope] = field(default_factory=list)

    @property
    def all_uses(self) -> Iterator[Use]:
        """The uses here and in the scopes inside."""
        yield from self.uses
        for scope in self.inner:
            yield from scope.all_uses


@dataclass(eq=False)
class Source:
    """One module of the program."""

    path: str
    #: all of its nodes, the module itself first
    nodes: tuple[ast.AST, ...]
    #: names that it imports, and the dotted names that they stand for
    imports: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    #: what its string constants say
    strings: frozenset[str] = frozenset()
    scopes: list[Scope] = field(default_factory=list)
    #: the calls that leave the process
    outside: set[ast.Call] = field(default_factory=set)


def read_program(ctx: Context, path: str) -> list[Source]:
    """The script, first, and the workspace's own modules that it imports, taken apart.

    Raises SyntaxError for a module that does not parse.
    """
    modules = [name for name in closure_of(ctx, path) if name.endswith(".py")]
    texts = {name: (ctx.root / name).read_text(encoding="utf-8-sig") for name in (path, *modules)}
    return [_take_apart(name, text) for name, text in texts.items()]


def find_libraries(ctx: Context, path: str) -> set[str]:
    """Top-level packages that the script and the workspace's modules below it import."""
    try:
        sources = read_program(ctx, path)
    except (SyntaxError, UnicodeDecodeError):
        return set()
    return {name.partition(".")[0] for source in sources for name in source.origins}


@once(512)
def _take_apart(path: str, text: str) -> Source:
    nodes = nodes_of(text, path)
    imports = imported_names(nodes)
    constants = (n.value for n in nodes if isinstance(n, ast.Constant))
    strings = frozenset(value for value in constants if isinstance(value, str))
    source = Source(path, nodes, frozenset(imports), frozenset(imports.values()), strings)
    _Collector(source, imports).visit(nodes[0])
    return source


class _Collector(ast.NodeVisitor):
    """Walks one module."""

    def __init__(self, source: Source, imported: dict[str, str]) -> None:
        self.source = source
        self.scope = Scope("", source)
        source.scopes.append(self.scope)
        self.owner = ""
        self.tries: Tries = ()
        module = source.nodes[0]
        assert isinstance(module, ast.Module)
        self.names = {**imported, **clients_in(module, imported, source.nodes)}
        self.receiver: tuple[str, int | str] = ("", 0)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self.owner = self.owner, node.name
        self.generic_visit(node)
        self.owner = outer

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for child in (*node.decorator_list, *node.args.defaults):
            self.visit(child)
        self._enter(node.name, node.args, node.body, clients_in(node, self.names))

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        name = f"lambda:{node.lineno}:{node.col_offset}"
        self._use(name)
        self._enter(name, node.args, [node.body], {})

    def _enter(
        self,
        name: str,
        arguments: ast.arguments,
        body: Sequence[ast.AST],
        clients: dict[str, str],
    ) -> None:
        """Collect what a function's body contains."""
        outer = self.scope, self.tries, self.owner, self.names
        listed = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        parameters = tuple(argument.arg for argument in listed)
        parent = self.scope if self.scope.name and not self.owner else None
        scope = Scope(name, self.source, self.owner, parameters, parent=parent)
        self.scope.inner.append(scope)
        self.source.scopes.append(scope)
        self.scope, self.tries, self.owner, self.receiver = scope, (), "", ("", 0)
        self.names = {**self.names, **clients}
        for child in body:
            self.visit(child)
        self.scope, self.tries, self.owner, self.names = outer

    def visit_Try(self, node: ast.Try) -> None:
        outer = self.tries
        self.tries = (node, *outer)
        for child in node.body:
            self.visit(child)
        self.tries = outer
        for other in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(other)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item)
        outer = self.tries
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and last_name(call.func) == "suppress":
                # the `try: … except E: pass` that it is
                kinds = ast.Tuple(elts=call.args, ctx=ast.Load())
                handler = ast.ExceptHandler(type=kinds, name=None, body=[ast.Pass()])
                guard = ast.Try(body=node.body, handlers=[handler], orelse=[], finalbody=[])
                self.tries = (guard, *self.tries)
        for child in node.body:
            self.visit(child)
        self.tries = outer

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        self.scope.calls.append((node, self.tries))
        if leaves_process(node, self.names):
            self.source.outside.add(node)
        self.visit(node.func)
        arguments: list[tuple[int | str, ast.expr]] = list(enumerate(node.args))
        arguments += [(keyword.arg or "", keyword.value) for keyword in node.keywords]
        for place, value in arguments:
            outer = self.receiver
            plain = isinstance(value, ast.Name | ast.Attribute | ast.Lambda)
            self.receiver = (last_name(node.func), place) if plain else ("", 0)
            self.visit(value)
            self.receiver = outer

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            self._use(node.attr, attribute=True)
        outer, self.receiver = self.receiver, ("", 0)
        self.visit(node.value)
        self.receiver = outer

    def _use(self, name: str, *, attribute: bool = False) -> None:
        use = Use(name, self.tries, self.scope, attribute, *self.receiver)
        self.scope.uses.append(use)

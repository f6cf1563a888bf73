"""Which statements of a Python body can run where its module is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: conditions that do not hold where a module is imported
_NEVER = frozenset(
    {"TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'", "'__main__' == __name__"}
)


def reached(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that can run: not what is behind `raise`, or under `if False`."""
    for node in body:
        if isinstance(node, ast.If | ast.While) and (value := _constant(node.test)) is not None:
            is_loop = isinstance(node, ast.While)
            yield from reached(node.body if value else node.orelse)
            if value and is_loop:
                return
            continue
        yield node
        if isinstance(node, ast.Raise | ast.Return | ast.Break | ast.Continue) or _ends(node):
            return


def _ends(node: ast.stmt) -> bool:
    called = node.value if isinstance(node, ast.Expr) else None
    ends = ("exit", "quit", "sys.exit", "os._exit")
    return isinstance(called, ast.Call) and ast.unparse(called.func) in ends


def _constant(test: ast.expr) -> bool | None:
    """Whether a condition always or never holds for who imports it; None if it is not known."""
    if ast.unparse(test) in _NEVER:
        return False
    allowed = (ast.Constant, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.unaryop, ast.boolop,
               ast.cmpop, ast.expr_context, ast.Tuple, ast.List)  # fmt: skip
    if not all(isinstance(node, allowed) for node in ast.walk(test)):
        return None
    try:
        return bool(eval(compile(ast.Expression(test), "", "eval"), {"__builtins__": {}}))  # noqa: S307 - constants only
    except (TypeError, ValueError):
        return None

"""Python's syntax trees, read by several threads."""

from __future__ import annotations

import ast
import threading

from orchestrator.gates.once import once

_ONE_AT_A_TIME = threading.Lock()
#: modules of a program are asked for by many checks, and their trees are large
_MOST_TREES = 128


def parsed(text: str, path: str = "<unknown>") -> ast.Module:
    """The tree of a module's text. Raises as `ast.parse` does (SyntaxError, ValueError, …).

    CPython 3.11 counts the depth of the tree that it makes for all threads together: where a
    finalizer gives way to another thread that parses too, both counts are wrong and SystemError is
    raised (https://github.com/python/cpython/issues/106905).
    """
    with _ONE_AT_A_TIME:
        return ast.parse(text, path)


@once(_MOST_TREES)
def nodes_of(text: str, path: str = "<unknown>") -> tuple[ast.AST, ...]:
    """All nodes of a module's text, the module first, in the order of `ast.walk`.

    Raises as `parsed`.
    """
    found: list[ast.AST] = [parsed(text, path)]
    for node in found:  # which grows meanwhile; `ast.walk` takes several times as long
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                found.append(value)
            elif isinstance(value, list):
                found += [each for each in value if isinstance(each, ast.AST)]
    return tuple(found)

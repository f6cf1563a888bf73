"""Python's syntax trees, read by several threads."""

from __future__ import annotations

import ast
import threading

_ONE_AT_A_TIME = threading.Lock()


def parsed(text: str, path: str = "<unknown>") -> ast.Module:
    """The tree of a module's text. Raises as `ast.parse` does (SyntaxError, ValueError, …).

    CPython 3.11 counts the depth of the tree that it makes for all threads together: where a
    finalizer gives way to another thread that parses too, both counts are wrong and SystemError is
    raised (https://github.com/python/cpython/issues/106905).
    """
    with _ONE_AT_A_TIME:
        return ast.parse(text, path)

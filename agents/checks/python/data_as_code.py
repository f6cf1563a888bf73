"""Places where a program makes code of data: what it does then is not to be read in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from orchestrate_agents.checks.python.calls import imported_names
from orchestrate_agents.checks.python.scopes import read_program
from orchestrator.gates.checks import Context

_BUILT_IN = frozenset({"exec", "eval", "compile", "__import__", "__builtins__"})
#: what makes code of a text or of bytes; a dot at the end: all of a module
_MAKERS = (
    *("builtins.", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.", "shelve."),
    *("dill.", "cloudpickle.", "jsonpickle.", "joblib.load", "pandas.read_pickle", "torch.load"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load", "runpy.", "code.", "codeop.", "imp."),
    *("ctypes.", "cffi.", "types.FunctionType", "types.CodeType", "os.system", "os.popen"),
    *("importlib.util.spec_from_file_location", "importlib.machinery."),
)
#: what is harmless without such an argument
_ONLY_WITH = {"numpy.load": "allow_pickle", "subprocess.": "shell"}
_SAFE_LOADER = "Safe"
_SHOWN = 80


def code_of_data(ctx: Context, path: str) -> Iterator[str]:
    """`file:line makes code of data: …`, for a script and the modules of its workspace."""
    for source in read_program(ctx, path):
        imported = imported_names(source.nodes)
        own = {
            node.name
            for node in source.nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        known = _BUILT_IN - own - imported.keys()
        called: set[int] = set()
        for node in source.nodes:
            if isinstance(node, ast.Call):
                called.add(id(node.func))
                found = _is_maker(node, imported, known)
            else:
                # `run = eval`: what is done with it is not followed
                found = isinstance(node, ast.Name) and id(node) not in called and node.id in known
            if found:
                line = getattr(node, "lineno", 0)
                yield f"{source.path}:{line} makes code of data: `{_shown(node)}`"


def _is_maker(node: ast.Call, imported: Mapping[str, str], known: frozenset[str]) -> bool:
    fixed = bool(node.args) and isinstance(node.args[0], ast.Constant)
    if isinstance(node.func, ast.Name) and node.func.id in known:
        return not fixed
    name = origin(node.func, imported)
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    for start, argument in _ONLY_WITH.items():
        if name.startswith(start):
            return given.get(argument, "False") != "False" and not fixed
    if name == "yaml.load" and _SAFE_LOADER in ast.unparse(node):
        return False
    made = any(name.startswith(m) if m.endswith(".") else name == m for m in _MAKERS)
    return made and not (fixed and name.startswith("os."))


def origin(node: ast.expr, imported: Mapping[str, str]) -> str:
    """`pickle.load` for `p.load` after `import pickle as p`; "" for what is not imported."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = origin(node.value, imported)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _shown(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:_SHOWN]

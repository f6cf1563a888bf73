"""Conditions by which a program tells where and when it runs, to do something else elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from orchestrate_agents.checks.python.calls import imported_names
from orchestrate_agents.checks.python.data_as_code import origin
from orchestrate_agents.checks.python.scopes import Source, read_program
from orchestrator.gates.checks import Context

#: what tells one machine, process or run from another; a dot at the end: all of a module
_TELLERS = (
    *("socket.gethostname", "socket.getfqdn", "socket.gethostbyname", "platform.node"),
    *("platform.uname", "os.uname", "os.getlogin", "os.getpid", "os.getppid", "getpass.getuser"),
    *("uuid.getnode", "uuid.uuid1", "uuid.uuid4", "random.", "secrets.", "os.urandom"),
)
#: whoever calls, and what was loaded before
_FRAMES = (
    *("sys._getframe", "sys.gettrace", "sys.getprofile", "sys.modules", "inspect.stack"),
    *("inspect.currentframe", "gc.get_objects", "gc.get_referrers"),
)
_CLOCKS = re.compile(
    r"datetime\.(?:datetime|date)\.(?:now|utcnow|today)|time\.(?:time(?:_ns)?|localtime|gmtime"
    r"|strftime|ctime|asctime)"
)
#: what only a proof gives, and places that describe a machine
_SAID = re.compile(
    r"SANDBOX_(?:ROUTES|SEEN)|.*\borchestrate-(?:run|script|home)\b.*"
    r"|/\.dockerenv|/(?:proc|sys)(?:/.*)?|/etc/(?:hostname|machine-id|os-release)"
)


def tells_itself_apart(ctx: Context, path: str) -> Iterator[str]:
    """`file:line …` of each such condition, in a script and the modules of its workspace."""
    for source in read_program(ctx, path):
        imported = imported_names(source.nodes)
        for line, what in sorted(_told(source, imported)):
            yield f"{source.path}:{line} may do something else where {what} says otherwise"


def _told(source: Source, imported: Mapping[str, str]) -> set[tuple[int, str]]:
    kept = _kept(source, imported)
    found = set()
    for node in source.nodes:
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _SAID.fullmatch(node.value):
                found.add((line, repr(node.value)))
        elif isinstance(node, ast.Attribute) and origin(node, imported) in _FRAMES:
            found.add((line, origin(node, imported)))
        for test in _tests(node):
            found |= {(test.lineno, name) for name in _tellers(test, imported, kept)}
            found |= {(test.lineno, name) for name in _appointed(test, imported, kept)}
    return found


def _kept(source: Source, imported: Mapping[str, str]) -> dict[str, str]:
    """Names that hold what a clock or a teller said → its name."""
    kept: dict[str, str] = {}
    for node in source.nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            conditions = [*_tellers(node.value, imported, {}), *_clocks(node.value, imported, {})]
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            alone = not _variables(node.value, imported)
            for target in targets:
                if conditions and alone and isinstance(target, ast.Name):
                    kept[target.id] = conditions[0]
    return kept


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """The conditions of a node."""
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        yield node.test
    elif isinstance(node, ast.comprehension):
        yield from node.ifs
    elif isinstance(node, ast.BoolOp):
        yield from node.values[:-1]
    elif isinstance(node, ast.Match):
        yield node.subject


def _tellers(test: ast.expr, imported: Mapping[str, str], kept: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(test):
        name = origin(node, imported) if isinstance(node, ast.Name | ast.Attribute) else ""
        if any(name.startswith(t) if t.endswith(".") else name == t for t in _TELLERS):
            yield name
            continue
        held = kept.get(node.id, "") if isinstance(node, ast.Name) else ""
        if held and not _CLOCKS.fullmatch(held):
            yield held


def _clocks(test: ast.expr, imported: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    found = []
    for node in ast.walk(test):
        name = origin(node, imported) if isinstance(node, ast.Name | ast.Attribute) else ""
        held = kept.get(node.id, "") if isinstance(node, ast.Name) else ""
        found += [said for said in (name, held) if _CLOCKS.fullmatch(said)]
    return found


def _appointed(
    test: ast.expr, imported: Mapping[str, str], kept: Mapping[str, str]
) -> Iterator[str]:
    """Clocks that are compared with a day, an hour or a second that the program itself names."""
    for node in ast.walk(test):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            each = [_clocks(side, imported, kept) for side in sides]
            # two readings of clocks say how long something took
            clocks = [name for names in each for name in names if len(names) == 1]
            others = [v for side in sides for v in _variables(side, imported) if v not in kept]
            if clocks and not others:
                yield clocks[0]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            yield from _clocks(node.left, imported, kept)


def _variables(node: ast.expr, imported: Mapping[str, str]) -> set[str]:
    """Names in an expression that are not imports."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in imported}

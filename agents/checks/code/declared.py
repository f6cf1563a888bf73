"""What a source file declares: functions with parameters, classes, methods, constants, types.

Python is read by its own parser. JavaScript and TypeScript are read without comments and strings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from orchestrate_agents.checks.code.reached import reached
from orchestrate_agents.checks.text.kinds import JAVASCRIPT, Kind
from orchestrate_agents.checks.text.tree import Source
from orchestrate_agents.syntax import parsed

PYTHON = (".py", ".pyi")
READ = (*PYTHON, *JAVASCRIPT)


@dataclass(frozen=True)
class Parameter:
    """One parameter, with its type and default as written."""

    name: str
    type: str = ""
    default: str = ""


@dataclass(frozen=True)
class Declared:
    """One declaration."""

    #: `total`, or `Basket.total` for a method
    name: str
    #: "function", "method", "class", "constant", "type", "nested"
    kind: str
    line: int
    parameters: tuple[Parameter, ...] = ()
    returns: str = ""
    documented: bool = False
    exported: bool = False
    default: bool = False
    #: it takes more than its parameters say: `**options`, `...rest`, an object that is not named
    open: bool = False

    @property
    def public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))


@dataclass(frozen=True)
class Module:
    """What a file declares; `complete` is False where it may declare more."""

    path: str
    found: tuple[Declared, ...] = ()
    complete: bool = True
    documented: bool = False
    defaults: frozenset[str] = field(default_factory=frozenset)

    def named(self, name: str) -> list[Declared]:
        """The declarations of that name; of a method's bare name, too."""
        exact = [d for d in self.found if d.name == name]
        within = [d for d in self.found if d.kind != "nested"]
        return exact or [d for d in within if d.name.rpartition(".")[2] == name]


def declarations(source: Source) -> Module | str:
    """A file's declarations, or why they cannot be read."""
    suffix = PurePosixPath(source.path).suffix.lower()
    if suffix in PYTHON:
        try:
            tree = parsed(source.text, source.path)
        except (SyntaxError, ValueError, RecursionError) as exc:
            return f"{source.path} is not Python that can be parsed: {exc}"
        dynamic = any(
            isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names) for n in tree.body
        )
        found = tuple(_python(tree.body, ""))
        gone = {d.name for d in found if d.kind == "gone"}
        kept = tuple(d for d in found if d.name not in gone and not _is_below(d, gone))
        return Module(source.path, kept, not (dynamic or gone), bool(ast.get_docstring(tree)))
    if suffix in JAVASCRIPT:
        return _javascript(source)
    return f"no parser here reads {suffix or source.path}"


# -- Python ----------------------------------------------------------------------------------------


def _python(body: list[ast.stmt], owner: str) -> Iterator[Declared]:
    """What is declared when a body has run; kind "gone" for what it may have deleted."""
    found: list[Declared] = []
    prefix = f"{owner}." if owner else ""
    for node in reached(body):
        new = list(_statement(node, owner))
        lost: set[str] = set()
        if isinstance(node, ast.Delete):
            lost = {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            # `total = None` after `def total` leaves no function
            lost = {t.id for t in node.targets if isinstance(t, ast.Name)}
        else:
            # a part of it may not run: what it deletes may be there or not
            new += [Declared(prefix + n, "gone", node.lineno) for n in sorted(_deleted(node))]
        names = {prefix + name for name in lost}
        found = [d for d in found if d.name not in names and not _is_below(d, names)] + new
    yield from found


def _deleted(node: ast.AST) -> set[str]:
    """The names that a part of a statement deletes, in the scope of the statement."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return set()
    targets = node.targets if isinstance(node, ast.Delete) else ()
    own = {t.id for t in targets if isinstance(t, ast.Name)}
    return own.union(*map(_deleted, ast.iter_child_nodes(node)))


def _is_below(declared: Declared, names: set[str]) -> bool:
    return any(declared.name.startswith(f"{name}.") for name in names)


def _statement(node: ast.stmt, owner: str) -> Iterator[Declared]:
    """What one statement declares."""
    prefix = f"{owner}." if owner else ""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        listed = list(_parameters(node.args))
        static = any(
            isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list
        )
        yield Declared(
            prefix + node.name,
            "method" if owner else "function",
            node.lineno,
            tuple(listed[1:] if owner and not static else listed),
            ast.unparse(node.returns) if node.returns else "",
            bool((ast.get_docstring(node) or "").strip()),
            open=bool(node.args.kwarg),
        )
        yield from (replace(d, kind="nested") for d in _nested(node))
    elif isinstance(node, ast.ClassDef):
        inner = list(_python(node.body, prefix + node.name))
        own = next((d for d in inner if d.name == f"{prefix}{node.name}.__init__"), None)
        fields = own.parameters if own else tuple(_fields(node))
        doc = bool((ast.get_docstring(node) or "").strip())
        yield Declared(
            prefix + node.name,
            "class",
            node.lineno,
            fields,
            documented=doc,
            open=bool(node.bases) or (own.open if own else False),
        )
        yield from inner
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for name in (t.id for t in targets if isinstance(t, ast.Name)):
            typed = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            yield Declared(prefix + name, "constant", node.lineno, returns=typed)
    elif isinstance(node, ast.If | ast.Try):
        handlers = [s for h in getattr(node, "handlers", ()) for s in h.body]
        for body in (node.body, node.orelse, handlers):
            yield from _python(body, owner)
    elif isinstance(node, ast.With):
        yield from _python(node.body, owner)


def _nested(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Declared]:
    """The functions that are declared in a function."""
    for inner in ast.walk(node):
        if inner is not node and isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            (symbol, *_) = _python([inner], "")
            yield replace(symbol, name=f"{node.name}.{symbol.name}")


def _parameters(args: ast.arguments) -> Iterator[Parameter]:
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    pairs = [
        *zip(positional, defaults, strict=True),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    for arg, default in pairs:
        typed = ast.unparse(arg.annotation) if arg.annotation else ""
        yield Parameter(arg.arg, typed, ast.unparse(default) if default is not None else "")


def _fields(node: ast.ClassDef) -> Iterator[Parameter]:
    """The fields of a class that is called with them, as a dataclass is."""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            default = ast.unparse(item.value) if item.value else ""
            yield Parameter(item.target.id, ast.unparse(item.annotation), default)


# -- JavaScript ------------------------------------------------------------------------------------

_ID = r"[A-Za-z_$][\w$]*"
_HEAD = re.compile(
    rf"^(?P<lead>[ \t]*)(?P<export>export\s+)?(?P<default>default\s+)?(?:declare\s+)?(?:"
    rf"(?:async\s+)?function\s*\*?\s*(?P<function>{_ID})"
    rf"|(?:abstract\s+)?class\s+(?P<class>{_ID})"
    rf"|(?:interface|type|(?:const\s+)?enum)\s+(?P<type>{_ID})"
    rf"|(?:const|let|var)\s+(?P<const>{_ID})(?P<after>\s*(?::(?:[^=;\n]|=>)*)?=(?![=>])\s*)?)",
    re.MULTILINE,
)
_ARROW = re.compile(
    rf"(?:React\.)?(?:memo|forwardRef|useCallback)?(?:<[^()]*>)?\(?\s*(?:async\s*)?(?:function\s*\*?\s*(?:{_ID})?)?\s*(?P<open>\()|(?P<one>{_ID})\s*=>"
)
_METHOD = re.compile(
    rf"^[ \t]*(?:(?:public|private|protected|static|async|override|readonly|abstract|get|set)\s+)*"
    rf"\*?(?P<name>#?{_ID})\s*(?:<[^>()]*>)?\((?P<args>)",
    re.MULTILINE,
)
_RESERVED = frozenset(
    ("if", "for", "while", "switch", "return", "catch", "function", "constructor", "super", "await")
)


def _javascript(source: Source) -> Module:
    text = source.text
    code = _without_dead(source.parts.only(Kind.CODE))
    found: list[Declared] = []
    for head in _HEAD.finditer(code):
        kind = next(k for k in ("function", "class", "type", "const") if head[k])
        name, line = head[kind], source.line(head.start(kind))
        doc = bool(
            re.search(
                r"/\*\*(?:(?!\*/).)*\S(?:(?!\*/).)*\*/\s*(?:@[^\n]*\n\s*)*$",
                text[: head.start(kind)].rpartition("\n")[0] + "\n",
                re.DOTALL,
            )
        )
        symbol = Declared(
            name,
            {"const": "constant"}.get(kind, kind),
            line,
            documented=doc,
            exported=bool(head["export"]),
            default=bool(head["default"]),
        )
        start = _opening(code, head, kind)
        if start >= 0:
            listed, returns, spread = _signature(code, text, start)
            symbol = replace(
                symbol, kind="function", parameters=listed, returns=returns, open=spread
            )
        elif kind == "const" and re.match(r"[A-Za-z_$(]", code[head.end() : head.end() + 1]):
            # what a call gives may be a function, too
            symbol = replace(symbol, open=not re.match(r"new\b", code[head.end() :][:4]))
        found.append(symbol)
        if kind == "class":
            found += _methods(code, text, source, name, head.end())
    found = [_exported_below(code, d) for d in found]
    defaults = set(re.findall(rf"\bexport\s+default\s+({_ID})\s*(?:;|$)", code, re.MULTILINE))
    defaults |= set(re.findall(rf"\b({_ID})\s+as\s+default\b", code))
    defaults |= {d.name for d in found if d.default}
    if re.search(r"\bexport\s+default\b", code) and not defaults:
        defaults = {""}
    complete = not re.search(r"\bexport\s*\*|\bmodule\.exports\b|\bexports\.", code)
    return Module(source.path, tuple(found), complete, defaults=frozenset(defaults))


_DEAD = re.compile(r"\bif\s*\(\s*(?:false|0|!1|!true)\s*\)\s*\{")


def _without_dead(code: str) -> str:
    """The code with what never runs blanked, offsets kept."""
    while head := _DEAD.search(code):
        end = _closing(code, head.end() - 1)
        code = code[: head.start()] + re.sub(r"\S", " ", code[head.start() : end]) + code[end:]
    return code


def _opening(code: str, head: re.Match[str], kind: str) -> int:
    """Offset of the bracket that opens the parameters of what is declared, -1 for no function."""
    if kind == "function":
        return code.find("(", head.end())
    if kind == "const" and head["after"]:
        arrow = _ARROW.match(code, head.end())
        if arrow and arrow["open"]:
            close = _closing(code, arrow.start("open"))
            if "function" in arrow.group() or re.match(
                r"\)?\s*(?::[^=;{]*)?=>", code[close : close + 200]
            ):
                return arrow.start("open")
        if arrow and arrow["one"]:
            return arrow.start("one")
    return -1


def _closing(code: str, start: int) -> int:
    depth = 0
    for at in range(start, len(code)):
        depth += (code[at] in "([{") - (code[at] in ")]}")
        if depth == 0:
            return at
    return len(code)


def _split(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """The parts between commas that are in no brackets, as offsets."""
    parts, depth, start = [], 0, begin
    for at in range(begin, end):
        char = text[at]
        depth += (char in "([{<") - (char in ")]}" or (char == ">" and text[at - 1] != "="))
        if char == "," and depth == 0:
            parts.append((start, at))
            start = at + 1
    return [(b, e) for b, e in (*parts, (start, end)) if text[b:e].strip()]


def _signature(code: str, text: str, start: int) -> tuple[tuple[Parameter, ...], str, bool]:
    """Parameters, return type, and whether more can be given than they name."""
    if code[start] != "(":
        return (Parameter(re.match(_ID, code[start:]).group()),), "", False  # type: ignore[union-attr]
    close = _closing(code, start)
    listed: list[Parameter] = []
    spread = False
    for begin, end in _split(code, start + 1, close):
        # types may be quoted words, which the code alone has not
        plain = text[begin:end].strip()
        if plain.startswith("{"):
            # the props of a component, or named options
            inner = plain[1 : _closing(plain, 0)]
            for item in (inner[b:e] for b, e in _split(inner, 0, len(inner))):
                spread |= item.strip().startswith("...")
                if named := re.match(rf"\s*({_ID})\s*(?::[^=]*)?(=.*)?$", item, re.DOTALL):
                    listed.append(Parameter(named[1], "", (named[2] or "").lstrip("= ")))
            continue
        spread |= plain.startswith("...") or bool(
            re.match(r"props\b|options?\b|opts\b|args\b", plain)
        )
        if named := re.match(
            rf"(?:\.\.\.)?({_ID})(\?)?\s*(?::\s*([^=]*(?:=>[^=]*)?))?(=.*)?$", plain, re.DOTALL
        ):
            default = (named[4] or named[2] or "").lstrip("= ")
            listed.append(Parameter(named[1], " ".join((named[3] or "").split()), default))
    after = re.match(r"\)\s*:\s*([^{;=]+?)\s*(?:=>|\{|;|$)", code[close : close + 400])
    return tuple(listed), " ".join(after[1].split()) if after else "", spread


def _methods(code: str, text: str, source: Source, owner: str, start: int) -> Iterator[Declared]:
    opening = code.find("{", start)
    if opening < 0:
        return
    end = _closing(code, opening)
    for found in _METHOD.finditer(code, opening + 1, end):
        inner = code[opening + 1 : found.start("name")]
        if inner.count("{") != inner.count("}") or found["name"] in _RESERVED:
            continue
        listed, returns, spread = _signature(code, text, code.index("(", found.end("name")))
        line = source.line(found.start("name"))
        yield Declared(f"{owner}.{found['name']}", "method", line, listed, returns, open=spread)


def _exported_below(code: str, declared: Declared) -> Declared:
    """A name that `export { a, b as c }` lists is exported, too."""
    lists = re.findall(r"\bexport\s*(?:type\s*)?\{([^}]*)\}(?!\s*from)", code)
    names = {re.split(r"\s+as\s+", n.strip())[0] for group in lists for n in group.split(",")}
    return replace(declared, exported=declared.exported or declared.name in names)

"""Checks that a function, class, method or constant exists, with what it takes and gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrate_agents.checks.code.declared import READ, Declared, Module, Parameter, declarations
from orchestrate_agents.checks.text.absent import literal_marker
from orchestrate_agents.checks.text.tree import (
    Area,
    Source,
    files_of,
    is_test,
    read_source,
)
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_SUFFIXES = (
    r"pyi?|[mc]?tsx?|[mc]?jsx?|go|rs|java|kt|rb|php|cs|swift|c|h|cc|cpp|hpp|vue|svelte|scala|dart"
)
_FILE = rf"`?[\w.@+\-\[\]()]+(?:/[\w.@+\-\[\]()]+)*\.(?:{_SUFFIXES})`?"
parameter_type("program", _FILE, lambda t: t.strip("`"))

_NAME = r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)?"
_SIGNED = rf"`{_NAME}(?:\([^`]*\)(?:\s*(?:->|:)\s*[^`]+)?)?`"
_BARE = r"(?-i:[A-Za-z]\w*(?:[a-z][A-Z]|_)\w*(?:\(\))?|[A-Z][a-z]\w*(?:\.[a-z_]\w*)?)"
#: what statements call declarations → the kinds they can be
_KINDS = {
    r"(?:async )?functions?|helpers?|helper functions?|utility functions?|utilities|hooks?|"
    r"decorators?|generators?": ("function",),
    r"methods?": ("method",),
    r"(?:data)?class(?:es)?|exceptions?|exception class(?:es)?|error class(?:es)?": ("class",),
    r"constants?|variables?": ("constant",),
    r"types?|interfaces?|enums?|type alias(?:es)?": ("type", "class", "constant"),
    r"(?:react )?components?": ("function", "class", "constant"),
}
_KIND = "|".join(_KINDS)


@dataclass(frozen=True)
class Wanted:
    """A declaration as a statement writes it: `parse_date(text: str) -> date`."""

    name: str
    #: None where it names no parameters
    parameters: tuple[Parameter, ...] | None = None
    returns: str = ""

    def __str__(self) -> str:
        return self.name


def read_wanted(text: str) -> Wanted:
    """Name, parameters and result."""
    plain = text.strip().strip("`")
    called = re.match(rf"({_NAME})\((.*)\)(?:\s*(?:->|:)\s*(.+))?$", plain, re.DOTALL)
    if not called:
        return Wanted(plain.removesuffix("()"))
    name, inner, returns = called.groups()
    source = Source("x.ts", f"function f({inner}) {{}}")
    module = declarations(source)
    assert isinstance(module, Module)
    listed = module.found[0].parameters if module.found and inner.strip() else ()
    listed = tuple(p for p in listed if p.name not in ("self", "cls"))
    return Wanted(name, listed if inner.strip() or returns else None, (returns or "").strip())


def _read_kind(text: str) -> tuple[str, ...]:
    return next(k for words, k in _KINDS.items() if re.fullmatch(words, text, re.IGNORECASE))


_AND = r"\s*(?:,\s*and\s+|,|\s+and\s+)\s*"


def _read_all(text: str) -> tuple[Wanted, ...]:
    found = re.findall(rf"{_SIGNED}|{_BARE}", text)
    return tuple(map(read_wanted, found))


parameter_type("symbol", _SIGNED, read_wanted)
parameter_type("somesymbols", rf"{_SIGNED}(?:{_AND}{_SIGNED})*", _read_all)
parameter_type("allsymbols", rf"(?:{_SIGNED}|{_BARE})(?:{_AND}(?:{_SIGNED}|{_BARE}))*", _read_all)
parameter_type("kind", _KIND, _read_kind)


def modules(ctx: Context, path: str) -> Iterator[tuple[Source, Module | str]] | Result:
    """The file, or all programs that are not tests, with what they declare."""
    paths = files_of(ctx, Area("paths", (path,)) if path else Area("product"))
    if isinstance(paths, Result):
        return paths
    wanted = paths if path else tuple(p for p in paths if p.endswith(READ) and not is_test(p))
    read = ((p, read_source(ctx, p)) for p in wanted)
    return ((s, declarations(s)) for _, s in read if isinstance(s, Source))


@dataclass
class Hit:
    path: str
    declared: Declared


def find(ctx: Context, path: str, name: str, kinds: Iterable[str]) -> list[Hit] | Result:
    """Where a name is declared; a result where it is not, or where that cannot be determined."""
    found = modules(ctx, path)
    if isinstance(found, Result):
        return found
    hits: list[Hit] = []
    unread, mentioned = "", ""
    allowed = tuple(kinds)
    other = ""
    for source, module in found:
        said = re.search(literal_marker(name.rpartition(".")[2]).sure, source.text)
        if isinstance(module, str):
            unread = unread or (module if said else "")
            continue
        for declared in module.named(name):
            if allowed and declared.kind not in allowed:
                other = f"{source.path}:{declared.line} {name} is a {declared.kind}"
            else:
                hits.append(Hit(source.path, declared))
        if said:
            mentioned = mentioned or f"{source.path}:{source.line(said.start())}"
    if hits:
        return hits
    where = path or "the code without tests"
    if unread:
        return unproven(unread, *filter(None, [path]))
    if other:
        return failed(other, *filter(None, [path]))
    if mentioned:
        return unproven(f"{mentioned} has the word {name}, but no declaration that is known here")
    return failed(f"{where} does not declare {name}", *filter(None, [path]))


# -- existence -------------------------------------------------------------------------------------

_EXISTS = "(exists|is defined|is implemented|is declared|is present|is available|lives)"
_HAS = "(has|defines|contains|declares|provides|implements|includes|exposes)"
_A = "[(a|an|the)] [(new|public|exported)]"


@check(
    f"{_A} {{kind:kind}} {{wanted:allsymbols}} {_EXISTS} [(in|at) {{path:program}}]",
    f"[the] {{wanted:allsymbols}} {{kind:kind}} {_EXISTS} [(in|at) {{path:program}}]",
    f"[the] {{wanted:somesymbols}} ({_EXISTS}|exist|are defined|are implemented) (in|at) "
    "{path:program}",
    f"{{path:program}} {_HAS} {_A} {{kind:kind}} [(called|named)] {{wanted:allsymbols}}",
    f"{{path:program}} {_HAS} {_A} {{wanted:allsymbols}} {{kind:kind}}",
    "{path:program} (defines|declares|implements) {wanted:somesymbols}",
    "there is (a|an) {kind:kind} [(called|named)] {wanted:somesymbols} [in {path:program}]",
    "there is (a|an) {wanted:somesymbols} {kind:kind} [in {path:program}]",
    name="code.declared",
    examples=(
        "`parse_date(text: str) -> date` exists in `lib/dates.py`",
        "Function `total` is defined in `src/cart.ts`",
        "`src/cart.py` has a class `Basket`",
        "There is a `useCart` hook in `src/cart.tsx`",
    ),
)
def declares(
    ctx: Context, wanted: tuple[Wanted, ...], path: str = "", kind: tuple[str, ...] = ()
) -> Result:
    """It is declared there in code, as that kind, with the parameters and result as written."""
    said = []
    for one in wanted:
        hits = find(ctx, path, one.name, kind)
        if isinstance(hits, Result):
            return hits
        problems = [_mismatch(hit.declared, one) for hit in hits]
        good = [h for h, problem in zip(hits, problems, strict=True) if not problem]
        if not good:
            at = f"{hits[0].path}:{hits[0].declared.line} {one.name}"
            verdict = unproven if all(p.startswith("?") for p in problems) else failed
            return verdict(f"{at}: {problems[0].lstrip('?')}", hits[0].path)
        said.append(f"{good[0].declared.kind} {one.name} at {good[0].path}:{good[0].declared.line}")
        path_seen = good[0].path
    return proven("; ".join(said), path or path_seen)


def _mismatch(found: Declared, wanted: Wanted) -> str:
    """How a declaration differs from what a statement says; with a `?` where it may be the same."""
    if wanted.parameters is not None:
        theirs = [p.name.lstrip("*.") for p in wanted.parameters]
        ours = [p.name for p in found.parameters]
        missing = [name for name in theirs if name not in ours]
        if missing:
            return (
                f"{'?' if found.open else ''}it takes ({', '.join(ours)}), not {', '.join(missing)}"
            )
        if ours[: len(theirs)] != theirs:
            return f"it takes ({', '.join(ours)}), in another order"
        if ours != theirs:
            return f"?it also takes {', '.join(ours[len(theirs) :])}"
        for mine, other in zip(found.parameters, wanted.parameters, strict=True):
            if other.type and _type(mine.type) != _type(other.type):
                return f"{mine.name} is {mine.type or 'without a type'}, not {other.type}"
            if other.default and mine.default != other.default:
                return f"{mine.name} has the default {mine.default or 'none'}"
    if wanted.returns and _type(found.returns) != _type(wanted.returns):
        return f"it gives {found.returns or 'no declared type'}, not {wanted.returns}"
    return ""


def _type(text: str) -> str:
    """A type without what does not change it: spaces, quotes, modules, old spellings."""
    plain = re.sub(r"\s+", "", text).strip("'\"").replace('"', "'")
    plain = re.sub(r"\b(?:typing|t|datetime|collections\.abc)\.(?=\w)", "", plain)
    plain = re.sub(r"\bOptional\[(.+)\]$", r"\1|None", plain)
    return re.sub(r"\b(List|Dict|Set|Tuple|Type)\[", lambda m: m[1].lower() + "[", plain)


_GONE = "(no longer exists|does not exist|is gone|is removed|was removed|has been removed)"


@check(
    f"[the] [old] {{kind:kind}} {{wanted:somesymbols}} {_GONE} (in|from) {{path:program}}",
    f"[the] [old] {{wanted:somesymbols}} {{kind:kind}} {_GONE} (in|from) {{path:program}}",
    "{path:program} (no longer (defines|declares|has)|does not (define|declare|have)) "
    "[(a|an|the|any)] {kind:kind} {wanted:somesymbols}",
    name="code.not-declared",
    examples=("Function `total` no longer exists in `src/cart.py`",),
)
def not_declared(
    ctx: Context, wanted: tuple[Wanted, ...], path: str, kind: tuple[str, ...]
) -> Result:
    """The file is there and declares no such thing; unproven where it may be made another way."""
    found = modules(ctx, path)
    if isinstance(found, Result):
        return found
    names = ", ".join(map(str, wanted))
    for _, module in found:
        if isinstance(module, str):
            return unproven(module, path)
        there = [(d, w) for w in wanted for d in module.named(w.name)]
        hits = [f"{d.kind} {w} on line {d.line}" for d, w in there if d.kind in kind]
        if hits:
            return failed(f"{path} declares {'; '.join(hits)}", path)
        if there or not module.complete:
            return unproven(f"{path} may have {names} in another way", path)
        return proven(f"{path} declares no {names}", path)
    return failed(f"{path} is missing", path)


# -- members, parameters ---------------------------------------------------------------------------


@check(
    "[the] [class] {owner:symbol} [class] (has|defines|provides|implements) [(a|an|the)] [new] "
    "(method|methods) [(called|named)] {names:somesymbols} [in {path:program}]",
    "[the] [class] {owner:symbol} [class] (has|defines|provides|implements) [(a|an|the)] [new] "
    "{names:somesymbols} (method|methods) [in {path:program}]",
    "class {owner:bareclass} (has|defines|provides|implements) [(a|an|the)] [new] (method|methods) "
    "{names:somesymbols} [in {path:program}]",
    name="code.methods",
    examples=("Class `Basket` has a method `total`", "`Basket` has a `total` method"),
)
def has_methods(ctx: Context, owner: Wanted, names: tuple[Wanted, ...], path: str = "") -> Result:
    """The class declares each method itself; what it may inherit is unproven."""
    hits = find(ctx, path, owner.name, ("class",))
    if isinstance(hits, Result):
        return hits
    for one in names:
        full = Wanted(f"{owner.name}.{one.name}", one.parameters, one.returns)
        result = declares(ctx, (full,), path, ("method",))
        if result.verdict == "failed" and any(h.declared.open for h in hits):
            return unproven(f"{owner.name} does not declare {one.name}, and has a base class")
        if result.verdict != "proven":
            return result
    listed = ", ".join(str(one) for one in names)
    where = ", ".join(dict.fromkeys(h.path for h in hits))
    return proven(f"{owner.name} in {where} declares {listed}", *(h.path for h in hits))


parameter_type("bareclass", _BARE, read_wanted)
_PARAMETER = "(argument|parameter|prop|option|keyword|keyword argument|keyword parameter|field|arg)"
_TAKES = "(accepts|takes|has|supports|receives)"


_NEW = "[(a|an|the)] [new] [{optional:optional}]"
_NAMED = f"({{names:backticked}} {_PARAMETER}|{_PARAMETER} {{more:backticked}})"


@check(
    f"[the] {{wanted:symbol}} {_TAKES} {_NEW} {_NAMED} [in {{path:program}}]",
    f"[the] {{kind:kind}} {{wanted:symbol}} {_TAKES} {_NEW} {_NAMED} [in {{path:program}}]",
    f"[the] {{wanted:symbol}} {{kind:kind}} {_TAKES} {_NEW} {_NAMED} [in {{path:program}}]",
    name="code.parameter",
    examples=(
        "`total` accepts a `currency` argument",
        "`Button` component accepts a `disabled` prop",
        "`fetch_all` takes an optional `limit` parameter in `lib/api.py`",
    ),
)
def takes_parameter(
    ctx: Context,
    wanted: Wanted,
    names: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
    path: str = "",
    optional: str = "",
    kind: tuple[str, ...] = (),
) -> Result:
    """The declaration lists the parameters; an optional one has a default."""
    names = names or more
    hits = find(ctx, path, wanted.name, kind or ("function", "method", "class"))
    if isinstance(hits, Result):
        # the fields of a type are not parameters
        typed = not kind and not isinstance(find(ctx, path, wanted.name, ("type",)), Result)
        return unproven(hits.detail, *hits.subjects) if typed else hits
    if len(hits) > 1:
        places = ", ".join(f"{h.path}:{h.declared.line}" for h in hits[:5])
        return unproven(f"{wanted.name} is declared more than once: {places}")
    hit = hits[0]
    known = {p.name: p for p in hit.declared.parameters}
    at = f"{hit.path}:{hit.declared.line} {wanted.name}({', '.join(known)})"
    lacking = [n for n in names if n not in known]
    if lacking:
        verdict = unproven if hit.declared.open else failed
        return verdict(f"{at} does not name {', '.join(lacking)}", hit.path)
    fixed = [n for n in names if optional and not known[n].default]
    if optional == "required":
        fixed = [n for n in names if known[n].default]
    if fixed:
        is_so = "has a default" if optional == "required" else "has no default"
        return failed(f"{at}: {', '.join(fixed)} {is_so}", hit.path)
    return proven(at, hit.path)


parameter_type("optional", r"optional|required", str.lower)
parameter_type(
    "backticked",
    rf"`[\w$][\w$-]*`(?:{_AND}`[\w$][\w$-]*`)*",
    lambda t: tuple(re.findall(r"`([\w$-]+)`", t)),
)


@check(
    "[the] [(function|method)] {wanted:symbol} [in {path:program}] has [the] return type "
    "{result:code}",
    "[the] [(function|method)] {wanted:symbol} [in {path:program}] is annotated to return "
    "{result:code}",
    name="code.returns-type",
    examples=("`parse_date` is annotated to return `date`",),
)
def returns_type(ctx: Context, wanted: Wanted, result: str, path: str = "") -> Result:
    """The declared type of the result; what a call really gives is not looked at."""
    hits = find(ctx, path, wanted.name, ("function", "method"))
    if isinstance(hits, Result):
        return hits
    types = {h.declared.returns for h in hits}
    at = f"{hits[0].path}:{hits[0].declared.line} {wanted.name}"
    if all(_type(t) == _type(result) for t in types):
        return proven(f"{at} is declared to give {result}", hits[0].path)
    if not any(types) or not re.fullmatch(r"[A-Za-z_][\w.\[\], |<>]*", result):
        return unproven(f"{at} declares {' or '.join(filter(None, types)) or 'no type'}")
    return unproven(f"{at} is declared to give {' or '.join(filter(None, types))}", hits[0].path)


@check(
    "{module:program} has a default export",
    "{module:program} [has|exports] [a] default (export|exports) {name:symbol}",
    "{module:program} exports {name:symbol} as [the] default [export]",
    "{module:program} default-exports {name:symbol}",
    "{name:symbol} is the default export of {module:program}",
    name="code.default-export",
    examples=("`src/Button.tsx` exports `Button` as default",),
)
def default_export(ctx: Context, module: str, name: Wanted | None = None) -> Result:
    """`export default` stands in the code, with that name."""
    found = modules(ctx, module)
    if isinstance(found, Result):
        return found
    for _, read in found:
        if isinstance(read, str):
            return unproven(read, module)
        if not read.defaults:
            return (failed if read.complete else unproven)(
                f"{module} has no default export", module
            )
        if name is None or name.name in read.defaults:
            shown = ", ".join(sorted(filter(None, read.defaults))) or "an expression"
            return proven(f"{module} exports {shown} as default", module)
        if "" in read.defaults:
            return unproven(f"{module} exports an expression as default", module)
        return failed(f"{module} exports {', '.join(read.defaults)} as default", module)
    return failed(f"{module} is missing", module)

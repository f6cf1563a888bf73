"""Checks that something is nowhere: markers such as TODO and console.log, words, references."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from orchestrate_agents.checks.text.kinds import Kind
from orchestrate_agents.checks.text.markers import EVERY_KIND, NO_KIND, ONE, OR, Marker
from orchestrate_agents.checks.text.tree import (
    Area,
    Binary,
    Source,
    changed_files,
    files_of,
    is_prose,
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

_LISTED = 6
_MOST_SUBJECTS = 100

_WORD = r"(?-i:[A-Za-z]\w*(?:[a-z][A-Z]|_|[A-Z][a-z])\w*(?:\(\))?|[A-Z]\w*[a-z]\w*)"
_LITERAL = rf"(?:`[^`]+`|\"[^\"]+\"|“[^”]+”|{_WORD})"


def read_literals(text: str) -> tuple[str, ...]:
    """`` `a`, `b` or `c` `` as its words."""
    return tuple(w.strip('`"“”') for w in re.findall(_LITERAL, text))


parameter_type("nowhere", rf"{_LITERAL}(?:{OR}{_LITERAL})*", read_literals)
parameter_type("usage", r"usages?|use[sd]?|call(?:s|ed)?|import(?:s|ed)?", str.lower)


def literal_marker(word: str, kinds: frozenset[Kind] = EVERY_KIND, whole: bool = True) -> Marker:
    """A quoted word as something to look for: as a word of its own, in these kinds of parts."""
    bare = word.removesuffix("()")
    before = rf"(?<![\w{'-' if '-' in bare else ''}])" if re.match(r"\w", bare) else ""
    after = rf"(?![\w{'-' if '-' in bare else ''}])" if re.search(r"\w$", bare) else ""
    sure = rf"{before}{re.escape(bare)}{after}" if whole else re.escape(word)
    unsure = re.escape(bare) if not whole else ""
    return Marker("", sure, unsure, (), kinds, NO_KIND, prose=True, label=word)


def _import_marker(word: str) -> Marker:
    """An import of a module, in JavaScript or Python."""
    name = re.escape(word)
    sure = (
        rf"(?:\bfrom|\bimport|\brequire\s*\(|\bimport\s*\()\s*[\"'`]{name}(?:/[^\"'`]*)?[\"'`]"
        rf"|^[ \t]*(?:from|import)[ \t]+(?:[\w.]+[ \t]*,[ \t]*)*{name}(?![\w-])"
    )
    # as in `jest.mock("x")` and `import_module("x")`
    unsure = rf"[\"'`]{name}(?:/[^\"'`]*)?[\"'`]"
    return Marker("", sure, unsure, (), frozenset({Kind.CODE}), frozenset({Kind.TEXT}), label=word)


def _used(words: Iterable[str], said: str) -> list[Marker]:
    """What a use of these words looks like: an import, or the word in code."""
    if said.startswith("import"):
        return [_import_marker(word) for word in words]
    return [literal_marker(word, frozenset({Kind.CODE})) for word in words]


# -- judging ---------------------------------------------------------------------------------------


@dataclass
class Found:
    """What a search found: where it is, where it may be, and what could not be looked into."""

    looked: list[str] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    where: dict[str, None] = field(default_factory=dict)


def _sought(markers: Sequence[Marker], path: str, is_named: bool) -> list[Marker]:
    """What of these a file can have; in one that the statement names, quoted words themselves."""
    fitting = [m for m in markers if not m.suffixes or path.lower().endswith(m.suffixes)]
    if not is_named:
        return fitting
    others = {m.quoted for m in markers} - {m.quoted for m in fitting}
    sought = [literal_marker(word) for word in sorted(others) if word]
    for marker in fitting:
        if marker.quoted and marker.clear == NO_KIND:
            sure = f"{marker.sure}|{literal_marker(marker.quoted).sure}"
            marker = replace(marker, sure=sure, counts=EVERY_KIND, prose=True)
        sought.append(marker)
    return sought


def search(
    ctx: Context,
    paths: Iterable[str],
    markers: Sequence[Marker],
    named: bool,
    files: Collection[str] = (),
) -> Found:
    """Look for markers in files. `named`: by names, of which `files` are those of single files."""
    found = Found()
    for path in paths:
        wanted = _sought(markers, path, path in files)
        if not wanted:
            continue
        source = read_source(ctx, path)
        if isinstance(source, str):
            if not isinstance(source, Binary):
                found.unclear.append(source)
            continue
        found.looked.append(path)
        history = not named and path.lower().startswith(("changelog", "history", "docs/decisions"))
        strict = named or not is_prose(path)
        for sure, said in _occurrences(source, wanted, strict):
            # old names stay in a history of changes
            certain = sure and not history
            (found.hits if certain else found.unclear).append(said)
            found.where[path] = None
    return found


def _occurrences(
    source: Source, markers: Sequence[Marker], strict: bool
) -> Iterator[tuple[bool, str]]:
    """(surely, where and what) of every marker in a file, one per line."""
    parts = None
    for marker in markers:
        lines: dict[int, bool] = {}
        for sure, pattern in ((True, marker.sure), (False, marker.unsure)):
            for hit in re.finditer(pattern, source.text, re.MULTILINE) if pattern else ():
                parts = parts or source.parts
                at = hit.start() + len(hit.group()) - len(hit.group().lstrip())
                kind = parts.kind(at)
                if kind in marker.clear:
                    continue
                line = source.line(at)
                counted = sure and kind in marker.counts and (strict or marker.prose)
                lines[line] = lines.get(line, False) or counted
        for line, certain in sorted(lines.items()):
            yield certain, f"{source.path}:{line} {marker.label}"


def judge_absent(ctx: Context, area: Area | None, markers: Sequence[Marker]) -> Result:
    """That none of these is in the area, or (without one) in the whole workspace."""
    asked = area or Area()
    paths = files_of(ctx, asked)
    if isinstance(paths, Result):
        return paths
    found = search(ctx, paths, markers, named=bool(asked.paths), files=asked.paths)
    labels = " or ".join(dict.fromkeys(m.label for m in markers))
    where = list(found.where)[:_MOST_SUBJECTS]
    if found.hits and area is None:
        changed = changed_files(ctx)
        if changed is not None and changed and not changed & found.where.keys():
            listed = few(found.hits)
            return unproven(f"only in files that this work did not change: {listed}", *where)
    if found.hits:
        return failed(f"found: {few(found.hits)}", *where, found=found.hits[:100])
    if found.unclear:
        return unproven(f"not sure about {few(found.unclear)}", *where)
    if not found.looked:
        return unproven(f"{asked} holds no file that could have {labels}")
    looked = found.looked if asked.paths and len(found.looked) <= _MOST_SUBJECTS else ()
    return proven(f"no {labels} in the {len(found.looked)} files of {asked}", *looked)


def few(items: Sequence[str]) -> str:
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return "; ".join(items[:_LISTED]) + more


# -- claims ----------------------------------------------------------------------------------------

_NO = "[there (are|is)] (no|zero) [remaining|leftover|more]"
_LEFT = "[(left|remaining|remain|remains|exist|exists|present|found|(are|is) (left|present|found))]"
_IN = "[(in|under|within|inside|across|throughout|anywhere in|left in) {area:area}]"
_GONE = "(is|are|was|were|have been|has been) (removed|gone|deleted|cleaned up)"
_HAS_NO = "(contains|contain|has|have) no"
_NOT = "(does not|do not|doesn't|don't|must not|may not)"
_NEVER = f"({_NOT} [contain|include|have|use] [any]|is free of|are free of|{_HAS_NO})"


@check(
    f"{_NO} {{markers:markers}} {_LEFT} {_IN}",
    f"{{area:area}} ({_NOT} (contain|include|have) [any]|is free of|are free of|{_HAS_NO}) "
    "{markers:markers}",
    "{area:area} no {markers:markers}",
    f"[all|every] {{markers:markers}} {_GONE} [from {{area:area}}]",
    name="text.no-markers",
    version=2,
    examples=(
        "No TODO or FIXME comments in `src/`",
        "No console.log statements left",
        "`web/app.ts` contains no `any` types",
        "No merge conflict markers in the repository",
    ),
)
def no_markers(ctx: Context, markers: tuple[Marker, ...], area: Area | None = None) -> Result:
    """Comments, code and strings of every file are distinguished; unproven where that fails."""
    return judge_absent(ctx, area, markers)


_REFERENCES = "(reference|references|mention|mentions|occurrence|occurrences|trace|traces)"
_ANYWHERE_WORDS = "[anywhere|any more|anymore|any longer]"


@check(
    f"{_NO} {_REFERENCES} (to|of) {{words:nowhere}} {_LEFT} {_ANYWHERE_WORDS} {_IN}",
    f"[all|every] {_REFERENCES} (to|of) {{words:nowhere}} {_GONE} [from {{area:area}}]",
    f"{{words:nowhere}} (is|are) (no longer|not) (referenced|mentioned) {_ANYWHERE_WORDS} {_IN}",
    "nothing (references|mentions) {words:nowhere} " + f"{_ANYWHERE_WORDS} {_IN}",
    name="text.no-references",
    examples=(
        "No references to `oldName` remain",
        "All references to `legacyAuth` are removed from `src/`",
        "`oldName` is no longer referenced anywhere",
    ),
)
def no_references(ctx: Context, words: tuple[str, ...], area: Area | None = None) -> Result:
    """The words, as words of their own, are in no text file there, comments and prose included."""
    return judge_absent(ctx, area, [literal_marker(word) for word in words])


@check(
    f"{_NO} {{said:usage}} (of|to) {{words:nowhere}} {_LEFT} {_ANYWHERE_WORDS} {_IN}",
    f"[all|every] {{said:usage}} (of|to) {{words:nowhere}} {_GONE} [from {{area:area}}]",
    "{words:nowhere} (is|are) (no longer|not) {said:usage} " + f"{_ANYWHERE_WORDS} {_IN}",
    "nothing {said:usage} {words:nowhere} " + f"{_ANYWHERE_WORDS} {_IN}",
    "{words:nowhere} (is|are) {said:usage} nowhere " + f"{_IN}",
    "{area:area} (does not|do not|doesn't|don't|must not|no longer) {said:usage} {words:nowhere}",
    name="text.not-used",
    examples=("`oldName` is no longer used in `src/`", "Nothing imports `lodash` anymore"),
)
def not_used(ctx: Context, words: tuple[str, ...], said: str, area: Area | None = None) -> Result:
    """The words are nowhere in code; in comments and strings they leave it unproven."""
    return judge_absent(ctx, area, _used(words, said))


@check(
    "{area:area} (does not|do not|doesn't|don't|must not|may not|no longer) "
    "(contain|contains|mention|mentions|include|includes|reference|references|have|has) [any] "
    "{words:quoted}",
    "{area:area} (contains|contain|has|have) no {words:quoted} [(lines|text|strings)]",
    "[there are] no {words:quoted} (in|under) {area:area}",
    "{area:area} (is|are) free of {words:quoted}",
    name="text.lacks",
    examples=(
        "`README.md` does not mention `beta`",
        "`src/` no longer contains `legacyAuth`",
        "No `unwrap()` in `src/lib.rs`",
    ),
)
def lacks(ctx: Context, area: Area, words: tuple[str, ...]) -> Result:
    """The quoted text is in no file there; within longer words it leaves it unproven."""
    return judge_absent(ctx, area, [literal_marker(w, whole=True) for w in words])


_QUOTE = rf"(?!`?(?:{ONE})`)(?:`[^`]+`|\"[^\"]+\"|“[^”]+”)"
parameter_type("quoted", rf"{_QUOTE}(?:{OR}{_QUOTE})*", read_literals)


@check(
    "{old:ident} (is|was|has been) renamed to {new:ident} [everywhere] [in {area:area}]",
    "{old:ident} (is|was|has been) replaced by {new:ident} everywhere [in {area:area}]",
    name="text.renamed",
    examples=("`fetchAll` is renamed to `fetchPage` everywhere",),
)
def renamed(ctx: Context, old: str, new: str, area: Area | None = None) -> Result:
    """The old name is in no text file there, and code has the new one."""
    gone = judge_absent(ctx, area, [literal_marker(old)])
    paths = files_of(ctx, area or Area())
    if gone.verdict != "proven" or isinstance(paths, Result):
        return gone
    marker = literal_marker(new, frozenset({Kind.CODE, Kind.TEXT}))
    found = search(ctx, paths, [marker], named=True)
    if found.hits:
        return proven(f"{gone.detail}; {found.hits[0]}", *gone.subjects)
    return failed(f"{gone.detail}, and no {new} either", *gone.subjects)


parameter_type("ident", r"`[A-Za-z_$][\w$]*(?:\(\))?`", lambda t: t.strip("`").removesuffix("()"))

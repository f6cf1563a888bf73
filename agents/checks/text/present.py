"""Checks of what a file says: text, mentions, sections, first and last words, lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from os.path import normpath
from pathlib import PurePosixPath

from orchestrate_agents.checks.documents import judge_key, split_pair
from orchestrate_agents.checks.text.absent import literal_marker
from orchestrate_agents.checks.text.kinds import PROSE, Kind
from orchestrate_agents.checks.text.tree import (
    PLACE,
    Area,
    Source,
    files_of,
    read_places,
    read_source,
    resolve,
)
from orchestrator.gates.checks import (
    Context,
    Result,
    Verdict,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.markdown.body import lines_outside_code, parse_heading

_AND = r"\s*(?:,\s*and\s+|,|\s+and\s+)\s*"
_QUOTE = r"(?:`[^`]+`|\"[^\"]+\"|“[^”]+”)"
_PIECE = r"(?:lines?|text|strings?|words?|phrases?|snippets?|links?|entry|entries|tokens?|headers?)"
_THING = (
    r"(?:(?:environment )?variables?|env vars?|flags?|options?|(?:sub-?)?commands?|arguments?|"
    r"parameters?|settings?|keys?|endpoints?|routes?|functions?|methods?|class(?:es)?|scripts?|files?)"
)


def _read_words(text: str) -> tuple[str, ...]:
    return tuple(w[1:-1] for w in re.findall(_QUOTE, text))


# all of them have to be there, so "or" does not join them
_WORDS = rf"(?:the )?{_QUOTE}(?:{_AND}(?:the )?{_QUOTE})*"
parameter_type("allwords", rf"{_WORDS}(?: {_PIECE})?", _read_words)
parameter_type("allnames", rf"{_WORDS}(?: {_THING})?", _read_words)
parameter_type(
    "onefile",
    rf"(?!`?[^`\s]*/`?(?:\s|$)|`?\.gitignore)(?:the )?{PLACE}(?: file)?",
    lambda t: _path(t),
)
# tables and columns have checks of their own
parameter_type(
    "plainfile",
    rf"(?!`?[^`\s]*(?:/|\.csv|\.sql)`?(?:\s|$)|`?\.gitignore)(?:the )?{PLACE}(?: file)?",
    lambda t: _path(t),
)
parameter_type("docs", r"(?:the\s+)?(?:docs|documentation)", lambda _text: Area("docs"))


def _path(text: str) -> str:
    (path,) = read_places(re.sub(r"^the | file$", "", text.strip(), flags=re.IGNORECASE))
    return path


def _source(ctx: Context, named: str) -> Source | Result:
    """The text of the named file."""
    path = resolve(ctx, named)
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    source = read_source(ctx, path)
    return unproven(source, path) if isinstance(source, str) else source


# -- words -----------------------------------------------------------------------------------------


@check(
    "{path:plainfile} (contains|contain|includes|has) [the] {words:allwords}",
    "{path:onefile} (contains|contain|includes|has) [the] (text|line|string|word|words|lines) "
    "{words:allwords}",
    "{words:allwords} (is|are) (in|contained in|included in|present in) {path:plainfile}",
    name="text.contains",
    examples=(
        "`Dockerfile` contains `HEALTHCHECK`",
        "`src/app.py` contains the line `load_dotenv()`",
        '`package.json` has `"type": "module"`',
    ),
)
def contains(ctx: Context, path: str, words: tuple[str, ...]) -> Result:
    """The file has each text, beyond a comment; `"key": value` is looked up in the parsed file."""
    pairs = [split_pair(path, word) for word in words]
    keys = [judge_key(ctx, path, *pair) for pair in pairs if pair is not None]
    wrong = [r for r in keys if r.verdict is not Verdict.PROVEN]
    if wrong or (keys and len(keys) == len(words)):
        return (wrong or keys)[0]
    words = tuple(w for w, pair in zip(words, pairs, strict=True) if pair is None)
    source = _source(ctx, path)
    if isinstance(source, Result):
        return source
    lines, lacking, hidden = [], [], []
    for word in words:
        found = [m.start() for m in re.finditer(re.escape(word), source.text)]
        whole = {m.start() for m in re.finditer(literal_marker(word).sure, source.text)}
        shown = [at for at in found if _counts(source, at)]
        if not found:
            lacking.append(word)
        elif not shown:
            hidden.append(f"“{word}” is only in a comment")
        elif not whole & set(shown):
            hidden.append(f"“{word}” is only a part of longer words")
        else:
            lines.append(f"“{word}” on line {source.line(min(whole & set(shown)))}")
    if lacking:
        return failed(f"{source.path} does not contain “{'”, “'.join(lacking)}”", source.path)
    if hidden:
        return unproven(f"{source.path}: {'; '.join(hidden)}", source.path)
    return proven(f"{source.path}: {', '.join(lines)}", source.path)


def _counts(source: Source, offset: int) -> bool:
    return source.parts.kind(offset) is not Kind.COMMENT


_MENTIONS = "(mentions|mention|documents|document|describes|describe|lists|names|covers)"


@check(
    f"{{path:onefile}} {_MENTIONS} [the] [(new|environment variable|flag|option)] "
    "{words:allnames}",
    f"{{docs:docs}} {_MENTIONS} [the] [(new|environment variable|flag|option)] {{words:allnames}}",
    "{words:allnames} (is|are) (mentioned|documented|described|listed) in {path:onefile}",
    "{words:allnames} (is|are) (mentioned|documented|described|listed) in {docs:docs}",
    name="text.mentions",
    examples=(
        "`README.md` documents the `--dry-run` flag",
        "The docs mention `ORCHESTRATE_TARGET`",
        "`--json` and `--quiet` are documented in `docs/cli.md`",
    ),
)
def mentions(
    ctx: Context, words: tuple[str, ...], path: str = "", docs: Area | None = None
) -> Result:
    """Each quoted word stands there as a word of its own, outside of comments."""
    if docs is not None:
        paths = files_of(ctx, docs)
        if isinstance(paths, Result):
            return paths
        read = [read_source(ctx, p) for p in paths]
        sources = [s for s in read if isinstance(s, Source)]
    else:
        source = _source(ctx, path)
        if isinstance(source, Result):
            return source
        sources = [source]
    looked = [s.path for s in sources]
    hits = {word: list(_places(sources, word)) for word in words}
    places = {word: next((p for ok, p in hits[word] if ok), "") for word in words}
    if denied := [p for w in words if not places[w] for _, p in hits[w][:1]]:
        return unproven(f"only said not to be there, or not to be described: {denied[0]}", *looked)
    lacking = [word for word, place in places.items() if not place]
    said = f"the {len(looked)} documents" if docs else looked[0]
    if lacking:
        near = [w for w in lacking if any(w.lower() in s.text.lower() for s in sources)]
        if near:
            return unproven(
                f"“{'”, “'.join(near)}” stands in {said} in other letters, in a comment or in "
                "longer words only",
                *looked,
            )
        return failed(f"{said} does not mention “{'”, “'.join(lacking)}”", *looked)
    found = ", ".join(f"“{word}” at {place}" for word, place in places.items())
    return proven(f"mentioned: {found}", *dict.fromkeys(p.split(":")[0] for p in places.values()))


#: a sentence that says of something that it is not there, or not described
_DENIED = re.compile(
    r"(?:\b(?:not|never|no longer|cannot|nowhere|neither)\b|n't\b)[^.!?]{0,60}?"
    r"\b(?:mention|document|describ|cover|list|support|exist|availab|implement|explain)\w*"
    r"|\b(?:undocumented|unsupported|unimplemented|coming soon|to be (?:done|documented|written)"
    r"|(?:is|are|was|were|been|not) (?:removed|dropped|gone)|not yet|TODO|TBD)\b",
    re.IGNORECASE,
)


def _places(sources: list[Source], word: str) -> Iterator[tuple[bool, str]]:
    """(whether something is said of it, where): `--all` does not stand in `--all-files`."""
    after = r"(?![\w-])" if re.search(r"\w$", word) else ""
    before = r"(?<![\w-])" if re.match(r"[\w-]", word) else ""
    for source in sources:
        for found in re.finditer(before + re.escape(word) + after, source.text):
            if _counts(source, found.start()):
                sentence = _sentence(source.text, found.start(), found.end())
                place = f"{source.path}:{source.line(found.start())}"
                # the word itself says nothing of itself
                yield not _DENIED.search(sentence.replace(word, "")), place


def _sentence(text: str, start: int, end: int) -> str:
    """The sentence, item or table row around a part of a text."""
    stop = r"[.!?]\s|\n\s*\n|\n\s*(?:[-*+|#>]|\d+\.)\s?"
    before = [m.end() for m in re.finditer(stop, text[:start])]
    after = re.compile(stop).search(text, end)
    return text[before[-1] if before else 0 : after.start() if after else len(text)]


@check(
    "{path:onefile} (links to|has a link to|contains a link to) {target:place}",
    "{target:place} is linked (from|in) {path:onefile}",
    name="text.links",
    examples=("`README.md` links to `docs/usage.md`",),
)
def links(ctx: Context, path: str, target: str) -> Result:
    """A Markdown or HTML link of the file leads to the path, and the path is there."""
    source = _source(ctx, path)
    if isinstance(source, Result):
        return source
    goal = resolve(ctx, target)
    shown = source.parts.only(Kind.TEXT, Kind.CODE, Kind.STRING)
    found = _LINK.findall(shown)
    above = PurePosixPath(source.path).parent
    places = [normpath(above / "".join(f).partition("#")[0]) for f in found]
    if normpath(goal) not in places:
        return failed(f"{source.path} has no link to {goal}", source.path)
    if not ctx.path(goal).exists():
        return failed(f"{source.path} links to {goal}, which is missing", source.path)
    return proven(f"{source.path} links to {goal}", source.path)


_LINK = re.compile(r"\]\(<?([^)>\s]+)|\bhref=[\"']([^\"']+)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)

# -- sections --------------------------------------------------------------------------------------

_HEADING_WORD = r"(?:[A-Z][\w-]*(?: (?:and|&|of|to|for|the|[A-Z][\w-]*))*)"
parameter_type(
    "heading",
    rf"(?:[`\"“](?:#+ )?[^`\"”]+[`\"”]|(?-i:{_HEADING_WORD}))",
    lambda t: t.strip('`"“”').lstrip("#").strip(),
)
_SECTION = "[(## |### )] (section|heading|chapter)"


@check(
    "{path:onefile} (has|contains|includes) [(a|an|the)] [new] {title:heading} "
    "(section|heading|chapter)",
    "{path:onefile} (has|contains|includes) [(a|the)] [new] (section|heading|chapter) "
    "[(called|named|titled|on|about|for)] {title:heading}",
    "[(there is|there's)] [(a|an|the)] {title:heading} (section|heading|chapter) in {path:onefile}",
    "[(a|an|the)] {title:heading} (section|heading|chapter) (exists|is added|was added) (in|to) "
    "{path:onefile}",
    name="text.section",
    examples=(
        "`README.md` has an Installation section",
        "`docs/guide.md` has a section called “Error handling”",
    ),
)
def has_section(ctx: Context, path: str, title: str) -> Result:
    """A heading has these words, outside of code and comments, and there is text below it."""
    source = _source(ctx, path)
    if isinstance(source, Result):
        return source
    if not source.path.lower().endswith(PROSE[:3]):
        return unproven(
            f"{source.path} is not Markdown, so its headings are not known", source.path
        )
    lines = source.text.splitlines()
    headings = [(at, parse_heading(line)) for at, line in lines_outside_code(lines)]
    found = [(at, h) for at, h in headings if h is not None]
    wanted = _plain(title)
    for index, (at, (level, text)) in enumerate(found):
        if wanted != _plain(text):
            continue
        ends = next((n for n, (other, _) in found[index + 1 :] if other <= level), len(lines))
        if any(line.strip() and not parse_heading(line) for line in lines[at + 1 : ends]):
            return proven(f"{source.path}:{at + 1} “{text}”, with text", source.path)
        return failed(f"{source.path}:{at + 1} “{text}” has no text", source.path)
    near = [text for _, (_, text) in found if f" {wanted} " in f" {_plain(text)} "]
    if near:
        return unproven(f"{source.path} has “{near[0]}”, not “{title}”", source.path)
    underlined = rf"^\W*{re.escape(title)}\W*\n[ \t]*[=-]+[ \t]*$|<h\d[^>]*>\s*{re.escape(title)}"
    if re.search(underlined, source.text, re.IGNORECASE | re.MULTILINE):
        return unproven(f"{source.path} has “{title}” as a heading of another form", source.path)
    return failed(f"{source.path} has no heading “{title}”", source.path)


def _plain(heading: str) -> str:
    """A heading without marks, numbers and case."""
    words = re.sub(r"[^\w\s&-]", " ", heading.replace("_", " ")).casefold()
    return " ".join(re.sub(r"^\s*\d+\s", " ", words).split())


# -- first and last words, lines -------------------------------------------------------------------


@check(
    "{path:onefile} (starts|begins) with {text:code}",
    "{path:onefile} ends with {last:code}",
    "(every|each) file in {area:area} (starts|begins) with {text:code}",
    "all files in {area:area} (start|begin) with {text:code}",
    name="text.begins",
    examples=("`scripts/run.sh` starts with `#!/bin/sh`",),
)
def begins(
    ctx: Context, path: str = "", text: str = "", last: str = "", area: Area | None = None
) -> Result:
    """The first (or last) words of the file, without white space around them."""
    paths = files_of(ctx, area or Area("paths", (path,)))
    if isinstance(paths, Result):
        return paths
    wrong = []
    for name in paths:
        source = read_source(ctx, name)
        if isinstance(source, str):
            return unproven(source, name)
        whole = source.text.strip()
        if not (whole.startswith(text) if text else whole.endswith(last)):
            wrong.append(name)
    verb, wanted = ("start", text) if text else ("end", last)
    if wrong:
        return failed(f"does not {verb} with “{wanted}”: {', '.join(wrong[:8])}", *wrong[:8])
    return proven(f"{len(paths)} files {verb} with “{wanted}”", *paths[:100])

"""Checks of a text file's form: links that lead somewhere, words, line ends, sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from os.path import normpath
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.text.tree import Area, Source, files_of, read_source
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.gates.once import once

_LISTED = 8
_PAGES = (".md", ".markdown")
#: pages of other kinds, whose links are not read
_OTHER = (".html", ".htm", ".rst", ".adoc", ".mdx", ".xhtml")


def _sources(ctx: Context, area: Area) -> tuple[Source, ...] | Result:
    """The text files of an area; a result where there are none."""
    paths = files_of(ctx, area)
    if isinstance(paths, Result):
        return paths
    found = tuple(s for p in paths if isinstance(s := read_source(ctx, p), Source))
    return found or unproven(f"{area}: there is no text file", *paths[:_LISTED])


# -- links -----------------------------------------------------------------------------------------

parameter_type("linkkind", r"(?:internal|local|relative)")
_LINKS = "[{own:linkkind}] (links|link)"
_WORK = (
    "(work|works|resolve|resolves|is valid|are valid|lead somewhere|leads somewhere|are not broken)"
)


@check(
    f"[there are] no (broken|dead|dangling) {_LINKS} [(left|remaining)] [(in|below) {{area:area}}]",
    f"{{area:area}} (has|contains|have|contain) no (broken|dead|dangling) {_LINKS}",
    f"(all|every|each) [of the] {_LINKS} [(in|of|below) {{area:area}}] {_WORK}",
    name="text.links-work",
    examples=("`README.md` has no broken links", "All relative links in `docs/` work"),
)
def links_work(ctx: Context, area: Area | None = None, own: str = "") -> Result:
    """Each link and picture of the Markdown pages leads to a file, and to a heading of it.

    What leads to the web is not asked: said of all links, it is left unproven.
    """
    where = area or Area()
    sources = _sources(ctx, where)
    if isinstance(sources, Result):
        return sources
    pages = [s for s in sources if PurePosixPath(s.path).suffix.lower() in _PAGES]
    if not pages:
        return unproven(f"{where}: there is no Markdown page to read links from")
    # what is not read, or not asked, may be broken
    open_ends = [f"{s.path} is no Markdown" for s in sources if s.path.lower().endswith(_OTHER)]
    broken, count = list[str](), 0
    for page in pages:
        open_ends += [f"{page.path}: {said}" for said in _unread(page.text)]
        for line, target in _links_of(page.text):
            if urlsplit(target).scheme or target.startswith("//"):
                open_ends += [] if own else [f"{target} leads to the web"]
                continue
            count += 1
            why, sure = _broken(ctx, page, target)
            if why:
                (broken if sure else open_ends).append(f"{page.path}:{line}: {target} {why}")
    paths = [page.path for page in pages][:100]
    if broken:
        more = f" and {len(broken) - _LISTED} more" if len(broken) > _LISTED else ""
        return failed("; ".join(broken[:_LISTED]) + more, *paths, broken=broken[:100])
    good = f"{count} links of {len(pages)} pages lead to files and headings"
    if open_ends:
        return unproven(f"{good}; not shown: {'; '.join(open_ends[:_LISTED])}", *paths)
    if not count:
        return unproven(f"{where}: its {len(pages)} pages have no link", *paths)
    return proven(good, *paths)


@once(64)
def _blocks(text: str) -> list[Any]:
    """A page's blocks, without the keys at its head."""
    from markdown_it import MarkdownIt

    head = re.match(r"---\n.*?\n---\n", text, re.DOTALL)
    blank = "\n" * head.group().count("\n") if head else ""
    rest = text[head.end() :] if head else text
    return MarkdownIt("commonmark").enable("table").parse(blank + rest)


def _links_of(text: str) -> Iterator[tuple[int, str]]:
    """(line, target) of the links and pictures of a Markdown page."""
    for block in _blocks(text):
        line = (block.map or [0])[0] + 1
        for token in block.children or ():
            target = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
            if token.type in ("link_open", "image"):
                yield line, str(target or "")


_HTML = ("html_block", "html_inline")
_LEADS = re.compile(r"\b(?:href|src)\s*=", re.IGNORECASE)
#: what looks like a link and is none: its reference is not defined, or its target has a space
_NO_LINK = re.compile(r"\]\[|\]\(|https?://|^\[\^[^\]]+\]:|\[\^")


def _unread(text: str) -> Iterator[str]:
    """What of a page may lead somewhere and is not looked at."""
    for block in _blocks(text):
        line = (block.map or [0])[0] + 1
        parts = [block, *(block.children or ())]
        if any(p.type in _HTML and _LEADS.search(p.content) for p in parts):
            yield f"line {line} has HTML"
        if any(p.type == "text" and _NO_LINK.search(p.content) for p in parts):
            yield f"line {line} may have a link that is not read"


def _broken(ctx: Context, page: Source, target: str) -> tuple[str, bool]:
    """Why a link of a page leads nowhere, or ""; and whether that is sure."""
    place, _, heading = target.partition("#")
    path = unquote(place.partition("?")[0])
    if not target:
        return "leads nowhere", True
    above = "" if path.startswith("/") else str(PurePosixPath(page.path).parent)
    whole = normpath(f"{above}/{path.lstrip('/')}".lstrip("/")) if path else page.path
    try:
        file = ctx.path(whole)
    except OrchestrateError:
        return "leads out of the workspace", True
    if not file.exists():
        return "is missing", True
    if not heading or not file.is_file() or file.suffix.lower() not in _PAGES:
        return "", True
    source = read_source(ctx, whole)
    if not isinstance(source, Source) or unquote(heading).lower() in _anchors_of(source.text):
        return "", True
    # what else may be jumped to differs between the programs that show pages
    plain = not _OTHER_ANCHORS.search(source.text) and re.fullmatch(r"[a-z][\w-]*", heading)
    return "names no heading of it", bool(plain) and heading != "top" and "?" not in place


#: headings in HTML, or with a name of their own
_OTHER_ANCHORS = re.compile(r"<h[1-6]\b|\{#|-\d+\s*$", re.IGNORECASE | re.MULTILINE)


@once(64)
def _anchors_of(text: str) -> set[str]:
    """What a page's headings are called in links, as GitHub makes them, and its HTML ids."""
    seen = Counter[str]()
    found = {a.lower() for a in re.findall(r"(?:\bid|\bname)=[\"']([^\"']+)", text)}
    for opening, block in pairwise(_blocks(text)):
        if opening.type == "heading_open":
            words = (t for t in block.children or () if t.type in ("text", "code_inline"))
            said = "".join(token.content for token in words)
            slug = re.sub(r"[^\w\- ]", "", said.strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


# -- words, lines and bytes ------------------------------------------------------------------------


@check(
    "{path:onefile} (has|is|contains) {n:amount} (line|lines) [long]",
    "{path:onefile} is not (longer|more) than {most:int} lines",
    "no file in {area:area} (has more than|is longer than|exceeds) {most:int} lines",
    "(every|each) file in {area:area} (has|is) {n:amount} lines [long]",
    "all files in {area:area} (have|are) {n:amount} lines [long]",
    name="text.lines",
    examples=("`docs/guide.md` has at least 20 lines", "No file in `src/` has more than 400 lines"),
)
def line_count(
    ctx: Context,
    path: str = "",
    n: Amount | None = None,
    most: int = 0,
    area: Area | None = None,
) -> Result:
    """Counts the lines of each text file."""
    where = area or Area("paths", (path,))
    return _count(ctx, where, n or Amount(0, most), "lines", lambda text: len(text.splitlines()))


@check(
    "{path:onefile} (has|is|contains) {n:amount} (word|words) [long]",
    "(every|each) file in {area:area} (has|is) {n:amount} words [long]",
    name="text.words",
    examples=("`docs/guide.md` has at least 200 words",),
)
def word_count(ctx: Context, n: Amount, path: str = "", area: Area | None = None) -> Result:
    """Counts the words of the text, without what stands in HTML comments."""
    where = area or Area("paths", (path,))
    return _count(ctx, where, n, "words", lambda text: len(_WORD.findall(_shown(text))))


_WORD = re.compile(r"[^\W_][\w'’.-]*")


def _count(
    ctx: Context, area: Area, wanted: Amount, what: str, count: Callable[[str], int]
) -> Result:
    """Whether each text file of an area has so many of something."""
    sources = _sources(ctx, area)
    if isinstance(sources, Result):
        return sources
    counted = {s.path: count(s.text) for s in sources}
    wrong = [f"{name} has {number}" for name, number in counted.items() if not wanted.holds(number)]
    if wrong:
        return failed(f"{'; '.join(wrong[:_LISTED])} {what}; wanted {wanted}", *list(counted)[:100])
    largest = max(counted, key=lambda name: counted[name])
    said = f"{len(counted)} files; {largest} has {counted[largest]} {what}, wanted {wanted}"
    return proven(said, *list(counted)[:100])


def _shown(text: str) -> str:
    """A text without comments; one that is not closed is none."""
    shown, at = [], 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin)) >= 0:
        shown.append(text[at:begin])
        at = end + 3
    return " ".join([*shown, text[at:]])


@check(
    "{area:area} (ends|end) with a [(final|trailing)] newline",
    "(every|each) file [in {area:area}] ends with a [final] newline",
    "{area:area} (has|have) a (final|trailing) newline",
    name="text.final-newline",
    examples=("`a.txt` ends with a newline",),
)
def final_newline(ctx: Context, area: Area | None = None) -> Result:
    """The last line of each text file is ended; an empty file has no line."""
    sources = _sources(ctx, area or Area())
    if isinstance(sources, Result):
        return sources
    paths = [s.path for s in sources]
    filled = [s for s in sources if s.text]
    if not filled:
        return unproven("there is no line whose end could be looked at", *paths[:100])
    wrong = [s.path for s in filled if not s.text.endswith("\n")]
    if wrong:
        return failed(f"no newline at the end of {', '.join(wrong[:_LISTED])}", *paths[:100])
    return proven(f"{len(filled)} files end with a newline", *paths[:100])


_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE_ENDS = "(line endings|line ends|newlines|line breaks|end-of-line characters)"
parameter_type("lineend", r"(?:LF|CRLF|Unix|Windows)", lambda t: t.upper() in ("CRLF", "WINDOWS"))


@check(
    f"{{area:area}} (uses|use|has|have) [only] {{windows:lineend}} {_LINE_ENDS}",
    "(all|every|each) (file|files) [in {area:area}] (uses|use|has|have) [only] {windows:lineend} "
    + _LINE_ENDS,
    "[all] (line endings|line ends) [in {area:area}] are {windows:lineend}",
    name="text.line-ends",
    examples=("All files in `src/` use LF line endings",),
)
def line_ends(ctx: Context, windows: bool, area: Area | None = None) -> Result:
    """The bytes at the end of each line of the text files; a file of one line has none to see."""
    sources = _sources(ctx, area or Area())
    if isinstance(sources, Result):
        return sources
    name, end = ("CRLF", "\r\n") if windows else ("LF", "\n")
    found = {s.path: {m[0] for m in _LINE_END.finditer(s.text)} for s in sources}
    paths, wrong = list(found)[:100], [path for path, ends in found.items() if ends - {end}]
    if not any(found.values()):
        return unproven("there is no line end to look at", *paths[:_LISTED])
    if wrong:
        return failed(f"other line ends than {name} in {', '.join(wrong[:_LISTED])}", *paths)
    return proven(f"{len(found)} files have {name} at the end of each line", *paths)


@check(
    "no file [in {area:area}] (is larger than|is bigger than|is over|exceeds) {most:size}",
    "(all|every|each) (file|files) [in {area:area}] (is|are) "
    "(at most|no larger than|not larger than) {most:size}",
    name="files.sizes",
    examples=("No file in `assets/` is larger than 1 MB",),
)
def sizes(ctx: Context, most: int, area: Area | None = None) -> Result:
    """Counts the bytes of each of the workspace's own files; a link counts as what it leads to."""
    paths = files_of(ctx, area or Area())
    if isinstance(paths, Result):
        return paths
    counted = {path: ctx.path(path).stat().st_size for path in paths}
    wrong = [f"{path} has {size:,}" for path, size in counted.items() if size > most]
    if wrong:
        return failed(f"{'; '.join(wrong[:_LISTED])} bytes; at most {most:,}", *paths[:100])
    largest = max(counted, key=lambda path: counted[path])
    said = f"{len(counted)} files; the largest, {largest}, has {counted[largest]:,} bytes"
    return proven(said, *paths[:100])

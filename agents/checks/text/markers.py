"""What must not be left: notes, debugging output, directives; how statements name it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from orchestrate_agents.checks.text.kinds import JAVASCRIPT, Kind
from orchestrator.gates.checks import parameter_type

EVERY_KIND = frozenset(Kind)
_WEB = (*JAVASCRIPT, ".vue", ".svelte", ".html", ".astro")


@dataclass(frozen=True, repr=False)
class Marker:
    """Something that must not be there."""

    #: how a statement names it
    words: str
    #: what it looks like
    sure: str
    #: what may be it: found, it leaves the statement unproven
    unsure: str = ""
    #: files that can have it; () is any text
    suffixes: tuple[str, ...] = ()
    #: what it counts in; in `clear` it is none, and in all else nobody knows
    counts: frozenset[Kind] = frozenset({Kind.CODE})
    clear: frozenset[Kind] = frozenset({Kind.TEXT})
    #: whether prose that the statement does not name has it too; else that is for a person to say
    prose: bool = False
    label: str = ""
    #: the word, where a statement quotes it and nothing else: a file that it names must not have it
    quoted: str = ""

    def __repr__(self) -> str:
        return self.label


def _comment(words: str, sure: str, suffixes: tuple[str, ...] = ()) -> Marker:
    """A directive to a tool, which only a comment can be."""
    clear = frozenset({Kind.TEXT, Kind.STRING, Kind.CODE})
    return Marker(words, sure, "", suffixes, frozenset({Kind.COMMENT}), clear)


NO_KIND: frozenset[Kind] = frozenset()


def _note(words: str, sure: str) -> Marker:
    """A note to oneself: in a comment surely, in other parts perhaps."""
    return Marker(words, sure, "", (), frozenset({Kind.COMMENT, Kind.TEXT}), NO_KIND)


def _anywhere(words: str, sure: str) -> Marker:
    return Marker(words, sure, "", (), EVERY_KIND, NO_KIND, prose=True)


_PYTHON = (".py", ".pyi")
#: the debugging output of languages, by the ends of their files
_PRINTS = (
    Marker("", r"(?<![\w.])print\s*\(", r"(?<![\w.])print\b(?!\s*[(=])|\bsys\.stdout\b", _PYTHON),
    Marker("", r"\bfmt\.Print", "", (".go",)),
    Marker("", r"\b(?:e?print(?:ln)?|dbg)!", "", (".rs",)),
    Marker("", r"\bSystem\.(?:out|err)\.print", "", (".java",)),
    Marker("", r"(?<![\w.])print(?:ln)?\s*\(", "", (".kt", ".swift", ".dart", ".scala")),
    Marker("", r"(?<![\w.$>])(?:var_dump|print_r)\s*\(|(?<![\w$])print\b", "", (".php",)),
)
#: what statements say is not left; the first one whose words fit is meant
MARKERS = (
    _note(r"TODOs?", r"\bTODOs?\b|@todo\b|(?i:\btodo)(?=\s*[:(])"),
    _note(r"FIXMEs?", r"\bFIXMEs?\b|(?i:\bfixme)(?=\s*[:(])"),
    *(_note(rf"{word}s?", rf"\b{word}s?\b") for word in ("XXX", "HACK", "TBD", "WIP")),
    Marker(
        r"console\.logs?(?:\(\))?|console logs?",
        r"\bconsole\s*\??\.\s*log\b",
        r"\bconsole\b(?!\s*\??\.\s*(?!log\b)\w)",
        _WEB,
    ),
    Marker(
        r"console\.(?:warn|debug|error|info|trace)(?:\(\))?",
        r"\bconsole\s*\??\.\s*{method}\b",
        r"\bconsole\b(?!\s*\??\.\s*\w)",
        _WEB,
    ),
    Marker(r"console\.\*|console", r"\bconsole\b", "", _WEB),
    Marker(r"debuggers?", r"(?<![.\w])debugger\b(?!\s*[:=.(])", "", _WEB),
    Marker(r"alert(?:\(\))?", r"(?<![.\w])(?:window\.)?alert\s*\(", "", _WEB),
    Marker(
        r"breakpoints?(?:\(\))?|pdb(?:\.set_trace(?:\(\))?)?",
        r"(?<![\w.])breakpoint\s*\(|\bi?pdb\.set_trace\b|^\s*(?:import|from)\s+i?pdb\b",
        "",
        _PYTHON,
    ),
    Marker(
        r"explicit `?any|any(?=`| types?| annotations?)",
        r"(?:[:<|&,]\s*|\bas\s+|=>\s*)any\b(?!\s*[(:.\w])|(?<!\.)\bany\[\]",
        r"(?<![.\w])any\b(?!\s*[(:])",
        (".ts", ".tsx", ".mts", ".cts"),
    ),
    _comment(r"eslint-disables?", r"\beslint-disable"),
    _comment(r"@?ts-ignores?", r"@ts-ignore\b"),
    _comment(r"@?ts-nochecks?", r"@ts-nocheck\b"),
    _comment(r"@?ts-expect-errors?", r"@ts-expect-error\b"),
    _comment(r"noqas?|# noqa", r"(?i:#\s*noqa\b)", _PYTHON),
    _comment(r"(?:# )?type: ?ignores?", r"#\s*type:\s*ignore", _PYTHON),
    _comment(r"pylint: ?disables?", r"#\s*pylint:\s*disable", _PYTHON),
    Marker(r"(?:wild-?card|star) imports?", r"^\s*from\s+\S+\s+import\s*\*", "", _PYTHON),
    Marker(r"bare excepts?", r"^\s*except\s*:", "", _PYTHON),
    _anywhere(r"(?:merge )?conflict markers?|merge conflicts?", r"^(?:<{7}|>{7}|\|{7})(?: |$)"),
    _anywhere(r"trailing (?:white ?space|spaces)", r"[ \t]+$"),
    _anywhere(r"lorem ipsum", r"(?i:\blorem\s+ipsum\b)"),
)
_PRINT_WORDS = r"prints?(?:\(\))?|print"
_NOUN = (
    r"(?:comments?|markers?|notes?|statements?|calls?|lines?|logs?|logging|directives?|types?|"
    r"annotations?|placeholders?|text|suppressions?|output|usages?|use)"
)
ONE = "|".join(f"(?:{m.words})" for m in MARKERS) + f"|{_PRINT_WORDS}"
_MARKED = rf"(?:(?:use|usages?|uses) of )?`?(?:{{}})`?(?: {_NOUN})?"
OR = r"\s*(?:,(?:\s*\b(?:or|and|nor)\s)?|/|(?<=\s)(?:or|and|nor)\s)\s*(?:no\s+)?"


def read_markers(text: str) -> tuple[Marker, ...]:
    """`TODO or FIXME comments`, `console.log statements`: what each of them looks like."""
    found: list[Marker] = []
    noun = re.search(rf" ({_NOUN})$", text.strip(), re.IGNORECASE)
    for part in re.split(OR, text.strip()):

        def says(words: str, part: str = part) -> bool:
            return bool(re.fullmatch(_MARKED.format(words), part, re.IGNORECASE))

        fitting = [m for m in MARKERS if says(m.words)][:1]
        label = re.sub(rf"^(?:use|usages?|uses) of | {_NOUN}$|`", "", part, flags=re.IGNORECASE)
        method = re.search(r"console\.(\w+)", part)
        alone = re.fullmatch(r"`(\w+)`", part)
        for marker in fitting or _PRINTS:
            sure = marker.sure.replace("{method}", method[1] if method else "")
            read = replace(marker, sure=sure, label=label, quoted=alone[1] if alone else "")
            found.append(_narrowed(read, noun and noun[1]))
    return tuple(found)


def _narrowed(marker: Marker, noun: str | None) -> Marker:
    """A comment is not a statement, and what is in a string is neither."""
    if noun and noun.lower().startswith("comment") and Kind.COMMENT in marker.counts:
        return replace(
            marker,
            counts=frozenset({Kind.COMMENT}),
            clear=frozenset({Kind.CODE, Kind.STRING, Kind.TEXT}),
        )
    if noun and re.match(r"statement|call", noun, re.IGNORECASE):
        clear = frozenset({Kind.COMMENT, Kind.STRING, Kind.TEXT}) - marker.counts
        return replace(marker, clear=clear)
    return marker


_ANY_MARKED = _MARKED.format(ONE)
parameter_type("markers", rf"{_ANY_MARKED}(?:{OR}{_ANY_MARKED})*", read_markers)

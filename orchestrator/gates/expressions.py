"""Check patterns: words with typed parameters, translated into regular expressions.

A pattern is words, `{name:type}` parameters, `[optional words]` and `(one|other)` alternatives. It
must match the whole claim. Matching ignores case, white space around the claim, and backticks or
bold marks around words. A word that changes what a claim says (`MEANING`) is never part of a
parameter, unless it is quoted or its type reads it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError

#: words that change what the words next to them say
MEANING = (
    r"(?:\b(?:or|nor|either|neither|unless|if|except|excepting|excluding|without|when|whenever|while|"
    r"until|till|where|whether|otherwise|instead|rather|only|not|no|none|nobody|nothing|never|cannot|"
    r"ideally|should|may|might|could|can|optional(?:ly)?|possible|possibly|preferably|almost|nearly|"
    r"mostly|usually|roughly|approximately|hardly|barely|rarely|seldom|some|few|half|partly|fewer|"
    r"less|as|than|then|after|before|since|because|at (?:most|least)|all but|false|wrong|"
    r"untrue)\b|n['’]t\b)"
)
#: a text without them
PLAIN = rf"(?:(?!{MEANING}).)+?"
#: unquoted, these are not names
_GRAMMAR = (
    r"(?:an?|the|all|any|every|each|both|many|most|it|its|them|they|this|that|these|those|is|are|was|"
    r"were|be|has|have|of|in|on|at|to|by|for|with|from|and|but)\b"
)
_BARE_NAME = r"[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*(?:\(\))?"
# two ways to begin would be two to the power of their number in a list
_NAME = rf"(?:(?<=[`\"])|(?<![`\"])(?!{MEANING}|{_GRAMMAR})){_BARE_NAME}"


def _strip_quotes(text: str) -> str:
    return text.strip().strip("`*\"'").removesuffix("()")


def _split_list(text: str) -> tuple[str, ...]:
    parts = re.split(r"\s*(?:,\s*and\s+|,|/|\+|&|\s+and\s+)\s*", text)
    return tuple(_strip_quotes(part) for part in parts if part.strip())


#: a ticket's id: `WO-231a`, `WP01`, as other tools number (`task-12`, `nw-5c46`), a bare number
_ID = (
    r"(?:(?-i:[A-Z][A-Z0-9]*)[-_][A-Za-z0-9][\w.-]*?|(?-i:[A-Z]{1,5}\d{2,6}[a-z]?)"
    r"|(?=[\w.-]*\d)[a-z0-9]+(?:-[\w.]+)+?|\d{1,6}(?:\.\d+)*)"
)
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def _parse_int(text: str) -> int:
    word = _strip_quotes(text).lower()
    return _NUMBER_WORDS.index(word) if word in _NUMBER_WORDS else int(word.replace(",", ""))


#: parameter types: name → (regular expression, converter)
TYPES: dict[str, tuple[str, Callable[[str], Any]]] = {
    # a file or folder, with at least a slash or an extension
    "path": (r"`?[\w.@+-]*(?:/[\w.@+-]+)*(?:/|\.[A-Za-z]\w*)`?", _strip_quotes),
    # an identifier: table, column, function
    "name": (rf"[`\"]?{_NAME}[`\"]?", _strip_quotes),
    # several identifiers: "a, b and c"
    "names": (
        rf"[`\"]?{_NAME}[`\"]?(?:\s*(?:,\s*and|,|/|\+|\s+and)\s*[`\"]?{_NAME}[`\"]?)*",
        _split_list,
    ),
    "int": (r"(?:\d[\d,]*|" + "|".join(_NUMBER_WORDS) + ")", _parse_int),
    "number": (r"-?\d+(?:\.\d+)?", float),
    # a ticket id
    "id": (rf"`?{_ID}`?", _strip_quotes),
    # the same where the rest of the pattern shows that it is one: also a file's name, `say-hello`
    "ticket": (rf"`?(?:{_ID}|[a-z0-9]+(?:[-_][\w.]+)+?)`?", _strip_quotes),
    # a board folder
    "folder": (r"`?(?:[\w.-]+/)?\d+(?:\.\d+)?_[A-Z_]+/?`?", lambda t: _strip_quotes(t).strip("/")),
    # an agent's or a person's upper-case name
    "agent": (r"`?[A-Z][A-Z_]+`?", _strip_quotes),
    # anything between backticks or quotes
    "code": (r"(?:`[^`]+`|\"[^\"]+\")", lambda t: t.strip()[1:-1]),
    # the rest of a sentence, of plain words
    "text": (PLAIN, str.strip),
}


#: package in whose name a workspace's own check files are imported
WORKSPACE_CHECKS = "orchestrate_workspace_checks"
#: parameter type → the module of a package that registered it
MODULES: dict[str, str] = {}
#: parameter type → the workspace's file and line that registered it
_OWNERS: dict[str, tuple[Path, int]] = {}


def parameter_type(name: str, pattern: str, convert: Callable[[str], Any] = str) -> None:
    """Register another parameter type for patterns.

    A file that is loaded again may change its own. Raises UsageError for a name used twice.
    """
    caller = sys._getframe(1)
    module = str(caller.f_globals.get("__name__"))
    own = module.startswith(f"{WORKSPACE_CHECKS}.")
    take_type(name, pattern, convert, Path(caller.f_code.co_filename), caller.f_lineno, own=own)
    if not own:
        MODULES[name] = module


def list_type(name: str, pattern: str, module: str) -> None:
    """Take a type whose module is imported when the first text is converted."""

    def convert(text: str) -> Any:
        import_module(module)
        return TYPES[name][1](text)

    if name not in TYPES:
        TYPES[name] = (pattern, convert)
        MODULES[name] = module
        compile_pattern.cache_clear()


def take_type(
    name: str, pattern: str, convert: Callable[[str], Any], file: Path, line: int, *, own: bool
) -> None:
    """The same for a type that stands at that place; `own`: of a workspace."""
    if name in TYPES and TYPES[name][0] != pattern:
        owner = _OWNERS[name][0] if name in _OWNERS else None
        # of another workspace, or of a file that is gone
        elsewhere = (
            own and owner is not None and (owner.parent != file.parent or not owner.exists())
        )
        if owner is None or not (owner == file or elsewhere):
            raise UsageError(
                f"two parameter types are called {name}",
                path=file,
                line=line,
                hint="give this one another name",
            )
    TYPES[name] = (pattern, convert)
    if own:
        _OWNERS[name] = (file, line)
    compile_pattern.cache_clear()


class _Parser:
    """Translates a check pattern into a regular expression (recursive descent)."""

    _WORD = re.compile(r"[^\s{}\[\]()|\\]+")
    _MARK = r"[`*_\"]{0,3}"

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.params: list[tuple[str, str]] = []
        #: for each open group: sets of words, of each of which a text that matches has one; with
        #: blanks around it, one that stands there as a whole
        self.needs: list[list[frozenset[str]]] = [[]]
        #: for each open group, whether something else ends right before it
        self.apart: list[bool] = [True]

    def regex(self) -> str:
        body = self._alternatives()
        if self.at < len(self.source):
            raise UsageError(f"unbalanced brackets in check pattern: {self.source!r}")
        return body

    def _alternatives(self) -> str:
        branches, needs = [], []
        while True:
            self.needs.append([])
            branches.append(self._sequence())
            needs.append(self.needs.pop())
            if self.source[self.at : self.at + 1] != "|":
                break
            self.at += 1
        if len(needs) == 1:
            self.needs[-1].extend(needs[0])
        elif all(needs):
            # what alternatives have in common: one word of each, the most telling one
            best = [max(branch, key=lambda words: min(map(len, words))) for branch in needs]
            self.needs[-1].append(frozenset().union(*best))
        return "|".join(branches)

    def _sequence(self) -> str:
        """Words and groups; white space next to an optional group is optional with it."""
        out, space = "", False
        while self.at < len(self.source) and self.source[self.at] not in ")]|":
            char = self.source[self.at]
            if char.isspace():
                space, self.at = bool(out), self.at + 1
            elif char == "[":
                group = self._group("]")
                if out:
                    out += rf"(?:\s+(?:{group}))?" if space else f"(?:{group})?"
                    space = False
                elif self.source[self.at : self.at + 1].isspace():
                    while self.source[self.at : self.at + 1].isspace():
                        self.at += 1
                    return rf"(?:(?:{group})\s+)?" + self._sequence()
                else:
                    out += f"(?:{group})?"
            else:
                out += (r"\s+" if space else "") + self._atom(char)
                space = False
        return out

    def _group(self, closer: str) -> str:
        self.apart.append(self._is_apart(self.at))
        self.at += 1
        self.needs.append([])
        body = self._alternatives()
        needs = self.needs.pop()
        self.apart.pop()
        if closer == ")":
            self.needs[-1].extend(needs)
        if self.source[self.at : self.at + 1] != closer:
            raise UsageError(f"unbalanced brackets in check pattern: {self.source!r}")
        self.at += 1
        return body

    def _atom(self, char: str) -> str:
        if char == "{":
            return self._parameter()
        if char == "(":
            return f"(?:{self._group(')')})"
        if char == "\\":
            self.at += 2
            return re.escape(self.source[self.at - 1])
        word = self._WORD.match(self.source, self.at)
        assert word is not None
        self.at = word.end()
        self.needs[-1].extend(frozenset([part]) for part in self._words_in(word))
        return self._MARK + re.escape(word.group()) + self._MARK

    def _words_in(self, token: re.Match[str]) -> Iterator[str]:
        """The words of a token, with a blank at each end at which nothing can go on with them."""
        lowered = token.group().lower()
        for found in re.finditer(r"[a-z]{2,}", lowered):
            before = found.start() > 0 or self._is_apart(token.start())
            after = found.end() < len(lowered) or self._ends(token.end())
            yield f"{' ' * before}{found.group()}{' ' * after}"

    def _is_apart(self, at: int) -> bool:
        """Whether white space, or nothing, is before this place in every text."""
        before = self.source[:at].rstrip()
        if not before or before[-1] in "([|":
            return self.apart[-1]
        # all before it in the group may be optional, and its blank with it
        return len(before) < at and (before[-1] != "]" or self.apart[-1])

    def _ends(self, at: int) -> bool:
        """Whether white space, or nothing, is at this place in every text."""
        is_blank = False
        while at < len(self.source):
            char = self.source[at]
            if char.isspace():
                is_blank, at = True, at + 1
            elif char in ")]":
                is_blank, at = False, at + 1
            elif char == "|":
                # the other alternatives are not said with it
                is_blank, at = False, self._close_of(at)
            elif char == "[" and is_blank:
                is_blank, at = False, self._close_of(at + 1) + 1
            else:
                return is_blank
        return True

    def _close_of(self, at: int) -> int:
        """Where the group ends that this place is in."""
        depth = 0
        while at < len(self.source) and (depth or self.source[at] not in ")]"):
            char = self.source[at]
            depth += (char in "([") - (char in ")]")
            at += 2 if char == "\\" else 1
        return at

    def _parameter(self) -> str:
        end = self.source.index("}", self.at)
        name, _, kind = self.source[self.at + 1 : end].partition(":")
        if (kind or "name") not in TYPES:
            raise UsageError(
                f"unknown parameter type {kind!r} in check pattern: {self.source!r}",
                hint=f"known: {', '.join(sorted(TYPES))}; parameter_type() adds another",
            )
        self.params.append((name, kind or "name"))
        self.at = end + 1
        return f"(?P<{name}>{TYPES[kind or 'name'][0]})"


@dataclass(frozen=True)
class Pattern:
    """A parsed check pattern; its regular expression is compiled when a text may match."""

    expression: str
    #: (parameter, type)
    params: tuple[tuple[str, str], ...]
    #: sets of lower-case words: every text that matches has one of each set
    required: frozenset[frozenset[str]]

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """It has to match a whole text."""
        return re.compile(self.expression, re.IGNORECASE | re.DOTALL)

    def may_fit(self, words: str) -> bool:
        """Whether a text has the words that the pattern requires; `words`: as by `words_of`."""
        return all(any(word in words for word in needed) for needed in self.required)

    def own_words(self, text: str) -> int:
        """How many characters of a text that matches are the pattern's own, and no parameter."""
        found = self.regex.fullmatch(text) if self.may_fit(words_of(text)) else None
        if found is None:
            return 0
        return len(text) - sum(len(found.group(name) or "") for name, _ in self.params)

    def match(self, text: str) -> dict[str, Any] | None:
        """The typed arguments if the pattern matches the whole text."""
        words = self.words(text)
        return None if words is None else self.arguments(words)

    def words(self, text: str) -> dict[str, str] | None:
        """The words of each parameter that is given, if the pattern matches the whole text."""
        found = self.regex.fullmatch(text) if self.may_fit(words_of(text)) else None
        if found is None:
            return None
        given = ((name, found.group(name)) for name, _ in self.params)
        return {name: words for name, words in given if words is not None}

    def arguments(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Typed arguments of the words that `words` has found."""
        return {name: TYPES[kind][1](words[name]) for name, kind in self.params if name in words}


@lru_cache(maxsize=256)
def words_of(text: str) -> str:
    """The words of a text in lower case, each between blanks."""
    return f" {' '.join(re.findall('[a-z]+', text.lower()))} "


@lru_cache(maxsize=2048)
def compile_pattern(pattern: str) -> Pattern:
    """Parse a pattern. Raises UsageError for unknown types and unbalanced brackets."""
    parsed = _Parser(pattern)
    body = parsed.regex()
    return Pattern(rf"\s*(?:{body})\s*", tuple(parsed.params), frozenset(parsed.needs[0]))

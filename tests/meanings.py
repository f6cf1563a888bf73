"""Statements that every check takes, and the same with a word that changes what they say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from orchestrator.gates.checks import Check
from orchestrator.gates.expressions import compile_pattern

_BEFORE = (
    *("no", "not", "not all", "never", "only", "any", "none of", "some", "neither", "either"),
    *("all but one of", "almost all", "at most", "at least", "less than", "fewer than", "except"),
    *("without", "half of", "few", "hardly any", "exactly one of", "other", "non-"),
)
_PREFIXES = (
    *("if asked, ", "when possible, ", "unless told otherwise, ", "it is false that "),
    *("except on Sundays, ", "within 5 s, ", "later: ", "no longer: ", "it is not so that "),
)
_SUFFIXES = (
    *(" except in tests", " unless it rains", " if asked", " when asked", " only on Sundays"),
    *(" within 5 s", " or not", " or nothing", " or `z.txt` exists", " without tests", " but one"),
    *(" never", " not", " only", " partly", " under load", " most of the time", " by 2030"),
)
_VERBS = (
    "passes|pass|uses|creates|compiles|runs|exports|says|approves|confirms|prevents|handles|loads|"
    "leaves|match|matches|references|contains|contain|mentions|exist|exists|returns|defines|sets"
)
_CHANGED = (
    *((r"\bis\b", "is not"), (r"\bare\b", "are not"), (r"\bhas\b", "has no")),
    *(
        (r"\bhave\b", "have no"),
        (r"\bcan\b", "cannot"),
        (r"\band\b", "or"),
        (r"\ball\b", "not all"),
    ),
    *((r"\ball\b", "some"), (r"\bevery\b", "not every"), (r"\bno\b", "some"), (r"\bno\b", "few")),
    *((r"\bonly\b", "not only"), (r"\bwithout\b", "with"), (r"\bat least\b", "at most")),
    *((r"\bdo not\b", "do"), (rf"\b({_VERBS})\b", r"never \1"), (rf"\b({_VERBS})\b", r"hardly \1")),
    *((r"\b(\d+)\b", r"fewer than \1"), (r"\b(\d+)\b", r"up to \1")),
)


def variants(statement: str) -> Iterator[str]:
    """The statement with one word or phrase more, or another; never within quotes."""
    yield from (prefix + statement for prefix in _PREFIXES)
    yield from (statement.rstrip(".") + suffix for suffix in _SUFFIXES)
    for found in re.finditer(r"\S+", statement):
        at = found.start()
        if not _is_quoted(statement, at):
            for word in _BEFORE:
                yield statement[:at] + word + ("" if word.endswith("-") else " ") + statement[at:]
    for pattern, word in _CHANGED:
        for found in re.finditer(pattern, statement, re.IGNORECASE):
            if not _is_quoted(statement, found.start()):
                yield statement[: found.start()] + found.expand(word) + statement[found.end() :]


def _is_quoted(text: str, at: int) -> bool:
    before = text[:at]
    curly = before.count("“") > before.count("”")
    return curly or before.count("`") % 2 == 1 or before.count('"') % 2 == 1


def statements(checks: Iterable[Check]) -> Iterator[tuple[Check, str]]:
    """The examples of the checks, and for every pattern its longest and its shortest wording."""
    known = tuple(checks)
    samples = _samples(known)
    for check in known:
        yield from ((check, example) for example in check.examples)
        for pattern in check.patterns:
            for full in (True, False):
                told = _Wording(pattern, full, samples).read()
                if told is not None:
                    yield check, re.sub(r"\s+", " ", told).strip()


def _samples(checks: Iterable[Check]) -> Mapping[str, list[str]]:
    """Texts for each parameter type, as the examples have them."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for check in checks:
        for pattern in map(compile_pattern, check.patterns):
            for match in filter(None, map(pattern.regex.fullmatch, check.examples)):
                for name, kind in pattern.params:
                    if match.group(name):
                        found[kind].setdefault(match.group(name))
    return {kind: list(texts) for kind, texts in found.items()}


class _Wording:
    """One text that a pattern matches: with all optional words or with none."""

    def __init__(self, pattern: str, full: bool, samples: Mapping[str, list[str]]) -> None:
        self.pattern, self.full, self.samples, self.at = pattern, full, samples, 0

    def read(self) -> str | None:
        """The text; None if no example shows a parameter of a type."""
        try:
            return self._alternatives()
        except LookupError:
            return None

    def _alternatives(self) -> str:
        branches = [self._sequence()]
        while self.pattern[self.at : self.at + 1] == "|":
            self.at += 1
            branches.append(self._sequence())
        return branches[0 if self.full else -1]

    def _sequence(self) -> str:
        out = ""
        while self.pattern[self.at : self.at + 1] not in ("", ")", "]", "|"):
            char = self.pattern[self.at]
            self.at += 1
            if char in "[(":
                group = self._alternatives()
                self.at += 1
                out += group if char == "(" or self.full else ""
            elif char == "{":
                end = self.pattern.index("}", self.at)
                kind = self.pattern[self.at : end].partition(":")[2] or "name"
                self.at = end + 1
                out += self.samples[kind][0 if self.full else -1]
            elif char == "\\":
                out += self.pattern[self.at]
                self.at += 1
            else:
                out += char
        return out

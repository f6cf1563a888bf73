"""Binding: a statement is split into claims, and each is bound to the check that fits (DESIGN 6.1).

All words are accounted for. Where no split binds them all, the split that leaves the fewest words
over is taken: those words are a claim of their own that no check fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.gates.checks import Check

#: a longer claim is for no pattern, and would only cost time
LONGEST_CLAIM = 1_000
_MOST_JOINTS = 12
#: statements whose bindings are kept in a long-lived process
_MOST_KEPT = 5_000

#: where one claim may end and the next begin
_JOINT = re.compile(
    r"\s*;\s+|\.\s+(?=[A-Z`])|\s+[—–]\s+|\s*,\s+(?:and\s+)?|\s+and\s+|\s+\+\s+|\s*\((?=[^)]*\)\s*$)|\s+but\s+"
)
#: joints that are also written within a claim
_WEAK = ("and", ",", "+")
_SUBJECT = re.compile(
    r"^(.*?)\s+(?:is|are|has|have|exists?|uses?|was|were|passes|contains?|handles?|defines?|prints?|"
    r"deduplicates?|exports?|stays?|references?|can|cannot|may)\b",
    re.IGNORECASE,
)
#: words that change what their neighbours claim: beside them nothing is judged by itself
_TIED = re.compile(
    r"\b(?:or|nor|either|neither|unless|if|except|excepting|without|when|whenever|while|until|till|"
    r"where|whether|otherwise|instead|rather|only|not|no|never|ideally|should|may|might|could|can|"
    r"optional(?:ly)?|possible|possibly|preferably|almost|nearly|mostly|usually|roughly|"
    r"approximately|some|partly|as|than|then|after|before|since|because)\b|n't\b|n’t\b",
    re.IGNORECASE,
)

#: a piece without one of these is no claim of its own, but a part of its neighbour's
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|does|do|did|will|must|shall|exists?|uses?|passes|"
    r"contains?|handles?|defines?|prints?|exports?|stays?|shows?|returns?|runs?|names?|lists?|says?|"
    r"matches|covers?|holds?|works?|loads?|writes?|reads?|follows?|includes?|explains?|describes?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Binding:
    """One claim with the check that fits it, or None and why."""

    claim: str
    check: Check | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def normalise(text: str) -> str:
    """A claim without list marks, bold marks around all of it, trailing stop and double spaces."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"(\*\*|__)(`[^`]+`)\1", r"\2", text)
    text = re.sub(r"^[-*]\s+(\[[ xX]\]\s*)?", "", text)
    return text.rstrip(".").strip()


class Binder:
    """Binds statements to checks."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self.checks = tuple(checks)
        self._claims: dict[str, Binding | None] = {}
        self._bound: dict[str, tuple[Binding, ...]] = {}

    def bind(self, statement: str) -> tuple[Binding, ...]:
        """The statement's claims, each with its check. All of the text is accounted for."""
        if len(self._bound) > _MOST_KEPT:
            self._bound.clear()
            self._claims.clear()
        if statement not in self._bound:
            self._bound[statement] = self._bind(normalise(statement))
        return self._bound[statement]

    def _bind(self, text: str) -> tuple[Binding, ...]:
        whole = self.one(text)
        if whole is not None:
            return (whole,)
        cut = _Splitter(text, self).best()
        left = cut.left_over
        if len(left) == len(cut.pieces) or not all(map(_stands_alone, left)):
            return (self._left_over(text),)
        return tuple(p.bound or self._left_over(p.words) for p in cut.pieces)

    def one(self, claim: str) -> Binding | None:
        """The claim as one, None if no check fits it; two that fit are a problem of their own."""
        if claim not in self._claims:
            self._claims[claim] = self._one(claim)
        return self._claims[claim]

    def _one(self, claim: str) -> Binding | None:
        if len(claim) > LONGEST_CLAIM:
            return None
        hits = [(c, a) for c in self.checks if (a := c.match(claim)) is not None]
        if len(hits) > 1:
            names = ", ".join(c.name for c, _ in hits)
            return Binding(claim, None, problem=f"{len(hits)} checks fit, so none is run: {names}")
        return Binding(claim, hits[0][0], hits[0][1]) if hits else None

    def _left_over(self, claim: str) -> Binding:
        return Binding(claim, None, problem=stub(claim, nearest(claim, self.checks)))


@dataclass(frozen=True)
class _Piece:
    """Words of the text, bound or left over."""

    words: str
    bound: Binding | None


@dataclass(frozen=True)
class _Cut:
    """One way to split."""

    pieces: tuple[_Piece, ...] = ()
    #: joints that may as well stand within a claim: an "and" or a comma alone
    weak: int = 0

    @property
    def left_over(self) -> list[str]:
        return [p.words for p in self.pieces if p.bound is None]

    @property
    def loss(self) -> tuple[int, int, int, int]:
        """More text bound, then less cut up, then at stronger joints."""
        # a joint within a claim is no gain over one between two
        bound = sum(len(_JOINT.sub("", p.words)) for p in self.pieces if p.bound is not None)
        return -bound, len(self.left_over), len(self.pieces), self.weak


class _Splitter:
    """The best way to split one text at its joints; each rest is looked at once per subject."""

    def __init__(self, text: str, binder: Binder) -> None:
        self.text = text
        self.one = binder.one
        found = list(_JOINT.finditer(text))
        self.joints = [j for j in found if j.start() > 0 and j.end() < len(text)][:_MOST_JOINTS]
        self._best: dict[tuple[int, str, int], _Cut] = {}

    def best(self) -> _Cut:
        return self._rest(0, "", len(self.text))

    def _rest(self, start: int, subject: str, end: int) -> _Cut:
        key = (start, subject, end)
        if key not in self._best:
            self._best[key] = min(self._cuts(start, subject, end), key=lambda cut: cut.loss)
        return self._best[key]

    def _cuts(self, start: int, subject: str, end: int) -> Iterable[_Cut]:
        """All ways to take one claim off the front, the rest split as well as can be."""
        for joint in self.joints:
            if joint.start() <= start:
                continue
            head = self._claim(self.text[start : joint.start()], subject)
            if not head.words:
                continue
            # what an opening parenthesis begins, the last closing one ends
            closes = joint.group().strip() == "("
            rest_end = self.text.rindex(")") if closes else end
            said = _subject(head.bound.claim) if head.bound else ""
            rest = self._rest(joint.end(), said or subject, rest_end)
            weak = joint.group().strip() in _WEAK
            yield _Cut((head, *rest.pieces), rest.weak + weak)
        yield _Cut((self._claim(self.text[start:end], subject),))

    def _claim(self, words: str, subject: str) -> _Piece:
        """The words bound, with the subject of the claims before them if that fits."""
        words = words.strip()
        candidates = [f"{subject} {words}", words] if subject else [words]
        return _Piece(words, next(filter(None, map(self.one, candidates)), None))


def _stands_alone(words: str) -> bool:
    """Whether words that no check fits leave the meaning of the claims beside them as it is."""
    return bool(_VERB.search(words)) and not _TIED.search(words)


def _subject(claim: str) -> str:
    found = _SUBJECT.match(claim)
    return found.group(1) if found else ""


def nearest(claim: str, checks: Iterable[Check], most: int = 3) -> list[Check]:
    """The checks whose examples share the most words with a claim, best first."""
    words = _words(claim)

    def likeness(check: Check) -> float:
        examples = [known for known in map(_words, check.examples) if known]
        return max((len(words & e) / len(words | e) for e in examples), default=0.0)

    ranked = sorted(((likeness(c), c.name, c) for c in checks), key=lambda r: (-r[0], r[1]))
    return [check for score, _, check in ranked[:most] if score >= 0.2]


_COMMON = frozenset(
    "has have is are be was were the all each every no not of in on to and or".split()  # noqa: SIM905
)


def _words(text: str) -> set[str]:
    """The words of a claim that tell it from others, without what it quotes."""
    return set(re.findall(r"[a-z]{2,}", re.sub(r"`[^`]*`", " ", text.lower()))) - _COMMON


def stub(claim: str, near: Iterable[Check] = ()) -> str:
    """The message for a claim that no check fits, with the nearest ones and the check to write."""
    words = re.sub(r"[^a-z0-9]+", "_", claim.lower()).strip("_")[:40].strip("_") or "claim"
    name = words if words.isidentifier() else f"claim_{words}"
    pattern, paths = re.subn(r"`[\w./@+-]*[/.][\w./@+-]*`", "{path:path}", _literal(claim), count=1)
    parameter = ", path: str" if paths else ""
    lines = [f"no check fits “{claim}”"]
    lines += [f"near: {c.name}, e.g. {_closest(claim, c)}" for c in near]
    lines += [f'@check({pattern!r}, name="mine.{name}")']
    lines += [f"def {name}(ctx: Context{parameter}) -> Result: ..."]
    return "\n".join(lines)


def _literal(claim: str) -> str:
    """A claim as a pattern that takes its brackets literally."""
    return re.sub(r"[\\{}\[\]()|]", lambda bracket: "\\" + bracket.group(), claim)


def _closest(claim: str, check: Check) -> str:
    words = _words(claim)
    return max(check.examples, key=lambda example: len(words & _words(example)))

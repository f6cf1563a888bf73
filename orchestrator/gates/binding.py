"""Binding: a statement is split into claims, each bound to the check that fits (DESIGN 6.1).

No word is dropped. If no split binds all of them, the split that leaves the fewest words unbound
wins; the words left are a claim of their own that no check fits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.gates.checks import Check, Phase
from orchestrator.gates.evidence import find_evidence
from orchestrator.gates.wording import TIED, normalize, present_tense, strip_labels
from orchestrator.markdown.leads import reverses

if TYPE_CHECKING:
    from orchestrator.gates.proof_cache import ProofCache

#: characters; a longer claim matches no pattern and would only cost time
LONGEST_CLAIM = 1_000
_MOST_JOINTS = 12
#: statements whose bindings are kept in a long-lived process
_MOST_KEPT = 5_000

#: where one claim may end and the next begin
_JOINT = re.compile(
    r"\s*;\s+|\.\s+(?=[A-Z`]|[a-z0-9]+-[\w.-]*\w\s)|\s+[—–]\s+|\s*,\s+(?:and\s+)?|\s+and\s+|\s+\+\s+|\s*\((?=[^)]*\)\s*$)|\s+but\s+"
)
#: joints that are also written within a claim
_WEAK = ("and", ",", "+")
_SUBJECT = re.compile(
    r"^(.*?)\s+(?:is|are|has|have|exists?|uses?|was|were|passes|contains?|handles?|defines?|prints?|"
    r"deduplicates?|exports?|stays?|references?|can|cannot|may)\b",
    re.IGNORECASE,
)

#: a piece without one of these is not a claim, but part of the one next to it
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
    #: its statement names the evidence: this counts where it is refuted, and not where it is open
    beside: bool = False


#: what is between them is no word of a line above a list
_QUOTES = frozenset("`\"“”'")
#: claim → (number of a check, place of its pattern, words of the parameters) of those that fit
_Fits = dict[str, list[tuple[int, int, dict[str, str]]]]


class Binder:
    """Binds statements to checks.

    `cache` keeps which checks fit which claims for later runs: trying all patterns takes long.
    """

    def __init__(self, checks: Iterable[Check], cache: ProofCache | None = None) -> None:
        self.checks = tuple(checks)
        self._claims: dict[str, Binding | None] = {}
        self._bound: dict[str, tuple[Binding, ...]] = {}
        self._cache = cache
        self._number = {id(check): number for number, check in enumerate(self.checks)}
        #: by claim, the checks that fit it and how: of an earlier run, and seen in this one
        self._kept: _Fits = {}
        self._seen: _Fits = {}

    @cached_property
    def _edition(self) -> str:
        """A digest of all patterns."""
        known = [(check.name, check.digest, check.patterns) for check in self.checks]
        return hashlib.sha256(repr(known).encode("utf-8", "surrogatepass")).hexdigest()

    def bind(self, statement: str) -> tuple[Binding, ...]:
        """The statement's claims, each with its check; together they are all of its text."""
        if len(self._bound) > _MOST_KEPT:
            self._bound.clear()
            self._claims.clear()
        if statement not in self._bound:
            self._bound[statement] = self._bind_kept(statement)
        return self._bound[statement]

    def _bind_kept(self, statement: str) -> tuple[Binding, ...]:
        """`_bind_statement`, with the patterns that fitted in an earlier run tried alone."""
        if self._cache is None:
            return self._bind_statement(statement)
        key = repr(("fits", self._edition, statement))
        kept = self._cache.get(key)
        self._kept, self._seen = json.loads(kept) if kept else {}, {}
        bound = self._bind_statement(statement)
        if not kept:
            self._cache.put(key, json.dumps(self._seen).encode())
        return bound

    def _bind_statement(self, statement: str) -> tuple[Binding, ...]:
        text = normalize(statement)
        lead, _, rest = text.partition(": ")
        if rest and not set(lead) & _QUOTES and reverses(f"{lead}:"):
            problem = f"“{lead}:” changes what follows it: say it in one sentence"
            return (Binding(text, None, problem=problem),)
        bound = self._bind_named(text) or self._bind(text)
        # what looks like a label may be a word: `WO-7: …` is tried as it is written first
        unbound = len(text) <= LONGEST_CLAIM and any(claim.check is None for claim in bound)
        if unbound and (bare := strip_labels(text)) != text:
            tried = self._bind_named(bare) or self._bind(bare)
            if any(claim.check is not None for claim in tried):
                bound, text = tried, bare
        if any(claim.check is None for claim in bound):
            # “must have” demands what “has” says
            for said in present_tense(text):
                as_said = self._bind_named(said) or self._bind(said)
                if all(claim.check is not None for claim in as_said):
                    # where it is one claim, that has the statement's own words
                    one = len(as_said) == 1
                    return (replace(as_said[0], claim=text),) if one else as_said
        return bound

    def _bind_named(self, text: str) -> tuple[Binding, ...]:
        """The claims of a statement that names its evidence, the words' own first; else none."""
        if "`" not in text or len(text) > LONGEST_CLAIM or self.bind_claim(text) is not None:
            return ()
        for named in find_evidence(text):
            proofs = self._bind(named.claim)
            checks = [proof.check for proof in proofs]
            if any(c is None or not (named.labelled or c.evidence) for c in checks):
                continue
            about = self._bind(named.words) if named.words else ()
            if not about or any(b.check is None for b in about):
                # the words are proven by the evidence alone, so it is the claim
                about, proofs = (), (replace(proofs[0], claim=text), *proofs[1:])
            content = all(b.check and b.check.phase is Phase.CONTENT for b in about)
            return (*(replace(b, beside=content) for b in about), *proofs)
        return ()

    def _bind(self, text: str) -> tuple[Binding, ...]:
        # claims are made of a statement's own words: most checks fit none of them
        among = None
        if text not in self._kept:
            among = tuple(check for check in self.checks if check.may_fit(text))
        whole = self.bind_claim(text, among)
        if whole is not None:
            return (whole,)
        cut = _Splitter(text, lambda claim: self.bind_claim(claim, among)).best()
        left = cut.left_over
        # words that no check fits must not change the meaning of the claims next to them
        independent = all(_VERB.search(words) and not TIED.search(words) for words in left)
        if len(left) == len(cut.pieces) or not independent:
            return (self._leave_unbound(text),)
        return tuple(p.bound or self._leave_unbound(p.words) for p in cut.pieces)

    def bind_claim(self, claim: str, among: Iterable[Check] | None = None) -> Binding | None:
        """The claim as a whole; None if no check fits, a binding with a problem if several do.

        `among`: the checks that may fit, where that is known.
        """
        if claim in self._claims:
            return self._claims[claim]
        found: Binding | None = None
        if len(claim) <= LONGEST_CLAIM:
            fits = self._kept.get(claim)
            if fits is None:
                tried = self.checks if among is None else among
                said = ((self._number[id(c)], c.words(claim)) for c in tried)
                fits = [(number, *words) for number, words in said if words is not None]
                self._seen[claim] = fits
            checks = ((self.checks[number], place, words) for number, place, words in fits)
            hits = [(c, c.arguments(place, words)) for c, place, words in checks]
            if len(hits) > 1:
                hits = _most_specific(claim, hits)
            if len(hits) > 1:
                names = ", ".join(check.name for check, _ in hits)
                problem = f"{len(hits)} checks fit, so none is run: {names}"
                found = Binding(claim, None, problem=problem)
            elif hits:
                found = Binding(claim, *hits[0])
        self._claims[claim] = found
        return found

    def _leave_unbound(self, claim: str) -> Binding:
        return Binding(claim, None, problem=stub(claim, nearest(claim, self.checks)))


def _most_specific(
    claim: str, hits: list[tuple[Check, dict[str, Any]]]
) -> list[tuple[Check, dict[str, Any]]]:
    """Those whose patterns say most of the claim themselves, of several that fit.

    A check of the workspace never comes before another one for that.
    """
    if any(check.digest for check, _ in hits):
        return hits
    said = [check.own_words(claim) for check, _ in hits]
    return [hit for hit, words in zip(hits, said, strict=True) if words == max(said)]


@dataclass(frozen=True)
class _Piece:
    """Words of the text, bound or not."""

    words: str
    bound: Binding | None


@dataclass(frozen=True)
class _Cut:
    """One way to split."""

    pieces: tuple[_Piece, ...] = ()
    #: how many joints are weak
    weak: int = 0

    @property
    def left_over(self) -> list[str]:
        return [p.words for p in self.pieces if p.bound is None]

    @property
    def loss(self) -> tuple[int, int, int, int]:
        """Smaller is better: more text bound, then fewer pieces, then stronger joints."""
        # a joint inside a claim must not count for more than one between two claims
        bound = sum(len(_JOINT.sub("", p.words)) for p in self.pieces if p.bound is not None)
        return -bound, len(self.left_over), len(self.pieces), self.weak


class _Splitter:
    """Finds the best split of a text at its joints, each rest once per subject (memoized)."""

    def __init__(self, text: str, bind_claim: Callable[[str], Binding | None]) -> None:
        self.text = text
        self.bind_claim = bind_claim
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
        """All ways to take one claim off the front, with the best split of the rest."""
        for joint in self.joints:
            if joint.start() <= start:
                continue
            head = self._claim(self.text[start : joint.start()], subject)
            if not head.words:
                continue
            # a claim in parentheses ends at the last closing one
            closes = joint.group().strip() == "("
            rest_end = self.text.rindex(")") if closes else end
            said = _SUBJECT.match(head.bound.claim) if head.bound else None
            rest = self._rest(joint.end(), (said and said.group(1)) or subject, rest_end)
            weak = joint.group().strip() in _WEAK
            yield _Cut((head, *rest.pieces), rest.weak + weak)
        yield _Cut((self._claim(self.text[start:end], subject),))

    def _claim(self, words: str, subject: str) -> _Piece:
        """The words bound, with the subject of the claim before them if that fits."""
        words = words.strip()
        candidates = [f"{subject} {words}", words] if subject else [words]
        return _Piece(words, next(filter(None, map(self.bind_claim, candidates)), None))


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
    """The distinctive words of a claim, without what it quotes."""
    return set(re.findall(r"[a-z]{2,}", re.sub(r"`[^`]*`", " ", text.lower()))) - _COMMON


def stub(claim: str, near: Iterable[Check] = ()) -> str:
    """The message for a claim that no check fits: the nearest checks, and the one to write."""
    words = re.sub(r"[^a-z0-9]+", "_", claim.lower()).strip("_")[:40].strip("_") or "claim"
    name = words if words.isidentifier() else f"claim_{words}"
    # brackets of the claim are taken literally
    literal = re.sub(r"[\\{}\[\]()|]", lambda bracket: "\\" + bracket.group(), claim)
    pattern, paths = re.subn(r"`[\w./@+-]*[/.][\w./@+-]*`", "{path:path}", literal, count=1)
    parameter = ", path: str" if paths else ""
    lines = [f"no check fits “{claim}”"]
    said = _words(claim)
    for check in near:
        closest = max(check.examples, key=lambda example: len(said & _words(example)))
        lines.append(f"near: {check.name}, e.g. {closest}")
    lines += [f'@check({pattern!r}, name="mine.{name}")']
    lines += [f"def {name}(ctx: Context{parameter}) -> Result: ..."]
    return "\n".join(lines)

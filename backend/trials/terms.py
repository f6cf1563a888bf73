"""Classification of trial records by the words in them: substances, conditions, settings.

Text is compared as whole words: case, accents of width, hyphens and brackets do not matter, so
"S(+)-Ketamine" is the phrase `s ketamine`, and `ketamine` is not found in "esketamine". A phrase
that ends in `*` stands for every word with that beginning. At each place the longest phrase wins,
so "5-MeO-DMT" listed as another substance is never counted as "DMT".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

#: substances under the name by which the tables know them; the order is the order of precedence:
#: a trial of several is filed under the first (ketamine last, as it is often the comparator)
SUBSTANCES: Mapping[str, tuple[str, ...]] = {
    "psilocybin": ("psilocybin", "psilocybine", "psilocin", "COMP360", "CYB003"),
    "lsd": ("LSD", "LSD-25", "lysergic acid diethylamide", "lysergic acid", "lysergide", "MM120"),
    "ayahuasca": ("ayahuasca", "DMT", "dimethyltryptamine", "SPL026"),
    "mdma": (
        "MDMA",
        "3,4-methylenedioxymethamphetamine",
        "methylenedioxymethamphetamine",
        "midomafetamine",
        "ecstasy",
    ),
    "esketamine": ("esketamine", "Spravato", "S-ketamine", "S(+)-ketamine"),
    "ketamine": ("ketamine", "Ketalar"),
}

#: names that contain a phrase of another substance; they are nobody's unless a workflow lists them
OTHER_SUBSTANCES = (
    "5-MeO-DMT",
    "5-methoxy-DMT",
    "5-methoxy-N,N-dimethyltryptamine",
    "5-methoxydimethyltryptamine",
    "4-HO-DMT",
    "4-AcO-DMT",
    "R-ketamine",
    "R(-)-ketamine",
    "1P-LSD",
)

#: short forms that mean something else where one of these phrases stands in the record
OTHER_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "dmt": ("disease modifying", "multiple sclerosis", "dance movement", "demyelinating"),
    "lsd": ("limbal", "lysosomal", "least significant difference", "low sodium", "stem cell*"),
    "ocd": ("osteochond*",),
    "trd": ("retinal detachment*",),
    "mdd": ("meibomian*", "muscle dysmorphi*"),
    "aud": ("auditory",),
}

#: groups of condition names that mean the same; a workflow's list names any member of a group
CONDITION_GROUPS: Mapping[str, tuple[str, ...]] = {
    "PTSD": ("PTSD", "post traumatic stress*", "posttraumatic stress*", "combat disorder*"),
    "Major Depressive Disorder": ("MDD", "depress*", "antidepress*", "dysthymi*"),
    "Treatment Resistant Depression": (
        "TRD",
        "treatment resistant depress*",
        "therapy resistant depress*",
        "treatment refractory depress*",
        "depressive disorder treatment resistant",
    ),
    "Alcohol Use Disorder": ("AUD", "alcohol*", "drinking"),
    "Anxiety": ("anxiety", "anxious", "panic disorder*", "phobi*"),
    "OCD": ("OCD", "obsessive compulsive", "obsessive compulsive*"),
    "End of Life": (
        "end of life",
        "life threatening",
        "terminal ill*",
        "terminally ill*",
        "demorali*",
        "existential*",
    ),
    "Substance Use": (
        "substance use",
        "substance abuse",
        "substance dependence",
        "substance related*",
        "addict*",
        "OUD",
        "opioid use disorder*",
        "opioid dependence",
        "opioid related disorder*",
        "opioid withdrawal",
        "opiate dependence",
        "opiate withdrawal*",
        "cocaine use*",
        "cocaine dependence",
        "cocaine related*",
        "cannabis use*",
        "methamphetamine use*",
        "methamphetamine dependence",
        "stimulant use*",
        "tobacco use*",
        "nicotine dependence",
        "smoking cessation",
        "drug dependence",
        "drug use disorder*",
        "drug abuse",
    ),
}

#: phrases that hold a condition's word and are not that condition
FALSE_CONDITIONS = (
    "respiratory depression",
    "myocardial depression",
    "cardiac depression",
    "circulatory depression",
    "bone marrow depression",
    "st depression",
    "spreading depression",
    "spreading depolarization",
    "cortical depression",
    "long term depression",
    "postoperative depression",
    "preoperative anxiety",
    "anxiety preoperative",
    "dental anxiety",
    "separation anxiety",
    "alcoholic hepatitis",
    "alcoholic liver*",
    "non alcoholic*",
    "alcohol ablation",
    "drinking water",
)

#: a trial in one of these settings studies the substance as an anaesthetic
ANAESTHETIC_SETTINGS = (
    "anesthe*",
    "anaesthe*",
    "sedat*",
    "analgosedation",
    "premedicat*",
    "intubat*",
    "surg*",
    "postsurgical",
    "preoperative*",
    "postoperative*",
    "perioperative*",
    "intraoperative*",
    "pre operative*",
    "post operative*",
    "peri operative*",
    "intra operative*",
    "cesarean*",
    "caesarean*",
    "procedural",
)
#: a dose below the anaesthetic one is the therapeutic one
FALSE_SETTINGS = ("sub anesthe*", "sub anaesthe*", "non anesthe*", "non anaesthe*")

#: a trial on pain is therapeutic only if its title names a listed condition as well
PAIN_SETTINGS = ("pain*", "analges*", "hyperalgesia", "neuralgi*", "migraine*", "headache*")

_POSSESSIVE = re.compile(r"['’]s\b")
_NO_WORD = re.compile(r"[\W_]+")


def plain_words(text: str) -> str:
    """`text` as lower-case words with one space between: "S(+)-Ketamine's" → "s ketamine"."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return _NO_WORD.sub(" ", _POSSESSIVE.sub("", text)).strip()


def plain_phrase(phrase: str) -> str:
    """A listed phrase in the form that is compared; a final `*` is kept."""
    return plain_words(phrase) + ("*" if phrase.rstrip().endswith("*") else "")


@dataclass(frozen=True)
class Vocabulary:
    """Names, and the phrases that stand for each; `decoys` are phrases that stand for none."""

    names: Mapping[str, Sequence[str]]
    decoys: Sequence[str] = ()

    def find(self, text: str, context: Iterable[str] = ()) -> frozenset[str]:
        """The names found in `text`.

        `context` is the whole record: it tells when a short form means something else in it.
        """
        record = [text, *context]
        hits = {m.group().strip() for m in self._pattern.finditer(f" {plain_words(text)} ")}
        return frozenset(
            name
            for hit in hits
            for name in self._names_of(hit)
            if not self._means_something_else(hit, name, record)
        )

    @cached_property
    def _phrases(self) -> dict[str, tuple[str, ...]]:
        """Phrase → the names that it stands for."""
        phrases: dict[str, tuple[str, ...]] = {plain_phrase(decoy): () for decoy in self.decoys}
        for name, listed in self.names.items():
            for phrase in listed:
                plain = plain_phrase(phrase)
                phrases[plain] = (*phrases.get(plain, ()), name)
        return {phrase: names for phrase, names in phrases.items() if phrase.strip("*")}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._phrases, key=len, reverse=True)
        either = "|".join(_phrase_pattern(phrase) for phrase in longest_first) or r"(?!)"
        return re.compile(rf"(?<!\S)(?:{either})(?!\S)")

    def _names_of(self, hit: str) -> tuple[str, ...]:
        if hit in self._phrases:
            return self._phrases[hit]
        longest = max(
            (p for p in self._phrases if p.endswith("*") and hit.startswith(p[:-1])), key=len
        )
        return self._phrases[longest]

    def _means_something_else(self, hit: str, name: str, record: Sequence[str]) -> bool:
        if hit not in OTHER_MEANINGS:
            return False
        words = f" {' '.join(plain_words(text) for text in record)} "

        def occurs(phrase: str) -> bool:
            return bool(re.search(rf" (?:{_phrase_pattern(phrase)})(?!\S)", words))

        # the record also uses a phrase for `name` that cannot be mistaken
        if any(occurs(p) for p in map(plain_phrase, self.names[name]) if p not in OTHER_MEANINGS):
            return False
        if any(occurs(plain_phrase(phrase)) for phrase in OTHER_MEANINGS[hit]):
            return True
        return any(spelled_otherwise(hit, text) for text in record)


def _phrase_pattern(phrase: str) -> str:
    return re.escape(phrase[:-1]) + r"\S*" if phrase.endswith("*") else re.escape(phrase)


def spelled_otherwise(short: str, text: str) -> bool:
    """Whether `text` spells out the short form by words whose initials make it.

    "Limbal Stem Cell Deficiency (LSD)" does; "Lysergic Acid Diethylamide (LSD)" does not, since no
    word of the drug's name begins with s.
    """
    word = r"[^\W_][\w'’]*[\s\-/]+"
    long_form = rf"((?:{word}){{1,6}})"
    name = re.escape(short)
    after = rf"{long_form}\(\s*{name}\s*[);,]"
    before = rf"\b{name}\s*\(((?:{word}){{1,6}}[^\W_]+)\s*\)"
    found = (m for p in (after, before) for m in re.finditer(p, text[:5000], re.IGNORECASE))
    for words in (iter(plain_words(match.group(1)).split()) for match in found):
        if all(any(word.startswith(letter) for word in words) for letter in short):
            return True
    return False


def precedence(names: Iterable[str]) -> tuple[str, ...]:
    """The order in which names win: as given, but a name before one that it contains.

    So esketamine wins over ketamine in whatever order a workflow lists them.
    """
    ranked: list[str] = []
    for name in names:
        contained = (i for i, other in enumerate(ranked) if other.casefold() in name.casefold())
        ranked.insert(next(contained, len(ranked)), name)
    return tuple(ranked)


@dataclass(frozen=True)
class SubstanceClassifier:
    """Files a trial under one of the listed substances.

    The names of the interventions decide, the title only where no intervention is given. Names of
    placebos count only if no other name does ("LSD placebo" in a trial of MDMA).
    """

    substances: Mapping[str, Sequence[str]]

    def classify(
        self, interventions: Sequence[str], title: str, conditions: Sequence[str] = ()
    ) -> str | None:
        """The substance's name, or None if it is none of the listed ones."""
        record = (*interventions, title, *conditions)
        sham = {"placebo", "sham", "dummy"}
        real = [name for name in interventions if sham.isdisjoint(plain_words(name).split())]
        found: frozenset[str] = frozenset()
        for texts in (real, interventions) if interventions else ([title],):
            found = frozenset().union(*(self._vocabulary.find(t, record) for t in texts))
            if found:
                break
        return next((name for name in precedence(self.substances) if name in found), None)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        listed = {name: (name, *phrases) for name, phrases in self.substances.items()}
        named = {plain_phrase(p) for phrases in listed.values() for p in phrases}
        others = [other for other in OTHER_SUBSTANCES if plain_phrase(other) not in named]
        return Vocabulary(listed, others)


@dataclass(frozen=True)
class ConditionClassifier:
    """Tells whether a trial treats one of the listed conditions."""

    conditions: Mapping[str, Sequence[str]]

    def matches(self, conditions: Sequence[str], title: str) -> frozenset[str]:
        """The listed conditions that the record names, in its conditions or its title."""
        record = (*conditions, title)
        return frozenset().union(*(self._vocabulary.find(text, record) for text in record))

    def is_anaesthetic(self, conditions: Sequence[str], title: str) -> bool:
        """Whether the record's setting is anaesthesia, sedation or surgery."""
        return any(_ANAESTHETIC.find(text) for text in (*conditions, title))

    def is_pain_only(self, conditions: Sequence[str], title: str) -> bool:
        """Whether the record is about pain, and its title names no listed condition."""
        if not any(_PAIN.find(text) for text in (*conditions, title)):
            return False
        return not self._vocabulary.find(title, conditions)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.conditions, FALSE_CONDITIONS)


_ANAESTHETIC = Vocabulary({"anaesthetic": ANAESTHETIC_SETTINGS}, FALSE_SETTINGS)
_PAIN = Vocabulary({"pain": PAIN_SETTINGS})


def with_known_phrases(substances: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """A workflow's keyword lists, each with the phrases known for a substance of that name."""
    return {
        name: tuple(dict.fromkeys((*phrases, *SUBSTANCES.get(name.casefold(), ()))))
        for name, phrases in substances.items()
    }


def with_synonyms(conditions: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Condition names with the phrases for each: those of its group if it is known, and itself."""
    groups = {
        plain_words(word): phrases
        for name, phrases in reversed(tuple(CONDITION_GROUPS.items()))
        for word in (name, *phrases)
    }
    return {
        name: tuple(dict.fromkeys((name, *groups.get(plain_words(name), ()))))
        for name in conditions
    }

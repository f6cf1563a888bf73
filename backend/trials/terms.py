"""Classification of trial records by the words in them: substances, conditions, settings.

Substances are read by the rule of `substances`. Conditions and settings are compared as whole
words: case, accents, hyphens and brackets do not matter, a phrase that ends in `*` stands for
every word with that beginning, and at each place the longest phrase wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from orchestrate_backend.trials.condition_terms import (
    ANAESTHETIC_SETTINGS,
    CARE_OF_THE_DYING,
    CONDITION_GROUPS,
    FALSE_CONDITIONS,
    FALSE_SETTINGS,
    NO_PART_OF_PAIN,
    PAIN_SETTINGS,
)
from orchestrate_backend.trials.substances import POSSESSIVE, SubstanceFinder

#: substances under the name by which the tables know them, with the words by which the registry is
#: searched; the order is the order of precedence: a trial of several is filed under the first
#: (ketamine last, as it is often the comparator)
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

#: short forms that mean something else where one of these phrases stands in the record
OTHER_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "dmt": (
        "disease modif*",
        "multiple sclerosis",
        "relapsing*",
        "RRMS",
        "high efficacy",
        "dance movement",
        "demyelinating",
        "dimethyl fumarate",
        "divalent metal",
    ),
    "lsd": (
        "limbal",
        "lysosomal",
        "lumpy skin",
        "lysine specific*",
        "demethylase*",
        "least significant difference",
        "low sodium",
        "low salt",
        "stem cell*",
    ),
    "ocd": ("osteochond*",),
    "trd": ("retinal detachment*",),
    "mdd": ("meibomian*", "muscle dysmorphi*"),
    "aud": ("auditory",),
}

_NO_WORD = re.compile(r"[\W_]+")
#: of what can be an inverted heading
_MOST_PARTS, _MOST_WORDS = 3, 8
#: texts of records that are read once
_TEXTS_KEPT = 4096


@lru_cache(maxsize=_TEXTS_KEPT)
def plain_words(text: str) -> str:
    """`text` as lower-case words with one space between: "S(+)-Ketamine's" → "s ketamine"."""
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c))
    return _NO_WORD.sub(" ", POSSESSIVE.sub("", text)).strip()


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
        return frozenset(
            name
            for hit, names in self._hits_of(text)
            for name in names
            if not self._means_something_else(hit, name, record)
        )

    @cached_property
    def _hits_of(self) -> Callable[[str], tuple[tuple[str, tuple[str, ...]], ...]]:
        """The same, for the many records that say the same."""
        return lru_cache(maxsize=_TEXTS_KEPT)(self._find_hits)

    def _find_hits(self, text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The phrases in `text`, those of names and those of decoys, with what they stand for."""
        for words in dict.fromkeys((plain_words(_uninverted(text)), plain_words(text))):
            if hits := {m.group().strip() for m in self._pattern.finditer(f" {words} ")}:
                return tuple((hit, self._names_of(hit)) for hit in hits)
        return ()

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
    def _starred(self) -> tuple[str, ...]:
        return tuple(phrase for phrase in self._phrases if phrase.endswith("*"))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._phrases, key=len, reverse=True)
        either = "|".join(_phrase_pattern(phrase) for phrase in longest_first) or r"(?!)"
        return re.compile(rf"(?<!\S)(?:{either})(?!\S)")

    def _names_of(self, hit: str) -> tuple[str, ...]:
        if hit in self._phrases:
            return self._phrases[hit]
        return self._phrases[max((p for p in self._starred if hit.startswith(p[:-1])), key=len)]

    def _means_something_else(self, hit: str, name: str, record: Sequence[str]) -> bool:
        if hit not in OTHER_MEANINGS:
            return False
        # the record also uses a phrase for `name` that cannot be mistaken
        plain = map(plain_phrase, self.names[name])
        return not _occurs((p for p in plain if p not in OTHER_MEANINGS), record) and (
            means_something_else(hit, record)
        )


def _uninverted(text: str) -> str:
    """A heading of a thesaurus in the order of speech: "Anxiety, Dental" → "Dental Anxiety".

    Longer texts are sentences or lists, and left as they are.
    """
    parts = text.split(",")
    heading = 1 < len(parts) <= _MOST_PARTS and len(text.split()) <= _MOST_WORDS
    return " ".join(reversed(parts)) if heading else text


def _phrase_pattern(phrase: str) -> str:
    return re.escape(phrase[:-1]) + r"\S*" if phrase.endswith("*") else re.escape(phrase)


def _occurs(phrases: Iterable[str], record: Sequence[str]) -> bool:
    words = f" {' '.join(plain_words(text) for text in record)} "
    return any(re.search(rf" (?:{_phrase_pattern(phrase)})(?!\S)", words) for phrase in phrases)


def means_something_else(short: str, record: Sequence[str]) -> bool:
    """Whether the record has words that give one of `OTHER_MEANINGS` another meaning."""
    return _occurs(map(plain_phrase, OTHER_MEANINGS[short]), record) or any(
        spelled_otherwise(short, text) for text in record
    )


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

    The names of the interventions decide, read by the rule of `substances`, the title only where no
    intervention is given.
    """

    substances: Mapping[str, Sequence[str]]

    def classify(
        self, interventions: Sequence[str], title: str, conditions: Sequence[str] = ()
    ) -> str | None:
        """The substance's name, or None if it is none of the listed ones."""
        record = (*interventions, title, *conditions)
        found = {name for text in interventions or [title] for name in self._named(text, record)}
        return next((name for name in precedence(self.substances) if name in found), None)

    def _named(self, text: str, record: Sequence[str]) -> Iterator[str]:
        """The listed names of the substances that the text names; `record` tells short forms."""
        for hit in self._finder.find(text):
            listed = self._listed.get(hit.substance, "")
            if hit.name not in OTHER_MEANINGS or self._is_meant(hit.name, listed, record):
                yield listed

    def _is_meant(self, short: str, listed: str, record: Sequence[str]) -> bool:
        """Whether a short form stands for the substance, which the record may also spell out."""
        sure = (h for t in record for h in self._finder.find(t) if h.name not in OTHER_MEANINGS)
        return any(self._listed.get(h.substance) == listed for h in sure) or (
            not means_something_else(short, record)
        )

    @cached_property
    def _finder(self) -> SubstanceFinder:
        """The known names, and those that the specification adds to them."""
        finder = SubstanceFinder()
        for name, phrases in self.substances.items():
            for phrase in (name, *phrases):
                if finder.whole(phrase) is None:
                    finder.add(phrase, name)
        return finder

    @cached_property
    def _listed(self) -> dict[str, str]:
        """Known substance → the name under which the specification lists it."""
        listed: dict[str, str] = {}
        for name, phrases in self.substances.items():
            own = (self._finder.whole(phrase) for phrase in (name, *phrases))
            listed |= {known: name for known in own if known and known not in listed}
        return listed


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
        """Whether the record is about pain, and about no listed condition in its own right."""
        if not any(_PAIN.find(text) for text in (*conditions, title)):
            return False
        own = [text for text in conditions if _NO_PART_OF_PAIN.find(text, (*conditions, title))]
        return not any(self._beside_pain.find(text, conditions) for text in (title, *own))

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.conditions, FALSE_CONDITIONS)

    @cached_property
    def _beside_pain(self) -> Vocabulary:
        """The conditions without the places where pain is treated."""
        kept = {
            name: [phrase for phrase in phrases if phrase not in CARE_OF_THE_DYING]
            for name, phrases in self.conditions.items()
        }
        return Vocabulary(kept, FALSE_CONDITIONS)


_ANAESTHETIC = Vocabulary({"anaesthetic": ANAESTHETIC_SETTINGS}, FALSE_SETTINGS)
_PAIN = Vocabulary({"pain": PAIN_SETTINGS})
_NO_PART_OF_PAIN = Vocabulary({"own": NO_PART_OF_PAIN}, FALSE_CONDITIONS)


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

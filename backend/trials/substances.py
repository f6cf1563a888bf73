"""The substances that a text names: the rule by which the name of an intervention is read.

1. **Spelling.** Case, accents, trademark signs, hyphens, brackets and spaces do not matter: `COMP
   360`, `comp-360` and `COMP360®` are one name, and so are `methylenedioxy-methamphetamine` and
   `methylenedioxymethamphetamine`. A short name is not put together from two words ("y age").
2. **Whole names.** A name begins and ends with a word: `esketamine` holds no ketamine. At each
   place the longest name of `substance_names` wins, so `5-MeO-DMT` is not DMT; the names of
   substances that nobody asks for stand in the table for that. Salts, doses, forms and routes
   beside a name do not matter.
3. **Handedness.** Before or after ketamine and its brands, S, (+) or d- make esketamine, R, (-) or
   l- arketamine; both, (±) or rac- leave it racemic.
4. **Other molecules.** A name with a group or a locant before it (`nor-ketamine`, `1P-LSD`) is
   another molecule, and so is a short form with a number of its own (`LSD-1`, `DMT310`), and what
   carries a tracer (`[11C]ketamine`).
5. **Not given.** A name that is negated (`ketamine-free`, `without ketamine`, `anti-LSD`), only a
   reference (`LSD-like`, `ketamine antagonist`, `MDMA assay`), or what another drug stands in for
   (`midazolam (ketamine control)`) names nothing that is given.
6. **Placebos and comparators.** Between one `+`, `or`, `vs`, `/` or comma and the next, a placebo
   takes the name with it: `placebo for ketamine` is none, `ketamine or placebo` is ketamine. An
   active placebo counts if it is what is named or if its dose is. Any other comparator is given.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from orchestrate_backend.trials.substance_names import SUBSTANCE_NAMES

#: substance → what it is called where only its S form is meant, and where only its R form is
_HANDED = {"ketamine": ("esketamine", "arketamine")}
_MOST_TOKENS = 16
#: texts whose substances are kept
_FINDS_KEPT = 4096
#: names this long may be written as several words
_LONG = 8

_TRADEMARK = re.compile(r"[®™℠©]|(?<=\w)\s?\((?:tm|sm)\)|(?<=\w\w\w)\(r\)", re.I)
POSSESSIVE = re.compile(r"['’`]s\b")
#: what languages that write compounds as one word join to a name: `Ketamininfusion`
_TAILS = (
    *("tm", "infusion", "infusionen", "injektion", "injektionen", "behandlung", "behandling"),
    *("behandeling", "therapie", "terapi", "gabe", "dosis", "narkose", "anasthesie", "nasenspray"),
    *("nasspray", "neusspray", "spray", "kapsel", "kapseln", "tablette", "tabletten", "losung"),
    *("tropfen", "hydrochlorid", "gruppe"),
)
#: the longest tail, behind at least three letters
_TAIL = re.compile(rf"(?<=\w\w\w)(?:{'|'.join(_TAILS)})$")
#: scripts that put no space between words: each sign is a word
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W\d_])+|\d+")


def _either(listed: str) -> str:
    """A pattern for one of the patterns that semicolons divide."""
    return f"(?:{'|'.join(part.strip() for part in listed.split(';'))})"


_UNIT = _either(
    "m?c?g; µg; μg; ug; kg; m[gl]; milli; micro; gram; dose; %; percent; x; -?day; -?week"
)
_DASH = "[-‐-―−]"

#: groups that make another molecule of the one whose name they are joined to
_GROUP = _either(r"""
    (?:hydroxy|dehydro|di|tri|de|des|n)?(?:nor|chloro|fluoro|bromo|iodo|methyl|ethyl|propyl|acetyl);
    hydroxy; methoxy; acetoxy; propionyl; allyl; benzyl; phenyl; iso; homo; aza; thio; deoxy; meo;
    aco; eto; ho; oh; br; cl""")
#: also one that carries a tracer, which is no treatment: `[11C]ketamine`
_OTHER_MOLECULE = re.compile(
    rf"(?<![^\W_]){_GROUP}{_DASH}$|[(\[](?:11c|14c|18f|12[35]i|131i)[)\]]{_DASH}?$"
)
_LOCANT = re.compile(rf"(?<![\w.])\d+(?!\d|\s?{_UNIT})[\w',]*{_DASH}(?:[a-z]{{1,5}}{_DASH})*$")
_OWN_NUMBER = re.compile(rf"{_DASH}?\d+(?![\d.,]|[-\s]?{_UNIT})\b")

_SIGN = r"[(\[]\s*(?:\+\s*/?\s*[-−–]|[-−–]\s*/?\s*\+|±|\+|[-−–])\s*[)\]]"
_CHIRAL = (
    rf"[(\[]*(?:{_SIGN}|±|\+/[-−–]|racem\w*|rac|rs|sr|\d?[rs](?:[+−](?!\w))?"
    rf"|(?:d\s?[,/]?\s?l|d|l)(?={_DASH}))[)\]]*"
)
_ISOMER = r"(?:stereo|enantio)?(?:iso)?mer(?:ic form)?s?"
_BEFORE = re.compile(
    rf"(?<![^\W_]){_CHIRAL}(?:[\s,/&+‐-―−-]*(?:(?:and|or)\s+)?{_CHIRAL})*"
    rf"(?:[\s‐-―−-]*{_ISOMER}(?:\s+of)?(?![^\W_]))?[\s‐-―−-]*$"
)
_AFTER = re.compile(
    r"[\s,(\[-]{0,3}(?:"
    rf"s(?=\s*-?\s*$|\s*[(+,);]|\s+\d|\s+[a-z]{{2}}|-{_ISOMER})(?:\s?\(?\+\)?)?"
    rf"|r(?=\)?\s?-(?!\w)|\s?\(-\))|{_SIGN})"
)
_MARK = re.compile(
    r"rac|rs|sr|d\s?[,/]?\s?l|[rsdl]|±|\+\s*/|/\s*\+|[(\[]\s*\+\s*[-−–]|\+|[(\[]\s*[-−–]"
)

_NEGATION = _either(r"""
    no; non; not; nor; neither; without; w/o; anti; free (?:of|from); exclu\w+; except(?: for)?;
    other than; instead of; rather than; in place of; absence of; lack of; avoid\w*(?: of)?;
    alternatives? (?:to|for); substitutes? (?:for|of); replac\w+(?: of| for)?;
    antidotes? (?:to|for); reversal of; (?:controls?|comparators?) (?:for|to|of); omi\w+(?: of)?;
    withh\w+(?: of)?; matching(?: to| with| for)?; matched (?:to|with|for);
    (?:same|equal|equivalent|identical|similar|comparable)(?: \w+){0,5} (?:as|to);
    (?:controls?|comparators?) (?!group|arm|cohort)[^\W\d_]{4,} (?:for|to);
    resembl\w+; mimic\w*; (?:history|withdrawal|cessation) (?:of|from); sans; ohne; kein\w*; sin;
    sem; senza; без; zonder; utan""")
_BETWEEN = _either(r"""
    any; the; added; adjunct\w*; additional; further; low; dose; iv; intravenous; oral; intranasal;
    nasal; concomitant; concurrent; perioperative; intraoperative; use; of; administration;
    receiving; classic\w*""")
_STAND_IN = r"(?:controls?|comparators?)"
_NO_DRUG = (
    r"(?:group|arm|cohort|patient|treatment|therap|drug|active|inter|stand|infus|inject|solut)\w*"
)
_ZERO = r"(?<![\d.,])0(?:\.0+)?\s?(?:m?c?g|µg|μg|ug)(?![^\W_])"
_NEGATED = re.compile(
    rf"{_ZERO}(?:/\w+)?\s*(?:of\s+)?$"
    rf"|(?<![^\W_]){_NEGATION}[\s(:–—-]+(?:{_BETWEEN}[\s-]+)*"
    # a list under one negation: "without opioids or ketamine"
    r"(?:(?:[^\W\d_]+\s*,\s*){0,3}[^\W\d_]+,?(?:\s*/\s*|\s+n?or\s+))?[\s(\[-]*$"
)
_REFERRED = _either(r"""
    free(?![\s-]*(?:base|of|from)); naive; sparing; like; mimetic\w*; antagonis\w+; inhibit\w+;
    block(?:er|ade)s?; antibod\w+; vaccin\w+; analog\w*; derivativ\w*; metabolit\w*; precursor\w*;
    glucuronid\w*; n-?oxide; assays?; immunoassays?; antidotes?; reversal; withdrawal; abstinen\w+;
    avoidance; cessation; omi(?:ssion|tted); (?:drug |urine )?(?:screen\w*|detection); tests?\s*$;
    questionnaires?; users?; abuse\w*; addict\w*; misuse; use disorder\w*; dependen\w+; levels?;
    intoxicat\w+; overdos\w+; poison\w+; substitutes?; alternatives?; withheld;
    (?:(?:induced|associated|related)\s+)?(?:cystitis|uropathy|bladder(?! (?:instil|irrig)))""")
_REFERENCE = re.compile(
    rf"[\s,:(-]*{_ZERO}"
    rf"|(?:[\s-]+(?:hydrochloride|hcl|tartrate|fumarate))?[)\]]*[\s‐-―−-]*{_REFERRED}\b"
)

#: what is in brackets behind another drug tells what that one stands in for: `(ketamine control)`
_OF_ANOTHER = re.compile(
    rf"(?<![^\W_])(?!(?:{_NO_DRUG}|{_STAND_IN})\b)[^\W\d_]{{3,}}[^([+,;]{{0,25}}"
    r"[(\[]\s*(?:(?:as|an?|the|active)\s+)*$|\bas (?:an? |the )?(?:active )?$"
)
_ITS_STAND_IN = re.compile(rf"[\s-]*(?:active[\s-]+)?{_STAND_IN}\s*(?:[)\]]|$)")

_PLACEBO = r"(?:pla[cz]ebo\w*|плацебо)"
#: without accents, as texts are compared
_SHAM = re.compile(
    rf"{_PLACEBO}|(?<![^\W_])(?:sham|dummy|mock|inert|simulated)(?![^\W_])|安慰剂|安慰劑|フラセホ|위약"
)
_NO_SHAM = re.compile(
    r"placeb\w*[\s-]*(?:control|compar(?!ator)|run|lead|cross)\w*|cross-?over|sequence"
    r"|(?:no|without|non)[\s-]placeb\w*"
)
_SHAM_OF = re.compile(rf"{_PLACEBO}\s+(?:for|of|to|match\w*|de|du|di|zu|fur)\b")
_ACTIVE = re.compile(rf"(?:active|aktives?|actif)\s+{_PLACEBO}|{_PLACEBO}\s+(?:activ|actif)\w*")
_DOSE = re.compile(
    rf"\d\s?-?{_UNIT}|low[\s-]+dose|micro-?dose|sub-?therapeutic|threshold|as (?:an )?active"
)
_CONJUNCTION = _either(r"""
    and; or; vs; versus; then; plus; with; followed by; compared; after; before; prior to;
    preceded by; following; und; oder; mit; et; ou; y; o; e; con; avec; или; и; с; затем""")
_DIVIDE = re.compile(rf"[+/&,;|→]|(?<![^\W_]){_CONJUNCTION}(?![^\W_])")


@dataclass(frozen=True)
class NamedSubstance:
    """A substance in a text: `name` as found, without spaces and signs."""

    substance: str
    name: str
    start: int
    end: int


class SubstanceFinder:
    """Finds substances in texts: those of the table, and those that are added."""

    def __init__(self) -> None:
        self._names = _known_names().copy()
        self._starred: list[str] = []
        # a record's texts are read again for each short form in them
        self._find = lru_cache(maxsize=_FINDS_KEPT)(self._look)

    def add(self, name: str, substance: str) -> None:
        """Let `name` stand for `substance`; one that ends in `*` for all that begin with it."""
        plain = squashed(name)
        if name.rstrip().endswith("*") and plain:
            plain += "*"
            self._starred.append(plain)
        self._names[plain] = substance
        self._find.cache_clear()

    def whole(self, name: str) -> str | None:
        """The substance whose name is all of `name`, its handedness included."""
        text = _folded(name)
        for hit in self._hits(text):
            if not _TOKEN.search(text[: hit.start] + text[hit.end :]):
                return hit.substance
        return None

    def find(self, text: str) -> tuple[NamedSubstance, ...]:
        """The substances that `text` names as given, in order."""
        return self._find(text)

    def _look(self, text: str) -> tuple[NamedSubstance, ...]:
        text = _folded(text)
        hits = list(self._hits(text))
        covered = [(hit.start, hit.end) for hit in hits]
        cuts = [
            m.span()
            for m in _DIVIDE.finditer(text)
            if not any(start <= m.start() < end for start, end in covered)
        ]
        return tuple(hit for hit in hits if _is_given(text, hit, cuts))

    def _hits(self, text: str) -> Iterator[NamedSubstance]:
        tokens = list(_TOKEN.finditer(text))
        at = 0
        while at < len(tokens):
            length, name = self._longest(text, tokens[at : at + _MOST_TOKENS])
            if length:
                start, end = tokens[at].start(), tokens[at + length - 1].end()
                if not _is_other_molecule(text, name, start, end):
                    yield _handed(text, self._names[name], name.rstrip("*"), start, end)
            at += max(1, length)

    def _longest(self, text: str, tokens: list[re.Match[str]]) -> tuple[int, str]:
        """How many of the tokens the longest name takes, and that name."""
        best, joined, spaced = (0, ""), "", False
        for count, token in enumerate(tokens, 1):
            if count > 1:
                spaced |= any(c.isspace() for c in text[tokens[count - 2].end() : token.start()])
            joined += token.group()
            # far fewer end in one than are long enough
            if len(joined) >= _LONG and joined not in self._names and joined.endswith(_TAILS):
                joined = _TAIL.sub("", joined)
            listed = joined in self._names and (
                not spaced or len(joined) >= _LONG or any(c.isdigit() for c in joined)
            )
            if listed:
                best = (count, joined)
            elif self._starred and not best[0]:
                starred = (n for n in self._starred if joined.startswith(n[:-1]))
                if found := next(starred, ""):
                    best = (count, found)
        return best


@cache
def _known_names() -> dict[str, str]:
    """Squashed name → substance; of two substances with one name the first in the table."""
    return {
        squashed(name): substance
        for substance, listed in reversed(tuple(SUBSTANCE_NAMES.items()))
        for name in listed.split(";")
    }


def squashed(name: str) -> str:
    """`name` without case, accents, spaces and signs: "COMP 360®" → "comp360"."""
    return "".join(_TOKEN.findall(_folded(name)))


def _folded(text: str) -> str:
    """`text` without case, accents, trademark signs and invisible characters."""
    text = unicodedata.normalize("NFKD", _TRADEMARK.sub(" ", text)).casefold()
    kept = (c for c in text if unicodedata.category(c) not in {"Mn", "Cf"})
    return POSSESSIVE.sub("", unicodedata.normalize("NFKC", "".join(kept)))


def _is_other_molecule(text: str, name: str, start: int, end: int) -> bool:
    """Whether what is joined to the name makes it the name of another substance."""
    before = text[max(0, start - 40) : start]
    if _OTHER_MOLECULE.search(before):
        return True
    if len(name) > 4 or not name.isalpha():
        return False
    return bool(_LOCANT.search(before) or _OWN_NUMBER.match(text, end))


def _handed(text: str, substance: str, name: str, start: int, end: int) -> NamedSubstance:
    """The hit under the name of its form, with the signs of its handedness."""
    if substance not in _HANDED:
        return NamedSubstance(substance, name, start, end)
    before = _BEFORE.search(text[max(0, start - 40) : start])
    group = before and re.search(r"(?:group|arm|cohort|grp)\s*$", text[: start - len(before[0])])
    signs = before[0] if before and not group else ""
    after = None if signs else _AFTER.match(text, end)
    mark = after[0] if after else signs
    marks = set(_MARK.findall(re.sub(r"\b(?:and|or|of|\w*mers?)\b", " ", mark)))
    right = bool(marks & {"s", "d", "+"})
    left = any(m in {"r", "l"} or re.fullmatch(r"[(\[]\s*[-−–]", m) for m in marks)
    if right != left and len(marks - {"s", "d", "+", "r", "l"}) <= left:
        substance = _HANDED[substance][0 if right else 1]
    return NamedSubstance(substance, name, start - len(signs), after.end() if after else end)


def _is_given(text: str, hit: NamedSubstance, cuts: list[tuple[int, int]]) -> bool:
    """Whether the substance is what is given: neither negated, nor a reference, nor a placebo."""
    if _NEGATED.search(text[max(0, hit.start - 120) : hit.start]):
        return False
    if _REFERENCE.match(text, hit.end):
        return False
    before = text[max(0, hit.start - 60) : hit.start]
    if _ITS_STAND_IN.match(text, hit.end) and _OF_ANOTHER.search(before):
        return False
    first = max((end for _, end in cuts if end <= hit.start), default=0)
    last = min((start for start, _ in cuts if start >= hit.end), default=len(text))
    part = text[first:last]
    if _NO_SHAM.search(part) or not _SHAM.search(part):
        return True
    active = _ACTIVE.search(part)
    if active is None or _SHAM_OF.search(part):
        return False
    return active.end() <= hit.start - first or bool(_DOSE.search(part))

""" "Do NOT …": which lines of a ticket and which sentences of a workflow forbid something."""

from __future__ import annotations

import re

_REASON = re.compile(r"\s+(?:[—–-]|--)\s+.*", re.DOTALL)
#: a ticket's line, behind its list marker
_LINE = re.compile(
    r"\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)?(?P<text>(?:\*\*|__)?do(?:es)? not\b.*)", re.IGNORECASE
)
_SENTENCE = re.compile(
    r"[*_]*(?:(?:do|must|may)\s+not|don't|never)\b"
    r"|[*_]*[A-Z][A-Z_]+[*_]*\s+(?:must|may|shall)\s+(?:not|never)\b",
    re.IGNORECASE,
)

#: other words at the beginning of a line that forbid something
_OTHER_WORDS = re.compile(
    r"(?:never|don['’]t|under no circumstances|in no case|at no (?:time|point)|on no account"
    r"|no ?(?:one|body) (?:may|must|should)|refrain from"
    r"|(?:leave|keep)\s.{1,80}\s(?:alone|as (?:it|they) (?:is|are)|untouched|unchanged|intact)"
    r"|(?:[\w`*_./-]+\s+){1,4}?(?:must|has to|have to|shall|should)\s+"
    r"(?:stay|remain|be (?:kept|left))\s+(?:as|alone|untouched|unchanged|intact|the same)"
    r"|(?:[\w`*_./-]+\s+){1,4}?(?:(?:must|may|shall)\s+(?:not|never)|mustn['’]t))\b",
    re.IGNORECASE,
)


#: what makes something else of the points below a line: no, if, one of
_TURNS = re.compile(
    "|".join(
        (
            r"\b(?:none|nothing|no ?(?:body|one)|neither|nor|never|cannot|\w+n['’]t|no longer)\b",
            r"\bno(?=\W*$)",
            r"\bno [\w ]{1,40}(?:may|must|should|can|is|are|has|have|where|that|such)\b",
            r"\bnot\b(?!\s+(?:yet|started|finished|done|only)\b)",
            r"\bunless\b|\bexcept(?:ing| for)?\b",
            r"\bonly\s+(?:if|when|after|once|one|for|on|in)\b|\beither\b",
            r"\bat (?:least|most) (?:one|two|\d+)\b",
            r"\b(?:one|any|some|two|three|most|a few)\s+of\b|\bchoose one\b|\bpick (?:one|any)\b",
            r"\balternative(?:ly|s)?\b|\bnice[ -]to[ -]have\b|\bcould have\b|\boptional(?=\W*$)",
            r"^\W*(?:optional(?:ly)?|instead|ignored?|bonus|later|removed?|without|excluded|skip)\b",
            r"\b(?:wrong|false|untrue|forbidden|prohibited|banned|disallowed|illegal|gone|absent)\b",
            r"\b(?:avoid(?:ed)?|out of scope|obsolete|cancell?ed|deferred|future work)\b",
            r"\bstretch goals?\b|\b(?:non|anti)-?goals?\b|\bmust (?:fail|go)\b|\bfor example\b",
            r"\b(?:is|are|be|been) (?:removed|dropped|deleted|rejected|refused|missing|excluded)\b",
            r"\b(?:exits?|fails?|refuses?|rejects?|warns?|breaks?|reports?|error|bug)\b"
            r"[^:]* (?:when|if)\b",
            r"\b(?:assuming|provided|as long as|steps to reproduce|e\.g\.|in case)\b",
            r"\b(?:kein\w*|nicht|nie(?:mals)?|ohne|wenn|falls|entweder|aucune?s?|jamais)\b",
            r"\b(?:ning[uú]n\w*|nunca|nessun\w*)\b",
            # what is done if all of it holds is no condition
            r"(?<!done )(?<!complete )(?<!completed )(?<!accepted )(?<!finished )(?<!check )"
            r"(?<!passes )(?<!verify )(?<!see )(?<!confirm )(?<!ready )(?<!met )(?<!whether )"
            r"\bif\b",
        )
    ),
    re.IGNORECASE,
)
_LEAD_END = re.compile(r"[:—–][*_ ]*(?:\([^()]*\))?[*_ ]*\Z")
#: a line that demands something itself, and goes on with its points
_SAYS_MORE = re.compile(
    r"`.*\b(?:and|or|contains?|has|have|prints?|lists?|shows?|says?|returns?|outputs?|includes?|names?"
    r"|defines?|with|when)[*_ ]*:[*_ ]*\Z",
    re.IGNORECASE,
)
#: a longer line is no lead
_LONGEST = 300
#: whatever it says before, all points below have to hold
_ALL = re.compile(
    r"\b(?:all|each|everything|both)\b(?: of)? (?:the (?:following|points)|th[eo]se|them|below)\b"
    r"|\bthe following (?:must |has to |have to |all )*(?:hold|apply|be true)\b"
    r"|\bif and only if\W*\Z",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:none|never|wrong|false|untrue|fails?|not(?! \w+ until\b)|\w+n['’]t)\b", re.IGNORECASE
)
#: the same of a heading or label, where "not" and "if" may be part of a subject
_TITLE_TURNS = re.compile(
    r"\W*(?:(?:(?:must|may|should|shall|will|can|do|does)\s*(?:not|n['’]t)|cannot|won['’]t"
    r"|(?:none|never|not|either|any|one|some|unless|only|if|optional(?:ly)?|forbidden|prohibited|banned"
    r"|wrong|avoid|nice to have|at (?:least|most)|no)\b(?=\W*$|.*:|\s+(?:of|if|when|allowed)\b)))",
    re.IGNORECASE,
)


def title_turns(title: str) -> bool:
    """Whether a heading or a label such as "Must not" changes what the points below it say."""
    return _TITLE_TURNS.match(title) is not None


def turns(lead: str) -> bool:
    """Whether a line such as "None of these may exist:" changes what the points below it say."""
    return reverses(lead) or (len(lead) <= _LONGEST and _SAYS_MORE.search(lead) is not None)


def reverses(lead: str) -> bool:
    """Whether what stands below such a line does not simply have to hold."""
    if len(lead) > _LONGEST or not _LEAD_END.search(lead):
        return False
    return (_DENIES if _ALL.search(lead) else _TURNS).search(lead) is not None


def forbids_otherwise(text: str) -> bool:
    """Whether a line forbids something in other words than "Do not": it is not read as such."""
    return _OTHER_WORDS.match(text.lstrip("*_ ")) is not None


def prohibition_in_line(line: str) -> str:
    """What a line of a ticket forbids, without the reason after a dash; "" if nothing."""
    begin = line.lstrip()[:2]
    if begin[:1].isalpha() and begin.lower() != "do":
        return ""
    found = _LINE.match(line)
    return _REASON.sub("", " ".join(found["text"].split())).replace("**", "") if found else ""


def prohibition_in_sentence(sentence: str) -> str:
    """What a sentence of a workflow forbids, without the reason after a dash; "" if nothing."""
    return _REASON.sub("", sentence).rstrip(" .:;*_") if _SENTENCE.match(sentence) else ""

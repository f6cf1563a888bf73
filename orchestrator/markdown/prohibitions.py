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
    r"\b(?:all|each|everything|every (?:single )?one|both)\b(?: of)?"
    r" (?:the (?:following|points)|th[eo]se|them|below)\b"
    r"|\bthe following (?:must |has to |have to |all )*(?:hold|apply|be true)\b"
    r"|\bif and only if\W*\Z",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:none|never|wrong|false|untrue|fails?|not(?! \w+ until\b)|\w+n['’]t)\b", re.IGNORECASE
)


def _any_word(words: str) -> re.Pattern[str]:
    """One of these words as a whole; `_` is a space."""
    each = "|".join(words.split()).replace("_", r"\s+")
    return re.compile(rf"\b(?:{each})\b", re.IGNORECASE)


#: words that say so by themselves, where nothing but `_COMMON` words is beside them: "Remove",
#: "Files to delete" and "Failure conditions", but not "Invalid input" or "Error handling"
_TURNING = _any_word(
    # what is wanted is the opposite
    r"""fail\w* reject\w* unaccept\w* inaccept\w* abort\w* red_flags? block(?:er|ing|ed)?s?
    halt\w* invalid illegal bad broken wrong\w* forbid\w* prohibit\w* ban(?:ned)?
    disallow\w* bugs? defects? problems? symptoms? error_cases? stop\w* reopen\w*
    wontfix wo?n['’]?t prevent\w* avoid\w* beware watch_out guard\w*_against
    protect\w*_against danger\w* anti-?patterns? counter-?examples? opposite contrary
    instead rather_than cancel\w*"""
    # what is to go
    r""" remov(?:e[ds]?|ing) delet(?:e[ds]?|ing) drop(?:s|ped|ping)? get(?:ting)?_rid undo(?:ne)?
    reverte?d? eras(?:e[ds]?|ing) roll(?:ed|ing)?_back uninstall\w* turn(?:ed)?_off
    disabl\w+ purged? retired? deprecat\w* supersed\w* replac\w+ moved_out
    giv(?:en|e)_up missing absen\w+ gone lack\w* without vanish\w* disappear\w* no_more
    free_of skip\w* (?:zero|0|nothing|no|not)(?=\s) excl\w+ except\w* unless obsolete
    ignor\w+"""
    # what was, or is thought of
    r""" was were previous(?:ly)? former(?:ly)? current(?:ly)? actual(?:ly)? at_present today now
    as[-\s]is old legacy known_(?:bugs|issues|problems|defects|errors) before examples?
    samples? hypothetical\w* maybe perhaps possib\w+ ideas? wish\w* open_questions?
    suggest\w+ propos\w+ could might bonus can_wait stretch extra_credit next_time
    phase_two follow[-\s]?ups? to-?do later out_of_scope some\s?day parked icebox
    de-?scoped time_permit\w* (?:if|when)_(?:there_is_)?time\w*"""
    # one is enough
    r""" any or either whichever at_(?:least|most) pick choose some alternat\w+"""
    # in other languages
    r""" ohne entfern\w* lösch\w* vorher früher bisher beispiele? supprim\w* avant sans exemples?
    elimin\w* antes sin ejemplos? rimuov\w* prima senza"""
)
_COMMON = _any_word(
    r"""the an? th[ei]se those this that following below here it its we you what which there to
    of for from in on at with by and as when if until till then will would must should
    shall can may do does be is are been has have had needs? needed required necessary
    wanted allowed covered part cases? conditions? criteri(?:a|on) behaviou?rs? states?
    results? situations? scenarios? reasons? signals? signs? items? things? stuff
    points? one two list features? requirements? goals? scope files? code build doing
    task ticket work done comes applies first permits? permitted acceptable included
    also open out only answers lines?"""
)
#: such words with any others: "Tables to be dropped", "The check fails for"
_ANYWHERE = re.compile(
    r"\bto (?:be )?(?:remov|delet|drop|eras|purg|disabl|uninstall|revert|avoid|prevent)\w*(?=\W*$)"
    r"|\b(?:must|should|may|shall) (?:not|never|no longer)\b"
    r"|\b(?:fails?|failed|breaks?|rejects?|refuses?)\s+(?:when|if|for|on|with)\b"
    r"|\bget(?:ting)? rid of\b|\bno more\b|\bmust (?:vanish|disappear)\b|\bwhichever\b"
    r"|\bsteps to reproduce\b|\b(?:known|open) (?:bugs|issues|problems|defects)\b",
    re.IGNORECASE,
)
#: a heading or label that begins so, where "not" and "if" may be part of a subject
_TITLE_TURNS = re.compile(
    r"\W*(?:(?:(?:must|may|should|shall|will|can|do|does)\s*(?:not|n['’]t)|cannot|won['’]t"
    r"|(?:none|never|not|either|any|one|some|unless|only|if|optional(?:ly)?|forbidden|prohibited|banned"
    r"|wrong|avoid|nice to have|at (?:least|most)|no)\b(?=\W*$|.*:|\s+(?:of|if|when|allowed)\b)))",
    re.IGNORECASE,
)


def title_turns(title: str) -> bool:
    """Whether a heading or a label such as "Must not" changes what the points below it say."""
    return _TITLE_TURNS.match(title) is not None or _turns_by_itself(title)


def turns(lead: str) -> bool:
    """Whether a line such as "None of these may exist:" changes what the points below it say."""
    return reverses(lead) or (len(lead) <= _LONGEST and _SAYS_MORE.search(lead) is not None)


def reverses(lead: str) -> bool:
    """Whether what stands below such a line does not simply have to hold."""
    if len(lead) > _LONGEST or not _LEAD_END.search(lead):
        return False
    if _ALL.search(lead):
        return _DENIES.search(lead) is not None
    if _TURNS.search(lead):
        return True
    return _turns_by_itself(lead)


def _turns_by_itself(label: str) -> bool:
    if _ANYWHERE.search(label):
        return True
    rest, turning = _TURNING.subn(" ", label)
    return bool(turning) and not re.search(r"\w", _COMMON.sub(" ", rest))


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

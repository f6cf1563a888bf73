"""What a line, a heading or a label makes of the points below it: none of these, only if, was."""

from __future__ import annotations

import re
from functools import cache

#: what makes something else of the points below a line: no, if, one of
_TURNS = "|".join(
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
)
_LEAD_END = re.compile(r"[:—–][*_ ]*(?:\([^()]*\))?[*_ ]*\Z")
#: a line that demands something itself, and goes on with its points
_SAYS_MORE = (
    r"`.*\b(?:and|or|contains?|has|have|prints?|lists?|shows?|says?|returns?|outputs?|includes?|names?"
    r"|defines?|with|when)[*_ ]*:[*_ ]*\Z"
)
#: a longer line is no lead
_LONGEST = 300
#: whatever it says before, all points below have to hold
_ALL = (
    r"\b(?:all|each|everything|every (?:single )?one|both)\b(?: of)?"
    r" (?:the (?:following|points)|th[eo]se|them|below)\b"
    r"|\bthe following (?:must |has to |have to |all )*(?:hold|apply|be true)\b"
    r"|\bif and only if\W*\Z"
)
_DENIES = r"\b(?:none|never|wrong|false|untrue|fails?|not(?! \w+ until\b)|\w+n['’]t)\b"


def _any_word(words: str) -> str:
    """One of these words as a whole; `_` is a space."""
    each = "|".join(words.split()).replace("_", r"\s+")
    return rf"\b(?:{each})\b"


#: words that say so by themselves, where nothing but `_COMMON` words is beside them: "Remove",
#: "Files to delete" and "Failure conditions", but not "Invalid input" or "Error handling"
_TURNING = _any_word(
    # what is wanted is the opposite
    r"""fail(?:s|ed|ing|ures?)? reject\w* unaccept\w* inaccept\w* abort\w* red_flags?
    block(?:ed|ers?) halt\w* invalid illegal bad broken wrong\w* forbid\w* prohibit\w*
    ban(?:ned)? disallow\w* bugs? defects? problems? symptoms? stop\w* reopen\w* wontfix
    wo?n['’]?t prevent\w* avoid\w* beware watch_out guard\w*_against protect\w*_against
    danger\w* anti-?patterns? counter-?examples? opposite contrary instead rather_than
    cancel\w*"""
    # what is to go
    r""" remov(?:e[ds]?|ing) delet(?:e[ds]?|ing) drop(?:s|ped|ping)? get(?:ting)?_rid undo(?:ne)?
    reverte?d? eras(?:e[ds]?|ing) roll(?:ed|ing)?_back uninstall\w* turn(?:ed)?_off
    disabled? purged? retired? deprecated supersed\w* replac\w+ moved_out giv(?:en|e)_up
    missing absen\w+ gone lack\w* without vanish\w* disappear\w* no_more free_of skip\w*
    (?:zero|0|nothing|not)(?=\s) no_need excl\w+ except\w* unless obsolete ignor\w+"""
    # what was, or is thought of
    r""" was were previous(?:ly)? former(?:ly)? current(?:ly)? actual(?:ly)? at_present today now
    as[-\s]is old legacy known_(?:bugs|issues|problems|defects|errors) before examples?
    samples? hypothetical\w* maybe perhaps possibly ideas? wish\w*(?:_list)?
    open_questions? suggest\w+ propos\w+ could might bonus can_wait stretch extra_credit
    next_time phase_two follow[-\s]?ups? to-?do later out_of_scope optional draft
    non-?goals? anti-?goals? nice[-\s]to[-\s]haves? future low_priority unwanted
    undesired some\s?day parked icebox de-?scoped time_permit\w*
    (?:if|when)_(?:there_is_)?time\w*"""
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
    wanted allowed covered part conditions? criteri(?:a|on) behaviou?rs? states?
    results? reasons? signals? signs? items? things? stuff points? one two acceptance
    features? requirements? goals? scope files? code build doing task ticket work done
    comes applies first permits? permitted acceptable included also open out only
    answers lines?"""
)
#: those that head what is built as well: "Delete", "Undo", "Missing file"
_SUBJECTS = _any_word(
    r"""remove delete drop undo revert erase uninstall disabled? purge retire replac(?:e|ing)
    skip reject cancel stop abort block(?:ed|ers?)? prevent ban forbid ignor\w+ missing
    exceptions? failures? invalid illegal today danger\w* suggest\w+
    propos\w+"""
)
#: but not with these
_SEVERAL = re.compile(
    r"(?i)\b(?:these|those|following|below|conditions?|criteria|behaviou?rs?|results?|if|when|to)\b"
)
#: such words with any others: "Tables to be dropped", "The check fails for"
_ANYWHERE = (
    r"\bto (?:be )?(?:remov|delet|drop|eras|purg|disabl|uninstall|revert|avoid|prevent)\w*(?=\W*$)"
    r"|\b(?:must|should|may|shall) (?:not|never|no longer)\b"
    r"|\b(?:fails?|failed|breaks?|rejects?|refuses?)\s+(?:when|if|for|on|with)\b"
    r"|\bget(?:ting)? rid of\b|\bno more\b|\bmust (?:vanish|disappear)\b|\bwhichever\b"
    r"|\bsteps to reproduce\b|\b(?:known|open) (?:bugs|issues|problems|defects)\b"
)
_DROPS = (
    r"\W*(?:won['’]?t(?: (?:do|have|fix))?|could(?: have)?|optional|nice[ -]to[ -]haves?|dropped"
    r"|cancell?ed|out of scope|removed|deferred|postponed|de-?scoped|superseded|obsolete|rejected"
    r"|negative|n/?a(?:\W.*)?|not (?:needed|required|in scope|applicable))"
    r"\W*(?:\(.*\)|[-—–].*)?\W*"
)
#: a heading or label that begins so, where "not" and "if" may be part of a subject
_TITLE_TURNS = (
    r"\W*(?:(?:(?:must|may|should|shall|will|can|do|does)\s*(?:not|n['’]t)|cannot|won['’]t"
    r"|(?:none|never|not|either|any|one|some|unless|only|if|optional(?:ly)?|forbidden|prohibited|banned"
    r"|wrong|avoid|nice to have|at (?:least|most)|no)\b(?=\W*$|.*:|\s+(?:of|if|when|allowed)\b)))"
)


@cache
def _pattern(expression: str) -> re.Pattern[str]:
    """Compiled when a line with a colon is read: most commands read none."""
    return re.compile(expression, re.IGNORECASE)


def title_turns(title: str) -> bool:
    """Whether a heading or a label such as "Must not" changes what the points below it say."""
    if _pattern(_TITLE_TURNS).match(title) is not None:
        return True
    words = title if _SEVERAL.search(title) else _pattern(_SUBJECTS).sub("x", title)
    return _turns_by_itself(words)


def heading_turns(title: str) -> bool:
    """The same of a heading that means criteria: "Acceptance criteria (optional)"."""
    said = re.split(r"[(\[:—–/]|\s-\s", title, maxsplit=1)
    remark = said[1].strip(" )]") if len(said) > 1 else ""
    is_sentence = re.search(r"(?i)\b(?:when|if)\b", title) is not None
    return (
        title_turns(title)
        or (bool(remark) and (title_turns(remark) or reverses(f"{remark}:")))
        or (is_sentence and reverses(f"{title.rstrip(': ')}:"))
    )


def turns_without_colon(text: str) -> bool:
    """Whether a line above points changes what they say though it does not lead to them."""
    # names of files and commands say nothing of what is below
    said = re.sub(r"`[^`]*`|\S*[\w*]\.\w\S*|\S+/\S*", "x", re.sub(r"<[^<>]*>", "", text))
    said = re.sub(r"[*_~]", "", said).strip().rstrip(" .,:：→-…")
    if len(said) > _LONGEST or (said.count(" ") > 5 and not _SEVERAL.search(said)):
        return False
    return title_turns(said) or reverses(f"{said}:")


def drops(word: str) -> bool:
    """Whether a word beside a criterion says that it need not hold: "Won't", "Dropped"."""
    return _pattern(_DROPS).fullmatch(word) is not None


def turns(lead: str) -> bool:
    """Whether a line such as "None of these may exist:" changes what the points below it say."""
    return reverses(lead) or (
        len(lead) <= _LONGEST and _pattern(_SAYS_MORE).search(lead) is not None
    )


def reverses(lead: str) -> bool:
    """Whether what stands below such a line does not simply have to hold."""
    if len(lead) > _LONGEST or not _LEAD_END.search(lead):
        return False
    if _pattern(_ALL).search(lead):
        return _pattern(_DENIES).search(lead) is not None
    if _pattern(_TURNS).search(lead):
        return True
    return _turns_by_itself(lead)


def _turns_by_itself(label: str) -> bool:
    if len(label) > _LONGEST:
        return False
    if _pattern(_ANYWHERE).search(label):
        return True
    rest, turning = _pattern(_TURNING).subn(" ", label)
    return bool(turning) and not re.search(r"\w", _pattern(_COMMON).sub(" ", rest))

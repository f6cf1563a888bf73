"""The words of a statement that say what holds, without labels and words of demand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.gates.expressions import MEANING

#: a statement's number, mark or reference is not a word of it: `#1`, `AC-2:`, `[P]`, ✅, `(#12)`
_KNOWN_ID = r"(?:AC|FR|NFR|REQ|SC|US|UC|TC|T|R)[-_ #]?\d+(?:\.\d+)*[a-z]?"
#: UTF-8 and ISO-8601 are not references
_ID = rf"(?:{_KNOWN_ID}|(?!UTF|ISO|RFC|SHA|HTTP|TLS|ES|MD|IP|IPV)[A-Z]{{1,8}}-?\d+(?:\.\d+)*)"
#: “should” and “optional” are left: they say that it need not hold
_FORCE = r"(?:must(?: have)?|required|mandatory|blocker|critical|mvp|P\d?|p[0-4])"
_SIGNS = r"(?:[✅☑✔✓⬜🔲☐🟢🔴🟡🟠🔵⭐🎯📌🔹▪•→❗]\ufe0f?\s*)"
_LEADING_LABEL = re.compile(
    rf"""(?x) ^ (?: {_SIGNS}+ (?=\S)
      | [*_]{{0,2}} (?:
            [\[(]\s*(?: {_ID} | (?i:{_FORCE}) | [ xX]? | \d+(?:\.\d+)* | [a-z] )\s*[\])]
          | \# \d+ | \d+ (?: \.\d+ )* (?= [.):*_] ) | \d+ (?: \.\d+ )+ (?=\s+[`A-Z])
          | (?:[a-z]|[ivx]{{1,4}}) \) | (?:[A-Z]\d{{0,2}}|[ivx]{{1,4}}) \. (?=\s+[`A-Z])
          | (?i:criterion|acceptance(?:\ criterion)?|scenario|requirement|check|item|case)
            \s* \#? \d+ (?=\s*[:.)—–-])
          | {_KNOWN_ID} | [A-Z][A-Z0-9]{{0,6}} [-_]? \d+
            (?: [-_.] [A-Z]{{1,4}} -? \d+ )* (?= [*_]{{0,2}} : )
          | (?i:{_FORCE}) (?= [*_]{{0,2}} : ) )
        (?: \s* [\[(] (?i:{_FORCE}) [\])] )? [.):]? [*_]{{0,2}} [.:)]? (?: \s* [|–—-] )?
        (?: \s+ | (?<=[\]):|]) ) (?= \S )
    )""".replace(_KNOWN_ID, _KNOWN_ID.replace(" #", r"\ \#"))
)
_LEAD_IN = re.compile(r"^(\*\*|__)(?P<words>\w[\w /-]{1,39}):?\1:?(?:\s+[—–-])?\s+(?=\S)")
_NUMBER = r"(?:(?:[Ss]ee |cf\. |[Rr]efs? |[Cc]loses |[Ff]ixes )?#\d+)"
_IDS = rf"(?:{_ID}(?:\s*[,&/]\s*{_ID})*|(?i:{_FORCE}))"
_TRAILING_LABEL = re.compile(
    rf"\s*(?:{_SIGNS}|\((?:{_NUMBER}|{_IDS})\)"
    rf"|\[(?:{_NUMBER}|{_IDS}|\^?\d{{1,3}})\](?:\([^)\s]*\))?"
    rf"|\(\[(?:{_NUMBER}|{_IDS})\]\([^)\s]*\)\)|\s#\d{{1,5}}|[;,!]"
    # of Obsidian: a block's id, a link to a ticket, a day; a comment
    rf"|\s\^[A-Za-z\d-]+|\s\[\[{_IDS}\]\]|\s[📅⏳🛫➕]\ufe0f? ?\d{{4}}-\d\d-\d\d|\s<!--[^<>]*-->)$"
)
_WRAPPED = re.compile(r"^(?P<mark>\*\*|__|[*_\"])(?=\S)(?P<words>(?:(?!(?P=mark)).)+)(?P=mark)$")
#: a lead-in with one of these says how much of the statement counts
_QUALIFIED = re.compile(
    r"\b(?:out of scope|later|future|nice|stretch|wont|todo|example|known|bad|old|draft|open|"
    r"(?:forbid|prohibit|disallow|avoid|reject|exclu|remov|delet|drop|deprecat|obsolete|defer|skip|"
    r"ignor|fail|broken|missing|lack|prevent|block|pending|question)\w*)\b",
    re.IGNORECASE,
)
#: nothing next to these words is judged alone, or left out
TIED = re.compile(MEANING, re.IGNORECASE)
#: not “should”, which need not hold (RFC 2119)
_DEMAND = re.compile(
    # “does not have to” demands nothing
    r"(?<![\w`])(?<!not )(?<!n['’]t )(?<!never )"
    r"(?:[Mm]ust|MUST|[Ss]hall|SHALL|[Ww]ill|needs? to|ha(?:s|ve) to"
    r"|(?:is|are) (?:required|expected|supposed) to)"
    r"(?P<adverb> (?:also|always))?(?P<no> (?:not|never)|n['’]t)?"
    r"(?P<later> (?:also|always))?(?P<longer> no longer)? (?P<verb>[a-z]+)(?![\w`])"
)
#: a second verb of the same demand: “must exist and not be empty”
_AND = re.compile(
    r"(?<=\w)(?P<and>,? and )(?P<no>not )?"
    r"(?P<verb>be|exist|pass|have|contain|include|compile)(?![\w`])"
)
#: verbs that others follow, and words that are none
_NO_VERBS = frozenset(("able", "either", "neither", "only", "both", "at", "in", "on", "to", "not"))
_VERBS_IN_LY = frozenset(("apply", "comply", "imply", "multiply", "rely", "reply", "supply"))
_IRREGULAR = {"have": "has", "do": "does", "go": "goes"}


def normalize(text: str) -> str:
    """A claim without list mark, bold marks around code, final stop and double spaces."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"(\*\*|__)(`[^`]+`)\1", r"\2", text)
    text = re.sub(r"^[-*]\s+(\[[ xX]\]\s*)?", "", text)
    return text.rstrip(".").strip()


def strip_labels(text: str) -> str:
    """A normalized statement without the labels before and behind its words."""
    before = ""
    while text != before:
        before = text
        text = _TRAILING_LABEL.sub("", _LEADING_LABEL.sub("", text))
        if wrapped := _WRAPPED.match(text):
            text = wrapped["words"]
        said = _LEAD_IN.match(text)
        if said and not (TIED.search(said["words"]) or _QUALIFIED.search(said["words"])):
            text = text[said.end() :]
        text = normalize(text)
    return text


def present_tense(text: str) -> Iterator[str]:
    """What has to hold so that a demand is met: “`a.md` must exist” says “`a.md` exists”.

    The first with the verbs of one subject, the second with those of several; nothing without a
    demand. Text in backticks is left as it is.
    """
    if (singular := _in_present(text, plural=False)) != text:
        yield singular
        yield _in_present(text, plural=True)


def _in_present(text: str, *, plural: bool) -> str:
    """A text with the verbs of its demands in the present tense; the same text without one."""

    def put(match: re.Match[str]) -> str:
        verb = match["verb"]
        if verb in _NO_VERBS or (verb.endswith("ly") and verb not in _VERBS_IN_LY):
            return match[0]
        longer = "no longer " if match["longer"] else ""
        return longer + _finite(verb, plural=plural, denied=bool(match["no"]))

    def put_second(match: re.Match[str]) -> str:
        return match["and"] + _finite(match["verb"], plural=plural, denied=bool(match["no"]))

    # an odd part is quoted; a demand may stand beside it, not across
    parts = re.split(r"(`[^`]*`)", text)
    said = [p if n % 2 else _DEMAND.sub(put, p) for n, p in enumerate(parts)]
    if said != parts:
        said = [p if n % 2 else _AND.sub(put_second, p) for n, p in enumerate(said)]
    return "".join(said)


def _finite(verb: str, *, plural: bool, denied: bool) -> str:
    """A verb as it is said of one subject or of several."""
    if verb == "be":
        return ("are" if plural else "is") + (" not" if denied else "")
    if denied:
        return f"{'do' if plural else 'does'} not {verb}"
    return verb if plural else _singular(verb)


def _singular(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if re.search(r"(?:[sxzo]|ch|sh)$", verb):
        return f"{verb}es"
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}s"

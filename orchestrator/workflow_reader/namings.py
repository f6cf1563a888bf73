"""Who does a stage: from its title, a line such as "Owner: BUILDER" below it, or a table's cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import normalize

from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.vocabulary import any_of, plain, third_persons, word_set

_ROLES, _ROLE_ENDS = word_set("roles"), word_set("role_ends")
_NOT_AGENTS = word_set("not_agents") | word_set("acronyms")
_ROLE_TITLE = re.compile(any_of("role_titles"), re.IGNORECASE)
_JOINS = frozenset({"and", "or", "then", "with", "for", "the", "of", "to", "by", "a", "an"})
_PERSON = re.compile(
    rf"(?:the\s+|an?\s+)?{any_of('person')}\b(?!\s+(?:agent|story))", re.IGNORECASE
)
_PERSON_ALONE = re.compile(
    rf"(?:the\s+|an?\s+)?{any_of('person_alone')}\b(?!\s+story)", re.IGNORECASE
)
_IN_BRACKETS = re.compile(
    rf"[(\[]\s*(?P<key>{any_of('stage_owner')}\s*[:=]\s*|(?:by|agent|owner|role)\s+)?"
    r"(?P<who>@?[^\W\d][\w -]*?)\s*[)\]]\s*$",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"\s*(?:[—–|,;:]|\s-)\s*(?:agent|owner|by|assignee|assigned to)\s*[:=]?\s+@?(?P<who>[\w-]+)\s*$"
    r"|\s+@(?P<at>[\w-]+)\s*$",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?P<agent>[^\W\d_][\w-]*(?: [\w-]+)?)\s*(?:[:.)\]·|—–→：、]+|\s-+\s)\s*(?P<title>\S.*)"
)
_OWNER_LINE = re.compile(
    rf"[^\w@]*(?P<key>{any_of('stage_owner')})\s*[:=—–：]\s*(?P<who>\S.*)", re.IGNORECASE
)
_MENTIONED = re.compile(r"@(?P<who>[A-Za-z][\w-]*)\b(?!/)")


class Naming(NamedTuple):
    """An agent's name in capitals, "" if none is named; or a person, as USER."""

    agent: str
    is_person: bool = False


def who(words: str, *, is_agent_key: bool = False) -> Naming:
    """Whom the first of these words name: a person, a role of up to three words, or a name."""
    words = re.sub(r"^[^\w]+", "", plain(words.replace("`", "")))
    words = re.sub(r"^(?:the|an?|our)\s+", "", words, flags=re.IGNORECASE)
    person = (_PERSON_ALONE if is_agent_key else _PERSON).match(words)
    if person:
        return Naming("USER", is_person=True)
    listed = re.findall(r"[^\W\d][\w-]*", re.split(r"[,;:(/+&|.—–]", words, maxsplit=1)[0])[:3]
    role = _role(listed)
    if role and not is_agent_key and role[-1].lower() == "manager":
        return Naming("USER", is_person=True)
    found = name(" ".join(role or listed[:1]))
    return Naming("" if found == "AGENT" else found)


def _role(words: Sequence[str]) -> Sequence[str]:
    """The words up to one that ends a role; none if a joining word stands before it."""
    for n, word in enumerate(words, 1):
        if word.lower() in _JOINS:
            return ()
        if word.lower() == "agent" and n > 1:
            return words[: n - 1]
        if word.lower() in _ROLES | _ROLE_ENDS:
            more = words[n : n + 1]
            longer = more and more[0].lower() in (_ROLES | _ROLE_ENDS) - {"agent"}
            return words[: n + 1] if longer else words[:n]
    return ()


def is_agent(word: str) -> bool:
    """Whether a word names an agent by itself: a role, or a name in capitals."""
    if word.lower() in _ROLES or word.lower().endswith(("-agent", "_agent")):
        return True
    named = word.isupper() and word[0].isalpha() and word not in _NOT_AGENTS
    return len(word) > 1 and named


def is_role(words: str) -> bool:
    """Whether words are a role and nothing else: "Architect", "QA Engineer", "Builder Agent"."""
    listed = words.split()
    if len(listed) > 3 or any(word.lower() in _JOINS for word in listed):
        return False
    last = listed[-1].lower() if listed else ""
    if len(listed) == 1:
        return is_agent(listed[0])
    if _ROLE_TITLE.fullmatch(words):
        return True
    return last in _ROLES and all(re.fullmatch(r"[\w-]+", word) for word in listed)


def agent_in(title: str) -> tuple[Naming, str]:
    """Whom a title names, and the rest of it."""
    before = _BEFORE.fullmatch(title)
    if before and (is_role(before["agent"]) or _PERSON_ALONE.fullmatch(before["agent"])):
        return who(before["agent"]), before["title"]
    found = _IN_BRACKETS.search(title)
    if found:
        said, rest = found["who"], title[: found.start()].strip()
        if found["key"] or said.startswith("@") or is_role(said) or _PERSON.fullmatch(said):
            return who(said, is_agent_key="agent" in (found["key"] or "").lower()), rest
    found = _BEHIND.search(title)
    if found:
        return who(found["who"] or found["at"]), title[: found.start()]
    if is_role(re.sub(r"\s*\([^)]*\)$", "", title)):
        return who(title), title
    first, _, rest = title.partition(" ")
    if is_agent(first) and rest.split(" ")[0].lower().rstrip(".,;:") in third_persons():
        return who(first), title
    return Naming(""), title


def owner_below(body: Sequence[Piece]) -> Naming | None:
    """Whom an "Owner:" line below a heading, and before the next one, names."""
    for piece in body:
        if piece.kind is Kind.HEADING:
            return None
        if piece.kind not in (Kind.FENCE, Kind.TABLE):
            # a label may stand in the middle of lines that are one paragraph
            said = re.sub(r"[*_`]{1,3}", "", piece.said)
            if found := _OWNER_LINE.match(said) or _OWNER_LINE.search(said.partition(" · ")[2]):
                naming = who(found["who"], is_agent_key="agent" in found["key"].lower())
                if naming.agent and not re.match(r"(?i)(?:none|n/?a|tbd|\?)", found["who"]):
                    return naming
            elif (mention := _MENTIONED.match(said)) is not None:
                return who(mention["who"])
    return None


def name(words: str) -> str:
    """A name as agents have it: capitals, digits and underscores."""
    letters = normalize("NFKD", words.strip()).encode("ascii", "ignore").decode() or words.strip()
    return re.sub(r"[^\w]+", "_", letters.upper()).strip("_")

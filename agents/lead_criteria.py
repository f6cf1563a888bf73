"""Which child of a split answers for which criterion of the workflow: one child, or the parent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.domain.workflow import Deliverable, Statement
from orchestrator.gates.binding import Binder

#: the subject in a check's name ("sql" of sql.indexes) → the files that it judges
_JUDGES = {
    "sql": (".sql",),
    "typescript": (".ts", ".tsx"),
    "python": (".py",),
    "frames": (".py",),
    "code": (".py", ".ts", ".tsx"),
    "csv": (".csv", ".tsv"),
    "privacy": (".csv", ".tsv"),
}
#: words that hint at a kind of file. They keep a statement from the maker of another kind; those
#: before the bar say besides, in the subject of a statement, what it is about
_WORDS = {
    (".sql",): "sql migration migrations rls | table tables policy policies index indexes indexed "
    "schema constraint constraints trigger triggers view views role roles anon anonymous "
    "authenticated column columns nullable database row rows query queries key keys",
    (".py",): "python | script scripts module modules pandas dataframe dataframes",
    (".ts", ".tsx"): "typescript tsc tsx | function functions component components hook hooks type "
    "types typed interface interfaces react frontend client export exports exported import "
    "imports imported page pages screen button form "
    "show shows shown display displays displayed render renders rendered click clicks",
    (".csv", ".tsv"): "csv tsv | row rows column columns",
}
_HINTS = {kinds: frozenset(words.replace("|", "").split()) for kinds, words in _WORDS.items()}
_DECIDING = {kinds: frozenset(words.split("|")[0].split()) for kinds, words in _WORDS.items()}
_WORD = re.compile(r"[A-Za-z_]\w*")
#: `getOrders`: a name in TypeScript
_CAMEL = re.compile(r"\b[a-z]+[A-Z]\w*")
_FILE = re.compile(r"[\w/.-]*\w(\.(?:sql|py|tsx?|csv|tsv))\b")
_LEAD = re.compile(r"\W*(?:(?:the|each|every|all|any|no|a|an|file|script)\s+)*\W*", re.IGNORECASE)
#: what ends the first noun phrase, and how many words of it are looked at
_ENDS_SUBJECT = re.compile(
    r"(?:is|are|was|were|has|have|had|can|cannot|must|may|should|will|does|do|of|in|on|for|to|by|"
    r"with|from|through|when|where|why|that|which|and|or|not|as|at|if)\Z"
)
_SUBJECT_LENGTH = 4


@dataclass(frozen=True)
class Maker:
    """Who makes something: a child, or the stages that have none (`id` is then "")."""

    id: str
    deliverables: tuple[Deliverable, ...]
    #: the tables that its SQL creates
    tables: frozenset[str] = frozenset()

    @property
    def kinds(self) -> frozenset[str]:
        """The extensions of its files."""
        return frozenset(PurePosixPath(d.path).suffix for d in self.deliverables)


def distribute(
    makers: Sequence[Maker],
    own: Mapping[str, Sequence[Statement]],
    shared: Sequence[Statement],
    binder: Binder,
) -> dict[str, list[str]]:
    """Maker → the criteria that it answers for; under "" those that stay with the parent.

    `own` are the statements of the stages of one child each, `shared` those that may be any
    child's. Each text is handed out once; what fits several makers alike stays with the parent.
    """
    children = [m.id for m in makers if m.id]
    claims: dict[str, tuple[str, list[str]]] = {}
    for child, statements in own.items():
        for statement in statements:
            _claim(claims, statement.text, child)
    for statement in shared:
        key = _key(statement.text)
        # what a stage of one child says already is that child's
        if key not in claims:
            _claim(claims, statement.text, owner_of(makers, statement, binder))
    found: dict[str, list[str]] = {owner: [] for owner in ("", *children)}
    for text, owners in claims.values():
        owner = owners[0] if len(set(owners)) == 1 else ""
        found[owner if owner in found else ""].append(text)
    return found


def _key(text: str) -> str:
    return " ".join(text.split()).rstrip(" .").casefold()


def _claim(claims: dict[str, tuple[str, list[str]]], text: str, owner: str) -> None:
    claims.setdefault(_key(text), (text, []))[1].append(owner)


def owner_of(makers: Sequence[Maker], statement: Statement, binder: Binder) -> str:
    """The child that a statement is about, "" if it is about none, several, or no child's file.

    Its subject decides, or the check that judges it; a mention elsewhere never does. Whatever
    speaks of something that another one makes as well stays with the parent.
    """
    text = statement.text
    named = [m.id for m in makers if m.id and re.search(rf"\b{re.escape(m.id)}\b", text)]
    if named:
        return named[0] if len(named) == 1 else ""
    files = [m for m in makers if any(_names(text, d.path) for d in m.deliverables)]
    checks = [b.check.name for b in binder.bind(text) if b.check is not None]
    judged = frozenset(k for name in checks for k in _JUDGES.get(name.partition(".")[0], ()))
    if files:
        about = files
    elif checks:
        # a check that judges no kind of file says nothing, and is not a guess either
        about = [m for m in makers if judged & m.kinds]
    else:
        subject = _subject(text)
        about = [
            m
            for m in makers
            if any(subject & _DECIDING[kinds] for kinds in _kinds_of(m))
            or ("table" in subject and subject & m.tables)
        ]
    if len(about) != 1:
        return ""
    (maker,) = about
    return maker.id if _is_clear(maker, makers, statement, judged, by_name=bool(files)) else ""


def _is_clear(
    maker: Maker,
    makers: Sequence[Maker],
    statement: Statement,
    judged: frozenset[str],
    *,
    by_name: bool,
) -> bool:
    """Whether a statement speaks of nothing that anybody else makes.

    A name at its very beginning, and a check that its first words agree with, are clear enough for
    a table or a word of another one to come later.
    """
    text = statement.text
    if judged and not judged & maker.kinds:
        return False
    own = _kinds_of(maker)
    words = _WORD.findall(f"{statement.group} {text}".lower())
    foreign = [w for w in words if _is_foreign(w, own)]
    others = {t for m in makers if m is not maker for t in m.tables} - maker.tables
    if any(found[1] not in maker.kinds for found in _FILE.finditer(text)):
        return False
    if _CAMEL.search(text) and not maker.kinds & {".ts", ".tsx"}:
        return False
    if by_name:
        start = _after_lead(text)
        begins = any(_names(start.split("`")[0].split(" ")[0], d.path) for d in maker.deliverables)
        return not foreign and (begins or not others & set(words))
    subject = _subject(text)
    agrees = any(subject & _DECIDING[kinds] for kinds in own)
    if judged and agrees:
        return not any(_is_foreign(w, own) for w in subject)
    return not foreign and not others & set(words)


def _kinds_of(maker: Maker) -> list[tuple[str, ...]]:
    return [kinds for kinds in _HINTS if maker.kinds & set(kinds)]


def _is_foreign(word: str, own: Sequence[tuple[str, ...]]) -> bool:
    """Whether a word hints at another kind of file only."""
    kinds = [k for k, words in _HINTS.items() if word in words]
    return bool(kinds) and not any(k in own for k in kinds)


def _after_lead(text: str) -> str:
    found = _LEAD.match(text)
    return text[found.end() :] if found else text


def _subject(text: str) -> frozenset[str]:
    """The words of the first noun phrase."""
    words = _WORD.findall(_after_lead(text).lower())[:_SUBJECT_LENGTH]
    end = next((at for at, word in enumerate(words) if _ENDS_SUBJECT.match(word)), len(words))
    return frozenset(words[:end])


def _names(text: str, path: str) -> bool:
    name = re.escape(PurePosixPath(path).name)
    return re.search(rf"(?<![\w.-]){name}(?![\w-])", text) is not None

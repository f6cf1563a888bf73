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
#: words of a statement that hint at a kind of file; a check says more
_SUBJECT_WORDS = {
    ".sql": "migration migrations table tables rls policy policies index indexes drop schema "
    "constraint trigger view role anon anonymous authenticated",
    ".py": "python script scripts",
    ".ts": "typescript tsc function functions",
    ".tsx": "typescript tsc component components",
    ".csv": "csv row rows",
}
#: a named file decides; a check's subject weighs more than all words that only hint
_BY_NAME, _BY_CHECK, _BY_TABLE = 1_000, 100, 10


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
    """The child that a statement is about, "" if it is about none, several, or no child's file."""
    named = [m.id for m in makers if m.id and re.search(rf"\b{re.escape(m.id)}\b", statement.text)]
    if named:
        return named[0] if len(named) == 1 else ""
    checks = [b.check.name for b in binder.bind(statement.text) if b.check is not None]
    judged = frozenset(k for name in checks for k in _JUDGES.get(name.partition(".")[0], ()))
    # words are a guess, made only where no check says what a statement is about
    guess = not checks or bool(judged)
    scores = {m.id: _score(m, statement, judged, guess=guess) for m in makers}
    best = max(scores.values(), default=0)
    winners = [id for id, score in scores.items() if score == best]
    return winners[0] if best > 0 and len(winners) == 1 else ""


def _score(maker: Maker, statement: Statement, judged: frozenset[str], *, guess: bool) -> int:
    """How much a statement speaks of what a maker makes; 0 if it cannot be about that.

    `judged` are the kinds of file that its checks judge; its words count only with `guess`.
    """
    text = statement.text
    files = sum(_names(text, d.path) for d in maker.deliverables)
    if files:
        return _BY_NAME * files
    if not guess or (judged and not judged & maker.kinds):
        return 0
    words = set(re.findall(r"[a-z_]\w*", f"{statement.group} {text}".lower()))
    score = _BY_CHECK * bool(judged & maker.kinds) + _BY_TABLE * bool(words & maker.tables)
    for kind in maker.kinds:
        score += len(words & set(_SUBJECT_WORDS.get(kind, "").split()))
    return score


def _names(text: str, path: str) -> bool:
    name = re.escape(PurePosixPath(path).name)
    return re.search(rf"(?<![\w.-]){name}(?![\w-])", text) is not None

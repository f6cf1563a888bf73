"""The branches of a PL/pgSQL body, and marks in it that show which of them have run.

A branch that did not run where a migration is proven may run on the target. Marks are assertions
that take an advisory lock: they change neither FOUND nor a row, and outlive a rollback.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrate_agents.sql.nested_statements import sources_of
from orchestrate_agents.sql.parse import SqlError, Statement, line_at, tokens
from orchestrate_backend.targets.supabase_setup import API_ROLES

#: first words of statements that change nothing outside of the body
_IDLE = frozenset({"NULL", "RAISE", "GET", "ASSERT", "END", "ELSE", "ELSIF", "ELSEIF", "EXCEPTION"})
#: … and of those that begin a part with branches of its own
_FRAMES = frozenset({"IF", "CASE", "FOR", "FOREACH", "WHILE", "LOOP", "BEGIN", "DECLARE", "WHEN"})
#: … and of those that change rows: another one tells more of a branch
_ROW_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "PERFORM"})
_LEAVES = frozenset({"RETURN", "EXIT", "CONTINUE"})
#: a role of the API, made without any power where a server lacks it: every project has it
_ABSENT_ROLE = re.compile(
    r"NOT EXISTS \(SELECT (?:1 |\* )?FROM (?:pg_catalog\.)?pg_roles "
    r"WHERE rolname = (\w+|'\w+')\)"
)
_PLAIN_ROLE = r"\s*CREATE ROLE {}(?: NOLOGIN| NOINHERIT)+;\s*END IF;"
_NAMED_ROLE = r"\s*EXECUTE format\('CREATE ROLE %I(?: NOLOGIN| NOINHERIT)+', {}\);\s*END IF;"


@dataclass
class Branch:
    """A part of a body that runs under a condition, or the way past it."""

    #: offset in the body where a mark goes
    start: int
    line: int
    #: the words of its condition, shortened
    condition: str
    #: of the first statement that does something: its line and words
    does: tuple[int, str] | None = None
    #: leaves the body or a loop, so that something behind it does not run
    leaves: bool = False
    #: the way past a condition that has no ELSE
    passes: bool = False
    #: runs because something before it failed
    handles: bool = False
    #: of the first branch of an IF: where its condition stands in the body
    asks: tuple[int, int] | None = None


@dataclass
class _Frame:
    kind: str
    start: int
    branch: Branch | None = None
    has_else: bool = False
    condition: tuple[int, int] = (0, 0)


@dataclass
class _Reader:
    """Reads a body token by token."""

    body: str
    own: Collection[str]
    found: list[Branch] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)

    def read(self) -> list[Branch]:
        """The branches. Raises SqlError for what cannot be scanned, ValueError for odd nesting."""
        words = [t for t in tokens(self.body) if "COMMENT" not in t.name]
        texts = [self.body[t.start : t.end + 1].upper() for t in words]
        begins, skip = True, False
        for n, (token, word) in enumerate(zip(words, texts, strict=True)):
            if skip:
                # `END IF`, `END LOOP name`: up to the semicolon
                skip = word != ";"
                begins = not skip
                continue
            if begins and word not in ("<", "<<"):
                self._note_statement(n, texts, token.start)
            began, begins = begins, word in (";", ">>", "DECLARE")
            match word:
                case "IF" | "FOR" | "FOREACH" | "WHILE" if began:
                    self._push(word, token)
                case "CASE":
                    self._push("CASE" if began else "expression", token)
                case "BEGIN" if began:
                    self._push("BEGIN", token)
                    begins = True
                case "ELSIF" | "ELSEIF" if began:
                    self.frames[-1].condition = (token.end + 1, 0)
                case "WHEN" if self._top != "expression":
                    if self._top == "BEGIN" or (self._top == "CASE" and self.frames[-1].branch):
                        self.frames[-1].condition = (token.start, 0)
                case "THEN" if self._top != "expression":
                    self._open(token, until=token.start)
                    begins = True
                case "ELSE" if self._top != "expression":
                    self.frames[-1].has_else = True
                    self._open(token)
                    begins = True
                case "LOOP":
                    if self._top not in ("FOR", "FOREACH", "WHILE") or self.frames[-1].branch:
                        self._push("LOOP", token)
                    self._open(token, until=token.start)
                    begins = True
                case "END":
                    skip = self._end(token)
        if self.frames:
            raise ValueError("a part of the body is not closed")
        return self.found

    @property
    def _top(self) -> str:
        return self.frames[-1].kind if self.frames else ""

    def _push(self, kind: str, token: Any) -> None:
        self.frames.append(_Frame(kind, token.start, condition=(token.end + 1, 0)))

    def _open(self, token: Any, until: int = 0) -> None:
        if not self.frames:
            raise ValueError("a branch stands outside of a body")
        frame = self.frames[-1]
        start, end = frame.condition[0], until or frame.condition[1]
        frame.condition = (start, end)
        shown = " ".join(self.body[start:end].split())
        line = line_at(self.body, token.start)
        shown = shown if len(shown) < 80 else shown[:77] + "…"
        asks = (start, end) if frame.kind == "IF" and frame.branch is None else None
        frame.branch = Branch(token.end + 1, line, shown, handles=frame.kind == "BEGIN", asks=asks)
        if frame.kind != "LOOP":
            self.found.append(frame.branch)

    def _end(self, token: Any) -> bool:
        if not self.frames:
            raise ValueError("END without a beginning")
        frame = self.frames.pop()
        if frame.kind in ("IF", "CASE") and not frame.has_else and frame.branch is not None:
            line = line_at(self.body, frame.start)
            way = Branch(token.start, line, frame.branch.condition, passes=True)
            if frame.kind == "IF":
                self.found.append(way)
        return frame.kind != "expression"

    def _note_statement(self, n: int, texts: list[str], start: int) -> None:
        word = texts[n]
        frames = [f for f in self.frames if f.branch is not None]
        if not frames or word in _IDLE or word in _FRAMES:
            return
        if word in _LEAVES:
            for frame in frames:
                assert frame.branch is not None
                frame.branch.leaves = True
            return
        rest = texts[n : texts.index(";", n) if ";" in texts[n:] else len(texts)]
        assigns = any(sign in rest[1:6] for sign in (":=", "=")) and rest[0].isidentifier()
        if assigns and rest[0] not in ("UPDATE", "SELECT", "SET") and not self._calls_own(rest):
            return
        text = " ".join(self.body[start:].split(";", 1)[0].split())
        shown = text if len(text) < 80 else text[:77] + "…"
        # the innermost branch alone: what is around it ran or did not by its own mark
        branch = frames[-1].branch
        if branch is not None and (branch.does is None or word not in _ROW_WORDS):
            branch.does = (line_at(self.body, start), shown)

    def _calls_own(self, words: Collection[str]) -> bool:
        return any(word.lower().strip('"') in self.own for word in words)


@dataclass(frozen=True)
class Marked:
    """A DO block with marks, or without any where its branches cannot be read."""

    text: str
    branches: tuple[Branch, ...] = ()
    #: distinguishes the marks of this block from everything else
    key: int = 0
    #: line of the migration at which its body begins
    line: int = 1
    #: the statement as it was written
    source: str = ""
    unread: str = ""


def branches_of(body: str, own: Collection[str] = ()) -> list[Branch]:
    """The branches of a PL/pgSQL body. `own`: functions that may do anything when they are called.

    Raises ValueError if it cannot be read.
    """
    try:
        found = _Reader(body, own).read()
    except (SqlError, IndexError) as exc:
        raise ValueError(str(exc)) from exc
    for branch in found:
        role = _ABSENT_ROLE.fullmatch(branch.condition)
        if role and _only_makes(role[1], body, body[branch.start :]):
            branch.does = None
    return found


def _only_makes(role: str, body: str, branch: str) -> bool:
    """Whether a branch makes a powerless role of the API; `role` is a literal or a variable."""
    if role.startswith("'"):
        named, names = _PLAIN_ROLE.format(role.strip("'")), {role.strip("'")}
    else:
        named = _NAMED_ROLE.format(role)
        given = sources_of(f"DO $role${body}$role$").get(role, [None])
        items = [item for array in given for item in getattr(array, "elements", None) or [None]]
        names = {getattr(getattr(item, "val", None), "sval", "") for item in items}
    return names <= set(API_ROLES) and re.match(named, branch) is not None


def body_of(node: Any) -> tuple[str, str]:
    """(language, body) of a DO block or of a function."""
    defined = (node.args if type(node).__name__ == "DoStmt" else node.options) or ()
    options = {option.defname: option.arg for option in defined}
    body = options.get("as", "")
    text = body[0] if isinstance(body, tuple) else body
    language = getattr(options.get("language"), "sval", "plpgsql")
    return language.lower(), getattr(text, "sval", "")


def mark(
    statement: Statement, source: str, own: Collection[str], forced: Collection[int] = ()
) -> Marked:
    """A DO block whose branches tell that they ran; conditions of `forced` ones are met."""
    language, body = body_of(statement.node)
    at = next((t.start for t in tokens(source) if t.name == "SCONST"), 0)
    marked = Marked(source, line=statement.line + line_at(source, at) - 1, source=source)
    try:
        if language != "plpgsql":
            raise ValueError(f"it is written in {language}")
        branches = branches_of(body, own)
    except ValueError as exc:
        return replace(marked, unread=str(exc))
    key = secrets.randbelow(2**31)
    text = body
    for number, branch in reversed(list(enumerate(branches))):
        call = f" ASSERT pg_catalog.pg_try_advisory_lock({key}, {number}); "
        call = f" ELSE{call}" if branch.passes else call
        text = text[: branch.start] + call + text[branch.start :]
        if branch.asks and number in forced:
            text = f"{text[: branch.asks[0]]} true {text[branch.asks[1] :]}"
    quote = f"$marked{key}$"
    # the body stays at its line
    lead = "\n" * (line_at(source, at) - 1)
    return replace(marked, text=f"{lead}DO {quote}{text}{quote}", branches=tuple(branches), key=key)


def that_ran(owner: Any, marked: Marked) -> frozenset[int]:
    """The numbers of a block's branches that have run in the session."""
    query = (
        "SELECT DISTINCT objid::bigint FROM pg_catalog.pg_locks WHERE locktype = 'advisory'"
        " AND pid = pg_catalog.pg_backend_pid() AND classid = %s AND objsubid = 2"
    )
    return frozenset(number for (number,) in owner.execute(query, [marked.key]).fetchall())

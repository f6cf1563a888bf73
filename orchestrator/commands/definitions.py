"""What a command does is written elsewhere: in a script of package.json, a target, a script file.

The definition of a command is all such text that it leads to, so that leave to run it can be bound
to what was looked at.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: the bytes of a file of the workspace, None where there is none
Read = Callable[[str], bytes | None]

#: of a shell; a command is run without one
_OPERATORS = frozenset("|;<>&()")
#: words before the program that is meant
_WRAPPERS = (
    ("poetry", "run"), ("uv", "run"), ("pipenv", "run"), ("pdm", "run"), ("hatch", "run"),
    ("bundle", "exec"), ("npx",), ("bunx",), ("cross-env",), ("env",), ("time",), ("dotenv", "--"),
)  # fmt: skip
_INTERPRETERS = re.compile(
    r"(?:python|pypy)[\d.]*|node|deno|bun|tsx|ts-node|ruby|perl|php|(?:ba|z|da)?sh"
)
_MANAGERS = frozenset({"npm", "pnpm", "yarn", "bun"})
#: programs that run scripts of package.json, by names and patterns
_SEVERAL = frozenset({"npm-run-all", "npm-run-all2", "run-s", "run-p"})
#: program → the files that say what it does, the first of each row that there is
_FILES = {
    "just": ("justfile", "Justfile", ".justfile"),
    "task": ("Taskfile.yml", "Taskfile.yaml"),
    "tox": ("tox.ini", "pyproject.toml"),
    "nox": ("noxfile.py",),
    "rake": ("Rakefile",),
    "pre-commit": (".pre-commit-config.yaml",),
    "turbo": ("turbo.json",),
    "poe": ("pyproject.toml",),
    "invoke": ("tasks.py",),
}
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_RULE = re.compile(r"(?P<targets>[^\s#:=][^:=#]*?)\s*::?(?!=)(?P<needs>[^=;#]*)")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_SUBSHELL = re.compile(r"&&|\|\||[;|&\n]|\$\(|[()`]")
#: agents write tests; they are kept as they are where a tree is broken, and not pinned
_TEST = re.compile(r"(?:^|[/._-])(?:tests?|spec)(?:[/._-]|$).*\.(?:py|[cm]?[jt]sx?|rb|php)\Z")
_MOST = 200
_SHOWN = 300


@dataclass
class Definition:
    """What a command runs, as it is written in the workspace."""

    command: str
    #: (where, text) in the order in which it was met
    parts: list[tuple[str, str]] = field(default_factory=list)
    #: the files that hold it
    files: set[str] = field(default_factory=set)
    #: those that are part of it from beginning to end
    whole: set[str] = field(default_factory=set)

    @property
    def digest(self) -> str:
        told = json.dumps([self.command, self.parts], ensure_ascii=True)
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def shown(self) -> str:
        """One line of what it runs."""
        lines = (
            f"{where} ({hashlib.sha256(text.encode()).hexdigest()[:8]})"
            if where in self.whole
            else text
            for where, text in self.parts
        )
        told = " · ".join(" ".join(line.split()) for line in lines if line.strip())
        return told if len(told) <= _SHOWN else told[: _SHOWN - 1] + "…"


def simple_commands(command: str) -> list[list[str]]:
    """The words of the commands that `&&` joins. Raises ValueError for what needs a shell."""
    if any(not char.isprintable() for char in command):
        raise ValueError("it has a character that cannot be seen")
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|;<>&()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[list[str]] = [[]]
    for word in lexer:
        if word == "&&":
            found.append([])
        elif word and set(word) <= _OPERATORS:
            raise ValueError(f"`{word}` needs a shell: put it into a script or a target")
        else:
            found[-1].append(word)
    if not all(found):
        raise ValueError("there is nothing to run")
    return found


def plain_words(words: list[str]) -> list[str]:
    """The words of a command without variables and programs before the one that is meant."""
    while words and _ASSIGNED.match(words[0]):
        words = words[1:]
    for wrapper in _WRAPPERS:
        if tuple(words[: len(wrapper)]) == wrapper:
            words = [w for w in words[len(wrapper) :] if not _ASSIGNED.match(w)]
    return words


def reader(root: Path) -> Read:
    """Reads files of a workspace; nothing outside of it."""

    def read(path: str) -> bytes | None:
        place = (root / path).resolve()
        if not place.is_relative_to(root.resolve()) or not place.is_file():
            return None
        return place.read_bytes()

    return read


def define(command: str, read: Read) -> Definition:
    """What a command leads to, in the files that `read` finds."""
    found = Definition(command)
    _Follower(read, found).follow(command, "")
    return found


class _Follower:
    """Follows a command line into the files that say what it does."""

    def __init__(self, read: Read, found: Definition) -> None:
        self.read = read
        self.found = found
        self.seen: set[tuple[str, ...]] = set()

    def follow(self, line: str, folder: str) -> None:
        """Every simple command of a line, which may be of a shell."""
        for piece in _SUBSHELL.split(line):
            try:
                words = shlex.split(piece, comments=True)
            except ValueError:
                words = piece.split()
            words = plain_words(
                [word.strip("@-") if not at else word for at, word in enumerate(words)]
            )
            key = (folder, *words)
            if words and key not in self.seen and len(self.seen) < _MOST:
                self.seen.add(key)
                self._follow_words(words, folder)

    def _add(self, path: str, where: str, text: str) -> None:
        self.found.files.add(path)
        if (where, text) not in self.found.parts and not _TEST.search(path):
            self.found.parts.append((where, text))

    def _add_file(self, path: str, text: str) -> None:
        self.found.whole.add(path)
        self._add(path, path, text)

    def _text(self, path: str) -> str | None:
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "replace")

    def _follow_words(self, words: list[str], folder: str) -> None:
        program = words[0].rpartition("/")[2]
        if program in _MANAGERS:
            self._follow_script(words[1:], folder)
        elif program in _SEVERAL:
            scripts = self._scripts(f"{folder}package.json") or {}
            for each in words[1:]:
                for name in fnmatch.filter(scripts, each.replace(":**", ":*")):
                    self._follow_script([name], folder)
        elif program in ("make", "gmake", "$(MAKE)", "${MAKE}"):
            self._follow_make(words[1:], folder)
        elif program in _FILES:
            for name in _FILES[program]:
                if (text := self._text(folder + name)) is not None:
                    self._add_file(folder + name, text)
                    break
        named = words[:1] if not _INTERPRETERS.fullmatch(program) else words[1:]
        for word in named:
            if word.startswith("-"):
                if word in ("-m", "-c", "-e"):
                    break
                continue
            path = _inside(folder, word)
            if path and (text := self._text(path)) is not None:
                self._add_file(path, text)
                if path.endswith((".sh", ".bash")) or text.startswith("#!/bin/"):
                    for each in text.splitlines():
                        self.follow(each, folder)
            break

    def _follow_script(self, words: list[str], folder: str) -> None:
        """`npm [--prefix DIR] [run] NAME`, with what runs before and after it."""
        rest = list(words)
        while rest and rest[0].startswith("-"):
            flag = rest.pop(0)
            if flag in ("--prefix", "-C", "--dir", "--cwd") and rest:
                folder = _inside(folder, rest.pop(0) + "/.").removesuffix(".")
        if rest[:1] in (["run"], ["run-script"]):
            rest = rest[1:]
        name = next((word for word in rest if not word.startswith("-")), "")
        name = {"t": "test", "tst": "test"}.get(name, name)
        path = f"{folder}package.json"
        scripts = self._scripts(path)
        if scripts is None:
            return
        self.found.files.add(path)
        for each in (f"pre{name}", name, f"post{name}"):
            if each in scripts:
                self._add(path, f"{path} scripts.{each}", str(scripts[each]))
                self.follow(str(scripts[each]), folder)

    def _scripts(self, path: str) -> dict[str, object] | None:
        try:
            table = json.loads(self._text(path) or "")
        except ValueError:
            return None
        scripts = table.get("scripts") if isinstance(table, dict) else None
        return scripts if isinstance(scripts, dict) else {}

    def _follow_make(self, words: list[str], folder: str) -> None:
        goals, rest = [], iter(words)
        for word in rest:
            if word == "-C":
                folder = _inside(folder, next(rest, "") + "/.").removesuffix(".")
            elif word == "-f":
                next(rest, None)
            elif not word.startswith("-") and "=" not in word:
                goals.append(word)
        path = next((folder + n for n in MAKEFILES if self._text(folder + n) is not None), "")
        if path:
            for text in make_rules(self._text(path) or "", goals):
                self._add(path, path, text)
                if text.startswith("\t"):
                    self.follow(text, folder)


def make_rules(text: str, goals: Iterable[str] = ()) -> Iterator[str]:
    """The lines that bear on goals: their rules, those that they need, and what is in no rule."""
    rules: list[tuple[set[str], set[str], list[str]]] = []
    general: list[str] = []
    current: list[str] | None = None
    for line in re.sub(r"\\\n", " ", text).splitlines():
        rule = None if line.startswith(("\t", " ")) else _RULE.match(line)
        if rule and not line.startswith("."):
            current = [line]
            rules.append((set(rule["targets"].split()), set(rule["needs"].split()), current))
        elif line.startswith("\t") and current is not None:
            current.append(line)
        elif line.strip() and not line.startswith("#"):
            general.append(line)
            current = None if not line.startswith((" ", "\t")) else current
    wanted = set(goals) or (set(rules[0][0]) if rules else set())
    taken: list[list[str]] = []
    grown = True
    while grown:
        grown = False
        for targets, needs, lines in rules:
            fits = targets & wanted or any("%" in target for target in targets)
            if fits and lines not in taken:
                taken.append(lines)
                wanted |= needs
                grown = True
    yield from general
    for _, _, lines in rules:
        if lines in taken:
            yield from lines


def _inside(folder: str, word: str) -> str:
    """A path as seen from the workspace's top, "" if it leads out of it."""
    parts: list[str] = []
    for part in f"{folder}{word}".split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    slash = "/." if word.endswith("/.") and parts else ""
    return "" if word.startswith("/") else "/".join(parts) + slash

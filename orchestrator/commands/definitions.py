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
#: package managers → settings that say which shell and further files they start with
_MANAGED = {
    **dict.fromkeys(("npm", "npx"), (".npmrc",)),
    "pnpm": (".npmrc", ".pnpmfile.cjs", "pnpm-workspace.yaml"),
    "yarn": (".yarnrc", ".yarnrc.yml", ".npmrc"),
    **dict.fromkeys(("bun", "bunx"), ("bunfig.toml", ".npmrc")),
}
#: options whose value is a file, or a module, that says how a program works
_OPTIONS = re.compile(
    r"(?P<name>--(?:makefile|file|justfile|taskfile|noxfile|rakefile|config(?:-?file)?|rcfile|require|"
    r"import|loader|experimental-loader|preload|env-file|rootdir|confcutdir|setup-?files?)|-[fcrp])"
    r"(?:=(?P<value>.+))?"
)
#: where pytest is told what to add to its command, and in which part
_PYTEST = {
    "pytest.ini": "pytest", ".pytest.ini": "pytest", "pyproject.toml": "tool.pytest.ini_options",
    "tox.ini": "pytest", "setup.cfg": "tool:pytest",
}  # fmt: skip
_PLUGIN = re.compile(r"(?:^|\s)-p[\s=]*([\w.]+)|\bpytest_plugins\b[^\n]*?=\s*([^#]*?)(?=\n\w|\Z)")
_INCLUDE = re.compile(r"(?m)^\s*(?:-|s)?include\s+(.+)$")
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
        identity = json.dumps([self.command, self.parts], ensure_ascii=True)
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def shown(self) -> str:
        """One line of what it runs."""
        lines = (
            f"{where} ({hashlib.sha256(text.encode()).hexdigest()[:8]})"
            if where in self.whole
            else text
            for where, text in self.parts
        )
        shown = " · ".join(" ".join(line.split()) for line in lines if line.strip())
        return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


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
            words = [word.strip("@-") if not at else word for at, word in enumerate(words)]
            if words and (managed := _MANAGED.get(words[0])):
                self._add_settings(managed, folder)
            words = plain_words(words)
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

    def _add_settings(self, names: Iterable[str], folder: str) -> None:
        """Settings, with the files of the workspace that they name."""
        for place in dict.fromkeys(("", folder)):
            for name in names:
                if (text := self._text(place + name)) is None:
                    continue
                self._add_file(place + name, text)
                for word in re.split(r"[\s=:,;\"'\[\]]+", text):
                    self._add_named(word, place)

    def _add_named(self, word: str, folder: str) -> bool:
        """A file of the workspace, if a word names one."""
        path = _inside(folder, word.strip("\"'")) if word.strip("./") else ""
        text = self._text(path) if path else None
        if text is not None:
            self._add_file(path, text)
        return text is not None

    def _follow_words(self, words: list[str], folder: str) -> None:
        program = words[0].rpartition("/")[2]
        managed = _MANAGED.get(program, ())
        self._add_settings(managed, folder)
        if program in _MANAGERS:
            self._follow_script(words[1:], folder, managed)
        elif program in _SEVERAL:
            scripts = self._scripts(f"{folder}package.json") or {}
            for each in words[1:]:
                for name in fnmatch.filter(scripts, each.replace(":**", ":*")):
                    self._follow_script([name], folder)
        elif program in ("make", "gmake", "$(MAKE)", "${MAKE}"):
            self._follow_make(words[1:], folder)
            return
        elif program in _FILES:
            for name in _FILES[program]:
                if (text := self._text(folder + name)) is not None:
                    self._add_file(folder + name, text)
                    break
        modules = {word.rpartition("/")[2] for word in words}
        if modules & {"pytest", "py.test"}:
            self._add_pytest(words, folder)
        rest = self._without_options(words[1:], folder)
        is_interpreter = _INTERPRETERS.fullmatch(program)
        if is_interpreter and program.endswith("sh") and "-c" in words[:-1]:
            self.follow(words[words.index("-c") + 1], folder)
        for word in rest if is_interpreter else words[:1]:
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

    def _without_options(self, words: list[str], folder: str) -> list[str]:
        """The words without options that name a file, which is added."""
        left, at = [], 0
        while at < len(words):
            word, after = words[at], words[at + 1] if at + 1 < len(words) else ""
            at += 1
            short = re.fullmatch(r"-[fcrp][^=\s].*", word)
            if short and self._add_named(word[2:], folder):
                continue
            found = _OPTIONS.fullmatch(word)
            if found is None:
                left.append(word)
            elif found["value"]:
                self._add_named(found["value"], folder)
            elif self._add_named(after, folder):
                at += 1
            else:
                left.append(word)
        return left

    def _add_module(self, name: str, folder: str) -> None:
        """A module of the workspace by its dotted name."""
        inner = name.replace(".", "/")
        for path in (f"{inner}.py", f"{inner}/__init__.py"):
            for top in ("", "src/"):
                self._add_named(top + path, folder)

    def _add_pytest(self, words: list[str], folder: str) -> None:
        """What pytest is told to add to its command, and the plugins of the workspace."""
        texts = [" ".join(words)]
        for name, part in _PYTEST.items():
            text = self._text(folder + name)
            if text is not None and (section := _section(text, part)):
                self._add(folder + name, f"{folder}{name} [{part}]", section)
                texts.append(section.replace('"', " ").replace("'", " "))
        # a conftest itself is a part of the tests; what it loads is not
        texts.append(self._text(f"{folder}conftest.py") or "")
        for text in texts:
            for one, several in _PLUGIN.findall(text):
                for module in re.findall(r"[\w.]+", one or several):
                    self._add_module(module, folder)

    def _follow_script(self, words: list[str], folder: str, settings: Iterable[str] = ()) -> None:
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
        self._add_settings(settings, folder)
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
        goals, files, rest = [], [], iter(words)
        for word in rest:
            name, _, value = word.partition("=")
            if name in ("-C", "--directory"):
                folder = _inside(folder, (value or next(rest, "")) + "/.").removesuffix(".")
            elif name in ("-f", "--file", "--makefile"):
                files.append(value or next(rest, ""))
            elif word.startswith("-f"):
                files.append(word[2:])
            elif not word.startswith("-") and "=" not in word:
                goals.append(word)
        there = (n for n in MAKEFILES if self._text(folder + n) is not None)
        named = [_inside(folder, name) for name in files or [next(there, "")] if name]
        texts: dict[str, str] = {}
        while path := next((p for p in named if p and p not in texts), ""):
            texts[path] = self._text(path) or ""
            for names in _INCLUDE.findall(texts[path]):
                named += [_inside(folder, name) for name in names.split()]
        for line in make_rules("\n".join(texts.values()), goals):
            for path in texts:
                self._add(path, next(iter(texts)), line)
            if line.startswith("\t"):
                self.follow(line, folder)


def _section(text: str, part: str) -> str:
    """The lines of one part of an INI or TOML file."""
    found = re.search(
        rf"(?ms)^\s*\[{re.escape(part)}\][^\n]*\n(.*?)(?=^\s*\[[^\n]*\]\s*$|\Z)", text
    )
    return found[1].strip() if found else ""


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

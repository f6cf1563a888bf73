"""What a TypeScript module exports, followed through the modules that it exports on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import Path

from orchestrate_agents.checks.typescript.toolchain import SUFFIXES, source_text
from orchestrate_agents.specification.typescript import (
    Signature,
    blank_comments,
    exported,
    signatures,
)

#: every module that another one names: imported, exported on, loaded while it runs
_FROM = re.compile(r"(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['\"])([^'\"\n]+)\1")
_LIST = re.compile(
    r"^[ \t]*(?P<word>import|export)\s+(?:type\s+)?(?P<default>[A-Za-z_$][\w$]*\s*,?\s*)?"
    r"(?:\{(?P<names>[^}]*)\}\s*)?(?:from\s*(['\"])(?P<module>[^'\"\n]+)\4)?",
    re.MULTILINE,
)
_STAR = re.compile(r"^[ \t]*export\s*\*\s*from\s*(['\"])([^'\"\n]+)\1", re.MULTILINE)
_DEFAULT = re.compile(
    r"^[ \t]*export\s+default\s+(?:async\s+)?(?:function\s*)?([A-Za-z_$][\w$]*)", re.MULTILINE
)
_STRING = re.compile(r"'([^'\\\n]{1,40})'|\"([^\"\\\n]{1,40})\"|`([^`\\$\n]{1,40})`")
_NUMBER = re.compile(r"(?<![\w.$])\d{1,6}(?:\.\d+)?(?![\w.])")
#: more of them would take long to try
_MOST_LITERALS = 16


def resolved(root: Path, file: Path, module: str) -> Path | None:
    """The file of the workspace that a relative module name means, or None."""
    if not module.startswith("."):
        return None
    base = file.parent / re.sub(r"\.[mc]?js$", "", module)
    places = [
        base,
        *(Path(f"{base}{s}") for s in SUFFIXES),
        *(base / f"index{s}" for s in SUFFIXES),
    ]
    for place in places:
        if place.is_file() and place.resolve().is_relative_to(root.resolve()):
            return place.resolve()
    return None


def closure(root: Path, file: Path) -> tuple[Path, ...]:
    """A module and the modules of the workspace that it names, directly or through others."""
    found: dict[Path, None] = {}
    waiting = [file.resolve()]
    while waiting:
        here = waiting.pop()
        if here in found or not here.is_file():
            continue
        found[here] = None
        named = (module for _, module in _FROM.findall(source_text(here)))
        waiting += [p for module in named if (p := resolved(root, here, module))]
    return tuple(found)


def exported_functions(
    root: Path, file: Path, passed: frozenset[Path] = frozenset()
) -> dict[str, Signature]:
    """The functions with declared types that a module exports, also those of other modules.

    A function that is exported under another name has that name; the default one is `default`.
    """
    if file in passed or not file.is_file():
        return {}
    text, passed = _uncommented(source_text(file)), passed | {file}
    own = {signature.name: signature for signature in signatures(text)}
    found = {name: own[name] for name in exported(text) if name in own}

    def functions(module: str) -> dict[str, Signature]:
        target = resolved(root, file, module)
        return exported_functions(root, target, passed) if target else {}

    for word, module, inner, outer in _listed(text):
        there = functions(module) if module else own
        if inner in there:
            known = found if word == "export" else own
            known.setdefault(outer, replace(there[inner], name=outer))
    for name in _DEFAULT.findall(text):
        if name in own:
            found["default"] = replace(own[name], name="default")
    for _, module in _STAR.findall(text):
        for name, signature in functions(module).items():
            if name != "default":
                found.setdefault(name, signature)
    return found


def _listed(text: str) -> Iterator[tuple[str, str, str, str]]:
    """(import or export, module or "", inner name, outer name), imports first."""
    found = [m for m in _LIST.finditer(text) if m["names"] is not None or m["module"]]
    for match in sorted(found, key=lambda m: m["word"] != "import"):
        for part in filter(None, (p.split() for p in (match["names"] or "").split(","))):
            words = [word for word in part if word not in ("type", "as")]
            if words:
                yield match["word"], match["module"] or "", words[0], words[-1]
        if match["word"] == "import" and match["default"]:
            yield "import", match["module"] or "", "default", match["default"].strip(" ,\n")


def _uncommented(text: str) -> str:
    """The text without what comments say; strings stay."""
    return re.sub(r"/\*.*?\*/|(?<![:'\"`\w])//[^\n]*", "", text, flags=re.DOTALL)


def sources(root: Path, file: Path) -> str:
    """The text of a module and of those that it leads to, one after the other."""
    return "\n".join(source_text(place) for place in closure(root, file))


def literals(root: Path, file: Path, known: Set[str]) -> tuple[str, ...]:
    """Words and numbers that stand in the module's code, and none of the known ones: what it may
    treat unlike others. Those of the client's module are left out."""
    places = [p for p in closure(root, file) if not re.search("client", p.stem, re.IGNORECASE)]
    texts = [_uncommented(source_text(place)) for place in places]
    words = [next(filter(None, groups)) for text in texts for groups in _STRING.findall(text)]
    kept = [w for w in words if not w.startswith((".", "@")) and w not in known]
    numbers = [n for text in texts for n in _NUMBER.findall(blank_comments(text))]
    near = [str(int(n) + step) for n in numbers if n.isdigit() for step in (-1, 0, 1)]
    found = (dict.fromkeys(some) for some in (kept, near))
    return tuple(word for some in found for word in [*some][:_MOST_LITERALS])

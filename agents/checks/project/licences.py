"""Checks of the licences of what a repository depends on, as the installed packages give them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.packages import (
    MANIFEST,
    NODE_LISTS,
    UnreadableError,
    read_manifest,
)
from orchestrate_agents.checks.project.start import text_now
from orchestrate_agents.tools.python import Python, normalized, python_of
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

#: family → how licences of it are called in statements and packages
_FAMILIES = {
    "AGPL": r"(?:GNU )?(?:AGPL|Affero General Public)",
    "LGPL": r"(?:GNU )?(?:LGPL|(?:Library|Lesser)(?: or Lesser)? General Public)",
    "GPL": r"(?:GNU )?(?:GPL|General Public)",
    "MIT": r"(?:MIT(?:-0)?|Expat)\b",
    "Apache": r"Apache",
    "BSD": r"(?:(?:New|Modified|Simplified|[0-4][- ]?Clause) )?0?BSD",
    "ISC": r"ISC[L]?\b",
    "MPL": r"(?:MPL|Mozilla Public)",
    "PSF": r"(?:PSF|Python Software Foundation)",
    "Unlicense": r"Unlicense\b",
    "CC0": r"CC0",
    "Zlib": r"zlib\b",
    "EPL": r"(?:EPL|Eclipse Public)",
    "BlueOak": r"Blue ?Oak",
}
_FAMILY = re.compile(
    "|".join(rf"(?P<{name}>\b{words})" for name, words in _FAMILIES.items()), re.IGNORECASE
)
_OTHER = "?"
#: what a statement forbids → what fails it, and what leaves it open, where there is no other choice
_FORBIDDEN = {
    "GPL": ({"GPL", "AGPL"}, {"LGPL", _OTHER}),
    "AGPL": ({"AGPL"}, {_OTHER}),
    "LGPL": ({"LGPL"}, {"GPL", "AGPL", _OTHER}),
    "COPYLEFT": ({"GPL", "AGPL", "LGPL"}, {"MPL", "EPL", _OTHER}),
}
_NAMES = (
    r"(?:MIT|Apache(?:[- ]2(?:\.0)?)?|BSD(?:-[23]-Clause)?|ISC|MPL(?:-2\.0)?|PSF|LGPL|AGPL|"
    r"GPL(?:v?[23])?|Unlicense|CC0|EPL)"
)
_LIST = rf"{_NAMES}(?:(?:\s*,\s*(?:or\s+|and\s+)?|\s*/\s*|\s+or\s+|\s+and\s+){_NAMES})*"


def family_of(text: str) -> str:
    """The family of one licence's name, "?" for others."""
    plain = re.sub(r"(?i)^(?:OSI Approved|The)\b\W*", "", text.strip(" ()\"'"))
    found = list(_FAMILY.finditer(plain))
    named = {match.lastgroup for match in found}
    known = found and found[0].start() == 0 and len(named) == 1 and len(plain) <= 120
    return found[0].lastgroup or _OTHER if known else _OTHER


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(family_of(name) for name in re.findall(_NAMES, text, re.IGNORECASE))


parameter_type("licences", _LIST, _read_list)


def choices(expression: str) -> list[frozenset[str]]:
    """What a licence expression lets one choose between: the families that each choice binds to.

    `(MIT OR Apache-2.0) AND BSD` gives {MIT, BSD} and {Apache, BSD}.
    """
    atoms = re.split(r"(?i)\s+(?:and|or|with)\s+|/", expression.strip())
    if any(" " in atom.strip(" ()") for atom in atoms):
        # a name in words: "GNU General Public License v3 or later"
        return [frozenset({family_of(expression)})]
    words = re.findall(r"\(|\)|[^()]+", expression.replace("/", " OR "))
    tokens = [t for w in words for t in re.split(r"\s+(?i:(or|and))\s+|\s+(?i:with)\s+\S+", w)]
    tokens = [t.strip() for t in tokens if t and t.strip()]
    tokens = [u for t in tokens for u in _operators(t)]

    def alternatives(at: int) -> tuple[list[frozenset[str]], int]:
        found, at = together(at)
        while at < len(tokens) and tokens[at].lower() == "or":
            more, at = together(at + 1)
            found = [*found, *more]
        return found, at

    def together(at: int) -> tuple[list[frozenset[str]], int]:
        found, at = one(at)
        while at < len(tokens) and tokens[at].lower() == "and":
            more, at = one(at + 1)
            found = [a | b for a in found for b in more]
        return found, at

    def one(at: int) -> tuple[list[frozenset[str]], int]:
        if at < len(tokens) and tokens[at] == "(":
            found, at = alternatives(at + 1)
            return found, at + 1
        return [frozenset({family_of(tokens[at]) if at < len(tokens) else _OTHER})], at + 1

    found, end = alternatives(0)
    return found if end >= len(tokens) else [frozenset({_OTHER})]


def _operators(token: str) -> Iterator[str]:
    """`or MIT` as its two words: next to a bracket the operator has no name before it."""
    found = re.fullmatch(r"(?i:(and|or)\b)?\s*(.*?)\s*(?i:\b(and|or))?", token, re.DOTALL)
    assert found is not None
    yield from (part for part in found.groups() if part)


@dataclass(frozen=True)
class Licensed:
    """An installed package; what each source of its metadata says, all of which has to fit."""

    name: str
    said: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({' · '.join(self.said)[:80] or 'no licence is given'})"

    def fits(self, allowed: frozenset[str], forbidden: str) -> bool | None:
        """Whether it can be used under these families, or without one that is forbidden."""
        results = {_fits(choices(text), allowed, forbidden) for text in self.said}
        # sources that contradict each other, or say nothing, settle nothing
        return results.pop() if len(results) == 1 else None


def _fits(offered: list[frozenset[str]], allowed: frozenset[str], forbidden: str) -> bool | None:
    """None where it is not known."""
    if not forbidden:
        # a name that nobody here knows is at any rate none of those that the statement names
        return any(option <= allowed for option in offered)
    sure, unsure = _FORBIDDEN[forbidden]
    if any(not option & (sure | unsure) for option in offered):
        return True
    return False if all(option & sure for option in offered) else None


# -- what is installed -----------------------------------------------------------------------------


class LacksError(Exception):
    """A dependency of which nothing is known here."""


def _of_node(ctx: Context, manifest: str, runtime: bool) -> Iterator[Licensed]:
    folder = Path(manifest).parent
    table = json.loads(text_now(ctx.root, manifest) or "{}")
    try:
        lock = json.loads(text_now(ctx.root, str(folder / "package-lock.json")) or "{}")
    except ValueError:
        lock = {}
    packages: dict[str, Any] = lock.get("packages") or {}
    parts = [p for p in NODE_LISTS if not runtime or p != "devDependencies"]
    asked = [(n, part == "optionalDependencies") for part in parts for n in table.get(part) or {}]
    queue = [("", name, optional) for name, optional in asked]
    seen: set[str] = set()
    while queue:
        above, name, optional = queue.pop()
        place, about = _find_node(ctx.root / folder, packages, above, name)
        if about is None:
            if optional:
                continue
            raise LacksError(f"{name} is not installed, and no lock file gives its licence")
        if place in seen:
            continue
        seen.add(place)
        yield Licensed(name, tuple(filter(None, [_node_licence(about)])))
        wanted = about.get("dependencies") or {}
        maybe = {**(about.get("optionalDependencies") or {}), **_optional_peers(about)}
        queue += [(place, n, n in maybe) for n in {**wanted, **maybe}]
        peers = about.get("peerDependencies") or {}
        queue += [(place, n, True) for n in peers if n not in maybe]


def _optional_peers(about: dict[str, Any]) -> dict[str, Any]:
    meta = about.get("peerDependenciesMeta") or {}
    return {n: v for n, v in meta.items() if isinstance(v, dict) and v.get("optional")}


def _find_node(
    root: Path, packages: dict[str, Any], above: str, name: str
) -> tuple[str, dict[str, Any] | None]:
    """As Node looks a package up: beside the one that asks, then further up."""
    levels = [above]
    while levels[-1]:
        levels.append(levels[-1].rpartition("node_modules/")[0].rstrip("/"))
    for level in levels:
        place = f"{level}/node_modules/{name}".lstrip("/")
        file = root / place / "package.json"
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8-sig"))
            return place, found if isinstance(found, dict) else {}
        if "license" in packages.get(place, {}):
            return place, packages[place]
    return "", None


def _node_licence(about: dict[str, Any]) -> str:
    said = about.get("license") or about.get("licenses") or ""
    several = said if isinstance(said, list) else [said]
    names = [s.get("type", "") if isinstance(s, dict) else str(s) for s in several]
    return " OR ".join(filter(None, names))


def _of_python(python: Python, wanted: list[str], skip: str) -> Iterator[Licensed]:
    installed: dict[str, list[Path]] = {}
    for pattern in ("lib/python*", "lib64/python*"):
        for info in python.prefix.glob(f"{pattern}/site-packages/*.*-info"):
            name = normalized(info.name.rpartition(".")[0].partition("-")[0])
            installed.setdefault(name, []).append(info)
    queue = [(name, False) for name in wanted]
    seen: set[str] = {skip}
    while queue:
        name, optional = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        files = [f for i in installed.get(name, ()) for f in (i / "METADATA", i / "PKG-INFO")]
        file = next((f for f in files if f.is_file()), None)
        if file is None:
            if optional:
                continue
            raise LacksError(f"{name} is not installed for {python.label}")
        about = HeaderParser().parsestr(file.read_text(encoding="utf-8", errors="replace"))
        yield Licensed(name, tuple(_python_licences(about.items())))
        for line in about.get_all("Requires-Dist") or ():
            needed = re.match(r"[A-Za-z0-9][\w.-]*", line.strip())
            # what a marker rules out here is not installed, and what it lets in is
            if needed:
                queue.append((normalized(needed[0]), ";" in line))


def _python_licences(headers: list[tuple[str, str]]) -> Iterator[str]:
    """What the metadata says: an expression alone, else classifiers and a short text."""
    found = {"expression": "", "text": "", "classes": []}
    classes = []
    for key, value in headers:
        match key.lower():
            case "license-expression":
                found["expression"] = value.strip()
            case "license" if value.strip().upper() not in ("", "UNKNOWN"):
                found["text"] = value.strip()
            case "classifier" if value.startswith("License ::"):
                classes.append(value.rpartition("::")[2].strip())
    classes = [c for c in classes if c not in ("OSI Approved", "License")]
    if found["expression"]:
        yield str(found["expression"])
        return
    yield from classes
    text = str(found["text"])
    short = len(text.splitlines()) == 1 and len(text) <= 120
    if text and (short or not classes):
        yield text.splitlines()[0].strip()[:120]


# -- claims ----------------------------------------------------------------------------------------

_KIND = "[{kind:deptype}]"
_HELD = (
    "(are|is) [all] [licensed] [under] [(a|an|the)] {licences:licences} "
    "[(licensed|license|licence)]"
)


@check(
    f"(all|every|each) [of] [(the|our|its)] {_KIND} (dependencies|dependency|packages) {_HELD}",
    f"(all|every|each) {_KIND} (dependencies|dependency) (have|has|use|uses|carry) "
    "[(a|an|the)] {licences:licences} (license|licence|licenses|licences)",
    f"only {{licences:licences}} [licensed] {_KIND} dependencies [are used]",
    name="packages.licences",
    examples=(
        "All dependencies are MIT or Apache licensed",
        "Every runtime dependency has an MIT, BSD or Apache license",
    ),
)
def have_licences(ctx: Context, licences: tuple[str, ...], kind: str = "") -> Result:
    """Each package that is asked for, and each that those need: its own metadata gives one."""
    return _judge(ctx, frozenset(licences), "", kind)


@check(
    f"[there (are|is)] no [new] {{strict:strict}} {_KIND} (dependencies|dependency|packages) "
    "[(are used|is used|exist|are present)]",
    f"no {_KIND} (dependency|dependencies) (is|are|has|have|uses|use) [licensed] [under] "
    "[(a|an|the)] {strict:strict} [(licensed|license|licence|licenses)]",
    f"no {_KIND} (dependency|dependencies) with [(a|an)] {{strict:strict}} "
    "(license|licence|licenses)",
    f"none of [(the|our)] {_KIND} dependencies (is|are) {{strict:strict}} [licensed]",
    name="packages.not-copyleft",
    examples=("No GPL dependency", "No runtime dependency is GPL-licensed"),
)
def not_copyleft(ctx: Context, strict: str, kind: str = "") -> Result:
    """None can be used under such a licence only; what gives no licence leaves it unproven."""
    return _judge(ctx, frozenset(), strict, kind)


parameter_type(
    "strict",
    r"(?:[AL]?GPL|copyleft)(?:[- ]licensed)?",
    lambda text: re.split(r"[- ]", text.upper())[0],
)


def _judge(ctx: Context, allowed: frozenset[str], forbidden: str, kind: str) -> Result:
    manifests = [p for p in source_files(ctx) if MANIFEST.search(p)]
    node = [p for p in manifests if p.endswith("package.json")]
    other = [p for p in manifests if p not in node]
    if kind in ("npm", "node"):
        other = []
    elif kind in ("python", "pip"):
        node = []
    elif kind in ("dev", "development", "external", "third-party", "third party"):
        return unproven(f"which dependencies are {kind} cannot be determined")
    if strange := [p for p in other if Path(p).name in ("Cargo.toml", "go.mod")]:
        return unproven(f"{strange[0]}: licences of its packages are not looked up here")
    if not node and not other:
        return unproven("no manifest (package.json, pyproject.toml, …) says what is asked for")
    try:
        found = list(_installed(ctx, node, other, kind in ("runtime", "production")))
    except (LacksError, UnreadableError, MissingToolError, ValueError, OSError) as exc:
        return unproven(str(exc), *node, *other)
    bad = [p for p in found if p.fits(allowed, forbidden) is False]
    unsure = [p for p in found if p.fits(allowed, forbidden) is None]
    if bad:
        return failed(f"{_few(bad)}", *node, *other)
    if unsure:
        return unproven(f"not sure about {_few(unsure)}", *node, *other)
    if not found:
        return unproven(f"{', '.join([*node, *other])}: no package is asked for")
    return proven(f"{len(found)} packages as they are installed here", *node, *other)


def _few(found: list[Licensed]) -> str:
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    return ", ".join(map(str, sorted(found, key=str)[:6])) + more


def _installed(
    ctx: Context, node: list[str], other: list[str], runtime: bool
) -> Iterator[Licensed]:
    for manifest in node:
        yield from _of_node(ctx, manifest, runtime)
    asked = [d for p in other for d in read_manifest(p, text_now(ctx.root, p))]
    wanted = [d.plain for d in asked if not runtime or not d.dev]
    if wanted:
        own = re.search(r'(?m)^name\s*=\s*"([^"]+)"', text_now(ctx.root, "pyproject.toml") or "")
        yield from _of_python(python_of(ctx), wanted, normalized(own[1]) if own else "")

"""Checks of a page as Chromium shows it: axe's accessibility rules, and pictures of it.

Driver, axe-core and Chromium are the workspace's or the system's own; nothing is fetched. A page is
looked at once, as it is loaded: no state behind a click, no frame, no other width.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.live_http import Call, ask_server, delivered_files
from orchestrate_agents.sandbox.proof_tree import workspace_copy, workspace_digest
from orchestrate_agents.sandbox.runs import RunError, run
from orchestrate_agents.tools.node import NodePackages
from orchestrate_agents.tools.programs import resolve_command
from orchestrate_agents.tools.unchanged import require_unchanged
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
from orchestrator.gates.proof_cache import user_cache
from orchestrator.gates.trust import is_trusted

_LOOK = Path(__file__).parents[1] / "templates" / "checks" / "look.mjs"
#: packages that drive a Chromium → the command that installs one for them
_DRIVERS = {
    "playwright": "npx playwright install chromium",
    "playwright-core": "npx playwright-core install chromium",
    "puppeteer": "npx puppeteer browsers install chrome",
    "puppeteer-core": "",
}
_BUNDLED = "@sparticuz/chromium"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: where drivers keep what they installed, below the home of who runs this
_KEPT = {
    "PLAYWRIGHT_BROWSERS_PATH": (".cache/ms-playwright", "Library/Caches/ms-playwright"),
    "PUPPETEER_CACHE_DIR": (".cache/puppeteer",),
}
_LIMIT, _WIDTH = 30, 1280
#: how far a channel of a pixel that looks the same may be off, of 255: what smooths edges
_SMOOTHING = 16
#: in axe's order; a lesser one includes those after it
_IMPACTS = ("minor", "moderate", "serious", "critical")


@dataclass(frozen=True)
class Page:
    """A file, or a path on the server that `[checks] serve` starts."""

    shown: str
    served: bool

    @property
    def path(self) -> str:
        return self.shown.split()[-1]


def _read_page(text: str) -> Page:
    words = re.sub(r"(?i)^(?:the\s+)?(?:(?:page|route)\s+)?", "", text.strip()).strip("` ")
    return Page(words, words.upper().startswith("GET ") or words.startswith("/"))


parameter_type(
    "webpage",
    r"(?:(?:the\s+)?(?:page|route)\s+)?"
    r"(?:`(?:GET\s+)?/[^\s`]*`|(?-i:GET)\s+/[^\s`]*|`?(?!/)[\w.@+-]*(?:/[\w.@+-]+)*\.html?`?)",
    _read_page,
)
parameter_type(
    "picture",
    r"`?[\w@+-][\w.@+-]*(?:/[\w.@+-]+)*\.(?:png|jpe?g|webp)`?",
    lambda text: text.strip("` "),
)
_PIXELS = r"[1-9]\d{2,3}\s?px(?:\s+(?:width|wide|viewport))?"
parameter_type(
    "viewport",
    rf"(?:(?:at|with)\s+(?:an?\s+)?(?:viewport\s+)?(?:width\s+of\s+)?{_PIXELS}|\({_PIXELS}\))",
    lambda text: int(re.sub(r"\D", "", text)),
)
parameter_type(
    "impact",
    r"minor|moderate|serious or critical|critical or serious|serious|critical",
    lambda text: min(re.findall("|".join(_IMPACTS), text.lower()), key=_IMPACTS.index),
)
parameter_type(
    "axerule",
    r"colou?r[ -]contrast|`[a-z]+(?:-[a-z0-9]+)*`",
    lambda text: re.sub(r"(?i)colou?r[ -]contrast", "color-contrast", text.strip("`")),
)
#: True where axe is named: then its verdict is what is claimed, and nothing beyond it
parameter_type(
    "axed",
    r"axe(?:-core)?(?: (?:accessibility|a11y))?|accessibility|a11y",
    lambda text: text.lower().startswith("axe"),
)
parameter_type("axe", r"axe(?:-core)?", lambda _text: True)
#: True where every pixel has to be the same
parameter_type(
    "likeness",
    r"equals|is equal to|is identical to|is the same as|matches|looks like|looks the same as",
    lambda text: "equal" in text.lower() or "identical" in text.lower(),
)

_NO = "(no|zero|0)"
_FAULTS = "(violation|violations|issues|errors|problems)"
_ON = "(on|in|for|at) {page:webpage} [{width:viewport}]"
_SHOT = "[(a|the)] screenshot of {page:webpage}"
_PICTURE = "[the] [(reference|baseline)] [(screenshot|picture|image)] {picture:picture}"
_AXE_WORDINGS = (
    f"{{page:webpage}} has {_NO} [{{impact:impact}}] {{axe:axed}} {_FAULTS} [{{width:viewport}}]",
    f"[there are] {_NO} [{{impact:impact}}] {{axe:axed}} {_FAULTS} {_ON}",
    "{page:webpage} passes [(the|an)] {axe:axe} [(check|checks|audit|scan|tests|rules)] "
    "[{width:viewport}]",
    f"{{axe:axe}} (finds|reports|shows|raises|returns) {_NO} [{{impact:impact}}] "
    f"[(accessibility|a11y)] {_FAULTS} {_ON}",
    "{page:webpage} passes [the] {axe:axe} rule {rule:axerule} [{width:viewport}]",
    "{page:webpage} passes [the] {axe:axe} {rule:axerule} (rule|check) [{width:viewport}]",
    "{page:webpage} passes axe's {rule:axerule} rule [{width:viewport}]",
    f"{{axe:axe}} (finds|reports) {_NO} {{rule:axerule}} {_FAULTS} {_ON}",
    f"{_NO} {{axe:axe}} {{rule:axerule}} {_FAULTS} {_ON}",
)
_PICTURE_WORDINGS = (
    f"{{page:webpage}} {{exact:likeness}} {_PICTURE} [{{width:viewport}}]",
    f"{_SHOT} {{exact:likeness}} {_PICTURE} [{{width:viewport}}]",
    f"{_SHOT} {{width:viewport}} {{exact:likeness}} {_PICTURE}",
)


@check(
    *_AXE_WORDINGS,
    name="pages.accessible",
    slow=True,
    examples=(
        "`web/index.html` has no accessibility violations",
        "The page `web/index.html` passes axe",
        "No serious axe violations on `GET /`",
        "`web/index.html` passes axe's color-contrast rule",
    ),
)
def passes_axe(
    ctx: Context,
    page: Page,
    axe: bool = True,
    impact: str = "",
    rule: str = "",
    width: int = 0,
) -> Result:
    """axe-core finds nothing (so grave) on the page as Chromium loads it, at one width."""
    seen = _look(ctx, page, {"width": width or _WIDTH, "rule": rule})
    if isinstance(seen, Result):
        return seen
    where = f"`{page.shown}` as loaded, {width or _WIDTH} px wide"
    subjects = _subjects(ctx, page)
    reached = _IMPACTS.index(impact) if impact else 0

    def grave(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [f for f in found if not f["impact"] or _IMPACTS.index(f["impact"]) >= reached]

    violations, undecided = grave(seen["violations"]), grave(seen["incomplete"])
    summary = f"axe {seen['version']}, {where}: "
    if violations:
        listed = "; ".join(_fault(found) for found in violations[:4])
        more = f"; and {len(violations) - 4} more rules" if len(violations) > 4 else ""
        return failed(f"{summary}{listed}{more}", *subjects, **seen)
    if seen["frames"]:
        return unproven(f"{summary}frames are not looked into, and it has {seen['frames']}", **seen)
    listed = "; ".join(_fault(found) for found in undecided[:4])
    if undecided and (rule or not axe):
        return unproven(f"{summary}a person has to decide {listed}", **seen)
    if not seen["passes"] and not undecided:
        return unproven(f"{summary}nothing there that {rule or 'its rules'} would judge", **seen)
    lesser = f" ({len(seen['violations'])} lesser)" if seen["violations"] else ""
    said = f"{summary}no {impact} violation{lesser}".replace("  ", " ")
    said += f", rules that pass: {seen['passes']}"
    said += f"; axe leaves to a person {listed}" if undecided else ""
    return proven(f"{said}; nothing behind a click was looked at", *subjects, **seen)


@check(
    *_PICTURE_WORDINGS,
    name="pages.picture",
    slow=True,
    examples=(
        "`web/index.html` looks like `shots/index.png`",
        "Screenshot of `web/index.html` equals `shots/index.png`",
        "`web/index.html` looks like `shots/phone.png` at 390 px width",
    ),
)
def looks_like(
    ctx: Context, page: Page, picture: str, exact: bool = False, width: int = 0
) -> Result:
    """Chromium's picture of the whole page, as wide as the kept one, has the same pixels."""
    kept = ctx.path(picture)
    if not kept.is_file():
        return failed(f"`{picture}` does not exist")
    if not is_trusted(ctx, picture):
        return unproven(f"`{picture}` was made or changed by the work that it is to judge", picture)
    digest = hashlib.sha256(kept.read_bytes()).hexdigest()
    place = _pictures()
    # the digest is part of what is asked
    asked = {"width": width, "picture": str(kept), "sha256": digest, "folder": str(place)}
    seen = _look(ctx, page, asked)
    if isinstance(seen, Result):
        return seen
    wanted, subjects = seen["wanted"], [*_subjects(ctx, page), picture]
    size = f"{wanted['width']} × {wanted['height']} px"
    if seen.get("narrow"):
        return failed(f"`{picture}` is {size}, not {width} px wide", *subjects)
    found = seen["found"]
    at = f"`{page.shown}` as loaded is {found['width']} × {found['height']} px, `{picture}` {size}"
    if found["differing"] < 0 or found["height"] < wanted["height"]:
        return failed(at, *subjects, **seen)
    share = found["differing"] / (wanted["width"] * wanted["height"])
    off = f"{found['differing']} pixels ({share:.2%}) differ, by up to {found['most']} of 255"
    off = off if found["differing"] else "no pixel differs"
    if found["most"] > (0 if exact else _SMOOTHING):
        return failed(f"{at}: {off}", *subjects, **seen)
    if found["height"] > wanted["height"]:
        return unproven(f"{at}, which shows only the page's upper part: {off}", *subjects, **seen)
    return proven(f"{at}: {off}; nothing behind a click was looked at", *subjects, **seen)


def _fault(found: Mapping[str, Any]) -> str:
    selectors = ", ".join(found["at"])
    return f"{found['id']} ({found['impact']}) {found['count']} × at {selectors}"


def _subjects(ctx: Context, page: Page) -> list[str]:
    own = [] if page.served else [page.path]
    return sorted({*delivered_files(ctx), *own})


def _look(ctx: Context, page: Page, asked: Mapping[str, Any]) -> dict[str, Any] | Result:
    """What the program in Chromium says of a page, or why it says nothing."""
    if not page.served and not ctx.path(page.path).is_file():
        return failed(f"`{page.path}` does not exist")
    try:
        command, variables, install = _visitor(ctx, page, asked)
    except MissingToolError as exc:
        return unproven(f"`{page.shown}` is not looked at: {exc.message}", install=exc.command)
    if page.served:
        answer = ask_server(ctx, Call(page.shown, path=page.path), visit=command)
        if isinstance(answer, Result):
            return answer
    else:
        try:
            answer = _run(ctx, command, variables)
        except (OSError, RunError) as exc:
            return unproven(f"`{page.shown}` is not looked at: {exc}")
    if "broken" in answer:
        if not answer.get("lacks"):
            return unproven(f"`{page.shown}` cannot be looked at: {answer['broken']}")
        lack = MissingToolError(f"no Chromium starts ({answer['broken']})", install)
        return unproven(f"`{page.shown}` is not looked at: {lack.message}", install=install)
    if answer.get("narrow"):
        return answer
    if answer["status"] >= 400:
        return failed(f"`{page.shown}` answers {answer['status']}", *_subjects(ctx, page))
    if answer["problems"]:
        first = "; ".join(answer["problems"][:3])
        return unproven(f"`{page.shown}` is not as users see it: {first}", **answer)
    return answer if answer["shown"] else unproven(f"`{page.shown}` shows nothing", **answer)


def _visitor(
    ctx: Context, page: Page, asked: Mapping[str, Any]
) -> tuple[list[str], dict[str, str], str]:
    """The program's words, its variables, and what installs a Chromium for its driver.

    Raises MissingToolError for what the workspace lacks.
    """
    packages = NodePackages.of(ctx.root.resolve())
    if packages is None:
        raise MissingToolError(
            "there is no package.json with Playwright or Puppeteer, and axe-core",
            "npm install --save-dev playwright axe-core",
        )
    require_unchanged(ctx, packages.folder / "node_modules")
    driver = next((name for name in _DRIVERS if packages.has(name)), "")
    if not driver:
        raise packages.lack("playwright")
    if "picture" not in asked and not packages.has("axe-core"):
        raise packages.lack("axe-core")
    words, variables, _ = resolve_command(ctx, ["node"])
    said = {
        **asked,
        "packages": str(packages.folder),
        "driver": driver,
        "programs": [place for name in _PROGRAMS if (place := shutil.which(name))],
        "bundled": _BUNDLED if packages.has(_BUNDLED) else "",
        "environment": _kept_places(),
        "page": page.path,
        "limit": _LIMIT,
    }
    node = shutil.which(words[0], path=variables["PATH"]) or words[0]
    install = _DRIVERS[driver] or f"{packages.add} puppeteer"
    return [node, str(_LOOK), json.dumps(said)], variables, install


def _pictures() -> Path:
    """Where pictures that were taken are kept."""
    place = user_cache() / "pages"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _kept_places() -> dict[str, str]:
    """Where drivers find their browsers, though the program's home is empty."""
    found: dict[str, str] = {}
    for name, places in _KEPT.items():
        folders = [os.environ.get(name, ""), *(str(Path.home() / place) for place in places)]
        if folder := next((f for f in folders if f and Path(f).is_dir()), ""):
            found[name] = folder
    return found


def _run(ctx: Context, command: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """Of a file of the workspace: looked at once in a session."""

    def make() -> dict[str, Any]:
        with workspace_copy(ctx.root) as copy:
            ended = run(
                command,
                cwd=copy,
                env=variables,
                limit=_LIMIT * 4,
                apart_from=ctx.root,
                write=[_pictures()],
                leaves=True,
            )
        try:
            found: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
        except (ValueError, IndexError):
            return {"broken": ended.ending}
        return found

    tree = workspace_digest(ctx.services, ctx.root)
    shared: dict[str, Any] = ctx.services.share(("pages", *command, tree), make)
    return shared

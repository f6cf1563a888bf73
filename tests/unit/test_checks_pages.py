"""A page is looked at in Chromium: with axe, and for how it looks.

Most tests have a stand-in for Playwright, which answers with what the page holds; the last ones run
where the real packages and a Chromium are (`ORCHESTRATE_NODE_MODULES`).
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gates.checks import Context, Result
from tests.claims import BINDER, check_of, judge, lay
from tests.unit.test_checks_live_http import free_port

#: a page of the stand-in is JSON: what axe finds, what is wrong with it, what picture it gives
DRIVER = """\
exports.chromium = { launch: async () => {
  if (process.env.PLAYWRIGHT_BROWSERS_PATH.endsWith("none")) throw new Error("no executable\\nat …")
  const newPage = async () => {
    let held = {}
    const heard = {}
    const answer = (code) => {
      const data = [...code.matchAll(/"data:[^,]*,([^"]*)"/g)].map((m) => JSON.parse(atob(m[1])))
      if (data.length === 1) return { width: data[0].width, height: data[0].height }
      if (data.length === 2) return data[1]
      if (!code.includes("axe.run")) return { shown: !held.blank, frames: held.frames ?? 0 }
      const asked = code.match(/"values":\\["([^"]*)"/)?.[1]
      const fits = (found) => !asked || found.id === asked
      return { violations: (held.violations ?? []).filter(fits), passes: 9, version: "4",
        incomplete: (held.incomplete ?? []).filter(fits) }
    }
    const send = async (method, { expression } = {}) => method === "Runtime.evaluate"
      ? { result: { value: answer(expression) } } : { frameTree: { frame: { id: 1 } } }
    return {
      on: (name, hear) => { heard[name] = hear },
      goto: async (url) => {
        const got = await fetch(url)
        held = got.ok ? await got.json() : {}
        if (held.throws) heard.pageerror(new Error(held.throws))
        return { status: () => got.status }
      },
      evaluate: async () => true,
      screenshot: async () => Buffer.from(JSON.stringify(held.picture)),
      context: () => ({ newCDPSession: async () => ({ send }) }),
    }
  }
  return { newPage, newContext: newPage, version: () => "1", close: async () => {} }
} }
"""
CONTRAST = {"id": "color-contrast", "impact": "serious", "count": 2, "at": ["p", "a"]}
REGION = {"id": "region", "impact": "moderate", "count": 1, "at": ["main"]}
PACKAGES = {
    "package.json": '{"devDependencies": {"playwright": "1", "axe-core": "4"}}',
    "node_modules/playwright/package.json": '{"name": "playwright", "main": "index.js"}',
    "node_modules/playwright/index.js": DRIVER,
    "node_modules/axe-core/package.json": '{"name": "axe-core"}',
    "node_modules/axe-core/axe.min.js": "",
}

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def page(**held: Any) -> str:
    return json.dumps(held)


def picture(
    width: int = 400, height: int = 300, differing: int = 0, most: int = 0
) -> dict[str, int]:
    return {"width": width, "height": height, "differing": differing, "most": most}


@pytest.fixture
def browsers(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("browsers")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(folder))
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(folder / "scratch"))
    return folder


@needs_node
@pytest.mark.parametrize(
    ("held", "statement", "verdict", "said"),
    [
        ({}, "`a.html` has no accessibility violations", "proven", "1280 px wide"),
        ({}, "`a.html` has no a11y issues at 390 px width", "proven", "390 px wide"),
        (
            {"violations": [CONTRAST]},
            "`a.html` has no accessibility violations",
            "failed",
            "color-contrast (serious) 2 × at p, a",
        ),
        ({"violations": [REGION]}, "The page `a.html` passes axe", "failed", "region"),
        ({"violations": [REGION]}, "No serious axe violations on `a.html`", "proven", "1 lesser"),
        ({"violations": [CONTRAST]}, "axe reports no serious issues on a.html", "failed", "color"),
        ({"violations": [CONTRAST]}, "No critical a11y violations in `a.html`", "proven", "lesser"),
        (
            {"violations": [CONTRAST]},
            "No serious or critical axe violations on `a.html`",
            "failed",
            "color",
        ),
        ({"violations": [REGION]}, "`a.html` passes axe's color-contrast rule", "proven", ""),
        ({"violations": [CONTRAST]}, "`a.html` passes the axe rule `region`", "proven", ""),
        ({"violations": [CONTRAST]}, "No axe color contrast violations on `a.html`", "failed", ""),
        ({"incomplete": [CONTRAST]}, "`a.html` passes axe", "proven", "leaves to a person color"),
        (
            {"incomplete": [CONTRAST]},
            "`a.html` has no accessibility violations",
            "unproven",
            "a person has to decide color-contrast",
        ),
        ({"incomplete": [CONTRAST]}, "`a.html` passes axe's color-contrast rule", "unproven", ""),
        ({"frames": 1}, "`a.html` passes axe", "unproven", "frames are not looked into"),
        ({"blank": True}, "`a.html` passes axe", "unproven", "shows nothing"),
        ({"throws": "x is not defined"}, "`a.html` passes axe", "unproven", "x is not defined"),
        ({}, "`b.html` passes axe", "failed", "does not exist"),
    ],
)
def test_axe_is_asked(
    tmp_path: Path, browsers: Path, held: dict[str, Any], statement: str, verdict: str, said: str
) -> None:
    found = judge(lay(tmp_path, {**PACKAGES, "a.html": page(**held)}), statement)
    assert (found.verdict, said in found.detail) == (verdict, True), found.detail


@needs_node
def test_a_page_of_the_server_is_looked_at(tmp_path: Path, browsers: Path) -> None:
    port = free_port()
    serve = f"python -m http.server --directory web {port}"
    settings = {"checks": {"serve": serve, "port": port, "timeout": 20}}
    lay(tmp_path, {**PACKAGES, "web/index.html": page(violations=[CONTRAST])})
    lay(tmp_path, {"web/good.html": page()})

    def said(statement: str) -> str:
        return judge(tmp_path, statement, settings=settings).verdict

    assert said("no serious axe violations on `GET /`") == "failed"
    assert said("`GET /good.html` has no accessibility violations") == "proven"
    assert said("`GET /gone.html` passes axe") == "failed"
    assert judge(tmp_path, "`GET /` passes axe").verdict == "unproven"


@needs_node
@pytest.mark.parametrize(
    ("taken", "statement", "verdict", "said"),
    [
        (picture(), "`a.html` looks like `shots/a.png`", "proven", "400 × 300"),
        (picture(), "Screenshot of `a.html` equals `shots/a.png` at 400 px width", "proven", ""),
        (picture(), "`a.html` looks like `shots/a.png` at 200 px width", "proven", ""),
        (picture(), "`a.html` looks like `shots/a.png` at 390 px width", "failed", "not 390 px"),
        (picture(differing=60, most=9), "`a.html` looks like `shots/a.png`", "proven", "0.05%"),
        (picture(differing=60, most=9), "`a.html` is identical to `shots/a.png`", "failed", ""),
        (picture(differing=6, most=90), "`a.html` looks like `shots/a.png`", "failed", "6 pixels"),
        (picture(height=200), "`a.html` looks like `shots/a.png`", "failed", "400 × 200"),
        (picture(height=900), "`a.html` looks like `shots/a.png`", "unproven", "upper part"),
        (picture(width=420, differing=-1), "`a.html` looks like `shots/a.png`", "failed", "420"),
        (picture(), "`a.html` looks like `shots/b.png`", "failed", "does not exist"),
    ],
)
def test_pictures_are_compared(
    tmp_path: Path, browsers: Path, taken: dict[str, int], statement: str, verdict: str, said: str
) -> None:
    lay(tmp_path, {**PACKAGES, "a.html": page(picture=taken), "shots/a.png": page(**picture())})
    before = sorted(tmp_path.rglob("*"))
    found = judge(tmp_path, statement)
    assert (found.verdict, said in found.detail) == (verdict, True), found.detail
    assert sorted(tmp_path.rglob("*")) == before
    if "path" in found.evidence:
        assert Path(found.evidence["path"]).stem == found.evidence["sha256"]
        assert json.loads(Path(found.evidence["path"]).read_text()) == taken


@needs_node
def test_a_picture_that_the_work_made_itself_proves_nothing(tmp_path: Path, browsers: Path) -> None:
    files = {"a.html": page(picture=picture()), "shots/a.png": page(**picture())}
    (binding,) = BINDER.bind("`a.html` looks like `shots/a.png`")
    assert binding.check is not None
    made = Context(lay(tmp_path, {**PACKAGES, **files}), changed=lambda: frozenset({"shots/a.png"}))
    assert binding.check.function(made, **binding.arguments).verdict == "unproven"


@needs_node
@pytest.mark.parametrize(
    ("without", "command"),
    [
        ("package.json", "npm install --save-dev playwright axe-core"),
        ("node_modules/axe-core/package.json", "npm install"),
        ("node_modules/playwright/package.json", "npm install"),
        ("chromium", "npx playwright install chromium"),
    ],
)
def test_what_lacks_is_told_with_its_command(
    tmp_path: Path,
    browsers: Path,
    monkeypatch: pytest.MonkeyPatch,
    without: str,
    command: str,
) -> None:
    lay(tmp_path, {**PACKAGES, "a.html": page()})
    if without == "chromium":
        (browsers / "none").mkdir()
        monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(browsers / "none"))
    else:
        (tmp_path / without).unlink()
    found = judge(tmp_path, "`a.html` passes axe")
    assert (found.verdict, f"`{command}`" in found.detail) == ("unproven", True), found.detail
    assert found.evidence["install"] == command


@pytest.mark.parametrize(
    "statement",
    [
        "`web/index.html` is accessible to all users",
        "Keyboard navigation works on `web/index.html`",
        "`web/index.html` has accessibility violations",
        "`web/index.html` has no violations",
        "`web/index.html` has sufficient contrast",
        "`web/index.html` meets WCAG 2.1 AA",
        "`web/index.html` does not pass axe",
        "All pages pass axe",
        "`web/index.html` has no accessibility violations except contrast",
        "`web/index.html` has no accessibility violations after logging in",
        "`web/index.html` does not look like `shots/index.png`",
        "`web/index.html` looks like the design",
        "`web/index.html` looks roughly like `shots/index.png`",
    ],
)
def test_what_is_not_looked_at_does_not_bind(statement: str) -> None:
    names = {b.check.name for b in BINDER.bind(statement) if b.check}
    assert not any(name.startswith("pages.") for name in names), names


def test_the_same_words_of_other_things_keep_their_checks() -> None:
    assert check_of("`GET /` passes axe") == "pages.accessible"
    assert check_of("The screenshot of `GET /` matches the baseline `s/a.png`") == "pages.picture"
    assert check_of("`GET /health` returns 200") == "http.live"


GOOD = (
    '<!doctype html><html lang="en"><head><title>Shop</title></head><body style="color:#222">'
    "<main><h1>Shop</h1><p>Open all day.</p></main></body></html>"
)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    packages = Path(os.environ.get("ORCHESTRATE_NODE_MODULES", "node_modules")).resolve()
    if not all((packages / name).is_dir() for name in ("playwright-core", "axe-core")):
        pytest.skip("Playwright and axe-core are not installed")
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(tmp_path / "scratch"))
    root = tmp_path / "tree"
    lay(root, {"package.json": "{}", "good.html": GOOD})
    (root / "bad.html").write_text(GOOD.replace("<p>", '<img src="data:,"><p style="color:#ccc">'))
    (root / "node_modules").symlink_to(packages)
    return root


def seen(root: Path, statement: str) -> Result:
    found = judge(root, statement)
    if "no Chromium starts" in found.detail:
        pytest.skip(found.detail)
    return found


def test_axe_in_a_real_chromium(real: Path) -> None:
    assert seen(real, "`good.html` has no accessibility violations").verdict == "proven"
    found = seen(real, "`bad.html` has no serious accessibility violations")
    assert (found.verdict, "color-contrast" in found.detail) == ("failed", True), found.detail
    assert seen(real, "`good.html` passes the axe rule `no-such`").verdict == "unproven"


def white(width: int, height: int) -> bytes:
    """A PNG without anything on it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compress((b"\0" + b"\xff" * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_pictures_of_a_real_chromium(real: Path) -> None:
    (real / "a.png").write_bytes(white(400, 300))
    taken = seen(real, "`good.html` looks like `a.png`")
    assert taken.verdict == "failed"
    shutil.copyfile(taken.evidence["path"], real / "a.png")
    assert seen(real, "Screenshot of `good.html` equals `a.png`").verdict == "proven"
    found = seen(real, "`bad.html` looks like `a.png`")
    assert (found.verdict, "pixels" in found.detail) == ("failed", True), found.detail

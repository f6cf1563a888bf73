"""The web board in a real browser: every page, two browsers at once, without script, by keyboard.

Pictures of the pages go to `build/pictures`.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Board
from orchestrator.settings.config import Settings
from orchestrator.web.app import Served, prepare
from tests.boards import Workspace, copy_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

_CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = [
    pytest.mark.skipif(not _CHROMIUM, reason="there is no chromium (apt-get install chromium)"),
    # closed connections of the browser's own driver
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_PICTURES = Path(__file__).parents[2] / "build" / "pictures"
_PAGES = {
    "decide": "/",
    "board": "/board",
    "family": "/family/WO-512",
    "review": "/family/WO-512/review",
    "search": "/search?q=files",
    "figures": "/figures",
    "health": "/health",
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an open question, made once."""
    root = tmp_path_factory.mktemp("asked")
    Workspace(root).conductor().run("WO-512")
    return root


@pytest.fixture
def served(asked: Path, tmp_path: Path) -> Iterator[Served]:
    work = copy_of(asked, tmp_path / "new")
    found = prepare(Board(work.root), Settings(), port=0)
    found.site.conductor = work.conductor  # type: ignore[method-assign]
    thread = threading.Thread(target=found.run)
    thread.start()
    yield found
    found.server.should_exit = True
    thread.join()
    found.socket.close()


def opened(chromium: Any, served: Served, **options: Any) -> Any:
    """A page of a new browser that has opened the printed address."""
    page = chromium.new_context(**options).new_page()
    page.set_default_timeout(30_000)
    page.goto(served.address)
    return page


def test_every_page_on_every_screen(chromium: Any, served: Served) -> None:
    _PICTURES.mkdir(parents=True, exist_ok=True)
    for width, scheme in ((1280, "light"), (390, "dark")):
        viewport = {"width": width, "height": 844}
        page = opened(chromium, served, viewport=viewport, color_scheme=scheme)
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        for name, path in _PAGES.items():
            page.goto(served.address.split("/?")[0] + path)
            page.screenshot(path=_PICTURES / f"{name}-{width}-{scheme}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            found = axe.Axe().run(page)
            assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        assert said == []
        page.context.close()


def test_by_keyboard_alone(chromium: Any, served: Served) -> None:
    page = opened(chromium, served)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "approved":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/family/WO-512")
    # the next checkpoint comes by itself
    page.get_by_text("question 2").first.wait_for()
    page.context.close()


def test_without_script(chromium: Any, served: Served) -> None:
    page = opened(chromium, served, java_script_enabled=False)
    page.get_by_label("Words, for the record").fill("other words")
    page.get_by_role("button", name="Send back").click()
    page.wait_for_url("**/family/WO-512")
    assert "sent back" in page.get_by_role("region", name="History").inner_text().lower()
    page.context.close()


def test_two_browsers_at_once(chromium: Any, served: Served) -> None:
    first, second, third = (opened(chromium, served) for _ in range(3))
    third.get_by_label("Words, for the record").fill("half a sentence")
    first.get_by_role("button", name="Approve").click()
    # who only looks sees the next question; who writes keeps the words, and is told
    second.get_by_text("question 2").wait_for()
    third.get_by_text("This has changed since it was shown").wait_for()
    assert third.get_by_label("Words, for the record").input_value() == "half a sentence"
    third.get_by_role("button", name="Approve").click()
    third.get_by_role("alert").get_by_text("no longer open").wait_for()
    assert third.get_by_text("question 2").count() > 0
    for page in (first, second, third):
        page.context.close()


def test_dragging_holds_and_never_approves(chromium: Any, served: Served) -> None:
    page = opened(chromium, served, viewport={"width": 1800, "height": 900})
    page.goto(served.address.split("/?")[0] + "/board")
    page.on("dialog", lambda dialog: dialog.accept("later"))
    assert "COMPLETE" not in (page.locator('[data-id="WO-512"]').get_attribute("data-moves") or "")
    page.drag_and_drop('[data-id="WO-512"]', '[data-role="QA"]')
    page.drag_and_drop('[data-id="WO-512"]', '[data-role="HOLD"]')
    page.locator('[data-role="HOLD"] [data-id="WO-512"]').wait_for()
    assert page.url.endswith("/board")
    page.context.close()


def test_news_change_only_their_parts(chromium: Any, served: Served) -> None:
    root = served.site.board.root
    inbox = root / "_WORK_ORDERS/00_INBOX"
    inbox.mkdir(exist_ok=True)
    ticket = "---\nid: WO-9\ntitle: %s\n---\nText.\n"
    (inbox / "WO-9_Nine.md").write_text(ticket % "Nine", encoding="utf-8")
    served.site.live.refresh()
    page = opened(chromium, served)
    page.goto(served.address.split("/?")[0] + "/board")
    page.locator(".filters summary").click()
    page.get_by_label("Label").fill("half a wo")
    page.evaluate("for (const each of document.querySelectorAll('.card, h1')) each.mine = true")
    bodies: list[str] = []
    page.on("response", lambda r: bodies.append(r.text()) if r.url.endswith("/board") else None)
    (inbox / "WO-9_Nine.md").write_text(ticket % "Ten", encoding="utf-8")
    page.get_by_role("link", name="WO-9 Ten").wait_for()
    # the card and the count came, and nothing else
    assert page.get_by_label("Label").input_value() == "half a wo"
    assert page.get_by_label("Label").evaluate("e => document.activeElement === e")
    assert page.evaluate("[...document.querySelectorAll('.card, h1')].every((each) => each.mine)")
    assert bodies
    assert all("WO-512" not in body and "<html" not in body for body in bodies)
    # one that came from elsewhere takes its place, the others stay the nodes that they were
    (inbox / "WO-10_More.md").write_text("---\nid: WO-10\ntitle: Came\n---\n", encoding="utf-8")
    page.get_by_text("Came").wait_for()
    assert page.evaluate("document.querySelectorAll('.card').length") == 5
    assert (
        page.evaluate("[...document.querySelectorAll('.card')].filter((c) => c.mine).length") == 4
    )
    page.context.close()


def test_the_log_grows_and_lines_are_commented_on_by_keyboard(
    chromium: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(chromium, served)
    folder = served.site.board.root / ".orchestrate/logs/WO-512"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "stage-2-attempt-1.jsonl"
    event = '{"kind": "text", "at": "2026-01-01T10:00:00Z", "text": "line %d"}\n'
    log.write_text("".join(event % n for n in range(80)), encoding="utf-8")
    page.goto(served.address.split("/?")[0] + "/family/WO-512")
    page.locator(".event").last.get_by_text("line 79").wait_for()
    page.evaluate("document.querySelector('.event').mine = true")
    with log.open("a", encoding="utf-8") as opened_log:
        opened_log.write(event % 80)
    served.site.live.publish(frozenset({"log:WO-512"}))
    page.get_by_text("line 80").wait_for()
    assert page.locator(".event").count() == 81
    assert page.evaluate("document.querySelector('.event').mine")
    line = page.locator('.diff [data-line="1"]')
    line.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.get_by_label("Words, for the record").input_value() == "out/first.txt:1: "
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.context.close()

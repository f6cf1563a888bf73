"""`review` in the terminal and as a page: whole, self-contained, and safe from what tickets say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestrator.plugins import require_extra
from orchestrator.review.html import render_page
from orchestrator.review.model import Review, build_review
from orchestrator.review.panels import Cell, Chart, Grid, Panel, Source, Tone
from orchestrator.settings.config import Settings
from orchestrator.tickets.board import Board
from tests.boards import TICKET, WORKFLOW, Workspace

HOSTILE = """<script>alert(1)</script> & "quotes" ]]> javascript:x"""


class Page(HTMLParser):
    """The elements of a page, and all that would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.loads.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def orchestrate(root: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workflow = WORKFLOW.replace(
        "- [ ] `out/third.txt` exists",
        "- [ ] `out/third.txt` exists\n- [ ] The tea <b>is</b> hot & `strong`",
    )
    ticket = TICKET.replace('"Two files"', "'Two files " + HOSTILE.replace("'", "") + "'")
    work = Workspace(tmp_path_factory.mktemp("review"), workflow, ticket)
    work.to_the_end()
    return work


def found(work: Workspace, *panels: Panel) -> Review:
    def shows(*_: object) -> list[Panel]:
        return list(panels)

    return build_review(Board(work.root), Settings(), "WO-512", reviewers=[shows])


def test_a_page_has_all_that_is_asked(work: Workspace) -> None:
    text = Page(render_page(found(work))).text
    assert "USER CHECKPOINT #2" in text
    assert "Approving ends the work" in text
    assert "orchestrate approve WO-512 --accept-unproven" in text
    assert text.index("The tea <b>is</b> hot") < text.index("out/first.txt exists")
    assert text.index("To answer") < text.index("The tea <b>is</b> hot")
    (unproven,) = re.findall(
        r'<details class="statement unproven".*?</details>', render_page(found(work)), re.DOTALL
    )
    assert unproven.count("no check fits") == 1
    question = found(work).question
    assert question is not None
    assert question.digest[:16] in text


def test_a_page_loads_nothing_and_runs_only_what_copies_commands(work: Workspace) -> None:
    grid = Grid(("a",), ((Cell("1"),),))
    chart = Chart("words", grid, lambda: "<svg><text>drawn</text></svg>")
    parsed = Page(render_page(found(work, Panel("Picture", blocks=(chart, grid)))))
    assert set(parsed.tags).isdisjoint({"link", "img", "iframe", "object", "form"})
    assert parsed.tags.count("script") == 1
    assert [url for url in parsed.loads if not url.startswith("#")] == []
    whole = render_page(found(work))
    assert "default-src 'none'" in whole
    (script,) = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{sha256}';" in whole
    assert re.findall(r"url\(|@import|https?://(?!www\.w3\.org)", whole) == []


def test_hostile_words_stay_words(work: Workspace) -> None:
    panel = Panel(
        HOSTILE,
        words=(HOSTILE,),
        warnings=(HOSTILE,),
        blocks=(
            Grid((HOSTILE, "b"), ((Cell(HOSTILE), Cell(HOSTILE, Tone.BAD)),), HOSTILE),
            Source("x.sql", f"select '{HOSTILE}'", "postgresql", "select 1", HOSTILE),
            Source("odd.unknown", HOSTILE),
        ),
    )
    whole = render_page(found(work, panel))
    assert whole.count("<script") == 1
    assert Page(whole).text.count(HOSTILE) >= 6
    assert "<title>WO-512: Two files &lt;script&gt;" in whole


def test_a_source_is_compared_with_what_was_specified(work: Workspace) -> None:
    source = Source(
        "x.sql", "select 1;\nselect 2;\n", "postgresql", "select 1;\nselect 3;\n", "spec:4"
    )
    whole = render_page(found(work, Panel("SQL", blocks=(source,))))
    assert '<span class="removed">select 3;</span><span class="added">select 2;</span>' in whole
    assert "compared with the specification (spec:4)" in whole


def test_the_command_writes_a_page_and_nothing_else(work: Workspace, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (work.root / "_WORK_ORDERS").rglob("*")}
    file = tmp_path / "out.html"
    for _ in range(2):
        orchestrate(work.root, "review", "WO-512", "--html", str(file))
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert {p: p.stat().st_mtime_ns for p in (work.root / "_WORK_ORDERS").rglob("*")} == before


@pytest.mark.parametrize("name", ["ticket.md", "no/such/folder.html"])
def test_a_page_is_not_written_over_something_else(
    work: Workspace, tmp_path: Path, name: str
) -> None:
    orchestrate(work.root, "review", "WO-512", "--html", str(tmp_path / name), code=2)
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_shows_the_same_in_eighty_columns(work: Workspace) -> None:
    said = orchestrate(work.root, "review", "WO-512")
    assert max(map(len, said.splitlines())) <= 80
    assert said.index("Unproven (1)") < said.index("Proven (")
    assert "orchestrate approve WO-512 --accept-unproven" in said
    assert "\x1b" not in said


def test_json_is_for_scripts(work: Workspace) -> None:
    told = json.loads(orchestrate(work.root, "review", "WO-512", "--json"))
    assert told["digest"]
    assert {s["verdict"] for s in told["statements"]} == {"proven", "unproven"}


def test_a_file_that_changed_since_is_told(work: Workspace) -> None:
    file = work.root / "out/second.txt"
    good = file.read_bytes()
    file.write_bytes(b"another")
    try:
        assert "Changed since it was asked" in orchestrate(work.root, "review", "WO-512")
        assert 'role="alert"' in render_page(found(work))
    finally:
        file.write_bytes(good)
    assert 'role="alert"' not in render_page(found(work))


def test_without_a_question_it_says_where_the_family_stands(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    assert "not conducted" in orchestrate(work.root, "review", "WO-512")
    whole = render_page(found(work))
    assert "No question is open" in whole
    orchestrate(work.root, "review", "WO-404", code=1)


def test_a_reviewer_that_breaks_costs_its_own_part_only(work: Workspace) -> None:
    def breaks(*_: object) -> list[Panel]:
        raise RuntimeError("boom")

    told = build_review(
        Board(work.root), Settings(), "WO-512", reviewers=[breaks, lambda *_: [Panel("B")]]
    )
    assert [p.title for p in told.panels] == ["Not shown", "B"]
    assert "RuntimeError: boom" in told.panels[0].warnings[0]


def test_without_the_charts_extra_the_page_has_the_figures_and_says_why(work: Workspace) -> None:
    def draw() -> str:
        return str(require_extra("no_such_library", "charts", "drawing a chart"))

    chart = Chart("words", Grid(("a",), ((Cell("1"),),)), draw)
    text = Page(render_page(found(work, Panel("Picture", blocks=(chart,))))).text
    assert "pip install 'orchestrate-tickets[charts]'" in text
    assert "the same as a table" in text

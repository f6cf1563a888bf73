"""What is said of a text file's form is read off its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.claims import check_of, judge, lay

PAGES = {
    "docs/a.md": "# One page\n\nSee [b](b.md#two-words), [self](#one-page), ![p](../p.svg) and\n"
    "[root](/docs/b.md).\n",
    "docs/b.md": "## Two words\n\n## Two words\n\n[again](#two-words-1)\n\n```\n[x](no.md)\n```\n",
    "p.svg": "<svg/>\n",
    "broken/a.md": "text\n\n[gone](gone.md)\n",
    "anchor/a.md": "[x](../docs/b.md#three)\n",
    "out/a.md": "[x](../../etc/passwd)\n",
    "web/a.md": "[x](https://example.org) and [b](../docs/b.md)\n",
    "none/a.md": "no link\n",
    "words.md": "one two <!-- not three --> don't <b>4</b>\n",
    "unix.txt": "a\nb\n",
    "open.txt": "a\nb",
    "empty.txt": "",
    "html/a.md": '[b](../docs/b.md)\n\n<img src="gone.png">\n',
    "odd/a.md": "[b](../docs/b.md) and [c][nope] and [d](my file.md)\n",
    "bare/a.md": "[b](../docs/b.md) https://example.org/gone\n",
    "mixed/a.md": "[b](../docs/b.md)\n",
    "mixed/i.html": "<a href=gone.html>x</a>\n",
    "void/a.md": "[b]()\n",
    "top/a.md": "# A\n\n[b](#top)\n",
    "list.yaml": "- 1\n- 2\n",
    "list.json": "[1, 2, 3]",
    "one.json": '{"items": [1, 2]}',
    "two.json": '{"a": [1], "b": [2]}',
}


@pytest.mark.parametrize(
    ("claim", "verdict", "said"),
    [
        ("`docs/` has no broken links", "proven", "5 links of 2 pages"),
        ("All links in `docs/a.md` must work", "proven", "4 links"),
        ("There are no dead links in `broken/a.md`", "failed", "broken/a.md:3: gone.md is missing"),
        ("`anchor/a.md` has no broken links", "failed", "names no heading"),
        ("`out/a.md` has no broken links", "failed", "leads out"),
        ("`web/a.md` has no broken links", "unproven", "leads to the web"),
        ("All relative links in `web/a.md` work", "proven", "1 links"),
        ("`none/a.md` has no broken links", "unproven", "no link"),
        ("`p.svg` has no broken links", "unproven", "no Markdown page"),
        ("`words.md` has 6 words", "proven", "has 6 words"),
        ("`words.md` must have at least 7 words", "failed", "has 6 words"),
        ("`unix.txt` ends with a newline", "proven", ""),
        ("`open.txt` must end with a newline", "failed", "open.txt"),
        ("`empty.txt` ends with a newline", "unproven", "no line"),
        ("`unix.txt` uses LF line endings", "proven", ""),
        ("`dos.txt` uses LF line endings", "failed", "dos.txt"),
        ("`dos.txt` uses CRLF line endings", "proven", ""),
        ("`unix.txt` uses Windows line endings", "failed", "unix.txt"),
        ("`mac.txt` uses Unix line endings", "failed", "mac.txt"),
        ("No file in `docs/` is larger than 1 kB", "proven", "docs/a.md"),
        ("All files in `docs/` must be at most 20 bytes", "failed", "docs/a.md has"),
        ("`list.json` has 3 entries", "proven", "3 items"),
        ("`one.json` must contain at least 3 items", "unproven", "not one list"),
        ("`two.json` has 2 items", "unproven", "not one list"),
        ("`list.yaml` has at least 2 items", "proven", "2 items"),
        ("`empty.txt` uses LF line endings", "unproven", "no line end"),
        ("`html/a.md` has no broken links", "unproven", "has HTML"),
        ("`odd/a.md` has no broken links", "unproven", "not read"),
        ("`bare/a.md` has no broken links", "unproven", "not read"),
        ("`mixed/` has no broken links", "unproven", "no Markdown"),
        ("`void/a.md` has no broken links", "failed", "leads nowhere"),
        ("`top/a.md` has no broken links", "unproven", "names no heading"),
    ],
)
def test_the_files_decide(tmp_path: Path, claim: str, verdict: str, said: str) -> None:
    lay(tmp_path, PAGES)
    (tmp_path / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (tmp_path / "mac.txt").write_bytes(b"a\rb\n")
    result = judge(tmp_path, claim)
    assert result.verdict == verdict, result.detail
    assert said in result.detail


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("`/health` returns 200", "http.live"),
        ("The `GET /x` endpoint returns 404", "http.live"),
        ("The endpoint `/health` must return 200", "http.live"),
        ("`tests/test_x.py` passes", "tests.pass"),
        ("`web/cart.spec.ts` is green", "tests.pass"),
        ("`a.py` has no lint errors", "tools.lint"),
        ("`config.yaml` defines `timeout`", "files.key"),
        ("`a.py` defines `timeout`", "code.declared"),
    ],
)
def test_further_wordings_bind(claim: str, name: str) -> None:
    assert check_of(claim) == name

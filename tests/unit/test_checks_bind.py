"""`checks bind` says what each line of a file binds to, and runs nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.gates.expressions import TYPES
from orchestrator.gates.loading import load_checks
from orchestrator.markdown.statement_lines import statement_lines

CRITERIA = """\
---
id: WO-1
---
# `title.md` exists
## Acceptance
- [x] `a.txt` exists
1. `touch stolen` succeeds and users are happy,
   which takes two lines
* Users are happy
> - `b.txt` is absent
```
`code.txt` exists
```
"""


def bind(root: Path, *words: str, text: str | None = None) -> list[dict[str, Any]]:
    done = CliRunner().invoke(
        app, ["-C", str(root), "checks", "bind", *words, "--json"], input=text
    )
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_each_line_is_told_with_its_check(tmp_path: Path) -> None:
    (tmp_path / "c.md").write_text(CRITERIA, encoding="utf-8")
    (tmp_path / "orchestrate.toml").write_text('[checks]\ncommands = ["touch stolen"]\n')
    found = bind(tmp_path, str(tmp_path / "c.md"))
    assert [(f["line"], f["statement"], f["check"]) for f in found] == [
        (6, "`a.txt` exists", "files.exists"),
        (7, "`touch stolen` succeeds and users are happy, which takes two lines", None),
        (9, "Users are happy", None),
        (10, "`b.txt` is absent", "files.absent"),
    ]
    assert [c["check"] for c in found[2]["claims"]] == [None]
    assert not (tmp_path / "stolen").exists()


def test_standard_input_is_read(tmp_path: Path) -> None:
    (found,) = bind(tmp_path, "-", text="- [ ] `a.txt` exists and `b.txt` is absent\n")
    assert [c["check"] for c in found["claims"]] == ["files.exists", "files.absent"]
    assert found["check"] == "files.exists, files.absent"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["-C", str(tmp_path), "checks", "bind", "none.md"])
    assert done.exit_code == 2
    assert "none.md" in done.stderr


@pytest.mark.parametrize("mark", ["", "- ", "* ", "1. ", "2) ", "- [ ] ", "- [x] ", "> - ", "☐ "])
def test_marks_are_no_part_of_a_statement(mark: str) -> None:
    assert list(statement_lines(f"{mark}a holds\n".encode())) == [(1, "a holds")]


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    for line, text in statement_lines(data):
        assert text.strip()
        assert 1 <= line <= data.count(b"\n") + data.count(b"\r") + 1


@pytest.mark.parametrize("item", ["`a{}.md`", "a{}", "`a{}`", "a{}.md", "src/a{}/", '"a{}"'])
@pytest.mark.parametrize("joint", [", ", " and ", ", and "])
def test_a_long_list_is_not_read_in_every_way(item: str, joint: str) -> None:
    # what is read in two ways at each item takes years
    listed = joint.join(item.format(n) for n in range(40))
    load_checks()
    for pattern, _ in TYPES.values():
        assert not re.compile(rf"(?:{pattern}) ZZZ", re.IGNORECASE).match(f"{listed} x")

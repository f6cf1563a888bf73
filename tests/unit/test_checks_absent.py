"""What must be nowhere: markers, words and references, distinguished from comments and strings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_agents.checks.text.kinds import Kind, parts_of
from tests.claims import BINDER, judge, lay

JS = "src/a.js"
TS = "src/a.ts"
PY = "src/a.py"
# before 3.12 Python does not say what is in an f-string
IN_F_STRING = "failed" if sys.version_info >= (3, 12) else "unproven"


@pytest.mark.parametrize(
    ("statement", "path", "text", "verdict"),
    [
        ("No TODO in `src/`", PY, "x = 1\n", "proven"),
        ("No TODO in `src/`", PY, "x = 1  # TODO: more\n", "failed"),
        ("No TODO in `src/`", PY, "x = 1  # todo: more\n", "failed"),
        ("No TODO in `src/`", PY, 'TITLE = "TODO"\n', "unproven"),
        ("No TODO comments in `src/`", PY, 'TITLE = "TODO"\n', "proven"),
        ("No TODO in `src/`", PY, "TODOS_LEFT = []\n", "proven"),
        ("No TODO in `src/`", PY, '"""Adds.\n\nTODO: subtract\n"""\n', "failed"),
        ("No TODO in `src/`", "src/a.vue", "<!-- TODO -->\n", "failed"),
        ("No TODO in `src/`", "src/notes.md", "TODO\n", "failed"),
        ("No TODO or FIXME comments in `src/`", PY, "# FIXME\n", "failed"),
        ("`src/a.py` contains no TODO", PY, "# TODO\n", "failed"),
        ("No TODO in `src/`", "src/a.go", "// TODO\nfunc main() {}\n", "failed"),
        ("No TODOs left", "README.md", "TODO: a picture\n", "unproven"),
        ("No TODOs left", PY, "# TODO\n", "failed"),
        ("No TODOs left", "node_modules/x/a.js", "// TODO\n", "unproven"),
        ("No console.log statements left", JS, "console.log(1)\n", "failed"),
        ("No console.log statements left", JS, "// console.log(1)\nf()\n", "proven"),
        ("No console.log in `src/`", JS, "// console.log(1)\nf()\n", "unproven"),
        ("No console.log statements in `src/`", TS, "const s = 'console.log(1)'\n", "proven"),
        ("No console.log statements in `src/`", TS, "const s = `${console.log(1)}`\n", "failed"),
        ("No console.log statements in `src/`", TS, "const s = `console.log(1)`\n", "proven"),
        ("No console.log statements in `src/`", TS, "const r = /'/; console.log(1)\n", "failed"),
        ("No console.log statements in `src/`", TS, "const { log } = console\n", "unproven"),
        ("No console.log statements in `src/`", TS, "console['log'](1)\n", "unproven"),
        ("No console.log statements in `src/`", TS, "console /* x */ .log(1)\n", "unproven"),
        ("No console.log statements in `src/`", TS, "console.error(1)\n", "proven"),
        (
            "No console.log statements in `src/`",
            "src/a.tsx",
            "const a = <p>Don't {console.log(1)} won't</p>\n",
            "unproven",
        ),
        ("No console statements in `src/`", TS, "console.error(1)\n", "failed"),
        ("No console.log statements in `src/`", PY, "x = 1\n", "unproven"),
        ("No console.log in production code", "src/a.test.ts", "console.log(1)\n", "unproven"),
        ("No debugger statements in `src/`", TS, "debugger;\n", "failed"),
        ("No debugger statements in `src/`", TS, "// debugger\nf()\n", "proven"),
        ("No print statements in `src/`", PY, "print(1)\n", "failed"),
        ("No print statements in `src/`", PY, "self.print(1)\n", "proven"),
        ("No print statements in `src/`", PY, '"""print(1)"""\n', "proven"),
        ("No print statements in `src/`", PY, "log = print\n", "unproven"),
        ("No print statements in `src/`", PY, 'f"{print(1)}"\n', IN_F_STRING),
        ("No `any` types in `src/`", TS, "let a: any\n", "failed"),
        ("No `any` types in `src/`", TS, "let a: string // any\n", "unproven"),
        ("No `any` types in `src/`", TS, "expect.any(String)\n", "proven"),
        ("No explicit any in `src/`", TS, "f(x as any)\n", "failed"),
        ("No `any` types in `src/`", TS, "type A = Record<string, any>\n", "failed"),
        ("No eslint-disable comments in `src/`", JS, "// eslint-disable-next-line\n", "failed"),
        ("No `# type: ignore` in `src/`", PY, "x = y  # type: ignore[attr]\n", "failed"),
        ("No `# noqa` in `src/`", PY, "x = '# noqa'\n", "proven"),
        ("No merge conflict markers in `src/`", PY, "<<<<<<< HEAD\nx = 1\n", "failed"),
        ("No star imports in `src/`", PY, "from os import *\n", "failed"),
        ("No references to `oldName` remain", PY, "newName = 1\n", "proven"),
        ("No references to `oldName` remain", PY, "# oldName\n", "failed"),
        ("No references to `oldName` remain", "README.md", "Call oldName.\n", "failed"),
        ("No references to `oldName` remain", "CHANGELOG.md", "oldName is newName\n", "unproven"),
        ("No references to `oldName` remain", PY, "oldNames = 1\n", "proven"),
        ("No references to `old-name` remain", "a.css", ".old-name-2 { color: red }\n", "proven"),
        ("No references to `a` or `b` in `src/`", PY, "b = 1\n", "failed"),
        ("`oldName` is no longer used in `src/`", PY, "oldName()\n", "failed"),
        ("`oldName` is no longer used in `src/`", PY, "# oldName\n", "unproven"),
        ("Nothing imports `lodash` anymore", JS, "import x from 'lodash/fp'\n", "failed"),
        ("Nothing imports `lodash` anymore", JS, "const x = require('lodash')\n", "failed"),
        ("Nothing imports `lodash` anymore", JS, "import x from 'lodash-es'\n", "proven"),
        ("No imports of `moment` remain", PY, "import os, moment\n", "failed"),
        ("No imports of `moment` remain", PY, "moment = 1\n", "proven"),
        ("`README.md` does not mention `beta`", "README.md", "All is stable.\n", "proven"),
        ("`README.md` does not mention `beta`", "README.md", "It is beta.\n", "failed"),
        ("`README.md` does not mention `beta`", "LICENSE", "x\n", "failed"),
        ("No `unwrap()` in `src/lib.rs`", "src/lib.rs", "fn f() { a.unwrap(); }\n", "failed"),
        ("`src/` no longer contains `legacyAuth`", JS, "legacyAuth()\n", "failed"),
    ],
)
def test_what_is_found_decides(
    tmp_path: Path, statement: str, path: str, text: str, verdict: str
) -> None:
    lay(tmp_path, {path: text})
    assert judge(tmp_path, statement).verdict == verdict


@pytest.mark.parametrize(
    "statement",
    [
        "No TODOs without an issue number",
        "No new TODOs",
        "Almost no TODOs in `src/`",
        "No TODO in `src/` except in tests",
        "No debug code left",
        "Ideally no TODO in `src/`",
        "No references to old import paths remain",
        "Few references to `oldName` remain",
        "No references to `oldName` outside of `src/`",
        "`src/` has no more than 3 TODOs",
        "No more than 3 TODOs in `src/`",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert all(b.check is None for b in BINDER.bind(statement))


def test_what_git_ignores_and_links_are_not_the_workspaces_own(tmp_path: Path) -> None:
    lay(tmp_path, {PY: "x = 1\n", "build/a.py": "# TODO\n", ".gitignore": "build/\n"})
    (tmp_path / "outside.py").write_text("# TODO\n")
    (tmp_path / "work").mkdir()
    lay(tmp_path / "work", {PY: "x = 1\n", "build/a.py": "# TODO\n", ".gitignore": "build/\n"})
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "work", check=True)
    (tmp_path / "work/src/link.py").symlink_to(tmp_path / "outside.py")
    assert judge(tmp_path / "work", "No TODO comments left").verdict == "proven"
    assert judge(tmp_path / "work", "No TODO in `build/`").verdict == "failed"


def test_tickets_do_not_count(tmp_path: Path) -> None:
    lay(tmp_path, {PY: "x = 1\n", "_WORK_ORDERS/00_INBOX/WO-1.md": "No references to oldName\n"})
    assert judge(tmp_path, "No references to `oldName` remain").verdict == "proven"


def test_binary_and_large_files(tmp_path: Path) -> None:
    lay(tmp_path, {PY: "x = 1\n"})
    (tmp_path / "src/a.bin").write_bytes(b"\0\1TODO")
    assert judge(tmp_path, "No TODO in `src/`").verdict == "proven"
    with (tmp_path / "src/large.txt").open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    assert judge(tmp_path, "No TODO in `src/`").verdict == "unproven"


_SNIPPETS = st.sampled_from(
    [
        "/* {} */",
        "// {}\n",
        "'{}'",
        '"{}"',
        "`{}`",
        "`${{f('{}')}}`",
        "/[/'\"]/.test(x); ",
        "f(a / b); ",
    ]
)


@given(st.lists(_SNIPPETS, max_size=8), st.lists(_SNIPPETS, max_size=8))
def test_code_between_comments_and_strings_is_code(before: list[str], after: list[str]) -> None:
    ahead = "".join(f";{s.format('it')};\n" for s in before)
    behind = "".join(f";{s.format('it')};\n" for s in after)
    text = f"{ahead}debugger;\n{behind}"
    parts = parts_of("a.ts", text)
    assert parts.kind(text.index("debugger")) is Kind.CODE
    assert "debugger" in parts.only(Kind.CODE)
    hidden = text.replace("it", "no")
    blank = parts_of("a.ts", hidden).only(Kind.CODE)
    assert "no" not in blank
    assert len(blank) == len(hidden)

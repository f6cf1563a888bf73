"""Files and folders that are there, gone, moved or counted, and what files say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.claims import BINDER, judge, lay

GUIDE = (
    "# Guide\n\n## 1. Installation\n\nRun `pip install it --dry-run`.\n\n## Empty\n\n## Usage\nx\n"
)


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("statement", "files", "verdict"),
    [
        ("`Makefile` exists", {"Makefile": "x\n"}, "proven"),
        ("README exists", {"README.md": "x\n"}, "proven"),
        ("README exists", {"docs/README.md": "x\n"}, "failed"),
        ("`app/[id]/page.tsx` exists", {"app/[id]/page.tsx": "x\n"}, "proven"),
        ("The `src/utils` directory exists", {"src/utils/a.py": "x\n"}, "proven"),
        ("The `src/utils` directory exists", {"src/utils": "x\n"}, "failed"),
        ("There is a `.env.example` file", {".env": "x\n"}, "failed"),
        ("A `LICENSE` file exists at the root", {"LICENSE": "x\n"}, "proven"),
        ("`docs/guide.md` is not empty", {"docs/guide.md": " \n"}, "failed"),
        ("`docs/guide.md` is not empty", {"docs/guide.md": "x\n"}, "proven"),
        ("The folder `reports/` is not empty", {"reports/a/b.txt": ""}, "proven"),
        ("`tmp/a.sql` and `tmp/b.sql` do not exist", {"tmp/b.sql": "x\n"}, "failed"),
        ("The `legacy` folder no longer exists", {"legacy2/a": "x\n"}, "proven"),
        ("There is no `yarn.lock`", {"yarn.lock": "x\n"}, "failed"),
        ("`legacy/` is removed", {"legacy/a": "x\n"}, "failed"),
        ("`legacy/` is removed", {"src/a": "x\n"}, "unproven"),
        (
            "`docs/` contains at least 2 markdown files",
            {"docs/a.md": "", "docs/b.md": ""},
            "proven",
        ),
        (
            "`docs/` contains at least 2 markdown files",
            {"docs/a.md": "", "docs/c.txt": ""},
            "failed",
        ),
        ("`src/` has at most 1 file", {"src/a": "", "src/b": ""}, "failed"),
        ("`src/` has fewer than 3 files", {"src/a": "", "src/b": ""}, "proven"),
        ("No `.js` files remain in `src/`", {"src/a/b.js": ""}, "failed"),
        ("No `.js` files remain in `src/`", {"src/a.json": ""}, "proven"),
        ("No `.js` files remain in `src/`", {"lib/a.ts": ""}, "failed"),
        ("`src/` contains `index.ts` and `app.ts`", {"src/index.ts": "x", "app.ts": "x"}, "failed"),
        ("`src/` contains `index.ts`", {"src/index.ts": "x"}, "proven"),
        # -- what they say
        ("`Dockerfile` contains `HEALTHCHECK`", {"Dockerfile": "HEALTHCHECK x\n"}, "proven"),
        ("`Dockerfile` contains `HEALTHCHECK`", {"Dockerfile": "# HEALTHCHECK\n"}, "unproven"),
        ("`a.py` contains `retry`", {"a.py": "# retry\nx = 1\n"}, "unproven"),
        ("`a.py` contains `retry`", {"a.py": "retrying = 1\n"}, "unproven"),
        ("`a.py` contains `retry`", {"a.py": "x = 1\n"}, "failed"),
        ("`a.py` contains `x` and `y`", {"a.py": "x = 1\n"}, "failed"),
        ("`a.py` contains `rеtry`", {"a.py": "retry = 1\n"}, "failed"),
        ("README documents the `--dry-run` flag", {"README.md": GUIDE}, "proven"),
        ("README documents the `--dry` flag", {"README.md": GUIDE}, "unproven"),
        ("README documents the `--json` flag", {"README.md": GUIDE}, "failed"),
        ("README mentions `token`", {"README.md": "<!-- token -->\nx\n"}, "unproven"),
        ("README mentions `Docker`", {"README.md": "docker\n"}, "unproven"),
        ("The docs mention `PORT`", {"docs/a.md": "x\n", "docs/b.md": "PORT\n"}, "proven"),
        ("The docs mention `PORT`", {"docs/a.md": "x\n", "src/b.py": "PORT\n"}, "failed"),
        ("README has an Installation section", {"README.md": GUIDE}, "proven"),
        ("README has a Usage section", {"README.md": GUIDE}, "proven"),
        ("README has an Empty section", {"README.md": GUIDE}, "failed"),
        ("README has a License section", {"README.md": GUIDE}, "failed"),
        ("README has a Use section", {"README.md": f"```\n## Use\nx\n```\n{GUIDE}"}, "failed"),
        ("README has a Use section", {"README.md": "Use\n===\n\nx\n"}, "unproven"),
        ("`src/` has exactly 2 files", {"src/a": "", "src/b/c": ""}, "unproven"),
        ("`src/` has exactly 2 files", {"src/a": "", "src/b": ""}, "proven"),
        ("`src/` contains `a.ts`", {"src/b/a.ts": "x"}, "unproven"),
        ("README has a Start section", {"README.md": "# Quick start\nx\n"}, "unproven"),
        ("`run.sh` starts with `#!/bin/sh`", {"run.sh": "#!/bin/sh\nls\n"}, "proven"),
        ("`run.sh` starts with `#!/bin/sh`", {"run.sh": "ls\n#!/bin/sh\n"}, "failed"),
        (
            "Every file in `src/` starts with `// MIT`",
            {"src/a.ts": "// MIT\n", "src/b.ts": "x"},
            "failed",
        ),
        ("`a.md` has at least 2 lines", {"a.md": "x\n"}, "failed"),
        ("`a.md` has at most 2 lines", {"a.md": "x\ny"}, "proven"),
        ("`a.md` is not longer than 2 lines", {"a.md": "x\ny\nz\n"}, "failed"),
        ("No file in `src/` has more than 2 lines", {"src/a": "\n" * 3, "b": "x"}, "failed"),
        ("No file in `src/` has more than 2 lines", {"src/a": "\n" * 2, "b": "\n" * 9}, "proven"),
    ],
)
def test_what_is_there_decides(
    tmp_path: Path, statement: str, files: dict[str, str], verdict: str
) -> None:
    assert judge(lay(tmp_path, files), statement).verdict == verdict


@pytest.mark.parametrize(
    "statement",
    [
        "`/api/items` exists",
        "`a.py` or `b.py` exists",
        "`a.py` exists unless `b.py` does",
        "`docs/` contains at least 3 good markdown files",
        "`src/a.ts` is moved to the library",
        "Some of `a.py` and `b.py` exist",
        "`a.py` does not exist in `src/`",
        "Only `a.py` exists",
        "README mentions `foo` or `bar`",
        "README documents how to use `--dry-run`",
        "README mentions almost `x`",
        "`README.md` has a nice section",
        "The README is up to date",
        "No file in `src/` is 400 lines",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert any(b.check is None for b in BINDER.bind(statement)), BINDER.bind(statement)


def test_what_was_removed_or_moved_was_there_before(tmp_path: Path) -> None:
    lay(tmp_path, {"legacy/a.ts": "x\n", "src/a.ts": "x\n"})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "start")
    statements = ("`legacy/` is removed", "`src/a.ts` is moved to `lib/`")
    assert [judge(tmp_path, s).verdict for s in statements] == ["failed", "failed"]
    (tmp_path / "lib").mkdir()
    (tmp_path / "src/a.ts").rename(tmp_path / "lib/a.ts")
    (tmp_path / "legacy/a.ts").unlink()
    (tmp_path / "legacy").rmdir()
    assert [judge(tmp_path, s).verdict for s in statements] == ["proven", "proven"]
    lay(tmp_path, {"lib/a.ts": "other\n"})
    assert judge(tmp_path, "`src/a.ts` is moved to `lib/a.ts`").verdict == "unproven"
    assert judge(tmp_path, "`legacy/` is moved to `lib/`").verdict == "unproven"
    lay(tmp_path, {"lib/a.ts": "x\ny\n"})
    assert judge(tmp_path, "`legacy/` is moved to `lib/`").verdict == "proven"
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "move")
    assert judge(tmp_path, "`src/a.ts` is moved to `lib/`").verdict == "proven"
    assert judge(tmp_path, "`lagacy/` is removed").verdict == "unproven"
    assert judge(tmp_path, "`b.ts` is renamed to `lib/a.ts`").verdict == "unproven"


def test_git_says_what_it_ignores(tmp_path: Path) -> None:
    lay(tmp_path, {".gitignore": "dist/\n.env\n!.env\n*.log\n", "a.log": "x\n"})
    assert judge(tmp_path, "`dist/` is ignored by git").verdict == "unproven"
    git(tmp_path, "init", "-q")
    assert judge(tmp_path, "`dist/` is ignored by git").verdict == "proven"
    assert judge(tmp_path, "`.gitignore` contains `dist`").verdict == "proven"
    assert judge(tmp_path, "`.env` is in `.gitignore`").verdict == "failed"
    assert judge(tmp_path, "`a.log` is ignored by git").verdict == "proven"
    git(tmp_path, "add", "-f", "a.log")
    assert judge(tmp_path, "`a.log` is ignored by git").verdict == "failed"


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="`\0\r\n\v\f\x1c\x1d\x1e\x85  "))


@given(_TEXT, _TEXT, st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True))
@example("", "", "xxx")
@example("", "", "todo")
@example("", "", "console")
def test_a_word_of_its_own_is_found_whatever_stands_around_it(
    tmp_path_factory: pytest.TempPathFactory, before: str, after: str, word: str
) -> None:
    root = tmp_path_factory.mktemp("words")
    (root / "a.txt").write_text(f"{before} {word} {after}\n", encoding="utf-8")
    assert judge(root, f"`a.txt` contains `{word}`").verdict == "proven"
    assert judge(root, f"`a.txt` does not contain `{word}`").verdict == "failed"
    assert judge(root, f"`a.txt` mentions `{word}`").verdict == "proven"


def test_a_quoted_word_is_meant_as_it_is_in_a_file_that_is_named(tmp_path: Path) -> None:
    lay(tmp_path, {"a.py": "# we log this\nx = 'todo'\n", "b.md": "We print the console.\n"})
    for statement in ("`a.py` contains no `todo`", "`b.md` contains no `console`"):
        assert judge(tmp_path, statement).verdict == "failed", statement
    # of a folder, or without the quotes, it is the note or the call
    for statement in ("`a.py` has no TODO comments", "No `console.log` in `b.md`", "No TODO left"):
        assert judge(tmp_path, statement).verdict != "failed", statement
    assert judge(tmp_path, "`a.py` contains no `print`").verdict == "proven"

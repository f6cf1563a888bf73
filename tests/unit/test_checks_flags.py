"""Flags, variables of the environment, links, and what is no longer declared or set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.claims import BINDER, judge, lay

ARGPARSE = (
    'import argparse\np = argparse.ArgumentParser()\np.add_argument("-j", "--json", help="--xml")\n'
)
READS = 'import os\nURL = os.environ["API_URL"]\nKEY = os.getenv("API_KEY")\n'


@pytest.mark.parametrize(
    ("statement", "files", "verdict"),
    [
        ("`--json` flag is supported by `cli.py`", {"cli.py": ARGPARSE}, "proven"),
        ("`cli.py` accepts `-j`", {"cli.py": ARGPARSE}, "proven"),
        ("`cli.py` accepts `--xml`", {"cli.py": ARGPARSE}, "unproven"),
        ("`cli.py` accepts `--yaml`", {"cli.py": ARGPARSE}, "failed"),
        ("`cli.py` accepts `--js`", {"cli.py": ARGPARSE}, "unproven"),
        ("The CLI has a `--json` flag", {"a/cli.py": ARGPARSE}, "proven"),
        ("The CLI has a `--json` flag", {"cli.py": "# add_argument('--json')\n"}, "unproven"),
        (
            "`cli.py` accepts `--dry`",
            {"cli.py": "import typer\ndef f(wet: bool): ...\n"},
            "unproven",
        ),
        (
            "`cli.js` has a `--json` option",
            {"cli.js": "program.option('--json', 'x');\n"},
            "proven",
        ),
        ("`cli.js` has a `--json` option", {"cli.js": "// program.option('--json')\n"}, "unproven"),
        (
            "All environment variables are listed in `.env.example`",
            {".env.example": "API_URL=\nAPI_KEY=\n", "a.py": READS},
            "proven",
        ),
        (
            "All environment variables are listed in `.env.example`",
            {".env.example": "API_URL=\n", "a.py": READS},
            "failed",
        ),
        (
            "All environment variables are listed in `.env.example`",
            {".env.example": "API_URL=\nAPI_KEY=\n", "a.py": READS + "X = os.environ[name]\n"},
            "unproven",
        ),
        (
            "All environment variables are listed in `.env.example`",
            {
                ".env.example": "A=\n",
                "a.ts": "const a = process.env.A; const b = process.env['B'];\n",
            },
            "failed",
        ),
        (
            "README links to `docs/a.md`",
            {"README.md": "[a](docs/a.md#x)\n", "docs/a.md": "x"},
            "proven",
        ),
        ("README links to `docs/a.md`", {"README.md": "docs/a.md\n", "docs/a.md": "x"}, "failed"),
        ("README links to `docs/a.md`", {"README.md": "[a](docs/a.md)\n"}, "failed"),
        ("`s.json` has no key `debug`", {"s.json": '{"a": {"debug": 1}}'}, "failed"),
        ("`s.json` has no key `debug`", {"s.json": '{"a": "debug"}'}, "proven"),
        ("`s.json` has the key `debug`", {"s.json": '{"a": "debug"}'}, "failed"),
        ("Function `f` no longer exists in `a.py`", {"a.py": "# def f(): ...\n"}, "proven"),
        ("Function `f` no longer exists in `a.py`", {"a.py": "def f(): ...\n"}, "failed"),
        ("Function `f` no longer exists in `a.py`", {"a.py": "from b import *\n"}, "unproven"),
        ("Function `f` no longer exists in `a.py`", {"b.py": "x = 1\n"}, "failed"),
        ("`a.py` does not define a class `F`", {"a.py": "class F: ...\n"}, "failed"),
        ("`a.py` does not use `eval`", {"a.py": "eval('1')\n"}, "failed"),
        ("`a.py` does not use `eval`", {"a.py": "evaluate('1')\n"}, "proven"),
        ("`GET /items` route exists", {"a.py": '@app.get("/items")\ndef f(): ...\n'}, "proven"),
        ("`POST /items` route exists", {"a.py": '@app.get("/items")\ndef f(): ...\n'}, "unproven"),
        ("`GET /users` route exists", {"a.py": '@app.get("/items")\ndef f(): ...\n'}, "failed"),
        ("`GET /items` route exists", {"a.py": '# @app.get("/items")\n'}, "unproven"),
        (
            "`GET /items` route exists",
            {
                "a.py": '@r.get("/items")\ndef f(): ...\n',
                "b.py": 'a.include_router(r, prefix="/v1")\n',
            },
            "unproven",
        ),
        ("`a.js` defines a `POST /x` endpoint", {"a.js": "app.post('/x', f)\n"}, "proven"),
        (
            "`GET /api/items` endpoint exists",
            {"app/api/items/route.ts": "export async function GET() {}\n"},
            "proven",
        ),
        ("`f` is renamed to `g` everywhere", {"a.py": "g()\n"}, "proven"),
        ("`f` is renamed to `g` everywhere", {"a.py": "g()\n", "b.md": "f\n"}, "failed"),
        ("`f` is renamed to `g` everywhere", {"a.py": "h()\n"}, "failed"),
        ("`f` is renamed to `g` in `a.py`", {"a.py": "g()\n", "b.py": "f()\n"}, "proven"),
        ("`a.txt` is empty", {"a.txt": " \n"}, "proven"),
        ("`a.txt` is empty", {"a.txt": "x\n"}, "failed"),
        ("`a.txt` is empty", {"b.txt": "x\n"}, "failed"),
    ],
)
def test_what_is_read_decides(
    tmp_path: Path, statement: str, files: dict[str, str], verdict: str
) -> None:
    result = judge(lay(tmp_path, files), statement)
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    "statement",
    [
        "`cli.py` supports `--json` or `--xml`",
        "The CLI has no `--json` flag",
        "The CLI only has a `--json` flag",
        "All environment variables except `X` are listed in `.env.example`",
        "All required environment variables are listed in `.env.example`",
        "`f` is renamed to `g` or `h`",
        "`GET /items` route exists unless `X` is set",
        "No `GET /items` route exists",
        "README mostly links to `docs/a.md`",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert any(b.check is None for b in BINDER.bind(statement)), BINDER.bind(statement)

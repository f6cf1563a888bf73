"""Documents that parse or do not, fit a schema or do not, and the values of their keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.claims import BINDER, check_of, judge, lay

TSCONFIG = '{\n  // strict: false\n  "compilerOptions": { "strict": true, "lib": ["a//b"], },\n}\n'
PACKAGE = (
    '{"type": "module", "engines": {"node": ">=20"}, "config": {"type": "x"}, '
    '"scripts": {"build": "vite", "test": "echo \\"Error: no test specified\\" && exit 1"}}'
)
SCHEMA = '{"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}}}'


@pytest.mark.parametrize(
    ("statement", "files", "verdict"),
    [
        ("`a.json` is valid JSON", {"a.json": "{}"}, "proven"),
        ("`a.json` is valid JSON", {"a.json": "{} // x"}, "failed"),
        ("`a.json` is valid", {"a.json": "{"}, "failed"),
        ("`a.json` is valid JSON", {"a.json": ""}, "failed"),
        ("`a.json` is valid JSON", {}, "failed"),
        ("`tsconfig.json` is valid", {"tsconfig.json": TSCONFIG}, "proven"),
        ("`a.yml` is valid YAML", {"a.yml": "a: [1\n"}, "failed"),
        ("`a.xml` is well-formed XML", {"a.xml": "<a><b></a>"}, "failed"),
        ("`a.xml` is well-formed XML", {"a.xml": "<a><b/></a>"}, "proven"),
        ("`a.xml` is well-formed XML", {"a.xml": '<!DOCTYPE a [<!ENTITY x "y">]><a/>'}, "failed"),
        ("`a.toml` parses", {"a.toml": "a = 1\n"}, "proven"),
        ("`a.jsonl` is valid JSONL", {"a.jsonl": "{}\n{\n"}, "failed"),
        ("`a.csv` is valid CSV", {"a.csv": "a,b\n1\n"}, "failed"),
        ("All YAML files in `k/` are valid", {"k/a.yml": "a: 1", "k/b/c.yaml": "a: [1"}, "failed"),
        ("All YAML files in `k/` are valid", {"k/a.yml": "a: 1", "b.yaml": "a: [1"}, "proven"),
        ("All YAML files in `k/` are valid", {"k/a.txt": "a: 1"}, "unproven"),
        # -- keys
        ('`package.json` has `"type": "module"`', {"package.json": PACKAGE}, "proven"),
        ('`package.json` has `"type": "x"`', {"package.json": PACKAGE}, "failed"),
        ("`tsconfig.json` has `strict: true`", {"tsconfig.json": TSCONFIG}, "proven"),
        ("`tsconfig.json` has `strict: false`", {"tsconfig.json": TSCONFIG}, "failed"),
        ("`strict` is enabled in `tsconfig.json`", {"tsconfig.json": TSCONFIG}, "proven"),
        ("`strict` is disabled in `tsconfig.json`", {"tsconfig.json": TSCONFIG}, "failed"),
        (
            "`strict` is enabled in `tsconfig.json`",
            {"tsconfig.json": '{"extends": "a"}'},
            "unproven",
        ),
        (
            "`strict` is enabled in `tsconfig.json`",
            {"tsconfig.json": '{"strict": "true"}'},
            "failed",
        ),
        ("`a.json` sets `port` to `80`", {"a.json": '{"x": {"port": 80}, "port": 81}'}, "failed"),
        ("`a.json` sets `port` to `80`", {"a.json": '[{"port": 80}, {"port": 81}]'}, "unproven"),
        ("`a.b` is `1` in `c.json`", {"c.json": '{"a": {"b": 1}, "z": {"a": {"b": 2}}}'}, "proven"),
        ("`a.json` has a `theme` key", {"a.json": '{"themes": 1}'}, "failed"),
        ("`a.json` has a `theme` key", {"a.json": '{"ui": {"theme": null}}'}, "proven"),
        ("`a.yaml` has a `theme` key", {"a.yaml": "# theme: dark\nui: 1\n"}, "failed"),
        ("`package.json` has a `build` script", {"package.json": PACKAGE}, "proven"),
        ("`package.json` has a `test` script", {"package.json": PACKAGE}, "failed"),
        ("`package.json` has `build` and `lint` scripts", {"package.json": PACKAGE}, "failed"),
        ("`package.json` requires Node ≥ 20", {"package.json": PACKAGE}, "proven"),
        ("`package.json` requires Node ≥ 18", {"package.json": PACKAGE}, "failed"),
        (
            "`pyproject.toml` requires Python >= 3.11",
            {"pyproject.toml": '[project]\nrequires-python = ">=3.11,<4"\n'},
            "proven",
        ),
        (
            "`pyproject.toml` requires Python >= 3.11",
            {"pyproject.toml": '[project]\nrequires-python = "==3.11.*"\n'},
            "unproven",
        ),
        # -- schemas
        (
            "`c.json` validates against `s.json`",
            {"c.json": '{"port": 1}', "s.json": SCHEMA},
            "proven",
        ),
        (
            "`c.json` validates against `s.json`",
            {"c.json": '{"port": "1"}', "s.json": SCHEMA},
            "failed",
        ),
        (
            "`c.yaml` conforms to the schema `s.json`",
            {"c.yaml": "a: 1", "s.json": SCHEMA},
            "failed",
        ),
        (
            "`c.json` validates against `s.json`",
            {"c.json": "{}", "s.json": '{"type": 1}'},
            "failed",
        ),
    ],
)
def test_what_the_parser_reads_decides(
    tmp_path: Path, statement: str, files: dict[str, str], verdict: str
) -> None:
    if ("schema" in statement or "against" in statement) and verdict != "unproven":
        pytest.importorskip("jsonschema")
    assert judge(lay(tmp_path, files), statement).verdict == verdict


@pytest.mark.parametrize(
    "statement",
    [
        '`package.json` has `"type": "module"` or `"type": "commonjs"`',
        "`tsconfig.json` should have `strict: true`",
        "`pyproject.toml` requires Python 3.11 at most",
        "`package.json` has no `test` script",
        "`config.json` is not valid JSON",
        "Some JSON files are valid",
        "All JSON files except `a.json` are valid",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert any(b.check is None for b in BINDER.bind(statement)), BINDER.bind(statement)


def test_a_csv_is_read_by_the_check_of_csv_files() -> None:
    assert check_of("`data/a.csv` is well-formed") == "csv.well-formed"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Use `--force` to overwrite.\n", "proven"),
        ("Do not use `--force` on shared branches.\n", "proven"),
        ("`--force` does not ask.\n", "proven"),
        ("We do not mention `--force`.\n", "unproven"),
        ("`--force` is not\nsupported.\n", "unproven"),
        ("- `--force`: TBD\n", "unproven"),
        ("| `--force` | not yet |\n", "unproven"),
        ("`--force` was removed.\n", "unproven"),
        ("This is not supported. `--force` overwrites.\n", "proven"),
        ("- `--old` is not supported\n- `--force` overwrites\n", "proven"),
        ("`--force` is undocumented.\n\n## Options\n\n`--force` overwrites\n", "proven"),
    ],
)
def test_a_sentence_that_denies_a_thing_does_not_document_it(
    tmp_path: Path, text: str, verdict: str
) -> None:
    lay(tmp_path, {"README.md": text})
    for statement in ("`README.md` documents the `--force` flag", "The docs mention `--force`"):
        result = judge(tmp_path, statement)
        assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    ("statement", "text", "verdict"),
    [
        ("`x.py` has no syntax errors", "def f():\n    return 1\n", "proven"),
        ("`x.py` has no syntax errors", "def f(:\n", "failed"),
        ("`x.json` has no syntax errors", "{}", "proven"),
        ("`x.json` has no syntax errors", "{,}", "failed"),
        ("`x.sh` has no syntax errors", "if true; then echo 1; fi\n", "proven"),
        ("`x.sh` has no syntax errors", "if true; then echo 1\n", "failed"),
        ("`x.sh` is a valid shell script", "for\n", "failed"),
        ("`x.ts` has no syntax errors", "const a: = 1;", "unproven"),
        ("`x.txt` has no syntax errors", "a", "unproven"),
        ("`x.js` has no Python syntax errors", "a = 1", "unproven"),
    ],
)
def test_a_file_is_read_by_its_own_language(
    tmp_path: Path, statement: str, text: str, verdict: str
) -> None:
    lay(tmp_path, {statement.split("`")[1]: text})
    result = judge(tmp_path, statement)
    assert result.verdict == verdict, result.detail


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_javascript_is_read_by_node(tmp_path: Path) -> None:
    lay(tmp_path, {"x.js": "const a = ;\n", "y.mjs": "export const a = await 1;\n"})
    assert judge(tmp_path, "`x.js` has no syntax errors").verdict == "failed"
    assert judge(tmp_path, "`y.mjs` has no syntax errors").verdict == "proven"

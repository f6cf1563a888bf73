"""Lint, formatting, types and build are judged by the tools that a repository configures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrate_agents.checks.project.scripts import starts_tool
from orchestrator.gates.checks import Result
from tests.claims import BINDER, check_of, committed, judge, lay
from tests.nodes import node_modules

SETTINGS = "[tool.ruff]\nline-length = 100\n"
RUFF = {"pyproject.toml": SETTINGS, "shop.py": "PRICE = 1\n"}
UNUSED = {"other.py": "import os\n"}
MYPY = {"pyproject.toml": "[tool.mypy]\nstrict = true\n", "shop.py": "PRICE: int = 1\n"}
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")


def judged(root: Path, statement: str) -> Result:
    """The result as the gate makes it: what lacks is unproven."""
    from orchestrator.gates.checks import Context
    from orchestrator.gates.receipts import _run_check

    (binding,) = BINDER.bind(statement)
    return _run_check(binding, Context(root=root))


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("Lint passes", "tools.lint"),
        ("Linting passes with no warnings", "tools.lint"),
        ("ESLint clean", "tools.lint"),
        ("No ESLint errors or warnings", "tools.lint"),
        ("No new lint errors introduced", "tools.lint"),
        ("ruff is clean", "tools.lint"),
        ("mypy passes", "tools.lint"),
        ("Code is formatted with black", "tools.format"),
        ("Prettier formatted", "tools.format"),
        ("Type checking passes", "tools.types"),
        ("Typecheck passes", "tools.types"),
        ("No type errors", "tools.types"),
        ("No new TypeScript errors", "tools.types"),
        ("The project builds", "tools.build"),
        ("Build succeeds without errors", "tools.build"),
        ("Production build succeeds", "tools.build"),
        ("The code compiles", "tools.build"),
        ("Lint, typecheck and tests pass", "tools.several"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [
        "Lint passes except for tests",
        "Lint mostly passes",
        "Lint passes in CI",
        "Lint passes for touched areas",
        "Lint or type check passes",
        "The linter is configured",
        "Lint does not pass",
        "At most 3 lint warnings",
        "Only the build passes",
        "Builds in under 30 seconds",
        "The Docker image builds",
        "Build succeeds on Windows",
        "Docs build",
        "No lint errors in new code",
        "Types are documented",
        "Unit tests, lint and docs pass",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def test_a_linter_that_reports_nothing_and_one_that_does(tmp_path: Path) -> None:
    committed(tmp_path, RUFF)
    for statement in ("Lint passes", "ruff clean", "No lint errors in `shop.py`"):
        result = judge(tmp_path, statement)
        assert result.verdict == "proven", result.detail
        assert "ruff check --no-cache" in result.detail
    lay(tmp_path, UNUSED)
    result = judge(tmp_path, "Lint passes")
    assert result.verdict == "failed"
    assert "F401" in result.detail
    assert judge(tmp_path, "No lint errors in `shop.py`").verdict == "proven"
    assert judge(tmp_path, "No new lint errors").verdict == "unproven"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pyproject.toml": f"{SETTINGS}[tool.ruff.lint]\nignore = ['F401']\n"},
         "tool.ruff.lint.ignore (not set) → F401"),
        ({"pyproject.toml": "[tool.ruff]\nline-length = 200\n", "other.py": "A = 1\n"},
         "line-length 100 → 200"),
        ({"pyproject.toml": f"{SETTINGS}exclude = ['other.py']\n"}, "exclude"),
        ({"other.py": "import os  # noqa\n"}, "1 more of `# noqa`"),
    ],
)  # fmt: skip
def test_what_the_work_made_laxer_is_named(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    committed(tmp_path, RUFF)
    lay(tmp_path, {**UNUSED, **change})
    result = judge(tmp_path, "Lint passes")
    assert result.verdict == "unproven", result.detail
    assert said in result.detail


def test_stricter_settings_are_no_weakening(tmp_path: Path) -> None:
    before = "[tool.ruff.lint]\nselect = ['F']\nignore = ['E501', 'E502']\n"
    committed(tmp_path, {**RUFF, "pyproject.toml": before})
    after = "[tool.ruff.lint]\nselect = ['F', 'E']\nignore = ['E501']\n"
    lay(tmp_path, {"pyproject.toml": after})
    assert judge(tmp_path, "Lint passes").verdict == "proven"


def test_formatting_is_only_looked_at(tmp_path: Path) -> None:
    committed(tmp_path, {**RUFF, "pyproject.toml": "[tool.ruff.format]\n"})
    assert judge(tmp_path, "Code is formatted").verdict == "proven"
    lay(tmp_path, {"shop.py": "PRICE   = 1\n"})
    assert judge(tmp_path, "Formatting is clean").verdict == "failed"
    assert (tmp_path / "shop.py").read_text() == "PRICE   = 1\n"


def test_types_are_checked_by_mypy(tmp_path: Path) -> None:
    committed(tmp_path, MYPY)
    assert judge(tmp_path, "Type check passes").verdict == "proven"
    lay(tmp_path, {"shop.py": 'PRICE: int = "1"\n'})
    assert judge(tmp_path, "No type errors").verdict == "failed"
    lay(tmp_path, {"shop.py": 'PRICE: int = "1"  # type: ignore\n'})
    result = judge(tmp_path, "No type errors")
    assert (result.verdict, "type: ignore" in result.detail) == ("unproven", True)


def test_without_a_tool_it_is_unproven_and_says_what_to_do(tmp_path: Path) -> None:
    committed(tmp_path, {"shop.py": "PRICE = 1\n"})
    for statement in (
        "Lint passes",
        "Code is formatted",
        "Type check passes",
        "The project builds",
    ):
        result = judge(tmp_path, statement)
        assert result.verdict == "unproven"
        assert "configure" in result.detail
    lay(tmp_path, {".flake8": "[flake8]\n"})
    result = judged(tmp_path, "Lint passes")
    assert result.verdict == "unproven"
    assert "pip install flake8" in str(result.evidence["install"])
    lay(tmp_path, {"package.json": '{"devDependencies": {"eslint": "9"}}', "a.js": "1;\n",
                   "eslint.config.js": "export default [];\n"})  # fmt: skip
    result = judged(tmp_path, "ESLint clean")
    assert (result.verdict, result.evidence["install"]) == ("unproven", "npm install")


@needs_node
@pytest.mark.skipif(node_modules() is None, reason="needs npm ci")
def test_a_build_runs_in_a_copy_and_has_to_leave_something(tmp_path: Path) -> None:
    config = {"compilerOptions": {"outDir": "out", "types": [], "strict": True}, "files": ["a.ts"]}
    package = {"scripts": {"build": "tsc -p ."}, "devDependencies": {"typescript": "*"}}
    files = {"tsconfig.json": json.dumps(config), "a.ts": "export const a: number = 1;\n"}
    committed(
        tmp_path, {**files, "package.json": json.dumps(package), ".gitignore": "node_modules\n"}
    )
    modules = node_modules()
    assert modules is not None
    (tmp_path / "node_modules").symlink_to(modules)
    for statement in ("The project builds", "No TypeScript errors", "Type check passes"):
        result = judge(tmp_path, statement)
        assert result.verdict == "proven", result.detail
    assert not (tmp_path / "out").exists()
    lay(tmp_path, {"a.ts": 'export const a: number = "1";\n'})
    for statement in (
        "The project builds",
        "No TypeScript errors",
        "Build succeeds without errors",
    ):
        assert judge(tmp_path, statement).verdict == "failed"


@needs_node
@pytest.mark.parametrize(
    ("name", "text", "statement"),
    [
        ("typecheck", "test -f package.json", "Type check passes"),
        ("format:check", "ls src", "The code is formatted"),
        ("lint", "grep -q add src/add.js", "Lint passes"),
        ("build", "cp src/add.js dist.js", "The project builds"),
        ("lint", "eslint --version", "Lint passes"),
        ("lint", "./tools/eslint src", "Lint passes"),
        ("typecheck", "npm run inner", "Type check passes"),
        ("build", "make all", "The project builds"),
    ],
)
def test_a_script_counts_by_what_it_starts_and_not_by_its_name(
    tmp_path: Path, name: str, text: str, statement: str
) -> None:
    scripts = {name: text, "inner": "node -e 0"}
    files = {"package.json": json.dumps({"scripts": scripts}), "src/add.js": "export const a = 1\n"}
    committed(tmp_path, {**files, "Makefile": "all:\n\tcp src/add.js dist.js\n"})
    result = judge(tmp_path, statement)
    assert result.verdict == "unproven", result.detail
    assert f"the script `{name}` starts no " in result.detail


@pytest.mark.parametrize(
    ("scripts", "make", "known"),
    [
        ({"lint": "eslint ."}, "", True),
        ({"lint": "npx eslint src --max-warnings=0 && echo done"}, "", True),
        ({"lint": "NODE_ENV=x node_modules/.bin/eslint ."}, "", True),
        ({"lint": "node --no-warnings node_modules/eslint/bin/eslint.js ."}, "", True),
        ({"lint": "python -m ruff check ."}, "", True),
        ({"lint": "npm run inner", "inner": "biome check src"}, "", True),
        ({"lint": "run-s lint:*", "lint:js": "eslint ."}, "", True),
        ({"lint": "make check"}, "check: js\njs:\n\t@eslint .\n", True),
        ({"lint": "make check"}, "check:\n\t-eslint .\n", False),
        ({"lint": "make check"}, "SHELL = ./sh\ncheck:\n\teslint .\n", False),
        ({"lint": "make check"}, "check:\n\techo eslint\nother:\n\teslint .\n", False),
        ({"lint": "npm run inner", "inner": "eslint . || true"}, "", False),
        ({"lint": "echo eslint ."}, "", False),
        ({"lint": "sh eslint"}, "", False),
        ({"lint": "npm run lint"}, "", False),
        ({"lint": "eslint-show ."}, "", False),
    ],
)
def test_scripts_are_followed_to_the_tool_that_they_start(
    tmp_path: Path, scripts: dict[str, str], make: str, known: bool
) -> None:
    lay(tmp_path, {"package.json": json.dumps({"scripts": scripts}), "Makefile": make})
    assert starts_tool(tmp_path, "lint", "lint") is known


@needs_node
@pytest.mark.skipif(node_modules() is None, reason="needs npm ci")
@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        ("tsc --noEmit -p .", "proven"),
        ("tsc --noEmit --ignoreConfig a.ts", "unproven"),
    ],
)
def test_a_script_has_to_look_at_the_code(tmp_path: Path, script: str, verdict: str) -> None:
    options = {"types": [], "strict": True}
    config = json.dumps({"compilerOptions": options, "files": ["a.ts", "b.ts"]})
    code = "export const a: number = 1;\n"
    package = {"scripts": {"typecheck": script}, "devDependencies": {"typescript": "*"}}
    files = {"tsconfig.json": config, "package.json": json.dumps(package)}
    files |= {".gitignore": "node_modules\n"}
    committed(tmp_path, {**files, "a.ts": code, "b.ts": code})
    modules = node_modules()
    assert modules is not None
    (tmp_path / "node_modules").symlink_to(modules)
    result = judge(tmp_path, "Type check passes")
    assert result.verdict == verdict, result.detail


@needs_node
@pytest.mark.parametrize("script", ["exit 0", "echo built", "true", "tsc || true", "node -e 0"])
def test_a_build_script_that_does_nothing_proves_nothing(tmp_path: Path, script: str) -> None:
    committed(tmp_path, {"package.json": json.dumps({"scripts": {"build": script}})})
    assert judge(tmp_path, "The project builds").verdict == "unproven"


def test_several_gates_have_the_worst_of_their_verdicts(tmp_path: Path) -> None:
    tests = {"tests/test_a.py": "def test_a() -> None:\n    assert 1\n"}
    both = {"pyproject.toml": "[tool.ruff]\n[tool.mypy]\nstrict = true\n"}
    committed(tmp_path, {**tests, **both})
    assert judge(tmp_path, "Lint, typecheck and tests pass").verdict == "proven"
    lay(tmp_path, UNUSED)
    result = judge(tmp_path, "Lint, typecheck and tests pass")
    assert (result.verdict, "lint: " in result.detail) == ("failed", True)

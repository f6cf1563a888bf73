"""`orchestrate agents` and `init --agents`, with a program that stands in for a coding agent's."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.settings.config import load_settings
from tests.repositories import Repository

#: prints what Claude Code prints for a turn that writes a file
_PROGRAM = """#!{python}
import json, sys
if "--version" in sys.argv:
    print("9.9.9 (stand-in)")
    sys.exit()
sys.stdin.read()
if {writes}:
    open("hello.txt", "w").write("hello\\n")
used = {{"input_tokens": 10, "output_tokens": 5}}
content = [{{"type": "text", "text": "Done."}}]
message = {{"id": "m", "model": "m-1", "usage": used, "content": content}}
for said in (
    {{"type": "system", "subtype": "init", "session_id": "s", "model": "m-1"}},
    {{"type": "assistant", "session_id": "s", "message": message}},
    {{"type": "result", "subtype": "success", "session_id": "s", "is_error": False,
      "result": "Done.", "total_cost_usd": 0.25, "usage": used, "modelUsage": {{"m-1": {{
          "inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 0,
          "cacheCreationInputTokens": 0, "costUSD": 0.25}}}}}},
):
    print(json.dumps(said), flush=True)
"""


def run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *words])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "shop"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True)
    return root


def put_program(root: Path, *, writes: bool = True) -> None:
    file = root / "tools" / "claude"
    file.parent.mkdir(exist_ok=True)
    file.write_text(_PROGRAM.format(python=sys.executable, writes=writes), encoding="utf-8")
    file.chmod(0o755)
    (root / "orchestrate.toml").write_text(
        f'[agents.BUILDER]\nuse = "claude"\ncommand = ["{file}"]\n', encoding="utf-8"
    )


def test_init_sets_a_coding_agent_up(root: Path) -> None:
    assert run(root, "init", "--agents", "claude", "--no-commit").exit_code == 0
    settings = load_settings(root)
    assert settings.agent("BUILDER").adapter == "claude"
    assert settings.budget.per_attempt.usd > 0
    tomllib.loads((root / "orchestrate.toml").read_text(encoding="utf-8"))


def test_init_knows_which_coding_agents_there_are(root: Path) -> None:
    said = run(root, "init", "--agents", "clod")
    assert said.exit_code == 2
    assert "'clod' is not a coding agent" in said.stderr
    assert "claude" in said.stderr
    assert not (root / "orchestrate.toml").exists()


def test_a_ticket_gets_its_criteria_from_the_command_line(root: Path) -> None:
    run(root, "init", "--no-commit")
    run(
        root,
        "new",
        "Greet",
        "--problem",
        "Nobody greets.",
        "-c",
        "`a.py` exists",
        "-c",
        "`b` exists",
    )
    text = next((root / "_WORK_ORDERS").rglob("WO-002_*.md")).read_text(encoding="utf-8")
    assert "Nobody greets." in text
    assert text.rstrip().endswith("- [ ] `a.py` exists\n- [ ] `b` exists")


def test_agents_says_what_is_found_and_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root, "init", "--no-commit")
    put_program(root)
    listed = json.loads(run(root, "agents", "--json").stdout)["agents"]
    (builder,) = (a for a in listed if a["name"] == "BUILDER")
    assert (builder["use"], builder["version"]) == ("claude", "9.9.9 (stand-in)")
    assert builder["signed_in"] is False
    assert "nobody seems to be signed in" in builder["notes"][0]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    assert "signed in" in run(root, "agents").stdout
    (root / "tools" / "claude").unlink()
    said = " ".join(run(root, "agents").stdout.split())
    assert "npm install -g @anthropic-ai/claude-code" in said


@pytest.mark.parametrize(
    ("writes", "code", "words"), [(True, 0, "it works"), (False, 1, "did not")]
)
def test_a_trial_says_whether_it_works_and_what_it_cost(
    root: Path, writes: bool, code: int, words: str
) -> None:
    put_program(root, writes=writes)
    result = run(root, "agents", "try", "BUILDER")
    assert result.exit_code == code, result.output
    assert words in result.stdout
    assert f"${0.25 if writes else 1.0:.2f}" in result.stdout
    assert not (root / "_WORK_ORDERS").exists()


def test_a_program_of_the_workspace_is_tried_too(root: Path) -> None:
    put_program(root)
    text = '[agents.BUILDER]\nuse = "claude"\ncommand = ["tools/claude"]\n'
    (root / "orchestrate.toml").write_text(text, encoding="utf-8")
    result = run(root, "agents", "try", "BUILDER")
    assert (result.exit_code, "it works" in result.stdout) == (0, True), result.output


def test_a_builtin_agent_is_no_trial(root: Path) -> None:
    said = run(root, "agents", "try", "LEAD")
    assert said.exit_code == 2
    assert "LEAD is not a coding agent" in said.stderr


@pytest.mark.parametrize(
    ("deed", "named"),
    [
        ("rm -rf .git", "`.git` was removed"),
        ("rm -rf .git; echo 'gitdir: ../../../.git' > .git", "`.git` was replaced"),
        ("rm -rf .git; ln -s ../../../.git .git", "`.git` was replaced"),
    ],
)
def test_a_program_that_takes_git_from_its_checkout_and_a_renamed_branch(
    root: Path, deed: str, named: str
) -> None:
    repo = Repository(root)
    put_program(root)
    file = root / "tools" / "claude"
    # only until it is told of it
    act = f"""asked = sys.stdin.read()
import os
open("colour.txt", "w").write("green\\n")
if "took the checkout away" not in asked:
    os.system({deed!r})
"""
    text = file.read_text(encoding="utf-8").replace("sys.stdin.read()\n", act)
    file.write_text(text, encoding="utf-8")
    repo.commit("an agent")
    before = repo.git("rev-parse", "main:README.md")
    said = run(root, "run", "WO-1")
    assert repo.question()["kind"] == "checkpoint", said.output
    (failure,) = repo.records("failure")
    assert named in failure["findings"][0]["detail"]
    assert repo.git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert repo.git("rev-parse", "main:README.md") == before
    repo.git("branch", "-m", "main", "trunk")
    refused = run(root, "approve", "WO-1", "--run")
    assert refused.exit_code != 0
    assert "the branch `main`, into which WO-1 lands, is gone" in refused.stderr
    assert "git branch main" in refused.stderr
    repo.git("branch", "-m", "trunk", "main")
    assert run(root, "approve", "WO-1", "--run").exit_code == 0
    assert repo.file_at("main", "colour.txt") == "green"

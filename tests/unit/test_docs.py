"""The documents say what is there: generated parts, commands, keys, links and worked examples."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from orchestrator import plugins
from orchestrator.domain.agent import Job, MemberInfo, Outcome, Report
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import TYPES, Context, Verdict
from orchestrator.gates.loading import load_checks
from orchestrator.settings.config import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    found = re.findall(r"^```(.*?)\n(.*?)^```$", read(document), re.DOTALL | re.MULTILINE)
    return [text for said, text in found if said == language]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_as_the_code_has_them(generate: ModuleType) -> None:
    stale = [name for name in generate.GENERATED if generate.generated(name) != read(name)]
    assert stale == [], "run: python docs/generate.py"


def test_every_command_and_option_has_help(generate: ModuleType) -> None:
    commands = list(generate.commands())
    assert len(commands) > 10
    for name, command in commands:
        assert (command.help or "").strip(), name
        for param in command.params:
            assert param.help, f"{name} {param.name}"


def test_every_command_that_reads_has_json(generate: ModuleType) -> None:
    reading = {"status", "inbox", "list", "show", "log", "verify", "run", "doctor"}
    reading |= {"workflow check", "workflow show", "checks", "checks try", "receipts"}
    options = {name: {o for p in c.params for o in p.opts} for name, c in generate.commands()}
    assert {name for name in reading if "--json" not in options[name]} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_commands_in_documents_exist(generate: ModuleType, document: Path) -> None:
    options = {name: {o for p in c.params for o in p.opts} for name, c in generate.commands()}
    for line in re.findall(r"\borchestrate ([a-z][^`\n|#]*)", _code(document)):
        words = line.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in options else words[0]
        assert name in options, f"{document.name}: orchestrate {line}"
        unknown = {w for w in words if w.startswith("--")} - options[name]
        assert unknown == set(), f"{document.name}: orchestrate {line}"


def _code(document: Path) -> str:
    """What stands in code fences and between backticks."""
    text = document.read_text(encoding="utf-8")
    fenced = re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)
    return "\n".join([*fenced, *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert link.startswith("http") or (document.parent / link).exists(), link


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake (run|test|check|bench|clean|[a-z]+(?= +#))", read("README.md")))
    assert {"run", "test", "check", "bench"} <= named <= targets


def test_every_key_of_the_configuration_is_documented_with_its_default() -> None:
    table, _, _ = read("docs/configuration.md").partition("## Environment")
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", table, re.MULTILINE))
    keys = dict(_keys(Settings))
    for plugin in plugins.registered("settings"):
        keys |= dict(_keys(plugin.load(), f"{plugin.name}."))
    assert set(rows) == set(keys)
    for key, default in keys.items():
        if key != "agents.NAME.part":
            assert tomllib.loads(f"x = {rows[key].strip('`')}")["x"] == default, key


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each key with its default as TOML would give it."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if (prefix, name) == ("", "agents"):
            from orchestrator.settings.agents import AgentSettings

            yield from _keys(AgentSettings, "agents.NAME.")
        elif (prefix, name) == ("web.", "users"):
            from orchestrator.settings.web import WebUser

            yield from _keys(WebUser, "web.users.NAME.")
        elif isinstance(default, SecretStr):
            yield f"{prefix}{name}", default.get_secret_value()
        elif isinstance(default, BaseModel):
            yield from _keys(type(default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(default) if isinstance(default, tuple) else default


def test_the_worked_check_binds_and_judges(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "hours.py").write_text(blocks("docs/checks.md", "python")[0], "utf-8")
    checks = [c for c in load_checks(tmp_path) if c.name == "hours.days"]
    (binding,) = Binder(checks).bind("`data/hours.csv` covers 7 days")
    assert binding.check is not None
    (tmp_path / "data").mkdir()
    for days, verdict in ((7, Verdict.PROVEN), (6, Verdict.FAILED)):
        rows = "".join(f"{day},9,17\n" for day in range(days))
        (tmp_path / "data/hours.csv").write_text(f"day,open,close\n{rows}", encoding="utf-8")
        result = binding.check.function(Context(tmp_path), **binding.arguments)
        assert (result.verdict, result.detail) == (verdict, f"data/hours.csv covers {days} days")
    assert Binder(checks).bind("`data/hours.csv` covers no days")[0].check is None


def test_the_session_in_the_documents_is_what_the_command_says(tmp_path: Path) -> None:
    (block,) = [b for b in blocks("docs/checks.md", "") if b.startswith("$ orchestrate")]
    command, _, output = block.partition("\n")
    (tmp_path / "_WORK_ORDERS").mkdir()
    words = shlex.split(
        command.removeprefix("$ orchestrate ").replace('"`', "'`").replace('days"', "days'")
    )
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, output)


def test_every_check_is_documented_once_by_what_it_claims(generate: ModuleType) -> None:
    blocks = generate.checks_by_block()
    listed = sorted(check.name for found in blocks.values() for check in found)
    ours = [c for c in load_checks() if c.function.__module__.startswith("orchestrate_")]
    assert listed == sorted(check.name for check in ours), "add it to a block of docs/checks.md"
    for check in ours:
        assert check.examples, f"{check.name} shows no wording"
        for example in check.examples:
            bound = [b.check.name for b in Binder(ours).bind(example) if b.check]
            assert check.name in bound, example


def test_every_parameter_type_is_documented() -> None:
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", read("docs/checks.md"), re.MULTILINE)
    documented = {name for row in table for name in re.findall(r"\w+", row)}
    own = {"path", "name", "names", "int", "number", "id", "folder", "agent", "code", "text"}
    assert documented == own & set(TYPES)


def test_the_worked_agent_works(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(blocks("docs/agents.md", "python")[0], namespace)
    member = MemberInfo(id="WO-1", path="x.md", status="BUILD", owner="PAINTER")
    job = Job(
        ticket="WO-1",
        parent="WO-1",
        family=(member,),
        stage=1,
        agent="PAINTER",
        workspace=str(tmp_path),
        workflow="w.md",
        workflow_text="",
    )
    assert namespace["Painter"]().work(job).outcome is Outcome.DONE
    assert (tmp_path / "colour.txt").read_text(encoding="utf-8") == "green\n"


def test_the_smallest_command_answers_with_a_report() -> None:
    (script,) = blocks("docs/agents.md", "sh")
    answer = re.search(r"echo '(.+)'", script)
    assert answer is not None
    assert Report.model_validate_json(answer.group(1)).outcome is Outcome.NEEDS_PERSON


def test_every_outcome_of_an_agent_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", read("docs/agents.md"), re.MULTILINE)
    assert set(rows) == {outcome.value for outcome in Outcome}


def test_the_settings_in_documents_are_valid() -> None:
    for document in DOCUMENTS:
        for block in blocks(str(document.relative_to(ROOT)), "toml"):
            if not block.startswith("[project"):
                Settings.model_validate(tomllib.loads(block))


def test_the_repository_can_be_checked_by_one_file() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert [w for w in ("make check", "make test") if w not in text] == []

"""What users look up: settings with their source, effects, schemas, pages, recipes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from orchestrate_agents.effects import bind
from orchestrator.cli.app import app
from orchestrator.cli.configuring import key_lines
from orchestrator.domain.agent import Job, Report
from orchestrator.domain.workflow import Block
from orchestrator.workflow_reader.parser import read_workflow_text

ROOT = Path(__file__).parents[2]


def orchestrate(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *args])


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


# -- config show -----------------------------------------------------------------------------------

CONFIG = '''
failure_limit = 3
"stale_days" = 2

[git]
# commit = true
commit = true
author = """Ana \\
  <ana@example.org>"""

[agents.PAINTER]
command = [
  "tools/paint",
  "--api-key=abc123",
  "--token", "xyz789",  # timeout = 5
]
env = ["PAINTER_KEY"]
options = { api_key = "s3cr3t", colour = "green" }

[notify]
urls = ["json://ana:hunter2@example.org/board"]
'''


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[object, str]]:
    (tmp_path / "orchestrate.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("ORCHESTRATE_NOTIFY_URLS", "slack://t0k3n/x")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:pa55@example.org/x")
    listed = json.loads(orchestrate(tmp_path, "config", "show", "--json").stdout)
    return {row["key"]: (row["value"], row["source"]) for row in listed["settings"]}


def test_every_setting_is_shown_with_its_source(shown: dict[str, tuple[object, str]]) -> None:
    assert shown["failure_limit"] == (3, "orchestrate.toml:2")
    assert shown["stale_days"] == (2, "orchestrate.toml:3")
    assert shown["git.commit"] == (True, "orchestrate.toml:7")
    assert shown["git.author"] == ("Ana <ana@example.org>", "orchestrate.toml:8")
    assert shown["agents.PAINTER.env"] == (["PAINTER_KEY"], "orchestrate.toml:17")
    assert shown["agents.PAINTER.timeout"] == (900.0, "default")
    assert shown["agents.LEAD.part"] == ("triager", "default")
    assert shown["database.target"] == ("embedded", "default")
    assert shown["notify.urls"][1] == (
        "orchestrate.toml:21 and environment variable ORCHESTRATE_NOTIFY_URLS"
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_secret_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    (tmp_path / "orchestrate.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("ORCHESTRATE_NOTIFY_URLS", "slack://t0k3n/x")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:pa55@example.org/x")
    printed = orchestrate(tmp_path, "config", "show", *options).stdout
    for secret in ("abc123", "xyz789", "s3cr3t", "hunter2", "t0k3n", "pa55"):
        assert secret not in printed
    assert "green" in printed
    assert "DATABASE_URL" in printed


def test_without_a_file_everything_is_a_default(tmp_path: Path) -> None:
    listed = json.loads(orchestrate(tmp_path, "config", "show", "--json").stdout)
    assert listed["file"] is None
    assert {row["source"] for row in listed["settings"]} == {"default"}


VALUES = st.sampled_from(
    ["1", "true", '"a = 1"', "[1,\n  2, # x = 3\n]", '"""\nb = 2\n[c]\n"""', "'x'", "{ y = 1 }"]
)
KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=5)


@settings(deadline=None)
@given(parts=st.lists(st.tuples(KEYS, st.lists(VALUES, min_size=5, max_size=5)), max_size=4))
def test_the_line_of_every_key_is_found(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[list[str], list[str]]]
) -> None:
    text, expected = "", {}
    for number, (keys, values) in enumerate(parts):
        text += f"# a = 0\n[t{number}]\n"
        for key, value in zip(keys, values, strict=False):
            expected[f"t{number}.{key}"] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    tomllib.loads(text)
    file = tmp_path_factory.mktemp("toml") / "x.toml"
    file.write_text(text, encoding="utf-8")
    found = key_lines(file)
    assert {key.removesuffix(".y"): line for key, line in found.items()} == expected


# -- effects ---------------------------------------------------------------------------------------

WORKFLOW = """
## STAGE 1: SOOP — Tables
Write `migrations/004_hours.sql` with:

```sql
create table public.hours (id int primary key);
```

Write `scripts/seed_hours.py`.

## STAGE 2: USER CHECKPOINT #1 — Apply

- {item}

```bash
{line}
```
"""


def bound(tmp_path: Path, item: str = "Look.", line: str = "true") -> list[str]:
    text = WORKFLOW.format(item=item, line=line)
    workflow = read_workflow_text(text, tmp_path / "w.md")
    found = bind(workflow.stages[1], workflow, tmp_path)
    # what only looks is left to USER
    return [e.kind for e in found.effects] + [t for t in found.by_user if t[0].startswith("look: ")]


def test_what_is_listed_binds(tmp_path: Path) -> None:
    listed = json.loads(orchestrate(tmp_path, "effects", "--json").stdout)
    examples = {form["kind"]: form["examples"] for form in listed}
    assert set(examples) == {"sql.apply", "sql.base", "script.run", "sql.count"}
    for example in examples["sql.apply"]:
        assert bound(tmp_path, item=example) == ["sql.apply"]
    for example in examples["script.run"]:
        assert bound(tmp_path, line=example) == ["script.run"]
    assert "(execute|apply|run|deploy)" in orchestrate(tmp_path, "effects").stdout


@pytest.mark.parametrize(
    ("item", "tables"),
    [
        ("Count `orders`", ["orders"]),
        ("Count the rows of `orders` and `public.customers`.", ["orders", "public.customers"]),
        ("count all records in `a`, `b`, and `c`", ["a", "b", "c"]),
        ("Count `orders` rows", ["orders"]),
        ("Count `orders` before you approve", None),
        ("Count on `orders`; drop it", None),
        ("Recount `orders`", None),
    ],
)
def test_an_item_that_asks_for_a_count_is_one(
    tmp_path: Path, item: str, tables: list[str] | None
) -> None:
    # beside an effect, a count is one too
    text = WORKFLOW.format(item=item, line="python scripts/seed_hours.py")
    workflow = read_workflow_text(text, tmp_path / "w.md")
    found = bind(workflow.stages[1], workflow, tmp_path)
    counts = [e for e in found.effects if e.kind == "sql.count"]
    assert [e.arguments["tables"] for e in counts] == ([tables] if tables else [])
    assert any(item in text for text, _ in found.by_user) is (tables is None)
    for effect in counts:
        from orchestrate_agents.effects import _bind_query

        # the query is one that only reads
        (again,), left = _bind_query(Block("sql", effect.arguments["sql"], 1))
        assert left == []
        assert again.read_only


# -- schemas and pages -----------------------------------------------------------------------------


def test_the_examples_of_the_page_are_as_the_schemas_say(tmp_path: Path) -> None:
    job, report = map(json.loads, blocks("agents.md", "json"))
    assert set(job) == set(Job.model_fields)
    assert set(report) == set(Report.model_fields)
    Job.model_validate(job)
    Report.model_validate(report)
    for options, message in (((), Report), (("--job",), Job)):
        schema = json.loads(orchestrate(tmp_path, "agents", "schema", *options).stdout)
        assert set(schema["properties"]) == set(message.model_fields)
        assert schema["additionalProperties"] is False
        assert "DESIGN" not in json.dumps(schema)


def test_pages_are_listed_printed_and_located(tmp_path: Path) -> None:
    listed = orchestrate(tmp_path, "docs").stdout
    for page in ("configuration", "ci", "uninstalling", "agent-schemas", "checks"):
        assert f"  {page} " in listed
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        assert orchestrate(tmp_path, "docs", page).stdout.rstrip("\n") == text.rstrip("\n")
    where = orchestrate(tmp_path, "docs", "docs/checks.md", "--path").stdout.strip()
    assert where == str(ROOT / "docs" / "checks.md")
    refused = orchestrate(tmp_path, "docs", "configuraton")
    assert refused.exit_code == 2
    assert "did you mean configuration?" in refused.output


def test_no_message_of_a_check_names_the_design(tmp_path: Path) -> None:
    assert "DESIGN" not in orchestrate(tmp_path, "checks").stdout


# -- recipes ---------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A workspace with one family that is complete."""
    root = tmp_path / "work"
    root.mkdir()
    for words in (["init"], ["run", "WO-001"], ["approve", "WO-001"], ["run", "WO-001"]):
        orchestrate(root, *words)
    assert list((root / "_WORK_ORDERS/06_COMPLETE").glob("WO-001*"))
    return root


def run_script(root: Path, tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    program = tools / "orchestrate"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m orchestrator "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    env["PYTHONPATH"] = str(ROOT)
    return subprocess.run(["sh", "-c", text], cwd=root, env=env, capture_output=True, text=True)


def test_the_ci_recipe_passes_and_fails_with_what_was_proven(
    finished: Path, tmp_path: Path
) -> None:
    recipe = blocks("ci.md", "sh")[0]
    done = run_script(finished, tmp_path, recipe)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "== WO-001" in done.stdout
    (finished / "docs/hello.md").unlink()
    assert run_script(finished, tmp_path, recipe).returncode == 1


def test_the_uninstall_recipe_removes_the_blocks_and_nothing_else(
    finished: Path, tmp_path: Path
) -> None:
    (ticket,) = (finished / "_WORK_ORDERS/06_COMPLETE").glob("WO-001*")
    note = finished / "_WORK_ORDERS/note.md"
    note.write_text("# Note\n\nflow: stays\n  as it is\n", encoding="utf-8")
    before = ticket.read_text(encoding="utf-8")
    assert "\nflow:\n" in before
    block = re.search(r"^flow:\n(?:[ \t].*\n|\n)*", before, re.MULTILINE)
    assert block is not None
    done = run_script(finished, tmp_path, blocks("uninstalling.md", "sh")[0])
    assert done.returncode == 0, done.stderr
    assert ticket.read_text(encoding="utf-8") == before.replace(block.group(), "", 1)
    assert note.read_text(encoding="utf-8") == "# Note\n\nflow: stays\n  as it is\n"

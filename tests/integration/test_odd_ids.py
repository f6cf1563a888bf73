"""Ids that YAML would read as something else than text survive in the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app


def orchestrate(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *args])


@pytest.mark.parametrize("id", ["19", "007", "0x1F", "1e3", "2024-01-05", "1_000", "12.50"])
def test_2_1_an_id_that_yaml_reads_as_a_number_or_date(tmp_path: Path, id: str) -> None:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows/look.md").write_text(
        "# Look\n\n## STAGE 1: USER CHECKPOINT #1 — Look\n", encoding="utf-8"
    )
    inbox = tmp_path / "_WORK_ORDERS/00_INBOX"
    inbox.mkdir(parents=True)
    (inbox / "19_n.md").write_text(
        f"---\nid: {id}\nstatus: 00_INBOX\nowner: BUILDER\n"
        "pipeline_workflow: workflows/look.md\n---\n# N\n",
        encoding="utf-8",
    )
    asked = orchestrate(tmp_path, "run", id)
    assert asked.exit_code == 10, asked.output
    shown = orchestrate(tmp_path, "status", id, "--json")
    assert shown.exit_code == 0, shown.output
    assert [member["id"] for member in json.loads(shown.stdout)["members"]] == [id]
    assert orchestrate(tmp_path, "approve", id).exit_code == 0
    done = orchestrate(tmp_path, "run", id)
    assert done.exit_code == 0, done.output

"""A checkout's own database: its agent signs in there, and reaches no other server."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from orchestrate_agents.coding.claude import Claude
from orchestrate_backend.targets.apart import serve_apart
from orchestrator.domain.agent import Outcome
from orchestrator.workspaces.ports import database_folder, drop_database
from tests import coding

#: Claude Code, which uses its database, and tries to be more there than it is
_CLAUDE = """\
#!{python}
import json, os, psycopg
said = {{}}
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
    own.execute("CREATE TABLE IF NOT EXISTS shelf (id int)")
    for name, text in {{
        "program": "COPY shelf FROM PROGRAM 'echo 1'",
        "file": "SELECT pg_read_file('/etc/passwd')",
        "role": "CREATE ROLE more SUPERUSER",
    }}.items():
        try:
            own.execute(text)
            said[name] = True
        except psycopg.Error:
            said[name] = False
address = os.environ["DATABASE_URL"].replace("work:", "supabase_admin:")
try:
    psycopg.connect(address, dbname="postgres")
    said["admin"] = True
except psycopg.Error:
    said["admin"] = False
print(json.dumps({{"type": "result", "session_id": "s", "result": json.dumps(said)}}), flush=True)
"""


def test_it_is_the_agents_own_and_goes_with_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        board = Path(folder) / "board"
        root = coding.workspace(board / ".orchestrate" / "workspaces" / "WO-001")
        program = tmp_path / "claude"
        program.write_text(_CLAUDE.format(python=sys.executable))
        program.chmod(0o755)
        monkeypatch.setenv("HOME", str(Path(folder) / "home"))
        data = database_folder(board, "WO-001")
        job = coding.job(root, "claude", home=str(board), agent={"command": [str(program)]})
        job = job.model_copy(update={"settings": {**job.settings, "database": str(data)}})
        report = Claude().work(job)
        assert report.outcome is Outcome.DONE, report.reason
        said = json.loads(report.section.splitlines()[2].removeprefix("> "))
        assert said == dict.fromkeys(("program", "file", "role", "admin"), False)
        with serve_apart(data) as address, psycopg.connect(address) as own:
            # what a turn left is there for the next
            assert own.execute("SELECT count(*) FROM shelf").fetchone() == (0,)
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(address.replace("work:", "work:x"))
        drop_database(board, "WO-001")
        assert not any(data.parent.iterdir())

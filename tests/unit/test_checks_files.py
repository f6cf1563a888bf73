"""Files that are there, changes that are allowed, secrets, and prohibitions (issue 3, files)."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.checks import secrets
from orchestrate_agents.checks.secrets import secrets_in, secrets_in_text
from tests.seed_family import BINDER, CSV, context, say, verdicts


def put(root: Path, path: str, text: str = "x\n") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def made(agent: str, state: str = "written") -> dict[str, Any]:
    return {"agent": agent, "stage": 3, "sha256": "0", "state": state}


def test_a_file_that_is_there_is_proven(tmp_path: Path) -> None:
    put(tmp_path, "sql/007_lamps.sql")
    assert verdicts(context(tmp_path), "`sql/007_lamps.sql` exists") == {"proven"}


def test_a_missing_or_an_empty_file_fails(tmp_path: Path) -> None:
    put(tmp_path, "a/empty.py", "")
    ctx = context(tmp_path)
    assert verdicts(ctx, "`a/missing.py` exists") == {"failed"}
    assert verdicts(ctx, "`a/empty.py` exists") == {"failed"}
    assert verdicts(ctx, "`a/empty.py/` exists") == {"failed"}


def test_a_list_of_files_is_judged_as_one(tmp_path: Path) -> None:
    put(tmp_path, "src/a.py")
    put(tmp_path, "src/b.py")
    ctx = context(tmp_path)
    assert verdicts(ctx, "`src/a.py` and `src/b.py` exist") == {"proven"}
    [result] = say(ctx, "`src/a.py`, `src/b.py`, and `src/c.py` exist")
    assert result.verdict == "failed"
    assert result.detail == "src/c.py is missing"


def test_absence_is_judged(tmp_path: Path) -> None:
    put(tmp_path, "dump.sql")
    assert verdicts(context(tmp_path), "`dump.sql` does not exist") == {"failed"}
    assert verdicts(context(tmp_path), "`other.sql` does not exist") == {"proven"}


def test_a_path_out_of_the_workspace_is_never_proven(tmp_path: Path) -> None:
    statement = "`../../etc/passwd.txt` exists"
    for binding in BINDER.bind(statement):
        if binding.check is not None:
            with pytest.raises(Exception, match="workspace"):
                binding.check.function(context(tmp_path), **binding.arguments)


# -- the exact set of changes ----------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for path in ("src/a.ts", "src/b.ts", "lib/c.ts"):
        put(tmp_path, path)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_changes_outside_the_named_files_fail(repository: Path) -> None:
    put(repository, "src/a.ts", "changed\n")
    ctx = context(repository)
    assert verdicts(ctx, "only `src/a.ts` changed") == {"proven"}
    assert verdicts(ctx, "no changes outside `src/`") == {"proven"}
    put(repository, "lib/new.ts")
    [result] = say(ctx, "no changes outside `src/`")
    assert result.verdict == "failed"
    assert "lib/new.ts" in result.detail
    assert verdicts(ctx, "only `src/a.ts` and `lib/new.ts` changed") == {"proven"}


def test_a_folder_does_not_cover_its_namesakes(repository: Path) -> None:
    put(repository, "src2/a.ts")
    assert verdicts(context(repository), "no changes outside `src/`") == {"failed"}


def test_only_deliverables_may_change(repository: Path) -> None:
    put(repository, CSV)
    put(repository, "_WORK_ORDERS/00_INBOX/WO-512.md")
    ctx = context(repository)
    assert verdicts(ctx, "only the deliverables changed") == {"proven"}
    put(repository, "src/a.ts", "changed\n")
    assert verdicts(ctx, "no other files were changed") == {"failed"}


def test_a_file_that_must_not_be_modified(repository: Path) -> None:
    ctx = context(repository)
    statement = "Do NOT modify `src/a.ts`"
    assert verdicts(ctx, statement) == {"proven"}
    written = context(repository, artifacts={"src/a.ts": made("BUILDER")})
    assert verdicts(written, statement) == {"failed"}
    put(repository, "src/a.ts", "changed\n")
    assert verdicts(ctx, statement) == {"failed"}


def test_without_git_changes_are_unproven(tmp_path: Path) -> None:
    assert verdicts(context(tmp_path), "only `src/a.ts` changed") == {"unproven"}


# -- secrets ---------------------------------------------------------------------------------------

_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJlMTIz"


@pytest.mark.parametrize(
    "text",
    [
        f'KEY = "{_JWT}"',
        "-----BEGIN RSA PRIVATE KEY-----",
        "aws = 'AKIA" + "ABCDEFGHIJKLMNOP'",
        "postgres://owner:hunter22@db.harbour.org/lamps",
        'SUPABASE_SERVICE_ROLE_KEY = "a1b2c3d4e5f6a7b8"',
        "password: 'correct1horse2battery'",
        "SERVICE_KEY=9f8e7d6c5b4a39281706",
        "ghp_" + "a1B2" * 9,
        f'KEY = "{base64.b64encode(_JWT.encode()).decode()}"',
        f'KEY = "{base64.urlsafe_b64encode(("?" + _JWT).encode()).decode().rstrip("=")}"',
        f"KEY = bytes.fromhex('{_JWT.encode().hex()}')",
    ],
)
def test_a_secret_is_found_by_form_or_assignment(text: str) -> None:
    assert next(secrets_in_text(f"first line\n{text}\n"))[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        "SUPABASE_SERVICE_KEY = os.environ['SUPABASE_SERVICE_ROLE_KEY']",
        "const key = process.env.SUPABASE_SERVICE_ROLE_KEY",
        "SUPABASE_SERVICE_ROLE_KEY=<your key>",
        "postgres://user:$PASSWORD@host/db",
        "postgresql://user:password@host:5432/database",
        "password = getpass('password: ')",
        "service_key: str",
        "on_conflict='nct_id'",
        'api_key = "YOUR_API_KEY_1"',
        f'LOGO = "{base64.b64encode(b"<svg><path d=M0/></svg>" * 3).decode()}"',
        "sha256:" + "a1b2" * 16,
    ],
)
def test_names_and_stand_ins_are_no_secrets(text: str) -> None:
    assert list(secrets_in_text(text)) == []


def test_secrets_in_delivered_files_fail_without_being_repeated(tmp_path: Path) -> None:
    put(tmp_path, "src/x.py", f'KEY = "{_JWT}"\n')
    ctx = context(tmp_path, artifacts={"src/x.py": made("BUILDER")})
    [result] = say(ctx, "no secrets or keys in delivered files")
    assert result.verdict == "failed"
    assert "src/x.py line 1" in result.detail
    assert _JWT not in result.detail
    put(tmp_path, "src/x.py", "import os\nKEY = os.environ['KEY']\n")
    assert verdicts(ctx, "no secrets or keys in delivered files") == {"proven"}
    assert verdicts(context(tmp_path), "no secrets in the deliverables") == {"unproven"}


@pytest.mark.parametrize(
    "wide",
    ["No secrets in the repository", "credentials are never committed", "no keys in any scripts"],
)
def test_delivered_files_do_not_show_that_there_are_no_secrets_elsewhere(wide: str) -> None:
    assert "files.no-secrets" not in {b.check.name for b in BINDER.bind(wide) if b.check}


# -- prohibitions ----------------------------------------------------------------------------------

FORBIDDEN = f"Do NOT create `{CSV}`"


def test_the_files_own_provider_may_create_it(tmp_path: Path) -> None:
    put(tmp_path, CSV)
    assert verdicts(context(tmp_path, artifacts={CSV: made("ANALYST")}), FORBIDDEN) == {"proven"}
    assert verdicts(context(tmp_path), FORBIDDEN) == {"proven"}


def test_another_agent_may_not(tmp_path: Path) -> None:
    put(tmp_path, CSV)
    ctx = context(tmp_path, artifacts={CSV: made("BUILDER")})
    assert verdicts(ctx, FORBIDDEN) == {"failed"}
    assert verdicts(ctx, f"{FORBIDDEN} — that is ANALYST's job") == {"failed"}


def test_a_file_that_another_agent_only_found_is_no_breach(tmp_path: Path) -> None:
    put(tmp_path, CSV)
    ctx = context(tmp_path, artifacts={CSV: made("BUILDER", "kept")})
    assert verdicts(ctx, FORBIDDEN) == {"proven"}


def test_an_earlier_breach_is_not_hidden_by_a_later_report(tmp_path: Path) -> None:
    put(tmp_path, CSV)
    report = {"type": "report", "agent": "BUILDER", "stage": 4}
    history = ({**report, "artifacts": [{"path": CSV, "sha256": "0", "state": "written"}]},)
    ctx = context(tmp_path, artifacts={CSV: made("ANALYST")}, history=history)
    assert verdicts(ctx, FORBIDDEN) == {"failed"}


def test_a_file_of_unknown_origin_that_nobody_may_create_is_unproven(tmp_path: Path) -> None:
    assert verdicts(context(tmp_path), "Do NOT create `config.json`") == {"proven"}
    put(tmp_path, "config.json")
    assert verdicts(context(tmp_path), "Do NOT create `config.json`") == {"unproven"}


APPLIED = {"type": "effect", "kind": "sql.apply", "title": "apply sql/007_lamps.sql", "stage": 5}
APPROVED = {"type": "answer", "stage": 5, "answer": "approved"}
REJECTED = {"type": "answer", "stage": 5, "answer": "changes_requested"}


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ((), "proven"),
        ((APPROVED, APPLIED), "proven"),
        ((APPLIED,), "failed"),
        ((APPLIED, APPROVED), "failed"),
        ((APPROVED, REJECTED, APPLIED), "failed"),
        (({"type": "effect", "kind": "script.run", "stage": 5},), "proven"),
    ],
)
def test_a_migration_runs_only_after_an_approval(
    tmp_path: Path, history: tuple[dict[str, Any], ...], verdict: str
) -> None:
    ctx = context(tmp_path, history=history)
    assert verdicts(ctx, "Do NOT execute the migration SQL") == {verdict}
    tail = " — that is USER's job at Checkpoint 2"
    assert verdicts(ctx, f"Do NOT execute the migration SQL{tail}") == {verdict}


def test_a_named_checkpoint_has_to_approve_the_migration(tmp_path: Path) -> None:
    statement = "Do NOT execute the migration SQL — that is USER's job at Checkpoint 2"
    earlier = {**APPROVED, "stage": 2}
    assert verdicts(context(tmp_path, history=(earlier, APPLIED)), statement) == {"failed"}
    both = (earlier, APPROVED, APPLIED)
    assert verdicts(context(tmp_path, history=both), statement) == {"proven"}


# -- not applicable --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "statement", "verdict"),
    [
        ("lib/a.py", "Font size violations: n/a (no UI in this ticket)", "not applicable"),
        ("lib/a.py", "Contrast: n/a", "not applicable"),
        ("web/a.css", "Contrast: n/a", "failed"),
        ("web/components/a.ts", "Contrast: n/a", "unproven"),
        ("lib/a.py", "RLS is enabled on all tables: not applicable", "not applicable"),
        ("db/a.sql", "RLS is enabled on all tables: not applicable", "failed"),
        ("lib/a.py", "RLS is enabled on all tables: n/a (no UI)", "unproven"),
        ("lib/a.py", "All tables are penetration-tested: n/a (no time)", "unproven"),
        ("lib/a.py", "Load test with 1,000 users: n/a", "unproven"),
        ("lib/a.py", "Load test with 1,000 users: n/a (no UI)", "unproven"),
        ("lib/a.py", "API endpoints answer 200: n/a", "unproven"),
        ("docs/a.md", "API endpoints answer 200: n/a", "not applicable"),
        ("package.json", "Dependencies are licensed: n/a", "failed"),
        (None, "Contrast: n/a", "unproven"),
    ],
)
def test_that_something_does_not_apply_is_shown_by_the_change(
    tmp_path: Path, changed: str | None, statement: str, verdict: str
) -> None:
    seen = None if changed is None else frozenset([changed])
    ctx = replace(context(tmp_path), workflow=None, changed=lambda: seen)
    assert verdicts(ctx, statement) == {verdict}


@pytest.mark.parametrize(
    ("left", "touched", "verdict"),
    [
        (True, False, "proven"),
        (True, True, "proven"),
        (False, True, "failed"),
        (False, False, "unproven"),
    ],
)
def test_what_must_not_be_deleted_may_be_edited(
    tmp_path: Path, left: bool, touched: bool, verdict: str
) -> None:
    if left:
        put(tmp_path, "docs/old.md")
    changed = frozenset(["docs/old.md"] if touched else [])
    ctx = replace(context(tmp_path), changed=lambda: changed)
    assert verdicts(ctx, "Do not delete `docs/old.md`") == {verdict}


def test_a_folder_of_which_a_file_is_gone_was_deleted_from(tmp_path: Path) -> None:
    put(tmp_path, "docs/new.md")
    ctx = replace(context(tmp_path), changed=lambda: frozenset(["docs/new.md", "docs/old.md"]))
    assert verdicts(ctx, "Never remove files in `docs/`") == {"failed"}


def test_a_file_that_nobody_reports_and_that_appeared_is_not_proven_away(tmp_path: Path) -> None:
    put(tmp_path, CSV)
    ctx = replace(context(tmp_path), changed=lambda: frozenset([CSV]))
    assert verdicts(ctx, f"Do NOT create `{CSV}`") == {"unproven"}


def test_only_those_files_changed_means_that_they_did(tmp_path: Path) -> None:
    ctx = replace(context(tmp_path), changed=lambda: frozenset(["a.py"]))
    assert verdicts(ctx, "only `a.py` changed") == {"proven"}
    assert verdicts(ctx, "only `a.py` and `b.py` changed") == {"unproven"}
    assert verdicts(ctx, "only `b.py` changed") == {"failed"}


def test_what_is_run_by_agents_is_not_known(tmp_path: Path) -> None:
    assert verdicts(context(tmp_path), "Do not run `tools/deploy.py`") == {"unproven"}
    ran = {"type": "effect", "kind": "script.run", "inputs": ["tools/deploy.py"], "title": "run"}
    ctx = replace(context(tmp_path), history=(ran,))
    assert verdicts(ctx, "Do not run `tools/deploy.py`") == {"failed"}


def test_a_marker_file_may_be_empty(tmp_path: Path) -> None:
    put(tmp_path, "a/__init__.py", "")
    assert verdicts(context(tmp_path), "`a/__init__.py` exists") == {"proven"}


def test_no_user_interface_is_refuted_by_a_delivered_page(tmp_path: Path) -> None:
    put(tmp_path, "src/Page.tsx")
    ctx = context(tmp_path, artifacts={"src/Page.tsx": made("BUILDER")})
    assert verdicts(ctx, "Font size violations: n/a (no UI in this ticket)") == {"failed"}


@pytest.mark.parametrize(
    ("place", "text", "seen"),
    [
        ("src/lib/client.ts", "createClient(url, process.env.SUPABASE_SERVICE_ROLE_KEY!)", True),
        ("src/lib/client.ts", 'import.meta.env["VITE_SERVICE_ROLE"]', True),
        ("src/lib/client.ts", "process.env.SUPABASE_ANON_KEY", False),
        ("src/lib/client.ts", "// never SUPABASE_SERVICE_ROLE_KEY here", False),
        ("supabase/functions/x/index.ts", 'Deno.env["SUPABASE_SERVICE_ROLE_KEY"]', False),
        ("backend/load.py", 'os.environ["SUPABASE_SERVICE_ROLE_KEY"]', False),
    ],
)
def test_the_key_past_row_level_security_has_no_place_in_the_browser(
    tmp_path: Path, place: str, text: str, seen: bool
) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(f"one\n{text}\n", encoding="utf-8")
    found = list(secrets_in(file, place))
    assert [line for line, _ in found] == ([2] if seen else [])


def test_a_text_is_searched_again_only_where_its_literals_are_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[str] = []
    really = secrets._find_secrets

    def find(text: str) -> Iterator[tuple[int, str]]:
        searched.append(text)
        return really(text)

    monkeypatch.setattr(secrets, "_find_secrets", find)
    assert not list(secrets.secrets_in_text("a = 'one'\n"))
    assert len(searched) == 1
    parts = "a = 'sk-ant-9f2c41d07be8' + '5a63f1d0c4e7a9b2385d'\n"
    assert list(secrets.secrets_in_text(parts)) == [(1, "an API key, in parts")]
    assert len(searched) == 3
    (found,) = secrets.secrets_in_text("u = 'postgres://me:9f2c41d07be8@db.test/x'\n")
    assert found == (1, "a URL with a password")

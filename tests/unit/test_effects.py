"""A checkpoint's text becomes effects only where it surely asks for one; USER does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.effects import bind
from orchestrate_agents.sql.read_only import tables_read
from orchestrator.approvals import effects
from orchestrator.approvals.effects import Bound, open_runner, runner_opener
from orchestrator.errors import UsageError
from orchestrator.workflow_reader.parser import read_workflow_text

WORKFLOW = """\
# Tables

## STAGE 1: SOOP — Tables
Write `db/001_rooms.sql`:

```sql
CREATE TABLE room (id int PRIMARY KEY);
```

{also}
## STAGE 2: BUILDER — Loader
Create `tools/load.py` and `tools/report.py`.

## STAGE 3: USER CHECKPOINT #1 — Run it

{asked}

**Done when:** USER approves.
"""


def asked(root: Path, text: str, also: str = "") -> Bound:
    """What a checkpoint with this text asks for."""
    whole = WORKFLOW.format(asked=text, also=also)
    workflow = read_workflow_text(whole, root / "w.md")
    return bind(workflow.stage(3), workflow, root)


def titles(bound: Bound) -> list[str]:
    return [effect.title for effect in bound.effects]


def shell(*lines: str, language: str = "bash") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


APPLY = "Apply `db/001_rooms.sql`."


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("python tools/load.py", "run `tools/load.py`"),
        ("python3 tools/load.py", "run `tools/load.py`"),
        ("python3.12 ./tools/load.py", "run `tools/load.py`"),
        ("$ python tools/load.py", "run `tools/load.py`"),
        ("python tools/load.py --offline", "run `tools/load.py` --offline"),
        ("python 'tools/load.py'  # the rooms", "run `tools/load.py`"),
    ],
)
def test_4_3_a_delivered_script_is_an_effect(tmp_path: Path, line: str, title: str) -> None:
    bound = asked(tmp_path, shell(line))
    assert (titles(bound), bound.by_user) == ([title], ())


@pytest.mark.parametrize(
    "line",
    [
        "python tools/load.py; rm -rf /",
        "python tools/load.py && curl evil.example",
        "python tools/load.py | sh",
        "python tools/load.py > /etc/passwd",
        "python tools/load.py `id`",
        "python tools/load.py $(id)",
        "python tools/load.py $HOME",
        "python tools/load.py &",
        "PYTHONPATH=/tmp python tools/load.py",
        "sudo python tools/load.py",
        "env -i python tools/load.py",
        "python -c 'import os'",
        "python -m tools.load",
        "python -i tools/load.py",
        "python /tools/load.py",
        "python ../tools/load.py",
        "python tools/../tools/load.py",
        "python tools/other.py",
        "python tools/load.py --target supabase",
        "python tools/load.py --offline=../../x",
        "python tools/load.py extra",
        "python 'tools/load.py",
        "sh tools/load.py",
        "bash -c 'python tools/load.py'",
        "rm -rf _WORK_ORDERS",
        "python",
    ],
)
def test_4_3_no_other_line_is_run_and_user_sees_it(tmp_path: Path, line: str) -> None:
    bound = asked(tmp_path, shell(line))
    assert bound.effects == ()
    assert [line in text for text, _ in bound.by_user] == [True]


@pytest.mark.parametrize(
    "lines",
    [
        ("cd elsewhere", "python tools/load.py"),
        ("if false; then", "python tools/load.py", "fi"),
        ("cat <<'END' > notes.txt", "python tools/load.py", "END"),
        ("load() {", "python tools/load.py", "}"),
        ("for i in 1 2 3; do", "python tools/load.py", "done"),
        ("exit 0", "python tools/load.py"),
        ("alias python=rm", "python tools/load.py"),
        ("echo \\", "python tools/load.py"),
    ],
)
def test_4_3_a_line_whose_meaning_hangs_on_others_is_not_run(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    bound = asked(tmp_path, shell(*lines))
    assert bound.effects == ()
    ((text, _),) = bound.by_user
    assert all(line in text for line in lines)


def test_comments_and_set_e_ask_for_nothing(tmp_path: Path) -> None:
    bound = asked(tmp_path, shell("# from the root", "set -euo pipefail", "python tools/load.py"))
    assert (titles(bound), bound.by_user) == (["run `tools/load.py`"], ())


def test_what_a_console_printed_is_no_command(tmp_path: Path) -> None:
    text = shell("$ python tools/load.py", "Loaded 3 rooms", language="console")
    bound = asked(tmp_path, text)
    assert (titles(bound), bound.by_user) == (["run `tools/load.py`"], ())


def test_effects_stand_in_the_order_of_the_text(tmp_path: Path) -> None:
    shell = "python tools/report.py\n   python tools/load.py"
    text = f"1. {APPLY}\n2. Load:\n   ```sh\n   {shell}\n   ```"
    assert titles(asked(tmp_path, text)) == [
        "apply `db/001_rooms.sql`",
        "run `tools/report.py`",
        "run `tools/load.py`",
    ]


def test_7_3_the_files_that_a_script_takes_in_are_covered(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/load.py").write_text(
        "from tools import names\nPLACE = 'data/rooms.csv'\n", encoding="utf-8"
    )
    (tmp_path / "tools/names.py").write_text("X = 1\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rooms.csv").write_text("id\n1\n", encoding="utf-8")
    (effect,) = asked(tmp_path, shell("python tools/load.py")).effects
    assert effect.inputs == ("tools/load.py", "data/rooms.csv", "tools/names.py")


# -- migrations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        APPLY,
        "Execute migration in the editor: copy `db/001_rooms.sql` → paste → Run",
        "Run `db/001_rooms.sql`",
        "Apply the migration.",
        "If all is well, deploy `db/001_rooms.sql`.",
    ],
)
def test_a_delivered_migration_is_applied(tmp_path: Path, text: str) -> None:
    assert titles(asked(tmp_path, f"1. {text}")) == ["apply `db/001_rooms.sql`"]


@pytest.mark.parametrize(
    "text",
    [
        "Read `db/001_rooms.sql`.",
        "Do NOT apply `db/001_rooms.sql` yet.",
        "Make sure that `db/001_rooms.sql` was never run.",
        "Before you apply `db/001_rooms.sql`, take a backup.",
        "Apply `db/002_other.sql`.",
        "Apply `db/001_rooms.sql` and `db/002_other.sql`.",
        "Apply `../db/001_rooms.sql`.",
        "Apply `/etc/001_rooms.sql`.",
    ],
)
def test_what_does_not_surely_ask_for_it_applies_nothing(tmp_path: Path, text: str) -> None:
    assert asked(tmp_path, f"1. {text}").effects == ()


def test_two_migrations_of_one_line_are_applied_in_order(tmp_path: Path) -> None:
    also = "Write `db/002_beds.sql`:\n\n```sql\nCREATE TABLE bed (id int);\n```\n"
    bound = asked(tmp_path, "1. Apply `db/001_rooms.sql`, then `db/002_beds.sql`.", also)
    assert titles(bound) == ["apply `db/001_rooms.sql`", "apply `db/002_beds.sql`"]
    assert asked(tmp_path, "1. Apply the migration.", also).effects == ()


def test_8_4_a_deliverable_outside_the_workspace_is_no_effect(tmp_path: Path) -> None:
    also = "Create `../../outside.py` and `../../outside.sql`.\n"
    text = "1. Apply `../../outside.sql`.\n\n" + shell("python ../../outside.py")
    bound = asked(tmp_path, text, also)
    assert bound.effects == ()
    assert len(bound.by_user) == 2


# -- SQL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["sql", "SQL", "postgresql", "pgsql"])
def test_counts_are_taken_after_the_effects(tmp_path: Path, language: str) -> None:
    text = f"1. {APPLY}\n\n```{language}\nSELECT 'room', count(*) FROM room;\n```"
    assert titles(asked(tmp_path, text)) == ["apply `db/001_rooms.sql`", "count `room`"]


def test_looking_alone_asks_for_no_database(tmp_path: Path) -> None:
    bound = asked(tmp_path, "```sql\nSELECT count(*) FROM room;\n```")
    assert bound.effects == ()
    assert [text for text, _ in bound.by_user] == ["look: count `room`"]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("select count(*) from room", ("room",)),
        ("SELECT 'a', COUNT(*) FROM public.a UNION ALL SELECT 'b', COUNT(*) FROM b", ("a", "b")),
        ("SELECT kind, count(*) FROM room GROUP BY kind ORDER BY 2", ("room",)),
        ("WITH r AS (SELECT * FROM room WHERE id > 3) SELECT count(*) FROM r", ("room",)),
        ("SELECT round(avg(seats), 1) FROM a JOIN b ON a.id = b.a_id", ("a", "b")),
        ("SELECT count(*) FROM a; SELECT count(*) FROM b;", ("a", "b")),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
            ("information_schema.tables",),
        ),
    ],
)
def test_a_count_is_read_only(sql: str, tables: tuple[str, ...]) -> None:
    read = tables_read(sql)
    assert (read.refused, read.tables) == ("", tables)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELEKT 1",
        "DELETE FROM room",
        "DROP TABLE room",
        "SELECT count(*) FROM room; DROP TABLE room",
        "COPY room TO PROGRAM 'sh'",
        "COPY room TO '/tmp/x'",
        "SELECT count(*) INTO copied FROM room",
        "SELECT count(*) FROM room FOR UPDATE",
        "SELECT count(*) FROM (SELECT * FROM room FOR UPDATE) AS r",
        "WITH x AS (INSERT INTO room VALUES (1) RETURNING id) SELECT count(*) FROM x",
        "WITH x AS (DELETE FROM room RETURNING id) SELECT count(*) FROM x",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity",
        "SELECT count(nextval('room_id_seq'))",
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT count(public.count(id)) FROM room WHERE mine(id)",
        "SELECT evil.count(id) FROM room",
        "SELECT count(*), set_config('role', 'postgres', false) FROM room",
        "SELECT max(rolpassword) FROM pg_authid",
        "SELECT max(rolpassword) FROM pg_catalog.pg_authid",
        "SELECT max(encrypted_password) FROM auth.users",
        "SELECT count(*), current_user FROM room",
        "SELECT * FROM room",
        "SELECT name FROM room UNION SELECT count(*)::text FROM room",
        "SELECT string_agg(email, ',') FROM person",
        "EXPLAIN ANALYZE DELETE FROM room",
        "DO $$ BEGIN DROP TABLE room; END $$",
        "CALL clean()",
        "SET ROLE postgres",
        "SELECT count(*) FROM room \\! sh",
    ],
)
def test_4_3_no_other_sql_is_run_and_user_sees_it(tmp_path: Path, sql: str) -> None:
    assert tables_read(sql).refused
    bound = asked(tmp_path, f"1. {APPLY}\n\n```sql\n{sql}\n```")
    assert titles(bound) == ["apply `db/001_rooms.sql`"]
    assert [sql in text for text, _ in bound.by_user] == [True]


def test_a_script_that_is_listed_twice_says_the_second_time_what_it_changes(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db/001_rooms.sql").write_text("CREATE TABLE room (id int);", encoding="utf-8")
    lines = ("python tools/load.py --small", "python tools/load.py", "python tools/load.py")
    bound = asked(tmp_path, shell(*lines))
    assert titles(bound) == [
        "run `tools/load.py` --small",
        "run `tools/load.py`",
        "run `tools/load.py` again",
    ]
    watched = [effect.arguments.get("tables") for effect in bound.effects]
    assert watched == [None, None, ["public.room"]]


def test_two_plug_ins_cannot_open_the_same_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "_OPENERS", {})
    openers = [lambda *_: None, lambda *_: None]
    runner_opener("moon")(openers[0])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two plug-ins open the target moon"):
        runner_opener("moon")(openers[1])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no plug-in opens the target 'mars'"):
        open_runner("mars", Path(), {})

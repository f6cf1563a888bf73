"""Workflows that are nothing like WO-231, each lived through in a workspace of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.nodes import node_modules
from tests.replay import replaying, study
from tests.workspaces import OWN, Desk, imports

# -- opening hours: other ids, folders, wording; data from facts; one approval at the end --------


@pytest.fixture
def library(tmp_path: Path) -> Desk:
    return Desk("library", tmp_path, "GO-77")


def test_opening_hours_from_the_inbox_to_the_loaded_tables(library: Desk) -> None:
    before = library.text("GO-77")
    assert library.run()["stage"] == 6
    question = library.question()
    assert (question["failed"], question["unproven"]) == ([], [])
    assert set(library.places().values()) == {"05_USER_REVIEW"}

    library.approve()
    assert library.run(code=0)["outcome"] == "complete"
    assert library.places() == {
        "GO-77": "06_COMPLETE",
        "GO-77-A": "06_COMPLETE",
        "GO-77-B": "06_COMPLETE",
    }
    counts = "select (select count(*) from library_branch) as houses, count(*) as hours "
    assert library.rows(counts + "from branch_hours") == [{"houses": 3, "hours": 6}]
    assert [(e["title"], e["ok"]) for e in library.history("effect")] == [
        ("apply `db/changes/0007_opening_hours.sql`", True),
        ("run `tools/load_branches.py`", True),
        ("run `tools/load_hours.py`", True),
        ("count `library_branch`, `branch_hours`", True),
    ]
    assert_readable(library, before)
    assert_again_changes_nothing(library)


def assert_readable(library: Desk, before: str) -> None:
    """The tickets say what was decided, made and proven, and keep every line of the person."""
    parent = library.text("GO-77")
    kept = [line for line in before.splitlines() if not line.startswith(("status:", "owner:"))]
    assert [line for line in kept if line not in parent.splitlines()] == []
    for said in (
        "**Tables:** `library_branch`, `branch_hours`",
        "takes number 0007; checked against 0006, the only number in use in `db/changes/`",
        "- branches that are open to the public; the bookmobile comes later.",
        "`seed/hours.csv` comes from ANALYST; nobody else creates it",
        "library_branch: 3, branch_hours: 6",
    ):
        assert said in parent
    child = library.text("GO-77-A")
    assert "# GO-77-A: The tables" in child
    assert "- [ ]" not in child
    assert child.count("- [x]") == 5


def assert_again_changes_nothing(library: Desk) -> None:
    for script, rows in (("tools/load_branches.py", 3), ("tools/load_hours.py", 6)):
        assert imports(library.root / script) & OWN == set()
        said = library.script(script)
        assert f"{rows} as they were" in said
        assert "(0 new, 0 changed" in said
    library.orchestrate("verify", "GO-77")
    assert library.run(code=0)["outcome"] == "complete"


def test_a_number_that_is_taken_stops_at_the_architecture(library: Desk) -> None:
    other = library.root / "db/changes/0007_users_again.sql"
    other.write_text("create table if not exists u (id int);\n", encoding="utf-8")
    assert library.run()["stage"] == 1
    assert library.places() == {"GO-77": "05_USER_REVIEW"}
    text = library.text("GO-77")
    assert "number 0007" in text
    assert "0007_users_again.sql" in text
    assert "0008" in text


def test_hours_that_nobody_has_verified_are_asked_for_and_cost_no_strike(library: Desk) -> None:
    shutil.rmtree(library.root / "facts")
    outcome = library.run()
    assert (outcome["outcome"], outcome["stage"]) == ("waiting", 4)
    (reason,) = outcome["reasons"]
    assert "facts/library_branch.csv" in reason
    assert "branch_code, weekday, opens, closes, source" in reason
    assert "failure_count: 0" in library.text("GO-77-B")
    assert not list(library.root.glob("seed/*.csv"))

    # a person brings the files, and QA finds that their rows are not cited
    bring(library, "notice")
    assert library.run()["stage"] == 4
    (failed,) = library.question()["failed"]
    assert failed["text"] == "Every row of `seed/branches.csv` has a `source`"
    assert "failure_count: 1" in library.text("GO-77")

    bring(library, "https://opening-hours.city-libraries.net/houses")
    library.orchestrate("send-back", "GO-77", "--note", "The rows are cited now.")
    assert library.run()["stage"] == 6
    assert library.question()["failed"] == []


def bring(library: Desk, source: str) -> None:
    """Both data files, from a person's hand."""
    folder = library.root / "seed"
    folder.mkdir(exist_ok=True)
    houses = "".join(f"{code},House {code},Town,40,{source}\n" for code in "CNW")
    days = "".join(f"C,{day},08:00,20:00,{source}\n" for day in range(1, 7))
    for name, text in (
        ("branches", f"code,name,district,seats,source\n{houses}"),
        ("hours", f"branch_code,weekday,opens,closes,source\n{days}"),
    ):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")


# -- rooms: one child; keys, an enum, a trigger, a view; a table of an earlier migration ---------


MIGRATION = "supabase/migrations/20240215_rooms.sql"


def test_a_view_that_leaks_is_caught_mended_by_a_person_and_applied(tmp_path: Path) -> None:
    desk = Desk("rooms", tmp_path, "WO-512")
    assert desk.run()["stage"] == 2
    desk.approve()

    assert desk.run()["stage"] == 1
    question = desk.question()
    assert [f["text"] for f in question["failed"]] == ["anon cannot read `booking`"]
    assert "room_use" in question["failed"][0]["detail"]
    assert "failure_count: 1" in desk.text("WO-512a")

    migration = desk.root / MIGRATION
    leaking = migration.read_text(encoding="utf-8")
    mended = leaking.replace("room_use AS", "room_use WITH (security_invoker = true) AS")
    migration.write_text(mended, encoding="utf-8")
    desk.orchestrate("send-back", "WO-512", "--note", "The view asks as its caller now.")

    # what was approved is not what lies there, so the schema is asked for again
    assert desk.run()["stage"] == 2
    assert "20240215_rooms.sql" in desk.text("WO-512").rsplit("Asked again", 1)[1]
    desk.approve()
    assert desk.run()["stage"] == 4
    question = desk.question()
    assert question["failed"] == []
    assert [u["text"] for u in question["unproven"]] == [
        "The colour of the doors is agreed with the architect"
    ]
    assert migration.read_text(encoding="utf-8") == mended

    desk.orchestrate("approve", "WO-512", code=1)
    desk.approve("--accept-unproven")
    assert desk.run(code=0)["outcome"] == "complete"
    assert desk.rows("SELECT label, kind::text FROM room ORDER BY label") == [
        {"label": "Blue", "kind": "quiet"},
        {"label": "Fern", "kind": "garden"},
    ]
    assert desk.rows("SELECT count(*) AS n FROM staff WHERE default_room IS NULL") == [{"n": 0}]


# -- vaccine trials: another registry import, and a page that reads it --------------------------


def vaccine_trials() -> list[dict[str, object]]:
    measles = [
        study(n, f"Measles trial {n}", interventions=["MMR"], conditions=["Measles"])
        for n in range(1, 5)
    ]
    malaria = [
        study(n, f"Malaria trial {n}", interventions=["R21/Matrix-M"], conditions=["Malaria"])
        for n in range(5, 8)
    ]
    other = study(8, "Aspirin", interventions=["Aspirin"], conditions=["Measles"])
    return [*measles, *malaria, other]


@pytest.mark.skipif(node_modules() is None, reason="TypeScript and supabase-js are not installed")
def test_vaccine_trials_reach_their_own_table(tmp_path: Path) -> None:
    desk = Desk("registry", tmp_path, "OPS-300")
    (desk.root / "node_modules").symlink_to(str(node_modules()))
    with replaying(vaccine_trials()) as registry:
        config = f'[trials]\nbase_url = "{registry.url}"\n'
        (desk.root / "orchestrate.toml").write_text(config, encoding="utf-8")
        assert desk.run()["stage"] == 3
        desk.approve()
        assert desk.run()["stage"] == 6
        question = desk.question()
        assert (question["failed"], question["unproven"]) == ([], [])
        desk.approve()
        assert desk.run(code=0)["outcome"] == "complete"
        assert desk.rows(
            "SELECT vaccine, count(*) AS n FROM vaccine_trial GROUP BY 1 ORDER BY 1"
        ) == [
            {"vaccine": "malaria", "n": 3},
            {"vaccine": "measles", "n": 4},
        ]
        said = desk.script("jobs/import_vaccines.py", CTGOV_BASE_URL=registry.url)
    assert "[STATUS: PASS] Seeded 7 vaccine trials." in said
    assert imports(desk.root / "jobs/import_vaccines.py") & OWN == set()
    hook = (desk.root / "app/lib/vaccines.ts").read_text(encoding="utf-8")
    assert hook.count("import { supabase } from './client';") == 1
    assert "trial_phase: string | null;" in hook
    assert set(desk.places()) == {"OPS-300", "OPS-301", "OPS-302"}


# -- no workflow, and one with odd numbers -----------------------------------------------------


def test_a_ticket_for_a_person_waits_for_the_person_and_proves_what_came(tmp_path: Path) -> None:
    desk = Desk("buttons", tmp_path, "WO-40")
    outcome = desk.run()
    assert (outcome["outcome"], outcome["stage"]) == ("waiting", 2)
    assert desk.places() == {"WO-40": "03_BUILD"}
    assert "failure_count" not in desk.text("WO-40") or "failure_count: 0" in desk.text("WO-40")

    (desk.root / "web/theme.json").write_text('{"save": "#003366"}\n', encoding="utf-8")
    (desk.root / "web/contrast.md").write_text("12.6:1 on white\n", encoding="utf-8")
    ticket = desk.file("WO-40")
    done = ticket.read_text(encoding="utf-8").replace("status: 03_BUILD", "status: 04_QA")
    ticket.write_text(done, encoding="utf-8")
    assert desk.run()["stage"] == 4
    assert desk.question()["failed"] == []
    assert desk.text("WO-40").count("- [x]") == 2
    desk.approve()
    assert desk.run(code=0)["outcome"] == "complete"


def test_stages_run_in_the_order_of_their_numbers_without_an_inspector(tmp_path: Path) -> None:
    desk = Desk("odd", tmp_path, "WO-9")
    outcome = desk.run()
    assert (outcome["outcome"], outcome["stage"]) == ("waiting", 12)
    assert "signs/visitors.csv (columns day, visitors)" in outcome["reasons"][0]
    sign = json.loads((desk.root / "signs/exit.json").read_text(encoding="utf-8"))
    assert sign == {"sign": "exit", "langs": ["en", "cy"]}

    csv = "day,visitors\n2024-01-01,41\n2024-01-02,38\n"
    (desk.root / "signs/visitors.csv").write_text(csv, encoding="utf-8")
    assert desk.run()["stage"] == 20
    question = desk.question()
    assert (question["failed"], question["unproven"]) == ([], [])
    desk.approve()
    assert desk.run(code=0)["outcome"] == "complete"

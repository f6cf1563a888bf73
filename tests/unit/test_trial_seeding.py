"""The trials load from source to table, with a table in memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.scripts.seed_benchmark_trials import COLUMNS, SPEC
from orchestrate_backend.errors import BackendError, TargetError
from orchestrate_backend.targets.base import Rejected, TableColumn, Written
from orchestrate_backend.trials.seeding import trials_main
from orchestrate_backend.trials.sources import find_snapshot, load_trials
from tests.replay import HTML, SERVER_ERROR, BadRequestError, Replay, replaying, study

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = [
    json.loads(line) for line in find_snapshot([ROOT]).read_text(encoding="utf-8").splitlines()
]
SCRIPT = ROOT / "backend" / "scripts" / "seed_benchmark_trials.py"
MANY = [study(n) for n in range(1, 121)]


class MemoryTarget:
    """A table in memory that behaves as a target promises."""

    name = "memory"
    fingerprint = "memory:0"

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.batches: list[int] = []
        self.columns_there: list[str] = list(COLUMNS)
        #: ids that the database refuses
        self.refused: set[str] = set()
        #: rows that are reported as written, and are not there
        self.lost: set[str] = set()
        self.fails_at_batch: int | None = None
        self.closed = False

    def describe(self) -> str:
        return "a dictionary"

    def columns(self, table: str) -> tuple[TableColumn, ...]:
        return tuple(TableColumn(name, "text", True) for name in self.columns_there)

    def count(self, table: str) -> int:
        return len(self.rows.keys() - self.lost)

    def upsert(
        self, table: str, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...], batch: int = 50
    ) -> Written:
        self.batches.append(len(rows))
        if self.fails_at_batch == len(self.batches):
            raise TargetError("connection lost", code="unreachable")
        return sum((self._store(dict(row), key) for row in rows), Written())

    def _store(self, row: dict[str, Any], key: tuple[str, ...]) -> Written:
        (name,) = key
        if row[name] in self.refused:
            return Written(rejected=(Rejected((row[name],), "value out of range"),))
        known = self.rows.setdefault(row[name], {})
        given = {column: value for column, value in row.items() if value is not None}
        if not known:
            known.update(row)
            return Written(inserted=1)
        changed = any(known[column] != value for column, value in given.items())
        known.update(given)
        return Written(updated=1) if changed else Written(unchanged=1)

    def close(self) -> None:
        self.closed = True


class Run:
    """What a run of the script said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def last_line(self) -> str:
        return self.out.rstrip().splitlines()[-1]

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> MemoryTarget:
    made = MemoryTarget()
    monkeypatch.setattr(
        "orchestrate_backend.targets.choose.choose_target", lambda name, env, root: made
    )
    return made


@pytest.fixture
def seed(target: MemoryTarget, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the script's command line in this process."""

    def run(*argv: str, replay: Replay | None = None) -> Run:
        env = {"CTGOV_INTERVAL": "0", **({"CTGOV_BASE_URL": replay.url} if replay else {})}
        code = trials_main(SPEC, SCRIPT, [*argv], env)
        return Run(code, *capsys.readouterr())

    return run


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


# the whole way


def test_all_trials_of_the_registry_are_stored_in_batches_of_fifty(
    seed: Any, target: MemoryTarget
) -> None:
    with replaying(MANY) as replay:
        run = seed(replay=replay)
    assert (run.code, run.last_line) == (0, "[STATUS: PASS] Seeded 120 benchmark trials.")
    assert len(target.rows) == 120
    assert target.batches == [50, 50, 20]
    assert target.closed
    assert run.out.startswith("writing to benchmark_trials on memory: a dictionary\n")


def test_a_second_run_changes_nothing(seed: Any, target: MemoryTarget) -> None:
    with replaying(MANY) as replay:
        seed(replay=replay)
        before = json.dumps(target.rows, default=str)
        again = seed("--json", replay=replay).json
    assert (again["inserted"], again["updated"], again["unchanged"]) == (0, 0, 120)
    assert json.dumps(target.rows, default=str) == before


def test_one_search_for_each_substance_and_each_trial_once(seed: Any, target: MemoryTarget) -> None:
    esketamine = study(7, "Esketamine for Depression", interventions=["Esketamine"])
    with replaying([esketamine]) as replay:
        report = seed("--json", replay=replay).json
    assert len(replay.requests) == len(SPEC.modalities) == 6
    # the search for ketamine finds it, too
    assert report["skipped"] == {"repeated id": 1}
    assert report["modalities"] == {"esketamine": 1}


def test_statuses_are_those_of_the_specification_or_the_command_line(seed: Any) -> None:
    records = [study(1), study(2, status="RECRUITING")]
    with replaying(records) as replay:
        assert seed("--json", replay=replay).json["in_table"] == 1
        assert replay.requests[0]["filter.overallStatus"] == "COMPLETED,ACTIVE_NOT_RECRUITING"
        replay.requests.clear()
        report = seed("--json", "--statuses", "recruiting|completed", replay=replay).json
    assert report["in_table"] == 2
    assert replay.requests[0]["filter.overallStatus"] == "RECRUITING,COMPLETED"


def test_all_conditions_takes_anaesthesia_trials_too(seed: Any) -> None:
    anaesthesia = study(1, "Ketamine", interventions=["Ketamine"], conditions=["Anesthesia"])
    with replaying([study(2), anaesthesia]) as replay:
        assert seed("--json", replay=replay).json["in_table"] == 1
        assert seed("--json", "--all-conditions", replay=replay).json["in_table"] == 2


# when it is not a success


def test_no_trial_is_no_success(seed: Any) -> None:
    with replaying([]) as replay:
        run = seed(replay=replay)
    assert (run.code, run.last_line) == (1, "[STATUS: FAIL] Seeded 0 benchmark trials.")


def test_a_part_of_the_pages_is_no_success(seed: Any, target: MemoryTarget) -> None:
    many = [study(n) for n in range(1, 301)]
    with replaying(many) as replay:
        run = seed("--max-pages", "1", replay=replay)
    assert run.code == 1
    assert run.last_line == (
        "[STATUS: PARTIAL] Seeded 200 benchmark trials. "
        "Not all: psilocybin: 200 of 300 studies came."
    )
    assert len(target.rows) == 200


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_pages_that_end_early_write_nothing(
    options: tuple[str, ...], seed: Any, target: MemoryTarget
) -> None:
    with replaying(MANY) as replay:
        replay.tamper = lambda answer, number: {**answer, "totalCount": 500}
        run = seed("--json", *options, replay=replay)
    assert run.code == 1
    assert run.json["status"] == "FAIL"
    assert run.json["code"] == "registry-short"
    assert "the pages end after 120 of 500 studies, twice" in run.json["message"]
    assert not target.rows


def test_pages_that_end_early_once_are_fetched_again(seed: Any) -> None:
    with replaying(MANY) as replay:
        replay.tamper = lambda answer, number: (
            {**answer, "totalCount": 500} if number == 1 else answer
        )
        run = seed(replay=replay)
    assert run.last_line == "[STATUS: PASS] Seeded 120 benchmark trials."
    assert "the search starts again" in run.err


def test_a_dry_run_to_which_not_all_came_is_partial(seed: Any) -> None:
    with replaying([study(n) for n in range(1, 301)]) as replay:
        # one study comes twice in place of another
        replay.tamper = lambda answer, number: {
            **answer,
            "studies": answer["studies"][:1] + answer["studies"][:-1],
        }
        run = seed("--dry-run", replay=replay)
    assert run.code == 1
    assert "warning: psilocybin: 298 of 300 studies came" in run.out
    assert run.last_line.startswith("[STATUS: PARTIAL] Would seed 298 benchmark trials. Not all: ")


def test_an_expired_token_begins_the_search_anew_once(seed: Any, target: MemoryTarget) -> None:
    def expiring(*numbers: int) -> Any:
        def tamper(answer: dict[str, Any], number: int) -> dict[str, Any]:
            if number in numbers:
                raise BadRequestError("Page token is invalid or expired")
            return answer

        return tamper

    with replaying([study(n) for n in range(1, 301)]) as replay:
        replay.tamper = expiring(2)
        run = seed(replay=replay)
    assert run.last_line == "[STATUS: PASS] Seeded 300 benchmark trials."
    assert "the search starts again" in run.err
    target.rows.clear()
    with replaying([study(n) for n in range(1, 301)]) as replay:
        replay.tamper = expiring(2, 4)
        run = seed(replay=replay)
    assert run.code == 1
    assert "twice: the search was restarted once" in run.err
    assert "has the API changed" not in run.err
    assert not target.rows


def test_rows_that_are_not_in_the_table_are_no_success(seed: Any, target: MemoryTarget) -> None:
    target.lost = {"NCT00000001"}
    with replaying(MANY) as replay:
        run = seed(replay=replay)
    assert run.code == 1
    assert run.last_line == "[STATUS: FAIL] 120 rows were written, the table holds 119."


@pytest.mark.parametrize(("fault", "said"), [(HTML, "not JSON"), (SERVER_ERROR, "answers 500")])
def test_a_registry_that_fails_under_way_leaves_the_table_alone(
    fault: Any, said: str, seed: Any, target: MemoryTarget
) -> None:
    def fail_later(answer: dict[str, Any], number: int) -> dict[str, Any]:
        if number == 2:
            replay.faults.append(fault)
        return answer

    with replaying(MANY) as replay:
        replay.tamper = fail_later
        run = seed("--attempts", "1", replay=replay)
    assert run.code == 1
    assert said in run.err
    assert "[STATUS: FAIL]" in run.err
    assert "PASS" not in run.out
    assert not target.rows


def test_a_refused_row_costs_one_row(seed: Any, target: MemoryTarget) -> None:
    target.refused = {"NCT00000003"}
    with replaying(MANY) as replay:
        run = seed(replay=replay)
    assert (run.code, run.last_line) == (0, "[STATUS: PASS] Seeded 119 benchmark trials.")
    assert "rejected: NCT00000003: value out of range" in run.out


def test_a_bad_record_costs_one_record_and_is_named(seed: Any) -> None:
    bad = study(3, title="")
    with replaying([study(1), bad, study(2)]) as replay:
        run = seed("--json", replay=replay)
    assert run.code == 0
    assert run.json["rejected"] == [{"key": "NCT00000003", "reason": "has no title"}]


def test_a_dry_run_of_nothing_fails_as_the_load_would(seed: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("[]")
    run = seed("--from", str(tmp_path / "empty.json"), "--dry-run")
    assert (run.code, run.last_line) == (1, "[STATUS: FAIL] Would seed 0 benchmark trials.")


def test_a_lost_database_says_how_far_it_came(seed: Any, target: MemoryTarget) -> None:
    target.fails_at_batch = 2
    with replaying(MANY) as replay:
        run = seed(replay=replay)
    assert run.code == 1
    assert "connection lost (50 of 120 rows were written before)" in run.err
    assert target.closed


def test_a_table_of_another_shape_is_refused_before_writing(
    seed: Any, target: MemoryTarget
) -> None:
    target.columns_there.remove("phase")
    with replaying(MANY) as replay:
        run = seed("--json", replay=replay)
    assert run.json["code"] == "column-missing"
    assert "table benchmark_trials has no column phase" in run.err
    assert not target.rows


# dry run, usage


def test_a_dry_run_opens_no_database_and_lists_the_rows(
    seed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "orchestrate_backend.targets.choose.choose_target", lambda *_: pytest.fail("was opened")
    )
    file = write_json(tmp_path / "t.json", [study(1), study(2), study(1)])
    run = seed("--from", str(file), "--dry-run", "--json")
    assert run.code == 0
    assert [row["nct_id"] for row in run.json["rows"]] == ["NCT00000001", "NCT00000002"]
    assert run.json["status"] == "DRY-RUN"


@pytest.mark.parametrize(
    "argv",
    [
        ["--statuses", "DONE"],
        ["--interval", "-1"],
        ["--interval", "nan"],
        ["--max-pages", "0"],
        ["--offline", "--from", "x.json"],
        ["--colour"],
    ],
)
def test_a_wrong_option_is_usage(argv: list[str], seed: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        seed(*argv)
    assert caught.value.code == 2


def test_an_unknown_target_is_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["--offline", "--target", "oracle", "--root", str(tmp_path)]
    assert trials_main(SPEC, SCRIPT, argv, {}) == 1
    assert "no such database target: oracle" in capsys.readouterr().err


# saved files


def test_a_website_download_is_a_bare_list(tmp_path: Path) -> None:
    file = write_json(tmp_path / "ctg-studies.json", MANY)
    harvest = load_trials([file])
    assert len(harvest.records) == 120
    assert harvest.shortfalls == ()


def test_saved_pages_count_as_one_load_only_together(tmp_path: Path) -> None:
    first = write_json(
        tmp_path / "1.json", {"studies": MANY[:100], "nextPageToken": "t", "totalCount": 120}
    )
    last = write_json(tmp_path / "2.json", {"studies": MANY[100:]})
    assert load_trials([first, last]).shortfalls == ()
    assert "100 of 120 studies came" in load_trials([first]).shortfalls[0]


def test_a_saved_page_that_names_a_next_one_is_not_all(tmp_path: Path) -> None:
    page = write_json(tmp_path / "1.json", {"studies": MANY, "nextPageToken": "t"})
    assert "there are more pages" in load_trials([page]).shortfalls[0]


def test_a_broken_line_of_a_lines_file_costs_one_record(seed: Any, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    lines = [json.dumps(study(1)), '{"protocolSection": {', "", json.dumps(study(2))]
    file.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    report = seed("--json", "--from", str(file)).json
    assert report["in_table"] == 2
    assert report["rejected"] == [{"key": "t.jsonl:2", "reason": "the line is not JSON"}]


def test_one_study_alone_is_a_file_too(tmp_path: Path) -> None:
    assert len(load_trials([write_json(tmp_path / "t.json", study(1))]).records) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "Expecting value"),
        (b"", "Expecting value"),
        (b"[1, 2", "Expecting"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_none_is_explained(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(content)
    with pytest.raises(BackendError, match=re.escape(said)) as caught:
        load_trials([file])
    assert caught.value.path == str(file)


def test_a_file_that_is_not_there_is_named(seed: Any, tmp_path: Path) -> None:
    run = seed("--from", str(tmp_path / "no.json"))
    assert run.code == 1
    assert "no.json: cannot be read: No such file" in run.err


# the snapshot


def test_offline_says_what_the_snapshot_is_and_is_not(seed: Any, target: MemoryTarget) -> None:
    run = seed("--offline")
    assert run.code == 0
    assert "notice: Partial snapshot of ClinicalTrials.gov" in run.out
    unknown = [row for row in target.rows.values() if row["status"] is None]
    assert f"{len(unknown)} studies of unknown status are stored with status NULL" in run.out
    assert {row["status"] for row in target.rows.values()} == {
        None, "COMPLETED", "ACTIVE_NOT_RECRUITING",
    }  # fmt: skip
    assert len(target.rows) < 300
    assert len(target.rows) > 100
    assert run.last_line == (
        f"[STATUS: LACKING] Seeded {len(target.rows)} benchmark trials. "
        f"{300 - len(target.rows)} are lacking of the 300 that are expected."
    )


def test_a_file_that_holds_as_many_as_are_expected_passes(seed: Any, tmp_path: Path) -> None:
    file = write_json(tmp_path / "t.json", [study(n) for n in range(1, 301)])
    assert seed("--from", str(file)).last_line == "[STATUS: PASS] Seeded 300 benchmark trials."
    write_json(file, [study(n) for n in range(301, 311)])
    assert seed("--from", str(file)).last_line == "[STATUS: PASS] Seeded 10 benchmark trials."
    dry = seed("--from", str(file), "--dry-run")
    assert (dry.code, dry.last_line) == (
        0,
        "[STATUS: DRY-RUN] Would seed 10 benchmark trials. "
        "290 are lacking of the 300 that are expected.",
    )


def test_only_enrolments_that_the_snapshot_marks_actual_are_stored(
    seed: Any, target: MemoryTarget
) -> None:
    run = seed("--offline", "--all-conditions")
    counts = {
        section["identificationModule"]["nctId"]: section.get("designModule", {}).get(
            "enrollmentInfo", {}
        )
        for section in (record["protocolSection"] for record in SNAPSHOT[1:])
    }
    for key, row in target.rows.items():
        given = counts[row["nct_id"]]
        actual = given.get("count") if given.get("type") == "ACTUAL" else None
        assert row["enrollment_actual"] == actual, key
    assert len([row for row in target.rows.values() if row["enrollment_actual"]]) > 10
    assert "enrolments not marked actual are stored as NULL" in run.out


def test_the_snapshot_says_how_many_records_it_has_and_with_what() -> None:
    head, *records = SNAPSHOT
    sections = [record["protocolSection"] for record in records]
    assert head["records"] == len(records) == 444
    known = [s for s in sections if "overallStatus" in s.get("statusModule", {})]
    assert head["with_status"] == len(known) == 225
    assert len({s["identificationModule"]["nctId"] for s in sections}) == len(records)


def test_a_missing_snapshot_is_explained(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="snapshot is not there") as caught:
        find_snapshot([tmp_path])
    assert caught.value.code == "snapshot-missing"


# progress


def test_progress_is_plain_lines_away_from_a_terminal(seed: Any) -> None:
    with replaying(MANY) as replay:
        run = seed(replay=replay)
    assert "  psilocybin: 120 of 120\n" in run.err
    assert "  writing: 100 of 120\n" in run.err
    assert "\x1b" not in run.err + run.out


def test_progress_is_a_bar_on_a_terminal(seed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with replaying(MANY) as replay:
        run = seed(replay=replay)
    assert "━" in run.err
    assert "120/120" in run.err


# the script itself


def test_the_script_runs_from_a_copy_of_its_tree(tmp_path: Path) -> None:
    copy = tmp_path / "frozen" / "backend"
    (copy / "scripts").mkdir(parents=True)
    (copy / "data").mkdir()
    for file in (ROOT / "backend").glob("*.py"):
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "scripts" / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    lines = [json.dumps({"snapshot": "one trial"}), json.dumps(study(1))]
    (copy / "data" / "ctgov_snapshot.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(copy / "scripts" / SCRIPT.name), "--offline", "--dry-run", "--json"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["source"].startswith(str(tmp_path))
    assert report["selected"] == 1


def test_help_tells_the_options() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    for option in ("--offline", "--from", "--dry-run", "--base-url", "--statuses", "--target"):
        assert option in done.stdout

"""CSV seeding: the strict reader, what is left out, and what the last line may say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_backend.csv_rows import BadRow, CsvError, CsvTable, convert_cell, read_csv
from orchestrate_backend.errors import TargetError
from orchestrate_backend.seeding import CsvSeed, CsvStatus, run_seed, seed_csv
from orchestrate_backend.targets.base import (
    Rejected,
    Row,
    Written,
    hashable,
    row_key,
    without_repeats,
)

COLUMNS = {
    "name": "text",
    "source": "text",
    "people": "integer",
    "score": "numeric(6,2)",
    "answered_pct": "numeric",
    "free": "boolean",
    "since": "date",
    "tags": "text[]",
}
TABLE = CsvTable(COLUMNS, required=("name", "source", "people"), percent=("answered_pct",))
SEED = CsvSeed("surveys", "data/surveys.csv", COLUMNS, TABLE.required, ("name",), TABLE.percent)
HEADER = ",".join(COLUMNS)
GOOD = "north,Doe 2020,12,3.50,40.5,TRUE,2021-03-01,a; b"


class MemoryTarget:
    """A table in memory, in place of a database."""

    name = "memory"
    fingerprint = "memory:0"

    def __init__(self, key: tuple[str, ...] | None = ("name", "source")) -> None:
        self.key = key
        self.rows: dict[Any, Row] = {}
        self.refuse: dict[str, str] = {}
        self.lost = 0

    def describe(self) -> str:
        return "memory"

    def upsert(
        self, table: str, rows: Sequence[Row], key: tuple[str, ...], batch: int = 50
    ) -> Written:
        unique, done = without_repeats(rows, key)
        for row in unique:
            if row["name"] in self.refuse:
                refused = Rejected(row_key(row, key), self.refuse[row["name"]])
                done += Written(rejected=(refused,))
                continue
            identity = hashable(row_key(row, key))
            known = self.rows.get(identity)
            self.rows[identity] = row
            done += Written(known is None, known not in (None, row), known == row)
        return done

    def count(self, table: str) -> int:
        return len(self.rows) - self.lost

    def natural_key(self, table: str) -> tuple[str, ...] | None:
        return self.key


@pytest.fixture
def write(tmp_path: Path):
    def write(*lines: str, header: str = HEADER, end: str = "\n", encoding: str = "utf-8") -> Path:
        path = tmp_path / "surveys.csv"
        path.write_bytes(end.join([header, *lines, ""]).encode(encoding))
        return path

    return write


def test_cells_become_values_of_the_columns_types(write) -> None:
    rows, bad = read_csv(write(GOOD), TABLE)
    assert bad == []
    assert rows[0].values == {
        "name": "north",
        "source": "Doe 2020",
        "people": 12,
        "score": Decimal("3.50"),
        "answered_pct": Decimal("40.5"),
        "free": True,
        "since": date(2021, 3, 1),
        "tags": ["a", "b"],
    }


def test_a_blank_cell_is_null_and_not_an_empty_text(write) -> None:
    rows, _ = read_csv(write("north,Doe 2020,12,,  ,,,"), TABLE)
    assert [rows[0].values[c] for c in ("score", "answered_pct", "free", "tags")] == [None] * 4


@pytest.mark.parametrize(("end", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_line_ends_and_a_byte_order_mark_do_not_matter(write, end: str, encoding: str) -> None:
    rows, bad = read_csv(write(GOOD, "", GOOD, end=end, encoding=encoding), TABLE)
    assert ([row.line for row in rows], bad) == ([2, 4], [])


def test_the_header_may_have_another_order_and_spaces(write) -> None:
    names = list(COLUMNS)[::-1]
    cells = GOOD.split(",")[::-1]
    rows, _ = read_csv(write(",".join(cells), header=", ".join(names)), TABLE)
    assert rows[0].values["name"] == "north"
    assert rows[0].values["people"] == 12


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("north,Doe 2020,12,3.5,40,true", "6 cells where the header has 8"),
        (GOOD + ",x", "9 cells where the header has 8"),
        ("north,,12,,,,,", "source is blank"),
        ("north, ,12,,,,,", "source is blank"),
        (",Doe,,,,,,", "name, people are blank"),
        ("north,Doe,a dozen,,,,,", "people is not a whole number: 'a dozen'"),
        ('north,Doe,"8,049",,,,,', "people is not a whole number: '8,049'"),
        ("north,Doe,12.5,,,,,", "people is not a whole number: '12.5'"),
        ("north,Doe,12,high,,,,", "score is not a number: 'high'"),
        ("north,Doe,12,NaN,,,,", "score is not a number: 'NaN'"),
        ("north,Doe,12,1e9999,,,,", "score is not a number: '1e9999'"),
        ("north,Doe,12,,100.1,,,", "answered_pct is not a percentage: 100.1"),
        ("north,Doe,12,,-1,,,", "answered_pct is not a percentage: -1"),
        ("north,Doe,12,,,yes,,", "free is not true or false: 'yes'"),
        ("north,Doe,12,,,1,,", "free is not true or false: '1'"),
        ("north,Doe,12,,,,2021-03,", "since is not a date like 2021-03-01: '2021-03'"),
        ("north,Doe,12,,,,2021-02-30,", "since is not a date like 2021-03-01: '2021-02-30'"),
        ("no\0rth,Doe,12,,,,,", "name holds a NUL character"),
    ],
)
def test_a_bad_row_costs_itself_alone_and_says_why(write, line: str, reason: str) -> None:
    rows, bad = read_csv(write(GOOD, line, GOOD), TABLE)
    assert [row.line for row in rows] == [2, 4]
    assert bad == [BadRow(3, reason)]


@pytest.mark.parametrize("edge", ["0", "100", "100.0"])
def test_a_percentage_may_be_none_or_all(write, edge: str) -> None:
    rows, bad = read_csv(write(f"north,Doe,12,,{edge},,,"), TABLE)
    assert (len(rows), bad) == (1, [])


def test_a_row_is_reported_where_it_begins(write) -> None:
    _, bad = read_csv(write('"north\nand south",Doe,12,,,,,', "west,Doe,many,,,,,"), TABLE)
    assert [row.line for row in bad] == [4]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("source,", ""), "missing columns: source"),
        (HEADER + ",extra", "unknown columns: extra"),
        (HEADER + ",", "unknown columns: (blank)"),
        (HEADER + ",name", "columns given twice: name"),
        ("", "the file is empty"),
    ],
)
def test_another_header_is_named_with_file_and_line(write, header: str, said: str) -> None:
    path = write(header=header)
    with pytest.raises(CsvError) as caught:
        read_csv(path, TABLE)
    assert said in caught.value.message
    assert (caught.value.path, caught.value.line) == (str(path), 1)


def test_another_encoding_is_named_with_its_line(write) -> None:
    path = write(GOOD, GOOD.replace("north", "Köln"), encoding="latin-1")
    with pytest.raises(CsvError, match="not UTF-8: byte 0xf6") as caught:
        read_csv(path, TABLE)
    assert caught.value.line == 3


@pytest.mark.parametrize("line", ['"north,Doe', '"north"x,Doe,12,,,,,', "x" * 200_000])
def test_what_is_no_csv_stops_with_the_line(write, line: str) -> None:
    with pytest.raises(CsvError, match="not well-formed CSV") as caught:
        read_csv(write(GOOD, line), TABLE)
    assert caught.value.line == 3


def test_a_file_too_large_is_not_read(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrate_backend.csv_rows.MAX_CSV_BYTES", 100)
    with pytest.raises(CsvError, match="larger than"):
        read_csv(write(*[GOOD] * 10), TABLE)


@given(st.text(max_size=40), st.sampled_from([*COLUMNS.values(), "uuid", "jsonb", "timestamptz"]))
def test_any_cell_is_a_value_or_a_reason(text: str, kind: str) -> None:
    try:
        outcome = convert_cell(text, kind)
    except ValueError as exc:
        outcome = f"refused: {exc}"
    assert (outcome is None) <= (text.strip() in {"", "null"})


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_numbers_keep_every_digit(number: Decimal) -> None:
    assert convert_cell(f"{number:f}", "numeric") == number


def test_the_last_line_says_how_many_rows_are_left_out(write) -> None:
    path = write(GOOD, "a,b", GOOD.replace("north", "south"), "c,d")
    report = seed_csv(SEED, path, MemoryTarget())
    assert report.last_line.endswith("surveys holds 2. 2 of the file's rows are left out.")


def test_the_last_line_says_pass_only_for_what_was_counted(write) -> None:
    target = MemoryTarget()
    path = write(GOOD, GOOD.replace("north", "south"))
    report = seed_csv(SEED, path, target)
    assert report.last_line == (
        "[STATUS: PASS] Seeded 2 rows (2 new, 0 changed, 0 as they were); surveys holds 2."
    )
    target.lost = 1
    assert seed_csv(SEED, path, target).last_line == (
        "[STATUS: FAIL] surveys holds 1 rows where 2 were written"
    )


def test_a_second_run_changes_nothing(write) -> None:
    target, path = MemoryTarget(), write(GOOD)
    seed_csv(SEED, path, target)
    before = dict(target.rows)
    report = seed_csv(SEED, path, target)
    assert report.written == Written(unchanged=1)
    assert target.rows == before


def test_rows_left_out_are_listed_in_order_and_the_rest_is_loaded(write) -> None:
    target = MemoryTarget()
    target.refuse["east"] = "value out of range"
    path = write(GOOD.replace("north", "east"), "x,y", GOOD, GOOD.replace("12", "13"), GOOD)
    report = seed_csv(SEED, path, target)
    assert report.status is CsvStatus.PASS
    assert [bad.line for bad in report.left_out][:2] == [2, 3]
    assert report.left_out[0].reason == "value out of range"
    assert "same key" in report.left_out[2].reason
    assert len(target.rows) == 1


def test_no_row_at_all_is_a_failure(write) -> None:
    report = seed_csv(SEED, write("x,y"), MemoryTarget())
    assert (report.status, report.exit_code) == (CsvStatus.FAIL, 1)


@pytest.mark.parametrize(
    ("found", "used"),
    [(("name", "source"), 2), (None, 1), (("name", "not_in_the_csv"), 1)],
)
def test_the_key_is_the_tables_own_if_the_csv_has_it(
    write, found: tuple[str, ...] | None, used: int
) -> None:
    target = MemoryTarget(found)
    seed_csv(SEED, write(GOOD), target)
    assert [len(key) for key in target.rows] == [used]


def project_with(tmp_path: Path, *lines: str) -> Path:
    """A project folder with the CSV, and the path that its seed script would have."""
    (tmp_path / "data").mkdir()
    if lines:
        text = "\n".join([HEADER, *lines]) + "\n"
        (tmp_path / SEED.csv).write_text(text, encoding="utf-8")
    return tmp_path / "backend" / "scripts" / "seed_surveys.py"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryTarget:
    target = MemoryTarget()
    target.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr("orchestrate_backend.seeding.choose_target", lambda name, env, root: target)
    return target


def test_a_missing_csv_is_a_warning_and_exit_code_0(tmp_path: Path, memory, capsys) -> None:
    assert run_seed(SEED, project_with(tmp_path), []) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "[STATUS: SKIP] warning: data/surveys.csv is not there yet, nothing to seed"
    assert memory.rows == {}


def test_the_script_names_its_database_first(tmp_path: Path, memory, capsys) -> None:
    assert run_seed(SEED, project_with(tmp_path, GOOD, "x,y"), []) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "Writing to memory"
    assert out.splitlines()[-1].startswith("[STATUS: PASS] Seeded 1 rows")
    assert "warning: data/surveys.csv:3: left out: 2 cells" in err


def test_a_dry_run_writes_nothing(tmp_path: Path, memory, capsys) -> None:
    assert run_seed(SEED, project_with(tmp_path, GOOD, "x,y"), ["--dry-run"]) == 0
    assert "1 rows can be written, 1 cannot" in capsys.readouterr().out
    assert memory.rows == {}


def test_json_is_one_object_with_the_figures(tmp_path: Path, memory, capsys) -> None:
    assert run_seed(SEED, project_with(tmp_path, GOOD, "x,y"), ["--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["status"], figures["inserted"], figures["in_table"]) == ("PASS", 1, 1)
    assert [bad["line"] for bad in figures["left_out"]] == [3]


def test_a_database_error_is_exit_code_1_with_what_to_do(
    tmp_path: Path, memory, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Written:
        raise TargetError("table surveys does not exist", hint="apply the migration first")

    monkeypatch.setattr(memory, "upsert", refuse)
    assert run_seed(SEED, project_with(tmp_path, GOOD), []) == 1
    err = capsys.readouterr().err.splitlines()
    assert err == ["apply the migration first", "[STATUS: FAIL] table surveys does not exist"]


def test_a_wrong_header_is_exit_code_1_with_file_and_line(tmp_path: Path, memory, capsys) -> None:
    script = project_with(tmp_path)
    (tmp_path / SEED.csv).write_text("name,people\n", encoding="utf-8")
    assert run_seed(SEED, script, []) == 1
    assert f"{tmp_path / SEED.csv}:1: missing columns: source" in capsys.readouterr().err


def test_another_csv_and_workspace_can_be_named(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots: list[Path] = []
    target = MemoryTarget()
    target.close = lambda: None  # type: ignore[attr-defined]

    def choose(name: str | None, env: object, root: Path) -> MemoryTarget:
        roots.append(root)
        return target

    monkeypatch.setattr("orchestrate_backend.seeding.choose_target", choose)
    script = project_with(tmp_path, GOOD)
    monkeypatch.setenv("ORCHESTRATE_ROOT", str(tmp_path / "elsewhere"))
    assert run_seed(SEED, script, ["--csv", str(tmp_path / SEED.csv)]) == 0
    assert run_seed(SEED, script, ["--root", str(tmp_path)]) == 0
    assert roots == [tmp_path / "elsewhere", tmp_path]

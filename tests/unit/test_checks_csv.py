"""Checks of seed data catch its defects and pass its harmless variations (DESIGN 6.6)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrate_agents.checks.data.subjects import parse_amount
from orchestrator.domain.agent import MemberInfo
from orchestrator.domain.workflow import Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Verdict
from orchestrator.gates.loading import load_checks
from tests.seed_family import (
    BINDER,
    CSV,
    SOURCES,
    WORKFLOW,
    context,
    deliver,
    edit,
    say,
    verdicts,
    write_csv,
)

COMPLETE = "CSV file exists with ≥ 2 complete rows"
VERIFIED = "all values verified against source papers"
CITED = "lamp_trials_seed.csv has source_citation column populated for every row"
METRIC = "lamp_trials — all have citation | 100%"
FREE = "open_data = TRUE is accurate for each row's license"
INVENTED = "No synthetic or invented data — every number must cite a real published source"
COLUMNS_MATCH = "CSV columns match the schema exactly"
WELL_FORMED = f"`{CSV}` is well-formed"
EVERYTHING = (COMPLETE, VERIFIED, CITED, METRIC, FREE, INVENTED, COLUMNS_MATCH, WELL_FORMED)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deliver(tmp_path)
    return tmp_path


def cell(line: int, column: str, value: str) -> Callable[[str], str]:
    """Change one cell (`line` counts from 0 without the header)."""

    def change(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        rows[line + 1][rows[0].index(column)] = value
        return _text(rows)

    return change


def _text(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def without_column(column: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        at = rows[0].index(column)
        return _text([row[:at] + row[at + 1 :] for row in rows])

    return change


def swapped(text: str) -> str:
    return text.replace("site,baseline_mean", "baseline_mean,site")


def cut(text: str) -> str:
    """The first row with two cells fewer."""
    rows = list(csv.reader(io.StringIO(text)))
    return _text([rows[0], rows[1][:-2], *rows[2:]])


@pytest.mark.parametrize("statement", EVERYTHING)
def test_what_analyst_delivers_is_proven(root: Path, statement: str) -> None:
    assert verdicts(context(root), statement) == {"proven"}


DEFECTS = [
    ("a changed figure", cell(0, "baseline_mean", "81.0"), VERIFIED),
    ("an invented figure in a blank cell", cell(1, "endpoint_mean", "12.5"), VERIFIED),
    ("a change entered as the endpoint", cell(0, "endpoint_mean", "18.5"), VERIFIED),
    ("a percentage over 100", cell(0, "failure_rate_pct", "125"), VERIFIED),
    ("text in a number", cell(0, "baseline_mean", "about 80"), VERIFIED),
    ("a decimal in a whole number", cell(0, "n_lamps", "40.5"), VERIFIED),
    ("two cells missing", cut, VERIFIED),
    ("two cells missing", cut, COMPLETE),
    ("two cells missing", cut, CITED),
    ("two cells missing", cut, WELL_FORMED),
    ("a renamed row, whose sources are then another's", cell(0, "lamp_name", "Brook"), VERIFIED),
    ("another DOI", cell(0, "source_citation", "Brook 2019. doi:10.1234/no.1"), VERIFIED),
    ("a malformed DOI", cell(0, "source_citation", "Brook 2019. doi:1234/lens"), CITED),
    ("a citation of one space", cell(1, "source_citation", " "), CITED),
    ("a citation of a non-breaking space", cell(1, "source_citation", "\u00a0"), CITED),
    ("a citation of a zero-width space", cell(1, "source_citation", "\u200b"), CITED),
    ("a blank citation", cell(2, "source_citation", ""), METRIC),
    ("a placeholder citation", cell(2, "source_citation", "TBD"), METRIC),
    ("a dash for a citation", cell(2, "source_citation", "—"), METRIC),
    ("a citation that names no work", cell(2, "source_citation", "paper"), CITED),
    ("TRUE under a closed licence", cell(1, "open_data", "true"), FREE),
    ("TRUE under no licence", cell(2, "open_data", "TRUE"), FREE),
    ("TRUE under a NC licence", cell(0, "license", "CC BY-NC 4.0"), FREE),
    ("TRUE under an unconfirmed licence", cell(0, "license", "CC BY 4.0 (unconfirmed)"), FREE),
    ("TRUE with a blank licence", cell(0, "license", ""), FREE),
    ("a licence invented for a closed paper", cell(1, "license", "CC BY 4.0"), VERIFIED),
    ("a sentence in the boolean", cell(0, "open_data", "yes, mostly"), FREE),
    ("a blank boolean whose default is TRUE", cell(1, "open_data", ""), FREE),
    ("too few complete rows", cell(1, "failure_rate_pct", ""), COMPLETE),
    ("a blank required cell", cell(0, "n_lamps", ""), COMPLETE),
    ("a column less", without_column("notes"), COLUMNS_MATCH),
    ("two columns swapped", swapped, COLUMNS_MATCH),
    ("a column twice", lambda t: t.replace("site,", "notes,", 1), WELL_FORMED),
    ("no rows", lambda t: t.split("\n")[0] + "\n", VERIFIED),
    ("no rows", lambda t: t.split("\n")[0] + "\n", CITED),
    ("a NUL byte", lambda t: t + "\0", WELL_FORMED),
    ("an open quote", lambda t: t + '"', VERIFIED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "statement"),
    [(change, statement) for _, change, statement in DEFECTS],
    ids=[f"{name}: {statement[:20]}" for name, _, statement in DEFECTS],
)
def test_a_defect_is_caught(root: Path, change: Callable[[str], str], statement: str) -> None:
    edit(root, change)
    assert "failed" in verdicts(context(root), statement)


SOURCE_DEFECTS: list[tuple[str, Callable[[dict[str, str]], object]]] = [
    ("another printed figure", lambda e: e.update(printed="99.9")),
    ("nothing printed", lambda e: e.update(printed="")),
    ("no place in the source", lambda e: e.update(locator=" ")),
    ("an unpublished source", lambda e: e.update(source="own estimate")),
    ("a malformed DOI", lambda e: e.update(source="doi:10.1/x")),
    ("an example page", lambda e: e.update(source="https://example.com/paper")),
    ("another row", lambda e: e.update(row={"lamp_name": "another"})),
    ("another column", lambda e: e.update(column="endpoint_sd2")),
    ("another value", lambda e: e.update(value="1")),
]


@pytest.mark.parametrize(
    "spoil", [s for _, s in SOURCE_DEFECTS], ids=[name for name, _ in SOURCE_DEFECTS]
)
def test_a_broken_source_supports_nothing(
    root: Path, spoil: Callable[[dict[str, str]], object]
) -> None:
    lines = [json.loads(x) for x in (root / SOURCES).read_text(encoding="utf-8").splitlines()]
    spoil(next(e for e in lines if e["column"] == "endpoint_mean"))
    text = "".join(json.dumps(e) + "\n" for e in lines)
    (root / SOURCES).write_text(text, encoding="utf-8")
    assert verdicts(context(root), VERIFIED) == {"failed"}
    assert verdicts(context(root), COMPLETE) == {"proven"}


def test_a_figure_and_its_source_changed_together_contradict_the_verified_facts(root: Path) -> None:
    edit(root, cell(0, "baseline_mean", "50.0"))
    edit(root, lambda t: t.replace('"80.0"', '"50.0"').replace("80.0 (5.1)", "50.0 (5.1)"), SOURCES)
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert "the verified facts hold 80.0" in result.detail


def test_a_word_of_another_row_contradicts_the_verified_facts_and_another_wording_does_not(
    root: Path,
) -> None:
    sites = [row["site"] for row in csv.DictReader(io.StringIO((root / CSV).read_text("utf-8")))]
    own, foreign = sites[0], next(site for site in sites[1:] if site)
    edit(root, cell(0, "site", foreign))
    [result] = say(context(root), VERIFIED)
    assert (result.verdict, f"{foreign} is true of another row" in result.detail) == (
        "failed",
        True,
    )
    edit(root, cell(0, "site", own.upper()))
    [result] = say(context(root), VERIFIED)
    assert (result.verdict, f"it is written {own}" in result.detail) == ("failed", True)
    edit(root, cell(0, "site", f"the {own}, as it is called there"))
    assert verdicts(context(root), VERIFIED) == {"proven"}


def test_without_sources_every_figure_is_listed(root: Path) -> None:
    (root / SOURCES).unlink()
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert len(result.evidence["problems"]) == 9
    assert "line 2, n_lamps: 40 has no source" in result.evidence["problems"]


def test_an_unreadable_sources_file_fails_with_its_line(root: Path) -> None:
    edit(root, lambda t: t + "nonsense\n", SOURCES)
    [result] = say(context(root), VERIFIED)
    assert result.verdict == "failed"
    assert "not a JSON object" in result.detail


HARMLESS = [
    ("other quoting", lambda t: _quoted(t)),
    ("other order of rows", lambda t: _reordered(t)),
    ("other line ends", lambda t: t.replace("\n", "\r\n")),
    ("a byte order mark", lambda t: "\ufeff" + t),
    ("another spelling of a number", cell(0, "baseline_mean", "80")),
    ("capital TRUE", cell(0, "open_data", "TRUE")),
    ("a longer note", cell(0, "notes", "Mean change -18.5 over one year at the pier.")),
    ("a blank line at the end", lambda t: t + "\n"),
]  # fmt: skip


def _reordered(text: str) -> str:
    header, *rows = text.strip().split("\n")
    return "\n".join([header, *reversed(rows)]) + "\n"


def _quoted(text: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


@pytest.mark.parametrize("change", [c for _, c in HARMLESS], ids=[name for name, _ in HARMLESS])
@pytest.mark.parametrize("statement", EVERYTHING)
def test_a_harmless_variation_is_no_defect(
    root: Path, change: Callable[[str], str], statement: str
) -> None:
    edit(root, change)
    assert verdicts(context(root), statement) == {"proven"}


def test_an_endpoint_that_truly_equals_the_change_is_no_confusion(root: Path) -> None:
    edit(root, lambda t: t.replace("80.0,61.5,4.25", "37.0,18.5,4.25"))
    statement = "no change score is taken for an endpoint"
    assert verdicts(context(root), statement) == {"proven"}
    edit(root, lambda t: t.replace("37.0,18.5", "80.0,18.5"))
    assert verdicts(context(root), statement) == {"failed"}


# -- which file, which words -----------------------------------------------------------------------


def test_a_missing_file_fails(tmp_path: Path) -> None:
    assert verdicts(context(tmp_path), COMPLETE) == {"failed"}
    assert verdicts(context(tmp_path), CITED) == {"failed"}


def test_a_claim_about_no_file_is_unproven(tmp_path: Path) -> None:
    text = WORKFLOW.replace(f"ANALYST creates `{CSV}` from these papers:", "Think.")
    assert verdicts(context(tmp_path, text=text), COMPLETE) == {"unproven"}


def test_an_inspection_looks_at_every_delivered_file(root: Path) -> None:
    write_csv(
        root / "data/lamp_prices_seed.csv", [{"maker": "Pharos", "price": "12"}], "maker, price"
    )
    ctx = context(root, stage=4)
    assert verdicts(ctx, INVENTED) == {"proven"}
    artifacts = {"data/lamp_prices_seed.csv": {"agent": "ANALYST", "state": "written"}}
    assert verdicts(context(root, stage=4, artifacts=artifacts), INVENTED) == {"failed"}


def test_the_receipt_defines_a_complete_row(root: Path) -> None:
    [result] = say(context(root), COMPLETE)
    assert "2 of 3 rows are complete" in result.detail
    assert "lamp_name, source_citation, n_lamps" in result.detail
    counts = "2 of 3 rows have all required columns and at least one outcome figure"
    assert result.evidence["counted"].startswith(f"{counts}; ")
    assert result.evidence["counted"] in result.detail
    assert CSV in result.subjects


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        (f"`{CSV}` has at least 3 complete rows", "failed"),
        (f"`{CSV}` has at least two complete rows", "proven"),
        (f"`{CSV}` has 3 rows", "proven"),
        (f"`{CSV}` has 2 rows", "failed"),
        (f"`{CSV}` contains 3+ records", "proven"),
        ("CSV file has exactly 4 rows", "failed"),
        (f"`{CSV}` has no duplicate rows", "proven"),
        ("every row has 11 cells", "proven"),
        ("every row has 12 cells", "failed"),
        ("all percentages are between 0 and 100", "proven"),
        ("no empty required cells", "proven"),
        ("all DOIs are well-formed", "proven"),
        (f"`{CSV}` has exactly the columns lamp_name, site", "failed"),
        ("open_data is TRUE only where the license allows it", "proven"),
        ("lamp_trials — all have colour | 100%", "failed"),
        (f"`{CSV}` has a site column populated for every row", "failed"),
    ],
)
def test_several_wordings_bind_and_are_judged(root: Path, statement: str, verdict: str) -> None:
    assert verdicts(context(root), statement) == {verdict}


def test_a_duplicate_row_and_a_blank_required_cell_are_found(root: Path) -> None:
    edit(root, lambda t: t + t.split("\n")[1] + "\n")
    assert verdicts(context(root), f"`{CSV}` has no duplicate rows") == {"failed"}
    edit(root, cell(0, "n_lamps", ""))
    assert verdicts(context(root), "no empty required cells") == {"failed"}


@pytest.mark.parametrize(
    "statement",
    [
        "CSV file exists without complete rows",
        "not all values verified against source papers",
        "all values verified against source papers except the estimates",
        "some rows of lamp_trials_seed.csv have source_citation",
        "open_data = FALSE is accurate for each row's license",
    ],
)
def test_a_negated_or_longer_claim_is_not_taken_for_another(statement: str) -> None:
    assert any(binding.check is None for binding in BINDER.bind(statement))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("≥ 8", 8, None), (">=8", 8, None), ("8+", 8, None), ("at least 1,000", 1000, None),
     ("8 or more", 8, None), ("more than 8", 9, None), ("exactly 8", 8, 8), ("8", 8, 8),
     ("at least eight", 8, None)],
)  # fmt: skip
def test_amounts_are_read(text: str, low: int, high: int | None) -> None:
    found = parse_amount(text)
    assert (found.least, found.most) == (low, high)


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("`data/rooms.csv` has columns floor and code", Verdict.PROVEN),
        ("`data/rooms.csv` has columns code and price", Verdict.FAILED),
        ("the column `code` of `data/rooms.csv` is unique", Verdict.PROVEN),
        ("every code in `data/rooms.csv` is unique", Verdict.PROVEN),
        ("`floor` is unique in `data/rooms.csv`", Verdict.FAILED),
        ("`price` is unique in `data/rooms.csv`", Verdict.FAILED),
        ("every row of `data/rooms.csv` is unique", Verdict.PROVEN),
        ("`rooms.csv` has 3 rows", Verdict.FAILED),
        ("`data/rooms.csv` has exactly 2 columns", Verdict.PROVEN),
        ("`data/rooms.csv` has 3 columns", Verdict.FAILED),
        ("`data/rooms.csv` must have at least 3 columns", Verdict.FAILED),
        ("`data/rooms.csv` contains no duplicates", Verdict.PROVEN),
        ("`data/rooms.csv` has no duplicate codes", Verdict.PROVEN),
        ("Every row in `data/rooms.csv` has a unique floor", Verdict.FAILED),
        ("No two rows of `data/rooms.csv` have the same floor", Verdict.FAILED),
    ],
)
def test_columns_by_name(tmp_path: Path, claim: str, said: Verdict) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rooms.csv").write_text("code,floor\nA1,0\nA2,0\nB1,1\n", encoding="utf-8")
    (binding,) = Binder(load_checks()).bind(claim)
    assert binding.check is not None, binding.problem
    assert binding.check.function(Context(root=tmp_path), **binding.arguments).verdict is said


def test_a_path_means_itself_and_not_a_delivered_file_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/rooms.csv").write_text("code\nA1\n", encoding="utf-8")
    stage = Stage(
        1, "ANALYST", "Data", 1, deliverables=(Deliverable("other/rooms.csv", "write", 1),)
    )
    workflow = Workflow(tmp_path / "w.md", "", "", "", (stage,))
    context = Context(root=tmp_path, workflow=workflow, stage=stage)
    found = {
        claim: binding.check.function(context, **binding.arguments).verdict
        for claim in ("`data/rooms.csv` has 1 rows", "`rooms.csv` has 1 rows")
        for binding in Binder(load_checks()).bind(claim)
        if binding.check
    }
    assert list(found.values()) == [Verdict.FAILED, Verdict.PROVEN]


def test_other_delimiters_and_types_that_nothing_defines_are_said(tmp_path: Path) -> None:
    file = tmp_path / "rooms.csv"
    (binding,) = Binder(load_checks()).bind("`rooms.csv` is well-formed")
    assert binding.check is not None
    file.write_text("code,floor\nA1,zero\n", encoding="utf-8")
    good = binding.check.function(Context(root=tmp_path), **binding.arguments)
    assert (good.verdict, "no SQL defines their types" in good.detail) == (Verdict.PROVEN, True)
    file.write_text("code;floor\nA1;0\n", encoding="utf-8")
    bad = binding.check.function(Context(root=tmp_path), **binding.arguments)
    assert (bad.verdict, "separated by commas" in bad.detail) == (Verdict.FAILED, True)


def test_a_table_in_sql_that_a_ticket_names_gives_the_types(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "CREATE TABLE rooms (code text NOT NULL, floor int);", encoding="utf-8"
    )
    (tmp_path / "rooms.csv").write_text("code,floor\nA1,zero\n", encoding="utf-8")
    (tmp_path / "WO-1.md").write_text("`a.sql` makes the table.\n", encoding="utf-8")
    member = MemberInfo(id="WO-1", path="WO-1.md", status="", owner="")
    (binding,) = Binder(load_checks()).bind("`rooms.csv` is well-formed")
    assert binding.check is not None
    context = Context(root=tmp_path, family=(member,))
    assert binding.check.function(context, **binding.arguments).verdict is Verdict.FAILED

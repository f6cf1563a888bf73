"""Statements on tickets, on USER's acts and on row counts, each at its own moment (DESIGN 6.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrate_backend.errors import TargetError
from orchestrator.gates.checks import Context, Phase
from tests.seed_family import BINDER, context, member, phases, say, verdicts

TICKET = """---
id: {id}
title: "Lamps"
status: {status}
owner: {owner}
---
# Lamps

{body}
"""
REPORT = "## ANALYST RESEARCH REPORT\n\nThree papers give figures for lamps at sea.\n"


def family(
    root: Path,
    status: str = "03_BUILD",
    owner: str = "SOOP",
    folder: str = "03_BUILD",
    body: str = REPORT,
) -> Context:
    path = f"_WORK_ORDERS/{folder}/WO-512_Lamps.md"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    text = TICKET.format(id="WO-512", status=status, owner=owner, body=body)
    (root / path).write_text(text, encoding="utf-8")
    return context(root, family=(member("WO-512", path, status, owner),))


@pytest.mark.parametrize(
    ("statement", "phase"),
    [
        ("WO-512 in `03_BUILD` with `owner: SOOP`", Phase.POSITION),
        ("WO-512 moves to `06_COMPLETE`", Phase.POSITION),
        ("WO-512.md exists in `03_BUILD/` with ANALYST research report", Phase.POSITION),
        ('USER says "approved" or requests modifications', Phase.ANSWER),
        ("lamp_trials count | ≥ 3 records", Phase.EFFECT),
        ("WO-512 has complete frontmatter", Phase.CONTENT),
    ],
)
def test_every_statement_has_its_moment(statement: str, phase: Phase) -> None:
    assert phases(statement) == {phase}


@pytest.mark.parametrize(
    "statement",
    [
        "WO-512 in `03_BUILD` with `owner: SOOP`",
        "WO-512 is in `03_BUILD`",
        "WO-512 is in `04_BUILD`",
        "WO-512 is owned by SOOP",
        "WO-512.md exists in `_WORK_ORDERS/03_BUILD/` with ANALYST research report",
        "WO-512 has an ANALYST research report",
        "WO-512 has a `## ANALYST RESEARCH REPORT` section",
        "WO-512 has complete frontmatter",
    ],
)
def test_a_ticket_in_its_place_is_proven(tmp_path: Path, statement: str) -> None:
    assert verdicts(family(tmp_path), statement) == {"proven"}


@pytest.mark.parametrize(
    ("fields", "statement"),
    [
        ({"owner": "LEAD"}, "WO-512 in `03_BUILD` with `owner: SOOP`"),
        ({"folder": "01_TRIAGE"}, "WO-512 in `03_BUILD` with `owner: SOOP`"),
        ({"status": "01_TRIAGE"}, "WO-512 in `03_BUILD` with `owner: SOOP`"),
        ({}, "WO-512 moves to `06_COMPLETE`"),
        ({}, "WO-999 moves to `03_BUILD`"),
        ({"body": "## ANALYST RESEARCH REPORT\n\n## Next\n\nA lot of text here."},
         "WO-512.md exists in `_WORK_ORDERS/03_BUILD/` with ANALYST research report"),
        ({"body": "```\n## ANALYST RESEARCH REPORT\nthree words here\n```\n"},
         "WO-512 has an ANALYST research report"),
        ({"body": "nothing of the kind"}, "WO-512 has an ANALYST research report"),
        ({"owner": ""}, "WO-512 has complete frontmatter"),
        ({}, "WO-512 has a `## LEAD ARCHITECTURE` section"),
    ],
)  # fmt: skip
def test_a_ticket_out_of_place_fails(
    tmp_path: Path, fields: dict[str, str], statement: str
) -> None:
    assert verdicts(family(tmp_path, **fields), statement) == {"failed"}


def test_a_ticket_whose_file_is_gone_fails(tmp_path: Path) -> None:
    ctx = family(tmp_path)
    (tmp_path / ctx.family[0].path).unlink()
    assert verdicts(ctx, "WO-512 is in `03_BUILD`") == {"failed"}


def test_a_subsection_counts_as_text_of_its_section(tmp_path: Path) -> None:
    body = "## Research\n\n### Papers\n\nThree papers give figures.\n"
    assert verdicts(family(tmp_path, body=body), "WO-512 has an ANALYST research report") == {
        "proven"
    }


# -- USER's acts -----------------------------------------------------------------------------------


def answered(tmp_path: Path, *answers: str, stage: int = 2) -> Context:
    history = tuple({"type": "answer", "stage": stage, "answer": a} for a in answers)
    return context(tmp_path, stage=2, history=history)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((), "pending"),
        (("approved",), "proven"),
        (("changes_requested",), "failed"),
        (("hold",), "pending"),
        (("approved", "undo"), "pending"),
        (("changes_requested", "approved"), "proven"),
        (("approved", "changes_requested"), "failed"),
    ],
)
def test_only_the_recorded_answer_proves_what_user_does(
    tmp_path: Path, answers: tuple[str, ...], verdict: str
) -> None:
    assert verdicts(answered(tmp_path, *answers), "USER approves the tables") == {verdict}


def test_a_request_for_changes_is_an_answer_where_the_statement_says_so(tmp_path: Path) -> None:
    statement = 'USER says "approved" or requests modifications'
    assert verdicts(answered(tmp_path, "changes_requested"), statement) == {"proven"}
    assert verdicts(answered(tmp_path, "approved"), statement) == {"proven"}


def test_the_answer_of_another_stage_proves_nothing(tmp_path: Path) -> None:
    ctx = answered(tmp_path, "approved", stage=5)
    assert verdicts(ctx, "USER approves the tables") == {"pending"}


def test_users_act_does_not_swallow_the_next_claim() -> None:
    statement = "USER confirms record counts and pushes to remote. WO-231 moves to `06_COMPLETE`."
    names = [binding.check.name for binding in BINDER.bind(statement) if binding.check]
    assert names == ["tickets.user-answered", "tickets.placed"]


# -- counts ----------------------------------------------------------------------------------------


class Counted:
    """A target that knows its tables' sizes."""

    name = "embedded"

    def __init__(self, **rows: int) -> None:
        self.rows = rows

    def count(self, table: str) -> int:
        if table not in self.rows:
            raise TargetError(f"there is no table {table}")
        return self.rows[table]


@pytest.mark.parametrize(
    ("statement", "rows", "verdict"),
    [
        ("lamp_trials count | ≥ 3 records", 3, "proven"),
        ("lamp_trials count | ≥ 3 records", 2, "failed"),
        ("Confirm counts match expectations (3+ trials)", 3, "proven"),
        ("Confirm counts match expectations (3+ trials, 1+ prices)", 3, "proven"),
        ("Confirm counts match expectations (3+ trials, 2+ prices)", 3, "failed"),
        ("Confirm counts match expectations (4+ trials)", 3, "failed"),
        ("lamp_trials has at least 4 rows", 3, "failed"),
        ("lamp_trials holds exactly 3 rows", 3, "proven"),
        ("lamp_trials holds exactly 3 rows", 4, "failed"),
        ("Confirm counts match expectations (3+ lamps)", 3, "unproven"),
        ("Confirm counts match expectations (3+ boats)", 3, "unproven"),
    ],
)
def test_rows_are_counted_on_the_target(
    tmp_path: Path, statement: str, rows: int, verdict: str
) -> None:
    target: Any = Counted(lamp_trials=rows, lamp_prices=1)
    assert verdicts(context(tmp_path, stage=5, target=target), statement) == {verdict}


def test_the_figures_are_in_the_sentence(tmp_path: Path) -> None:
    target: Any = Counted(lamp_trials=281)
    [result] = say(context(tmp_path, target=target), "lamp_trials count | ≥ 300 records")
    assert result.detail == "lamp_trials holds 281 rows (wanted at least 300) on embedded"
    assert result.evidence == {"lamp_trials": 281}


def test_a_missing_table_fails_and_no_target_is_pending(tmp_path: Path) -> None:
    target: Any = Counted()
    statement = "lamp_trials count | ≥ 3 records"
    assert verdicts(context(tmp_path, target=target), statement) == {"failed"}
    assert verdicts(context(tmp_path), statement) == {"pending"}


@pytest.mark.parametrize(
    "apart",
    [
        "— `npm run lint`",
        "(`npm run lint`)",
        "→ `npm run lint`",
        "- `npm run lint`",
        "[proof: `npm run lint`]",
    ],
)
@pytest.mark.parametrize("said", ["USER has signed off", "USER approves the schema"])
def test_a_command_set_apart_is_no_answer_of_user(said: str, apart: str) -> None:
    bound = BINDER.bind(f"{said} {apart}")
    taken = [b.claim for b in bound if b.check and b.check.name == "tickets.user-answered"]
    assert all("npm" not in claim for claim in taken)
    assert any(b.check is None for b in bound)

"""A statement may name its evidence, in the styles in which people write it (DESIGN 6.1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context
from orchestrator.gates.evidence import find_evidence
from orchestrator.gates.loading import load_checks
from orchestrator.gates.receipts import Gate
from orchestrator.markdown.body import boxes, tick_box
from orchestrator.tickets.criteria import read_criteria

BINDER = Binder(load_checks(None))


def bound(statement: str) -> list[tuple[str, str]]:
    """(claim, check or "") of each claim."""
    return [(b.claim, b.check.name if b.check else "") for b in BINDER.bind(statement)]


@pytest.mark.parametrize(
    "statement",
    [
        "Totals are right — `pytest -q`",
        "Totals are right -- `pytest -q`.",
        "Totals are right → `pytest -q`",
        "Totals are right (`cargo test`)",
        "Totals are right (proof: `npm run build`)",
        "Totals are right (verify with `make lint`)",
        "Totals are right [`npx vitest run`]",
        "Totals are right, verified by `pytest tests/test_totals.py`",
        "Totals are right; evidence: `pytest -q`",
        "Totals are right. Test: `pytest -q`",
        "Totals are right: `pytest -q`",
        "Totals are right — run `./smoke.sh`",
        "Totals are right — `CI=1 npm test`",
        "Totals are right (`ruff check .` and `mypy src`)",
        "Totals are right — `pytest -q` passes",
        "Totals are right — `pytest -q`, 12 passed",
        "Totals are right, as shown by running `pytest -q`",
        "check: `own-tool totals`",
        "AC-3: Totals are right — `pytest -q`",
    ],
)
def test_what_is_named_stands_for_the_words(statement: str) -> None:
    ((claim, check),) = bound(statement)
    assert check == "command.passes"
    assert claim == statement.rstrip(".")


@pytest.mark.parametrize(
    "statement",
    [
        "The key is renamed — `db_url`",
        "The default is `main`",
        "The default — `main branch`",
        "Users can run `npm start`",
        "Add a test `npm test`",
        "Do not run `rm -rf build`",
        "Works without `npm install`",
        "Totals are right (not `pytest -q`)",
        "Totals are right, not verified by `pytest -q`",
        "Totals are right unless `pytest -q`",
        "Totals are right — `pytest -q` most of the time",
        "Totals are right — `pytest -q` or `npm test`",
        "Copy is approved by legal — `npm run lint`",
        "USER is content with the copy — `npm run lint`",
        "Totals are right — `SELECT 1`",
        "Totals are right (see `README.md`)",
    ],
)
def test_what_is_not_said_to_be_evidence_is_none(statement: str) -> None:
    assert "" in [check for _, check in bound(statement)]


def test_a_label_makes_evidence_of_what_other_checks_look_at() -> None:
    assert bound("Notes are out (evidence: `NOTES.md` exists)") == [
        ("Notes are out (evidence: `NOTES.md` exists)", "files.exists")
    ]


def prove(root: Path, text: str) -> tuple[str, list[str]]:
    context = Context(root=root, settings={"checks": {"commands": ["test -e b.txt"]}})
    statement = Statement(text, StatementKind.ACCEPTANCE, "a.md", 1)
    (receipt,) = Gate(BINDER).prove([statement], context)
    return receipt.verdict.value, [claim.check for claim in receipt.claims]


def test_what_the_words_themselves_refute_is_not_proven_by_evidence(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("b")
    both = ["files.exists", "command.passes"]
    assert prove(tmp_path, "`a.txt` exists — `test -e b.txt`") == ("failed", both)
    (tmp_path / "a.txt").write_text("a")
    assert prove(tmp_path, "`a.txt` exists — `test -e b.txt`") == ("proven", both)
    # where the words' own check has nothing to say, the named evidence decides
    words = "no secrets or keys in delivered files"
    assert prove(tmp_path, f"{words} — `test -e b.txt`")[0] == "proven"
    assert prove(tmp_path, words)[0] == "unproven"


CRITERIA = """\
## Acceptance Criteria
- [ ] Totals are right.
  - check: `pytest -q`
  - **verify:** `make lint`
- [ ] Search wraps
      twice
    - Test: `npm test`
- Plain
  - proof: `npm run build`
- [ ] Own
  - [ ] check: `own box`
- [ ] Last
- check: `beside it`
"""


def test_evidence_below_a_criterion_belongs_to_it() -> None:
    found = read_criteria(CRITERIA.splitlines(), 0, source="a.md", ticket="WO-1").statements
    assert [s.text for s in found] == [
        "Totals are right — check: `pytest -q` and `make lint`",
        "Search wraps twice — check: `npm test`",
        "Plain — check: `npm run build`",
        "Own",
        "check: `own box`",
        "Last",
        "check: `beside it`",
    ]
    assert {check for s in found[:3] for _, check in bound(s.text)} == {"command.passes"}


def test_a_box_with_evidence_below_it_is_ticked() -> None:
    texts = [box.text for box in boxes(CRITERIA.splitlines())]
    ticked = tick_box(CRITERIA.encode(), texts[1], "receipt ab12").decode()
    assert "- [x] Search wraps\n      twice · receipt ab12\n    - Test: `npm test`\n" in ticked
    assert [box.text for box in boxes(ticked.splitlines())] == texts


@given(st.text(alphabet="ab `()—:.run\n-", max_size=80))
def test_any_text_can_be_searched_for_evidence(text: str) -> None:
    for named in find_evidence(text):
        assert named.phrase in text
        assert named.words in text

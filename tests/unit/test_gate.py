"""Binding of statements to checks, verdicts and receipts (DESIGN 6.1, 6.2, 6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import UsageError
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Check, Context, Found, Phase, Result, Verdict, failed, proven
from orchestrator.gates.expressions import compile_pattern
from orchestrator.gates.loading import load_checks
from orchestrator.gates.receipts import Gate, Receipt


def there(ctx: Context, path: str) -> Result:
    return proven("is there", path) if ctx.path(path).exists() else failed("is missing", path)


def short(ctx: Context, path: str, most: int) -> Result:
    size = len(ctx.path(path).read_bytes())
    return proven(f"{size} bytes", path) if size <= most else failed(f"{size} bytes", path)


def breaks(ctx: Context) -> Result:
    raise RuntimeError("boom")


def leaves(ctx: Context) -> Result:
    raise SystemExit(0)


def nods(ctx: Context) -> bool:
    return True


def hoards(ctx: Context) -> Result:
    return proven("kept", kept={("a", "b"): 1})


def a_check(name: str, *patterns: str, function: object = there, **kw: object) -> Check:
    fields = {"phase": Phase.CONTENT, "version": 1, "summary": name, **kw}
    return Check(name, patterns, function, **fields)  # type: ignore[arg-type]


CHECKS = (
    a_check("there", "[the file] {path:path} exists"),
    a_check("short", "{path:path} is at most {most:int} bytes [long]", function=short),
    a_check("breaks", "it breaks", function=breaks),
    a_check("leaves", "it leaves", function=leaves),
    a_check("nods", "it nods", function=nods),
    a_check("hoards", "it hoards", function=hoards),
    a_check("moved", "{ticket:id} is in {folder:folder}", phase=Phase.POSITION),
    a_check("a", "it is twofold"),
    a_check("b", "it is (twofold|double)"),
)
BINDER = Binder(CHECKS)


def statement(text: str) -> Statement:
    return Statement(text, StatementKind.CHECKBOX, "w.md", 7)


def prove(root: Path, text: str, *phases: Phase) -> Receipt:
    context = Context(root=root)
    return Gate(BINDER).prove([statement(text)], context, phases or (Phase.CONTENT,))[0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`a/b.txt` exists", ["there"]),
        ("The file a/b.txt exists.", ["there"]),
        ("**`a/b.txt`** exists", ["there"]),
        ("- [ ] `a/b.txt` exists and is at most 5 bytes long", ["there", "short"]),
        (
            "`a/b.txt` exists, `c/d.txt` exists and is at most two bytes",
            ["there", "there", "short"],
        ),
        ("`a/b.txt` is at most 1,000 bytes", ["short"]),
    ],
)
def test_6_1_every_claim_is_bound_and_nothing_is_left_over(text: str, names: list[str]) -> None:
    assert [b.check.name for b in BINDER.bind(text) if b.check] == names


@pytest.mark.parametrize(
    "text",
    [
        "`a/b.txt` exists somewhere",
        "`a/b.txt` does not exist",
        "no `a/b.txt` exists",
        "`a/b.txt` exists and is beautiful",
        "`a/b.txt` exists unless it rains",
    ],
)
def test_6_1_words_that_no_check_accounts_for_leave_it_unproven(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.txt").write_text("x", encoding="utf-8")
    receipt = prove(tmp_path, text)
    assert receipt.verdict is Verdict.UNPROVEN
    assert receipt.detail.startswith("no check fits “")
    assert "@check(" in receipt.claims[-1].result.evidence["stub"]


def test_6_1_two_bindings_are_an_error_and_none_is_run(tmp_path: Path) -> None:
    receipt = prove(tmp_path, "it is twofold")
    assert receipt.verdict is Verdict.UNPROVEN
    assert "2 checks fit" in receipt.detail


def test_6_2_a_statement_has_the_worst_verdict_of_its_claims(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("too long", encoding="utf-8")
    receipt = prove(tmp_path, "`b.txt` exists and is at most 3 bytes")
    assert [c.result.verdict for c in receipt.claims] == [Verdict.PROVEN, Verdict.FAILED]
    assert (receipt.verdict, receipt.detail) == (Verdict.FAILED, "8 bytes")


def test_a_broken_check_proves_nothing_and_takes_nothing_down(tmp_path: Path) -> None:
    receipt = prove(tmp_path, "it breaks")
    assert receipt.verdict is Verdict.UNPROVEN
    assert "RuntimeError: boom" in receipt.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("it leaves", "the check leaves broke: SystemExit: 0"),
        ("it nods", "the check nods broke: it returned True, not a Result"),
        ("it hoards", "the check hoards broke: its evidence cannot be stored"),
    ],
)
def test_a_check_that_leaves_or_gives_no_result_proves_nothing(
    tmp_path: Path, text: str, reason: str
) -> None:
    receipt = prove(tmp_path, text)
    assert receipt.verdict is Verdict.UNPROVEN
    assert reason in receipt.detail


def test_8_4_a_path_out_of_the_workspace_fails(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    assert prove(tmp_path, "`link/host.conf` exists").verdict is Verdict.FAILED


def test_a_claim_whose_moment_has_not_come_is_pending(tmp_path: Path) -> None:
    assert prove(tmp_path, "WO-512 is in `04_QA`").verdict is Verdict.PENDING


def test_others_prove_what_is_slow_and_only_in_the_context_that_they_know(tmp_path: Path) -> None:
    binder = Binder((a_check("there", "{path:path} exists", slow=True), *CHECKS[1:]))
    asked: list[Context] = []

    def elsewhere(
        statements: Sequence[Statement], context: Context
    ) -> dict[tuple[str, str, str], Found]:
        asked.append(context)
        made = Found(proven("far"), {})
        return {(s.key, binder.bind(s.text)[0].claim, "there@1"): made for s in statements}

    gate = Gate(binder, elsewhere=elsewhere)
    one, other = Context(root=tmp_path), Context(root=tmp_path, parent="WO-2")
    slow, fast = statement("`a.txt` exists"), statement("it hoards")
    details = [r.claims[0].result.detail for r in gate.prove([slow, fast], one)]
    assert details[0] == "far"
    assert details[1] != "far"
    assert asked == [one]
    receipts = gate.prove_each([(slow, one), (slow, other)])
    assert [r.verdict for r in receipts] == [Verdict.FAILED, Verdict.FAILED]
    assert asked == [one]


def test_a_receipt_is_named_by_its_proof_and_reads_back(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("x", encoding="utf-8")
    one, again = prove(tmp_path, "`b.txt` exists"), prove(tmp_path, "`b.txt` exists")
    assert one.id == again.id
    assert Receipt.from_dict(one.to_dict()).id == one.id
    (tmp_path / "b.txt").write_text("y", encoding="utf-8")
    assert prove(tmp_path, "`b.txt` exists").id != one.id


def test_a_workspace_adds_checks_and_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    own = tmp_path / "checks/mine.py"
    own.write_text(
        "from orchestrator.gates.checks import Context, Result, check, proven\n\n\n"
        '@check("the tea is hot", name="test.tea")\n'
        "def tea(ctx: Context) -> Result:\n"
        '    """Tea."""\n'
        '    return proven("hot")\n',
        encoding="utf-8",
    )
    assert any(c.name == "test.tea" for c in load_checks(tmp_path))
    own.write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(UsageError, match="ZeroDivisionError") as caught:
        load_checks(tmp_path)
    assert caught.value.path == str(own)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit(0)\n", "SystemExit: 0"),
        (
            "from orchestrator.gates.checks import check\n"
            '@check("{a:nope} is", name="test.nope")\ndef nope(ctx, a): ...\n',
            "unknown parameter type 'nope'",
        ),
    ],
)
def test_a_check_file_that_cannot_be_taken_is_named_with_the_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "checks").mkdir()
    own = tmp_path / "checks/mine.py"
    own.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=reason) as caught:
        load_checks(tmp_path)
    assert caught.value.path == str(own)


@pytest.mark.parametrize("pattern", ["{x:nonsense} is", "a (b", "a ] b"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        compile_pattern(pattern)


def test_a_parameter_type_is_given_one_pattern(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    said = "from orchestrator.gates.checks import parameter_type\nparameter_type({!r}, {!r})\n"
    one, two = tmp_path / "checks/one.py", tmp_path / "checks/two.py"
    one.write_text(said.format("gatetint", "red"), encoding="utf-8")
    load_checks(tmp_path)
    # the same file, edited
    one.write_text(said.format("gatetint", "red|blue"), encoding="utf-8")
    load_checks(tmp_path)
    for name in ("gatetint", "path"):
        two.write_text(said.format(name, "green"), encoding="utf-8")
        with pytest.raises(UsageError, match=f"two parameter types are called {name}") as caught:
            load_checks(tmp_path)
        assert (caught.value.path, caught.value.line) == (str(two), 2)
    one.unlink()
    two.write_text(said.format("gatetint", "green"), encoding="utf-8")
    load_checks(tmp_path)

"""Statements are split into claims, and no word is lost on the way (DESIGN 6.1)."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.gates import loading
from orchestrator.gates.binding import LONGEST_CLAIM, Binder, Binding, nearest, stub
from orchestrator.gates.checks import Check, Context, Phase, Result, proven
from orchestrator.gates.expressions import compile_pattern, words_of
from orchestrator.gates.loading import load_checks
from orchestrator.gates.proof_cache import ProofCache
from orchestrator.gates.wording import normalize


def holds(ctx: Context, **arguments: object) -> Result:
    return proven("holds")


def a_check(name: str, *patterns: str, examples: tuple[str, ...] = ()) -> Check:
    return Check(name, patterns, holds, Phase.CONTENT, 1, name, examples)


CHECKS = (
    a_check("there", "[the file] {path:path} exists", examples=("`a/b.txt` exists",)),
    a_check("short", "{path:path} is at most {most:int} bytes [long]"),
    a_check("lists", "{path:path} (names|lists) {what:names}"),
    a_check("a", "it is twofold"),
    a_check("b", "it is (twofold|double)"),
)
BINDER = Binder(CHECKS)


def claims(text: str, binder: Binder = BINDER) -> list[tuple[str, str]]:
    return [(b.claim, b.check.name if b.check else "") for b in binder.bind(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "`a.txt` exists and is beautiful",
            [("`a.txt` exists", "there"), ("is beautiful", "")],
        ),
        (
            "The tea is hot, `a.txt` exists, is at most 3 bytes",
            [
                ("The tea is hot", ""),
                ("`a.txt` exists", "there"),
                ("`a.txt` is at most 3 bytes", "short"),
            ],
        ),
        (
            "`a.txt` exists (the baker has read it)",
            [("`a.txt` exists", "there"), ("the baker has read it", "")],
        ),
        # a comma before the "and" parts claims, one without it parts a list
        (
            "`a.txt` lists tea and cake, and `b.txt` lists milk",
            [("`a.txt` lists tea and cake", "lists"), ("`b.txt` lists milk", "lists")],
        ),
        # what is left over stays in one piece
        (
            "the tea is hot, and the cake is cold; `a.txt` exists",
            [("the tea is hot, and the cake is cold", ""), ("`a.txt` exists", "there")],
        ),
        # nothing binds: the whole is one claim
        ("the tea is hot and the cake is cold", [("the tea is hot and the cake is cold", "")]),
        # a list is one claim of one check, not cut at its "and"
        ("`a.txt` lists tea, cake and milk", [("`a.txt` lists tea, cake and milk", "lists")]),
    ],
)
def test_6_1_words_left_over_are_a_claim_of_their_own(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert claims(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "`a.txt` exists, or the ticket says why",
        "`b` and `a.txt` exists",
        "`a.txt` exists (in good English)",
        "either `a.txt` exists, or nothing",
        "`a.txt` exists, but not on the day of the fair",
        "if it rains, `a.txt` exists",
        "`a.txt` exists, unless the baker is ill",
        "`a.txt` exists, as far as the baker knows",
        "ideally, `a.txt` exists",
        "it doesn’t matter, `a.txt` exists",
    ],
)
def test_6_1_beside_words_that_change_the_meaning_nothing_is_judged(text: str) -> None:
    assert claims(text) == [(text, "")]


def test_6_1_a_claim_that_two_checks_fit_is_bound_to_none() -> None:
    (first, second) = BINDER.bind("`a.txt` exists; it is twofold")
    assert first.check is not None
    assert second.check is None
    assert "2 checks fit, so none is run: a, b" in second.problem


def test_6_1_of_two_that_fit_the_one_that_says_more_itself_is_bound() -> None:
    def judged(ctx: Context, it: str = "", way: str = "") -> Result:
        return proven("")

    made = {
        "general": Check("general", ("{it:text} is {way:text}",), judged, Phase.CONTENT, 1, ""),
        "exact": Check("exact", ("{it:text} is brewed",), judged, Phase.CONTENT, 1, ""),
    }
    (both,) = Binder(made.values()).bind("tea is brewed")
    assert both.check is made["exact"]
    # not one of the workspace
    own = replace(made["exact"], digest="0123")
    (none,) = Binder([made["general"], own]).bind("tea is brewed")
    assert "2 checks fit" in none.problem


_WORDS = st.sampled_from(
    ["`a.txt`", "exists", "is at most 3 bytes", "and", "the tea", ", ", " — ", "; ", "(", ")",
     "lists", "no", "or", "it is twofold", "tea, cake", "`", "**", "WO-1", "3", "\t", "+", ". The"]
)  # fmt: skip
_STATEMENTS = st.lists(_WORDS, max_size=30).map(" ".join) | st.text(max_size=300)


@given(_STATEMENTS)
def test_6_1_no_word_is_lost(text: str) -> None:
    """Every word stands in some claim, in the order of the text."""
    rest = iter([word for binding in BINDER.bind(text) for word in _words(binding.claim)])
    assert [word for word in _words(text) if word not in rest] == []


def _words(text: str) -> list[str]:
    """Words, without emphasis, those that only join claims, and the list's mark before the text."""
    words = [word.strip("_") for word in re.findall(r"\w+", normalize(text))]
    return [word for word in words if word not in ("", "and", "but")]


@given(_STATEMENTS)
def test_6_1_what_is_bound_is_bound_by_the_whole_claim(text: str) -> None:
    for binding in BINDER.bind(text):
        if binding.check is not None:
            assert binding.check.match(binding.claim) == binding.arguments


@pytest.mark.parametrize(
    "text",
    [
        " and ".join(["`a.txt` exists"] * 200) + " and stays",
        ", ".join(["a"] * 500),
        "`a.txt` lists " + " and ".join(["tea"] * 300) + "!",
        "(" * 400 + ")" * 400,
        "`" * 999,
        "a" * 100_000,
        "a.b" * 300 + " exists.",
        "a " * 450 + "exists",
        "_" * 900 + " is at most three",
    ],
)
def test_hostile_statements_do_not_take_for_ever(text: str) -> None:
    builtin = Binder(load_checks(None))
    start = time.monotonic()
    found = builtin.bind(text)
    assert found
    assert time.monotonic() - start < 60, "the time grows too fast with the length"


def test_a_claim_beyond_all_length_binds_to_nothing() -> None:
    text = "`a.txt` " + " " * 10 + "lists " + ", ".join(["tea"] * LONGEST_CLAIM)
    assert [b.check for b in BINDER.bind(text)] == [None]


def test_the_message_names_what_comes_nearest_and_gives_the_check_to_write() -> None:
    (binding,) = BINDER.bind("`docs/a.md` exists [twice] (in {two} places)")
    first, near, decorator, definition = binding.problem.splitlines()
    assert first == "no check fits “`docs/a.md` exists [twice] (in {two} places)”"
    assert near == "near: there, e.g. `a/b.txt` exists"
    assert definition.startswith("def docs_a_md_exists_twice_in_two_places(")
    scope: dict[str, object] = {}
    exec(f"def check(pattern, name): return lambda f: pattern\n{decorator}\n{definition}", scope | {
        "Context": None, "Result": None
    }, scope)  # fmt: skip
    pattern = scope["docs_a_md_exists_twice_in_two_places"]
    assert isinstance(pattern, str)
    assert compile_pattern(pattern).regex.fullmatch(binding.claim)


@given(st.text(min_size=1, max_size=200))
def test_the_check_to_write_always_binds_what_it_is_for(text: str) -> None:
    (binding, *_) = Binder(()).bind(text)
    decorator = stub(binding.claim).splitlines()[-2]
    pattern = eval(decorator.removeprefix("@check(").rsplit(", name=", 1)[0])
    assert compile_pattern(pattern).regex.fullmatch(binding.claim) or not binding.claim.strip()


@pytest.mark.parametrize(
    ("pattern", "required"),
    [
        ("{path:path} exists [already]", [{" exists "}]),
        (
            "(all|every) rows (have|has) {n:int} cells",
            [{" all ", " every "}, {" rows "}, {" have ", " has "}, {" cells "}],
        ),
        ("one thing|another one", [{" thing ", " another "}]),
        ("it is [very (good|bad)]", [{" it "}, {" is "}]),
        ("(runs {path:path}|{path:path}) twice", [{" twice "}]),
        ("a (bb c|(dd|eee) f) g", [{" bb ", " dd ", " eee "}]),
        # what may go on with other letters
        ("test[s] re(start|do) non{n:name}", [{" test"}, {" re"}, {"start ", "do "}, {" non"}]),
        ("{n:name}ish far [away]ness", [{"ish "}, {" far"}, {"ness "}]),
    ],
)
def test_a_text_without_the_words_of_a_pattern_cannot_fit(
    pattern: str, required: list[set[str]]
) -> None:
    assert compile_pattern(pattern).required == set(map(frozenset, required))


def test_every_example_has_the_words_that_its_pattern_requires() -> None:
    for check in load_checks(None):
        for example in check.examples:
            for pattern in map(compile_pattern, check.patterns):
                if pattern.regex.fullmatch(example):
                    assert pattern.may_fit(words_of(example)), (check.name, example)


_PIECES = st.sampled_from(["ab", "cd", "ab-cd", "x1yz", "{n:int}", "\\(", "\\a", ":"])
_GROUPS = st.recursive(
    _PIECES,
    lambda inner: (
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["(", "["]),
            st.lists(inner, min_size=1, max_size=4).map(lambda each: "|".join(each)),
            st.just("?"),
        ).map(lambda group: group[:-1] + (")" if group[0] == "(" else "]"))
        | st.lists(st.tuples(inner, st.sampled_from(["", " "])), min_size=1, max_size=4).map(
            lambda pairs: "".join(piece + blank for piece, blank in pairs)
        )
    ),
    max_leaves=8,
)


@given(pattern=_GROUPS, data=st.data())
def test_whatever_a_pattern_matches_has_the_words_that_it_requires(
    pattern: str, data: st.DataObject
) -> None:
    # a parameter has its name once
    count = itertools.count()
    pattern = re.sub(r"\{n", lambda _: f"{{n{next(count)}", pattern)
    parsed = compile_pattern(pattern)
    alphabet = st.characters(codec="ascii")
    text = data.draw(st.from_regex(parsed.regex, fullmatch=True, alphabet=alphabet))
    assert parsed.may_fit(words_of(text))


def test_nearest_checks_are_no_strangers() -> None:
    assert nearest("the tea is hot", CHECKS) == []
    assert [c.name for c in nearest("the file exists", CHECKS)] == ["there"]


# -- where checks come from ------------------------------------------------------------------------

_TEA = """
from orchestrator.gates.checks import Context, Result, check, proven


@check("the tea is {{how:name}}", name="{name}")
def tea(ctx: Context, how: str) -> Result:
    \"\"\"Tea.\"\"\"
    return proven(how)
"""


def write_check(root: Path, file: str, name: str) -> Path:
    (root / "checks").mkdir(exist_ok=True)
    (root / "checks" / file).write_text(_TEA.format(name=name), encoding="utf-8")
    return root / "checks" / file


def test_a_workspaces_check_is_its_own(tmp_path: Path) -> None:
    write_check(tmp_path, "tea.py", "test.tea")
    assert [c.name for c in load_checks(tmp_path) if c.name.startswith("test.")] == ["test.tea"]
    assert not any(c.name.startswith("test.") for c in load_checks(None))


def test_another_check_of_the_same_name_is_an_error_that_names_both(tmp_path: Path) -> None:
    first, second = (
        write_check(tmp_path, "a.py", "test.tea"),
        write_check(tmp_path, "b.py", "test.tea"),
    )
    with pytest.raises(UsageError) as caught:
        load_checks(tmp_path)
    assert (caught.value.path, caught.value.line) == (str(second), 5)
    assert f"{first}:5" in str(caught.value)


def test_a_workspace_cannot_take_the_place_of_a_built_in_check(tmp_path: Path) -> None:
    builtin = load_checks(None)[0]
    write_check(tmp_path, "mine.py", builtin.name)
    with pytest.raises(UsageError, match=f"two checks are called {builtin.name}") as caught:
        load_checks(tmp_path)
    assert builtin.place in str(caught.value)


def test_6_4_a_workspaces_check_is_known_by_its_text(tmp_path: Path) -> None:
    file = write_check(tmp_path, "tea.py", "test.tea")
    before = Binder(load_checks(tmp_path)).bind("the tea is hot")[0]
    with file.open("a", encoding="utf-8") as text:
        text.write("# another text\n")
    after = Binder(load_checks(tmp_path)).bind("the tea is hot")[0]
    assert edition(before) != edition(after)
    assert edition(before).startswith("1+")


def edition(binding: Binding) -> str:
    assert binding.check is not None
    return binding.check.edition


def test_an_entry_point_brings_checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # before the path has the new entry point, which would stay registered for all other tests; and
    # the checks themselves, not what stands for them until they are asked
    before = {c.name: c for c in loading._load()}
    monkeypatch.setattr("orchestrator.gates.checks.REGISTERED", before)
    module = tmp_path / "tea_checks.py"
    module.write_text(_TEA.format(name="test.entry"), encoding="utf-8")
    info = tmp_path / "tea-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: tea\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[orchestrate.checks]\ntea = tea_checks\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "test.entry" in [c.name for c in load_checks(None)]


@pytest.mark.parametrize(
    "written",
    [
        "#1 {}", "#12: {}", "AC1: {}", "AC-1: {}", "**AC-1** {}", "**AC-1:** {}",
        "FR-001: {}", "NFR-2 — {}", "T001 {}", "T001 [P] {}", "[P] {}", "[US1] {}", "1. {}",
        "2) {}", "(3) {}", "1.2. {}", "{} ✅", "✅ {}", "{} (see #12)", "{} (#12)", "{} [REQ-4]",
        "**Files:** {}", "**Files**: {}", "SHOP7: {}", "- [ ] AC1: {}",
        "AC#1: {}", "[AC1] {}", "**[AC-1]** {}", "(must) {}", "MUST: {}", "AC-01 (must): {}",
        "**AC-01 (must):** {}", "**Config** — {}", "{} (must)", "{} #12", "{} [1]", "{} [^1]",
        "{} (AC1)",
        "{} (FR-001, FR-002)", "{} [WO-12](a/WO-12.md)", "{} ([#12](https://a.b/12))", "🟢 {}",
        "1.1 {}",
        "a) {}", "A. {}", "Criterion 1: {}", "Scenario 2 — {}", "🔴 [P0] {}", "**{}**", "_{}_",
        "{};",
        "AC1 | {}", "A1. {}", "US1-AC2: {}", "{} ^block-id", "{} [[WO-5]]", "{} 📅 2026-01-01",
        "{} <!-- id: 3 -->",
    ],
)  # fmt: skip
def test_labels_are_no_words_of_a_statement(written: str) -> None:
    assert claims(written.format("`a.txt` exists")) == [("`a.txt` exists", "there")]


@pytest.mark.parametrize(
    "written",
    [
        "**Optional:** {}", "**Not yet:** {}", "**Out of scope:** {}", "**Nice to have:** {}",
        "**Unless refused:** {}", "Never: {}", "12 {}", "{} (maybe)", "{} ❌",
        "❌ {}", "[SKIP] {}", "(should) {}", "[optional] {}", "{} (optional)", "Should: {}",
        "{} (v2)",
        "{} (UTF-8)", "{} (not in prod)", "{} (ISO-8601)", "{} <!-- not",
        "{} before 2026-01-01", "{} @maria", "{} [[not-yet]]",
    ],
)  # fmt: skip
def test_words_that_change_a_statement_are_no_labels(written: str) -> None:
    assert not all(check for _, check in claims(written.format("`a.txt` exists")))


def test_an_id_that_a_check_reads_is_no_label() -> None:
    binder = Binder((a_check("place", "AC-7 is done"), a_check("done", "is done")))
    assert claims("AC-7 is done", binder) == [("AC-7 is done", "place")]


def test_what_fits_is_kept_for_later_runs_and_for_the_same_checks_alone(tmp_path: Path) -> None:
    statement = "`a/b.txt` exists and the tea is hot"
    cache = ProofCache(tmp_path)
    first = Binder(CHECKS, cache).bind(statement)
    tried: list[str] = []

    class Counted(Check):
        def words(self, claim: str) -> tuple[int, dict[str, str]] | None:
            tried.append(claim)
            return super().words(claim)

    counted = [Counted(**vars(check)) for check in CHECKS]
    again = Binder(counted, cache).bind(statement)
    assert not tried
    assert [(b.claim, b.check and b.check.name, b.arguments, b.problem) for b in again] == [
        (b.claim, b.check and b.check.name, b.arguments, b.problem) for b in first
    ]
    tea = replace(CHECKS[0], name="tea", patterns=("the tea is hot",))
    assert Binder((*CHECKS, tea), cache).bind(statement)[1].check is tea

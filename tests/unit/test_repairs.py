"""DESIGN 2.4: a repair changes the lines that it names; the ticket reads the same afterwards."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.doctor.fix_safety import FixedTicket, Fixer
from orchestrator.doctor.fixes import Applicability
from orchestrator.doctor.rules import RULES, rule_for
from orchestrator.domain.folders import Folders
from orchestrator.domain.states import FolderRole
from orchestrator.markdown.frontmatter import Document
from orchestrator.tickets.reader import ticket_from_document
from orchestrator.tickets.ticket import Ticket

ODD = Path(__file__).parent.parent / "fixtures" / "odd_tickets"
EXPECTED: dict[str, dict[str, Any]] = json.loads(
    (ODD / "expectations.json").read_text(encoding="utf-8")
)
ROOT = Path("/workspace")
#: code → (folder, text); what stands between is what the code is about
TROUBLES = {
    "no-opening-fence": ("03_BUILD", "id: WO-7\nstatus: 03_BUILD\nowner: SOOP\n---\n# T\n"),
    "no-closing-fence": ("03_BUILD", "---\nid: WO-7\nstatus: 03_BUILD\nowner: SOOP\n\n# T\n\nx\n"),
    "closing-fence-glued": ("03_BUILD", "---\nid: WO-7\nstatus: 03_BUILD---\n\n# T\n"),
    "banner-before-fence": ("03_BUILD", "== LEAD ==\n---\nid: WO-7\nstatus: 03_BUILD\n---\n# T\n"),
    "blank-before-fence": ("03_BUILD", "\n\n---\nid: WO-7\nstatus: 03_BUILD\n---\n# T\n"),
    "yaml-colon": ("03_BUILD", "---\nid: WO-7\nstatus: 03_BUILD\nnote: A: b  # c\n---\n# T\n"),
    "yaml-after-quote": ("03_BUILD", '---\nid: WO-7\ngoal: "It\'s" x\nowner: SOOP\n---\n# T\n'),
    "duplicate-key": ("03_BUILD", "---\nid: WO-7\nstatus: 04_QA\nstatus: 03_BUILD\n---\n# T\n"),
    "no-frontmatter": ("01_TRIAGE", "# WO-7 — T\n**Status:** 01_TRIAGE\n**Owner:** A: b\n\nx\n"),
    "no-id": ("03_BUILD", "---\nstatus: 03_BUILD\nowner: SOOP\n---\n# T\n"),
    "yaml-bool": ("03_BUILD", "---\nid: WO-7\na: no  # c\nb: On\nc: 'no'\n---\n# T\n"),
    "owner-multiple": ("03_BUILD", "---\nid: WO-7\nowner: 'LEAD → SOOP'  # c\n---\n# T\n"),
    "status-unfinished": ("06_COMPLETE", "---\nid: WO-7\nstatus: '03_BUILD' # c\n---\n# T\n"),
    "status-renumbered": ("03_BUILD", "---\nid: WO-7\nstatus: 04_BUILD\n---\n# T\n"),
    "status-drift": ("03_BUILD", "---\nid: WO-7\nstatus: 04_QA\n---\n# T\n"),
    "status-unknown": ("03_BUILD", "---\nid: WO-7\nstatus: ASSIGNED\n---\n# T\n"),
    "depends-prose": ("03_BUILD", "---\nid: WO-7\ndepends_on: 'WO-1: live'\nz: 1\n---\n# T\n"),
    "failure-undercount": ("03_BUILD", "---\nid: WO-7\nstatus: 03_BUILD\n---\n## [STATUS: FAIL]\n"),
    "strike-limit": ("03_BUILD", "---\nid: WO-7\nfailure_count: 2\nstatus: 03_BUILD\n---\n# T\n"),
}
#: what a repair is there to change
CHANGES = {
    "status": {"status-unfinished", "status-renumbered", "status-drift", "status-unknown"}
    | {"strike-limit"},
    "owner": {"strike-limit"},
}


def ticket(data: bytes, folder: str = "03_BUILD", name: str = "WO-7_x.md") -> Ticket:
    folders = Folders()
    place = {"path": ROOT / "_WORK_ORDERS" / folder / name, "folder": folder, "source": name}
    place["role"] = folders.role_of(folder)
    return ticket_from_document(Document.parse(data), place, folders)


def mend(found: Ticket, *codes: str) -> FixedTicket:
    return Fixer(ROOT, Folders()).fix(found, lambda code, _: code in codes)


def codes(found: Ticket) -> set[str]:
    return {d.code for d in found.diagnoses}


def shaped(text: str, shape: str) -> bytes:
    """The text with other line ends, a byte order mark, or without its last line end."""
    data = text.encode()
    if "crlf" in shape:
        data = data.replace(b"\n", b"\r\n")
    if "torn" in shape:
        data = data.removesuffix(b"\n").removesuffix(b"\r")
    return b"\xef\xbb\xbf" + data if "bom" in shape else data


def edited(before: bytes, after: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lines that are gone and those that are new, without ends and mark."""
    one, other = (d.removeprefix(b"\xef\xbb\xbf").splitlines() for d in (before, after))
    steps = difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    changed = [s for s in steps if s[0] != "equal"]
    gone = [line for _, a, b, _, _ in changed for line in one[a:b]]
    return gone, [line for _, _, _, a, b in changed for line in other[a:b]]


def test_every_edit_has_a_code_that_says_so_and_a_trouble_here() -> None:
    manual = Applicability.DISPLAY_ONLY
    fixable = {code for code, rule in RULES.items() if rule.applicability() is not manual}
    edits = {code for code, rule in RULES.items() if rule.fix and rule.fix.edit}
    assert fixable == {*edits, "twin"}
    assert set(TROUBLES) == edits


@pytest.mark.parametrize("shape", ["lf", "crlf", "bom", "torn", "crlf bom torn"])
@pytest.mark.parametrize("code", sorted(TROUBLES))
def test_2_4_a_repair_leaves_the_meaning_and_all_other_lines(code: str, shape: str) -> None:
    folder, text = TROUBLES[code]
    data = shaped(text, shape)
    before = ticket(data, folder)
    assert code in codes(before)
    mended = mend(before, code)
    after = mended.after
    assert mended.codes
    assert set(mended.codes) == {code}
    assert code not in codes(after)
    for name in ("id", "title", "status", "owner"):
        if code not in CHANGES.get(name, ()):
            assert getattr(after, name) == getattr(before, name), name
    assert mended.data.startswith(b"\xef\xbb\xbf") == data.startswith(b"\xef\xbb\xbf")
    ends = {line[len(line.rstrip(b"\r\n")) :] for line in mended.data.splitlines(keepends=True)}
    assert ends - {b""} == ({b"\r\n"} if "crlf" in shape else {b"\n"})
    assert (b"" in ends) == ("torn" in shape)


@pytest.mark.parametrize(
    ("code", "gone", "new"),
    [
        ("no-opening-fence", [], ["---"]),
        ("no-closing-fence", [], ["---"]),
        ("closing-fence-glued", ["status: 03_BUILD---"], ["status: 03_BUILD", "---"]),
        ("banner-before-fence", ["== LEAD =="], ["== LEAD =="]),
        ("blank-before-fence", ["", ""], []),
        ("yaml-colon", ["note: A: b  # c"], ['note: "A: b"  # c']),
        ("yaml-after-quote", ['goal: "It\'s" x'], ["goal: '\"It''s\" x'"]),
        ("duplicate-key", ["status: 04_QA"], []),
        (
            "no-frontmatter",
            [],
            ["---", "id: WO-7", "status: 01_TRIAGE", 'owner: "A: b"', "---", ""],
        ),
        ("no-id", [], ["id: WO-7"]),
        ("yaml-bool", ["a: no  # c", "b: On"], ["a: false  # c", "b: true"]),
        (
            "owner-multiple",
            ["owner: 'LEAD → SOOP'  # c"],
            ["owner: 'LEAD'  # c", "route: LEAD → SOOP"],
        ),
        ("status-unfinished", ["status: '03_BUILD' # c"], ["status: '06_COMPLETE' # c"]),
        ("status-renumbered", ["status: 04_BUILD"], ["status: 03_BUILD"]),
        ("status-drift", ["status: 04_QA"], ["status: 03_BUILD"]),
        ("status-unknown", ["status: ASSIGNED"], ["status: 03_BUILD"]),
        (
            "depends-prose",
            ["depends_on: 'WO-1: live'"],
            ["depends_on: [WO-1]", 'depends_note: "WO-1: live"'],
        ),
        ("failure-undercount", [], ["failure_count: 1"]),
    ],
)
def test_each_repair_makes_these_line_edits(code: str, gone: list[str], new: list[str]) -> None:
    folder, text = TROUBLES[code]
    found = edited(text.encode(), mend(ticket(text.encode(), folder), code).data)
    assert found == ([g.encode() for g in gone], [n.encode() for n in new])


KEYS = st.sampled_from(["title", "phase", "zebra", "created", "priority"])
VALUES = st.sampled_from(
    [
        "x",
        "'no'",
        '"a b"',
        "P1 — soon  # why",
        "[a, b]",
        "|\n  status: 01_TRIAGE\n  ---",
        "",
        "1.10",
    ]
)
BODY = st.lists(
    st.sampled_from(["", "text  ", "---", "- [ ] a", "## H", "```", "status: x", "<b>", "===="]),
    max_size=8,
)


@given(
    code=st.sampled_from(sorted(set(TROUBLES) - {"no-frontmatter"})),
    shape=st.sampled_from(["lf", "crlf", "bom", "torn", "crlf bom torn"]),
    more=st.dictionaries(KEYS, VALUES, max_size=3),
    body=BODY,
)
def test_2_4_whatever_stands_around_it_a_repair_keeps_it(
    code: str, shape: str, more: dict[str, str], body: list[str]
) -> None:
    folder, text = TROUBLES[code]
    extra = "".join(f"{key}: {value}\n" for key, value in more.items())
    for first in ("id: WO-7\n", "status: 03_BUILD\n"):
        if first in text:
            text = text.replace(first, first + extra, 1)
            break
    data = shaped(text + "\n".join(body), shape)
    before = ticket(data, folder)
    mended = mend(before, code)
    after = mended.after
    for name in ("id", "title", "status", "owner"):
        if code not in CHANGES.get(name, ()):
            assert getattr(after, name) == getattr(before, name), name
    if mended.codes:
        assert code not in codes(after)
        gone, new = edited(data, mended.data)
        assert len(gone) <= 2
        assert len(new) <= 6
    else:
        assert mended.data == data
    # once more: nothing is left that it could do
    assert mend(after, code).data == mended.data


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")))
def test_2_6_any_bytes_are_mended_or_left(data: bytes) -> None:
    before = ticket(data)
    if before.note:
        return
    mended = Fixer(ROOT, Folders()).fix(before, lambda *_: True)
    assert (mended.data == data) == (not mended.codes)
    assert (mended.after.id, mended.after.title) == (before.id, before.title)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_odd_ticket_that_is_repairable_is_mended(name: str) -> None:
    expected = EXPECTED[name]
    folder, _, file = expected["place_as"].partition("/")
    data = (ODD / name).read_bytes()
    before = ticket(data, folder, file)
    mended = Fixer(ROOT, Folders()).fix(before, lambda *_: True)
    assert bool(mended.codes) == expected["repairable"]
    if expected["repairable"]:
        assert expected["diagnosis"] not in codes(mended.after)
        assert not {c for c in codes(mended.after) if not RULES[c].note}
    else:
        assert mended.data == data


# -- what is not mended ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("duplicate-key", "---\nid: WO-7\nphase: 1\nphase: 2\n---\n"),
        ("duplicate-key", "---\nid: WO-7\nstatus: 03_BUILD\nstatus: 04_QA\n---\n"),
        ("yaml-colon", "---\nid: WO-7\nlist:\n  - a: b: c\n  - 5\n---\n"),
        ("owner-multiple", "---\nid: WO-7\nowner: A → B\nroute: C\n---\n"),
        ("depends-prose", "---\nid: WO-7\ndepends_on: WO-1 (x)\nblocked_by: WO-2\n---\n"),
        ("no-id", "---\nid: ''\nid: ''\nstatus: 03_BUILD\n---\n"),
    ],
)
def test_what_could_change_the_meaning_is_left_to_a_person(code: str, text: str) -> None:
    before = ticket(text.encode())
    assert code in codes(before)
    assert mend(before, code).data == text.encode()


def test_a_key_that_says_the_same_twice_is_written_once() -> None:
    before = ticket(b"---\nid: WO-7\nphase: '1'\nx: 2\nphase: \"1\"\n---\n")
    assert mend(before, "duplicate-key").data == b'---\nid: WO-7\nx: 2\nphase: "1"\n---\n'


def test_3_2_too_many_failures_are_a_legal_move_to_hold() -> None:
    folder, text = TROUBLES["strike-limit"]
    after = mend(ticket(text.encode(), folder), "strike-limit").after
    assert (after.role, after.folder, after.status) == (FolderRole.HOLD, "98_HOLD", "98_HOLD")
    assert after.path == ROOT / "_WORK_ORDERS" / "98_HOLD" / "WO-7_x.md"
    assert (after.owner, after.meta["held_from"]) == ("USER", "03_BUILD")
    assert after.meta["hold_reason"] == "2 failures, 2 are allowed"
    assert after.meta["held_at"]
    assert codes(after) == set()


def test_the_old_status_of_a_held_ticket_is_kept_as_where_it_came_from() -> None:
    text = b"---\nid: WO-7\nstatus: 03_BUILD\nhold_reason: x\n---\n"
    after = mend(ticket(text, "98_HOLD"), "status-drift").after
    assert (after.status, after.meta["held_from"]) == ("98_HOLD", "03_BUILD")


@pytest.mark.parametrize(
    ("folder", "how"), [("03_BUILD", "offered"), ("06_COMPLETE", "certain"), ("98_HOLD", "offered")]
)
def test_drift_is_certain_only_where_a_ticket_has_ended(folder: str, how: str) -> None:
    assert rule_for("status-drift").applicability(ticket(b"---\nid: WO-7\n---\n", folder)) == how


def test_several_troubles_of_one_file_are_mended_together() -> None:
    text = "\n== LEAD ==\n---\nstatus: 00_INBOX\nnote: a: b\nx: no\nstatus: 03_BUILD---\n\n# T\n"
    mended = Fixer(ROOT, Folders()).fix(
        ticket(text.encode()),
        lambda code, at: rule_for(code).applicability(at) is Applicability.SAFE,
    )
    assert codes(mended.after) == set()
    assert mended.data.decode() == (
        '---\nid: WO-7\nnote: "a: b"\nx: false\nstatus: 03_BUILD\n---\n== LEAD ==\n\n# T\n'
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_2_4_no_line_of_utf_8_is_put_into_another_encoding(encoding: str) -> None:
    folder, text = TROUBLES["no-frontmatter"]
    wide = ticket(text.encode(encoding), folder)
    assert Fixer(ROOT, Folders()).fix(wide, lambda *_: True).codes == ()


def test_a_very_large_file_is_left_to_a_person() -> None:
    data = b"\n---\nid: WO-7\n---\n" + b"x" * (5 << 20)
    assert mend(ticket(data), "blank-before-fence").codes == ()

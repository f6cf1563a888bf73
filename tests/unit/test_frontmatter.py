"""DESIGN 2.4, 8.4: any bytes are read, and an edit changes the named line only."""

from __future__ import annotations

import json
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.domain.record import to_lines
from orchestrator.markdown.frontmatter import (
    Document,
    accept_box,
    append_section,
    edited,
    remove_field,
    set_block,
    set_field,
    tick_box,
    untick_box,
)
from orchestrator.markdown.frontmatter_parser import find_body, lines_of, locate
from orchestrator.markdown.yaml_text import _load_simple

ODD = Path(__file__).parent.parent / "fixtures" / "odd_tickets"
NAMES = sorted(json.loads((ODD / "expectations.json").read_text(encoding="utf-8")))

PLAIN = b"---\nid: WO-1\nstatus: 03_BUILD\nowner: BUILDER\n---\n\n# Body\n"


def _changed(before: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(old) == len(new)
    return [(a, b) for a, b in zip(old, new, strict=True) if a != b]


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "codes"),
    [
        (PLAIN, "03_BUILD", []),
        (b"\xef\xbb\xbf" + PLAIN, "03_BUILD", []),
        (PLAIN.replace(b"\n", b"\r\n"), "03_BUILD", []),
        (PLAIN.replace(b"\n", b"\r"), "03_BUILD", []),
        (PLAIN.rstrip(b"\n"), "03_BUILD", []),
        (b"---\nid: WO-1\nstatus: 04_QA\n---", "04_QA", []),
        (b"\n\n" + PLAIN, "03_BUILD", ["blank-before-fence"]),
        (b"=== LEAD ===\n" + PLAIN, "03_BUILD", ["banner-before-fence"]),
        (PLAIN.removeprefix(b"---\n"), "03_BUILD", ["no-opening-fence"]),
        (PLAIN.replace(b"BUILDER\n---", b"BUILDER---"), "03_BUILD", ["closing-fence-glued"]),
        (PLAIN.replace(b"BUILDER\n---", b"BUILDER"), "03_BUILD", ["no-closing-fence"]),
        (b"---\nstatus: A\nstatus: B\n---\n", "B", ["duplicate-key"]),
        (b"---\nstatus: A\nnote: a: b\n---\n", "A", ["yaml-colon"]),
        (b'---\nnote: "a" b\nstatus: A\n---\n', "A", ["yaml-after-quote"]),
        (b"---\nstatus: A\nnote: &x [1]\nmore: *x\n---\n", "A", ["yaml-refused"]),
        (b"---\nstatus: A\nno: 1\n---\n", "A", ["yaml"]),
        (b"---\nstatus: A\ntitle: caf\xe9\n---\n", "A", ["not-utf8"]),
        (b"---\nstatus: A # not B\n---\n", "A", []),
        (b"---\n\n## A review\n- **a**\n---\n", "", ["leading-rule"]),
        (b"# Title\n\n**Status:** 01_TRIAGE  \n**Owner**: LEAD\n", "01_TRIAGE", ["no-frontmatter"]),
        (b"---\nwhen: 2025-13-45\nstatus: A\n---\n", "A", ["yaml"]),
        (b"", "", ["empty"]),
        (b" \n\t\n", "", ["empty"]),
    ],
)
def test_2_6_malformed_files_are_read_and_diagnosed(
    data: bytes, status: str, codes: list[str]
) -> None:
    document = Document.parse(data)
    assert document.text("status") == status
    assert [d.code for d in document.diagnoses if d.code != "yaml" or "yaml" in codes] == codes


@pytest.mark.parametrize(
    ("text", "line", "where"),
    [
        ('+++\nid="T-2"\nstatus="done"\n+++\n# Two\n', 2, "in TOML"),
        ("\n+++\ntitle = 'x'\n\ndone = true\n+++\n# Two\n", 3, "in TOML"),
        ('{\n "title": "x",\n "status": "done"\n}\n# Two\n', 2, "in JSON"),
        ('{"title": "x", "status": "done"}\n', 1, "in JSON"),
        (';;;\n{"id": "T-4"}\n;;;\n', 2, "in JSON"),
        ("title: Five\nid: T-5\nstatus: done\n\n# Five\n", 2, "without"),
        ("status = done\n", 1, "without"),
        ("```yaml\nid: T-6\nstatus: done\n```\n", 2, "below “```yaml”"),
        ('---\n{"id": "T-7"}\n---\n# x\n', 2, "below “---”"),
        ("---\n  id: T-8\n  status: done\n---\n", 2, "below “---”"),
        ("<!--\nid: T-9\n-->\n", 2, "below “<!--”"),
    ],
)
def test_keys_in_another_form_are_told_with_their_line(text: str, line: int, where: str) -> None:
    document = Document.parse(text.encode())
    assert document.meta == {}
    (found,) = document.diagnoses
    assert (found.code, found.line) == ("keys-unread", line)
    assert where in found.message


@pytest.mark.parametrize(
    "text",
    [
        "# T\n\n```yaml\nid: T-6\n```\n",
        "Note: this is prose\nand more\n",
        "```python\nx = 1\n```\n",
        "{{ template }}\n",
        "> status: quoted\n",
        "***\n\n# T\n\nStatus: x\n",
        "Title: x\nA line.\nstatus: x\n",
    ],
)
def test_prose_and_examples_are_no_keys(text: str) -> None:
    assert [d.code for d in Document.parse(text.encode()).diagnoses] == ["no-frontmatter"]


def test_a_fence_and_keys_inside_a_block_scalar_are_its_text() -> None:
    data = b"---\nid: WO-1\nasked: |\n  status: X\n  ---\n\n  end\nstatus: A\n---\nbody\n"
    document = Document.parse(data)
    assert document.meta == {"id": "WO-1", "asked": "status: X\n---\n\nend\n", "status": "A"}
    assert (document.body, document.body_line) == ("body\n", 10)
    assert set_field(data, "status", "B") == data.replace(b"status: A", b"status: B")


def test_the_body_of_an_unclosed_block_is_no_frontmatter() -> None:
    data = b"---\nid: WO-1\nstatus: A\n\n# Title\n\nSome text.\n\nNote: it\n\n---\n\nmore\n"
    document = Document.parse(data)
    assert document.meta == {"id": "WO-1", "status": "A"}
    assert document.body.lstrip().startswith("# Title")
    after = Document.parse(set_field(data, "owner", "LEAD"))
    assert after.meta == {"id": "WO-1", "status": "A", "owner": "LEAD"}
    assert after.body == document.body


@pytest.mark.parametrize(
    ("opener", "closer"),
    [("[", ""), ("[", "]"), ("{a: ", "}"), ("- ", ""), ("[a, ", "]"), ("? ", "")],
)
def test_8_4_deep_nesting_does_not_crash_the_reader(opener: str, closer: str) -> None:
    deep = f"{opener * 40_000}{closer * 40_000}"
    document = Document.parse(f"---\nstatus: A\nk:\n  {deep}\n---\nbody\n".encode())
    assert document.text("status") == "A"
    assert [d.code for d in document.diagnoses] in (["yaml-refused"], ["yaml"])


def test_8_4_a_million_blank_lines_are_read_at_once() -> None:
    assert Document.parse(b"---\nstatus: A\n" + b"\n" * 1_000_000).text("status") == "A"


def test_text_is_what_stands_in_the_file() -> None:
    data = b"---\nid: 010\npriority: 1.10\ncreated: 2025-01-02T03:04:05Z\nn: no\nq: 'it''s'\n---\n"
    document = Document.parse(data)
    read = [document.text(key) for key in ("id", "priority", "created", "n", "q", "absent")]
    assert read == ["010", "1.10", "2025-01-02T03:04:05Z", "no", "it's", ""]
    assert document.line_of("priority") == 3


# -- editing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"status: 03_BUILD\n", b"status: 04_QA\n"),
        (b"status:   03_BUILD   # by hand\n", b"status:   04_QA   # by hand\n"),
        (b'status: "03_BUILD" # x\n', b'status: "04_QA" # x\n'),
        (b"status: '03_BUILD'\n", b"status: '04_QA'\n"),
        (b"status: 03_BUILD\r\n", b"status: 04_QA\r\n"),
        (b"status:\n", b"status: 04_QA\n"),
        (b"status:   # none yet\n", b"status: 04_QA   # none yet\n"),
        (b'"status": 03_BUILD\n', b'"status": 04_QA\n'),
        (b"status: |\n  03_BUILD\n", b"status: 04_QA\n"),
        (b"status:\n  - a\n  - b\n", b"status: 04_QA\n"),
        (b"status: >-\n  a\n\n  b\n# note\n", b"status: 04_QA\n# note\n"),
    ],
)
def test_2_4_set_field_edits_the_value_and_nothing_else(old: bytes, new: bytes) -> None:
    before = b"---\nid: WO-1  \n" + old + b"owner: A\n---\n  body  \n"
    after = b"---\nid: WO-1  \n" + new + b"owner: A\n---\n  body  \n"
    assert set_field(before, "status", "04_QA") == after


@pytest.mark.parametrize(("old", "value"), [("[a,b]", ["a", "b"]), ("no", False), ("0x10", 16)])
def test_2_4_a_value_that_is_there_already_is_left_as_it_is_written(old: str, value: Any) -> None:
    data = f"---\nstatus: A\nk: {old}\n---\n".encode()
    assert set_field(data, "k", value) == data


def test_2_4_a_line_of_a_quoted_text_is_no_key() -> None:
    data = b'---\nid: WO-1\nasked: "first\nstatus: done\nlast"\n---\n'
    assert Document.parse(data).meta == {"id": "WO-1", "asked": "first status: done last"}
    assert set_field(data, "status", "A") == data.replace(b'last"\n', b'last"\nstatus: A\n')
    assert remove_field(data, "status") == data


def test_2_4_a_missing_key_is_inserted_after_the_status() -> None:
    assert set_field(PLAIN, "failure_count", 1) == PLAIN.replace(
        b"03_BUILD\n", b"03_BUILD\nfailure_count: 1\n"
    )
    alias = b"---\r\nassigned_to: BUILDER\r\nid: WO-1\r\n---\r\n"
    assert set_field(alias, "owner", "USER") == alias.replace(
        b"WO-1\r\n", b"WO-1\r\nowner: USER\r\n"
    )


def test_2_4_of_a_key_that_stands_twice_the_last_is_edited() -> None:
    data = b"---\nstatus: A\nid: x\nstatus: B\n---\n"
    assert set_field(data, "status", "C") == b"---\nstatus: A\nid: x\nstatus: C\n---\n"
    assert remove_field(data, "status") == b"---\nid: x\n---\n"


def test_2_4_a_glued_fence_stays_where_it_is() -> None:
    data = b"---\nid: WO-1\nstatus: 04_QA---\n\n# Body\n"
    assert set_field(data, "status", "03_BUILD") == data.replace(b"04_QA", b"03_BUILD")
    assert Document.parse(set_field(data, "owner", "A")).text("owner") == "A"
    assert Document.parse(remove_field(data, "status")).meta == {"id": "WO-1"}


def test_a_file_without_a_block_gets_one_on_top() -> None:
    after = set_field(b"# Title\r\n**Priority:** P1\r\n", "status", "00_INBOX")
    assert after == b"---\r\nstatus: 00_INBOX\r\n---\r\n\r\n# Title\r\n**Priority:** P1\r\n"
    assert Document.parse(after).meta == {"status": "00_INBOX", "priority": "P1"}
    assert set_field(b"", "status", "A") == b"---\nstatus: A\n---\n"


@pytest.mark.parametrize(
    "value",
    [
        "no", "~", "010", "2025-01-02", "a: b", "a #b", "- x", "[x]", "it's", 'say "so"', "&a",
        "*a", "\ud800", "two\nlines", "\u2028", "", " padded ", "ends-", "---", "@x", "%x",
        "café ✅", 0, 7, True, None, 1.5, date(2025, 1, 2), ["WO-1", "a, b", "no"], [],
    ],
)  # fmt: skip
@pytest.mark.parametrize("old", ["x", '"x"', "'x'"])
def test_a_value_that_is_set_is_read_back(value: Any, old: str) -> None:
    data = f"---\nid: WO-1\nk: {old} # why\nstatus: A\n---\n".encode()
    after = set_field(data, "k", value)
    expected = "?" if value == "\ud800" else value
    assert Document.parse(after).meta == {"id": "WO-1", "k": expected, "status": "A"}
    assert b"# why" in after


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a key"):
        set_field(PLAIN, "a: b\nc", "x")


def test_set_block_replaces_a_nested_block_whole() -> None:
    first = set_block(PLAIN, "flow", ["  stage: 1", "  members:", "    WO-1: BUILD"])
    assert first == PLAIN.replace(
        b"BUILDER\n", b"BUILDER\nflow:\n  stage: 1\n  members:\n    WO-1: BUILD\n"
    )
    assert Document.parse(first).meta["flow"] == {"stage": 1, "members": {"WO-1": "BUILD"}}
    second = set_block(first, "flow", ["  stage: 2"])
    assert second == PLAIN.replace(b"BUILDER\n", b"BUILDER\nflow:\n  stage: 2\n")
    with pytest.raises(ValueError, match="indented"):
        set_block(PLAIN, "flow", ["stage: 1"])


@pytest.mark.parametrize("name", NAMES)
def test_2_4_every_odd_ticket_takes_a_move_and_keeps_the_rest(name: str) -> None:
    before = (ODD / name).read_bytes()
    after = set_field(set_field(before, "status", "98_HOLD"), "owner", "USER")
    read = Document.parse(after)
    assert (read.text("status"), read.text("owner")) == ("98_HOLD", "USER")
    kept = [line for line in after.splitlines() if line in set(before.splitlines())]
    gone = set(before.splitlines()) - set(kept)
    assert all(line.startswith((b"status:", b"owner:")) for line in gone)
    with_flow = set_block(after, "flow", ["  stage: 1"])
    assert Document.parse(with_flow).meta["flow"] == {"stage": 1}
    assert Document.parse(with_flow).text("status") == "98_HOLD"


# -- properties ----------------------------------------------------------------------------------

_KEYS = st.sampled_from(["status", "owner", "title", "note", "files", "x_y", "failure_count"])
_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
_SCALARS = st.one_of(
    _WORDS.filter(lambda t: t.isalnum() or not t),
    _WORDS.map(lambda t: json.dumps(t, ensure_ascii=False)),
    _WORDS.map(lambda t: "'" + t.replace("'", "''") + "'"),
    st.sampled_from(["[a, b]", "no", "12", "2025-01-02", "a b c", "{a: 1}"]),
)
_ENTRIES = st.one_of(
    st.tuples(_KEYS, _SCALARS, st.sampled_from(["", "  # why", " #"])).map(
        lambda e: [f"{e[0]}: {e[1]}{e[2]}"]
    ),
    _KEYS.map(lambda key: [f"{key}: |", "  status: no", "  ---", ""]),
    _KEYS.map(lambda key: [f"{key}:", "  - a", "  - b: c"]),
    st.just(["# a comment"]),
)


@st.composite
def _tickets(draw: st.DrawFn) -> bytes:
    lines = ["---", "id: WO-1", *chain(*draw(st.lists(_ENTRIES, max_size=6))), "---", "", "body  "]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = (
        draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))
    )
    return text.encode()


_VALUES = st.one_of(_WORDS, st.integers(0, 99), st.booleans(), st.lists(_WORDS, max_size=3))


_WHOLE = [
    b"---\nid: T-1\nstatus: 03_BUILD # now\nowner: 'LEAD'\ncount: 1\nflow:\n  a: 1\n---\n# A\n",
    b'---\r\nid: T-1\r\nstatus: "03"\r\nflow: {a: 1}\r\nowner: LEAD\r\n# x\r\n---\r\n\r\nB\r\n',
    b"\xef\xbb\xbf---\nflow:\n- a\nstatus: x\n\nid: [a,\n b]\nowner: a\ncount: 2\n---\n**X:** y\n",
    b"---\nflow: a\nflow: b\nstatus: x\n---\n**Size:** 4\n",
    b"---\nid: \xff\nstatus: x\nflow: 1\n---\n\xff\n",
]
#: blocks without the key: at the end of some of them it would be no key of its own
_WITHOUT = [
    f"---\nid: T-1\nstatus: x\nowner: a\ncount: 1\n{end}---\n# A\n".encode()
    for end in (
        *("", "# why\n", "\n", "...\n", "?\n", "&a b: *a\n", "k: |\n  text\n\n", "k: >-\n text\n"),
        *("k: [a,\n b]\n", "k: [a,\nb]\n", "k: 'a\n  b'\n", "k:\n- a\n", "\tk: a\n", "k: a\r\n"),
        *(
            "{a: 1}\n",
            "- a\n",
            "%x\n",
            "text\n",
            "k: a\n  b: c\n",
            "<<: {flow: 1}\n",
            '"flow": 1\n',
        ),
        *(
            "- flow:\n",
            "k: {\n}\n",
            "k: a ---\n",
            "'k\n",
            "!!str k: a\n",
            "k: !!set\n",
            "flow : 1\n",
        ),
    )
] + [b"---\n---\n", b"---\n{id: T-1, status: x}\n---\n", b"---\nid: T-1\n---\n**Flow:** y\n"]
_BELOW = [
    b"",
    b"\n## A section\n\nText.\n",
    b"**Size:** 3\n",
    b"<<<<<<< a\n=======\n>>>>>>> b\n",
    b"\xff",
]


@given(_tickets(), _KEYS, _VALUES)
def test_2_4_set_field_changes_only_the_named_entry(data: bytes, key: str, value: Any) -> None:
    after = set_field(data, key, value)
    before, read = Document.parse(data), Document.parse(after)
    assert read.meta == {**before.meta, key: value}
    assert read.body == before.body
    assert set_field(after, key, value) == after
    if before.line_of(key):
        at = before.line_of(key) - 1
        assert after.splitlines(keepends=True)[:at] == data.splitlines(keepends=True)[:at]
        tail = len(after.splitlines()) - at - 1
        assert after.splitlines(keepends=True)[at + 1 :] == data.splitlines(keepends=True)[-tail:]
    else:
        at = read.line_of(key) - 1
        lines = after.splitlines(keepends=True)
        assert b"".join(lines[:at] + lines[at + 1 :]) == data


@given(_tickets(), _KEYS)
def test_2_4_remove_field_takes_the_entries_of_the_key_only(data: bytes, key: str) -> None:
    after = remove_field(data, key)
    before = Document.parse(data)
    assert Document.parse(after).meta == {k: v for k, v in before.meta.items() if k != key}
    kept = iter(data.splitlines(keepends=True))
    assert all(line in kept for line in after.splitlines(keepends=True))


@given(_tickets(), st.lists(_WORDS.filter(str.isalnum), min_size=1, max_size=3, unique=True))
def test_set_block_is_read_back_and_repeatable(data: bytes, names: list[str]) -> None:
    lines = [f"  {json.dumps(name, ensure_ascii=False)}: 1" for name in names]
    after = set_block(data, "flow", lines)
    assert Document.parse(after).meta["flow"] == dict.fromkeys(names, 1)
    assert set_block(after, "flow", lines) == after
    assert remove_field(after, "flow") == data


_PIECES = st.sampled_from(
    [b"---\n", b"---", b"id: WO-1\n", b"status: A\n", b"\n", b"\r\n", b"\r", b"# T\n", b"a: b: c\n",
     b"  x\n", b"- y\n", b"'", b'"', b"|", b": ", b"\xff", b"\xef\xbb\xbf", b"\x00", b"&a *a\n",
     b"```\n", b"- [ ] box\n", b"<<<<<<< x\n", b"**Status:** x\n", b"text\n", b"? \n", b"[", b"{"]
)  # fmt: skip


_EDITS = st.dictionaries(
    st.sampled_from(["id", "status", "owner", "count"]),
    st.one_of(
        st.integers(0, 99),
        st.sampled_from(["04_QA", "yes", "a: b", "a #b", "2025-01-02", "x---", "é"]),
    ),
)


@pytest.mark.parametrize("data", [*_WHOLE, *_WITHOUT])
def test_2_4_a_known_edit_is_the_one_that_is_read(data: bytes) -> None:
    after = edited(Document.parse(data), {}, {"flow": (["  a: 1"], {"a": 1})})
    assert after.data == set_block(data, "flow", ["  a: 1"])
    read = Document.parse(after.data)
    assert after == read
    assert after.entries == read.entries


def test_a_key_that_is_written_first_needs_no_second_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = Document.parse(PLAIN)
    _ = document.entries
    monkeypatch.setattr(Document, "parse", lambda _: pytest.fail("it was read again"))
    after = edited(document, {"status": "04_QA"}, {"flow": (["  a: 1"], {"a": 1})})
    assert after.meta["flow"] == {"a": 1}


@given(st.one_of(_tickets(), st.sampled_from(_WHOLE + _WITHOUT)), _EDITS, st.sampled_from(_BELOW))
def test_2_4_what_is_known_of_an_edited_document_is_what_is_read_of_its_bytes(
    data: bytes, fields: dict[str, Any], below: bytes
) -> None:
    meaning = {"state": "waiting for USER", "members": {"T-1": {"at": "QA"}}, "accepted": ["a: b"]}
    flow = to_lines(meaning)
    after = edited(Document.parse(data), fields, {"flow": (flow, meaning)})
    for known in (after, after.with_text(after.data + below), edited(after, fields, {})):
        read = Document.parse(known.data)
        assert known == read
        assert known.entries == read.entries
        assert known.lines == read.lines
    assert {**after.meta, **fields, "flow": meaning} == after.meta


@given(st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=25).map(b"".join)))
def test_8_4_any_bytes_are_read_and_edited_without_an_error(data: bytes) -> None:
    document = Document.parse(data)
    assert document.data == data
    after = set_field(data, "status", "98_HOLD")
    assert Document.parse(after).meta["status"] == "98_HOLD"
    again = append_section(tick_box(after, "box", "receipt 1"), "## Notes\nx")
    assert Document.parse(again).meta["status"] == "98_HOLD"
    assert set_block(again, "flow", ["  a: 1"]) != again


# -- sections and boxes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"body\n", b"body\n\n## Notes\nx\n"),
        (b"body", b"body\n\n## Notes\nx\n"),
        (b"body\n\n", b"body\n\n## Notes\nx\n"),
        (b"body\r\n", b"body\r\n\r\n## Notes\r\nx\r\n"),
        (b"", b"## Notes\nx\n"),
    ],
)
def test_a_section_is_appended_once_below_one_blank_line(before: bytes, after: bytes) -> None:
    assert append_section(before, "## Notes\nx\n") == after
    assert append_section(after, "\n## Notes\nx") == after


@given(st.binary(max_size=80), st.lists(st.sampled_from(["## A", "x", "", "é"]), max_size=5))
def test_append_section_is_idempotent_and_only_appends(data: bytes, lines: list[str]) -> None:
    assume(any(lines))
    once = append_section(data, "\n".join(lines))
    assert once.startswith(data)
    assert append_section(once, "\n".join(lines)) == once


BOXES = b"""- [ ] the table exists
```
- [ ] the table exists
```
* [ ] runs twice,
  with no error
1. [X] done before
"""


def test_6_4_a_box_is_ticked_outside_code_and_carries_its_receipt() -> None:
    ticked = tick_box(BOXES, "the table exists", "receipt ab12")
    assert _changed(BOXES, ticked) == [
        (b"- [ ] the table exists\n", b"- [x] the table exists \xc2\xb7 receipt ab12\n")
    ]
    again = tick_box(ticked, "the table exists", "· receipt cd34")
    assert again == ticked.replace(b"ab12", b"cd34")
    assert untick_box(again, "the table exists") == BOXES


def test_6_4_a_wrapped_box_is_one_statement() -> None:
    ticked = tick_box(BOXES, "runs twice, with no error", "receipt ab12")
    assert b"* [x] runs twice,\n  with no error \xc2\xb7 receipt ab12\n" in ticked
    assert untick_box(ticked, "runs twice, with no error") == BOXES


def test_a_tick_changes_nothing_but_the_mark_that_is_needed() -> None:
    assert tick_box(BOXES, "another text", "receipt ab12") == BOXES
    done = tick_box(BOXES, "done before", "receipt ab12")
    assert done.endswith(b"1. [X] done before \xc2\xb7 receipt ab12\n")
    crlf = b"---\r\nid: a\r\n---\r\n- [ ] x  \r\n"
    assert tick_box(crlf, "x", "receipt 1").endswith("- [x] x · receipt 1  \r\n".encode())


TABLE = """\
| # | what | how | done |\r
|---|---|---|---|\r
| 1 | the table exists | SQL | [{}] |\r
| 2 | the page loads |☐|\r
| 3 | both agree | [ ] | [x] |\r
"""


def test_an_accepted_box_is_no_tick_and_the_way_back_is_lossless() -> None:
    taken = accept_box(BOXES, "the table exists", "receipt ab12")
    wanted = "- [~] the table exists · accepted by USER, receipt ab12\n".encode()
    assert _changed(BOXES, taken) == [(b"- [ ] the table exists\n", wanted)]
    assert accept_box(taken, "the table exists", "receipt ab12") == taken
    assert untick_box(taken, "the table exists") == BOXES
    done = tick_box(taken, "the table exists", "receipt cd34")
    assert done == tick_box(BOXES, "the table exists", "receipt cd34")
    assert accept_box(done, "the table exists", "receipt ab12") == taken
    row, page = "the table exists | SQL", "the page loads"
    table = TABLE.format(" ").encode()
    for text in (row, page):
        taken = accept_box(table, text, "receipt ab12")
        assert "accepted by USER, receipt ab12" in taken.decode()
        assert untick_box(taken, text) == table
        assert tick_box(taken, text, "receipt 1") == tick_box(table, text, "receipt 1")


def test_a_mark_of_a_person_s_own_stays() -> None:
    own = b"- [~] half of it\n- [-] not now\n"
    assert untick_box(untick_box(own, "half of it"), "not now") == own


def test_a_box_in_a_table_is_ticked_in_its_cell() -> None:
    open_, ticked = (TABLE.format(mark).encode() for mark in (" ", "x"))
    done = tick_box(open_, "the table exists | SQL", "receipt ab12")
    assert done == TABLE.format("x] · receipt ab12").replace("ab12]", "ab12").encode()
    again = tick_box(done, "the table exists | SQL", "receipt cd34")
    assert again == done.replace(b"ab12", b"cd34")
    assert untick_box(again, "the table exists | SQL") == open_
    assert untick_box(ticked, "the table exists | SQL") == open_
    page = tick_box(open_, "the page loads", "receipt ab12")
    assert page == open_.replace("☐".encode(), "☑ · receipt ab12".encode())
    assert untick_box(page, "the page loads") == open_


def test_a_row_with_two_boxes_is_not_ticked_and_loses_its_ticks() -> None:
    data = TABLE.format(" ").encode()
    assert tick_box(data, "both agree", "receipt ab12") == data
    assert untick_box(data, "both agree") == data.replace(b"[x]", b"[ ]")


_VALUES = [
    "a", "yes", "null", "~", "0", "00", "12", "1_0", "0x1F", "1e5", "1.5", "2026-02-30", "1:20",
    "2026-02-20", "03_BUILD", "0_E5", "WO-1", "a_b", ".inf", "é", '"q:_r"', "&a", "[a,b]", "[]",
    "[a,]", "[1]", "[yes]", r'"a\n"', "'q'", "|", "-", "a_#b", "a:_b", "[a_b,_c]",
]  # fmt: skip
_YAML = st.sampled_from(["", "\t", "\u2028", *(v.replace("_", " ") for v in _VALUES), *_VALUES])
_KEYS = st.sampled_from(["id", "a_1", "on", "No", "a-b", "é"])


@given(st.lists(st.tuples(_KEYS, _YAML | st.text())))
def test_a_simple_block_is_read_as_yaml_reads_it(pairs: list[tuple[str, str]]) -> None:
    text = "".join(f"{key}: {value}\n" for key, value in pairs)
    simple = _load_simple(text)
    if simple is not None:
        assert repr(simple) == repr(yaml.safe_load(text))


def test_what_most_blocks_hold_is_read_without_yaml() -> None:
    text = 'id: WO-1\ntitle: "a: b"\nstatus: 03_BUILD\ncreated: 2026-02-20\nrank: 0\ntags: [a, b]\n'
    assert _load_simple(text) == yaml.safe_load(text)


_PIECES = (
    "---\n", "---", "id: WO-1\n", "status: x---\n", "\n", " \n", "  - a\n", "# c\n", "text here\n",
    "\r\n", "\r", "--- \n", "k:v\n", "key:\n", '"q": 1\n', "\x1c\n", "é\n", "\udcff",
    "\t\n", "a: |\n", "----\n", "...\n", "\x0c\n", "x: ---\n", "- item\n", "\ufeff", "\xa0\n",
)  # fmt: skip


@given(st.booleans(), st.lists(st.sampled_from(_PIECES), max_size=9))
def test_the_body_is_found_where_the_block_ends(usual: bool, pieces: list[str]) -> None:
    text = "---\nid: WO-1\n" * usual + "".join(pieces)
    data = text.encode("utf-8", "surrogateescape")
    lines = lines_of(data)
    block, _ = locate(lines)
    above = lines[: block.body] if block else []
    assert find_body(data) == (len("".join(above).encode("utf-8", "surrogateescape")), len(above))

"""One grammar of ids: file names, titles, keys, references, the words of workflows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.id_grammar import (
    TICKET_ID,
    agree,
    id_from_name,
    id_in_title,
    ids_in_field,
    is_field_id,
    is_named_after,
    without_child_suffix,
)
from orchestrator.tickets.board import Board

words = st.from_regex(r"[A-Z][A-Z0-9]{1,6}", fullmatch=True)
lower = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
numbers = st.integers(1, 99999).map(str) | st.integers(1, 999).map("{:03d}".format)
dotted = st.lists(st.integers(1, 99), max_size=3).map(lambda parts: "".join(f".{p}" for p in parts))
ids = st.one_of(
    st.builds(lambda w, n, d: f"{'-'.join(w)}-{n}{d}", st.lists(words, min_size=1, max_size=3),
              numbers, dotted),
    st.builds(lambda w, n, d: f"{w}-{n}{d}", lower, numbers, dotted),
    st.builds(lambda w, n, c: f"{w}-{n}{c}", words, numbers, st.sampled_from("abcZ")),
)  # fmt: skip
slugs = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True), min_size=2, max_size=5)


@given(id=ids, slug=slugs, glue=st.sampled_from("-_"))
def test_a_slug_never_becomes_part_of_the_id(id: str, slug: list[str], glue: str) -> None:
    name = f"{id}{glue}{glue.join(slug)}.md"
    assert id_from_name(name) == id
    assert is_named_after(name, id)
    assert id_from_name(f"2026-02-21-{name}") == id
    assert id_from_name(f"{id} - {' '.join(slug)}.md") == id
    assert id_in_title(f"{id}: {' '.join(slug)}") == id


@given(id=ids, other=ids)
def test_a_reference_alone_is_read_whole(id: str, other: str) -> None:
    assert ids_in_field(id) == (id,)
    assert is_field_id(id)
    assert ids_in_field(f"{id} once {other} is live", id)[0] == id


@given(id=ids, letter=st.sampled_from("abc"), part=st.integers(1, 99))
def test_a_child_extends_its_parent(id: str, letter: str, part: int) -> None:
    assert without_child_suffix(f"{id}.{part}") == id or id[-1].isalpha() or id[0].islower()
    assert not agree(id, f"{id}{letter}")


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("OPS-057-a-scan-must-say-its-size.md", "OPS-057"), ("OPS-060-b-tests-run.md", "OPS-060"),
        ("OPS-057-a.md", "OPS-057-a"), ("WO-928-C_Front.md", "WO-928-C"),
        ("CORE-CONF-002-more.md", "CORE-CONF-002"), ("TASK-535.9 - dotted.md", "TASK-535.9"),
        ("task-265.10.01 - x.md", "task-265.10.01"), ("bd-12.3-dotted.md", "bd-12.3"),
        ("nw-5c46.md", "nw-5c46"), ("bd-a3f8.1.md", "bd-a3f8.1"), ("WP01-x.md", "WP01"),
        ("015-pricing.md", "015"), ("2026-02-21-task-015-pricing.md", "task-015"),
        ("2026-02-21-notes.md", ""), ("Meeting-2025.md", ""), ("add-3rd-party-login.md", ""),
        ("fix-the-login.md", ""), ("v2.md", ""),
        ("a1b2c3d4-e5f6-7890-abcd-ef1234567890.md", "a1b2c3d4-e5f6-7890-abcd-ef1234567890"),
    ],
)  # fmt: skip
def test_an_id_is_read_from_a_name(name: str, id: str) -> None:
    assert id_from_name(name) == id


@pytest.mark.parametrize(
    ("text", "like", "ids"),
    [
        ("CORE-CONF-001", "", ("CORE-CONF-001",)), ("nw-5c46", "", ("nw-5c46",)),
        ("nw-abcd", "", ("nw-abcd",)), ("012", "", ("012",)), ("#12", "", ("12",)),
        ("[[TASK-12]]", "", ("TASK-12",)), ("task-12 - The page", "task-7", ("task-12",)),
        ("WP01 and WP02", "WP03", ("WP01", "WP02")), ("needs SHA256 sums", "WO-1", ()),
        ("2026-01-01", "", ()), ("the new counter", "task-7", ()),
        ("after phase-2 of the move", "task-7", ()),
    ],
)  # fmt: skip
def test_ids_are_read_from_a_dependency(text: str, like: str, ids: tuple[str, ...]) -> None:
    assert ids_in_field(text, like) == ids


@pytest.mark.parametrize("id", ["TASK-535.9", "CORE-CONF-002", "WO-1", "OPS-057", "WO-77.1"])
def test_a_workflow_names_the_whole_id(id: str) -> None:
    for text in (f"Read {id} first.", f"Move {id} to `04_QA`", f"({id}, {id})"):
        assert set(TICKET_ID.findall(text)) == {id}
    assert TICKET_ID.findall("Read OPS-057-a-scan-of-ports.md, UTF-8") == ["OPS-057"]


def lay(root: Path, place: str, *lines: str) -> None:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["---", *lines, "---", "# x", ""]), encoding="utf-8")


def test_what_a_key_the_name_and_the_title_say_is_the_id(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/2026-02-21-task-015-pricing.md", "task: TASK-015", "status: 03_BUILD")
    lay(tmp_path, "03_BUILD/WP01-x.md", "work_package_id: WP01", "title: x")
    lay(tmp_path, "03_BUILD/core-conf-002-more.md", "title: 'CORE-CONF-002: more'", "state: BUILD")
    lay(tmp_path, "03_BUILD/page.md", "task: Write the page", "status: 03_BUILD")
    lay(tmp_path, "03_BUILD/WO-7_x.md", "task: WO-9", "status: 03_BUILD")
    lay(tmp_path, "03_BUILD/n.md", "id: '015'", "status: 03_BUILD")
    lay(tmp_path, "03_BUILD/sign-in.md", "identifier: ENG-12", "status: 03_BUILD")
    lay(tmp_path, "03_BUILD/story.md", "identifier: as a visitor", "status: 03_BUILD")
    found = {t.path.name: t.id for t in Board(tmp_path).tickets()}
    assert list(found.values()) == [
        "TASK-015", "WO-7", "WP01", "CORE-CONF-002", "015", "page", "ENG-12", "story",
    ]  # fmt: skip


def test_references_are_found_in_another_spelling(tmp_path: Path) -> None:
    lay(tmp_path, "06_COMPLETE/TASK-009_x.md", "id: TASK-009")
    lay(tmp_path, "03_BUILD/TASK-010-a-page.md", "id: TASK-010", "parent: task-011")
    depends = "dependsOn: [task-9, '10', TASK-010-a-page, TASK-77]"
    lay(tmp_path, "00_INBOX/TASK-011_x.md", "id: TASK-011", depends)
    board = Board(tmp_path)
    ticket = board.find("TASK-011")
    assert ticket.depends_on == ("TASK-009", "TASK-010", "TASK-77")
    assert [t.id for t in board.family("TASK-011")] == ["TASK-011", "TASK-010"]


def test_a_reference_that_fits_two_tickets_is_left_as_it_is(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO_010_x.md", "id: WO_010")
    lay(tmp_path, "03_BUILD/WO-010_y.md", "id: WO-010")
    lay(tmp_path, "03_BUILD/WO-011_y.md", "id: WO-011", "depends_on: [WO_010, wo-10]")
    assert Board(tmp_path).find("WO-011").depends_on == ("WO_010", "wo-10")

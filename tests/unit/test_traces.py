"""What a script's run leaves: keys are found in whatever form, and honest output is none."""

from __future__ import annotations

import base64
import codecs
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrate_agents.sandbox import traces
from orchestrate_agents.sandbox.traces import gives_away, left_behind, listing

KEY = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIiwiZXhwIjoxNzk2MDAxMjM0fQ."
    "q2m7wQvX0y4tJrZl1b8nC9dEfGhIjKlMnOpQrStUvWx"
)
PASSWORD = "9f2c41d07be85a63f1d0c4e7a9b2385d"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda k: f"key {k}",
    "its end": lambda k: k[-16:],
    "backwards": lambda k: k[::-1],
    "with spaces": " ".join,
    "in lines": "\n".join,
    "with letters between": "x".join,
    "in numbered parts": lambda k: "\n".join(
        f"{n} {k[n : n + 8]}" for n in range(0, len(k), 8)
    ),
    "in base64": lambda k: base64.b64encode(k.encode()).decode(),
    "backwards in base64": lambda k: base64.b64encode(k[::-1].encode()).decode(),
    "in base85": lambda k: base64.b85encode(k.encode()).decode(),
    "in hex": lambda k: k.encode().hex(),
    "as numbers": lambda k: str([ord(letter) for letter in k]),
    "turned by 13": lambda k: codecs.encode(k, "rot13"),
    "in other capitals": str.swapcase,
    "compressed": lambda k: base64.b64encode(zlib.compress(k.encode())).decode(),
    "percent-encoded": lambda k: "".join(f"%{ord(letter):02x}" for letter in k),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [KEY, PASSWORD])
def test_a_key_is_found_in_any_form(form: str, key: str) -> None:
    assert gives_away(f"12 rows\n{FORMS[form](key)}\ndone", [KEY, PASSWORD])


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"supabase: abcdefghijklmnopqrst.supabase.co, key {KEY[:10]}…",
        f"writing to {KEY[:36]}",
        "wrote /usr/lib/python3/dist-packages/aaaa/bbbb/cccc.py\n" * 400,
        base64.b64encode(bytes(range(256)) * 20).decode(),
        " ".join(str(n) for n in range(10, 999)),
    ],
)
def test_what_tells_no_key_is_none(text: str) -> None:
    assert not gives_away(text, [KEY, PASSWORD])
    assert not gives_away(text, [])


def test_the_shortest_part_of_a_key_is_found() -> None:
    letters = "".join(filter(str.isalnum, KEY.partition(".")[2]))
    assert gives_away(letters[:12], [KEY])
    # two parts in a row, with another letter after each
    assert gives_away("".join(f"{letter}~x" for letter in letters[:24]), [KEY])
    assert not gives_away(letters[:11], [KEY])


def test_what_is_decoded_to_less_than_a_part_is_not_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[str] = []

    class Places(traces._Places):
        def __init__(self, letters: str) -> None:
            searched.append(letters)
            super().__init__(letters)

    monkeypatch.setattr(traces, "_Places", Places)
    # each of these words has several forms, all of them short
    text = "\n".join(f"page{number:012}token" for number in range(50))
    assert not gives_away(text, [KEY])
    assert all(len(letters) >= 24 for letters in searched)
    assert len(searched) < 50


def test_files_that_a_run_leaves_are_told(tmp_path: Path) -> None:
    tree, home, temporary = (tmp_path / name for name in ("tree", "home", "temporary"))
    for folder in (tree / "out", home, temporary):
        folder.mkdir(parents=True)
    (tree / "a.csv").write_text("1")
    (tree / "b.csv").write_text("1")
    before = listing(tree)
    (tree / "a.csv").write_text("2")
    (tree / "b.csv").unlink()
    (tree / "sitecustomize.py").write_text("")
    (tree / ".git").mkdir()
    (tree / ".git/hook").write_text("")
    (tree / "out/rows.csv").write_text("1,2")
    (tree / "out/log.txt").write_text(base64.b64encode(KEY.encode()).decode())
    (home / ".ssh").mkdir()
    (home / ".ssh/authorized_keys").write_text("")
    (home / ".cache").mkdir()
    (home / ".cache/x").write_text("")
    (temporary / "x").write_text(KEY)
    assert sorted(left_behind(before, tree, home, temporary, [KEY])) == [
        "changed the file a.csv",
        "made the file .git/hook",
        "made the file sitecustomize.py",
        "removed the file b.csv",
        "wrote a key that it was given to a temporary file",
        "wrote a key that it was given to out/log.txt",
        "wrote to ~/.ssh/authorized_keys, outside of its folder",
    ]

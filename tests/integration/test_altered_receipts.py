"""DESIGN 12.3: receipts that are edited, removed, added, moved or forged are found, and prove
nothing; exported ones are verified by others."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.errors import TicketError
from orchestrator.storage import history as histories
from orchestrator.storage import signing
from orchestrator.storage.history import History
from tests.boards import Workspace

Lines = list[bytes]


class Altered:
    """A family at its first question, and its receipts."""

    def __init__(self, root: Path) -> None:
        self.work = Workspace(root)
        self.work.conductor().run("WO-512")
        self.file = root / "_WORK_ORDERS/.receipts/WO-512.jsonl"

    def alter(self, how: Callable[[Lines], Lines]) -> None:
        lines = self.file.read_bytes().splitlines(keepends=True)
        self.file.write_bytes(b"".join(how(lines)))

    def cli(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["-C", str(self.work.root), *words])

    def board(self) -> dict[Path, bytes]:
        files = (self.work.root / "_WORK_ORDERS").rglob("*")
        return {p: p.read_bytes() for p in files if p.is_file()}


@pytest.fixture
def asked(tmp_path: Path) -> Altered:
    return Altered(tmp_path)


def position(lines: Lines, kind: str) -> int:
    return next(n for n, line in enumerate(lines) if json.loads(line)["type"] == kind)


def edited(lines: Lines) -> Lines:
    at = position(lines, "receipt")
    changed = json.loads(lines[at])
    changed["detail"] = "looked at it, all well"
    return [*lines[:at], json.dumps(changed).encode() + b"\n", *lines[at + 1 :]]


def relinked(lines: Lines) -> Lines:
    """A forger who knows how the lines are linked, but has neither ticket nor key."""
    lines, tip, made = edited(lines), "", []
    for line in lines:
        record = json.loads(line)
        record["prev"] = tip
        if record["type"] == "transition":
            record["flow"]["history"] = tip
        made.append(json.dumps(record, ensure_ascii=False).encode())
        tip = histories._link(tip, made[-1])
    return [line + b"\n" for line in made]


def without_links(lines: Lines) -> Lines:
    """Made to look like a history of the first edition."""
    found = []
    for line in edited(lines):
        record = {k: v for k, v in json.loads(line).items() if k not in ("prev", "key", "sig")}
        found.append(json.dumps(record).encode() + b"\n")
    return found


ALTERATIONS: dict[str, Callable[[Lines], Lines]] = {
    "edited": edited,
    "removed": lambda lines: [x for n, x in enumerate(lines) if n != position(lines, "receipt")],
    "all removed": lambda _: [],
    "cut off": lambda lines: lines[: position(lines, "question")],
    "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
    "repeated": lambda lines: [*lines, lines[position(lines, "receipt")]],
    "added": lambda lines: [*lines, b'{"type": "effect", "at": "", "state": "done"}\n'],
    "relinked": relinked,
    "without links": without_links,
    "begun again by another": lambda lines: [*edited(lines), b'{"type": "altered", "at": ""}\n'],
}


@pytest.mark.parametrize("how", ALTERATIONS)
def test_altered_receipts_are_found_by_all_and_answer_nothing(asked: Altered, how: str) -> None:
    good = asked.file.read_bytes()
    asked.alter(ALTERATIONS[how])
    before = asked.board()
    for command in (
        lambda: asked.work.conductor().run("WO-512"),
        lambda: asked.work.conductor().approve("WO-512", accept_unproven=True),
        lambda: asked.work.conductor().attestable("WO-512"),
    ):
        with pytest.raises(TicketError) as refused:
            command()
        assert refused.value.code == "history-altered", how
        assert "orchestrate reopen WO-512" in refused.value.hint
    for words in (["doctor"], ["status", "WO-512"]):
        assert "are not as they were written" in asked.cli(*words).output.replace("\n", " "), words
    verified = asked.cli("verify", "WO-512")
    assert verified.exit_code == 1
    assert "are not as they were written" in verified.output
    assert asked.board() == before
    asked.file.write_bytes(good)
    asked.work.conductor().approve("WO-512", accept_unproven=True)
    assert asked.work.conductor().run("WO-512").stage > 3


@pytest.mark.parametrize("how", ALTERATIONS)
def test_a_family_with_altered_receipts_is_proven_and_asked_again(asked: Altered, how: str) -> None:
    asked.alter(ALTERATIONS[how])
    asked.work.conductor().reopen("WO-512")
    outcome = asked.work.conductor().run("WO-512")
    assert outcome.stage == 3, outcome
    status = json.loads(asked.cli("status", "WO-512", "--json").stdout)
    assert status["question"]["proven"], "a question with nothing in it"
    assert not any("written" in notice for notice in status["notices"])
    since = History(asked.file.parents[1], "WO-512")
    assert {r["verdict"] for r in since.of("receipt")} <= {"proven", "unproven", "pending"}
    assert all(r["detail"] != "looked at it, all well" for r in since.of("receipt"))
    asked.work.conductor().approve("WO-512", accept_unproven=True)
    assert asked.work.conductor().run("WO-512").stage > 3
    assert asked.cli("verify", "WO-512").exit_code == 0


def test_a_signature_of_another_key_is_refused_where_keys_are_named(
    asked: Altered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = asked.cli("receipts", "key").stdout.strip()
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(tmp_path / "ours.pem"))
    ours = asked.cli("receipts", "key").stdout.strip()
    assert ours != theirs
    # whoever has no list takes what a colleague began
    assert asked.cli("run", "WO-512").exit_code == 10
    settings = tmp_path / "orchestrate.toml"
    plain = settings.read_text(encoding="utf-8") if settings.exists() else ""
    settings.write_text(f'{plain}\n[trust]\nkeys = ["{ours}"]\n', encoding="utf-8")
    refused = asked.cli("run", "WO-512")
    assert refused.exit_code == 1
    assert "`[trust] keys` does not name" in refused.output.replace("\n", " ")
    settings.write_text(f'{plain}\n[trust]\nkeys = ["{theirs}"]\n', encoding="utf-8")
    assert asked.cli("run", "WO-512").exit_code == 10


def test_the_key_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(tmp_path / "deep" / "key.pem"))
    first = CliRunner().invoke(app, ["receipts", "key"]).stdout
    assert len(base64.b64decode(first)) == 32
    assert (tmp_path / "deep" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert CliRunner().invoke(app, ["receipts", "key"]).stdout == first


def test_exported_receipts_are_verified_with_the_public_key_alone(
    asked: Altered,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "receipts.jsonl"
    assert asked.cli("receipts", "export", "WO-512", "-o", str(out)).exit_code == 0
    key = asked.cli("receipts", "key").stdout.strip()
    envelope = json.loads(out.read_text(encoding="utf-8").splitlines()[0])
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"]
    assert all(len(s["digest"]["sha256"]) == 64 for s in statement["subject"])

    # somebody else, elsewhere
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(tmp_path / "theirs.pem"))
    there = tmp_path_factory.mktemp("there")

    def check(*words: str) -> Result:
        return CliRunner().invoke(app, ["-C", str(there), "receipts", "check", str(out), *words])

    assert check().exit_code == 1, "an unknown key"
    assert check("--key", key).exit_code == 0
    (there / "out").mkdir()
    (there / "out" / "first.txt").write_text("another file\n", encoding="utf-8")
    differs = check("--key", key)
    assert differs.exit_code == 1
    assert "out/first.txt" in differs.output
    (there / "out" / "first.txt").unlink()
    lines = out.read_text(encoding="utf-8").splitlines()
    statement["predicate"]["result"] = "PASSED" if "FAILED" in lines[0] else "FAILED"
    forged = base64.b64encode(json.dumps(statement).encode()).decode()
    out.write_text(json.dumps({**envelope, "payload": forged}) + "\n", encoding="utf-8")
    assert "the signature is wrong" in check("--key", key).output
    out.write_text("{}\n", encoding="utf-8")
    assert check("--key", key).exit_code == 1
    out.write_text("", encoding="utf-8")
    assert check("--key", key).exit_code == 1, "nothing was checked"


def test_a_signature_that_was_found_to_fit_is_not_worked_out_again(
    asked: Altered, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing._signed.clear()
    monkeypatch.setattr(signing, "is_signed", lambda *_: pytest.fail("it was worked out again"))
    assert asked.work.conductor().run("WO-512").outcome == "waiting"


@pytest.mark.parametrize("seal", ["", "00" * 32, None, 7, "as it was"])
def test_who_has_no_key_cannot_say_that_a_signature_fits(asked: Altered, seal: object) -> None:
    made: list[dict[str, object]] = []

    def forged(lines: Lines) -> Lines:
        """The last transition says something else, and the lines below it follow."""
        records = [json.loads(line) for line in lines]
        at = max(n for n, record in enumerate(records) if record["type"] == "transition")
        records[at]["event"] = "USER said so"
        made.append(records[at])
        texts, tip = list[bytes](), ""
        for n, (record, line) in enumerate(zip(records, lines, strict=True)):
            record["prev"] = tip if n > at else record.get("prev")
            text = line.rstrip(b"\n")
            texts.append(json.dumps(record, ensure_ascii=False).encode() if n >= at else text)
            tip = histories._link(tip, texts[-1])
        return [text + b"\n" for text in texts]

    [known] = (asked.work.root / ".orchestrate/state/known").glob("*.json")
    said = json.loads(known.read_bytes())
    asked.alter(forged)
    digest = hashlib.sha256(histories.canonical(made[0])).hexdigest()[:24]
    seal = said["signed"] if seal == "as it was" else seal
    known.write_text(json.dumps({**said, "digest": digest, "signed": seal}), encoding="utf-8")
    with pytest.raises(TicketError, match="signature of revision") as refused:
        asked.work.conductor().run("WO-512")
    assert refused.value.code == "history-altered"

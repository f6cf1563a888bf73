"""What misbehaves: keys in texts, characters that hide, output without end, odd files, requests."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest

from orchestrate_backend.targets import embedded
from orchestrator.agent_process import bounded, dispatcher
from orchestrator.agent_process.bounded import Ended, attend, end_group, kept_words
from orchestrator.cli.text import say, say_json
from orchestrator.conductor.observed import _team_hooks
from orchestrator.domain.agent import Outcome, Report
from orchestrator.errors import OrchestrateError, UnsafePathError, UsageError, masking
from orchestrator.gates.workspace_checks import load_workspace_checks
from orchestrator.git.command import plain_environment, run_git
from orchestrator.settings.config import load_settings
from orchestrator.storage.history import History
from orchestrator.tickets.board import Board
from src.ml import limits

TOKEN, PASSWORD = "tok?8842/AbCdEf~99", "pw/7+Qz$9=Zkw"
ADDRESS = f"postgresql://ana:{quote(PASSWORD, safe='')}@db.invalid:5432/shop"
STEERING = "\x07\x08\x1b\x7f\x85\x9b\u00ad\u061c\u115f\u200b\u200e\u202e\u2028\u2060\u2066\u3164"
STEERING += "\ufeff\ufff9\U000e0041"


@pytest.fixture
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", TOKEN)
    monkeypatch.setenv("DATABASE_URL", ADDRESS)


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_keys")
@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        quote(TOKEN, safe=""),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(f"ana:{TOKEN}".encode()).decode(),
        TOKEN.encode().hex(),
        json.dumps(TOKEN),
        ADDRESS,
        PASSWORD,
        quote(PASSWORD, safe=""),
        "ghp_0123456789abcdefghij0123",
    ],
)
def test_keys_are_masked_in_every_form(form: str) -> None:
    shown = masking.mask(f"it said {form} and ended")
    assert shown.startswith("it said ")
    assert shown.endswith(" and ended")
    assert masking.MASK in shown
    assert form.strip('"')[4:-4] not in shown


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnop",
        f"AIza{'x' * 24}",
        *(f"gh{kind}_0123456789abcdefghij0123" for kind in "pousr"),
        f"github_pat_{'x' * 24}",
        *(f"xox{kind}-0123456789" for kind in "abprs"),
        f"AKIA{'X' * 16}",
        f"eyJ{'x' * 12}.{'y' * 12}.z",
        "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_has_the_form_of_a_key_is_masked(key: str) -> None:
    assert masking.mask(f"it said {key} and ended") == "it said *** and ended"


def test_words_places_and_numbers_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "SSH_AUTH_SOCK": "/tmp/agent.1",
        "SIGNING_KEY": "/home/ana/key.pem",
        "KEY_COUNT": "1000000",
        "LOCAL_DATABASE": "postgresql://postgres:postgres@localhost/app",
    }.items():
        monkeypatch.setenv(name, value)
    masking.hand_out("production", "8000", "")
    text = "false /tmp/agent.1 /home/ana/key.pem 1000000 postgres production 8000"
    assert masking.mask(text) == text
    assert masking.mask("to postgres:postgres@localhost") == "to ***@localhost"


@pytest.mark.usefixtures("_keys")
def test_what_is_written_and_shown_has_no_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "_WORK_ORDERS").mkdir()
    history = History(tmp_path / "_WORK_ORDERS", "WO-1")
    record = history.append("notice", text=f"a {TOKEN}", further={"url": [ADDRESS]})
    written = history.path.read_text(encoding="utf-8")
    say(TOKEN)
    say_json({"error": f"{PASSWORD} is wrong"})
    shown = f"{written}{record}{OrchestrateError(TOKEN, hint=PASSWORD)}{capsys.readouterr().out}"
    assert TOKEN not in shown
    assert PASSWORD not in shown
    assert "db.invalid" not in shown


@pytest.mark.usefixtures("_keys")
def test_no_child_gets_a_key_that_need_not_have_it() -> None:
    assert TOKEN not in plain_environment().values()
    assert TOKEN in plain_environment(keys=True).values()
    library = SimpleNamespace(pgexec=lambda *_, env: env)
    embedded._start_bare(library)
    assert {TOKEN, ADDRESS}.isdisjoint(library.pgexec("pg_ctl", []).values())


def test_every_child_is_given_its_environment() -> None:
    """One that inherits this process's has all keys."""
    root, lacking = Path(__file__).parents[2], list[str]()
    for folder in ("orchestrator", "agents", "backend"):
        for file in sorted((root / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if "subprocess." in text else ():
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called not in ("subprocess.run", "subprocess.Popen", "subprocess.check_output"):
                    continue
                assert isinstance(node, ast.Call)
                if not {"env", None} & {keyword.arg for keyword in node.keywords}:
                    lacking.append(f"{file.relative_to(root)}:{node.lineno}")
    # started with an environment that is bare already
    bare = ("agent_process/keeper.py", "sandbox/server.py", "sandbox/ask.py")
    assert [place for place in lacking if place.rpartition(":")[0].endswith(bare) is False] == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_other_processes_do_not_see_the_environment() -> None:
    code = (
        "import os, subprocess; from orchestrator.errors.masking import hide_environment\n"
        "hide_environment(); place = f'/proc/{os.getpid()}/environ'\n"
        "try: seen = b'secret-of-ana' in open(place, 'rb').read()\n"
        # only root may open it at all
        "except PermissionError: seen = False\n"
        "print(seen, os.environ['A_KEY'])\n"
        "print(subprocess.run(['sh', '-c', 'echo $A_KEY'], capture_output=True).stdout)"
    )
    env = {**os.environ, "A_KEY": "secret-of-ana"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout == "False secret-of-ana\nb'secret-of-ana\\n'\n", done.stderr


# -- characters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("char", STEERING)
def test_what_steers_or_hides_is_named(char: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert masking.visible(f"a{char}b") == f"a⟨U+{ord(char):04X}⟩b"
    say(f"a{char}b")
    say_json({"a": f"b{char}c"})
    said = capsys.readouterr().out
    assert char not in said
    # for programs it is the same text
    assert json.loads(said[said.index("{") :]) == {"a": f"b{char}c"}


@pytest.mark.parametrize("text", ["é ñ 漢字", "👩\u200d💻 1️⃣", "می\u200cخواهم", "a\r\nb\tc\n"])
def test_honest_text_stays(text: str) -> None:
    assert masking.visible(text) == text


def test_records_are_the_same_and_steer_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    History(tmp_path / "b", "WO-1").append("notice", text=f"a{STEERING}b")
    again = History(tmp_path / "b", "WO-1")
    assert again.records[0]["text"] == f"a{STEERING}b"
    assert again.damage() is None
    assert not set(STEERING) & set(again.path.read_text(encoding="utf-8"))


@pytest.mark.usefixtures("_keys")
def test_a_report_is_taken_as_it_may_be_shown() -> None:
    said = Report(outcome=Outcome.DONE, section=f"x\u202e {TOKEN}", reason=f"\x1b[2J{PASSWORD}")
    taken = dispatcher._read_report(Ended(0, said.model_dump_json().encode(), b""))
    assert (taken.section, taken.reason) == ("x⟨U+202E⟩ ***", "⟨U+001B⟩[2J***")
    failed = dispatcher._read_report(Ended(3, b"", f"no {TOKEN}\x9b".encode()))
    assert failed.reason == "the agent exited with 3: no ***⟨U+009B⟩"
    long = Report(outcome=Outcome.DONE, section="x" * 1_000_001)
    refused = dispatcher._read_report(Ended(0, long.model_dump_json().encode(), b""))
    assert refused.outcome is Outcome.FAILED


# -- limits ----------------------------------------------------------------------------------------


def start(code: str, *, kept: bool = False) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-c", code]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        kept_words(command) if kept else command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=dict(os.environ),
        start_new_session=True,
    )


@pytest.mark.parametrize("forever", [False, True])
def test_nobody_waits_for_a_pipe_that_a_child_holds(
    forever: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "_REST", 0.1)
    code = "import os, time, sys\nsys.stdout.write('said'); sys.stdout.flush()\n"
    code += "if os.fork() == 0:\n    os.setsid(); print(os.getpid(), flush=True); time.sleep(60)\n"
    process = start(code + f"time.sleep({60 if forever else 0.1})\n")
    begun = time.monotonic()
    ended = attend(process, lambda: os.killpg(process.pid, 9), limit=3)
    assert time.monotonic() - begun < 20
    assert ended.out.startswith(b"said")
    assert ended.code == (None if forever else 0)
    assert ended.stopped == ("stopped after 3 s" if forever else "")
    os.kill(int(ended.out.removeprefix(b"said")), 9)


def test_a_program_that_prints_without_end_is_stopped() -> None:
    process = start("import os\nwhile True: os.write(1, b'x' * 65536)")
    ended = attend(process, process.kill, limit=30, kept=1 << 20, most=4 << 20)
    assert ended.stopped == "stopped: it printed more than 4 MB"
    assert len(ended.out) <= (1 << 20) + 65536


def test_a_kept_program_writes_no_file_without_end() -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])"
    process = start(code, kept=True)
    ended = attend(process, lambda: end_group(process), limit=30)
    assert int(ended.out) == 4 * 1024**3


# -- git -------------------------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A repository whose settings and hooks leave a mark when they run."""
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n", encoding="utf-8")
    tool.chmod(0o755)
    root = tmp_path / "work"
    (root / ".husky").mkdir(parents=True)
    for hook in ("post-index-change", "reference-transaction"):
        (root / ".husky" / hook).symlink_to(tool)
    for words in (
        ("init", "-q"),
        ("config", "core.hooksPath", ".husky"),
        ("config", "core.fsmonitor", str(tool)),
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def test_nothing_of_the_repository_runs_when_git_is_asked(planted: Path) -> None:
    (planted / "a").write_text("a", encoding="utf-8")
    run_git(planted, "add", "a")
    tree = run_git(planted, "write-tree").decode().strip()
    names = {
        f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    commit = run_git(planted, "commit-tree", "-m", "x", tree, env=names).decode().strip()
    run_git(planted, "update-ref", "refs/heads/x", commit)
    assert run_git(planted, "status", "--porcelain", "--", "a") == b"A  a\n"
    assert not (planted.parent / "ran").exists()


def test_hooks_in_the_workspace_are_known(planted: Path) -> None:
    assert _team_hooks(planted) == (".husky/",)
    assert _team_hooks(planted.parent) == ()


# -- odd files -------------------------------------------------------------------------------------


@pytest.fixture(params=["pipe", "folder", "device"])
def odd(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    def lay(place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        match request.param:
            case "pipe":
                os.mkfifo(place)
            case "folder":
                place.mkdir()
            case "device":
                place.symlink_to("/dev/zero")

    return lay


def test_odd_files_are_refused(odd: Callable[[Path], None], tmp_path: Path) -> None:
    odd(tmp_path / "a" / "orchestrate.toml")
    with pytest.raises(UsageError, match="is not a regular file"):
        load_settings(tmp_path / "a")
    odd(tmp_path / "checks" / "a.py")
    with pytest.raises(
        UsageError, match=r"the check file (is a link|not a regular file|is a fold)"
    ):
        load_workspace_checks(tmp_path, frozenset(), {})
    odd(tmp_path / "b" / ".receipts" / "WO-1.jsonl")
    with pytest.raises(OrchestrateError):
        _ = History(tmp_path / "b", "WO-1").records


@pytest.mark.parametrize("place", ["_WORK_ORDERS/.receipts", ".orchestrate", ".orchestrate/state"])
def test_what_the_conductor_keeps_is_not_written_elsewhere(place: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "_WORK_ORDERS" / "00_INBOX").mkdir(parents=True)
    link = tmp_path / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError, match="is a link"):
        Board(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_linked_check_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "other.py").write_text("", encoding="utf-8")
    (tmp_path / "checks" / "a.py").symlink_to(tmp_path / "other.py")
    with pytest.raises(UsageError, match="the check file is a link"):
        load_workspace_checks(tmp_path, frozenset(), {})


# -- requests --------------------------------------------------------------------------------------


async def _echo(scope: object, receive: limits._Receive, send: limits._Send) -> None:
    body = (await receive())["body"]
    if body == b"slow":
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def _post(content: object, host: str = "localhost:8000") -> int:
    async def ask() -> int:
        transport = httpx.ASGITransport(app=limits.Limits(_echo))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.post("/", content=content, headers={"Host": host})  # type: ignore[arg-type]
            return answer.status_code

    return asyncio.run(ask())


def test_requests_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def chunks() -> object:
        for _ in range(12):
            yield b"x" * 100_000

    assert _post(b"x" * limits.MOST_BYTES) == 200
    assert _post(b"x" * (limits.MOST_BYTES + 1)) == 413
    assert _post(chunks()) == 413
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.05)
    assert _post(b"slow") == 503


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("api:80", True),
        ("a.localhost", True),
        ("evil.example", False),
        ("localhost.evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_only_names_of_this_server_are_answered(host: str, ours: bool) -> None:
    assert limits.is_ours(host) == ours
    if host:
        assert _post(b"", host) == (200 if ours else 400)

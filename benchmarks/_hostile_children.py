"""Children that look for keys, do not end, and print or write without end; requests that do."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._hostile_desk import (
    FILE,
    KEYS,
    LIMIT,
    MEMORY,
    PROBES,
    REPORT,
    ROOT,
    SLOW,
    Desk,
    agents,
    check,
    effect,
    end_left,
    probe,
    python,
    script,
    with_git,
)

# -- keys ------------------------------------------------------------------------------------------

_LOOK = """\
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try: data = open(f"/proc/{pid}/{name}", "rb").read()
        except OSError: continue
        comm = open(f"/proc/{pid}/comm").read().strip()
        if int(pid) not in (%s) and any(k.encode() in data for k in %r):
            found.append(f"{comm} {name}")
"""
_SECRET = [KEYS["SOME_API_KEY"], KEYS["DATABASE_URL"], KEYS["ORCHESTRATE_NOTIFY_URLS"]]
#: the process that plays the person, which holds the keys by right
_OURS = "1,"


def _told(found: str) -> str:
    return 'pathlib.Path(job["home"], "found.txt").write_text(%s)\n' % found + REPORT


def _judge_keys(desk: Desk, said: str) -> str:
    file = desk.root / "found.txt"
    if not file.exists():
        return f"nothing was looked at: {said[-300:]}"
    return file.read_text()


agents(
    "keys",
    {
        "environment of an agent": _told(
            f"str([k for k in {_SECRET!r} if k in str(os.environ)] or '')"
        ),
        "processes beside an agent": _LOOK % (_OURS, _SECRET) + _told("'; '.join(found)"),
        "open files of an agent": (
            "found = []\nfor fd in range(3, 64):\n"
            "    try: found.append(os.readlink(f'/proc/self/fd/{fd}'))\n    except OSError: pass\n"
            "found = [f for f in found if not f.startswith(('pipe:', 'anon_inode', '/dev/'))"
            " and '/locks/' not in f]\n" + _told("'; '.join(found)")
        ),
        "its job": _told(f"str([k for k in {_SECRET!r} if k in str(job)] or '')"),
    },
    _judge_keys,
)


@probe("keys", "the server of proofs")
def _server(root: Path) -> str:
    """What PostgreSQL's own process has, which anything that runs in it could read."""
    code = (
        "import os, sys, pathlib; from orchestrate_backend.targets.embedded import running\n"
        "with running(pathlib.Path(sys.argv[1]), scratch=True) as server:\n"
        "    pid = (server.data / 'postmaster.pid').read_text().split()[0]\n"
        "    print('FOUND', pathlib.Path(f'/proc/{pid}/environ').read_bytes())\n"
        "    import psycopg\n"
        "    print(psycopg.connect(server.uri()).execute(\n"
        "      \"SELECT encode(pg_read_binary_file('/proc/self/environ'), 'escape')\").fetchone())\n"
    )
    env = {**os.environ, **KEYS, "ORCHESTRATE_SERVER_MINUTES": "0"}
    words = [sys.executable, "-c", code, str(root / "data")]
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if "FOUND" not in done.stdout:
        return f"no server: {done.stderr[-300:]}"
    return "; ".join(k for k, v in KEYS.items() if v in done.stdout)


@probe("keys", "a hook of the team")
def _hook(root: Path) -> str:
    desk = with_git(root)
    hook = desk.write(".git/hooks/pre-commit", '#!/bin/sh\nenv > "$(pwd)/found.txt"\n')
    hook.chmod(0o755)
    desk.call("run", "WO-1")
    file = desk.root / "found.txt"
    if not file.exists():
        return "the team's hook was not run"
    return "; ".join(k for k, v in KEYS.items() if v in file.read_text())


# -- time limits -----------------------------------------------------------------------------------

_AWAY = (
    "import os, time\n"
    "if os.fork() == 0:\n    os.setsid()\n"
    "    if os.fork() == 0: {what}\n    os._exit(0)\n"
)
_HOLDS = "open('held.txt', 'w').write(str(os.getpid())); time.sleep(300)"


def _ended(desk: Desk, said: str) -> str:
    """Ended in time, nothing left, and the family free for the next command."""
    if desk.seconds > LIMIT + SLOW:
        return f"took {desk.seconds:.0f} s of {LIMIT}: {said[-200:]}"
    if left := end_left(desk.root.parent):
        return f"left {left} processes"
    again = desk.call("run", "WO-1", "--json")
    return "the lock stayed" if "busy" in again.stdout else ""


def _held(code: str) -> str:
    return code.replace("'held.txt'", "job['home'] + '/held.txt'")


agents(
    "limits",
    {
        "it sleeps": "time.sleep(300)\n",
        "it ignores SIGTERM": "import signal; signal.signal(15, signal.SIG_IGN); time.sleep(300)\n",
        "a child in its session holds stdout": (_held(f"if os.fork() == 0: {_HOLDS}\n") + REPORT),
        "a child in a session of its own holds stdout": _held(_AWAY.format(what=_HOLDS)) + REPORT,
        "such a child, and no end": _held(_AWAY.format(what=_HOLDS)) + "time.sleep(300)\n",
        "a child without the mark": (
            _held(
                _AWAY.format(
                    what="(os.closerange(3, 99), os.execve(sys.executable, "
                    "[sys.executable, '-c', 'import os, time;' + \"open('%s/held.txt','w')"
                    ".write(str(os.getpid())); time.sleep(300)\" % job['home']], {}))"
                )
            )
            + REPORT
        ),
        "children that fork without end": (
            "end = time.time() + 8\n"
            "if os.fork() == 0:\n    os.setsid()\n"
            "    while time.time() < end:\n        time.sleep(0.002)\n"
            "        if os.fork(): os._exit(0)\n    os._exit(0)\n" + REPORT
        ),
        "it stops its parent": (
            "import signal; os.kill(os.getppid(), signal.SIGSTOP); time.sleep(300)\n"
        ),
        "it kills its parent": _held(
            "import signal\nif os.fork() == 0:\n    os.setsid()\n"
            f"    os.kill(os.getppid(), 0); {_HOLDS}\n"
            "os.kill(os.getppid(), signal.SIGKILL); time.sleep(300)\n"
        ),
    },
    _ended,
)


for _name, _code in {
    "a command sleeps": "import time; time.sleep(300)",
    "a command's child holds stdout": _AWAY.format(what=_HOLDS),
    "a command's child holds stdout, and no end": _AWAY.format(what=_HOLDS) + "time.sleep(300)\n",
}.items():
    PROBES["limits"][_name] = check(_code, _ended)


def _in_time(root: Path, seconds: float, said: str) -> str:
    if left := end_left(root):
        return f"left {left} processes"
    if "DONE" not in said:
        return f"did not end in {seconds:.0f} s: {said[-300:]}"
    return f"took {seconds:.0f} s of {LIMIT}" if seconds > LIMIT + SLOW else ""


for _name, _code in {
    "sleeps": "import time, threading; threading.Event().wait(300)",
    "has a child that holds stdout": _AWAY.format(what=_HOLDS),
    "has such a child, and no end": _AWAY.format(what=_HOLDS)
    + "import threading; threading.Event().wait(300)\n",
}.items():
    PROBES["limits"][f"a script under proof {_name}"] = script(_code, _in_time)
    PROBES["limits"][f"an effect's script {_name}"] = effect(_code, _in_time)


@probe("limits", "an interpreter of the workspace hangs")
def _interpreter(root: Path) -> str:
    program = root / ".venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nsleep 300 &\nsleep 300\n")
    program.chmod(0o755)
    (root / ".venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    body = (
        "import pathlib; from orchestrate_agents.tools.python import find_python\n"
        f"try: print(find_python(pathlib.Path({str(root)!r}), {{}}))\n"
        "except Exception as exc: print(exc)\nprint('DONE')\n"
    )
    return python(
        root,
        body,
        lambda r, s, said: "" if "DONE" in said and s < 40 else said[-300:] or f"{s:.0f} s",
    )


# -- output ----------------------------------------------------------------------------------------

_FLOOD = "import os\nwhile True: os.write({fd}, (b'x' * 99 + b'\\n' * {ends}) * 1000)\n"


def _bounded(desk: Desk, said: str) -> str:
    if desk.memory > MEMORY:
        return f"{desk.memory} MB of memory in {desk.seconds:.0f} s"
    if len(said) > 3_000_000 or len(desk.kept()) > 3_000_000:
        return "kept all of it"
    if desk.seconds > LIMIT + SLOW:
        return f"took {desk.seconds:.0f} s"
    words = ("MB", "limit", "stopped", "larger")
    return "" if any(w in said for w in words) else f"no message: {said[-300:]}"


agents(
    "output",
    {
        "an agent's stdout": _FLOOD.format(fd=1, ends=1),
        "an agent's stderr": _FLOOD.format(fd=2, ends=1),
        "an agent's stderr in one line": _FLOOD.format(fd=2, ends=0),
        "a report of 100 MB": (
            "print(json.dumps({'outcome': 'done', 'section': 'x' * 100_000_000}))\n"
        ),
        "a section of 15 MB": (
            "print(json.dumps({'outcome': 'done', 'section': 'limit ' * 2_500_000}))\n"
        ),
    },
    _bounded,
)
for _fd, _stream in ((1, "stdout"), (2, "stderr")):
    PROBES["output"][f"a command's {_stream}"] = check(_FLOOD.format(fd=_fd, ends=1), _bounded)


def _little(root: Path, seconds: float, said: str) -> str:
    memory = int(said.rpartition("MB ")[2].strip() or 0) if "MB " in said else 0
    if memory > MEMORY:
        return f"{memory} MB of memory"
    return _in_time(root, seconds, said)


for _fd, _stream in ((1, "stdout"), (2, "stderr")):
    PROBES["output"][f"a script's {_stream} under proof"] = script(
        _FLOOD.format(fd=_fd, ends=1), _little
    )
    PROBES["output"][f"an effect's {_stream}"] = effect(_FLOOD.format(fd=_fd, ends=1), _little)

_FILLS = (
    "import os\nf = os.open({path!r}, os.O_CREAT | os.O_WRONLY)\n"
    "size = 0\ntry:\n    while size < 6 * 1024**3: size += os.pwrite(f, b'x', size + 512 * 1024**2) "
    "and 512 * 1024**2\nexcept OSError: pass\n"
)


def _file_bounded(root: Path, seconds: float, said: str) -> str:
    sizes = [f.stat().st_size >> 20 for f in root.rglob("big.bin")]
    return f"a file of {max(sizes)} MB" if sizes and max(sizes) > FILE else ""


PROBES["output"]["a script's file under proof"] = script(
    _FILLS.format(path="big.bin"), _file_bounded
)
PROBES["output"]["an effect's file"] = effect(_FILLS.format(path="big.bin"), _file_bounded)
agents(
    "output",
    {
        "an agent's file": _FILLS.format(path="big.bin").replace(
            "'big.bin'", "job['home'] + '/big.bin'"
        )
        + REPORT
    },
    lambda desk, said: _file_bounded(desk.root, 0, said),
)


# -- the HTTP interface ----------------------------------------------------------------------------


@contextlib.contextmanager
def _serving(root: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = [sys.executable, "-m", "src.ml", "serve", "--port", str(port)]
    env = {**os.environ, "ORCHESTRATE_ROOT": str(root), "ORCHESTRATE_TARGET": "embedded"}
    process = subprocess.Popen(
        words, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _ask(port: int, request: bytes, patience: float = 40) -> tuple[bytes, float]:
    """The beginning of the answer, and after how many seconds the connection was over."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 5) as link:
        link.settimeout(patience)
        answer = b""

        def send() -> None:
            with contextlib.suppress(OSError):
                link.sendall(request)

        threading.Thread(target=send, daemon=True).start()
        with contextlib.suppress(OSError):
            while chunk := link.recv(65536):
                answer += chunk
    return answer[:2000], time.monotonic() - start


_POST = b"POST /api/agents/gap_analyzer/analyze HTTP/1.1\r\nContent-Type: application/json\r\n"


@probe("http", "requests")
def _requests(root: Path) -> str:
    wrong = []
    with _serving(root) as port:
        host = f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n".encode()
        get = b"GET /api/health HTTP/1.1\r\n"
        if b"200" not in _ask(port, get + host + b"\r\n")[0][:20]:
            return "it does not answer"
        evil = _ask(port, get + b"Host: evil.example\r\nConnection: close\r\n\r\n")[0]
        if b" 200 " in evil[:20]:
            wrong.append("any Host")
        large = b'{"brand": "' + b"x" * 60_000_000 + b'"}'
        told = _POST + host + f"Content-Length: {len(large)}\r\n\r\n".encode()
        if b" 413 " not in _ask(port, told + large)[0][:20]:
            wrong.append("a body of 60 MB")
        chunk = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
        if (
            b" 413 "
            not in _ask(port, _POST + host + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)[0][:20]
        ):
            wrong.append("a body of 60 MB in chunks")
        if _ask(port, _POST + host + b"Content-Length: 900\r\n\r\n{")[1] > 35:
            wrong.append("a body that never comes")
        if _ask(port, b"GET /api/health HTTP/1.1\r\nHost: 127")[1] > 35:
            wrong.append("a head that never ends")
    return ", ".join(wrong)

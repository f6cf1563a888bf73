"""Started by itself in a sandbox: starts a server, sends it one request, prints what it answers.

`python -I ask.py SPECIFICATION`, JSON as `orchestrate_agents.checks.live_http` writes it.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

_MOST, _TAIL, _PAUSE = 1_000_000, 2000, 0.05
_HOSTS = ("127.0.0.1", "::1")


def _listening(port: int) -> str:
    for host in _HOSTS:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return host
    return ""


def _wait(server: "subprocess.Popen[bytes]", port: int, limit: float) -> str:
    end = time.monotonic() + limit
    while time.monotonic() < end and server.poll() is None:
        if host := _listening(port):
            return host
        time.sleep(_PAUSE)
    return ""


def _send(host: str, said: dict[str, Any]) -> dict[str, object]:
    link = http.client.HTTPConnection(host, said["port"], timeout=said["limit"])
    body = said["body"].encode() if said["body"] else None
    link.request(said["method"], said["path"], body=body, headers=said["headers"])
    answer = link.getresponse()
    text = answer.read(_MOST).decode("utf-8", "replace")
    link.close()
    return {"status": answer.status, "text": text, "type": answer.getheader("Content-Type", "")}


def _send_often(host: str, said: dict[str, Any]) -> dict[str, object]:
    """The first answer, which is not timed, and how long further ones took, until the limit."""
    found = _send(host, said)
    seconds: list[float] = []
    end = time.monotonic() + said["limit"]
    while len(seconds) < said["times"] and time.monotonic() < end:
        begun = time.perf_counter()
        again = _send(host, said)
        seconds.append(time.perf_counter() - begun)
        if again["status"] != found["status"]:
            found = again
            break
    return {**found, "seconds": seconds}


def _visit(host: str, said: dict[str, Any]) -> dict[str, object]:
    """What the program that looks at the page prints."""
    address = f"http://{f'[{host}]' if ':' in host else host}:{said['port']}{said['path']}"
    command = [*said["visit"], address]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=said["limit"] * 2
    )
    try:
        return {"visited": True, **json.loads(done.stdout.splitlines()[-1])}
    except (ValueError, IndexError):
        return {"visited": True, "broken": done.stderr.strip()[-300:]}


def main(said: dict[str, Any]) -> None:
    """Print one line of JSON."""
    if _listening(said["port"]):
        print(json.dumps({"taken": True}))
        return
    *before, last = said["commands"]
    environment = {**os.environ, "PORT": str(said["port"])}
    with tempfile.TemporaryFile() as log:
        found: dict[str, object] = {}
        for words in before:
            done = subprocess.run(words, env=environment, stdout=log, stderr=log, check=False)
            if done.returncode:
                found = {"ended": done.returncode}
                break
        if not found:
            server = subprocess.Popen(last, env=environment, stdout=log, stderr=log)
            try:
                host = _wait(server, said["port"], said["limit"])
                ask = _visit if "visit" in said else _send_often
                found = ask(host, said) if host else {"ended": server.poll()}
            except (OSError, http.client.HTTPException, subprocess.TimeoutExpired) as exc:
                found = {"broken": f"{type(exc).__name__}: {exc}"}
            finally:
                server.kill()
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - _TAIL))
        found["said"] = log.read().decode("utf-8", "replace")
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

"""Checks of a workspace, as the engine has them: their words here, their code in another process.

A file of `checks/` is imported by `gates.judge_process` alone, which can neither reach this process
nor write anything. What it says is data: which patterns it has, and a verdict for a claim that one
of them matched here. More is not taken from it.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import json
import pickle
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from orchestrator.agent_process.confinement import Confinement, program_places
from orchestrator.agent_process.dispatcher import environment
from orchestrator.errors import OrchestrateError, UnsafePathError, UsageError
from orchestrator.errors.masking import sanitize
from orchestrator.gates.checks import (
    Check,
    Context,
    Phase,
    Result,
    Verdict,
    failed,
    unproven,
)
from orchestrator.gates.expressions import compile_pattern, take_type
from orchestrator.gates.judge_process import NOTE, receive, send
from orchestrator.storage.atomic import read
from orchestrator.storage.temporary import Temporary

#: of processes for workspaces, as many are kept
_KEPT = 4
#: seconds in which a file says what checks it has
_START_LIMIT = 60.0
#: what is taken of an answer
_LONGEST_DETAIL, _MOST_SUBJECTS = 20_000, 10_000
#: what a check may ask of the database target
_READS = frozenset({"count", "columns", "natural_key", "query_readonly", "describe", "identity"})
#: fields of a context that are functions; the history and the target are asked for, too
_ASKED = ("changed", "at_start", "by_person")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
_APART = frozenset({*_ASKED, "history", "services", "target", "reservations"})


class _Judges:
    """The process of one workspace, and of each of its files of checks."""

    def __init__(self, root: Path) -> None:
        self._folder = Temporary("checks")
        self._home = Path(self._folder.name)
        self._walls = Confinement([self._home], [root, *program_places(), *sys.path], layered=False)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        self._files: dict[tuple[Path, str], _File] = {}
        self._is_closed = False
        variables = {**environment(), "HOME": str(self._home), "PYTHONDONTWRITEBYTECODE": "1"}
        variables["TMPDIR"] = str(self._home)
        module = "orchestrator.gates.judge_process"
        words = [sys.executable, "-P", "-W", "ignore", "-m", module, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                self._walls.words(words),
                cwd=root,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *self._walls.fds),
                start_new_session=True,
            )
        self._walls.started()

    @property
    def works(self) -> bool:
        return not self._is_closed and self._process.poll() is None

    def file(self, path: Path, digest: str, others: tuple[Path, ...]) -> _File:
        """The process for a file as it is now."""
        with self._lock:
            found = self._files.get((path, digest))
            if found is None:
                for old in [key for key in self._files if key[0] == path]:
                    self._files.pop(old).close()
                found = _File(path, self.fork(digest, path))
                if found.needs_others and others:
                    # it uses parameter types of another file
                    found.close()
                    found = _File(path, self.fork(digest, path, *others))
                self._files[path, digest] = found
            return found

    def fork(self, digest: str, *files: Path) -> socket.socket:
        """A process for the first file, which imports the others before; how to talk to it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        note = json.dumps([digest, *map(str, files)]).encode().ljust(NOTE)
        if len(note) > NOTE:
            note = json.dumps([digest, str(files[0])]).encode().ljust(NOTE)
        with theirs:
            socket.send_fds(self._control, [note], [theirs.fileno()])
        return ours

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for file in self._files.values():
            file.close()
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._walls.close()
        self._folder.cleanup()


class _File:
    """One file of checks: what it has, and what it says about a claim."""

    def __init__(self, path: Path, control: socket.socket) -> None:
        self.path = path
        self._control = control
        self._lock = threading.Lock()
        control.settimeout(_START_LIMIT)
        try:
            self.listing: dict[str, Any] = json.loads(receive(control))
            control.settimeout(None)
        except (OSError, EOFError, ValueError) as exc:
            said = "ends its process" if isinstance(exc, EOFError) else f"cannot be read: {exc}"
            error = {"message": f"the check file {said} when it is imported", "hint": "fix it"}
            self.listing = {"error": error}

    @property
    def needs_others(self) -> bool:
        error = self.listing.get("error")
        return isinstance(error, dict) and "unknown parameter type" in str(error.get("message"))

    def judge(self, name: str, ctx: Context, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the check answers. Raises OSError, EOFError and ValueError where that is nothing."""
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        limit = float(ctx.settings.get("checks", {}).get("timeout", 300))
        link.settimeout(limit)
        with link:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"?"], [theirs.fileno()])
            send(link, pickle.dumps((name, dict(arguments), _given(ctx))))
            while True:
                said = json.loads(receive(link))
                if not isinstance(said, dict):
                    raise ValueError("an answer is an object")
                if "ask" not in said:
                    return said
                send(link, pickle.dumps(self._reply(ctx, said)))

    def _reply(self, ctx: Context, said: Mapping[str, Any]) -> tuple[bool, Any]:
        """(whether it can be answered, the answer or why not)."""
        arguments = said.get("with", [])
        try:
            match said["ask"], arguments:
                case "history", []:
                    return True, list(ctx.history)
                case ("changed" | "at_start" | "by_person") as name, [*values]:
                    return True, getattr(ctx, name)(*map(str, values))
                case "target", [str() as name, *values] if name in _READS:
                    return True, getattr(ctx.target, name)(*values)
                case "cached", [str() as key]:
                    cache = ctx.services.cache
                    return True, None if cache is None else cache.get(self._key(key))
                case "cache", [str() as key, str() as data]:
                    if ctx.services.cache is not None:
                        ctx.services.cache.put(self._key(key), base64.b64decode(data))
                    return True, None
                case what, _:
                    return False, f"a check is not given {what} {arguments[:1]}"
        except Exception as exc:  # noqa: BLE001 - the check's to handle
            return False, str(exc) or type(exc).__name__

    def _key(self, key: str) -> str:
        """Results of this text of this file alone."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return repr(("workspace-check", str(self.path), digest, key))

    def close(self) -> None:
        self._control.close()


def _given(ctx: Context) -> dict[str, Any]:
    given = {f.name: getattr(ctx, f.name) for f in fields(ctx) if f.name not in _APART}
    target = ctx.target
    about = None
    if target is not None:
        about = {n: str(getattr(target, n, "")) for n in ("name", "fingerprint")}
    known = [name for name in _ASKED if getattr(ctx, name) is not None]
    return {**given, "known": known, "target": about, "epoch": ctx.services.epoch}


# -- all of a workspace ----------------------------------------------------------------------------

_OPEN: OrderedDict[Path, _Judges] = OrderedDict()
_GUARD = threading.Lock()


def _judges_of(root: Path) -> _Judges:
    with _GUARD:
        found = _OPEN.pop(root, None)
        if found is not None and not found.works:
            found.close()
            found = None
        _OPEN[root] = found = found or _Judges(root)
        while len(_OPEN) > _KEPT:
            _OPEN.popitem(last=False)[1].close()
        return found


@atexit.register
def _close_all() -> None:
    while _OPEN:
        with contextlib.suppress(OSError):
            _OPEN.popitem()[1].close()


def load_workspace_checks(
    root: Path, changed: frozenset[str], known: Mapping[str, Check]
) -> list[Check]:
    """The checks of `checks/*.py`, each with a function that asks the process which has its code.

    Those of `changed` files are known by their words, and prove nothing. Raises UsageError for a
    file that cannot be imported, and for a name or parameter type that is taken by another.
    """
    own: dict[str, Check] = {}
    files = sorted((root.resolve() / "checks").glob("*.py"))
    # what counts comes first: a changed file takes no name from it
    for file in sorted(files, key=lambda file: f"checks/{file.name}" in changed):
        label = f"checks/{file.name}"
        try:
            digest = hashlib.sha256(read(file)).hexdigest()
        except UnsafePathError as exc:
            # what a link leads to could change without anybody's having seen it
            if label in changed:
                continue
            what = f"the check file {exc.message}"
            raise UsageError(what, path=root / label, code=exc.code, hint=exc.hint) from exc
        others = tuple(o for o in files if o != file and f"checks/{o.name}" not in changed)
        try:
            found = _judges_of(root.resolve()).file(file, digest, others)
            judge = _Judge(root.resolve(), file, digest, others, "", label in changed)
            new = _read(root / label, found, judge)
            for check in new:
                taken = own.get(check.name) or known.get(check.name)
                if taken is not None:
                    raise UsageError(
                        f"two checks are called {check.name}: the other is at {taken.place}",
                        path=root / label,
                        line=int(check.origin.rpartition(":")[2]),
                        hint="rename this one",
                    )
        except UsageError:
            if label not in changed:
                raise
            continue
        own |= {check.name: check for check in new}
    return list(own.values())


@dataclass(frozen=True)
class _Judge:
    """Stands for a check's function."""

    root: Path
    path: Path
    digest: str
    others: tuple[Path, ...]
    name: str
    changed: bool

    def __call__(self, ctx: Context, **arguments: Any) -> Result:
        label = f"checks/{self.path.name}"
        if self.changed:
            return unproven(
                f"{label} was changed with this work (sha256 {self.digest[:12]}): what it says "
                "counts once USER approves a question that shows it",
                label,
            )
        judges = _judges_of(self.root)
        try:
            # as it was read: a file that is another one by now is refused there
            file = judges.file(self.path, self.digest, self.others)
            said = file.judge(self.name, ctx, arguments)
            for reason in said.get("reserved", ()):
                ctx.reserve(_clean(reason))
            return _result(self.name, label, said)
        except (EOFError, ConnectionError):
            return unproven(f"the check {self.name} broke: it ended its process")
        except TimeoutError:
            judges.close()
            return unproven(f"the check {self.name} was stopped at the time limit")
        except (*_UNREADABLE, pickle.PickleError) as exc:
            return unproven(f"the check {self.name} broke: what it answered cannot be read: {exc}")


def _result(name: str, label: str, said: Mapping[str, Any]) -> Result:
    """The answer of a check, as far as it is one."""
    if tried := said.get("tried"):
        return failed(
            f"{label} {'; '.join(map(_clean, tried[:5]))}: a check only looks, and what this one "
            "says does not count",
            label,
            tried=[_clean(each) for each in tried[:20]],
        )
    match said.get("raised"):
        case "tool":
            return unproven(_clean(said["message"]), install=_clean(said["command"]))
        case "error":
            path = said.get("path")
            raise OrchestrateError(
                _clean(said["message"]),
                path=None if path is None else _clean(path),
                line=said["line"] if isinstance(said.get("line"), int) else None,
                hint=_clean(said.get("hint", "")),
            )
        case "other":
            return unproven(f"the check {name} broke: {_clean(said['message'])}")
    subjects, evidence = said["subjects"], said["evidence"]
    if not isinstance(subjects, list) or not isinstance(evidence, dict):
        raise ValueError("subjects are a list, evidence is an object")
    named = tuple(_clean(path) for path in subjects[:_MOST_SUBJECTS])
    return Result(
        Verdict(said["verdict"]), _clean(said["detail"]), named, evidence, said["past"] is True
    )


def _clean(text: object) -> str:
    """Text as it may be shown."""
    said = str(text)[:_LONGEST_DETAIL]
    return sanitize(said)[:_LONGEST_DETAIL]


def _read(shown: Path, file: _File, judge: _Judge) -> list[Check]:
    """What a file says that it has. Raises UsageError."""
    listing = file.listing
    if error := listing.get("error"):
        line = error.get("line")
        path = error.get("path")
        raise UsageError(
            _clean(error.get("message")),
            path=shown if path in (None, str(file.path)) else _clean(path),
            line=line if isinstance(line, int) else None,
            hint=_clean(error.get("hint", "")),
        )
    if (tried := listing.get("tried")) and not judge.changed:
        raise UsageError(
            f"the check file {'; '.join(map(_clean, tried[:5]))} when it was imported",
            path=shown,
            hint="a check only looks: remove what writes or asks others",
        )
    try:
        if listing["types"] and judge.changed:
            return []
        for kind in listing["types"]:
            place = (shown, int(kind["line"]))
            take_type(str(kind["name"]), str(kind["pattern"]), str, *place, own=True)
        return [_check(shown, judge, entry) for entry in listing["checks"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError(f"what the check file has cannot be read: {exc}", path=shown) from exc


def _check(shown: Path, judge: _Judge, entry: Mapping[str, Any]) -> Check:
    patterns = tuple(map(str, entry["patterns"]))
    for pattern in patterns:
        try:
            compile_pattern(pattern)
        except UsageError as exc:
            exc.path = exc.path or str(shown)
            raise
    name = _clean(entry["name"])
    function: Callable[..., Result] = replace(judge, name=str(entry["name"]))
    return Check(
        name,
        patterns,
        function,
        Phase(entry["phase"]),
        int(entry["version"]),
        _clean(entry["summary"]),
        tuple(map(_clean, entry["examples"])),
        bool(entry["slow"]),
        digest=judge.digest[:12] + ("-changed" if judge.changed else ""),
        evidence=bool(entry["evidence"]),
        origin=f"{shown}:{int(entry['line'])}",
    )

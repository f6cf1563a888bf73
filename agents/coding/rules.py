"""What decides what a coding agent's program runs and may, also when its owner starts it later.

What there is of it is read-only for the agent; what is new of it, and the servers that it wrote
into its state, are taken out again, kept and told.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: a file of state that its program writes all the time → what of it rules
_STATE, _RULING = ".claude.json", ("mcpServers", "hooks", "env", "apiKeyHelper")
#: and in it by project, except for what a program asks of each new one
_PROJECTS, _OF_PROJECT = "projects", ("mcpServers", "allowedTools", "hooks")


class Guarded:
    """The rules of a program as they were before a turn. `rules`: files and folders."""

    def __init__(self, rules: Sequence[Path], home: Path) -> None:
        self._missing = [path for path in rules if not os.path.lexists(path)]
        # a link could be taken away, with what it leads to left as it is
        self._links = {path: path.readlink() for path in rules if path.is_symlink()}
        self._state = home / _STATE if rules else None
        self._before = self._read()

    def put_right(self, kept: Path) -> Iterator[str]:
        """Once the turn has ended: take out what is new; yields what to tell.

        `kept`: the folder that gets it.
        """
        for path in self._missing:
            if os.path.lexists(path):
                yield self._move(path, kept)
        for path, target in self._links.items():
            if not path.is_symlink() or path.readlink() != target:
                if os.path.lexists(path):
                    yield self._move(path, kept)
                with contextlib.suppress(OSError):
                    path.symlink_to(target)
        yield from self._restore(kept)

    def _move(self, path: Path, kept: Path) -> str:
        kept.mkdir(parents=True, exist_ok=True)
        names = (kept / f"{path.name}-{n}" for n in itertools.count(1))
        place = next(name for name in names if not os.path.lexists(name))
        shutil.move(path, place)
        return (
            f"made {path}, which would rule what its program does outside of walls too: it is "
            f"{place} now"
        )

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._state.read_bytes()) if self._state is not None else {}
            return found if isinstance(found, dict) else {}
        return {}

    def _restore(self, kept: Path) -> Iterator[str]:
        now = self._read()
        changed = list(_differing(self._before, now, _RULING))
        before, after = (_of(each) for each in (self._before, now))
        for name, project in after.items():
            changed += _differing(before.get(name, {}), project, _OF_PROJECT)
        if not changed or self._state is None:
            return
        kept.mkdir(parents=True, exist_ok=True)
        data = self._state.read_bytes()
        (kept / f"{_STATE[1:]}-{len(list(kept.iterdir()))}").write_bytes(data)
        for target, key, value in changed:
            if value is None:
                target.pop(key, None)
            else:
                target[key] = value
        new = self._state.with_name(f"{_STATE}.{os.getpid()}.new")
        new.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        new.chmod(0o600)
        new.replace(self._state)
        keys = ", ".join(dict.fromkeys(key for _, key, _ in changed))
        yield (
            f"changed {keys} in {self._state}, which would rule what its program does outside of "
            f"walls too: they are as they were; what it wrote is in {kept}"
        )


def _of(state: Mapping[str, Any]) -> dict[str, Any]:
    found = state.get(_PROJECTS)
    return (
        {n: p for n, p in found.items() if isinstance(p, dict)} if isinstance(found, dict) else {}
    )


def _differing(
    before: Mapping[str, Any], now: dict[str, Any], keys: Sequence[str]
) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Where a key is no longer as it was: the object, the key, its former value (None: none)."""
    for key in keys:
        if (now.get(key) or None) != (before.get(key) or None):
            yield now, key, before.get(key)

"""The logs of coding agents, read as they grow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

#: one event: `kind`, `at` and what belongs to its kind
AgentEvent = dict[str, Any]


def log_files(folder: Path) -> list[Path]:
    """The logs of a family, the oldest first."""
    with suppress(OSError):
        found = [(file.stat().st_mtime_ns, file) for file in folder.glob("stage-*.jsonl")]
        return [file for _, file in sorted(found)]
    return []


def new_events(
    folder: Path, offsets: dict[Path, int], tail: int = 0
) -> Iterator[tuple[Path, AgentEvent]]:
    """The events that were not read yet, those of the oldest log first.

    `offsets` says from where each log is read on, and is kept up. `tail`: with this many bytes
    from the end only the newest log is begun; 0 begins all of them where they begin. What is no
    event is left out.
    """
    files = log_files(folder)
    for file in files[-1:] if tail else files:
        with suppress(OSError), file.open("rb") as opened:
            if tail and file not in offsets:
                offsets[file] = _line_before_end(file, tail)
            opened.seek(offsets.get(file, 0))
            for line in opened:
                # the last line may not be whole yet
                if not line.endswith(b"\n"):
                    break
                offsets[file] = offsets.get(file, 0) + len(line)
                with suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and isinstance(event.get("kind"), str):
                        yield file, event


def _line_before_end(file: Path, tail: int) -> int:
    """Where the first whole line of the last `tail` bytes begins."""
    with file.open("rb") as opened:
        start = max(0, file.stat().st_size - tail)
        opened.seek(start)
        return start + len(opened.readline()) if start else 0

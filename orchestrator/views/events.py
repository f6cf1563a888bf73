"""The logs of coding agents, read as they grow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def new_lines(folder: Path, offsets: dict[Path, int]) -> Iterator[tuple[Path, bytes]]:
    """Whole lines that were not read yet, of the oldest file first."""
    found = [(file.stat().st_mtime_ns, file) for file in folder.glob("stage-*.jsonl")]
    for _, file in sorted(found):
        with file.open("rb") as opened:
            opened.seek(offsets.get(file, 0))
            for line in opened:
                # the last line may not be whole yet
                if not line.endswith(b"\n"):
                    break
                offsets[file] = offsets.get(file, 0) + len(line)
                yield file, line

"""What changes while statements are proven: checks run what agents wrote (DESIGN 5.6a)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from orchestrator.family.attempt_files import CHECK, Segment, Worker
from orchestrator.family.change_log import ChangeLog


@contextlib.contextmanager
def watch_checks(log: ChangeLog, stage: int, extra: Sequence[str]) -> Iterator[None]:
    """Record what changes meanwhile as the family's; `extra` as for an attempt. Raises GitError."""
    if log.start_record is None:
        yield
        return
    before = log.tree.take(extra=extra)
    try:
        yield
    finally:
        segment = Segment(CHECK, before, log.tree.take(before, extra))
        # no attempt of an agent has such a number
        number = -1 - len(log.history.records)
        worker = Worker(log.family, stage, number, "a check", log.family)
        if log.see(worker, [segment]).changes:
            log.record(worker, [segment])

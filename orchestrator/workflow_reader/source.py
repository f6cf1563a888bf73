"""The bytes of a workflow file, as far as it is one."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import WorkflowError

#: a workflow is a page that people read; more than this is something else
LARGEST = 1_000_000


def read_bytes(path: Path) -> bytes:
    """The bytes of a workflow file. Raises WorkflowError if it cannot be read, or is too large."""
    try:
        if not path.is_file():
            message = "there is no such workflow file" if not path.exists() else "is not a file"
            hint = "check the path"
            raise WorkflowError(message, path=path, code="no-such-workflow", hint=hint)
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise WorkflowError(f"cannot be read: {reason}", path=str(path), code="unreadable") from exc
    refuse_large(len(data), path)
    return data


def refuse_large(size: int, path: Path) -> None:
    """Raise WorkflowError for more bytes than a workflow has."""
    if size > LARGEST:
        message = f"is larger than {LARGEST:,} bytes"
        hint = "a workflow is a page of markdown; check that this is the right file"
        raise WorkflowError(message, path=path, code="too-large", hint=hint)

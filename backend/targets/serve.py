"""A PostgreSQL server of one's own for a while: `python -m orchestrate_backend.targets.serve`.

Prints its address, and runs until it is ended; its data stays in `.orchestrate/postgres`.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from orchestrate_backend.targets.postgres import start_embedded


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    server = start_embedded(root / ".orchestrate" / "postgres")
    print(server.uri(), flush=True)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        server.stop()


if __name__ == "__main__":
    main()

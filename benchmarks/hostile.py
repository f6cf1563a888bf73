"""Agents, checks, scripts, files and requests that misbehave: does anything hang, leak or grow?

    python benchmarks/hostile.py [KIND or NAME …] [--verbose] [--keep]

Each input runs in a workspace of its own, through the command line, with keys in the environment.
Prints one JSON line: how many inputs of each kind there are, and which of them went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import _hostile_children, _hostile_texts  # noqa: E402
from benchmarks._hostile_desk import PROBES  # noqa: E402
from orchestrator.agent_process.confinement import ability  # noqa: E402

#: importing them has registered their inputs
_KINDS = (_hostile_children, _hostile_texts)
#: the figures that the documents quote
FIGURES = Path(__file__).with_suffix(".json")


def run_probe(kind: str, name: str) -> str:
    """What goes wrong with one input, "" if nothing does."""
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        try:
            return PROBES[kind][name](Path(folder).resolve())
        except Exception as exc:  # noqa: BLE001 - an input that breaks the harness went wrong
            return f"{type(exc).__name__}: {exc}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--keep", action="store_true", help="write the figures down")
    said = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tried: dict[str, int] = defaultdict(int)
    wrong: dict[str, dict[str, str]] = defaultdict(dict)
    start = time.monotonic()
    for kind, inputs in PROBES.items():
        for name in inputs:
            if said.only and not any(o == kind or o in name for o in said.only):
                continue
            tried[kind] += 1
            begun = time.monotonic()
            if why := run_probe(kind, name):
                wrong[kind][name] = why
            if said.verbose:
                took = time.monotonic() - begun
                print(
                    f"{kind}: {name}: {why or 'right'} ({took:.1f} s)", file=sys.stderr, flush=True
                )
    line = {
        "benchmark": "hostile",
        "tried": dict(tried),
        "wrong": {kind: sorted(names) for kind, names in wrong.items()},
        "seconds": round(time.monotonic() - start),
        "namespaces": ability().namespaces,
        "cores": os.cpu_count(),
    }
    print(json.dumps(line))
    if said.keep:
        FIGURES.write_text(json.dumps(line, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

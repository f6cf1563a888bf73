"""Whom a query module asks through the client module that it imports, and with which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.typescript.hook_probe import run_probe
from orchestrate_agents.checks.typescript.toolchain import Toolchain

_PROBE = Path(__file__).resolve().parents[2] / "templates" / "checks" / "client_probe.cjs"
#: how it is told that a program wanted to leave its walls
_REACHED = "tried to reach"


def client_faults(
    tools: Toolchain,
    module: Path,
    functions: Mapping[str, Sequence[Any]],
    settings: Mapping[str, str],
    service: str,
) -> tuple[list[str], str]:
    """What is wrong with the requests of the functions, made through their own client, and why
    that is not known.

    `settings` are those of the client (library, url, key): they are what the build's variables
    hold. `service` is a key that no browser may have.
    """
    calls = [{"name": name, "args": list(given)} for name, given in functions.items()]
    job = {**settings, "service": service, "functions": calls}
    said = run_probe(tools, _PROBE, module, job, [settings["url"]])
    if isinstance(said, str):
        detail = f"with its own client: {said}"
        return ([detail], "") if _REACHED in said else ([], detail)
    faults: dict[str, None] = {}
    for one in said["asked"]:
        if one["origin"] != settings["url"]:
            faults[f"asks {one['origin']}, which is not the project that the build names"] = None
        elif not one.get("known"):
            faults["asks with another key than the public one of the build's variables"] = None
    faults |= {f"changes {name}, which all code shares": None for name in said["changed"]}
    nothing = "" if said["asked"] else "its own client asks nothing, so whom it asks is not known"
    return list(faults), nothing

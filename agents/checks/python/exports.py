"""Checks of what a Python module exports, by importing it in a copy of the workspace."""

from __future__ import annotations

import json

from orchestrate_agents.checks.python.probes import module_name, run_probe
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import Context, Result, check, failed, parameter_type, proven

parameter_type("module", r"`?[\w.-]+(?:/[\w.-]+)*\.py`?", lambda text: text.strip(" `"))

_PROBE = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
public = getattr(module, "__all__", None)
lacking = [n for n in sys.argv[2:] if not hasattr(module, n) or (public and n not in public)]
print(json.dumps(lacking))
"""


@check(
    "{module:module} (exports|offers|makes public) [the] [(class|classes|function|functions)] "
    "{names:names}",
    "{names:names} (is|are) exported (by|from) {module:module}",
    name="python.exports",
    examples=(
        "`shop/__init__.py` exports `Basket`",
        "`shop/__init__.py` exports Basket, Order and total_of",
    ),
)
def exports(ctx: Context, module: str, names: tuple[str, ...]) -> Result:
    """The module can be imported and has the names, also in its `__all__` where it has one."""
    if not ctx.path(module).is_file():
        return failed(f"{module} is missing", module)
    ran, label = run_probe(ctx, _PROBE, [module_name(module), *names]), python_of(ctx).label
    if not ran.ok:
        return failed(
            f"{module} cannot be imported with {label}: {ran.ending}", module, **ran.to_dict()
        )
    if not ran.out.strip():
        return failed(f"{module} ends the program that imports it", module, **ran.to_dict())
    lacking = json.loads(ran.out.splitlines()[-1])
    if lacking:
        return failed(
            f"{module} does not export {', '.join(lacking)}, imported with {label}", module
        )
    said = f"{module} exports {', '.join(names)}: found after importing it with {label}"
    return proven(said, module)

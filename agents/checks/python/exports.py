"""Checks of what a Python module exports, by importing it in a copy of the workspace."""

from __future__ import annotations

import json

from orchestrate_agents.checks.python.probes import module_name, run_probe
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import Context, Result, check, failed, parameter_type, proven

parameter_type("module", r"`?[\w.-]+(?:/[\w.-]+)*\.py`?", lambda text: text.strip(" `"))

parameter_type(
    "pythonkind",
    "classes|class|functions?",
    lambda text: "class" if text.lower().startswith("class") else "function",
)
_PROBE = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
public = getattr(module, "__all__", None)
kind, *names = sys.argv[2:]
lacking = [n for n in names if not hasattr(module, n) or (public and n not in public)]
def is_other(value):
    return isinstance(value, type) is not (kind == "class") or not callable(value)
unlike = [n for n in names if kind and n not in lacking and is_other(getattr(module, n))]
print(json.dumps([lacking, unlike]))
"""


@check(
    "{module:module} (exports|offers|makes public) [(a|the)] [{kind:pythonkind}] {names:names}",
    "{names:names} (is|are) exported (by|from) {module:module}",
    name="python.exports",
    version=2,
    examples=(
        "`shop/__init__.py` exports `Basket`",
        "`shop/__init__.py` exports Basket, Order and total_of",
    ),
)
def exports(ctx: Context, module: str, names: tuple[str, ...], kind: str = "") -> Result:
    """The module can be imported and has the names, also in its `__all__` where it has one."""
    if not ctx.path(module).is_file():
        return failed(f"{module} is missing", module)
    ran, label = run_probe(ctx, _PROBE, [module_name(module), kind, *names]), python_of(ctx).label
    if not ran.ok:
        return failed(
            f"{module} cannot be imported with {label}: {ran.ending}", module, **ran.to_dict()
        )
    if not ran.out.strip():
        return failed(f"{module} ends the program that imports it", module, **ran.to_dict())
    lacking, unlike = json.loads(ran.out.splitlines()[-1])
    if lacking:
        return failed(
            f"{module} does not export {', '.join(lacking)}, imported with {label}", module
        )
    if unlike:
        return failed(f"{', '.join(unlike)} of {module}: no {kind}, imported with {label}", module)
    said = f"{module} exports {', '.join(names)}: found after importing it with {label}"
    return proven(said, module)

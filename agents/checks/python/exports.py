"""Checks of what a Python module gives to others, by importing it in a copy of the workspace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from orchestrate_agents.checks.python.probes import probed
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
    ran = probed(ctx, _PROBE, [module_name(module), *names])
    if not ran.ok:
        return failed(f"{module} cannot be imported: {ran.ending}", module, **ran.to_dict())
    if not ran.out.strip():
        return failed(f"{module} ends the program that imports it", module, **ran.to_dict())
    return _judged(module, names, json.loads(ran.out.splitlines()[-1]))


def _judged(module: str, names: Sequence[str], lacking: list[str]) -> Result:
    if lacking:
        return failed(f"{module} does not export {', '.join(lacking)}", module)
    return proven(f"{module} exports {', '.join(names)}: imported and looked at", module)


def module_name(path: str) -> str:
    """`a/b/__init__.py` as `a.b`."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

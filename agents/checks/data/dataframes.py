"""Checks of generated data sets against their Pandera schemas, by generating and validating."""

from __future__ import annotations

import json

from orchestrate_agents.checks.python.probes import module_name, run_probe
from orchestrate_agents.sandbox.import_closure import closure_of
from orchestrate_agents.tools.lacks import raise_for_lack
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import Context, Result, check, failed, proven, unproven

_LISTED = 6
_EVERY = (
    "[(all|every|each|the)] [(generated|synthetic)] "
    "(data set|data sets|dataset|datasets|table|tables|data)"
)

#: a dictionary of schemas by name, a function `sample()` that returns frames by name
_PROBE = """
import importlib, json, sys
try:
    import pandera.pandas as pandera
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("pandera", "pandas"):
        raise
    print(json.dumps({"lacking": "pandera", "name": error.name.partition(".")[0]}))
    sys.exit(0)
def module(name):
    return importlib.import_module(name)
def is_registry(value):
    return isinstance(value, dict) and value and all(
        isinstance(schema, pandera.DataFrameSchema) for schema in value.values())
schemas = next((v for v in vars(module(sys.argv[2])).values() if is_registry(v)), None)
make = getattr(module(sys.argv[1]), "sample", None)
if schemas is None or make is None:
    print(json.dumps({"lacking": "schemas" if schemas is None else "sample"}))
    sys.exit(0)
frames = make()
faults = {}
for name in sorted(set(frames) & set(schemas)):
    try:
        schemas[name].validate(frames[name], lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases.head(5)
        faults[name] = [f"{c}: {v!r} fails {k}" for c, v, k in
                        cases[["column", "failure_case", "check"]].to_numpy().tolist()]
print(json.dumps({
    "rows": {name: len(frame) for name, frame in frames.items()},
    "unchecked": sorted(set(frames) - set(schemas)),
    "unmade": sorted(set(schemas) - set(frames)),
    "faults": faults,
}))
"""


@check(
    f"{_EVERY} of {{data:module}} (passes|pass) (its|their|the) [Pandera] (schema|schemas) "
    "(in|of) {schemas:module}",
    f"{_EVERY} of {{data:module}} (passes|pass) [Pandera] [schema] validation "
    "(by|against|with) {schemas:module}",
    name="data.schemas",
    slow=True,
    examples=(
        "All data sets of `shop/datasets.py` pass their Pandera schemas in `shop/schemas.py`",
        "The generated data of `shop/datasets.py` passes validation against `shop/schemas.py`",
    ),
)
def data_passes_schemas(ctx: Context, data: str, schemas: str) -> Result:
    """`sample()` of the one module is validated, table by table, by the other one's schemas."""
    missing = [path for path in (data, schemas) if not ctx.path(path).is_file()]
    if missing:
        return failed(f"{', '.join(missing)} is missing", data, schemas)
    ran, python = run_probe(ctx, _PROBE, [module_name(data), module_name(schemas)]), python_of(ctx)
    if not ran.ok:
        return failed(f"{data} with {python.label}: {ran.ending}", data, schemas, **ran.to_dict())
    found = json.loads(ran.out.splitlines()[-1])
    match found.get("lacking"):
        case "pandera" if python.own:
            said = "Pandera is not installed: pip install 'orchestrate-tickets[synthetic]'"
            return unproven(said, data, schemas)
        case "pandera":
            raise_for_lack(ctx, python, f"No module named {found['name']!r}")
        case "schemas":
            said = f"{schemas} has no dictionary of Pandera schemas by table"
            return unproven(said, data, schemas)
        case "sample":
            return unproven(
                f"{data} has no function sample() that returns its tables", data, schemas
            )
    problems = [f"{name}.{fault}" for name, faults in found["faults"].items() for fault in faults]
    problems += [f"{name} has no schema" for name in found["unchecked"]]
    problems += [f"{name} is not generated" for name in found["unmade"]]
    problems += [f"{name} has no row" for name, rows in found["rows"].items() if not rows]
    covered = {path for file in (data, schemas) for path in closure_of(ctx, file)}
    subjects = sorted({data, schemas, *covered})
    if problems or not found["rows"]:
        said = "; ".join(problems[:_LISTED]) or "no table is generated"
        return failed(f"{data}: {said}", *subjects, problems=problems)
    rows = sum(found["rows"].values())
    said = f"{len(found['rows'])} tables of {data}, {rows:,} rows, pass their schemas in {schemas}"
    said += f"; with {python.label}"
    return proven(said, *subjects, rows=found["rows"])

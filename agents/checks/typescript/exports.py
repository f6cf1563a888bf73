"""Checks of what a TypeScript module gives to others, by the compiler."""

from __future__ import annotations

import json
import re

from orchestrate_agents.checks.code_subjects import existing
from orchestrate_agents.checks.typescript.toolchain import (
    compiled,
    compiler_errors,
    compiler_findings,
    toolchain,
)
from orchestrator.gates.checks import (
    TYPES,
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_MODULE = "exports.ts"

parameter_type(
    "tsmodule",
    r"`?[\w.@+-]+(?:/[\w.@+-]+)*\.[mc]?tsx?`?",
    lambda text: text.strip(" `"),
)
# "exports functions" names none
parameter_type(
    "symbols", rf"(?!(?:functions?|types?|interfaces?)\b){TYPES['names'][0]}", TYPES["names"][1]
)


@check(
    "{module:tsmodule} (exports|offers|makes public) [the] "
    "[(class|classes|constant|constants|function|functions|interface|interfaces|type|types)] "
    "{names:symbols}",
    "{names:symbols} (is|are) exported (by|from) {module:tsmodule}",
    name="typescript.names",
    slow=True,
    examples=("`src/lib/shop.ts` exports `Basket` and `total`",),
)
def exports_names(ctx: Context, module: str, names: tuple[str, ...]) -> Result:
    """The compiler finds each name among the module's exports, also where it is re-exported."""
    files = existing(ctx, (module,))
    if isinstance(files, Result):
        return files
    tools = toolchain(ctx.root.resolve())
    if tools.missing:
        return unproven(tools.missing, module)
    source = json.dumps(re.sub(r"\.([mc]?)tsx?$", _as_imported, str(files[0])))
    lines = [f"export type {{ {name} }} from {source};" for name in names]
    ended = compiled(ctx.services, tools, files, {_MODULE: "\n".join(lines) + "\n"})
    own = [e for e in compiler_findings(ended.text) if e["file"].endswith(_MODULE)]
    lacking = [names[int(error["line"]) - 1] for error in own]
    if lacking:
        return failed(f"{module} does not export {', '.join(lacking)}", module, **ended.to_dict())
    if not ended.ok:
        return failed(compiler_errors(ended.text, ctx.root), module, **ended.to_dict())
    return proven(f"{module} exports {', '.join(names)}: the compiler finds them", module)


def _as_imported(suffix: re.Match[str]) -> str:
    """How a module is named by one that imports it: `.mjs` for `.mts`, nothing for `.ts`."""
    return f".{suffix[1]}js" if suffix[1] else ""

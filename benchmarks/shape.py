"""The shape of the source: how much there is, how it is named, and who imports whom.

    python benchmarks/shape.py [--edges]

Prints one JSON line: lines per package, top-level names per 1,000 lines, files over 400 lines,
functions over 60, import cycles, floors (the longest chain of imports between sub-packages) and
imports that go up. `--edges` lists the imports between sub-packages instead.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: folder → name it is imported by
FOLDERS = {
    "orchestrator": "orchestrator",
    "agents": "orchestrate_agents",
    "backend": "orchestrate_backend",
    "src": "src",
    "scripts": "scripts",
}
#: from the ground up; a sub-package imports only from those before it
LAYERS: dict[str, tuple[str, ...]] = {
    "orchestrator": (
        "errors", "markdown", "templating", "plugins", "domain", "settings", "telemetry",
        "storage", "commands", "git", "workspaces", "changes", "agent_process", "gates", "tickets",
        "workflow_reader", "workers", "family", "workflow_lint", "approvals", "review",
        "conductor", "doctor", "daemon", "views", "mcp", "web", "tui", "cli",
    ),
    "orchestrate_agents": (
        "syntax", "render", "script_settings", "tools", "sql", "sandbox", "seed_data",
        "specification", "effect_runner", "checks", "codegen", "review", "effects",
        "builder_proofs", "builder", "analyst", "soop_section", "soop", "lead_criteria", "lead",
        "inspector", "coding",
    ),
    "orchestrate_backend": ("errors", "targets", "csv_rows", "seeding", "fake_postgrest", "trials"),
}  # fmt: skip


@dataclass
class Module:
    """One source file, as far as its shape goes."""

    name: str
    path: Path
    lines: int
    names: int
    #: lines of each function
    functions: dict[str, int] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)


def modules(root: Path = ROOT) -> dict[str, Module]:
    """Every source module, by the name under which it is imported."""
    found: dict[str, Module] = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            name = ".".join([package, *(p for p in parts if p != "__init__")])
            found[name] = _module(name, path)
    for module in found.values():
        module.imports = {known for name in module.imports if (known := _known(name, found))}
        module.imports.discard(module.name)
    return found


def _module(name: str, path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    module = Module(name, path, text.count("\n"), sum(map(_names_bound, tree.body)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            module.functions[f"{name}.{node.name}"] = node.end_lineno - node.lineno + 1
        elif isinstance(node, ast.Import):
            module.imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            module.imports.update(f"{node.module}.{alias.name}" for alias in node.names)
    return module


def _names_bound(node: ast.stmt) -> int:
    return int(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))


def _known(name: str, found: Mapping[str, Module]) -> str:
    """The module that an imported name is, or lives in; "" for anything foreign."""
    while name and name not in found:
        name = name.rpartition(".")[0]
    return name


def room(name: str) -> str:
    """The sub-package (or top-level module) of a module: `orchestrator.gates`."""
    return ".".join(name.split(".")[:2])


def room_imports(found: Mapping[str, Module]) -> dict[str, Counter[str]]:
    """How many imports go from one sub-package to another."""
    edges: dict[str, Counter[str]] = defaultdict(Counter)
    for module in found.values():
        edges[room(module.name)].update(
            room(other) for other in module.imports if room(other) != room(module.name)
        )
    return dict(edges)


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The first cycle that is found, if any (`graphlib` names one)."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return [list(exc.args[1])]
    return []


def floors(graph: Mapping[str, set[str]]) -> int:
    """The longest chain of imports; 0 where there is a cycle."""
    height: dict[str, int] = {}
    try:
        for name in TopologicalSorter(graph).static_order():
            height[name] = 1 + max((height[other] for other in graph.get(name, ())), default=0)
    except CycleError:
        return 0
    return max(height.values(), default=0)


def upward_imports(found: Mapping[str, Module]) -> Iterator[tuple[str, str]]:
    """Imports against LAYERS, and those between packages that go up."""
    for module in found.values():
        package, _, mine = room(module.name).partition(".")
        for other in sorted(module.imports):
            their_package, _, theirs = room(other).partition(".")
            if package == their_package:
                order = LAYERS.get(package, ())
                if mine in order and theirs in order and order.index(theirs) > order.index(mine):
                    yield module.name, other
            elif _goes_up(package, mine, other):
                yield module.name, other


def _goes_up(package: str, mine: str, other: str) -> bool:
    """Between packages: the conductor and the databases know nobody above, agents no plug-in."""
    if package == "orchestrate_agents":
        return other.startswith("orchestrate_backend.trials")
    return package == "orchestrator" or (package == "orchestrate_backend" and mine != "trials")


def main() -> None:
    """Print the figures."""
    found = modules()
    edges = room_imports(found)
    if "--edges" in sys.argv:
        for source, targets in sorted(edges.items()):
            print(source, "->", ", ".join(f"{t} {n}" for t, n in targets.most_common()))
        for source, target in upward_imports(found):
            print("up:", source, "->", target)
        return
    lines, names = Counter[str](), Counter[str]()
    for module in found.values():
        lines[module.name.split(".")[0]] += module.lines
        names[module.name.split(".")[0]] += module.names
    graph = {source: set(targets) for source, targets in edges.items()}
    fine = {m.name: m.imports for m in found.values()}
    top = {room(m) for m in found if m.startswith("orchestrator.")}
    figures = {
        "lines": dict(lines),
        "names_per_1000_lines": {p: round(1000 * names[p] / lines[p]) for p in lines},
        "product_names_per_1000_lines": round(
            1000 * sum(names[p] for p in ("orchestrator", "orchestrate_agents"))
            / sum(lines[p] for p in ("orchestrator", "orchestrate_agents"))
        ),
        "files_over_400": sum(m.lines > 400 for m in found.values()),
        "functions_over_60": sum(n > 60 for m in found.values() for n in m.functions.values()),
        "rooms_in_orchestrator": len(top),
        "floors": floors({k: v for k, v in graph.items() if k.startswith("orchestrator.")}),
        "cycles_between_rooms": cycles(graph),
        "cycles_between_modules": cycles(fine),
        "upward_imports": len(list(upward_imports(found))),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""Writes the generated parts of the documents: `python docs/generate.py`; tests compare them."""

from __future__ import annotations

import functools
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import shape
from benchmarks._common import RUNS, SPEEDS
from orchestrator.cli.app import app
from orchestrator.doctor.rules import RULES
from orchestrator.domain.agent import Job, Report, json_schema
from orchestrator.domain.folders import EVERYDAY
from orchestrator.domain.keys import KEYS
from orchestrator.domain.states import ANY, TABLE, FolderRole, Transition
from orchestrator.gates.checks import Check
from orchestrator.gates.loading import load_checks

ROOT = Path(__file__).parent.parent
_BLOCK = "<!-- generated: {name} -->\n{text}\n<!-- end: {name} -->"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, in the order of the help."""

    def walk(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                if command.invoke_without_command:
                    yield f"{prefix}{name}", command
                if default := getattr(command, "default", ""):
                    yield f"{prefix}{name}", command.commands.pop(default)
                yield from walk(command, f"{prefix}{name} ")
            else:
                yield f"{prefix}{name}", command

    yield from walk(typer.main.get_command(app), "")


def usage(name: str, command: Any) -> str:
    """`orchestrate run ID [--workflow FILE] …`."""
    words = [f"orchestrate {name}"]
    for param in command.params:
        if param.name == "help":
            continue
        word = _metavar(param) if param.param_type_name == "argument" else _option(param)
        words.append(word if param.required or word.startswith("[") else f"[{word}]")
    return " ".join(words)


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _option(param: Any) -> str:
    names = "/".join((*param.opts, *param.secondary_opts))
    return names if param.is_flag else f"{names} {_metavar(param)}"


def command_list() -> str:
    """The table of the README: one line per command."""
    lines = ["| command | what it does |", "|---|---|"]
    for name, command in commands():
        lines.append(f"| `orchestrate {name}` | {_paragraphs(command)[0]} |")
    return "\n".join(lines)


def command_reference() -> str:
    """All commands with their arguments, options and words."""
    parts = []
    for name, command in commands():
        parts.append(f"## {name}\n\n```\n{usage(name, command)}\n```")
        parts += _paragraphs(command)
        options = [p for p in command.params if p.name != "help"]
        lines = [f"- `{_label(p)}` — {p.help}" for p in options]
        parts += ["\n".join(lines)] if lines else []
    return "\n\n".join(parts)


def _label(param: Any) -> str:
    return _metavar(param) if param.param_type_name == "argument" else _option(param)


def _paragraphs(command: Any) -> list[str]:
    text = re.sub(r"\n(?!\n)[ \t]*", "\n", command.help or "").strip()
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]


def schema(message: type[Job] | type[Report]) -> str:
    """The JSON Schema of a message, as `orchestrate agents schema` prints it."""
    return f"```json\n{json.dumps(json_schema(message), indent=2)}\n```"


def state_table() -> str:
    """The legal transitions as the engine has them."""
    lines = ["| who | event | from | to | also |", "|---|---|---|---|---|"]
    for row in TABLE:
        who = ", ".join(sorted(w.value for w in row.who))
        cells = (who, row.event.value, _roles(row.sources), _roles(row.targets), row.also)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _roles(roles: frozenset[FolderRole]) -> str:
    return "any" if roles == ANY else ", ".join(role.value for role in FolderRole if role in roles)


def state_diagram() -> str:
    """The moves as Mermaid, without those from or to any folder."""
    edges = [
        f"    {source.value} --> {target.value}: {row.event.value}"
        for row in TABLE
        if _drawn(row)
        for source in FolderRole
        if source in row.sources
        for target in FolderRole
        if target in row.targets and target is not source
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *dict.fromkeys(edges), "```"])


def _drawn(row: Transition) -> bool:
    return len(row.sources) <= 4 and len(row.targets) <= 2


def code_table() -> str:
    """What `doctor` reports, most severe first."""
    lines = ["| code | what it means | what is done about it | repair |", "|---|---|---|---|"]
    for rule in RULES.values():
        kind = "harmless note" if rule.note else rule.applicability().value or "a person"
        lines.append(f"| `{rule.code}` | {rule.meaning} | {rule.remedy} | {kind} |")
    return "\n".join(lines)


def layers() -> str:
    """The imports between the product's sub-packages as Mermaid, without those that follow."""
    imports = {
        source: {target for target in targets if "." in target}
        for source, targets in shape.room_imports(shape.modules()).items()
        if source.startswith(("orchestrator.", "orchestrate_")) and not source.endswith("__")
    }
    lines = ["```mermaid", "flowchart TB"]
    for package in ("orchestrate_agents", "orchestrator", "orchestrate_backend"):
        lines.append(f"    subgraph {package}")
        lines += [
            f"        {_node(room)}[{room.partition('.')[2]}]"
            for room in sorted(imports)
            if room.startswith(f"{package}.")
        ]
        lines.append("    end")
    for source, targets in sorted(imports.items()):
        lines += [
            f"    {_node(source)} --> {_node(target)}"
            for target in sorted(targets)
            if not any(target in _reached(imports, other) for other in targets - {target})
        ]
    return "\n".join([*lines, "```"])


def _node(room: str) -> str:
    return room.replace(".", "_")


def _reached(imports: dict[str, set[str]], start: str) -> set[str]:
    """All that a sub-package imports, directly or not."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = imports.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def checks_by_block() -> dict[str, list[Check]]:
    """The blocks of docs/checks.md, each with the built-in checks that its patterns name."""
    text = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    ours = [c for c in load_checks() if c.function.__module__.startswith("orchestrate_")]
    blocks = re.findall(r"^<!-- generated: (checks: .+) -->$", text, re.MULTILINE)
    return {
        block: [c for c in ours if any(fnmatch(c.name, p) for p in block.split()[1:])]
        for block in blocks
    }


def check_table(block: str) -> str:
    """Wordings that bind, and what is looked at then."""
    lines = ["| you write, for example | what is looked at | check |", "|---|---|---|"]
    for known in sorted(checks_by_block()[block], key=lambda c: c.name):
        wordings = "<br>".join(known.examples).replace("|", "\\|")
        summary = known.summary.replace("|", "\\|")
        lines.append(f"| {wordings} | {summary} | `{known.name}` |")
    return "\n".join(lines)


def key_table() -> str:
    """What a ticket can say, and the keys under which it is read."""
    lines = ["| what | keys |", "|---|---|"]
    for name, keys in KEYS.items():
        if name != "id_or_words":
            lines.append(f"| {name} | {', '.join(f'`{key}`' for key in keys)} |")
    return "\n".join(lines)


def state_words() -> str:
    """The states, and the everyday words for them."""
    lines = ["| state | also |", "|---|---|"]
    for role in FolderRole:
        words = EVERYDAY.get(role, "").split()
        lines.append(f"| {role} | {', '.join(word.replace('_', ' ') for word in words)} |")
    return "\n".join(lines)


def hostile_table() -> str:
    """What was tried with children, files and requests that misbehave, and what went wrong."""
    run = json.loads((ROOT / "benchmarks/hostile.json").read_text(encoding="utf-8"))
    lines = ["| inputs | tried | wrong |", "|---|---|---|"]
    for kind, tried in run["tried"].items():
        names = ", ".join(run["wrong"].get(kind, ())) or "none"
        lines.append(f"| {kind} | {tried} | {names} |")
    return "\n".join(lines)


def runs_table() -> str:
    """The last kept runs of the harnesses that kill and edit."""
    runs = json.loads(RUNS.read_text(encoding="utf-8"))
    lines = ["| run | done | wrong | seconds |", "|---|---|---|---|"]
    for name, run in runs.items():
        what = ("edits", "taken_out", "approvals", "transitions_meanwhile", "kills")
        done = ", ".join(f"{run[key]:,} {key.replace('_', ' ')}" for key in what if key in run)
        goals = run["goal"] if isinstance(run["goal"], dict) else ("wrong_ends",)
        wrong = ", ".join(f"{run[key]} {key.replace('_', ' ')}" for key in goals)
        lines.append(f"| {name} | {done} | {wrong} | {run['seconds']:g} |")
    return "\n".join(lines)


def speed_table() -> str:
    """The last kept run of each benchmark: figures at three sizes, and multiples of peers."""
    text = []
    for name, run in json.loads(SPEEDS.read_text(encoding="utf-8")).items():
        heads = [f"{size:,}" for size in run["sizes"]]
        text += [f"### {name}", "", f"On {run['machine']}.", ""]
        text += [f"| | {' | '.join(heads)} | exponent |", f"|---|{'---|' * (len(heads) + 1)}"]
        for figure, grown in run["growth"].items():
            values = " | ".join(f"{value:g}" for value in grown["values"])
            text.append(f"| `{figure}` | {values} | {grown['exponent']:g} |")
        peers = ", ".join(f"{peer} {ratio:g}" for peer, ratio in run["to_peer"].items())
        text += ["", f"Multiples of the peer's time: {peers}.", ""]
    return "\n".join(text).rstrip()


def truth_table() -> str:
    """What the data agents find of what was planted."""
    run = json.loads((ROOT / "benchmarks/agents_truth.json").read_text(encoding="utf-8"))
    lines = ["| planted | found | questions without it that raise an alarm |", "|---|---|---|"]
    lines += [
        f"| {name} | {row['power']:.0%} | {row['false']:.0%} |"
        for name, row in run["table"].items()
    ]
    return "\n".join([*lines, "", f"{run['runs']} runs each; `python benchmarks/agents_truth.py`."])


def plan_table() -> str:
    """The command lines of the gap-fix plan, and whether their answers were right."""
    run = json.loads((ROOT / "benchmarks/plan_lines.json").read_text(encoding="utf-8"))
    parts = []
    for name, each in run.items():
        came = "right" if each["right"] else "wrong"
        words = f"exit status {each['exit']}; the answer has `{each['wanted']}`"
        parts.append(f"**{name}** — {came}: {words}\n\n```sh\n{each['line'].rstrip()}\n```")
    return "\n\n".join(parts)


def effects_table() -> str:
    """How near the estimates of small loads are to the built-in effect."""
    kept = ROOT / "benchmarks/synthetic_effects.json"
    lines = [
        "| process | slope | mean estimate | scatter | standard error | within two of them |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {row['truth']:.2f} | {row['mean']:.3f} | {row['scatter']:.3f} | "
        f"{row['standard_error']:.3f} | {row['within_two']} of {row['seeds']} |"
        for name, row in json.loads(kept.read_text(encoding="utf-8")).items()
    ]
    told = "Loads of 2,500 patients, read from the database"
    return "\n".join([*lines, "", f"{told}; `python benchmarks/synthetic_effects.py`."])


def recall_table() -> str:
    """What the gates say of the defects that were written without a look at the checks."""
    tables = json.loads((ROOT / "benchmarks/gate_recall.json").read_text(encoding="utf-8"))
    written = Counter[str]()
    for file in (ROOT / "benchmarks/defects").glob("*.toml"):
        kinds = tomllib.loads(file.read_text(encoding="utf-8"))
        written[file.stem.partition("_")[0]] += sum(map(len, kinds.values()))
    lines = ["| | written | tried | failed | unproven only | wrong |", "|---|---|---|---|---|---|"]
    wrong = []
    for table in ("stated", "unstated", "harmless"):
        rows = tables.get(table, {})
        sums = [sum(row[key] for row in rows.values()) for key in ("tried", "failed", "unproven")]
        missed = sum(len(row["wrong"]) for row in rows.values())
        lines.append(f"| {table} | {' | '.join(map(str, (written[table], *sums, missed)))} |")
        wrong += [
            f"- {table}, {kind} ({len(row['wrong'])} of {row['tried']}): "
            + ", ".join(name.replace("-", " ") for name in row["wrong"])
            for kind, row in rows.items()
            if row["wrong"]
        ]
    return "\n".join([*lines, "", *(wrong or ["Nothing is wrong."])])


#: document → name of the block → what makes it
GENERATED = {
    "README.md": {"commands": command_list},
    "docs/agent-schemas.md": {
        "report": functools.partial(schema, Report),
        "job": functools.partial(schema, Job),
    },
    "docs/architecture.md": {"layers": layers},
    "docs/boards.md": {"keys": key_table, "state words": state_words},
    "docs/checks.md": {b: functools.partial(check_table, b) for b in checks_by_block()},
    "docs/commands.md": {"commands": command_reference},
    "docs/doctor.md": {"codes": code_table},
    "docs/performance.md": {"speeds": speed_table},
    "docs/reliability.md": {"runs": runs_table, "hostile": hostile_table, "recall": recall_table},
    "docs/documents.md": {"plan": plan_table},
    "docs/synthetic.md": {"effects": effects_table},
    "docs/synthetic-agents.md": {"truth": truth_table},
    "docs/states.md": {"table": state_table, "diagram": state_diagram},
}


def generated(document: str) -> str:
    """The document's text with its generated blocks as they should be."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for name, make in GENERATED[document].items():
        block = _BLOCK.format(name=name, text=f"\n{make()}\n")
        pattern = _BLOCK.format(name=re.escape(name), text=".*?")
        text, found = re.subn(pattern, lambda _, new=block: new, text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{document} needs one block {name!r}, has {found}")
    return text


if __name__ == "__main__":
    for document in GENERATED:
        (ROOT / document).write_text(generated(document), encoding="utf-8")

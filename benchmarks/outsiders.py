"""What becomes of acceptance lines as other teams write them: bound, rightly judged, left unproven.

Each line of `outsiders.toml` is judged in small workspaces where it is known to be true or false.
A verdict that is neither right nor "unproven" is wrong, and there must be none.

    python benchmarks/outsiders.py [KIND …] [--verbose] [--every N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import ROOT, checked, orchestrate, report

from orchestrator.conductor.conductor import Conductor
from orchestrator.domain.agent import MemberInfo
from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Phase, Services, Verdict
from orchestrator.gates.loading import load_checks
from orchestrator.gates.receipts import Gate
from orchestrator.tickets.board import Board

_TICKET = """---
id: WO-001
title: Outsiders
status: 00_INBOX
owner: BUILDER
---

# WO-001

{text}
"""
_CORPUS = ROOT / "benchmarks" / "outsiders.toml"
#: what counts as bound, at least, by style
_GOALS = {"plain": 0.6, "documented": 0.9, "real": 0.25}
#: truth → the verdicts that are wrong
_WRONG = {
    "true": {Verdict.FAILED, Verdict.NOT_APPLICABLE},
    "false": {Verdict.PROVEN, Verdict.NOT_APPLICABLE},
    "open": {Verdict.PROVEN, Verdict.FAILED, Verdict.NOT_APPLICABLE},
    # the statement says that it does not apply, and that is so
    "idle": {Verdict.FAILED, Verdict.PROVEN},
}


@dataclass(frozen=True)
class Line:
    """A line, where it is tried, and whether it is true there."""

    text: str
    kind: str
    style: str
    place: str
    truth: str


def corpus(file: Path | None = None) -> dict[str, Any]:
    """The workspaces and the groups of lines."""
    return tomllib.loads((file or _CORPUS).read_text(encoding="utf-8"))


def read_lines(groups: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """Every line once for each workspace that it is tried in."""
    for group in groups:
        kind, style, place = group["kind"], group["style"], group["in"]
        true = "idle" if kind == "not applicable" else "true"
        for key, truth in (("lines", true), ("false", "false"), ("open", "open")):
            yield from (Line(text, kind, style, place, truth) for text in group.get(key, ()))
        if against := group.get("against"):
            lines = group.get("lines", ())
            yield from (Line(text, kind, style, against, "false") for text in lines)


def lay(root: Path, workspace: Mapping[str, Any]) -> None:
    """A git repository with a board, the files before the work, and what the work made of them."""
    root.mkdir(parents=True)

    def git(*args: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *args], cwd=root, check=True, capture_output=True)

    git("init", "-q")
    _write(root, workspace.get("before", {}))
    checked(orchestrate(root, "init", "--no-commit"))
    settings = root / "orchestrate.toml"
    commands = ", ".join(f'"{command}"' for command in workspace.get("commands", ()))
    text = settings.read_text(encoding="utf-8")
    text = text.replace("[checks]\n", f"[checks]\ncommands = [{commands}]\n")
    settings.write_text(text, encoding="utf-8")
    for ticket in (root / "_WORK_ORDERS").rglob("*.md"):
        ticket.unlink()
    inbox = root / "_WORK_ORDERS" / "00_INBOX"
    (inbox / "WO-001_outsiders.md").write_text(_TICKET.format(text=workspace["ticket"]), "utf-8")
    git("add", "-A")
    git("commit", "-qm", "before")
    _write(root, workspace["files"])


def _write(root: Path, files: Mapping[str, str]) -> None:
    """Files by path; those without text are removed, with their folder if it is empty then."""
    for path, text in files.items():
        file = root / path
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.removeprefix("\n"), encoding="utf-8")
        else:
            file.unlink()
            if not any(file.parent.iterdir()):
                file.parent.rmdir()


@dataclass(frozen=True)
class Judged:
    """A line with its verdict."""

    line: Line
    #: every claim of it has a check
    bound: bool
    verdict: Verdict
    detail: str

    @property
    def wrong(self) -> bool:
        return self.verdict in _WRONG[self.line.truth]


def judge(root: Path, lines: Sequence[Line]) -> list[Judged]:
    """The verdicts on the lines of one workspace."""
    phases = (Phase.CONTENT, Phase.POSITION, Phase.ANSWER)
    members = tuple(
        MemberInfo(
            id=t.id, path=t.path.relative_to(root).as_posix(), status=t.status, owner=t.owner
        )
        for t in Board(root).tickets()
    )
    binder = Binder(load_checks(root))
    told = [Statement(line.text, StatementKind.CHECKBOX, "outsiders", 1) for line in lines]
    with Services() as services:
        settings = Conductor(Board(root)).settings.model_dump(mode="json")
        context = Context(
            root, members[0].id, members[0].id, family=members, settings=settings, services=services
        )
        receipts = Gate(binder).prove(told, context, phases)
        bindings = [binder.bind(statement.text) for statement in told]
    return [
        Judged(line, all(b.check for b in bound), receipt.verdict, receipt.detail)
        for line, bound, receipt in zip(lines, bindings, receipts, strict=True)
    ]


def figures(judged: Sequence[Judged], took: float) -> dict[str, Any]:
    """What is printed: overall, by style and by kind."""
    bound: dict[str, set[str]] = defaultdict(set)
    every: dict[str, set[str]] = defaultdict(set)
    for found in judged:
        # where it is sure that nothing can be bound, binding is not a merit
        if found.line.truth != "open" or found.line.style == "real":
            every[found.line.style].add(found.line.text)
            bound[found.line.style] |= {found.line.text} if found.bound else set()
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for found in judged:
        kinds[found.line.kind][found.verdict.value] += 1
        kinds[found.line.kind]["bound"] += found.bound
        kinds[found.line.kind]["wrong"] += found.wrong
    honest = sum(f.verdict is Verdict.UNPROVEN for f in judged)
    return {
        "lines": len({f.line.text for f in judged}),
        "tried": len(judged),
        "wrong_verdicts": sum(f.wrong for f in judged),
        "honest_unproven": honest,
        "decided_rightly": len(judged) - honest - sum(f.wrong for f in judged),
        "bound": {style: round(len(bound[style]) / len(every[style]), 3) for style in every},
        "bound_goals": _GOALS,
        "kinds": {kind: dict(sorted(counts.items())) for kind, counts in sorted(kinds.items())},
        "wrong": [
            f"{f.line.place}: {f.line.text} — {f.verdict}: {f.detail}" for f in judged if f.wrong
        ],
        "seconds": round(took, 1),
    }


def main() -> None:
    """Judge the lines and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help="only lines of these kinds")
    parser.add_argument("--every", type=int, default=1, help="only every Nth line")
    parser.add_argument("--verbose", action="store_true", help="tell each line on stderr")
    parser.add_argument("--corpus", type=Path, help="another file of lines")
    chosen = parser.parse_args()
    os.environ.setdefault("ORCHESTRATE_NODE_MODULES", str(ROOT / "node_modules"))
    told = corpus(chosen.corpus)
    lines = list(read_lines(told["group"]))[:: chosen.every]
    if chosen.kinds:
        lines = [line for line in lines if line.kind in chosen.kinds]
    start, judged = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for place, workspace in told["workspace"].items():
            here = [line for line in lines if line.place == place]
            if here:
                lay(Path(folder) / place, workspace)
                judged += judge(Path(folder) / place, here)
    for found in judged if chosen.verbose else ():
        word = "WRONG" if found.wrong else found.verdict.value if found.bound else "no check"
        why, *_ = (*found.detail.splitlines(), "")
        print(
            f"{word:14} {found.line.place:8} {found.line.truth:5} {found.line.text}",
            file=sys.stderr,
        )
        print(f"{'':30}{why[:160]}", file=sys.stderr)
    report("outsiders", figures(judged, time.perf_counter() - start), {"wrong_verdicts": 1})
    if any(found.wrong for found in judged):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

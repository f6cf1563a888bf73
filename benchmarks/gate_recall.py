"""Which defects the gates of WO-231 catch, and which harmless changes they refuse.

WO-231 runs to checkpoint 2 in a fresh copy of this repository. Each variant of `defects/` changes a
copy of that, and the statements of the gates so far are proven on it: of a defect those that are
about such files as it touches, which can only miss what the others would see. A defect is caught if
one that was proven before has failed now; unproven is not enough. A harmless change that makes one
fail or unproven is a false alarm. Of the tables, which were written without a look at the checks,
it is also told what leaves every statement proven.

    python benchmarks/gate_recall.py [NAME …] [@stated @unstated @harmless] [--jobs N] [--verbose]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from _common import checked, orchestrate, report
from defects import Site, Variant, variants
from wo231 import TICKET, answer, fresh_copy, run

from orchestrator.conductor.conductor import Conductor
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.tickets.board import Board

_LEFT_OUT = shutil.ignore_patterns("tests", "docs", "benchmarks", "*.egg-info", "__pycache__")
#: the tables' figures of the last whole run, from which docs/reliability.md is made
KEPT = Path(__file__).with_name("gate_recall.json")
#: statement → (verdict, detail, the paths that it is about)
Verdicts = Mapping[str, tuple[Verdict, str, frozenset[str]]]
#: the end of a touched file's name → ends of the files whose statements are proven again
_ANY = frozenset({"", ".sql", ".py", ".ts", ".csv", ".jsonl", ".md", ".json"})
_RELATED = {
    ".sql": frozenset({".sql"}),
    ".py": frozenset({".py"}),
    ".ts": frozenset({".ts"}),
    ".csv": frozenset({".csv", ".jsonl"}),
    ".jsonl": frozenset({".csv", ".jsonl"}),
}
#: tables of the migration are also loaded
_LOADED = {"schema": ("load.py",)}
#: variants that could stop or change the process that tries them
_ALONE = "board-harms."
_LONGEST = 300.0


@dataclass(frozen=True)
class Found:
    """What the gates say of one variant."""

    name: str
    harmless: bool
    board: int
    seconds: float
    failed: tuple[str, ...]
    unproven: tuple[str, ...]
    refused: str = ""
    #: known to get past the gates
    known: bool = False
    #: the table that it stands in
    blind: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.failed or self.refused)

    @property
    def alarm(self) -> bool:
        return bool(self.caught or self.unproven)


@contextmanager
def _server() -> Iterator[None]:
    """One scratch server for all variants."""
    from orchestrate_backend.targets.embedded import EmbeddedServer, scratch_folder

    server = EmbeddedServer(scratch_folder(), scratch=True)
    try:
        yield
    finally:
        server.stop()


def good_workspace(folder: Path) -> Path:
    """A copy of this repository with WO-231 at checkpoint 2, made once in that folder."""
    if (folder / "copy").exists():
        return folder / "copy"
    copy = fresh_copy(folder)
    run(copy)
    answer(copy)
    outcome, _ = run(copy)
    status = json.loads(checked(orchestrate(copy, "status", TICKET, "--json")))
    question = status["question"] or {}
    if question.get("kind") != "checkpoint":
        # a machine under load can stop a proof: what is tried then would stand before fewer gates
        shutil.rmtree(copy)
        raise SystemExit(f"{TICKET} does not reach checkpoint 2: {outcome}, {question}")
    return copy


def judge(
    root: Path, before: Verdicts | None = None, touched: Collection[str] = ()
) -> dict[str, tuple[Verdict, str, frozenset[str]]]:
    """The statements of the stages so far, proven again.

    Where it is said what was `touched`, those about other kinds of files stay as they were before.
    """
    kinds = frozenset[str]().union(*(_RELATED.get(Path(path).suffix, _ANY) for path in touched))
    with Conductor(Board(root)).opener.open_session(TICKET, settle=False) as case:
        stages = [s for s in case.plan.stages if s.number <= case.flow.stage]
        told = [
            (f"{stage.number} {statement.key}", statement, case.context(stage))
            for stage in stages
            for statement in case.statements(stage)
        ]
        stay = {
            key: before[key]
            for key, _, _ in told
            if before and kinds and key in before and not _about(before[key][2], kinds)
        }
        told = [entry for entry in told if entry[0] not in stay]
        receipts = case.gate.prove_each(
            [(statement, context) for _, statement, context in told],
            (Phase.CONTENT, Phase.POSITION),
        )
        now = {key: _verdict(receipt) for (key, _, _), receipt in zip(told, receipts, strict=True)}
        return {**stay, **now}


def _about(subjects: Collection[str], kinds: Collection[str]) -> bool:
    """Whether a statement without files, or one about a file of these kinds."""
    return not subjects or any(Path(path).suffix in kinds for path in subjects)


def _verdict(receipt: Receipt) -> tuple[Verdict, str, frozenset[str]]:
    return receipt.verdict, receipt.detail, frozenset(receipt.subjects)


def tried(variant: Variant, good: Path, before: Verdicts) -> Found:
    """One variant in a copy of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copy, home = Path(folder) / "copy", Path(folder) / "home"
        shutil.copytree(good, copy, symlinks=True, ignore=_LEFT_OUT)
        # what a defect writes into its home folder is to be nobody's; kept proofs stay in use
        home.mkdir()
        os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        os.environ.setdefault("XDG_CONFIG_HOME", str(Path.home() / ".config"))
        os.environ["HOME"] = str(home)
        site = Site(copy)
        try:
            variant.change(site)
        except LookupError as exc:
            raise SystemExit(f"{variant.name} changes nothing: {exc}") from exc
        start = time.perf_counter()
        refused, now = "", dict(before)
        try:
            now = judge(
                copy,
                before,
                () if variant.harmless else (*site.touched, *_LOADED.get(variant.subject, ())),
            )
        except OrchestrateError as exc:
            refused = str(exc)
        took = time.perf_counter() - start
    gone = (Verdict.FAILED, "the statement is gone", frozenset[str]())
    worse = {
        key: now.get(key, gone)
        for key, (verdict, *_) in before.items()
        if verdict is Verdict.PROVEN
    }
    return Found(
        variant.name,
        variant.harmless,
        variant.board,
        took,
        _lines(worse, Verdict.FAILED),
        _lines(worse, Verdict.UNPROVEN),
        refused,
        variant.gets_through,
        variant.blind,
    )


def _lines(found: Verdicts, verdict: Verdict) -> tuple[str, ...]:
    return tuple(f"{key} — {detail}" for key, (v, detail, _) in found.items() if v is verdict)


def _by_name(name: str, good: Path, before: Verdicts) -> Found:
    (variant,) = [v for v in variants() if v.name == name]
    return tried(variant, good, before)


def try_all(chosen: argparse.Namespace) -> tuple[list[Found], Verdicts]:
    """Every chosen variant; `before` is what the gates say of the good artifacts."""
    some = variants(chosen.names)
    with tempfile.TemporaryDirectory() as folder, _server():
        good = good_workspace(chosen.good or Path(folder))
        before = judge(good)
        results = []
        with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
            futures = {
                v.name: pool.submit(_by_name, v.name, good, before)
                for v in some
                if not v.name.startswith(_ALONE)
            }
            for variant in some:
                if variant.name in futures:
                    results.append(futures[variant.name].result())
                else:
                    results.append(_alone(variant, good, before))
                if chosen.verbose:
                    _tell(results[-1])
    return results, before


def _alone(variant: Variant, good: Path, before: Verdicts) -> Found:
    """One variant in a process of its own, which it may end: then nothing was told."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_by_name, variant.name, good, before).result(_LONGEST)
        except (BrokenProcessPool, TimeoutError):
            return Found(variant.name, variant.harmless, 0, 0.0, (), (), blind=variant.blind)


def _tell(found: Found) -> None:
    word = "refused" if found.caught else "unproven" if found.unproven else "passed"
    kind = "harmless" if found.harmless else "defect"
    print(f"{word:8} {kind} {found.name} ({found.seconds:.1f} s)", file=sys.stderr)
    for line in (*found.failed, *found.unproven, *filter(None, [found.refused])):
        print(f"           {line[:300]}", file=sys.stderr)


def figures(results: Sequence[Found], before: Verdicts) -> dict[str, Any]:
    """What is printed."""
    broken = [f for f in results if not f.harmless and not f.blind]
    fine = [f for f in results if f.harmless]
    missed = [f.name for f in broken if not f.caught]
    return {
        "statements": len(before),
        "proven": sum(verdict is Verdict.PROVEN for verdict, *_ in before.values()),
        "unproven": sum(verdict is Verdict.UNPROVEN for verdict, *_ in before.values()),
        "defects": len(broken),
        "caught": len(broken) - len(missed),
        "recall": round(1 - len(missed) / len(broken), 4) if broken else None,
        "missed": missed,
        "known_to_get_through": len([f for f in broken if f.known and not f.caught]),
        "only_unproven": [f.name for f in broken if not f.caught and f.unproven],
        "of_a_real_board": sorted({f.board for f in broken if f.board and f.caught}),
        "harmless": len(fine),
        "false_alarms": len([f for f in fine if f.alarm]),
        "alarmed": [f.name for f in fine if f.alarm],
        "tables": by_table(results),
        "gate_s": round(statistics.median(f.seconds for f in results), 3) if results else None,
    }


def by_table(results: Sequence[Found]) -> dict[str, dict[str, Any]]:
    """Of each kind of each table: how many were tried, failed, are unproven, and what is not told.

    Of defects that is what leaves every statement proven, of harmless changes what raises an alarm.
    """
    told: dict[str, dict[str, Any]] = {}
    for found in results:
        if not found.blind:
            continue
        kind, _, name = found.name.partition(".")
        row = told.setdefault(found.blind, {}).setdefault(
            kind, {"tried": 0, "failed": 0, "unproven": 0, "wrong": []}
        )
        row["tried"] += 1
        row["failed"] += found.caught
        row["unproven"] += found.alarm and not found.caught
        if found.alarm == found.harmless:
            row["wrong"].append(name)
    return told


def main() -> None:
    """Try the variants and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="variants by name, or by its beginning")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--verbose", action="store_true", help="tell each one on stderr")
    parser.add_argument("--good", type=Path, help="keep the good workspace here, for the next time")
    parser.add_argument("--keep", action="store_true", help="keep the tables' figures for the docs")
    chosen = parser.parse_args()
    results, before = try_all(chosen)
    told = figures(results, before)
    if chosen.keep:
        KEPT.write_text(json.dumps(told["tables"]) + "\n", encoding="utf-8")
    report("gate_recall", told, {"false_alarms": 1})
    if any(f.alarm if f.harmless else not (f.caught or f.known or f.blind) for f in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

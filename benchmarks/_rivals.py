"""The same eight steps with two questions in other engines that make every step durable.

LangGraph with its SQLite saver (each checkpoint on the disk before the next node: durability
"sync", PRAGMA synchronous FULL) and DBOS on SQLite. Told as one line of JSON; an engine that is not
installed says so. `transitions.py` runs this in the interpreter that it is given.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any, TypedDict

_STEPS, _QUESTIONS = 8, (3, 7)
#: a workflow of DBOS takes so much longer that fewer tell as much
_FEWER = 5


def langgraph(folder: Path, families: int) -> dict[str, Any]:
    """Families and checkpoints a second in LangGraph."""
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command, interrupt

    def work(state: dict[str, int]) -> dict[str, int]:
        return {"n": state["n"] + 1}

    def ask(state: dict[str, int]) -> dict[str, int]:
        interrupt("approve?")
        return {"n": state["n"] + 1}

    graph = StateGraph(TypedDict("State", {"n": int}))  # type: ignore[operator]
    names = [f"step{i}" for i in range(_STEPS)]
    for i, name in enumerate(names):
        graph.add_node(name, ask if i in _QUESTIONS else work)
    for one, next_ in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(one, next_)
    base = sqlite3.connect(folder / "langgraph.sqlite", check_same_thread=False)
    saver = SqliteSaver(base)
    saver.setup()
    base.execute("PRAGMA synchronous = FULL")
    app = graph.compile(checkpointer=saver)
    started = time.perf_counter()
    for i in range(families):
        config = {"configurable": {"thread_id": str(i)}}
        app.invoke({"n": 0}, config, durability="sync")
        for _ in _QUESTIONS:
            end = app.invoke(Command(resume=1), config, durability="sync")
        if end["n"] != _STEPS:
            raise SystemExit(f"a graph did not come to its end: {end}")
    seconds = time.perf_counter() - started
    (writes,) = base.execute("SELECT count(*) FROM checkpoints").fetchone()
    return _figures(families, writes, seconds)


def dbos(folder: Path, families: int) -> dict[str, Any]:
    """Families and recorded operations a second in DBOS."""
    from dbos import DBOS

    place = folder / "dbos.sqlite"
    url = f"sqlite:///{place}"
    DBOS(config={"name": "steps", "system_database_url": url, "log_level": "ERROR"})

    @DBOS.step()  # type: ignore[untyped-decorator]
    def work(n: int) -> int:
        return n + 1

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    def eight(n: int) -> int:
        for i in range(_STEPS):
            if i in _QUESTIONS:
                DBOS.recv("answer", timeout_seconds=60)
            n = work(n)
        return n

    DBOS.launch()
    families = max(10, families // _FEWER)
    started = time.perf_counter()
    for _ in range(families):
        handle = DBOS.start_workflow(eight, 0)
        for _ in _QUESTIONS:
            DBOS.send(handle.workflow_id, "yes", "answer")
        if handle.get_result() != _STEPS:
            raise SystemExit("a workflow did not come to its end")
    seconds = time.perf_counter() - started
    with sqlite3.connect(place) as base:
        (writes,) = base.execute("SELECT count(*) FROM operation_outputs").fetchone()
    DBOS.destroy()
    return _figures(families, writes, seconds)


def _figures(families: int, writes: int, seconds: float) -> dict[str, Any]:
    return {
        "families": families,
        "families_per_second": round(families / seconds, 1),
        "durable_writes_per_family": round(writes / families, 1),
        "durable_writes_per_second": round(writes / seconds, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=500)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rivals-") as folder:
        for name, run in {"langgraph": langgraph, "dbos": dbos}.items():
            installed = importlib.util.find_spec(name) is not None
            found[name] = run(Path(folder), given.families) if installed else "not installed"
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

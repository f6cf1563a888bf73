"""What threads ask for at once is computed once; shared trees are those of the library."""

from __future__ import annotations

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrate_agents.syntax import nodes_of
from orchestrator.gates.once import once


def test_threads_that_ask_for_the_same_wait_for_the_first() -> None:
    ran: list[int] = []
    together = threading.Barrier(4)

    @once(8)
    def square(number: int) -> int:
        ran.append(number)
        return number * number

    def ask(number: int) -> int:
        together.wait()
        return square(number)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, [3, 3, 3, 4])) == [9, 9, 9, 16]
    assert sorted(ran) == [3, 4]


def test_nodes_are_those_of_ast_walk_in_its_order() -> None:
    text = Path(ast.__file__).read_text(encoding="utf-8")
    walked = [ast.dump(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.expr)]
    assert [ast.dump(n) for n in nodes_of(text) if isinstance(n, ast.expr)] == walked

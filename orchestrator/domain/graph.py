"""Cycles in a graph, each with its members by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

#: each cycle costs a walk through the graph
_MOST = 100


def break_cycles(
    graph: Mapping[str, Iterable[str]],
) -> tuple[dict[str, list[str]], list[list[str]]]:
    """`graph` (node → what it depends on) without one edge of each cycle, and the cycles.

    A cycle is `[a, b, a]` where a depends on b, and starts with its node that `graph` names first.
    Edges to nodes that are not in `graph` are left out. After 100 cycles, no more are named: all
    edges are left out that go to a later node.
    """
    left = {
        node: [o for o in dict.fromkeys(others) if o in graph] for node, others in graph.items()
    }
    position = {node: index for index, node in enumerate(left)}
    cycles: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as exc:
            ring = exc.args[1][:0:-1]
            start = min(range(len(ring)), key=lambda index: position[ring[index]])
            cycle = [*ring[start:], *ring[: start + 1]]
            left[cycle[-2]].remove(cycle[-1])
            cycles.append(cycle)
            if len(cycles) == _MOST:
                left = {
                    node: [other for other in others if position[other] < position[node]]
                    for node, others in left.items()
                }
        else:
            return left, cycles


def cycle_through(graph: Mapping[str, Iterable[str]], node: str) -> list[str]:
    """The shortest cycle through a node, `[a, b, a]`, or an empty list."""
    reached_from: dict[str, str] = {}
    queue = deque([node])
    while queue:
        at = queue.popleft()
        for other in graph.get(at, ()):
            if other not in reached_from:
                reached_from[other] = at
                queue.append(other)
        if node in reached_from:
            break
    if node not in reached_from:
        return []
    cycle = [node, reached_from[node]]
    while cycle[-1] != node:
        cycle.append(reached_from[cycle[-1]])
    return cycle[::-1]

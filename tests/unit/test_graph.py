"""Cycles are found with their members' names, and broken where an order is wanted all the same."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest

from orchestrator.domain.graph import break_cycles, cycle_through


@pytest.mark.parametrize(
    ("graph", "cycles"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, []),
        ({"a": ["a", "x"]}, [["a", "a"]]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, [["b", "c", "b"]]),
        ({"c": ["a"], "a": ["b"], "b": ["c"]}, [["c", "a", "b", "c"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [["a", "b", "a"], ["c", "d", "c"]]),
    ],
)
def test_each_cycle_is_named_and_the_rest_has_none(
    graph: dict[str, list[str]], cycles: list[list[str]]
) -> None:
    left, found = break_cycles(graph)
    assert sorted(found) == cycles
    assert set(TopologicalSorter(left).static_order()) == set(graph)


def test_the_shortest_cycle_through_a_node() -> None:
    graph = {"a": ["b", "d"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["a"]}
    assert cycle_through(graph, "a") == ["a", "d", "a"]
    assert cycle_through(graph, "c") == ["c", "a", "b", "c"]
    assert cycle_through(graph, "e") == []
    assert cycle_through({"s": ["s"]}, "s") == ["s", "s"]


def test_a_long_chain_is_walked() -> None:
    chain = {str(n): [str(n + 1)] for n in range(5000)} | {"5000": ["0"]}
    assert len(cycle_through(chain, "0")) == 5002
    assert len(break_cycles(chain)[1][0]) == 5002


def test_a_graph_of_nothing_but_cycles_ends() -> None:
    nodes = [str(n) for n in range(80)]
    left, cycles = break_cycles(dict.fromkeys(nodes, nodes))
    assert len(cycles) == 100
    assert list(TopologicalSorter(left).static_order())

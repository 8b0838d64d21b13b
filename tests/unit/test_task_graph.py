"""Orders and cycles."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.graph import cycles, topological

graphs = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), unique=True))


def test_the_order_given_is_kept_where_it_can_be() -> None:
    assert topological("dcba", {"d": ["a"]}) == ("c", "b", "a", "d")
    assert topological("abc", {}) == ("a", "b", "c")
    assert topological("ab", {"a": ["elsewhere"]}) == ("a", "b")


def test_a_cycle_is_named_in_order() -> None:
    assert list(cycles("xabc", {"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]})) == [("a", "b", "c")]
    assert list(cycles("a", {"a": ["a"]})) == [("a",)]
    assert list(cycles("abcd", {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]})) == [("a", "b"), ("c", "d")]


def test_long_chains_are_no_matter() -> None:
    names = [f"t{n}" for n in range(20_000)]
    chain = {name: [before] for before, name in pairwise(names)}
    assert topological(names[::-1], chain) == tuple(names)
    ring = {**chain, names[0]: [names[-1]]}
    assert len(next(cycles(names, ring))) == len(names)


@given(graphs)
def test_either_a_complete_order_or_a_true_cycle(graph: dict[str, list[str]]) -> None:
    nodes = sorted(graph)
    order, found = topological(nodes, graph), list(cycles(nodes, graph))
    assert (len(order) == len(nodes)) == (not found)
    for index, node in enumerate(order):
        assert all(other in order[:index] for other in graph[node] if other in graph)
    for cycle in found:
        for node, following in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert following in graph[node]

"""Graphs of what must come before what: cycles, and an order that respects them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=str)


def topological(nodes: Sequence[Node], before: Mapping[Node, Collection[Node]]) -> tuple[Node, ...]:
    """`nodes` so that each comes after all of its `before`, and else in the order given.

    What is not in `nodes` is ignored. Nodes on a cycle, or behind one, are left out: the order is
    complete if and only if there is no cycle.
    """
    rank = {node: index for index, node in enumerate(nodes)}
    waits = {node: {other for other in before.get(node, ()) if other in rank} for node in nodes}
    after: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for other in waits[node]:
            after[other].append(node)
    ready = [rank[node] for node in nodes if not waits[node]]
    heapq.heapify(ready)
    order: list[Node] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        order.append(node)
        for other in after[node]:
            waits[other].discard(node)
            if not waits[other]:
                heapq.heappush(ready, rank[other])
    return tuple(order)


def cycles(nodes: Sequence[Node], before: Mapping[Node, Collection[Node]]) -> Iterator[tuple[Node, ...]]:
    """Cycles that share no node, each as its nodes in the order in which one waits for the next.

    None if and only if there is no cycle. A node that waits for itself is a cycle of one.
    """
    left = list(nodes)
    while stuck := _stuck(left, before):
        cycle = _one_cycle(stuck, before)
        yield cycle
        named = set(cycle)
        left = [node for node in stuck if node not in named]


def _stuck(nodes: Sequence[Node], before: Mapping[Node, Collection[Node]]) -> list[Node]:
    placed = set(topological(nodes, before))
    return [node for node in nodes if node not in placed]


def _one_cycle(stuck: Sequence[Node], before: Mapping[Node, Collection[Node]]) -> tuple[Node, ...]:
    """Every stuck node waits for another stuck one, so following those must come round."""
    members, path = set(stuck), [stuck[0]]
    seen: dict[Node, int] = {stuck[0]: 0}
    while True:
        following = next(node for node in before[path[-1]] if node in members)
        if following in seen:
            return tuple(path[seen[following] :])
        seen[following] = len(path)
        path.append(following)

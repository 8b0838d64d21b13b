"""Which accepted branches can't be had together: every two of them merged, in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runner.gather.overlaps import partners, places
from runner.git.branches import Repository, Touched
from runner.git.merging import Merge, Merging

Kind = Literal["clean", "conflict", "unknown"]

SHOWN = 10
"""Names of files told of two branches."""
NAME = 200
"""Signs shown of one name."""
LONGEST = 600.0
"""Seconds after which no more pairs are asked about: what is left is unknown."""


@dataclass(frozen=True)
class Meeting:
    """Two branches that change a path in common.

    Attributes:
        a: One, by the name of its attempt.
        b: The other one, which comes later.
        kind: Whether git merges them `clean`, finds a `conflict`, or could not be asked (`unknown`).
        files: The files that are in conflict; else those that both change. Names made safe to show, the first
            few of them.
        contained: Whether one of them holds all commits of the other.
        why: Why it is unknown.
    """

    a: str
    b: str
    kind: Kind
    files: tuple[str, ...] = ()
    contained: bool = False
    why: str = ""


@dataclass(frozen=True)
class Matrix:
    """How branches of one repository meet; two without a `Meeting` share no path, and merge.

    `same` holds those that come to the same files: groups of attempts with one tree.
    """

    attempts: tuple[str, ...] = ()
    meetings: tuple[Meeting, ...] = ()
    same: tuple[tuple[str, ...], ...] = ()

    def between(self, a: str, b: str) -> Meeting | None:
        """How two of them meet, in whatever order."""
        found = (one for one in self.meetings if {one.a, one.b} == {a, b})
        return next(found, None)

    def conflicts(self) -> dict[str, set[str]]:
        """By attempt, those with which it is in conflict."""
        found: dict[str, set[str]] = {name: set() for name in self.attempts}
        for one in self.meetings:
            if one.kind == "conflict":
                found[one.a].add(one.b)
                found[one.b].add(one.a)
        return found


@dataclass(frozen=True)
class Branch:
    """An attempt's branch: the name of the attempt, and its commit."""

    attempt: str
    commit: str


@dataclass(frozen=True)
class Met:
    """How branches meet, and what was found out on the way.

    Attributes:
        matrix: How they meet. Branches whose commits are not there any more are not in it.
        trees: By attempt, its tree.
        holds: By attempt, those whose commits it holds, itself left out.
    """

    matrix: Matrix
    trees: Mapping[str, str]
    holds: Mapping[str, frozenset[str]]


def meet(merging: Merging, base: str, branches: Sequence[Branch], longest: float = LONGEST) -> Met:
    """Find out how branches meet.

    Args:
        merging: The quarantine in which they are merged.
        base: The commit that all of them build on.
        branches: The branches, in order.
        longest: Seconds after which no more pairs are asked about.

    Raises:
        GitError: The branches can't be read.
    """
    until = time.monotonic() + longest
    repository = Repository(merging.path, merging.borrowed)
    trees = repository.trees([base, *(branch.commit for branch in branches)])
    there = [branch for branch in branches if branch.commit in trees and base in trees]
    if not there:
        return Met(Matrix(), {}, {})
    together = repository.holders(base, [branch.commit for branch in there])
    changes = repository.touched(trees[base], [trees[branch.commit] for branch in there])
    touched = [changes[trees[branch.commit]] for branch in there]
    pairs = [
        (place, other)
        for place, mask in enumerate(partners(touched, together))
        for other in places(mask)
        if other > place
    ]
    held = {place: together.get(branch.commit, 0) for place, branch in enumerate(there)}
    meetings = _meetings(merging, there, trees, pairs, held, until)
    names = [branch.attempt for branch in there]
    matrix = Matrix(
        tuple(names),
        tuple(_meeting(there, touched, one, held) for one in meetings),
        _same(there, trees),
    )
    holds = {
        name: frozenset(names[other] for other, mask in held.items() if other != place and mask >> place & 1)
        for place, name in enumerate(names)
    }
    return Met(matrix, {branch.attempt: trees[branch.commit] for branch in there}, holds)


Pair = tuple[int, int]


def _meetings(
    merging: Merging,
    there: Sequence[Branch],
    trees: Mapping[str, str],
    pairs: Sequence[Pair],
    held: Mapping[int, int],
    until: float,
) -> Iterator[tuple[Pair, Merge]]:
    """What comes of each pair; git is asked only where that does not follow from what is known."""
    known: dict[Pair, Merge] = {}
    for a, b in pairs:
        tree_a, tree_b = trees[there[a].commit], trees[there[b].commit]
        if tree_a == tree_b:
            known[a, b] = Merge(tree_a)
        elif held[a] >> b & 1 or held[b] >> a & 1:
            known[a, b] = Merge(tree_b if held[a] >> b & 1 else tree_a)
    asked = [pair for pair in pairs if pair not in known]
    merges = merging.merge_all([(there[a].commit, there[b].commit) for a, b in asked], until)
    known.update(zip(asked, merges, strict=True))
    return ((pair, known[pair]) for pair in pairs)


def _meeting(
    there: Sequence[Branch],
    touched: Sequence[Touched],
    found: tuple[Pair, Merge],
    held: Mapping[int, int],
) -> Meeting:
    (a, b), merge = found
    kind: Kind = "unknown" if merge.why else "clean" if merge.tree is not None else "conflict"
    paths = list(merge.files) if kind == "conflict" else sorted(touched[a].paths & touched[b].paths)
    contained = bool(held[a] >> b & 1 or held[b] >> a & 1)
    return Meeting(there[a].attempt, there[b].attempt, kind, shown(paths), contained, merge.why)


def shown(paths: Sequence[bytes]) -> tuple[str, ...]:
    """The first few of these paths, as text on which nothing acts."""
    texts = (ascii(path.decode(errors="replace"))[1:-1] for path in paths[:SHOWN])
    return tuple(text if len(text) <= NAME else text[: NAME - 1] + "…" for text in texts)


def _same(there: Sequence[Branch], trees: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for branch in there:
        groups.setdefault(trees[branch.commit], []).append(branch.attempt)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)

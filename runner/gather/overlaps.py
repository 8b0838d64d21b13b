"""Which branches have to be merged to know whether they merge: pure, on what each of them touches.

Sets of branches are whole numbers, in which each branch has the bit of its place: so a thousand branches of
thousands of files are set against each other in a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from runner.git.branches import Touched, above


def partners(touched: Sequence[Touched], together: Mapping[str, int]) -> list[int]:
    """For each branch, which others it has to be merged with to know whether they merge: bits by places.

    Two that touch no path in common merge: unless a file of one stands where the other has a directory, or
    one adds a file to a directory that the other took away, which git may take for renamed. That holds for
    branches whose histories meet in the base; those that share a commit beyond it are always merged.

    Args:
        touched: What each changes of the base.
        together: By commit beyond the base, which branches hold it.
    """
    everything = sum(1 << place for place, one in enumerate(touched) if one.everything)
    at, within, filled = (_index(sets) for sets in _sets(touched))
    found = [0] * len(touched)
    for place, one in enumerate(touched):
        mask = (1 << len(touched)) - 1 if one.everything else everything
        for path in one.paths:
            mask |= at.get(path, 0) | within.get(path, 0)
        for directory in one.removed:
            mask |= filled.get(directory, 0)
        found[place] = mask
    for mask in {mask for mask in together.values() if mask & (mask - 1)}:
        for place in places(mask):
            found[place] |= mask
    return _both_ways(found)


def _sets(touched: Sequence[Touched]) -> tuple[list[set[bytes]], list[set[bytes]], list[set[bytes]]]:
    """Of each branch its paths, the directories above these, and those with new files."""
    within = [{directory for path in one.paths for directory in above(path)} for one in touched]
    return [one.paths for one in touched], within, [one.filled for one in touched]


def _index(sets: Sequence[set[bytes]]) -> dict[bytes, int]:
    """Which branches have each path, as bits."""
    found: dict[bytes, int] = {}
    for place, paths in enumerate(sets):
        for path in paths:
            found[path] = found.get(path, 0) | 1 << place
    return found


def _both_ways(found: list[int]) -> list[int]:
    """With each one a partner of its partners, and none of itself."""
    whole = list(found)
    for place, mask in enumerate(found):
        for other in places(mask):
            whole[other] |= 1 << place
    return [mask & ~(1 << place) for place, mask in enumerate(whole)]


def places(mask: int) -> Iterator[int]:
    """The places of the bits that are set, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest

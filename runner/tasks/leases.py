"""Paths that tasks declare as theirs (`paths:`): whether two overlap, and who holds what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

Parts = tuple[str, ...]


def parts(path: str) -> Parts:
    """A path as the names on the way to it: `src//a/` and `./src/a` are the same."""
    return PurePosixPath(path).parts


def overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one of them lies below the other."""
    first, second = parts(one), parts(other)
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


@dataclass
class Leases:
    """Which paths of which repositories are held, and by whom; asking takes no longer the more there are."""

    _held: dict[tuple[str, Parts], str] = field(default_factory=dict)
    _above: dict[tuple[str, Parts], Counter[str]] = field(default_factory=dict)

    def take(self, repository: str, paths: Iterable[str], holder: str) -> None:
        """Note that these are held. Attempts of one task may hold the same: who holds is the task."""
        for path in map(parts, paths):
            self._held[repository, path] = holder
            for length in range(len(path) + 1):
                self._above.setdefault((repository, path[:length]), Counter())[holder] += 1

    def conflict(self, repository: str, paths: Iterable[str], holder: str) -> tuple[str, str] | None:
        """The first of these paths that another holds a part of, and who does; None if nobody does."""
        for path in paths:
            names = parts(path)
            below = self._above.get((repository, names), Counter())
            other = next((name for name in below if name != holder), None)
            if other is None:
                above = (self._held.get((repository, names[:length])) for length in range(len(names)))
                other = next((name for name in above if name not in (None, holder)), None)
            if other is not None:
                return path, other
        return None

"""Attempts sorted by task: what a profile did, and what two of them did in the same repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from runner.compare.scored import Scored

OUTSIDE = {
    "infrastructure": "a fault of Corral's or of the engine's ended it",
    "cancelled": "it was stopped from outside",
    "limited": "its provider's window was used up until the run's cut-off",
}
"""Verdicts that say nothing of a profile, and why its attempt does not count then."""

Block = tuple[str, int]
"""A task and a repeat: what every profile does once."""


@dataclass(frozen=True)
class Paired:
    """What two profiles did at one task, repeat by repeat; only repeats in which both of them count."""

    task: str
    a: tuple[bool, ...]
    b: tuple[bool, ...]

    @property
    def difference(self) -> float:
        """The share of a's attempts that were accepted, less that of b's."""
        return fmean(self.a) - fmean(self.b)


def left_out(rows: Iterable[Scored], excluded: Mapping[str, str]) -> dict[str, str]:
    """The attempts that do not count, each with the reason."""
    found = ((row, excluded.get(row.attempt) or OUTSIDE.get(row.verdict)) for row in rows)
    return {row.attempt: why for row, why in found if why}


def counted(rows: Iterable[Scored], out: Collection[str]) -> list[Scored]:
    """The attempts that count."""
    return [row for row in rows if row.attempt not in out]


def by_task(rows: Iterable[Scored]) -> dict[str, list[bool]]:
    """By task, which of these attempts were accepted."""
    found: dict[str, list[bool]] = {}
    for row in rows:
        found.setdefault(row.task, []).append(row.accepted)
    return found


def paired(rows: Sequence[Scored], a: str, b: str) -> list[Paired]:
    """What two profiles did at the tasks that have a repeat in which both count, in the order of the rows.

    What counts on one side only is left out, so that both sides of a task are means over as many attempts:
    only then could chance alone have exchanged them, which is what the exact test asks.
    """
    sides = {profile: {(r.task, r.n): r.accepted for r in rows if r.profile == profile} for profile in (a, b)}
    both: dict[str, list[Block]] = {}
    for block in sides[a]:
        if block in sides[b]:
            both.setdefault(block[0], []).append(block)
    return [
        Paired(task, tuple(sides[a][one] for one in blocks), tuple(sides[b][one] for one in blocks))
        for task, blocks in both.items()
    ]

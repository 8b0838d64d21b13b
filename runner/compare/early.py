"""Whether a comparison is decided before all of it is done, looked at as often as one likes.

A test that is made again and again finds a difference in the end where there is none: each look is another
chance to err. Here all looks share one chance. It is a sequential randomisation test with the error spent
over looks as Lan and DeMets (1983) do, by the power family of Kim and DeMets (1987): up to the share t of all
planned blocks, the part t² of alpha. A *block* is one repeat of one task, done by every profile. Blocks enter
in the order of the plan, not in that in which they end: what ends early may be what fails early.

Why the error rate holds: if two profiles do equally well at every task, then what one did at a task could as
well have been the other's, so the whole course of the differences is as likely as each course in which the
signs of some tasks are turned. Of all these courses (of 8,191 drawn ones besides the real one, where there
are more) a share of alpha at most is let cross the bound by the end, at looks that depend on the plan alone
and at bounds that are the same whichever course is the real one. So the real one crosses with a probability
of alpha at most, whenever one looks, and however often (with drawn courses too: Hemerik and Goeman 2018,
"Exact testing with random permutations"). A task's repeats turn together: they may depend on each other.

What is assumed: no task's result depends on another's; which attempts are missing does not depend on who
would have won. Where profiles are equally good only on the average, each better at some tasks, the test is as
good as the exact one at the end: right for differences that lie evenly about zero, and close to it else (see
docs/comparing.md for how close).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from runner.compare.blocks import OUTSIDE, Block
from runner.compare.scored import Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COURSES = 8192
"""How many courses are compared at most, the real one among them."""
LOOKS = 200
"""At how many shares of a plan it is looked, at most; with fewer blocks, after each."""
SEED = 19
"""Of the drawn courses: always the same, so that a later look continues an earlier one."""
NEAR = 1e-9
"""Sums that differ by less are the same."""


@dataclass(frozen=True)
class Watched:
    """How far a comparison has come that may end early.

    Attributes:
        blocks: All blocks, in the order in which they enter.
        reached: How many of them, from the first on, are over: each of its attempts has ended, or never will.
    """

    blocks: tuple[Block, ...]
    reached: int


@dataclass(frozen=True)
class Course:
    """How the test of one pair went.

    Attributes:
        crossed: After how many blocks the pair was decided; None if it is not.
        p: How probable it was by chance to be decided so early, or so clearly at the last look.
        level: How often, by chance, the last look alone would have found what decides there: the error that
            an interval for it may have.
        ahead: Who was ahead then: 1 for a, -1 for b, 0 for neither.
    """

    crossed: int | None
    p: float
    level: float
    ahead: int


def decided(
    watched: Watched, scored: Sequence[Scored], profiles: Sequence[str], alpha: float
) -> tuple[str, ...] | None:
    """The profiles, the better one first, if every pair of them is decided; else None.

    Args:
        watched: How far the comparison has come.
        scored: What is known of attempts.
        profiles: Those that are compared.
        alpha: How often at most, in many comparisons of profiles that don't differ, any pair may be decided.
    """
    pairs = list(combinations(profiles, 2))
    if not pairs:
        return None
    wins = dict.fromkeys(profiles, 0)
    for a, b in pairs:
        found = course(watched, differences(watched, scored, a, b), alpha / len(pairs))
        if found.crossed is None:
            return None
        wins[a if found.ahead > 0 else b] += 1
    return tuple(sorted(profiles, key=lambda name: -wins[name]))


def differences(watched: Watched, scored: Sequence[Scored], a: str, b: str) -> list[int | None]:
    """Of each block that is over, in order: a's success less b's; None where one of them does not count."""
    found = {(row.profile, row.task, row.n): row.accepted for row in scored if row.verdict not in OUTSIDE}
    sides = [[found.get((name, *block)) for name in (a, b)] for block in watched.blocks[: watched.reached]]
    return [None if x is None or y is None else int(x) - int(y) for x, y in sides]


def course(watched: Watched, steps: Sequence[int | None], alpha: float, courses: int = COURSES) -> Course:
    """How the test of a pair went, at the error rate alpha.

    Args:
        watched: How far the comparison has come.
        steps: The differences of the blocks that are over (`differences`).
        alpha: How often it may decide where there is nothing to decide.
        courses: How many courses are compared at most.
    """
    import numpy as np  # noqa: PLC0415 - only comparisons pay for it

    places = {task: place for place, task in enumerate(dict.fromkeys(task for task, _ in watched.blocks))}
    signs = _signs(len(places), courses)
    many = signs.shape[1]
    sums: Floats = np.zeros(many)
    live = np.ones(many, dtype=bool)
    spent, level = 0, 0.0
    first: Course | None = None
    looks = set(_looks(len(watched.blocks)))
    for at, (place, change) in enumerate(_changes(watched, steps, places), 1):
        if change:
            sums += signs[place] * change
        may = int(alpha * (at / len(watched.blocks)) ** 2 * many + NEAR) - spent
        if at not in looks or may <= 0:
            continue
        sizes = np.abs(sums)
        bound = _bound(sizes[live], may)
        crossing = live & (sizes > bound)
        level = float((sizes > bound).mean())
        if crossing[0]:
            first = Course(at, _share(sums, live, spent), level, _sign(sums[0]))
        spent += int(crossing.sum())
        live &= ~crossing
    return (
        Course(None, max(_share(sums, live, spent), alpha + NEAR), level, _sign(sums[0]))
        if first is None
        else replace(first, level=level)
    )


def _sign(total: float) -> int:
    return 0 if abs(total) < NEAR else 1 if total > 0 else -1


def _share(sums: Floats, live: NDArray[np.bool_], spent: int) -> float:
    """The share of courses that crossed before, or are at least as far from zero now as the real one."""
    import numpy as np  # noqa: PLC0415 - as above

    sizes = np.abs(sums)
    return (spent + int((live & (sizes > sizes[0] - NEAR)).sum())) / len(sums)


def _bound(sizes: Floats, may: int) -> float:
    """The size that at most so many of these exceed."""
    import numpy as np  # noqa: PLC0415 - as above

    if may <= 0 or not len(sizes):
        return float("inf")
    if may >= len(sizes):
        return -1.0
    place = len(sizes) - may - 1
    return float(np.partition(sizes, place)[place]) + NEAR


@lru_cache(maxsize=2)
def _signs(tasks: int, courses: int) -> NDArray[np.int8]:
    """By task, its signs in all courses, the real one first: all of them, or as many as are drawn."""
    import numpy as np  # noqa: PLC0415 - as above

    if 2**tasks <= courses:
        bits = np.arange(2**tasks)[:, None] >> np.arange(tasks)
        return np.ascontiguousarray((1 - 2 * (bits & 1).T).astype(np.int8))
    draw, drawn = np.random.default_rng(SEED), np.ones((tasks, courses), dtype=np.int8)
    for row in drawn:  # one at a time: what is drawn is 8 times as large
        row[1:] = 2 * draw.integers(0, 2, courses)[1:] - 1
    return drawn


def _looks(blocks: int) -> Iterator[int]:
    """After how many blocks it is looked: a matter of the plan alone."""
    yield from (dict.fromkeys(-(-blocks * look // LOOKS) for look in range(1, LOOKS + 1)))


def is_look(watched: Watched, before: int) -> bool:
    """Whether there is a look between so many blocks and as many as are over now."""
    return any(before < look <= watched.reached for look in _looks(len(watched.blocks)))


def _changes(
    watched: Watched, steps: Sequence[int | None], places: Mapping[str, int]
) -> Iterator[tuple[int, float]]:
    """The place of each block's task, and by how much the block changes the task's mean difference."""
    known: dict[str, tuple[int, int]] = {}
    for (task, _), step in zip(watched.blocks, steps, strict=False):
        total, count = known.get(task, (0, 0))
        if step is None:
            yield places[task], 0.0
            continue
        known[task] = total + step, count + 1
        yield places[task], (total + step) / (count + 1) - (total / count if count else 0.0)

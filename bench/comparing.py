"""Whether comparisons say what they claim: simulated with known truth, through the code that compares.

    python -m bench --statistics [--nights N]

Prints how often intervals hold the truth, how often a difference is called one, and what `plan` foresees.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from statistics import NormalDist, fmean, stdev

import numpy as np
from scipy import stats

from runner.compare.comparing import ALPHA, compare
from runner.compare.early import Watched, course, differences
from runner.compare.power import World, foresee, nights
from runner.compare.rates import rate_interval
from runner.compare.scored import Scored
from runner.compare.spread import difference_interval

NONE = World(0, talent=0)
"""The same at every task."""
AVERAGE = World(0, talent=2)
"""The same on the average; each is much better at some tasks."""
APART = World(25)
WORLDS = {"none": NONE, "none on average": AVERAGE, "25 points": APART}
SIZES = [(tasks, repeats) for tasks in (10, 20, 40) for repeats in (1, 3)]
SMALL = (3, 4, 5, 6, 8, 10, 20, 40)
HARD = [
    World(points, middle, difficulty, talent)
    for points, middle in ((0, 0.5), (0, 0.9), (25, 0.5), (50, 0.5), (10, 0.9), (80, 0.5))
    for difficulty, talent in ((0, 0), (1.5, 0.75), (1.5, 2), (4, 0.5))
]
"""Worlds in which intervals err: the worst of them is what counts."""


TOLD = (
    *("rate held", "difference held", "exact test sees", "early test sees"),
    *("rate held, ended early", "difference held, ended early", "blocks done"),
)


@dataclass(frozen=True)
class Found:
    """What came of many comparisons, as shares.

    Attributes:
        rate: How often the interval of the first profile's rate held the truth.
        difference: The same for the difference.
        seen: How often the exact test called it a difference.
        early: How often the test with a look after each block did, at any of them.
        early_rate: As `rate`, where it was ended then.
        early_difference: As `difference`, where it was ended then.
        blocks: After which share of all blocks it was ended, on average.
    """

    rate: float
    difference: float
    seen: float
    early: float
    early_rate: float
    early_difference: float
    blocks: float


def simulate(tasks: int, repeats: int, world: World, count: int, seed: int) -> Found:
    """So many comparisons of two profiles: each made at its end, and with looks after each block."""
    blocks = tuple((f"t{task}", repeat) for repeat in range(repeats) for task in range(tasks))
    watched = Watched(blocks, len(blocks))
    rows = []
    for a, b in zip(*nights(tasks, repeats, world, count, seed), strict=True):
        scored = _scored(blocks, a.ravel().tolist(), b.ravel().tolist())
        whole = compare([("a", ""), ("b", "")], scored)
        crossed = course(watched, differences(watched, scored, "a", "b"), ALPHA).crossed
        stop = crossed or len(blocks)
        ended = compare([("a", ""), ("b", "")], scored[: 2 * stop], watched=Watched(blocks, stop))
        if ended.pairs[0].decided != (crossed is not None):
            raise AssertionError("the comparison says otherwise than the test that ended it")
        rows.append(
            (
                _holds(world.rates[0], whole.profiles[0].low, whole.profiles[0].high),
                _holds(world.points / 100, whole.pairs[0].low, whole.pairs[0].high),
                whole.pairs[0].decided,
                crossed is not None,
                _holds(world.rates[0], ended.profiles[0].low, ended.profiles[0].high),
                _holds(world.points / 100, ended.pairs[0].low, ended.pairs[0].high),
                stop / len(blocks),
            )
        )
    return Found(*(fmean(map(float, column)) for column in zip(*rows, strict=True)))


def _scored(blocks: tuple[tuple[str, int], ...], a: list[bool], b: list[bool]) -> list[Scored]:
    return [
        Scored(
            task, name, n, "accepted" if good else "rejected", good, None, None, None, f"{task}/{name}/{n}"
        )
        for (task, n), *both in zip(blocks, a, b, strict=True)
        for name, good in zip("ab", both, strict=True)
    ]


def _holds(truth: float, low: float | None, high: float | None) -> bool:
    """Whether the interval holds it; no interval claims nothing."""
    return low is None or high is None or low - 1e-9 <= truth <= high + 1e-9


def worst(tasks: int, repeats: int, count: int) -> tuple[float, float, float, float, float]:
    """How often intervals hold the truth in the worst of `HARD`: of the difference, ours, Student's and the
    bootstrap's (BCa); of a rate, ours and Wilson's of the effective size."""
    shares = []
    for number, world in enumerate(HARD):
        a, b = nights(tasks, repeats, world, count, number)
        own, student, bootstrap = [], [], []
        for night, one in enumerate((a.mean(axis=1) - b.mean(axis=1)).tolist()):
            own.append(_holds(world.points / 100, *(difference_interval(one, repeats, ALPHA, 0) or (-1, 1))))
            student.append(_holds(world.points / 100, *_student(one)))
            if night < count // 5:
                bootstrap.append(_holds(world.points / 100, *_bootstrap(one)))
        rates = [_rates(night.T.tolist()) for night in a]
        exact = [_holds(world.rates[0], *ours) for ours, _ in rates]
        wilson = [_holds(world.rates[0], *theirs) for _, theirs in rates]
        shares.append([fmean(map(float, kind)) for kind in (own, student, bootstrap, exact, wilson)])
    least = [min(column) for column in zip(*shares, strict=True)]
    return least[0], least[1], least[2], least[3], least[4]


def _student(one: list[float]) -> tuple[float, float]:
    reach = float(stats.t.ppf(0.975, len(one) - 1)) * stdev(one) / len(one) ** 0.5
    return fmean(one) - reach, fmean(one) + reach


def _bootstrap(one: list[float]) -> tuple[float, float]:
    if len(set(one)) < 2:
        return one[0], one[0]
    found = stats.bootstrap(
        (np.asarray(one),), np.mean, n_resamples=499, method="BCa", vectorized=True, rng=0
    ).confidence_interval
    return float(found.low), float(found.high)


def _rates(tasks: list[list[bool]]) -> tuple[tuple[float, float], tuple[float, float]]:
    own = rate_interval(tasks, ALPHA)
    means = [fmean(task) for task in tasks]
    rate, spread = fmean(means), stdev(means) ** 2 / len(means)
    size = min(max(rate * (1 - rate) / spread, len(tasks)), sum(map(len, tasks))) if spread else len(tasks)
    z = NormalDist().inv_cdf(1 - ALPHA / 2)
    middle = (rate + z * z / 2 / size) / (1 + z * z / size)
    reach = z / (1 + z * z / size) * (rate * (1 - rate) / size + z * z / 4 / size**2) ** 0.5
    return own or (0.0, 1.0), (middle - reach, middle + reach)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{share * 100:.1f}"


def show(count: int) -> None:
    """Simulate and print, as Markdown."""
    print(f"{count} comparisons of two profiles each; all figures in %\n")
    print(_row("tasks × repeats", "truth", *TOLD) + "\n" + "|---" * (2 + len(TOLD)) + "|")
    for tasks, repeats in SIZES:
        for name, world in WORLDS.items():
            found = simulate(tasks, repeats, world, count, seed=tasks * 10 + repeats)
            print(_row(f"{tasks} × {repeats}", name, *map(_percent, astuple(found))), flush=True)
    print(f"\nHow often intervals that claim {100 - ALPHA * 100:g} % hold the truth, at worst:\n")
    kinds = ("difference", "Student's", "bootstrap (BCa)", "rate", "Wilson's")
    print(_row("tasks × repeats", *kinds) + "\n" + "|---" * 6 + "|")
    for repeats in (1, 3):
        for tasks in SMALL:
            print(_row(f"{tasks} × {repeats}", *map(_percent, worst(tasks, repeats, count))), flush=True)
    print("\nThe difference that is seen 4 times in 5, in points (ending early in brackets):\n")
    print("| tasks | 1 repeat | 3 repeats | 5 repeats |\n|---|---|---|---|")
    for tasks in (5, 8, 10, 15, 20, 30, 40, 60, 100):
        print(f"| {tasks} |", " | ".join(_foreseen(tasks, repeats) for repeats in (1, 3, 5)), "|")


def _foreseen(tasks: int, repeats: int) -> str:
    both = (foresee(tasks, repeats, early=early).points for early in (False, True))
    return "{} ({})".format(*("none" if points is None else points for points in both))

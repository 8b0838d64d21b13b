"""Which difference a comparison will see, before it is made: simulated with the test that is used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from runner.compare.chance import smallest_p
from runner.compare.early import Watched, course

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
"""How often a difference may be called one that is none."""
WANTED = 0.8
"""How often a difference is to be seen."""
DIFFICULTY = 1.5
"""By how much tasks differ: the standard deviation of their log odds of being served. With it, the chances of
single tasks have one of 27 points, as on benchmarks where some tasks always succeed and some never."""
TALENT = 0.75
"""By how much a profile does better or worse at single tasks than at all of them: likewise."""
MOST = 95
"""The largest difference that is looked for, in points."""
NIGHTS = 400
EXACT_TO = 180
"""Up to how many attempts of a profile the test is made as it is; beyond, in its normal limit, which for the
bound that matters here it then equals."""
LONGEST_COURSES = 12_000
"""Blocks in all that are simulated of a comparison that may end early, for each difference."""
COURSES = 1024


@dataclass(frozen=True)
class Foreseen:
    """Which difference will be seen.

    Attributes:
        tasks: How many tasks are compared.
        repeats: How often each profile does each.
        points: The smallest difference of acceptance, in points of 100, that is seen 4 times in 5, if any.
        least_p: Which p so many tasks reach at best, corrected for the number of pairs.
        early: Whether the comparison may end early.
    """

    tasks: int
    repeats: int
    points: int | None
    least_p: float
    early: bool = False


def foresee(
    tasks: int, repeats: int, profiles: int = 2, *, early: bool = False, alpha: float = ALPHA, seed: int = 0
) -> Foreseen:
    """Which difference between two of several profiles will be seen 4 times in 5.

    What is assumed: acceptance lies evenly about one half, where a difference is hardest to see; tasks differ
    in difficulty (`DIFFICULTY`), and profiles in what they are good at (`TALENT`); every attempt counts. What
    is seen is what the exact test, or that of `early`, calls a difference, at alpha over the number of pairs.
    """
    pairs = profiles * (profiles - 1) // 2
    least = min(1.0, pairs * smallest_p(tasks))
    if least > alpha:
        return Foreseen(tasks, repeats, None, least, early)
    sees = partial(_seen, tasks, repeats, alpha / pairs, seed)
    low, high = 1, MOST
    if not sees(high):
        return Foreseen(tasks, repeats, None, least, early)
    while low < high:  # more of a difference is seen more often
        middle = (low + high) // 2
        low, high = (low, middle) if sees(middle) else (middle + 1, high)
    while early and low <= MOST and not _seen_early(tasks, repeats, alpha / pairs, seed, low):
        low += 2
    return Foreseen(tasks, repeats, low if low <= MOST else None, least, early)


@dataclass(frozen=True)
class World:
    """How two profiles do at tasks, in truth.

    Attributes:
        points: By how much more often the first is accepted, in points of 100.
        middle: The mean of both acceptance rates.
        difficulty: See `DIFFICULTY`.
        talent: See `TALENT`.
    """

    points: float
    middle: float = 0.5
    difficulty: float = DIFFICULTY
    talent: float = TALENT

    @property
    def rates(self) -> tuple[float, float]:
        """Both acceptance rates."""
        return self.middle + self.points / 200, self.middle - self.points / 200


def nights(
    tasks: int, repeats: int, world: World, count: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """So many simulated comparisons: for each profile, by night, repeat and task, whether it was accepted."""
    import numpy as np  # noqa: PLC0415 - only who plans a comparison pays for it

    chance = np.random.default_rng(seed)
    shared = chance.standard_normal((count, 1, tasks)) * world.difficulty
    spread = (world.difficulty**2 + world.talent**2) ** 0.5
    sides = []
    for rate in world.rates:
        own = chance.standard_normal((count, 1, tasks)) * world.talent
        odds = _log_odds(rate, spread) + shared + own
        sides.append(chance.random((count, repeats, tasks)) < 1 / (1 + np.exp(-odds)))
    return sides[0], sides[1]


def _differences(tasks: int, repeats: int, points: int, count: int, seed: int) -> NDArray[np.int64]:
    import numpy as np  # noqa: PLC0415 - as above

    a, b = nights(tasks, repeats, World(points), count, seed)
    return a.astype(np.int64) - b


def _log_odds(rate: float, spread: float) -> float:
    """Of the middle task, where all tasks, so different, have that mean acceptance."""
    import numpy as np  # noqa: PLC0415 - as above
    from scipy.optimize import brentq  # noqa: PLC0415 - as above
    from scipy.stats import norm  # noqa: PLC0415 - as above

    around = spread * norm.ppf((np.arange(400) + 0.5) / 400)
    return float(brentq(lambda middle: (1 / (1 + np.exp(-middle - around))).mean() - rate, -30, 30))


def _seen(tasks: int, repeats: int, alpha: float, seed: int, points: int) -> bool:
    sums = _differences(tasks, repeats, points, NIGHTS, seed).sum(axis=1)
    return float((exact_ps(sums) <= alpha).mean()) >= WANTED


def exact_ps(sums: NDArray[np.int64]) -> Floats:
    """`chance.exact_p` of many comparisons at once, each a row of its tasks' differences.

    The distribution of the sum of independent signs is the product of their characteristic functions.
    """
    import numpy as np  # noqa: PLC0415 - as above
    from scipy.stats import norm  # noqa: PLC0415 - as above

    parts, observed = np.abs(sums), np.abs(sums.sum(axis=1))
    largest = int(parts.max())
    if sums.shape[1] * largest > EXACT_TO:
        spread = np.maximum(np.sqrt((parts**2).sum(axis=1)), 0.5)
        above: Floats = norm.sf((observed - 1.0) / spread)
        return np.minimum(1.0, 2 * above)
    length = 2 * largest * sums.shape[1] + 1
    angles = 2 * np.pi * np.arange(length) / length
    wave: Floats = np.ones((len(sums), length))
    for part in range(1, largest + 1):
        wave *= np.cos(part * angles) ** (parts == part).sum(axis=1)[:, None]
    chances = np.fft.fft(wave, axis=1).real / length
    places = np.minimum(np.arange(length), length - np.arange(length))
    found: Floats = (chances * (places >= observed[:, None])).sum(axis=1)
    return np.minimum(1.0, found)


def _seen_early(tasks: int, repeats: int, alpha: float, seed: int, points: int) -> bool:
    blocks = tuple((str(task), repeat) for repeat in range(repeats) for task in range(tasks))
    watched = Watched(blocks, len(blocks))
    count = max(20, min(NIGHTS // 2, LONGEST_COURSES // len(blocks)))
    made = _differences(tasks, repeats, points, count, seed + 1).reshape(count, -1).tolist()
    seen = sum(course(watched, steps, alpha, COURSES).crossed is not None for steps in made)
    return seen >= WANTED * count

"""Whether chance explains a difference: an exact test over tasks, corrected for several, and effect sizes."""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, lcm, sqrt
from typing import TYPE_CHECKING

from runner.compare.blocks import Paired

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_STEPS = 50_000_000
"""Up to how many additions the exact distribution is worked out; beyond, it is sampled."""
SAMPLES = 99_999


def exact_p(pairs: Sequence[Paired], seed: int) -> float:
    """How probable a difference as large as this one, or larger, is by chance alone, in either direction.

    If two profiles do equally well at every task, what one did there could as well have been the other's: the
    sign of each task's difference is a fair coin's. The sum of all differences is set beside all the sums
    that come of such coins: every one of them counts, however many tasks there are (their distribution is put
    together task by task). With one repeat that is McNemar's exact test. Where repeats differ so much from
    task to task that there are too many different sums, 100,000 of them are drawn.
    """
    whole = lcm(*(len(one.a) for one in pairs)) if pairs else 1
    parts = [abs(sum(one.a) - sum(one.b)) * (whole // len(one.a)) for one in pairs]
    if len(parts) * sum(parts) > MOST_STEPS:
        return _sampled_p([one.difference for one in pairs], seed)
    import numpy as np  # noqa: PLC0415 - only comparisons pay for it

    observed = abs(sum((sum(one.a) - sum(one.b)) * (whole // len(one.a)) for one in pairs))
    reach = sum(parts)
    chances: NDArray[np.float64] = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for part in parts:
        if part:
            chances = (np.roll(chances, part) + np.roll(chances, -part)) / 2
    sums = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chances[sums >= observed].sum()))


def _sampled_p(differences: list[float], seed: int) -> float:
    from scipy.stats import permutation_test  # noqa: PLC0415 - as above

    def mean(of: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = of.mean(axis=axis)
        return found

    found = permutation_test(
        (differences,),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=SAMPLES,
        batch=1000,
        rng=seed,
    )
    return float(found.pvalue)


def smallest_p(tasks: int) -> float:
    """Which p so many tasks could reach at best: each with a difference, and all in one direction."""
    return float(min(1.0, 2.0 ** (1 - tasks)))


def holm(chances: Sequence[float]) -> list[float]:
    """These probabilities corrected for being several, so that at most a share alpha of families of
    comparisons holds one that is called different and is not: Holm (1979)."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    corrected, largest = [0.0] * len(chances), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[index]))
        corrected[index] = largest
    return corrected


def effect(a: float, b: float) -> float:
    """How large the difference of two rates is, standardised: Cohen's h (1988, chapter 6).

    It is the difference of the rates' arcsines, which makes 90 and 98 % as far apart as 50 and 68 %; 0.2 is
    called small, 0.5 medium and 0.8 large. Unlike a difference in standard deviations it is finite where one
    profile always succeeds and the other never does: then it is pi.
    """
    return 2 * asin(sqrt(a)) - 2 * asin(sqrt(b))

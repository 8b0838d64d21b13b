"""Within which bounds a difference lies: an interval that covers what it says from few tasks on."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_TASKS = 3
"""From how many tasks on a difference has an interval: with two, it is everything from -1 to 1."""
BOOTSTRAP_FROM = 50
"""From how many tasks on tasks are resampled, too. With 10 of them such intervals that claim 95 % cover as
little as 65 % (`python -m bench --statistics`)."""
RESAMPLES = 2000


def difference_interval(
    differences: Sequence[float], repeats: float, alpha: float, seed: int
) -> tuple[float, float] | None:
    """The interval of the mean difference over tasks like these; None where there are too few of them.

    It is Student's on the tasks' differences, with two tasks put in that nobody did: one in which a wins by
    as much as chance makes of a single task, and one in which b does (Agresti and Min 2005, Bonett and Price
    2012, who put in one whole success and failure at one repeat). Without these, few tasks that happen to
    agree would look like certainty: Student's interval then covers 30 times in 100. From 50 tasks on it
    reaches at least as far as the bootstrap (BCa) of whole tasks, which knows if a few of them weigh much on
    one side.

    Args:
        differences: Of each task.
        repeats: How many attempts each side of one is a mean of, on average.
        alpha: How often it may miss the true difference.
        seed: Of the resampling.
    """
    tasks = len(differences)
    if tasks < LEAST_TASKS:
        return None
    from scipy.stats import t  # noqa: PLC0415 - half a second that only comparisons pay

    put_in = max(1 / sqrt(repeats), 0.5)
    mean = sum(differences) / (tasks + 2)
    variance = (sum(one**2 for one in differences) + 2 * put_in**2) / (tasks + 2) - mean**2
    reach = float(t.ppf(1 - alpha / 2, tasks - 1)) * sqrt(variance / (tasks + 2))
    low, high = mean - reach, mean + reach
    if tasks >= BOOTSTRAP_FROM:
        few, many = _bootstrap(differences, alpha, seed)
        low, high = min(low, few), max(high, many)
    return max(-1.0, low), min(1.0, high)


def _bootstrap(differences: Sequence[float], alpha: float, seed: int) -> tuple[float, float]:
    if max(differences) - min(differences) < 1e-9:  # all resamples are the same
        return differences[0], differences[0]
    import numpy as np  # noqa: PLC0415 - as above
    from scipy.stats import bootstrap  # noqa: PLC0415 - as above

    data: Floats = np.asarray(differences, dtype=np.float64)
    found = bootstrap(
        (data,),
        _mean,
        confidence_level=1 - alpha,
        n_resamples=RESAMPLES,
        batch=200,
        vectorized=True,
        method="BCa",
        rng=seed,
    ).confidence_interval
    mean = fmean(differences)
    return min(mean, float(found.low)), max(mean, float(found.high))


def _mean(of: Floats, axis: int) -> Floats:
    found: Floats = of.mean(axis=axis)
    return found

"""How often a profile is accepted: the rate's interval, and the chance of one success in k attempts."""

from __future__ import annotations

from collections.abc import Collection
from math import comb
from statistics import fmean

LEAST_TASKS = 2
"""From how many tasks on a rate has an interval: one task says nothing of how much others differ from it."""


def rate_interval(tasks: Collection[list[bool]], alpha: float) -> tuple[float, float] | None:
    """The interval of an acceptance rate, for tasks like these; None where there are too few of them.

    Attempts at one task are not independent, so tasks are what is counted: the attempts are worth as many
    independent ones as the rate's variance over tasks says (the effective sample size), at least one for each
    task and at most themselves. Of that size it is the exact interval of Clopper and Pearson, with the
    allowance for a variance that is estimated from few tasks: Korn and Graubard (1998), "Confidence intervals
    for proportions with small expected number of positive counts". A Wilson interval of the same size covers
    less than it says: 85 to 93 times in 100 at worst (`python -m bench --statistics`).

    Args:
        tasks: Of each task, which of its attempts were accepted; no task without any.
        alpha: How often it may miss the true rate.
    """
    if len(tasks) < LEAST_TASKS:
        return None
    from scipy.stats import beta  # noqa: PLC0415 - half a second that only comparisons pay

    total = sum(map(len, tasks))
    rate = sum(map(sum, tasks)) / total
    size = _effective_size(tasks, alpha)
    low = float(beta.ppf(alpha / 2, rate * size, size - rate * size + 1)) if rate > 0 else 0.0
    high = float(beta.ppf(1 - alpha / 2, rate * size + 1, size - rate * size)) if rate < 1 else 1.0
    return low, high


def _effective_size(tasks: Collection[list[bool]], alpha: float) -> float:
    """How many independent attempts these are worth."""
    from scipy.stats import norm, t  # noqa: PLC0415 - as above

    number, total = len(tasks), sum(map(len, tasks))
    rate = sum(map(sum, tasks)) / total
    around = sum((sum(one) - rate * len(one)) ** 2 for one in tasks)
    variance = number / (number - 1) * around / total**2
    if variance == 0:
        return float(number)
    few = (norm.ppf(1 - alpha / 2) / t.ppf(1 - alpha / 2, number - 1)) ** 2
    return float(min(max(rate * (1 - rate) / variance * few, number), total))


def pass_at(tasks: Collection[list[bool]]) -> tuple[tuple[int, float], ...]:
    """For each k, the chance that one of k attempts at a task is accepted, for the mean task; unbiased.

    It is the share of all choices of k of a task's n attempts that hold an accepted one: Chen et al. (2021),
    "Evaluating large language models trained on code". A task with fewer than k attempts says nothing of k:
    so k goes as far as all tasks do, since figures of different tasks can't be set beside each other.
    """
    most = min(map(len, tasks), default=0)
    return tuple((k, fmean(_one_of(k, one) for one in tasks if len(one) >= k)) for k in range(1, most + 1))


def _one_of(k: int, attempts: list[bool]) -> float:
    return 1 - comb(len(attempts) - sum(attempts), k) / comb(len(attempts), k)

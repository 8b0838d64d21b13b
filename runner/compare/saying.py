"""What a comparison comes to, in words."""

from __future__ import annotations

from runner.compare import chance
from runner.compare.power import Foreseen
from runner.compare.scored import Pair


def verdict_words(pair: Pair, alpha: float, pairs: int) -> str:
    """What is said of two profiles.

    Args:
        pair: What was found.
        alpha: The error rate.
        pairs: Among how many pairs it is.
    """
    if pair.difference is None or pair.p is None:
        return f"nothing can be said: {pair.a} and {pair.b} share no task at which both count"
    least = min(1.0, pairs * chance.smallest_p(pair.tasks))
    if least > alpha and not pair.decided:
        among = f" (for {pairs} pairs)" if pairs > 1 else ""
        return (
            f"too little data: with {_tasks(pair.tasks)} the test could at best reach p = {least:.2g}{among},"
            f" where {alpha:g} is wanted; from {least_tasks(alpha, pairs)} tasks on it can find a difference"
        )
    if not pair.decided:
        return f"no difference is shown: {pair.a} less {pair.b} is {_bounds(pair, 1)}; {_p(pair.p)}"
    sign, better, worse = (1, pair.a, pair.b) if pair.difference > 0 else (-1, pair.b, pair.a)
    by = f"{abs(pair.difference) * 100:.0f} points, {_bounds(pair, sign)}"
    return f"{better} is accepted more often than {worse}, by {by}; {_p(pair.p)}"


def least_tasks(alpha: float, pairs: int) -> int:
    """From how many tasks on the exact test can find anything."""
    tasks = 1
    while pairs * chance.smallest_p(tasks) > alpha:
        tasks += 1
    return tasks


def _bounds(pair: Pair, sign: int) -> str:
    if pair.low is None or pair.high is None:
        return "unknown within bounds"
    low, high = sorted((sign * pair.low, sign * pair.high))
    return f"between {low * 100:+.0f} and {high * 100:+.0f}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"


def power_words(foreseen: Foreseen, alpha: float) -> str:
    """Which difference will be seen, in one sentence."""
    size = f"with {_tasks(foreseen.tasks)} × {foreseen.repeats} repeat{'s' if foreseen.repeats > 1 else ''}"
    if foreseen.points is not None:
        return f"{size} a difference of {foreseen.points} points will be seen 4 times in 5"
    if foreseen.least_p > alpha:
        return (
            f"{size} no difference can be seen: the test could at best reach p = {foreseen.least_p:.2g},"
            f" where {alpha:g} is wanted"
        )
    return f"{size} no difference will be seen 4 times in 5, however large"

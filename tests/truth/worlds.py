"""The same night, many times, without containers: how often the comparison finds what is known of the agents.

A night's answers are drawn anew for each seed; its verdicts follow from them, as the real run shows. The
comparison itself is the product's. `coin-40-again` is as good as `coin-40`: who tells them apart errs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from runner.compare.comparing import compare
from runner.compare.scored import Comparison, Scored
from tests.truth import agents
from tests.truth.bugs import BUGS

AGAIN = "coin-40-again"
SHARES = {**agents.SHARES, AGAIN: agents.SHARES["coin-40"]}


@dataclass(frozen=True)
class Found:
    """What many comparisons of two models came to, each of these a share of them.

    Attributes:
        seen: How often the better one was called better; where neither is, how often one was.
        wrong: How often the worse one was called better.
        held: How often the interval held the true difference.
    """

    seen: float
    wrong: float
    held: float


def comparison(models: Sequence[str], repeats: int, seed: int) -> Comparison:
    """What is said of one night."""
    return compare([(model, model) for model in models], _scored(models, repeats, seed), seed=seed)


def found(models: Sequence[str], repeats: int, seeds: Sequence[int]) -> dict[tuple[str, str], Found]:
    """What is said of many nights, by the two models."""
    nights = [comparison(models, repeats, seed) for seed in seeds]
    told: dict[tuple[str, str], Found] = {}
    for place, (a, b) in enumerate(combinations(models, 2)):
        true = (SHARES[a] - SHARES[b]) / 100
        pairs = [night.pairs[place] for night in nights]
        ways = [(pair.difference or 0) * (true or 1) for pair in pairs if pair.decided]
        told[a, b] = Found(
            seen=sum(way > 0 or true == 0 for way in ways) / len(nights),
            wrong=sum(way < 0 and true != 0 for way in ways) / len(nights),
            held=sum(_holds(pair.low, true, pair.high) for pair in pairs) / len(nights),
        )
    return told


def _holds(low: float | None, true: float, high: float | None) -> bool:
    return low is not None and high is not None and low <= true <= high


def _scored(models: Sequence[str], repeats: int, seed: int) -> Iterator[Scored]:
    for model in models:
        # Another model that is as good draws answers of its own.
        of, drawn = ("coin-40", seed + 10**6) if model == AGAIN else (model, seed)
        for bug in BUGS:
            for n, work in enumerate(agents.works(of, bug.id, repeats, drawn), 1):
                verdict = agents.VERDICTS[work]
                yield Scored(bug.id, model, n, verdict, verdict == "accepted", seconds=1.0, tokens=1200)

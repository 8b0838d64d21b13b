"""What comparing needs of attempts, and what comes of it: plain values.

Only what profiles can be compared by is here. What of an attempt counts is decided by who makes these values
(`supervisor.scoring`); whether it is fair to count it, by the audit (`compare.audit`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scored:
    """What comparing needs of one attempt. None is unknown, never nothing.

    Attributes:
        task: The task.
        profile: Who did it.
        n: Which repeat it is.
        verdict: What became of it.
        accepted: Whether it served its task.
        seconds: Working time.
        tokens: Tokens of all its model calls.
        usd: What these cost, in US dollars.
        attempt: Its name.
        at: When it began, in seconds since the epoch.
    """

    task: str
    profile: str
    n: int
    verdict: str
    accepted: bool
    seconds: float | None
    tokens: int | None
    usd: float | None = None
    attempt: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Side:
    """One profile's column.

    Attributes:
        profile: Its name.
        settings: The hash of all its settings.
        attempts: How many attempts of it were planned and ended, those that are left out included.
        scored: How many count.
        accepted: How many of these were accepted.
        infrastructure: How many were left out since a fault of ours, or of the engine's, ended them.
        rate: Accepted of scored; None where nothing was scored.
        low: The lower end of the rate's interval.
        high: Its upper end.
        usd: What the scored attempts cost in all; None where a part is unknown.
        usd_per_accepted: The same for each accepted one; None where nothing was accepted.
        minutes_median: Working time.
        minutes_per_accepted: Of all scored attempts, for each accepted one.
        tokens: Of all scored attempts.
        tokens_per_accepted: The same for each accepted one.
        pass_at: By k, the chance that of k attempts at a task one is accepted, for the mean task.
        never_began: How many more were planned and never began.
    """

    profile: str
    settings: str = ""
    attempts: int = 0
    scored: int = 0
    accepted: int = 0
    infrastructure: int = 0
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    usd: float | None = None
    usd_per_accepted: float | None = None
    minutes_median: float | None = None
    minutes_per_accepted: float | None = None
    tokens: int | None = None
    tokens_per_accepted: float | None = None
    pass_at: tuple[tuple[int, float], ...] = ()
    never_began: int = 0


@dataclass(frozen=True)
class Pair:
    """Two profiles on the tasks that both did.

    Attributes:
        a: One profile.
        b: The other one.
        tasks: How many tasks both were scored on.
        difference: The mean over tasks of a's rate less b's; None where there is no such task.
        low: The lower end of its interval.
        high: Its upper end.
        p: The exact test's probability, corrected for the number of pairs.
        effect: The effect's size, standardised.
        decided: Whether the difference is larger than chance explains, at the error rate that was set.
        words: What that means, in a sentence; also where there is too little to say.
    """

    a: str
    b: str
    tasks: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    effect: float | None = None
    decided: bool = False
    words: str = ""


@dataclass(frozen=True)
class Unbegun:
    """An attempt that was planned and never began, and why: nobody knows what its profile had made of it."""

    attempt: str
    task: str
    profile: str
    n: int
    why: str


@dataclass(frozen=True)
class Excluded:
    """An attempt that does not count, and why; `began` is whether it was begun at all."""

    attempt: str
    why: str
    began: bool = True


@dataclass(frozen=True)
class Comparison:
    """Profiles set side by side. `better` is the order in which they may be ranked; empty for no ranking."""

    profiles: tuple[Side, ...] = ()
    pairs: tuple[Pair, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    better: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

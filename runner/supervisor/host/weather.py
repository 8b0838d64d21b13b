"""In what conditions an attempt lived: how busy the host was, and how much memory it had left. Pure.

Two attempts are compared fairly only if neither had a much busier host than the other. The host is looked at
once a second anyway (`capacity`); here those looks are added up for each attempt that lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.names import AttemptKey
from runner.supervisor.host.facts import Host
from runner.tasks.plan import Value

GAP = 5.0
"""Seconds for which one look stands at most; when nobody looked for longer, nothing is known."""


class Weather(Value):
    """The host while an attempt's agent lived, as far as it was looked at; None where unknown."""

    seconds: float = 0.0
    """For how long it was looked at."""
    load: float | None = None
    """How many tasks ran or wanted to for each core, in the mean: above 1, some waited."""
    beside: float = 0.0
    """How many other attempts lived, of all runs on the state directory, in the mean."""
    least_free: float | None = None
    """The smallest share of the host's memory that was free at one time."""


@dataclass
class _Sum:
    """What was added up for one attempt."""

    seconds: float = 0.0
    load: float = 0.0
    loaded: float = 0.0
    """Seconds for which the load is known."""
    beside: float = 0.0
    least_free: float | None = None


class Almanac:
    """The weather of each attempt that lives."""

    def __init__(self) -> None:
        self._sums: dict[AttemptKey, _Sum] = {}
        self._at: float | None = None

    def look(self, at: float, host: Host, alive: Iterable[AttemptKey], others: int) -> None:
        """Take one look at the host.

        Args:
            at: When, in seconds of a clock that only goes forward.
            host: What was seen.
            alive: The attempts whose agents live; what is known of others is forgotten.
            others: How many attempts of other runs live.
        """
        passed = 0.0 if self._at is None else min(GAP, max(0.0, at - self._at))
        self._at = at
        keys = tuple(alive)
        self._sums = {key: self._sums.get(key) or _Sum() for key in keys}
        free = None if host.memory_free is None else host.memory_free / max(1, host.memory_total)
        for total in self._sums.values():
            total.seconds += passed
            total.beside += passed * (len(keys) - 1 + others)
            if host.load is not None:
                total.load += passed * host.load / max(1, host.cores)
                total.loaded += passed
            if free is not None:
                total.least_free = free if total.least_free is None else min(free, total.least_free)

    def of(self, key: AttemptKey) -> Weather | None:
        """What an attempt that lives had until now; None where nobody looked."""
        total = self._sums.get(key)
        if total is None or not total.seconds:
            return None
        return Weather(
            seconds=round(total.seconds, 1),
            load=round(total.load / total.loaded, 3) if total.loaded else None,
            beside=round(total.beside / total.seconds, 2),
            least_free=None if total.least_free is None else round(total.least_free, 4),
        )

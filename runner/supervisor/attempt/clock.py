"""The working time of an attempt: what its boxes lived, less the time in which they were held or frozen.

Held by the gateway, the agent had asked and could do nothing; frozen by the supervisor, it could not ask.
Where a person is asked and waited for, the time counts as frozen.
The limits `time` and `idle` count working time; the end of a run (`deadline`) does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from runner.gateway.grants import Usage


@dataclass(frozen=True)
class Earlier:
    """What passed in an attempt before its present box: seconds.

    Attributes:
        worked: Working time.
        held: Time in which it was held, the waiting between two boxes included.
        told: The part of `held` that the gateway's own count (`Usage.held_s`) holds already.
    """

    worked: float = 0.0
    held: float = 0.0
    told: float = 0.0


@dataclass(frozen=True)
class WorkClock:
    """The working time of an attempt. Moments are seconds of one clock that only goes forward.

    Attributes:
        began: When its present box started.
        earlier: What passed before that.
        counted: Seconds in which this box was held, at the last reading of the gateway's count.
        since: When that reading was made, if the box was held just then: it goes on being held.
        frozen: Seconds in which this box was frozen, until it last went on, and was not held.
        frozen_since: Since when it is frozen, and for how long it had been held then; None while it goes on.
    """

    began: float
    earlier: Earlier = field(default_factory=Earlier)
    counted: float = 0.0
    since: float | None = None
    frozen: float = 0.0
    frozen_since: tuple[float, float] | None = None

    def read(self, now: float, usage: Usage) -> WorkClock:
        """The clock after a reading. A count that began anew, after a crash, takes nothing back."""
        counted = max(self.counted, usage.held_s - self.earlier.told)
        return replace(self, counted=counted, since=None if usage.held is None else now)

    def frost(self, now: float, *, frozen: bool) -> WorkClock:
        """The clock now that it is known whether the box is frozen."""
        if frozen == (self.frozen_since is not None):
            return self
        since = (now, self.held(now)) if frozen else None
        return replace(self, frozen=self.frozen_until(now), frozen_since=since)

    def frozen_until(self, now: float) -> float:
        """For how long its present box was frozen until now; what counts as held is left out."""
        if self.frozen_since is None:
            return self.frozen
        since, held = self.frozen_since
        return self.frozen + max(0.0, now - since - (self.held(now) - held))

    def held(self, now: float) -> float:
        """For how long its present box was held until now."""
        running = 0.0 if self.since is None else max(0.0, now - self.since)
        return min(self.counted + running, max(0.0, now - self.began))

    def worked(self, now: float) -> float:
        """The working time until now, in all boxes."""
        return self.earlier.worked + max(0.0, now - self.began - self.held(now) - self.frozen_until(now))

    def held_in_all(self, now: float) -> float:
        """For how long it was held or frozen until now, in all boxes and between them."""
        return self.earlier.held + self.held(now) + self.frozen_until(now)

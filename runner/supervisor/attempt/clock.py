"""The working time of an attempt: what its boxes lived, without the time in which the gateway held them.

In that time the agent had asked and could do nothing; so it is where it asked a person and waits for that.
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
        asked: Seconds besides these in which a person was asked and the box waited for that.
    """

    began: float
    earlier: Earlier = field(default_factory=Earlier)
    counted: float = 0.0
    since: float | None = None
    asked: float = 0.0

    def read(self, now: float, usage: Usage) -> WorkClock:
        """The clock after a reading. A count that began anew, after a crash, takes nothing back."""
        counted = max(self.counted, usage.held_s - self.earlier.told)
        return replace(self, counted=counted, since=None if usage.held is None else now)

    def asking(self, before: WorkClock, since: float, now: float) -> WorkClock:
        """The clock after a person was asked since a moment, at which it stood as `before`."""
        told = self._told(now) - before._told(since)
        return replace(self, asked=self.asked + max(0.0, now - since - max(0.0, told)))

    def _told(self, now: float) -> float:
        """For how long the gateway held its present box until now."""
        return self.counted + (0.0 if self.since is None else max(0.0, now - self.since))

    def held(self, now: float) -> float:
        """For how long its present box was held until now."""
        return min(self._told(now) + self.asked, max(0.0, now - self.began))

    def worked(self, now: float) -> float:
        """The working time until now, in all boxes."""
        return self.earlier.worked + max(0.0, now - self.began - self.held(now))

    def held_in_all(self, now: float) -> float:
        """For how long it was held until now, in all boxes and between them."""
        return self.earlier.held + self.held(now)

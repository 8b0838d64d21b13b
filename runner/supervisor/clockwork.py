"""What the clock brings about in a run: its start, its end, and what is too late to begin.

The moments of the run are the wall clock's, as people give them. They are turned into moments of a clock that
only goes forward once, when this process takes the run up: whoever sets the wall clock later, or wakes the
machine from its sleep, moves neither its start nor its end.
"""

from __future__ import annotations

from collections.abc import Iterator

from runner.supervisor import events as e
from runner.supervisor.deadline import Clocks, midnight
from runner.supervisor.state import RunState

LOOK = 30.0
"""Seconds between two looks at what is too late to begin: it is known to minutes at best."""


class Clockwork:
    """The clock of one run in this process."""

    def __init__(self, state: RunState, clocks: Clocks | None = None) -> None:
        """Take a run up; by default by the clocks of this host."""
        self._clocks = clocks or Clocks()
        self._starts = None if state.starts is None else self._clocks.comes(state.starts)
        self._ends = None if state.until is None else self._clocks.comes(state.until)
        self._looked: float | None = None

    def news(self, state: RunState) -> Iterator[e.Event]:
        """What has come since the last time."""
        now, at = self._clocks.steady(), self._clocks.wall()
        if not state.begun and (self._starts is None or now >= self._starts):
            yield e.RunBegan(at=at)
        if state.of_day is not None and at >= midnight(state.of_day):
            yield e.DayBegan(at=at)
        if self._ends is None or state.over:
            return
        if now >= self._ends:
            yield e.RunOver(at=at, until=state.until or at)
        elif state.takes and (self._looked is None or now - self._looked >= LOOK):
            self._looked = now
            late = tuple(too_late(state, self._ends - max(now, self._starts or now)))
            if late:
                yield e.TooLate(at=at, late=late)


def too_late(state: RunState, left: float) -> Iterator[e.Late]:
    """What waits and takes longer than the time that is left, and was not told before.

    Args:
        state: The run.
        left: Seconds until its end, or, before its start, from that to its end.
    """
    waiting = {(key.task, key.profile) for key, one in state.attempts.items() if one.phase == "queued"}
    for task, profile in sorted(waiting - state.late.keys()):
        takes = state.takes.get(f"{task}/{profile}")
        if takes is not None and takes > left:
            yield e.Late(task=task, profile=profile, takes=takes, left=left)

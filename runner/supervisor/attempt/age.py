"""How long a box has lived, whatever becomes of the clock on the wall."""

from __future__ import annotations

import os

from runner.sandbox.engine import BoxState
from runner.sandbox.kernel import content
from runner.sandbox.usage import PROC
from runner.supervisor.deadline import Clocks

JUMP = 1.0
"""Seconds: a wall clock that is off by more than this was set."""


class Age:
    """One box's, from the time at which it was taken up to watch.

    The engine notes by the wall clock when a box began and ended. The kernel notes in `/proc` when its first
    process began, by a clock that nobody sets (proc(5), `stat`, field 22); that counts, where it can be seen.

    Attributes:
        seconds: For how long the box had lived when it was taken up.
    """

    def __init__(self, state: BoxState | None, clocks: Clocks | None = None, proc: str = str(PROC)) -> None:
        """Take a box up that is in this state; None for one that is gone."""
        self._clocks = clocks or Clocks()
        wall = self._clocks.wall()
        told = 0.0 if state is None or state.started is None else wall - state.started
        known = None if state is None or not state.pid else _by_the_kernel(state.pid, self._clocks, proc)
        self.seconds = max(0.0, told) if known is None else known
        self._set_before = known is not None and abs(known - told) > JUMP
        self._offset = wall - self._clocks.steady()

    def lived(self, span: tuple[float, float] | None) -> float | None:
        """For how long it lived in all, once it has ended; None where the engine does not say, or can't know.

        Args:
            span: From when to when, as the engine says.
        """
        offset = self._clocks.wall() - self._clocks.steady()
        if span is None or self._set_before or abs(offset - self._offset) > JUMP:
            return None
        return max(0.0, span[1] - span[0])


def _by_the_kernel(pid: int, clocks: Clocks, proc: str) -> float | None:
    """For how long a process has lived; None where it can't be seen from here."""
    said = content(f"{proc}/{pid}/stat")
    if said is None:
        return None
    try:
        ticks = int(said.rpartition(")")[2].split()[19])
    except (ValueError, IndexError):
        return None
    return max(0.0, clocks.steady() - ticks / os.sysconf("SC_CLK_TCK"))

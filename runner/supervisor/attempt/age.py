"""How long a box has lived, whatever becomes of the clock on the wall."""

from __future__ import annotations

import os

from runner.sandbox.engine import BoxState
from runner.sandbox.kernel import content
from runner.sandbox.usage import PROC
from runner.supervisor.deadline import Clocks
from runner.supervisor.slept import Slept, slept

JUMP = 1.0
"""Seconds: a wall clock that is off by more than this was set."""


class Age:
    """One box's, from the time at which it was taken up to watch.

    The engine notes by the wall clock when a box began and ended. The kernel notes in `/proc` when its first
    process began, by a clock that nobody sets (proc(5), `stat`, field 22); that counts, where it can be seen.
    Both go on while the machine sleeps and nothing works: what it slept is left out.

    Attributes:
        whole: For how long the box had lived when it was taken up, the machine's sleep included.
        seconds: The same without that, as far as it is known.
    """

    def __init__(
        self,
        state: BoxState | None,
        clocks: Clocks | None = None,
        proc: str = str(PROC),
        *,
        began: Slept | None = None,
    ) -> None:
        """Take a box up.

        Args:
            state: As it is now; None for one that is gone.
            clocks: The clocks.
            proc: Where the kernel tells of processes.
            began: How long the machine had slept when it began; None where nobody knows: then it counts as
                if the machine had not slept until now.
        """
        self._clocks = clocks or Clocks()
        now = slept(self._clocks)
        self._began = began if began is not None and began.boot == now.boot else now
        wall = self._clocks.wall()
        told = 0.0 if state is None or state.started is None else wall - state.started
        known = None if state is None or not state.pid else _by_the_kernel(state.pid, self._clocks, proc)
        self.whole = max(0.0, told) if known is None else known
        self.seconds = max(0.0, self.whole - now.since(self._began))
        self._set_before = known is not None and abs(known - told) > JUMP
        self._offset = wall - self._clocks.steady()

    def lived(self, span: tuple[float, float] | None) -> float | None:
        """For how long it lived in all, once it has ended; None where the engine does not say, or can't know.

        The machine's sleep is left out; what may have been slept after the end counts as slept then.

        Args:
            span: From when to when, as the engine says.
        """
        wall = self._clocks.wall()
        offset = wall - self._clocks.steady()
        if span is None or self._set_before or abs(offset - self._offset) > JUMP:
            return None
        asleep = slept(self._clocks).since(self._began) - max(0.0, wall - span[1])
        return max(0.0, span[1] - span[0] - max(0.0, asleep))


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

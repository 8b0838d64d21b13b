"""For how long the machine has slept since it was started: what sleeps does not work, and is not silent."""

from __future__ import annotations

from pathlib import Path

from runner.supervisor.deadline import Clocks
from runner.tasks.plan import Value

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Slept(Value):
    """How long the machine had slept at some moment: a figure that counts within one start of the machine."""

    boot: str
    """Which start of the machine it counts in; empty where the system does not say."""
    seconds: float

    def since(self, earlier: Slept | None) -> float:
        """For how many seconds it slept since an earlier moment; 0 where that is not known."""
        if earlier is None or earlier.boot != self.boot:
            return 0.0
        return max(0.0, self.seconds - earlier.seconds)


def slept(clocks: Clocks | None = None) -> Slept:
    """How long the machine has slept until now."""
    clocks = clocks or Clocks()
    awake = clocks.awake()
    return Slept(boot=boot(), seconds=round(clocks.steady() - awake, 3))


def boot() -> str:
    """Which start of this machine this is; empty where the system does not say."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""

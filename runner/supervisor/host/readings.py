"""What the host has and uses at one moment, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from runner.sandbox.pressure import Pressure


@dataclass(frozen=True)
class Readings:
    """One look at the host. Sizes are bytes.

    Attributes:
        at: When, in seconds of a clock that only goes forward.
        cores: Its processors.
        busy_seconds: For how long they worked, in all and together, since the host was started.
        memory_available: What programs can get without swapping.
        load: How many tasks ran or waited, on average over one, five and fifteen minutes.
        disk_free: What is left where the state directory lies.
        pressure: What its work waited for.
    """

    at: float
    cores: int
    busy_seconds: float
    memory_total: int
    memory_available: int
    swap_total: int
    swap_used: int
    load: tuple[float, float, float]
    disk_total: int
    disk_free: int
    pressure: Pressure

    def busy_since(self, before: Readings | None) -> float | None:
        """How many of its cores worked, on average, since an earlier look; None without one."""
        if before is None or self.at <= before.at:
            return None
        worked = (self.busy_seconds - before.busy_seconds) / (self.at - before.at)
        return min(max(0.0, worked), float(self.cores))  # the kernel counts in ticks

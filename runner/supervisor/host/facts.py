"""What the host has and how it is under way, as plain values. Sizes are bytes; unknown is None."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.sandbox.pressure import Pressure


@dataclass(frozen=True)
class Disk:
    """A file system: bytes, and how many files can still be made (None where it does not count them)."""

    place: str
    total: int
    free: int
    files_free: int | None = None
    is_engines: bool = False
    """Whether the engine stores there, and not Corral."""


@dataclass(frozen=True)
class Processes:
    """Processes and threads of the whole host, and how many more this program itself may make."""

    most: int | None = None
    used: int | None = None
    own_left: int | None = None


@dataclass(frozen=True)
class Host:
    """What the host has. `disk_free` is where the state directory lies.

    `memory_free` is what programs can get without swapping (the kernel's `MemAvailable`); it is None where
    boxes live on another machine than this one. `load` is the number of tasks that run or want to, over the
    last minute.
    """

    cores: int
    memory_total: int
    memory_free: int | None
    disk_free: int
    swap_total: int = 0
    swap_free: int = 0
    disks: tuple[Disk, ...] = ()
    processes: Processes = Processes()
    load: float | None = None
    pressure: Pressure = field(default_factory=Pressure)


def tasks_of(loadavg: str) -> int | None:
    """How many processes and threads there are, by /proc/loadavg (proc(5): its fourth field, after the /)."""
    try:
        return int(loadavg.split()[3].partition("/")[2])
    except (IndexError, ValueError):
        return None

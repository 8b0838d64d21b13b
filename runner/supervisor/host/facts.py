"""What the host has and how it is under way, as plain values. Sizes are bytes; unknown is None."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class Stall:
    """How much of the last seconds was lost by waiting for one thing, in percent.

    `some`: at least one task waited; `full`: all that could have run did. Over the last 10 and 60 s.
    Source: Linux, Documentation/accounting/psi.rst.
    """

    some10: float = 0.0
    some60: float = 0.0
    full10: float = 0.0


@dataclass(frozen=True)
class Pressure:
    """What tasks of the host waited for; None where the kernel does not tell."""

    cpu: Stall | None = None
    memory: Stall | None = None
    io: Stall | None = None


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


def stall(text: str) -> Stall | None:
    """The figures of one file of /proc/pressure; None if it is not one."""
    rows: dict[str, dict[str, float]] = {}
    try:
        for line in text.splitlines():
            name, *fields = line.split()
            rows[name] = {key: float(value) for key, _, value in (one.partition("=") for one in fields)}
        some, full = rows["some"], rows.get("full", {})  # Linux before 5.13 tells no `full` of the CPUs
        return Stall(some["avg10"], some["avg60"], full.get("avg10", 0.0))
    except (KeyError, ValueError):
        return None


def tasks_of(loadavg: str) -> int | None:
    """How many processes and threads there are, by /proc/loadavg (proc(5): its fourth field, after the /)."""
    try:
        return int(loadavg.split()[3].partition("/")[2])
    except (IndexError, ValueError):
        return None

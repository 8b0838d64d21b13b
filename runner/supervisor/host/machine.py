"""The host that everything shares: the only module that asks psutil."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from runner.sandbox import pressure
from runner.supervisor.host.readings import Readings

MOST_JOBS = 16


@dataclass(frozen=True)
class Host:
    """What the host has. Memory and disk are bytes."""

    cores: int
    memory_total: int
    memory_free: int
    disk_free: int


def look(home: Path) -> Host:
    """The host as it is now; disk is where the state directory lies."""
    memory = psutil.virtual_memory()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    return Host(
        cores=psutil.cpu_count() or 1,
        memory_total=memory.total,
        memory_free=memory.available,
        disk_free=psutil.disk_usage(str(place)).free,
    )


def default_jobs(host: Host, memory_limits: list[int]) -> int:
    """How many attempts to run at once where nobody says: two a core, as far as memory bears.

    Agents wait for their model most of the time, hence two. Memory counts the largest limit asked for
    against what is free, since limits are promises.
    """
    by_memory = host.memory_free // max(memory_limits, default=1)
    return max(1, min(2 * host.cores, by_memory, MOST_JOBS))


def readings(home: Path) -> Readings:
    """What the host uses now; cheap enough to be asked once a second."""
    memory, swap, spent = psutil.virtual_memory(), psutil.swap_memory(), psutil.cpu_times()
    disk = psutil.disk_usage(str(next(folder for folder in (home, *home.parents) if folder.exists())))
    idle = spent.idle + getattr(spent, "iowait", 0.0)
    of_guests = getattr(spent, "guest", 0.0) + getattr(spent, "guest_nice", 0.0)  # counted as user time, too
    return Readings(
        at=time.monotonic(),
        cores=psutil.cpu_count() or 1,
        busy_seconds=sum(spent) - idle - of_guests,
        memory_total=memory.total,
        memory_available=memory.available,
        swap_total=swap.total,
        swap_used=swap.used,
        load=psutil.getloadavg(),
        disk_total=disk.total,
        disk_free=disk.free,
        pressure=pressure.of_host(),
    )

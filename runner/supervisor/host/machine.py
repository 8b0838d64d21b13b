"""The host that everything shares: the only module that asks psutil; what that does not know, the kernel.

What can't be read, as on other systems than Linux, is unknown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from runner.sandbox import pressure
from runner.sandbox.facts import EngineFacts
from runner.sandbox.pressure import Pressure
from runner.supervisor.host.facts import Disk, Host, Processes, tasks_of
from runner.supervisor.host.readings import Readings

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

HERE = 0.1
"""An engine whose memory differs by a larger share from this host's is on another one, or in a machine of its
own here."""


def look(home: Path, engine: EngineFacts | None = None, *, proc: Path = PROC) -> Host:
    """The host as it is now.

    Args:
        home: The state directory, whether it is there already or not.
        engine: What the engine says of itself. Where it runs on another machine, its CPUs and memory are what
            boxes have, and what is free of them is unknown.
        proc: Where the kernel tells of itself.
    """
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    disks = tuple(_disks(home, engine))
    elsewhere = not is_here(engine)
    return Host(
        cores=engine.cpus if engine is not None and engine.cpus else psutil.cpu_count() or 1,
        memory_total=engine.memory if engine is not None and elsewhere else memory.total,
        memory_free=None if elsewhere else memory.available,
        disk_free=disks[0].free,
        swap_total=swap.total,
        swap_free=swap.free,
        disks=disks,
        processes=Processes() if elsewhere else _processes(proc),
        load=None if elsewhere else _load(),
        pressure=Pressure() if elsewhere else pressure.of_host(proc / "pressure"),
    )


def memory_free() -> int:
    """What programs can get without swapping, in bytes; quick enough to be asked several times a second."""
    return int(psutil.virtual_memory().available)


def is_here(engine: EngineFacts | None) -> bool:
    """Whether an engine's boxes share this host's memory, as far as that can be told."""
    if engine is None or not engine.memory:
        return True
    total = psutil.virtual_memory().total
    return abs(engine.memory - total) <= HERE * total


def _disks(home: Path, engine: EngineFacts | None) -> Iterator[Disk]:
    """The file systems of the state directory and, where that is another one, of the engine."""
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    yield _disk(place, str(home))
    store = Path(engine.root_dir) if engine is not None and engine.root_dir else None
    try:
        if store is not None and store.stat().st_dev != place.stat().st_dev:
            yield _disk(store, str(store), is_engines=True)
    except OSError:  # it is not this host's, or not ours to look at
        return


def _disk(place: Path, name: str, *, is_engines: bool = False) -> Disk:
    here = os.statvfs(place)
    return Disk(
        place=name,
        total=here.f_blocks * here.f_frsize,
        free=here.f_bavail * here.f_frsize,
        files_free=here.f_favail if here.f_files else None,  # btrfs and others count no files
        is_engines=is_engines,
    )


def _processes(proc: Path) -> Processes:
    """Each process and each thread takes one of `pid_max` ids and counts for `threads-max` (proc(5))."""
    limits = [_number(proc / "sys" / "kernel" / name) for name in ("pid_max", "threads-max")]
    known = [limit for limit in limits if limit is not None]
    return Processes(min(known, default=None), tasks_of(_text(proc / "loadavg")), own_tasks_left(proc))


def own_tasks_left(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """How many more processes and threads the control groups let this program make; None for any number.

    Source: Linux, Documentation/admin-guide/cgroup-v1/pids.rst and cgroup-v2.rst. A group is bounded by all
    groups above it, too.
    """
    rows = [line.split(":", 2) for line in _text(proc / "self" / "cgroup").splitlines()]
    left: list[int] = []
    for row in rows:
        if len(row) == 3 and (row[1] == "pids" or row[:2] == ["0", ""]):
            root = cgroups / "pids" if row[1] else cgroups
            group = root / row[2].lstrip("/")
            chain = [group, *group.parents][: len(group.relative_to(root).parts) + 1]
            most = [(_number(one / "pids.max"), _number(one / "pids.current")) for one in chain]
            left += [most - used for most, used in most if most is not None and used is not None]
    return max(0, min(left)) if left else None


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


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    try:
        return int(_text(file))
    except ValueError:  # also the kernel's `max`
        return None

"""What a box uses now, read from its control group: version 1 or 2, as root or not.

Files and meanings: Linux, Documentation/admin-guide/cgroup-v1/{cpuacct,memory}.rst and cgroup-v2.rst.
Where the groups can't be read from here (a remote engine), the engine's own statistics are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """One reading: CPU seconds since the start, bytes of memory now and at most; None where unknown."""

    cpu_seconds: float | None = None
    memory: int | None = None
    peak_memory: int | None = None


@dataclass(frozen=True)
class Group:
    """Where a box's control group lies: one directory (version 2), or one per controller."""

    cpu: Path
    memory: Path
    version: int


def find_group(pid: int, proc: Path = PROC, root: Path = CGROUPS) -> Group | None:
    """The control group of a process as the host sees it, or None where it can't be seen."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    rows = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    by_controller = {name: path for _, names, path in rows for name in names.split(",")}
    if "memory" in by_controller and "cpuacct" in by_controller:
        cpu = root / "cpuacct" / by_controller["cpuacct"].lstrip("/")
        memory = root / "memory" / by_controller["memory"].lstrip("/")
        return Group(cpu, memory, 1) if memory.is_dir() else None
    if "" in by_controller:
        both = root / by_controller[""].lstrip("/")
        return Group(both, both, 2) if (both / "memory.current").exists() else None
    return None


def read(group: Group) -> Usage:
    """Read a group; what has vanished meanwhile is None."""
    if group.version == 1:
        nanoseconds = _number(group.cpu / "cpuacct.usage")
        return Usage(
            cpu_seconds=None if nanoseconds is None else nanoseconds / 1e9,
            memory=_working_set(
                group.memory / "memory.usage_in_bytes", group.memory / "memory.stat", "total_inactive_file"
            ),
            peak_memory=_number(group.memory / "memory.max_usage_in_bytes"),
        )
    microseconds = _field(group.cpu / "cpu.stat", "usage_usec")
    return Usage(
        cpu_seconds=None if microseconds is None else microseconds / 1e6,
        memory=_working_set(group.memory / "memory.current", group.memory / "memory.stat", "inactive_file"),
        peak_memory=_number(group.memory / "memory.peak"),
    )


def from_statistics(statistics: Mapping[str, Any]) -> Usage:
    """The same from one answer of the engine's statistics (API 1.41, `GET /containers/ID/stats`)."""
    cpu = statistics.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
    memory = statistics.get("memory_stats", {})
    return Usage(
        cpu_seconds=cpu / 1e9 if cpu else None,  # zeros are how the engine says that the box has ended
        memory=memory.get("usage") or None,
        peak_memory=memory.get("max_usage") or None,
    )


def _working_set(total: Path, statistics: Path, reclaimable: str) -> int | None:
    """Memory that can't simply be dropped: the total without file pages that nobody used lately."""
    used = _number(total)
    cache = _field(statistics, reclaimable)
    return used if used is None or cache is None else max(0, used - cache)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _field(file: Path, name: str) -> int | None:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        return None
    return None

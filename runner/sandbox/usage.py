"""What a box uses now, read from its control group: version 1 or 2, as root or not.

Files and meanings: Linux, Documentation/admin-guide/cgroup-v1/{cpuacct,memory,pids,blkio-controller}.rst,
cgroup-v2.rst, and scheduler/sched-bwc.rst. Where the groups can't be read from here (a remote engine), the
engine's own statistics are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from runner.sandbox import pressure, traffic
from runner.sandbox.kernel import content
from runner.sandbox.pressure import Pressure

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")

NO_LIMIT = 1 << 60
"""A version 1 group without a limit of memory holds the largest number of pages instead, in bytes."""


@dataclass(frozen=True)
class Usage:
    """One reading; None where unknown. Sizes are bytes.

    Attributes:
        cpu_seconds: CPU time since the start.
        user_seconds: The part of it that programs took.
        system_seconds: The part of it that the kernel took for them.
        periods: Periods of the CPU limit in which it was at work.
        throttled_periods: Those of them in which it had used up its limit, and was stopped until the next.
        throttled_seconds: For how long its CPUs were stopped for that, in all.
        memory: The working set: memory that can't simply be dropped, which is all of it without file pages
            that nobody used lately.
        memory_used: All memory charged to it, file pages too.
        peak_memory: The most of `memory_used` that there ever was.
        oom_kills: How many of its processes the kernel killed for want of memory.
        pids: Its processes and threads.
        peak_pids: The most of them that there ever were.
        pid_refusals: How often a process was not made because of its limit.
        read_bytes: What was read from disks.
        written_bytes: What was written to them.
        pressure: What its work waited for.
    """

    cpu_seconds: float | None = None
    user_seconds: float | None = None
    system_seconds: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_seconds: float | None = None
    memory: int | None = None
    memory_used: int | None = None
    peak_memory: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    peak_pids: int | None = None
    pid_refusals: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    pressure: Pressure | None = None

    def after(self, before: Usage) -> Usage:
        """This reading; what it lacks, since the box just ended, is kept from the one before."""
        told = {name: getattr(before if getattr(self, name) is None else self, name) for name in _NAMES}
        for peak in _NEVER_LESS:
            known = [most for most in (getattr(before, peak), getattr(self, peak)) if most is not None]
            told[peak] = max(known, default=None)
        return Usage(**told)


_NEVER_LESS = ("peak_memory", "peak_pids", "read_bytes", "written_bytes")
_NAMES = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True)
class Bounds:
    """The limits of a box as its group has them: cores, bytes, processes; None for none, or unknown."""

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None


@dataclass(frozen=True)
class Group:
    """Where a box's control group lies: one directory (version 2), or one per controller.

    `pressure` is its directory of the unified hierarchy, which is where pressure is counted; None where there
    is none.
    """

    cpu: Path
    memory: Path
    version: int
    cpuacct: Path
    pids: Path
    io: Path
    pressure: Path | None = None


def find_group(pid: int, proc: Path = PROC, root: Path = CGROUPS, container: str = "") -> Group | None:
    """The control group of a process as the host sees it, or None where it can't be seen.

    Args:
        pid: The process.
        proc: Where the kernel tells of processes.
        root: Where the groups are mounted.
        container: Whose process it is, by its id, which engines put into the group's name: where this process
            lives in a container of its own, or the engine on another host, that number is another's here.
    """
    text = content(f"{proc}/{pid}/cgroup")
    if container not in (text or ""):
        return None
    rows = [line.split(":", 2) for line in (text or "").splitlines() if line.count(":") >= 2]
    by_controller = {name: path.lstrip("/") for _, names, path in rows for name in names.split(",")}
    if "memory" in by_controller and "cpuacct" in by_controller:
        folders = {
            name: root / name / by_controller.get(name, by_controller["memory"])
            for name in ("cpu", "cpuacct", "memory", "pids", "blkio")
        }
        unified = root / "unified" / by_controller[""] if by_controller.get("") else None
        return (
            Group(
                cpu=folders["cpu"],
                memory=folders["memory"],
                version=1,
                cpuacct=folders["cpuacct"],
                pids=folders["pids"],
                io=folders["blkio"],
                pressure=unified if unified is not None and unified.is_dir() else None,
            )
            if folders["memory"].is_dir()
            else None
        )
    if "" in by_controller:
        both = root / by_controller[""]
        return Group(both, both, 2, both, both, both, both) if (both / "memory.current").exists() else None
    return None


def read(group: Group, proc: Path = PROC) -> Usage:
    """Read a group; what has vanished meanwhile is None."""
    return _version_1(group, proc) if group.version == 1 else _version_2(group)


def bounds(group: Group) -> Bounds:
    """The limits that a group has."""
    if group.version == 1:
        quota, period = _number(f"{group.cpu}/cpu.cfs_quota_us"), _number(f"{group.cpu}/cpu.cfs_period_us")
        memory = _number(f"{group.memory}/memory.limit_in_bytes")
        limit = None if memory is None or memory >= NO_LIMIT else memory
    else:
        said = (content(f"{group.cpu}/cpu.max") or "").split()
        quota, period = (_whole(part) for part in said) if len(said) == 2 else (None, None)
        limit = _number(f"{group.memory}/memory.max")
    cpus = quota / period if quota is not None and quota > 0 and period else None
    return Bounds(cpus, limit, _number(f"{group.pids}/pids.max"))


def _version_1(group: Group, proc: Path) -> Usage:
    cpu = _Fields(f"{group.cpu}/cpu.stat")
    memory = _number(f"{group.memory}/memory.usage_in_bytes")
    cache = _Fields(f"{group.memory}/memory.stat")["total_inactive_file"]
    moved = traffic.of_processes(f"{group.io}/cgroup.procs", proc) or traffic.from_blkio(
        content(f"{group.io}/blkio.throttle.io_service_bytes")
    )
    return Usage(
        cpu_seconds=_over(_number(f"{group.cpuacct}/cpuacct.usage"), 1e9),
        user_seconds=_over(_number(f"{group.cpuacct}/cpuacct.usage_user"), 1e9),
        system_seconds=_over(_number(f"{group.cpuacct}/cpuacct.usage_sys"), 1e9),
        periods=cpu["nr_periods"],
        throttled_periods=cpu["nr_throttled"],
        throttled_seconds=_over(cpu["throttled_time"], 1e9),
        memory=_working_set(memory, cache),
        memory_used=memory,
        peak_memory=_number(f"{group.memory}/memory.max_usage_in_bytes"),
        oom_kills=_Fields(f"{group.memory}/memory.oom_control")["oom_kill"],
        **_pids(group),
        read_bytes=moved[0] if moved else None,
        written_bytes=moved[1] if moved else None,
        pressure=None if group.pressure is None else pressure.of_group(group.pressure),
    )


def _version_2(group: Group) -> Usage:
    cpu = _Fields(f"{group.cpu}/cpu.stat")
    memory = _number(f"{group.memory}/memory.current")
    cache = _Fields(f"{group.memory}/memory.stat")["inactive_file"]
    moved = traffic.from_io_stat(content(f"{group.io}/io.stat"))
    return Usage(
        cpu_seconds=_over(cpu["usage_usec"], 1e6),
        user_seconds=_over(cpu["user_usec"], 1e6),
        system_seconds=_over(cpu["system_usec"], 1e6),
        periods=cpu["nr_periods"],
        throttled_periods=cpu["nr_throttled"],
        throttled_seconds=_over(cpu["throttled_usec"], 1e6),
        memory=_working_set(memory, cache),
        memory_used=memory,
        peak_memory=_number(f"{group.memory}/memory.peak"),
        oom_kills=_Fields(f"{group.memory}/memory.events")["oom_kill"],
        **_pids(group),
        read_bytes=moved[0] if moved else None,
        written_bytes=moved[1] if moved else None,
        pressure=None if group.pressure is None else pressure.of_group(group.pressure),
    )


def _pids(group: Group) -> dict[str, Any]:
    return {
        "pids": _number(f"{group.pids}/pids.current"),
        "peak_pids": _number(f"{group.pids}/pids.peak"),
        "pid_refusals": _Fields(f"{group.pids}/pids.events")["max"],
    }


def from_statistics(statistics: Mapping[str, Any]) -> Usage:
    """The same from one answer of the engine's statistics (API 1.41, `GET /containers/ID/stats`).

    Zeros are how the engine says that the box has ended. Peaks and what was moved are not known from it for
    every version of the groups, pressure and kills for none.
    """
    cpu, memory = statistics.get("cpu_stats") or {}, statistics.get("memory_stats") or {}
    spent, halted = cpu.get("cpu_usage") or {}, cpu.get("throttling_data") or {}
    if not spent.get("total_usage"):
        return Usage()
    told = memory.get("stats") or {}
    moved = traffic.from_statistics(statistics.get("blkio_stats") or {})
    return Usage(
        cpu_seconds=_over(spent.get("total_usage"), 1e9),
        user_seconds=_over(spent.get("usage_in_usermode"), 1e9),
        system_seconds=_over(spent.get("usage_in_kernelmode"), 1e9),
        periods=halted.get("periods"),
        throttled_periods=halted.get("throttled_periods"),
        throttled_seconds=_over(halted.get("throttled_time"), 1e9),
        memory=_working_set(memory.get("usage"), told.get("total_inactive_file", told.get("inactive_file"))),
        memory_used=memory.get("usage") or None,
        peak_memory=memory.get("max_usage") or None,
        pids=(statistics.get("pids_stats") or {}).get("current"),
        read_bytes=moved[0] if moved else None,
        written_bytes=moved[1] if moved else None,
    )


class _Fields:
    """The fields of a file that holds a name and a whole number on each line."""

    def __init__(self, file: str) -> None:
        self._text = "\n" + (content(file) or "")

    def __getitem__(self, name: str) -> int | None:
        _, found, rest = self._text.partition(f"\n{name} ")
        return _whole(rest.partition("\n")[0]) if found else None


def _working_set(used: int | None, reclaimable: int | None) -> int | None:
    return used if used is None or reclaimable is None else max(0, used - reclaimable)


def _over(count: int | None, unit: float) -> float | None:
    return None if count is None else count / unit


def _number(file: str) -> int | None:
    return _whole(content(file))


def _whole(text: str | None) -> int | None:
    """A whole number; None where there is none, such as for the word `max`."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None

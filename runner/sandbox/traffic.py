"""What a box read from disks and wrote to them, by whoever counts it: bytes, or None where nobody does.

Version 2 of the control groups counts both (`io.stat`). Version 1 charges what is written by way of the page
cache to nobody, and since Linux 6.10 counts nothing at all for a disk without a limit. So there the accounts
of the processes are added up (`/proc/PID/io`, Documentation/filesystems/proc.rst), where this process may
read them. A process hands its account to the one that waits for its end, so the sum holds what ended ones
did, too; only that of a process that nobody waits for is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from runner.sandbox.kernel import content

MOST_PROCESSES = 64
"""Of more processes than this the accounts are not added up: that would take too long, every second."""

DEVICES = Path("/sys/dev/block")

LOOP = "7:"
"""The loop devices' major number (Linux, Documentation/admin-guide/devices.txt)."""

Moved = tuple[int, int]
"""Bytes read, and bytes written."""


def from_io_stat(text: str | None, devices: Path = DEVICES) -> Moved | None:
    """By a version 2 group: `MAJOR:MINOR rbytes=… wbytes=… …` for each device that it used.

    Some kernels name a device twice, or not at all, or give it no figures. An empty file: nothing moved.
    """
    if text is None:
        return None
    moved: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in text.splitlines():
        names = [word for word in line.split() if "=" not in word]
        for word in line.split():
            name, _, value = word.partition("=")
            if name in {"rbytes", "wbytes"} and value.isdecimal():
                moved[names[-1] if names else ""][name] += int(value)
    return _once(((device, said["rbytes"], said["wbytes"]) for device, said in moved.items()), devices)


def from_blkio(text: str | None, devices: Path = DEVICES) -> Moved | None:
    """By a version 1 group: `MAJOR:MINOR Read BYTES` and the like; None if it tells of no device."""
    moved: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in (text or "").splitlines():
        said = line.split()
        if len(said) == 3 and said[2].isdecimal():
            moved[said[0]][said[1]] += int(said[2])
    rows = [(device, said["Read"], said["Write"]) for device, said in moved.items()]
    return _once(rows, devices) if rows else None


def from_statistics(statistics: Mapping[str, Any], devices: Path = DEVICES) -> Moved | None:
    """By the engine's statistics (`blkio_stats`); None if they tell of no device."""
    moved: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in statistics.get("io_service_bytes_recursive") or ():
        moved[f"{row['major']}:{row['minor']}"][str(row["op"]).lower()] += int(row["value"])
    rows = [(device, said["read"], said["write"]) for device, said in moved.items()]
    return _once(rows, devices) if rows else None


def of_processes(listed: str, proc: Path) -> Moved | None:
    """By the processes of a group; None where there are none, too many, or none that may be looked at.

    Args:
        listed: The file that lists them.
        proc: Where the kernel tells of processes.
    """
    pids = (content(listed, 64 * 1024) or "").split()
    if len(pids) > MOST_PROCESSES:
        return None
    accounts = [account for pid in pids if (account := content(f"{proc}/{pid}/io"))]
    if not accounts:
        return None
    return (
        sum(_said(a, "\nread_bytes: ") for a in accounts),
        sum(_said(a, "\nwrite_bytes: ") for a in accounts),
    )


def _said(account: str, name: str) -> int:
    return int(account.partition(name)[2].partition("\n")[0] or 0)


def _once(rows: Iterable[tuple[str, int, int]], devices: Path) -> Moved:
    """The sum over all devices. What passes through one that stands on others may be counted there again.

    Of the two sums, over those that stand on others and over the rest, the larger is taken: all that was
    moved, or nearly, and nothing twice.
    """
    sums = {True: [0, 0], False: [0, 0]}
    for device, read, written in rows:
        mine = sums[_is_stacked(device, devices)]
        mine[0] += read
        mine[1] += written
    return max(sums[True][0], sums[False][0]), max(sums[True][1], sums[False][1])


@lru_cache(maxsize=1024)
def _is_stacked(device: str, devices: Path) -> bool:
    """Whether a device stands on a file (a loop device) or on other devices (device mapper, RAID)."""
    if device.startswith(LOOP):
        return True
    try:
        return any((devices / device / "slaves").iterdir())
    except OSError:
        return False

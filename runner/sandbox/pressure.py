"""Pressure: for how much of the time work waited for CPU, memory or IO, as the kernel counts it.

Format and meaning: Linux, Documentation/accounting/psi.rst. The host's stands in `/proc/pressure`, a control
group's in its directory of the unified hierarchy, which also hosts with version 1 may have mounted. Kernels
before 4.20, and those that were built or started without it, have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.sandbox.kernel import content

PROC_PRESSURE = Path("/proc/pressure")
KINDS = ("cpu", "memory", "io")
"""In the order in which `Pressure` holds them."""


@dataclass(frozen=True)
class Stall:
    """How long work waited for one thing.

    Attributes:
        some: Percent of the last ten seconds in which at least one process waited for it.
        full: Percent of the last ten seconds in which all that could have worked did.
        some_seconds: Seconds in all in which at least one waited.
        full_seconds: Seconds in all in which all did.

    `full` is None where the kernel does not count it: that of CPU, before 5.13.
    """

    some: float
    full: float | None
    some_seconds: float
    full_seconds: float | None


@dataclass(frozen=True)
class Pressure:
    """What work waited for; None where that is unknown."""

    cpu: Stall | None = None
    memory: Stall | None = None
    io: Stall | None = None


def parse(text: str) -> Stall | None:
    """What one pressure file says; None if it says nothing that is understood."""
    rows = {}
    for line in text.splitlines():
        name, _, figures = line.partition(" ")
        said = dict(pair.partition("=")[::2] for pair in figures.split())
        try:
            rows[name] = float(said["avg10"]), int(said["total"]) / 1e6
        except (KeyError, ValueError):
            return None
    if "some" not in rows:
        return None
    some, some_seconds = rows["some"]
    full, full_seconds = rows.get("full", (None, None))
    return Stall(some, full, some_seconds, full_seconds)


def of_host(folder: Path = PROC_PRESSURE) -> Pressure:
    """The host's own pressure."""
    return Pressure(*(_stall(f"{folder}/{kind}") for kind in KINDS))


def of_group(folder: Path) -> Pressure:
    """The pressure in a control group; `folder` is its directory of the unified hierarchy."""
    return Pressure(*(_stall(f"{folder}/{kind}.pressure") for kind in KINDS))


def _stall(file: str) -> Stall | None:
    text = content(file)
    return None if text is None else parse(text)

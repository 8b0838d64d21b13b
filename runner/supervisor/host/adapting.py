"""How many attempts live at once where nobody says a number: as many as the host bears. Pure.

It begins with two a core, since agents wait for their model most of the time, and is changed a little at a
time: up while processors idle and something waits, down while tasks wait for processors or memory, and sooner
while memory runs out. What memory allows is for the admission to say, attempt by attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from runner.gateway.grants import Outlook
from runner.supervisor.host.facts import Host

PER_CORE_FIRST, PER_CORE_MOST = 2, 8
MOST_FIRST, MOST = 16, 64
"""So many at first, and in the end, on any host."""
UP_AFTER, DOWN_AFTER = 15.0, 15.0
"""Seconds between two changes: the load of a host is a mean over the last minute, its pressure over 10 s."""
STRAINED_AFTER = 5.0
"""The same while memory runs out: by then it shows what the last change did."""
BUSY_CPU, IDLE_CPU = 60.0, 25.0
"""Percent of the last ten seconds in which some task waited for a processor."""
BUSY_MEMORY, IDLE_MEMORY = 10.0, 1.0
"""The same for memory: waiting for that is thrashing, so little of it counts."""
BUSY_LOAD, IDLE_LOAD = 2.0, 1.0
"""Tasks a core that run or want to."""


@dataclass(frozen=True)
class Jobs:
    """How many attempts live at once, since when (on a clock that only goes forward), and why so many."""

    at_once: int
    least: int
    most: int
    changed: float
    why: str = ""


@dataclass(frozen=True)
class Seen:
    """What the number follows.

    Attributes:
        living: Attempts that live.
        waiting: Whether something would start if one more might live.
        host: How the host is under way.
        strained: Whether its memory was about to run out just now.
        paced: Why more agents would only wait in the gateway; empty if they would not.
    """

    living: int
    waiting: bool
    host: Host
    strained: bool = False
    paced: str = ""


def first_jobs(host: Host, memory_limits: Iterable[int]) -> int:
    """With how many it begins: two a core, as far as memory bears the largest limit that is asked for."""
    largest = max(memory_limits, default=1)
    bears = host.cores * PER_CORE_FIRST if host.memory_free is None else host.memory_free // largest
    return max(1, min(PER_CORE_FIRST * host.cores, bears, MOST_FIRST))


def begin(at_once: int, cores: int, now: float) -> Jobs:
    """The number at the start of a run."""
    most = max(at_once, min(MOST, PER_CORE_MOST * cores))
    return Jobs(at_once, least=min(at_once, max(1, cores)), most=most, changed=now)


def adapt(jobs: Jobs, seen: Seen, now: float) -> Jobs:
    """The number from now on."""
    since = now - jobs.changed
    if seen.strained and since >= STRAINED_AFTER:
        fewer = max(1, min(jobs.at_once, seen.living) - 1)
        return _changed(jobs, fewer, "the host has hardly any memory left", now)
    busy = _busy(seen.host)
    if busy and since >= DOWN_AFTER:
        fewer = min(jobs.at_once, max(jobs.least, jobs.at_once - 1))  # strain can have led below the least
        return _changed(jobs, fewer, busy, now)
    wanted = seen.waiting and seen.living >= jobs.at_once and not seen.paced
    if wanted and since >= UP_AFTER and _idle(seen.host):
        more = jobs.at_once + max(1, jobs.at_once // 4)
        return _changed(jobs, min(jobs.most, more), "the host bears more", now)
    return jobs


def paced(outlooks: Sequence[Outlook]) -> str:
    """Why more agents would only wait for their turn at their accounts; empty if they would not.

    Where at any account more requests wait for their turn than are being answered, one agent more gets
    nothing that another does not lose.
    """
    asked = [one for one in outlooks if one.in_flight or one.waiting]
    if not asked or any(one.waiting <= one.in_flight for one in asked):
        return ""
    return f"{sum(one.waiting for one in asked)} requests wait for their turn at their accounts"


def _changed(jobs: Jobs, at_once: int, why: str, now: float) -> Jobs:
    return jobs if at_once == jobs.at_once else replace(jobs, at_once=at_once, why=why, changed=now)


def _busy(host: Host) -> str:
    """What tasks wait for too much, in words; empty if they don't."""
    cpu, memory = host.pressure.cpu, host.pressure.memory
    if memory is not None and memory.some > BUSY_MEMORY:
        return f"tasks waited for memory for {memory.some:.0f} % of the last seconds"
    loaded = host.load is not None and host.load > BUSY_LOAD * host.cores
    if loaded and (cpu is None or cpu.some > BUSY_CPU):
        return f"the load is {host.load:.1f} on {host.cores} cores"
    return ""


def _idle(host: Host) -> bool:
    """Whether processors and memory bear more; where that is unknown, they are not taken to."""
    cpu, memory = host.pressure.cpu, host.pressure.memory
    if memory is not None and memory.some > IDLE_MEMORY:
        return False
    if cpu is not None and cpu.some > IDLE_CPU:
        return False
    return host.load is not None and host.load < IDLE_LOAD * host.cores

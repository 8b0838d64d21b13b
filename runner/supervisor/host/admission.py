"""Whether the host can bear one attempt more: a pure function of what it has and of what lives on it.

Two things must hold for each of memory, CPUs, processes and disk. The sum of the limits of all that lives,
of every run on the state directory, stays below what can be given away, times a stated overcommit. And what
is really free is enough now, whatever the sums say. Where nothing lives, an attempt that fits the sums is
started on what there is: a limit is what it may use at most, and nobody would make room by waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.supervisor.host.facts import Disk, Host
from runner.tasks.plan import GIB, Limits, Value
from runner.tasks.units import MIB, format_size

Thing = Literal["memory", "cpus", "processes", "disk", "files", "turn"]
"""What there can be too little of; `turn`: another run has less of the host, and waits too."""

SETTLING = 60.0
"""Seconds after its start in which an attempt is taken to need all of its memory limit yet."""
SPARE = 1.25
"""An attempt that has settled is taken to grow to this much of the most that it has used so far."""
LEAST_MEMORY = 512 * MIB
"""What must really be free for an attempt that is alone, if its limit is not smaller."""
OWN_TASKS = 16
"""Threads and processes that this program needs for one attempt: three threads while it lives, and some git
processes, of which some have threads of their own, while its work comes home."""
HOST_PROCESSES = 0.1
"""The share of all processes that stays for the host."""
OPEN = "not promised yet"
FEWEST_FILES = 2000
"""Files that can still be made: a workspace and a repository's base need some hundred."""
ENOUGH_MEMORY, ENOUGH_DISK = 4 * GIB, GIB
"""More than this does not stay free by default, however large the host is."""
LEAST_KEPT = 512 * MIB
"""Less memory does not stay free by default, however small it is."""
FLOOR = 0.4
"""The share of the memory that is to stay free below which a host is about to fail: by default a twenty-fifth
of all its memory, from 205 MiB to 1.6 GiB. earlyoom kills at a twentieth, which on a large host is a lot; the
kubelet evicts at 100 MiB, which one build can take between two looks."""


@dataclass(frozen=True)
class Policy:
    """How much is given away: so many times what there is. What stays free (None: by default) is left out."""

    memory: float = 1.5
    cpus: float = 10.0
    disk: float = 8.0
    keep_memory: int | None = None
    critical_memory: int | None = None
    keep_disk: int | None = None
    patience: float = 1800.0
    """Seconds for which something waits while nothing lives that could make room."""

    def kept_memory(self, total: int) -> int:
        """Bytes of memory that stay with the host: a tenth by default, from 512 MiB to 4 GiB."""
        usual = max(LEAST_KEPT, min(ENOUGH_MEMORY, total // 10))
        return usual if self.keep_memory is None else self.keep_memory

    def floor(self, total: int) -> int:
        """Bytes of free memory below which a host is about to fail."""
        usual = int(FLOOR * self.kept_memory(total))
        return usual if self.critical_memory is None else self.critical_memory

    def enough(self, total: int) -> int:
        """Bytes of free memory with which it is not: by default, what is to stay free."""
        return self.floor(total) + int((1 - FLOOR) * self.kept_memory(total))

    def kept_disk(self, total: int) -> int:
        """Bytes that stay free on a disk: a twentieth by default, and 1 GiB at most."""
        return min(ENOUGH_DISK, total // 20) if self.keep_disk is None else self.keep_disk


class Needs(Value):
    """What an attempt may use at most."""

    cpus: float = 0.0
    memory: int = 0
    pids: int = 0
    disk: int = 0

    @classmethod
    def of(cls, limits: Limits) -> Needs:
        """What an attempt with these limits may use."""
        return cls(cpus=limits.cpus, memory=limits.memory, pids=limits.pids, disk=limits.disk)


class Claim(Value):
    """What a living attempt has been let have, and how much of it it uses.

    `since` is when it was started, `taken_up` since when its supervisor reads what it uses, in seconds of a
    clock that all processes of this host share. `used` and `peak` are bytes of memory, `stored` bytes that
    its files take on the host's disk. None while unknown.
    """

    attempt: str
    since: float
    needs: Needs
    taken_up: float | None = None
    used: int | None = None
    peak: int | None = None
    stored: int | None = None
    running: bool = False
    """Whether its agent's box runs, so that it could be frozen."""
    frozen_since: float | None = None
    paused: bool = False
    """Whether a person froze it: it stays so until a person lets it go on, and is ended by nobody."""

    @property
    def frozen(self) -> bool:
        """Whether it is frozen: it keeps its memory and takes no more."""
        return self.frozen_since is not None

    def growth(self, now: float) -> int:
        """By how many bytes of memory it is taken to grow from now."""
        if self.used is None or self.peak is None or now - self.since < SETTLING:
            return max(0, self.needs.memory - (self.used or 0))
        return max(0, min(self.needs.memory, int(SPARE * self.peak)) - self.used)


@dataclass(frozen=True)
class Short:
    """What there is too little of for an attempt to start: which thing, and why in words."""

    thing: Thing
    why: str
    share: float = 0.0
    """How much of what it needs is there, from 0 to 1: the smallest of several is the scarcest."""


@dataclass(frozen=True)
class Waiting:
    """A run of which something waits for the host: since when, and what it has of it so far."""

    run: str
    since: float
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Room:
    """What the host has, and who lives on it.

    Attributes:
        host: What it has.
        policy: How much of that is given away.
        claims: What lives, of all runs.
        now: The time, on the clock of the claims.
        closed: Why nothing of this run is started at all just now; None if something may be.
    """

    host: Host
    policy: Policy = field(default_factory=Policy)
    claims: tuple[Claim, ...] = ()
    now: float = 0.0
    closed: Short | None = None

    def short(self, needs: Needs) -> Short | None:
        """What there is too little of for one more attempt: the scarcest thing; None where it fits."""
        return self.closed or min(self._lacks(needs), key=lambda one: one.share, default=None)

    def never(self, needs: Needs) -> Short | None:
        """What this host has too little of, even if nothing else lived on it; None where it would fit."""
        alone = replace(self, claims=(), closed=None)
        return min(alone._sums(needs), key=lambda one: one.share, default=None)  # noqa: SLF001 - of its own kind

    def taken(self, claim: Claim) -> Room:
        """The room that is left with one more."""
        return replace(self, claims=(*self.claims, claim))

    def share(self, claims: tuple[Claim, ...]) -> float:
        """The share of the host that these have: of that thing of which it is the largest.

        Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011.
        """
        most = (
            (sum(one.needs.memory for one in claims), self.memory),
            (sum(one.needs.cpus for one in claims), self.cpus),
            (sum(one.needs.pids for one in claims), self.processes),
            (sum(one.needs.disk for one in claims), self.disk),
        )
        return max(used / there for used, there in most if there is not None and there > 0) if claims else 0.0

    def yields(self, own: Waiting, others: Iterable[Waiting]) -> Waiting | None:
        """The run whose turn comes before this one's: it waits, and has less, or as much and waits longer."""
        first = min((own, *others), key=lambda one: (self.share(one.claims), one.since, one.run))
        return None if first is own else first

    @property
    def memory(self) -> int:
        """Bytes of memory that can be given away."""
        total = self.host.memory_total
        return max(0, int((total - self.policy.kept_memory(total)) * self.policy.memory))

    @property
    def cpus(self) -> float:
        """CPUs that can be given away."""
        return self.host.cores * self.policy.cpus

    @property
    def processes(self) -> int | None:
        """Processes that can be given away."""
        most = self.host.processes.most
        return None if most is None else int(most * (1 - HOST_PROCESSES))

    @property
    def disk(self) -> int | None:
        """Bytes of the state directory's disk that can be given away: what is free, and what was given."""
        disk = next((one for one in self.host.disks if not one.is_engines), None)
        if disk is None:
            return None
        given = sum(one.stored or 0 for one in self.claims)
        return int(max(0, disk.free + given - self.policy.kept_disk(disk.total)) * self.policy.disk)

    # -- what is too little

    def _lacks(self, needs: Needs) -> Iterator[Short]:
        yield from self._sums(needs)
        yield from self._free_memory(needs)
        yield from self._free_processes(needs)
        for disk in self.host.disks:
            yield from self._free_disk(disk, needs)

    def _sums(self, needs: Needs) -> Iterator[Short]:
        """What there is too little of by the limits of all that lives."""
        given = Needs(
            cpus=sum(one.needs.cpus for one in self.claims),
            memory=sum(one.needs.memory for one in self.claims),
            pids=sum(one.needs.pids for one in self.claims),
            disk=sum(one.needs.disk for one in self.claims),
        )
        yield from _too_little("memory", needs.memory, self.memory - given.memory, OPEN, size=True)
        yield from _too_little("cpus", needs.cpus, self.cpus - given.cpus, OPEN)
        if self.processes is not None:
            yield from _too_little("processes", needs.pids, self.processes - given.pids, OPEN)
        if self.disk is not None and self.claims:  # alone, it gets a smaller disk where there is no more
            yield from _too_little("disk", needs.disk, self.disk - given.disk, OPEN, size=True)

    def _free_memory(self, needs: Needs) -> Iterator[Short]:
        free = self.host.memory_free
        if free is None:
            return
        if not self.claims:
            least = min(needs.memory, LEAST_MEMORY)
            yield from _too_little(
                "memory", least, free - self.policy.floor(self.host.memory_total), "free", size=True
            )
            return
        growth = sum(one.growth(self.now) for one in self.claims)
        free -= self.policy.kept_memory(self.host.memory_total) + growth
        how = f"free; {format_size(growth)} are kept for what runs" if growth else "free"
        yield from _too_little("memory", needs.memory, free, how, size=True)

    def _free_processes(self, needs: Needs) -> Iterator[Short]:
        processes = self.host.processes
        if processes.own_left is not None:
            yield from _too_little("processes", OWN_TASKS, processes.own_left, "left to Corral itself")
        if processes.most is not None and processes.used is not None:
            free = processes.most - processes.used - int(HOST_PROCESSES * processes.most)
            yield from _too_little("processes", needs.pids, free, "free")

    def _free_disk(self, disk: Disk, needs: Needs) -> Iterator[Short]:
        """A disk that is nearly full takes nothing more; else one more must find room, unless it is alone."""
        kept = self.policy.kept_disk(disk.total)
        where = f"free in {disk.place}"
        if disk.free < kept:
            words = f"disk: {format_size(disk.free)} {where}, and {format_size(kept)} are to stay free"
            yield Short("disk", words, disk.free / (kept + 1))
        elif self.claims and not disk.is_engines:
            yield from _too_little("disk", needs.disk, disk.free - kept, where, size=True)
        if disk.files_free is not None:
            yield from _too_little("files", FEWEST_FILES, disk.files_free, f"can be made in {disk.place}")


def _too_little(
    thing: Thing, needed: float, there: float, how: str, *, size: bool = False
) -> Iterator[Short]:
    there = max(0.0, there)
    if needed > there:
        written = format_size if size else _plain
        yield Short(thing, f"{thing}: needs {written(needed)}, {written(there)} {how}", there / needed)


def _plain(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")

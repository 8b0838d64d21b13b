"""What an attempt's boxes used, as samples over its life: how they are kept, and what they tell. Pure.

A file of samples is a header, what the boxes before the present one used, and samples of one size. It holds
`MOST` of them: when it is full, each two become one, and from then on each stands for twice the time. So it
is bounded for a life of any length, and what it says of the whole stays exact: a sample holds what was used
since the attempt began, and the most of what comes and goes in its time.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

from runner.sandbox.pressure import Stall
from runner.sandbox.usage import Usage
from runner.tasks.plan import Value

Number = TypeVar("Number", int | None, float | None)

MOST = 4096
"""Samples in a file: at one a second more than an hour, in steps of eight seconds more than nine hours."""

MAGIC = b"corral:u"
VERSION = 1


class Used(Value):
    """What an attempt's boxes used in all; None where unknown. Sizes are bytes."""

    cpu_seconds: float | None = None
    throttled: float | None = None
    """The share of the periods at work in which their limit of CPU stopped them, from 0 to 1."""
    throttled_seconds: float | None = None
    peak_working_set: int | None = None
    """The most memory at one time that could not simply be dropped."""
    read_bytes: int | None = None
    written_bytes: int | None = None
    most_pids: int | None = None
    """The most processes and threads at one time."""
    pid_refusals: int | None = None
    """How often a process was not made because of `limits.pids`."""
    oom_kills: int | None = None
    """How many processes the kernel killed for want of memory."""
    disk_used: int | None = None
    """The most that their files took on the attempt's disk."""
    cpu_waited: float | None = None
    """Seconds in which something of them waited for CPU."""
    memory_waited: float | None = None
    io_waited: float | None = None


@dataclass(frozen=True)
class Sample:
    """One sample; None where unknown.

    `at` is in seconds since the first look. `memory`, `pids` and `disk` are the most in its time; the others
    count from the attempt's beginning, over all of its boxes.
    """

    at: float = 0.0
    cpu_seconds: float | None = None
    throttled_seconds: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    oom_kills: int | None = None
    pid_refusals: int | None = None
    cpu_waited: float | None = None
    memory_waited: float | None = None
    io_waited: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    memory: int | None = None
    pids: int | None = None
    peak_pids: int | None = None
    disk: int | None = None


_WIDE, _NARROW = ("Q", 2**64 - 1), ("I", 2**32 - 1)
"""Each field is a whole number of a unit; the largest that fits says that it is unknown."""

_FORM: dict[str, tuple[tuple[str, int], float]] = {
    "at": (_NARROW, 0.001),
    "cpu_seconds": (_NARROW, 0.001),
    "throttled_seconds": (_NARROW, 0.001),
    "periods": (_NARROW, 1),
    "throttled_periods": (_NARROW, 1),
    "oom_kills": (_NARROW, 1),
    "pid_refusals": (_NARROW, 1),
    "cpu_waited": (_NARROW, 0.001),
    "memory_waited": (_NARROW, 0.001),
    "io_waited": (_NARROW, 0.001),
    "read_bytes": (_WIDE, 1),
    "written_bytes": (_WIDE, 1),
    "memory": (_NARROW, 1024),
    "pids": (_NARROW, 1),
    "peak_pids": (_NARROW, 1),
    "disk": (_NARROW, 1024),
}
"""Of each field, how wide it is, and its unit: milliseconds, KiB, or one."""

GAP = 3.0
"""Seconds for which one look at a box stands at most; when nobody looked for longer, nothing is known."""

GAUGES = ("memory", "pids", "peak_pids", "disk")
"""Fields that come and go."""
COUNTERS = tuple(name for name in _FORM if name not in {"at", *GAUGES})
"""Fields that only grow, within one box."""

_SAMPLE = struct.Struct("<" + "".join(form for (form, _), _ in _FORM.values()))
_HEADER = struct.Struct("<8sHHId12s")
SIZE = _SAMPLE.size
"""Bytes of one sample."""


@dataclass(frozen=True)
class Record:
    """What a file of samples holds.

    Attributes:
        began: When the first look was, in seconds since the epoch.
        box: The present box, by the first twelve digits of its container's id.
        base: What the boxes before it used.
        stride: How many looks a sample stands for.
        samples: The samples, the latest last.
    """

    began: float
    box: str
    base: Sample = Sample()
    stride: int = 1
    samples: tuple[Sample, ...] = ()

    def encode(self) -> bytes:
        """The whole file."""
        head = _HEADER.pack(MAGIC, VERSION, SIZE, self.stride, self.began, self.box.encode()[:12])
        return head + b"".join(map(encode, (self.base, *self.samples)))

    @staticmethod
    def size(count: int) -> int:
        """Bytes of a file with so many samples."""
        return _HEADER.size + (count + 1) * SIZE

    @property
    def last(self) -> Sample:
        """The latest sample; before there is one, what the earlier boxes used."""
        return self.samples[-1] if self.samples else self.base

    def of_box(self, box: str) -> Record:
        """The same for a box that may be another one, whose own counts start from nothing."""
        if box[:12] == self.box:
            return self
        counted = {name: getattr(self.last, name) for name in COUNTERS}
        return replace(self, box=box[:12], base=Sample(**counted))

    def halved(self) -> Record:
        """The same with half as many samples."""
        pairs = zip(self.samples[::2], self.samples[1::2], strict=False)
        odd = self.samples[-1:] if len(self.samples) % 2 else ()
        return replace(
            self, stride=2 * self.stride, samples=(*(merged(first, second) for first, second in pairs), *odd)
        )


def decode(content: bytes) -> Record | None:
    """What a file holds; None if it is not one of ours. What is torn at its end is left out."""
    if len(content) < _HEADER.size + SIZE:
        return None
    magic, version, size, stride, began, box = _HEADER.unpack_from(content)
    if (magic, version, size) != (MAGIC, VERSION, SIZE) or stride < 1:
        return None
    rows = content[_HEADER.size : _HEADER.size + (len(content) - _HEADER.size) // SIZE * SIZE]
    base, *samples = (_decoded(row) for row in _SAMPLE.iter_unpack(rows))
    return Record(
        began, box.rstrip(b"\0").decode("ascii", "replace"), base, stride, tuple(_in_order(samples))
    )


def encode(sample: Sample) -> bytes:
    """One sample as the file holds it."""
    values = []
    for name, ((_, unknown), unit) in _FORM.items():
        value = getattr(sample, name)
        values.append(unknown if value is None else min(max(0, round(value / unit)), unknown - 1))
    return _SAMPLE.pack(*values)


def _decoded(row: tuple[int, ...]) -> Sample:
    told: dict[str, Any] = {}
    for (name, ((_, unknown), unit)), value in zip(_FORM.items(), row, strict=True):
        if value != unknown:
            told[name] = value * unit
    return Sample(**told)


def _in_order(samples: Sequence[Sample]) -> Iterable[Sample]:
    """The samples that follow one another: where the host crashed, a file may end with nothing but zeros."""
    latest = -1.0
    for sample in samples:
        if sample.at > latest:
            latest = sample.at
            yield sample


def merged(first: Sample, second: Sample) -> Sample:
    """Two samples that follow one another as one; the most of what only grows is the last of it."""
    told = {name: _most(getattr(first, name), getattr(second, name)) for name in (*COUNTERS, *GAUGES)}
    return Sample(at=second.at, **told)


def sampled(at: float, usage: Usage, disk: int | None, base: Sample) -> Sample:
    """One look at a box as a sample of its attempt, whose earlier boxes used what `base` says."""
    waited = usage.pressure
    counts = {
        "cpu_seconds": usage.cpu_seconds,
        "throttled_seconds": usage.throttled_seconds,
        "periods": usage.periods,
        "throttled_periods": usage.throttled_periods,
        "oom_kills": usage.oom_kills,
        "pid_refusals": usage.pid_refusals,
        "cpu_waited": _waited(waited.cpu if waited else None),
        "memory_waited": _waited(waited.memory if waited else None),
        "io_waited": _waited(waited.io if waited else None),
        "read_bytes": usage.read_bytes,
        "written_bytes": usage.written_bytes,
    }
    told: dict[str, Any] = {name: _sum(getattr(base, name), count) for name, count in counts.items()}
    return Sample(at=at, memory=usage.memory, pids=usage.pids, peak_pids=usage.peak_pids, disk=disk, **told)


def in_all(record: Record) -> Used:
    """What an attempt used, by its samples."""
    whole = record.base
    for sample in record.samples:
        whole = merged(whole, sample)
    shown = {field: getattr(whole, field) for field in Used.model_fields if hasattr(whole, field)}
    return Used(
        **shown,
        throttled=_share(whole.throttled_periods, whole.periods),
        peak_working_set=whole.memory,
        most_pids=_most(whole.pids, whole.peak_pids),
        disk_used=whole.disk,
    )


@dataclass(frozen=True)
class Course:
    """How an attempt's use went, in steps of the same length; None where a step is unknown.

    Attributes:
        began: When it began, in seconds since the epoch.
        step: Seconds of one step.
        cores: CPU used, in cores.
        memory: The most of the working set, in bytes.
        pids: The most processes.
        disk: The most that its files took, in bytes.
        read: Bytes read in a second.
        written: Bytes written in a second.
    """

    began: float
    step: float
    cores: tuple[float | None, ...] = ()
    memory: tuple[int | None, ...] = ()
    pids: tuple[int | None, ...] = ()
    disk: tuple[int | None, ...] = ()
    read: tuple[float | None, ...] = ()
    written: tuple[float | None, ...] = ()


def course(record: Record, steps: int) -> Course:
    """How the use went, in at most so many steps."""
    samples, length = record.samples, record.last.at
    if not samples or not length:
        return Course(record.began, 0.0)
    count = min(steps, len(samples))
    edges = [length * n / count for n in range(count + 1)]
    steps_of = [_in_step(record, start, end) for start, end in pairwise(edges)]
    return Course(
        began=record.began,
        step=length / count,
        cores=_rates(samples, "cpu_seconds", edges),
        memory=tuple(_most(*(sample.memory for sample in step)) for step in steps_of),
        pids=tuple(_most(*(sample.pids for sample in step)) for step in steps_of),
        disk=tuple(_most(*(sample.disk for sample in step)) for step in steps_of),
        read=_rates(samples, "read_bytes", edges),
        written=_rates(samples, "written_bytes", edges),
    )


def _in_step(record: Record, start: float, end: float) -> Sequence[Sample]:
    """The samples that tell of this step; a sample tells of the time since the one before, but of no gap."""
    samples = record.samples
    first = bisect_right(samples, start, key=lambda sample: sample.at)
    last = bisect_left(samples, end, key=lambda sample: sample.at)
    return [one for one in samples[first : last + 1] if one.at - GAP * record.stride < end]


def _rates(samples: Sequence[Sample], name: str, edges: Sequence[float]) -> tuple[float | None, ...]:
    """By how much a count grew in a second, between each two edges; counts begin with nothing."""
    known = [(sample.at, getattr(sample, name)) for sample in samples if getattr(sample, name) is not None]
    points = [(0.0, 0.0), *known]
    values = [_between(points, edge) if known else None for edge in edges]
    return tuple(
        None if before is None or after is None else max(0.0, after - before) / (end - start)
        for (before, after), (start, end) in zip(pairwise(values), pairwise(edges), strict=True)
    )


def _between(points: Sequence[tuple[float, float]], at: float) -> float | None:
    """A count at a moment, as if it grew evenly between two looks; None after the last one."""
    n = bisect_left(points, at, key=lambda point: point[0])
    if n == len(points):
        return None
    (start, before), (end, after) = points[max(0, n - 1)], points[n]
    return after if end == start else before + (after - before) * (at - start) / (end - start)


def _share(part: int | None, whole: int | None) -> float | None:
    if part is None or whole is None:
        return None
    return part / whole if whole else 0.0


def _waited(stall: Stall | None) -> float | None:
    return None if stall is None else stall.some_seconds


def _sum(before: float | None, now: float | None) -> float | None:
    return before if now is None else now + (before or 0)


def _most(*values: Number) -> Number:
    """The largest of those that are known."""
    return max((value for value in values if value is not None), default=None)

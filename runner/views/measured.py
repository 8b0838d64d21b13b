"""What an attempt used, in words, and how that went, drawn with a character for each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from runner.supervisor.attempt.samples import Course, Record, Used, course, in_all
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Limits
from runner.views import wording
from runner.views.summary import Json

LEVELS = "▁▂▃▄▅▆▇█"
STEPS = 48
"""Steps in which an attempt's life is drawn."""


def spark(values: Sequence[float | None]) -> str:
    """Each value as a bar, by the largest of them; a question mark for one that is not known."""
    largest = max((value for value in values if value is not None), default=0) or 1
    return "".join(wording.UNKNOWN if value is None else _bar(value / largest) for value in values)


def bars(shares: Sequence[float | None]) -> str:
    """Each share of one as a bar; a question mark for one that is not known."""
    return "".join(wording.UNKNOWN if share is None else _bar(share) for share in shares)


def _bar(share: float) -> str:
    return LEVELS[max(0, ceil(share * len(LEVELS)) - 1)]


def told(one: AttemptState, limits: Limits, record: Record | None) -> Iterator[tuple[str, str]]:
    """A name and a text for each thing that was measured; while its boxes live, until now.

    Args:
        one: The attempt.
        limits: What it might use.
        record: What its meter noted, if it did.
    """
    yield from _facts(one, one.used or (None if record is None else in_all(record)))
    if record is not None:
        yield from _drawn(course(record, STEPS), limits)


def _drawn(gone: Course, limits: Limits) -> Iterator[tuple[str, str]]:
    """How CPU and memory went, a line each: its name, and the drawing with the most that it came to."""
    if known := [cores for cores in gone.cores if cores is not None]:
        yield "cpu", f"{spark(gone.cores)} at most {max(known):.1f} of {limits.cpus:g} cores"
    if sizes := [size for size in gone.memory if size is not None]:
        most = f"{wording.size(max(sizes))} of {wording.size(limits.memory)}"
        yield "memory", f"{spark(gone.memory)} at most {most}"


def _facts(one: AttemptState, used: Used | None) -> Iterator[tuple[str, str]]:
    """What an attempt used, a line each; nothing where nothing was measured, which the audit says."""
    rows = list(_measured(one, used))
    if any(value is not None for _, values, _ in rows for value in values):
        yield from ((name, words) for name, _, words in rows)


def _measured(one: AttemptState, used: Used | None) -> Iterator[tuple[str, tuple[float | None, ...], str]]:
    """Everything that can be measured: what it is, its values, and these in words."""
    spent = one.cpu_seconds if used is None or used.cpu_seconds is None else used.cpu_seconds
    if spent is not None:
        yield "cpu time", (spent,), wording.duration(spent) + _throttled(used)
    if one.peak_memory is not None:
        yield "peak memory", (one.peak_memory,), wording.size(one.peak_memory)
    if used is None:
        return
    killed = f"; {wording.many(used.oom_kills, 'process', 'processes')} killed" if used.oom_kills else ""
    refused = f"; {wording.many(used.pid_refusals, 'time')} refused one more" if used.pid_refusals else ""
    memory, moved = used.peak_working_set, (used.read_bytes, used.written_bytes)
    waited = {"cpu": used.cpu_waited, "memory": used.memory_waited, "io": used.io_waited}
    waits = ", ".join(f"{name} {wording.duration(seconds)}" for name, seconds in waited.items())
    yield "working set", (memory, used.oom_kills or None), f"at most {wording.size(memory)}{killed}"
    yield "processes", (used.most_pids,), f"at most {wording.count(used.most_pids)}{refused}"
    yield "disk", (used.disk_used,), f"at most {wording.size(used.disk_used)}"
    yield "read, written", moved, ", ".join(map(wording.size, moved))
    yield "waited for", tuple(waited.values()), waits


def _throttled(used: Used | None) -> str:
    if used is None or not used.throttled:
        return ""
    return f", stopped by its limit in {used.throttled:.0%} of its periods"


def course_row(record: Record | None) -> Json | None:
    """How an attempt's use went, for programs: a value for each step, None where it is unknown."""
    if record is None:
        return None
    gone = course(record, STEPS)
    return {
        "began": gone.began,
        "step": gone.step,
        "cores": list(gone.cores),
        "memory": list(gone.memory),
        "pids": list(gone.pids),
        "disk": list(gone.disk),
        "read_per_second": list(gone.read),
        "written_per_second": list(gone.written),
    }

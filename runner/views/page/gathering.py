"""Takes together what the page is made of: the journal's events, logs, differences, meters and the books."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.compare.audit import Audit
from runner.compare.scored import Comparison
from runner.errors import HostError
from runner.gateway.booking.spent import Spent, spent_by
from runner.gather.conflicts import Matrix
from runner.git import handing
from runner.git.closed import GitError
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt import metering
from runner.supervisor.attempt.samples import Course, course
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.journal import by_attempt
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import CommandSettings
from runner.views.page import activity, lives, sharing
from runner.views.page.material import Material, Read, Shown, Spending

LARGEST_DIFF = 600_000
"""Bytes of a diff that are read; of all together, `ALL_DIFFS`."""
ALL_DIFFS = 48_000_000
LOOKED_AT = 192 * 1024
"""Bytes at the beginning, and at the end, of an agent's output that its steps are read from."""
OUTPUT, ALL_OUTPUTS = 600_000, 48_000_000
"""Bytes at the end of what a check, or a command, printed; and as for differences."""
STEPS, FEWER_STEPS = 60, 24
"""Steps of a curve, and where there are many attempts."""
MANY = 300


@dataclass(frozen=True)
class Judged:
    """What was found out of a run besides its events; None, or nothing, where nobody looked."""

    comparison: Comparison | None = None
    audit: Audit | None = None
    matrices: Mapping[str, Matrix] | None = None


def material(home: Path, state: RunState, events: Sequence[e.Event], now: float, judged: Judged) -> Material:
    """All that the page of a run is made of.

    What can't be read any more (a log that was removed, a repository that is away) is left out.

    Args:
        home: The state directory.
        state: The run.
        events: Its events in order.
        now: The time, in seconds since the epoch.
        judged: What was found out besides.
    """
    of_it = by_attempt(events)
    planned_at = _planned(state, events)
    shown = tuple(
        Shown(
            state=one,
            spans=lives.spans(
                planned_at.get(str(one.key), state.started), of_it.get(str(one.key), ()), state.ended or now
            ),
            moments=lives.moments_of(of_it.get(str(one.key), ())),
        )
        for one in state.as_written
    )
    told = len(shown[: sharing.MOST_ATTEMPTS]) or 1
    with tempfile.TemporaryDirectory(prefix="corral-page-") as folder:
        read = [
            _read(home, state, one, Path(folder) / "diff", told) if n < sharing.MOST_ATTEMPTS else one
            for n, one in enumerate(shown)
        ]
    return Material(
        state=state,
        now=now,
        attempts=tuple(read),
        moments=lives.moments_of_run(events),
        spending=_spending(home, state, events),
        shut=lives.shut(events, state.ended or now),
        comparison=judged.comparison,
        audit=judged.audit,
        matrices=judged.matrices or {},
        took=lives.took(events, now),
    )


def _planned(state: RunState, events: Iterable[e.Event]) -> dict[str, float]:
    """When attempts began to wait that did not with the run."""
    found: dict[str, float] = {}
    for event in events:
        match event:
            case e.AttemptRetried():
                found[str(AttemptKey.parse(event.attempt).retried())] = event.at
            case e.TaskExpanded():
                found.update(
                    {
                        str(p.key): event.at
                        for p in state.plan.attempts
                        if state.plan.task(p.task).of == event.task
                    }
                )
    return found


def _read(home: Path, state: RunState, one: Shown, scratch: Path, told: int) -> Shown:
    """The same with what files say of it."""
    settings = state.plan.profile(one.key.profile).settings
    log, output = log_file(home, state.name, one.key, "log"), min(OUTPUT, ALL_OUTPUTS // told)
    steps = (
        ()
        if isinstance(settings, CommandSettings)
        else activity.condensed(activity.steps(settings, _ends(log, LOOKED_AT)))
    )
    return replace(
        one,
        steps=steps,
        output=_tail(log, output) if isinstance(settings, CommandSettings) else Read(),
        check=_tail(log_file(home, state.name, one.key, "check.log"), output),
        diff=_diff(state, one.state, scratch, min(LARGEST_DIFF, ALL_DIFFS // told)),
        course=_course(home, state.name, one.key, FEWER_STEPS if told > MANY else STEPS),
    )


def _ends(file: Path, size: int) -> list[bytes]:
    """The lines at the beginning of a file and at its end; those between them are left out."""
    try:
        with file.open("rb") as opened:
            first = opened.read(size)
            whole = opened.seek(0, 2)
            if whole <= size:
                return first.split(b"\n")
            opened.seek(max(size, whole - size))
            last = opened.read(size)
    except OSError:
        return []
    rows = first.split(b"\n")[:-1]
    return [*rows, *last.split(b"\n")[(0 if whole <= 2 * size else 1) :]]


def _tail(file: Path, size: int) -> Read:
    try:
        with file.open("rb") as opened:
            whole = opened.seek(0, 2)
            opened.seek(max(0, whole - size))
            text = opened.read(size).decode(errors="replace")
    except OSError:
        return Read()
    ready = "corral: ready\n"
    return Read(text.removeprefix(ready).replace("\r\n", "\n"), whole=whole <= size)


def _diff(state: RunState, one: AttemptState, scratch: Path, most: int) -> Read:
    if one.commit is None or one.base is None:
        return Read()
    source = state.plan.sources[state.plan.task(one.key.task).source]
    try:
        whole = handing.write_diff(Path(source.git_dir), scratch, one.base, one.commit, most)
        return Read(scratch.read_bytes().decode(errors="replace"), whole)
    except (GitError, OSError):
        return Read()


def _course(home: Path, run: str, key: AttemptKey, steps: int) -> Course | None:
    record = metering.look(metering.usage_file(home, run, key))
    return None if record is None else course(record, steps)


def _spending(home: Path, state: RunState, events: Sequence[e.Event]) -> tuple[Spending, ...]:
    """What was spent until when: by the gateway's books, else by what attempts had used at their ends."""
    try:
        booked = spent_by(home, state.name)
    except HostError:
        booked = ()
    told = booked or tuple(
        Spent(event.at, event.usd, _tokens(event)) for event in events if isinstance(event, e.AttemptEnded)
    )
    found: list[Spending] = []
    usd: float | None = 0.0
    tokens = 0
    for one in told:
        usd = None if usd is None or (one.usd is None and one.tokens) else usd + (one.usd or 0.0)
        tokens += one.tokens
        found.append(Spending(one.at, usd, tokens))
    return tuple(found) if tokens else ()


def _tokens(event: e.AttemptEnded) -> int:
    parts = (event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens)
    return sum(part for part in parts if part is not None)

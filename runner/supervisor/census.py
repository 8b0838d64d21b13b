"""All living boxes of a state directory, whichever process looks after them, and what each uses now.

They are found by their labels, and their control groups are read straight from here: nobody is asked but the
engine for the list of them. Where the groups can't be read, the engine's own statistics are. How much disk a
box's files take is what its meter noted last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner import names
from runner.names import AttemptKey
from runner.sandbox import usage
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.usage import Bounds, Group, Usage
from runner.supervisor.attempt import metering
from runner.supervisor.host import machine
from runner.supervisor.host.readings import Readings

WEIGHING = 5.0
"""Seconds between two looks at what its meter noted of a box's disk."""


@dataclass(frozen=True)
class Living:
    """A living box.

    Attributes:
        container: Its id.
        run: Its run.
        attempt: Its attempt, `TASK/PROFILE/N[.TRY]`.
        role: `agent`, `gather` or `check`.
        started: When it was started, in seconds since the epoch.
        frozen: Whether it is frozen just now.
        usage: What it uses; its counts are those since its start.
        bounds: What it may use.
        cores: CPU used since the last look, in cores; None at the first.
        read: Bytes read in a second since then.
        written: Bytes written in a second since then.
        throttled: The share of the time since then in which its limit of CPU stopped it, from 0 to 1.
        disk: Bytes that its files take.
    """

    container: str
    run: str
    attempt: str
    role: str
    started: float | None
    frozen: bool
    usage: Usage
    bounds: Bounds
    cores: float | None = None
    read: float | None = None
    written: float | None = None
    throttled: float | None = None
    disk: int | None = None


@dataclass(frozen=True)
class Look:
    """The host and all living boxes, by run and attempt. `at` is in seconds since the epoch.

    `busy` is how many of the host's cores worked since the last look; None at the first.
    """

    at: float
    host: Readings
    busy: float | None
    boxes: tuple[Living, ...]


@dataclass
class _Known:
    """What stays known of a box between two looks."""

    state: BoxState
    group: Group | None
    bounds: Bounds
    at: float = 0.0
    usage: Usage | None = None
    disk: int | None = None
    weighed: float | None = None


class Census:
    """Looks at all living boxes, again and again."""

    def __init__(self, engine: Engine, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._home = home
        self._clock = clock
        self._filters = names.label_filters(names.home_id(str(home)))
        self._known: dict[str, _Known] = {}
        self._host: Readings | None = None

    def look(self) -> Look:
        """What there is now.

        Raises:
            EngineError: The engine does not answer.
        """
        running = self._engine.running(self._filters)
        self._meet(running)
        host, before = machine.readings(self._home), self._host
        self._host = host
        boxes = [self._box(known, frozen=running[id_] == "paused") for id_, known in self._known.items()]
        return Look(
            at=time.time(),
            host=host,
            busy=host.busy_since(before),
            boxes=tuple(sorted(boxes, key=lambda box: (box.run, box.attempt, box.role))),
        )

    def _meet(self, running: dict[str, str]) -> None:
        """Get to know what is new; forget what is gone. Boxes of no attempt are our own tools."""
        self._known = {container: one for container, one in self._known.items() if container in running}
        for container in running.keys() - self._known.keys():
            state = self._engine.inspect(container)
            if state is None or not state.alive or names.LABEL_ATTEMPT not in state.labels:
                continue
            if names.is_ours(state.name, state.labels):
                group = usage.find_group(state.pid, container=state.id) if state.pid else None
                self._known[container] = _Known(state, group, usage.bounds(group) if group else Bounds())

    def _box(self, known: _Known, *, frozen: bool) -> Living:
        now, labels = self._clock(), known.state.labels
        seen = self._read(known)
        before, passed = known.usage, now - known.at
        known.usage, known.at = seen if before is None else seen.after(before), now
        if known.weighed is None or now - known.weighed >= WEIGHING:
            known.weighed, known.disk = now, self._weigh(known.state)
        latest = known.usage

        def rate(name: str) -> float | None:
            return _rate(getattr(before, name, None), getattr(latest, name), passed)

        return Living(
            container=known.state.id,
            run=labels.get(names.LABEL_RUN, ""),
            attempt=labels[names.LABEL_ATTEMPT],
            role=labels.get(names.LABEL_ROLE, ""),
            started=known.state.started,
            frozen=frozen,
            usage=latest,
            bounds=known.bounds,
            cores=rate("cpu_seconds"),
            read=rate("read_bytes"),
            written=rate("written_bytes"),
            throttled=_share(before, latest),
            disk=known.disk,
        )

    def _read(self, known: _Known) -> Usage:
        if known.group is not None:
            return usage.read(known.group)
        statistics = self._engine.usage(known.state.id)
        return Usage() if statistics is None else usage.from_statistics(statistics)

    def _weigh(self, state: BoxState) -> int | None:
        """What its meter noted last; only an agent's box has one."""
        if state.labels.get(names.LABEL_ROLE) != "agent":
            return None
        run = state.labels.get(names.LABEL_RUN, "")
        try:
            key = AttemptKey.parse(state.labels[names.LABEL_ATTEMPT])
        except ValueError:
            return None
        if not names.is_id(run):
            return None
        record = metering.glance(metering.usage_file(self._home, run, key))
        return record.last.disk if record is not None and record.box == state.id[:12] else None


def _rate(before: float | None, now: float | None, passed: float) -> float | None:
    return None if before is None or now is None or passed <= 0 else max(0.0, now - before) / passed


def _share(before: Usage | None, now: Usage) -> float | None:
    """The share of the periods at work in which its limit stopped it; none if it was not at work."""
    if before is None or before.periods is None or before.throttled_periods is None:
        return None
    if now.periods is None or now.throttled_periods is None:
        return None
    periods = now.periods - before.periods
    return (now.throttled_periods - before.throttled_periods) / periods if periods > 0 else 0.0

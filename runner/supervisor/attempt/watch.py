"""A living box, watched until it ends or must be ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runner.agents.launch import Reader
from runner.errors import EngineError
from runner.gateway.client import Gateway
from runner.gateway.grants import Held
from runner.gateway.grants import Usage as ModelUsage
from runner.sandbox import usage
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.output import Output
from runner.supervisor.attempt.clock import Earlier, WorkClock
from runner.supervisor.attempt.freezing import Frost
from runner.supervisor.attempt.metering import Meter
from runner.supervisor.attempt.spec import Orders
from runner.supervisor.verdict import Exit, Stop
from runner.tasks.plan import Limits

TICK = 1.0
WEIGHING = 3.0
"""Seconds between two looks at the size of a box's files, where nothing else bounds them."""
BUSY_CORES = 0.05
"""A box that uses more CPU than this is at work, even if it says nothing."""


@dataclass
class Watched:
    """What a watch saw so far; `exit` once it is over.

    `seconds` is working time, `held_s` the time in which the gateway held it; both count earlier boxes of the
    same attempt. `held` is what its requests waited for when that was last looked at while it lived.
    """

    exit: Exit | None = None
    doing: str | None = None
    cores: float | None = None
    seconds: float = 0.0
    held_s: float = 0.0
    held: Held | None = None
    was_held: tuple[float, Held] | None = None
    """What it was held for last, its turn aside, and when that was seen, in seconds since the epoch."""
    lived: tuple[float, float] | None = None
    """From when to when it lived, in seconds since the epoch, if it ended by itself and the engine knows."""
    measured: usage.Usage = field(default_factory=usage.Usage)
    model: ModelUsage | None = None

    @property
    def tokens(self) -> int | None:
        """All tokens so far, or None where no model is reachable, or none says what it uses."""
        return None if self.model is None else self.model.tokens

    @property
    def usd(self) -> float | None:
        """What its model calls cost so far, or None where no model is reachable, or a price is not known."""
        return None if self.model is None or self.model.unpriced else self.model.usd


@dataclass(frozen=True)
class Watch:
    """One box to watch.

    Attributes:
        container: The running container.
        grant: The box's name at the gateway, or None if it has no grant.
        orders: What ends the box from outside.
        exceeds: Whether its files take more than its limit, where only looking bounds them.
        earlier: What passed in this attempt before the box.
        after: Bytes of the log that are of earlier boxes.
        meter: What keeps the record of what it uses.
        attempt: The attempt's name, by which orders may name it.
        frozen: Seconds for which the box was frozen before.
    """

    engine: Engine
    gateway: Gateway | None
    container: str
    grant: str | None
    limits: Limits
    reader: Reader
    log: Path
    orders: Orders
    exceeds: Callable[[], bool]
    earlier: Earlier = field(default_factory=Earlier)
    after: int = 0
    meter: Meter | None = None
    attempt: str = ""
    frozen: float = 0.0

    def signs(self) -> Iterator[Watched]:
        """Signs of life about once a second; the last one has its `exit` set and the box is ended.

        What was granted to a box that was ended here is revoked; to one that ended by itself it is left.

        Raises:
            EngineError: The engine went away.
        """
        seen = Watched()
        state = self.engine.inspect(self.container)
        group = usage.find_group(state.pid) if state and state.pid else None
        alive = state is not None and state.alive  # else it ended by itself while nobody watched
        clock = WorkClock(time.monotonic() - _age(state), self.earlier, frozen=self.frozen)
        frost = Frost(self.engine, self.container, state, lambda: self.attempt in self.orders.frozen)
        last_sign = ticked = time.monotonic()
        with (
            Output(self.engine, self.container, self.log, self.after) as output,
            _Scales(self.exceeds) as scales,
            self.meter or contextlib.nullcontext(),
        ):
            while not output.closed:
                for line in output.lines(patience=TICK / 4):
                    seen.doing = self.reader.feed(line) or seen.doing
                last_sign = max(last_sign, output.last_piece)
                now = time.monotonic()
                if frost.heed():
                    last_sign = now
                clock = clock.frost(now, frozen=frost.frozen)
                if now - ticked >= TICK:
                    if self._measure(seen, group, now - ticked):
                        last_sign = now
                    ticked = now
                    clock = _read(clock, now, seen)
                    yield seen
                heavy = scales.heavy
                reason = self._must_end(clock.worked(now), now - last_sign, heavy=heavy) if alive else None
                if reason is not None:
                    self._end(seen)
                    seen.exit = Exit(code=None, stopped=reason, ready=output.ready)
                    break
            if output.fault is not None:
                raise output.fault
            ended = time.monotonic()
            if seen.exit is None:
                seen.exit, state = self._observe(output)
                seen.lived = _lived(state)
                if seen.lived is not None:
                    ended = clock.began + seen.lived[1] - seen.lived[0]
                self._ask_usage(seen)
        _read(clock, ended, seen)
        yield seen

    def _end(self, seen: Watched) -> None:
        """End the box: what it may ask for is revoked before it is killed."""
        try:
            self._revoke(seen)
        finally:
            self.engine.kill(self.container)

    def _revoke(self, seen: Watched) -> None:
        """Take the grant back; what it was used for in the end is the count that holds."""
        if self.gateway is not None and self.grant is not None:
            seen.model = self.gateway.revoke(self.grant)

    def _must_end(self, worked: float, silence: float, *, heavy: bool) -> Stop | None:
        if self.orders.stop.is_set():
            return "cancelled"
        if self.attempt in self.orders.given_up:
            return "pressure"
        if heavy:
            return "disk"
        if self.orders.over.is_set():
            return "over"
        if worked > self.limits.time:
            return "timeout"
        return "stalled" if silence > self.limits.idle else None

    def _measure(self, seen: Watched, group: usage.Group | None, elapsed: float) -> bool:
        """Read what the box uses; returns whether that is a sign of life."""
        before = seen.measured
        if group is not None:
            seen.measured = usage.read(group).after(before)
        else:
            statistics = self.engine.usage(self.container)
            seen.measured = before if statistics is None else usage.from_statistics(statistics).after(before)
        if self.meter is not None:
            self.meter.note(seen.measured)
        if seen.measured.cpu_seconds is not None and before.cpu_seconds is not None:
            seen.cores = max(0.0, seen.measured.cpu_seconds - before.cpu_seconds) / elapsed
        return self._asks(seen) or (seen.cores or 0.0) > BUSY_CORES

    def _asks(self, seen: Watched) -> bool:
        """Whether the box asked a model since the last time, or waits for an answer, or to be let ask."""
        before = seen.model
        if not self._ask_usage(seen) or seen.model is None:
            return False
        seen.held = seen.model.held
        if seen.held is not None and seen.held.kind != "pace":
            seen.was_held = time.time(), seen.held
        waits = seen.model.in_flight > 0 or seen.held is not None
        return waits or before is None or before.last_activity != seen.model.last_activity

    def _ask_usage(self, seen: Watched) -> bool:
        """Ask what the box has used so far, if it may ask anything."""
        if self.gateway is None or self.grant is None:
            return False
        seen.model = self.gateway.usage(self.grant)
        return True

    def _observe(self, output: Output) -> tuple[Exit, BoxState | None]:
        state = self.engine.wait_ended(self.container)
        seen = Exit(
            code=None if state is None or state.error else state.exit_code,
            oom_killed=state is not None and state.oom_killed,
            ready=output.ready,
            report=self.reader.error(),
        )
        return seen, state


class _Scales:
    """Weighs a box's files every few seconds, in a thread of its own: it may take long, and time goes on."""

    def __init__(self, exceeds: Callable[[], bool]) -> None:
        self._exceeds = exceeds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._weigh, name="scales", daemon=True)
        self.heavy = False

    def __enter__(self) -> _Scales:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _weigh(self) -> None:
        while not self._done.wait(WEIGHING):
            with contextlib.suppress(EngineError):  # whoever follows the output is told of it too
                self.heavy = self._exceeds()
            if self.heavy:
                return


def _read(clock: WorkClock, now: float, seen: Watched) -> WorkClock:
    """The clock after the latest reading of the gateway's count; what it says then is noted."""
    if seen.model is not None:
        clock = clock.read(now, seen.model)
    seen.seconds, seen.held_s = clock.worked(now), clock.held_in_all(now)
    return clock


def _lived(state: BoxState | None) -> tuple[float, float] | None:
    if state is None or state.started is None or state.finished is None:
        return None
    return state.started, max(state.started, state.finished)


def _age(state: BoxState | None) -> float:
    return 0.0 if state is None or state.started is None else max(0.0, time.time() - state.started)

"""A living box, watched until it ends or must be ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.agents.launch import Reader
from runner.errors import HostError
from runner.gateway.client import Gateway
from runner.gateway.grants import Held
from runner.gateway.grants import Usage as ModelUsage
from runner.sandbox import usage
from runner.sandbox.ended import see_end
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.output import Output
from runner.supervisor.attempt.age import Age
from runner.supervisor.attempt.clock import Earlier, WorkClock
from runner.supervisor.attempt.freezing import Frost
from runner.supervisor.attempt.health import Care, Condition, Row, State, cares, due, still_known
from runner.supervisor.attempt.metering import Meter
from runner.supervisor.attempt.postbox import Asking
from runner.supervisor.attempt.signals import Mark, Pulse, Scales, Told, Used
from runner.supervisor.attempt.spec import Orders
from runner.supervisor.deadline import steady
from runner.supervisor.slept import Slept
from runner.supervisor.verdict import Exit, Stop
from runner.tasks.plan import Health, Limits

TICK = 1.0
LATELY = 5.0
"""Seconds: what failed sooner after the kernel killed a process of its failed of that."""
UNANSWERED = 15.0
"""Seconds between two questions to a gateway that does not answer: each can take as long again."""


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
    question: Asking | None = None
    """What it asked a person by mail, and waits for."""
    unread: bool = False
    """Whether what it put into its outbox in the end could not be read."""
    lived: tuple[float, float] | None = None
    """From when to when it lived, in seconds since the epoch, if it ended by itself and the engine knows."""
    frozen_s: float = 0.0
    """Seconds for which its present box was frozen by order while it was watched here."""
    measured: usage.Usage = field(default_factory=usage.Usage)
    oom_at: float | None = None
    """When the kernel was last seen to have killed in it for memory, in seconds of the monotonic clock."""
    model: ModelUsage | None = None
    state: State | None = None
    """The condition that it is in; None before that was looked at, and after its end."""
    silence: float | None = None
    """For how many seconds it has given no sign of life, in working time."""
    news: State | None = None
    """The condition that a person is to be told of, if it is one just now."""
    answers: bool | None = None
    """Whether the gateway answers; None while there was nothing to ask there."""
    asked: float = 0.0
    """When the gateway was asked last, in seconds of the monotonic clock."""

    @property
    def asks(self) -> str:
        """What it asked a person by mail and waits for, in words; empty for nothing."""
        return "" if self.question is None else self.question.words

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
        mark: Figures that change when its files do, where they are known.
        health: For how long its conditions are borne, where that differs from the table.
        earlier: What passed in this attempt before the box.
        after: Bytes of the log that are of earlier boxes.
        nudges: How often it may be nudged.
        silence: For how long an earlier process saw no sign of life of it, in seconds.
        meter: What keeps the record of what it uses.
        attempt: The attempt's name, by which orders may name it.
        frozen: Seconds for which the box was frozen before, the machine's sleep left out.
        slept: How long the machine had slept when the box began, if that is known.
        asking: What it asked a person by mail, and waits for.
        waited: For how many seconds it did since a moment of the wall clock, before it was watched here.
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
    mark: Callable[[], Mark | None] = lambda: None
    health: Health = field(default_factory=Health)
    nudges: int = 0
    silence: float = 0.0
    meter: Meter | None = None
    attempt: str = ""
    frozen: float = 0.0
    slept: Slept | None = None
    asking: Callable[[], Asking | None] = lambda: None
    waited: Callable[[float], float] = lambda _: 0.0

    def signs(self) -> Iterator[Watched]:
        """Signs of life about once a second; the last one has its `exit` set and the box is ended.

        What was granted to a box that was ended here is revoked; to one that ended by itself it is left.

        Raises:
            EngineAwayError: The engine went away; whether the box lives on is not known.
            EngineError: It did not do what was asked.
        """
        state = self.engine.inspect(self.container)
        init = state.pid if state is not None else 0
        group = usage.find_group(init, container=state.id) if state is not None and init else None
        alive = state is not None and state.alive  # else it ended by itself while nobody watched
        age = Age(state, began=self.slept)
        seen = Watched(measured=_before(group, age))
        table = cares(self.health, self.limits.idle)
        clock = self._clock(age)
        frost = Frost(self.engine, self.container, state, lambda: self.attempt in self.orders.frozen)
        ticked = time.monotonic()
        with (
            Output(self.engine, self.container, self.log, self.after) as output,
            Scales(self.exceeds, self.mark) as scales,
            self.meter or contextlib.nullcontext(),
        ):
            pulse = Pulse(self.reader, table, scales, group, init, self.silence)
            nurse = _Nurse(table, self.nudges)
            while not output.closed:
                for line in output.lines(patience=TICK / 4):
                    seen.doing = self.reader.feed(line) or seen.doing
                    pulse.heard(line)
                now = time.monotonic()
                seen.frozen_s = frost.heed()
                seen.question = self.asking()
                clock = clock.frost(now, frozen=frost.frozen or seen.question is not None)
                if now - ticked >= TICK:
                    self._measure(seen, group, now - ticked)
                    ticked = now
                    clock = _read(clock, now, seen)
                    told = Told(seen.model if seen.answers else None, seen.answers)
                    used = Used(seen.cores, seen.measured.written_bytes)
                    seen.state = pulse.beat(clock.worked(now), output, used, told, seen.asks)
                    seen.silence = pulse.signals.silence
                    seen.news = nurse.news(seen.state)
                    yield seen
                unwell = "needs-input" if _unanswered(seen.question) else nurse.end
                reason = self._must_end(clock.worked(now), unwell, heavy=scales.heavy) if alive else None
                if reason is not None:
                    self._end(seen, comes_back=reason == "nudge")
                    cause = str(seen.state) if reason == nurse.end else ""
                    seen.exit = Exit(code=None, stopped=reason, cause=cause, ready=output.ready)
                    break
            if output.fault is not None:
                raise output.fault
            ended = time.monotonic()
            if seen.exit is None:
                seen.exit, state = self._observe(output, seen)
                seen.lived = _lived(state)
                if (lived := age.lived(seen.lived)) is not None:
                    ended = min(ended, clock.began + lived)
                self._ask_usage(seen)
        _read(clock, ended, seen)
        seen.state = seen.news = None
        yield seen

    def _clock(self, age: Age) -> WorkClock:
        """The clock of its working time, for a box of that age.

        Nobody notes what the machine slept while a person was waited for, and that is in `waited`: what was
        worked may come out too short by so much, never too long, and what is worked from now on counts.
        """
        stood = min(age.seconds, self.frozen + self.waited(time.time() - age.whole))
        return WorkClock(time.monotonic() - age.seconds, self.earlier, frozen=stood)

    def _end(self, seen: Watched, *, comes_back: bool) -> None:
        """End the box: what it may ask for is revoked before it is killed, if the gateway answers.

        Args:
            seen: What was seen of it.
            comes_back: Whether its agent goes on in another one: what was granted stays.
        """
        self.orders.check_ours()
        try:
            if not comes_back:
                self._ask(seen)  # what it waits for at its end; that may not have been looked at yet
                self._revoke(seen)
        except HostError:
            if seen.answers is not False:  # else that is known, and may be why the box is ended
                raise
        finally:
            self.engine.kill(self.container)

    def _revoke(self, seen: Watched) -> None:
        """Take the grant back; what it was used for in the end is the count that holds."""
        if self.gateway is not None and self.grant is not None:
            seen.model = self.gateway.revoke(self.grant)

    def _must_end(self, worked: float, unwell: Stop | None, *, heavy: bool) -> Stop | None:
        if self.orders.stop.is_set():
            return "cancelled"
        if self.attempt in self.orders.given_up:
            return "pressure"
        if heavy:
            return "disk"
        if self.orders.over.is_set():
            return "over"
        return "timeout" if worked > self.limits.time else unwell

    def _measure(self, seen: Watched, group: usage.Group | None, elapsed: float) -> None:
        """Read what the box uses."""
        before = seen.measured
        if group is not None:
            seen.measured = usage.read(group).after(before)
        else:
            statistics = self.engine.usage(self.container)
            seen.measured = before if statistics is None else usage.from_statistics(statistics).after(before)
        if (seen.measured.oom_kills or 0) > (before.oom_kills or 0):
            seen.oom_at = time.monotonic()
        if self.meter is not None:
            self.meter.note(seen.measured)
        if seen.measured.cpu_seconds is not None and before.cpu_seconds is not None:
            seen.cores = max(0.0, seen.measured.cpu_seconds - before.cpu_seconds) / elapsed
        self._ask(seen)

    def _ask(self, seen: Watched) -> None:
        """Ask the gateway what the box has used so far, and what it waits for there."""
        if seen.answers is False and time.monotonic() - seen.asked < UNANSWERED:
            return
        try:
            seen.answers = True if self._ask_usage(seen) else None
        except HostError:
            seen.answers, seen.held = False, None
        seen.asked = time.monotonic()
        if seen.answers and seen.model is not None:
            seen.held = seen.model.held
            if seen.held is not None and seen.held.kind != "pace":
                seen.was_held = time.time(), seen.held

    def _ask_usage(self, seen: Watched) -> bool:
        """Ask what the box has used so far, if it may ask anything."""
        if self.gateway is None or self.grant is None:
            return False
        seen.model = self.gateway.usage(self.grant)
        return True

    def _observe(self, output: Output, seen: Watched) -> tuple[Exit, BoxState | None]:
        """How it ended; that the kernel killed in it for memory, either the engine or its group told."""
        state = see_end(self.engine, self.container)
        told = state is not None and state.oom_killed
        kills = seen.measured.oom_kills
        ended = Exit(
            code=None if state is None or state.error else state.exit_code,
            oom_killed=told or bool(kills),
            oom_last=_lately(seen.oom_at) or (told and (kills == 0 or (kills is None and _brief(state)))),
            ready=output.ready,
            report=self.reader.error(),
        )
        return ended, state


class _Nurse:
    """Does what the table says about a box's condition.

    Attributes:
        end: Why it is to be ended, once it is.
    """

    def __init__(self, table: Mapping[Row, Care], nudges: int) -> None:
        self.end: Stop | None = None
        self._table = table
        self._nudges = nudges
        self._told: frozenset[Condition] = frozenset()

    def news(self, state: State) -> State | None:
        """Take its condition; returns it if a person is to be told of it, once each time that it comes."""
        self._told = still_known(self._told, state, self._table)
        what = due(state, self._table)
        if what == "nudge" and self._nudges > 0:
            self.end = "nudge"
        elif what in {"stop", "nudge"}:
            self.end = "needs-input" if state.condition == "waiting-for-a-person" else "stalled"
        elif what == "retry":
            self.end = "infrastructure"
        elif what == "notify" and state.condition not in self._told:
            self._told |= {state.condition}
            return state
        return None


def _unanswered(question: Asking | None) -> bool:
    """Whether a person was waited for as long as was asked for."""
    return question is not None and steady() >= question.until


def _read(clock: WorkClock, now: float, seen: Watched) -> WorkClock:
    """The clock after the latest reading of the gateway's count; what it says then is noted."""
    if seen.model is not None:
        clock = clock.read(now, seen.model)
    seen.seconds, seen.held_s = clock.worked(now), clock.held_in_all(now)
    return clock


def _before(group: usage.Group | None, age: Age) -> usage.Usage:
    """What the kernel had killed in a box that lived for a while before it was watched: not just now."""
    if group is None or age.seconds <= LATELY:
        return usage.Usage()
    return usage.Usage(oom_kills=usage.read(group).oom_kills)


def _lately(moment: float | None) -> bool:
    return moment is not None and time.monotonic() - moment <= LATELY


def _brief(state: BoxState | None) -> bool:
    """Whether a box lived so briefly that all that happened in it happened just before its end."""
    lived = _lived(state)
    return lived is not None and lived[1] - lived[0] <= LATELY


def _lived(state: BoxState | None) -> tuple[float, float] | None:
    if state is None or state.started is None or state.finished is None:
        return None
    return state.started, max(state.started, state.finished)

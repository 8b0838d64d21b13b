"""What the host has for one run, as it goes on: looked at, shared with other runs, relieved when it must be.

Deciding is elsewhere: `host/admission.py` (may one more start), `host/relief.py` (what to freeze or end),
`host/adapting.py` (how many at once). Here is what they are told, and what is remembered between two looks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from runner.gateway.grants import Outlook
from runner.names import AttemptKey
from runner.sandbox.facts import EngineFacts
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import Orders
from runner.supervisor.deadline import awake
from runner.supervisor.graph.places import living, needs_of
from runner.supervisor.graph.schedule import Agenda, Decision
from runner.supervisor.host import adapting, claims, machine
from runner.supervisor.host.admission import Claim, Policy, Room, Short, Waiting
from runner.supervisor.host.facts import Host
from runner.supervisor.host.relief import Reading, Step, Strain, relieve
from runner.supervisor.host.weather import Almanac
from runner.supervisor.slept import slept
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState

LOOK_AGAIN = 1.0
"""Seconds after which the host is looked at again for what it had no room for."""
ROUND = 0.2
"""Seconds between two looks at free memory."""
LOOK = 1.0
"""The same at pressure and load."""
TELL_AGAIN = 15.0
"""Seconds after which new figures of what is short are told, where the thing is the same."""
TELL_OTHER = 5.0
"""The same where another attempt waits, or for another thing."""


class Machine(Protocol):
    """What is asked of the host."""

    def look(self) -> Host:
        """All of it, as it is now."""

    def memory_free(self) -> int | None:
        """What programs can get without swapping, in bytes; None where boxes live elsewhere."""


@dataclass(frozen=True)
class ThisHost:
    """The host that the engine's boxes live on, as far as it can be seen from here."""

    home: Path
    engine: EngineFacts | None = None

    def look(self) -> Host:
        """All of it, as it is now."""
        return machine.look(self.home, self.engine)

    def memory_free(self) -> int | None:
        """What programs can get without swapping, in bytes; None where boxes live elsewhere."""
        return machine.memory_free() if machine.is_here(self.engine) else None


def policy_of(settings: Settings) -> Policy:
    """How much of the host is given away, as the settings say."""
    return Policy(
        memory=settings.overcommit_memory,
        cpus=settings.overcommit_cpus,
        disk=settings.overcommit_disk,
        keep_memory=settings.keep_memory,
        critical_memory=settings.critical_memory,
        patience=settings.room_patience,
        keep_disk=settings.keep_disk,
    )


@dataclass
class _Used:
    """What is known of a living attempt besides its limits."""

    since: float
    taken_up: float
    memory: int | None = None
    peak: int | None = None
    frozen_since: float | None = None


class Capacity:
    """The host, as one run sees it. Leave the context to stop showing other runs what this one has.

    Its clock stands still while the machine sleeps: nothing ends then that patience could be lost with.
    """

    def __init__(
        self,
        home: Path,
        run: str,
        host: Machine,
        policy: Policy,
        clock: Callable[[], float] = awake,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._run = run
        self._machine = host
        self._policy = policy
        self._clock = clock
        self._wall = wall
        self._host: Host | None = None
        self._looked = float("-inf")
        self._shown = float("-inf")
        self._tended = float("-inf")
        self._used: dict[AttemptKey, _Used] = {}
        self._waits: dict[AttemptKey, float] = {}
        self._since: float | None = None
        self._alone_since: float | None = None
        self._refused_at = float("-inf")
        self._told = float("-inf")
        self._strain = Strain()
        self._jobs: adapting.Jobs | None = None
        self._others = claims.Others()
        self._almanac = Almanac()

    def __enter__(self) -> Capacity:
        return self

    def __exit__(self, *_: object) -> None:
        claims.clear(self._home, self._run)

    # -- what lives

    def see(self, event: e.Event) -> None:
        """Take in what an attempt uses, as its signs of life tell, and that one gave back what it had."""
        if isinstance(event, e.AttemptFinal):
            self._refused_at = self._shown = float("-inf")
        if isinstance(event, e.Signs) and event.memory is not None:
            used = self._used.get(AttemptKey.parse(event.attempt))
            if used is not None:
                used.memory, used.peak = event.memory, max(event.memory, used.peak or 0)

    def _claims(self, state: RunState, now: float) -> tuple[Claim, ...]:
        alive = {attempt.key: attempt for attempt in living(state)}
        self._used = {key: self._used.get(key) or self._begun(one, now) for key, one in alive.items()}
        return tuple(self._claim(state, attempt, now) for attempt in alive.values())

    def _begun(self, attempt: AttemptState, now: float) -> _Used:
        """What is known of an attempt at first; one that an earlier process began is as old as it is."""
        lived = 0.0 if attempt.started is None else max(0.0, self._wall() - attempt.started)
        return _Used(since=now - lived, taken_up=now)

    def _claim(self, state: RunState, attempt: AttemptState, now: float) -> Claim:
        used = self._used[attempt.key]
        used.frozen_since = None if attempt.frozen is None else used.frozen_since or now
        in_box = attempt.phase == "running"
        return Claim(
            attempt=str(attempt.key),
            since=used.since,
            taken_up=used.taken_up,
            needs=needs_of(state, attempt.key),
            used=used.memory if in_box else None,
            peak=used.peak if in_box else None,
            stored=_stored(self._home, attempt.box),
            running=in_box,
            frozen_since=used.frozen_since,
            paused=attempt.frozen is not None and attempt.frozen.by == "person",
        )

    def told(self, event: e.Event) -> e.Event:
        """An event as it is noted: the end of an agent says in what conditions it lived."""
        if not isinstance(event, e.AttemptEnded) or event.weather is not None:
            return event
        return event.model_copy(update={"weather": self._almanac.of(AttemptKey.parse(event.attempt))})

    # -- who may start

    def may_look(self) -> bool:
        """Whether there is any use in looking for room: not just after there was none."""
        return self._clock() - self._refused_at >= LOOK_AGAIN

    @contextmanager
    def room(self, state: Callable[[], RunState]) -> Iterator[Room]:
        """The room there is now: meanwhile no other run starts anything, and in the end all are shown it."""
        with claims.alone(self._home) as ours:
            now = self._clock()
            self._others = claims.read(self._home, self._run, now)
            own = self._claims(state(), now)
            alone = not own and not self._others.claims
            self._alone_since = (now if self._alone_since is None else self._alone_since) if alone else None
            self._looked = float("-inf")
            room = Room(self._look(now), self._policy, (*own, *self._others.claims), now)
            yield replace(room, closed=self._closed(room, own, ours=ours, now=now))
            self._show(state(), now)

    def _closed(self, room: Room, own: tuple[Claim, ...], *, ours: bool, now: float) -> Short | None:
        """Why nothing of this run may start now, whatever room there is."""
        if not ours:
            return Short("disk", "for other runs, or for room to note what is started", 0)
        if self._strain.cooling(now):
            free = room.host.memory_free
            words = "memory: the host had hardly any left just now"
            return Short("memory", words if free is None else f"{words}; it recovers", 0)
        mine = Waiting(self._run, min(self._waits.values(), default=now), own)
        first = room.yields(mine, self._others.waiting)
        if first is None:
            return None
        return Short("turn", f"for the run {first.run}, which has less of the host and waits", 0)

    @property
    def gives_up(self) -> bool:
        """Whether what finds no room has waited for long enough, and nothing lives that could make any."""
        since = self._alone_since
        return since is not None and self._clock() - since >= self._policy.patience

    @property
    def waits(self) -> dict[AttemptKey, float]:
        """Since when which attempts have found no room, on the clock of `room`."""
        return self._waits

    def tell(self, state: RunState, found: Sequence[Decision]) -> Iterator[e.HostShort]:
        """Remember who found no room, and tell it where that is news.

        Args:
            state: The run.
            found: What was decided of those that could start, with this room.
        """
        now = self._clock()
        refused = {one.key: one.short for one in found if one.short is not None}
        self._waits = {key: self._waits.get(key, now) for key in refused}
        self._claim_turn(state, min(self._waits.values(), default=None), now)
        self._refused_at = now if refused else float("-inf")
        first = next(iter(refused.items()), None)
        if first is None:
            self._alone_since = None
            if state.short is not None:
                yield e.HostShort(at=time.time())
            return
        key, short = first
        before = state.short
        same = before is not None and (before.attempt, before.thing) == (str(key), short.thing)
        if before is not None and now - self._told < (TELL_AGAIN if same else TELL_OTHER):
            return
        if before is None or not same or before.why != short.why:
            self._told = now
            since = time.time() if before is None or before.since is None else before.since
            yield e.HostShort(at=time.time(), attempt=str(key), thing=short.thing, why=short.why, since=since)

    def stand_back(self, state: RunState, ready: bool) -> Iterator[e.HostShort]:
        """Claim no turn: nothing of this run could start just now, whatever room there were.

        Args:
            state: The run.
            ready: Whether something only waits for a place in its own run; it has waited since it first did.
        """
        self._alone_since = None
        self._waits = self._waits if ready else {}
        self._claim_turn(state, None, self._clock())
        if state.short is not None:
            yield e.HostShort(at=time.time())

    def _claim_turn(self, state: RunState, since: float | None, now: float) -> None:
        """Let the others know since when this run waits for the host, where that changed."""
        changed, self._since = since != self._since, since
        if changed:
            self._show(state, now)

    # -- as it goes on

    def tend(
        self, state: RunState, orders: Orders, outlooks: Iterable[Outlook], waiting: bool
    ) -> Iterator[e.Event]:
        """Look at the host, and do what it needs: what is told of that is to be noted.

        Args:
            state: The run.
            orders: By which attempts are frozen, let go on, and ended.
            outlooks: How the accounts stand that are asked.
            waiting: Whether something would start if one more might live.
        """
        now = self._clock()
        if now - self._tended < ROUND:
            return
        self._tended = now
        if now - self._shown >= claims.EVERY:
            self._others = claims.read(self._home, self._run, now)
            self._show(state, now)
        yield from self._relieve(state, orders, now)
        if state.auto:
            yield from self._adapt(state, list(outlooks), waiting, now)

    def _relieve(self, state: RunState, orders: Orders, now: float) -> Iterator[e.Event]:
        free = self._machine.memory_free()
        if free is None:
            return
        host = self._look(now)
        self._almanac.look(now, host, _with_agents(state), len(self._others.claims))
        least, enough = self._policy.floor(host.memory_total), self._policy.enough(host.memory_total)
        reading = Reading(now, free, least, enough, host.pressure.memory)
        own: list[Claim] = []
        if orders.frozen or not reading.is_easy:  # else there is nothing to do, whoever lives
            alive = (one for one in self._claims(state, now) if one.attempt not in orders.given_up)
            own = [one for one in alive if not one.paused]
        self._strain, step = relieve(self._strain, reading, own, self._others.claims)
        if step is not None:
            yield from _ordered(step, orders)
            self._show(state, now)

    def _adapt(
        self, state: RunState, outlooks: list[Outlook], waiting: bool, now: float
    ) -> Iterator[e.JobsChanged]:
        host = self._look(now)
        if self._jobs is None:
            self._jobs = adapting.begin(state.jobs, host.cores, now)
        seen = adapting.Seen(
            living=len(state.attempts.living),
            waiting=waiting,
            host=host,
            strained=self._strain.since is not None,
            paced=adapting.paced(outlooks),
        )
        before, self._jobs = self._jobs, adapting.adapt(self._jobs, seen, now)
        if self._jobs.at_once != before.at_once:
            yield e.JobsChanged(at=time.time(), jobs=self._jobs.at_once, why=self._jobs.why)

    def _look(self, now: float) -> Host:
        """The host as it was at most a second ago."""
        if self._host is None or now - self._looked >= LOOK:
            self._host, self._looked = self._machine.look(), now
        return self._host

    def _show(self, state: RunState, now: float) -> None:
        shown = claims.Shown(run=self._run, at=now, claims=self._claims(state, now), waits_since=self._since)
        claims.show(self._home, shown)
        self._shown = now


def tend(
    capacity: Capacity | None,
    agenda: Agenda,
    orders: Orders,
    outlooks: Iterable[Outlook],
    note: Callable[[e.Event], None],
) -> None:
    """Freeze, let go on or end what the host can't bear, or can again; let more or fewer attempts live."""
    if capacity is not None:
        for event in capacity.tend(agenda.state, orders, outlooks, agenda.has_ready):
            note(event)


def start(
    capacity: Capacity | None,
    agenda: Agenda,
    state: Callable[[], RunState],
    carry_out: Callable[[Decision], None],
    note: Callable[[e.Event], None],
) -> None:
    """Do what is due, where there is room on the host for what is to start: no other run looks meanwhile."""
    due = agenda.due(agenda.state.jobs)
    if capacity is None or not any(decision.standing == "start" for decision in due):
        for decision in due:
            carry_out(decision)
        for event in () if capacity is None else capacity.stand_back(state(), agenda.has_ready):
            note(event)
    elif capacity.may_look():
        with capacity.room(state) as room:
            gives_up = capacity.gives_up
            due = agenda.due(agenda.state.jobs, room, capacity.waits)
            for decision in due:
                in_vain = gives_up and decision.short is not None and decision.short.thing != "turn"
                carry_out(replace(decision, standing="fail") if in_vain else decision)
        for event in capacity.tell(state(), due):
            note(event)


def _ordered(step: Step, orders: Orders) -> Iterator[e.Event]:
    """Tell what a step is; noted, it is ordered. That an attempt was ended, it tells itself."""
    if step.do == "freeze":
        yield e.AttemptFrozen(at=time.time(), attempt=step.attempt, why=step.why, slept=slept())
    elif step.do == "thaw":
        yield e.AttemptThawed(at=time.time(), attempt=step.attempt, slept=slept())
    else:
        orders.given_up.add(step.attempt)


def _with_agents(state: RunState) -> Iterator[AttemptKey]:
    """The attempts whose agents live, or are about to."""
    for key in state.attempts.living:
        if state.attempts[key].phase in {"preparing", "running", "held"}:
            yield key


def _stored(home: Path, box: str | None) -> int | None:
    """Bytes that an attempt's disk takes on the host's; None where it has none of its own, or none yet."""
    with contextlib.suppress(OSError):
        return (home / "w" / (box or "-") / "agent.ext4").stat().st_blocks * 512
    return None

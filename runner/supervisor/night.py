"""A run from its start to its end: starts what may start, notes what happens, ends when all is done.

One loop owns the journal and the state. Attempts live in threads of their own and tell it what happens
through a queue; images are prepared in one more. Two interruptions are known: the first lets what runs
come to its end and starts nothing new, the second stops what runs. Both bring the work home.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

from runner import names
from runner.errors import UsageError
from runner.names import AttemptKey
from runner.supervisor import briefing, capacity
from runner.supervisor import events as e
from runner.supervisor.attempt import outage
from runner.supervisor.attempt.expansion import PROFILE as ITEMS
from runner.supervisor.attempt.life import FAULTS, drive
from runner.supervisor.attempt.spec import AttemptSpec, Orders
from runner.supervisor.clockwork import Clockwork
from runner.supervisor.complaints import report_bug
from runner.supervisor.ending import exit_code, never_started, still_ahead
from runner.supervisor.graph import expanding, retrying, trying
from runner.supervisor.graph.schedule import Agenda, Decision
from runner.supervisor.imaging import Imaging
from runner.supervisor.journal import Journal, LeaseLostError, Row, by_attempt
from runner.supervisor.lookout import Lookout
from runner.supervisor.outfit import Means
from runner.supervisor.ownership import obeying
from runner.supervisor.ownership.lease import Lease
from runner.supervisor.pauses import Pauses
from runner.supervisor.settling import Settling
from runner.supervisor.signboard import Signboard
from runner.supervisor.slept import slept
from runner.supervisor.state import RunState, apply, begin, fold
from runner.supervisor.windows import Asks, asks_of, shut_profiles
from runner.tasks.plan import Plan

TICK = 0.2
PATIENCE = 120.0


class Night:
    """One run under way.

    `watcher` is called with every event after it was noted, passing ones included, and with the state.
    """

    def __init__(self, means: Means, watcher: Callable[[Row, RunState], None]) -> None:
        self._means = means
        self._watcher = watcher
        self._happened: queue.Queue[tuple[e.Event, threading.Event]] = queue.Queue()
        self._threads: dict[AttemptKey, threading.Thread] = {}
        self._orders = Orders(ours=means.lease.holds)
        self._pauses: Pauses[AttemptKey] = Pauses()
        self._deaf = threading.Event()
        self._interruptions = 0
        self._signal_code = 0
        self._bug: str | None = None
        self._board: Signboard | None = None
        self._imaging = Imaging(means.images, self._tell, self._bug_in)
        self._state: RunState
        self._clock: Clockwork
        self._settling: Settling

    def interrupt(self, exit_code: int, times: int = 1) -> None:
        """Drain at the first interruption, stop at the second; safe to call from a signal handler.

        Args:
            exit_code: What the run ends with, since it was interrupted.
            times: As how many interruptions this one counts.
        """
        self._signal_code = exit_code
        self._interruptions += times

    def start(self, plan: Plan, until: float | None = None, starts: float | None = None) -> RunState:
        """Do all of a plan, of a run that this process owns (`means`).

        Args:
            plan: What is to be done.
            until: When the run must end, in seconds since the epoch.
            starts: When its first attempt may start, likewise; images are prepared meanwhile.

        Raises:
            HostError: The journal can't be written.
        """
        means = self._means
        started = e.RunStarted(
            at=time.time(),
            plan=plan,
            jobs=means.jobs,
            auto=means.auto,
            weaker=means.weaker,
            until=until,
            starts=starts,
            takes=self._takes(until),
        )
        row = enter(means.journal, means.lease, started)
        self._state = begin(plan.run, started)
        self._show(row)
        return self._live()

    def resume(self, run: str, until: float | None = None, *, kept: bool = False) -> RunState:
        """Take a run up again that a crash, or a person, ended early; this process owns it.

        Args:
            run: Its name.
            until: When it must end now; by default when it had to before, unless it ended since.
            kept: Whether nobody asked for that: then a run that was being stopped is being stopped still.

        Raises:
            HostError: As `start`.
        """
        rows = list(self._means.journal.events(run))
        self._state = fold((row.run, row.event) for row in rows)
        self._means.herald.catch_up(rows, self._state)
        self._take_up(until, kept=kept)
        before = 2 if self._state.stopping else int(self._state.draining)
        self._interruptions = max(self._interruptions, before)  # one can have come since
        self._heed_interruptions()
        for follows in list(retrying.due(self._state, time.time())):
            self._note(follows)
        ended = {str(attempt.key) for attempt in self._state.attempts.values() if attempt.phase == "final"}
        with contextlib.suppress(*FAULTS):
            outage.end_late(self._means.rooms, run, ended)
        told = by_attempt(row.event for row in rows)
        for attempt in list(self._state.attempts.values()):
            if attempt.rests_until is not None:
                self._pauses.begin(attempt.key, attempt.rests_until - time.time())
            if attempt.frozen is not None:
                self._orders.frozen.add(str(attempt.key))
            if attempt.phase not in {"queued", "final"} and attempt.base is not None:
                self._launch(attempt.key, attempt.base, told[str(attempt.key)])
        return self._live()

    def _take_up(self, until: float | None, *, kept: bool) -> None:
        means = self._means
        if until is None:
            # Only a person who takes up a run that ended frees it of an end that passed.
            until = self._state.until if kept else still_ahead(self._state, time.time())
        self._note(
            e.RunResumed(
                at=time.time(),
                jobs=means.jobs,
                auto=means.auto,
                weaker=means.weaker,
                until=until,
                takes=self._takes(until),
                kept=kept,
            )
        )

    def _takes(self, until: float | None) -> dict[str, float]:
        return {} if until is None else self._means.takes()

    # -- the loop

    def _live(self) -> RunState:
        self._clock = Clockwork(self._state)
        self._settling = Settling()
        self._board = Signboard(self._means.rooms.home, self._state.name)
        try:
            asked = self._asking or self._state.plan.budget.caps()
            with Lookout(self._means.rooms.gateway if asked else None, self._state.plan) as lookout:
                self._loop(lookout)
                while self._wanted() or not self._said_farewell():
                    self._loop(lookout)
        except LeaseLostError:
            self._deaf.set()  # what runs is another's now: nothing of it is touched any more
            raise
        except BaseException:
            self._stop_everything()
            raise
        self._note(e.RunEnded(at=time.time(), exit_code=self._code))
        if not self._wanted():
            self._board.clear()
            self._deaf.set()  # an image may be in the making that nobody needs any more
            return self._state
        self._take_up(None, kept=True)  # that was ordered in the last instant of a run that lived
        return self._live()

    @property
    def _code(self) -> int:
        return self._signal_code or exit_code(self._state, bug=self._bug is not None)

    def _wanted(self) -> bool:
        """Whether something was ordered that is not heeded yet."""
        return next(self._means.journal.orders(self._state.name, self._state.heeded), None) is not None

    def _said_farewell(self) -> bool:
        """Tell people that the run is over, as long as nothing is ordered meanwhile; whether nothing was."""
        before = self._interruptions

        def hurry() -> bool:
            return before >= 2 or self._interruptions > before

        code = None if before >= 2 else self._code  # who stops it is there and sees it
        self._note_all(self._means.herald.farewell(self._state, code, hurry, self._wanted))
        return not self._wanted()

    def _loop(self, lookout: Lookout) -> None:
        agenda = Agenda(self._state)
        while True:
            self._heed_interruptions()
            self._heed_orders()
            self._heed_the_clock()
            self._heed_windows(lookout)
            self._imaging.tend(self._state)
            self._heed_items()
            self._note_all(self._settling.news(self._state))
            for key in self._pauses.over():
                self._note(e.AttemptRested(at=time.time(), attempt=str(key)))
            self._note_all(self._means.herald.news(self._state, lookout.spent))
            agenda.follow(self._state)
            capacity.tend(self._means.capacity, agenda, self._orders, lookout.outlooks, self._note)
            agenda.follow(self._state)
            capacity.start(self._means.capacity, agenda, lambda: self._state, self._carry_out, self._note)
            agenda.follow(self._state)
            self._threads = {key: thread for key, thread in self._threads.items() if thread.is_alive()}
            if not self._threads and self._happened.empty() and agenda.finished:
                break
            with contextlib.suppress(queue.Empty):
                self._hear(TICK)
                for _ in range(self._happened.qsize()):  # of many that live, many tell something at once
                    self._hear(0)

    def _hear(self, patience: float) -> None:
        event, noted = self._happened.get(timeout=patience)
        self._note(event)
        noted.set()

    def _stop_everything(self) -> None:
        """The journal can't be kept any more: end what runs, and leave its work where `resume` finds it."""
        self._deaf.set()
        self._orders.stop.set()
        for thread in self._threads.values():
            thread.join(timeout=PATIENCE)

    def _heed_interruptions(self) -> None:
        if self._interruptions >= 1 and not self._state.draining:
            self._note(e.Draining(at=time.time()))
        if self._interruptions >= 2:
            if not self._state.stopping:
                self._note(e.Stopping(at=time.time()))
            self._orders.stop.set()

    def _heed_orders(self) -> None:
        """Do what other processes ordered since the last time, and note that it was done, or why not."""
        for seq, order in list(self._means.journal.orders(self._state.name, self._state.heeded)):
            done = obeying.obey(self._state, order, time.time(), slept())
            self._interruptions = max(self._interruptions, done.interruptions)
            self._note_all(done.events)
            self._note(e.OrderHeeded(at=time.time(), seq=seq, order=order, refused=done.refused))

    def _heed_the_clock(self) -> None:
        self._note_all(self._clock.news(self._state))
        if self._state.over:
            self._orders.over.set()

    def _heed_windows(self, lookout: Lookout) -> None:
        """Note who waits for a window of a provider's, where that changed."""
        shut = shut_profiles(self._asking, lookout.outlooks, self._state.shut, time.time())
        if shut != self._state.shut:
            self._note(e.WindowsChanged(at=time.time(), shut=shut))

    def _heed_items(self) -> None:
        """Find out the items of a task that a command tells, of one task after the other."""
        key = None if any(k.profile == ITEMS for k in self._threads) else expanding.due(self._state)
        if key is not None:
            self._thread(replace(key, profile=ITEMS), self._expand, key)

    def _carry_out(self, decision: Decision) -> None:
        if decision.standing == "start" and decision.base is not None:
            self._begin(decision.key, decision.base, decision.waited)
        elif decision.standing == "fail":
            for event in never_started(str(decision.key), decision.why, time.time()):
                self._note(event)
        elif decision.standing == "skip" and decision.base is not None:
            self._note(
                e.AttemptSkipped(
                    at=time.time(),
                    attempt=str(decision.key),
                    reason=decision.why,
                    base=decision.base,
                    passes=decision.passes,
                )
            )

    def _begin(self, key: AttemptKey, base: str, waited: float | None) -> None:
        self._note(briefing.begins(self._state, key, base, self._box(key), waited))
        self._launch(key, base, ())

    def _launch(self, key: AttemptKey, base: str, told: tuple[e.Event, ...]) -> None:
        self._thread(key, self._attempt, key, base, told)

    def _thread(self, key: AttemptKey, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name=str(key), daemon=True)
        self._threads[key] = thread
        thread.start()

    def _note_all(self, events: Iterable[e.Event]) -> None:
        for event in events:
            self._note(event)

    def _note(self, event: e.Event) -> None:
        """Write an event down, fold it in, and show it."""
        run = self._state.name
        event = event if self._means.capacity is None else self._means.capacity.told(event)
        passing = isinstance(event, e.PASSING)
        row = Row(0, run, event) if passing else self._append(event)
        self._state = apply(self._state, event)
        if isinstance(event, e.OfAttempt) and not passing:
            key = AttemptKey.parse(event.attempt)
            self._orders.freeze(event.attempt, frozen=self._state.attempts[key].frozen is not None)
        if self._means.capacity is not None:
            self._means.capacity.see(event)
        self._means.herald.heed(event, self._state)
        self._show(row)
        if isinstance(event, e.AttemptFinal):
            self._after_all(AttemptKey.parse(event.attempt))
        if isinstance(event, e.AttemptRetried) and event.not_before is not None:
            self._pauses.begin(AttemptKey.parse(event.attempt).retried(), event.not_before - event.at)

    def _after_all(self, key: AttemptKey) -> None:
        if (follows := retrying.following(self._state, key, time.time())) is not None:
            self._note(follows)
        elif self._state.serves(self._state.attempts[key]):
            trying.forget(self._state, key, self._means.rooms.home)

    def _append(self, event: e.Event) -> Row:
        return self._means.journal.append(self._state.name, event, self._means.lease.token)

    def _show(self, row: Row) -> None:
        """Tell who watches; one that can't be told any more (its pipe is closed) doesn't end the night."""
        if self._board is not None:
            self._board.take(row.event)
        try:
            self._watcher(row, self._state)
        except (OSError, SystemExit):
            self._watcher = _nobody

    # -- in threads of their own

    def _tell(self, event: e.Event) -> None:
        """Hand an event over, and go on once it is written down: what follows may destroy its evidence."""
        noted = threading.Event()
        self._happened.put((event, noted))
        if isinstance(event, e.PASSING):
            return
        while not noted.wait(TICK):
            if self._deaf.is_set():
                if isinstance(event, e.BoxStarted) and self._orders.stop.is_set():
                    return  # a box that runs is to be ended, which its watch does
                sys.exit()  # ends this thread alone

    def _attempt(self, key: AttemptKey, base: str, told: tuple[e.Event, ...]) -> None:
        try:
            for event in drive(self._spec(key, base), self._means.rooms, self._orders, told):
                self._tell(event)
        except FAULTS as fault:
            self._give_up(key, str(fault))
        except Exception as error:
            self._give_up(key, self._bug_in(error))

    def _expand(self, key: AttemptKey) -> None:
        plan, rooms, box = self._state.plan, self._means.rooms, self._box(replace(key, profile=ITEMS))
        try:
            spec = self._spec(key, plan.sources[plan.task(key.task).source].base)
            event = expanding.outcome(spec, box, rooms, self._orders, plan)
        except FAULTS as fault:
            event = expanding.unknown(key, str(fault))
        except Exception as error:
            event = expanding.unknown(key, self._bug_in(error))
        if event is not None:
            self._tell(event)

    def _bug_in(self, error: Exception) -> str:
        """Report a bug; returns where that is to be found, in words."""
        self._bug = report_bug(self._means.rooms.home, self._state.name, error)
        return f"a bug in Corral; the report is {self._bug}"

    def _give_up(self, key: AttemptKey, why: str) -> None:
        """End an attempt that can't go on; its workspace is left for `reap`, which saves it."""
        rooms = self._means.rooms
        filters = names.label_filters(names.home_id(str(rooms.home)), self._state.name, key)
        with contextlib.suppress(*FAULTS):
            if rooms.gateway is not None and self._orders.ours():  # first: it asks for nothing more then
                rooms.gateway.revoke(self._box(key))
        with contextlib.suppress(*FAULTS):
            self._orders.check_ours()
            for box in rooms.engine.find(filters):
                rooms.engine.remove(box.id)
        for event in never_started(str(key), why, time.time()):
            known = isinstance(event, e.AttemptGathered) and self._state.attempts[key].work is not None
            if not known:
                self._tell(event)

    def _spec(self, key: AttemptKey, base: str) -> AttemptSpec:
        return briefing.spec_of(lambda: self._state, self._means, key, base)

    @cached_property
    def _asking(self) -> dict[str, Asks]:
        """By the profile's name, whom its attempts ask; those who ask nobody are left out."""
        plan = self._state.plan
        found = {
            planned.profile: asks_of(
                plan.profile(planned.profile),
                self._means.accesses(plan.profile(planned.profile), planned.key),
                plan.on_limit,
            )
            for planned in plan.attempts
        }
        return {name: asks for name, asks in found.items() if asks is not None}

    def _box(self, key: AttemptKey) -> str:
        return names.box_id(str(self._means.rooms.home), self._state.name, key)


def enter(journal: Journal, lease: Lease, started: e.RunStarted) -> Row:
    """Write down that a run begins.

    Raises:
        UsageError: There is one of that name.
        HostError: The journal can't be written.
    """
    run = started.plan.run
    if run in journal.runs():
        raise UsageError(f"there is a run called {run!r}", cure="give another name")
    return journal.append(run, started, lease.token)


def _nobody(row: Row, state: RunState) -> None:
    """Watches nothing."""

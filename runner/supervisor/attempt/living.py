"""The boxes of one attempt, one after the other: an agent that died of a limit goes on in another one.

So does one that got nowhere and was nudged, and one that died with its engine or the machine.

    box runs → agent ends → [ held → the provider's window opens → next box runs → … ]

An engine that goes away meanwhile is waited for; then whatever lives is adopted, as by a later process.

The files and HOME stay, and so does what was granted: nobody can use it while no box is there.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Literal

from runner.errors import EngineAwayError, EngineError
from runner.gateway.grants import Held
from runner.supervisor import events as e
from runner.supervisor import lookout
from runner.supervisor.attempt import resuming
from runner.supervisor.attempt.agent_box import AgentBox
from runner.supervisor.attempt.outage import Outages
from runner.supervisor.attempt.spec import AttemptSpec, Known, Orders, Rooms
from runner.supervisor.attempt.telling import attention, signs
from runner.supervisor.attempt.watch import TICK, Watch, Watched
from runner.supervisor.deadline import steady
from runner.supervisor.slept import slept
from runner.supervisor.verdict import Exit, Stop
from runner.supervisor.windows import Closed, asks_of, closed_for

LOOK = 3.0
"""Seconds between two looks at whether a window opened."""


class Living:
    """The life of an attempt's agent.

    Attributes:
        seen: What was seen of it so far; its `exit` is set once it is over.
        session: Under which its conversation goes on, as far as it told.
        known: What was noted of it so far.
    """

    def __init__(
        self,
        spec: AttemptSpec,
        rooms: Rooms,
        orders: Orders,
        known: Known,
        box: AgentBox,
        outages: Outages,
    ) -> None:
        self.seen = Watched()
        self.known = known
        self.session = known.held[-1].session if known.held else spec.begins.session
        self._spec = spec
        self._rooms = rooms
        self._orders = orders
        self._box = box
        self._outages = outages
        self._told: str | None = None
        self._post = box.postbox()
        self._asks = asks_of(spec.profile, spec.accesses, spec.account.on_limit)

    def events(self) -> Iterator[e.Event]:
        """Live it to its end.

        Raises:
            CorralError: The engine, the gateway or git failed it.
            OSError: The host did.
        """
        while True:
            try:
                yield from self._boxes()
            except EngineAwayError:
                self.known = replace(self.known, begun=True)
                if (yield from self._outages.outlast(self.seen, lambda: self._stopped() is not None)):
                    continue
                stopped = self._stopped()
                if stopped is None:
                    raise
                self.seen.exit = Exit(code=None, stopped=stopped)  # its box is ended later, if it lives
            return

    def _boxes(self) -> Iterator[e.Event]:
        """One box after the other, from the one that is there already, if there is one."""
        container = self._box.adopt(self.known)
        while True:
            if container is None:
                container = yield from self._next()
            if container is None:
                return
            yield from self._began(container)
            watch = self._box.watch(container, self._orders, self.known, self._post)
            yield from self._watched(container, watch)
            yield from self._last_mail()
            self.session = watch.reader.session or self.session
            held = self._held(container, watch)
            if held is None:
                self._close()
                return
            yield held
            self.known = self.known.after(held)
            self._box.gone(container)
            container = None

    def _began(self, container: str) -> Iterator[e.Event]:
        """Tell that a box runs, once in this process."""
        if container == self._told:
            return
        began = e.BoxStarted(
            at=time.time(),
            attempt=str(self._spec.key),
            container=container,
            again=len(self.known.held),
            slept=self.known.slept_before(container) or slept(),
        )
        yield began
        self.known, self._told = self.known.after(began), container

    def _watched(self, container: str, watch: Watch) -> Iterator[e.Event]:
        """Watch a box to its end."""
        stood, worked = self.known.frozen(time.time(), slept()), self.seen.seconds
        measured = self._box.last_measured(container)
        self.seen.frozen_s = 0.0
        try:
            for self.seen in watch.signs():
                if self.seen.news is not None:
                    yield attention(self._spec, time.time(), self.seen.news)
                yield signs(self._spec, time.time(), "running", self.seen)
                yield from self._post.round()
        except EngineAwayError:
            self.session = watch.reader.session or self.session
            self.known = replace(self.known, frozen_s=stood + self.seen.frozen_s, frozen_at=None)
            name = str(self._spec.key)
            if name in self._orders.frozen:  # and so it stays, as far as anybody knows
                by: Literal["person", "pressure"] = "person" if self.known.paused else "pressure"
                stays = e.AttemptFrozen(at=time.time(), attempt=name, why="", by=by, slept=slept())
                self.known = self.known.after(stays)
            raise
        unwatched = container == self._box.found_dead
        if unwatched and self.seen.lived is None and worked:
            self.seen.seconds = worked  # nobody knows how long it lived after that
        elif resuming.died_with_machine(self.seen, unwatched=unwatched):
            self.seen.seconds = resuming.seen_to_work(self.seen, measured)

    def _next(self) -> Generator[e.Event, None, str | None]:
        """Start the next box, after waiting until it may ask; None if there is to be none any more."""
        if self.known.held:
            yield from self._wait()
        elif (stopped := self._stopped()) is not None:
            self.seen.exit = Exit(code=None, stopped=stopped)
        if self.seen.exit is not None and self.seen.exit.stopped is not None:
            return None
        if not self.known.held:
            launch = self._box.prepare()
            self._post.bring()
            self._orders.check_ours()
            return self._box.start(launch)
        last = self.known.held[-1]
        self._orders.check_ours()
        return self._box.start_again(last.session, resuming.told_again(last))

    def _stopped(self) -> Stop | None:
        if self._orders.stop.is_set():
            return "cancelled"
        return "over" if self._orders.over.is_set() else None

    def _held(self, container: str, watch: Watch) -> e.AttemptHeld | None:
        """What is told of an agent that is to go on in another box; None if it is not to."""
        seen = self.seen
        why, cause = self._why(container, self.session)
        if not why or (self._rooms.gateway is None and cause == "limit") or self._stopped() is not None:
            return None
        return e.AttemptHeld(
            at=time.time(),
            attempt=str(self._spec.key),
            container=container,
            why=why,
            cause=cause,
            session=self.session,
            exit_code=seen.exit.code if seen.exit else None,
            seconds=seen.seconds,
            held_s=seen.held_s,
            told_s=seen.model.held_s if seen.model else 0.0,
            cpu_seconds=seen.measured.cpu_seconds,
            peak_memory=seen.measured.peak_memory,
            output=watch.log.stat().st_size,
        )

    def _last_mail(self) -> Iterator[e.Event]:
        """Take what a box left in its outbox that is gone, and note what it asked and was not told."""
        yield from self._post.round(last=True)
        asked, self.seen.unread = self._post.asking(), self._post.unread
        if asked is not None and self.seen.exit is not None:
            self.seen.exit = replace(self.seen.exit, asked=asked.words)

    def _why(self, container: str, session: str | None) -> tuple[str, e.Cause]:
        """Why its agent is to go on in another box, in words (empty if it is not to), and of which kind.

        Raises:
            EngineError: The box died with the machine, and no session of it can go on.
        """
        seen, held = self.seen, self.known.held
        if resuming.died_with_machine(seen, unwatched=container == self._box.found_dead):
            restarts = sum(one.cause == "machine" for one in held)
            if session is None or restarts >= resuming.MOST_RESTARTS:
                raise EngineError(resuming.MACHINE)
            return resuming.MACHINE, "machine"
        if seen.exit is not None and seen.exit.stopped == "nudge":
            return seen.exit.cause, "nudge"
        return resuming.may_go_on(seen, self._spec.account.on_limit, len(held)), "limit"

    def _close(self) -> None:
        """Revoke what was granted to an agent that ended by itself."""
        if self.seen.exit is not None and self.seen.exit.stopped is None:
            self._revoke()

    def _revoke(self) -> None:
        """Take back what was granted; what that was used for is what holds."""
        self._orders.check_ours()
        self.seen.model = self._box.revoke() or self.seen.model

    def _wait(self) -> Iterator[e.Event]:
        """Wait until nothing holds the agent any more, or it must end."""
        last, times = self.known.held[-1], len(self.known.held)
        not_before, model, looked = steady() + resuming.pause(times), self.seen.model, 0.0
        closed: Closed | None = None
        while True:
            if not looked or steady() - looked >= LOOK:
                closed, looked = self._closed(), steady()
            self.seen = replace(
                resuming.as_seen(self.known, time.time()), model=model, held=_told(last, closed)
            )
            stopped = self._stopped()
            if stopped is not None:
                window = closed.window if closed else last.why if last.cause == "limit" else ""
                self.seen.exit = Exit(code=last.exit_code, stopped=stopped, window=window)
                self._revoke()
                return
            if closed is None and steady() >= not_before:
                return
            yield signs(self._spec, time.time(), "held", self.seen)
            self._orders.stop.wait(TICK)

    def _closed(self) -> Closed | None:
        """The window that the attempt waits for, if one is known."""
        gateway = self._rooms.gateway
        if gateway is None or self._asks is None:
            return None
        return closed_for(self._asks, lookout.look(gateway), time.time())


def _told(last: e.AttemptHeld, closed: Closed | None) -> Held:
    if closed is None:
        return Held(kind="overload", why=last.why, since=last.at)
    return Held(kind="window", why=closed.window, since=last.at, until=closed.until)

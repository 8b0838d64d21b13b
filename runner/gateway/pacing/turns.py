"""Lets requests wait for their turn: the lanes of all accounts, the used-up windows, and the clock."""

from __future__ import annotations

import asyncio
import random
import time
from asyncio import Future, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.gateway.grants import Outlook, Service, Tokens
from runner.gateway.pacing.limits import Told
from runner.gateway.pacing.pace import MOST, OTHERS, Lane, Shared, Ticket
from runner.gateway.pacing.windows import Closed, Whose, Windows

MOST_LANES = 256
"""Accounts times families whose pace is known; boxes may name models without end."""

FORGOTTEN_AFTER = 3600.0
"""Seconds without a request after which the pace of a family is forgotten, where room is needed."""

MARGIN = 1.0
"""Seconds that are waited longer than a window is said to be closed: clocks differ."""


@dataclass(eq=False)
class Place:
    """One account and family, and who waits there; `leaving` are those that don't wait for a window."""

    whose: Whose
    family: str
    lane: Lane
    waiters: dict[Ticket, Future[bool]] = field(default_factory=dict)
    leaving: set[Ticket] = field(default_factory=set)
    timer: TimerHandle | None = None


class Turns:
    """All lanes of the process."""

    def __init__(
        self,
        windows: Windows | None = None,
        *,
        jitter: float = 30.0,
        now: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        """Make lanes as they are asked for.

        Args:
            windows: Which are used up; kept in memory alone where none is given.
            jitter: Seconds over which requests are spread once a window has opened again.
            now: Seconds since the epoch.
            chance: What jitter is drawn from.
        """
        self.windows = windows or Windows()
        self.now = now
        self.chance = chance or random.Random()  # noqa: S311 - it spreads requests, and keeps no secret
        self._jitter = jitter
        self._places: dict[tuple[Whose, str], Place] = {}
        self._shared: dict[Whose, Shared] = {}

    def place(self, service: Service, family: str) -> Place:
        """Where requests to a service for a family of models wait."""
        whose = Whose.of(service)
        found = self._places.get((whose, family))
        if found is None and self._is_full():
            family = OTHERS
            found = self._places.get((whose, family))
        if found is None:
            shared = self._shared.setdefault(whose, Shared())
            found = self._places[whose, family] = Place(whose, family, Lane(service.prior, shared))
        found.lane.shared.at_once = float(service.prior.at_once or MOST)
        return found

    def closed(self, place: Place) -> Closed | None:
        """The window that is used up there, if one is."""
        return self.windows.find(place.whose, place.family, self.now())

    async def wait(self, place: Place, ticket: Ticket, *, stays: bool, at_most: float) -> bool:
        """Wait until a request may go; whether it may, and then `over` must be called.

        Args:
            place: Where.
            ticket: The request.
            stays: Whether to wait also while a window is used up.
            at_most: Seconds.
        """
        turn: Future[bool] = asyncio.get_running_loop().create_future()
        place.lane.join(ticket)
        place.waiters[ticket] = turn
        if not stays:
            place.leaving.add(ticket)
        gone = False
        try:
            self._look(place)
            async with asyncio.timeout(at_most):
                return await turn
        except TimeoutError:
            return turn.done() and not turn.cancelled() and turn.result()
        except asyncio.CancelledError:
            gone = turn.done() and not turn.cancelled() and turn.result()
            raise
        finally:
            place.leaving.discard(ticket)
            if place.waiters.pop(ticket, None) is not None:
                place.lane.leave(ticket)
            if gone:  # its turn came in the moment in which its box hung up
                self.over(place, ticket)

    def over(self, place: Place, ticket: Ticket, used: Tokens | None = None) -> None:
        """A request is not on its way any more, and used so much, where that is known."""
        place.lane.ended(ticket, used, self.now())
        self._look_at_all(place.whose)

    def told(self, place: Place, ticket: Ticket, told: Told) -> None:
        """The answer to a request has begun, and says this of the limits."""
        now = self.now()
        place.lane.answered(ticket, told.windows, now)
        if told.closed and told.closed_until is not None:
            closed = Closed(told.closed, told.closed_until)
            self.windows.shut(place.whose, "" if told.whole_account else place.family, closed, now)
        self._look_at_all(place.whose)

    def outlooks(self) -> list[Outlook]:
        """How every account stands that was asked anything, or whose window is used up."""
        now = self.now()
        found = {(place.whose, place.family): self._outlook(place, now) for place in self._places.values()}
        for whose, family, closed in self.windows.all(now):
            if (whose, family) not in found:  # of all families ("") too: more may be asked than were
                found[whose, family] = Outlook(
                    dialect=whose.dialect,
                    account=whose.account,
                    family=family,
                    closed=closed.name,
                    closed_until=closed.until,
                )
        return [found[key] for key in sorted(found)]

    def _outlook(self, place: Place, now: float) -> Outlook:
        closed = self.windows.find(place.whose, place.family, now)
        return Outlook(
            dialect=place.whose.dialect,
            account=place.whose.account,
            family=place.family,
            windows=tuple(place.lane.windows.values()),
            closed="" if closed is None else closed.name,
            closed_until=None if closed is None else closed.until,
            in_flight=place.lane.in_flight,
            waiting=len(place.waiters),
            tokens_per_minute=place.lane.per_minute(now),
        )

    def _is_full(self) -> bool:
        if len(self._places) < MOST_LANES:
            return False
        old = self.now() - FORGOTTEN_AFTER
        for key, place in list(self._places.items()):
            if place.lane.is_idle and place.lane.used_at < old:
                del self._places[key]
        return len(self._places) >= MOST_LANES

    def _look_at_all(self, whose: Whose) -> None:
        for place in self._places.values():
            if place.whose == whose:
                self._look(place)

    def _look(self, place: Place) -> None:
        """Let go whoever may, and look again when that may change."""
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
        if not place.waiters:
            return
        now = self.now()
        closed = self.windows.find(place.whose, place.family, now)
        if closed is not None:
            self._put_off(place, closed)
            for leaving in list(place.leaving):
                self._resolve(place, leaving, goes=False)
        else:
            while (ticket := place.lane.next(now)) is not None:
                self._resolve(place, ticket, goes=True)
        wakes = place.lane.wakes_at(now)
        if place.waiters and wakes is not None:
            loop = asyncio.get_running_loop()
            place.timer = loop.call_later(max(0.01, wakes - now), self._look, place)

    def _put_off(self, place: Place, closed: Closed) -> None:
        until = closed.until + MARGIN
        for ticket in place.lane.waiting():
            if ticket.opened_after < until:
                ticket.opened_after = until
                ticket.not_before = until + self.chance.uniform(0, self._jitter)

    def _resolve(self, place: Place, ticket: Ticket, *, goes: bool) -> None:
        turn = place.waiters.pop(ticket, None)
        place.leaving.discard(ticket)
        if not goes:
            place.lane.leave(ticket)
        if turn is not None and not turn.done():
            turn.set_result(goes)
        elif goes:  # nobody is there to go
            place.lane.ended(ticket, None, self.now())

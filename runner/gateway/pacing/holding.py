"""Holds a request until a service has answered it: what can be waited out, the agent never hears of.

For each sending a request takes its turn, is entered in the ledger, and is settled there; while it waits it
holds neither. Overload, silence and refused connections are waited out with growing pauses; a refused key
while another may come; a used-up window until it opens. If the box hangs up, the handler is cancelled, and
with it whatever the request waits for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from runner.errors import HostError
from runner.gateway import dialects
from runner.gateway.asking import Asker
from runner.gateway.booking.ledger import BusyError, Entry, OverBudgetError, UnpricedError
from runner.gateway.exchange import Commons, Exchange, Fault, Grant, Refused, Try
from runner.gateway.grants import Access, Held, Script, Service
from runner.gateway.pacing import limits
from runner.gateway.pacing.faults import fault_of, limit_of
from runner.gateway.pacing.pace import USUAL_OUTPUT, WEIGHTS, Ticket, family
from runner.gateway.pacing.patience import COME_AGAIN, ENDS, KEY_ENDS
from runner.gateway.pacing.pinging import Hold
from runner.gateway.pacing.turns import Place
from runner.gateway.pacing.windows import Whose

log = logging.getLogger(__name__)

UNCOUNTED = "uncounted"
"""The family of what is no request to a model: services limit such things apart from the others."""


class Holder:
    """Has the requests of one grant answered, however long that takes."""

    def __init__(self, grant: Grant, commons: Commons, asker: Asker) -> None:
        self._grant = grant
        self._commons = commons
        self._turns = commons.turns
        self._patience = commons.patience
        self._asker = asker

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Have a request answered; see `Account.on_limit` for which account is asked.

        Raises:
            Refused: It was not answered, or not in time.
        """
        access = dialects.who_answers(self._grant.accesses, exchange.dialect)
        if isinstance(access, Script):  # its errors are what the agent shall see
            return await self._scripted(exchange, access)
        hold = self._hold(exchange)
        try:
            async with hold.pinging():
                return await self._until_answered(hold)
        except Refused as refused:
            begun = await hold.begun()
            if begun is None:
                raise
            self._grant.meter.last_status = refused.status
            return await hold.end(begun, exchange.dialect.error(refused.status, str(refused)).body)

    async def _scripted(self, exchange: Exchange, access: Script) -> web.StreamResponse:
        if exchange.asked is None:
            answered = await self._asker.ask(exchange, access, None)
        else:
            with _told(self._grant, exchange):
                async with self._commons.ledger.entry(self._grant.account, exchange.asked) as entry:
                    answered = await self._asker.ask(exchange, access, entry)
        if isinstance(answered, Fault):
            raise TypeError("a script's errors are kept from nobody")
        return answered

    def _hold(self, exchange: Exchange) -> Hold:
        account, asked = self._grant.account, exchange.asked
        output = 0 if asked is None else min(asked.most.output, USUAL_OUTPUT)
        ticket = Ticket(self._grant.box, len(exchange.body) // 4, output, WEIGHTS[account.priority])
        models = UNCOUNTED if asked is None else family(exchange.dialect.name, asked.model)
        return Hold(exchange, ticket, models, self._patience)

    async def _until_answered(self, hold: Hold) -> web.StreamResponse:
        while True:
            service, place, stays = self._choose(hold)
            if not await self._its_turn(hold, place, stays=stays):
                continue
            trying = Trying(self, hold, service, place)
            outcome: web.StreamResponse | Fault | None = None
            try:
                outcome = await self._try(trying)
            finally:
                self._turns.over(place, hold.ticket, None if trying.entry is None else trying.entry.used)
            if outcome is None:
                await self._room(hold)
            elif isinstance(outcome, Fault):
                await self._bear(trying, outcome)
            else:
                return outcome

    # -- who is asked

    def _choose(self, hold: Hold) -> tuple[Service, Place, bool]:
        """The account to ask, where its requests wait, and whether it is waited for while a window is closed.

        Raises:
            Refused: Nobody may be asked, or not before a window opens, and the box is not to wait.
        """
        dialect, on_limit = hold.exchange.dialect, self._grant.account.on_limit
        services = [one for one in _services(self._grant.accesses) if one.dialect == dialect.name]
        if not services:
            raise Refused(403, f"this box may not ask {dialect.name} any more")
        listed = services if on_limit == "next-account" else services[:1]
        places = [self._turns.place(one, hold.family) for one in listed]
        closed = [self._turns.closed(place) for place in places]
        for service, place, window in zip(listed, places, closed, strict=True):
            if window is None:
                return service, place, on_limit == "wait"
        until, nearest = min((window.until, index) for index, window in enumerate(closed) if window)
        service, place, window = listed[nearest], places[nearest], closed[nearest]
        if on_limit == "stop" and window is not None:
            self._grant.meter.limited = f"the {window.name} window of {place.whose}"
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(until))
            raise Refused(ENDS[dialect.name], f"{self._grant.meter.limited} is used up until {when}")
        return service, place, True

    # -- waiting

    async def _its_turn(self, hold: Hold, place: Place, *, stays: bool) -> bool:
        at_most = min(self._patience.look_again, self._silence_left(hold))
        with self._grant.meter.holding(hold, self._held(hold, place)):
            return await self._turns.wait(place, hold.ticket, stays=stays, at_most=at_most)

    async def _room(self, hold: Hold) -> None:
        """Wait until the budget has room for one more beside those that are on their way."""
        asked = hold.exchange.asked
        if asked is None:
            return
        held = hold.waits_for(
            Held(kind="pace", why="others use the rest of its budget", since=self._turns.now())
        )
        with self._grant.meter.holding(hold, held), _told(self._grant, hold.exchange):
            try:
                async with asyncio.timeout(min(self._patience.look_again, self._silence_left(hold))):
                    await self._commons.ledger.room(self._grant.account, asked)
            except TimeoutError:
                return

    def _held(self, hold: Hold, place: Place) -> Held:
        now = self._turns.now()
        closed = self._turns.closed(place)
        if closed is not None:
            why = f"the {closed.name} window of {place.whose} is used up"
            return hold.waits_for(Held(kind="window", why=why, since=now, until=closed.until))
        if hold.fault is not None and hold.ticket.not_before > now:
            until = hold.ticket.not_before
            return hold.waits_for(Held(kind=hold.fault.kind, why=hold.fault.why, since=now, until=until))
        return hold.waits_for(Held(kind="pace", why=f"its turn at {place.whose}", since=now))

    def _silence_left(self, hold: Hold) -> float:
        """Seconds in which an agent that can't be kept waiting must be told something.

        Raises:
            Refused: They are over.
        """
        if hold.can_be_pinged:
            return float("inf")
        most = self._patience.bears_silence_for(hold.exchange.dialect.name, streams=hold.exchange.streams)
        if most is None:
            return float("inf")
        left = hold.began + most - asyncio.get_running_loop().time()
        if left <= 0:
            why = hold.held.why if hold.held is not None else "it had to wait"
            raise Refused(429, f"not answered yet, ask again: {why}", COME_AGAIN)
        return left

    # -- asking

    async def _try(self, trying: Trying) -> web.StreamResponse | Fault | None:
        """Send it once; None if the budget has no room for it beside others."""
        exchange = trying.hold.exchange
        if exchange.asked is None:
            return await self._asker.ask(exchange, trying.service, None, trying)
        entered = self._commons.ledger.entry(self._grant.account, exchange.asked, waits=False)
        try:
            with _told(self._grant, exchange):
                async with entered as trying.entry:
                    if self._turns.closed(trying.place) is not None:  # while it was written down
                        trying.entry.absorbed()
                        return Fault("overload", "a window was used up meanwhile")
                    return await self._asker.ask(exchange, trying.service, trying.entry, trying)
        except BusyError:
            return None

    async def judge(
        self, trying: Trying, status: int, headers: Mapping[str, str], body: bytes, said: str
    ) -> Fault | None:
        """What is to be kept from the agent; notes what the answer says of limits."""
        place, ticket = trying.place, trying.hold.ticket
        told = limits.read(trying.service.dialect, status, headers, body, self._turns.now())
        self._turns.told(place, ticket, told)
        fault = fault_of(status, told, str(place.whose), said)
        if fault is None:
            place.lane.went_well()
        elif status == 403 and not await self._renewed(trying):
            return None  # the key is known, and may not
        elif fault.kind == "overload":
            place.lane.turned_away(ticket, fault.retry_at, self._turns.now())
        return fault

    # -- failing

    async def _bear(self, trying: Trying, fault: Fault) -> None:
        """Take a failure upon ourselves: see to it that the request is sent again when that makes sense.

        Raises:
            Refused: It was borne for long enough.
        """
        log.info("kept from %s: %.300s", self._grant.box, fault.why)
        hold, place, now = trying.hold, trying.place, self._turns.now()
        if self._turns.closed(place) is not None:  # that was why
            hold.since.clear()
            hold.tries, hold.fault = 0, None
            return
        hold.fault = fault
        for_so_long = self._since(trying, fault)
        if fault.kind == "credential":
            await self._another_key(trying, fault, for_so_long)
            return
        place.lane.failed(now)
        if not fault.failing and place.lane.failing_since is not None:
            for_so_long = max(for_so_long, now - place.lane.failing_since)
        if for_so_long > limit_of(fault, self._patience):
            minutes = round(for_so_long / 60)
            raise Refused(ENDS[hold.exchange.dialect.name], f"given up after {minutes} min: {fault.why}")
        hold.tries += 1
        hold.ticket.not_before = now + self._patience.pause(hold.tries, self._turns.chance)
        if fault.retry_at is not None:
            spread = self._turns.chance.uniform(0, self._patience.first)
            hold.ticket.not_before = max(hold.ticket.not_before, fault.retry_at + spread)

    def _since(self, trying: Trying, fault: Fault) -> float:
        """For how many seconds a request has failed in this way."""
        now = asyncio.get_running_loop().time()
        return now - trying.hold.since.setdefault((trying.place.whose, fault.kind, fault.failing), now)

    async def _another_key(self, trying: Trying, fault: Fault, for_so_long: float) -> None:
        """Wait for another key than the one that was refused; in the end the same is tried once more."""
        hold, dialect = trying.hold, trying.hold.exchange.dialect.name
        if for_so_long >= self._patience.credential:
            raise Refused(KEY_ENDS[dialect], f"no key that is taken: {fault.why}")
        until = self._turns.now() + self._patience.credential - for_so_long
        held = Held(kind="credential", why=fault.why, since=self._turns.now(), until=until)
        with self._grant.meter.holding(hold, hold.waits_for(held)):
            while not await self._renewed(trying) and self._turns.now() < until:
                await asyncio.sleep(min(self._patience.credential_poll, self._silence_left(hold)))

    async def _renewed(self, trying: Trying) -> bool:
        """Whether there is another credential for the account by now than the one that was shown."""
        service, shown = trying.service, trying.hold.exchange.shown
        refused = shown[-1].decode() if shown else ""
        if service.credential is not None:
            return await self._commons.credentials.renewed(service, refused) is not None
        granted = (one for one in _services(self._grant.accesses) if Whose.of(one) == Whose.of(service))
        return any(one.credential or one.secret.get_secret_value() != refused for one in granted)


@dataclass
class Trying(Try):
    """One sending of a held request, in the name of one account."""

    holder: Holder
    hold: Hold
    service: Service
    place: Place
    entry: Entry | None = None

    async def judge(self, status: int, headers: Mapping[str, str], body: bytes, said: str) -> Fault | None:
        """See `Try`."""
        return await self.holder.judge(self, status, headers, body, said)

    async def begun(self) -> web.StreamResponse | None:
        """See `Try`."""
        return await self.hold.begun()


def _services(accesses: tuple[Access, ...]) -> list[Service]:
    return [one for one in accesses if isinstance(one, Service)]


@contextmanager
def _told(grant: Grant, exchange: Exchange) -> Iterator[None]:
    """Tell the agent, in terms that it understands, why its request can't be entered in the books."""
    end = ENDS[exchange.dialect.name]
    try:
        yield
    except OverBudgetError as spent:
        grant.meter.over_budget = grant.meter.over_budget or spent.kind
        raise Refused(end, str(spent)) from spent
    except UnpricedError as unpriced:
        raise Refused(end, str(unpriced)) from unpriced
    except HostError as fault:
        raise Refused(503, f"nothing may be asked that can't be written down: {fault.message}") from fault

"""A SIMULATED night: the gateway's own code for pace, holding, windows and budgets, on a clock that jumps.

Simulated are the clock, the service, and the agents. Real are the turns, the holding pattern, the file of
used-up windows, the ledger, and the reading of the service's headers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from runner.accounts import FromFile
from runner.gateway.asking import Asker
from runner.gateway.booking.ledger import Asked, Entry, Ledger
from runner.gateway.booking.meter import Meter
from runner.gateway.dialects import ANTHROPIC
from runner.gateway.dialects.dialect import Forward
from runner.gateway.exchange import Commons, Exchange, Fault, Grant, Refused, Try
from runner.gateway.grants import Access, Account, Service, Tokens
from runner.gateway.keys.credentials import Credentials
from runner.gateway.pacing.holding import Holder
from runner.gateway.pacing.turns import Turns
from runner.gateway.pacing.windows import Windows
from runner.gateway.playing.recorder import Recorder
from runner.tasks.plan import Budget, Caps
from tests.conftest import FULL
from tests.unit.virtual_time import VirtualLoop, run_virtually

HOUR = 3600.0
EPOCH = 1_795_000_000.0
MODEL = "claude-opus-5-5"
REPLY = Tokens(input=900, output=100)
TURNS, AGENTS = 30, 40
RUN_CAP = 3_000_000
OLD, NEW = "key-of-one-old", "key-of-one-new"


@dataclass
class Window5h:
    """An account as the service has it: what is used of its 5 hours and its week, and when these end."""

    name: str
    five_hours: int
    week: int
    week_ends: float
    used: int = 0
    used_of_week: int = 0
    ends: float = 0.0
    said_closed_until: float = 0.0

    def roll(self, now: float) -> None:
        """Begin anew what is over."""
        if now >= self.ends:
            self.used, self.ends = 0, now + 5 * HOUR
        if now >= self.week_ends:
            self.used_of_week, self.week_ends = 0, now + 7 * 24 * HOUR

    def closed_until(self) -> float:
        """When it opens again, if it is used up now."""
        five = self.ends if self.used >= self.five_hours else 0.0
        return max(five, self.week_ends if self.used_of_week >= self.week else 0.0)

    def headers(self) -> dict[str, str]:
        """What every answer says."""
        five, week = min(1.0, self.used / self.five_hours), min(1.0, self.used_of_week / self.week)
        prefix = "anthropic-ratelimit-unified-"
        told = {
            "5h-utilization": f"{five:.4f}", "5h-reset": f"{self.ends:.3f}",
            "7d-utilization": f"{week:.4f}", "7d-reset": f"{self.week_ends:.3f}",
            "status": "rejected" if max(five, week) >= 1 else "allowed",
        }  # fmt: skip
        return {prefix + name: value for name, value in told.items()}


class FakeCredentials(Credentials):
    """The first account's key is rotated, and found where it is kept 20 s later."""

    now: Callable[[], float]
    key = OLD

    async def with_secret(self, service: Service) -> Service:
        """See `Credentials`."""
        secret = SecretStr(self.key if service.account == "one" else "key-of-two")
        return service.model_copy(update={"secret": secret})

    async def renewed(self, service: Service, refused: str) -> Service | None:
        """See `Credentials`."""
        assert (service.account, refused) == ("one", OLD)
        if self.now() - EPOCH > 0.6 * HOUR + 20:
            self.key = NEW
        return None if self.key == refused else await self.with_secret(service)


@dataclass
class FakeService(Asker):
    """The service: two accounts, storms of 429 and 529, a key that is rotated, now and then no answer."""

    now: Callable[[], float]
    chance: random.Random
    accounts: dict[str, Window5h]
    credentials: FakeCredentials
    into_closed: list[tuple[str, float]] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    most_in_flight: int = 0
    in_flight: int = 0

    async def ask(
        self,
        exchange: Exchange,
        access: Access,
        entry: Entry | None,
        trying: Try | None = None,
    ) -> web.StreamResponse | Fault:
        """Answer once, as `Asker` would pass it on."""
        assert isinstance(access, Service)
        assert entry is not None
        assert trying is not None
        access = await self.credentials.with_secret(access)
        exchange.shown.append(access.secret.get_secret_value().encode())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(access, entry, trying)
        finally:
            self.in_flight -= 1

    async def _answer(self, access: Service, entry: Entry, trying: Try) -> web.StreamResponse | Fault:
        account, now = self.accounts[access.account], self.now()
        if now < account.said_closed_until:
            self.into_closed.append((access.account, now))
        account.roll(now)
        status, headers = self._status(access, account, now)
        if status == 0:
            entry.absorbed()
            self.faults["refused connection"] += 1
            return Fault("unreachable", "refused")
        if status == 200:
            # What a request uses is known, and told, when it is taken.
            spent = REPLY.input + REPLY.output
            account.used += spent
            account.used_of_week += spent
            headers = account.headers()
        closed_until = account.closed_until()
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        fault = await trying.judge(status, headers, b"", "said so")
        if headers.keys() - {"retry-after"}:  # now it is said
            account.said_closed_until = max(account.said_closed_until, closed_until)
        if fault is not None:
            entry.absorbed()
            self.faults[str(status)] += 1
            return fault
        await trying.begun()
        assert status == 200
        self.tokens += REPLY.input + REPLY.output
        entry.settle(REPLY, MODEL)
        await asyncio.sleep(self.chance.uniform(5, 40))
        self.served[access.account] += 1
        return web.Response()

    def _status(self, access: Service, account: Window5h, now: float) -> tuple[int, dict[str, str]]:
        since = now - EPOCH
        if access.account == "one" and access.secret.get_secret_value() != (
            OLD if since < 0.6 * HOUR else NEW
        ):
            return 401, {}
        if max(account.used / account.five_hours, account.used_of_week / account.week) >= 1:
            return 429, account.headers()
        if 600 < since < 1500 and self.chance.random() < 0.7:
            return (429, {"retry-after": "20"}) if self.chance.random() < 0.5 else (429, {})
        if 0.8 * HOUR < since < 0.95 * HOUR and self.chance.random() < 0.8:
            return 529, {}
        if self.chance.random() < 0.03:
            return self.chance.choice([0, 500, 502, 503]), {}
        return 200, {}


@dataclass
class Agent:
    """One attempt: it asks for so many turns, asks anew what a crash has cut, and ends as it is told to."""

    grant: Grant
    turns: int = 0
    ended: str = ""
    absorbed_by_itself: int = 0

    async def live(self, holder: Callable[[Grant], Holder], chance: random.Random, up: asyncio.Event) -> None:
        """Work until the end."""
        await asyncio.sleep(chance.uniform(0, 120))
        while self.turns < TURNS:
            await up.wait()
            exchange = Exchange(
                make_mocked_request("POST", "/v1/messages"), ANTHROPIC, Forward("/v1/messages", counts=True),
                asked=Asked("anthropic", MODEL, Tokens(input=1000, output=200)), streams=True,
            )  # fmt: skip
            exchange.body += b"x" * 3600
            try:
                with self.grant.meter.asked():
                    await holder(self.grant).answer(exchange)
            except Refused as refused:
                self.ended = f"{refused.status} {self.grant.meter.over_budget or self.grant.meter.limited}"
                return
            except asyncio.CancelledError:
                if up.is_set():
                    raise
                self.absorbed_by_itself += 1
                cast(asyncio.Task[Any], asyncio.current_task()).uncancel()
                continue
            self.turns += 1
            await asyncio.sleep(chance.uniform(60, 600))
        self.ended = "done"


def account_of(number: int) -> Account:
    """Most go on with the next account; two stop at the first window, two have a budget of their own."""
    name = f"agent{number}"
    budget = Budget(run=Caps(tokens=RUN_CAP))
    if number in (2, 3):
        budget = Budget(run=Caps(tokens=RUN_CAP), attempt=Caps(tokens=9_500))
    on_limit: Any = "stop" if number in (0, 1) else "next-account"
    return Account(run="night", task=name, profile="p", attempt=name, budget=budget, on_limit=on_limit)


@pytest.mark.parametrize("seed", range(20 if FULL else 2))
def test_a_simulated_night(tmp_path: Path, seed: int) -> None:
    """40 agents, two accounts, 5-hour windows, storms, a weekly limit, a rotated key, a gateway that dies."""
    loop = VirtualLoop()
    chance = random.Random(seed)  # noqa: S311 - it has to come again

    def now() -> float:
        return EPOCH + loop.time()

    credentials = FakeCredentials(tmp_path, lambda _url: None, {})
    credentials.now = now
    service = FakeService(now, chance, {
        # The first one's week is used up in the middle of the night: after that it is closed for days.
        "one": Window5h("one", five_hours=450_000, week=600_000, week_ends=EPOCH + 3 * 24 * HOUR),
        "two": Window5h("two", five_hours=450_000, week=10_000_000, week_ends=EPOCH + 6 * 24 * HOUR),
    }, credentials,)  # fmt: skip

    accesses = tuple(
        Service(base_url="http://x", account=name, credential=FromFile(path="/key"))
        for name in ("one", "two")
    )
    agents = [
        Agent(Grant(accesses, Meter(scripted=False, clock=loop.time), account_of(number), box=f"box{number}"))
        for number in range(AGENTS)
    ]
    spent = {}

    async def story() -> None:
        up = asyncio.Event()
        commons: list[Commons] = []
        holder = lambda grant: Holder(grant, commons[-1], service)  # noqa: E731
        tasks = [asyncio.create_task(agent.live(holder, chance, up)) for agent in agents]
        for life in (4.5 * HOUR, None):  # seconds until it is killed
            with ExitStack() as stack:
                ledger = stack.enter_context(closing(watched(Ledger(tmp_path / "ledger.db"), loop)))
                windows = stack.enter_context(closing(Windows(tmp_path / "windows.db")))
                turns = Turns(windows, now=now, chance=chance)
                recorder = stack.enter_context(closing(Recorder(tmp_path)))
                commons.append(Commons(ledger, credentials, recorder, turns))
                up.set()
                if life is None:
                    await asyncio.gather(*tasks)
                    spent.update({agent.grant.box: ledger.spent(agent.grant.account) for agent in agents})
                else:
                    await asyncio.sleep(life - loop.time())
                    up.clear()
                    for task, agent in zip(tasks, agents, strict=True):
                        if agent.grant.meter.in_flight:
                            task.cancel()
                    await asyncio.sleep(30)

    run_virtually(story(), loop)
    assert service.into_closed == [], "no request was ever sent into a closed window"
    ends = Counter(agent.ended for agent in agents)
    assert ends == {"402 the 5-hour window of anthropic, account one": 2, "402 attempt": 2, "done": 36}, ends
    assert all(
        service.faults[kind] for kind in ("401", "429", "529", "500", "502", "503", "refused connection")
    )
    assert service.served["one"] > 100
    assert service.served["two"] > 300
    run = spent["box0"]["run"]
    assert service.tokens <= run.tokens <= service.tokens + AGENTS * 1200, "booked is what was sent, or more"
    assert run.tokens <= RUN_CAP
    for number in (2, 3):
        assert 9_500 <= spent[f"box{number}"]["attempt"].tokens <= 9_500 + 1200
    assert loop.time() > 5 * HOUR, "windows were waited for"
    waited = [agent.grant.meter.held_s for agent in agents if agent.ended == "done"]
    assert sum(seconds > HOUR for seconds in waited) > AGENTS / 2, "and the agents know nothing of it"
    assert service.most_in_flight <= AGENTS


def watched(ledger: Ledger, loop: VirtualLoop) -> Ledger:
    """The ledger, with the clock standing still while its thread writes."""
    written: Callable[[Any], Awaitable[None]] = ledger._written

    async def waited_for(statement: Any) -> None:
        loop.busy += 1
        try:
            await written(statement)
        finally:
            loop.busy -= 1

    ledger._written = waited_for  # type: ignore[method-assign]
    return ledger

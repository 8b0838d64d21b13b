"""One request that is held, and the answer that may have to be begun before there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import web

from runner.gateway.exchange import Exchange, Fault
from runner.gateway.grants import Held
from runner.gateway.pacing.pace import Ticket
from runner.gateway.pacing.patience import PING, Patience, can_be_pinged


@dataclass(eq=False)
class Hold:
    """One request of a box for as long as it is held. Times are those of the event loop."""

    exchange: Exchange
    ticket: Ticket
    family: str
    """Of the models that it asks."""
    patience: Patience
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    tries: int = 0
    fault: Fault | None = None
    """Why it was not answered the last time."""
    since: dict[object, float] = field(default_factory=dict)
    """When it first failed in each way."""
    held: Held | None = None
    """What it waits for, or waited for last."""

    def __post_init__(self) -> None:
        self._response: web.StreamResponse | None = None
        self._enough = asyncio.Event()
        self._pinger: asyncio.Task[None] | None = None

    @property
    def can_be_pinged(self) -> bool:
        """Whether it may be kept waiting by a stream that says nothing yet."""
        return can_be_pinged(self.exchange.dialect.name, streams=self.exchange.streams)

    def waits_for(self, held: Held) -> Held:
        """Note what it waits for; what it has waited for already, it does since then."""
        if self.held is not None and self.held.kind == held.kind:
            held = held.model_copy(update={"since": self.held.since})
        self.held = held
        return held

    @asynccontextmanager
    async def pinging(self) -> AsyncIterator[None]:
        """Begin the answer, and ping, if the agent would give up otherwise."""
        if self.can_be_pinged:
            self._pinger = asyncio.create_task(self._ping())
        try:
            yield
        except asyncio.CancelledError:  # the box has hung up
            if self._pinger is not None:
                self._pinger.cancel()
            raise
        finally:
            with suppress(asyncio.CancelledError):
                await self.begun()

    async def begun(self) -> web.StreamResponse | None:
        """The answer, if it is begun; from now on nothing is said but by the caller."""
        self._enough.set()
        pinger, self._pinger = self._pinger, None
        if pinger is not None:
            await pinger
        return self._response

    async def end(self, response: web.StreamResponse, error: bytes) -> web.StreamResponse:
        """End an answer that is begun with an error: the first event of the stream that is none."""
        await response.write(b"event: error\ndata: " + error + b"\n\n")
        await response.write_eof()
        return response

    async def _ping(self) -> None:
        if await self._is_enough(self.patience.silent):
            return
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        with suppress(ConnectionError):  # the box has hung up, and who holds its request is told that too
            await response.prepare(self.exchange.request)
            self._response = response
            while True:
                await response.write(PING)
                if await self._is_enough(self.patience.ping):
                    return

    async def _is_enough(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._enough.wait()
        except TimeoutError:
            return False

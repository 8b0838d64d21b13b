"""What one request of a box on its way is: whose it is, where it goes, and how it can be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import aiohttp
from aiohttp import web

from runner.gateway.booking.ledger import Asked, Ledger
from runner.gateway.booking.meter import Meter
from runner.gateway.dialects.dialect import Dialect, Forward
from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Access, Account
from runner.gateway.keys.credentials import Credentials
from runner.gateway.pacing.patience import Patience
from runner.gateway.pacing.turns import Turns
from runner.gateway.playing.recorder import Recorder, Tape
from runner.tasks.plan import Hosted


@dataclass
class Grant:
    """One box's permission, as the gateway process holds it."""

    accesses: tuple[Access, ...]
    """Who answers it; one for each dialect, or a script for all."""
    meter: Meter
    account: Account
    """In whose name it asks."""
    tape: Tape | None = None
    """Where its traffic is recorded, if it is."""
    hosted: tuple[Hosted, ...] = ()
    """What it may have the services do besides answering."""
    box: str = ""
    """Whose it is: requests of one box wait in one queue."""
    held: int = 0
    """Bytes of request bodies in memory."""


@dataclass
class Commons:
    """What all grants of the process share."""

    ledger: Ledger
    credentials: Credentials
    recorder: Recorder
    turns: Turns = field(default_factory=Turns)
    patience: Patience = field(default_factory=Patience)
    held: int = 0
    """Bytes of request bodies in memory."""
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Held while a large body is looked into: one at a time, whatever box it comes from."""


@dataclass
class Exchange:
    """One request of a box on its way: in which dialect, where it goes, and its body as far as it came."""

    request: web.BaseRequest
    dialect: Dialect
    forward: Forward
    body: bytearray = field(default_factory=bytearray)
    asked: Asked | None = None
    """What it asks for, once that was looked at; None where it asks for nothing that counts."""
    streams: bool = False
    """Whether it asks for a stream."""
    shown: list[bytes] = field(default_factory=list)
    """Every credential that a service was shown with it, none of which its box may ever see."""

    def reader(self, answer: aiohttp.ClientResponse) -> UsageReader | None:
        """What reads the usage of that answer, where it counts."""
        if not self.forward.counts or answer.status != 200:
            return None
        return self.dialect.usage_reader(self.forward.target.partition("?")[0], answer.content_type)


@dataclass(frozen=True)
class Fault:
    """An answer, or the lack of one, that the agent need not see: the request can be sent again.

    `failing`: the request itself may be why. `retry_at`: when to ask again, if the service says so, in
    seconds since the epoch.
    """

    kind: Literal["overload", "unreachable", "credential"]
    why: str
    retry_at: float | None = None
    failing: bool = False


class Try(Protocol):
    """One sending of a request, for whoever decides what becomes of it."""

    async def judge(self, status: int, headers: Mapping[str, str], body: bytes, said: str) -> Fault | None:
        """What is to be kept from the agent of an answer that begins like this.

        Args:
            status: Its status.
            headers: With names in lower case.
            body: Of an error, as far as it was read.
            said: What an error says, in words, without any secret.
        """

    async def begun(self) -> web.StreamResponse | None:
        """The answer to the box, if it was begun already while the box waited; from now on it is yours."""


class Refused(Exception):  # noqa: N818 - it carries an answer; most of them are the box's fault, not ours
    """Ends a request before anything of an answer was sent: with this HTTP status, and these words."""

    def __init__(self, status: int, why: str, retry_after: int = 5) -> None:
        super().__init__(why)
        self.status = status
        self.retry_after = retry_after
        """Seconds, of a 429; Claude Code takes anything above 60 for a final refusal."""

"""What one request of a box on its way is: whose it is, where it goes, and how it can be refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from runner.gateway.credentials import Credentials
from runner.gateway.dialects.dialect import Dialect, Forward
from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Access, Account
from runner.gateway.ledger import Asked, Ledger
from runner.gateway.meter import Meter
from runner.gateway.recorder import Recorder, Tape
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
    held: int = 0
    """Bytes of request bodies in memory."""


@dataclass
class Commons:
    """What all grants of the process share."""

    ledger: Ledger
    credentials: Credentials
    recorder: Recorder
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
    shown: list[bytes] = field(default_factory=list)
    """Every credential that a service was shown with it, none of which its box may ever see."""

    def reader(self, answer: aiohttp.ClientResponse) -> UsageReader | None:
        """What reads the usage of that answer, where it counts."""
        if not self.forward.counts or answer.status != 200:
            return None
        return self.dialect.usage_reader(self.forward.target.partition("?")[0], answer.content_type)


class Refused(Exception):  # noqa: N818 - it carries an answer; most of them are the box's fault, not ours
    """Ends a request before anything of an answer was sent: with this HTTP status, and these words."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status

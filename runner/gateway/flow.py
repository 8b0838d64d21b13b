"""What an attempt at egress may move, and for how long: counted as it flows, for it and for its whole box."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from runner.gateway.egress.audit import Attempt
from runner.gateway.grants import Contact, Traffic

MIB, GIB = 1024**2, 1024**3

MAX_UP, MAX_DOWN = 256 * MIB, 4 * GIB
"""Bytes of one attempt. Agents fetch much (a toolchain takes 1 GiB) and tell little."""

MAX_BOX_UP, MAX_BOX_DOWN = GIB, 16 * GIB
"""Bytes of a box, all attempts together: a disk has 10 GiB by default, so more could not be kept."""

MAX_SECONDS = 3600.0
"""How long an attempt may last; a download of `MAX_DOWN` at 10 Mbit/s takes about that."""

IDLE_SECONDS = 300.0
"""How long it may last without a byte in either direction, so that what is forgotten does not add up."""

MOST_HOSTS = 32
"""Hosts that are counted by name, of one box: a box may name hosts without end."""

_HOST = re.compile(r"(?:[a-z]+://)?([a-z0-9._-]{1,253})(?:[:/?#]|$)", re.IGNORECASE)


class OverError(Exception):
    """Something reached its cap; `status` is the HTTP status that says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Refused(Exception):  # noqa: N818 - it carries an answer; most of them are the box's fault, not ours
    """Ends an attempt before anything was answered.

    Attributes:
        status: The HTTP status to answer with.
        told: What the box is told; `why`, which is noted, may name addresses that are none of its business.
    """

    def __init__(self, status: int, why: str, told: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.told = told or why


@dataclass
class Totals:
    """What a box did so far; see `grants.Traffic`."""

    allowed: int = 0
    refused: int = 0
    up: int = 0
    down: int = 0
    hosts: dict[str, Contact] = field(default_factory=dict)

    @classmethod
    def continuing(cls, before: Traffic) -> Totals:
        """Goes on from what was counted before."""
        hosts = {contact.host: contact for contact in before.hosts}
        return cls(before.allowed, before.refused, before.up, before.down, hosts)

    def count(self, attempt: Attempt) -> None:
        """Count an attempt that is over, and at which host it was."""
        self.allowed += attempt.allowed
        self.refused += not attempt.allowed
        name = _name_of(attempt)
        name = name if name in self.hosts or len(self.hosts) < MOST_HOSTS else ""
        before = self.hosts.get(name) or Contact(host=name)
        self.hosts[name] = Contact(
            host=name,
            allowed=before.allowed + attempt.allowed,
            refused=before.refused + (not attempt.allowed),
        )

    def traffic(self) -> Traffic:
        """The same as a value."""
        return Traffic(
            allowed=self.allowed,
            refused=self.refused,
            up=self.up,
            down=self.down,
            hosts=tuple(self.hosts.values()),
        )


def _name_of(attempt: Attempt) -> str:
    """The host of an attempt; of one whose request was not understood, what looks like it, or nothing."""
    if attempt.port is not None:
        return attempt.host.lower()
    found = _HOST.match(attempt.host)
    return found.group(1).lower() if found else ""


@dataclass
class Flow:
    """The bytes of one attempt. `alive` is called whenever some flow."""

    attempt: Attempt
    totals: Totals
    alive: Callable[[], None]
    over: OverError | None = None
    """The cap that was reached."""
    _last: float = field(default_factory=time.monotonic)
    _timer: asyncio.Timeout | None = None

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """What is done in here may last, and be silent, for as long as an attempt may.

        Raises:
            OverError: It has, and was cancelled.
        """
        try:
            async with asyncio.timeout_at(self._until()) as timer:
                self._timer = timer
                yield
        except TimeoutError:
            if timer.expired():
                self._end(504, self._lateness())
            raise
        finally:
            self._timer = None

    def up(self, size: int) -> None:
        """Count bytes from the box, before they are passed on.

        Raises:
            OverError: They would be too many.
        """
        self._moves()
        self.attempt.up += size
        self.totals.up += size
        self._bound(self.attempt.up, MAX_UP, "from the box in one go")
        self._bound(self.totals.up, MAX_BOX_UP, "from the box in all")

    def down(self, size: int) -> None:
        """Count bytes to the box, before they are passed on.

        Raises:
            OverError: They would be too many.
        """
        self._moves()
        self.attempt.down += size
        self.totals.down += size
        self._bound(self.attempt.down, MAX_DOWN, "to the box in one go")
        self._bound(self.totals.down, MAX_BOX_DOWN, "to the box in all")

    def _until(self) -> float:
        return min(self.attempt.began + MAX_SECONDS, self._last + IDLE_SECONDS)

    def _lateness(self) -> str:
        if self._last + IDLE_SECONDS < self.attempt.began + MAX_SECONDS:
            return f"silent for more than {IDLE_SECONDS:.0f} s"
        return f"open for more than {MAX_SECONDS:.0f} s"

    def _moves(self) -> None:
        self._last = time.monotonic()
        self.alive()
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(self._until())

    def _bound(self, size: int, most: int, what: str) -> None:
        if size > most:
            self._end(413, f"more than {most // MIB} MiB {what}")

    def _end(self, status: int, why: str) -> NoReturn:
        self.over = OverError(status, why)
        raise self.over

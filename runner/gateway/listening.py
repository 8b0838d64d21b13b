"""One listening socket per box, and the grant behind it.

Which grant a request belongs to follows from the socket that it came in on and from nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import web

from runner import settings
from runner.accounts import Shown
from runner.gateway import dialects, sockets
from runner.gateway.asking import Asker, ClientFor
from runner.gateway.booking.ledger import Ledger
from runner.gateway.booking.meter import Meter
from runner.gateway.dialects.dialect import Dialect
from runner.gateway.door import Door
from runner.gateway.egress.outside import Outside
from runner.gateway.egress.proxy import Egress
from runner.gateway.exchange import Commons, Grant
from runner.gateway.forward import RETRY_AFTER, Forwarder
from runner.gateway.grants import Access, Account, Outlook, Script, Standing, Sum, Usage
from runner.gateway.handover import later
from runner.gateway.keys.credentials import Credentials, ProxyFor
from runner.gateway.pacing.holding import Holder
from runner.gateway.pacing.patience import Patience
from runner.gateway.pacing.turns import Turns
from runner.gateway.places import SOCKET, box_folder
from runner.gateway.playing.recorder import Recorder
from runner.tasks.plan import AllowedHost, Caps, Hosted

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Per box; subagents and tools of one agent were seen to use fewer than ten."""

CONNECTION_TIMEOUT = 15.0
"""Seconds that a connection may take to send a request's headers, or stay open between requests."""

MAX_HEADER = 16 * 1024
"""Bytes of one header or of the request line."""

LINGER = 2.0
"""Seconds in which the rest of a refused request is read, so that the refusal is not lost."""


class BoxServer(web.Server):
    """Serves one box's socket, with a bound on its connections."""

    refusal: bytes
    """What a connection too many is answered with."""
    is_over = False
    """Whether the grant is gone; a connection that was being accepted just then comes after that."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, or turn it away if the box holds too many."""
        super().connection_made(handler, transport)
        if self.is_over:
            transport.abort()
        elif len(self.connections) > MAX_CONNECTIONS:
            transport.write(self.refusal)
            transport.close()


def _full(dialect: Dialect) -> bytes:
    answer = dialect.error(429, f"this box has {MAX_CONNECTIONS} connections open, and may have no more")
    head = (
        "HTTP/1.1 429 Too Many Requests",
        f"retry-after: {RETRY_AFTER}",
        "content-type: application/json",
        f"content-length: {len(answer.body)}",
        "connection: close",
    )
    return "\r\n".join([*head, "", ""]).encode() + answer.body


def quiet_server(handler: Door, dialect: Dialect) -> BoxServer:
    """A server whose handler is cancelled when the box hangs up, and that leaves bodies as they are.

    What it must say before anything was asked, it says in that dialect.
    """
    server = BoxServer(
        handler,
        handler_cancellation=True,
        keepalive_timeout=CONNECTION_TIMEOUT,
        tcp_keepalive=False,
        access_log=None,
        logger=_silent(),
        auto_decompress=False,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        lingering_time=LINGER,
    )
    server.refusal = _full(dialect)
    return server


def _silent() -> logging.Logger:
    # What a hostile box sends would fill the log with tracebacks; our own failures are logged elsewhere.
    logger = logging.getLogger("runner.gateway.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


@dataclass(frozen=True)
class _Open:
    grant: Grant
    egress: Egress
    server: BoxServer
    listener: asyncio.Server

    @property
    def usage(self) -> Usage:
        lost = 0 if self.grant.tape is None else self.grant.tape.lost
        more = {"egress": self.egress.traffic(), "unrecorded": lost}
        return self.grant.meter.usage().model_copy(update=more)

    @property
    def is_busy(self) -> bool:
        return bool(self.grant.meter.in_flight or self.egress.open)


class Grants:
    """All grants of this process, by box."""

    def __init__(
        self,
        home: Path,
        ledger: Ledger,
        client_for: ClientFor,
        proxy_for: ProxyFor,
        outside: Outside,
        recorder: Recorder,
        left: dict[str, Usage] | None = None,
        *,
        turns: Turns | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._home = home
        self._client_for = client_for
        self._proxy_for = proxy_for
        credentials = Credentials(home, proxy_for, settings.environment())
        self._commons = Commons(ledger, credentials, recorder, turns or Turns(), patience or Patience())
        self._outside = outside
        self._open: dict[str, _Open] = {}
        self._left = left or {}  # of boxes whose grant is not renewed yet

    def __len__(self) -> int:
        return len(self._open)

    def boxes(self) -> list[str]:
        """The boxes that hold a grant."""
        return sorted(self._open)

    def usage(self, box: str) -> Usage | None:
        """What a box has used, or None if it holds no grant."""
        found = self._open.get(box)
        return None if found is None else self._usage(found)

    def credentials(self) -> list[Shown]:
        """How the credentials stand that were asked for so far."""
        return self._commons.credentials.shown()

    def standing(self) -> list[Standing]:
        """How every grant stands."""
        return [
            Standing(
                box=box,
                account=found.grant.account,
                usage=self._usage(found),
                spent={
                    kind: Sum(**asdict(amount))
                    for kind, amount in self._commons.ledger.spent(found.grant.account).items()
                },
                overshot=self._commons.ledger.overshot(found.grant.account),
            )
            for box, found in sorted(self._open.items())
        ]

    def outlooks(self) -> list[Outlook]:
        """How every account stands that was asked anything, or whose window is used up."""
        return self._commons.turns.outlooks()

    def _usage(self, found: _Open) -> Usage:
        ledger, usage = self._commons.ledger, found.usage
        spent = ledger.spent(found.grant.account)["attempt"]
        over = ledger.overshot(found.grant.account).get(usage.over_budget, Caps())
        more = {"usd": spent.usd, "unpriced": spent.unpriced, "overshot": over}
        return usage.model_copy(update=more)

    async def open(
        self,
        box: str,
        accesses: tuple[Access, ...],
        before: Usage,
        account: Account,
        hosts: tuple[AllowedHost, ...] = (),
        hosted: tuple[Hosted, ...] = (),
    ) -> None:
        """Listen for a box; a box that holds a grant keeps its counters and gets the new accesses and hosts.

        Args:
            box: Twelve hex digits.
            accesses: Who answers it, in which dialect.
            before: What it had used when an earlier gateway process died.
            account: In whose name it asks.
            hosts: What it is let through to.
            hosted: What it may have the services do besides answering.

        Raises:
            ValueError: `box` is not a box id, the grant is for nothing, or it is to be recorded and its
                account does not say under which names.
            OSError: The socket can't be made.
        """
        if not accesses and not hosts:
            raise ValueError("nobody answers this box, and it is let through to no host")
        folder = box_folder(self._home, box)
        scripted = any(isinstance(access, Script) for access in accesses)
        account = account.model_copy(update={"scripted": scripted})
        if box in self._open:
            grant = self._open[box].grant
            grant.accesses, grant.account, grant.hosted = accesses, account, hosted
            grant.meter.scripted |= scripted  # from now on some figures are invented
            self._open[box].egress.hosts = hosts
            return
        before = later(before, self._left.pop(box, before))
        recorder = self._commons.recorder
        tape = recorder.tape(account.run, account.attempt, before.unrecorded) if account.record else None
        meter = Meter.continuing(before, scripted=scripted)
        grant = Grant(accesses, meter, account, tape=tape, hosted=hosted, box=box)
        egress = Egress(box, hosts, self._outside, before.egress, grant.meter.is_alive)
        asker = Asker(grant, self._commons.credentials, recorder, self._client_for, self._proxy_for)
        forwarder = Forwarder(grant, self._commons, Holder(grant, self._commons, asker))
        server = quiet_server(Door(grant, egress, forwarder), dialects.first_of(accesses))
        folder.mkdir(parents=True, exist_ok=True)
        folder.parent.chmod(0o700)  # on the host nobody else may reach the sockets
        folder.chmod(0o755)  # the box's user, whoever that is, must be able to enter its own mount
        listener = await listen(server, folder, SOCKET, 0o666)
        self._open[box] = _Open(grant, egress, server, listener)
        log.info("granted %s: %s", box, ", ".join([*map(_said, accesses), *map(str, hosts)]))

    async def close(self, box: str) -> Usage | None:
        """Take a box's grant away: stop listening, drop its connections, remove its directory."""
        found = self._open.pop(box, None)
        left = self._left.pop(box, None)
        if found is not None:
            await _stop(found)
            if found.grant.tape is not None:
                await self._commons.recorder.closed(found.grant.tape)
        _remove(box_folder(self._home, box))
        log.info("revoked %s", box)
        return left if found is None else self._usage(found)

    async def finish(self, seconds: float, hurry: asyncio.Event) -> None:
        """Take no more requests, and let those under way end, for so long at most, or until told to hurry.

        Boxes find nobody listening meanwhile, as between two processes; their agents try again.
        """
        for found in self._open.values():
            found.listener.close()
            found.server.pre_shutdown()
        deadline = asyncio.get_running_loop().time() + seconds
        while any(found.grant.meter.is_answered for found in self._open.values()):
            if hurry.is_set() or asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.02)

    def used(self) -> dict[str, Usage]:
        """What each box has used so far, those included whose grant was not renewed after a restart."""
        return self._left | {box: self._usage(found) for box, found in self._open.items()}

    async def close_all(self) -> dict[str, Usage]:
        """Drop every connection; the directories stay, since living boxes have them mounted.

        Returns:
            What each box had used.
        """
        for box in self.boxes():
            found = self._open.pop(box)
            await _stop(found)
            self._left[box] = self._usage(found)
        await self._commons.credentials.finish()  # a login that is being renewed is written down
        return self._left


def _said(access: Access) -> str:
    return "a script" if isinstance(access, Script) else access.dialect


async def listen(server: web.Server, folder: Path, name: str, mode: int) -> asyncio.Server:
    """Serve HTTP on a unix socket."""
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(server, sock=sockets.listen(folder, name, mode))


async def _stop(found: _Open) -> None:
    found.server.is_over = True
    found.listener.close()
    for connection in found.server.connections:
        if connection.transport is not None:
            connection.transport.abort()  # its handler is cancelled, and what it has open with it
    for _ in range(100):
        if not found.is_busy:
            break
        await asyncio.sleep(0.01)
    await found.server.shutdown(0.1)


def _remove(folder: Path) -> None:
    try:
        with sockets.directory(folder) as fd:
            sockets.remove(fd, SOCKET)
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as failure:
        log.warning("%s stays: %s", folder, failure)

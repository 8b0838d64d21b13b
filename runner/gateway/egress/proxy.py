"""A box's way out: to the hosts that its task names, and nowhere else.

    CONNECT host:443           a tunnel; must be TLS for that very host
    CONNECT host:PORT          a tunnel to a port that the task names; if TLS is spoken, then for that host
    GET http://host[:PORT]/…   a plain request, passed on

Names are looked up here, never by the box; all addresses of a name must be public ones, and the address
that was looked at is the one that is connected to. Every attempt is noted, allowed or not.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from runner.gateway.egress.audit import Attempt
from runner.gateway.egress.hosts import (
    HTTP,
    HTTPS,
    BadTargetError,
    Target,
    is_allowed,
    plain_target,
    tunnel_target,
)
from runner.gateway.egress.outside import Outside
from runner.gateway.egress.plain import DIAL_SECONDS, check, plain
from runner.gateway.egress.tunnel import taken_over, tunnel
from runner.gateway.flow import Flow, Refused, Totals
from runner.gateway.grants import Traffic
from runner.tasks.plan import AllowedHost

log = logging.getLogger(__name__)

MAX_OPEN = 32
"""Attempts of a box at once: half of its connections (`listening.MAX_CONNECTIONS`), so that the model can
always be asked."""

MAX_ATTEMPTS = 20_000
"""Attempts of a box in all. Each is a line of the audit: a flood of them must not drive out other boxes'."""

MAX_LOOKUPS = 4
"""Names that a box has looked up at once: an eighth of the threads that all boxes share."""

MAX_ADDRESSES = 4
"""Addresses of a name that are tried, one after the other."""

LOOKUP_SECONDS = 10.0
"""How long a name may take to be looked up: two rounds of a usual resolver."""


def asks_out(request: web.BaseRequest) -> bool:
    """Whether a request is for another host: a CONNECT, or in the absolute form."""
    return request.method == "CONNECT" or not request.raw_path.startswith(("/", "*"))


class Egress:
    """The way out of one box."""

    def __init__(
        self,
        box: str,
        hosts: tuple[AllowedHost, ...],
        outside: Outside,
        before: Traffic,
        alive: Callable[[], None],
    ) -> None:
        """A way out.

        Args:
            box: Whose it is.
            hosts: Where it leads; may be changed at any time, for the attempts that follow.
            outside: The world.
            before: What the box had done when an earlier gateway process died.
            alive: Called whenever bytes flow.
        """
        self.hosts = hosts
        self._box = box
        self._outside = outside
        self._totals = Totals.continuing(before)
        self._alive = alive
        self._made = before.allowed + before.refused
        self._open = 0
        self._looking = asyncio.Semaphore(MAX_LOOKUPS)

    @property
    def open(self) -> int:
        """Attempts under way."""
        return self._open

    def traffic(self) -> Traffic:
        """What the box did so far."""
        return self._totals.traffic()

    def closed(self, request: web.BaseRequest) -> None:
        """Note an attempt of a box that may reach nothing; it is answered elsewhere."""
        attempt = self._begun(request)
        attempt.why = "the task allows no host"
        self._end(attempt)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one attempt out, or refuse it."""
        attempt = self._begun(request)
        try:
            return await self._carry_out(request, attempt)
        except Refused as refused:
            attempt.why = str(refused)
            return _answer(refused)
        except Exception as failure:
            attempt.why = f"broke off: {type(failure).__name__}"
            raise
        finally:
            self._end(attempt)

    async def _carry_out(self, request: web.BaseRequest, attempt: Attempt) -> web.StreamResponse:
        if attempt.number > MAX_ATTEMPTS:
            raise Refused(429, f"this box has made {MAX_ATTEMPTS} attempts, and may make no more")
        target, path = _target(request)
        attempt.host, attempt.port = target.host, target.port
        self._check(request, target)
        with self._counted():
            flow = Flow(attempt, self._totals, self._alive)
            if path is None:
                return await self._tunnel(request, target, flow)
            addresses = await self._addresses(target, attempt)
            return await plain(request, target, path, addresses, flow, self._outside.session)

    async def _tunnel(self, request: web.BaseRequest, target: Target, flow: Flow) -> web.StreamResponse:
        box = taken_over(request)
        addresses = await self._addresses(target, flow.attempt)
        upstream = await self._connect(addresses, target.port, flow.attempt)
        return await tunnel(request, box, upstream, flow, target.host, only_tls=target.port == HTTPS)

    def _check(self, request: web.BaseRequest, target: Target) -> None:
        """Refuse what needs no look at the world.

        Raises:
            Refused: This box may not, or may not now.
        """
        if not is_allowed(target, self.hosts):
            raise Refused(403, f"the task does not allow {target}")
        if request.method != "CONNECT":
            check(request, target)
        if not self._outside.audit.works:
            raise Refused(503, "attempts can't be noted at the moment")
        if self._open >= MAX_OPEN:
            raise Refused(429, f"this box has {MAX_OPEN} attempts under way, and may have no more")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _addresses(self, target: Target, attempt: Attempt) -> list[str]:
        """The addresses to connect to.

        Raises:
            Refused: There are none, or one of them is not public: then the name is nobody's to trust.
        """
        try:
            found = await self._look_up(target)
        except OSError as failure:
            raise Refused(502, f"{target.host} could not be looked up: {type(failure).__name__}") from failure
        for address in found:
            if (why := self._outside.refusal(address)) is not None:
                attempt.address = address
                raise Refused(403, why, f"{target.host} leads to an address that is not public")
        if not found:
            raise Refused(502, f"{target.host} has no address")
        return found[:MAX_ADDRESSES]

    async def _look_up(self, target: Target) -> list[str]:
        """Look a name up; one that takes too long goes on counting until the resolver has given up."""
        async with asyncio.timeout(LOOKUP_SECONDS):
            await self._looking.acquire()
            asked = asyncio.ensure_future(self._outside.look_up(target.host, target.port))
            asked.add_done_callback(self._looked_up)
            return await asyncio.shield(asked)

    def _looked_up(self, asked: asyncio.Future[list[str]]) -> None:
        self._looking.release()
        if not asked.cancelled():
            asked.exception()  # whoever waited may be gone; then nobody else takes notice of it

    async def _connect(
        self, addresses: list[str], port: int, attempt: Attempt
    ) -> tuple[StreamReader, StreamWriter]:
        failure = "no address"
        attempt.allowed = True
        for address in addresses:
            attempt.address = address
            try:
                async with asyncio.timeout(DIAL_SECONDS):
                    return await self._outside.dial(address, port)
            except OSError as error:
                failure = type(error).__name__
        raise Refused(502, f"no answer: {failure}")

    def _begun(self, request: web.BaseRequest) -> Attempt:
        self._made += 1
        return Attempt(self._box, self._made, request.method, request.raw_path)

    def _end(self, attempt: Attempt) -> None:
        """Count an attempt, and note it unless it is one of too many: of these only the first is noted.

        Which one it is was settled when it began, so that no later ones can drive it out of the audit.
        """
        self._totals.count(attempt)
        if attempt.number <= MAX_ATTEMPTS + 1:
            self._outside.audit.note(attempt)


def _target(request: web.BaseRequest) -> tuple[Target, str | None]:
    """Where a request leads, and the path that it asks for there if it is a plain one.

    Raises:
        Refused: It does not say so as it must.
    """
    try:
        if request.method != "CONNECT":
            return plain_target(request.raw_path)
        target = tunnel_target(request.raw_path)
    except BadTargetError as bad:
        raise Refused(400, str(bad)) from bad
    if request.content_length or "transfer-encoding" in request.headers:
        raise Refused(400, "a CONNECT has no body")
    if target.port == HTTP:
        raise Refused(403, "no tunnel leads to the port of plain HTTP; ask for http://HOST/PATH")
    return target, None


def _answer(refused: Refused) -> web.Response:
    log.info("egress refused: %d %.300r", refused.status, str(refused))
    response = web.Response(status=refused.status, text=f"corral: {refused.told}\n")
    response.force_close()  # what follows is for nobody
    return response

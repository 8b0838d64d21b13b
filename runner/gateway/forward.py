"""Carries one request from a box to the service that its grant names, and the answer back.

Nothing is buffered on the way back: each piece of the answer is passed on as it comes. If the box
hangs up, the handler is cancelled and the service's connection is closed with it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from runner.errors import HostError
from runner.gateway import dialects
from runner.gateway.dialects import asked, headers
from runner.gateway.dialects.dialect import Answer, Dialect, Forward
from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Access, Account, Script, Service, Tokens
from runner.gateway.ledger import Asked, Entry, Ledger, OverBudgetError
from runner.gateway.meter import Meter
from runner.gateway.redact import Redactor

log = logging.getLogger(__name__)

MAX_REQUEST = 32 * 1024 * 1024
"""The service's own limit for the body of a request, in bytes."""

TOO_LARGE = f"a request may have at most {MAX_REQUEST // 1024**2} MiB"

MAX_HELD = 4 * MAX_REQUEST
"""Bytes of request bodies that one grant may have in the gateway's memory at once."""

MAX_HELD_BY_ALL = 16 * MAX_REQUEST
"""The same for all grants together."""

LARGE = 1024 * 1024
"""Bytes from which on a body has to wait for its turn to be looked into."""

RETRY_AFTER = "5"
"""Seconds; Claude Code takes anything above 60 for a final refusal."""

BODY_TIMEOUT = 60.0
"""Seconds in which a box must have sent the body that it announced."""

SERVICE_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=30.0, sock_read=660.0)
"""Seconds; Claude Code gives up by itself after 600 s without a byte."""

READABLE_ENCODINGS = frozenset(("", "identity", "gzip", "deflate"))
"""Content encodings that are undone on the way; any other could hide the credential."""

ClientFor = Callable[[Access], aiohttp.ClientSession]
ProxyFor = Callable[[str], str | None]


@dataclass
class Grant:
    """One box's permission, as the gateway process holds it."""

    accesses: tuple[Access, ...]
    """Who answers it; one for each dialect, or a script for all."""
    meter: Meter
    account: Account
    """In whose name it asks."""
    held: int = 0
    """Bytes of request bodies in memory."""


@dataclass
class Commons:
    """What all grants of the process share."""

    ledger: Ledger
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


class Forwarder:
    """Handles every request that comes in on one grant's socket."""

    def __init__(self, grant: Grant, commons: Commons, client_for: ClientFor, proxy_for: ProxyFor) -> None:
        self._grant = grant
        self._commons = commons
        self._client_for = client_for
        self._proxy_for = proxy_for

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; see `dialects.decide` for what is forwarded at all."""
        meter = self._grant.meter
        meter.in_flight += 1
        meter.last_activity = time.time()
        try:
            response = await self._handle(request)
            meter.last_status = response.status
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request could not be handled")
            raise
        finally:
            meter.in_flight -= 1
            meter.last_activity = time.time()
        return response

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        upgrade = "upgrade" in request.headers
        granted = dialects.granted(self._grant.accesses)
        dialect, decision = dialects.decide(granted, request.method, request.raw_path, upgrade=upgrade)
        if isinstance(decision, Answer):
            return self._own(decision, close=decision.status != 200)
        exchange = Exchange(request, dialect, decision)
        try:
            return await self._forward(exchange)
        except Refused as refused:
            answer = dialect.error(refused.status, str(refused))
            return self._own(answer, close=not request.content.is_eof())
        finally:
            self._grant.held -= len(exchange.body)
            self._commons.held -= len(exchange.body)

    def _own(self, answer: Answer, *, close: bool) -> web.Response:
        if answer.status != 200:
            log.info("answered by ourselves: %d %.300r", answer.status, answer.body)
        kind = "application/json" if answer.body else None
        response = web.Response(status=answer.status, body=answer.body, content_type=kind)
        if answer.status == 429:
            response.headers["retry-after"] = RETRY_AFTER
        if close:
            response.force_close()
        return response

    async def _forward(self, exchange: Exchange) -> web.StreamResponse:
        await self._read(exchange.request, exchange.body)
        await self._look_into(exchange)
        # One access for the whole of what follows: it may be renewed at any time, and the key of one
        # service must never go to another.
        access = dialects.who_answers(self._grant.accesses, exchange.dialect)
        if access is None:
            raise Refused(403, f"this box may not ask {exchange.dialect.name} any more")
        return await self._within_budget(exchange, access)

    async def _read(self, request: web.BaseRequest, body: bytearray) -> None:
        if (request.content_length or 0) > MAX_REQUEST:
            raise Refused(413, TOO_LARGE)
        if request.headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer proper has not begun
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                async for piece in request.content.iter_any():
                    body += piece
                    self._grant.held += len(piece)
                    self._commons.held += len(piece)
                    self._check_size(len(body))
        except TimeoutError as late:
            raise Refused(408, f"the body took more than {BODY_TIMEOUT:.0f} s") from late
        except web.RequestPayloadError as wrong:
            raise Refused(400, "the body is not framed as its headers say") from wrong

    def _check_size(self, size: int) -> None:
        if size > MAX_REQUEST:
            raise Refused(413, TOO_LARGE)
        if self._grant.held > MAX_HELD:
            raise Refused(429, "too many large requests at once from this box")
        if self._commons.held > MAX_HELD_BY_ALL:
            raise Refused(429, "too many large requests at once from all boxes")

    async def _look_into(self, exchange: Exchange) -> None:
        """Note what is asked, and refuse what would have the service reach out for the box.

        Raises:
            Refused: It would, or nobody can say.
        """
        if exchange.request.method != "POST":
            return
        if exchange.request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "the body is encoded, and this gateway looks into plain ones only")
        try:
            async with self._commons.turn if len(exchange.body) > LARGE else nullcontext():
                reached = await asyncio.to_thread(_reached, exchange)
        except asked.UnreadableError as unreadable:
            raise Refused(400, str(unreadable)) from unreadable
        if reached is not None:
            raise Refused(403, f"this gateway does not let the service use {reached}")

    async def _within_budget(self, exchange: Exchange, access: Access) -> web.StreamResponse:
        if exchange.asked is None:
            return await self._ask(exchange, access, None)
        try:
            async with self._commons.ledger.entry(self._grant.account, exchange.asked) as entry:
                return await self._ask(exchange, access, entry)
        except OverBudgetError as spent:
            self._grant.meter.over_budget = self._grant.meter.over_budget or spent.kind
            raise Refused(402, str(spent)) from spent
        except HostError as fault:
            raise Refused(503, f"nothing may be asked that can't be written down: {fault.message}") from fault

    async def _ask(self, exchange: Exchange, access: Access, entry: Entry | None) -> web.StreamResponse:
        request = exchange.request
        told = _headers(exchange, access)
        self._grant.meter.requests += 1
        try:
            async with self._client_for(access).request(
                request.method,
                URL(_address(access, exchange), encoded=True),
                headers=told,
                data=io.BytesIO(exchange.body) if request.method == "POST" else None,
                proxy=None if isinstance(access, Script) else self._proxy_for(access.base_url),
                allow_redirects=False,
                timeout=SERVICE_TIMEOUT,
                skip_auto_headers=("user-agent", "accept", "content-type"),
            ) as answer:
                with _settling(entry, answer.status, exchange.reader(answer)) as reader:
                    return await self._pass_back(exchange, answer, access, reader)
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            if entry is not None and isinstance(failure, aiohttp.ClientConnectorError):
                entry.nothing()
            if _hung_up(request):
                raise
            raise Refused(502, _unreachable(access, failure)) from failure

    async def _pass_back(
        self,
        exchange: Exchange,
        answer: aiohttp.ClientResponse,
        access: Access,
        told: UsageReader | None,
    ) -> web.StreamResponse:
        _check_passable(answer)
        request = exchange.request
        redactor = Redactor(_secret(access))
        response = _prepared(answer, redactor)
        meter = self._grant.meter
        meter.last_status = answer.status
        with meter.reading(told) as reader:
            await response.prepare(request)
            try:
                async for piece in answer.content.iter_any():
                    meter.last_activity = time.time()
                    if reader is not None:
                        reader.feed(piece)
                    if clean := redactor.feed(piece):
                        await response.write(clean)
                if rest := redactor.finish():
                    await response.write(rest)
            except (aiohttp.ClientError, TimeoutError) as failure:
                _cut(request, failure)
        return response


@contextmanager
def _settling(entry: Entry | None, status: int, reader: UsageReader | None) -> Iterator[UsageReader | None]:
    """Enter what an answer used, however it ends; one that told nothing stays at its upper bound."""
    try:
        yield reader
    finally:
        if entry is not None and status != 200:
            entry.nothing()
        elif entry is not None and reader is not None and reader.told:
            entry.settle(reader.tokens, reader.model)


def _reached(exchange: Exchange) -> str | None:
    """The first thing that a request would have the service reach out for, if any."""
    said = asked.read(bytes(exchange.body))
    if exchange.forward.counts:
        most = Tokens(input=len(exchange.body), output=asked.most_output(said))
        exchange.asked = Asked(exchange.dialect.name, asked.model(said), most)
    return next(exchange.dialect.reaches_out(said), None)


def _base(access: Access) -> str:
    return "http://script" if isinstance(access, Script) else access.base_url


def _address(access: Access, exchange: Exchange) -> str:
    target = exchange.forward.target
    return _base(access) + (
        target if isinstance(access, Script) else target.removeprefix(exchange.dialect.root)
    )


def _secret(access: Access) -> bytes:
    return access.secret.get_secret_value().encode() if isinstance(access, Service) else b""


def _headers(exchange: Exchange, access: Access) -> CIMultiDict[str]:
    try:
        passed = headers.from_box(exchange.request.raw_headers)
    except ValueError as unreadable:
        raise Refused(400, "a header is not valid UTF-8") from unreadable
    if isinstance(access, Script):
        return CIMultiDict([*passed, *headers.for_script(access.transcript)])
    return CIMultiDict([*exchange.dialect.to_service(passed, access), *headers.credential(access)])


def _hung_up(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut(request: web.BaseRequest, failure: Exception) -> None:
    """Break the answer off: a proper end would make half an answer look whole."""
    if request.transport is not None and not _hung_up(request):
        log.warning("an answer broke off: %s", type(failure).__name__)
        request.transport.close()


def _unreachable(access: Access, failure: Exception) -> str:
    kind = "timed out" if isinstance(failure, TimeoutError) else type(failure).__name__
    detail = Redactor(_secret(access)).whole(str(failure)) or kind
    where = URL(_base(access)).origin()
    log.warning("no answer from %s: %s", where, detail)
    return f"the model service at {where} gave no answer: {detail}"


def _check_passable(answer: aiohttp.ClientResponse) -> None:
    encoding = _encoding(answer)
    if encoding not in READABLE_ENCODINGS:
        raise Refused(502, f"the model service answered in the encoding {encoding[:40]!r}, unasked")
    if 300 <= answer.status < 400:
        raise Refused(502, f"{answer.url.origin()} answered with a redirect, which is not followed")


def _encoding(answer: aiohttp.ClientResponse) -> str:
    return answer.headers.get("content-encoding", "").lower()


def _prepared(answer: aiohttp.ClientResponse, redactor: Redactor) -> web.StreamResponse:
    passed = headers.to_box(answer.headers.items())
    told = CIMultiDict((redactor.whole(name), redactor.whole(value)) for name, value in passed)
    reason = redactor.whole(answer.reason or "")
    response = web.StreamResponse(status=answer.status, reason=reason, headers=told)
    # An encoded body is decoded on the way, and then has another length.
    if answer.content_length is not None and _encoding(answer) in ("", "identity"):
        response.content_length = answer.content_length
    return response

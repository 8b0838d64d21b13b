"""Takes one request of a box in, looks into it, and has it answered as the box's grant says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import nullcontext

from aiohttp import web

from runner.gateway import dialects
from runner.gateway.booking import prices
from runner.gateway.booking.ledger import Asked
from runner.gateway.dialects import asked
from runner.gateway.dialects.dialect import Answer, Reach
from runner.gateway.exchange import Commons, Exchange, Grant, Refused
from runner.gateway.grants import Tokens
from runner.gateway.pacing.holding import Holder
from runner.tasks.plan import Hosted

log = logging.getLogger(__name__)

MAX_REQUEST = 32 * 1024 * 1024
"""The service's own limit for the body of a request, in bytes."""

TOO_LARGE = f"a request may have at most {MAX_REQUEST // 1024**2} MiB"

MAX_HELD = 4 * MAX_REQUEST
"""Bytes of request bodies that one grant may have in the gateway's memory at once."""

MAX_HELD_BY_ALL = 16 * MAX_REQUEST
"""The same for all grants together."""

ALWAYS_HELD = 4 * 1024 * 1024
"""Bytes that a grant may have there whatever others have: requests that wait for hours lock nobody out."""

LARGE = 1024 * 1024
"""Bytes from which on a body has to wait for its turn to be looked into."""

RETRY_AFTER = 5
"""Seconds; Claude Code takes anything above 60 for a final refusal."""

BODY_TIMEOUT = 60.0
"""Seconds in which a box must have sent the body that it announced."""


class Forwarder:
    """Handles every request that comes in on one grant's socket."""

    def __init__(self, grant: Grant, commons: Commons, holder: Holder) -> None:
        self._grant = grant
        self._commons = commons
        self._holder = holder

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; see `dialects.decide` for what is forwarded at all."""
        meter = self._grant.meter
        with meter.asked():
            try:
                response = await self._handle(request)
            except ConnectionError:
                raise
            except Exception:
                log.exception("a request could not be handled")
                raise
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
            return self._own(answer, close=not request.content.is_eof(), retry_after=refused.retry_after)
        finally:
            self._grant.held -= len(exchange.body)
            self._commons.held -= len(exchange.body)

    def _own(self, answer: Answer, *, close: bool, retry_after: int = RETRY_AFTER) -> web.Response:
        self._grant.meter.last_status = answer.status
        if answer.status != 200:
            log.info("answered by ourselves: %d %.300r", answer.status, answer.body)
        kind = "application/json" if answer.body else None
        response = web.Response(status=answer.status, body=answer.body, content_type=kind)
        if answer.status == 429:
            response.headers["retry-after"] = str(retry_after)
        if close:
            response.force_close()
        return response

    async def _forward(self, exchange: Exchange) -> web.StreamResponse:
        await self._read(exchange.request, exchange.body)
        await self._look_into(exchange)
        return await self._holder.answer(exchange)

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
        if self._commons.held > MAX_HELD_BY_ALL and self._grant.held > ALWAYS_HELD:
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
                reached = await asyncio.to_thread(_reached, exchange, self._grant.hosted)
        except asked.UnreadableError as unreadable:
            raise Refused(400, str(unreadable)) from unreadable
        if reached is not None:
            raise Refused(403, f"this gateway does not let the service use {_allowable(reached)}")


def _allowable(reached: Reach) -> str:
    """What a request would have the service do, and how that can be allowed, if it can."""
    cure = f" (`network: {{hosted: [{reached.name}]}}` in the task file allows it)" if reached.name else ""
    return reached.what + cure


def _reached(exchange: Exchange, allowed: Collection[Hosted]) -> Reach | None:
    """The first thing that a request would have the service reach out for, of what is not allowed."""
    said, dialect = asked.read(bytes(exchange.body)), exchange.dialect
    exchange.streams = said.get("stream") is True or ":stream" in exchange.forward.target
    if exchange.forward.counts:
        path, terms = exchange.forward.target.partition("?")[0], prices.terms_of(said)
        most = Tokens(input=asked.most_input(said, exchange.body), output=dialect.most_output(said))
        exchange.asked = Asked(dialect.name, dialect.model(path, said), most, terms, asked.answers(said))
    return next((one for one in dialect.reaches_out(said) if one.name not in allowed), None)

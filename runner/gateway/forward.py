"""Carries one request from a box to the service that its grant names, and the answer back.

Nothing is buffered on the way back: each piece of the answer is passed on as it comes. If the box
hangs up, the handler is cancelled and the service's connection is closed with it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from runner.gateway import anthropic, hosted
from runner.gateway.anthropic import Answer, Forward
from runner.gateway.grants import Access, Script, Service
from runner.gateway.meter import Meter
from runner.gateway.redact import Redactor

log = logging.getLogger(__name__)

MAX_REQUEST = 32 * 1024 * 1024
"""The service's own limit for the body of a request, in bytes."""

MAX_HELD = 4 * MAX_REQUEST
"""Bytes of request bodies that one grant may have in the gateway's memory at once."""

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

    access: Access
    meter: Meter
    held: int = 0
    """Bytes of request bodies in memory."""


class Refused(Exception):  # noqa: N818 - it carries an answer; most of them are the box's fault, not ours
    """Ends a request before anything of an answer was sent."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Forwarder:
    """Handles every request that comes in on one grant's socket."""

    def __init__(self, grant: Grant, client_for: ClientFor, proxy_for: ProxyFor) -> None:
        self._grant = grant
        self._client_for = client_for
        self._proxy_for = proxy_for

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; see `anthropic.decide` for what is forwarded at all."""
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
        decision = anthropic.decide(request.method, request.raw_path, upgrade=upgrade)
        if isinstance(decision, Answer):
            return self._own(decision, close=decision.status != 200)
        try:
            return await self._forward(request, decision)
        except Refused as refused:
            return self._own(refused.answer, close=not request.content.is_eof())

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

    async def _forward(self, request: web.BaseRequest, decision: Forward) -> web.StreamResponse:
        body = bytearray()
        try:
            await self._read(request, body)
            await _look_into(request, body)
            # One access for the whole request: it may be renewed while we wait, and the key of one
            # service must never go to another.
            return await self._ask(request, decision, self._grant.access, body)
        finally:
            self._grant.held -= len(body)

    async def _read(self, request: web.BaseRequest, body: bytearray) -> None:
        if (request.content_length or 0) > MAX_REQUEST:
            raise Refused(_too_large())
        if request.headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer proper has not begun
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                async for piece in request.content.iter_any():
                    body += piece
                    self._grant.held += len(piece)
                    self._check_size(len(body))
        except TimeoutError as late:
            raise Refused(anthropic.error(408, f"the body took more than {BODY_TIMEOUT:.0f} s")) from late
        except web.RequestPayloadError as wrong:
            raise Refused(anthropic.error(400, "the body is not framed as its headers say")) from wrong

    def _check_size(self, size: int) -> None:
        if size > MAX_REQUEST:
            raise Refused(_too_large())
        if self._grant.held > MAX_HELD:
            raise Refused(anthropic.error(429, "too many large requests at once from this box"))

    async def _ask(
        self, request: web.BaseRequest, decision: Forward, access: Access, body: bytearray
    ) -> web.StreamResponse:
        headers = _headers(request, access)
        self._grant.meter.requests += 1
        try:
            async with self._client_for(access).request(
                request.method,
                URL(_base(access) + decision.target, encoded=True),
                headers=headers,
                data=io.BytesIO(body) if request.method == "POST" else None,
                proxy=None if isinstance(access, Script) else self._proxy_for(access.base_url),
                allow_redirects=False,
                timeout=SERVICE_TIMEOUT,
                skip_auto_headers=("user-agent", "accept", "content-type"),
            ) as answer:
                return await self._pass_back(request, answer, access, counts=decision.counts)
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            if _hung_up(request):
                raise
            raise Refused(_unreachable(access, failure)) from failure

    async def _pass_back(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, access: Access, *, counts: bool
    ) -> web.StreamResponse:
        _check_passable(answer)
        redactor = Redactor(_secret(access))
        response = _prepared(answer, redactor)
        meter = self._grant.meter
        meter.last_status = answer.status
        counted = counts and answer.status == 200
        with meter.reading(anthropic.usage_reader(answer.content_type) if counted else None) as reader:
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


async def _look_into(request: web.BaseRequest, body: bytearray) -> None:
    """Refuse what would have the service reach out for the box.

    Raises:
        Refused: It would, or nobody can say.
    """
    if request.method != "POST":
        return
    try:
        asked = await asyncio.to_thread(hosted.reaches_out, bytes(body))
    except hosted.UnreadableError as unreadable:
        raise Refused(anthropic.error(400, str(unreadable))) from unreadable
    if asked is not None:
        raise Refused(anthropic.error(403, f"this gateway does not let the service use {asked}"))


def _base(access: Access) -> str:
    return "http://script" if isinstance(access, Script) else access.base_url


def _secret(access: Access) -> bytes:
    return access.secret.get_secret_value().encode() if isinstance(access, Service) else b""


def _headers(request: web.BaseRequest, access: Access) -> CIMultiDict[str]:
    try:
        if isinstance(access, Script):
            return CIMultiDict(anthropic.to_script(request.raw_headers, access.transcript))
        return CIMultiDict(anthropic.to_service(request.raw_headers, access))
    except ValueError as unreadable:
        raise Refused(anthropic.error(400, "a header is not valid UTF-8")) from unreadable


def _hung_up(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut(request: web.BaseRequest, failure: Exception) -> None:
    """Break the answer off: a proper end would make half an answer look whole."""
    if request.transport is not None and not _hung_up(request):
        log.warning("an answer broke off: %s", type(failure).__name__)
        request.transport.close()


def _unreachable(access: Access, failure: Exception) -> Answer:
    kind = "timed out" if isinstance(failure, TimeoutError) else type(failure).__name__
    detail = Redactor(_secret(access)).whole(str(failure)) or kind
    where = URL(_base(access)).origin()
    log.warning("no answer from %s: %s", where, detail)
    return anthropic.error(502, f"the model service at {where} gave no answer: {detail}")


def _check_passable(answer: aiohttp.ClientResponse) -> None:
    encoding = _encoding(answer)
    if encoding not in READABLE_ENCODINGS:
        raise Refused(
            anthropic.error(502, f"the model service answered in the encoding {encoding[:40]!r}, unasked")
        )
    if 300 <= answer.status < 400:
        raise Refused(
            anthropic.error(502, f"{answer.url.origin()} answered with a redirect, which is not followed")
        )


def _encoding(answer: aiohttp.ClientResponse) -> str:
    return answer.headers.get("content-encoding", "").lower()


def _too_large() -> Answer:
    return anthropic.error(413, f"a request may have at most {MAX_REQUEST // 1024**2} MiB")


def _prepared(answer: aiohttp.ClientResponse, redactor: Redactor) -> web.StreamResponse:
    passed = anthropic.to_box(answer.headers.items())
    headers = CIMultiDict((redactor.whole(name), redactor.whole(value)) for name, value in passed)
    reason = redactor.whole(answer.reason or "")
    response = web.StreamResponse(status=answer.status, reason=reason, headers=headers)
    # An encoded body is decoded on the way, and then has another length.
    if answer.content_length is not None and _encoding(answer) in ("", "identity"):
        response.content_length = answer.content_length
    return response

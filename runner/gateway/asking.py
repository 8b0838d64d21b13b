"""Asks a service once, in the name of a box, and passes its answer back as it comes.

Whoever decides about a request may keep from the box that the service failed (`Try`), until the first byte of
an answer has come. Nothing is buffered on the way back: each piece of the answer is passed on as it comes. If
the box hangs up, the handler is cancelled and the service's connection is closed with it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from runner.gateway.booking.ledger import Entry
from runner.gateway.dialects import headers
from runner.gateway.dialects.reading import UsageReader, json_object, mapping
from runner.gateway.exchange import Exchange, Fault, Grant, Refused, Try
from runner.gateway.grants import Access, Replayed, Script, Service
from runner.gateway.keys.credentials import Credentials, ProxyFor
from runner.gateway.keys.sources import CredentialError
from runner.gateway.playing.recorder import Recorder, Take
from runner.gateway.playing.redact import Redactor

log = logging.getLogger(__name__)

SERVICE_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=30.0, sock_read=660.0)
"""Seconds; Claude Code gives up by itself after 600 s without a byte."""

READABLE_ENCODINGS = frozenset(("", "identity", "gzip", "deflate"))
"""Content encodings that are undone on the way; any other could hide the credential."""

MAX_ERROR = 64 * 1024
"""Bytes of an error that are looked into."""

ERROR_TIMEOUT = 15.0
"""Seconds in which a service must have told its error."""

FAILED_AT_ONCE = b"event: error"
"""How a stream begins of a service that has too much to do, and says so behind a 200."""
NO_CREDENTIAL = "the gateway has no credential for this service just now; its log says why"
"""All that a box is told of it."""

ClientFor = Callable[[Access], aiohttp.ClientSession]


class Asker:
    """Asks the services that one grant names."""

    def __init__(
        self,
        grant: Grant,
        credentials: Credentials,
        recorder: Recorder,
        client_for: ClientFor,
        proxy_for: ProxyFor,
    ) -> None:
        self._grant = grant
        self._credentials = credentials
        self._recorder = recorder
        self._client_for = client_for
        self._proxy_for = proxy_for

    async def ask(
        self, exchange: Exchange, access: Access, entry: Entry | None, trying: Try | None = None
    ) -> web.StreamResponse | Fault:
        """Ask once, and pass back what is answered; `entry` is settled by it.

        Returns:
            The answer to the box, or why there is none yet, if `trying` keeps that from the box.

        Raises:
            Refused: There was no answer, or none that can be passed on.
        """
        try:
            access = await self._with_secret(exchange, access)
            sent = _headers(exchange, access)
            self._grant.meter.requests += 1
            answer = await self._send(exchange, access, sent)
        except (CredentialError, aiohttp.ClientError, TimeoutError, OSError) as failure:
            if entry is not None and isinstance(failure, (CredentialError, aiohttp.ClientConnectorError)):
                entry.absorbed()  # it was not sent
            return _no_answer(exchange, access, failure, trying)
        async with answer:
            if answer.status == 401 and isinstance(access, Service):
                self._credentials.refused(access)
            with _settling(entry, answer.status, exchange.reader(answer)) as reader:
                try:
                    first = await _first(exchange, answer, trying)
                except (aiohttp.ClientError, TimeoutError, OSError) as failure:
                    return _no_answer(exchange, access, failure, trying)
                if trying is not None:
                    fault = await _judged(exchange, trying, answer, first)
                    if fault is not None:
                        if entry is not None:
                            entry.absorbed()
                        return fault
                taking = self._recording(exchange, sent, answer)
                return await self._pass_back(exchange, answer, access, reader, first, trying, taking)

    async def _send(
        self, exchange: Exchange, access: Access, told: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        request = exchange.request
        return await self._client_for(access).request(
            request.method,
            URL(_address(access, exchange), encoded=True),
            headers=told,
            data=io.BytesIO(exchange.body) if request.method == "POST" else None,
            proxy=None if isinstance(access, Script) else self._proxy_for(access.base_url),
            allow_redirects=False,
            timeout=SERVICE_TIMEOUT,
            skip_auto_headers=("user-agent", "accept", "content-type"),
        )

    async def _with_secret(self, exchange: Exchange, access: Access) -> Access:
        if isinstance(access, Script):
            return access
        try:
            service = await self._credentials.with_secret(access)
        except CredentialError as lacking:
            where = f"{access.dialect} account {access.account}, {access.credential}"
            log.warning("not asked for want of a credential: %s: %s", where, lacking)
            raise
        exchange.shown.append(service.secret.get_secret_value().encode())
        return service

    async def _pass_back(
        self,
        exchange: Exchange,
        answer: aiohttp.ClientResponse,
        access: Access,
        told: UsageReader | None,
        first: bytes,
        trying: Try | None,
        taking: AbstractContextManager[Take | None],
    ) -> web.StreamResponse:
        _check_passable(answer)
        request = exchange.request
        redactor = Redactor(*exchange.shown)
        begun = None if trying is None else await trying.begun()
        if begun is not None and not _is_stream(answer):
            raise Refused(answer.status if answer.status >= 400 else 502, _words(exchange, first))
        meter = self._grant.meter
        meter.last_status = answer.status
        if isinstance(access, Script) and (said := answer.headers.get(headers.REPLAYED_HEADER)):
            meter.replays(Replayed.model_validate_json(said))
        response = begun or _prepared(answer, redactor, bounded=trying is not None)
        asked = "" if exchange.asked is None else exchange.asked.model
        with meter.reading(told, asked) as reader, taking as take:
            if begun is None:
                await response.prepare(request)
            try:
                async for clean in self._clean(_pieces(first, answer), reader, redactor):
                    await _tell(response, take, clean)
                if take is not None:
                    take.is_whole = True
                if reader is not None:
                    reader.ended = _says_its_length(answer)
            except (aiohttp.ClientError, TimeoutError) as failure:
                _cut(request, failure)
        return response

    async def _clean(
        self, pieces: AsyncIterator[bytes], reader: UsageReader | None, redactor: Redactor
    ) -> AsyncIterator[bytes]:
        """What of an answer's pieces the box may see, read on the way for what they used."""
        async for piece in pieces:
            self._grant.meter.last_activity = time.time()
            if reader is not None:
                reader.feed(piece)
            if clean := redactor.feed(piece):
                yield clean
        if rest := redactor.finish():
            yield rest

    def _recording(
        self, exchange: Exchange, told: CIMultiDict[str], answer: aiohttp.ClientResponse
    ) -> AbstractContextManager[Take | None]:
        """What records the answer that begins now; see `Recorder.recording`."""
        if self._grant.tape is None:
            return nullcontext()
        asked = (exchange.request.method, exchange.forward.target, [*told.items()], bytes(exchange.body))
        answered = answer.status, headers.to_box(answer.headers.items())
        return self._recorder.recording(self._grant.tape, exchange.shown, asked, answered)


async def _first(exchange: Exchange, answer: aiohttp.ClientResponse, trying: Try | None) -> bytes:
    """What of an answer is looked at before any of it is passed on."""
    if trying is None or _encoding(answer) not in READABLE_ENCODINGS:
        return b""
    if answer.status >= 400:
        read = bytearray()
        async with asyncio.timeout(ERROR_TIMEOUT):
            while len(read) < MAX_ERROR and (piece := await answer.content.readany()):
                read += piece
        return bytes(read)
    return await answer.content.readany() if exchange.forward.counts else b""


async def _judged(
    exchange: Exchange, trying: Try, answer: aiohttp.ClientResponse, first: bytes
) -> Fault | None:
    told: dict[str, str] = {}
    for name, value in answer.headers.items():
        told.setdefault(name.lower(), value)
    status = answer.status
    if status == 200 and first.startswith(FAILED_AT_ONCE):
        status = 529
    said = _words(exchange, first) if status >= 400 else ""
    return await trying.judge(status, told, first if answer.status >= 400 else b"", said)


async def _pieces(first: bytes, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in answer.content.iter_any():
        yield piece


def _no_answer(exchange: Exchange, access: Access, failure: Exception, trying: Try | None) -> Fault:
    """Why there is no answer, where that is kept from the box.

    Raises:
        Refused: It is not.
    """
    if _hung_up(exchange.request):
        raise failure
    if isinstance(failure, CredentialError):
        raise Refused(401, NO_CREDENTIAL) from None
    if trying is None:
        raise Refused(502, _unreachable(exchange, access, failure)) from failure
    return Fault("unreachable", _unreachable(exchange, access, failure))


def _is_stream(answer: aiohttp.ClientResponse) -> bool:
    return answer.status == 200 and answer.content_type.lower() == "text/event-stream"


def _words(exchange: Exchange, body: bytes) -> str:
    """What an error says, in words, without the secret."""
    said = json_object(body.partition(b"data:")[2] if body.startswith(FAILED_AT_ONCE) else body)
    message = mapping(said.get("error")).get("message")
    text = message if isinstance(message, str) else "no words"
    return Redactor(*exchange.shown).whole(text)[:500]


@contextmanager
def _settling(entry: Entry | None, status: int, reader: UsageReader | None) -> Iterator[UsageReader | None]:
    """Enter what an answer used, however it ends; a whole one that told nothing stays at its upper bound."""
    try:
        yield reader
    finally:
        if entry is None or entry.used is not None:
            pass  # it was absorbed
        elif status != 200:
            entry.nothing()
        elif reader is not None:
            if reader.told and (reader.final or reader.ended):
                entry.settle(reader.tokens, reader.model)
            elif reader.produced is not None:
                entry.cut(reader.tokens, reader.model, reader.produced)


def _base(access: Access) -> str:
    return "http://script" if isinstance(access, Script) else access.base_url


def _address(access: Access, exchange: Exchange) -> str:
    target = exchange.forward.target
    return _base(access) + (
        target if isinstance(access, Script) else target.removeprefix(exchange.dialect.root)
    )


def _headers(exchange: Exchange, access: Access) -> CIMultiDict[str]:
    try:
        passed = headers.from_box(exchange.request.raw_headers)
    except ValueError as unreadable:
        raise Refused(400, "a header is not valid UTF-8") from unreadable
    if isinstance(access, Script):
        return CIMultiDict([*passed, *headers.for_script(access)])
    return CIMultiDict([*exchange.dialect.to_service(passed, access), *headers.credential(access)])


async def _tell(response: web.StreamResponse, take: Take | None, clean: bytes) -> None:
    """Pass bytes on to the box, and to its recording if there is one."""
    if take is not None:
        take.add(clean)
    await response.write(clean)


def _hung_up(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut(request: web.BaseRequest, failure: Exception) -> None:
    """Break the answer off: a proper end would make half an answer look whole."""
    if request.transport is not None and not _hung_up(request):
        log.warning("an answer broke off: %s", type(failure).__name__)
        request.transport.close()


def _unreachable(exchange: Exchange, access: Access, failure: Exception) -> str:
    kind = "timed out" if isinstance(failure, TimeoutError) else type(failure).__name__
    detail = Redactor(*exchange.shown).whole(str(failure)) or kind
    where = URL(_base(access)).origin()
    log.warning("no answer from %s: %s", where, detail)
    return f"the model service at {where} gave no answer: {detail}"


def _says_its_length(answer: aiohttp.ClientResponse) -> bool:
    """Whether an answer that was cut would have been noticed; one without framing just ends."""
    return answer.content_length is not None or "transfer-encoding" in answer.headers


def _check_passable(answer: aiohttp.ClientResponse) -> None:
    encoding = _encoding(answer)
    if encoding not in READABLE_ENCODINGS:
        raise Refused(502, f"the model service answered in the encoding {encoding[:40]!r}, unasked")
    if 300 <= answer.status < 400:
        raise Refused(502, f"{answer.url.origin()} answered with a redirect, which is not followed")


def _encoding(answer: aiohttp.ClientResponse) -> str:
    return answer.headers.get("content-encoding", "").lower()


def _prepared(answer: aiohttp.ClientResponse, redactor: Redactor, *, bounded: bool) -> web.StreamResponse:
    passed = headers.to_box(answer.headers.items())
    if bounded:
        passed = headers.asking_again(answer.status, passed)
    told = CIMultiDict((redactor.whole(name), redactor.whole(value)) for name, value in passed)
    reason = redactor.whole(answer.reason or "")
    response = web.StreamResponse(status=answer.status, reason=reason, headers=told)
    # An encoded body is decoded on the way, and then has another length.
    if answer.content_length is not None and _encoding(answer) in ("", "identity"):
        response.content_length = answer.content_length
    return response

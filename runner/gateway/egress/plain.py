"""A plain request of a box to a host, in the absolute form, and the answer back.

Both are made anew from what was parsed: no head is passed on as it came, so there is nothing to be smuggled
in it. Redirects are the box's business: where they lead, it must ask for itself. A host that hangs up on a
request without a body that may be repeated (RFC 9110, section 9.2.2) is asked once more by the library.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from runner.gateway.dialects.headers import Headers, key
from runner.gateway.egress.hosts import HTTP, Target, is_same
from runner.gateway.flow import Flow, OverError, Refused

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

DIAL_SECONDS = 10.0
"""How long an address may take to take a connection."""

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=DIAL_SECONDS)
"""All other time is bounded by the `Flow`, which also knows of what the box sends."""

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect",
     "host", "http2-settings", "via", "forwarded", "x-real-ip", "alt-svc")
)  # fmt: skip
"""RFC 9110, section 7.6.1, and what says something of the way between box and host."""
_HOP_PREFIXES = ("proxy-", "x-forwarded-")
_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


def check(request: web.BaseRequest, target: Target) -> None:
    """See that a request can be passed on in one way only.

    Raises:
        Refused: It can't.
    """
    if "upgrade" in request.headers:
        raise Refused(501, "this proxy speaks plain HTTP: no WebSocket, no other protocol")
    if request.method not in METHODS:
        raise Refused(405, f"this proxy passes on no {request.method[:16]}")
    if not _is_framed_as_usual(request.headers):
        raise Refused(501, "this proxy knows no other transfer encoding than chunked")
    hosts = request.headers.getall("host", [])
    if len(hosts) != 1 or not is_same(hosts[0], target):
        raise Refused(400, "the request's one `Host` header must name the host that it is for")


async def plain(
    request: web.BaseRequest,
    target: Target,
    path: str,
    addresses: Iterable[str],
    flow: Flow,
    session: aiohttp.ClientSession,
) -> web.StreamResponse:
    """Pass a request on to the first of the addresses that answers.

    Raises:
        Refused: There is no answer that could be passed back.
    """
    headers = _to_host(request, target)
    try:
        flow.up(len(path) + sum(len(name) + len(value) for name, value in headers.items()))
        return await _ask_each(request, target, path, headers, addresses, flow, session)
    except OverError as over:
        raise Refused(over.status, str(over)) from over
    except (aiohttp.ClientError, OSError) as failure:
        if flow.over is not None:
            raise Refused(flow.over.status, str(flow.over)) from failure
        raise Refused(502, f"no answer: {type(failure).__name__}") from failure


async def _ask_each(
    request: web.BaseRequest,
    target: Target,
    path: str,
    headers: CIMultiDict[str],
    addresses: Iterable[str],
    flow: Flow,
    session: aiohttp.ClientSession,
) -> web.StreamResponse:
    failure: Exception = OSError("no address")
    flow.attempt.allowed = True
    for address in addresses:
        flow.attempt.address = address
        place = f"[{address}]" if ":" in address else address
        try:
            async with flow.bounded():
                answer = await session.request(
                    request.method,
                    URL(f"http://{place}:{target.port}{path}", encoded=True),
                    headers=headers,
                    data=_body(request, flow) if request.body_exists else None,
                    allow_redirects=False,
                    timeout=_TIMEOUT,
                    skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
                )
        except aiohttp.ClientConnectorError as unreachable:  # nothing was sent
            failure = unreachable
        else:
            async with answer:
                return await _pass_back(request, answer, flow)
    raise failure


async def _body(request: web.BaseRequest, flow: Flow) -> AsyncIterator[bytes]:
    if request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer proper has not begun
    async for piece in request.content.iter_any():
        flow.up(len(piece))
        yield piece


async def _pass_back(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, flow: Flow
) -> web.StreamResponse:
    if answer.status < 200:
        raise Refused(502, f"the host answered with the status {answer.status}, unasked")
    if not _is_framed_as_usual(answer.headers):
        raise Refused(502, "the host answered in a transfer encoding that nobody asked for")
    response = _prepared(answer)
    await response.prepare(request)
    try:
        async with flow.bounded():
            async for piece in answer.content.iter_any():
                flow.down(len(piece))
                await response.write(piece)
    except (OverError, aiohttp.ClientError, OSError) as failure:
        # A proper end would make half an answer look whole.
        flow.attempt.why = str(failure) if isinstance(failure, OverError) else "the answer broke off"
        if request.transport is not None:
            request.transport.close()
    return response


def _is_framed_as_usual(headers: Mapping[str, str]) -> bool:
    """Whether what comes has no transfer encoding but the one that is undone on the way."""
    return headers.get("transfer-encoding", "chunked").strip().lower() == "chunked"


def _to_host(request: web.BaseRequest, target: Target) -> CIMultiDict[str]:
    try:
        sent = [(name.decode(), value.decode()) for name, value in request.raw_headers]
    except UnicodeDecodeError as unreadable:
        raise Refused(400, "a header is not valid UTF-8") from unreadable
    host = target.host if target.port == HTTP else str(target)
    headers = CIMultiDict([("Host", host), *_passed(sent)])
    if request.body_exists and request.content_length is not None:
        headers["Content-Length"] = str(request.content_length)
    return headers


def _prepared(answer: aiohttp.ClientResponse) -> web.StreamResponse:
    passed = [(name, value) for name, value in _passed(answer.headers.items()) if _can_be_sent(name + value)]
    reason = answer.reason if answer.reason and _can_be_sent(answer.reason) else ""
    response = web.StreamResponse(status=answer.status, reason=reason, headers=CIMultiDict(passed))
    if answer.content_length is not None:
        response.content_length = answer.content_length
    return response


def _passed(told: Iterable[tuple[str, str]]) -> Headers:
    """The headers that go from end to end."""
    rows = list(told)
    named = {key(token.strip()) for name, value in rows if key(name) == "connection"
             for token in value.split(",")}  # fmt: skip
    return [
        (name, value)
        for name, value in rows
        if key(name) not in _HOP_BY_HOP | named and not key(name).startswith(_HOP_PREFIXES)
    ]


def _can_be_sent(text: str) -> bool:
    """Whether it has no bytes that were no UTF-8, and no control characters; no answer may hold either."""
    return _UNSENDABLE.search(text) is None

"""A tunnel: bytes of a box to a host and back, once it was decided that they may flow.

The connection of the box is taken over as aiohttp itself does it for WebSockets: after the head of a CONNECT
its parser stops, keeps what came behind the head, and gives that and all that follows to the parser that
is set then. So no byte is lost, whether it came with the head or later, and the connection stays one of
the server's: it counts, and revoking the grant cuts it.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine

import aiohttp
from aiohttp import web

from runner.gateway.client_hello import HelloReader, NotTlsError
from runner.gateway.flow import Flow, OverError

WINDOW = 64 * 1024
"""Bytes that wait in each direction before the side that sends must wait, too."""

HELLO_SECONDS = 10.0
"""How long a box may take to say for whom its TLS connection is."""


async def tunnel(
    request: web.BaseRequest, upstream: tuple[StreamReader, StreamWriter], flow: Flow, named: str | None
) -> web.StreamResponse:
    """Pass bytes until one side is gone or a cap is reached; then both are closed.

    Args:
        request: The CONNECT.
        upstream: The connection to the host; nothing was sent on it.
        flow: What is counted, and bounds it.
        named: The host that a TLS connection must name before any byte of it is passed; None for a tunnel
            that is not looked into.
    """
    reader, writer = upstream
    response = web.StreamResponse(status=200, reason="Connection established")
    try:
        await response.prepare(request)
        box = _taken_over(request)
        if named is not None:
            await _send(await _first_words(box, named), writer, flow)
        await _either(_up(box, writer, flow), _down(reader, response, flow), flow)
    except NotTlsError as wrong:
        flow.attempt.allowed, flow.attempt.why = False, str(wrong)
    except OverError as over:
        flow.attempt.why = str(over)
    except OSError as failure:
        flow.attempt.why = f"broke off: {type(failure).__name__}"
    finally:
        writer.transport.abort()
        if request.transport is not None:
            request.transport.close()
    return response


class _Feed:
    """Stands where a parser of aiohttp's would: what a box sends goes into a stream."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._stream.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._stream.feed_eof()


def _taken_over(request: web.BaseRequest) -> aiohttp.StreamReader:
    """All that the box sends from now on, and what it has sent behind the head already."""
    stream = aiohttp.StreamReader(request.protocol, limit=WINDOW, loop=asyncio.get_running_loop())
    request.protocol.set_parser(_Feed(stream))  # type: ignore[arg-type]  # it is only ever fed
    return stream


async def _first_words(box: aiohttp.StreamReader, named: str) -> bytes:
    """What the box says until it is clear for whom its TLS connection is.

    Raises:
        NotTlsError: It is for another host, or no TLS.
    """
    said, hello = b"", HelloReader()
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            while piece := await box.readany():
                said += piece
                if (name := hello.feed(piece)) is not None:
                    return _checked(said, name, named)
    except TimeoutError as late:
        raise NotTlsError(f"no whole ClientHello in {HELLO_SECONDS:.0f} s") from late
    raise NotTlsError("it ended before its ClientHello did")


def _checked(said: bytes, name: str, named: str) -> bytes:
    if name != named:
        raise NotTlsError(f"its TLS connection is for another host: {name}")
    return said


async def _either(up: Coroutine[None, None, None], down: Coroutine[None, None, None], flow: Flow) -> None:
    """Until one direction has ended, one way or another."""
    both = {asyncio.create_task(up), asyncio.create_task(down)}
    try:
        while not (ended := (await _wait(both, flow.patience()))):
            flow.check_time()
        for task in ended:
            task.result()
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _wait(tasks: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return done


async def _up(box: aiohttp.StreamReader, writer: StreamWriter, flow: Flow) -> None:
    while piece := await box.readany():
        await _send(piece, writer, flow)


async def _send(piece: bytes, writer: StreamWriter, flow: Flow) -> None:
    flow.up(len(piece))
    writer.write(piece)
    await writer.drain()


async def _down(reader: StreamReader, response: web.StreamResponse, flow: Flow) -> None:
    while piece := await reader.read(WINDOW):
        flow.down(len(piece))
        await response.write(piece)

"""A tunnel: bytes of a box to a host and back, once it was decided that they may flow.

The connection of the box is taken over as aiohttp itself does it for WebSockets: after the head of a CONNECT
its parser stops, keeps what came behind the head, and gives that and all that follows to the parser that
is set then. So no byte is lost, whether it came with the head or later, and the connection stays one of
the server's: it counts, and revoking the grant cuts it.

TLS must be for the host that the tunnel was asked for. Where nothing else is spoken (port 443) the first
bytes must be TLS; elsewhere they may be anything, but what begins as TLS does is held to it all the same.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from runner.gateway.egress.client_hello import AnswerReader, HelloReader, NotTlsError, begins_tls
from runner.gateway.flow import Flow, OverError

WINDOW = 64 * 1024
"""Bytes that wait in each direction before the side that sends must wait, too."""

HELLO_SECONDS = 10.0
"""How long a box may take to say for whom its TLS connection is, once it has begun."""


async def tunnel(
    request: web.BaseRequest,
    box: aiohttp.StreamReader,
    upstream: tuple[StreamReader, StreamWriter],
    flow: Flow,
    host: str,
    *,
    only_tls: bool,
) -> web.StreamResponse:
    """Pass bytes until one side is gone or a cap is reached; then both are closed.

    Args:
        request: The CONNECT.
        box: What the box says, from `taken_over`.
        upstream: The connection to the host; nothing was sent on it.
        flow: What is counted, and bounds it.
        host: The host that TLS must name before any byte of it is passed.
        only_tls: Whether nothing but TLS is passed.
    """
    reader, writer = upstream
    response = web.StreamResponse(status=200, reason="Connection established")
    try:
        await response.prepare(request)
        made = _Tunnel(box, reader, writer, response, flow, host, only_tls)
        async with flow.bounded():
            await _either(made.up(), made.down())
    except NotTlsError as wrong:
        flow.attempt.allowed = bool(flow.attempt.up or flow.attempt.down)
        flow.attempt.why = str(wrong)
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


def taken_over(request: web.BaseRequest) -> aiohttp.StreamReader:
    """All that the box sends from now on, and what it has sent behind the head already.

    To be called before anything is waited for: until then nothing else bounds what the box may send.
    """
    stream = aiohttp.StreamReader(request.protocol, limit=WINDOW, loop=asyncio.get_running_loop())
    request.protocol.set_parser(_Feed(stream))  # type: ignore[arg-type]  # it is only ever fed
    return stream


@dataclass
class _Tunnel:
    """Both directions of a tunnel, and what each must know of the other."""

    box: aiohttp.StreamReader
    reader: StreamReader
    writer: StreamWriter
    response: web.StreamResponse
    flow: Flow
    host: str
    only_tls: bool
    answer: AnswerReader | None = None
    """Reads what the host answers to a ClientHello, once there was one, until the answer is known."""
    is_asked_again: asyncio.Future[bool] = field(default_factory=asyncio.Future)

    async def up(self) -> None:
        """From the box to the host."""
        piece = await self._first_words()
        await self._send(piece)
        while piece := await self.box.readany():
            await self._send(piece)

    async def down(self) -> None:
        """From the host to the box."""
        while piece := await self.reader.read(WINDOW):
            if self.answer is not None and (again := self.answer.feed(piece)) is not None:
                self.answer = None
                self.is_asked_again.set_result(again)
            self.flow.down(len(piece))
            await self.response.write(piece)

    async def _first_words(self) -> bytes:
        """Pass on how a TLS connection begins, if it is one; what the box has said beyond that."""
        said = b"" if self.only_tls else await self.box.readany()
        if not (self.only_tls or begins_tls(said)):
            return said
        hello, said = await self._hello(said, HelloReader())
        self.answer = AnswerReader()
        await self._send(hello)
        if await self.is_asked_again:
            hello, said = await self._hello(said, HelloReader(again=True))
            await self._send(hello)
        return said

    async def _hello(self, said: bytes, hello: HelloReader) -> tuple[bytes, bytes]:
        """What the box says until it is clear for whom its TLS connection is, and what came behind that.

        Raises:
            NotTlsError: It is for another host, or no TLS.
        """
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                name = hello.feed(said)
                while name is None:
                    piece = await self.box.readany()
                    if not piece:
                        raise NotTlsError("it ended before its ClientHello did")
                    said += piece
                    name = hello.feed(piece)
        except TimeoutError as late:
            raise NotTlsError(f"no whole ClientHello in {HELLO_SECONDS:.0f} s") from late
        if name != self.host:
            raise NotTlsError(f"its TLS connection is for another host: {name}")
        end = len(said) - hello.behind
        return said[:end], said[end:]

    async def _send(self, piece: bytes) -> None:
        if piece:
            self.flow.up(len(piece))
            self.writer.write(piece)
            await self.writer.drain()


async def _either(*directions: Coroutine[None, None, None]) -> None:
    """Until one direction has ended, one way or another."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

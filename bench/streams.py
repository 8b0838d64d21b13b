"""Many streams at once from one client, and how long each of them took.

Speaks just as much HTTP as the measurements need, so that the client costs little beside what it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

from bench.model import ASKED
from runner.gateway import sockets

END = b"0\r\n\r\n"
WHOLE = b"message_stop"


@dataclass(frozen=True)
class Way:
    """A way to the model: directly, or through what is measured. `port` or else `folder` says where."""

    name: str
    port: int = 0
    folders: tuple[Path, ...] = ()
    """Directories of boxes' sockets; streams are spread over them."""
    path: str = "/v1/messages"
    key: str = "none"
    pid: int | None = None
    """The process that carries the streams, if it is not the model itself."""

    @property
    def request(self) -> bytes:
        """What is sent, every time."""
        body = json.dumps(ASKED).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: model\r\nx-api-key: {self.key}\r\n"
            "anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def connect(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for the stream of that number."""
        if self.port:
            return await asyncio.open_connection("127.0.0.1", self.port)
        made = sockets.connect(self.folders[number % len(self.folders)], "gw.sock", 10)
        made.setblocking(False)
        return await asyncio.open_unix_connection(sock=made)


@dataclass(frozen=True)
class Stream:
    """One stream, in seconds from its request: to its first event, to its last; and the longest wait."""

    first: float
    last: float
    longest: float


async def one(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Stream:
    """Ask once.

    Raises:
        RuntimeError: What came back is not the whole answer.
    """
    begun = time.perf_counter()
    writer.write(way.request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{way.name}: {head[:200]!r} {await reader.read(300)!r}")
    first, tail, before, longest, whole = 0.0, b"", begun, 0.0, False
    while not tail.endswith(END):
        piece = await reader.read(65536)
        now = time.perf_counter()
        first = first or now
        longest, before = max(longest, now - before), now
        if not piece:
            break
        tail = (tail + piece)[-64:] if WHOLE not in piece else tail + piece
        whole = whole or WHOLE in tail
    if not whole:
        raise RuntimeError(f"{way.name}: an answer without its end, {tail!r}")
    return Stream(first - begun, before - begun, longest)


async def many(way: Way, at_once: int, each: int) -> tuple[float, list[Stream]]:
    """So many at once, one after the other on each connection; the seconds in all, and every stream."""

    async def line(number: int) -> list[Stream]:
        reader, writer = await way.connect(number)
        try:
            return [await one(way, reader, writer) for _ in range(each)]
        finally:
            writer.close()

    begun = time.perf_counter()
    lines = await asyncio.gather(*(line(number) for number in range(at_once)))
    return time.perf_counter() - begun, [stream for streams in lines for stream in streams]

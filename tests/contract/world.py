"""A world outside of the gateway that a test plays: its DNS, its addresses, and who listens there."""

from __future__ import annotations

import asyncio
import json
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from runner.gateway import sockets
from runner.gateway.booking.ledger import Ledger
from runner.gateway.egress.audit import Audit
from runner.gateway.egress.hosts import not_public
from runner.gateway.egress.outside import Outside, plain_session
from runner.gateway.grants import Access, Account, Usage
from runner.gateway.listening import Grants
from runner.gateway.playing.recorder import Recorder
from runner.tasks.hosts import allowed_host

BOX = "0123456789ab"
PUBLIC, OTHER_PUBLIC = "8.8.8.8", "2600::1"
"""Public addresses; a test's own dialling leads them to this host."""

NAME = "docs.example.org"
HTTP = f"Host: {NAME}\r\nConnection: close\r\n\r\n".encode()
"""A name that tests let their box through to, and the rest of a request that names it."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\nConnection: close, x-hop\r\nX-Hop: c\r\n\r\nok"
TO = f"http://{NAME}:PORT".encode()
HOST = f"Host: {NAME}:PORT\r\n".encode()
"""An answer, and the beginning and the name of a request to the port of who answers `plainly`."""

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]
AUTHORITY = trustme.CA()


@dataclass
class World:
    """Names with the answers of the DNS, the last one for ever; and where an address and port lead.

    `asked` and `dialled` are what the gateway did. `open_to` are addresses that are taken for public.
    """

    home: Path
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    open_to: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)

    async def look_up(self, host: str, _port: int) -> list[str]:
        """What the DNS says this time."""
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def refusal(self, address: str) -> str | None:
        """The real rule, but for addresses that the test wants to be public."""
        return None if address in self.open_to else not_public(address)

    async def dial(self, address: str, port: int) -> tuple[StreamReader, StreamWriter]:
        """Connect to who plays that address."""
        self.dialled.append((address, port))
        place = self.places.get((address, port))
        if place is None:
            raise ConnectionRefusedError(address)
        return await asyncio.open_connection("127.0.0.1", place)

    @property
    def audit(self) -> list[dict[str, Any]]:
        """What was noted."""
        file = self.home / "egress.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def outside(self, session: aiohttp.ClientSession) -> Outside:
        """The world as the gateway meets it."""
        return Outside(self.look_up, self.refusal, self.dial, session, Audit(self.home / "egress.log"))


@dataclass
class Box:
    """A box with a grant in a world: its socket, and the grant."""

    world: World
    grants: Grants

    async def connect(self) -> tuple[StreamReader, StreamWriter]:
        """A connection to the gateway."""
        made = sockets.connect(self.world.home / "s" / BOX, "gw.sock", 5)
        made.setblocking(False)
        return await asyncio.open_unix_connection(sock=made)

    async def say(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes back until the gateway closes."""
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()

    async def tunnel(self, authority: str, behind: bytes = b"") -> tuple[StreamReader, StreamWriter]:
        """A tunnel that the gateway has granted; `behind` is sent together with the request for it."""
        reader, writer = await self.connect()
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode() + behind)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert head.startswith(b"HTTP/1.1 200 Connection established\r\n"), head
        return reader, writer

    @property
    def usage(self) -> Usage:
        """What it has used."""
        usage = self.grants.usage(BOX)
        assert usage is not None
        return usage

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what comes in its own time."""
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.01)


def no_client(_access: Access) -> aiohttp.ClientSession:
    """A box without a model asks none."""
    raise AssertionError("no request may get this far")


@asynccontextmanager
async def boxed(world: World, *hosts: str, accesses: tuple[Access, ...] = ()) -> AsyncIterator[Box]:
    """A box that is let through to these hosts."""
    async with plain_session() as session:
        ledger = Ledger(world.home / "ledger.db")
        recorder = Recorder(world.home)
        grants = Grants(world.home, ledger, no_client, lambda _url: None, world.outside(session), recorder)
        await grants.open(BOX, accesses, Usage(), Account(), tuple(map(allowed_host, hosts)))
        try:
            yield Box(world, grants)
        finally:
            await grants.close(BOX)
            ledger.close()


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on this host: its port."""
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        stack.callback(server.close)
        yield int(server.sockets[0].getsockname()[1])


def proof_of(*names: str) -> ssl.SSLContext:
    """What a TLS server needs to be believed to be of these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


def believing() -> ssl.SSLContext:
    """What a TLS client needs to believe them."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """Send back whatever comes."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def run(story: Coroutine[Any, Any, None]) -> None:
    """Let a story happen, and see that it leaves no task behind."""

    async def whole() -> None:
        await story
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)

    asyncio.run(whole())


async def over_tls(box: Box, named: str, said: bytes, asked: str = NAME, port: int = 443) -> bytes:
    """Ask for a tunnel to a host, speak TLS for a name in it, and say something that comes back."""
    reader, writer = await box.tunnel(f"{asked}:{port}")
    try:
        await asyncio.wait_for(writer.start_tls(believing(), server_hostname=named), 20)
        writer.write(said)
        return await asyncio.wait_for(reader.readexactly(len(said)), 20)
    finally:
        writer.close()


def first_words(name: str | None) -> bytes:
    """What a TLS client begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def answer_once(reader: StreamReader, writer: StreamWriter, answer: bytes, seen: list[bytes]) -> None:
    """Note a request, as far as its head says that it goes, and answer it."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        head += await reader.readuntil(b"0\r\n\r\n")
    elif b"Content-Length: " in head:
        size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        head += await reader.readexactly(size)
    seen.append(head)
    writer.write(answer)
    writer.close()


async def plainly(world: World, data: bytes, answer: bytes) -> tuple[bytes, list[bytes]]:
    """Send a request with `PORT` in it for the server's port; what came back, and what the server saw."""
    seen: list[bytes] = []
    world.names = {NAME: [["127.0.0.1"]]}
    world.open_to = {"127.0.0.1"}

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await answer_once(reader, writer, answer, seen)

    async with listening(serve) as port, boxed(world, f"{NAME}:{port}") as box:
        got = await box.say(data.replace(b"PORT", str(port).encode()))
        return got, [each.replace(str(port).encode(), b"PORT") for each in seen]

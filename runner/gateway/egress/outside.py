"""What lies outside of the gateway for a box that is let out: the DNS, addresses, connections.

The only place where egress touches the network. Tests play another outside by giving other functions to
`Outside`; nothing that a user can set changes what is asked here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from runner.gateway.egress.audit import Audit
from runner.gateway.egress.hosts import not_public
from runner.gateway.places import EGRESS_LOG, own_folder

LOOKUPS = 32
"""Names looked up at once, for all boxes; a lookup that hangs holds a thread until the resolver gives up."""

_WITHOUT_MEANS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

LookUp = Callable[[str, int], Awaitable[list[str]]]
Dial = Callable[[str, int], Awaitable[tuple[StreamReader, StreamWriter]]]


@dataclass(frozen=True)
class Outside:
    """The world as egress meets it.

    Attributes:
        look_up: The addresses of a host and port.
        refusal: Why nobody may be let through to an address; None if it may be.
        dial: Connects to an address, never to a name.
        session: Makes plain requests, to addresses.
        audit: Where attempts are noted.
    """

    look_up: LookUp
    refusal: Callable[[str], str | None]
    dial: Dial
    session: aiohttp.ClientSession
    audit: Audit


@asynccontextmanager
async def outside(home: Path) -> AsyncIterator[Outside]:
    """The real one."""
    threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")
    try:
        async with plain_session() as session:
            audit = Audit(own_folder(home) / EGRESS_LOG)
            yield Outside(partial(look_up, threads), refusal, dial, session, audit)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def plain_session() -> aiohttp.ClientSession:
    """Makes requests as they are told: no cookies, no decoding, no proxy, each on a connection of its own.

    A connection that is shared would carry one box's bytes after another's.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )


async def look_up(threads: ThreadPoolExecutor, host: str, port: int) -> list[str]:
    """The addresses of a host, each once, in the order of the resolver.

    The threads are apart from the loop's own, which the model's traffic needs.
    """
    # With a last dot the resolver puts none of the host's search domains behind it, as it otherwise may, also
    # before it asks for the name itself. As bytes, since a text would be understood as IDNA 2003.
    name = f"{host}.".encode("ascii")
    asked = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    rows = await asyncio.get_running_loop().run_in_executor(threads, asked)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def refusal(address: str) -> str | None:
    """Why an address is not one to let a box through to: it is not public, or it is this host's."""
    return not_public(address) or (f"{address} is this host's own" if is_own(address) else None)


def is_own(address: str) -> bool:
    """Whether an address is this host's: then the kernel would send to it from that very address.

    Nothing is sent: connecting a datagram socket only looks for the way.

    Raises:
        OSError: It can't be told, for want of means.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.connect((address, 9))
            return str(made.getsockname()[0]) == address
    except OSError as failure:
        if failure.errno in _WITHOUT_MEANS:
            raise
        return False  # no way leads there, or this host does not speak that version of IP at all


async def dial(address: str, port: int) -> tuple[StreamReader, StreamWriter]:
    """Connect to an address; asyncio looks up nothing where it is given one.

    Raises:
        OSError: Nobody answers.
    """
    reader, writer = await asyncio.open_connection(address, port, flags=socket.AI_NUMERICHOST)
    peer = writer.get_extra_info("peername")
    if peer is None or peer[0] != address:
        writer.transport.abort()
        raise ConnectionError(f"connected to {peer}, not to {address}")
    return reader, writer

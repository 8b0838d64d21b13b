"""The gateway's own process: sockets, clients, and when to leave."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import web

from runner.gateway import handover, sockets
from runner.gateway.admin import Admin
from runner.gateway.booking.ledger import FILE, Ledger
from runner.gateway.egress.outside import outside
from runner.gateway.grants import Access, Script, Usage
from runner.gateway.listening import Grants, listen
from runner.gateway.pacing.turns import Turns
from runner.gateway.pacing.windows import FILE as WINDOWS
from runner.gateway.pacing.windows import Windows
from runner.gateway.places import ADMIN_SOCKET, LEFT, LOCK, SCRIPT_SOCKET, own_folder
from runner.gateway.playing import script_app
from runner.gateway.playing.recorder import Recorder

log = logging.getLogger(__name__)

LAST_ANSWERS = 10.0
"""Seconds in which answers under way may come to their end once the process was asked to end (SIGTERM).

What is cut then is counted with what it can have used; its agent asks again.
"""

LOCK_PATIENCE = LAST_ANSWERS + 8.0
"""Seconds that a new process waits for an old one that is just leaving; its starter waits a little longer."""


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold, for as long as this process lives, the lock that only one gateway of a home can have.

    Raises:
        TimeoutError: Another one holds it and does not leave.
    """
    with (own_folder(home) / LOCK).open("a+") as handle:
        _lock(handle.fileno(), time.monotonic() + LOCK_PATIENCE)
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield


def _lock(fd: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            if time.monotonic() > deadline:
                raise TimeoutError("another gateway process of this state directory does not leave") from held
            time.sleep(0.05)
        else:
            return


async def serve(home: Path, idle: float, ready: Callable[[], None]) -> None:
    """Serve until asked to leave, or until there is no grant and no request for `idle` seconds.

    Args:
        home: The state directory.
        idle: Seconds.
        ready: Called once everything listens.
    """
    leaving, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked_to_end() -> None:  # once, it lets answers end; again, it cuts them
        (hurry if leaving.is_set() else leaving).set()

    loop.add_signal_handler(signal.SIGTERM, asked_to_end)
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(_clients(home))
        ledger = stack.enter_context(closing(Ledger(own_folder(home) / FILE)))
        world = await stack.enter_async_context(outside(home))
        windows = stack.enter_context(closing(Windows(own_folder(home) / WINDOWS)))
        recorder = stack.enter_context(closing(Recorder(home)))
        left = handover.take(own_folder(home) / LEFT)
        grants = Grants(home, ledger, clients, _proxy_for(), world, recorder, left, turns=Turns(windows))
        stack.push_async_callback(_end, grants, own_folder(home) / LEFT)
        admin = Admin(grants, leaving)
        await stack.enter_async_context(_serving(script_app.app(), own_folder(home), SCRIPT_SOCKET))
        await stack.enter_async_context(_serving(admin.app(), own_folder(home), ADMIN_SOCKET))
        log.info("listening, process %d", os.getpid())
        ready()
        await _until_left(leaving, admin, grants, idle, own_folder(home) / LEFT)
        await grants.finish(LAST_ANSWERS, hurry)
    log.info("left")


async def _end(grants: Grants, file: Path) -> None:
    if used := await grants.close_all():
        handover.leave(file, used)


async def _until_left(leaving: asyncio.Event, admin: Admin, grants: Grants, idle: float, left: Path) -> None:
    written: dict[str, Usage] = {}
    while not leaving.is_set():
        if (used := grants.used()) != written:
            handover.leave(left, used)  # if this process is killed
            written = used
        still = idle - (time.monotonic() - admin.last_request) if not len(grants) else idle
        if still <= 0:
            log.info("idle")
            leaving.set()
            return
        try:
            async with asyncio.timeout(min(still, 1.0)):
                await leaving.wait()
        except TimeoutError:
            continue


@asynccontextmanager
async def _clients(home: Path) -> AsyncIterator[Callable[[Access], aiohttp.ClientSession]]:
    with sockets.directory(own_folder(home)) as fd:
        services = _session(aiohttp.TCPConnector(limit=0))
        scripts = _session(aiohttp.UnixConnector(sockets.inside(fd, SCRIPT_SOCKET), limit=0))
        async with services, scripts:
            yield lambda access: scripts if isinstance(access, Script) else services


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


@asynccontextmanager
async def _serving(app: web.Application, folder: Path, name: str) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("the application has no server after its set-up")
        listener = await listen(runner.server, folder, name, 0o600)
        try:
            yield
        finally:
            with sockets.directory(folder) as fd:
                sockets.remove(fd, name)
            listener.close()
    finally:
        await runner.cleanup()


def _proxy_for() -> Callable[[str], str | None]:
    proxies = getproxies()

    def choose(url: str) -> str | None:
        parts = urlsplit(url)
        if proxy_bypass(parts.hostname or "", proxies):
            return None
        return proxies.get(parts.scheme)

    return choose

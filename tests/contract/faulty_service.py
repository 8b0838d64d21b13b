"""A model service that fails as a test says, and the real parts of the gateway before it, made impatient."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiohttp
from aiohttp import web

from runner.gateway import sockets
from runner.gateway.booking.ledger import Ledger
from runner.gateway.egress.outside import Outside
from runner.gateway.grants import Account, Held, Service, Usage
from runner.gateway.listening import Grants
from runner.gateway.pacing.patience import Patience
from runner.gateway.pacing.turns import Turns
from runner.gateway.pacing.windows import Windows
from runner.gateway.playing.recorder import Recorder

BOX, OTHER = "0123456789ab", "ba9876543210"
KEY = "sk-ant-canary-0123456789abcdef"
QUICK = Patience(
    first=0.01, longest=0.05, look_again=0.2, credential=0.5, credential_poll=0.02, window_jitter=0.05
)
"""As patient in the end as ever, but with short pauses."""

STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-5-5","usage":'
    b'{"input_tokens":7,"output_tokens":1}}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":42}}\n\n'
)
WHOLE = json.dumps({"model": "claude-opus-5-5", "usage": {"input_tokens": 7, "output_tokens": 42}}).encode()

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def error(status: int, *, body: object = None, **headers: str) -> Answer:
    """An error of the service."""
    said = body or {"type": "error", "error": {"type": "some_error", "message": f"said {status}"}}
    told = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(said, status=status, headers=told)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """No answer at all."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def failing_stream(_request: web.Request) -> web.StreamResponse:
    """A stream that begins with an error."""
    said = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    return web.Response(body=said, headers={"content-type": "text/event-stream"})


def good(**headers: str) -> Answer:
    """What was asked for."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(request: web.Request) -> web.StreamResponse:
        if (await request.json()).get("stream"):
            return web.Response(body=STREAM, headers={"content-type": "text/event-stream", **told})
        return web.Response(body=WHOLE, content_type="application/json", headers=told)

    return answer


@dataclass
class Faulty:
    """The service: its answers in turn, and then good ones; and who asked when, with which key."""

    answers: list[Answer] = field(default_factory=list)
    last: Answer = field(default_factory=good)
    keys: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.bodies.append(await request.read())
        self.at.append(time.time())
        shown = request.headers.get("x-api-key") or ""
        self.keys.append(shown)
        answer = self.answers.pop(0) if self.answers else self.last
        return await answer(request)


@dataclass
class Fleet:
    """The gateway's parts in this process, and the boxes of a test."""

    home: Path
    grants: Grants
    ledger: Ledger
    upstream: Faulty
    boxes: dict[str, aiohttp.ClientSession]

    def usage(self, box: str = BOX) -> Usage:
        """What a box has used."""
        usage = self.grants.usage(box)
        assert usage is not None
        return usage

    def service(self, **more: object) -> Service:
        """The service, as a grant names it."""
        return Service.model_validate({"base_url": self.upstream.url, "secret": KEY, **more})

    async def ask(
        self,
        box: str = BOX,
        *,
        stream: bool = True,
        path: str = "/v1/messages",
        model: str = "claude-opus-5-5",
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask once, as an agent does."""
        body = {"model": model, "stream": stream, "max_tokens": 100}
        async with self.boxes[box].post(f"http://gateway{path}", json=body) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read()

    async def until_held(self, kind: str, box: str = BOX) -> Held:
        """Wait until all requests of a box wait for something of that kind."""
        async with asyncio.timeout(20):
            while (held := self.usage(box).held) is None or held.kind != kind:
                await asyncio.sleep(0.01)
        return held

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what comes in its own time."""
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def fleet(
    home: Path,
    *services: Mapping[str, object],
    patience: Patience = QUICK,
    account: Account | None = None,
    upstream: Faulty | None = None,
) -> AsyncIterator[Fleet]:
    """Two boxes that may ask a service, by the accounts that are given."""
    async with AsyncExitStack() as stack:
        faulty = upstream or Faulty()
        if not faulty.url:
            runner = web.AppRunner(_app(faulty), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            faulty.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        client = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=True))
        ledger = Ledger(home / "ledger.db")
        stack.callback(ledger.close)
        windows = Windows(home / "windows.db")
        stack.callback(windows.close)
        recorder = Recorder(home)
        stack.callback(recorder.close)
        grants = Grants(
            home, ledger, lambda _access: client, lambda _url: None, cast(Outside, None), recorder,
            turns=Turns(windows, jitter=patience.window_jitter), patience=patience,
        )  # fmt: skip
        stack.push_async_callback(grants.close_all)
        made = Fleet(home, grants, ledger, faulty, {})
        for box in (BOX, OTHER):
            accesses = tuple(made.service(**one) for one in services or ({},))
            await grants.open(box, accesses, Usage(), account or Account(run="r", attempt=box))
            folder = stack.enter_context(sockets.directory(home / "s" / box))
            connector = aiohttp.UnixConnector(sockets.inside(folder, "gw.sock"), force_close=True)
            made.boxes[box] = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield made


def _app(faulty: Faulty) -> web.Application:
    app = web.Application(client_max_size=1024**3)
    app.router.add_route("*", "/{path:.*}", faulty.serve)
    return app

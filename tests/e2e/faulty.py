"""A model service that fails as told before it is well, in two providers' forms; and the faults it knows."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from runner.gateway.dialects import ANTHROPIC, OPENAI
from runner.gateway.dialects.dialect import Dialect
from runner.gateway.playing import script, script_openai
from runner.gateway.playing.transcript import Figures, Transcript, Turn

SAID = "All is done. " * 20
TURN = Turn(text=SAID, usage=Figures(input=1200, output=80))
Outcome = Literal["absorbed", "told", "left to the agent"]
"""What becomes of it: the gateway waits it out; it is the answer; or the agent sees it and tries again."""

BODY = web.RequestKey("body", dict)
React = Callable[["Faulty", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Fault:
    """One way to fail, and what should come of it. `times` None is always; it takes `seconds`."""

    name: str
    react: React
    outcome: Outcome
    times: int | None = 1
    seconds: float = 0.0


@dataclass
class Faulty:
    """The service. `tries` are the times at which a model was asked; `keys` the credentials shown."""

    fault: Fault
    key_file: Path
    """Where the gateway reads the key."""
    port: int = 0
    tries: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen, on the port of before where there was one."""
        if self._runner is None:
            app = web.Application(client_max_size=64 * 1024**2)
            app.router.add_post("/v1/messages", self._answer)
            app.router.add_post("/v1/responses", self._answer)
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def refuse_for(self, seconds: float) -> None:
        """Take no connections for that long."""
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
        asyncio.get_running_loop().call_later(seconds, lambda: asyncio.ensure_future(self.open()))

    async def close(self) -> None:
        """Stop for good."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.tries.append(time.time())
        self.keys.append(request.headers.get("x-api-key") or request.headers.get("authorization") or "")
        request[BODY] = body
        if self.fault.times is None or len(self.tries) <= self.fault.times:
            return await self.fault.react(self, request)
        return await well(request)


@contextmanager
def serving(fault: Fault, key_file: Path) -> Iterator[Faulty]:
    """The service with that fault, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="faulty", daemon=True)
    thread.start()
    made = Faulty(fault, key_file)
    try:
        asyncio.run_coroutine_threadsafe(made.open(), loop).result(20)
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.close(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _events(request: web.Request) -> list[bytes]:
    body: dict[str, Any] = request[BODY]
    transcript = Transcript(turns=(TURN,))
    if dialect_of(request) is ANTHROPIC:
        return list(script.events(script.answer(transcript, body).message))
    return list(script_openai.response_events(script_openai.response(transcript, body).message, body))


def dialect_of(request: web.Request) -> Dialect:
    """In whose form a request is."""
    return ANTHROPIC if request.path == "/v1/messages" else OPENAI


async def well(request: web.Request, *, events: int | None = None) -> web.StreamResponse:
    """The answer, or the first so many events of it before the connection is cut."""
    body: dict[str, Any] = request[BODY]
    if not body.get("stream"):
        transcript = Transcript(turns=(TURN,))
        whole = script.answer if dialect_of(request) is ANTHROPIC else script_openai.response
        return web.json_response(whole(transcript, body).message)
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in _events(request)[:events]:
        await response.write(event)
    if events is None:
        await response.write_eof()
    else:
        await asyncio.sleep(0.1)
        _cut(request)
    return response


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def status(code: int, **headers: str) -> React:
    """Answers with an HTTP status, in the provider's form."""

    async def react(_: Faulty, request: web.Request) -> web.StreamResponse:
        said = dialect_of(request).error(code, f"the service says {code}")
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, body=said.body, content_type="application/json", headers=told)

    return react


async def closed(_: Faulty, request: web.Request) -> web.StreamResponse:
    """Closes the connection before anything was answered."""
    _cut(request)
    return web.Response()


async def refused(service: Faulty, request: web.Request) -> web.StreamResponse:
    """Closes the connection, and takes none for a while."""
    await service.refuse_for(4)
    _cut(request)
    return web.Response()


async def rotated(service: Faulty, request: web.Request) -> web.StreamResponse:
    """Refuses the key, and has it replaced by another."""
    service.key_file.write_text(f"{service.key_file.read_text()}-renewed")
    return await status(401)(service, request)


async def cut(_: Faulty, request: web.Request) -> web.StreamResponse:
    """Cuts the stream after four events."""
    return await well(request, events=4)


def window_closed(seconds: float) -> React:
    """Says that a subscription's five-hour window is used up, until so many seconds from now."""

    async def react(service: Faulty, request: web.Request) -> web.StreamResponse:
        reset = str(int(time.time() + seconds))
        if dialect_of(request) is OPENAI:
            said = {
                "type": "usage_limit_reached",
                "message": "The usage limit has been reached",
                "plan_type": "plus",
            }
            return web.json_response({"error": said | {"resets_at": int(reset)}}, status=429)
        unified = {
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": reset,
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
            "anthropic-ratelimit-unified-5h-status": "rejected",
            "anthropic-ratelimit-unified-5h-reset": reset,
            "anthropic-ratelimit-unified-5h-utilization": "1.0",
        }
        return await status(429, **{name.replace("-", "_"): value for name, value in unified.items()})(
            service, request
        )

    return react


FAULTS = (
    Fault("none", status(500), "absorbed", times=0),
    Fault("429, without retry-after", status(429), "absorbed", times=2),
    Fault("429, retry-after 2", status(429, retry_after="2"), "absorbed", times=2),
    Fault("429, retry-after 61", status(429, retry_after="61"), "absorbed", seconds=61),
    Fault("429, a window that is used up for 20 s", window_closed(20), "absorbed", seconds=20),
    Fault("529 (overloaded)", status(529), "absorbed", times=4),
    Fault("500", status(500), "absorbed", times=3),
    Fault("503", status(503), "absorbed", times=2),
    Fault("closed connection", closed, "absorbed", times=3),
    Fault("refused connections for 4 s", refused, "absorbed", times=1),
    Fault("401, the key was just rotated", rotated, "absorbed"),
    Fault("stream cut after four events", cut, "left to the agent", times=1),
    Fault("400", status(400), "told", times=None),
    Fault("402", status(402), "told", times=None),
    Fault("403", status(403), "told", times=None),
    Fault("413", status(413), "told", times=None),
)
"""In the order of the table."""

LONG = (
    Fault("429, retry-after 400", status(429, retry_after="400"), "absorbed", seconds=400),
    Fault("429, a window that is used up for 10 min", window_closed(600), "absorbed", seconds=600),
)
"""Those that take long: the full counts alone."""

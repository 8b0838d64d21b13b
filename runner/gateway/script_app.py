"""The scripted model as a service on a private socket of the gateway process.

It is reached through the same forwarding as any other service, so what plays a transcript has gone
through everything that a real answer goes through.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aiohttp import web
from pydantic import JsonValue

from runner.errors import TaskFileError
from runner.gateway import script, script_gemini, script_openai
from runner.gateway.dialects import ANTHROPIC, GEMINI, OPENAI
from runner.gateway.dialects.dialect import Dialect
from runner.gateway.dialects.headers import TRANSCRIPT_HEADER
from runner.gateway.forward import MAX_REQUEST
from runner.gateway.transcript import Transcript, load


@dataclass(frozen=True)
class Form:
    """One API that the scripted model speaks."""

    dialect: Dialect
    answer: Callable[[Transcript, script.Json], script.Reply]
    events: Callable[[script.Json, script.Json], Iterator[bytes]]
    """The answer's message, as the service streams it; the request comes second."""


_GEMINI = "/{version:v1|v1beta}/models/{model}"
_BY_PATH = Form(GEMINI, script_gemini.answer, script_gemini.events)

FORMS = {
    "/v1/messages": Form(ANTHROPIC, script.answer, lambda message, _: script.events(message)),
    "/v1/responses": Form(OPENAI, script_openai.response, script_openai.response_events),
    "/v1/chat/completions": Form(OPENAI, script_openai.completion, script_openai.completion_events),
    f"{_GEMINI}:generateContent": _BY_PATH,
    f"{_GEMINI}:streamGenerateContent": _BY_PATH,
}


def app() -> web.Application:
    """The application to serve."""
    made = web.Application(client_max_size=MAX_REQUEST)
    for path, form in FORMS.items():
        made.router.add_post(path, _handler(form))
    made.router.add_post("/v1/messages/count_tokens", _count)
    made.router.add_post(f"{_GEMINI}:countTokens", _count_gemini)
    made.router.add_get("/v1/models", _models)
    return made


def _handler(form: Form) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            asked = _asked(await request.read()) | _asked_by_path(request)
            reply = form.answer(_transcript(request), asked)
        except (script.UnfitError, TaskFileError) as wrong:
            return _error(form.dialect, 400, str(wrong))
        await asyncio.sleep(reply.delay)
        if reply.error is not None:
            return _error(form.dialect, reply.error.status, reply.error.message, reply.error.type or None)
        if not asked.get("stream"):
            return web.json_response(reply.message)
        kind = "application/json" if asked["stream"] == "array" else "text/event-stream"
        return await _stream(request, form.events(reply.message, asked), reply.pause, kind)

    return handle


async def _stream(
    request: web.Request, events: Iterator[bytes], pause: float, kind: str
) -> web.StreamResponse:
    headers = {"content-type": f"{kind}; charset=utf-8", "cache-control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for event in events:
        await response.write(event)
        await asyncio.sleep(pause)
    await response.write_eof()
    return response


async def _count(request: web.Request) -> web.Response:
    return web.json_response({"input_tokens": script.estimate_tokens(await request.read())})


async def _count_gemini(request: web.Request) -> web.Response:
    return web.json_response({"totalTokens": script.estimate_tokens(await request.read())})


async def _models(_request: web.Request) -> web.Response:
    listed = {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    return web.json_response(listed)


def _asked(body: bytes) -> script.Json:
    try:
        asked: JsonValue = json.loads(body)
    except (ValueError, RecursionError) as wrong:
        raise script.UnfitError(f"the request is not JSON: {wrong}") from wrong
    if not isinstance(asked, dict):
        raise script.UnfitError("the request is not a JSON object")
    return asked


def _asked_by_path(request: web.Request) -> script.Json:
    """What a request of the Gemini API says in its path: which model, and whether and how it is streamed."""
    if "model" not in request.match_info:
        return {}
    if not request.path.endswith(":streamGenerateContent"):
        return {"model": request.match_info["model"], "stream": False}
    form = "events" if request.query.get("alt") == "sse" else "array"
    return {"model": request.match_info["model"], "stream": form}


def _transcript(request: web.Request) -> Transcript:
    name = os.fsdecode(bytes.fromhex(request.headers[TRANSCRIPT_HEADER]))
    try:
        state = Path(name).stat()
    except OSError:
        return load(Path(name))  # which says what is wrong with it
    return _loaded(name, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _loaded(name: str, _inode: int, _size: int, _changed: int) -> Transcript:
    return load(Path(name))


def _error(dialect: Dialect, status: int, message: str, kind: str | None = None) -> web.Response:
    said = dialect.error(status, message, kind)
    return web.Response(status=said.status, body=said.body, content_type="application/json")

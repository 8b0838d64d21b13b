"""The scripted model as a service on a private socket of the gateway process.

It is reached through the same forwarding as any other service, so what plays a transcript has gone
through everything that a real answer goes through. It plays recordings as well: a file says by its first
bytes which of the two it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aiohttp import web
from pydantic import JsonValue

from runner.errors import TaskFileError
from runner.gateway.dialects import ANTHROPIC, GEMINI, OPENAI
from runner.gateway.dialects.dialect import Dialect
from runner.gateway.dialects.headers import TRANSCRIPT_HEADER
from runner.gateway.forward import MAX_REQUEST
from runner.gateway.playing import play_app, recording, script, script_gemini, script_openai
from runner.gateway.playing.replay import Player, Way
from runner.gateway.playing.transcript import Transcript, load


@dataclass(frozen=True)
class Form:
    """One API that the scripted model speaks."""

    dialect: Dialect
    answer: Callable[[Transcript, script.Json], script.Reply]
    events: Callable[[script.Json, script.Json], Iterator[bytes]]
    """The answer's message, as the service streams it; the request comes second."""
    way: Way
    """How a conversation is told."""


_GEMINI = "/{version:v1|v1beta}/models/{model}"
_GEMINI_PATH = re.compile(r"/(?:v1|v1beta)/models/[^/:]+:(generateContent|streamGenerateContent)")


def _by_path(kind: str) -> Form:
    """A form of the Gemini API, which says in the path what is asked for."""
    return Form(GEMINI, script_gemini.answer, script_gemini.events, Way(script_gemini.hear, "contents", kind))


FORMS = {
    "/v1/messages": Form(
        ANTHROPIC, script.answer, lambda message, _: script.events(message), Way(script.hear, "messages")
    ),
    "/v1/responses": Form(
        OPENAI,
        script_openai.response,
        script_openai.response_events,
        Way(script_openai.hear_response, "input"),
    ),
    "/v1/chat/completions": Form(
        OPENAI,
        script_openai.completion,
        script_openai.completion_events,
        Way(script_openai.hear_completion, "messages"),
    ),
    **{f"{_GEMINI}:{kind}": _by_path(kind) for kind in ("generateContent", "streamGenerateContent")},
}


def way_of(path: str) -> Way | None:
    """How a conversation at that path is told; None where none is held there."""
    if path in FORMS:
        return FORMS[path].way
    found = _GEMINI_PATH.fullmatch(path)
    return FORMS[f"{_GEMINI}:{found[1]}"].way if found else None


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
            said = _asked(await request.read())
            asked = said | _asked_by_path(request)
            played = await _played(request)
            if isinstance(played, Player):
                return await play_app.answer(request, played, form.dialect, said)
            reply = form.answer(played, asked)
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


async def _count(request: web.Request) -> web.StreamResponse:
    if (recorded := await _recorded_beside(request)) is not None:
        return recorded
    return web.json_response({"input_tokens": script.estimate_tokens(await request.read())})


async def _count_gemini(request: web.Request) -> web.StreamResponse:
    if (recorded := await _recorded_beside(request)) is not None:
        return recorded
    return web.json_response({"totalTokens": script.estimate_tokens(await request.read())})


async def _models(request: web.Request) -> web.StreamResponse:
    if (recorded := await _recorded_beside(request)) is not None:
        return recorded
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


async def _recorded_beside(request: web.Request) -> web.StreamResponse | None:
    """What a recording holds of what is no conversation, if it is one that is played, and if it does."""
    try:
        played = await _played(request)
    except TaskFileError:
        return None
    return await play_app.beside(request, played) if isinstance(played, Player) else None


async def _played(request: web.Request) -> Transcript | Player:
    """What is played to this box.

    Raises:
        TaskFileError: The file can't be read, or is neither a transcript nor a recording.
    """
    name = os.fsdecode(bytes.fromhex(request.headers[TRANSCRIPT_HEADER]))
    try:
        state = Path(name).stat()
    except OSError:
        return load(Path(name))  # which says what is wrong with it
    known = (name, state.st_ino, state.st_size, state.st_mtime_ns)
    if recording.is_recording(Path(name)):
        return await asyncio.to_thread(_player, *known)  # it may be long
    return _loaded(*known)


@lru_cache(maxsize=64)
def _loaded(name: str, _inode: int, _size: int, _changed: int) -> Transcript:
    return load(Path(name))


@lru_cache(maxsize=64)
def _player(name: str, _inode: int, _size: int, _changed: int) -> Player:
    return Player(recording.load(Path(name)), way_of)


def _error(dialect: Dialect, status: int, message: str, kind: str | None = None) -> web.Response:
    said = dialect.error(status, message, kind)
    return web.Response(status=said.status, body=said.body, content_type="application/json")

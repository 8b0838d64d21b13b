"""Answers with what a recording holds: its bytes, in the pieces in which they came."""

from __future__ import annotations

import asyncio

from aiohttp import web

from runner.gateway.dialects.dialect import Dialect
from runner.gateway.dialects.headers import REPLAYED_HEADER, STRICT_HEADER
from runner.gateway.playing.recording import Recorded
from runner.gateway.playing.replay import Player
from runner.gateway.playing.script import Json

DEPARTED = 402
"""The status of an answer that a recording has none for: Claude Code ends at once, and shows the words."""


async def answer(request: web.Request, player: Player, dialect: Dialect, asked: Json) -> web.StreamResponse:
    """Answer a conversation with what was recorded, or an error where nothing was or it must not depart."""
    played = await asyncio.to_thread(player.play, request.path, asked)
    told = {REPLAYED_HEADER: played.replayed.model_dump_json(ensure_ascii=True)}
    if played.exchange is None or (played.why and STRICT_HEADER in request.headers):
        said = dialect.error(DEPARTED, played.why, "replay_departed")
        return web.Response(status=said.status, body=said.body, headers=told, content_type="application/json")
    return await _send(request, player, played.exchange, told)


async def beside(request: web.Request, player: Player) -> web.StreamResponse | None:
    """Answer what is no conversation with what was recorded; None where nothing was."""
    found = player.beside(request.method, request.path)
    return None if found is None else await _send(request, player, found, {})


async def _send(
    request: web.Request, player: Player, exchange: Recorded, told: dict[str, str]
) -> web.StreamResponse:
    recorded = exchange.answer
    assert recorded is not None  # noqa: S101 - those without are not played
    body = player.recording.bytes_of(recorded.body)
    response = web.StreamResponse(status=recorded.status, headers=[*recorded.headers, *told.items()])
    if recorded.whole:
        response.content_length = len(body)
    await response.prepare(request)
    start = 0
    for _, size in recorded.pieces:
        await response.write(body[start : start + size])
        start += size
    if recorded.whole:
        await response.write(body[start:])
        await response.write_eof()
    elif request.transport is not None:
        request.transport.close()  # as it broke off then
    return response

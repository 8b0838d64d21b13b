"""`python -m bench.model`: the scripted model as a process of its own, on a port of this host.

It says the same to everybody: one message in `--events` pieces, with `--pause` seconds between them. Prints
its port once it listens.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web

from runner.gateway.playing import script
from runner.gateway.playing.transcript import Figures, Transcript, Turn

MODEL = "claude-sonnet-4-5"
ASKED: script.Json = {
    "model": MODEL,
    "max_tokens": 1024,
    "stream": True,
    "messages": [{"role": "user", "content": "Say something. " * 64}],
}
"""What the measurements ask, over and over."""


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(prog="bench.model", description=__doc__)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(_serve(_pieces(options.events), options.pause))


def _pieces(events: int) -> list[bytes]:
    """An answer that is told in about so many events."""
    text = "word " * (events * script.TEXT_PIECE // 5)
    turn = Turn(text=text, usage=Figures(input=1200, output=events * 12))
    reply = script.answer(Transcript(turns=(turn,)), ASKED | {"tools": [{"name": "none"}]})
    return list(script.events(reply.message))


async def _serve(pieces: list[bytes], pause: float) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            if pause:
                await asyncio.sleep(pause)
        await response.write_eof()
        return response

    app = web.Application(client_max_size=1024**3)
    app.router.add_post("/v1/messages", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()

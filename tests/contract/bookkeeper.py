"""A model service that keeps its own books, and boxes that ask it in random sessions.

What it does with a request stands in the request, under `play`, which the gateway passes like any other key.
The name of the model tells the requests apart, in its books as in the ledger.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.gateway import sockets
from runner.gateway.grants import Tokens

HEADSTART, PACE = 300, 450
"""Tokens of output that it makes at once, and then in a second: below what the gateway takes for possible."""

PATHS = {"messages": "/v1/messages", "responses": "/v1/responses", "chat": "/v1/chat/completions"}
LIMITS = {"messages": "max_tokens", "responses": "max_output_tokens", "chat": "max_completion_tokens"}
Json = dict[str, Any]


@dataclass
class Book:
    """One request as the service has it in its books."""

    api: str
    sent: Tokens = field(default_factory=Tokens)
    """What it has worked, so far or until it noticed that nobody listens."""
    told: Tokens | None = None
    """What it said of that in the end, if it came so far."""


def name_of(api: str, number: int) -> str:
    """A model for one request alone: a version of one whose price is known."""
    digits = f"{number:08d}"
    return (
        f"claude-opus-5-5-{digits}"
        if api == "messages"
        else f"gpt-6-sol-{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    )


def request(number: int, play: Json) -> bytes:
    """The body of a request that is played so."""
    api, most = play["api"], play["output"] + play["spare"]
    asked: Json = {"model": name_of(api, number), LIMITS[api]: most, "stream": play["stream"], "play": play}
    if play["usage"] and api == "chat" and play["stream"]:
        asked["stream_options"] = {"include_usage": True}
    text = "go on " * 20
    said = [{"role": "user", "content": text}]
    asked["input" if api == "responses" else "messages"] = said
    return json.dumps(asked).encode()


def played(random_: random.Random, *, stream: bool, fault: bool) -> Json:
    """A random request, and what is to become of it."""
    api = random_.choice(["messages", "messages", "responses", "chat"])
    long = random_.random() < 0.04
    output = random_.randrange(400, 1500) if long else random_.randrange(1, 200)
    what = random_.choice(["status", "hangup", "service", "service", "box", "box"]) if fault else "whole"
    return {
        "api": api,
        "stream": stream,
        "input": random_.randrange(1, 60),
        "read": random_.choice([0, 0, random_.randrange(1, 60)]),
        "written": random_.choice([0, 0, random_.randrange(1, 60)]),
        "output": output,
        "hidden": random_.choice([0, random_.randrange(output + 1)]),  # thinking that is not shown
        "spare": random_.choice([0, 1, 5000]),
        "usage": random_.random() < 0.8,  # whether a chat asks to be told
        "framed": random_.random() < 0.8,  # else the answer ends with the connection
        "what": what,
        "status": random_.choice([429, 500, 529, 400]),
        "at": random_.random() ** 2,  # where it is cut, as a share of all bytes
    }


@dataclass
class Service:
    """The service: serve it with `asyncio.start_server`."""

    books: dict[str, Book] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    hurry: float = 1.0
    """How many times as fast as said it works."""

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer the one request of a connection."""
        try:
            asked = await _asked(reader)
            name, play = asked["model"], asked["play"]
            self.tries[name] = self.tries.get(name, 0) + 1
            book = self.books.setdefault(name, Book(play["api"]))
            if play["what"] in ("status", "hangup") and self.tries[name] == 1:
                if play["what"] == "status":
                    writer.write(_head(play["status"], "application/json", 2) + b"{}")
                return
            await self._answer(reader, writer, play, book, name)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, reader: StreamReader, writer: StreamWriter, play: Json, book: Book, name: str
    ) -> None:
        events = (
            list(_events(play, name)) if play["stream"] else [(_document(play, name), play["output"], True)]
        )
        framed = play["framed"] and play["stream"]
        size = sum(len(event) for event, _, _ in events)
        cut = int(play["at"] * size) if play["what"] == "service" else None
        if cut == 0 and self.tries[name] > 1:  # what breaks before it begins would be asked again for hours
            cut = None
        left = size if cut is None else cut
        kind = "text/event-stream" if play["stream"] else "application/json"
        writer.write(_head(200, kind, None if play["stream"] else size, chunked=framed))
        here = Tokens(input=play["input"], cache_read=play["read"], cache_write=play["written"])
        earlier, book.sent = book.sent, book.sent + here
        began, made = asyncio.get_running_loop().time(), 0
        for event, tokens, telling in events:
            made += tokens
            ready = began + max(0, made - HEADSTART) / PACE / self.hurry
            while (wait := ready - asyncio.get_running_loop().time()) > 0 and not reader.at_eof():
                await asyncio.sleep(min(wait, 0.02))
            if reader.at_eof():
                return
            here = here.model_copy(update={"output": made})
            book.sent = earlier + here
            if telling and play["usage_told"] and left >= len(event):
                thought = 0 if play["api"] == "messages" else play["hidden"]  # one of them does not say
                book.told = here.model_copy(update={"reasoning": thought})
            part, left = event[:left], left - len(event)
            writer.write(_chunk(event, len(part)) if framed else part)
            await writer.drain()
            if left < 0:
                return
        if framed and cut is None:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _asked(reader: StreamReader) -> Json:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    asked: Json = json.loads(await reader.readexactly(length))
    play = asked["play"]
    # A chat that is streamed tells its usage only if asked to.
    play["usage_told"] = play["usage"] or play["api"] != "chat" or not play["stream"]
    return asked


def _head(status: int, kind: str, length: int | None, *, chunked: bool = False) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Type: {kind}", "Connection: close"]
    lines += [] if length is None else [f"Content-Length: {length}"]
    lines += ["Transfer-Encoding: chunked"] if chunked else []
    return "\r\n".join([*lines, "", ""]).encode()


def _chunk(data: bytes, part: int) -> bytes:
    whole = f"{len(data):x}\r\n".encode() + data + b"\r\n"
    return whole if part == len(data) else whole[: len(whole) - 2 - len(data) + part]


def _usage(play: Json) -> Json:
    read, written, output = play["read"], play["written"], play["output"]
    if play["api"] == "messages":
        kinds = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
        return {"input_tokens": play["input"], "output_tokens": output, **kinds}
    first, second = ("input", "output") if play["api"] == "responses" else ("prompt", "completion")
    return {
        f"{first}_tokens": play["input"] + read + written,
        f"{first}_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        f"{second}_tokens": output,
        f"{second}_tokens_details": {"reasoning_tokens": play["hidden"]},
    }


def _document(play: Json, name: str) -> bytes:
    return json.dumps({"model": name, "content": "x" * play["output"], "usage": _usage(play)}).encode()


def _events(play: Json, name: str) -> Iterator[tuple[bytes, int, bool]]:
    """The events of a stream: with each the tokens that it stands for, and whether it tells all figures."""
    random_, left = random.Random(name), play["output"] - play["hidden"]  # noqa: S311 - no secret
    yield _event(_first(play, name)), 0, False
    for hidden in range(0, play["hidden"], 20):
        yield b": still thinking\n\n", min(20, play["hidden"] - hidden), False
    while left:
        tokens = min(left, random_.choice([1, 1, 3, 12]))
        left -= tokens
        text = "".join(random_.choice("aé€") for _ in range(tokens))
        yield _event(_piece(play["api"], name, text)), tokens, False
    yield _event(_last(play, name)), 0, True
    yield _event({"type": "message_stop"}), 0, False


def _event(said: Json) -> bytes:
    return f"data: {json.dumps(said)}\n\n".encode()


def _first(play: Json, name: str) -> Json:
    if play["api"] == "messages":
        usage = _usage(play) | {"output_tokens": 1 if play["output"] else 0}
        return {"type": "message_start", "message": {"model": name, "usage": usage}}
    if play["api"] == "responses":
        return {"type": "response.created", "response": {"model": name, "usage": None}}
    return {"model": name, "choices": [{"delta": {"role": "assistant"}}], "usage": None}


def _piece(api: str, name: str, text: str) -> Json:
    if api == "messages":
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    if api == "responses":
        return {"type": "response.output_text.delta", "item_id": "msg_1", "delta": text}
    return {"model": name, "choices": [{"index": 0, "delta": {"content": text}}]}


def _last(play: Json, name: str) -> Json:
    if play["api"] == "messages":
        usage = {"output_tokens": play["output"]}
        return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    if play["api"] == "responses":
        return {"type": "response.completed", "response": {"model": name, "usage": _usage(play)}}
    told = {"usage": _usage(play)} if play["usage_told"] else {}
    return {"model": name, "choices": [], **told}


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[str]:
    """The service on this host: its address."""
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.ensure_future(service(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(folder: Path, number: int, play: Json) -> bool:
    """One request of a box; whether its answer came whole. A play may say that the box hangs up."""
    body = request(number, play)
    made = sockets.connect(folder, "gw.sock", 30)
    made.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=made)
    try:
        head = f"POST {PATHS[play['api']]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        most = int(play["at"] * (200 + 40 * play["output"])) if play["what"] == "box" else 2**40
        got = b""
        async with asyncio.timeout(60):
            while len(got) < most and (more := await reader.read(min(4096, most - len(got)))):
                got += more
        return play["what"] != "box" and got.startswith(b"HTTP/1.1 200") and _is_whole(got)
    finally:
        writer.close()


def _is_whole(got: bytes) -> bool:
    head, _, body = got.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return not lengths or len(body) == lengths[0]


@dataclass
class Row:
    """What the ledger says of one model: of one request, tried once or several times."""

    tokens: Tokens
    usd: float
    states: list[str]


def booked(file: Path) -> dict[str, Row]:
    """All that stands in a ledger, by model."""
    found: dict[str, Row] = {}
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute(
            "SELECT model, state, input, output, cache_read, cache_write, reasoning, usd FROM requests"
        ).fetchall()
    for model, state, input_, output, read, written, reasoning, usd in rows:
        row = found.setdefault(model, Row(Tokens(), 0.0, []))
        row.tokens += Tokens(
            input=input_, output=output, cache_read=read, cache_write=written, reasoning=reasoning
        )
        row.usd += usd
        row.states.append(state)
    return found

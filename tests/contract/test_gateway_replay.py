"""Official SDKs through a real gateway process: recorded before a service, and played without it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import psutil
import pytest

from runner.gateway import sockets
from runner.gateway.client import Gateway
from runner.gateway.grants import Account, Script, Service, Usage
from runner.gateway.places import recording_file
from runner.gateway.playing.recording import load
from runner.gateway.playing.script import events
from tests.contract.gateway_service import (
    CANARY,
    OTHER,
    Upstream,
    begin_stream,
    chunk,
    plain,
    playing,
    running,
)
from tests.contract.test_gateway import eventually

RECORDED = "0123456789cd"
TOOLS: Any = [{"name": "Bash", "input_schema": {"type": "object"}}]
GO: Any = [{"role": "user", "content": "go"}]
NEXT: Any = [*GO, {"role": "assistant", "content": [{"type": "text", "text": "Looking"}]},
             {"role": "user", "content": "and then?"}]  # fmt: skip


class Recording:
    """What one test records, in a run of its own, and where."""

    def __init__(self, gateway: Gateway, home: Path, run: str) -> None:
        self.gateway = gateway
        self.account = Account(run=run, attempt="fix/opus/1", record=True)
        self.file = recording_file(home, run, "fix/opus/1")

    def begin(self, *accesses: Service | Script) -> Path:
        """The directory of the recorded box's socket."""
        return self.gateway.grant(RECORDED, *accesses, account=self.account)

    def end(self) -> Usage:
        """Revoke the grant: then all of it is on the disk."""
        return self.gateway.revoke(RECORDED)

    def play(self, *, strict: bool = False) -> Path:
        """The directory of the socket of a box that is answered by the recording."""
        return self.gateway.grant(OTHER, Script(transcript=str(self.file), strict=strict))


@pytest.fixture
def recording(gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Recording]:
    """A recording of this test alone."""
    made = Recording(gateway, gateway._home, f"r{abs(hash(request.node.name))}")
    yield made
    for box in (RECORDED, OTHER):
        gateway.revoke(box)


def message(text: str) -> dict[str, Any]:
    """An answer of the Messages API."""
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }  # fmt: skip


def answering(*texts: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with these texts, one after the other, as streams with the key in the first of them."""
    left = [*texts]

    def answer(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        for event in events(message(left.pop(0))):
            chunk(asked, event[:7])
            chunk(asked, event[7:])
        chunk(asked, b"")

    return answer


def claude(folder: Path) -> anthropic.Anthropic:
    """Anthropic's SDK over a box's socket."""
    transport = httpx2.HTTPTransport(uds=str(folder / "gw.sock"))
    http_client = httpx2.Client(transport=transport)
    return anthropic.Anthropic(
        api_key="placeholder", base_url="http://gateway", http_client=http_client, max_retries=0
    )


def says(sdk: anthropic.Anthropic, messages: Any) -> str:
    """The text that a stream told."""
    with sdk.messages.stream(model="m-1", max_tokens=9, messages=messages, tools=TOOLS) as stream:
        return "".join(stream.text_stream)


def test_a_conversation_plays_without_its_service(recording: Recording) -> None:
    with playing() as upstream:
        upstream.answer = answering(f"Looking at {CANARY}, it was echoed", "Done")
        with claude(recording.begin(Service(base_url=upstream.url, secret=CANARY))) as sdk:
            first, second = says(sdk, GO), says(sdk, NEXT)
        assert len(upstream.seen) == 2
    assert second == "Done"
    usage = recording.end()
    assert (usage.requests, usage.unrecorded, usage.replayed) == (2, 0, None)
    assert CANARY.encode() not in recording.file.read_bytes()
    assert recording.file.stat().st_mode & 0o777 == 0o600
    with claude(recording.play()) as sdk:
        assert says(sdk, GO) == first
        assert says(sdk, NEXT) == second
    played = recording.gateway.usage(OTHER)
    assert (played.input, played.output, played.scripted) == (usage.input, usage.output, True)
    assert played.replayed is not None
    assert (played.replayed.turns, played.replayed.reached, played.replayed.departed) == (2, 2, None)
    assert first == f"Looking at {'*' * len(CANARY)}, it was echoed"


def test_a_stream_comes_back_to_the_byte(recording: Recording, upstream: Upstream) -> None:
    sent = b"".join(events(message("ä and \u2028 and more " * 300))) + b": a comment\r\n\r\ndata: half"

    def answer(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        for start in range(0, len(sent), 97):
            chunk(asked, sent[start : start + 97])
        chunk(asked, b"")

    upstream.answer = answer
    body = json.dumps({"model": "m", "messages": GO, "tools": TOOLS, "stream": True}).encode()
    assert _post(recording.begin(Service(base_url=upstream.url, secret=CANARY)), body) == (200, sent)
    recording.end()
    upstream.answer = plain  # type: ignore[assignment] # never asked
    assert _post(recording.play(), body) == (200, sent)
    assert len(upstream.seen) == 1
    (one,) = load(recording.file).exchanges
    assert one.answer is not None
    assert (one.answer.whole, sum(size for _, size in one.answer.pieces)) == (True, len(sent))
    assert dict(one.answer.headers) == {"Content-Type": "text/event-stream"}


def _post(folder: Path, body: bytes) -> tuple[int, bytes]:
    made = http.client.HTTPConnection("gateway")
    made.sock = sockets.connect(folder, "gw.sock", 20)
    try:
        made.request("POST", "/v1/messages", body, {"Authorization": "Bearer placeholder-of-the-box"})
        answer = made.getresponse()
        assert answer.getheader("x-corral-replayed") is None
        return answer.status, answer.read()
    finally:
        made.close()


def test_openai_s_two_apis(recording: Recording, tmp_path: Path) -> None:
    """What a script plays is recorded like any service, and then plays in its place."""
    script = tmp_path / "t.yaml"
    script.write_text("turns: [{text: First., usage: {input: 5, output: 6}}, {text: Second.}]")

    def talk(folder: Path) -> list[str]:
        http_client = httpx2.Client(transport=httpx2.HTTPTransport(uds=str(folder / "gw.sock")))
        with openai.OpenAI(
            api_key="placeholder", base_url="http://gateway/v1", http_client=http_client, max_retries=0
        ) as sdk:
            tools: Any = [
                {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
            ]
            chat_tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            whole = sdk.responses.create(model="m", input="go", tools=tools)
            with sdk.responses.stream(model="m", input="go", tools=tools) as stream:
                streamed = stream.get_final_response()
            chat = sdk.chat.completions.create(model="m", messages=GO, tools=chat_tools)
            later = sdk.chat.completions.create(model="m", messages=NEXT, tools=chat_tools)
            texts = [
                whole.output_text,
                streamed.output_text,
                *(one.choices[0].message.content for one in (chat, later)),
            ]
            return [str(text) for text in texts] + [whole.id, streamed.id, chat.id, later.id]

    told = talk(recording.begin(Script(transcript=str(script))))
    used = recording.end()
    script.unlink()
    assert told[:4] == ["First.", "First.", "First.", "Second."]
    assert talk(recording.play()) == told
    played = recording.gateway.usage(OTHER)
    assert eventually(lambda: recording.gateway.usage(OTHER).input == used.input)
    assert played.replayed is not None
    assert played.replayed.departed is None


def test_a_departure_is_told_and_strictly_refused(recording: Recording) -> None:
    with playing() as upstream:
        upstream.answer = answering("Looking", "Done")
        with claude(recording.begin(Service(base_url=upstream.url, secret=CANARY))) as sdk:
            says(sdk, GO)
            says(sdk, NEXT)
    recording.end()
    other: Any = [*NEXT[:-1], {"role": "user", "content": "and now?"}]
    with claude(recording.play()) as sdk:
        assert (says(sdk, GO), says(sdk, other)) == ("Looking", "Done")
        more: Any = [*other, NEXT[1], GO[0]]
        with pytest.raises(anthropic.APIStatusError, match="the recording ends before it") as ended:
            says(sdk, more)
    assert ended.value.status_code == 402
    told = recording.gateway.usage(OTHER).replayed
    assert told is not None
    assert told.departed is not None
    assert told.departed.turn == 2
    assert told.departed.what == "messages[2].content: recorded 'and then?', now 'and now?'"
    recording.gateway.revoke(OTHER)
    with claude(recording.play(strict=True)) as sdk:
        assert says(sdk, GO) == "Looking"
        with pytest.raises(anthropic.APIStatusError, match="departs from its recording at turn 2"):
            says(sdk, other)


def test_what_is_no_conversation_is_answered_as_well(recording: Recording, upstream: Upstream) -> None:
    upstream.answer = lambda asked: plain(asked, b'{"input_tokens": 4711}')
    with claude(recording.begin(Service(base_url=upstream.url, secret=CANARY))) as sdk:
        assert sdk.messages.count_tokens(model="m-1", messages=GO).input_tokens == 4711
    recording.end()
    with claude(recording.play()) as sdk:
        assert sdk.messages.count_tokens(model="m-1", messages=GO).input_tokens == 4711
        assert sdk.models.list().data == []


def test_what_is_no_recording_is_refused(recording: Recording, tmp_path: Path) -> None:
    recording.file = tmp_path / "broken.jsonl"
    recording.file.write_text('{"kind": "recording", "schema": 99}\n')
    with claude(recording.play()) as sdk, pytest.raises(anthropic.BadRequestError, match="format 1"):
        says(sdk, GO)


@pytest.mark.parametrize("names", [{"run": "../x"}, {"attempt": "../../x"}, {"run": ""}])
def test_no_recording_lies_elsewhere(gateway: Gateway, names: dict[str, str]) -> None:
    account = Account(**({"run": "r", "attempt": "a/b/1", "record": True} | names))
    with pytest.raises(Exception, match="the gateway refused"):
        gateway.grant(RECORDED, Service(base_url="http://127.0.0.1:1"), account=account)
    gateway.revoke(RECORDED)


def test_a_killed_gateway_leaves_what_it_had_written(tmp_path: Path, upstream: Upstream) -> None:
    """Killed in the middle of an answer: what ended before is there, and the next process goes on with it."""
    home = tmp_path / "home"
    with running(home) as gateway:
        recording = Recording(gateway, home, "night")
        whole = answering("Looking", "Done")

        def stalls(asked: BaseHTTPRequestHandler) -> None:
            begin_stream(asked)
            chunk(asked, b"event: message_start\n")
            while not gone:
                time.sleep(0.01)

        gone: list[int] = []
        upstream.answer = whole
        folder = recording.begin(Service(base_url=upstream.url, secret=CANARY))
        with claude(folder) as sdk:
            assert says(sdk, GO) == "Looking"
        upstream.answer = stalls
        with sockets.connect(folder, "gw.sock", 20) as box:
            body = json.dumps({"model": "m-1", "max_tokens": 9, "messages": NEXT, "tools": TOOLS}).encode()
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            box.sendall(head + body)
            assert box.recv(15) == b"HTTP/1.1 200 OK"
            assert eventually(lambda: recording.file.exists() and recording.file.stat().st_size > 0)
            assert eventually(lambda: len(load(recording.file).exchanges) == 2)
            pid, _ = Gateway.look(home) or (0, [])
            os.kill(pid, signal.SIGKILL)
            psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
            gone.append(pid)
        first, second = load(recording.file).exchanges
        assert first.answer is not None
        assert (first.answer.whole, second.answer) == (True, None)
        upstream.answer = whole
        folder = recording.begin(Service(base_url=upstream.url, secret=CANARY))
        with claude(folder) as sdk:
            assert says(sdk, NEXT) == "Done"
        recording.end()
        with claude(recording.play()) as sdk:
            assert (says(sdk, GO), says(sdk, NEXT)) == ("Looking", "Done")
        told = gateway.revoke(OTHER).replayed
        assert told is not None
        assert (told.reached, told.departed) == (2, None)
        assert CANARY.encode() not in recording.file.read_bytes()

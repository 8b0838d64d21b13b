"""OpenAI's official SDK through a real gateway process: to the scripted model, and to a service we play."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from runner.gateway.client import Gateway
from runner.gateway.grants import Script, Service, Usage
from runner.gateway.playing.script import AFTER_THE_END, WITHOUT_TOOLS
from tests.contract.gateway_service import (
    BOX,
    CANARY,
    OTHER,
    Upstream,
    begin_stream,
    chunk,
    keys_of,
    plain,
    raw,
)
from tests.contract.test_gateway import eventually

TRANSCRIPT = """
turns:
  - text: Looking at it, with an ä, at some length so that the text comes in several pieces.
    tools:
      - {name: exec_command, input: {cmd: "ls -la; echo a text that is longer than one piece of a stream"}}
      - {name: apply_patch, input: {input: "*** Begin Patch"}}
    usage: {input: 100, output: 20, cache_read: 7, cache_write: 50, reasoning: 5}
  - text: Seen.
    expect: "first\\nsecond"
  - error: {status: 402, message: the budget is spent}
"""
USED = {"input": 100, "output": 20, "cache_read": 7, "cache_write": 50, "reasoning": 5}
TOOLS: Any = [
    {"type": "function", "name": "exec_command", "parameters": {"type": "object"}, "strict": False},
    {"type": "custom", "name": "apply_patch"},
]
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "exec_command", "parameters": {"type": "object"}}},
    {"type": "custom", "custom": {"name": "apply_patch"}},
]
GO: Any = [{"role": "user", "content": "go"}]
COMMAND = {"cmd": "ls -la; echo a text that is longer than one piece of a stream"}


def client(folder: Path) -> openai.OpenAI:
    """The official SDK over a box's socket; to be used as a context manager."""
    transport = httpx2.HTTPTransport(uds=str(folder / "gw.sock"))
    return openai.OpenAI(
        api_key="placeholder",
        base_url="http://gateway/v1",
        organization="org-of-the-box",
        http_client=httpx2.Client(transport=transport),
        max_retries=0,
    )


def figures(usage: Usage) -> dict[str, int]:
    """The tokens alone."""
    return {name: getattr(usage, name) for name in USED}


@pytest.fixture
def played(gateway: Gateway, tmp_path: Path) -> Iterator[openai.OpenAI]:
    """The SDK in a box that is answered by `TRANSCRIPT`."""
    file = tmp_path / "transcript.yaml"
    file.write_text(TRANSCRIPT)
    with client(gateway.grant(OTHER, Script(transcript=str(file)))) as sdk:
        yield sdk
    gateway.revoke(OTHER)


@pytest.fixture
def folder(gateway: Gateway, upstream: Upstream) -> Iterator[Path]:
    """The directory of the socket of a box that may ask the service."""
    service = Service(dialect="openai", base_url=upstream.url, header="authorization", secret=CANARY)
    yield gateway.grant(BOX, service)
    gateway.revoke(BOX)


@pytest.fixture
def sdk(folder: Path) -> Iterator[openai.OpenAI]:
    """The SDK in that box."""
    with client(folder) as made:
        yield made


def test_a_response_is_the_same_streamed_and_whole(played: openai.OpenAI, gateway: Gateway) -> None:
    whole = played.responses.create(model="gpt-test", input="go", tools=TOOLS)
    with played.responses.stream(model="gpt-test", input="go", tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert {"response.function_call_arguments.done", "response.custom_tool_call_input.done"} <= set(kinds)
    for one in (whole, streamed):
        assert (one.id, one.status, one.model) == (whole.id, "completed", "gpt-test")
        assert one.output_text.startswith("Looking at it, with an ä")
        _, function, custom = one.output
        assert function.type == "function_call"
        assert (function.name, json.loads(function.arguments)) == ("exec_command", COMMAND)
        assert custom.type == "custom_tool_call"
        assert (custom.name, custom.input) == ("apply_patch", "*** Begin Patch")
        assert one.usage is not None
        told = one.usage.input_tokens_details
        assert (told.cached_tokens, told.cache_write_tokens) == (7, 50)
        assert (one.usage.input_tokens, one.usage.output_tokens, one.usage.total_tokens) == (157, 20, 177)
    twice = {name: 2 * value for name, value in USED.items()}
    assert eventually(lambda: figures(gateway.usage(OTHER)) == twice)  # its end may come just after the SDK's
    usage = gateway.usage(OTHER)
    assert usage.models.keys() == {"gpt-test"}
    assert (usage.requests, usage.untold, usage.scripted) == (2, 0, True)


def test_a_conversation_of_responses_goes_on_turn_by_turn(played: openai.OpenAI) -> None:
    asked: Any = [{"role": "developer", "content": "be brief"}, *GO]
    first = played.responses.create(model="m", input=asked, tools=TOOLS)
    calls = [item for item in first.output if item.type in ("function_call", "custom_tool_call")]
    results: Any = [
        {"type": f"{call.type}_output", "call_id": call.call_id, "output": said}
        for call, said in zip(calls, ("first", [{"type": "input_text", "text": "second"}]), strict=True)
    ]
    asked += [item.model_dump(exclude_none=True) for item in first.output] + results
    second = played.responses.create(model="m", input=asked, tools=TOOLS)
    assert second.output_text == "Seen."
    mixed: Any = [*asked[:3], *[one for pair in zip(asked[3:5], results, strict=True) for one in pair]]
    assert played.responses.create(model="m", input=mixed, tools=TOOLS).output_text == "Seen."
    asked[-1]["output"] = "something else"
    with pytest.raises(openai.BadRequestError, match="turn 2 of the transcript does not fit"):
        played.responses.create(model="m", input=asked, tools=TOOLS)
    asked += [*second.output, *GO]
    with pytest.raises(openai.BadRequestError, match="the budget is spent") as spent:
        played.responses.create(model="m", input=asked, tools=TOOLS)
    assert spent.value.code == "insufficient_quota"
    asked += [*second.output, *GO]
    assert played.responses.create(model="m", input=asked, tools=TOOLS).output_text == AFTER_THE_END
    assert played.responses.create(model="m", input="a title?").output_text == WITHOUT_TOOLS


def test_a_completion_is_the_same_streamed_and_whole(played: openai.OpenAI, gateway: Gateway) -> None:
    whole = played.chat.completions.create(model="gpt-test", messages=GO, tools=CHAT_TOOLS[:1])
    with played.chat.completions.stream(
        model="gpt-test", messages=GO, tools=CHAT_TOOLS[:1], stream_options={"include_usage": True}
    ) as stream:
        streamed = stream.until_done().get_final_completion()
    for one in (whole, streamed):
        assert (one.id, one.choices[0].finish_reason) == (whole.id, "tool_calls")
        message = one.choices[0].message
        assert (message.content or "").startswith("Looking at it, with an ä")
        call = (message.tool_calls or [])[0]
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("exec_command", COMMAND)
        assert one.usage is not None
        assert (one.usage.prompt_tokens, one.usage.completion_tokens) == (157, 20)
    usage = gateway.usage(OTHER)
    assert figures(usage) == {name: 2 * value for name, value in USED.items()}
    assert (usage.requests, usage.untold) == (2, 0)


def test_a_stream_that_did_not_ask_for_its_usage_leaves_it_unknown(
    played: openai.OpenAI, gateway: Gateway
) -> None:
    chunks = list(played.chat.completions.create(model="m", messages=GO, tools=CHAT_TOOLS[:1], stream=True))
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert all(one.usage is None for one in chunks)
    usage = gateway.usage(OTHER)
    assert (usage.requests, usage.untold, usage.tokens) == (1, 1, None)


def test_a_conversation_of_completions_goes_on_turn_by_turn(played: openai.OpenAI) -> None:
    first = played.chat.completions.create(model="m", messages=GO, tools=CHAT_TOOLS)
    said = first.choices[0].message
    assert said.tool_calls is not None
    assert said.tool_calls[1].type == "custom"
    assert said.tool_calls[1].custom.input == "*** Begin Patch"
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": content}
        for call, content in zip(said.tool_calls, ("first", "second"), strict=True)
    ]
    asked: Any = [*GO, said.model_dump(exclude_none=True), *reversed(results)]
    second = played.chat.completions.create(model="m", messages=asked, tools=CHAT_TOOLS)
    assert second.choices[0].message.content == "Seen."
    assert second.choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match="turn 2 of the transcript does not fit"):
        played.chat.completions.create(model="m", messages=asked[:2] + results[:1], tools=CHAT_TOOLS)
    assert played.models.list().data == []


HOSTED: list[dict[str, Any]] = [
    {"tools": [*TOOLS, {"type": "web_search"}]},
    {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://elsewhere.invalid"}]},
    {"background": True},
    {"previous_response_id": "resp_1"},
    {
        "input": [
            {"role": "user", "content": [{"type": "input_file", "file_url": "https://elsewhere.invalid"}]}
        ]
    },
]


@pytest.mark.parametrize("more", HOSTED, ids=lambda more: json.dumps(more)[:50])
def test_what_would_reach_out_is_refused_as_the_sdk_knows_it(
    more: dict[str, Any], sdk: openai.OpenAI, upstream: Upstream
) -> None:
    with pytest.raises(openai.PermissionDeniedError, match="does not let the service use") as refused:
        sdk.responses.create(**{"model": "m", "input": "go", **more})
    assert (refused.value.status_code, refused.value.type) == (403, "permission_error")
    assert upstream.seen == []


def test_other_apis_are_refused_as_the_sdk_knows_it(sdk: openai.OpenAI, upstream: Upstream) -> None:
    for ask in (
        sdk.models.list,
        sdk.files.list,
        sdk.batches.list,
        sdk.vector_stores.list,
        sdk.containers.list,
        sdk.conversations.create,
        lambda: sdk.responses.retrieve("resp_1"),
        lambda: sdk.embeddings.create(model="m", input="x"),
        lambda: sdk.completions.create(model="m", prompt="x"),
        lambda: sdk.images.generate(model="m", prompt="x"),
    ):
        with pytest.raises(openai.PermissionDeniedError, match="does not forward"):
            ask()
    assert upstream.seen == []


def test_a_websocket_is_refused_at_once(upstream: Upstream, folder: Path) -> None:
    asked = (
        b"GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert raw(folder, asked).startswith(b"HTTP/1.1 426 ")
    assert upstream.seen == []


USAGE = {
    "input_tokens": 157,
    "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 50},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 177,
}
RESPONSE = {"id": "resp_1", "object": "response", "model": "gpt-real", "output": [], "status": "completed"}


def event(kind: str, **response: Any) -> bytes:
    """An event of a stream of the Responses API."""
    data = {"type": kind, "sequence_number": 0, "response": RESPONSE | response}
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def test_the_service_gets_the_key_and_every_byte_and_the_usage_is_counted(
    sdk: openai.OpenAI, upstream: Upstream, gateway: Gateway
) -> None:
    body = json.dumps(RESPONSE | {"usage": USAGE, "note": f"the key is {CANARY}"}).encode()
    upstream.answer = lambda asked: plain(asked, body, x_request_id="req_1")
    answered = sdk.responses.create(model="m", input="go", extra_body={"of_tomorrow": [1]})
    assert answered.usage is not None
    assert answered.usage.total_tokens == 177
    assert CANARY not in answered.model_dump_json()
    assert getattr(answered, "_request_id", None) == "req_1"
    (seen,) = upstream.seen
    assert (seen.method, seen.path) == ("POST", "/prefix/responses")
    assert json.loads(seen.body) == {"model": "m", "input": "go", "of_tomorrow": [1]}
    assert keys_of(seen) == [f"authorization: Bearer {CANARY}"]
    names = {name.lower(): value for name, value in seen.headers}
    assert names["accept-encoding"] == "identity"
    assert "openai-organization" not in names
    assert figures(gateway.usage(BOX)) == USED


def test_a_stream_is_passed_on_event_by_event_and_a_cut_one_is_unknown(
    sdk: openai.OpenAI, upstream: Upstream, gateway: Gateway
) -> None:
    def whole(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, event("response.created", status="in_progress"))
        chunk(asked, event("response.completed", usage=USAGE))
        chunk(asked, b"")

    def cut(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, event("response.created", status="in_progress"))

    upstream.answer = whole
    kinds = [one.type for one in sdk.responses.create(model="m", input="go", stream=True)]
    assert kinds == ["response.created", "response.completed"]
    assert (figures(gateway.usage(BOX)), gateway.usage(BOX).untold) == (USED, 0)
    upstream.answer = cut
    came = []
    with pytest.raises((httpx2.HTTPError, openai.APIError)):  # noqa: PT012 - the break comes in the midst
        for one in sdk.responses.create(model="m", input="go", stream=True):
            came.append(one.type)  # noqa: PERF401 - what came before the break is to be seen
    assert came == ["response.created"]
    usage = gateway.usage(BOX)
    assert (figures(usage), usage.untold, usage.requests) == (USED, 1, 2)


def test_an_error_that_no_waiting_mends_passes_as_it_is(sdk: openai.OpenAI, upstream: Upstream) -> None:
    said = {
        "error": {
            "message": "slow down",
            "type": "insufficient_quota",
            "param": None,
            "code": "insufficient_quota",
        }
    }
    upstream.answer = lambda asked: plain(asked, json.dumps(said).encode(), 429, retry_after="7")
    with pytest.raises(openai.RateLimitError, match="slow down") as limited:
        sdk.chat.completions.create(model="m", messages=GO)
    assert (limited.value.code, limited.value.response.headers["retry-after"]) == ("insufficient_quota", "7")

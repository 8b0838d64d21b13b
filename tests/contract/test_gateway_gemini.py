"""Google's official SDK through a real gateway process: to the scripted model, and to a service we play."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from runner.gateway.client import Gateway
from runner.gateway.grants import Script, Service, Usage
from runner.gateway.playing.script import AFTER_THE_END, WITHOUT_TOOLS
from runner.tasks.plan import Hosted
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
      - {name: run_shell_command, input: {command: "ls -la"}}
      - {name: read_file, input: {path: a}}
    usage: {input: 100, output: 20, cache_read: 7, reasoning: 5}
  - text: Seen.
    expect: "first\\nsecond"
  - error: {status: 402, message: the budget is spent}
"""
USED = {"input": 100, "output": 20, "cache_read": 7, "cache_write": 0, "reasoning": 5}
MODEL = "gemini-2.5-pro"
FUNCTIONS = [types.FunctionDeclaration(name="run_shell_command"), types.FunctionDeclaration(name="read_file")]
WITH_TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=FUNCTIONS)],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


@contextmanager
def client(folder: Path) -> Iterator[genai.Client]:
    """The official SDK over a box's socket."""
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(folder / "gw.sock"))) as over:
        options = types.HttpOptions(base_url="http://gateway", httpx_client=over)
        with genai.Client(api_key="placeholder", http_options=options) as made:
            yield made


def figures(usage: Usage) -> dict[str, int]:
    """The tokens alone."""
    return {name: getattr(usage, name) for name in USED}


@pytest.fixture
def played(gateway: Gateway, tmp_path: Path) -> Iterator[genai.Client]:
    """The SDK in a box that is answered by `TRANSCRIPT`."""
    file = tmp_path / "transcript.yaml"
    file.write_text(TRANSCRIPT)
    with client(gateway.grant(OTHER, Script(transcript=str(file)))) as sdk:
        yield sdk
    gateway.revoke(OTHER)


@pytest.fixture
def service(upstream: Upstream) -> Service:
    """The service that a test plays."""
    return Service(dialect="gemini", base_url=upstream.url, header="x-goog-api-key", secret=CANARY)


@pytest.fixture
def folder(gateway: Gateway, service: Service) -> Iterator[Path]:
    """The directory of the socket of a box that may ask the service."""
    yield gateway.grant(BOX, service)
    gateway.revoke(BOX)


@pytest.fixture
def sdk(folder: Path) -> Iterator[genai.Client]:
    """The SDK in that box."""
    with client(folder) as made:
        yield made


def test_an_answer_is_the_same_streamed_and_whole(played: genai.Client, gateway: Gateway) -> None:
    whole = played.models.generate_content(model=MODEL, contents="go", config=WITH_TOOLS)
    chunks = list(played.models.generate_content_stream(model=MODEL, contents="go", config=WITH_TOOLS))
    assert len(chunks) > 3
    text = "".join(one.text or "" for one in chunks if not one.function_calls)
    assert (
        text
        == whole.text
        == "Looking at it, with an ä, at some length so that the text comes in several pieces."
    )
    streamed = [call for one in chunks for call in one.function_calls or []]
    for calls in (streamed, whole.function_calls or []):
        assert [(call.name, call.args) for call in calls] == [
            ("run_shell_command", {"command": "ls -la"}),
            ("read_file", {"path": "a"}),
        ]
    for one in (whole, chunks[-1]):
        assert (one.model_version, one.response_id) == (MODEL, whole.response_id)
        told = one.usage_metadata
        assert told is not None
        assert (told.prompt_token_count, told.cached_content_token_count) == (107, 7)
        assert (told.candidates_token_count, told.thoughts_token_count, told.total_token_count) == (
            15,
            5,
            127,
        )
    twice = {name: 2 * value for name, value in USED.items()}
    assert eventually(lambda: figures(gateway.usage(OTHER)) == twice)  # its end may come just after the SDK's
    usage = gateway.usage(OTHER)
    assert usage.models.keys() == {MODEL}
    assert (usage.requests, usage.untold, usage.scripted) == (2, 0, True)


def test_without_sse_a_stream_is_one_array_that_is_counted_too(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "transcript.yaml"
    file.write_text(TRANSCRIPT)
    folder = gateway.grant(OTHER, Script(transcript=str(file)))
    body = {"contents": [{"parts": [{"text": "go"}]}], "tools": [{"functionDeclarations": [{"name": "f"}]}]}
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(folder / "gw.sock"))) as box:
        answer = box.post(f"http://gateway/v1beta/models/{MODEL}:streamGenerateContent?key=x", json=body)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    parts = answer.json()
    assert len(parts) > 3
    assert parts[-1]["candidates"][0]["finishReason"] == "STOP"
    assert eventually(lambda: figures(gateway.usage(OTHER)) == USED)
    gateway.revoke(OTHER)


def test_a_conversation_goes_on_turn_by_turn(played: genai.Client) -> None:
    def say(*contents: types.Content) -> types.GenerateContentResponse:
        return played.models.generate_content(model=MODEL, contents=[*contents], config=WITH_TOOLS)

    def told(response: types.GenerateContentResponse) -> types.Content:
        candidate = (response.candidates or [])[0]
        assert candidate.content is not None
        return candidate.content

    go = types.UserContent(parts=[types.Part(text="go")])
    asked = [go, told(say(go))]
    outputs = ("first", "second")
    calls = [part.function_call for part in asked[1].parts or [] if part.function_call]
    results = [
        types.Part(
            function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": said})
        )
        for call, said in zip(calls, outputs, strict=True)
    ]
    asked.append(types.UserContent(parts=[*reversed(results)]))
    second = say(*asked)
    assert second.text == "Seen."
    with pytest.raises(errors.ClientError, match="turn 2 of the transcript does not fit"):
        say(*asked[:2], types.UserContent(parts=results[:1]))
    asked += [told(second), go]
    with pytest.raises(errors.ClientError, match="the budget is spent") as spent:
        say(*asked)
    assert (spent.value.code, spent.value.status) == (402, "FAILED_PRECONDITION")
    assert say(*asked, told(second), go).text == AFTER_THE_END
    assert played.models.generate_content(model=MODEL, contents="a title?").text == WITHOUT_TOOLS
    assert (played.models.count_tokens(model=MODEL, contents="go").total_tokens or 0) > 0


def config(**tool: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(tools=[types.Tool(**tool)])


SEARCH, FETCH, RUN = (
    config(google_search=types.GoogleSearch()),
    config(url_context=types.UrlContext()),
    config(code_execution=types.ToolCodeExecution()),
)
MAPS = config(google_maps=types.GoogleMaps())
CACHED = types.GenerateContentConfig(cached_content="cachedContents/other")


@pytest.mark.parametrize("more", [SEARCH, FETCH, RUN, MAPS, CACHED])
def test_what_would_reach_out_is_refused_as_the_sdk_knows_it(
    more: types.GenerateContentConfig, sdk: genai.Client, upstream: Upstream
) -> None:
    with pytest.raises(errors.ClientError, match="does not let the service use") as refused:
        sdk.models.generate_content(model=MODEL, contents="go", config=more)
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("hosted", "passing", "refused"),
    [
        (("web_search",), [SEARCH], [FETCH, RUN, MAPS, CACHED]),
        (("web_fetch", "code_execution"), [FETCH, RUN], [SEARCH, MAPS, CACHED]),
    ],
)
def test_what_is_allowed_by_name_passes_and_nothing_else(
    hosted: tuple[Hosted, ...],
    passing: list[types.GenerateContentConfig],
    refused: list[types.GenerateContentConfig],
    gateway: Gateway,
    service: Service,
    upstream: Upstream,
) -> None:
    upstream.answer = lambda asked: plain(asked, json.dumps(ANSWER).encode())
    with client(gateway.grant(BOX, service, hosted=hosted)) as sdk:
        for more in refused:
            with pytest.raises(errors.ClientError, match="does not let the service use"):
                sdk.models.generate_content(model=MODEL, contents="go", config=more)
        assert upstream.seen == []
        for more in passing:
            assert sdk.models.generate_content(model=MODEL, contents="go", config=more).text == "hi"
        assert len(upstream.seen) == len(passing)
        gateway.grant(BOX, service)  # taken back from a living box
        with pytest.raises(errors.ClientError, match="task file allows it"):
            sdk.models.generate_content(model=MODEL, contents="go", config=passing[0])
    gateway.revoke(BOX)


def test_other_apis_are_refused_as_the_sdk_knows_it(sdk: genai.Client, upstream: Upstream) -> None:
    for ask in (
        lambda: list(sdk.models.list()),
        lambda: list(sdk.files.list()),
        lambda: list(sdk.batches.list()),
        lambda: list(sdk.caches.list()),
        lambda: sdk.models.get(model=MODEL),
        lambda: sdk.models.embed_content(model=MODEL, contents="x"),
        lambda: sdk.caches.create(model=MODEL, config={}),
        lambda: sdk.models.generate_content(model="tunedModels/mine", contents="go"),
    ):
        with pytest.raises(errors.ClientError, match="does not forward"):
            ask()
    assert upstream.seen == []


ANSWER = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
    "modelVersion": MODEL,
    "usageMetadata": {
        "promptTokenCount": 107,
        "cachedContentTokenCount": 7,
        "candidatesTokenCount": 15,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 127,
    },
}


def part(text: str, **usage: int) -> bytes:
    """An event of a stream."""
    said = {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]}
    return b"data: " + json.dumps({**ANSWER, **said, "usageMetadata": usage}).encode() + b"\r\n\r\n"


def test_the_service_gets_the_key_and_every_field_and_the_usage_is_counted(
    sdk: genai.Client, upstream: Upstream, gateway: Gateway
) -> None:
    before = gateway.usage(BOX).usd
    body = json.dumps({**ANSWER, "note": f"the key is {CANARY}"}).encode()
    upstream.answer = lambda asked: plain(asked, body)
    more: Any = types.HttpOptions(extra_body={"ofTomorrow": [1]})
    answered = sdk.models.generate_content(
        model=MODEL, contents="go", config=types.GenerateContentConfig(http_options=more)
    )
    assert answered.text == "hi"
    assert CANARY not in answered.model_dump_json()
    (seen,) = upstream.seen
    assert (seen.method, seen.path) == ("POST", f"/prefix/v1/models/{MODEL}:generateContent")
    assert json.loads(seen.body)["ofTomorrow"] == [1]
    assert keys_of(seen) == [f"x-goog-api-key: {CANARY}"]
    names = {name.lower(): value for name, value in seen.headers}
    assert names["accept-encoding"] == "identity"
    assert names["content-type"] == "application/json"
    usage = gateway.usage(BOX)
    assert figures(usage) == USED
    assert usage.usd - before == pytest.approx((100 * 1.25 + 7 * 0.125 + 20 * 10) / 10**6)
    assert usage.unpriced == 0


def test_a_key_in_the_query_goes_nowhere(folder: Path, upstream: Upstream) -> None:
    upstream.answer = lambda asked: plain(asked, json.dumps(ANSWER).encode())
    for query, status in (
        ("?key=box", 200),
        ("?alt=sse&k%65y=box", 200),
        ("?fields=candidates&key=box", 403),
    ):
        target = f"/v1beta/models/{MODEL}:generateContent{query}"
        asked = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
        assert raw(folder, asked.encode()).startswith(f"HTTP/1.1 {status} ".encode())
    assert [seen.path.partition("?")[2] for seen in upstream.seen] == ["", "alt=sse"]
    assert all(keys_of(seen) == [f"x-goog-api-key: {CANARY}"] for seen in upstream.seen)


def test_a_stream_is_passed_on_part_by_part_and_of_a_cut_one_counts_what_was_told(
    sdk: genai.Client, upstream: Upstream, gateway: Gateway
) -> None:
    def whole(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, part("h", promptTokenCount=107))
        chunk(asked, part("i", **ANSWER["usageMetadata"]))  # type: ignore[arg-type]
        chunk(asked, b"")

    def cut(asked: BaseHTTPRequestHandler) -> None:
        begin_stream(asked)
        chunk(asked, part("h", promptTokenCount=3, candidatesTokenCount=1) + b'data: {"candi')

    upstream.answer = whole
    assert [one.text for one in sdk.models.generate_content_stream(model=MODEL, contents="go")] == ["h", "i"]
    assert upstream.seen[0].path.endswith(":streamGenerateContent?alt=sse")
    assert eventually(lambda: figures(gateway.usage(BOX)) == USED)
    upstream.answer = cut
    came = []
    with pytest.raises((httpx2.HTTPError, errors.APIError, ValueError)):  # noqa: PT012 - the break comes in the midst
        for one in sdk.models.generate_content_stream(model=MODEL, contents="go"):
            came.append(one.text)  # noqa: PERF401 - what came before the break is to be seen
    assert came == ["h"]
    more = {**USED, "input": USED["input"] + 3, "output": USED["output"] + 1}
    assert eventually(lambda: figures(gateway.usage(BOX)) == more)
    assert (gateway.usage(BOX).untold, gateway.usage(BOX).requests) == (0, 2)


def test_an_error_that_no_waiting_mends_passes_as_it_is(sdk: genai.Client, upstream: Upstream) -> None:
    field = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents"}]}
    said = {"error": {"code": 400, "message": "no such", "status": "INVALID_ARGUMENT", "details": [field]}}
    upstream.answer = lambda asked: plain(asked, json.dumps(said).encode(), 400)
    with pytest.raises(errors.ClientError, match="no such") as limited:
        sdk.models.generate_content(model=MODEL, contents="go")
    assert (limited.value.code, limited.value.details) == (400, said)

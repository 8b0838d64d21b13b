"""A mock of the providers that others wrote (`llmock`) as the service: carried and counted as it says itself.

What it answers, in which events and with which figures, is its own affair: nothing here was written with our
own readers in mind. The clients are the providers' official SDKs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types
from llmock.scenarios import Behavior, Fail, Reply, StreamFault, ToolCall, behavior_to_dict
from llmock.testing import BASE_PATHS

from runner.gateway.client import Gateway
from runner.gateway.grants import DialectName, Service
from tests.contract.gateway_service import BOX, CANARY
from tests.contract.test_gateway import eventually

PROMPTS = ["Say hello to the world.", "Say it in one word, please.", "ä long one: " + "word " * 400]
CALLS = (ToolCall("get_weather", {"city": "Paris"}),)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
BROKEN = (anthropic.APIError, openai.APIError, errors.APIError, httpx2.HTTPError, ValueError)


@dataclass(frozen=True)
class Said:
    """What the service said to a client: text, names of tools to call, and tokens."""

    text: str
    calls: tuple[str, ...]
    input: int
    output: int


Ask = Callable[[httpx2.Client, str, bool], Said]
"""Ask over that client, with that prompt, streamed or not."""


def messages(over: httpx2.Client, prompt: str, stream: bool) -> Said:
    """Anthropic's Messages."""
    sdk = anthropic.Anthropic(api_key="box", base_url="http://gateway", http_client=over, max_retries=0)
    asked: Any = {
        "model": "claude-opus-5-5",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": prompt}],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    }
    if stream:
        with sdk.messages.stream(**asked) as events:
            answer: Any = events.get_final_message()
    else:
        answer = sdk.messages.create(**asked)
    text = "".join(block.text for block in answer.content if block.type == "text")
    calls = tuple(block.name for block in answer.content if block.type == "tool_use")
    return Said(text, calls, answer.usage.input_tokens, answer.usage.output_tokens)


def responses(over: httpx2.Client, prompt: str, stream: bool) -> Said:
    """OpenAI's Responses."""
    sdk = openai.OpenAI(api_key="box", base_url="http://gateway/v1", http_client=over, max_retries=0)
    tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
    asked: Any = {"model": "gpt-5", "input": prompt, "tools": [tool]}
    if stream:
        with sdk.responses.stream(**asked) as events:
            answer: Any = events.until_done().get_final_response()
    else:
        answer = sdk.responses.create(**asked)
    calls = tuple(item.name for item in answer.output if item.type == "function_call")
    return Said(answer.output_text, calls, answer.usage.input_tokens, answer.usage.output_tokens)


def completions(over: httpx2.Client, prompt: str, stream: bool) -> Said:
    """OpenAI's Chat Completions."""
    sdk = openai.OpenAI(api_key="box", base_url="http://gateway/v1", http_client=over, max_retries=0)
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    asked: Any = {"model": "gpt-5", "messages": [{"role": "user", "content": prompt}], "tools": [tool]}
    if stream:
        with sdk.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
            answer: Any = events.until_done().get_final_completion()
    else:
        answer = sdk.chat.completions.create(**asked)
    message = answer.choices[0].message
    calls = tuple(call.function.name for call in message.tool_calls or [])
    return Said(message.content or "", calls, answer.usage.prompt_tokens, answer.usage.completion_tokens)


def contents(over: httpx2.Client, prompt: str, stream: bool) -> Said:
    """Gemini's generateContent."""
    options = types.HttpOptions(base_url="http://gateway", api_version="v1beta", httpx_client=over)
    function = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
    asked: Any = {
        "model": "gemini-2.5-pro",
        "contents": prompt,
        "config": types.GenerateContentConfig(tools=[types.Tool(function_declarations=[function])]),
    }
    with genai.Client(api_key="box", http_options=options) as sdk:
        if stream:
            parts = list(sdk.models.generate_content_stream(**asked))
        else:
            parts = [sdk.models.generate_content(**asked)]
    pieces = [piece for one in parts for piece in (one.candidates or [])[0].content.parts or []]  # type: ignore[union-attr]
    text = "".join(piece.text or "" for piece in pieces)
    calls = tuple(piece.function_call.name or "" for piece in pieces if piece.function_call)
    usage = parts[-1].usage_metadata
    assert usage is not None
    return Said(text, calls, usage.prompt_token_count or 0, usage.candidates_token_count or 0)


APIS: dict[str, tuple[DialectName, Ask]] = {
    "messages": ("anthropic", messages),
    "responses": ("openai", responses),
    "completions": ("openai", completions),
    "generateContent": ("gemini", contents),
}
HEADERS: Any = {"anthropic": "x-api-key", "openai": "authorization", "gemini": "x-goog-api-key"}


SERVER = """
import sys
from llmock.testing import LLMockServer
with LLMockServer() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
"""Serves on a port of its own until its standard input ends."""


@dataclass(frozen=True)
class Mock:
    """The mock server, seen through its own control API."""

    url: str

    def script(self, *behaviors: Behavior) -> None:
        """What it does with the next requests."""
        said = {"behaviors": [behavior_to_dict(one) for one in behaviors]}
        assert httpx2.post(f"{self.url}/_llmock/scenario", json=said).status_code == 201

    def served(self) -> list[dict[str, Any]]:
        """Its own record of what it was asked, and how it answered."""
        records: list[dict[str, Any]] = httpx2.get(f"{self.url}/_llmock/requests").json()["requests"]
        return records


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    """A process that serves."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        yield Mock(serving.stdout.readline().strip())
        serving.communicate(timeout=30)
    assert serving.returncode == 0


@pytest.fixture(params=APIS)
def ask(
    request: pytest.FixtureRequest, mock: Mock, gateway: Gateway
) -> Iterator[Callable[[str, bool], Said]]:
    """A box that may ask the mock in one of its APIs, by that API's SDK."""
    assert httpx2.post(f"{mock.url}/_llmock/reset").status_code == 200
    dialect, by = APIS[request.param]
    service = Service(
        dialect=dialect, base_url=mock.url + BASE_PATHS[dialect], header=HEADERS[dialect], secret=CANARY
    )
    with over(gateway.grant(BOX, service)) as client:
        yield lambda prompt, stream: by(client, prompt, stream)
    gateway.revoke(BOX)


@contextmanager
def over(folder: Path) -> Iterator[httpx2.Client]:
    """HTTP over a box's socket."""
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(folder / "gw.sock"))) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
def test_its_answers_are_carried_and_counted_as_it_says(
    ask: Callable[[str, bool], Said], stream: bool, mock: Mock, gateway: Gateway
) -> None:
    replies = [
        Reply(text="One, with an ä, and some more words to it."),
        Reply(tool_calls=CALLS),
        Reply(text=""),
    ]
    mock.script(*replies)
    said = [ask(prompt, stream) for prompt in PROMPTS]
    assert [one.text for one in said] == [replies[0].text, "", ""]
    assert [one.calls for one in said] == [(), ("get_weather",), ()]
    assert all(one.input > 0 for one in said)
    sums = (sum(one.input for one in said), sum(one.output for one in said))
    assert eventually(lambda: (gateway.usage(BOX).input, gateway.usage(BOX).output) == sums)
    usage = gateway.usage(BOX)
    assert (usage.requests, usage.untold, usage.in_flight) == (len(PROMPTS), 0, 0)
    served = [(one["status"], one["completed"], one["stream"]) for one in mock.served()]
    assert served == [(200, True, stream)] * len(PROMPTS)


def test_a_stream_that_it_cuts_is_cut_for_the_client_and_nothing_is_made_up(
    ask: Callable[[str, bool], Said], mock: Mock, gateway: Gateway
) -> None:
    mock.script(Reply(text="word " * 40), StreamFault("disconnect", after_chunks=2))
    with pytest.raises(BROKEN):
        ask(PROMPTS[0], True)
    assert eventually(lambda: gateway.usage(BOX).in_flight == 0)
    cut = gateway.usage(BOX)
    whole = ask(PROMPTS[0], False)
    assert cut.requests == 1
    assert (cut.untold, cut.input) in ((1, 0), (0, whole.input))
    assert cut.output <= 1  # Anthropic's figure of a stream that has just begun
    assert eventually(lambda: gateway.usage(BOX).input == cut.input + whole.input)


def test_its_errors_are_passed_on(ask: Callable[[str, bool], Said], mock: Mock, gateway: Gateway) -> None:
    mock.script(Fail(400, message="not like this"))
    with pytest.raises(BROKEN, match="not like this"):
        ask(PROMPTS[0], False)
    assert eventually(lambda: gateway.usage(BOX).in_flight == 0)
    assert (gateway.usage(BOX).tokens, gateway.usage(BOX).last_status) == (0, 400)

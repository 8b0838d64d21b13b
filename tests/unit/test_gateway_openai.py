"""The OpenAI dialect: routes, errors, and usage however the bytes are cut."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.booking.meter import Meter
from runner.gateway.dialects import ANTHROPIC, GEMINI, OPENAI, decide, granted, headers
from runner.gateway.dialects.dialect import Answer, Forward
from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Script, Service, Tokens

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
SERVICE = Service(dialect="openai", base_url="https://models.example", header="authorization", secret="key")


def answer_to(method: str, target: str, *, upgrade: bool = False) -> Answer | Forward:
    dialect, decision = decide((OPENAI,), method, target, upgrade=upgrade)
    assert dialect is OPENAI
    return decision


@pytest.mark.parametrize("target", [RESPONSES, CHAT, f"{CHAT}?a=b"])
def test_what_is_forwarded(target: str) -> None:
    assert answer_to("POST", target) == Forward(target, counts=True)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", RESPONSES),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("POST", "/v1/responses/compact"),
        ("GET", "/v1/chat/completions/c_1"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/files"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/containers"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/gpt-5.5"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/responses/../files"),
        ("POST", "/v1/%72esponses"),
        ("DELETE", RESPONSES),
    ],
)
def test_what_is_not_forwarded(method: str, target: str) -> None:
    answer = answer_to(method, target)
    assert isinstance(answer, Answer)
    assert answer.status == 403
    assert json.loads(answer.body)["error"]["type"] == "permission_error"


def test_a_websocket_is_refused_at_once() -> None:
    refused = answer_to("GET", RESPONSES, upgrade=True)
    assert isinstance(refused, Answer)
    assert refused.status == 426


def test_where_both_are_granted_each_gets_its_own_and_the_list_of_models_is_anthropic_s() -> None:
    both = granted((SERVICE, Service(base_url="https://other.example")))
    assert both == (ANTHROPIC, OPENAI)
    assert granted((Script(transcript="/t.yaml"),)) == (ANTHROPIC, OPENAI, GEMINI)
    for path, dialect in {"/v1/messages": ANTHROPIC, RESPONSES: OPENAI, CHAT: OPENAI}.items():
        assert decide(both, "POST", path, upgrade=False) == (dialect, Forward(path, counts=True))
    assert decide(both, "GET", "/v1/models", upgrade=False)[0] is ANTHROPIC


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (400, None, ("invalid_request_error", None)),
        (401, None, ("authentication_error", "invalid_api_key")),
        (429, None, ("rate_limit_error", "rate_limit_exceeded")),
        (429, "insufficient_quota", ("insufficient_quota", "insufficient_quota")),
        (502, None, ("server_error", None)),
    ],
)
def test_errors_have_the_service_s_form(status: int, kind: str | None, told: tuple[str, str]) -> None:
    answer = OPENAI.error(status, "why", kind)
    said = json.loads(answer.body)["error"]
    assert (answer.status, said["message"], (said["type"], said["code"])) == (status, "why", told)


def test_a_spent_budget_is_told_so_that_clients_do_not_ask_again() -> None:
    answer = OPENAI.error(402, "the budget of this attempt is spent")
    said = json.loads(answer.body)["error"]
    assert (answer.status, said["code"], said["type"]) == (400, "insufficient_quota", "insufficient_quota")
    assert said["message"] == "the budget of this attempt is spent"


def test_only_the_real_credential_goes_out() -> None:
    sent = [(b"Authorization", b"Bearer box"), (b"api-key", b"box"), (b"originator", b"codex_exec")]
    sent += [(b"OpenAI-Organization", b"org-other"), (b"openai_project", b"proj-other")]  # who pays
    out = [*OPENAI.to_service(headers.from_box(sent), SERVICE), *headers.credential(SERVICE)]
    passed = [("originator", "codex_exec"), ("accept-encoding", "identity")]
    assert out == [*passed, ("authorization", "Bearer key")]


# -- usage

RESPONSE_USED = (
    '{"input_tokens":100,"input_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},'
    '"output_tokens":42,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":142}'
)
RESPONSE_STREAM = (
    'event: response.created\ndata: {"type":"response.created","response":{"model":"m-1","usage":null}}\n\n'
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"usage \\u00e4 ä"}'
    '\n\n: a comment\n\nevent: response.ENDED\ndata: {"type":"response.ENDED",\ndata: '
    f'"response":{{"model":"m-1","usage":{RESPONSE_USED}}}}}\n\n'
)
CHAT_USED = (
    '{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},'
    '"completion_tokens":42,"completion_tokens_details":{"reasoning_tokens":7}}'
)
CHAT_STREAM = (
    'data: {"model":"m-1","choices":[{"delta":{"content":"usage ä"}}],"usage":null}\n\n'
    'data: {"model":"m-1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":3}}\n\n'
    f'data: {{"model":"m-1","choices":[],"usage":{CHAT_USED}}}\n\ndata: [DONE]\n\n'
)
USED = Tokens(input=10, cache_read=60, cache_write=30, output=42, reasoning=7)
STREAMS = [
    *[(RESPONSES, RESPONSE_STREAM.replace("ENDED", end)) for end in ("completed", "incomplete", "failed")],
    (CHAT, CHAT_STREAM),
]


def reader_of(path: str, *pieces: bytes, kind: str = "text/event-stream") -> UsageReader:
    reader = OPENAI.usage_reader(path, kind)
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    return reader


def read(path: str, *pieces: bytes, kind: str = "text/event-stream") -> tuple[str | None, Tokens]:
    reader = reader_of(path, *pieces, kind=kind)
    return reader.model, reader.tokens


@given(
    stream=st.sampled_from(STREAMS),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_usage_is_the_same_however_the_stream_is_cut(
    stream: tuple[str, str], cuts: list[int], line_end: str
) -> None:
    path, text = stream[0], stream[1].replace("\n", line_end).encode()
    edges = sorted({0, *[cut for cut in cuts if cut < len(text)], len(text)})
    assert read(path, *[text[start:end] for start, end in pairwise(edges)]) == ("m-1", USED)


@pytest.mark.parametrize(("path", "text"), [STREAMS[0], STREAMS[-1]])
def test_a_stream_that_is_cut_counts_what_was_seen(path: str, text: str) -> None:
    seen = [read(path, text[:end].encode())[1] for end in range(len(text) + 1)]
    assert (seen[0], seen[-1]) == (Tokens(), USED)
    assert [tokens.output for tokens in seen] == sorted(tokens.output for tokens in seen)
    assert {tokens.output for tokens in seen} <= {0, 3, 42}


@pytest.mark.parametrize(
    ("path", "usage"), [(RESPONSES, RESPONSE_USED), (CHAT, CHAT_USED), (CHAT, RESPONSE_USED)]
)
def test_a_whole_document_is_read(path: str, usage: str) -> None:
    body = f'{{"model": "m-1", "usage": {usage}}}'.encode()
    assert read(path, body[:30], body[30:], kind="application/json") == ("m-1", USED)


@pytest.mark.parametrize(
    ("path", "stream", "told"),
    [
        (CHAT, b'data: {"model":"m-1","choices":[{"delta":{}}]}\n\ndata: [DONE]\n\n', False),
        (CHAT, CHAT_STREAM[: CHAT_STREAM.index("\n")].encode(), False),
        (CHAT, b'data: {"usage":{"prompt_tokens":0,"completion_tokens":0}}\n\n', True),
        (RESPONSES, RESPONSE_STREAM[: RESPONSE_STREAM.index("event: response.ENDED")].encode(), False),
        (RESPONSES, RESPONSE_STREAM.encode(), True),
        (RESPONSES, b"", False),
    ],
)
def test_a_usage_that_was_not_told_is_unknown_and_not_none(path: str, stream: bytes, told: bool) -> None:
    meter = Meter(scripted=False)
    with meter.reading(OPENAI.usage_reader(path, "text/event-stream")) as reader:
        assert reader is not None
        reader.feed(stream)
    usage = meter.usage()
    assert (usage.untold, usage.tokens is None) == (not told, not told)
    assert Meter.continuing(usage, scripted=False).usage() == usage


@pytest.mark.parametrize(("path", "text"), STREAMS)
def test_what_is_final_and_how_much_came(path: str, text: str) -> None:
    """The figures are final with the last event alone; what came is known at any cut."""
    events = text.split("\n\n")
    first, size = (1, len("usage ä") + 1) if path == CHAT else (2, len("usage \\u00e4 ä") + 1)
    told = next(number for number, event in enumerate(events) if '_tokens"' in event)
    for number in range(len(events)):
        reader = reader_of(path, "\n\n".join(events[:number]).encode())
        assert reader.final == (number > told)
        assert reader.produced == (0 if number < first else size)
    assert reader_of(path, b"{}", kind="application/json").produced is None


def test_the_event_that_repeats_the_whole_answer_is_read_and_each_byte_once() -> None:
    long = RESPONSE_STREAM.replace('"usage":{', '"output":"' + "x" * 8 * 1024**2 + '","usage":{').encode()
    began = time.process_time()
    assert read(RESPONSES, *[long[start : start + 1024] for start in range(0, len(long), 1024)])[1] == USED
    assert time.process_time() - began < 5  # over and over again, it would be minutes


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ('{"input_tokens":5,"input_tokens_details":{"cached_tokens":9}}', Tokens(cache_read=9)),
        ('{"input_tokens":true,"output_tokens":-1}', Tokens()),
        ('{"input_tokens":5,"input_tokens_details":[9],"output_tokens_details":"x"}', Tokens(input=5)),
        ("[]", Tokens()),
        ("7", Tokens()),
    ],
)
def test_figures_that_make_no_sense_are_not_believed(usage: str, tokens: Tokens) -> None:
    body = f'{{"usage": {usage}}}'.encode()
    assert read(RESPONSES, body, kind="application/json") == (None, tokens)


@given(noise=st.binary(max_size=300))
def test_noise_never_breaks_a_reader(noise: bytes) -> None:
    for path in (RESPONSES, CHAT):
        for kind in ("text/event-stream", "application/json"):
            spoilt = b'\ndata: {"type":"response.completed","response":{"usage":' + noise + b"}}\n\n"
            assert read(path, noise, spoilt, kind=kind)[1].input >= 0

"""The Anthropic dialect: routes, headers, and usage however the bytes are cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects import ANTHROPIC, anthropic, decide, headers, reading
from runner.gateway.dialects.dialect import Answer, Forward
from runner.gateway.grants import Script, Service, Tokens

SERVICE = Service(base_url="https://models.example", secret="the-real-key")


@pytest.mark.parametrize(
    ("method", "target", "counts"),
    [
        ("POST", "/v1/messages", True),
        ("POST", "/v1/messages?beta=true", True),
        ("POST", "/v1/messages/count_tokens?beta=true", False),
        ("GET", "/v1/models?limit=1000", False),
    ],
)
def test_what_is_forwarded(method: str, target: str, counts: bool) -> None:
    assert answer_to(method, target) == Forward(target, counts)


@pytest.mark.parametrize(
    "target",
    [
        "/v1/messages/",
        "/v1/messages/../files",
        "//v1/messages",
        "/v1/./messages",
        "/v1/%6dessages",
        "/v1/messages%2f..%2ffiles",
        "/v1/messages#x",
        "/v1/messages?a#b",
        "/v1/messages?a b",
        "/v1/messages;x",
        "/v1/messages/batches",
        "/v1/files",
        "http://elsewhere.example/v1/messages",
        "v1/messages",
        "*",
        "",
    ],
)
def test_what_is_not_forwarded(target: str) -> None:
    answer = answer_to("POST", target)
    assert isinstance(answer, Answer)
    assert answer.status == 403
    said = json.loads(answer.body)
    assert (said["type"], said["error"]["type"]) == ("error", "permission_error")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post"])
def test_other_methods_are_refused(method: str) -> None:
    answer = answer_to(method, "/v1/messages")
    assert isinstance(answer, Answer)
    assert answer.status == 403


def test_a_head_is_answered_and_a_tunnel_is_not() -> None:
    assert answer_to("HEAD", "/api/hello") == Answer(200)
    for refused, status in (
        (answer_to("CONNECT", "host:443"), 501),
        (answer_to("GET", "/v1/models", upgrade=True), 426),
    ):
        assert isinstance(refused, Answer)
        assert refused.status == status


def to_service(*sent: tuple[str, str], service: Service = SERVICE) -> list[tuple[str, str]]:
    passed = headers.from_box((name.encode(), value.encode()) for name, value in sent)
    return [*ANTHROPIC.to_service(passed, service), *headers.credential(service)]


def answer_to(method: str, target: str, *, upgrade: bool = False) -> Answer | Forward:
    dialect, decision = decide((ANTHROPIC,), method, target, upgrade=upgrade)
    assert dialect is ANTHROPIC
    return decision


def test_only_the_real_credential_goes_out() -> None:
    spellings = ("x-api-key", "X-API-KEY", "x_api_key", "Authorization", "Proxy-Authorization", "Cookie")
    out = to_service(*[(name, "sk-from-the-box") for name in spellings])
    assert out == [("accept-encoding", "identity"), ("x-api-key", "the-real-key")]


def test_a_bearer_token_goes_in_its_own_header() -> None:
    service = Service(base_url="https://models.example", header="authorization", secret="tok")
    assert to_service(("x-api-key", "dummy"), service=service)[-1] == ("authorization", "Bearer tok")


def test_no_credential_no_header() -> None:
    assert to_service(service=Service(base_url="http://localhost:1")) == [("accept-encoding", "identity")]


def test_harmless_headers_pass_as_they_are() -> None:
    kept = [
        ("anthropic-version", "2023-06-01"),
        ("Anthropic-Beta", "a-1,  b-2 ,c"),
        ("X-Claude-Code-Session-Id", "0bff"),
        ("User-Agent", "claude-cli/2.1"),
    ]
    assert to_service(*kept)[:-2] == kept


def test_hop_by_hop_and_what_connection_names_are_dropped() -> None:
    sent = [
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "5"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "3"),
        ("Host", "gateway"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Corral-Transcript", "2f"),
        ("Accept-Encoding", "br"),
    ]
    assert [name for name, _ in to_service(*sent)] == ["accept-encoding", "x-api-key"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], ["oauth-2025-04-20"]),
        ([("anthropic-beta", "a,b")], ["a,b,oauth-2025-04-20"]),
        ([("anthropic-beta", "a"), ("anthropic-beta", "oauth-2025-04-20")], ["a", "oauth-2025-04-20"]),
    ],
)
def test_an_oauth_token_gets_its_beta_once(sent: list[tuple[str, str]], expected: list[str]) -> None:
    service = Service(base_url="https://m.example", header="authorization", secret="tok", oauth=True)
    out = to_service(*sent, service=service)
    assert [value for name, value in out if name == "anthropic-beta"] == expected


def test_the_transcript_header_is_the_gateways_alone() -> None:
    told = headers.for_script(Script(transcript="/tmp/ä b.yaml"))
    out = [*headers.from_box([(b"X_Corral_Transcript", b"00")]), *told]
    assert out[-1] == ("x-corral-transcript", "/tmp/ä b.yaml".encode().hex())
    assert len([name for name, _ in out if "transcript" in name.lower()]) == 1


def test_what_the_box_sees_of_an_answer() -> None:
    answered = [("x-should-retry", "true"), ("Set-Cookie", "a=b"), ("request-id", "r1"), ("retry-after", "2")]
    assert headers.to_box(answered) == [("request-id", "r1"), ("retry-after", "2")]


STREAM = (
    'event: message_start\ndata: {"type":"message_start","message":{"model":"m-1","usage":'
    '{"input_tokens":7,"cache_creation_input_tokens":5,"cache_read_input_tokens":3,"output_tokens":1}}}\n\n'
    ': a comment\n\nevent: ping\ndata: {"type": "ping"}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"usage \\u00e4 ä"}}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":11}}\n\n'
    'event: message_delta\ndata: {"type":"message_delta",\ndata: '
    '"usage":{"output_tokens":42,"input_tokens":0}}\n\n'
)
USED = Tokens(input=7, cache_write=5, cache_read=3, output=42)


@given(
    cuts=st.lists(st.integers(0, len(STREAM.encode()) * 2), max_size=12),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_usage_is_the_same_however_the_stream_is_cut(cuts: list[int], line_end: str) -> None:
    text = STREAM.replace("\n", line_end).encode()
    edges = sorted({0, *[cut for cut in cuts if cut < len(text)], len(text)})
    reader = anthropic.StreamUsage()
    for start, end in pairwise(edges):
        reader.feed(text[start:end])
    reader.finish()
    assert reader.tokens == USED
    assert reader.model == "m-1"


def test_a_stream_that_is_cut_counts_what_was_seen() -> None:
    for end in range(len(STREAM)):
        reader = anthropic.StreamUsage()
        reader.feed(STREAM[:end].encode())
        live = reader.tokens
        reader.finish()
        assert reader.tokens.input in (0, 7)
        assert reader.tokens.output in (0, 1, 11, 42)
        assert reader.tokens.output >= live.output
    whole_line = STREAM[: STREAM.index("\n\n")]
    reader = anthropic.StreamUsage()
    reader.feed(whole_line.encode())
    reader.finish()
    assert reader.tokens.input == 7


def test_what_is_final_and_how_much_came() -> None:
    """The figures are final where the service says why it stopped; what came is known at any cut."""
    events = STREAM.split("\n\n")
    for number in range(len(events)):
        reader = anthropic.StreamUsage()
        reader.feed("\n\n".join(events[:number]).encode())
        reader.finish()
        assert reader.produced == (0 if number < 4 else len("usage \\u00e4 ä") + 1)
        assert not reader.final
    for reason, final in (("null", False), ('"end_turn"', True)):
        reader = anthropic.StreamUsage()
        reader.feed(
            f'data: {{"type":"message_delta","delta":{{"stop_reason":{reason}}},"usage":{{}}}}\n\n'.encode()
        )
        assert reader.final == final


@given(noise=st.binary(max_size=300))
def test_noise_never_breaks_a_reader(noise: bytes) -> None:
    for reader in (anthropic.StreamUsage(), anthropic.BodyUsage()):
        reader.feed(noise)
        reader.feed(b'\ndata: {"type":"message_start","message":{"usage":' + noise + b"}}\n\n")
        reader.finish()
        assert reader.tokens.input >= 0


def test_an_overlong_line_is_skipped_and_the_next_is_read() -> None:
    reader = anthropic.StreamUsage()
    for _ in range(3):
        reader.feed(b"x" * reading.MAX_LINE)
    reader.feed(b"\n" + STREAM.encode())
    assert reader.tokens == USED


def test_a_whole_document_is_read() -> None:
    reader = ANTHROPIC.usage_reader("/v1/messages", "application/json")
    body = json.dumps(
        {"model": "m", "usage": {"input_tokens": 4, "output_tokens": 2, "cache_read_input_tokens": None}}
    )
    reader.feed(body[:9].encode())
    reader.feed(body[9:].encode())
    reader.finish()
    assert (reader.model, reader.tokens) == ("m", Tokens(input=4, output=2))


@pytest.mark.parametrize("wrong", ["true", "-4", "1e99", '"7"', "[]", str(2**60), "null"])
def test_a_count_that_is_none_is_not_believed(wrong: str) -> None:
    reader = anthropic.BodyUsage()
    reader.feed(b'{"usage":{"input_tokens":' + wrong.encode() + b',"output_tokens":3}}')
    reader.finish()
    assert reader.tokens == Tokens(output=3)

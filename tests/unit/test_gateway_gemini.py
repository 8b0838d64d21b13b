"""The Gemini dialect: routes, queries, errors, models, bounds, and usage however the bytes are cut."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.gateway.booking import prices
from runner.gateway.booking.meter import Meter
from runner.gateway.dialects import GEMINI, asked, decide, headers
from runner.gateway.dialects.dialect import Answer, Forward
from runner.gateway.dialects.reading import UsageReader
from runner.gateway.grants import Service, Tokens

MODEL = "/v1beta/models/gemini-2.5-pro"
WHOLE, STREAM, COUNT = f"{MODEL}:generateContent", f"{MODEL}:streamGenerateContent", f"{MODEL}:countTokens"
OTHER = "/v1beta/models/gemma-3.1_x-27b:generateContent"
SERVICE = Service(dialect="gemini", base_url="https://models.example", header="x-goog-api-key", secret="key")


def answer_to(method: str, target: str) -> Answer | Forward:
    dialect, decision = decide((GEMINI,), method, target, upgrade=False)
    assert dialect is GEMINI
    return decision


@pytest.mark.parametrize(
    ("target", "goes", "counts"),
    [
        (WHOLE, WHOLE, True),
        (STREAM, STREAM, True),
        (f"{STREAM}?alt=sse", f"{STREAM}?alt=sse", True),
        (f"{STREAM}?alt=json", f"{STREAM}?alt=json", True),
        (COUNT, COUNT, False),
        (f"{WHOLE}?", WHOLE, True),
        (f"{WHOLE}?key=box", WHOLE, True),
        (f"{STREAM}?key=box&alt=sse", f"{STREAM}?alt=sse", True),
        (f"{STREAM}?alt=sse&k%65y=box&key", f"{STREAM}?alt=sse", True),
        (OTHER, OTHER, True),
        (OTHER.replace("v1beta", "v1"), OTHER.replace("v1beta", "v1"), True),
    ],
)  # fmt: skip
def test_what_is_forwarded_and_without_a_key(target: str, goes: str, counts: bool) -> None:
    assert answer_to("POST", target) == Forward(goes, counts)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", WHOLE),
        ("GET", "/v1beta/models"),
        ("GET", MODEL),
        ("POST", "/v1beta/files"),
        ("POST", "/upload/v1beta/files"),
        ("GET", "/v1beta/files/abc:download"),
        ("POST", "/v1beta/cachedContents"),
        ("POST", "/v1beta/fileSearchStores"),
        ("POST", "/v1beta/interactions"),
        ("POST", "/v1beta/batches/b"),
        ("POST", f"{MODEL}:batchGenerateContent"),
        ("POST", f"{MODEL}:embedContent"),
        ("POST", f"{MODEL}:predict"),
        ("POST", f"{MODEL}:predictLongRunning"),
        ("POST", f"{MODEL}:generateContent/"),
        ("POST", f"{MODEL}:generatecontent"),
        ("POST", f"{MODEL}%3AgenerateContent"),
        ("POST", "/v1beta/tunedModels/mine:generateContent"),
        ("POST", "/v1beta/models/../tunedModels/mine:generateContent"),
        ("POST", "/v1beta/models/a/b:generateContent"),
        ("POST", "/v1beta/models/..:generateContent"),
        ("POST", "/v1beta/models/%67emini:generateContent"),
        ("POST", "/v1beta/models/:generateContent"),
        ("POST", f"/v1beta/models/{'x' * 200}:generateContent"),
        ("POST", "/v1beta/models/gemini\u0661:generateContent"),
        ("POST", "/v1alpha/models/gemini-2.5-pro:generateContent"),
        ("GET", "/v1/models"),
        ("POST", "//v1beta/models/gemini-2.5-pro:generateContent"),
        ("POST", f"{WHOLE}?fields=candidates"),
        ("POST", f"{WHOLE}?$fields=candidates"),
        ("POST", f"{WHOLE}?alt=media"),
        ("POST", f"{WHOLE}?alt=proto"),
        ("POST", f"{WHOLE}?alt=sse&alt=json"),
        ("POST", f"{WHOLE}?alt=sse;key=box"),
        ("POST", f"{WHOLE}?access_token=box"),
        ("POST", f"{WHOLE}?Key=box"),
        ("POST", f"{WHOLE}?$key=box"),
        ("POST", f"{WHOLE}?$httpMethod=DELETE"),
        ("POST", "/v1/messages"),
    ],
)
def test_what_is_not_forwarded(method: str, target: str) -> None:
    answer = answer_to(method, target)
    assert isinstance(answer, Answer)
    assert answer.status == 403
    assert json.loads(answer.body)["error"]["status"] == "PERMISSION_DENIED"


PIECES = [
    "/v1beta", "/v1", "/models", "/models/", "gemini-2.5-pro", ":generateContent",
    ":streamGenerateContent", ":countTokens", "/", "..", "%2e", "%2F", "//", "?", "&", "alt=sse", "alt=json",
    "key=box", "fields=x", "#", ";", "tunedModels/", "\u00e9", " ",
]  # fmt: skip
LAWFUL = re.compile(
    r"/v1(beta)?/models/[A-Za-z0-9._-]+:(generateContent|streamGenerateContent|countTokens)(\?alt=(sse|json))?"
)


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
@example(f"{STREAM}?alt=sse&key=box")
def test_whatever_is_forwarded_is_of_the_one_form(target: str) -> None:
    decision = answer_to("POST", target)
    if isinstance(decision, Forward):
        assert LAWFUL.fullmatch(decision.target)
        assert decision.counts == (":countTokens" not in decision.target)


@given(st.text(alphabet="altkeysjon=&%65;?$.-_ #\u00e9", max_size=30))
def test_no_query_brings_more_than_the_form_of_a_stream(query: str) -> None:
    assert GEMINI.query(query) in (None, "", "alt=sse", "alt=json")


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (400, None, "INVALID_ARGUMENT"),
        (402, None, "FAILED_PRECONDITION"),
        (403, None, "PERMISSION_DENIED"),
        (429, None, "RESOURCE_EXHAUSTED"),
        (429, "OF_ITS_OWN", "OF_ITS_OWN"),
        (502, None, "INTERNAL"),
        (503, None, "UNAVAILABLE"),
    ],
)
def test_errors_have_the_service_s_form(status: int, kind: str | None, told: str) -> None:
    answer = GEMINI.error(status, "why", kind)
    assert answer.status == status
    assert json.loads(answer.body) == {"error": {"code": status, "message": "why", "status": told}}


def test_only_the_real_credential_goes_out_and_nothing_says_who_pays_or_what_is_left_out() -> None:
    sent = [
        (b"x-goog-api-key", b"box"),
        (b"Authorization", b"Bearer box"),
        (b"X-Goog-FieldMask", b"candidates"),
        (b"x_goog_fieldmask", b"candidates"),
        (b"x-goog-user-project", b"other"),
        (b"x-http-method-override", b"DELETE"),
        (b"Content-Type", b"application/x-protobuf"),
        (b"x-goog-api-client", b"sdk/1"),
        (b"X-Server-Timeout", b"9"),
    ]
    out = [*GEMINI.to_service(headers.from_box(sent), SERVICE), *headers.credential(SERVICE)]
    passed = [("x-goog-api-client", "sdk/1"), ("X-Server-Timeout", "9"), ("accept-encoding", "identity")]
    assert out == [*passed, ("content-type", "application/json"), ("x-goog-api-key", "key")]


@pytest.mark.parametrize("body", [{}, {"model": "gemini-2.5-pro"}, {"model": "models/gemini-2.5-pro"}])
def test_the_model_stands_in_the_path(body: dict[str, Any]) -> None:
    assert GEMINI.model(STREAM, body) == "gemini-2.5-pro"
    assert prices.usd("gemini", GEMINI.model(STREAM, body), Tokens(input=10**6)) is not None


@pytest.mark.parametrize("body", [{"model": "models/dear"}, {"Model": "dear"}, {"model": 1}, {"mo_del": ""}])
def test_a_body_that_names_another_model_is_not_taken(body: dict[str, Any]) -> None:
    with pytest.raises(asked.UnreadableError, match="another model"):
        GEMINI.model(WHOLE, body)


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({}, asked.MOST_OUTPUT),
        ({"generationConfig": None}, asked.MOST_OUTPUT),
        ({"generationConfig": {"maxOutputTokens": 100}}, 100),
        ({"generation_config": {"max_output_tokens": 100, "candidate_count": 3}}, 300),
        ({"generationConfig": {"maxOutputTokens": "100", "candidateCount": "2"}}, 200),
        ({"generationConfig": {"maxOutputTokens": 10**9}}, asked.MOST_OUTPUT),
        ({"generationConfig": {"maxOutputTokens": -1}}, asked.MOST_OUTPUT),
        ({"generationConfig": {"maxOutputTokens": True}}, asked.MOST_OUTPUT),
        ({"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 70}}, 70),
        ({"generationConfig": {"maxOutputTokens": 1}, "generation_config": {"maxOutputTokens": 70}}, 70),
        ({"generationConfig": {"maxOutputTokens": 1, "candidateCount": 1.5}}, asked.MOST_ANSWERS),
        ({"max_tokens": 1}, asked.MOST_OUTPUT),
    ],
)
def test_the_bound_of_an_answer_is_never_below_what_the_service_may_read(
    body: dict[str, Any], most: int
) -> None:
    assert GEMINI.most_output(body) == most


# -- usage

PARTS: list[dict[str, Any]] = [
    {"candidates": [{"content": {"parts": [{"text": 'a "usageMetadata": {ä}} "]\\'}]}}],
     "modelVersion": "m-1",
     "usageMetadata": {"promptTokenCount": 100, "totalTokenCount": 100}},
    {"candidates": [{"content": {"parts": [{"text": "}{"}]}}], "modelVersion": "m-1",
     "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 3}},
    {"candidates": [{"finishReason": "STOP"}], "modelVersion": "models/m-1",
     "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 35,
                       "thoughtsTokenCount": 7, "toolUsePromptTokenCount": 5, "totalTokenCount": 147}},
]  # fmt: skip
USED = Tokens(input=45, cache_read=60, output=42, reasoning=7)
EVENTS = "".join(f"data: {json.dumps(part, ensure_ascii=False)}\n\n" for part in PARTS)
ARRAYS = [json.dumps(PARTS, ensure_ascii=False), json.dumps(PARTS, indent=2), json.dumps(PARTS[-1])]
EVENT_STREAM, JSON = "text/event-stream", "application/json"


def read(kind: str, *pieces: bytes, path: str = STREAM) -> UsageReader:
    reader = GEMINI.usage_reader(path, kind)
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    return reader


@given(
    stream=st.sampled_from([(EVENT_STREAM, EVENTS), *[(JSON, text) for text in ARRAYS]]),
    cuts=st.lists(st.integers(0, 2000), max_size=40),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_usage_is_the_same_however_the_stream_is_cut(
    stream: tuple[str, str], cuts: list[int], line_end: str
) -> None:
    text = stream[1].replace("\n", line_end).encode()
    edges = sorted({0, *[cut for cut in cuts if cut < len(text)], len(text)})
    reader = read(stream[0], *[text[start:end] for start, end in pairwise(edges)], b"")
    assert (reader.model, reader.tokens, reader.told) == ("m-1", USED, True)


ANY = st.recursive(
    st.none() | st.integers() | st.text(alphabet='{}[]",\\\n:ä a', max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    parts=st.lists(st.tuples(ANY, st.none() | st.integers(0, 10**6)), min_size=1, max_size=6),
    indent=st.sampled_from([None, 2]),
    plain=st.booleans(),
    cuts=st.lists(st.integers(0, 3000), max_size=30),
)
def test_whatever_the_parts_hold_the_last_usage_of_an_array_is_found(
    parts: list[tuple[Any, int | None]], indent: int | None, plain: bool, cuts: list[int]
) -> None:
    said = [
        {"candidates": held}
        if tokens is None
        else {"candidates": held, "usageMetadata": {"promptTokenCount": tokens}}
        for held, tokens in parts
    ]
    data = json.dumps(said, indent=indent, ensure_ascii=plain).encode()
    edges = sorted({0, *[cut for cut in cuts if cut < len(data)], len(data)})
    reader = read(JSON, *[data[start:end] for start, end in pairwise(edges)])
    told = [tokens for _, tokens in parts if tokens is not None]
    assert (reader.told, reader.tokens.input) == (bool(told), (told or [0])[-1])


@pytest.mark.parametrize(("kind", "text"), [(EVENT_STREAM, EVENTS), (JSON, ARRAYS[0]), (JSON, ARRAYS[1])])
def test_a_stream_that_is_cut_counts_what_was_seen(kind: str, text: str) -> None:
    whole = text.encode()
    seen = [read(kind, *[whole[at : at + 1] for at in range(end)]) for end in range(0, len(whole) + 1, 7)]
    seen.append(read(kind, whole))
    assert (seen[0].told, seen[0].tokens, seen[-1].tokens) == (False, Tokens(), USED)
    outputs = [reader.tokens.output for reader in seen]
    assert outputs == sorted(outputs)
    assert set(outputs) == {0, 3, 42}


def test_a_whole_document_is_read() -> None:
    body = json.dumps(PARTS[-1]).encode()
    reader = read(JSON, body[:30], body[30:], path=WHOLE)
    assert (reader.model, reader.tokens, reader.told) == ("m-1", USED, True)


@pytest.mark.parametrize(("kind", "path"), [(EVENT_STREAM, STREAM), (JSON, STREAM), (JSON, WHOLE)])
def test_an_answer_that_names_no_model_is_of_the_one_that_was_asked(kind: str, path: str) -> None:
    assert read(kind, b'{"usageMetadata": {"promptTokenCount": 1}}', path=path).model == "gemini-2.5-pro"


@pytest.mark.parametrize("kind", [EVENT_STREAM, JSON])
def test_a_usage_that_was_not_told_is_unknown_and_not_none(kind: str) -> None:
    meter = Meter(scripted=False)
    with meter.reading(GEMINI.usage_reader(STREAM, kind)) as reader:
        assert reader is not None
        reader.feed(b'[{"candidates": []}')
    assert (meter.usage().untold, meter.usage().tokens) == (1, None)


@pytest.mark.parametrize("kind", [EVENT_STREAM, JSON])
def test_a_part_with_an_image_is_read_and_each_byte_once(kind: str) -> None:
    image = {"candidates": [{"content": {"parts": [{"inlineData": {"data": "x" * 8 * 1024**2}}]}}]}
    part = json.dumps(image | PARTS[-1] | {"candidates": image["candidates"]})
    long = (f"data: {part}\n\n" if kind == EVENT_STREAM else f"[{part}]").encode()
    began = time.process_time()
    reader = read(kind, *[long[start : start + 1024] for start in range(0, len(long), 1024)])
    assert reader.tokens == USED
    assert time.process_time() - began < 5  # over and over again, it would be minutes


@pytest.mark.parametrize("kind", [EVENT_STREAM, JSON])
def test_a_part_beyond_all_bounds_is_skipped_and_the_next_one_read(kind: str) -> None:
    endless = ('{"candidates": "' + "x" * 17 * 1024**2 + '", "usageMetadata": {}}', json.dumps(PARTS[-1]))
    text = "".join(f"data: {part}\n\n" for part in endless) if kind == EVENT_STREAM else ",".join(endless)
    data = text.encode()
    reader = read(kind, *[data[start : start + 2**16] for start in range(0, len(data), 2**16)])
    assert reader.tokens == USED


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"promptTokenCount": 5, "cachedContentTokenCount": 9}, Tokens(cache_read=9)),
        ({"promptTokenCount": True, "candidatesTokenCount": -1}, Tokens()),
        ({"promptTokenCount": "5", "thoughtsTokenCount": 2}, Tokens(output=2, reasoning=2)),
    ],
)
def test_figures_that_make_no_sense_are_not_believed(usage: dict[str, Any], tokens: Tokens) -> None:
    assert read(JSON, json.dumps({"usageMetadata": usage}).encode(), path=WHOLE).tokens == tokens


@given(noise=st.binary(max_size=300), at=st.integers(0, 300))
def test_noise_never_breaks_a_reader(noise: bytes, at: int) -> None:
    for kind in (EVENT_STREAM, JSON):
        for path in (WHOLE, STREAM):
            spoilt = b'data: {"usageMetadata":' + noise + b"}\n\n"
            reader = read(kind, spoilt[:at], spoilt[at:], path=path)
            assert reader.tokens.output >= 0

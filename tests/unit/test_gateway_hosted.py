"""What a box may not have the service do for it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects import ANTHROPIC, asked
from runner.gateway.dialects.asked import UnreadableError
from tests.support import within

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://elsewhere.invalid/?secret"}}
INLINE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def reaches_out(body: bytes) -> str | None:
    return next((one.what for one in ANTHROPIC.reaches_out(asked.read(body))), None)


def message(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


@pytest.mark.parametrize(
    "request_",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"name": "mine", "input_schema": {}}, {"type": "code_execution_20250825"}]},
        {"tools": [{"type": "web_fetch_20250910"}]},
        {"tools": [{"type": "mcp_toolset"}]},
        {"tools": [{"type": "a_kind_of_the_future_1"}]},
        {"tools": [{"type": ["custom"]}]},
        {"mcp_servers": [{"url": "https://elsewhere.invalid"}]},
        {"container": {"skills": []}},
        message(IMAGE),
        message({"type": "document", "source": {"type": "url", "url": "https://elsewhere.invalid"}}),
        message({"type": "tool_result", "content": [IMAGE]}),
        message({"type": "document", "source": {"type": "content", "content": [IMAGE]}}),
        {"system": [IMAGE]},
    ],
)
def test_what_would_reach_out_is_named(request_: dict[str, Any]) -> None:
    assert reaches_out(json.dumps(request_).encode()) is not None


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"tools": []},
        {"tools": None, "mcp_servers": [], "container": None},
        {"tools": [{"name": "Bash", "input_schema": {}}, {"type": "custom", "name": "x"}]},
        {"tools": [{"type": "bash_20250124"}, {"type": "text_editor_20250728"}, {"type": "memory_20250818"}]},
        message("plain", INLINE, {"type": "text", "text": "see https://elsewhere.invalid"}),
        message({"type": "tool_use", "input": IMAGE}),
        {"messages": [{"role": "user", "content": "words"}], "system": "words"},
    ],
)
def test_what_the_model_answers_alone_passes(request_: dict[str, Any]) -> None:
    assert reaches_out(json.dumps(request_).encode()) is None


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        ({"tools": [{"type": "web_fetch_20260318"}]}, "web_fetch"),
        ({"tools": [{"type": "code_execution_20260521"}]}, "code_execution"),
        (message(IMAGE), "web_fetch"),
        ({"tools": [{"type": "web_search"}]}, None),
        ({"tools": [{"type": "web_search_latest"}]}, None),
        ({"tools": [{"type": "mcp_toolset"}]}, None),
        ({"mcp_servers": [{"url": "https://elsewhere.invalid"}]}, None),
        ({"container": "container_1"}, None),
        (message({"type": "container_upload", "file_id": "file_1"}), None),
        (message({"type": "document", "source": {"type": "file", "file_id": "file_1"}}), None),
        (message({"type": "image", "source": {"type": "file", "file_id": "file_1"}}), None),
    ],
)
def test_what_can_be_allowed_has_its_name_and_nothing_else_has_one(
    request_: dict[str, Any], name: str | None
) -> None:
    assert {one.name for one in ANTHROPIC.reaches_out(request_)} == {name}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"tools": [], "tools": [{"type": "web_search_20250305"}]}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"messages": ' + b"[" * 100_000,
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        reaches_out(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(body: bytes) -> None:
    with suppress(UnreadableError):
        assert reaches_out(body) is None


@pytest.mark.parametrize("piece", [b'{"":[]},', b"[],", b"0,", b'"a",'])
def test_a_body_of_far_more_values_than_any_session_is_not_taken_apart(piece: bytes) -> None:
    """Thirty megabytes of the smallest values take gigabytes as objects."""
    body = b'{"x": [' + piece * (30 * 1024**2 // len(piece)) + b"0]}"
    with within(20), pytest.raises(UnreadableError, match="more than 200000 values"):
        asked.read(body)


def test_what_stands_in_strings_is_text_however_much_it_looks_like_values() -> None:
    text = '{"":[]},\\"' * 1_000_000
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    assert asked.read(body)["messages"][0]["content"] == text

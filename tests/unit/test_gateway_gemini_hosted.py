"""What a box may not have Gemini do for it, in every spelling; and what Gemini CLI asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects import GEMINI

CAPTURED = Path(__file__).parent / "captured" / "gemini-cli.json"
FILE = {"mimeType": "video/mp4", "fileUri": "https://elsewhere.invalid/?secret"}


def names(request: dict[str, Any]) -> set[str | None]:
    """Under which names what a request reaches can be allowed; None for what never is."""
    return {one.name for one in GEMINI.reaches_out(request)}


def parts(*given_: Any, role: str = "user") -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": list(given_)}]}


HOSTED: list[tuple[dict[str, Any], str | None]] = [
    ({"googleSearch": {}}, "web_search"),
    ({"google_search": {}}, "web_search"),
    ({"googleSearchRetrieval": {"dynamicRetrievalConfig": {}}}, "web_search"),
    ({"urlContext": {}}, "web_fetch"),
    ({"url_context": {}}, "web_fetch"),
    ({"codeExecution": {}}, "code_execution"),
    ({"code_execution": False}, "code_execution"),
    ({"googleMaps": {}}, None),
    ({"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/other"]}}, None),
    ({"mcpServers": [{"streamableHttpTransport": {"url": "https://elsewhere.invalid"}}]}, None),
    ({"retrieval": {}}, None),
    ({"enterpriseWebSearch": {}}, None),
    ({"ofTheFuture": {}}, None),
    ({"googleSearch2": {}}, None),
]


@pytest.mark.parametrize(("tool", "name"), HOSTED, ids=str)
def test_a_tool_that_the_service_runs_is_named(tool: dict[str, Any], name: str | None) -> None:
    own = {"functionDeclarations": [{"name": "f"}]}
    for given_ in ([own, tool], [own | tool], tool):
        assert names({"tools": given_}) == {name}
        assert names({"generateContentRequest": {"tools": given_}}) == {name}
        assert names({"generate_content_request": {"tools": given_}}) == {name}


@pytest.mark.parametrize(
    "request_",
    [
        {"cachedContent": "cachedContents/other"},
        {"cached_content": "cachedContents/other"},
        {"tools": [[{"googleSearch": {}}]]},
        {"tools": ["googleSearch"]},
        parts({"fileData": FILE}),
        parts({"file_data": FILE}),
        parts({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}),
        parts({"functionResponse": {"name": "f", "response": {}, "parts": [{"fileData": FILE}]}}),
        parts({"toolCall": {"toolType": "FILE_SEARCH", "id": "1"}}, role="model"),
        parts({"toolCall": {"id": "1"}}, role="model"),
        {"contents": {"parts": {"fileData": FILE}}},
        {"contents": [[{"parts": [{"fileData": FILE}]}]]},
        {"systemInstruction": {"parts": [{"fileData": FILE}]}},
        {"system_instruction": {"parts": [{"fileData": FILE}]}},
        {"generateContentRequest": parts({"fileData": FILE})},
    ],
    ids=lambda request_: json.dumps(request_)[:70],
)
def test_what_the_service_keeps_or_fetches_is_never_allowed(request_: dict[str, Any]) -> None:
    assert names(request_) == {None}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"cachedContent": None, "tools": None, "contents": None},
        {"tools": [{"functionDeclarations": [{"name": "googleSearch", "parameters": {"fileData": {}}}]}]},
        {"tools": [{"computerUse": {"environment": "ENVIRONMENT_BROWSER"}, "googleSearch": None}]},
        {
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "generationConfig": {"responseSchema": {}},
        },
        parts({"text": "see https://elsewhere.invalid", "thoughtSignature": "x"}),
        parts({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        parts(
            {"functionCall": {"name": "f", "args": {"fileData": FILE, "toolCall": {"x": 1}}}}, role="model"
        ),
        parts({"functionResponse": {"name": "f", "response": {"fileData": FILE}}}),
        parts({"executableCode": {"code": "x"}}, {"codeExecutionResult": {"output": "y"}}, role="model"),
        parts({"toolResponse": {"toolType": "URL_CONTEXT", "response": {"fileData": FILE}}}),
    ],
    ids=lambda request_: json.dumps(request_)[:70],
)
def test_what_the_model_answers_alone_passes(request_: dict[str, Any]) -> None:
    assert names(request_) == set()


def test_a_call_told_again_goes_by_the_name_of_its_tool() -> None:
    for kind, name in (
        ("GOOGLE_SEARCH_WEB", "web_search"),
        ("URL_CONTEXT", "web_fetch"),
        ("GOOGLE_MAPS", None),
    ):
        assert names(parts({"toolCall": {"toolType": kind, "args": {}}}, role="model")) == {name}
        assert names(parts({"tool_call": {"tool_type": kind}}, role="model")) == {name}


def test_what_gemini_cli_asks_for_passes_but_not_its_search_nor_its_fetch() -> None:
    request = json.loads(CAPTURED.read_text())
    assert names(request) == set()
    assert names(request | {"tools": [{"googleSearch": {}}]}) == {"web_search"}
    assert names(request | {"tools": [{"urlContext": {}}]}) == {"web_fetch"}
    request["tools"][0]["codeExecution"] = {}
    assert names(request) == {"code_execution"}


def test_a_request_within_requests_without_end_is_judged() -> None:
    request: dict[str, Any] = {"cachedContent": "x"}
    for _ in range(100_000):
        request = {"generateContentRequest": request}
    assert names(request) == {None}
    deep: Any = {"fileData": FILE}
    for _ in range(100_000):
        deep = {"parts": [deep]}
    assert names({"contents": deep}) == {None}
    while request:  # so that freeing it takes no deep recursion
        request = request.get("generateContentRequest", {})


KEYS = (
    "tools",
    "contents",
    "parts",
    "fileData",
    "file_data",
    "functionResponse",
    "toolCall",
    "toolType",
    "args",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.dictionaries(
        st.sampled_from([*KEYS, "systemInstruction", "cachedContent", "generationConfig"]), VALUES
    )
)
def test_anything_can_be_judged(request_: dict[str, Any]) -> None:
    list(GEMINI.reaches_out(request_))
    assert GEMINI.most_output(request_) > 0

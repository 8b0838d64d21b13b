"""What a box may not have OpenAI do for it, in every spelling; and what Codex asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects import OPENAI, asked

CAPTURED = Path(__file__).parent / "captured"
FETCHED = "https://elsewhere.invalid/?secret"


def reaches_out(request: dict[str, Any]) -> str | None:
    return next((one.what for one in OPENAI.reaches_out(asked.read(json.dumps(request).encode()))), None)


def names(request: dict[str, Any]) -> set[str | None]:
    """Under which names what a request reaches can be allowed; None for what never is."""
    return {one.name for one in OPENAI.reaches_out(request)}


def item(**part: Any) -> dict[str, Any]:
    return {"input": [{"type": "message", "role": "user", "content": [part]}]}


def message(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def late_tools(*given: Any) -> dict[str, Any]:
    return {"input": [{"type": "additional_tools", "role": "developer", "tools": list(given)}]}


HOSTED: list[dict[str, Any]] = [
    {"type": "web_search", "external_web_access": True},
    {"type": "web_search_preview"},
    {"type": "file_search", "vector_store_ids": ["vs"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation"},
    {"type": "programmatic_tool_calling"},
    {"type": "mcp", "server_label": "x", "server_url": FETCHED},
    {"type": "tool_search"},
    {"type": "tool_search", "execution": "server"},
    {"type": "shell"},
    {"type": "shell", "environment": {"type": "container_auto"}},
    {"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}},
    {"type": "a_kind_of_the_future"},
    {"type": ["function"]},
    {"type": {"function": 1}},
    {"type": "Function"},
    {"type": "", "server_url": FETCHED},
    {"type": None},
    {"type": "mcp", "connector_id": "connector_gmail"},
    {"type": "namespace", "tools": {"type": "web_search"}},
    {"type": "namespace", "tools": [{"type": "namespace", "tools": [{"type": "web_search"}]}]},
]
OWN: list[dict[str, Any]] = [
    {"type": "function", "name": "f", "parameters": {"properties": {"file_id": {}, "image_url": {}}}},
    {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "tool_search", "execution": "client"},
    {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]},
    {"function": {"name": "old"}},
]


@pytest.mark.parametrize("tool", HOSTED, ids=lambda tool: json.dumps(tool)[:40])
def test_a_tool_that_the_provider_runs_is_named(tool: dict[str, Any]) -> None:
    assert reaches_out({"tools": [OWN[0], tool]}) is not None
    assert reaches_out({"tools": tool}) is not None
    assert reaches_out({"input": [{"type": "tool_search_output", "tools": [tool]}]}) is not None
    assert reaches_out({"input": late_tools(tool)["input"][0]}) is not None
    assert reaches_out({"input": [{"role": "user", "content": late_tools(tool)["input"]}]}) is not None
    assert reaches_out(late_tools(OWN[0], tool)) is not None
    assert reaches_out(late_tools({"type": "namespace", "name": "n", "tools": [tool]})) is not None


@pytest.mark.parametrize("tool", OWN, ids=lambda tool: json.dumps(tool)[:40])
def test_a_tool_that_the_agent_runs_passes(tool: dict[str, Any]) -> None:
    assert reaches_out({"tools": [tool]}) is None
    assert reaches_out(late_tools(tool)) is None


IMAGE = {"type": "input_image", "image_url": FETCHED}


@pytest.mark.parametrize(
    "request_",
    [
        {"background": True},
        {"background": "true"},
        {"prompt": {"id": "pmpt_1"}},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"id": "msg_1"}]},
        {"input": [{"type": None, "id": "msg_1"}]},
        {"input": [{"type": "image_generation_call", "id": "ig_1"}]},
        {"input": [{"type": "program", "id": "p", "call_id": "c", "code": "fetch()", "fingerprint": "f"}]},
        {"input": [{"type": "mcp_approval_response", "approval_request_id": "a", "approve": True}]},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"instructions": [{"role": "system", "content": [{"type": "input_image", "image_url": FETCHED}]}]},
        {"web_search_options": {}},
        {"model": "gpt-4o-search-preview"},
        {"model": "gpt-5-search-api"},
        {"model": "o3-deep-research-2025-06-26"},
        {"tool_choice": {"type": "web_search_preview"}},
        {"tool_choice": {"type": ["function"]}},
        item(**IMAGE),
        item(type="input_image", image_url=f" {FETCHED}"),
        item(type="input_image", image_url=[FETCHED]),
        item(type="input_image", image_url={"uri": FETCHED}),
        item(type="input_image", image_url="file:///etc/passwd"),
        item(type="input_image", file_id="file-1"),
        item(type="input_file", file_url=FETCHED),
        item(type="input_file", file_id="file-1"),
        item(type="input_video_of_the_future", video_url=FETCHED),
        {"input": [{"type": "function_call_output", "output": [IMAGE]}]},
        {"input": [{"type": "computer_call_output", "output": IMAGE}]},
        {"input": {"type": "message", "content": IMAGE}},
        message(type="image_url", image_url={"url": FETCHED}),
        message(type="image_url", image_url=FETCHED),
        message(type="file", file={"file_id": "file-1"}),
    ],
    ids=lambda request_: json.dumps(request_)[:60],
)
def test_what_would_reach_out_is_named(request_: dict[str, Any]) -> None:
    assert reaches_out(request_) is not None


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"input": f"see {FETCHED}", "store": True, "previous_response_id": None, "background": False},
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}]},
        {"messages": [{"role": "user", "content": "x"}], "n": 4, "stream_options": {"include_usage": True}},
        {"tools": [], "tool_choice": "auto", "model": "gpt-5.5"},
        {"tool_choice": {"type": "function", "name": "f"}, "functions": [{"name": "f"}]},
        {"tool_choice": {"type": "allowed_tools", "tools": []}},
        item(type="input_text", text=FETCHED),
        item(type="input_image", image_url="data:image/png;base64,AAAA"),
        item(type="input_file", file_data="data:application/pdf;base64,AAAA", filename="a.pdf"),
        item(type="output_text", text="x", annotations=[{"type": "url_citation", "url": FETCHED}]),
        {"input": [{"type": "function_call_output", "call_id": "c", "output": f"see {FETCHED}"}]},
        {"input": [{"type": "function_call", "call_id": "c", "arguments": '{"file_id": "x"}'}]},
        message(type="image_url", image_url={"url": "data:image/png;base64,AAAA"}),
        message(type="file", file={"file_data": "AAAA"}),
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": FETCHED}]},
    ],
    ids=lambda request_: json.dumps(request_)[:60],
)
def test_what_the_model_answers_alone_passes(request_: dict[str, Any]) -> None:
    assert reaches_out(request_) is None


SHELL: dict[str, Any] = {"type": "shell", "environment": {"type": "container_auto"}}
CLOSED = {"type": "shell", "environment": SHELL["environment"] | {"network_policy": {"type": "disabled"}}}
INTERPRETER = {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"tools": [{"type": "web_search", "filters": {}}, OWN[0]]}, "web_search"),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "web_search"),
        ({"tool_choice": {"type": "web_search_preview"}}, "web_search"),
        ({"web_search_options": {}, "model": "gpt-4o-search-preview"}, "web_search"),
        ({"tools": [INTERPRETER, SHELL]}, "code_execution"),
        ({"tools": [CLOSED]}, "code_execution"),
        (item(**IMAGE), "web_fetch"),
        (message(type="image_url", image_url=FETCHED), "web_fetch"),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_what_can_be_allowed_has_its_name(request_: dict[str, Any], name: str) -> None:
    assert names(request_) == {name}


@pytest.mark.parametrize(
    "request_",
    [
        {"tools": [{**INTERPRETER, "container": "cntr_1"}]},
        {"tools": [{"type": "code_interpreter"}, {"type": "shell"}]},
        {"tools": [{**INTERPRETER, "container": {"type": "auto", "file_ids": ["file-1"]}}]},
        {"tools": [{**INTERPRETER, "container": {"type": "auto", "network_policy": {"type": "allowlist"}}}]},
        {"tools": [{**INTERPRETER, "container": {"type": "auto", "of_tomorrow": 1}}]},
        {"tools": [{**SHELL, "environment": {"type": "container_reference", "container_id": "c"}}]},
        {"tools": [{**SHELL, "environment": {"type": "container_auto", "skills": [{"skill_id": "s"}]}}]},
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": FETCHED}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs"]}]},
        {"tools": [{"type": "web_search_of_the_future"}]},
        {"previous_response_id": "resp_1"},
        {"background": True},
        item(type="input_file", file_id="file-1"),
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
    ids=lambda request_: json.dumps(request_)[:60],
)
def test_what_the_service_keeps_or_opens_further_has_no_name(request_: dict[str, Any]) -> None:
    assert names(request_) == {None}


KEYS = ("type", "tools", "content", "output", "file", "image_url", "input", "environment", "execution")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["tools", "input", "messages", "tool_choice", "model"]), VALUES))
def test_anything_can_be_judged(request_: dict[str, Any]) -> None:
    list(OPENAI.reaches_out(request_))


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_what_codex_asks_for_passes_but_its_web_search(model: str) -> None:
    request = json.loads((CAPTURED / f"codex-{model}.json").read_text())
    searches = [tool for tool in request.get("tools", ()) if tool["type"] == "web_search"]
    assert bool(searches) == (model == "gpt-5.5")
    assert reaches_out(request) == ("the tool 'web_search'" if searches else None)
    for tool in searches:
        request["tools"].remove(tool)
    assert reaches_out(request) is None


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_a_tool_slipped_in_anywhere_among_codex_s_is_named(model: str) -> None:
    request = json.loads((CAPTURED / f"codex-{model}.json").read_text())
    request["tools"] = [tool for tool in request.get("tools", ()) if tool["type"] != "web_search"]
    lists = [request["tools"], *(item["tools"] for item in request["input"] if "tools" in item)]
    lists += [tool["tools"] for tools in lists for tool in tools if tool["type"] == "namespace"]
    assert len(lists) == (1 if model == "gpt-5.5" else 5)
    for tools in lists:
        tools.append({"type": "code_interpreter", "container": {"type": "auto"}})
        assert reaches_out(request) == "the tool 'code_interpreter'"
        tools.pop()
    assert reaches_out(request) is None

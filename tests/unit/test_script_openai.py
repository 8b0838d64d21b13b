"""The scripted model in OpenAI's two forms: which turn answers, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects import OPENAI
from runner.gateway.grants import Tokens
from runner.gateway.playing import script_openai as spoken
from runner.gateway.playing.script import AFTER_THE_END, WITHOUT_TOOLS, Reply, UnfitError
from runner.gateway.playing.transcript import parse

CAPTURED = Path(__file__).parent / "captured"
CALLS = "tools: [{name: f, input: {x: 1}}, {name: exec, input: {input: code}}, {name: far, input: {}}]"
NUMBERED = parse("turns:\n" + "".join(f"  - {{text: turn {n}, {CALLS}}}\n" for n in range(6)), "t.yaml")
FIGURES = parse(
    "turns: [{text: ä, usage: {input: 1, output: 9, cache_read: 2, cache_write: 4, reasoning: 5}}]", "t.yaml"
)
USED = Tokens(input=1, output=9, cache_read=2, cache_write=4, reasoning=5)
TOOLS: Any = [
    {"type": "function", "name": "f"},
    {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]},
    {"type": "namespace", "name": "other", "tools": [{"type": "function", "name": "far"}]},
]
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "f"}},
    {"type": "custom", "custom": {"name": "exec"}},
    {"type": "function", "function": {"name": "far"}},
]


def respond(items: Any) -> Any:
    return spoken.response(NUMBERED, {"model": "m", "input": items, "tools": TOOLS}).message


def complete(messages: Any) -> Any:
    return spoken.completion(NUMBERED, {"model": "m", "messages": messages, "tools": CHAT_TOOLS}).message


def text_of(response: Any) -> str:
    return str(response["output"][0]["content"][0]["text"])


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_tools_are_called_as_they_were_offered() -> None:
    function, custom, far = respond("go")["output"][1:]
    assert (function["type"], function["arguments"]) == ("function_call", '{"x": 1}')
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "code")
    assert [one.get("namespace") for one in (function, custom, far)] == [None, None, "other"]
    choice = complete([user("go")])["choices"][0]
    calls = choice["message"]["tool_calls"]
    assert calls[0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert calls[1]["custom"] == {"name": "exec", "input": "code"}
    assert choice["finish_reason"] == "tool_calls"
    assert len({call["id"] for call in calls}) == 3


@given(
    turns=st.integers(0, 5),
    asides=st.lists(st.integers(0, 30), max_size=3),
    mixed=st.booleans(),
    data=st.data(),
)
def test_the_turn_is_the_number_of_answers_given(
    turns: int, asides: list[int], mixed: bool, data: st.DataObject
) -> None:
    items: list[Any] = [user("go")]
    for number in range(turns):
        answered = respond(items)["output"]
        assert text_of({"output": answered}) == f"turn {number}"
        said, calls = answered[:1], answered[1:]
        results = [
            {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": "r"} for call in calls
        ]
        if mixed:  # results between the calls of one answer
            items += said + [one for pair in zip(calls, results, strict=True) for one in pair]
        else:
            items += said + calls + data.draw(st.permutations(results))
    for place in asides:
        items.insert(min(place, len(items)), {"type": "additional_tools", "role": "developer", "tools": []})
    again = respond(items)
    assert (text_of(again), again) == (f"turn {turns}", respond(items))


@given(turns=st.integers(0, 6), system=st.sampled_from(["system", "developer"]))
def test_the_turn_of_a_chat_is_the_number_of_answers_given(turns: int, system: str) -> None:
    messages: list[Any] = [{"role": system, "content": "be brief"}, user("go")]
    for _ in range(turns):
        said = complete(messages)["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in said["tool_calls"]
        ]
        messages += [said, *results, {"role": system, "content": "an aside"}]
    expected = f"turn {turns}" if turns < 6 else AFTER_THE_END
    assert complete(messages)["choices"][0]["message"]["content"] == expected


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_the_stream_tells_what_the_document_tells(path: str, include: bool) -> None:
    request: Any = {"model": "m", "input": "go", "messages": [user("go")], "tools": TOOLS}
    request["stream_options"] = {"include_usage": include}
    if path == "/v1/responses":
        reply = spoken.response(FIGURES, request)
        events = spoken.response_events(reply.message, request)
        told = True
    else:
        reply = spoken.completion(FIGURES, request)
        events = spoken.completion_events(reply.message, request)
        told = include
    streamed = OPENAI.usage_reader(path, "text/event-stream")
    for event in events:
        streamed.feed(event)
    streamed.finish()
    assert (streamed.told, streamed.tokens) == (told, USED if told else Tokens())
    whole = OPENAI.usage_reader(path, "application/json")
    whole.feed(json.dumps(reply.message).encode())
    whole.finish()
    assert (whole.model, whole.told, whole.tokens) == ("m", True, USED)


def test_events_of_a_response_come_numbered_and_in_pieces() -> None:
    message = respond("go")
    events = [json.loads(event.split(b"data: ")[1]) for event in spoken.response_events(message, {})]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == message["output"] == events[-1]["response"]["output"]
    assert "".join(event["delta"] for event in events if event["type"].endswith("input.delta")) == "code"


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_codex_s_second_request_gets_the_second_turn(model: str) -> None:
    request = json.loads((CAPTURED / f"codex-{model}.json").read_text())
    played = parse(
        "turns: [{text: a}, {text: b, expect: first, tools: [{name: exec, input: {input: c}}]}]", "t"
    )
    message: Any = spoken.response(played, request).message
    assert text_of(message) == "b"
    assert message["output"][1]["type"] == {"gpt-5.5": "function_call"}.get(model, "custom_tool_call")


def test_a_tool_that_takes_plain_text_must_be_given_some() -> None:
    played = parse("turns: [{tools: [{name: exec, input: {code: x}}]}]", "t.yaml")
    with pytest.raises(UnfitError, match="'exec' takes plain text"):
        spoken.response(played, {"model": "m", "input": "go", "tools": TOOLS})


@pytest.mark.parametrize(
    "wrong", [{}, {"model": "m"}, {"model": 1, "input": "x"}, {"model": "m", "input": 1}]
)
def test_a_request_that_is_none(wrong: dict[str, Any]) -> None:
    for form in (spoken.response, spoken.completion):
        with pytest.raises(UnfitError, match="needs `model`"):
            form(NUMBERED, wrong)


def test_a_side_request_gets_a_short_text() -> None:
    assert text_of(spoken.response(NUMBERED, {"model": "m", "input": "title?"}).message) == WITHOUT_TOOLS


KEYS = ("type", "role", "content", "output", "call_id", "tools", "tool_calls", "id", "text")
ANY = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.sampled_from(["function_call", "namespace", "message", "assistant", "custom"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(given_=ANY, tools=ANY)
def test_any_conversation_is_answered_or_refused(given_: Any, tools: Any) -> None:
    for form in (spoken.response, spoken.completion):
        try:
            reply = form(NUMBERED, {"model": "m", "input": given_, "messages": given_, "tools": tools})
        except UnfitError:
            continue
        assert isinstance(reply, Reply)

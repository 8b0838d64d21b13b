"""The scripted model in Gemini's form: which turn answers, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.dialects import GEMINI
from runner.gateway.grants import Tokens
from runner.gateway.playing import script_gemini as spoken
from runner.gateway.playing.script import AFTER_THE_END, WITHOUT_TOOLS, Reply, UnfitError
from runner.gateway.playing.transcript import parse

CAPTURED = Path(__file__).parent / "captured" / "gemini-cli.json"
CALLS = "tools: [{name: f, input: {x: 1}}, {name: g, input: {}}, {name: f, input: {x: 2}}]"
NUMBERED = parse("turns:\n" + "".join(f"  - {{text: turn {n}, {CALLS}}}\n" for n in range(6)), "t.yaml")
FIGURES = parse(
    "turns: [{text: " + "ä " * 60 + ", usage: {input: 1, output: 9, cache_read: 2, reasoning: 5}}]", "t.yaml"
)
USED = Tokens(input=1, output=9, cache_read=2, reasoning=5)
TOOLS: Any = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
GO: Any = {"role": "user", "parts": [{"text": "go"}]}


def answer(*contents: Any) -> Any:
    request = {"model": "m", "contents": list(contents), "tools": TOOLS}
    return spoken.answer(NUMBERED, request).message["candidates"][0]["content"]  # type: ignore[index, call-overload]


def test_a_conversation_goes_on_turn_by_turn() -> None:
    heard = [GO]
    for number in range(6):
        said = answer(*heard)
        assert said["parts"][0]["text"] == f"turn {number}"
        calls = [part["functionCall"] for part in said["parts"][1:]]
        assert [(call["name"], call["args"]) for call in calls] == [
            ("f", {"x": 1}),
            ("g", {}),
            ("f", {"x": 2}),
        ]
        results = [
            {"functionResponse": {"name": call["name"], "response": {"output": "x"}}} for call in calls
        ]
        heard += [said, {"role": "user", "parts": results}]
    assert answer(*heard)["parts"] == [{"text": AFTER_THE_END}]


@pytest.mark.parametrize("with_ids", [True, False])
def test_results_are_heard_in_the_order_of_their_calls(with_ids: bool) -> None:
    expecting = parse(f"turns: [{{{CALLS}}}, {{text: b, expect: 'one\\ntwo\\n.*three'}}]", "t.yaml")
    calls: list[Any] = [{"name": "f", "id": "1"}, {"name": "g", "id": "2"}, {"name": "f", "id": "3"}]
    results: list[Any] = [
        {"name": "f", "id": "1", "response": {"output": "one"}},
        {"name": "g", "id": "2", "response": {"error": "two"}},
        {"name": "f", "id": "3", "response": {"of": "three"}},
    ]
    told = [results[1], results[0], results[2]]
    if not with_ids:
        calls, told = (
            [{k: v for k, v in one.items() if k != "id"} for one in each] for each in (calls, told)
        )
    contents = [
        GO,
        {
            "role": "model",
            "parts": [{"text": "thinking", "thought": True}, *({"functionCall": one} for one in calls)],
        },
        {"role": "user", "parts": [{"functionResponse": one} for one in told]},
    ]
    reply: Any = spoken.answer(expecting, {"model": "m", "contents": contents, "tools": TOOLS})
    assert reply.message["candidates"][0]["content"]["parts"] == [{"text": "b"}]


@pytest.mark.parametrize(("form", "kind"), [("events", "text/event-stream"), ("array", "application/json")])
def test_the_dialect_reads_what_the_script_tells(form: str, kind: str) -> None:
    request: Any = {"model": "m", "contents": [GO], "tools": TOOLS, "stream": form}
    reply = spoken.answer(FIGURES, request)
    told = list(spoken.events(reply.message, request))
    streamed = GEMINI.usage_reader("/v1beta/models/m:streamGenerateContent", kind)
    for event in told[:-2]:
        streamed.feed(event)
    assert (streamed.told, streamed.tokens) == (True, Tokens(input=3))
    for event in told[-2:]:
        streamed.feed(event)
    assert (streamed.model, streamed.tokens) == ("m", USED)
    whole = GEMINI.usage_reader("/v1beta/models/m:generateContent", "application/json")
    whole.feed(json.dumps(reply.message).encode())
    whole.finish()
    assert (whole.model, whole.told, whole.tokens) == ("m", True, USED)


def test_gemini_cli_s_second_request_gets_the_second_turn() -> None:
    request = json.loads(CAPTURED.read_text()) | {"model": "m"}
    played = parse(
        "turns: [{text: a}, {text: b, expect: 'Output: hi', tools: [{name: replace, input: {}}]}]", "t"
    )
    message: Any = spoken.answer(played, request).message
    text, call = message["candidates"][0]["content"]["parts"]
    assert (text["text"], call["functionCall"]["name"]) == ("b", "replace")


@pytest.mark.parametrize("wrong", [{}, {"model": "m"}, {"model": "m", "contents": "go"}])
def test_a_request_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnfitError, match="needs a list of `contents`"):
        spoken.answer(NUMBERED, wrong)


def test_a_side_request_gets_a_short_text() -> None:
    message: Any = spoken.answer(NUMBERED, {"model": "m", "contents": [GO]}).message
    assert message["candidates"][0]["content"]["parts"] == [{"text": WITHOUT_TOOLS}]


KEYS = (
    "role",
    "parts",
    "text",
    "functionCall",
    "functionResponse",
    "name",
    "id",
    "response",
    "functionDeclarations",
)
ANY = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.just("model"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(contents=ANY, tools=ANY)
def test_any_conversation_is_answered_or_refused(contents: Any, tools: Any) -> None:
    try:
        reply = spoken.answer(NUMBERED, {"model": "m", "contents": contents, "tools": tools})
    except UnfitError:
        return
    assert isinstance(reply, Reply)
    assert all(isinstance(event, bytes) for event in spoken.events(reply.message, {"stream": "array"}))

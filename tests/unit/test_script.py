"""Transcripts, and which turn answers which conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import TaskFileError
from runner.gateway.dialects.anthropic import StreamUsage
from runner.gateway.grants import Tokens
from runner.gateway.playing import script
from runner.gateway.playing.transcript import Transcript, load, parse

PLAYED = parse(
    """
turns:
  - text: first
    tools: [{name: Bash, input: {command: ls}}, {name: Read, input: {file_path: /a}}]
    usage: {input: 10, output: 20, cache_read: 3, cache_write: 4}
  - text: second
    expect: "a\\\\.txt"
  - error: {status: 402, message: spent}
""",
    "t.yaml",
)


def ask(*messages: dict[str, Any], tools: bool = True, **more: Any) -> dict[str, Any]:
    offered = [{"name": "Bash", "input_schema": {}}] if tools else []
    return {"model": "m-1", "messages": list(messages), "tools": offered, **more}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def result(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": content}]}


def text_of(reply: script.Reply) -> str:
    content = reply.message["content"]
    assert isinstance(content, list)
    assert isinstance(content[0], dict)
    return str(content[0]["text"])


def test_the_first_turn_asks_for_its_tools() -> None:
    reply = script.answer(PLAYED, ask(user("go")))
    message: dict[str, Any] = reply.message
    assert [block["type"] for block in message["content"]] == ["text", "tool_use", "tool_use"]
    assert message["stop_reason"] == "tool_use"
    assert message["model"] == "m-1"
    assert message["content"][1]["id"] != message["content"][2]["id"]
    assert script.answer(PLAYED, ask(user("go"))) == reply
    other: dict[str, Any] = script.answer(PLAYED, ask(user("other"))).message
    assert other["content"][1]["id"] != message["content"][1]["id"]


def test_turns_follow_from_the_conversation() -> None:
    asked = ask(user("go"), assistant("first"), {"role": "system", "content": "aside"}, result("a.txt"))
    reply = script.answer(PLAYED, asked)
    assert text_of(reply) == "second"
    assert reply.message["stop_reason"] == "end_turn"
    last = script.answer(PLAYED, ask(user("go"), assistant("1"), user("x"), assistant("2"), user("y")))
    assert last.error is not None
    assert (last.error.status, last.error.message) == (402, "spent")
    after = ask(user("go"), *[message for _ in range(3) for message in (assistant("t"), user("u"))])
    assert text_of(script.answer(PLAYED, after)) == script.AFTER_THE_END


def test_a_resumed_session_goes_on_where_it_was() -> None:
    asked = ask(
        user("go"), assistant("1"), result("a.txt"), assistant(script.SYNTHETIC), user("a.txt, continue")
    )
    assert text_of(script.answer(PLAYED, asked)) == "second"


@given(
    turns=st.integers(0, 6),
    asides=st.lists(st.integers(0, 12), max_size=4),
    split=st.booleans(),
)
def test_the_turn_number_is_the_number_of_answers_given(turns: int, asides: list[int], split: bool) -> None:
    once = [assistant("a"), assistant("b")] if split else [assistant("a")]
    messages = [user("go"), *[message for _ in range(turns) for message in (*once, result("r"))]]
    for place in asides:
        messages.insert(min(place, len(messages)), {"role": "system", "content": "aside"})
    assert script.turn_number(messages) == turns


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (result("plain"), "plain"),
        (
            result([{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]),
            "one\ntwo",
        ),
        (result(None), ""),
        (user("words"), "words"),
    ],
)
def test_what_was_said_last(last: dict[str, Any], said: str) -> None:
    assert script.last_said([user("go"), result("early"), assistant("a"), last]) == said


def test_results_are_read_in_the_order_in_which_the_tools_were_asked_for() -> None:
    asked: dict[str, Any] = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": name} for name in ("t2", "t1")],
    }
    came: list[Any] = [
        {"type": "tool_result", "tool_use_id": name, "content": name} for name in ("new", "t1", "t2")
    ]
    assert script.last_said([user("go"), asked, {"role": "user", "content": came}]) == "t2\nt1\nnew"


def test_a_turn_that_does_not_fit_says_which() -> None:
    with pytest.raises(script.UnfitError, match=r"turn 2 .* expects .* sent 'b.txt'"):
        script.answer(PLAYED, ask(user("go"), assistant("first"), result("b.txt")))


def test_a_side_request_gets_a_short_text() -> None:
    reply = script.answer(PLAYED, ask(user("title?"), tools=False))
    assert text_of(reply) == script.WITHOUT_TOOLS
    assert reply.error is None


@pytest.mark.parametrize("wrong", [{}, {"model": "m"}, {"model": 1, "messages": []}, {"messages": []}])
def test_a_request_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(script.UnfitError, match="needs `model`"):
        script.answer(PLAYED, wrong)


def test_the_stream_holds_the_message_and_its_usage() -> None:
    message: dict[str, Any] = script.answer(PLAYED, ask(user("go"))).message
    events = list(script.events(message))
    kinds = [event.split(b"\n")[0].removeprefix(b"event: ").decode() for event in events]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    data = [json.loads(event.split(b"data: ")[1]) for event in events]
    parts = [each["delta"].get("partial_json", "") for each in data if each["type"] == "content_block_delta"]
    assert "".join(parts) == json.dumps({"command": "ls"}) + json.dumps({"file_path": "/a"})
    reader = StreamUsage()
    reader.feed(b"".join(events))
    assert reader.tokens == Tokens(input=10, output=20, cache_read=3, cache_write=4)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("turns:\n  - text: a\n  - txet: b\n", 3, "txet"),
        ("turns:\n  - text: a\n    tools:\n      - {nam: Bash}\n", 4, "name"),
        ("turns:\n  - delay: 1\n", 2, "a turn needs text or tools, or else an error"),
        ("turns:\n  - text: a\n    error: {status: 500, message: x}\n", 2, "or else an error"),
        ("turns:\n  - error: {status: 200, message: x}\n", 2, "status"),
        ("turns:\n  - text: a\n    expect: '('\n", 3, "not a regular expression"),
        ("turns:\n  - text: a\n    pause: .inf\n", 3, "finite"),
        ("turns:\n  - text: a\n    usage: {output: -1}\n", 3, "greater than or equal"),
        ("turns: []\n", 1, "at least 1"),
        ("turns: [\n", 2, "not YAML"),
        ("a: 1\n", 1, "a: this key is not known"),
        ("turns:\n  - text: a\n  - text: b\n    usgae: {}\n", 4, "turns[2].usgae: this key is not known"),
        ("turns:\n  - text: a\n    usgae: {}\n", 3, "did you mean 'usage'"),
        ("", None, "the file"),
    ],
)
def test_a_wrong_transcript_is_refused_with_its_line(text: str, line: int | None, says: str) -> None:
    with pytest.raises(TaskFileError) as wrong:
        parse(text, "t.yaml")
    problems = [
        problem
        for problem in wrong.value.problems
        if says.lower() in f"{problem.message} {problem.cure}".lower()
    ]
    assert {problem.line for problem in problems} == {line}


def test_a_transcript_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="can't be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskFileError, match="can't be read"):
        load(tmp_path / "bytes.yaml")


def test_the_documented_example_is_a_transcript() -> None:
    page = (Path(__file__).parents[2] / "docs" / "transcripts.md").read_text()
    example = page.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert isinstance(parse(example, "docs/transcripts.md"), Transcript)

"""Which recorded answer answers a request, and whether the request departed from the recorded one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.grants import Departure, Replayed
from runner.gateway.playing.likeness import Blanks, comparable, difference
from runner.gateway.playing.recording import Lines, read
from runner.gateway.playing.replay import Player
from runner.gateway.playing.script import UnfitError
from runner.gateway.playing.script_app import way_of

PATH = "/v1/messages"
TOOLS = [{"name": "Bash"}]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def ask(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m-1", "tools": TOOLS, "messages": [*messages], "stream": True, **more}


class Made:
    """A recording in the making."""

    def __init__(self) -> None:
        self.lines = Lines(set())
        self.written = [self.lines.head("r", "a/b/1")]

    def add(
        self,
        request: dict[str, Any],
        answer: str | None,
        status: int = 200,
        *,
        whole: bool = True,
        path: str = PATH,
    ) -> Made:
        self.written += self.lines.request(0, "POST", f"{path}?beta=true", [], json.dumps(request).encode())
        if answer is not None:
            body = answer.encode()
            self.written += self.lines.answer(
                self.lines.last, status, [], body, [(0, len(body))], whole=whole
            )
        return self

    @property
    def player(self) -> Player:
        return Player(read(self.written, "r.jsonl"), way_of)


def plays(player: Player, request: dict[str, Any], path: str = PATH) -> tuple[str | None, Departure | None]:
    """What is answered, and the departure."""
    played = player.play(path, request)
    if played.exchange is None or played.exchange.answer is None:
        return None, played.replayed.departed
    return player.recording.bytes_of(played.exchange.answer.body).decode(), played.replayed.departed


TWO = (ask(user("go")), ask(user("go"), said("one"), user("next")))


@pytest.fixture
def two() -> Player:
    """A recording of two turns."""
    return Made().add(TWO[0], "one").add(TWO[1], "two").player


def test_the_same_conversation_is_answered_as_recorded(two: Player) -> None:
    for _ in range(2):  # a retry is answered alike
        assert plays(two, TWO[1]) == ("two", None)
        assert plays(two, TWO[0]) == ("one", None)
    assert two.play(PATH, TWO[1]).replayed == Replayed(turns=2, reached=2)


def test_another_prompt_departs_at_the_first_turn_and_goes_on(two: Player) -> None:
    answer, departed = plays(two, ask(user("stop")))
    assert answer == "one"
    assert departed == Departure(turn=1, what="messages[0].content: recorded 'go', now 'stop'")
    answer, departed = plays(two, ask(user("stop"), said("one"), user("next")))
    assert (answer, departed and departed.turn) == ("two", 2)


def test_another_result_departs_at_its_turn(two: Player) -> None:
    answer, departed = plays(two, ask(user("go"), said("one"), user("nothing")))
    assert answer == "two"
    assert departed == Departure(turn=2, what="messages[2].content: recorded 'next', now 'nothing'")


def test_other_settings_depart_as_well(two: Player) -> None:
    _, departed = plays(two, ask(user("go"), max_tokens=5))
    assert departed == Departure(turn=1, what="max_tokens: recorded nothing, now '5'")
    _, departed = plays(two, {**TWO[0], "model": "m-2"})
    assert departed == Departure(turn=1, what="model: recorded 'm-1', now 'm-2'")


def test_after_the_end_there_is_no_answer(two: Player) -> None:
    answer, departed = plays(two, ask(user("go"), said("one"), user("next"), said("two"), user("more")))
    assert (answer, departed) == (None, Departure(turn=3, what="the recording ends before it"))


def test_what_went_well_is_answered_before_what_did_not() -> None:
    made = (
        Made()
        .add(TWO[0], "busy", 529)
        .add(TWO[0], "hal", whole=False)
        .add(TWO[0], "one")
        .add(TWO[0], "no", 500)
    )
    assert plays(made.player, TWO[0]) == ("one", None)
    failed = Made().add(TWO[0], "hal", whole=False).add(TWO[0], "spent", 402)
    assert plays(failed.player, TWO[0]) == ("spent", None)
    killed = Made().add(TWO[0], None)
    assert plays(killed.player, TWO[0]) == (None, Departure(turn=1, what="the recording ends before it"))


def test_a_request_that_was_sent_in_two_forms_is_like_either() -> None:
    """As when an agent leaves a field out after an error 400."""
    made = Made().add(ask(user("go"), beta=1), "what is beta?", 400).add(TWO[0], "one")
    assert plays(made.player, ask(user("go"), beta=1)) == ("what is beta?", None)
    assert plays(made.player, TWO[0]) == ("one", None)


def test_a_stream_and_a_whole_answer_are_not_mixed_up() -> None:
    made = Made().add(TWO[0], "stream").add({**TWO[0], "stream": False}, "whole")
    assert plays(made.player, TWO[0])[0] == "stream"
    assert plays(made.player, {**TWO[0], "stream": False})[0] == "whole"
    with pytest.raises(UnfitError, match="as a stream only"):
        Made().add(TWO[0], "x").player.play(PATH, {**TWO[0], "stream": False})


def test_side_by_side_each_conversation_has_its_own_answers() -> None:
    made = Made()
    for name in ("main", "sub-a", "sub-b"):
        made.add(ask(user(name)), f"{name} 1")
        made.add(ask(user(name), said("x"), user("y")), f"{name} 2")
    for name in ("sub-b", "main", "sub-a"):
        assert plays(made.player, ask(user(name))) == (f"{name} 1", None)
        answer, departed = plays(made.player, ask(user(name), said("x"), user("z")))
        assert (answer, departed and departed.turn) == (f"{name} 2", 2)
    assert made.player.play(PATH, ask(user("sub-a"))).replayed == Replayed(turns=2, reached=0)


def test_a_side_request_is_no_turn() -> None:
    title = {"model": "m-1", "messages": [user("a title for: go")]}
    made = Made().add(title, "Going").add(TWO[0], "one")
    assert plays(made.player, title) == ("Going", None)
    assert plays(made.player, {**title, "messages": [user("a title for: stop")]}) == (
        "Going",
        Departure(turn=0, what="messages[0].content: recorded 'a title for: go', now 'a title for: stop'"),
    )
    assert made.player.play(PATH, TWO[0]).replayed == Replayed(turns=1, reached=1)


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (
            "/v1/responses",
            {"model": "m", "input": "go", "tools": [{"type": "function", "name": "f"}]},
            {
                "model": "m",
                "tools": [{"type": "function", "name": "f"}],
                "input": [
                    {"role": "user", "content": "go"},
                    {"type": "function_call", "call_id": "c_1", "name": "f", "arguments": "{}"},
                    {"type": "function_call", "call_id": "c_2", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c_1", "output": "one"},
                    {"type": "function_call_output", "call_id": "c_2", "output": "two"},
                ],
            },
        ),
        (
            "/v1/chat/completions",
            {
                "model": "m",
                "messages": [user("go")],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
            {
                "model": "m",
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "messages": [
                    user("go"),
                    {"role": "assistant", "tool_calls": [{"id": "c_1"}, {"id": "c_2"}]},
                    {"role": "tool", "tool_call_id": "c_1", "content": "one"},
                    {"role": "tool", "tool_call_id": "c_2", "content": "two"},
                ],
            },
        ),
    ],
)
def test_the_other_dialect(path: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    player = Made().add(first, "first", path=path).add(second, "second", path=path).player
    assert plays(player, first, path) == ("first", None)
    key = "input" if "input" in second else "messages"
    *_, one, other = second[key]
    swapped = {**second, key: [*second[key][:-2], other, one]}
    assert plays(player, swapped, path) == ("second", None), "they ended in another order"
    changed = {**second, key: [*second[key][:-1], {**other, list(other)[-1]: "three"}]}
    answer, departed = plays(player, changed, path)
    assert (answer, departed and departed.turn) == ("second", 2)
    assert departed is not None
    assert departed.what.endswith("recorded 'two', now 'three'")


def test_gemini_s_dialect() -> None:
    """The path says which model is asked, and whether it streams."""
    one, other = (f"/v1beta/models/{model}:streamGenerateContent" for model in ("m-1", "m-2"))
    go: dict[str, Any] = {"role": "user", "parts": [{"text": "go"}]}
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    result = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "two"}}}]}
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    first, second = ({"contents": said, "tools": tools} for said in ([go], [go, call, result]))
    player = Made().add(first, "first", path=one).add(second, "second", path=one).player
    assert plays(player, first, one) == ("first", None)
    assert plays(player, second, one) == ("second", None)
    changed = json.loads(json.dumps(second).replace("two", "three"))
    assert plays(player, changed, one) == (
        "second",
        Departure(
            turn=2,
            what="contents[2].parts[0].functionResponse.response.output: recorded 'two', now 'three'",
        ),
    )
    answer, departed = plays(player, first, other)
    assert (answer, departed and departed.turn) == ("first", 1)
    assert plays(player, first, "/v1beta/models/m-1:generateContent")[0] is None, (
        "it was recorded as a stream"
    )


CONVERSATIONS = st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=5), min_size=1, max_size=4)


@given(CONVERSATIONS, st.randoms(use_true_random=False))
def test_a_recording_answers_itself_in_any_order(talks: list[list[str]], chance: Any) -> None:
    requests = []
    for number, texts in enumerate(talks):
        messages = [user(f"conversation {number}: {texts[0]}")]
        requests.append(ask(*messages))
        for text in texts[1:]:
            messages += [said("well"), user(text)]
            requests.append(ask(*messages))
    made = Made()
    for index, request in enumerate(requests):
        made.add(request, f"answer {index}")
    order = [*range(len(requests))]
    chance.shuffle(order)
    player = made.player
    for index in order:
        answer, departed = plays(player, requests[index])
        assert departed is None
        assert answer == f"answer {index}"


# -- what counts as the same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Thu Nov 26 19:05:23 UTC 2026", "Fri Nov 27 01:15:03 UTC 2026"),
        ("Today's date is 2026-11-26.", "Today's date is 2027-01-01."),
        ("at 2026-11-26T19:05:23.123Z", "at 2026-11-27T09:15:23.5Z"),
        ("-rw-r--r-- 1 agent agent 4 Nov 26 19:05 a.txt", "-rw-r--r-- 1 agent agent 4 Nov  7 09:15 a.txt"),
        ("3 passed in 0.53s", "3 passed in 12.01s"),
        ("real\t0m0.003s", "real\t1m10.5s"),
        ("[main 1a2b3c4] Add", "[main 9876543] Add"),
        ("id 0bffbb74-0000-4000-8000-0123456789ab", "id 1bffbb74-0000-4000-9000-0123456789ab"),
        ("<object at 0x7f5358fc5110>", "<object at 0x7f5358fc0000>"),
        ("/tmp/tmpab12cd_x/file", "/tmp/tmpzz12cd_9/file"),
        ("duration_ms: 528", "duration_ms: 12"),
        ("x-anthropic-billing-header: cc_version=1; a", "x-anthropic-billing-header: cc_version=2; b"),
    ],
)
def test_what_differs_by_nature_is_the_same(one: str, other: str) -> None:
    assert comparable(one, Blanks()) == comparable(other, Blanks())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 passed", "2 passed"),
        ("3 passed in 0.5s", "2 passed in 0.5s"),
        ("version 1.2.3", "version 1.2.4"),
        ("exit code 1", "exit code 2"),
        ("line 120", "line 121"),
        ("a.txt", "b.txt"),
    ],
)
def test_what_matters_stays(one: str, other: str) -> None:
    assert comparable(one, Blanks()) != comparable(other, Blanks())


def test_a_key_is_the_same_as_its_blank() -> None:
    assert comparable("echo sk-ant-0123456789abcdef", Blanks()) == comparable("echo " + "X" * 23, Blanks())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON)
def test_a_difference_is_found_where_there_is_one(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (difference(one, other, "x") is None) is same

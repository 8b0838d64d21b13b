"""Whether an agent repeats itself, by what its CLI tells."""

from __future__ import annotations

import json
from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agents import claude, codex, command
from runner.agents.actions import LONGEST_CYCLE, Actions, Repeats, Repetition, digest


@given(
    st.lists(st.integers(100, 200), max_size=20),
    st.integers(1, LONGEST_CYCLE),
    st.integers(2, 20),
    st.integers(0, 3),
)
def test_a_cycle_is_found_whatever_came_before(before: list[int], length: int, times: int, more: int) -> None:
    seen = Repetition()
    for item in [*before, *islice(cycle(range(length)), length * times + min(more, length - 1))]:
        seen.add(item)
    assert seen.repeats == Repeats(length, times)


@given(st.lists(st.integers(0, 3), max_size=40))
def test_repeats_are_really_there(items: list[int]) -> None:
    seen = Repetition()
    for item in items:
        seen.add(item)
    length, times = seen.repeats.length, seen.repeats.times
    assert times <= 1 or items[-length:] * times == items[-length * times :]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3 passed in 0.52s", "3 passed in 1.07s", True),
        ("at 12:00:01 on 2026-11-26", "at 23:59:59 on 2026-11-27", True),
        ("<object at 0x7f3a12bc>", "<object at 0x7f3a99ff>", True),
        ("waited 5 min", "waited 6 min", True),
        ("37% done", "38% done", False),
        ("test_1 passed", "test_2 passed", False),
        ("line 12 of a.py", "line 13 of a.py", False),
    ],
)
def test_what_passing_time_changes_makes_no_difference(one: str, other: str, same: bool) -> None:
    assert (digest(one) == digest(other)) == same


@given(st.text(alphabet="0123456789:.s ", max_size=20_000))
def test_long_texts_take_no_long_time(text: str) -> None:
    digest(text * 10)


def tool(number: int, name: str = "Bash", **given: object) -> bytes:
    block = {"type": "tool_use", "id": f"t{number}", "name": name, "input": given}
    return json.dumps({"type": "assistant", "message": {"content": [block]}}).encode()


def answer(number: int, content: object) -> bytes:
    block = {"type": "tool_result", "tool_use_id": f"t{number}", "content": content}
    return json.dumps({"type": "user", "message": {"content": [block]}}).encode()


def test_claude_that_calls_the_same_tools_again_and_again_loops() -> None:
    reader = claude.Reader()
    for number in range(28):
        reader.feed(tool(number, command="make test" if number % 2 else "cat a.py"))
        reader.feed(answer(number, [{"type": "text", "text": f"1 failed in {number}.5s"}]))
    assert reader.actions.repeats == Repeats(2, 14)


def test_claude_that_waits_for_a_build_does_not() -> None:
    reader = claude.Reader()
    for number in range(20):
        reader.feed(tool(number, command="sleep 60; tail -1 build.log"))
        reader.feed(answer(number, f"[{number}/400] cc -c a{number}.c"))
    assert reader.actions.repeats.times == 1


def test_claude_s_tool_runs_until_it_is_answered() -> None:
    reader = claude.Reader()
    reader.feed(tool(1, command="make"))
    assert reader.actions.running == "Bash: make"
    reader.feed(answer(1, "done"))
    assert reader.actions.running == ""
    reader.feed(tool(2, name="AskUserQuestion", questions=[{"question": "Which?"}]))
    assert (reader.actions.running, reader.actions.question) == ("", "Which?")
    reader.feed(b'{"type":"result","is_error":false}')
    assert reader.actions.question == ""


def item(event: str, number: int, kind: str = "command_execution", **more: object) -> bytes:
    return json.dumps({"type": f"item.{event}", "item": {"id": f"i{number}", "type": kind, **more}}).encode()


def test_codex_that_runs_the_same_command_again_and_again_loops() -> None:
    reader = codex.Reader()
    for number in range(13):
        reader.feed(item("started", number, command="make"))
        assert reader.actions.running == "command: make"
        reader.feed(item("completed", number, command="make", aggregated_output="no rule", exit_code=2))
    assert reader.actions.repeats == Repeats(1, 13)
    reader.feed(item("completed", 99, "file_change", changes=[{"path": "a.py", "kind": "update"}]))
    assert reader.actions.repeats == Repeats()


def test_codex_tells_which_files_it_changes_and_not_how_so_changes_are_never_a_loop() -> None:
    reader = codex.Reader()
    for number in range(30):
        reader.feed(item("completed", number, "file_change", changes=[{"path": "a.py", "kind": "update"}]))
    assert reader.actions.repeats.times == 0


def test_a_command_tells_nothing() -> None:
    reader = command.Reader()
    for _ in range(30):
        reader.feed(b"working")
    assert (reader.tells, reader.actions.count) == (False, 0)


def test_actions_without_end_are_bounded() -> None:
    actions = Actions()
    for number in range(10_000):
        actions.begun(str(number) * 1000, "x" * 1000, {})
    assert len(actions._open) <= 64
    assert max(len(key) + len(words) for key, (_, words, _) in actions._open.items()) <= 400
    actions.ended("nobody", "x")
    assert actions.repeats == Repeats()
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    actions.begun("deep", "x", deep)

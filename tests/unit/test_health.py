"""What condition an agent is in is a pure function; its table is the one in docs/health.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agents.actions import Repeats
from runner.supervisor.attempt.health import (
    LONGEST_STEP,
    PATIENCE,
    QUIET,
    REPEATED,
    WITHOUT_EFFECT,
    Care,
    Condition,
    Look,
    Processes,
    Row,
    Rule,
    Signals,
    State,
    cares,
    count,
    due,
    judge,
    still_known,
)
from runner.tasks.plan import Health, Limits, Patience
from runner.tasks.units import format_duration

DOCS = Path(__file__).parents[2] / "docs" / "health.md"
TABLE = cares(Health(), Limits().idle)
HOLLOW = Processes(sleeping=1, ended=2, hollow=True)

TIMES = st.one_of(st.just(0.0), st.floats(0, 5000))
PROCESSES = st.sampled_from([None, HOLLOW, Processes(sleeping=3), Processes(running=1, stopped=1)])
FLAGS = ("printed", "novel", "spoke", "acted", "asked", "burned", "changed", "sees_files", "tells")
LOOKS = st.builds(
    Look,
    **{name: st.booleans() for name in FLAGS},
    in_flight=st.integers(0, 2),
    held=st.sampled_from(["", "the 5-hour window of anthropic"]),
    held_s=TIMES,
    answers=st.sampled_from([None, True, False]),
    question=st.sampled_from(["", "which one?"]),
    tool=st.sampled_from(["", "Bash: make"]),
    repeats=st.builds(Repeats, st.integers(1, 4), st.integers(0, 20)),
    processes=PROCESSES,
)
AGES = (
    "printed",
    "novel",
    "acted",
    "asked",
    "burned",
    "changed",
    "looped",
    "questioned",
    "hollow",
    "unanswered",
)
SIGNALS = st.builds(Signals, look=LOOKS, **dict.fromkeys(AGES, TIMES))
TABLES = st.builds(
    cares,
    st.builds(
        Health,
        **dict.fromkeys(
            Health.model_fields,
            st.builds(
                Patience, after=st.one_of(st.none(), st.floats(1, 4000)), then=st.sampled_from(["stop", None])
            ),
        ),
    ),
    st.floats(1, 4000),
)


@given(SIGNALS, TABLES)
def test_every_combination_of_signals_gives_exactly_one_condition(
    signals: Signals, table: Mapping[Row, Care]
) -> None:
    state = judge(signals, table)
    assert state.condition in get_args(Condition)
    assert state.lasted >= 0
    assert str(state)
    due(state, table)


@given(SIGNALS, TABLES, LOOKS, st.floats(0, 100))
def test_who_burns_cpu_is_never_hung_nor_dead(
    before: Signals, table: Mapping[Row, Care], look: Look, step: float
) -> None:
    signals = before.after(replace(look, burned=True), step)
    assert judge(signals, table).condition not in {"hung", "dead-inside"}
    assert signals.silence == 0


@given(SIGNALS, LOOKS, st.floats(0, 10_000))
def test_time_in_which_an_agent_is_held_never_counts(before: Signals, look: Look, step: float) -> None:
    after = before.after(replace(look, held="a window"), step)
    assert all(getattr(after, age) <= getattr(before, age) for age in AGES)
    assert judge(after, TABLE).condition == "held-by-a-limit"
    assert due(judge(after, TABLE), TABLE) in {"nothing", "notify"}


@given(SIGNALS, LOOKS, st.floats(0, 10_000))
def test_time_that_nobody_watched_does_not_count(before: Signals, look: Look, step: float) -> None:
    after = before.after(look, step)
    assert all(getattr(after, age) <= getattr(before, age) + LONGEST_STEP for age in AGES)


def live(looks: list[Look], table: Mapping[Row, Care] = TABLE, seconds: float = 1.0) -> State:
    """The condition after these looks, one a second."""
    signals = Signals()
    for look in looks:
        signals = signals.after(look, seconds)
    return judge(signals, table)


SILENT = Look(spoke=True, sees_files=True, processes=Processes(sleeping=2))
TALKS = replace(SILENT, printed=True, novel=True)


@pytest.mark.parametrize(
    ("looks", "condition", "then"),
    [
        ([TALKS] * 5, "working", "nothing"),
        ([TALKS, *[SILENT] * 599], "hung", "nothing"),
        ([TALKS, *[SILENT] * 601], "hung", "stop"),
        ([TALKS, *[SILENT] * 10], "working", "nothing"),
        ([replace(SILENT, burned=True)] * 3600, "quiet-but-busy", "nothing"),
        ([replace(TALKS, burned=True)] * 3600, "working", "nothing"),  # it prints progress, and works
        ([replace(TALKS, novel=False, burned=True)] * 601, "looping", "stop"),  # as `yes` does
        ([replace(TALKS, novel=False, burned=True, changed=True)] * 700, "working", "nothing"),
        ([TALKS] * 601, "looping", "stop"),  # for ever, and nothing comes of it
        ([replace(TALKS, changed=True)] * 700, "working", "nothing"),
        ([replace(TALKS, asked=True)] * 700, "working", "nothing"),
        (
            [replace(TALKS, sees_files=False)] * 700,
            "working",
            "nothing",
        ),  # whether it has effect, nobody knows
        ([replace(SILENT, repeats=Repeats(3, 14), acted=True)] * 601, "looping", "stop"),
        ([replace(SILENT, repeats=Repeats(3, 11), acted=True)] * 700, "working", "nothing"),
        ([replace(SILENT, in_flight=1, answers=True)] * 1799, "waiting-for-the-model", "nothing"),
        ([replace(SILENT, in_flight=1, answers=True)] * 1801, "waiting-for-the-model", "notify"),
        ([replace(SILENT, held="the weekly window", held_s=9999.0)] * 9, "held-by-a-limit", "nothing"),
        ([TALKS, *[replace(SILENT, tool="Bash: npm start")] * 601], "running-a-tool", "stop"),
        ([replace(SILENT, tool="Bash: make", burned=True)] * 3600, "running-a-tool", "nothing"),
        ([replace(SILENT, question="which?")] * 31, "waiting-for-a-person", "stop"),
        ([TALKS, *[replace(SILENT, processes=HOLLOW)] * 301], "dead-inside", "stop"),
        ([TALKS, *[replace(SILENT, processes=HOLLOW)] * 20], "working", "nothing"),
        ([replace(SILENT, answers=False)] * 301, "gateway-unreachable", "retry"),
        ([replace(SILENT, answers=False, in_flight=1)] * 301, "gateway-unreachable", "retry"),
        ([replace(SILENT, answers=False, burned=True)] * 900, "quiet-but-busy", "nothing"),
        ([replace(SILENT, spoke=False, tells=True)] * 299, "hung", "nothing"),
        ([replace(SILENT, spoke=False, tells=True)] * 301, "hung", "retry"),  # nothing was done yet
        ([replace(SILENT, spoke=False, tells=True, burned=True)] * 301, "quiet-but-busy", "nothing"),
        ([replace(SILENT, spoke=False)] * 301, "hung", "nothing"),  # a command may say nothing at all
    ],
)
def test_each_condition_and_what_is_done_about_it(looks: list[Look], condition: Condition, then: str) -> None:
    state = live(looks)
    assert (state.condition, due(state, TABLE)) == (condition, then), state


def test_who_could_not_ask_gets_its_patience_anew() -> None:
    looks = [replace(SILENT, answers=False)] * 1000
    state = live([TALKS, *looks, replace(SILENT, answers=True), *[replace(SILENT, answers=True)] * 100])
    assert state.condition == "hung"
    assert state.lasted == pytest.approx(100)


def test_the_cause_is_said() -> None:
    assert str(live([TALKS, *[SILENT] * 600])) == "hung: no sign of life for 10min (processes: 2 asleep)"
    assert str(live([replace(SILENT, repeats=Repeats(3, 14))])) == "looping: the same 3 actions 14 times"
    stopped = replace(SILENT, processes=Processes(stopped=2))
    assert "2 stopped" in str(live([TALKS, *[stopped] * 60]))


def test_limits_idle_stays_the_patience_of_what_shows_no_sign_of_life() -> None:
    table = cares(Health(), 90)
    assert table["hung"] == table["running-a-tool"] == Care(90, "stop")
    assert table["dead-inside"] == Care(45, "stop")
    said = cares(Health(hung=Patience(after=7), looping=Patience(then="notify")), 90)
    assert (said["hung"], said["looping"]) == (Care(7, "stop"), Care(600, "notify"))


def test_a_short_patience_is_kept_to_the_second() -> None:
    table = cares(Health(), 3)
    assert live([TALKS, SILENT], table).condition == "working"
    assert due(live([TALKS, *[SILENT] * 2], table), table) == "nothing"
    assert due(live([TALKS, *[SILENT] * 3], table), table) == "stop"
    assert QUIET < WITHOUT_EFFECT


def test_a_person_is_told_once_of_each_time() -> None:
    state = State("waiting-for-the-model", 2000)
    assert still_known(frozenset({state.condition}), state, TABLE) == {state.condition}
    assert still_known(frozenset({state.condition}), State("working"), TABLE) == {state.condition}
    assert still_known(frozenset({state.condition}), replace(state, lasted=3), TABLE) == frozenset()


def stat(pid: int, parent: int, state: str, name: str = "sh", started: int = 100) -> str:
    rest = " ".join(["0"] * 17)
    return f"{pid} ({name}) {state} {parent} {rest} {started} 0 0\n"


@pytest.mark.parametrize(
    ("stats", "hollow"),
    [
        ([stat(2, 1, "S")], False),  # the agent alone: it may be one process
        ([stat(2, 1, "S"), stat(3, 2, "Z")], True),
        ([stat(2, 1, "S"), stat(3, 2, "Z"), stat(4, 2, "S")], False),
        ([stat(2, 1, "S"), stat(3, 2, "Z"), stat(4, 2, "S", "socat")], True),
        ([stat(2, 1, "S"), stat(4, 2, "S", "socat")], False),
        ([stat(2, 1, "Z")], True),
        ([stat(2, 1, "S"), stat(3, 2, "Z"), stat(9, 1, "S", started=200)], False),  # what it left lives on
        ([stat(2, 1, "S", "a) Z 1 (b"), stat(3, 2, "Z", ") Z")], True),  # a name of its own choice
        ([], False),
        (["", "nonsense", "7 (x) S"], False),
    ],
)
def test_a_box_is_hollow_when_only_its_main_process_is_left_of_several(
    stats: list[str], hollow: bool
) -> None:
    assert count([*stats, stat(1, 0, "S", "docker-init", started=1)], init=1).hollow == hollow


@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_line_of_a_process_makes_it_fail(stats: list[str]) -> None:
    count(stats, 1)


def words(rule: Rule) -> str:
    """A rule's patience as the docs say it."""
    if isinstance(rule.after, str):
        return {"idle": "`limits.idle`", "half": "half of `limits.idle`"}[rule.after]
    return "–" if rule.after is None else format_duration(rule.after)


def test_the_docs_have_the_table() -> None:
    rows = [
        f"| `{row.replace('-', '_')}` | {rule.seen} | {words(rule)} | {rule.counted or '–'} | {rule.then} |"
        for row, rule in PATIENCE.items()
    ]
    table = DOCS.read_text().partition("|---|---|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows
    assert str(REPEATED) in PATIENCE["looping"].seen


def test_each_row_but_work_can_be_set_and_every_condition_has_one() -> None:
    assert {row.replace("-", "_") for row in PATIENCE} - {"working"} == set(Health.model_fields)
    assert set(get_args(Condition)) <= set(PATIENCE)

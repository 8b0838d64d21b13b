"""What the watch does about a condition, how it is set in a task file, and how it is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agents.command import Reader
from runner.errors import HostError, TaskFileError
from runner.gateway.client import Gateway
from runner.gateway.grants import Usage
from runner.sandbox.engine import BoxState, Engine
from runner.sandbox.output import Output
from runner.sandbox.usage import Group
from runner.sandbox.usage import Usage as GroupUsage
from runner.supervisor import events as e
from runner.supervisor.attempt import resuming
from runner.supervisor.attempt.health import Processes, State, cares
from runner.supervisor.attempt.signals import LINES, Mark, Pulse, Scales, Told, Used, processes
from runner.supervisor.attempt.spec import Known, Orders
from runner.supervisor.attempt.watch import LATELY, UNANSWERED, Watch, Watched, _Nurse
from runner.tasks.plan import Health, Limits, Patience
from runner.tasks.taskfile import load
from runner.views import conditions
from tests.unit.test_clock import Idle
from tests.unit.test_planning import FILE, planned

SOON = Limits(time=60, idle=8)


class Deaf:
    """A gateway that does not answer, until it does."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def usage(self, _box: str) -> Usage:
        self.asked += 1
        if not self.answers.is_set():
            raise HostError("the gateway has not answered for 15 s")
        return Usage()

    def revoke(self, box: str) -> Usage:
        return self.usage(box)


def watch(gateway: Deaf, engine: Idle, folder: Path, health: Health) -> Watch:
    return Watch(
        engine=cast("Engine", engine),
        gateway=cast("Gateway", gateway),
        container="c",
        grant="0" * 12,
        limits=SOON,
        reader=Reader(),
        log=folder / "log",
        orders=Orders(),
        exceeds=lambda: False,
        health=health,
    )


def test_a_gateway_that_does_not_answer_is_borne_for_a_while_and_asked_seldom(tmp_path: Path) -> None:
    gateway, engine = Deaf(), Idle()
    seen = list(watch(gateway, engine, tmp_path, Health(gateway_unreachable=Patience(after=3))).signs())[-1]
    assert seen.exit is not None
    assert seen.exit.stopped == "infrastructure"
    assert seen.exit.cause.startswith("gateway unreachable: it has not answered for ")
    assert engine.killed.is_set()
    assert gateway.asked <= 2 + seen.seconds / UNANSWERED  # at once, to take the grant back, and seldom


class Ended(Idle):
    """An engine whose box ended well, and which knows of no kill for memory."""

    def wait_ended(self, _container: str) -> BoxState:
        return replace(self.state, status="exited", exit_code=0)


def test_what_was_killed_for_memory_is_known_by_the_group_s_own_count(tmp_path: Path, output: Output) -> None:
    watched = watch(Deaf(), Ended(), tmp_path, Health())
    for kills, killed in ((None, False), (0, False), (1, True)):
        ended, _ = watched._observe(output, Watched(measured=GroupUsage(oom_kills=kills)))
        assert (ended.code, ended.oom_killed) == (0, killed)


class OutOfMemory(Ended):
    """An engine that knows of a kill for memory, at whatever time."""

    def __init__(self, lasted: float) -> None:
        super().__init__()
        self.state = replace(self.state, oom_killed=True, started=1000.0, finished=1000.0 + lasted)


@pytest.mark.parametrize(
    ("lasted", "kills", "seen_before", "last"),
    [
        (900, 1, LATELY + 1, False),
        (900, 1, LATELY - 1, True),
        (900, 0, None, True),
        (900, None, None, False),
        (LATELY, None, None, True),
    ],
)
def test_a_kill_for_memory_is_a_cause_only_just_before_the_end(
    tmp_path: Path, output: Output, lasted: float, kills: int | None, seen_before: float | None, *, last: bool
) -> None:
    at = None if seen_before is None else time.monotonic() - seen_before
    watched = watch(Deaf(), OutOfMemory(lasted), tmp_path, Health())
    ended, _ = watched._observe(output, Watched(measured=GroupUsage(oom_kills=kills), oom_at=at))
    assert (ended.oom_killed, ended.oom_last) == (True, last)


TABLE = cares(Health(), 600)
SLOW = State("waiting-for-the-model", 2000)


def test_a_person_is_told_once_of_each_time() -> None:
    nurse = _Nurse(TABLE, nudges=0)
    assert nurse.news(SLOW) == SLOW
    assert nurse.news(replace(SLOW, lasted=2001)) is None
    assert nurse.news(State("working")) is None
    assert nurse.news(replace(SLOW, lasted=2003)) is None, "it is still the same request"
    assert nurse.news(replace(SLOW, lasted=1)) is None
    assert nurse.news(SLOW) == SLOW
    assert nurse.end is None


@pytest.mark.parametrize(
    ("state", "then", "nudges", "end"),
    [
        (State("hung", 700), "stop", 1, "stalled"),
        (State("hung", 700), "nudge", 1, "nudge"),
        (State("hung", 700), "nudge", 0, "stalled"),
        (State("hung", 700), "retry", 0, "infrastructure"),
        (State("hung", 700), "nothing", 1, None),
        (State("hung", 700), "notify", 1, None),
        (State("waiting-for-a-person", 700), "stop", 0, "needs-input"),
    ],
)
def test_what_is_done_follows_the_table(state: State, then: str, nudges: int, end: str | None) -> None:
    said = Patience.model_validate({"then": then})
    nurse = _Nurse(cares(Health(hung=said, waiting_for_a_person=said), 600), nudges)
    nurse.news(state)
    assert nurse.end == end


def test_an_agent_is_nudged_once_in_an_attempt_and_told_why() -> None:
    limit = e.AttemptHeld(at=1, attempt="t/p/1", container="c", why="hung: {0}", seconds=1, held_s=0)
    held = limit.model_copy(update={"cause": "nudge"})
    assert resuming.nudges_left(Known()) == resuming.nudges_left(Known(held=(limit, limit))) == 1
    assert resuming.nudges_left(Known(held=(limit, held))) == 0
    assert "(hung: {0})" in resuming.told_again(held)
    assert resuming.told_again(limit) == resuming.GO_ON


# -- what is looked at


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    """What a box prints that prints nothing."""
    engine = Idle()
    with Output(cast("Engine", engine), "c", tmp_path / "log") as made:
        yield made
        engine.killed.set()


def pulse(group: Group | None = None, init: int = 0, silence: float = 0.0) -> Pulse:
    scales = Scales(lambda: False, lambda: None)
    return Pulse(Reader(), TABLE, scales, group, init, silence)


def test_lines_that_come_again_are_nothing_new(output: Output) -> None:
    heart = pulse()
    for worked in range(5):
        for number in range(3 * LINES):  # most of them are not looked at
            heart.heard(f"line {number % 7}, after {worked}s".encode())
        heart.beat(worked, output, Used(0.0, 0), Told())
    assert heart.signals.novel == 4
    heart.heard(b"something else")
    heart.beat(5, output, Used(0.0, 0), Told())
    assert heart.signals.novel == 0


def test_written_bytes_are_a_change_and_their_begin_is_none(output: Output) -> None:
    heart = pulse()
    for worked, written in enumerate((4096, 4096, 4096, 8192)):
        heart.beat(worked, output, Used(0.0, written), Told())
        assert (heart.signals.changed == 0) == (worked in {0, 3})
    assert heart.signals.look.sees_files


def test_processes_that_have_ended_are_found_by_their_parents(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("1\n2\n")
    assert processes(Group(tmp_path, tmp_path, 1, *[tmp_path] * 3), 1, proc=tmp_path) is None
    for pid, parent, state in ((1, 0, "S"), (2, 1, "R"), (3, 2, "Z")):
        place = tmp_path / str(pid)
        (place / "task" / str(pid)).mkdir(parents=True)
        (place / "stat").write_text(f"{pid} (x) {state} {parent} {' '.join(['0'] * 18)}\n")
        (place / "task" / str(pid) / "children").write_text("3 " if pid == 2 else "")
    found = processes(Group(tmp_path, tmp_path, 1, *[tmp_path] * 3), 1, proc=tmp_path)
    assert found == Processes(running=1, ended=1, hollow=True)


def test_what_an_earlier_process_saw_of_silence_counts(output: Output) -> None:
    heart = pulse(silence=590)
    state = heart.beat(0, output, Used(0.0, 0), Told(Usage(last_activity=1), answers=True))
    assert (state.condition, state.lasted) == ("hung", 590)


def test_scales_look_for_changes_only_when_that_is_wanted() -> None:
    found: Iterator[Mark | None] = iter(((1, 9), (1, 9), (1, 8), None, (1, 8), (2, 8)))
    scales = Scales(lambda: False, lambda: next(found))
    scales._compare()
    assert (scales.looks, scales.changes) == (0, 0)
    scales.wanted = True
    for _ in range(6):
        scales._next = 0
        scales._compare()
    assert (scales.looks, scales.changes) == (5, 2)


# -- how it is set


TEXT = """
limits: {idle: 5min}
health: {looping: {after: 20min, then: notify}, hung: {then: nudge}}
agents: {a: {cli: command, run: 'true'}}
tasks:
  - id: one
  - id: two
    health: {looping: {then: stop}, running_a_tool: {after: 1h}}
"""


def test_a_task_s_patience_goes_before_that_of_the_file() -> None:
    plan = planned(TEXT)
    one, two = (cares(plan.task(name).health, plan.task(name).limits.idle) for name in ("one", "two"))
    assert (one["looping"].after, one["looping"].then) == (1200, "notify")
    assert (two["looping"].after, two["looping"].then) == (1200, "stop")
    assert (one["hung"].after, one["hung"].then) == (300, "nudge")
    assert (one["running-a-tool"].after, two["running-a-tool"].after) == (300, 3600)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ("{held_by_a_limit: {then: stop}}", "held by a limit"),
        ("{hung: {then: kill}}", "health.hung.then"),
        ("{hung: {after: 5}}", "no unit"),
        ("{hangs: {after: 5s}}", "hangs"),
        ("{working: {after: 5s}}", "working"),
    ],
)
def test_what_can_not_be_is_refused_with_its_line(health: str, words: str) -> None:
    with pytest.raises(TaskFileError) as refused:
        load(TEXT.replace("{looping: {after: 20min, then: notify}, hung: {then: nudge}}", health), FILE)
    assert words in str(refused.value)
    assert ":3:" in str(refused.value)


# -- how it is shown


def signs(condition: str | None, lasted: float = 0.0, cause: str = "the cause") -> e.Signs:
    return e.Signs(
        at=time.time(), attempt="t/p/1", stage="running", condition=condition, lasted=lasted, cause=cause
    )


def test_news_is_told_once_and_that_it_is_over() -> None:
    news = conditions.News()
    assert news.of(signs("hung", 30)) == ""
    assert news.of(signs("hung", 61)) == "hung: the cause"
    assert news.of(signs("hung", 90)) == ""
    assert news.of(signs("dead-inside", 70)) == "dead inside: the cause"
    assert news.of(signs("working")) == "goes on"
    assert news.of(signs("working")) == ""
    assert news.of(signs(None)) == ""


@given(st.sampled_from(["working", "hung", "quiet-but-busy", "waiting-for-the-model", None]), st.text())
def test_every_condition_can_be_shown_and_what_a_box_says_stays_inert(
    condition: str | None, cause: str
) -> None:
    seen = signs(condition, cause=cause)
    shown = conditions.doing(seen).plain + conditions.stage(seen, "running").plain
    assert "\x1b" not in shown
    assert conditions.row(None) is None


def test_unseen_is_unknown() -> None:
    assert conditions.row(signs(None)) is None
    assert Watched().state is None
    assert conditions.row(signs("hung", 3)) == {"condition": "hung", "cause": "the cause", "lasted": 3}

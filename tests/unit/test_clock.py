"""Working time and the run's end: what is held does not count for the one, and everything for the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agents.command import Reader
from runner.errors import UsageError
from runner.gateway.client import Gateway
from runner.gateway.grants import Held, Usage
from runner.sandbox.engine import BoxState, Engine
from runner.supervisor import events as e
from runner.supervisor.attempt import living
from runner.supervisor.attempt.agent_box import AgentBox
from runner.supervisor.attempt.clock import Earlier, WorkClock
from runner.supervisor.attempt.living import Living
from runner.supervisor.attempt.outage import Outages
from runner.supervisor.attempt.resuming import seen_to_work
from runner.supervisor.attempt.spec import AttemptSpec, Known, Orders, Rooms
from runner.supervisor.attempt.watch import Watch, Watched
from runner.supervisor.deadline import at, countdown, end_of_run
from runner.supervisor.ownership.obeying import obey
from runner.supervisor.ownership.orders import Pause, Unpause
from runner.supervisor.slept import Slept
from runner.tasks.plan import CommandSettings, Limits, PlannedAttempt, Profile
from tests.unit.makers import after, life, make_plan, started

NOON = time.mktime((2026, 11, 26, 12, 0, 0, 0, 0, -1))
WINDOW = Held(kind="window", why="the 5-hour window of anthropic is used up", since=0)
STRETCHES = st.lists(st.tuples(st.booleans(), st.floats(0.1, 100)), min_size=1, max_size=20)


@given(STRETCHES, st.floats(0, 1000), st.floats(0, 1000))
def test_a_clock_that_is_read_often_knows_what_was_worked(
    stretches: list[tuple[bool, float]], worked: float, told: float
) -> None:
    """Whatever the order of work and holds: their sums are told apart, and no reading takes work back."""
    clock, now, held, before = WorkClock(5, Earlier(worked, 7, told)), 5.0, 0.0, worked
    for is_held, seconds in stretches:
        reading = Usage(held_s=told + held, held=WINDOW if is_held else None)
        clock = clock.read(now, reading)
        now, held = now + seconds, held + (seconds if is_held else 0)
        assert clock.worked(now) == pytest.approx(worked + now - 5 - held)
        assert clock.worked(now) >= before - 1e-6
        before = clock.worked(now)
    assert clock.held_in_all(now) == pytest.approx(7 + held)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.1, 100)), min_size=1, max_size=20))
def test_frozen_time_is_no_work_and_counts_once(stretches: list[tuple[bool, bool, float]]) -> None:
    """Held, frozen, both or neither, in any order: work is what is neither, and the rest is told as held."""
    clock, now, held, worked = WorkClock(5, frozen=3), 5.0, 0.0, 0.0
    for is_held, frozen, seconds in stretches:
        clock = clock.read(now, Usage(held_s=held, held=WINDOW if is_held else None))
        clock = clock.frost(now, frozen=frozen)
        now, held = now + seconds, held + (seconds if is_held else 0)
        worked += 0 if is_held or frozen else seconds
    began_earlier = 3  # seconds frozen before: they lie before what is looked at
    assert clock.worked(now) == pytest.approx(max(0, worked - began_earlier))
    assert clock.held_in_all(now) == pytest.approx(now - 5 - worked + began_earlier)


def test_what_was_frozen_before_a_crash_is_known_after_it() -> None:
    key = {"attempt": "t/p/1"}
    told = (
        e.AttemptStarted(at=0, box="b", base="c", **key),
        e.BoxStarted(at=1, container="x", **key),
        e.AttemptFrozen(at=10, why="memory", **key),
        e.AttemptThawed(at=15, **key),
        e.AttemptFrozen(at=20, why="memory", **key),
    )
    assert Known.of(told).frozen(27, None) == 12
    held = e.AttemptHeld(at=30, container="x", why="a limit", seconds=9, held_s=20, **key)
    assert Known.of((*told, held)).frozen(99, None) == 0, "its box is gone, and the figures hold what it was"


def test_sleep_counts_neither_as_frozen_nor_as_a_box_s_life() -> None:
    key, asleep = {"attempt": "t/p/1"}, [Slept(boot="b", seconds=float(n)) for n in (5, 30, 100, 400)]
    known = Known.of(
        (
            e.AttemptStarted(at=0, box="b", base="c", **key),
            e.BoxStarted(at=1, container="x", slept=asleep[0], **key),
            e.AttemptFrozen(at=100, why="paused", slept=asleep[1], **key),
            e.AttemptThawed(at=180, slept=asleep[2], **key),
            e.BoxStarted(at=300, container="x", slept=asleep[2], **key),  # adopted
            e.AttemptFrozen(at=310, why="paused", slept=asleep[2], **key),
        )
    )
    assert known.slept_before("x") == asleep[0], "as it was noted first"
    assert known.slept_before("y") is None
    assert known.frozen(630, asleep[3]) == (80 - 70) + (320 - 300)
    assert known.frozen(630, Slept(boot="another", seconds=0)) == 10 + 320
    again = e.AttemptHeld(at=700, container="x", why="a limit", seconds=9, held_s=20, **key)
    known = known.after(again).after(e.BoxStarted(at=701, container="y", again=1, slept=asleep[3], **key))
    assert known.slept_before("y") == asleep[3]


def test_whoever_adopts_a_box_notes_what_was_slept_before_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now, noted = Slept(boot="b", seconds=900), Slept(boot="b", seconds=5)
    monkeypatch.setattr(living, "slept", lambda: now)
    spec = SimpleNamespace(
        key="t/p/1",
        begins=SimpleNamespace(session=None),
        profile=Profile(name="p", settings=CommandSettings(run=("true",)), hash="p"),
        accesses=(),
        account=SimpleNamespace(on_limit="wait"),
    )
    box = cast("AgentBox", SimpleNamespace(adopt=lambda _: "x", postbox=lambda: None))
    rooms, outages = cast("Rooms", None), cast("Outages", None)
    for before in (noted, None):
        known = Known.of((e.BoxStarted(at=1, attempt="t/p/1", container="x", slept=before),))
        made = Living(cast("AttemptSpec", spec), rooms, Orders(), known, box, outages)
        began = next(made.events())
        assert isinstance(began, e.BoxStarted)
        assert began.slept == (before or now)


def test_a_person_who_freezes_notes_what_was_slept() -> None:
    asleep = Slept(boot="b", seconds=5)
    plan = make_plan(PlannedAttempt(task="t", profile="p"))
    state, told = after(started(plan), *life("t/p/1", "done")[:2]), list[e.Event]()
    for order in (Pause(), Unpause()):
        told += obey(state, order, 5.0, asleep).events
        state = after(state, *told)
    changes = [one for one in told if isinstance(one, e.AttemptFrozen | e.AttemptThawed)]
    assert [(one.kind, one.slept) for one in changes] == [
        ("attempt.frozen", asleep),
        ("attempt.thawed", asleep),
    ]


def test_older_journals_do_not_say_what_was_slept() -> None:
    told = e.BoxStarted.model_validate(
        {"kind": "attempt.running", "at": 1, "attempt": "t/p/1", "container": "x"}
    )
    later = told.model_copy(update={"slept": Slept(boot="b", seconds=7)})
    assert Known.of((told,)).slept_before("x") is None
    assert Known.of((told, later)).slept_before("x") == later.slept, "it is known from then on"
    assert e.BoxStarted.model_validate_json(later.model_dump_json()) == later


def test_what_a_person_froze_stays_so_in_the_next_box_which_counts_its_own_time_alone() -> None:
    key = {"attempt": "t/p/1"}
    known = Known.of(
        (
            e.BoxStarted(at=1, container="x", **key),
            e.AttemptFrozen(at=10, why="paused", by="person", **key),
            e.AttemptHeld(at=30, container="x", why="a limit", seconds=9, held_s=20, **key),
            e.BoxStarted(at=40, container="y", again=1, **key),
        )
    )
    assert known.frozen(45, None) == 5
    adopted = known.after(e.BoxStarted(at=50, container="y", again=1, **key))
    assert adopted.frozen(60, None) == 20, "watched again, it is still the same box"
    thawed = adopted.after(e.AttemptThawed(at=60, **key))
    assert thawed.frozen(99, None) == 20
    held = e.AttemptHeld(at=70, container="y", why="a limit", seconds=9, held_s=40, **key)
    assert thawed.after(held).after(e.BoxStarted(at=80, container="z", again=2, **key)).frozen(99, None) == 0


def test_the_hours_without_power_are_no_working_time() -> None:
    """The engine notes as a box's end when it found it dead."""
    seen = Watched(seconds=6 * 3600.0 + 100, lived=(1000.0, 1000.0 + 6 * 3600))
    assert seen_to_work(seen, 1600.0) == 100 + 600
    assert seen_to_work(seen, None) == seen.seconds
    assert seen_to_work(seen, 500.0) == 100, "it was never measured itself"
    assert seen_to_work(replace(seen, lived=None), 1600.0) == seen.seconds


def test_without_a_gateway_all_time_is_work() -> None:
    assert WorkClock(3).worked(10) == 7
    assert WorkClock(3).held_in_all(10) == 0


def test_a_count_that_began_anew_takes_nothing_back() -> None:
    clock = WorkClock(0).read(10, Usage(held_s=8)).read(12, Usage(held_s=0))
    assert (clock.worked(12), clock.held(12)) == (4, 8)


class HeldFor:
    """A gateway that holds a box for some readings, and then lets it go on."""

    def __init__(self, readings: int) -> None:
        self.left = readings
        self.began = time.monotonic()
        self.held_s = 0.0
        self.revoked = False

    def usage(self, _box: str) -> Usage:
        if self.left > 0:
            self.left -= 1
            self.held_s = time.monotonic() - self.began
            return Usage(in_flight=1, held_s=self.held_s, held=WINDOW)
        return Usage(held_s=self.held_s, last_activity=1)

    def revoke(self, box: str) -> Usage:
        self.revoked = True
        return self.usage(box)


class Idle:
    """An engine with one box that does nothing until it is killed."""

    def __init__(self) -> None:
        self.killed = threading.Event()
        self.state = BoxState(
            id="c",
            name="c",
            labels={},
            status="running",
            exit_code=None,
            oom_killed=False,
            error="",
            pid=0,
            started=time.time(),
            finished=None,
        )

    def inspect(self, _container: str) -> BoxState:
        return self.state

    def usage(self, _container: str) -> Mapping[str, Any] | None:
        return None

    def follow(self, _container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        yield b"corral: ready\n", None
        self.killed.wait()

    def kill(self, _container: str) -> None:
        self.killed.set()


def watching(gateway: HeldFor, engine: Idle, limits: Limits, orders: Orders, folder: Path) -> Watch:
    return Watch(
        engine=cast("Engine", engine),
        gateway=cast("Gateway", gateway),
        container="c",
        grant="0" * 12,
        limits=limits,
        reader=Reader(),
        log=folder / "log",
        orders=orders,
        exceeds=lambda: False,
    )


@pytest.mark.parametrize(("limits", "why"), [(Limits(time=1.5), "timeout"), (Limits(idle=1.5), "stalled")])
def test_a_box_outlives_a_hold_and_its_limits_count_from_then_on(
    tmp_path: Path, limits: Limits, why: str
) -> None:
    gateway, engine = HeldFor(4), Idle()
    for seen in watching(gateway, engine, limits, Orders(), tmp_path).signs():
        assert seen.exit is None or gateway.left == 0, "it was ended while it was held"
    assert seen.exit is not None
    assert seen.exit.stopped == why
    assert gateway.revoked
    assert seen.held_s >= gateway.held_s > 1.5
    assert seen.seconds > 1.5


def test_the_end_of_the_run_counts_while_a_box_is_held(tmp_path: Path) -> None:
    gateway, engine, orders = HeldFor(10**6), Idle(), Orders()
    for seen in watching(gateway, engine, Limits(), orders, tmp_path).signs():
        if seen.held is not None:
            orders.over.set()
    assert seen.exit is not None
    assert (seen.exit.stopped, seen.held) == ("over", WINDOW)


@pytest.mark.parametrize(
    ("until", "lasts", "hours"),
    [
        *[("13:00", None, 1), ("07:00", None, 19), ("12:00", None, 24), ("7:30", None, 19.5)],
        *[("00:00", None, 12), (None, "6h", 6), (None, "90min", 1.5), (None, None, None)],
    ],
)
def test_the_end_is_the_next_such_time(until: str | None, lasts: str | None, hours: float | None) -> None:
    assert end_of_run(until, lasts, NOON) == (None if hours is None else NOON + hours * 3600)


@pytest.mark.parametrize(
    ("until", "lasts"),
    [
        *[("7", None), ("24:00", None), ("07:60", None), ("tomorrow", None), ("", None), ("07:00", "6h")],
        *[(None, "6"), (None, "soon"), (None, "0s"), (None, "-1h"), (None, "999999d")],
    ],
)
def test_what_is_no_time_is_refused_with_a_cure(until: str | None, lasts: str | None) -> None:
    with pytest.raises(UsageError) as refused:
        end_of_run(until, lasts, NOON)
    assert refused.value.cure
    assert "--" in refused.value.message


def test_moments_are_told_as_people_read_them() -> None:
    assert at(NOON + 3600, NOON) == "13:00"
    assert at(NOON + 48 * 3600, NOON) == "Sat 12:00"
    assert countdown(NOON + 7200, NOON) == "until 14:00 (in 2h)"
    assert countdown(NOON + 20, NOON) == "for 20s more"
    assert countdown(NOON - 1, NOON) == "any moment now"
    assert countdown(None, NOON) == ""

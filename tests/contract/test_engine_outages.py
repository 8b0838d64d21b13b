"""The engine goes away under a living supervisor and comes back, or does not: over the FAKE engine.

The same with an engine that is really killed is in tests/engine/test_engine_gone.py.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.errors import EngineAwayError
from runner.sandbox.box import MIB, BoxSpec
from runner.sandbox.ended import see_end
from runner.sandbox.standing import Post
from runner.sandbox.steward import Steward
from runner.supervisor import events as e
from runner.supervisor.attempt import outage
from runner.supervisor.attempt.telling import NO_ENGINE
from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Plan, PlannedAttempt, Retry
from tests.contract.fake_engine import FakeEngine
from tests.contract.fake_host import FakeHost
from tests.contract.fake_night import RUN, Place

KEY = "a/works/1"
FIRST = {"works": "echo x > made; sleep 4; echo done"}
LATER = {"works": "echo x > made"}


@dataclass
class Outage:
    """The engine is away from when something happens for so many seconds, or until the run is over.

    Attributes:
        begins: Whether it goes away at this event.
        lasts: Seconds.
        meanwhile: Called when it is about to answer again.
    """

    place: Place
    begins: Callable[[e.Event], bool]
    lasts: float = 2.5
    meanwhile: Callable[[], None] = lambda: None
    told: list[e.Signs] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def __call__(self, row: Row, state: RunState) -> None:  # noqa: ARG002 - as nights call it
        """Take one event."""
        if isinstance(row.event, e.Signs) and row.event.held is not None:
            self.told.append(row.event)
        if self._thread is None and self.begins(row.event):
            stack = ExitStack()
            stack.enter_context(self.place.host.outage())
            self._thread = threading.Thread(target=self._end, args=(stack,))
            self._thread.start()

    def _end(self, stack: ExitStack) -> None:
        time.sleep(self.lasts)
        self.meanwhile()
        stack.close()

    def over(self) -> None:
        """Wait until it is."""
        assert self._thread is not None, "it never began"
        self._thread.join()


def at_stage(stage: str) -> Callable[[e.Event], bool]:
    """When signs of life say that an attempt is there."""
    return lambda event: isinstance(event, e.Signs) and event.stage == stage


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where a night takes place; what is left there at its end fails the test."""
    made = Place(tmp_path)
    yield made
    assert made.leftovers() == []


def planned(place: Place, commands: dict[str, str], retry: Retry, check: str | None = None) -> Plan:
    """One task; nothing is checked but its work."""
    plan = place.plan(PlannedAttempt(task="a", profile="works"), commands=commands, check=check)
    changed = {"retry": retry, "check_base": False}
    return plan.model_copy(update={"tasks": (plan.tasks[0].model_copy(update=changed),)})


def lived(place: Place, away: Outage, plan: Plan, until: float | None = None) -> list[AttemptState]:
    """The tries of a night with that outage."""
    with place.supervisor(2, away) as night:
        state = night.start(plan, until)
    away.over()
    assert state == place.folded()
    return list(state.attempts.values())


def noted(place: Place, kind: str) -> list[e.Event]:
    """The events of one kind."""
    return [row.event for row in place.rows() if row.event.kind == kind]


def test_a_box_that_lives_on_is_watched_on_as_if_nothing_had_been(place: Place) -> None:
    away = Outage(place, at_stage("running"))
    (first,) = lived(place, away, planned(place, FIRST, Retry()))
    assert (first.verdict, first.commit is not None) == ("done", True)
    assert place.host.starts[KEY, "agent"] == 1
    assert len(noted(place, "attempt.running")) == len(noted(place, "attempt.ended")) == 1
    assert {(one.held, one.held_kind, one.stage) for one in away.told} == {(NO_ENGINE, "engine", "held")}
    assert first.seconds == pytest.approx(4, abs=0.7), "it went on working meanwhile"
    assert "done" in (place.home / "runs" / RUN / "logs" / "a+works+1.log").read_text()


def test_frozen_time_is_no_working_time_after_an_outage_either(place: Place) -> None:
    """Frozen for the second before the engine goes away, which it is told of nowhere but in the watch."""
    frozen: list[float] = []

    def begins(event: e.Event) -> bool:
        if isinstance(event, e.Signs) and not frozen:
            frozen.append(time.monotonic())
            night._orders.frozen.add(KEY)
        elif frozen and len(frozen) == 1 and time.monotonic() - frozen[0] > 2:
            night._orders.frozen.discard(KEY)
            frozen.append(time.monotonic())
        return len(frozen) == 2 and time.monotonic() - frozen[1] > 1

    away = Outage(place, begins)
    with place.supervisor(2, away) as night:
        state = night.start(planned(place, FIRST, Retry()))
    away.over()
    (first,) = state.attempts.values()
    assert first.verdict == "done"
    assert first.seconds == pytest.approx(4, abs=0.8)


def test_a_box_that_died_with_its_engine_brings_its_work_home_and_is_tried_again(place: Place) -> None:
    """A command has no session that could go on."""
    away = Outage(place, at_stage("running"), meanwhile=lambda: die(place))
    first, second = lived(place, away, planned(place, FIRST, Retry(pause=0)))
    assert (first.verdict, first.commit is not None) == ("infrastructure", True)
    assert "the machine, or its engine, stopped" in first.reason
    assert (second.verdict, second.key.try_) == ("done", 2)


def die(place: Place) -> None:
    """The engine ends all boxes as it starts again."""
    for box in list(place.host.boxes.values()):
        if box.status == "running":
            place.host.die(box.id)


@pytest.mark.parametrize("kind", ["attempt.started", "attempt.ended", "attempt.gathered", "attempt.checked"])
def test_an_engine_that_goes_away_between_two_steps_costs_nothing(place: Place, kind: str) -> None:
    away = Outage(place, lambda event: event.kind == kind)
    (first,) = lived(place, away, planned(place, LATER, Retry(), check="sleep 0.5"))
    assert (first.verdict, first.reason) == ("accepted", "")


def test_a_check_that_its_engine_took_along_is_run_again(place: Place) -> None:

    def begins(event: e.Event) -> bool:
        if not at_stage("checking")(event):
            return False
        while not place.host.starts[KEY, "check"]:
            time.sleep(0.01)
        return True

    away = Outage(place, begins, meanwhile=lambda: die(place))
    (first,) = lived(place, away, planned(place, LATER, Retry(), check="sleep 1.5"))
    assert first.verdict == "accepted"
    assert place.host.starts[KEY, "check"] == 2


def test_the_end_of_the_run_comes_also_without_an_engine_and_the_work_comes_home(place: Place) -> None:
    away = Outage(place, at_stage("running"), lasts=4)
    (first,) = lived(
        place, away, planned(place, {"works": "echo x > made; sleep 300"}, Retry()), time.time() + 3
    )
    assert (first.verdict, first.commit is not None) == ("timeout", True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for an engine gives up soon."""
    monkeypatch.setattr(outage, "PATIENCE", 1.5)


@pytest.mark.usefixtures("impatient")
def test_an_engine_that_does_not_come_back_is_told_and_the_next_try_ends_the_box(tmp_path: Path) -> None:
    place = Place(tmp_path)
    alive: list[set[str]] = []

    def watcher(row: Row, state: RunState) -> None:
        away(row, state)
        if row.event.kind == "attempt.running":
            boxes = [box for box in place.host.boxes.values() if box.status == "running"]
            alive.append(
                {box.spec.labels["corral.attempt"] for box in boxes if "corral.attempt" in box.spec.labels}
            )

    away = Outage(place, at_stage("running"), lasts=5)
    plan = planned(place, {"works": "echo x > made; sleep 12"}, Retry(infrastructure=1, pause=4))
    with place.supervisor(2, watcher) as night:
        state = night.start(plan)
    away.over()
    first, second = state.attempts.values()
    assert first.verdict == "infrastructure"
    final = next(row.event for row in place.rows() if isinstance(row.event, e.AttemptFinal))
    assert "may live on" in final.reason
    assert str(place.home / "w") in first.reason, "its files are where they were"
    assert second.verdict == "done"
    assert alive == [{KEY}, {f"{KEY}.2"}], "one box at a time"


@pytest.mark.usefixtures("impatient")
def test_who_resumes_ends_what_an_attempt_left_whose_end_was_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    away = Outage(place, at_stage("running"), lasts=4)
    (first,) = lived(place, away, planned(place, {"works": "sleep infinity"}, Retry(infrastructure=0)))
    assert first.verdict == "infrastructure"
    assert [one for one in place.leftovers() if one.startswith("box corral-agent-")]
    with place.supervisor(2) as night:
        night.resume(RUN)
    assert not [one for one in place.leftovers() if one.startswith("box ")]


def test_who_stops_the_run_does_not_wait_for_an_engine(tmp_path: Path) -> None:
    place = Place(tmp_path)
    away = Outage(place, at_stage("running"), lasts=8)

    def watcher(row: Row, state: RunState) -> None:
        away(row, state)
        if len(away.told) == 2:
            night.interrupt(130, 2)

    began = time.monotonic()
    with place.supervisor(2, watcher) as night:
        state = night.start(planned(place, {"works": "sleep infinity"}, Retry()))
    assert time.monotonic() - began < 7
    away.over()
    (first,) = state.attempts.values()
    assert first.verdict == "infrastructure", "nobody knows what became of its work"
    assert str(place.home / "w") in first.reason


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """A connection to an engine with nothing on it."""
    made = FakeEngine(FakeHost())
    yield made
    made.cut()


def begin(engine: FakeEngine) -> str:
    """Start a container that lives until it is ended; returns it."""
    name = f"corral-probe-{secrets.token_hex(6)}"
    spec = BoxSpec(
        name=name, image="image", argv=("sleep", "infinity"), labels={}, user=None, cpus=1, memory=MIB, pids=9
    )
    container = engine.create(spec)
    engine.start(container)
    return container


@pytest.mark.parametrize("code", [255, 137, 143])
def test_a_box_that_a_leaving_engine_takes_along_has_no_end_of_its_own(engine: FakeEngine, code: int) -> None:
    mine, its, oom, ended = (begin(engine) for _ in range(4))
    engine.host.die(mine, code)
    state = see_end(engine, mine)
    assert (state is not None, state and state.exit_code) == (True, code)
    engine.host.leaving = True
    engine.host.die(its, code)
    engine.host.die(oom, code, oom=True)
    engine.host.die(ended, 1)
    with pytest.raises(EngineAwayError, match="went down"):
        see_end(engine, its)
    assert [state and state.exit_code for state in (see_end(engine, one) for one in (oom, ended))] == [
        code, 1,
    ]  # fmt: skip


def test_a_box_that_lives_when_its_output_ends_is_not_taken_for_dead(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = begin(engine)
    monkeypatch.setattr(engine, "wait_ended", engine.inspect)  # it waits for some seconds
    with pytest.raises(EngineAwayError, match="lives on"):
        see_end(engine, container)


def test_who_was_about_to_stand_ready_when_the_engine_went_away_leaves_nothing(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Steward(Post(engine, "image", tmp_path, "r")) as steward, monkeypatch.context() as patched:
        patched.setattr(engine, "start", broken_off)
        with pytest.raises(EngineAwayError):
            steward.do("used", "0123456789ab", "agent")
        patched.undo()
        (tmp_path / "w" / "0123456789ab" / "agent").mkdir(parents=True)
        steward.do("used", "0123456789ab", "agent")
        assert [box.status for box in engine.host.boxes.values()] == ["running"]
    assert not engine.host.boxes


def broken_off(_container: str) -> None:
    raise EngineAwayError("broken off")

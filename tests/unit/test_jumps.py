"""Somebody sets the clock on the wall, or the machine sleeps, while boxes live: no limit moves for it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from runner.agents.command import Reader
from runner.gateway.grants import Held, Usage
from runner.sandbox.engine import BoxState, Engine
from runner.supervisor.attempt.age import Age
from runner.supervisor.attempt.spec import Orders
from runner.supervisor.attempt.watch import Watch, Watched
from runner.supervisor.deadline import Clocks, steady
from runner.supervisor.slept import Slept, slept
from runner.tasks.plan import Limits

HOURS = 6 * 3600.0
real_time = time.time


class Wall:
    """The clock on the wall, which somebody sets."""

    def __init__(self) -> None:
        self.off = 0.0

    def __call__(self) -> float:
        return real_time() + self.off


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr(time, "time", made)
    return made


def box(started: float | None = None, pid: int = 0, finished: float | None = None) -> BoxState:
    """How a box is."""
    return BoxState(
        id="c",
        name="c",
        labels={},
        status="running" if finished is None else "exited",
        exit_code=None if finished is None else 0,
        oom_killed=False,
        error="",
        pid=pid,
        started=started,
        finished=finished,
    )


class OneBox:
    """A STAND-IN for an engine: one box, which ends when it is killed, or after some seconds."""

    def __init__(self, wall: Wall, lasts: float = 600.0, every: float | None = None) -> None:
        self._wall = wall
        self._lasts = lasts
        self._every = every
        self._ended = threading.Event()
        self.state = box(started=wall())
        self.killed = False

    def inspect(self, _container: str) -> BoxState:
        return self.state

    def wait_ended(self, _container: str) -> BoxState:
        return self.state

    def usage(self, _container: str) -> Mapping[str, Any] | None:
        return None

    def follow(self, _container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        yield b"corral: ready\n", None
        until, number = steady() + self._lasts, 0
        while not self._ended.wait(min(self._every or self._lasts, max(0.0, until - steady()))):
            if steady() >= until:
                break
            number += 1
            yield f"line {number}\n".encode(), None
        self.state = box(started=self.state.started, finished=self._wall())

    def kill(self, _container: str) -> None:
        self.killed = True
        self._ended.set()


def watch(engine: OneBox, folder: Path, **limits: float) -> Watch:
    """The watch over it."""
    return Watch(
        engine=cast("Engine", engine),
        gateway=None,
        container="c",
        grant=None,
        limits=Limits.model_validate(limits),
        reader=Reader(),
        log=folder / "log",
        orders=Orders(),
        exceeds=lambda: False,
    )


def lived(engine: OneBox, wall: Wall, jump: float, folder: Path, **limits: float) -> Watched:
    """What was seen of a box's life; the wall clock is set once it has been seen for a while."""
    return last(watch(engine, folder, **limits), wall, jump)


def last(watched: Watch, wall: Wall, jump: float) -> Watched:
    """What was seen in the end; the wall clock is set once the box has been seen for a while."""
    seen = Watched()
    for number, seen in enumerate(watched.signs()):  # noqa: B007 - the last counts
        if number == 0:
            wall.off += jump
    return seen


@pytest.mark.parametrize("jump", [HOURS, -HOURS])
def test_a_box_that_works_ends_by_itself_and_its_time_is_what_it_was(
    tmp_path: Path, wall: Wall, jump: float
) -> None:
    engine = OneBox(wall, lasts=3.0, every=0.3)
    seen = lived(engine, wall, jump, tmp_path, time=600, idle=60)
    assert not engine.killed
    assert seen.exit is not None
    assert seen.exit.stopped is None
    assert 2.5 < seen.seconds < 60, "neither nothing nor hours"


@pytest.mark.parametrize("jump", [HOURS, -HOURS])
@pytest.mark.parametrize(("limits", "why"), [({"time": 2.5}, "timeout"), ({"idle": 2.5}, "stalled")])
def test_limits_come_when_they_would_have(
    tmp_path: Path, wall: Wall, jump: float, limits: dict[str, float], why: str
) -> None:
    """A jump back does not prolong them: the test would take hours."""
    seen = lived(OneBox(wall), wall, jump, tmp_path, **limits)
    assert seen.exit is not None
    assert seen.exit.stopped == why
    assert seen.seconds > 2


# -- the age of a box that is taken up after a crash


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as made:
        yield made
        made.kill()


@pytest.mark.parametrize("jump", [0.0, HOURS, -HOURS])
def test_the_kernel_knows_how_old_a_box_is(process: subprocess.Popen[bytes], jump: float) -> None:
    began = time.time()
    clocks = Clocks(steady, lambda: real_time() + jump)
    age = Age(box(started=began, pid=process.pid), clocks)
    assert 0 <= age.seconds < 60
    trusted = age.lived((began, began + 5))
    assert trusted == (pytest.approx(5, abs=0.1) if jump == 0 else None)


def test_where_the_kernel_is_not_seen_the_engine_counts() -> None:
    clocks = Clocks(lambda: 50.0, lambda: 1000.0)
    assert Age(box(started=990.0), clocks).seconds == 10
    assert Age(box(started=990.0, pid=7), clocks, proc="/nowhere").seconds == 10
    assert Age(box(started=1010.0), clocks).seconds == 0
    assert Age(None, clocks).seconds == 0
    assert Age(box(), clocks).lived(None) is None


def test_a_name_with_parentheses_and_spaces_tells_no_other_age(tmp_path: Path) -> None:
    stat = tmp_path / "7" / "stat"
    stat.parent.mkdir()
    fields = ["S", *["1"] * 18, "4000", "9"]
    stat.write_text(f"7 (a) 1 2 (b) {' '.join(fields)}")
    clocks = Clocks(lambda: 50.0, lambda: 1000.0)
    assert Age(box(started=990.0, pid=7), clocks, proc=str(tmp_path)).seconds == 10.0
    stat.write_text("nonsense")
    assert Age(box(started=980.0, pid=7), clocks, proc=str(tmp_path)).seconds == 20.0


# -- sleep


@pytest.fixture
def lid(wall: Wall, monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The clock on the wall, which jumps as the machine sleeps: so does the one that goes on meanwhile."""
    gettime = time.clock_gettime

    def told(clock: int) -> float:
        return gettime(clock) + (wall.off if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", told)
    return wall


def test_sleep_is_no_working_time_of_a_box_that_ends_by_itself(tmp_path: Path, lid: Wall) -> None:
    seen = lived(OneBox(lid, lasts=3.0, every=0.3), lid, HOURS, tmp_path, time=600, idle=60)
    assert seen.exit is not None
    assert seen.exit.stopped is None
    assert 0.5 < seen.seconds < 60


@pytest.mark.parametrize("by_the_kernel", [True, False])
def test_sleep_is_no_working_time_of_a_box_that_is_adopted(
    tmp_path: Path, lid: Wall, process: subprocess.Popen[bytes], by_the_kernel: bool
) -> None:
    engine, began = OneBox(lid, lasts=2.5, every=0.3), slept()
    engine.state = box(started=lid(), pid=process.pid if by_the_kernel else 0)
    lid.off += HOURS
    seen = last(replace(watch(engine, tmp_path, time=600, idle=60), slept=began), lid, HOURS)
    assert not engine.killed, "it worked for seconds"
    assert seen.exit is not None
    assert seen.exit.stopped is None
    assert seen.seconds < 60


class Host:
    """SIMULATED clocks of a machine that works and sleeps."""

    def __init__(self) -> None:
        self.awake = self.asleep = 0.0

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.awake + self.asleep, self.wall, lambda: self.awake)

    def wall(self) -> float:
        return 1000.0 + self.awake + self.asleep


def test_what_was_slept_after_a_box_ended_is_not_taken_from_its_life() -> None:
    host = Host()
    began, started = slept(host.clocks), host.wall()
    host.awake, host.asleep = 600.0, 3600.0
    ended = host.wall()
    host.asleep += 7200.0
    dead = Age(box(started=started, finished=ended), host.clocks, began=began)
    assert (dead.whole, dead.seconds) == (11400, 600)
    assert dead.lived((started, ended)) == 600
    host.awake += 300
    assert dead.lived((started, ended)) == 900, "when it slept is not known any more: rather too long"


def test_what_was_slept_before_another_start_of_the_machine_says_nothing() -> None:
    host = Host()
    host.awake, host.asleep = 600.0, 3600.0
    for began in (None, Slept(boot="another", seconds=0.0)):
        age = Age(box(started=host.wall() - 4200), host.clocks, began=began)
        assert age.seconds == age.whole == 4200
        host.asleep += 100
        assert age.lived((host.wall() - 4300, host.wall())) == 4200, "from then on it is known"
        host.asleep -= 100


def test_who_was_frozen_in_its_sleep_has_worked_as_long_as_it_did(tmp_path: Path, wall: Wall) -> None:
    """What it was frozen for can't be more than it lived, lest it live on for nothing."""
    engine = OneBox(wall, lasts=6.0)
    made = replace(watch(engine, tmp_path, time=2), waited=lambda _: HOURS)
    seen = list(made.signs())[-1]
    assert seen.exit is not None
    assert seen.exit.stopped == "timeout"


# -- what is held


def test_how_long_a_box_is_held_does_not_follow_the_wall(wall: Wall, tmp_path: Path) -> None:
    class Holding:
        """A STAND-IN for a gateway that holds a box all the time."""

        def __init__(self) -> None:
            self.held = Held(kind="window", why="the 5-hour window is used up", since=time.time())

        def usage(self, _box: str) -> Usage:
            return Usage(in_flight=1, held_s=1.0, held=self.held)

        def revoke(self, box: str) -> Usage:
            return self.usage(box)

    engine = OneBox(wall, lasts=4.0)
    made = watch(engine, tmp_path, idle=60)
    held = Watch(**{**made.__dict__, "gateway": Holding(), "grant": "0" * 12})
    told: list[float] = []
    for number, seen in enumerate(held.signs()):
        if number == 0:
            wall.off += HOURS
        if seen.state is not None:
            told.append(seen.state.lasted)
    assert told
    assert max(told) < 60
    assert not engine.killed

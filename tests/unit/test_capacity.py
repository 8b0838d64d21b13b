"""The host as runs share it: real files of claims, a SIMULATED host and clock."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.locks import locked
from runner.names import AttemptKey
from runner.sandbox.pressure import Pressure, Stall
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import Orders
from runner.supervisor.capacity import TELL_AGAIN, TELL_OTHER, Capacity, start, tend
from runner.supervisor.graph.places import PATIENCE as LETS_PASS
from runner.supervisor.graph.schedule import Agenda, Decision
from runner.supervisor.host import claims
from runner.supervisor.host.admission import Claim, Needs, Policy
from runner.supervisor.host.facts import Disk, Host
from runner.supervisor.host.relief import CALM, COOLING, PATIENCE
from runner.supervisor.state import RunState, apply
from runner.tasks.plan import Limits, PlannedAttempt
from runner.tasks.units import GIB
from tests.unit.makers import life, make_plan, started

PLENTY = 10**6
PATIENT = 600
WALL = 1_700_000_000.0
"""What the wall clock shows when the other one begins."""


@dataclass
class World:
    """A SIMULATED host and its clock; memory is what is free now."""

    home: Path
    free: int = 20 * GIB
    total: int = 20 * GIB
    now: float = 1000.0
    pressure: Pressure = field(default_factory=Pressure)
    load: float | None = None

    def look(self) -> Host:
        return Host(
            cores=4,
            memory_total=self.total,
            memory_free=self.free,
            disk_free=10**12,
            disks=(Disk("/x", 2 * 10**12, 10**12),),
            pressure=self.pressure,
            load=self.load,
        )

    def memory_free(self) -> int | None:
        return self.free


class Run:
    """One run over the same host: what its supervisor does in each round, without boxes."""

    def __init__(self, world: World, name: str, *memory: int, jobs: int = PLENTY, auto: bool = False) -> None:
        plan = make_plan(*(PlannedAttempt(task=f"t{n:02}", profile="p") for n in range(len(memory))))
        limits = [Limits(memory=size * GIB, cpus=0.1, pids=2, disk=0) for size in memory]
        update = {
            "run": name,
            "tasks": tuple(
                task.model_copy(update={"limits": one}) for task, one in zip(plan.tasks, limits, strict=True)
            ),
        }
        self.world, self.name, self.orders, self.told = world, name, Orders(), list[e.Event]()
        self.state: RunState = started(plan.model_copy(update=update), jobs)
        self.state = dataclasses.replace(self.state, auto=auto)
        self.failed: list[str] = []
        policy = Policy(memory=1.0, keep_memory=2 * GIB, patience=PATIENT)
        self.capacity = Capacity(
            world.home, name, world, policy, clock=lambda: world.now, wall=lambda: WALL + world.now
        )

    def note(self, event: e.Event) -> None:
        self.state = apply(self.state, event)
        if isinstance(event, e.OfAttempt) and not isinstance(event, e.PASSING):
            frozen = self.state.attempts[AttemptKey.parse(event.attempt)].frozen is not None
            self.orders.freeze(event.attempt, frozen=frozen)
        self.capacity.see(event)
        self.told.append(event)

    def round(self) -> list[str]:
        """What the supervisor does in each round; which tasks were started."""
        agenda, new = Agenda(self.state), list[str]()

        def carry_out(decision: Decision) -> None:
            if decision.standing == "start":
                new.append(decision.key.task)
                self.begin(str(decision.key))
            elif decision.standing == "fail":
                self.failed.append(decision.why)
                self.note_all(life(str(decision.key), "infrastructure")[2:])

        tend(self.capacity, agenda, self.orders, (), self.note)
        agenda.follow(self.state)
        start(self.capacity, agenda, lambda: self.state, carry_out, self.note)
        return new

    def note_all(self, events: list[e.Event]) -> None:
        for event in events:
            self.note(event)

    def begin(self, attempt: str) -> None:
        at = WALL + self.world.now
        self.note_all([event.model_copy(update={"at": at}) for event in life(attempt, "done")[:2]])

    def end(self, task: str) -> None:
        for event in life(f"{task}/p/1", "done")[2:]:
            self.note(event)

    def uses(self, task: str, memory: int) -> None:
        self.note(e.Signs(at=0, attempt=f"{task}/p/1", stage="running", memory=memory))

    @property
    def living(self) -> list[str]:
        return sorted(key.task for key in self.state.attempts.living)

    @property
    def lacks(self) -> str | None:
        """The attempt that the host has too little for, as is told."""
        return "" if self.state.short is None else self.state.short.attempt

    def of(self, kind: type[e.Happened]) -> list[e.Event]:
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_run_starts_what_fits_and_tells_what_waits(world: World) -> None:
    run = Run(world, "one", 8, 8, 8)
    assert run.round() == ["t00", "t01"]
    assert run.state.short is not None
    assert (run.state.short.attempt, run.state.short.thing) == ("t02/p/1", "memory")
    assert "needs 8GiB, 2GiB" in run.state.short.why
    assert run.round() == []
    run.end("t00")
    assert run.round() == ["t02"], "what was given back is looked for at once"
    assert run.state.short is None


def test_the_same_news_is_told_now_and_then_only(world: World) -> None:
    run = Run(world, "one", 8, 8, 8)
    for _ in range(round(TELL_AGAIN)):
        run.round()
        world.now += 1
        world.free -= 2**20
    assert len(run.of(e.HostShort)) == 1
    world.now += 2
    run.round()
    assert len(run.of(e.HostShort)) == 2


def test_two_runs_never_give_away_the_same_room(world: World) -> None:
    one, two = Run(world, "one", 8, 8), Run(world, "two", 8, 8)
    assert one.round() == ["t00", "t01"]
    assert two.round() == []
    assert two.state.short is not None
    assert two.state.short.thing == "memory"
    one.end("t00")
    world.now += 1
    assert one.round() == [], "and what it gave back is shown"
    assert two.round() == ["t00"]


def test_a_run_that_waits_and_has_less_goes_before_one_that_has_more(world: World) -> None:
    rich, poor = Run(world, "rich", 6, 6, 6, 6), Run(world, "poor", 6, 6)
    assert rich.round() == ["t00", "t01", "t02"]
    assert poor.round() == []
    rich.end("t00")
    assert rich.round() == []
    world.now += TELL_OTHER
    assert rich.round() == []
    assert rich.state.short is not None
    assert rich.state.short.why == "for the run poor, which has less of the host and waits"
    world.now += 1
    assert poor.round() == ["t00"]
    rich.end("t01")
    world.now += 1
    assert rich.round() == [], "one to one, and the other waits for longer"
    assert poor.round() == ["t01"]


def test_a_run_that_could_not_use_its_turn_claims_none(world: World) -> None:
    """What waits of it has waited from the first time on all the same, and is not passed for ever."""
    rich, poor = Run(world, "rich", 10, 5, jobs=1), Run(world, "poor", 1, 16, 1, 1, jobs=2)
    assert rich.round() == ["t00"]
    assert poor.round() == ["t00", "t02"], "while the large one finds no room"
    rich.state = dataclasses.replace(rich.state, jobs=2)
    world.now += claims.EVERY
    assert rich.round() == [], "the other has less, and waits"
    assert poor.round() == []
    assert poor.lacks == "", "it waits for a place, which is its own"
    world.now += 1
    assert rich.round() == ["t01"]
    world.now += LETS_PASS
    rich.round()
    poor.end("t00")
    assert poor.round() == []
    assert poor.lacks == "t01/p/1"


def test_what_was_paused_for_long_is_not_given_up_at_once(world: World) -> None:
    world.free = GIB
    run = Run(world, "one", 4)
    run.round()
    run.note(e.RunPaused(at=1))
    for _ in range(PATIENT + 2):
        assert run.round() == []
        world.now += 1
    run.note(e.RunUnpaused(at=1))
    run.round()
    assert run.failed == []


def test_a_run_that_hangs_or_died_keeps_nobody_from_anything(world: World) -> None:
    rich, poor = Run(world, "rich", 6, 6, 6, 6), Run(world, "poor", 6, 6)
    rich.round()
    poor.round()
    rich.end("t00")
    world.now += claims.STILL_WAITS + 1
    assert rich.round() == ["t03"], "it has not been heard of for a while"
    world.now += claims.FRESH + 1
    late = Run(world, "late", 8, 8)
    assert late.round() == ["t00", "t01"], "nobody works on the others: what they showed is of no account"
    assert [file.name for file in (world.home / "claims").iterdir()] == ["late.json"], (
        "and not looked at again"
    )


def test_a_run_that_ended_shows_nothing_any_more(world: World) -> None:
    with Run(world, "one", 8, 8).capacity:
        pass
    one = Run(world, "one", 8, 8)
    one.round()
    assert [file.name for file in (world.home / "claims").iterdir()] == ["one.json"]
    one.capacity.__exit__()
    assert list((world.home / "claims").iterdir()) == []


def test_what_another_version_or_a_damaged_disk_left_is_passed_over(world: World) -> None:
    folder = world.home / "claims"
    folder.mkdir()
    (folder / "torn.json").write_text('{"run": "torn", "at"')
    (folder / "newer.json").write_text(json.dumps({"run": "newer", "at": 1000, "unheard": "of"}))
    future = claims.Shown(
        run="before", at=5000, claims=(Claim(attempt="x", since=1, needs=Needs(memory=18 * GIB)),)
    )
    (folder / "before.json").write_text(future.model_dump_json())
    assert claims.read(world.home, "one", world.now) == claims.Others()
    assert Run(world, "one", 8).round() == ["t00"]


def test_where_nothing_lives_that_could_make_room_it_is_given_up_in_the_end(world: World) -> None:
    world.free = GIB  # somebody else has the rest
    run = Run(world, "one", 4)
    for _ in range(PATIENT):
        assert run.round() == []
        world.now += 1
    assert run.failed == []
    run.round()
    assert run.failed == ["memory: needs 512MiB, 205MiB free"], "1 GiB is free, and 819 MiB are the least"


def test_a_try_that_asks_for_more_than_there_ever_is_fails_at_once_and_blocks_nothing(world: World) -> None:
    run = Run(world, "one", 4, 4)
    run.round()
    run.end("t00")
    run.note(e.AttemptRetried(at=8, attempt="t00/p/1", why="memory", memory=100 * GIB))
    assert run.round() == []
    assert run.failed == ["it can never start here: memory: needs 100GiB, 18GiB not promised yet"]
    assert (run.state.short, run.living) == (None, ["t01"])


def test_who_only_waits_for_another_run_s_turn_is_not_given_up(world: World) -> None:
    run, first = Run(world, "one", 4), claims.Shown(run="first", at=world.now, waits_since=world.now - 1)
    for _ in range(PATIENT + 2):
        claims.show(world.home, first.model_copy(update={"at": world.now}))
        assert run.round() == []
        world.now += 1
    assert run.state.short is not None
    assert (run.state.short.thing, run.failed) == ("turn", [])
    world.now += claims.STILL_WAITS
    assert run.round() == ["t00"]


def test_patience_begins_anew_once_something_lived(world: World) -> None:
    run = Run(world, "one", 4, 4)
    run.state = dataclasses.replace(run.state, jobs=1)
    assert run.round() == ["t00"]
    world.now += 10 * PATIENT
    run.end("t00")
    world.free = GIB
    assert run.round() == []
    world.now += PATIENT - 1
    assert run.round() == []
    assert run.failed == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_where_nothing_can_be_noted_nothing_starts(world: World) -> None:
    world.home.chmod(0o500)
    assert Run(world, "one", 1).round() == []


def test_while_another_run_starts_something_this_one_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.1)
    run = Run(world, "one", 1)
    with locked(world.home / "locks" / "claims.lock"):
        assert run.round() == []
    world.now += 1
    assert run.round() == ["t00"]


def test_too_little_memory_freezes_ends_and_lets_nothing_start(world: World) -> None:
    run = Run(world, "one", 4, 4, 4, 4)
    assert run.round() == ["t00", "t01", "t02", "t03"]
    for task in run.living:
        run.uses(task, 3 * GIB)
    world.free = GIB // 2  # the floor is two fifths of 2 GiB
    world.now += 1
    run.round()
    assert run.orders.frozen == {"t03/p/1"}
    assert run.state.attempts[AttemptKey("t03", "p", 1)].frozen is not None
    for _ in range(round(PATIENCE + 2)):
        world.now += 1
        run.round()
    assert "t03/p/1" in run.orders.given_up
    frozen = set(run.orders.frozen) - run.orders.given_up
    world.free = 12 * GIB
    run.end("t03")
    assert "t03" not in run.living
    run.note(e.AttemptFinal(at=9, attempt="t03/p/1", verdict="infrastructure", again=True))
    for _ in range(round(COOLING) - 1):
        assert run.round() == [], "it was too little just now"
        world.now += 1
    for _ in range(round(CALM)):
        run.round()
        world.now += 1
    assert "t03/p/1.2" in {str(key) for key in run.state.attempts.living}
    assert run.orders.frozen - run.orders.given_up == set(), f"{frozen} go on"


def test_the_newest_is_the_newest_also_for_a_supervisor_that_took_the_run_up(world: World) -> None:
    before, run = Run(world, "one", 4, 4, 4), Run(world, "one", 4, 4, 4)
    for task in ("t01", "t02", "t00"):
        before.begin(f"{task}/p/1")
        world.now += 100
    run.state = before.state
    world.free = GIB // 2
    run.round()
    assert run.orders.frozen == set(), "it is not known yet whose memory it is"
    for task in run.living:
        run.uses(task, 3 * GIB)
    world.now += 1
    run.round()
    assert run.orders.frozen == {"t00/p/1"}


def test_who_was_frozen_before_the_machine_slept_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: world.now)
    monkeypatch.setattr(time, "clock_gettime", lambda _: world.now + asleep)
    run = Run(world, "one", 4, 4)
    policy = Policy(memory=1.0, keep_memory=2 * GIB)
    run.capacity = Capacity(world.home, "one", world, policy, wall=lambda: WALL + world.now)
    run.round()
    for task in run.living:
        run.uses(task, 3 * GIB)
    world.free = GIB // 2
    for _ in range(2):
        world.now += 1
        run.round()
    assert run.orders.frozen == {"t01/p/1"}
    world.free, asleep = 12 * GIB, 2 * 3600.0
    for _ in range(round(CALM) + 2):
        world.now += 1
        run.round()
    assert not run.orders.given_up
    assert not run.orders.frozen
    (frozen,), (thawed,) = run.of(e.AttemptFrozen), run.of(e.AttemptThawed)
    assert isinstance(frozen, e.AttemptFrozen)
    assert isinstance(thawed, e.AttemptThawed)
    assert thawed.slept is not None
    assert thawed.slept.since(frozen.slept) == asleep


def test_what_a_person_froze_stays_frozen(world: World) -> None:
    run = Run(world, "one", 4)
    run.round()
    run.note(e.AttemptFrozen(at=1, attempt="t00/p/1", why="asked for", by="person"))
    for _ in range(60):
        world.now += 1
        run.round()
    assert run.orders.frozen == {"t00/p/1"}
    assert not run.of(e.AttemptThawed)
    shown = claims.read(world.home, "another", world.now).claims
    assert [(one.frozen, one.paused) for one in shown] == [(True, True)], "and others are told who did"


def test_where_nobody_says_a_number_it_follows_the_host(world: World) -> None:
    world.pressure, world.load = Pressure(cpu=Stall(1, 0, 0, 0), memory=Stall(0, 0, 0, 0)), 0.5
    run = Run(world, "one", *[1] * 12, jobs=4, auto=True)
    assert len(run.round()) == 4
    for _ in range(20):
        world.now += 1
        run.round()
    assert run.state.jobs == 5
    assert len(run.living) == 5
    world.pressure, world.load = Pressure(cpu=Stall(95, 0, 0, 0), memory=Stall(0, 0, 0, 0)), 30.0
    for _ in range(40):
        world.now += 1
        run.round()
    assert run.state.jobs == 4
    said = [event.why for event in run.told if isinstance(event, e.JobsChanged)]
    assert said == ["the host bears more", "the load is 30.0 on 4 cores"]


NAMES = ("a", "b", "c")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    work=st.lists(st.lists(st.integers(1, 18), min_size=1, max_size=8), min_size=1, max_size=3),
    order=st.randoms(use_true_random=False),
    taken=st.integers(0, 8),
)
def test_several_runs_bring_everything_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, work: list[list[int]], order: Callable[..., object], taken: int
) -> None:
    """Whatever they ask: all that fits alone is started in the end, and never more is given than there is.

    `taken` GiB are used by others than these runs, so that more is promised than is really free.
    """
    world = World(tmp_path_factory.mktemp("home"), free=(20 - taken) * GIB)
    runs = [Run(world, name, *memory) for name, memory in zip(NAMES, work, strict=False)]
    left = sum(map(len, work))
    for _ in range(4000):
        world.now += 1
        for run in order.sample(runs, len(runs)):  # type: ignore[attr-defined]
            run.round()
        given = sum(
            run.state.plan.task(key.task).limits.memory for run in runs for key in run.state.attempts.living
        )
        assert given <= 18 * GIB
        alive = [(run, task) for run in runs for task in run.living]
        if alive and order.random() < 0.2:  # type: ignore[attr-defined]
            run, task = order.choice(alive)  # type: ignore[attr-defined]
            run.end(task)
            left -= 1
        if not left:
            break
    assert left == 0, [(run.name, run.living, run.state.short) for run in runs]

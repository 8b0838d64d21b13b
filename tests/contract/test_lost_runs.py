"""A supervisor that hung, and lost its run to another: boxes and grants of its heir, called the same, stay.

Over the FAKE engine, as in `test_night_crashes`. That it hangs is IMITATED by a call that does not return for
a while; the same with SIGSTOP is in tests/engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

import pytest

from runner.errors import HostError
from runner.gateway.client import Gateway
from runner.gateway.grants import Access, Account, Usage
from runner.names import AttemptKey
from runner.sandbox.disks import Place as DiskPlace
from runner.supervisor import events as e
from runner.supervisor.attempt.life import drive
from runner.supervisor.attempt.spec import AttemptSpec, Orders, Rooms, box_spec
from runner.supervisor.graph.expanding import outcome
from runner.tasks.plan import AllowedHost, ForEach, Plan, PlannedAttempt, Profile, Retry
from tests.contract.fake_engine import FakeEngine
from tests.contract.fake_night import IMAGE, RUN, FakeDisks, Place

BOX = "0" * 12
PATIENCE = 30.0
MANY = AttemptKey("many", "does")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where a night takes place."""
    made = Place(tmp_path)
    made.home.mkdir()
    return made


def until(count: Callable[[], int], number: int) -> bool:
    """Wait until there are so many."""
    end = time.monotonic() + PATIENCE
    while count() < number and time.monotonic() < end:
        time.sleep(0.01)
    return count() >= number


def plan_of(place: Place, command: str | None = None) -> Plan:
    """A plan of one task; where a command is given, for each line that this prints."""
    plan = place.plan(PlannedAttempt(task="many", profile="does"), commands={"does": "echo x > made"})
    each = None if command is None else ForEach(command=command)
    changed = {"for_each": each, "prompt": "{item}", "retry": Retry(infrastructure=0)}
    tasks = tuple(task.model_copy(update=changed) for task in plan.tasks)
    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | {"tasks": tasks})


def spec_of(plan: Plan) -> AttemptSpec:
    """An attempt of that task."""
    return AttemptSpec(
        run=RUN,
        key=MANY,
        box=BOX,
        task=plan.task("many"),
        profile=plan.profile("does"),
        source=plan.sources[0],
        base=plan.sources[0].base,
        branch=plan.branch(MANY),
        image=IMAGE,
        accesses=(),
        account=Account(run=RUN, task="many", profile="does", attempt=str(MANY)),
        include={},
    )


class Gate:
    """Where a supervisor hangs until it is let go on."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def passed(self) -> None:
        """Hang."""
        self.reached.set()
        assert self.opened.wait(PATIENCE)


class HangsAtItsEnd(FakeEngine):
    """A connection of a supervisor that hangs when the command has ended, or its box is gone."""

    gate: Gate

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """See `Engine`."""
        self.gate.passed()
        super().kill(container, signal)


class HangsBefore(FakeDisks):
    """Disks of a supervisor that hangs before it starts its box."""

    gate: Gate

    def make(self, box: str, place: DiskPlace, size: int, owner: int) -> int:
        """See `Disks`."""
        made = super().make(box, place, size, owner)
        self.gate.passed()
        return made


def hanging(place: Place, engine: HangsAtItsEnd, gate: Gate, where: str) -> Rooms:
    """What a supervisor works with that hangs there."""
    engine.gate = Gate() if where == "before its box" else gate
    rooms = place.rooms(engine)
    if where == "at its end":
        return rooms
    engine.gate.opened.set()
    disks = HangsBefore(rooms.steward, place.home)
    disks.gate = gate
    return replace(rooms, disks=disks)


@pytest.mark.parametrize("wakes", ["beside its heir", "when its heir is done"])
@pytest.mark.parametrize("where", ["before its box", "at its end"])
def test_who_lost_the_run_neither_ends_its_heirs_box_nor_begins_one(
    place: Place, where: str, wakes: str
) -> None:
    plan = plan_of(place, "sleep 1; echo one; echo two")
    spec, gate, lost = spec_of(plan), Gate(), threading.Event()
    engines = HangsAtItsEnd(place.host), FakeEngine(place.host)
    told: dict[str, e.Event | None] = {}

    def begun() -> int:
        return place.host.starts["many/+items/1", "agent"]

    def find(who: str, rooms: Rooms, orders: Orders) -> None:
        told[who] = outcome(spec, BOX, rooms, orders, plan)

    threads = [
        threading.Thread(target=find, args=arguments)
        for arguments in (
            ("hung", hanging(place, engines[0], gate, where), Orders(ours=lambda: not lost.is_set())),
            ("heir", place.rooms(engines[1]), Orders()),
        )
    ]
    threads[0].start()
    own = 0 if where == "before its box" else 1
    assert until(begun, own) if own else gate.reached.wait(PATIENCE)
    lost.set()
    threads[1].start()
    if wakes == "beside its heir":
        assert until(begun, own + 1)
        gate.opened.set()
    threads[1].join()
    gate.opened.set()
    threads[0].join()
    assert isinstance(told["heir"], e.TaskExpanded)
    assert told["heir"].items == ("one", "two")
    assert isinstance(told["hung"], e.TaskNotExpanded), "the journal does not take it"
    assert "another process took the run over" in told["hung"].reason
    assert begun() == own + 1
    for engine in engines:
        engine.cut()
    assert place.leftovers() == []


def test_who_lost_the_run_begins_no_agent_in_its_heirs_workspace(place: Place) -> None:
    plan, gate, lost = plan_of(place), Gate(), threading.Event()
    engine = HangsAtItsEnd(place.host)
    rooms = hanging(place, engine, gate, "before its box")
    told: list[e.Event] = []

    def live() -> None:
        orders = Orders(ours=lambda: not lost.is_set())
        told.extend(islice(drive(spec_of(plan), rooms, orders), 1))  # the journal takes no more

    thread = threading.Thread(target=live)
    thread.start()
    assert gate.reached.wait(PATIENCE)
    lost.set()
    gate.opened.set()
    thread.join()
    engine.cut()
    (ended,) = told
    assert isinstance(ended, e.AttemptEnded)
    assert "another process took the run over" in ended.reason
    assert place.host.starts["many/does/1", "agent"] == 0


class Granting:
    """A gateway that grants, and notes what is revoked."""

    def __init__(self) -> None:
        self.revoked: list[str] = []

    def grant(self, box: str, *_: object, **__: object) -> Path:
        """See `Gateway`."""
        return Path("/nonexistent") / box

    def usage(self, _: str) -> Usage:
        """See `Gateway`."""
        return Usage()

    def revoke(self, box: str) -> Usage:
        """See `Gateway`."""
        self.revoked.append(box)
        return Usage()


@pytest.mark.parametrize("lost", [False, True])
def test_who_lost_the_run_revokes_nothing_of_an_agent_that_is_gone(place: Place, lost: bool) -> None:
    """Its heir may let it go on in another box, with what was granted to the first."""
    plan, gateway, owner = plan_of(place), Granting(), [True]
    spec = spec_of(plan)
    spec = replace(spec, task=spec.task.model_copy(update={"network": (AllowedHost(name="example.org"),)}))
    engine = FakeEngine(place.host)
    rooms = replace(place.rooms(engine), gateway=cast("Gateway", gateway))
    for event in drive(spec, rooms, Orders(ours=lambda: owner[0])):
        if isinstance(event, e.BoxStarted) and lost:
            owner[0] = False
        if isinstance(event, e.AttemptEnded):
            break
    engine.cut()
    assert gateway.revoked == ([] if lost else [BOX])


@pytest.mark.parametrize("lost", [False, True])
def test_who_lost_the_run_and_can_not_go_on_leaves_the_box_of_its_heir(place: Place, lost: bool) -> None:
    plan, heir = plan_of(place), FakeEngine(place.host)
    boxes: list[str] = []

    def fails(profile: Profile, key: AttemptKey) -> tuple[Access, ...]:  # noqa: ARG001
        if threading.current_thread() is threading.main_thread():  # who asks whom is looked up there
            return ()
        spec = spec_of(plan)
        boxes.append(heir.create(box_spec(spec, place.rooms(heir), "agent", ("sleep", "1"), {}, ())))
        raise HostError("no account")

    with place.supervisor(1) as night:
        night._means = replace(night._means, accesses=fails)
        night._orders = replace(night._orders, ours=lambda: not lost)
        state = night.start(plan)
    assert state.attempts[MANY].reason.startswith("no account")
    there = {box.id for box in heir.find([])}
    assert there.intersection(boxes) == ({*boxes} if lost else set())
    heir.cut()

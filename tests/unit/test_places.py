"""Whose turn it is: the order, the bounds of agents and repositories, and no passing for ever."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.supervisor.graph.places import MOST_LOOKED_AT, NO_PLACE, PATIENCE, Turn, turns
from runner.supervisor.graph.schedule import Agenda, decide
from runner.supervisor.host.admission import Claim, Needs, Policy, Room
from runner.supervisor.host.facts import Host
from runner.supervisor.state import RunState
from runner.tasks.plan import Limits, PlannedAttempt
from runner.tasks.units import GIB
from tests.unit.makers import after, life, make_plan, started

PLENTY = 10**6
HOST = Host(cores=4, memory_total=10 * GIB, memory_free=None, disk_free=0)
ROOM = Room(HOST, Policy(memory=1, keep_memory=0))


def state_of(*memory: int, at_once: int | None = None, repository: int | None = None) -> RunState:
    """A run of tasks `t00`, `t01`, … with these limits of memory in GiB."""
    plan = make_plan(*(PlannedAttempt(task=f"t{n:02}", profile="p") for n in range(len(memory))))
    limits = [Limits(memory=size * GIB, cpus=0.1, pids=2, disk=0) for size in memory]
    tasks = tuple(
        task.model_copy(update={"limits": one}) for task, one in zip(plan.tasks, limits, strict=True)
    )
    profiles = tuple(one.model_copy(update={"at_once": at_once}) for one in plan.profiles)
    repositories = {} if repository is None else {"/x": repository}
    update = {"tasks": tasks, "profiles": profiles, "repositories": repositories}
    return started(plan.model_copy(update=update))


def keys(state: RunState) -> list[AttemptKey]:
    return [planned.key for planned in state.plan.attempts]


def started_of(found: list[Turn]) -> list[str]:
    return [turn.key.task for turn in found if turn.starts]


def test_places_go_in_order() -> None:
    state = state_of(1, 1, 1)
    found = list(turns(state, keys(state), 2))
    assert started_of(found) == ["t00", "t01"]
    assert (found[2].why, found[2].closes) == (NO_PLACE, True)


def test_an_agent_and_a_repository_can_be_bounded() -> None:
    state = state_of(1, 1, 1, at_once=2)
    found = list(turns(state, keys(state), PLENTY))
    assert started_of(found) == ["t00", "t01"]
    assert (found[2].why, found[2].closes) == ("for a free place of agent p (`at_once: 2`)", False)
    state = after(state, *life("t00/p/1", "accepted")[:2])
    assert started_of(list(turns(state, keys(state)[1:], PLENTY))) == ["t01"]
    bounded = state_of(1, 1, 1, repository=1)
    found = list(turns(bounded, keys(bounded), PLENTY))
    assert started_of(found) == ["t00"]
    assert found[1].why == "for a free place of repository /x (`at_once: 1`)"


def test_what_finds_no_room_lets_others_pass_for_a_while_and_then_no_more() -> None:
    state = state_of(6, 6, 3, 3)
    found = list(turns(state, keys(state), PLENTY, ROOM))
    assert started_of(found) == ["t00", "t02"]
    assert found[1].short is not None
    assert found[1].why == "memory: needs 6GiB, 4GiB not promised yet"
    waits = {keys(state)[1]: -PATIENCE}
    found = list(turns(state, keys(state), PLENTY, ROOM, waits))
    assert started_of(found) == ["t00"]
    assert found[2].why == "behind t01/p/1, which finds no room"
    assert found[2].closes


def test_what_could_never_fit_waits_for_nothing_and_holds_nothing_back() -> None:
    state = state_of(20, 3)
    waits = {keys(state)[0]: -PATIENCE}
    found = list(turns(state, keys(state), PLENTY, ROOM, waits))
    assert started_of(found) == ["t01"]
    assert (found[0].never, found[0].short) == (True, None)
    assert found[0].why == "it can never start here: memory: needs 20GiB, 10GiB not promised yet"
    assert [d.standing for d in Agenda(state).due(PLENTY, ROOM, waits)] == ["fail", "start"]


def test_no_more_than_some_are_looked_at() -> None:
    state = after(state_of(9, *[5] * (MOST_LOOKED_AT + 5), 1), *life("t00/p/1", "accepted")[:2])
    room = replace(ROOM, claims=(claim(keys(state)[0], Needs(memory=9 * GIB)),))
    found = list(turns(state, keys(state)[1:], PLENTY, room))
    assert sum(turn.short is not None for turn in found) == MOST_LOOKED_AT
    assert found[-1].closes


def test_the_agenda_tells_what_starts_and_what_finds_no_room() -> None:
    state = state_of(6, 6, 3, 3)
    due = Agenda(state).due(PLENTY, ROOM)
    assert [(d.key.task, d.standing) for d in due] == [
        ("t00", "start"),
        ("t01", "wait"),
        ("t02", "start"),
        ("t03", "wait"),
    ]
    assert due[0].base is not None
    assert due[1].short is not None
    assert [d.standing for d in decide(state, PLENTY)] == ["start"] * 4, "without a host there is room"
    assert Agenda(state).has_ready


@given(
    st.lists(st.integers(1, 10), min_size=1, max_size=25),
    st.lists(st.integers(1, 400), min_size=1, max_size=25),
    st.integers(1, 6),
)
def test_everything_that_fits_alone_is_started_in_the_end(
    memory: list[int], seconds: list[int], jobs: int
) -> None:
    """A large one behind many small ones too; and there is never more promised than can be given."""
    state, now = state_of(*memory), 0
    needs = {key: Needs.of(state.plan.task(key.task).limits) for key in keys(state)}
    ends: dict[AttemptKey, int] = {}
    waits: dict[AttemptKey, float] = {}
    room = Room(HOST, Policy(memory=1, keep_memory=0))
    waiting = keys(state)
    passed: dict[AttemptKey, int] = {}
    while waiting or ends:
        claims = tuple(claim(key, needs[key]) for key in ends)
        looking = Room(room.host, room.policy, claims, now=float(now))
        found = list(turns(state, waiting, jobs, looking, waits))
        waits = {turn.key: waits.get(turn.key, float(now)) for turn in found if turn.short is not None}
        for turn in found:
            if turn.starts:
                for other, since in waits.items():
                    if other in waiting and waiting.index(other) < waiting.index(turn.key):
                        assert now - since < PATIENCE, "nothing passes one that waits for long"
                        passed[other] = passed.get(other, 0) + 1
                ends[turn.key] = now + seconds[len(ends) % len(seconds)]
                state = after(state, *life(str(turn.key), "accepted")[:2])
        waiting = [key for key in waiting if key not in ends]
        assert sum(needs[key].memory for key in ends) <= room.memory
        assert len(ends) <= jobs
        assert ends, "something lives as long as something waits"
        now = min(ends.values())
        for key in [key for key, end in ends.items() if end <= now]:
            del ends[key]
            state = after(state, *life(str(key), "accepted")[2:])


def claim(key: AttemptKey, needs: Needs) -> Claim:
    return Claim(attempt=str(key), since=0, needs=needs)

"""What a person orders of a run holds, whatever instant it comes in and whoever dies after: a FAKE engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.journal import Journal, Row
from runner.supervisor.ownership import orders
from runner.supervisor.ownership.orders import Order
from runner.supervisor.people.herald import Herald
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, PlannedAttempt
from tests.contract.fake_night import RUN, Killed, Place

COMMANDS = {"waits": "sleep 20; echo x > made", "says": "echo nothing"}
FIRST, SECOND = AttemptKey.parse("a/waits/1"), AttemptKey.parse("b/says/1")
SKIP = orders.Decide(task="a", what="skip")


def two(place: Place) -> Plan:
    """A task that takes long, and one that comes after it in a run of one job."""
    planned = (PlannedAttempt(task="a", profile="waits"), PlannedAttempt(task="b", profile="says"))
    return place.plan(*planned, commands=COMMANDS)


def one(place: Place) -> Plan:
    """A task whose agent does nothing, and one that needs it."""
    needs = PlannedAttempt(task="b", profile="says", after=(("a/says/1",),), start=("a/says/1",))
    return place.plan(PlannedAttempt(task="a", profile="says"), needs, commands=COMMANDS)


def give(place: Place, order: Order) -> None:
    """Order something, as another process does."""
    with Journal(place.file) as journal:
        journal.order(RUN, order, time.time())


def once(place: Place, kind: str, order: Order) -> Callable[[Row, RunState], None]:
    """Orders that, the first time that something of a kind happens."""
    given: list[Order] = []

    def watch(row: Row, state: RunState) -> None:  # noqa: ARG001
        if row.event.kind == kind and not given:
            given.append(order)
            give(place, order)

    return watch


def kinds(place: Place) -> list[str]:
    """What happened, in a word each."""
    return [row.event.kind for row in place.rows()]


@pytest.mark.parametrize("dies_of", ["run.draining", "run.stopping", "run.order"])
def test_a_run_that_was_being_stopped_is_so_still_when_its_keeper_starts_it_again(
    place: Place, dies_of: str
) -> None:
    watch = once(place, "attempt.running", orders.Stop())
    with place.supervisor(1, watch, dies_of=dies_of) as night, pytest.raises(Killed):
        night.start(two(place))
    with place.supervisor(1) as night:
        state = night.resume(RUN, kept=True)
    assert state.attempts[FIRST].verdict == "cancelled"
    assert state.attempts[SECOND].phase == "queued", "nothing new was started"
    assert state == place.folded()


def test_a_person_who_takes_it_up_wants_it_done(place: Place) -> None:
    watch = once(place, "attempt.running", orders.Stop())
    with place.supervisor(1, watch, dies_of="run.order") as night, pytest.raises(Killed):
        night.start(place.plan(PlannedAttempt(task="b", profile="says"), commands=COMMANDS))
    with place.supervisor(1) as night:
        state = night.resume(RUN)
    assert not state.draining
    assert state.attempts[SECOND].verdict == "no-change"


class Slow(Herald):
    """Tells nobody, and takes until something was ordered for that: the first time."""

    def __init__(self, order: Callable[[], None]) -> None:
        super().__init__()
        self._order: Callable[[], None] | None = order

    def farewell(
        self,
        state: RunState,
        code: int | None,
        hurry: Callable[[], bool],
        goes_on: Callable[[], bool] = lambda: False,
    ) -> Iterator[e.Notified]:
        """See `Herald`."""
        if self._order is not None:
            self._order()
            self._order = None
            assert goes_on()
        yield from super().farewell(state, code, hurry, goes_on)


def test_what_is_ordered_while_people_are_told_of_the_end_is_done(place: Place) -> None:
    with place.supervisor(1, herald=Slow(lambda: give(place, SKIP))) as night:
        state = night.start(one(place))
    assert [attempt.phase for attempt in state.attempts.values()] == ["final", "final"]
    assert kinds(place).count("run.ended") == 1
    assert "run.resumed" not in kinds(place)


def test_what_is_ordered_in_the_last_instant_is_done_too(place: Place) -> None:
    with place.supervisor(1, once(place, "run.ended", SKIP)) as night:
        state = night.start(one(place))
    assert [attempt.phase for attempt in state.attempts.values()] == ["final", "final"]
    assert kinds(place).count("run.ended") == 2
    assert state == place.folded()
    assert state.ended is not None


def test_an_end_that_passed_holds_on_where_an_order_comes_in_the_last_instant(place: Place) -> None:
    plan = place.plan(PlannedAttempt(task="b", profile="says"), commands=COMMANDS)
    drain = orders.Drain()
    with place.supervisor(1, once(place, "run.ended", drain)) as night:
        state = night.start(plan, until=time.time() - 1)
    assert (state.over, state.attempts[SECOND].phase) == (True, "queued")
    assert kinds(place).count("run.ended") == 2
    assert state.until is not None


def test_an_order_that_can_not_be_done_ends_the_run_all_the_same(place: Place) -> None:
    wrong = orders.Retry(attempt="nobody/p/1")
    with place.supervisor(1, once(place, "run.ended", wrong)) as night:
        state = night.start(one(place))
    assert state.ended is not None
    assert [row.event.refused for row in place.rows() if isinstance(row.event, e.OrderHeeded)] != [""]

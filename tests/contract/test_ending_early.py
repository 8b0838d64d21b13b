"""A comparison that is decided starts no more of it, through deaths of its supervisor: over a FAKE engine."""

from __future__ import annotations

import pytest

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.ending import exit_code
from runner.supervisor.graph.schedule import DECIDED, decide
from runner.supervisor.scoring import comparison
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, PlannedAttempt
from runner.views import comparison as view
from runner.views import report, summary
from tests.contract.fake_night import RUN, Killed, Place

COMMANDS = {"does": "echo x > made", "idles": "echo nothing", "other": "echo nothing"}
TASKS, REPEATS = 10, 2
BLOCKS = TASKS * REPEATS


def compared(place: Place, *profiles: str) -> Plan:
    """A comparison of agents of which one does its task, and the others nothing; and a task beside it."""
    planned = [
        PlannedAttempt(task=f"t{task}", profile=profile, n=n)
        for n in range(1, REPEATS + 1)
        for task in range(TASKS)
        for profile in profiles
    ]
    plan = place.plan(*planned, PlannedAttempt(task="last", profile="does"), commands=COMMANDS)
    tasks = tuple(task.model_copy(update={"compared": task.id != "last"}) for task in plan.tasks)
    return plan.model_copy(update={"tasks": tasks, "compared": profiles, "stops_when_decided": True})


def told(place: Place) -> list[e.RunDecided]:
    return [row.event for row in place.rows() if isinstance(row.event, e.RunDecided)]


def begun(state: RunState) -> int:
    return sum(one.started is not None for one in state.attempts.values() if one.key.task != "last")


def test_what_is_decided_is_told_once_and_starts_no_more_of_it(place: Place) -> None:
    with place.supervisor(2) as night:
        state = night.start(compared(place, "idles", "does"))
    (decided,) = told(place)
    assert decided.order == ("does", "idles")
    assert 6 < decided.blocks < BLOCKS
    assert decided.planned == BLOCKS
    assert begun(state) < 2 * BLOCKS
    assert state.attempts[AttemptKey("last", "does")].verdict == "done", "what is not compared goes on"
    held = {one.why for one in decide(state, 2) if one.standing == "held"}
    assert held == {DECIDED}
    assert state == place.folded()

    found = comparison(state)
    assert found.better == ("does", "idles")
    assert found.pairs[0].p is not None
    assert found.pairs[0].p <= 0.05
    row = view.as_json(state, found)
    assert row["ended_early"] is True
    assert "it was ended early, as decided after" in report.text_markdown(state)
    assert summary.summary(state)["decided"] is not None


def test_a_task_that_was_not_begun_for_that_is_no_failure(place: Place) -> None:
    with place.supervisor(1) as night:
        state = night.start(compared(place, "does", "idles"))
    first = {f"t{n}" for n in range(TASKS) if state.attempts[AttemptKey(f"t{n}", "does")].started is None}
    assert all(not state.task_served(task) for task in first)
    assert (state.exit_code, exit_code(state)) == (0, 0)


def test_what_does_not_differ_is_compared_to_the_end(place: Place) -> None:
    with place.supervisor(4) as night:
        state = night.start(compared(place, "idles", "other"))
    assert told(place) == []
    assert begun(state) == 2 * BLOCKS
    assert comparison(state).better == ()


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_a_supervisor_that_dies_of_it_is_followed_by_one_that_knows(place: Place, after: bool) -> None:
    with place.supervisor(2, dies_of="run.decided", after=after) as night, pytest.raises(Killed):
        night.start(compared(place, "idles", "does"))
    with place.supervisor(2) as night:
        state = night.resume(RUN)
    assert len(told(place)) == 1
    assert state.decided == told(place)[0]
    assert begun(state) < 2 * BLOCKS
    assert state == place.folded()

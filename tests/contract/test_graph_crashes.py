"""A night whose graph unfolds as it goes, and a supervisor that is killed at each write of its journal.

Over the FAKE engine, as in `test_night_crashes`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.state import RunState
from runner.tasks.plan import ForEach, Plan, PlannedAttempt
from tests.conftest import FULL
from tests.contract.fake_night import RUN, Killed, Place

WRITES = 36
"""At least as many as the night has."""

FIX = ("fix/writes/1",)
ITEMS = ForEach(command="echo one; sleep 0.1; echo two; echo aside >&2")


def graph(place: Place) -> Plan:
    """For each line of a command, all of them together, and a way not taken; one box fails at first."""
    place.host.refusing["create"] = 1
    plan = place.plan(
        PlannedAttempt(task="fix", profile="writes"),
        PlannedAttempt(task="join", profile="writes", after=(FIX,)),
        PlannedAttempt(task="repair", profile="writes", settled=FIX),
        PlannedAttempt(
            task="report", profile="says", after=(("repair/writes/1",),), start=("repair/writes/1",)
        ),
        commands={"writes": "echo x > made", "says": "echo nothing"},
    )
    changed: dict[str, dict[str, object]] = {
        "fix": {"for_each": ITEMS, "prompt": "{item}"},
        "join": {"passes": ("summary", "diff", "branch"), "prompt": "p"},
        "repair": {"when": "fix.failed > 0"},
        "report": {"may_be_empty": True},
    }
    tasks = tuple(task.model_copy(update=changed[task.id]) for task in plan.tasks)
    return Plan(**{**{name: getattr(plan, name) for name in Plan.model_fields}, "tasks": tasks})


def is_sound(place: Place, state: RunState) -> None:
    """Each attempt ended once, no agent began twice, and what is told is there."""
    assert state == place.folded()
    happened = Counter(
        (row.event.kind, row.event.attempt) for row in place.rows() if isinstance(row.event, e.OfAttempt)
    )
    for key, attempt in state.attempts.items():
        ends = happened["attempt.final", str(key)] + happened["attempt.skipped", str(key)]
        assert (attempt.phase, ends) == ("final", 1)
        assert happened["attempt.started", str(key)] == (attempt.verdict != "skipped")
        assert place.host.starts[str(key), "agent"] <= 1
    assert place.branches() == {k: one.commit for k, one in state.attempts.items() if one.branch is not None}
    kinds = Counter(row.event.kind for row in place.rows())
    assert (kinds["task.expanded"], kinds["task.not-expanded"], kinds["run.ended"]) == (1, 0, 1)


BOUNDARIES = [(mode, at) for mode in ("after", "before") for at in range(1, WRITES + 1)]


@pytest.mark.parametrize(("mode", "dies_at"), BOUNDARIES[:: 1 if FULL else 5])
def test_a_graph_that_unfolds_comes_to_the_same_end_whenever_it_is_killed(
    place: Place, mode: str, dies_at: int
) -> None:
    plan = graph(place)
    with place.supervisor(2, dies_at=dies_at, after=mode == "after") as night:
        try:
            state = night.start(plan)
        except Killed:
            state = None
    if state is None and place.rows() and place.folded().ended is not None:
        state = place.folded()  # it died with its last word said: nothing is left to be taken up
    if state is None:
        with place.supervisor(2) as night:
            state = night.resume(RUN) if place.rows() else night.start(plan)
    is_sound(place, state)
    last = {key.task: attempt for key, attempt in state.attempts.items()}
    assert {task: one.verdict for task, one in last.items()} == {
        "fix.1": "done", "fix.2": "done", "join": "done", "repair": "skipped", "report": "no-change",
    }  # fmt: skip
    assert [state.plan.task(f"fix.{n}").item for n in (1, 2)] == ["one", "two"]
    assert last["report"].base == last["repair"].base == place.base
    assert state.exit_code == 0


def test_a_night_has_no_more_writes_than_were_tried(place: Place) -> None:
    plan = graph(place)
    with place.supervisor(2) as night:
        is_sound(place, night.start(plan))
    assert 20 < len(place.rows()) < WRITES


def test_what_keeps_items_from_being_found_out_ends_their_task_and_not_the_run(place: Place) -> None:
    plan = graph(place)
    sources = tuple(source.model_copy(update={"include": (".env",)}) for source in plan.sources)
    plan = Plan(**{**{name: getattr(plan, name) for name in Plan.model_fields}, "sources": sources})
    with place.supervisor(2) as night:
        state = night.start(plan)
    fix = state.tries(AttemptKey("fix", "writes"))[-1]
    assert fix.verdict == "infrastructure"
    assert f"`include` names {place.repo / '.env'}" in fix.reason
    assert "join" in {key.task for key, one in state.attempts.items() if one.phase == "queued"}
    assert state.exit_code == 3, "no bug of ours"
    assert list(place.home.rglob("bug-*")) == []

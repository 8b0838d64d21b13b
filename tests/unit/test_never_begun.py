"""What of a comparison never began is told with its cause, counted beside the scores, and is no failure."""

from __future__ import annotations

import pytest
from rich.console import Group

from runner.supervisor import events as e
from runner.supervisor.graph.schedule import DECIDED, NOT_BEFORE_END, NOT_STARTED
from runner.supervisor.morning.judged import judged
from runner.supervisor.scoring import unbegun
from runner.supervisor.state import RunState
from runner.tasks.plan import Upstream
from runner.views import comparison as view
from runner.views.page.fairness import fairness
from runner.views.page.material import Material
from runner.views.page.profiles import acceptance
from tests.unit.makers import after, life, started
from tests.unit.test_settling import SOME, decided, done, drawn, state_of


def night(*, chained: bool = False) -> RunState:
    """A comparison that does not end early; a script plays the model, so that budgets can be spent."""
    plan = state_of("p", "q", chained=chained).plan
    played = tuple(
        one.model_copy(update={"upstream": Upstream(kind="script", script="/s")}) for one in plan.profiles
    )
    return started(plan.model_copy(update={"stops_when_decided": False, "profiles": played}))


def spent(state: RunState, task: int, profile: str, whose: str) -> RunState:
    """After this attempt spent the last of a budget that others share."""
    events = life(f"t{task}/{profile}/1", "over-budget")
    return after(state, *(
        one.model_copy(update={"spent": whose}) if isinstance(one, e.AttemptEnded) else one for one in events
    ))  # fmt: skip


def one_task(state: RunState) -> RunState:
    return done(state, 0, p="accepted", q="rejected")


CAUSES = {
    "a need": (one_task(night(chained=True)), "it needs t0, which did not serve", 0, SOME - 1),
    "the run's budget": (spent(one_task(night()), 1, "p", "run"), "the budget of its run is spent", 10, 11),
    "a profile's": (spent(one_task(night()), 1, "p", "profile"), "the budget of its profile is spent", 10, 0),
    "the run's end": (after(one_task(night()), e.RunOver(at=9, until=9)), NOT_BEFORE_END, 11, 11),
    "a stop": (after(one_task(night()), e.Stopping(at=9)), NOT_STARTED, 11, 11),
    "a second try": (
        after(
            night(),
            *life("t0/p/1", "infrastructure", again=True),
            e.AttemptRetried(at=8, attempt="t0/p/1", why="infrastructure"),
            e.Draining(at=9),
        ),
        NOT_STARTED,
        12,
        12,
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_is_named_with_its_cause_and_counted_beside_the_scores(cause: str) -> None:
    state, why, *missing = CAUSES[cause]
    found = judged(state).comparison
    never = [one for one in found.excluded if not one.began]
    assert {one.why for one in never} == {why}
    assert [side.never_began for side in found.profiles] == missing
    assert len(never) == sum(missing)
    ended = [one.key.profile for one in state.attempts.values() if one.verdict is not None and not one.again]
    assert [side.attempts for side in found.profiles] == [ended.count("p"), ended.count("q")], "no failure"
    said = f"{sum(missing)} attempts never began: {why}"
    assert said in drawn(Group(*view.terminal(state)), 400)
    assert f"- left out: {said}" in "\n".join(view.text_markdown(state)).replace("`", "")
    rows = view.as_json(state)["excluded"]
    assert isinstance(rows, list)
    assert {"attempt": never[0].attempt, "why": why, "began": False} in rows
    material = Material(state, 10.0, comparison=found)
    assert said.replace("'", "&#x27;") in str(fairness(material)).replace("&#39;", "&#x27;")
    assert "never began" in str(acceptance(material))


def test_what_is_still_to_be_done_is_not_among_them() -> None:
    assert unbegun(one_task(night())) == []
    assert "never began" not in drawn(Group(*view.terminal(one_task(night()))), 400)


def test_what_is_not_compared_is_not_either() -> None:
    state = one_task(night())
    plan = state.plan.model_copy(
        update={"tasks": tuple(one.model_copy(update={"compared": False}) for one in state.plan.tasks)}
    )
    assert unbegun(after(started(plan), e.Draining(at=9))) == []


def test_what_a_decided_comparison_does_not_need_is_told_so() -> None:
    assert {one.why for one in unbegun(decided())} == {DECIDED}


def test_where_one_profile_misses_many_that_is_said() -> None:
    lopsided = judged(CAUSES["a profile's"][0]).comparison
    (told,) = [note for note in lopsided.notes if "not as many" in note]
    assert told.startswith("not as many never began of each (10 of p, 0 of q): ")
    even = judged(CAUSES["the run's budget"][0]).comparison
    assert not any("not as many" in note for note in even.notes), "one of twelve is no lean"


def test_a_counterpart_that_never_began_is_one_that_does_not_count() -> None:
    state = after(done(one_task(night()), 1, q="accepted"), e.Draining(at=9))
    assert any("1 attempt that counts has a counterpart that does not" in note
               for note in judged(state).comparison.notes)  # fmt: skip

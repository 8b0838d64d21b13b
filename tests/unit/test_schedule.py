"""What may start, what waits and why, what is held: the pure function, and its invariants."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.deadline import midnight
from runner.supervisor.ending import exit_code, still_ahead
from runner.supervisor.graph import schedule
from runner.supervisor.graph.retrying import following
from runner.supervisor.graph.schedule import Agenda, decide, finished
from runner.supervisor.state import RunState
from runner.tasks.plan import ClaudeSettings, PlannedAttempt, Spent
from tests.unit.makers import BASE, after, life, make_plan, started

A, B, C = (PlannedAttempt(task=name, profile="p") for name in ("a", "b", "c"))


def needing(task: str, *needs: str, start: bool = True) -> PlannedAttempt:
    return PlannedAttempt(task=task, profile="p", after=(needs,), start=needs if start else ())


def standing(state: RunState, jobs: int = 2) -> list[str]:
    return [decision.standing for decision in decide(state, jobs)]


def test_as_many_start_as_there_are_places() -> None:
    state = started(make_plan(A, B, C))
    assert standing(state, jobs=2) == ["start", "start", "wait"]


def test_nothing_starts_before_its_image() -> None:
    assert standing(started(make_plan(A), image=False)) == ["wait"]


def test_a_broken_image_fails_what_needs_it() -> None:
    state = after(started(make_plan(A), image=False), e.ImageFailed(at=1, source=0, cli=None, reason="no"))
    assert [(d.standing, d.why) for d in decide(state, 1)] == [("fail", "no")]


def test_a_dependent_waits_then_starts_from_the_branch() -> None:
    state = started(make_plan(A, needing("b", "a/p/1")))
    assert standing(state) == ["start", "wait"]
    state = after(state, *life("a/p/1", "accepted"))
    assert [(d.standing, d.base) for d in decide(state, 2)] == [("final", None), ("start", "b" * 40)]


def test_a_dependent_of_a_failure_is_held_and_so_is_what_needs_it() -> None:
    state = started(make_plan(A, needing("b", "a/p/1"), needing("c", "b/p/1")))
    state = after(state, *life("a/p/1", "rejected"))
    assert standing(state) == ["final", "held", "held"]
    assert finished(state)


def test_a_dependent_starts_from_the_base_where_it_says_so() -> None:
    state = after(started(make_plan(A, needing("b", "a/p/1", start=False))), *life("a/p/1", "accepted"))
    assert [d.base for d in decide(state, 2)] == [None, BASE]


def test_the_first_in_order_wins_not_the_first_in_time() -> None:
    one, two = PlannedAttempt(task="a", profile="one"), PlannedAttempt(task="a", profile="two")
    state = started(make_plan(one, two, needing("b", "a/one/1", "a/two/1")))
    state = after(state, *life("a/two/1", "accepted", commit="2" * 40))
    assert standing(state)[2] == "wait"
    state = after(state, *life("a/one/1", "accepted", commit="1" * 40))
    assert decide(state, 2)[2].base == "1" * 40


def test_infrastructure_is_tried_again_and_the_dependent_waits_for_it() -> None:
    state = started(make_plan(A, needing("b", "a/p/1")))
    state = after(state, *life("a/p/1", "infrastructure", again=True))
    assert [(str(d.key), d.standing) for d in decide(state, 2)] == [("a/p/1.2", "start"), ("b/p/1", "wait")]
    state = after(state, *life("a/p/1.2", "accepted"))
    assert standing(state) == ["final", "start"]


def test_a_paused_run_starts_nothing_and_is_not_at_its_end() -> None:
    state = after(started(make_plan(A, B)), e.RunPaused(at=1))
    assert standing(state) == ["wait", "wait"]
    assert not finished(state)
    assert standing(after(state, e.RunUnpaused(at=2))) == ["start", "start"]


@pytest.mark.parametrize("signal", [e.Draining(at=1), e.Stopping(at=1)])
def test_nothing_starts_once_a_person_interrupted(signal: e.Event) -> None:
    state = after(started(make_plan(A, B)), signal)
    assert standing(state) == ["held", "held"]
    assert finished(state)


def shut(profile: str, *, for_good: bool = False) -> e.Event:
    """That profile waits for a window."""
    window = e.Shut(
        profile=profile, window="the 5-hour window of anthropic", since=1, until=999, for_good=for_good
    )
    return e.WindowsChanged(at=1, shut=(window,))


def test_nothing_starts_into_a_closed_window_and_others_are_not_held_up() -> None:
    other = PlannedAttempt(task="b", profile="q")
    state = after(started(make_plan(A, other)), shut("p"))
    waits, starts = decide(state, 1)
    assert (waits.standing, starts.standing) == ("wait", "start")
    assert waits.why.startswith("for the 5-hour window of anthropic, until ")
    assert waits.until == 999
    assert not finished(state)
    assert standing(after(state, e.WindowsChanged(at=2))) == ["start", "start"]


def test_who_does_not_want_to_wait_for_a_window_is_held_and_the_run_ends() -> None:
    state = after(started(make_plan(A)), shut("p", for_good=True))
    assert standing(state) == ["held"]
    assert finished(state)
    assert exit_code(state) == 4


def test_nothing_starts_once_the_end_of_the_run_came() -> None:
    state = after(started(make_plan(A, B)), *life("a/p/1", "accepted"), e.RunOver(at=8, until=8))
    assert standing(state) == ["final", "held"]
    assert finished(state)
    assert exit_code(state) == 4
    assert exit_code(after(started(make_plan(A)), *life("a/p/1", "accepted"), e.RunOver(at=8, until=8))) == 0
    resumed = after(state, e.RunResumed(at=9, jobs=1), e.ImageReady(at=9, source=0, cli=None, image="i"))
    assert standing(resumed) == ["final", "start"]


def test_an_end_that_passed_binds_only_what_was_under_way() -> None:
    state = started(make_plan(A))
    assert still_ahead(state, 5) is None
    bound = after(state, e.RunResumed(at=2, jobs=1, until=100))
    assert still_ahead(bound, 5) == still_ahead(bound, 200) == 100
    ended = after(bound, e.RunEnded(at=101, exit_code=4))
    assert (still_ahead(ended, 50), still_ahead(ended, 200)) == (100, None)


@st.composite
def plans(draw: st.DrawFn) -> tuple[PlannedAttempt, ...]:
    """Attempts of random dependencies, each on earlier ones."""
    made: list[PlannedAttempt] = []
    for number in range(draw(st.integers(1, 8))):
        earlier = [str(attempt.key) for attempt in made]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2)) if earlier else []
        start = draw(st.booleans())
        made.append(
            PlannedAttempt(
                task=f"t{number}",
                profile="p",
                after=tuple((n,) for n in needs),
                start=tuple(needs[:1]) if start else (),
            )
        )
    return tuple(made)


@given(plans(), st.integers(1, 4), st.data())
def test_every_attempt_ends_once_or_is_held(
    attempts: tuple[PlannedAttempt, ...], jobs: int, data: st.DataObject
) -> None:
    """Whatever the verdicts: no more live than there are places, needs are kept, and it comes to an end."""
    state = started(make_plan(*attempts), jobs)
    living: list[AttemptKey] = []
    agenda = Agenda(state)
    for _ in range(200):
        state = after(state, data.draw(st.sampled_from([e.WindowsChanged(at=1), shut("p"), shut("p")])))
        if not living:  # whatever it waited for, a window opens at last
            state = after(state, e.WindowsChanged(at=1))
        agenda.follow(state)
        assert agenda.all(jobs) == decide(state, jobs), "what it remembers is what it would decide anew"
        assert [d for d in agenda.all(jobs) if d.standing in {"start", "fail"}] == agenda.due(jobs)
        assert agenda.finished == finished(state)
        for decision in decide(state, jobs):
            if decision.standing == "start":
                assert state.shut_for(decision.key.profile) is None
                planned = state.planned(decision.key)
                assert all(
                    state.serves(state.tries(AttemptKey.parse(group[0]))[-1]) for group in planned.after
                )
                starting = life(str(decision.key), "accepted")[0]
                state = after(state, starting)
                living.append(decision.key)
        assert len(living) <= jobs
        if not living:
            break
        key = living.pop(data.draw(st.integers(0, len(living) - 1)))
        verdict = data.draw(st.sampled_from(["accepted", "rejected", "oom", "infrastructure", "no-change"]))
        again = verdict == "infrastructure" and key.try_ == 1
        state = after(state, *life(str(key), verdict, again=again)[1:])
    assert finished(state)
    assert {a.phase for a in state.attempts.values()} <= {"final", "queued"}


def test_a_free_place_goes_to_the_higher_priority_and_then_by_the_plan() -> None:
    plan = make_plan(A, B, C)
    urgent = dict(zip("abc", ("low", "normal", "high"), strict=True))
    tasks = tuple(task.model_copy(update={"priority": urgent[task.id]}) for task in plan.tasks)
    state = started(plan.model_copy(update={"tasks": tasks}))
    assert standing(state, jobs=1) == ["wait", "wait", "start"]
    assert standing(state, jobs=2) == ["wait", "start", "start"]
    assert standing(started(plan), jobs=1) == ["start", "wait", "wait"]


def test_what_needs_another_waits_for_it_whatever_its_priority() -> None:
    plan = make_plan(A, needing("b", "a/p/1"))
    tasks = (plan.tasks[0], plan.tasks[1].model_copy(update={"priority": "high"}))
    assert standing(started(plan.model_copy(update={"tasks": tasks})), jobs=1) == ["start", "wait"]


def asking(*attempts: PlannedAttempt) -> RunState:
    """A run of these, whose profiles ask a model."""
    plan = make_plan(*attempts)
    profiles = tuple(
        profile.model_copy(update={"settings": ClaudeSettings(model="m")}) for profile in plan.profiles
    )
    state = started(plan.model_copy(update={"profiles": profiles}), image=False)
    return after(state, e.ImageReady(at=1, source=0, cli="claude", image="i"))


def over(attempt: str, spent: Spent) -> list[e.Event]:
    """The events of an attempt that finds a budget spent."""
    return [
        event.model_copy(update={"spent": spent}) if isinstance(event, e.AttemptEnded) else event
        for event in life(attempt, "over-budget")
    ]


@pytest.mark.parametrize(
    ("spent", "held"),
    [("attempt", ""), ("task", "a/p/2"), ("profile", "a/p/2 b/p/1"), ("run", "a/p/2 b/p/1 b/q/1")],
)
def test_a_spent_budget_holds_those_who_share_it_at_once(spent: Spent, held: str) -> None:
    again, other = PlannedAttempt(task="a", profile="p", n=2), PlannedAttempt(task="b", profile="q")
    state = asking(A, again, B, other)
    agenda = Agenda(state)
    state = after(state, *over("a/p/1", spent))
    agenda.follow(state)
    found = [str(decision.key) for decision in agenda.all(4) if decision.standing == "held"]
    assert " ".join(found) == held
    assert agenda.all(4) == decide(state, 4)


def test_who_has_no_budget_left_today_waits_for_tomorrow() -> None:
    state = asking(A, B)
    agenda = Agenda(state)
    state = after(state, *over("a/p/1", "day"))
    agenda.follow(state)
    [_, waits] = agenda.all(4)
    assert (waits.standing, waits.why) == ("wait", "for a new day: the budget of this one is spent")
    assert waits.until == midnight(state.of_day or 0.0)
    assert not agenda.finished
    state = after(state, e.DayBegan(at=waits.until))
    agenda.follow(state)
    assert [decision.standing for decision in agenda.all(4)] == ["final", "start"]
    assert agenda.all(4) == decide(state, 4)


def test_who_must_end_before_tomorrow_does_not_wait_for_it() -> None:
    for state in (
        replace(asking(A, B), until=3600.0),
        replace(asking(A, B), plan=asking(A, B).plan.model_copy(update={"on_limit": "stop"})),
    ):
        spent = after(state, *over("a/p/1", "day"))
        assert [decision.standing for decision in decide(spent, 4)] == ["final", "held"]
        assert finished(spent)
        assert exit_code(spent) == 4


def test_a_fault_of_ours_on_a_day_without_budget_is_tried_again_tomorrow() -> None:
    lost = after(asking(A, B), *over("a/p/1", "day"), *life("b/p/1", "infrastructure"))
    follows = following(lost, AttemptKey.parse("b/p/1"), 9.0)
    assert follows is not None
    assert decide(after(lost, follows), 4)[1].standing == "wait"


def test_tasks_that_a_spent_budget_kept_from_starting_end_the_run_with_4() -> None:
    two = PlannedAttempt(task="a", profile="q")
    state = after(asking(A, two, B), *life("a/q/1", "done"), *over("a/p/1", "run"))
    assert state.task_served("a")
    assert exit_code(state) == 4


def test_who_follows_a_skipped_task_follows_what_that_needed() -> None:
    first, second = PlannedAttempt(task="a", profile="q"), PlannedAttempt(task="a", profile="p")
    plan = make_plan(first, second, needing("b", "a/q/1", "a/p/1"), needing("c", "b/p/1"))
    state = after(started(plan), *life("a/q/1", "rejected"), *life("a/p/1", "accepted"))
    state = after(state, *life("b/p/1", "infrastructure")[2:], e.TaskDecided(at=9, task="b", what="skip"))
    agenda = Agenda(state)
    for event in (
        e.AttemptRetried(at=9, attempt="a/q/1", why="person"),
        *life("a/q/1.2", "accepted", commit="c" * 40),
    ):
        state = after(state, event)
        agenda.follow(state)
        assert agenda.all(4) == decide(state, 4)
    assert agenda.all(4)[-1].base == "c" * 40


def test_an_event_has_only_those_judged_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run of ten thousand costs rests on it: no field that an attempt's event changes is the run's."""
    many = [PlannedAttempt(task=f"t{number}", profile="p") for number in range(50)]
    state = started(make_plan(*many, needing("last", "t0/p/1")))
    agenda = Agenda(state)
    judged: list[str] = []

    def judge(state: RunState, planned: PlannedAttempt, held: set[AttemptKey]) -> schedule.Decision:
        judged.append(planned.task)
        return decide_one(state, planned, held)

    decide_one = schedule._decide_one
    monkeypatch.setattr(schedule, "_decide_one", judge)
    happens = [
        *life("t0/p/1", "rejected")[:2],
        e.AttemptHeld(at=3, attempt="t0/p/1", container="c", why="", seconds=1, held_s=0, told_s=0),
        e.AttemptFrozen(at=3, attempt="t0/p/1", why="paused", by="person"),
        e.AttemptThawed(at=3, attempt="t0/p/1"),
        *life("t0/p/1", "rejected")[2:],
        e.AttemptRetried(at=8, attempt="t0/p/1", why="feedback", not_before=9.0),
        e.AttemptRested(at=9, attempt="t0/p/1.2"),
    ]
    for event in happens:
        state = after(state, event)
        judged.clear()
        agenda.follow(state)
        assert set(judged) <= {"t0", "last"}, event.kind

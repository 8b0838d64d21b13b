"""What is tried again, how often, when and how: the table, and its invariants."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.graph import retrying
from runner.supervisor.graph.schedule import decide, finished
from runner.supervisor.graph.trying import beginning
from runner.supervisor.pauses import Pauses
from runner.supervisor.state import RunState
from runner.supervisor.verdict import Verdict, served
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import GIB, CheckSpec, Hidden, Plan, PlannedAttempt, Retry
from tests.unit.makers import BASE, after, life, make_plan, started

A = PlannedAttempt(task="a", profile="p")
B = PlannedAttempt(task="b", profile="p", after=(("a/p/1",),), start=("a/p/1",))
KEY = AttemptKey("a", "p")
SESSION = "00000000-0000-0000-0000-000000000001"
USUAL = Retry(infrastructure=3, pause=15.0, feedback=1)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
REACHED = tuple(verdict for verdict in VERDICTS if verdict != "skipped")
"""Those that an attempt can end with which began."""


def plan_of(retry: Retry = USUAL, *attempts: PlannedAttempt) -> Plan:
    plan = make_plan(*(attempts or (A,)))
    tasks = tuple(task.model_copy(update={"retry": retry}) for task in plan.tasks)
    return plan.model_copy(update={"tasks": tasks})


def ended(attempt: str, verdict: str, *, home: bool = True, **more: Any) -> list[e.Event]:
    """The events of an attempt that ends with this verdict, its HOME kept."""
    events = life(attempt, verdict, **more)
    told = [
        event.model_copy(update={"session": SESSION}) if isinstance(event, e.AttemptEnded) else event
        for event in events
    ]
    return [
        event.model_copy(update={"home": home}) if isinstance(event, e.AttemptFinal) else event
        for event in told
    ]


def followed(state: RunState, now: float = 8.0) -> RunState:
    """The state with the try that follows, if one does."""
    follows = retrying.following(state, KEY, now)
    return state if follows is None else after(state, follows)


def test_the_table_has_every_verdict_and_so_have_the_docs() -> None:
    assert set(retrying.WAYS) == set(VERDICTS)
    text = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| \*([a-z]+)\* ", text, re.MULTILINE)
    told = {verdict: way for names, way in rows for verdict in re.findall(r"`([a-z-]+)`", names)}
    assert told == {
        verdict: way for verdict, way in retrying.WAYS.items() if not served(verdict, may_be_empty=False)
    }


def test_a_fault_of_ours_is_tried_again_later_each_time_and_not_for_ever() -> None:
    state, waits = started(plan_of()), []
    for number in range(1, 10):
        name = str(AttemptKey("a", "p", 1, number))
        state = after(state, *ended(name, "infrastructure"))
        follows = retrying.following(state, KEY, 100.0)
        if follows is None:
            break
        assert (follows.why, follows.told, follows.session) == ("infrastructure", None, None)
        assert follows.not_before is not None
        waits.append(follows.not_before - follows.at)
        state = after(state, follows)
        assert [(d.standing, d.until) for d in decide(state, 1)] == [("wait", follows.not_before)]
        assert not finished(state)
        state = after(state, e.AttemptRested(at=1, attempt=f"a/p/1.{number + 1}"))
        assert [d.standing for d in decide(state, 1)] == ["start"]
    assert waits == [15.0, 60.0, 240.0]
    assert finished(state)


def test_what_never_began_is_not_tried_again_by_itself() -> None:
    """Its image could not be prepared: that does not change in the same run."""
    state = started(plan_of())
    for event in ended("a/p/1", "infrastructure")[2:]:
        state = after(state, event)
    assert retrying.following(state, KEY, 8.0) is None


def test_a_rejected_check_is_told_once_to_the_same_conversation() -> None:
    state = after(started(plan_of()), *ended("a/p/1", "rejected"))
    follows = retrying.following(state, KEY, 8.0)
    assert follows == e.AttemptRetried(
        at=8.0, attempt="a/p/1", why="feedback", told="a/p/1",
        base=BASE, on="b" * 40, session=SESSION, home="a/p/1",
    )  # fmt: skip
    state = after(state, follows)
    assert state.attempts[KEY].again
    assert [(str(d.key), d.standing, d.base) for d in decide(state, 1)] == [("a/p/1.2", "start", BASE)]
    state = after(state, *ended("a/p/1.2", "rejected"))
    assert retrying.following(state, KEY, 9.0) is None


def test_a_conversation_whose_home_or_work_was_not_kept_does_not_go_on() -> None:
    gone = after(started(plan_of()), *ended("a/p/1", "agent-error", home=False))
    follows = retrying.following(gone, KEY, 8.0)
    assert follows is not None
    assert (follows.why, follows.told, follows.on, follows.session) == ("feedback", "a/p/1", None, None)
    fresh = after(started(plan_of(Retry(feedback=1, session="fresh"))), *ended("a/p/1", "rejected"))
    follows = retrying.following(fresh, KEY, 8.0)
    assert follows is not None
    assert (follows.on, follows.home, follows.base) == (None, None, None)


def test_what_a_fault_of_ours_ended_begins_again_as_it_began() -> None:
    state = followed(after(started(plan_of()), *ended("a/p/1", "rejected")))
    state = followed(after(state, *ended("a/p/1.2", "infrastructure")), now=9.0)
    second, third = (state.tries(KEY)[number].retry for number in (1, 2))
    assert second is not None
    assert third is not None
    assert third == second.model_copy(
        update={"at": 9.0, "attempt": "a/p/1.2", "why": "infrastructure", "not_before": 24.0}
    )


def test_more_memory_is_given_where_the_file_allows_it_and_stays() -> None:
    state = after(started(plan_of()), *ended("a/p/1", "oom"))
    assert retrying.following(state, KEY, 8.0) is None
    state = after(started(plan_of(Retry(feedback=1, memory=8 * GIB))), *ended("a/p/1", "oom"))
    state = followed(state)
    assert state.limits(state.tries(KEY)[-1].key).memory == 8 * GIB
    state = followed(after(state, *ended("a/p/1.2", "rejected")))
    assert state.limits(state.tries(KEY)[-1].key).memory == 8 * GIB
    assert retrying.following(after(state, *ended("a/p/1.3", "oom")), KEY, 8.0) is None


@pytest.mark.parametrize(
    "signal", [e.Draining(at=7), e.Stopping(at=7), e.RunOver(at=7, until=7)], ids=lambda event: event.kind
)
@pytest.mark.parametrize("verdict", ["rejected", "infrastructure"])
def test_nothing_is_tried_again_once_the_run_ends_but_it_is_once_it_is_resumed(
    signal: e.Event, verdict: str
) -> None:
    state = after(started(plan_of()), signal, *ended("a/p/1", verdict))
    assert list(retrying.due(state, 8.0)) == []
    resumed = after(state, e.RunEnded(at=9, exit_code=1), e.RunResumed(at=10, jobs=1))
    assert [str(follows.attempt) for follows in retrying.due(resumed, 11.0)] == ["a/p/1"]


def test_nothing_is_tried_again_for_which_there_is_no_budget() -> None:
    plan = plan_of(USUAL, A, PlannedAttempt(task="c", profile="p"))
    profiles = tuple(
        p.model_copy(update={"upstream": p.upstream.model_copy(update={"kind": "script"})})
        for p in plan.profiles
    )
    spent = [
        event.model_copy(update={"spent": "run"}) if isinstance(event, e.AttemptEnded) else event
        for event in ended("c/p/1", "over-budget")
    ]
    state = after(
        started(plan.model_copy(update={"profiles": profiles})), *spent, *ended("a/p/1", "rejected")
    )
    assert list(retrying.due(state, 8.0)) == []


def test_a_dependent_waits_for_the_try_that_follows() -> None:
    state = followed(after(started(plan_of(USUAL, A, B)), *ended("a/p/1", "rejected")))
    assert [d.standing for d in decide(state, 2)] == ["start", "wait"]
    state = after(state, *ended("a/p/1.2", "accepted", commit="c" * 40))
    assert [(d.standing, d.base) for d in decide(state, 2)] == [("final", None), ("start", "c" * 40)]


@given(
    st.lists(st.sampled_from(REACHED), min_size=40, max_size=40),
    st.integers(0, 4),
    st.integers(0, 3),
    st.booleans(),
)
def test_tries_are_bounded_whatever_comes(
    verdicts: list[Verdict], infrastructure: int, feedback: int, memory: bool
) -> None:
    """No more than the policy says, one for each reason at a time, and none after what served."""
    retry = Retry(
        infrastructure=infrastructure, pause=1.0, feedback=feedback, memory=64 * GIB if memory else None
    )
    state = started(plan_of(retry))
    for number, verdict in enumerate(verdicts, 1):
        state = after(state, *ended(str(AttemptKey("a", "p", 1, number)), verdict))
        follows = retrying.following(state, KEY, 10.0)
        if follows is None:
            break
        assert not served(verdict, may_be_empty=False)
        state = after(state, follows)
    else:
        pytest.fail("it never ends")
    tries = state.tries(KEY)
    why = Counter(one.retry.why for one in tries if one.retry is not None)
    assert len(tries) <= 1 + infrastructure + feedback + memory
    assert why["infrastructure"] <= infrastructure
    assert why["feedback"] <= feedback
    assert why["memory"] <= memory
    assert [one.key.try_ for one in tries] == list(range(1, len(tries) + 1)), "every try keeps its record"
    assert all(one.verdict is not None for one in tries)


@given(st.floats(0.1, 3600), st.integers(1, 20))
def test_pauses_grow_up_to_a_bound(first: float, times: int) -> None:
    retry = Retry(pause=first)
    pauses = [retrying.pause(retry, number) for number in range(1, times + 2)]
    assert pauses[0] == min(first, retrying.LONGEST_PAUSE)
    assert all(later > sooner or later == retrying.LONGEST_PAUSE for sooner, later in pairwise(pauses))
    assert max(pauses) <= retrying.LONGEST_PAUSE


def test_journals_of_earlier_versions_fold_and_their_tries_count() -> None:
    old = Retry(infrastructure=2)
    state = after(started(plan_of(old)), *life("a/p/1", "infrastructure", again=True))
    assert [(str(d.key), d.standing) for d in decide(state, 1)] == [("a/p/1.2", "start")]
    state = after(state, *life("a/p/1.2", "infrastructure"))
    state = followed(state)
    assert len(state.tries(KEY)) == 3
    state = after(state, *life("a/p/1.3", "infrastructure"))
    assert retrying.following(state, KEY, 8.0) is None


def test_a_pause_is_told_once_when_it_is_over() -> None:
    now = [100.0]
    pauses: Pauses[str] = Pauses(lambda: now[0])
    pauses.begin("a", 5)
    pauses.begin("b", 10)
    assert pauses.over() == []
    now[0] = 105.0
    assert pauses.over() == ["a"]
    assert pauses.over() == []
    now[0] = 200.0
    assert pauses.over() == ["b"]


@pytest.mark.parametrize("hidden", [True, False])
def test_an_agent_is_told_nothing_of_what_hidden_tests_say(tmp_path: Path, hidden: bool) -> None:
    plan = plan_of()
    checks = (CheckSpec(name="seen", run="make"), CheckSpec(name="unseen", run="pytest tests/test_secret.py"))
    changed = {
        "checks": checks,
        "prompt": "Do it.",
        "hidden": Hidden(path="/x", digest="y") if hidden else None,
    }
    plan = plan.model_copy(update={"tasks": (plan.tasks[0].model_copy(update=changed),)})
    told = CheckResult(
        name="unseen", check="failed", reason="1 test that passed before fails: test_secret::a"
    )
    lived = [
        event.model_copy(update={"checks": (told,), "reason": told.reason})
        if isinstance(event, e.AttemptChecked)
        else event
        for event in ended("a/p/1", "rejected")
    ]
    state = followed(after(started(plan), *lived))
    log = log_file(tmp_path, state.name, KEY, "check.log")
    log.parent.mkdir(parents=True)
    log.write_text("corral: ready\nE   assert secret(3) == 4\n")
    task, _ = beginning(state, replace(KEY, try_=2), tmp_path)
    leaks = [words for words in ("secret(3)", "test_secret") if words in task.prompt]
    assert leaks == ([] if hidden else ["secret(3)", "test_secret"])
    assert ("(unseen), which use tests that are not shown" in task.prompt) == hidden

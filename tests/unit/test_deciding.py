"""What a person has to decide, and what becomes of it: for dependents, for exit codes, for scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.ending import exit_code
from runner.supervisor.graph import deciding, retrying
from runner.supervisor.graph.schedule import decide, finished
from runner.supervisor.ownership import orders
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, PlannedAttempt, Retry
from runner.views import report, summary
from tests.unit.makers import BASE, after, life, make_plan, started

A, C = PlannedAttempt(task="a", profile="p"), PlannedAttempt(task="c", profile="p")
B = PlannedAttempt(task="b", profile="p", after=(("a/p/1",),), start=("a/p/1",))
D = PlannedAttempt(task="d", profile="p", after=(("b/p/1",),), start=("b/p/1",))


def compared(plan: Plan, *, retry: bool = False) -> Plan:
    tasks = tuple(task.model_copy(update={"compared": True}) for task in plan.tasks)
    names = tuple(profile.name for profile in plan.profiles)
    return plan.model_copy(update={"tasks": tasks, "compared": names, "compared_retry": retry})


def stands(state: RunState) -> dict[str, str]:
    return {str(d.key): d.standing for d in decide(state, 9)}


def obeyed(state: RunState, order: orders.Retry | orders.Decide) -> RunState:
    done = deciding.obey(state, order, 9.0)
    assert not isinstance(done, str), done
    return after(state, done)


def refused(state: RunState, order: orders.Retry | orders.Decide) -> str:
    done = deciding.obey(state, order, 9.0)
    assert isinstance(done, str), done
    return done


@pytest.fixture
def failed() -> RunState:
    """`a` was rejected; `b` needs it, and `d` needs `b`."""
    return after(started(make_plan(A, B, C, D)), *life("a/p/1", "rejected"), *life("c/p/1", "accepted"))


def test_a_task_that_failed_is_listed_once_with_all_that_waits_for_it(failed: RunState) -> None:
    (one,) = deciding.undecided(failed)
    assert (one.task, [str(a.key) for a in one.attempts]) == ("a", ["a/p/1"])
    assert [str(key) for key in one.waiting] == ["b/p/1", "d/p/1"]
    assert finished(failed), "the run does not wait for a person"
    assert exit_code(failed) == 1
    typed = [command for command, _ in deciding.commands(failed, one)]
    assert typed == [
        "corral show a/p/1 --run r",
        "corral logs a/p/1 --run r --check",
        "corral retry a/p/1 --run r",
        "corral decide r a skip",
        "corral decide r a use a/p/1",
    ]
    told = report.text_markdown(failed)
    assert all(command in told for command in typed)
    assert summary.summary(failed)["undecided"] == [
        {"task": "a", "attempts": ["a/p/1"], "waiting": ["b/p/1", "d/p/1"], "commands": typed}
    ]


def test_where_nothing_waits_all_that_can_be_typed_is_told_and_cheats_come_last() -> None:
    two = [PlannedAttempt(task="a", profile=name) for name in ("one", "two", "none")]
    state = after(
        started(make_plan(*two)),
        *life("a/one/1", "rejected"),
        *life("a/two/1", "rejected"),
        *life("a/none/1", "no-change"),
    )
    cheat = state.attempts[AttemptKey("a", "one")]
    cheat = replace(cheat, flags=("check-steered: it passes only with its own conftest.py",))
    state = replace(state, attempts=state.attempts.updated(cheat))
    (one,) = deciding.undecided(state)
    told = [(typed, what) for typed, what in deciding.commands(state, one) if "decide" in typed]
    assert told == [
        ("corral decide r a skip", "let it be: it need not be done"),
        ("corral decide r a use a/two/1", "take its work as accepted"),
        ("corral decide r a use a/one/1", f"take its work as accepted; {deciding.CHEATED}"),
    ]


def test_out_of_memory_is_listed_with_the_memory_to_give() -> None:
    state = after(started(make_plan(A)), *life("a/p/1", "oom"))
    (one,) = deciding.undecided(state)
    assert "corral retry a/p/1 --run r --memory 8GiB" in [c for c, _ in deciding.commands(state, one)]


def test_what_is_to_be_tried_again_is_not_for_a_person() -> None:
    plan = make_plan(A)
    tasks = tuple(task.model_copy(update={"retry": Retry(feedback=1)}) for task in plan.tasks)
    state = after(started(plan.model_copy(update={"tasks": tasks})), *life("a/p/1", "rejected"))
    follows = retrying.following(state, A.key, 8.0)
    assert follows is not None
    assert deciding.undecided(after(state, follows)) == []


def test_skipped_its_dependents_start_where_it_started(failed: RunState) -> None:
    state = obeyed(failed, orders.Decide(task="a", what="skip"))
    assert stands(state) == {"a/p/1": "final", "b/p/1": "start", "c/p/1": "final", "d/p/1": "wait"}
    assert next(d.base for d in decide(state, 9) if d.key == B.key) == BASE
    assert deciding.undecided(state) == []
    state = after(state, *life("b/p/1", "accepted"), *life("d/p/1", "accepted"))
    assert exit_code(state) == 0
    assert state.attempts[A.key].verdict == "rejected"


def test_what_never_began_is_skipped_to_where_it_would_have() -> None:
    events = life("b/p/1", "infrastructure", commit=None)[2:]  # its image could not be prepared
    state = after(started(make_plan(A, B, D)), *life("a/p/1", "accepted", commit="1" * 40), *events)
    state = obeyed(state, orders.Decide(task="b", what="skip"))
    assert next(d.base for d in decide(state, 9) if d.key == D.key) == "1" * 40


ONE, TWO = PlannedAttempt(task="i.1", profile="p"), PlannedAttempt(task="i.2", profile="p")
ITEMS = ("i.1/p/1", "i.2/p/1")


@pytest.mark.parametrize("item", ["i.1", "i.2"])
def test_where_any_item_is_enough_one_that_is_skipped_is_enough(item: str) -> None:
    join = PlannedAttempt(task="j", profile="p", after=(ITEMS,), settled=ITEMS)
    state = after(started(make_plan(ONE, TWO, join)), *life(f"{item}/p/1", "rejected"))
    state = obeyed(state, orders.Decide(task=item, what="skip"))
    assert stands(state)["j/p/1"] == "wait", "the other one may serve yet"
    other = next(task for task in ("i.1", "i.2") if task != item)
    lost = after(state, *life(f"{other}/p/1", "rejected"))
    assert stands(lost)["j/p/1"] == "start"
    assert next(d.base for d in decide(lost, 9) if d.key == join.key) == BASE
    assert [one.task for one in deciding.undecided(lost)] == [other]
    again = obeyed(lost, orders.Retry(attempt=f"{item}/p/1"))
    assert stands(again)["j/p/1"] == "wait"


def test_where_all_items_are_needed_each_must_be_skipped() -> None:
    join = PlannedAttempt(task="j", profile="p", after=tuple((item,) for item in ITEMS))
    lost = [event for item in ITEMS for event in life(item, "rejected")]
    state = after(started(make_plan(ONE, TWO, join)), *lost)
    for item, standing in (("i.2", "held"), ("i.1", "start")):
        state = obeyed(state, orders.Decide(task=item, what="skip"))
        assert stands(state)["j/p/1"] == standing


def test_work_that_a_person_chose_counts_as_accepted(failed: RunState) -> None:
    state = obeyed(failed, orders.Decide(task="a", what="use", attempt="a/p/1"))
    assert next(d.base for d in decide(state, 9) if d.key == B.key) == "b" * 40
    assert state.task_served("a")
    assert not state.serves(state.attempts[A.key]), "its verdict stays"
    row = summary.attempt_row(state, state.attempts[A.key])
    assert (row["verdict"], row["chosen"]) == ("rejected", True)


def test_a_person_s_choice_goes_before_what_served() -> None:
    one, two = PlannedAttempt(task="a", profile="one"), PlannedAttempt(task="a", profile="two")
    b = PlannedAttempt(task="b", profile="p", after=(("a/one/1", "a/two/1"),), start=("a/one/1", "a/two/1"))
    state = after(
        started(make_plan(one, two, b)),
        *life("a/one/1", "accepted", commit="1" * 40),
        *life("a/two/1", "rejected", commit="2" * 40),
    )
    state = obeyed(state, orders.Decide(task="a", what="use", attempt="a/two/1"))
    assert next(d.base for d in decide(state, 9) if d.key == b.key) == "2" * 40


def use(attempt: str) -> orders.Decide:
    return orders.Decide(task=attempt.split("/", maxsplit=1)[0], what="use", attempt=attempt)


SKIP_A = orders.Decide(task="a", what="skip")


@pytest.fixture
def two_ways() -> RunState:
    """`a` was done by two, of which one was accepted; `b` needs either."""
    one, two = PlannedAttempt(task="a", profile="one"), PlannedAttempt(task="a", profile="two")
    b = PlannedAttempt(task="b", profile="p", after=(("a/one/1", "a/two/1"),), start=("a/one/1", "a/two/1"))
    return after(
        started(make_plan(one, two, b)),
        *life("a/one/1", "accepted", commit="1" * 40),
        *life("a/two/1", "rejected", commit="2" * 40),
    )


def test_the_last_word_of_a_person_counts(two_ways: RunState) -> None:
    def said(*words: orders.Decide) -> tuple[list[str], list[str], str | None]:
        state = two_ways
        for word in words:
            state = obeyed(state, word)
        (base,) = [one.base for one in decide(state, 9) if one.key.task == "b"]
        return [str(key) for key in state.used], sorted(state.skipped), base

    one, two = use("a/one/1"), use("a/two/1")
    assert said(two, one) == (["a/one/1"], [], "1" * 40)
    assert said(one, two) == (["a/two/1"], [], "2" * 40)
    assert said(two, SKIP_A) == ([], ["a"], "1" * 40), "what served by itself does so still"
    assert said(SKIP_A, two) == (["a/two/1"], [], "2" * 40)
    assert said(two, SKIP_A, one) == (["a/one/1"], [], "1" * 40)
    assert said(two, two) == (["a/two/1"], [], "2" * 40)


def test_a_word_on_one_lineage_says_nothing_of_another() -> None:
    attempts = [PlannedAttempt(task="a", profile=name) for name in ("one", "two")]
    needing = [
        PlannedAttempt(task="b", profile=name, after=((f"a/{name}/1",),), start=(f"a/{name}/1",))
        for name in ("one", "two")
    ]
    lost = [event for name in ("one", "two") for event in life(f"a/{name}/1", "rejected")]
    state = after(started(compared(make_plan(*attempts, *needing))), *lost)
    both = obeyed(obeyed(state, use("a/two/1")), use("a/one/1"))
    assert [str(key) for key in both.used] == ["a/two/1", "a/one/1"]
    assert {stands(both)[f"b/{name}/1"] for name in ("one", "two")} == {"start"}
    rest_skipped = obeyed(obeyed(state, SKIP_A), use("a/one/1"))
    assert {stands(rest_skipped)[f"b/{name}/1"] for name in ("one", "two")} == {"start"}
    assert stands(obeyed(both, SKIP_A)) == stands(rest_skipped)


def test_a_lineage_that_failed_is_listed_though_the_task_served() -> None:
    attempts = [PlannedAttempt(task="a", profile=name) for name in ("one", "two")]
    needing = [
        PlannedAttempt(task="b", profile=name, after=((f"a/{name}/1",),), start=(f"a/{name}/1",))
        for name in ("one", "two")
    ]
    state = after(
        started(compared(make_plan(*attempts, *needing))),
        *life("a/one/1", "accepted"),
        *life("a/two/1", "rejected", commit="2" * 40),
    )
    (one,) = deciding.undecided(state)
    assert [str(key) for key in one.waiting] == ["b/two/1"]
    state = obeyed(state, orders.Decide(task="a", what="use", attempt="a/two/1"))
    assert stands(state)["b/two/1"] == "start"
    assert deciding.undecided(state) == []


def test_compared_tasks_without_dependents_are_nobody_s_to_decide() -> None:
    state = after(started(compared(make_plan(A))), *life("a/p/1", "rejected"))
    assert deciding.undecided(state) == []
    assert len(deciding.undecided(after(started(make_plan(A)), *life("a/p/1", "rejected")))) == 1


def test_tried_again_by_a_person_it_can_be_told_something(failed: RunState) -> None:
    state = obeyed(failed, orders.Retry(attempt="a/p/1", memory=9, note="Look at the lexer."))
    led = state.tries(A.key)[-1].retry
    assert led is not None
    assert (led.why, led.told, led.memory, led.note) == ("person", "a/p/1", 9, "Look at the lexer.")
    assert stands(state)["a/p/1.2"] == "start"
    assert deciding.undecided(state) == []


def test_what_was_skipped_is_skipped_no_more_once_it_is_tried_again(failed: RunState) -> None:
    state = obeyed(failed, orders.Decide(task="a", what="skip"))
    state = obeyed(state, orders.Retry(attempt="a/p/1"))
    assert stands(state)["b/p/1"] == "wait"


def test_what_cannot_be_done_is_refused_in_words(failed: RunState) -> None:
    assert "no task 'x'" in refused(failed, orders.Decide(task="x", what="skip"))
    assert "b has not ended" in refused(failed, orders.Decide(task="b", what="skip"))
    assert "c served" in refused(failed, orders.Decide(task="c", what="skip"))
    assert "no attempt 'c/p/1' of a" in refused(failed, orders.Decide(task="a", what="use", attempt="c/p/1"))
    assert "no attempt 'a/p/2'" in refused(failed, orders.Retry(attempt="a/p/2"))
    assert "no attempt 'nonsense'" in refused(failed, orders.Retry(attempt="nonsense"))
    assert "b/p/1 has not ended" in refused(failed, orders.Retry(attempt="b/p/1"))
    assert "c/p/1 served" in refused(failed, orders.Retry(attempt="c/p/1"))
    assert "can't go on" in refused(failed, orders.Retry(attempt="a/p/1", session="resume"))
    again = obeyed(failed, orders.Retry(attempt="a/p/1"))
    assert "a/p/1.2 has not ended" in refused(again, orders.Retry(attempt="a/p/1"))
    empty = after(started(make_plan(A)), *life("a/p/1", "no-change"))
    assert "no branch" in refused(empty, orders.Decide(task="a", what="use", attempt="a/p/1"))


def scored(state: RunState) -> list[tuple[str, float | None]]:
    return [(row.verdict, row.seconds) for row in summary.scored(state)]


def tried(state: RunState, number: int, verdict: str, why: e.Why | None, seconds: float = 2.0) -> RunState:
    """The state after one more try."""
    if why is not None:
        last = str(AttemptKey("a", "p", 1, number - 1))
        state = after(state, e.AttemptRetried(at=8, attempt=last, why=why))
    events = life(str(AttemptKey("a", "p", 1, number)), verdict)
    timed = [
        event.model_copy(update={"seconds": seconds}) if isinstance(event, e.AttemptEnded) else event
        for event in events
    ]
    return after(state, *timed)


def test_only_the_first_try_is_scored_and_infrastructure_does_not_count() -> None:
    state = tried(started(compared(make_plan(A))), 1, "infrastructure", None)
    state = tried(state, 2, "rejected", "infrastructure")
    state = tried(state, 3, "accepted", "person")
    assert scored(state) == [("rejected", 2.0)]


def test_with_retries_compared_the_end_is_scored_for_all_that_it_took() -> None:
    state = tried(started(compared(make_plan(A), retry=True)), 1, "rejected", None)
    state = tried(state, 2, "infrastructure", "feedback", seconds=50)
    state = tried(state, 3, "accepted", "infrastructure")
    assert scored(state) == [("accepted", 4.0)]
    lost = tried(started(compared(make_plan(A), retry=True)), 1, "rejected", None)
    assert scored(tried(lost, 2, "accepted", "person")) == [("rejected", 2.0)]


def test_a_person_s_choice_changes_no_score() -> None:
    state = after(started(compared(make_plan(A))), *life("a/p/1", "rejected"))
    state = obeyed(state, orders.Decide(task="a", what="use", attempt="a/p/1"))
    assert [row.accepted for row in summary.scored(state)] == [False]


def test_a_run_that_ended_goes_on_only_where_there_is_something_to_do() -> None:
    state = after(started(make_plan(A)), *life("a/p/1", "rejected"), e.RunEnded(at=9, exit_code=1))
    assert not deciding.can_go_on(state, ordered=False)
    assert deciding.can_go_on(state, ordered=True)


def test_the_docs_name_the_commands() -> None:
    text = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text()
    assert all(f"corral decide RUN fix-parser {what}" in text for what in ("retry", "skip", "use"))

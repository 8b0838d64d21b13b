"""Which accepted branches are to be put together: one for each task, and what these build on."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runner.supervisor import events as e
from runner.supervisor.morning.chosen import Gathered, gathered
from runner.supervisor.morning.joining import passed_over
from runner.supervisor.state import RunState
from runner.tasks.plan import PlannedAttempt, Source
from tests.unit.makers import BASE, after, life, make_plan, started


def commit(name: str) -> str:
    """A commit's id that can be told by its attempt."""
    return name.encode().hex().ljust(40, "0")[:40]


def night(*attempts: tuple[str, str, str | None], used: str | None = None) -> RunState:
    """A run of these: name, verdict, and the attempt that it builds on."""
    planned = [PlannedAttempt(task=n.split("/")[0], profile=n.split("/")[1]) for n, _, _ in attempts]
    state = started(make_plan(*planned))
    for name, verdict, on in attempts:
        base = BASE if on is None else commit(on)
        state = after(state, *life(name, verdict, commit=commit(name), base=base))
    if used is not None:
        state = after(state, e.TaskDecided(at=9, task=used.split("/")[0], what="use", attempt=used))
    return state


def wanted(group: Gathered) -> list[str]:
    return [str(one.key) for one in group.wanted]


def test_the_first_accepted_in_the_order_of_the_plan() -> None:
    state = night(("a/p/1", "rejected", None), ("a/q/1", "accepted", None), ("a/r/1", "accepted", None))
    (group,) = gathered(state)
    assert wanted(group) == ["a/q/1"]
    assert [str(one.key) for one in group.accepted] == ["a/q/1", "a/r/1"]


def test_what_a_person_chose_counts_first() -> None:
    state = night(("a/p/1", "accepted", None), ("a/q/1", "rejected", None), used="a/q/1")
    (group,) = gathered(state)
    assert wanted(group) == ["a/q/1"]


def test_of_several_choices_the_last_counts() -> None:
    for last, before in (("a/p/1", "a/q/1"), ("a/q/1", "a/p/1")):
        state = night(("a/p/1", "accepted", None), ("a/q/1", "rejected", None), used=before)
        state = after(state, e.TaskDecided(at=10, task="a", what="use", attempt=last))
        (group,) = gathered(state)
        assert wanted(group) == [last]


def test_cheats_go_in_at_a_persons_word_only() -> None:
    cheats = {"a/p/1": "test-deleted: two tests", "b/p/1": "exit-code-forged: os._exit"}
    attempts = (
        ("a/p/1", "accepted", None),
        ("a/q/1", "accepted", None),
        ("b/p/1", "accepted", None),
        ("c/p/1", "accepted", "b/p/1"),
    )
    (group,) = gathered(night(*attempts), cheats)
    assert wanted(group) == ["a/q/1"]
    told = {str(one.attempt.key): (str(one.holds), one.cheated) for one in group.passed_over}
    assert told == {"b/p/1": ("b/p/1", cheats["b/p/1"]), "c/p/1": ("b/p/1", cheats["b/p/1"])}
    rows = list(passed_over(group))
    assert {row.cause for row in rows} == {"cheating"}
    (group,) = gathered(night(*attempts, used="b/p/1"), cheats)
    assert wanted(group) == ["a/q/1", "b/p/1", "c/p/1"]


def test_what_builds_on_another_brings_that_along() -> None:
    """Profile p solved `a` and not `b`; q solved both, `b` from its own `a`."""
    state = night(
        ("a/p/1", "accepted", None),
        ("a/q/1", "accepted", None),
        ("b/p/1", "rejected", "a/p/1"),
        ("b/q/1", "accepted", "a/q/1"),
    )
    (group,) = gathered(state)
    assert wanted(group) == ["a/q/1", "b/q/1"]


def test_two_attempts_of_one_task_never_go_in() -> None:
    state = night(
        ("a/p/1", "accepted", None),
        ("a/q/1", "accepted", None),
        ("b/p/1", "accepted", "a/p/1"),
        ("c/q/1", "accepted", "a/q/1"),
    )
    (group,) = gathered(state)
    assert wanted(group) == ["a/q/1", "c/q/1"]
    (over,) = group.passed_over
    assert (str(over.attempt.key), str(over.holds), str(over.instead)) == ("b/p/1", "a/p/1", "a/q/1")


def test_a_persons_choice_holds_for_what_builds_on_it() -> None:
    state = night(
        ("a/p/1", "accepted", None),
        ("a/q/1", "accepted", None),
        ("b/p/1", "accepted", "a/p/1"),
        ("b/q/1", "accepted", "a/q/1"),
        used="a/q/1",
    )
    (group,) = gathered(state)
    assert wanted(group) == ["a/q/1", "b/q/1"]


def test_what_was_discarded_is_told_unless_another_of_its_task_is_there() -> None:
    state = night(("a/p/1", "accepted", None), ("a/q/1", "accepted", None), ("b/p/1", "accepted", None))
    for name in ("a/p/1", "b/p/1"):
        state = after(state, e.AttemptDiscarded(at=9, attempt=name, branch="x", commit=commit(name)))
    (group,) = gathered(state)
    assert (wanted(group), [str(one.key) for one in group.discarded]) == (["a/q/1"], ["b/p/1"])
    assert [(row.attempt, row.cause) for row in passed_over(group)] == [("b/p/1", "discarded")]


def test_without_a_branch_there_is_nothing_to_put_together() -> None:
    assert gathered(night(("a/p/1", "no-change", None), ("b/p/1", "timeout", None))) == []


def test_repositories_and_bases_stand_by_themselves() -> None:
    state = night(("a/p/1", "accepted", None), ("b/p/1", "accepted", None), ("c/p/1", "accepted", None))
    sources = (
        *state.plan.sources,
        Source(repo="/x", git_dir="/x/.git", base="c" * 40, base_name="old"),
        Source(repo="/y", git_dir="/y/.git", base=BASE, base_name="HEAD"),
    )
    tasks = tuple(task.model_copy(update={"source": n}) for n, task in enumerate(state.plan.tasks))
    plan = state.plan.model_copy(update={"sources": sources, "tasks": tasks})
    again = after(
        started(plan),
        *(
            event
            for name in ("a/p/1", "b/p/1", "c/p/1")
            for event in life(name, "accepted", commit=commit(name))
        ),
    )
    assert [group.name for group in gathered(again)] == ["/x at HEAD", "/x at old", "/y"]


@given(
    st.lists(
        st.tuples(st.sampled_from("pq"), st.booleans(), st.none() | st.integers(0, 5)), min_size=1, max_size=6
    )
)
def test_of_each_task_one_goes_in_or_it_is_said_why_not(rows: list[tuple[str, bool, int | None]]) -> None:
    """Each task has attempts by both profiles; a later one may build on an earlier one's by the same."""
    attempts: list[tuple[str, str, str | None]] = []
    for number, (only, both, on) in enumerate(rows):
        for profile in "pq":
            verdict = "accepted" if both or profile == only else "rejected"
            ground = f"t{on}/{profile}/1" if on is not None and on < number else None
            attempts.append((f"t{number}/{profile}/1", verdict, ground))
    for group in gathered(night(*attempts)):
        there = {one.key.task for one in group.wanted}
        over = {one.attempt.key.task for one in group.passed_over}
        assert len(there) == len(group.wanted)
        assert there | over == {one.key.task for one in group.accepted}
        by_commit = {one.commit: one for one in group.accepted}
        for one in group.wanted:
            ground_of = by_commit.get(one.base)
            assert ground_of is None or ground_of in group.wanted


def test_the_order_of_profiles_counts_and_not_the_one_that_lots_gave() -> None:
    state = night(("a/q/1", "accepted", None), ("a/p/2", "accepted", None), ("a/p/1", "accepted", None))
    plan = state.plan.model_copy(update={"compared": ("p", "q")})
    (group,) = gathered(replace(state, plan=plan))
    assert wanted(group) == ["a/p/1"]

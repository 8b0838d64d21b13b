"""What an attempt is told of those whose work it goes on from."""

from __future__ import annotations

from runner.supervisor import events as e
from runner.supervisor.attempt.spec import Line
from runner.supervisor.briefing import _line
from runner.tasks.plan import PlannedAttempt
from tests.unit.makers import BASE, after, life, make_plan, started


def test_what_the_tasks_before_it_may_change_is_wanted_along_the_whole_line() -> None:
    plan = make_plan(*(PlannedAttempt(task=name, profile="p") for name in "abcd"))
    tasks = tuple(task.model_copy(update={"paths": (f"{task.id}/",)}) for task in plan.tasks)
    state = after(
        started(plan.model_copy(update={"tasks": tasks})),
        *life("a/p/1", "done", commit="1" * 40),
        *life("b/p/1", "done", commit="2" * 40, base="1" * 40),
        *life("c/p/1", "done", commit="3" * 40),
        *life("d/p/1", "no-change"),
    )
    assert _line(state, BASE, "2" * 40) == Line(BASE, ("b/", "a/"), ("b", "a"))
    assert _line(state, BASE, "3" * 40) == Line(BASE, ("c/",), ("c",))
    assert _line(state, BASE, BASE) is None


def test_what_a_person_chose_is_given_by_them() -> None:
    plan = make_plan(*(PlannedAttempt(task=name, profile="p") for name in "abc"))
    state = after(
        started(plan),
        *life("a/p/1", "rejected", commit="1" * 40),
        e.TaskDecided(at=8, task="a", what="use", attempt="a/p/1"),
        *life("b/p/1", "done", commit="2" * 40, base="1" * 40),
    )
    assert _line(state, BASE, "1" * 40) is None
    assert _line(state, BASE, "2" * 40) == Line("1" * 40, (), ("b",))

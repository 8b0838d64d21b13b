"""What an attempt is told of those whose work it goes on from."""

from __future__ import annotations

from runner.tasks.plan import PlannedAttempt
from tests.unit.makers import after, life, make_plan, started


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
    assert state.wanted_of("2" * 40) == ("b/", "a/")
    assert state.wanted_of("3" * 40) == ("c/",)
    assert state.wanted_of("9" * 40) == ()

"""Which checks are run on what was put together."""

from __future__ import annotations

from runner.supervisor.morning.combined import _distinct
from runner.tasks.plan import CheckSpec, Task

TESTS, LINT = CheckSpec(run="make test"), CheckSpec(name="lint", run="make lint")


def test_a_check_is_run_once_for_all_that_ask_the_same_of_the_same_files() -> None:
    tasks = [
        Task(id="a", checks=(TESTS,)),
        Task(id="same", checks=(TESTS, LINT)),
        Task(id="elsewhere", source=1, checks=(TESTS,)),
        Task(id="protects", protect=("tests",), checks=(TESTS,)),
        Task(id="none"),
    ]
    asked = [(task.id, [check.name for check in task.checks]) for task in _distinct(tasks)]
    assert asked == [("a", ["check"]), ("same", ["lint"]), ("elsewhere", ["check"]), ("protects", ["check"])]

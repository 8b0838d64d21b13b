"""In how much time an attempt is done, by the record of earlier ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor.expected import Took, expected, took
from runner.supervisor.journal import Journal
from runner.supervisor.records import expected_times
from runner.supervisor.verdict import RUN_OVER
from runner.tasks.plan import CheckSpec, Limits, Plan, PlannedAttempt
from tests.unit.makers import make_plan

PLAN = make_plan(PlannedAttempt(task="one", profile="p"), PlannedAttempt(task="two", profile="q"))
HERE = "/x/.git"


def limited(seconds: float, check: str | None = None) -> Plan:
    """The plan with a time limit."""
    limits = Limits(time=seconds)
    checks = () if check is None else (CheckSpec(run=check),)
    tasks = tuple(task.model_copy(update={"limits": limits, "checks": checks}) for task in PLAN.tasks)
    return Plan.model_validate(PLAN.model_dump() | {"tasks": tasks})


def test_the_same_task_by_the_same_settings_counts_first() -> None:
    record = [Took(HERE, "one", "p", 60.0), *[Took(HERE, "other", "p", 900.0)] * 5]
    assert expected(PLAN, record) == {"one/p": 60.0}


def test_the_same_settings_at_other_tasks_tell_something_if_there_are_enough() -> None:
    others = [Took(HERE, f"t{n}", "p", 100.0 * n) for n in range(1, 6)]
    assert expected(PLAN, others) == {"one/p": 400.0}
    assert expected(PLAN, others[:2]) == {}


@pytest.mark.parametrize("other", [Took("/y/.git", "one", "p", 9.0), Took(HERE, "one", "other", 9.0)])
def test_another_repository_or_other_settings_say_nothing_of_a_task(other: Took) -> None:
    assert expected(PLAN, [other]) == {}


def test_nothing_takes_longer_than_its_limits() -> None:
    record = [Took(HERE, "one", "p", 10_000.0)]
    assert expected(limited(600), record) == {"one/p": 600.0}
    assert expected(limited(600, "make test"), record) == {"one/p": 1200.0}


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
def test_most_of_the_earlier_ones_would_have_been_done(spans: list[float]) -> None:
    (found,) = expected(PLAN, [Took(HERE, "one", "p", span) for span in spans]).values()
    assert found in spans
    assert sum(span <= found for span in spans) >= 0.8 * len(spans)
    assert sum(span < found for span in spans) < 0.8 * len(spans)


def ended(attempt: str, how: str, seconds: float | None, reason: str = "") -> e.AttemptEnded:
    """The end of an attempt."""
    told = {"at": 1, "attempt": attempt, "ended": how, "seconds": seconds, "reason": reason}
    return e.AttemptEnded.model_validate(told)


def test_only_what_came_to_its_own_end_tells_how_long_it_takes() -> None:
    told: list[e.Event] = [
        ended("one/p/1", "exited", 50),
        e.AttemptChecked(at=2, attempt="one/p/1", check="failed", seconds=7),
        ended("one/p/2", "timeout", 600),
        ended("one/p/3", "timeout", 5, RUN_OVER),
        ended("one/p/4", "cancelled", 5),
        ended("one/p/5", "exited", None),
        ended("one/p/6", "exited", 30),
        ended("one/p/6", "infrastructure", 30),  # told again: its work could not come home
        ended("one/p/7.2", "exited", 40),
    ]
    assert [one.seconds for one in took(PLAN, told)] == [57, 600, 40]


def test_the_journal_of_earlier_runs_is_read(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert expected_times(settings, PLAN) == {}
    with Journal(tmp_path / "journal.db") as book:
        for number, seconds in enumerate([10.0, 20.0, 30.0]):
            book.append(f"night{number}", e.RunStarted(at=1, plan=PLAN, jobs=1))
            book.append(f"night{number}", ended("one/p/1", "exited", seconds))
            book.append(f"night{number}", e.Draining(at=2))
        book.append(
            "other", e.RunStarted(at=1, plan=make_plan(PlannedAttempt(task="one", profile="z")), jobs=1)
        )
        book.append("other", ended("one/z/1", "exited", 999))
    assert expected_times(settings, PLAN) == {"one/p": 30.0}

"""How graphs of tasks are shown: items beside names, ways not taken with their reasons."""

from __future__ import annotations

from typing import Any

import pytest

from runner.supervisor import events as e
from runner.supervisor.host.forecast import Forecast
from runner.supervisor.state import RunState
from runner.views import live, plan_view, report, summary
from tests.unit.makers import after, life
from tests.unit.test_graph_schedule import file_of, plan_of, started
from tests.unit.test_views import drawn

TASKS: list[dict[str, object]] = [
    {"id": "translate-everything", "for_each": ["en", "z" * 60], "paths": ["{item}"], "check": "true"},
    {"id": "list", "for_each": {"command": "ls"}},
    {
        "id": "mend",
        "needs": ["translate-everything"],
        "from": "base",
        "when": "translate-everything.failed > 0",
    },
]


def ended() -> RunState:
    state = started(plan_of(file_of(TASKS)))
    for number in (1, 2):
        state = after(state, *life(f"translate-everything.{number}/p/1", "accepted"))
    skip = e.AttemptSkipped(at=9, attempt="mend/p/1", reason="its `when`: no", base="a" * 40, passes=True)
    return after(state, skip, e.TaskNotExpanded(at=9, task="list", reason="exit 3"))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_items_stand_beside_names_which_stay_whole(width: int) -> None:
    for text in (drawn(live.draw(ended(), {}, "", 10), width), drawn(report.terminal(ended()), width)):
        assert "translate-everything.1/p/1  en" in text
        assert "translate-everything.2/p/1" in text
        assert "skipped" in text
        assert all(len(line) <= width for line in text.splitlines())


def test_programs_and_reports_are_told_the_item() -> None:
    told: Any = summary.summary(ended())["attempts"]
    rows = {row["task"]: row for row in told}
    assert rows["translate-everything.2"]["item"] == "z" * 60
    assert (rows["mend"]["verdict"], rows["mend"]["item"]) == ("skipped", None)
    assert "| `translate-everything.1/p/1` `en` | accepted |" in report.text_markdown(ended())
    assert "its `when`: no" in drawn(report.terminal(ended()), 120)


def test_what_becomes_of_a_graph_is_told_in_a_line() -> None:
    state = ended()
    said = [
        live.sentence(event, state)
        for event in (
            e.TaskExpanded(at=1, task="list", items=("a", "b")),
            e.TaskNotExpanded(at=1, task="list", reason="exit 3"),
            e.AttemptSkipped(at=1, attempt="mend/p/1", reason="so\x1bit is", base="a", passes=True),
        )
    ]
    assert [drawn(one, 100).strip() for one in said] == [
        "list  done for 2 items",
        "list  exit 3",
        "mend/p/1  skipped  so\\x1bit is",
    ]


def test_the_plan_shows_where_each_starts_and_whether_it_does() -> None:
    forecast = Forecast(jobs=2, outlets={"p": "nothing"}, images={}, weaker=(), broken=())
    text = drawn(plan_view.terminal(plan_of(file_of(TASKS)), forecast), 200)
    assert "base; for each line of `ls`" in text
    assert "; when translate-everything.failed > 0" in text
    assert "paths of translate-everything: en and so on, by item" in text
    assert text.count("check of translate-everything") == 1
    text = drawn(
        plan_view.terminal(plan_of(file_of([{"id": "a"}, {"id": "b"}], mode="sequential")), forecast), 200
    )
    assert "mode: sequential" in text
    assert "the last work that served" in text


def test_what_was_skipped_is_not_compared() -> None:
    tasks: list[dict[str, object]] = [{"id": "a"}, {"id": "b", "needs": ["a"], "when": "a.verdict == 'oom'"}]
    state = started(plan_of(file_of(tasks, compare={"agents": ["p", "q"]})))
    for profile in "pq":
        state = after(state, *life(f"a/{profile}/1", "accepted"))
        skip = e.AttemptSkipped(at=9, attempt=f"b/{profile}/1", reason="no", base="a" * 40, passes=True)
        state = after(state, skip)
    assert [(one.task, one.profile) for one in summary.scored(state)] == [("a", "p"), ("a", "q")]

"""What all runs say together: who was accepted how often, at what cost, and what changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.settings import Settings
from runner.supervisor import events as e
from runner.supervisor import past
from runner.supervisor.journal import Journal
from runner.supervisor.past import PastRun
from runner.supervisor.state import fold
from runner.supervisor.verdict import RUN_OVER
from runner.tasks.checks import CheckSpec
from runner.tasks.plan import (
    ClaudeSettings,
    CommandSettings,
    ForEach,
    Plan,
    PlannedAttempt,
    Profile,
    Task,
    Upstream,
)
from runner.views import history_view, summary
from tests.unit.makers import life, make_plan
from tests.unit.test_cli import call
from tests.unit.test_views import drawn

DAY = 86400.0
FIRST = 1_790_000_000.0
Ends = tuple[str, float | None, float | None, int | None]
"""Verdict, seconds, dollars, tokens."""


def profile(name: str, identity: str, **more: Any) -> Profile:
    settings = more.pop("settings", ClaudeSettings(model=more.pop("model", "m1")))
    return Profile(name=name, settings=settings, hash=identity, version=more.pop("version", "1"), **more)


def plan(run: str, tasks: Iterable[Task], profiles: Iterable[Profile], repeats: int = 1) -> Plan:
    tasks, profiles = tuple(tasks), tuple(profiles)
    attempts = [
        PlannedAttempt(task=task.id, profile=one.name, n=n)
        for task in tasks
        for one in profiles
        for n in range(1, repeats + 1)
    ]
    more = {"run": run, "tasks": tasks, "profiles": profiles, "compared": tuple(p.name for p in profiles)}
    return make_plan(*attempts).model_copy(update=more)


def lived(name: str, ends: Ends, at: float = 0.0) -> Iterator[e.Event]:
    verdict, seconds, usd, tokens = ends
    for event in life(name, verdict):
        told = {"seconds": seconds, "usd": usd, "output_tokens": tokens}
        yield event.model_copy(
            update={"at": at + event.at, **(told if isinstance(event, e.AttemptEnded) else {})}
        )


def run(name: str, made: Plan, ends: Mapping[str, Ends], at: float = FIRST) -> PastRun:
    events: list[e.Event] = [e.RunStarted(at=at, plan=made, jobs=1)]
    for attempt, end in ends.items():
        events += lived(attempt, end, at)
    found = past.of_run(name, iter(events))
    assert found is not None
    return found


FIX, DOC = Task(id="fix", kind="bug", checks=(CheckSpec(run="c"),)), Task(id="doc")
OPUS, HAIKU = profile("opus", "aaaa"), profile("haiku", "bbbb")
GOOD, BAD = ("accepted", 60.0, 1.0, 100), ("rejected", 120.0, 2.0, 300)


def test_figures_are_per_accepted_and_by_identity() -> None:
    ends = {"fix/opus/1": GOOD, "fix/opus/2": BAD, "fix/haiku/1": BAD, "fix/haiku/2": BAD}
    night = run("r", plan("r", [FIX], [OPUS, HAIKU], 2), ends)
    opus, haiku = past.entries([night])
    assert (opus.side.settings, opus.side.accepted, opus.side.scored, opus.side.rate) == ("aaaa", 1, 2, 0.5)
    assert (opus.side.usd, opus.side.usd_per_accepted, opus.side.tokens_per_accepted) == (3.0, 3.0, 400)
    assert (opus.side.minutes_per_accepted, opus.side.minutes_median) == (3.0, 1.5)
    assert (haiku.side.accepted, haiku.side.rate, haiku.side.usd_per_accepted) == (0, 0.0, None)


def test_who_cheated_is_not_accepted() -> None:
    events: list[e.Event] = [e.RunStarted(at=FIRST, plan=plan("r", [FIX], [OPUS], 2), jobs=1)]
    for name in ("fix/opus/1", "fix/opus/2"):
        for event in lived(name, GOOD):
            signs = {"flags": ("check-steered: by its own conftest.py",)} if name.endswith("1") else {}
            events.append(event.model_copy(update=signs) if isinstance(event, e.AttemptChecked) else event)
    night = past.of_run("r", iter(events))
    assert night is not None
    (opus,) = past.entries([night])
    assert (opus.side.accepted, opus.side.scored) == (1, 2)


def test_what_is_not_known_is_not_nothing() -> None:
    ends: dict[str, Ends] = {"fix/opus/1": GOOD, "fix/opus/2": ("accepted", None, None, None)}
    (opus,) = past.entries([run("r", plan("r", [FIX], [OPUS], 2), ends)])
    assert (opus.side.usd, opus.side.tokens, opus.side.minutes_per_accepted) == (None, None, None)
    assert opus.side.minutes_median == 1.0
    assert " ? " in drawn(history_view.terminal([run("r", plan("r", [FIX], [OPUS], 2), ends)], []), 200)


@pytest.mark.parametrize("verdict", ["infrastructure", "cancelled", "limited"])
def test_what_says_nothing_of_a_profile_does_not_count(verdict: str) -> None:
    night = run("r", plan("r", [FIX], [OPUS], 2), {"fix/opus/1": GOOD, "fix/opus/2": (verdict, 1.0, 1.0, 1)})
    (opus,) = past.entries([night])
    assert (opus.side.attempts, opus.side.scored, opus.side.usd) == (2, 1, 1.0)


def test_nor_what_the_runs_end_or_the_budget_of_others_cut_off() -> None:
    made = plan("r", [FIX], [OPUS], 3)
    events: list[e.Event] = [e.RunStarted(at=FIRST, plan=made, jobs=1)]
    told: tuple[dict[str, str], ...] = (
        {"ended": "timeout", "reason": RUN_OVER},
        {"ended": "over-budget", "spent": "run"},
        {},
    )
    for n, more in enumerate(told, start=1):
        for event in life(f"fix/opus/{n}", "rejected"):
            events += [event.model_copy(update=more if isinstance(event, e.AttemptEnded) else {})]
    found = past.of_run("r", iter(events))
    assert found is not None
    assert [one.counts for one in found.attempts] == [False, False, True]


def test_without_a_check_nobody_knows_and_that_is_said() -> None:
    night = run("r", plan("r", [DOC], [OPUS]), {"doc/opus/1": ("done", 1.0, 1.0, 1)})
    assert [one.unchecked for one in past.entries([night])] == [1]
    assert "1 attempt without a check counted as accepted" in drawn(history_view.terminal([night], []), 200)


def test_kinds_are_what_the_file_says_and_nothing_is_guessed() -> None:
    made = plan("r", [FIX, DOC, Task(id="fix-it")], [OPUS])
    night = run("r", made, {"fix/opus/1": GOOD, "doc/opus/1": BAD, "fix-it/opus/1": BAD})
    found = past.entries_by_kind([night])
    assert [(one.kind, one.side.accepted, one.side.scored) for one in found] == [("bug", 1, 1), (None, 0, 2)]
    assert [len(one.attempts) for one in past.chosen([night], "bug", None, played=False)] == [1]
    assert [len(one.attempts) for one in past.chosen([night], "doc", None, played=False)] == [1]
    assert past.chosen([night], "other", None, played=False) == []


def test_items_are_of_the_task_that_they_are_items_of() -> None:
    each = Task(id="each", kind="chore", for_each=ForEach(command="ls"), may_be_empty=True)
    events = [
        e.RunStarted(at=FIRST, plan=plan("r", [each], [OPUS]), jobs=1),
        e.TaskExpanded(at=FIRST, task="each", items=("a", "b")),
        *lived("each.1/opus/1", GOOD),
        *lived("each.2/opus/1", ("no-change", 1.0, 0.0, 0)),
    ]
    found = past.of_run("r", iter(events))
    assert found is not None
    assert [(one.task, one.kind, one.scored.accepted) for one in found.attempts] == [
        ("each", "chore", True)
    ] * 2


def test_played_figures_are_never_mixed_with_real_ones() -> None:
    script = profile("opus", "cccc", upstream=Upstream(kind="script", script="/s"))
    nights = [
        run("real", plan("real", [FIX], [OPUS]), {"fix/opus/1": GOOD}),
        run("demo", plan("demo", [FIX], [script]), {"fix/opus/1": BAD}),
    ]
    real, played = (past.chosen(nights, None, None, played=is_played) for is_played in (False, True))
    assert [(run.name, past.entries([run])[0].side.accepted) for run in real] == [("real", 1)]
    assert [run.name for run in played] == ["demo"]
    assert [course.changes for course in past.courses(real)] == [()]
    text = drawn(history_view.terminal(real, played), 200)
    assert text.index("what services and commands did") < text.index("what scripts and recordings played")
    assert "no real figures" in text


def test_what_changed_from_run_to_run_is_named() -> None:
    later = profile(
        "opus", "dddd", model="m2", version="2", settings=ClaudeSettings(model="m2", args=("--x",))
    )
    nights = [
        run("mon", plan("mon", [FIX], [OPUS]), {"fix/opus/1": BAD}, FIRST),
        run("tue", plan("tue", [FIX], [OPUS]), {"fix/opus/1": BAD}, FIRST + DAY),
        run(
            "wed",
            plan("wed", [FIX], [later, HAIKU]),
            {"fix/opus/1": GOOD, "fix/haiku/1": BAD},
            FIRST + 2 * DAY,
        ),
    ]
    haiku, opus = past.courses(nights)
    assert (haiku.name, haiku.changes, opus.name) == ("haiku", (), "opus")
    assert [point.side.rate for point in opus.points] == [0.0, 0.0, 1.0]
    (change,) = opus.changes
    assert (change.run, change.before, change.now) == ("wed", "aaaa", "dddd")
    assert change.what == ("CLI version 1 → 2", "model m1 → m2", "args")
    text = drawn(history_view.terminal(nights, []), 200)
    assert "opus  ▁▁█  0% mon to 100% wed" in text
    assert "aaaa → dddd  CLI version 1 → 2; model m1 → m2; args" in text


def test_another_cli_or_command_is_a_change_too() -> None:
    command = profile("opus", "eeee", version=None, settings=CommandSettings(run=("x",)))
    nights = [
        run("a", plan("a", [FIX], [OPUS]), {"fix/opus/1": BAD}),
        run("b", plan("b", [FIX], [command]), {"fix/opus/1": BAD}, FIRST + 1),
    ]
    (course,) = past.courses(nights)
    assert course.changes[0].what[:2] == ("CLI version 1 → ?", "cli claude → command")


def test_another_service_is_a_change_too() -> None:
    moved = profile("opus", "eeee", model="m1", upstream=Upstream(places=("gateway.local/x",)))
    nights = [
        run("a", plan("a", [FIX], [OPUS]), {"fix/opus/1": BAD}),
        run("b", plan("b", [FIX], [moved]), {"fix/opus/1": BAD}, FIRST + 1),
    ]
    (course,) = past.courses(nights)
    assert course.changes[0].what == ("answered by service → gateway.local/x",)


def test_of_many_runs_weeks_are_the_points() -> None:
    nights = [
        run(f"r{day}", plan(f"r{day}", [FIX], [OPUS]), {"fix/opus/1": GOOD}, FIRST + day * DAY)
        for day in range(30)
    ]
    (course,) = past.courses(nights)
    assert 5 <= len(course.points) <= 6
    assert sum(point.side.scored for point in course.points) == 30


Tries = list[tuple[str, Any, int | None]]
TRIES = st.lists(
    st.tuples(
        st.sampled_from(["accepted", "rejected", "infrastructure", "timeout", "no-change", "done"]),
        st.sampled_from(["infrastructure", "feedback", "person"]),
        st.none() | st.integers(0, 9),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(st.lists(TRIES, min_size=1, max_size=3), st.booleans())
def test_what_counts_is_what_a_comparison_counts(histories: list[Tries], retried: bool) -> None:
    task = FIX.model_copy(update={"compared": True})
    made = plan("r", [task], [OPUS], len(histories)).model_copy(update={"compared_retry": retried})
    events: list[e.Event] = [e.RunStarted(at=1, plan=made, jobs=1)]
    for n, tries in enumerate(histories, start=1):
        for number, (verdict, why, figure) in enumerate(tries, start=1):
            name = f"fix/opus/{n}" + ("" if number == 1 else f".{number}")
            seconds, usd = (None, None) if figure is None else (float(figure), float(figure))
            events += lived(name, (verdict, seconds, usd, figure))
            if number < len(tries):
                events.append(e.AttemptRetried(at=9, attempt=name, why=why))
    found = past.of_run("r", iter(events))
    assert found is not None
    said = summary.scored(fold(("r", event) for event in events))
    mine = [one.scored for one in found.attempts]
    assert [(o.attempt, o.verdict, o.accepted, o.seconds, o.usd, o.tokens, o.at) for o in mine] == [
        (o.attempt, o.verdict, o.accepted, o.seconds, o.usd, o.tokens, o.at) for o in said
    ]


def test_the_command_reads_the_journal(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "no attempt of that kind has ended yet" in call(home, "history").output
    assert not home.exists()
    with Journal(home / "journal.db") as book:
        for name, at, end in (("old", 1.0, BAD), ("new", 4e9, GOOD)):
            book.append(name, e.RunStarted(at=at, plan=plan(name, [FIX], [OPUS]), jobs=1))
            for event in lived("fix/opus/1", end, at):
                book.append(name, event)
    said = json.loads(call(home, "history", "--json").output)
    (row,) = said["real"]["profiles"]
    assert (row["profile"], row["settings"], row["accepted"], row["scored"], row["runs"]) == (
        "opus", "aaaa", 1, 2, 2
    )  # fmt: skip
    assert (row["cli"], row["version"], row["model"], row["low"]) == ("claude", "1", "m1", None)
    assert said["real"]["kinds"][0]["kind"] == "bug"
    assert said["played"] == {"runs": [], "profiles": [], "kinds": [], "courses": []}
    assert json.loads(call(home, "history", "--days", "7", "--json").output)["real"]["runs"] == ["new"]
    assert json.loads(call(home, "history", "--profile", "aaa", "--json").output)["real"]["runs"] == [
        "old",
        "new",
    ]
    assert "by kind of task" in call(home, "history").output
    for asked in (["--task", "fixx"], ["--profile", "opas"]):
        done = call(home, "history", *asked)
        assert isinstance(done.exception, UsageError)
        assert f"none of 2 runs has a {asked[0][2:]}" in str(done.exception)
        assert "did you mean 'fix'" in str(done.exception) or "did you mean 'opus'" in str(done.exception)
    assert isinstance(call(home, "history", "--days", "0").exception, UsageError)
    assert call(home, "history", "--task", "bug").exit_code == 0, "a kind"
    assert past.read(Settings(home=home), 2.0)[0].name == "new"


def test_rates_have_their_intervals_where_tasks_are_enough() -> None:
    tasks = [Task(id=f"t{n}", checks=(CheckSpec(run="c"),)) for n in range(8)]
    ends = {f"t{n}/opus/1": GOOD if n % 2 else BAD for n in range(8)}
    night = run("r", plan("r", tasks, [OPUS]), ends)
    (opus,) = past.entries([night])
    assert opus.side.low is not None
    assert opus.side.high is not None
    assert 0 < opus.side.low < 0.5 < opus.side.high < 1
    assert f"50% ({opus.side.low:.0%} to {opus.side.high:.0%})" in drawn(
        history_view.terminal([night], []), 200
    )

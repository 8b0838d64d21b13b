"""Bounds in the task file and settings of the host: read, refused, shown, and as documented."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from runner import settings as configuration
from runner.errors import HostError, TaskFileError, UsageError
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.capacity import policy_of
from runner.supervisor.graph.schedule import decide
from runner.supervisor.host.admission import Needs, Policy, Room
from runner.supervisor.host.facts import Host
from runner.supervisor.host.forecast import Forecast, unfit
from runner.supervisor.state import RunState, fold
from runner.tasks.plan import PlannedAttempt
from runner.tasks.taskfile import load
from runner.tasks.units import GIB, MIB
from runner.views import live, plan_view, summary
from tests.unit.makers import after, life, make_plan, started
from tests.unit.test_planning import FILE, planned

BOUNDED = """\
repo: ../front
agents:
  p1: {cli: claude, model: m1, at_once: 4}
  p2: {cli: claude, model: m2}
default_agent: p1
repositories:
  ../front: {at_once: 6}
  ../back: {at_once: 1}
tasks:
  - {id: t1, prompt: p}
  - {id: t2, prompt: p, repo: ../back, agent: p2}
"""


def test_bounds_reach_the_plan_and_are_none_of_the_settings() -> None:
    plan = planned(BOUNDED)
    assert {profile.name: profile.at_once for profile in plan.profiles} == {"p1": 4, "p2": None}
    assert plan.repositories == {
        str(FILE.parent / "../front"): 6,
        str(FILE.parent / "../back"): 1,
    }
    without = planned(BOUNDED.replace(", at_once: 4", ""))
    assert plan.profile("p1").hash == without.profile("p1").hash
    bare = planned("agents: {p: {cli: command, run: x}}\nrepositories: {.: {at_once: 2}}\ntasks: [{id: t}]\n")
    assert bare.repositories == {str(FILE.parent): 2}


@pytest.mark.parametrize(
    ("before", "now", "line", "words"),
    [
        ("at_once: 4", "at_once: 0", 3, "0 is out of range"),
        ("at_once: 4", "at_once: many", 3, "'many' is not a number of attempts"),
        ("../front: {at_once: 6}", "../fornt: {at_once: 6}", 7, "no task works on the repository '../fornt'"),
        ("../back: {at_once: 1}", "../back: {}", 8, "at_once"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_its_line(before: str, now: str, line: int, words: str) -> None:
    with pytest.raises(TaskFileError) as refused:
        load(BOUNDED.replace(before, now), FILE)
    (problem,) = refused.value.problems
    assert problem.line == line
    assert words in problem.message


def test_settings_say_what_is_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy_of(configuration.Settings()) == Policy()
    told = {
        "CORRAL_OVERCOMMIT_MEMORY": "1",
        "CORRAL_OVERCOMMIT_CPUS": "4.5",
        "CORRAL_OVERCOMMIT_DISK": "2",
        "CORRAL_KEEP_MEMORY": "3GiB",
        "CORRAL_CRITICAL_MEMORY": "500MiB",
        "CORRAL_KEEP_DISK": "10G",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    policy = policy_of(configuration.load())
    assert policy == Policy(1, 4.5, 2, 3 * GIB, 500 * MIB, 10 * GIB)
    assert (policy.kept_memory(GIB), policy.floor(GIB)) == (3 * GIB, 500 * MIB)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORRAL_OVERCOMMIT_MEMORY", "much"),
        ("CORRAL_OVERCOMMIT_CPUS", "0"),
        ("CORRAL_KEEP_MEMORY", "some"),
        ("CORRAL_JOBS", "0"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name} can't be used"):
        configuration.load()


def test_the_documented_defaults_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "admission.md").read_text()
    rows = dict(re.findall(r"\| `CORRAL_(\w+)` \| [^|]* \| ([^|]*) \|", text))
    settings = configuration.Settings()
    assert rows["JOBS"] == f"`{settings.jobs}`"
    for name in ("OVERCOMMIT_MEMORY", "OVERCOMMIT_CPUS", "OVERCOMMIT_DISK"):
        assert rows[name] == f"{getattr(settings, name.lower()):g}"
    large, small, policy = 1024 * GIB, GIB, Policy()
    assert (policy.kept_memory(20 * GIB), policy.kept_memory(large)) == (2 * GIB, 4 * GIB)
    assert policy.kept_memory(small) == 512 * MIB
    assert (policy.kept_disk(large), policy.kept_disk(10 * GIB)) == (GIB, GIB // 2)
    assert policy.floor(20 * GIB) == int(0.4 * 2 * GIB)


HOST = Host(cores=2, memory_total=16 * GIB, memory_free=12 * GIB, disk_free=GIB)


def test_a_task_that_can_never_start_is_shown_and_refused() -> None:
    assert Room(HOST).never(Needs(memory=4 * GIB)) is None
    short = Room(HOST).never(Needs(memory=64 * GIB))
    assert short is not None
    forecast = Forecast(
        1, {"p": "nothing"}, {}, (), (), unfit=(f"the task t can never start here: {short.why}",)
    )
    plan = make_plan(PlannedAttempt(task="t", profile="p"))
    assert "a run would be refused: the task t can never start here: memory: needs 64GiB" in text_of(
        plan_view.terminal(plan, forecast)
    )
    with pytest.raises(HostError, match="can never start here"):
        forecast.require_sound()


def test_a_later_try_that_could_never_start_is_refused_before_it_begins() -> None:
    plan = make_plan(PlannedAttempt(task="t", profile="p"))
    given = [
        task.model_copy(update={"retry": task.retry.model_copy(update={"memory": 64 * GIB})})
        for task in plan.tasks
    ]
    plan = plan.model_copy(update={"tasks": tuple(given)})
    (said,) = unfit(plan, Room(HOST), tries=True)
    assert said.startswith(
        "the task t can never be tried again here as its `retry` says: memory: needs 64GiB"
    )
    assert list(unfit(plan, Room(HOST), tries=False)) == [], "what has begun goes on"


def text_of(drawn: object) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(drawn)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


SHORT = e.HostShort(at=9, attempt="b/p/1", thing="memory", why="memory: needs 4GiB, 1.2GiB free", since=8.0)


def waiting_run() -> RunState:
    state = started(make_plan(*(PlannedAttempt(task=task, profile="p") for task in "ab")))
    return after(state, *life("a/p/1", "done")[:2], SHORT)


def test_every_view_says_what_waits_and_for_what() -> None:
    state = waiting_run()
    assert "waiting" in (drawn := text_of(live.draw(state, {}, "", 10.0)))
    assert "memory: needs 4GiB, 1.2GiB free" in drawn
    assert str(live.sentence(SHORT, state)) == "b/p/1  waiting: memory: needs 4GiB, 1.2GiB free"
    told = json.loads(json.dumps(summary.summary(state)))
    assert told["short"] == {
        "attempt": "b/p/1",
        "thing": "memory",
        "why": "memory: needs 4GiB, 1.2GiB free",
        "since": 8.0,
    }
    assert [row["waiting"] for row in told["attempts"]] == [None, "memory: needs 4GiB, 1.2GiB free"]
    again = after(state, e.HostShort(at=11))
    assert summary.summary(again)["short"] is None
    assert str(live.sentence(e.HostShort(at=11), again)) == "there is room on the host again"


def test_what_is_frozen_and_how_many_live_is_told() -> None:
    state = waiting_run()
    frozen = e.AttemptFrozen(at=10, attempt="a/p/1", why="the host has 600MiB of memory left")
    state = after(state, frozen, e.JobsChanged(at=10, jobs=5, why="the host bears more"))
    assert state.jobs == 5
    assert "frozen: the host has 600MiB of memory left" in text_of(live.draw(state, {}, "", 11.0))
    rows = summary.summary(state)["attempts"]
    assert isinstance(rows, list)
    assert isinstance(rows[0], dict)
    assert rows[0]["frozen"] == "the host has 600MiB of memory left"
    assert str(live.sentence(frozen, state)) == "a/p/1  frozen: the host has 600MiB of memory left"
    assert "5 at once from now on" in str(
        live.sentence(e.JobsChanged(at=1, jobs=5, why="the host bears more"), state)
    )
    thawed = after(state, e.AttemptThawed(at=12, attempt="a/p/1"))
    assert thawed.attempts[next(iter(thawed.attempts))].frozen is None


def test_between_two_boxes_only_what_a_person_froze_stays_frozen() -> None:
    lives = waiting_run()
    held = e.AttemptHeld(at=11, attempt="a/p/1", container="c", why="a limit", seconds=1, held_s=0)
    for by, stays in (("person", True), ("pressure", False)):
        frozen = e.AttemptFrozen.model_validate({"at": 10, "attempt": "a/p/1", "why": "so", "by": by})
        between = after(lives, frozen, held)
        assert (between.attempts[AttemptKey("a", "p", 1)].frozen is not None) == stays, by
        over = after(lives, frozen, *life("a/p/1", "done")[2:])
        assert over.attempts[AttemptKey("a", "p", 1)].frozen is None


def test_a_journal_of_before_still_folds() -> None:
    plan = make_plan(PlannedAttempt(task="a", profile="p"))
    row = e.RunStarted(at=1, plan=plan, jobs=3).model_dump(mode="json", exclude={"auto"})
    del row["plan"]["repositories"]
    del row["plan"]["profiles"][0]["at_once"]
    state = fold([("r", e.ADAPTER.validate_python(row))])
    assert (state.jobs, state.auto, state.short) == (3, False, None)
    assert decide(state, 1)

"""How far a comparison has come, what of it is not needed any more, and how all that is shown."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console, Group
from typer.testing import CliRunner

from runner import cli
from runner.errors import TaskFileError, UsageError
from runner.gather.tampering import Sign
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.ending import exit_code
from runner.supervisor.graph.schedule import DECIDED, decide
from runner.supervisor.journal import Journal
from runner.supervisor.morning.evidence import honest
from runner.supervisor.scoring import Progress, comparison, left_out, scored
from runner.supervisor.settling import Settling
from runner.supervisor.state import RunState
from runner.tasks.plan import ForEach, PlannedAttempt, Task
from runner.tasks.planning import RepoFacts, wanted_repos
from runner.tasks.planning import make_plan as plan_of
from runner.tasks.taskfile import load
from runner.views import comparison as view
from runner.views import live
from runner.views.plan_view import foreseen_of
from tests.unit.makers import after, life, make_plan, started

SOME = 12


def state_of(*profiles: str, tasks: int = SOME, chained: bool = False) -> RunState:
    """A comparison that may end early; chained, each task needs the first one of its lineage."""
    planned = [
        PlannedAttempt(task=f"t{n}", profile=name, after=((f"t0/{name}/1",),) if chained and n else ())
        for n in range(tasks)
        for name in profiles
    ]
    plan = make_plan(*planned)
    compared = tuple(task.model_copy(update={"compared": True}) for task in plan.tasks)
    return started(
        plan.model_copy(update={"tasks": compared, "compared": profiles, "stops_when_decided": True})
    )


def done(state: RunState, task: int, **verdicts: str) -> RunState:
    """After these profiles did a task."""
    for name, verdict in verdicts.items():
        state = after(state, *life(f"t{task}/{name}/1", verdict))
    return state


def decided() -> RunState:
    """A comparison that was decided after a while."""
    state, settling = state_of("p", "q"), Settling()
    for task in range(SOME):
        state = done(state, task, p="accepted", q="rejected")
        for event in settling.news(state):
            return after(state, event)
    raise AssertionError("it is never decided")


def drawn(what: object, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    found = console.file
    assert isinstance(found, io.StringIO)
    return found.getvalue()


def test_blocks_enter_in_the_order_of_the_plan_and_whole() -> None:
    state, progress = state_of("p", "q"), Progress(state_of("p", "q").plan)
    state = done(state, 1, p="accepted", q="rejected")
    assert progress.follow(state) == 0, "the first one is not over"
    state = done(state, 0, p="accepted")
    assert progress.follow(state) == 0, "half of it is no block"
    state = done(state, 0, q="infrastructure")
    assert progress.follow(state) == 2


def test_what_can_not_begin_holds_nothing_up() -> None:
    state = done(state_of("p", "q", chained=True), 0, p="accepted", q="rejected")
    assert Progress(state.plan).follow(state) == SOME


def with_items(*profiles: str) -> RunState:
    """The same, and one more compared task whose items a command tells."""
    plan = state_of(*profiles).plan
    fan = Task(id="fan", compared=True, for_each=ForEach(command="ls"))
    attempts = [PlannedAttempt(task="fan", profile=name) for name in profiles]
    return started(
        plan.model_copy(update={"tasks": (*plan.tasks, fan), "attempts": (*plan.attempts, *attempts)})
    )


def test_nothing_is_decided_before_all_is_known_that_is_compared() -> None:
    state, settling = with_items("p", "q"), Settling()
    for task in range(SOME):
        state = done(state, task, p="accepted", q="rejected")
        assert list(settling.news(state)) == [], "how many blocks there are is not known"
    found = comparison(state)
    assert found.notes[-1] == "the items of fan are not known: what is said is of the other tasks alone"
    assert found.pairs[0].p == pytest.approx(2 ** (1 - SOME)), "nobody looked: it is the test at the end"
    known = after(state, e.TaskExpanded(at=8, task="fan", items=tuple("abcdefgh")))
    (told,) = settling.news(known)
    assert (told.planned, comparison(known).notes) == (SOME + 8, ())
    never = after(state, *life("fan/p/1", "infrastructure"), *life("fan/q/1", "infrastructure"))
    (told,) = settling.news(never)
    assert (told.blocks, told.planned) == (SOME + 1, SOME + 1), "they will never be known"


def test_what_was_decided_stays_so_when_items_become_known_afterwards() -> None:
    """A person who lets the need of a `for_each` count later brings in new blocks, which nobody looked at."""
    lost = (*life("fan/p/1", "infrastructure"), *life("fan/q/1", "infrastructure"))
    state, settling, task = after(with_items("p", "q"), *lost), Settling(), 0
    while state.decided is None:
        state = done(state, task, p="accepted", q="rejected")
        state, task = after(state, *settling.news(state)), task + 1
    assert state.decided.blocks == task < SOME
    was = comparison(state).pairs
    again = after(state, *(e.AttemptRetried(at=9, attempt=f"fan/{p}/1", why="person") for p in "pq"))
    known = after(again, e.TaskExpanded(at=9, task="fan", items=tuple("abcdefgh")))
    for then in (again, known):
        assert comparison(then).pairs == was
    for left in range(task, SOME):  # what was under way then
        known = done(known, left, p="accepted", q="rejected")
    assert comparison(known).pairs[0].decided


def test_a_cheat_decides_nothing() -> None:
    """What settles a comparison is what the audit leaves of it."""
    state, settling = state_of("p", "q"), Settling()
    for task in range(SOME):
        for event in life(f"t{task}/p/1", "accepted"):
            cheats = isinstance(event, e.AttemptGathered)
            gone = (Sign(kind="test-deleted", path="tests/test_a.py"),)
            state = after(state, event.model_copy(update={"signs": gone}) if cheats else event)
        state = done(state, task, q="rejected")
        assert list(settling.news(state)) == []
    assert [row.accepted for row in honest(state, scored(state))] == [False] * 2 * SOME
    assert sum(row.accepted for row in scored(state)) == SOME


def test_what_is_decided_holds_the_rest_but_what_a_person_wants() -> None:
    state = decided()
    waiting = [one for one in decide(state, 4) if one.standing == "held"]
    assert waiting
    assert {one.why for one in waiting} == {DECIDED}
    again = e.AttemptRetried(at=8, attempt="t0/q/1", why="person")
    state = after(state, again)
    assert not state.needless(AttemptKey("t0", "q"))
    assert [str(one.key) for one in decide(state, 4) if one.standing == "start"] == ["t0/q/1.2"]
    assert list(Settling().news(state)) == [], "it is told once"


def test_a_task_that_was_not_begun_is_no_failure_and_one_that_was_is() -> None:
    assert exit_code(decided()) == 0
    assert exit_code(done(decided(), SOME - 1, p="rejected", q="rejected")) == 1
    assert exit_code(after(decided(), e.RunResumed(at=9, jobs=1))) == 0, "it outlives a resume"


def test_what_befell_the_run_says_nothing_of_a_profile() -> None:
    state = after(
        state_of("p", "q"),
        e.AttemptStarted(at=2, attempt="t0/p/1", box="0" * 12, base="a" * 40),
        e.AttemptEnded(at=3, attempt="t0/p/1", ended="timeout", reason="the run's end came"),
        e.AttemptFinal(at=4, attempt="t0/p/1", verdict="timeout"),
    )
    assert list(left_out(state)) == ["t0/p/1"]
    assert [one.attempt for one in comparison(state).excluded] == ["t0/p/1"]


def test_it_is_said_where_people_look() -> None:
    state = decided()
    assert state.decided is not None
    words = live.sentence(state.decided, state)
    assert words is not None
    assert words.plain == "decided after 7 of 12 blocks: p, then q; no more of the comparison is started"
    shown = drawn(Group(*view.terminal(state)))
    for said in ("95 % interval", "p is accepted more often than q", "in order: p, q", "it was ended early"):
        assert said in shown
    narrow = drawn(Group(*view.terminal(state)), 60)
    assert "accepted" in narrow
    text = "\n".join(view.text_markdown(state))
    assert "- in order: p, q" in text
    row = json.loads(json.dumps(view.as_json(state)))
    assert set(row["profiles"][0]) >= {
        *("profile", "settings", "attempts", "scored", "accepted", "rate", "low", "high", "usd"),
        *("usd_per_accepted", "minutes_median", "tokens"),
    }
    assert set(row["pairs"][0]) >= {"a", "b", "tasks", "difference", "low", "high", "p", "decided"}
    assert row["better"] == ["p", "q"]


def test_the_command_says_it_to_people_and_programs(tmp_path: Path) -> None:
    plan = state_of("p", "q").plan
    with Journal(tmp_path / "journal.db") as journal:
        for name, compared in (("r", plan.compared), ("plain", ())):
            begun = plan.model_copy(update={"run": name, "compared": compared})
            journal.append(name, e.RunStarted(at=1, plan=begun, jobs=1))
        for task in range(SOME):
            for profile, verdict in (("p", "accepted"), ("q", "rejected")):
                for event in life(f"t{task}/{profile}/1", verdict):
                    journal.append("r", event)
    asked = {"CORRAL_HOME": str(tmp_path), "CORRAL_CONFIG": os.devnull}
    told = CliRunner().invoke(cli.app, ["compare", "r", "--json"], env=asked)
    row = json.loads(told.stdout)
    assert row["better"] == ["p", "q"]
    assert row["tasks"][0] == {"task": "t0", "verdicts": {"p": ["accepted"], "q": ["rejected"]}}
    assert (row["include_unfair"], set(row["audit"]) >= {"findings", "pairs", "left_out"}) == (False, True)
    unfair = CliRunner().invoke(cli.app, ["compare", "r", "--include-unfair", "--json"], env=asked)
    assert json.loads(unfair.stdout)["include_unfair"] is True
    assert "p is accepted more often" in CliRunner().invoke(cli.app, ["compare", "r"], env=asked).stdout
    nothing = CliRunner().invoke(cli.app, ["compare", "plain"], env=asked)
    assert isinstance(nothing.exception, UsageError)
    assert "compares nothing" in str(nothing.exception)


def test_hostile_reasons_are_shown_inert() -> None:
    found = comparison(decided(), {"t0/p/1": "\x1b[2J[link](http://x) @you"})
    assert "\x1b[2J" not in drawn(Group(*view.terminal(decided(), found)))
    (told,) = [row for row in view.text_markdown(decided(), found) if "you" in row]
    outside = re.sub(r"`[^`]*`", "", told)
    assert "@you" not in outside
    assert "](http" not in outside


def test_the_plan_foresees_what_is_known() -> None:
    plan = state_of("p", "q", tasks=20).plan
    foreseen = foreseen_of(plan)
    assert foreseen is not None
    assert (foreseen.tasks, foreseen.repeats, foreseen.early) == (20, 1, True)
    assert foreseen_of(plan.model_copy(update={"compared": ("p",)})) is None


@pytest.mark.parametrize("stop", ["", ", stop_when: decided"])
def test_what_needs_a_comparison_that_may_end_early_is_refused(tmp_path: Path, stop: str) -> None:
    text = f"""
agents:
  a: {{cli: command, run: ['true']}}
  b: {{cli: command, run: ['true']}}
tasks:
  - {{id: one, prompt: x}}
  - {{id: two, agent: a, needs: [one]}}
compare: {{agents: [a, b]{stop}}}
"""
    taskfile, file = load(text, tmp_path / "f.yaml"), tmp_path / "f.yaml"
    facts = {one: RepoFacts("/x", "/x/.git", "a" * 40, "HEAD") for one in wanted_repos(taskfile, file)}
    if not stop:
        assert not plan_of(taskfile, file, "r", facts).stops_when_decided
        return
    with pytest.raises(TaskFileError, match="'two' needs 'one', which `stop_when: decided` may leave undone"):
        plan_of(taskfile, file, "r", facts)

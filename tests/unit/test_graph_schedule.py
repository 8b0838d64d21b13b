"""Random graphs with random verdicts: everything ends, nothing runs before its time, no paths are shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.ending import exit_code
from runner.supervisor.graph import deciding
from runner.supervisor.graph.expanding import due
from runner.supervisor.graph.routing import results
from runner.supervisor.graph.schedule import Agenda, Decision, decide, finished
from runner.supervisor.ownership import orders
from runner.supervisor.state import RunState, apply, begin, fold
from runner.supervisor.tried import AttemptState
from runner.tasks.advice import advice
from runner.tasks.fanout import expand
from runner.tasks.leases import overlap
from runner.tasks.plan import Plan
from runner.tasks.planning import RepoFacts, make_plan, wanted_repos
from runner.tasks.taskfile import load
from tests.conftest import FULL
from tests.unit.makers import BASE, after, life

FILE = Path("/x/corral.yaml")
VERDICTS = ["accepted", "accepted", "rejected", "no-change", "oom", "infrastructure", "agent-error", "done"]
PATHS = ["src", "src/a", "src/b", "docs", "src/a/x"]


def plan_of(text: str) -> Plan:
    """The plan of a task file over one repository, with the items that are written in it."""
    file = load(text, FILE)
    facts = {
        wanted: RepoFacts("/x", f"{wanted[0]}/.git", BASE, "HEAD") for wanted in wanted_repos(file, FILE)
    }
    plan = make_plan(file, FILE, "r", facts)
    for task in plan.waiting:
        if task.for_each is not None and task.for_each.items:
            plan = expand(plan, task.id, task.for_each.items)
    return plan


def started(plan: Plan, jobs: int = 2) -> RunState:
    """The state of a run of that plan just after its start, its images ready."""
    state = begin("r", e.RunStarted(at=1, plan=plan, jobs=jobs))
    for source in range(len(plan.sources)):
        state = apply(state, e.ImageReady(at=1, source=source, cli=None, image="i"))
    return state


def file_of(tasks: Sequence[Mapping[str, object]], **top: object) -> str:
    """A task file of these tasks, done by commands."""
    agents = {name: {"cli": "command", "run": "true"} for name in ("p", "q")}
    default = {} if "compare" in top else {"default_agent": "p"}
    return yaml.safe_dump(
        {"agents": agents, **default, **top, "tasks": [dict(task) for task in tasks]}, sort_keys=False
    )


@st.composite
def files(draw: st.DrawFn) -> str:
    """Task files of up to six tasks with all that makes a graph of them."""
    mode = draw(st.sampled_from(["parallel", "parallel", "sequential", "adaptive"]))
    tasks: list[dict[str, object]] = []
    fanned: set[str] = set()
    for number in range(draw(st.integers(1, 6))):
        name = f"t{number}"
        task: dict[str, object] = {"id": name, "may_be_empty": draw(st.booleans())}
        earlier = [str(one["id"]) for one in tasks]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2)) if earlier else []
        if needs:
            task["needs"] = needs
            task["from"] = draw(st.sampled_from(["base", *(one for one in needs if one not in fanned)]))
            if mode == "sequential" and draw(st.booleans()):
                del task["from"]
            if draw(st.booleans()):
                asked = needs[0]
                task["when"] = f"{asked}.failed > 0" if asked in fanned else f"{asked}.verdict == 'rejected'"
            if set(needs) & fanned:
                task["fan_in"] = draw(st.sampled_from(["all", "any"]))
        if draw(st.integers(0, 2)) == 0:
            fanned.add(name)
            task["for_each"] = draw(st.sampled_from([["x"], ["x", "y"], ["x", "y", "z"], {"command": "c"}]))
        if draw(st.booleans()):
            task["paths"] = draw(st.lists(st.sampled_from(PATHS), unique=True, min_size=1, max_size=2))
        if draw(st.booleans()):
            task["agent"] = draw(st.sampled_from(["p", "q"]))
        tasks.append(task)
    top: dict[str, object] = {"mode": mode}
    if draw(st.booleans()) and not all("agent" in task for task in tasks):
        top["compare"] = {"agents": ["p", "q"], "repeats": draw(st.integers(1, 2))}
    return file_of(draw(st.permutations(tasks)), **top)


def skipped(decision: Decision) -> e.AttemptSkipped:
    """What is told of an attempt that is not wanted."""
    assert decision.base is not None
    return e.AttemptSkipped(
        at=2,
        attempt=str(decision.key),
        reason=decision.why,
        base=decision.base,
        passes=decision.passes,
    )


@dataclass
class Life:
    """A run that is lived through, and what is looked at in it."""

    state: RunState
    jobs: int
    told: list[e.Event] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """Names of the attempts in the order in which they began."""

    def tell(self, *events: e.Event) -> None:
        self.told += events
        self.state = after(self.state, *events)

    def over(self, name: str, standing: dict[AttemptKey, str]) -> bool:
        key = AttemptKey.parse(name)
        return self.state.tries(key)[-1].phase == "final" or standing.get(key) == "held"

    def start(self, decision: Decision, standing: dict[AttemptKey, str]) -> None:
        planned, state = self.state.planned(decision.key), self.state
        assert decision.base is not None
        assert state.plan.task(planned.task).for_each is None, "a task is not done before its items are known"
        for group in planned.after:
            assert any(state.serves(one) for name in group for one in state.tries(AttemptKey.parse(name)))
        for name in (*planned.settled, *planned.previous):
            assert self.over(name, standing), f"{name} is not over"
        for key in state.attempts.living:
            other, own = state.plan.task(key.task), state.plan.task(decision.key.task)
            shared = any(overlap(one, two) for one in other.paths for two in own.paths)
            assert key.task == decision.key.task or not shared, f"{key} and {decision.key} share paths"
        if decision.key.try_ == 1 and planned.checkpoint and not state.plan.compared:
            assert decision.base == self.last_that_served(), "a sequence goes on from the last that served"
        self.order.append(str(decision.key))
        self.tell(life(str(decision.key), "done", base=decision.base)[0])

    def last_that_served(self) -> str:
        """What an independent look at the run says of where a sequence stands."""
        for name in reversed(self.order):
            one = self.state.attempts[AttemptKey.parse(name)]
            if self.state.serves(one) and one.commit is not None:
                return one.commit
        return BASE


def live(run: Life, data: st.DataObject) -> None:
    """Live a run to its end."""
    agenda = Agenda(run.state)
    for _ in range(400):
        agenda.follow(run.state)
        decisions = decide(run.state, run.jobs)
        assert agenda.all(run.jobs) == decisions, "what it remembers is what it would decide anew"
        assert agenda.finished == finished(run.state)
        todo = agenda.due(run.jobs)
        assert sorted(map(str, (d.key for d in todo))) == sorted(
            str(d.key) for d in decisions if d.standing in {"start", "skip", "fail"}
        )
        standing: dict[AttemptKey, str] = {decision.key: decision.standing for decision in decisions}
        for decision in todo:
            if decision.standing == "start":
                run.start(decision, standing)
            elif decision.standing == "skip":
                run.tell(skipped(decision))
        bearable = min(run.jobs, run.state.width) if run.state.plan.mode == "adaptive" else run.jobs
        assert len([d for d in todo if d.standing == "start"]) <= bearable
        key = due(run.state)
        living = sorted(run.state.attempts.living)
        if key is not None and (not living or data.draw(st.booleans())):
            items = tuple("uvw"[: data.draw(st.integers(0, 3))])
            run.tell(e.TaskExpanded(at=3, task=key.task, items=items))
        elif living:
            ending = data.draw(st.sampled_from(living))
            verdict = data.draw(st.sampled_from(VERDICTS))
            again = verdict == "infrastructure" and ending.try_ == 1
            commit = f"{len(run.told):040x}"
            run.tell(*life(str(ending), verdict, again=again, commit=commit)[1:])
        elif agenda.finished or not todo:
            break


@settings(max_examples=1500 if FULL else 150, deadline=None)
@given(files(), st.integers(1, 4), st.data())
def test_a_run_of_any_graph_comes_to_its_end(text: str, jobs: int, data: st.DataObject) -> None:
    plan = plan_of(text)
    advice(plan)
    run = Life(started(plan, jobs), jobs)
    first = run.state
    live(run, data)
    state = run.state
    assert finished(state), [(str(d.key), d.standing, d.why) for d in decide(state, jobs)]
    assert len(set(run.order)) == len(run.order), "nothing runs twice"
    for decision in decide(state, jobs):
        one = state.tries(decision.key)[-1]
        assert (one.phase, decision.standing) in {("final", "final"), ("queued", "held")}
        if state.plan.task(one.key.task).when is not None and one.phase == "final":
            _took_the_right_way(state, one)
    assert exit_code(state) in {0, 1, 3}
    journaled = [e.ADAPTER.validate_json(e.ADAPTER.dump_json(event)) for event in run.told]
    assert after(first, *journaled) == state, "the journal tells it all"


def _took_the_right_way(state: RunState, one: AttemptState) -> None:
    planned = state.planned(one.key)
    when = state.plan.task(one.key.task).when or ""
    asked = when.partition(".")[0]
    keys = [AttemptKey.parse(name) for name in planned.settled]
    keys = [key for key in keys if (state.plan.task(key.task).of or key.task) == asked]
    if "failed" in when:
        tasks = {key.task for key in keys}
        served = {key.task for key in keys for a in state.tries(key) if state.serves(a)}
        assert (one.verdict == "skipped") == (tasks == served)
    elif not any(state.serves(a) for key in keys for a in state.tries(key)):
        assert (one.verdict == "skipped") == (state.tries(keys[0])[-1].verdict != "rejected")
    else:
        assert one.verdict == "skipped"


FIX: list[dict[str, object]] = [
    {"id": "fix"},
    {"id": "repair", "needs": ["fix"], "when": "fix.verdict == 'rejected'"},
]


def standing(state: RunState, jobs: int = 4) -> dict[str, str]:
    return {str(d.key).removesuffix("/p/1"): d.standing for d in decide(state, jobs)}


def test_a_way_not_taken_leads_on_only_where_all_it_asked_about_served() -> None:
    plan = plan_of(file_of([*FIX, {"id": "report", "needs": ["repair"]}]))
    good = after(started(plan), *life("fix/p/1", "accepted", commit="c" * 40))
    skip = next(d for d in decide(good, 2) if d.standing == "skip")
    assert (skip.base, skip.passes) == ("c" * 40, True)
    assert skip.why == "its `when` does not hold: fix.verdict is accepted"
    good = after(good, skipped(skip))
    assert [d.base for d in decide(good, 2) if d.standing == "start"] == ["c" * 40]
    assert exit_code(after(good, *life("report/p/1", "done"))) == 0
    bad = after(started(plan), *life("fix/p/1", "stalled"))
    skip = next(d for d in decide(bad, 2) if d.standing == "skip")
    assert not skip.passes
    bad = after(bad, skipped(skip))
    assert standing(bad) == {"fix": "final", "repair": "final", "report": "held"}
    assert exit_code(bad) == 1


def test_what_was_not_wanted_is_judged_anew_when_what_it_asks_about_is_tried_again() -> None:
    """So is what was not wanted for that; what went on without it stays as it is."""
    asks: list[dict[str, object]] = [
        *FIX,
        {"id": "after", "needs": ["repair"]},
        {"id": "last", "needs": ["repair"], "when": "repair.verdict == 'accepted'"},
    ]
    state = after(started(plan_of(file_of(asks))), *life("fix/p/1", "stalled"))
    for name in ("repair", "last"):
        skip = next(d for d in decide(state, 4) if d.standing == "skip" and d.key.task == name)
        state = after(state, skipped(skip))
    assert standing(state) == {"fix": "final", "repair": "final", "after": "held", "last": "final"}
    (one,) = [one for one in deciding.undecided(state) if one.task == "repair"]
    assert [words for words, _ in deciding.commands(state, one)] == [
        "corral show repair/p/1 --run r",
        "corral decide r repair skip",
    ]
    never = deciding.obey(state, orders.Retry(attempt="repair/p/1"), 9.0)
    assert never == "repair/p/1 was not wanted: try again what its `when` asks about, and it is judged anew"
    agenda = Agenda(state)
    state = after(state, e.AttemptRetried(at=9, attempt="fix/p/1", why="person"))
    agenda.follow(state)
    assert agenda.all(4) == decide(state, 4)
    assert not any(state.task_served(task) for task in ("repair", "last"))
    rejected = after(state, *life("fix/p/1.2", "rejected", commit="d" * 40))
    assert [(d.key.task, d.base) for d in decide(rejected, 4) if d.standing == "start"] == [
        ("repair", "d" * 40)
    ]
    used = e.TaskDecided(at=9, task="fix", what="use", attempt="fix/p/1")
    skip = next(d for d in decide(after(state, *life("fix/p/1.2", "stalled")), 4) if d.standing == "skip")
    state = after(state, *life("fix/p/1.2", "stalled"), skipped(skip), used)
    assert [d.passes for d in decide(state, 4) if d.standing == "skip"] == [True]


def test_what_was_rejected_can_be_gone_on_from_and_what_brought_nothing_home_is_not() -> None:
    plan = plan_of(file_of(FIX))
    state = after(started(plan), *life("fix/p/1", "rejected", commit="c" * 40))
    assert [d.base for d in decide(state, 2) if d.standing == "start"] == ["c" * 40]
    plan = plan_of(file_of([FIX[0], {**FIX[1], "when": "fix.verdict == 'agent-error'"}]))
    state = after(started(plan), *life("fix/p/1", "agent-error", commit=None))
    assert [d.base for d in decide(state, 2) if d.standing == "start"] == [BASE]


def test_nobody_is_asked_about_what_was_never_done() -> None:
    tasks: list[dict[str, object]] = [{"id": "root"}, {"id": "fix", "needs": ["root"]}, {**FIX[1]}]
    state = after(started(plan_of(file_of(tasks))), *life("root/p/1", "rejected"))
    assert standing(state) == {"root": "final", "fix": "held", "repair": "held"}


def test_unknown_figures_leave_a_task_undone_and_say_so() -> None:
    plan = plan_of(file_of([FIX[0], {**FIX[1], "when": "fix.files > 3 and fix.usd < 1"}]))
    state = after(started(plan), *life("fix/p/1", "accepted"))
    [_, why] = [d.why for d in decide(state, 2)]
    assert why == "its `when` can not be answered: fix.files is not known, fix.usd is 0"


def test_an_adaptive_run_widens_while_attempts_serve_and_narrows_when_they_do_not() -> None:
    plan = plan_of(file_of([{"id": f"t{n}"} for n in range(9)], mode="adaptive"))
    state, widths = started(plan, jobs=4), []
    for number, verdict in enumerate(["accepted"] * 5 + ["rejected", "oom", "cancelled"]):
        assert list(standing(state, 4).values()).count("start") == min(state.width, 9 - number)
        state = after(state, *life(f"t{number}/p/1", verdict))
        widths.append(state.width)
        waits = {d.why for d in decide(state, 4) if d.standing == "wait"}
        assert waits <= {f"for a free place (adaptive: {state.width} at once)", "for a free place (--jobs)"}
    assert widths == [2, 3, 4, 4, 4, 2, 1, 1]


def test_compared_attempts_of_a_task_share_its_paths_and_other_repositories_have_their_own() -> None:
    tasks = [
        {"id": "a", "paths": ["src"]},
        {"id": "b", "paths": ["src/x"]},
        {"id": "c", "paths": ["src"], "repo": "/other"},
    ]
    plan = plan_of(file_of(tasks, compare={"agents": ["p", "q"]}))
    found = {str(d.key): d.standing for d in decide(started(plan), 9)}
    waits = {name for name, decided in found.items() if decided == "wait"}
    assert waits == {"b/p/1", "b/q/1"}
    assert len(found) == 6
    why = next(d.why for d in decide(started(plan), 9) if d.standing == "wait")
    assert why == "for src/x, on which a works"


def test_results_are_of_what_counts_once_each() -> None:
    tasks: list[dict[str, object]] = [
        {"id": "fix", "for_each": ["x", "y"]},
        {"id": "look"},
        {
            "id": "join",
            "needs": ["fix", "look"],
            "from": "base",
            "fan_in": "any",
            "when": "look.verdict == 'oom'",
        },
    ]
    state = started(plan_of(file_of(tasks)))
    state = after(
        state, *life("fix.1/p/1", "accepted"), *life("fix.2/p/1", "rejected"), *life("look/p/1", "oom")
    )
    found = results(state, state.plan.attempt("join/p/1"))
    assert [str(one.key) for one in found] == ["fix.1/p/1", "look/p/1"]


@pytest.mark.parametrize("again", [False, True])
def test_items_are_found_out_once_and_told_twice_they_change_nothing(again: bool) -> None:
    plan = plan_of(file_of([{"id": "fix", "for_each": {"command": "c"}}]))
    state = started(plan)
    assert due(state) == AttemptKey("fix", "p")
    assert due(after(state, e.Draining(at=2))) is None
    expanded = e.TaskExpanded(at=2, task="fix", items=("x",))
    state = after(state, expanded, *life("fix.1/p/1", "done"), *([expanded] if again else []))
    assert due(state) is None
    assert standing(state) == {"fix.1": "final"}
    assert exit_code(state) == 0


def test_items_that_nobody_knows_fail_their_task_until_it_is_resumed() -> None:
    plan = plan_of(file_of([{"id": "fix", "for_each": {"command": "c"}}]))
    failed = after(started(plan), e.TaskNotExpanded(at=2, task="fix", reason="exit 3"))
    assert [(d.standing, d.why) for d in decide(failed, 1)] == [("fail", "exit 3")]
    assert due(failed) is None
    again = after(failed, *life("fix/p/1", "infrastructure", again=True))
    assert due(again) == AttemptKey("fix", "p", 1, 2), "who tries it again asks again"
    resumed = after(failed, e.RunResumed(at=3, jobs=1), e.ImageReady(at=3, source=0, cli=None, image="i"))
    assert due(resumed) is not None


def test_an_old_journal_folds() -> None:
    """Events of before there were graphs, as they stand in a journal."""
    plan = plan_of(file_of([{"id": "a"}]))
    of_task = {"for_each", "of", "item", "any_item", "when", "passes", "paths", "refuse_outside"}
    new = of_task | {"mode", "settled", "previous", "checkpoint"}

    def without(value: object) -> object:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in new}
        return [without(item) for item in value] if isinstance(value, list) else value

    row = {"kind": "run.started", "at": 1, "plan": without(plan.model_dump(mode="json")), "jobs": 2}
    assert fold([("r", e.ADAPTER.validate_python(row))]).plan == plan

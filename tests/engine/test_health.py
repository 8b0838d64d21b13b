"""Each condition of an agent, produced by a real container, and what is done about it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from runner.supervisor import signboard
from tests.contract.gateway_service import USAGE, Upstream, plain, playing
from tests.engine.living import gateway_processes, living
from tests.engine.test_held import closed_window
from tests.engine.test_limits import ASK
from tests.support import Corral, Done, git, make_repo, states, write_tasks


def limits(**more: object) -> dict[str, object]:
    return {"cpus": 1, "memory": "256MiB", "time": "120s", "idle": "60s", **more}


CHECK = "test -e good"
SOON = limits(idle="4s")
TASKS: dict[str, dict[str, Any]] = {
    "sleeper": {"sh": "touch good; sleep 300", "limits": SOON},
    "stopped": {"sh": "touch good; kill -STOP $$; sleep 300", "limits": SOON},
    "compiler": {  # silent, and busy for much longer than its patience with silence
        "sh": "timeout 20 sh -c 'while :; do :; done'; touch good",
        "limits": SOON,
        "health": {"quiet_but_busy": {"after": "6s", "then": "notify"}},
    },
    "chatter": {
        "sh": "touch good; while :; do i=$((i + 1)); echo step $i; sleep 1; done",
        "health": {"looping": {"after": "10s"}},
    },
    "parrot": {  # it uses CPU, for nothing but saying the same
        "sh": "touch good; while :; do echo again; sleep 0.01; done",
        "health": {"looping": {"after": "10s"}},
    },
    "worker": {
        "sh": "for i in $(seq 20); do echo step $i; touch good good$i; sleep 1; done",
        "health": {"looping": {"after": "10s"}},
    },
    "dead": {  # its child has ended, and it does not care
        "sh": "touch good; sleep 1 & exec sleep 300",
        "health": {"dead_inside": {"after": "4s"}},
    },
    "told": {
        "sh": "sleep 12; touch good",
        "limits": limits(idle="4s"),
        "health": {"hung": {"then": "notify"}},
    },
    "nudged": {  # it begins anew on the files that it left
        "sh": "test -e left && exec touch good; touch left; sleep 300",
        "limits": SOON,
        "health": {"hung": {"then": "nudge"}},
    },
    "lost": {
        "sh": "touch good; sleep 300",
        "limits": SOON,
        "health": {"hung": {"then": "nudge"}},
    },
    "bereft": {  # the kernel kills a child of its for memory, and it ends well
        "sh": "python3 -c 'bytearray(900 << 20)'; sleep 3; touch good; exit 0",
    },
}
STALLED = {
    "sleeper": "hung: no sign of life for ",
    "stopped": "hung: no sign of life for ",
    "chatter": "looping: it prints, and nothing came of it for ",
    "parrot": "looping: it prints, and nothing came of it for ",
    "dead": "dead inside: ",
    "lost": "hung: no sign of life for ",
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, prepared: None) -> Done:  # noqa: ARG001 - that it was done
    """One run of all of them."""
    folder = tmp_path_factory.mktemp("health")
    tasks = {name: {"limits": limits(), "check": CHECK, **task} for name, task in TASKS.items()}
    return Corral(folder / "home").run(make_repo(folder / "repo"), tasks, "--jobs", "3")


@pytest.mark.parametrize("task", STALLED)
def test_who_gets_nowhere_is_ended_with_its_cause_and_its_work_comes_home(done: Done, task: str) -> None:
    row = done.attempt(task)
    assert (row["verdict"], row["work"], row["check"]) == ("stalled", "gathered", "passed"), row
    assert row["reason"].startswith(STALLED[task])


@pytest.mark.parametrize("task", ["compiler", "worker", "told", "nudged", "bereft"])
def test_who_works_is_left_alone(done: Done, task: str) -> None:
    assert done.attempt(task)["verdict"] == "accepted", done.attempt(task)


def test_who_is_nudged_goes_on_in_another_box_once(done: Done) -> None:
    events = {name: [e for e in done.events if e.get("attempt") == f"{name}/do-{name}/1"] for name in TASKS}
    for name in ("nudged", "lost"):
        kinds = [event["kind"] for event in events[name]]
        assert kinds.count("attempt.running") == 2
        (held,) = (event for event in events[name] if event["kind"] == "attempt.held")
        assert held["cause"] == "nudge"
        assert held["why"].startswith("hung: ")


def test_the_state_of_its_processes_is_said(done: Done) -> None:
    assert "1 stopped" in done.attempt("stopped")["reason"]
    assert "1 ended" in done.attempt("dead")["reason"]


def test_a_person_is_told_once_and_nothing_else_is_done(done: Done) -> None:
    told = [event for event in done.events if event["kind"] == "attempt.attention"]
    conditions = [(event["attempt"].partition("/")[0], event["condition"]) for event in told]
    assert sorted(conditions) == [("compiler", "quiet-but-busy"), ("told", "hung")]
    assert all(event["seq"] for event in told)


def test_a_killed_child_is_reported_though_all_ended_well(done: Done) -> None:
    assert done.attempt("bereft")["flags"] == ["oom-killed-child"]
    assert [row["task"] for row in done.summary["attempts"] if "oom-killed-child" in row["flags"]] == [
        "bereft"
    ]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A model service on this host."""
    with playing() as made:
        yield made


@pytest.fixture
def asking(corral: Corral, repo: Path, upstream: Upstream) -> Corral:
    """The command, with a credential for that service; the repository holds a program that asks it."""
    (repo / "ask.py").write_text(ASK)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "ask")
    corral.env |= {"ANTHROPIC_BASE_URL": upstream.url, "ANTHROPIC_API_KEY": "sk-dummy"}
    return corral


def until(shows: Callable[[], Any]) -> Any:
    """Wait for something that is bound to be shown soon."""
    for _ in range(200):
        if found := shows():
            return found
        time.sleep(0.2)
    raise AssertionError("it was never shown")


def test_waiting_for_the_model_and_being_held_are_told_apart(
    asking: Corral, repo: Path, upstream: Upstream
) -> None:
    """Neither is silence, however long it lasts; the views say which it is."""
    lets = threading.Event()

    def slow(asked: BaseHTTPRequestHandler) -> None:
        lets.wait(60)
        plain(asked, USAGE)

    upstream.answer = slow
    tasks = {
        "a": {
            "sh": "python3 ask.py 0; touch good",
            "limits": limits(idle="4s"),
            "health": {"waiting_for_the_model": {"after": "6s", "then": "notify"}},
        }
    }
    with living(asking, "run", write_tasks(repo.parent / "t.yaml", repo, tasks)) as run:
        run.until("attempt.attention")
        shown = asking("status", "--json").json["attempts"][0]
        seen = asking("status").out
        lets.set()
        assert run.end() == 0
    assert run.events[-2]["kind"] == "run.ended"
    assert shown["condition"]["condition"] == "waiting-for-the-model"
    assert shown["attention"] == "waiting for the model"
    assert "waiting for the model" in seen
    upstream.answer = closed_window
    tasks["a"]["health"] = {"held_by_a_limit": {"after": "3s", "then": "notify"}}
    with living(asking, "run", write_tasks(repo.parent / "u.yaml", repo, tasks)) as run:
        run.until("attempt.attention")
        assert run.events[-1]["condition"] == "held-by-a-limit"
        assert "5-hour window" in run.events[-1]["why"]
        run.stop()
    assert run.rows()["a"]["verdict"] == "cancelled"


def test_a_gateway_that_does_not_answer_is_not_the_agent_s_fault(asking: Corral, repo: Path) -> None:
    """Its work comes home, and it is tried again."""
    tasks = {
        "a": {
            "sh": "touch good; echo made; sleep 300",
            "limits": limits(idle="20s"),
            "health": {"gateway_unreachable": {"after": "3s"}},
            "check": CHECK,
        }
    }
    with living(asking, "run", write_tasks(repo.parent / "t.yaml", repo, tasks)) as run:
        run.until_said("made")
        gateways = gateway_processes(asking.home)
        for pid in gateways:
            os.kill(pid, signal.SIGSTOP)
        try:
            run.until("attempt.ended")
        finally:
            for pid in gateways:
                os.kill(pid, signal.SIGCONT)
        run.until("attempt.running", times=2)
        run.stop()
    first, second = run.events[-1]["attempts"]
    assert (first["verdict"], first["work"], first["check"]) == ("infrastructure", "gathered", "passed"), (
        first
    )
    assert first["reason"].startswith("gateway unreachable: it has not answered for ")
    assert second["try"] == 2


def test_silence_outlives_the_supervisor(corral: Corral, repo: Path) -> None:
    """Else one that is restarted often enough would never end a hung agent."""
    tasks = {"a": {"sh": "touch good; echo made; sleep 600", "limits": limits(idle="100s", time="300s")}}

    def silence() -> float:
        (state,) = states(corral.home)
        return max((one.silence or 0.0 for one in signboard.read(corral.home, state.name)), default=0.0)

    with living(corral, "run", write_tasks(repo.parent / "t.yaml", repo, tasks)) as run:
        run.until_said("made")
        until(lambda: silence() > 12)
        run.kill()
    before = silence()
    with living(corral, "resume") as run:
        run.until("run.resumed")
        assert until(lambda: silence() - before) > 0  # what was shown last is shown first
        assert corral("stop").code == 0
        run.end()
    assert run.rows()["a"]["verdict"] == "cancelled"


def test_a_hung_agent_is_shown_as_such_while_it_lives(corral: Corral, repo: Path) -> None:
    tasks = {"a": {"sh": "touch good; echo made; sleep 300", "limits": limits(idle="40s")}}
    with living(corral, "run", write_tasks(repo.parent / "t.yaml", repo, tasks)) as run:
        run.until_said("made")

        def hung() -> bool:
            (state,) = states(corral.home)
            return any(one.condition == "hung" for one in signboard.read(corral.home, state.name))

        until(hung)
        row = corral("status", "--json").json["attempts"][0]
        assert row["condition"]["condition"] == "hung"
        assert "no sign of life" in row["condition"]["cause"]
        assert "hung" in corral("status").out
        run.stop()

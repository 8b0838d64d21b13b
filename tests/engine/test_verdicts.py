"""Each verdict by a real container, and what a person sees of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.sandbox.engine import Engine
from runner.supervisor.attempt.watch import LATELY
from tests.support import Corral, Done, git, make_repo, write_tasks

CHECK = "test -f good"
CASES: dict[str, tuple[object, str]] = {
    "good": ({"sh": "touch good", "check": CHECK}, "accepted"),
    "bad": ({"sh": "touch other", "check": CHECK}, "rejected"),
    "unchecked": ("touch good", "done"),
    "nothing": ({"sh": "true", "check": CHECK}, "no-change"),
    "failing": ({"sh": "touch good; exit 3", "check": CHECK}, "agent-error"),
    "missing": ("exec no-such-program", "agent-error"),
    "slow": (
        {"sh": "touch good; while :; do :; done", "check": CHECK, "limits": {"time": "4s", "idle": "60s"}},
        "timeout",
    ),
    "silent": ({"sh": "touch good; sleep 60", "check": CHECK, "limits": {"idle": "3s"}}, "stalled"),
    "greedy": ({"sh": "touch good; head -c 900M /dev/zero > /tmp/x", "check": CHECK}, "oom"),
    "starved": ({"sh": "head -c 900M /dev/zero | tail -n 1; exit 1"}, "oom"),
    "got-over-it": (
        {"sh": f"head -c 900M /dev/zero | tail -n 1; sleep {LATELY + 3}; exit 1"},
        "agent-error",
    ),
    "orphan": ("git checkout -q --orphan x; git commit -qm x --allow-empty; touch y", "done"),
    "deep": ("p=d; for i in $(seq 70); do p=$p/d; done; mkdir -p $p; touch $p/f", "refused"),
    "no-check-command": ({"sh": "touch good", "check": "no-such-check"}, "rejected"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all the cases."""
    folder = tmp_path_factory.mktemp("verdicts")
    return Corral(folder / "home").run(make_repo(folder / "repo"), {k: v for k, (v, _) in CASES.items()})


@pytest.mark.parametrize("task", CASES)
def test_verdict(done: Done, task: str) -> None:
    assert done.verdicts[task] == CASES[task][1], done.attempt(task)


def test_the_exit_code_says_that_some_tasks_were_not_served(done: Done) -> None:
    assert done.code == 1


@pytest.mark.parametrize("task", ["slow", "silent", "greedy", "failing"])
def test_work_comes_home_and_is_checked_whatever_way_it_ended(done: Done, task: str) -> None:
    row = done.attempt(task)
    assert (row["work"], row["check"]) == ("gathered", "passed")
    assert "good" in git(Path(row["repo"]), "ls-tree", "--name-only", row["branch"]).split()


def test_refused_work_is_kept(done: Done) -> None:
    row = done.attempt("deep")
    assert row["branch"] is None
    assert Path(row["kept"]).is_file()
    assert "nested" in row["reason"]


def test_files_come_home_also_where_their_history_can_not(done: Done) -> None:
    row = done.attempt("orphan")
    assert row["work"] == "salvaged"
    assert "does not build on the base" in row["flags"][0]
    assert git(Path(row["repo"]), "rev-list", "--count", f"main..{row['branch']}") == "1"


def test_ordinary_work_has_no_flag_and_leaves_no_archive(done: Done) -> None:
    row = done.attempt("good")
    assert (row["flags"], row["kept"]) == ([], None)


def test_a_killed_child_is_no_cause_of_what_failed_later(done: Done) -> None:
    late = done.attempt("got-over-it")
    assert (late["reason"], late["flags"]) == ("exit 1", ["oom-killed-child"])
    assert done.attempt("starved")["reason"].startswith("exit 1, just after the kernel killed")
    assert done.attempt("starved")["flags"] == []


def test_reasons_are_said(done: Done) -> None:
    assert "not found" in done.attempt("missing")["reason"]
    assert "not found" in done.attempt("no-check-command")["reason"]
    assert done.attempt("slow")["reason"].startswith("over its")


def test_a_box_that_vanishes_is_infrastructure_and_is_tried_once_more(corral: Corral, repo: Path) -> None:
    file = write_tasks(corral.home.parent / "t.yaml", repo, {"t": "touch x; sleep 4"})
    process = corral.start("run", file, "--json")
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["kind"] == "attempt.running" and events[-1]["attempt"] == "t/do-t/1":
            with Engine({}) as engine:
                engine.remove(events[-1]["container"])
    process.communicate(timeout=120)
    rows = {(row["try"], row["verdict"]) for row in events[-1]["attempts"]}
    assert rows == {(1, "infrastructure"), (2, "done")}
    assert events[-1]["attempts"][1]["branch"].endswith("/1.2")

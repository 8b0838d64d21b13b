"""A run that nobody watches goes on, is seen from elsewhere, obeys, and survives its supervisor's death."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from runner.supervisor.journal import Journal
from runner.supervisor.ownership.detached import Start, log_file, start
from runner.supervisor.ownership.lease import is_over
from tests.support import Corral, printed, write_tasks


def supervisors(home: Path, run: str) -> dict[str, int]:
    """The processes of a detached run: its keeper and its supervisor."""
    found = {}
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        words = process.info["cmdline"] or []
        if (process.info["environ"] or {}).get("CORRAL_HOME") == str(home) and run in words:
            found["keeper" if "runner.supervisor.ownership.keeper" in words else "supervisor"] = process.info[
                "pid"
            ]
    return found


@pytest.fixture
def detached(corral: Corral) -> Iterator[Corral]:
    """The command; runs that were left alone are ended with the test, and none of their processes stays."""
    yield corral
    for run in ("night", "other"):
        for pid in supervisors(corral.home, run).values():
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 60
        while supervisors(corral.home, run) and time.monotonic() < until:
            time.sleep(0.1)
        assert supervisors(corral.home, run) == {}
    assert corral("reap").code == 0


def begin(corral: Corral, repo: Path, tasks: dict[str, object]) -> None:
    done = corral("run", write_tasks(repo.parent / "t.yaml", repo, tasks), "--name", "night", "--detach")
    assert done.code == 0, done.err
    assert "goes on without you" in done.out


def until(condition: object, what: str) -> None:
    end = time.monotonic() + 90
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_it_goes_on_is_watched_and_waited_for(detached: Corral, repo: Path) -> None:
    begin(detached, repo, {"a": {"sh": "sleep 4; date > made", "check": "test -s made"}, "b": "false"})
    assert not is_over(detached.home, "night")
    seen = detached("attach", "--json")
    kinds = [event["kind"] for event in seen.events]
    assert (kinds[0], kinds[-2:]) == ("run.started", ["run.ended", "run.summary"])
    assert seen.code == 1
    assert {row["task"]: row["verdict"] for row in seen.summary["attempts"]} == {
        "a": "accepted",
        "b": "agent-error",
    }
    waited = detached("wait", "night", "--json")
    assert (waited.code, waited.json) == (1, {"run": "night", "exit_code": 1})
    until(lambda: not supervisors(detached.home, "night"), "its processes end with it")
    assert not (detached.home / "runs" / "night" / "signs.json").exists()


def test_a_killed_supervisor_is_started_again_and_repeats_nothing(detached: Corral, repo: Path) -> None:
    begin(detached, repo, {"a": "echo once >> made; echo begun; sleep 12", "b": "echo once > made"})
    until(lambda: "begun" in printed(detached.home, "a"), "the agent began")
    first = supervisors(detached.home, "night")
    os.kill(first["supervisor"], signal.SIGKILL)
    assert detached("wait").code == 0
    rows = detached("report", "--json").json["attempts"]
    assert [(row["task"], row["try"], row["verdict"]) for row in rows] == [("a", 1, "done"), ("b", 1, "done")]
    assert detached("logs", "a").out.count("begun") == 1


def test_between_two_lives_it_is_nobody_s_to_clear_and_obeys_later(detached: Corral, repo: Path) -> None:
    begin(detached, repo, {"a": "echo work > made; echo begun; sleep 600"})
    until(lambda: "begun" in printed(detached.home, "a"), "the agent began")
    found = supervisors(detached.home, "night")
    os.kill(found["keeper"], signal.SIGSTOP)  # it starts nothing for a while
    try:
        os.kill(found["supervisor"], signal.SIGKILL)
        until(lambda: is_over(detached.home, "night"), "it is dead")
        assert "started again by itself" in detached("status").out
        assert "left alone" in detached("reap").out
        waiting = detached.start("wait")
        assert detached("stop").code == 0
        time.sleep(1)
        assert waiting.poll() is None
    finally:
        os.kill(found["keeper"], signal.SIGCONT)
    assert (waiting.wait(timeout=120), waiting.communicate()[1]) == (1, "")
    (row,) = detached("report", "--json").json["attempts"]
    assert (row["verdict"], row["work"], row["try"]) == ("cancelled", "gathered", 1)


def test_where_the_keeper_died_too_nobody_waits_for_ever(detached: Corral, repo: Path) -> None:
    begin(detached, repo, {"a": "echo begun; sleep 600"})
    until(lambda: "begun" in printed(detached.home, "a"), "the agent began")
    for name in ("keeper", "supervisor"):
        os.kill(supervisors(detached.home, "night")[name], signal.SIGKILL)
    done = detached("wait")
    assert (done.code, "nobody works on the run night" in done.err) == (3, True)
    assert "`corral reap` gives up" in detached("status").out


def test_a_supervisor_waits_for_the_engine(detached: Corral, repo: Path, tmp_path: Path) -> None:
    """As after a reboot: the run is there, and the engine not yet."""
    begin(detached, repo, {"a": "echo begun; sleep 8; echo done > made"})
    until(lambda: "begun" in printed(detached.home, "a"), "the agent began")
    for name in ("keeper", "supervisor"):
        os.kill(supervisors(detached.home, "night")[name], signal.SIGKILL)
    socket = tmp_path / "engine.sock"
    begun = {**detached.environment, "DOCKER_HOST": f"unix://{socket}"}
    lives = start(detached.home, "night", ["--kept"], Start(begun))
    log = log_file(detached.home, "night")
    until(lambda: log.read_text().count("no container engine answers") >= 2, "it is tried again")
    assert lives()
    socket.symlink_to("/var/run/docker.sock")
    done = detached("wait")
    assert (done.code, kinds(detached).count("run.resumed")) == (0, 2), done.err
    until(lambda: not lives(), "its keeper ends with it")


def test_it_stops_when_it_is_told_to_and_its_work_comes_home(detached: Corral, repo: Path) -> None:
    begin(detached, repo, {"a": "echo work > made; echo begun; sleep 600"})
    until(lambda: "begun" in printed(detached.home, "a"), "the agent began")
    assert "stops what runs" in detached("stop").out
    assert detached("wait").code == 1
    (row,) = detached("report", "--json").json["attempts"]
    assert (row["verdict"], row["work"], row["files"]) == ("cancelled", "gathered", 1)
    refused = detached("stop")
    assert (refused.code, "has ended" in refused.err) == (2, True)


def test_it_stands_still_while_it_is_paused(detached: Corral, repo: Path) -> None:
    count = "echo begun; i=0; while [ $i -lt 90 ]; do i=$((i+1)); echo $i >> made; sleep 0.1; done"
    begin(detached, repo, {"a": count, "b": {"sh": "date > made", "needs": ["a"]}})
    until(lambda: "begun" in printed(detached.home, "a"), "the agent began")
    assert detached("pause").code == 0
    until(lambda: "attempt.frozen" in kinds(detached), "it is frozen")
    paused = detached("status", "--json").json
    time.sleep(4)
    assert kinds(detached).count("attempt.final") == 0
    assert paused["attempts"][0]["verdict"] is None
    assert detached("unpause").code == 0
    assert detached("wait").code == 0
    rows = {row["task"]: row for row in detached("report", "--json").json["attempts"]}
    assert {row["verdict"] for row in rows.values()} == {"done"}
    assert rows["a"]["held_s"] > 3


def kinds(corral: Corral) -> list[str]:
    """The kinds of all events of the run, as its journal has them."""
    with Journal(corral.home / "journal.db") as journal:
        return [row.event.kind for row in journal.events("night")]


def test_what_can_t_begin_is_said_at_once(detached: Corral, repo: Path) -> None:
    done = detached(
        "run", write_tasks(repo.parent / "t.yaml", repo, {"a": "true"}, runtime="none-such"), "--detach"
    )
    assert done.code == 3
    assert "none-such" in done.err
    assert detached("status", "--all", "--json").json == []


@pytest.mark.parametrize("accepts", [False, True])
def test_a_broken_promise_is_said_at_once(detached: Corral, repo: Path, accepts: bool) -> None:
    without = replace(detached, program=(sys.executable, "-m", "tests.attacks.without", "mask"))
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": "touch made"})
    accepted = ("--accept-weaker", "git-mask") if accepts else ()
    done = without("run", file, "--name", "night", "--detach", *accepted)
    if accepts:
        assert (done.code, "goes on without you" in done.out) == (0, True), done.err
        assert detached("wait").code == 0
        return
    assert (done.code, done.out) == (3, "")
    assert "the promise git-mask is broken here" in done.err
    assert "`corral resume night`" in done.err
    assert supervisors(detached.home, "night") == {}
    assert "nobody works on this run" in detached("status").out
    assert detached("resume").code == 0

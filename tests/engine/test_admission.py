"""A host under real pressure: what does not fit waits, and says for what; nothing dies but what should."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.sandbox.engine import Engine
from runner.tasks.units import GIB, MIB
from tests.conftest import FULL
from tests.engine.living import Live, living
from tests.support import QUICK, Corral, git, write_tasks

FILLS = 3000 if FULL else 200
"""MiB that each of the twenty really takes, of the 4 GiB that it may take."""


def fill(mebibytes: int, seconds: float, then: str = "true") -> str:
    """A shell command that takes so much memory, bit by bit, and keeps it for a while."""
    script = (
        f"my @held; for (1..{mebibytes}) {{ push @held, 'x' x 1048576; select undef, undef, undef, 0.001 }} "
        f"sleep {seconds}"
    )
    return f'perl -e "{script}" && {then}'


def most_at_once(events: list[dict[str, Any]]) -> int:
    """How many attempts lived at once at most."""
    living, most = 0, 0
    for event in events:
        living += {"attempt.started": 1, "attempt.final": -1}.get(event["kind"], 0)
        most = max(most, living)
    return most


def waits(events: list[dict[str, Any]]) -> list[str]:
    """What was said of things that waited for the host."""
    return [event["why"] for event in events if event["kind"] == "run.short" and event["why"]]


@pytest.mark.alone
def test_twenty_that_want_four_gibibytes_each(corral: Corral, repo: Path) -> None:
    """They all want to start at once. So many live as the host bears, and each comes to its end."""
    tasks = {f"t{n:02}": fill(FILLS, 2, "touch made") for n in range(20)}
    limits = {**QUICK, "memory": "4GiB", "disk": "64MiB", "time": "300s"}
    done = corral.run(repo, tasks, "--jobs", "20", limits=limits)
    assert done.code == 0, done.err
    assert set(done.verdicts.values()) == {"done"}
    total = psutil.virtual_memory().total
    bears = int((total - min(4 * GIB, total // 10)) * 1.5) // (4 * GIB)
    assert 1 <= most_at_once(done.events) <= bears
    if bears < 20:
        assert waits(done.events)
        assert all(why.startswith("memory: needs 4GiB, ") for why in waits(done.events))
    assert not [event for event in done.events if event["kind"] == "attempt.frozen"], "it never came to that"


def test_a_task_with_five_hundred_processes_disturbs_nobody(corral: Corral, repo: Path) -> None:
    bomb = "for i in $(seq 500); do sleep 6 & done; sleep 1; ls /proc | grep -c '^[0-9]' > count; wait"
    tasks = {
        "many": {"sh": bomb, "limits": {"pids": 600}},
        **{f"t{n}": "sleep 1; touch made" for n in range(4)},
    }
    done = corral.run(repo, tasks, "--jobs", "5", limits={**QUICK, "disk": "64MiB"})
    assert (done.code, set(done.verdicts.values())) == (0, {"done"}), done.err
    assert int(git(repo, "show", f"{done.attempt('many')['branch']}:count")) >= 500


def test_what_could_never_fit_is_said_before_anything_starts(corral: Corral, repo: Path) -> None:
    tasks = {
        "large": {"sh": "true", "limits": {"memory": "900GiB"}},
        "crowd": {"sh": "true", "limits": {"pids": 4_000_000}},
        "hungry": {"sh": "true", "retry": {"oom": {"memory": "900GiB"}}},
    }
    file = write_tasks(corral.home.parent / "t.yaml", repo, tasks)
    said = corral("plan", file, "--json").json["unfit"]
    assert said[0].startswith("the task large can never start here: memory: needs 900GiB, ")
    assert said[-1].startswith("the task hungry can never be tried again here as its `retry` says: memory: ")
    refused = corral("run", file)
    assert refused.code == 3
    assert "the task large can never start here" in refused.err
    assert "CORRAL_OVERCOMMIT_MEMORY" in refused.err
    corral.env["CORRAL_OVERCOMMIT_MEMORY"] = "100"
    assert not any("large" in words for words in corral("plan", file, "--json").json["unfit"])


def test_two_runs_share_the_host(corral: Corral, repo: Path) -> None:
    """What the first gives back goes to the second, which waits and has nothing, and not to the first."""
    limits = {
        **QUICK,
        "memory": psutil.virtual_memory().total // 3,
        "disk": "64MiB",
        "time": "1h",
        "idle": "1h",
    }
    many = write_tasks(repo.parent / "many.yaml", repo, dict.fromkeys("abcdef", "sleep 3000"), limits=limits)
    few = write_tasks(repo.parent / "few.yaml", repo, {"late": "touch made"}, limits=limits)
    with living(corral, "run", many, "--jobs", "6", "--name", "many") as first:
        first.until("run.short")
        first.until("attempt.running")
        with living(corral, "run", few, "--name", "few") as second:
            second.until("run.short")
            killed = time.time()
            with Engine(corral.environment) as engine:
                engine.kill(next(iter(first.boxes().values())))
            assert second.end() == 0
        first.stop()
    began = next(event["at"] for event in second.events if event["kind"] == "attempt.started")
    starts = [event["at"] for event in first.events if event["kind"] == "attempt.started"]
    assert 1 <= len(starts) < 6
    assert killed < began, "until then there was no room"
    assert not [at for at in starts if killed < at < began]


@pytest.fixture
def small(corral: Corral) -> Iterator[Corral]:
    """The command with a state directory on a file system of 96 MiB, of which a third is to stay free."""
    corral.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "corral-test", str(corral.home)]
    subprocess.run(mount, check=True)
    corral.env["CORRAL_KEEP_DISK"] = "32MiB"
    try:
        yield corral
        left = [str(path) for folder in "wqs" for path in (corral.home / folder).glob("*")]
    finally:
        subprocess.run(["umount", str(corral.home)], check=True)
    assert left == []


@pytest.mark.skipif(psutil.Process().uids().effective != 0, reason="only root can mount a small file system")
def test_while_the_disk_is_nearly_full_nothing_starts_and_it_is_said(small: Corral, repo: Path) -> None:
    tasks = {"first": "sleep 4; touch made", "next": "touch made"}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks, limits={**QUICK, "disk": "16MiB"})
    with living(small, "run", file, "--jobs", "1", "--name", "full") as run:
        run.until("attempt.running")
        taken = small.home / "taken"
        taken.write_bytes(bytes(62 * MIB))
        run.until("attempt.final")
        run.until("run.short")
        short = run.events[-1]
        assert (short["attempt"], short["thing"]) == ("next/do-next/1", "disk")
        assert f"free in {small.home}, and 32MiB are to stay free" in short["why"]
        status = small("status", "--json").json
        assert status["short"]["thing"] == "disk"
        assert [row["waiting"] for row in status["attempts"]] == [None, short["why"]]
        assert "disk: " in small("status").out
        taken.unlink()
        assert run.end() == 0
    assert {task: row["verdict"] for task, row in run.rows().items()} == {"first": "done", "next": "done"}


GROWS = fill(2500, 60)
"""What takes the memory; it says first that it is there."""


@pytest.fixture
def pressed(corral: Corral) -> Corral:
    """The command, told that the host fails once some 1.2 GiB more than now are used."""
    free = psutil.virtual_memory().available
    corral.env["CORRAL_CRITICAL_MEMORY"] = str(free - 1200 * MIB)
    return corral


def hog(repo: Path) -> Path:
    """A small task, and one that takes 2.5 GiB after it has done some work."""
    tasks = {
        "small": {"sh": "sleep 15; touch made", "limits": {"memory": "256MiB"}},
        "hog": {"sh": f"echo half > half; {GROWS}", "limits": {"memory": "3GiB"}},
    }
    limits = {**QUICK, "disk": "64MiB", "time": "200s"}
    return write_tasks(repo.parent / "hog.yaml", repo, tasks, limits=limits)


def frozen(run: Live, attempt: str) -> bool:
    return any(event["kind"] == "attempt.frozen" and event["attempt"] == attempt for event in run.events)


@pytest.mark.alone
def test_the_newest_is_frozen_then_ended_with_its_work_saved(pressed: Corral, repo: Path) -> None:
    with living(pressed, "run", hog(repo), "--jobs", "2", "--name", "pressed") as run:
        run.until("attempt.frozen")
        assert run.events[-1]["attempt"] == "hog/do-hog/1"
        assert "of memory left" in run.events[-1]["why"]
        others = bytearray(os.urandom(MIB)) * 1024  # somebody else takes a GiB: freezing was not enough
        while not any(e["kind"] == "attempt.final" and e["attempt"].startswith("hog") for e in run.events):
            run.until("attempt.final", run.count("attempt.final") + 1)
        del others
        run.stop()  # it would be tried again, and be too much again
    ended = next(e for e in run.events if e["kind"] == "attempt.ended" and e["attempt"] == "hog/do-hog/1")
    assert (ended["ended"], "no memory left" in ended["reason"]) == ("infrastructure", True)
    assert ended["held_s"] > 1, "frozen time is no working time"
    gathered = next(
        e for e in run.events if e["kind"] == "attempt.gathered" and e["attempt"] == "hog/do-hog/1"
    )
    assert git(repo, "show", f"{gathered['branch']}:half") == "half"


@pytest.mark.alone
def test_one_that_is_frozen_when_the_supervisor_dies_goes_on_later(pressed: Corral, repo: Path) -> None:
    pressed.env["CORRAL_CRITICAL_MEMORY"] = str(psutil.virtual_memory().available - 1200 * MIB)
    tasks = {"hog": {"sh": fill(1800, 1, "touch made"), "limits": {"memory": "3GiB"}}}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks, limits={**QUICK, "disk": "64MiB"})
    with living(pressed, "run", file, "--name", "killed") as run:
        run.until("attempt.frozen")
        with Engine(pressed.environment) as engine:
            while (box := engine.inspect(run.boxes()["hog/do-hog/1"])) is not None and box.status != "paused":
                time.sleep(0.05)  # it is told before it is done, so that a crash in between forgets nothing
        run.kill()
    del pressed.env["CORRAL_CRITICAL_MEMORY"]
    with living(pressed, "resume", "killed") as resumed:
        assert resumed.end() == 0
    assert resumed.count("attempt.thawed") == 1
    row = resumed.rows()["hog"]
    assert row["verdict"] == "done"
    assert row["held_s"] > 5, "it stood still until there had been enough memory for a while"

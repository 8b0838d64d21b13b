"""A run that waits for its start, one whose end comes near, and clocks that somebody sets."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engine.living import living
from tests.support import Corral, git, write_tasks

WORK = "echo begun; sleep {}; echo done > made"
SET_BY = """
import os, time
_real, _file = time.time, {file!r}
def _set():
    try:
        with open(_file) as told:
            return _real() + float(told.read() or 0)
    except OSError:
        return _real()
time.time = _set
"""
"""Makes every Python process of a command believe that somebody set the wall clock by so many seconds."""


def in_minutes(number: int) -> str:
    """The time of day in so many minutes, at least 40 seconds from now."""
    return time.strftime("%H:%M", time.localtime(time.time() + 60 * number + 40))


def test_a_run_waits_for_its_start_also_after_a_crash_and_can_be_stopped(corral: Corral, repo: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": WORK.format(0)})
    with living(corral, "run", file, "--start", in_minutes(60), "--for", "1h") as run:
        run.until("image.ready")
        run.kill()
    assert "starts " in corral("status").out
    shown = corral("status", "--json").json
    assert shown["until"] - shown["starts"] == 3600
    with living(corral, "resume") as again:
        again.until("image.ready")
        time.sleep(1)
        again.process.send_signal(signal.SIGINT)
        assert again.end() == 130
    assert [row["phase"] for row in again.rows().values()] == ["queued"]
    assert again.count("attempt.started") == 0


def test_a_run_that_was_left_alone_waits_too_and_stops_when_it_is_told(corral: Corral, repo: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": WORK.format(0)})
    begun = corral("run", file, "--detach", "--start", in_minutes(60), "--json")
    assert begun.code == 0, begun.err
    shown = corral("status", "--json").json
    assert shown["starts"] > time.time()
    assert corral("stop").code == 0
    assert corral("wait", "--json").json["run"] == begun.json["run"]
    assert [row["phase"] for row in corral("status", "--json").json["attempts"]] == ["queued"]


def test_near_its_end_nothing_is_started_that_would_not_be_done(corral: Corral, repo: Path) -> None:
    tasks = {"slow": WORK.format(9)}
    assert corral.run(repo, tasks).code == 0
    late = corral.run(repo, tasks, "--for", "6s")
    assert late.code == 4
    (told,) = [event for event in late.events if event["kind"] == "run.late"]
    assert told["late"][0]["takes"] > 8
    assert [row["phase"] for row in late.summary["attempts"]] == ["queued"]
    words = corral("report").out
    assert "it would not be done before the run's end: it takes about" in words
    assert corral.run(repo, tasks, "--for", "10min").verdicts == {"slow": "done"}


@pytest.fixture
def jumps(corral: Corral, tmp_path: Path) -> Path:
    """The file that says by how much the wall clock is set, for every process of the command."""
    folder, file = tmp_path / "jumps", tmp_path / "jump"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SET_BY.format(file=str(file)))
    corral.env["PYTHONPATH"] = str(folder)
    return file


def test_a_run_starts_when_its_time_comes(corral: Corral, repo: Path, jumps: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": WORK.format(0)})
    now = time.time()
    jumps.write_text(str(50 - now % 60))  # a time of day has minutes, and the next is far: now it is near
    nearly = time.strftime("%H:%M", time.localtime(now - now % 60 + 60))
    with living(corral, "run", file, "--start", nearly) as run:
        assert run.end() == 0
    events = {event["kind"]: event for event in run.events}
    assert events["run.began"]["at"] >= events["run.started"]["starts"] - 0.5
    assert events["image.ready"]["at"] < events["run.began"]["at"] <= events["attempt.started"]["at"]


def test_a_jump_forward_ends_nothing(corral: Corral, repo: Path, jumps: Path) -> None:
    tasks: dict[str, Any] = {"a": WORK.format(4), "b": WORK.format(6)}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file, "--for", "1h") as run:
        run.until_said("begun", 2)
        jumps.write_text(str(6 * 3600))
        assert run.end() == 0
    rows = run.rows()
    assert [row["verdict"] for row in rows.values()] == ["done", "done"]
    assert all(3 < row["seconds"] < 600 for row in rows.values())
    times = [event["at"] for event in run.events if "at" in event]
    assert max(times) - min(times) > 5 * 3600, "the journal has the wall's time: it did jump"


def test_a_jump_back_prolongs_nothing(corral: Corral, repo: Path, jumps: Path) -> None:
    """Else this would take six hours."""
    for_ever = "echo begun; sleep 600"
    tasks: dict[str, Any] = {"over-its-time": {"sh": for_ever, "limits": {"time": "6s"}}, "over": for_ever}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file, "--for", "25s") as run:
        run.until_said("begun", 2)
        jumps.write_text(str(-6 * 3600))
        assert run.end() == 4
    rows = run.rows()
    assert [row["verdict"] for row in rows.values()] == ["timeout", "timeout"]
    assert rows["over"]["reason"] == "the run's end came"
    assert rows["over-its-time"]["reason"] == "over its 6s"


def test_a_supervisor_that_was_stopped_ends_no_box_for_silence(corral: Corral, repo: Path) -> None:
    """As when a laptop's lid was closed, but for the boxes, which went on."""
    talks = "echo begun; for n in $(seq 60); do echo $n; sleep 0.5; done; echo done > made"
    tasks = {"talks": {"sh": talks, "limits": {"idle": "12s", "time": "10min"}}}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file) as run:
        run.until_said("begun")
        run.process.send_signal(signal.SIGSTOP)
        time.sleep(15)
        run.process.send_signal(signal.SIGCONT)
        assert run.end() == 0
    (row,) = run.rows().values()
    assert row["verdict"] == "done"
    assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "done"
    assert row["seconds"] > 25

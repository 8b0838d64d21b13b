"""Ctrl-C once, twice, and a termination, on a live run: work comes home, and nothing stays."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import names
from runner.sandbox.engine import Engine
from tests.engine.living import Live, gateway_processes, living
from tests.support import CORRAL, Corral, git, within, write_tasks

LIVE = "echo begun > made; echo begun; sleep {}; echo ended >> made"
TRANSCRIPT = {"turns": [{"text": "hello"}]}


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    """A transcript, so that the run has a gateway, which must leave with it."""
    file = tmp_path / "transcript.yaml"
    file.write_text(yaml.safe_dump(TRANSCRIPT))
    return file


def tasks(repo: Path, seconds: float, transcript: Path) -> Path:
    """Two tasks that live at once, and one that waits for a place."""
    file = write_tasks(repo.parent / "t.yaml", repo, dict.fromkeys("abc", LIVE.format(seconds)))
    text = yaml.safe_load(file.read_text())
    for agent in text["agents"].values():
        agent["upstream"] = f"script:{transcript}"
    file.write_text(yaml.safe_dump(text))
    return file


@pytest.fixture
def live(corral: Corral, repo: Path, scripted: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    """A run in which two attempts live; they last as long as the test's parameter says."""
    with living(corral, "run", tasks(repo, request.param, scripted), "--jobs", "2") as run:
        run.until_said("begun", 2)
        assert gateway_processes(corral.home)
        yield run


def made(repo: Path, row: dict[str, Any]) -> str:
    """What the attempt's branch holds."""
    return git(repo, "cat-file", "blob", f"{row['branch']}:made")


@pytest.mark.parametrize("live", [5], indirect=True)
def test_one_interrupt_lets_what_runs_end_and_starts_nothing_new(
    corral: Corral, repo: Path, live: Live
) -> None:
    live.process.send_signal(signal.SIGINT)
    assert live.end() == 130
    rows = live.rows()
    assert [rows[task]["verdict"] for task in "abc"] == ["done", "done", None]
    assert made(repo, rows["a"]) == made(repo, rows["b"]) == "begun\nended"
    assert rows["c"]["phase"] == "queued"
    assert gateway_processes(corral.home) == []


@pytest.mark.parametrize("live", [300], indirect=True)
def test_two_interrupts_stop_what_runs_and_bring_its_work_home(
    corral: Corral, repo: Path, live: Live
) -> None:
    assert live.stop() == 130
    assert_stopped(repo, live)
    assert gateway_processes(corral.home) == []


@pytest.mark.parametrize("live", [300], indirect=True)
def test_a_termination_stops_what_runs_and_brings_its_work_home(
    corral: Corral, repo: Path, live: Live
) -> None:
    live.process.send_signal(signal.SIGTERM)
    assert live.end() == 143
    assert_stopped(repo, live)
    assert gateway_processes(corral.home) == []


def assert_stopped(repo: Path, live: Live) -> None:
    rows = live.rows()
    assert [rows[task]["verdict"] for task in "abc"] == ["cancelled", "cancelled", None]
    assert made(repo, rows["a"]) == made(repo, rows["b"]) == "begun"


@pytest.mark.parametrize("live", [300], indirect=True)
def test_a_stopped_run_can_be_resumed(corral: Corral, repo: Path, live: Live) -> None:
    live.process.send_signal(signal.SIGTERM)
    live.end()
    assert live.rows()["c"]["phase"] == "queued"
    with living(corral, "resume") as again:
        again.until_said("begun")
        again.process.send_signal(signal.SIGTERM)
        assert again.end() == 143
        rows = again.rows()
    assert [rows[task]["verdict"] for task in "abc"] == ["cancelled"] * 3
    assert made(repo, rows["c"]) == "begun"


def test_ctrl_c_at_a_terminal(corral: Corral, repo: Path, scripted: Path) -> None:
    screen = Screen([*CORRAL, "run", str(tasks(repo, 300, scripted)), "--jobs", "2"], corral.environment)
    try:
        screen.until("2 running")
        screen.press("\x03")
        screen.until("(^C again: stop)")
        screen.press("\x03")
        assert screen.end() == 130
    finally:
        screen.close()
    assert "cancelled" in screen.text
    assert "Traceback" not in screen.text
    branches = git(repo, "branch", "--list", "corral/*").split()
    assert len(branches) == 2
    assert gateway_processes(corral.home) == []


class Screen:
    """A command at a terminal of its own, in which Ctrl-C is typed."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.text = ""
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
        )
        os.close(theirs)

    def press(self, key: str) -> None:
        """Type something."""
        os.write(self._terminal, key.encode())

    def until(self, words: str) -> None:
        """Read on until these words appear."""
        start = len(self.text)
        while words not in self.text[start:]:
            assert self._more(), self.text

    def end(self) -> int:
        """Read to the end; returns the exit code."""
        while self._more():
            pass
        return self._process.wait(timeout=60)

    def close(self) -> None:
        """End the command, if it has not ended, and give the terminal back."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._terminal)

    def _more(self) -> bool:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # how Linux tells that nobody has the terminal open any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def deaf_to_hangups() -> Iterator[None]:
    """What is started now ignores the end of its terminal, as under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("deaf_to_hangups")
def test_under_nohup_the_night_outlives_its_terminal(corral: Corral, repo: Path, scripted: Path) -> None:
    with living(corral, "run", tasks(repo, 1, scripted), "--jobs", "2") as run:
        run.until_said("begun", 2)
        run.process.send_signal(signal.SIGHUP)
        assert run.end() == 0
        assert [row["verdict"] for row in run.rows().values()] == ["done"] * 3


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_before_the_first_attempt_leaves_nothing(
    corral: Corral, repo: Path, scripted: Path, number: int
) -> None:
    """While the host is looked at and disks and promises are tried."""
    process = corral.start("run", tasks(repo, 1, scripted), "--json")
    until_steward(corral)
    process.send_signal(number)
    _, complaints = process.communicate(timeout=120)
    assert (process.returncode, "Traceback" in complaints) == (128 + number, False)
    assert corral("reap", "--dry-run").out == "nothing is left over\n"


def until_steward(corral: Corral) -> None:
    """Wait for the first container of this state directory."""
    ours = names.label_filters(names.home_id(str(corral.home)))
    with Engine(corral.environment) as engine, within(60):
        while not engine.find(ours):
            time.sleep(0.01)

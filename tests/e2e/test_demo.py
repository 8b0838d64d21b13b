"""The demo, as the README has people try it: killed in its middle, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from demo.__main__ import EXPECTED, NIGHT
from tests.support import Corral, states


def demo(corral: Corral) -> subprocess.Popen[str]:
    """The demo, started with a state directory of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=corral.environment,
        cwd=NIGHT.parent.parent,
    )


def supervisor(of: psutil.Process) -> psutil.Process | None:
    """The process of `corral run` that the demo has started."""
    return next((child for child in of.children() if "run" in child.cmdline()), None)


def until_running(corral: Corral, attempts: int) -> None:
    """Wait until so many attempts run."""
    end = time.monotonic() + 500
    while time.monotonic() < end:
        lives = (one.phase for state in states(corral.home) for one in state.attempts.values())
        if sum(phase == "running" for phase in lives) >= attempts:
            return
        time.sleep(0.1)
    raise AssertionError("the demo's attempts did not start")


@pytest.mark.timeout(900)
def test_a_demo_that_was_killed_in_its_middle_ends_as_it_should(corral: Corral) -> None:
    first = demo(corral)
    until_running(corral, 2)
    killed = supervisor(psutil.Process(first.pid))
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    said, _ = first.communicate(timeout=60)
    assert first.returncode not in {0, 1}, said
    second = demo(corral)
    said, _ = second.communicate(timeout=800)
    assert second.returncode == 0, said
    assert "An earlier demo was killed; its run goes on where it was" in said
    rows = json.loads(corral("report", "--json").out)["attempts"]
    assert {f"{row['task']}/{row['profile']}" for row in rows} == set(EXPECTED)
    assert {row["try"] for row in rows} == {1}, "what lived was adopted, and nothing repeated"
    assert len(corral("status", "--all", "--json").json) == 1
    assert Path(corral.home / "journal.db").exists()

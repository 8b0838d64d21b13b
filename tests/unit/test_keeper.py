"""The keeper starts again what was killed, and nothing else; it hands on what it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from runner.supervisor import keeper

KILLED_AT_FIRST = """
import os, signal, sys
from pathlib import Path
lives = Path(sys.argv[1])
n = int(lives.read_text()) if lives.exists() else 0
lives.write_text(str(n + 1))
print("life", n)
sys.stdout.flush()
if n < int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(sys.argv[3]))
"""


def keep(folder: Path, *arguments: object, pause: float = 0.01) -> tuple[int, int, str]:
    """Keep a small program alive: its exit code, how often it lived, and what it printed."""
    words = [sys.executable, "-c", KILLED_AT_FIRST, str(folder / "lives"), *map(str, arguments)]
    code = f"import sys; from runner.supervisor.keeper import Keeper; from pathlib import Path\n\
sys.exit(Keeper({words!r}, Path({str(folder / 'log')!r}), pause={pause}).run())"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    return done.returncode, int((folder / "lives").read_text()), (folder / "log").read_text()


def test_what_was_killed_lives_again_and_what_ended_does_not(tmp_path: Path) -> None:
    assert keep(tmp_path, 2, 4) == (4, 3, "life 0\nlife 1\nlife 2\n")


def test_what_is_killed_again_and_again_is_given_up(tmp_path: Path) -> None:
    code, lives, _ = keep(tmp_path, 1000, 0, pause=0.001)
    assert (code, lives) == (128 + signal.SIGKILL, keeper.MOST + 1)


def test_a_failure_is_not_tried_again(tmp_path: Path) -> None:
    assert keep(tmp_path, 0, 3)[:2] == (3, 1)


def test_a_termination_is_handed_on_and_is_the_end(tmp_path: Path) -> None:
    log, ready = tmp_path / "log", tmp_path / "ready"
    child = f"import time; from pathlib import Path; Path({str(ready)!r}).touch(); time.sleep(600)"
    made = subprocess.Popen(
        [sys.executable, "-m", "runner.supervisor.keeper", log, sys.executable, "-c", child]
    )
    while not ready.exists():
        time.sleep(0.02)
    os.kill(made.pid, signal.SIGTERM)
    assert made.wait(timeout=30) == 128 + signal.SIGTERM

"""The keeper starts again what was killed or can't begin, and nothing else; it hands on what it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.errors import NotYetError
from runner.supervisor.deadline import awake
from runner.supervisor.journal import Journal
from runner.supervisor.ownership import keeper
from runner.supervisor.ownership import lease as leases
from runner.supervisor.ownership.lease import DEAD_AFTER, owned
from runner.supervisor.ownership.presence import presence

LATER = NotYetError.exit_code

MORTAL = """
import os, signal, sys
from pathlib import Path
lives = Path(sys.argv[1])
n = int(lives.read_text()) if lives.exists() else 0
lives.write_text(str(n + 1))
print("life", n)
sys.stdout.flush()
how = sys.argv[2:][n] if n < len(sys.argv[2:]) else sys.argv[-1]
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(how))
"""


def keep(folder: Path, *ends: int | str, pause: float = 0.01, patience: float = 60) -> tuple[int, int, str]:
    """Keep a small program alive that ends so, one life after the other: how often it lived, and more.

    Returns:
        The keeper's exit code, the number of lives, and what was printed.
    """
    words = [sys.executable, "-c", MORTAL, str(folder / "lives"), *map(str, ends)]
    code = f"import sys; from runner.supervisor.ownership import keeper; from pathlib import Path\n\
keeper.PATIENCE = {patience}\n\
sys.exit(keeper.Keeper({words!r}, Path({str(folder / 'log')!r}), pause={pause}).run())"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    return done.returncode, int((folder / "lives").read_text()), (folder / "log").read_text()


def test_what_was_killed_lives_again_and_what_ended_does_not(tmp_path: Path) -> None:
    assert keep(tmp_path, "killed", "killed", 4) == (4, 3, "life 0\nlife 1\nlife 2\n")


def test_what_is_killed_again_and_again_is_given_up(tmp_path: Path) -> None:
    code, lives, _ = keep(tmp_path, "killed", pause=0.001)
    assert (code, lives) == (128 + signal.SIGKILL, keeper.MOST + 1)


def test_a_failure_is_not_tried_again(tmp_path: Path) -> None:
    assert keep(tmp_path, 3)[:2] == (3, 1)


def test_what_can_t_begin_just_now_is_tried_again(tmp_path: Path) -> None:
    assert keep(tmp_path, LATER, LATER, 0)[:2] == (0, 3)


def test_what_can_t_begin_for_long_is_tried_often_and_then_given_up(tmp_path: Path) -> None:
    code, lives, _ = keep(tmp_path, LATER, pause=0.001, patience=2)
    assert code == LATER
    assert lives > keeper.MOST + 1


def test_the_pauses_grow_to_a_bound_and_last_an_hour_in_all(tmp_path: Path) -> None:
    kept = keeper.Keeper(["true"], tmp_path / "log")
    now, pauses = 1000.0, list[float]()
    while (pause := kept._before_another(LATER, now)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses[:7] == [2, 4, 8, 16, 32, 64, 120]
    assert set(pauses[7:]) == {120}
    assert 3600 <= sum(pauses) <= 3720
    assert kept._before_another(-9, now) == keeper.PAUSE
    assert kept._before_another(LATER, now) == keeper.PAUSE


def test_who_asks_knows_whether_it_is_kept(tmp_path: Path) -> None:
    log = keeper.file_of(tmp_path, "night").with_name("log")
    assert presence(tmp_path, "night") == "nobody"
    assert not log.parent.exists()
    log.parent.mkdir(parents=True)
    made = subprocess.Popen([sys.executable, "-m", "runner.supervisor.ownership.keeper", log, "sleep", "600"])
    try:
        while presence(tmp_path, "night") == "nobody":
            time.sleep(0.02)
        assert presence(tmp_path, "night") == "returns"
        with keeper.keeping(keeper.file_of(tmp_path, "night")):  # as who starts one does
            pass
        assert presence(tmp_path, "night") == "returns"
    finally:
        made.terminate()
        made.wait(timeout=30)
    assert presence(tmp_path, "night") == "nobody"


def test_one_that_hangs_does_not_come_back_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Journal(tmp_path / "journal.db") as journal,
        keeper.keeping(keeper.file_of(tmp_path, "night")),
        owned(journal, tmp_path, "night"),
    ):
        assert presence(tmp_path, "night") == "works"
        hung = awake() + DEAD_AFTER + 1
        monkeypatch.setattr(leases, "awake", lambda: hung)
        assert presence(tmp_path, "night") == "nobody"


def test_a_termination_between_two_lives_is_the_end_at_once(tmp_path: Path) -> None:
    log, lives = tmp_path / "log", tmp_path / "lives"
    child = [sys.executable, "-c", MORTAL, str(lives), str(LATER)]
    made = subprocess.Popen([sys.executable, "-m", "runner.supervisor.ownership.keeper", log, *child])
    while not lives.exists() or int(lives.read_text() or 0) < 3:  # then it rests for 8 s
        time.sleep(0.02)
    time.sleep(1)
    os.kill(made.pid, signal.SIGTERM)
    assert made.wait(timeout=5) == 128 + signal.SIGTERM
    assert lives.read_text() == "3"


def test_a_termination_is_handed_on_and_is_the_end(tmp_path: Path) -> None:
    log, ready = tmp_path / "log", tmp_path / "ready"
    child = f"import time; from pathlib import Path; Path({str(ready)!r}).touch(); time.sleep(600)"
    made = subprocess.Popen(
        [sys.executable, "-m", "runner.supervisor.ownership.keeper", log, sys.executable, "-c", child]
    )
    while not ready.exists():
        time.sleep(0.02)
    os.kill(made.pid, signal.SIGTERM)
    assert made.wait(timeout=30) == 128 + signal.SIGTERM

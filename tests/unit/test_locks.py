"""Locks that files hold: who only asks takes nothing away, who means it waits a little."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from runner.locks import locked, try_locked


def test_a_held_lock_is_not_had(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), try_locked(tmp_path / "lock") as ours:
        assert not ours
    with try_locked(tmp_path / "lock") as ours:
        assert ours


def test_who_holds_it_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    held, asked = threading.Event(), threading.Event()

    def ask() -> None:
        with try_locked(tmp_path / "lock"):
            held.set()
            asked.wait(60)
            time.sleep(0.2)

    thread = threading.Thread(target=ask)
    thread.start()
    held.wait(60)
    asked.set()
    with try_locked(tmp_path / "lock", patience=60) as ours:
        assert ours
    thread.join()

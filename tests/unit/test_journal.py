"""The journal keeps what was appended, in order, and finds runs by what a person types."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner.errors import HostError, UsageError
from runner.supervisor import events as e
from runner.supervisor.finding import find_attempt
from runner.supervisor.journal import Journal
from runner.supervisor.state import fold
from runner.tasks.plan import PlannedAttempt
from tests.unit.makers import after, life, make_plan, started

PLAN = make_plan(PlannedAttempt(task="a", profile="p"), PlannedAttempt(task="b", profile="p"))


def test_the_state_is_the_same_when_it_is_read_back(tmp_path: Path) -> None:
    first = e.RunStarted(at=1, plan=PLAN, jobs=3)
    events = [first, e.ImageReady(at=1, source=0, cli=None, image="i"), *life("a/p/1", "accepted")]
    with Journal(tmp_path / "j.db") as journal:
        numbers = [journal.append("r", event).seq for event in events]
    assert numbers == sorted(set(numbers))
    with Journal(tmp_path / "j.db") as journal:
        read = fold((row.run, row.event) for row in journal.events("r"))
    assert read == after(started(PLAN, 3, image=False), *events[1:])


def test_runs_are_found_by_what_a_person_types(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        with pytest.raises(UsageError, match="no run yet"):
            journal.resolve("latest")
        for run in ("night-1", "night-2", "day"):
            journal.append(run, e.RunStarted(at=1, plan=PLAN, jobs=1))
        assert journal.resolve("latest") == "day"
        assert journal.resolve("d") == "day"
        assert journal.resolve("night-1") == "night-1"
        with pytest.raises(UsageError, match="night-1, night-2"):
            journal.resolve("night")
        with pytest.raises(UsageError, match="no run is called"):
            journal.resolve("x")


def test_an_event_survives_the_kill_of_its_writer(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from runner.supervisor import events as e\n"
        "from runner.supervisor.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(20): journal.append('r', e.Draining(at=n))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "j.db")], check=False)
    assert done.returncode == -9
    with Journal(tmp_path / "j.db") as journal:
        assert [row.event.at for row in journal.events("r")] == list(range(20))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j.db").close()
    database = sqlite3.connect(tmp_path / "j.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(HostError, match="newer"):
        Journal(tmp_path / "j.db")


def test_attempts_are_found_by_what_a_person_types() -> None:
    state = after(started(PLAN), *life("a/p/1", "infrastructure", again=True))
    assert str(find_attempt(state, "a").key) == "a/p/1.2"
    assert str(find_attempt(state, "b/p").key) == "b/p/1"
    assert str(find_attempt(state, "b/1").key) == "b/p/1", "what tells it apart is enough"
    with pytest.raises(UsageError, match="no attempt"):
        find_attempt(state, "c")
    fix = started(make_plan(PlannedAttempt(task="fix-parser", profile="p")))
    assert str(find_attempt(fix, "fix").key) == "fix-parser/p/1", "so is a beginning"
    with pytest.raises(UsageError, match="no attempt") as caught:
        find_attempt(fix, "parser/p/1")
    assert caught.value.cure == "did you mean 'fix-parser/p/1'?"
    with pytest.raises(UsageError, match="no attempt"):
        find_attempt(fix, "fix-parser/p/1/p")
    with pytest.raises(UsageError, match="could be any"):
        find_attempt(
            started(make_plan(PlannedAttempt(task="a", profile="p"), PlannedAttempt(task="a", profile="q"))),
            "a",
        )


def test_many_may_make_sure_of_room_at_once(tmp_path: Path) -> None:
    """Processes that start in the same second, here as threads with connections of their own."""
    Journal(tmp_path / "j.db").close()

    def reserve(_: int) -> None:
        with Journal(tmp_path / "j.db") as journal:
            for _ in range(10):
                journal.reserve()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(reserve, range(8)))

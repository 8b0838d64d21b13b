"""A supervisor that hangs: another takes its run over, and when it wakes it changes nothing any more."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from runner import names
from runner.names import AttemptKey
from runner.sandbox.engine import Engine
from runner.supervisor.ownership.lease import DEAD_AFTER
from tests.conftest import FULL
from tests.engine.living import living
from tests.support import Corral, git, write_tasks

WORKS_FOR = 150 if FULL else 10
"""Seconds for which an agent works at least: for longer than the silence."""


def silent(home: Path, really: float = 0.0) -> None:
    """Let a process that is stopped be silent for long enough; with small counts the silence is IMITATED.

    Args:
        home: The state directory.
        really: Seconds for which it is silent at least in any case.
    """
    if FULL:
        time.sleep(DEAD_AFTER + 5)
        return
    time.sleep(really)
    with closing(sqlite3.connect(home / "journal.db")) as journal, journal:
        journal.execute("UPDATE lease SET beat = beat - ?", (DEAD_AFTER + 5,))


@pytest.mark.parametrize("wakes", ["at once", "while work comes home", "when all is done"])
def test_one_that_hangs_is_taken_over_and_harms_nothing_when_it_wakes(
    corral: Corral, repo: Path, wakes: str
) -> None:
    tasks = {
        name: f"echo begun; sleep {WORKS_FOR + number}; echo done > made" for number, name in enumerate("abc")
    }
    limits = {"time": "30min", "idle": "30min", "memory": "256MiB", "disk": "64MiB"}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks, limits=limits)
    with living(corral, "run", file, "--jobs", "3") as hung:
        hung.until_said("begun", 3)
        hung.process.send_signal(signal.SIGSTOP)
        refused = corral("resume")
        assert (refused.code, "another process is working on the run" in refused.err) == (3, True)
        silent(corral.home)
        with living(corral, "resume") as heir:
            heir.until("run.resumed")
            if wakes == "while work comes home":
                heir.until("attempt.ended")
            if wakes == "when all is done":
                assert heir.end() == 0
            hung.process.send_signal(signal.SIGCONT)
            assert hung.end() == 3
            assert "attempt.final" not in {event["kind"] for event in hung.events}
            assert heir.process.poll() is not None or heir.end() == 0
    rows = heir.rows()
    assert {name: row["verdict"] for name, row in rows.items()} == dict.fromkeys("abc", "done")
    for row in rows.values():
        assert git(repo, "cat-file", "blob", f"{row['branch']}:made") == "done"
    branches = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/corral").split()
    assert sorted(branches) == sorted(row["branch"] for row in rows.values())
    finals = [event["attempt"] for event in heir.events if event["kind"] == "attempt.final"]
    assert sorted(finals) == sorted(set(finals))


def items_box(corral: Corral, before: str = "") -> str:
    """The box in which items are found out, once it runs and is another one than before."""
    filters = names.label_filters(names.home_id(str(corral.home)), key=AttemptKey("many", "+items"))
    end = time.monotonic() + 60
    with Engine(corral.environment) as engine:
        while time.monotonic() < end:
            found = next(iter(engine.find(filters)), None)
            if found is not None and found.alive and found.id != before:
                return found.id
            time.sleep(0.1)
    raise AssertionError("no box for items")


@pytest.mark.skipif(not FULL, reason="over a minute of real silence; tests/contract/test_lost_runs.py has it")
def test_one_that_hangs_while_it_finds_items_out_leaves_the_box_of_its_heir(
    corral: Corral, repo: Path
) -> None:
    command = "sleep 10; echo x; echo y"
    tasks = {"many": {"sh": "touch made", "prompt": "{item}", "for_each": {"command": command}}}
    limits = {"time": "30min", "idle": "30min", "memory": "256MiB", "disk": "64MiB"}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks, limits=limits)
    with living(corral, "run", file) as hung:
        first = items_box(corral)
        hung.process.send_signal(signal.SIGSTOP)
        silent(corral.home, really=DEAD_AFTER / 2 + 1)  # then it asks the journal whether the run is its own
        with living(corral, "resume") as heir:
            second = items_box(corral, before=first)
            hung.process.send_signal(signal.SIGCONT)
            assert hung.end() == 3
            assert items_box(corral) == second, "it lives on"
            assert heir.end() == 0
    assert {name: row["verdict"] for name, row in heir.rows().items()} == {"many.1": "done", "many.2": "done"}

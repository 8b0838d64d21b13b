"""A supervisor that hangs: another takes its run over, and when it wakes it changes nothing any more."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from runner.supervisor.lease import DEAD_AFTER
from tests.conftest import FULL
from tests.engine.living import living
from tests.support import Corral, git, write_tasks

WORKS_FOR = 150 if FULL else 10
"""Seconds for which an agent works at least: for longer than the silence."""


def silent(home: Path) -> None:
    """Let a process that is stopped be silent for long enough; with small counts the silence is IMITATED."""
    if FULL:
        time.sleep(DEAD_AFTER + 5)
        return
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

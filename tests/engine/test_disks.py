"""Disks: bounded without anybody looking, and watched where that can't be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import QUICK, Corral, git, write_tasks

WITHOUT_LOOP_DEVICES = """
import sys
from runner.errors import EngineError
from runner.sandbox import disks

def refuse(self):
    raise EngineError("simulated: no loop devices")

disks.LimitedDisks.prove = refuse
from runner.cli import main
main()
"""
"""The command on a host that is made to look as if it had no loop devices; all else is real."""
LIMITS = {**QUICK, "disk": "24MiB"}


def test_files_larger_than_the_disk_and_files_beyond_number(corral: Corral, repo: Path) -> None:
    fill = "echo small > made; git add made; git commit -qm made; head -c 64M /dev/zero > {}; exit 1"
    tasks = {
        "tree": fill.format("/workspace/big"),
        "home": fill.format("/home/agent/big"),
        "objects": fill.format("/gitdir/big"),
        "unhurt": "sleep 1; echo small > made",
        "number": "i=0; while : > f$i; do i=$((i+1)); done 2>/dev/null; exit 1",
    }
    done = corral.run(repo, tasks, "--jobs", "3", limits=LIMITS)
    assert done.verdicts == {**dict.fromkeys(tasks, "disk"), "unhurt": "done"}
    for task in ("tree", "home", "objects", "unhurt"):
        assert git(repo, "show", f"{done.attempt(task)['branch']}:made") == "small"


def test_a_check_has_a_disk_of_its_own(corral: Corral, repo: Path) -> None:
    fill = "echo small > made; head -c 64M /dev/zero > /home/agent/big || true"
    tasks = {
        "roomy": {"sh": fill, "check": "head -c 12M /dev/zero > big && test -s made"},
        "greedy": {"sh": "echo small > made", "check": "head -c 64M /dev/zero > big"},
    }
    done = corral.run(repo, tasks, limits=LIMITS)
    assert done.verdicts == {"roomy": "accepted", "greedy": "rejected"}
    assert done.attempt("roomy")["flags"] == ["disk-full"]


def watched(corral: Corral, file: Path) -> list[dict[str, Any]]:
    """A run without loop devices, as its events."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOOP_DEVICES, "run", str(file), "--json"],
        env=corral.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_where_disks_cannot_be_limited_they_are_watched_and_that_is_said(corral: Corral, repo: Path) -> None:
    tasks = {
        "fills": "echo small > made; head -c 64M /dev/zero > big; sleep 60",
        "works": {"sh": "df /workspace; touch made", "check": "test -f made"},
    }
    events = watched(corral, write_tasks(repo.parent / "t.yaml", repo, tasks, limits=LIMITS))
    assert any("only looked after every few seconds" in words for words in events[0]["weaker"])
    rows = {row["task"]: row for row in events[-1]["attempts"]}
    assert {task: row["verdict"] for task, row in rows.items()} == {"fills": "disk", "works": "accepted"}
    assert "over its 24MiB of disk" in rows["fills"]["reason"]
    assert git(repo, "show", f"{rows['fills']['branch']}:made") == "small"


def test_work_that_leaves_no_room_for_what_is_protected_is_rejected(corral: Corral, repo: Path) -> None:
    """It is the work's fault, not ours: an attempt that could choose otherwise would not be scored."""
    (repo / "tests").mkdir()
    (repo / "tests" / "large").write_bytes(os.urandom(8 * 1024**2))
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "large")
    grow = "rm -r tests; head -c 15M /dev/urandom > big"
    tasks = {"greedy": {"sh": grow, "check": "true", "protect": ["tests/"]}}
    done = corral.run(repo, tasks, limits={**LIMITS, "disk": "20MiB"})
    assert done.verdicts == {"greedy": "rejected"}
    assert "could not be checked out" in done.attempt("greedy")["reason"]


def test_files_beyond_number_are_ended_where_disks_are_watched_too(corral: Corral, repo: Path) -> None:
    number = "import os; os.mkdir('e'); [open(f'e/{i}', 'w').close() for i in range(10**8)]"
    tasks = {"number": f'python3 -c "{number}"'}
    events = watched(corral, write_tasks(repo.parent / "t.yaml", repo, tasks, limits=LIMITS))
    (row,) = events[-1]["attempts"]
    assert row["verdict"] == "disk"


def test_runs_that_begin_in_the_same_second_have_names_and_disks_of_their_own(
    corral: Corral, repo: Path
) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": "df /workspace; touch made; sleep 3"})
    began = [corral.start("run", file, "--json") for _ in range(3)]
    runs = set()
    for process in began:
        said, complaints = process.communicate(timeout=300)
        assert process.returncode == 0, complaints
        summary = json.loads(said.splitlines()[-1])
        assert summary["weaker"] == json.loads(said.splitlines()[0])["weaker"]
        assert not any("only looked after" in words for words in summary["weaker"])
        runs.add(summary["run"])
    assert len(runs) == 3

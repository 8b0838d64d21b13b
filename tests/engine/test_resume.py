"""A run whose supervisor was killed is taken up again: nothing is repeated, lost or left behind."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from runner import names
from runner.sandbox.engine import Engine
from tests.conftest import FULL, SEED
from tests.engine.living import gateway_processes, living
from tests.support import Corral, git, host_git_hashes, write_tasks

WORK = "date +%s > made; echo begun; sleep {}; echo ended >> made"
CHECK = {"check": "test ! -e checked && touch checked && grep -q ended made"}
INSTANTS = 30 if FULL else 4
SPREAD = 3.5
"""Seconds after its start within which the small run below is killed: it takes about so long."""


def made(repo: Path, row: dict[str, Any]) -> list[str]:
    """The lines that the attempt's command wrote."""
    return git(repo, "cat-file", "blob", f"{row['branch']}:made").splitlines()


def test_boxes_that_live_are_adopted_and_nothing_is_repeated(corral: Corral, repo: Path) -> None:
    seconds = {"short": 2, "long": 12, "longer": 14, "waits": 0, "waits-too": 0}
    tasks = {task: {"sh": WORK.format(wait), **CHECK} for task, wait in seconds.items()}
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    before = host_git_hashes(repo)
    with living(corral, "run", file, "--jobs", "3") as run:
        run.until_said("begun", 3)
        boxes = run.boxes()
        run.kill()
    killed = time.time()
    wait_until_ended(boxes["short/do-short/1"])
    with living(corral, "resume", "--jobs", "3") as resumed:
        assert resumed.end() == 0
    rows = resumed.rows()
    assert {(row["verdict"], row["try"]) for row in rows.values()} == {("accepted", 1)}
    assert boxes.items() <= resumed.boxes().items()
    for task in ("short", "long", "longer"):
        began, ended = made(repo, rows[task])
        assert (int(began) <= killed, ended) == (True, "ended")
        assert rows[task]["seconds"] > seconds[task] - 1
        assert corral("logs", task).out.count("begun") == 1
    assert resumed.count("attempt.final") == len(tasks)
    assert host_git_hashes(repo) == before


def wait_until_ended(container: str) -> None:
    """Wait for a container to end by itself."""
    with Engine({}) as engine:
        state = engine.wait_ended(container, timeout=30)
        assert state is not None
        assert not state.alive


@pytest.mark.parametrize("number", range(INSTANTS))
def test_a_run_killed_at_any_instant_can_be_resumed(corral: Corral, repo: Path, number: int) -> None:
    delay = random.Random(SEED + number).uniform(0, SPREAD)  # noqa: S311 - an instant, not a secret
    print(f"killed {delay:.3f} s after its start; seed {SEED} + {number}")
    tasks = {task: {"sh": WORK.format("0.3"), **CHECK} for task in "abcd"}
    before = host_git_hashes(repo)
    with living(corral, "run", write_tasks(repo.parent / "t.yaml", repo, tasks), "--jobs", "2") as run:
        run.until("run.started")
        time.sleep(delay)
        run.kill()
    done = corral("resume", "--json")
    assert done.code == 0 or (done.code == 2 and "every attempt of the run" in done.err), done.err
    if done.code != 0:  # it had ended; only the name of a volume can be left
        assert corral("reap").code == 0
    found = corral("status", "--json").json["attempts"]
    assert [(row["verdict"], row["try"], row["reason"]) for row in found] == [("accepted", 1, None)] * 4
    assert all(made(repo, row)[1:] == ["ended"] for row in found)
    assert host_git_hashes(repo) == before
    assert list((corral.home / "bases").glob(".new-*")) == []
    git(repo, "fsck", "--strict", "--no-dangling")


@pytest.mark.parametrize("number", range(INSTANTS // 2))
def test_a_run_killed_before_it_began_leaves_nothing_that_reap_does_not_remove(
    corral: Corral, repo: Path, number: int
) -> None:
    """While the engine is asked, images are looked for, disks are proved and promises are tried."""
    delay = random.Random(SEED + number).uniform(0.5, SPREAD)  # noqa: S311 - as above
    print(f"killed {delay:.3f} s after its process began; seed {SEED} + {number}")
    before = host_git_hashes(repo)
    with living(corral, "run", write_tasks(repo.parent / "t.yaml", repo, {"a": "echo x > made"})) as run:
        time.sleep(delay)
        run.kill()
    assert corral("reap").code == 0
    assert corral("reap").out == "nothing is left over\n"
    assert host_git_hashes(repo) == before
    assert corral("run", repo.parent / "t.yaml").code == 0
    assert host_git_hashes(repo) == before
    git(repo, "fsck", "--strict", "--no-dangling")


def test_a_run_killed_while_it_tried_the_promises_can_be_resumed(corral: Corral, repo: Path) -> None:
    """What the probe had is gone, too: see the fixture."""
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": "sleep 2; echo x > made"})
    with living(corral, "run", file) as run:
        run.until("attempt.running")
        run.kill()
    with living(corral, "resume") as tried:
        wait_for_probe(corral.home)
        tried.kill()
    done = corral("resume", "--json")
    assert (done.code, done.verdicts) == (0, {"a": "done"}), done.err


def wait_for_probe(home: Path) -> None:
    """Wait until a container that tries the promises is there."""
    filters = [*names.label_filters(names.home_id(str(home))), f"{names.LABEL_ROLE}=probe"]
    with Engine({}) as engine:
        while not engine.running(filters):
            time.sleep(0.01)


def test_a_second_supervisor_of_the_same_run_is_refused(corral: Corral, repo: Path) -> None:
    with living(corral, "run", write_tasks(repo.parent / "t.yaml", repo, {"a": "touch x; sleep 10"})) as run:
        run.until("attempt.running")
        second = corral("resume")
        assert second.code == 3
        assert "another process is working on the run" in second.err
        assert run.end() == 0


def test_a_grant_survives_the_supervisor(corral: Corral, repo: Path, tmp_path: Path) -> None:
    transcript = tmp_path / "transcript.yaml"
    transcript.write_text("turns:\n  - text: hello\n")
    file = write_tasks(tmp_path / "t.yaml", repo, {"a": "touch made; sleep 5"})
    file.write_text(
        file.read_text().replace("cli: command", f"cli: command\n    upstream: script:{transcript}")
    )
    with living(corral, "run", file) as run:
        run.until("attempt.running")
        run.kill()
    assert gateway_processes(corral.home)
    done = corral("resume", "--json")
    assert (done.code, done.verdicts) == (0, {"a": "done"})
    assert gateway_processes(corral.home) == []

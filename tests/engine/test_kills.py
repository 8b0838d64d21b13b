"""Supervisor and gateway are killed at random instants, repeatedly: nothing is lost, doubled or left over.

What boxes were answered is counted on their side, and compared with what the ledger holds.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.supervisor.journal import Journal
from tests.conftest import FULL, SEED
from tests.engine.living import gateway_processes, living
from tests.support import Corral, git, host_git_hashes, write_tasks

INSTANTS = 100 if FULL else 2
MOST_KILLS = 3
SPREAD = 6.0
"""Seconds between which and the start of a process it is killed."""

OUTPUT = 40
TRANSCRIPT = {"turns": [{"text": "hello " * 20, "pause": 0.02, "usage": {"input": 100, "output": OUTPUT}}]}
ASK = r"""
import json, socket, sys, time
body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 400, "stream": True,
                   "tools": [{"name": "Bash", "input_schema": {}}],
                   "messages": [{"role": "user", "content": "go"}]}).encode()
def ask():
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect("/run/gw/gw.sock")
        s.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        got = b""
        while more := s.recv(65536):
            got += more
    return got.startswith(b"HTTP/1.1 200") and b"message_stop" in got
whole = 0
while whole < int(sys.argv[1]):  # as agents' CLIs do: what broke off is asked again
    try:
        good = ask()
    except OSError:
        good = False
    whole += good
    print("answered" if good else "asks again", flush=True)
    time.sleep(0 if good else 0.2)
"""
WORK = "echo begun >> made; python3 ask.py 2; echo ended >> made"
CHECK = {"check": 'test "$(cat made)" = "$(printf "begun\\nended")"'}


def night(repo: Path) -> Path:
    """A task file of four tasks whose boxes ask a model, the last of which builds upon the first."""
    transcript = repo.parent / "transcript.yaml"
    transcript.write_text(yaml.safe_dump(TRANSCRIPT))
    (repo / "ask.py").write_text(ASK)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "ask")
    tasks: dict[str, Any] = {task: {"sh": WORK, **CHECK} for task in "abc"}
    tasks["d"] = {"sh": WORK.replace("made", "more"), "needs": ["a"], "check": "cmp made more"}
    return write_tasks(
        repo.parent / "t.yaml",
        repo,
        tasks,
        upstream=f"script:{transcript}",
        budget={"run": {"tokens": 10_000_000}},
    )


@pytest.mark.parametrize("number", range(INSTANTS))
def test_whoever_is_killed_whenever_the_night_ends_as_it_should(
    corral: Corral, repo: Path, number: int
) -> None:
    chance = random.Random(SEED + number)  # noqa: S311 - instants, not secrets
    file, before = night(repo), host_git_hashes(repo)
    command: tuple[str | Path, ...] = ("run", file, "--name", "night")
    for _ in range(chance.randrange(1, MOST_KILLS + 1)):
        victims, delay = chance.choice(["supervisor", "gateway", "both"]), chance.uniform(0, SPREAD)
        print(f"seed {SEED} + {number}: {victims} after {delay:.3f} s")
        with living(corral, *command, "--jobs", "3") as run:
            if command[0] == "run":
                run.until("run.started")
            time.sleep(delay)
            if victims != "supervisor":
                kill_gateway(corral.home)
            if victims != "gateway":
                run.kill()
            else:
                run.end()
        command = ("resume", "night")
        if finished(corral):
            break
    done = corral("resume", "night", "--json")
    assert done.code == 0 or (done.code == 2 and "every attempt of the run" in done.err), done.err
    if done.code != 0:
        assert corral("reap").code == 0
    judge(corral, repo)
    assert host_git_hashes(repo) == before


def judge(corral: Corral, repo: Path) -> None:
    """What must hold whatever was killed."""
    rows = corral("report", "--json").json["attempts"]
    assert [(row["task"], row["verdict"]) for row in rows if row["try"] == 1] == [
        (task, "accepted") for task in "abcd"
    ], rows
    assert len(rows) == 4
    with Journal(corral.home / "journal.db") as journal:
        finals = [row.event for row in journal.events("night") if row.event.kind == "attempt.final"]
    assert len(finals) == 4
    branches = git(repo, "for-each-ref", "--format=%(refname)", "refs/heads/corral").splitlines()
    assert sorted(branches) == [f"refs/heads/{row['branch']}" for row in rows]
    git(repo, "fsck", "--strict", "--no-dangling")
    answered = sum(corral("logs", task).out.splitlines().count("answered") for task in "abcd")
    assert answered == 8
    with closing(sqlite3.connect(corral.home / "g" / "ledger.db")) as database:
        ((requests, tokens),) = database.execute(
            "SELECT count(*), sum(input + output) FROM requests"
        ).fetchall()
    assert requests >= answered
    assert tokens >= answered * (100 + OUTPUT)


def kill_gateway(home: Path) -> None:
    """Kill the gateway's process, if one runs."""
    for pid in gateway_processes(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def finished(corral: Corral) -> bool:
    """Whether nothing of the run is left to do."""
    done = corral("status", "night", "--json")
    return done.code == 0 and done.json["ended"] is not None

"""Real boxes at a provider's limits: held time, the run's end, and going on in a new box."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.living import living
from tests.support import Corral, git, write_tasks

ASK = r"""
import json, socket, sys
turn = {"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}
messages = [*turn * int(sys.argv[1]), turn[0]]
body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 40, "messages": messages,
                   "tools": [{"name": "Bash", "input_schema": {}}]}).encode()
with socket.socket(socket.AF_UNIX) as s:
    s.connect("/run/gw/gw.sock")
    s.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              b"Content-Length: %d\r\n\r\n" % len(body) + body)
    got = b""
    while more := s.recv(65536):
        got += more
status = int(got.split(b" ")[1])
print("answered", status, flush=True)
sys.exit(status != 200)
"""

GO_ON = """
echo box >> made
turn=$(cat ~/turn 2> /dev/null || echo 0)
echo $((turn + 1)) > ~/turn
python3 ask.py $turn
"""
"""An agent that dies of what it is told; in the next box it goes on from the turn that its HOME remembers."""


def asking(repo: Path, tasks: dict[str, Any], *statuses: int) -> Path:
    """A task file whose agents can run `ask.py TURN`, the model answering with these errors and then well."""
    (repo / "ask.py").write_text(ASK)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "ask")
    turns = [{"error": {"status": status, "message": "no more"}} for status in statuses]
    transcript = repo.parent / "transcript.yaml"
    transcript.write_text(yaml.safe_dump({"turns": [*turns, {"text": "done"}]}))
    return write_tasks(repo.parent / "t.yaml", repo, tasks, upstream=f"script:{transcript}")


def said(corral: Corral, task: str) -> list[str]:
    """What a task's agent was answered, box after box."""
    return [line for line in corral("logs", task).out.splitlines() if line.startswith("answered")]


def test_an_agent_that_died_of_a_limit_goes_on_in_a_new_box(corral: Corral, repo: Path) -> None:
    with living(corral, "run", asking(repo, {"a": GO_ON}, 429)) as run:
        assert run.end() == 0
    row = run.rows()["a"]
    assert (row["verdict"], row["try"], row["requests"]) == ("done", 1, 2)
    assert git(repo, "show", f"{row['branch']}:made").split() == ["box", "box"]
    (held,) = [event for event in run.events if event["kind"] == "attempt.held"]
    assert held["why"] == "the model service answered 429"
    boxes = [event["container"] for event in run.events if event["kind"] == "attempt.running"]
    assert len(set(boxes)) == 2
    assert row["held_s"] > 0
    assert said(corral, "a") == ["answered 429", "answered 200"]


def test_an_agent_that_failed_for_another_reason_does_not_go_on(corral: Corral, repo: Path) -> None:
    with living(corral, "run", asking(repo, {"a": GO_ON, "b": "exit 1"}, 400)) as run:
        assert run.end() == 1
    assert {row["verdict"] for row in run.rows().values()} == {"agent-error"}
    assert run.count("attempt.held") == 0


def test_what_waits_to_go_on_comes_home_as_limited_when_the_run_must_end(corral: Corral, repo: Path) -> None:
    tasks: dict[str, Any] = {
        "a": {"sh": GO_ON, "check": "test -s made"},
        "later": {"sh": "true", "needs": ["a"]},
    }
    with living(corral, "run", asking(repo, tasks, *[529] * 9)) as run:
        run.until("attempt.held", 3)  # from then on it waits for longer than what is left of the run
        run.kill()
    with living(corral, "resume", "--for", "1s") as resumed:
        assert resumed.end() == 4
    row = resumed.rows()["a"]
    assert (row["verdict"], row["work"], row["check"]) == ("limited", "gathered", "passed")
    assert "the run's end came while it waited" in row["reason"]
    assert git(repo, "show", f"{row['branch']}:made").split() == ["box"] * 3
    assert resumed.rows()["later"]["verdict"] is None


@pytest.mark.parametrize("instant", ["attempt.held", "attempt.running"])
def test_a_run_killed_while_an_agent_waits_or_has_just_gone_on(
    corral: Corral, repo: Path, instant: str
) -> None:
    sh = f"{GO_ON}code=$?; sleep 2; exit $code"
    with living(corral, "run", asking(repo, {"a": sh}, 429, 503)) as run:
        run.until(instant, 2 if instant == "attempt.running" else 1)
        run.kill()
    with living(corral, "resume") as resumed:
        assert resumed.end() == 0
    row = resumed.rows()["a"]
    assert (row["verdict"], row["try"], row["requests"]) == ("done", 1, 3)
    assert git(repo, "show", f"{row['branch']}:made").split() == ["box"] * 3
    assert said(corral, "a") == ["answered 429", "answered 503", "answered 200"]


def test_a_run_knows_its_end_and_brings_work_home_then(corral: Corral, repo: Path) -> None:
    tasks = {
        "long": {"sh": "echo x > made; echo begun; sleep 600", "check": "test -s made"},
        "queued": "echo x > made",
    }
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file, "--for", "1h", "--jobs", "1") as run:
        run.until_said("begun", 1)
        run.kill()
    with living(corral, "resume", "--jobs", "1") as resumed:
        resumed.until("attempt.running")
        resumed.kill()
    ends = [event["until"] for event in (run.events[0], resumed.events[0])]
    assert ends[0] == ends[1] > time.time()
    with living(corral, "resume", "--for", "1s", "--jobs", "1") as last:
        assert last.end() == 4
    long = last.rows()["long"]
    assert (long["verdict"], long["check"], long["reason"]) == ("timeout", "passed", "the run's end came")
    assert git(repo, "show", f"{long['branch']}:made") == "x"
    assert last.rows()["queued"]["verdict"] is None
    assert "the run's end came before it started" in corral("report").out
    again = corral("resume", "--json")  # it had ended: the end that passed binds nobody any more
    assert (again.code, again.verdicts) == (4, {"long": "timeout", "queued": "done"})

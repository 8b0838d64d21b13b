"""Real boxes at a provider's limits: held time, the run's end, and going on in a new box."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway_service import USAGE, Upstream, plain, playing
from tests.engine.living import living
from tests.support import Corral, git, write_tasks

ASK = r"""
import json, os, socket, sys
body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 40,
                   "messages": [{"role": "user", "content": "go"}]}).encode()
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
LIMITED = json.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": "no more"}}).encode()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A model service on this host."""
    with playing() as made:
        yield made


@pytest.fixture
def asking(corral: Corral, repo: Path, upstream: Upstream) -> Corral:
    """The command, with a credential for that service, on a repository that holds a program which asks it."""
    (repo / "ask.py").write_text(ASK)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "ask")
    corral.env |= {"ANTHROPIC_BASE_URL": upstream.url, "ANTHROPIC_API_KEY": "sk-dummy"}
    return corral


def refusing(upstream: Upstream, times: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers that so many requests are one too many, and then properly."""

    def answer(asked: BaseHTTPRequestHandler) -> None:
        if len(upstream.seen) <= times:
            plain(asked, LIMITED, 429, x_should_retry="false")
        else:
            plain(asked, USAGE)

    return answer


def said(corral: Corral, task: str) -> list[str]:
    """What a task's agent printed, line by line."""
    return corral("logs", task).out.splitlines()


GO_ON = "echo box >> made; echo $HOME >> ~/kept; python3 ask.py && wc -l < ~/kept >> made"


def test_an_agent_that_died_of_a_limit_goes_on_in_a_new_box(
    asking: Corral, repo: Path, upstream: Upstream
) -> None:
    upstream.answer = refusing(upstream, 1)
    with living(asking, "run", write_tasks(repo.parent / "t.yaml", repo, {"a": GO_ON})) as run:
        assert run.end() == 0
    row = run.rows()["a"]
    assert (row["verdict"], row["try"], row["requests"]) == ("done", 1, 2)
    assert git(repo, "show", f"{row['branch']}:made").split() == ["box", "box", "2"]
    (held,) = [event for event in run.events if event["kind"] == "attempt.held"]
    assert "429" in held["why"]
    boxes = [event["container"] for event in run.events if event["kind"] == "attempt.running"]
    assert len(set(boxes)) == 2
    assert row["held_s"] > 0
    assert [line for line in said(asking, "a") if line.startswith("answered")] == [
        "answered 429",
        "answered 200",
    ]


def test_an_agent_that_failed_for_another_reason_does_not_go_on(
    asking: Corral, repo: Path, upstream: Upstream
) -> None:
    upstream.answer = lambda asked: plain(asked, LIMITED, 400)
    done = asking.run(repo, {"a": "python3 ask.py", "b": "exit 1"})
    assert (done.code, done.verdicts) == (1, {"a": "agent-error", "b": "agent-error"})
    assert not [event for event in done.events if event["kind"] == "attempt.held"]


def test_what_waits_to_go_on_comes_home_as_limited_when_the_run_must_end(
    asking: Corral, repo: Path, upstream: Upstream
) -> None:
    upstream.answer = lambda asked: plain(asked, LIMITED, 429)
    tasks: dict[str, Any] = {
        "a": {"sh": GO_ON, "check": "test -s made"},
        "later": {"sh": "true", "needs": ["a"]},
    }
    with living(asking, "run", write_tasks(repo.parent / "t.yaml", repo, tasks)) as run:
        run.until("attempt.held", 3)  # from then on it waits for longer than what is left of the run
        run.kill()
    with living(asking, "resume", "--for", "1s") as resumed:
        assert resumed.end() == 4
    row = resumed.rows()["a"]
    assert (row["verdict"], row["work"], row["check"]) == ("limited", "gathered", "passed")
    assert "the run's end came while it waited" in row["reason"]
    assert git(repo, "show", f"{row['branch']}:made").split() == ["box"] * 3
    assert resumed.rows()["later"]["verdict"] is None


@pytest.mark.parametrize("instant", ["attempt.held", "again"])
def test_a_run_killed_while_an_agent_waits_goes_on_with_it(
    asking: Corral, repo: Path, upstream: Upstream, instant: str
) -> None:
    upstream.answer = refusing(upstream, 2)
    sh = GO_ON + "; code=$?; sleep 3; exit $code"
    with living(asking, "run", write_tasks(repo.parent / "t.yaml", repo, {"a": sh})) as run:
        if instant == "again":
            run.until("attempt.running", 2)
        else:
            run.until("attempt.held", 1)
        run.kill()
    with living(asking, "resume") as resumed:
        assert resumed.end() == 0
    row = resumed.rows()["a"]
    assert (row["verdict"], row["try"]) == ("done", 1)
    assert git(repo, "show", f"{row['branch']}:made").split() == ["box", "box", "box", "3"]
    assert len(upstream.seen) == 3
    assert [line for line in said(asking, "a") if line.startswith("answered")] == [
        "answered 429",
        "answered 429",
        "answered 200",
    ]


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

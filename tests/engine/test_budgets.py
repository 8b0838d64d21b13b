"""Budgets in real boxes: what is spent ends an attempt, holds what comes after it, and brings work home."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import Corral, Done, git, write_tasks

TRANSCRIPT = {"turns": [{"text": "hello " * 50, "pause": 0.02, "usage": {"input": 100, "output": 400}}]}
ASK = r"""
import json, socket, sys, threading
body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 400, "stream": True,
                   "tools": [{"name": "Bash", "input_schema": {}}],
                   "messages": [{"role": "user", "content": "go"}]}).encode()
def ask(leave):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect("/run/gw/gw.sock")
        s.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        got = s.recv(400)
        while not leave and (more := s.recv(65536)):
            got += more
    print(got.split(b" ")[1].decode(), flush=True)
times, leave = int(sys.argv[1]), sys.argv[2:] == ["leave"]
threads = [threading.Thread(target=ask, args=(leave,)) for _ in range(times)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def run(corral: Corral, repo: Path, tasks: dict[str, Any], budget: dict[str, Any]) -> Done:
    """These tasks, each of which can run `ask.py TIMES [leave]`, within that budget; one after the other."""
    transcript = repo.parent / "transcript.yaml"
    transcript.write_text(yaml.safe_dump(TRANSCRIPT))
    (repo / "ask.py").write_text(ASK)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "ask")
    file = write_tasks(repo.parent / "t.yaml", repo, tasks, budget=budget)
    text = yaml.safe_load(file.read_text())
    for agent in text["agents"].values():
        agent["upstream"] = f"script:{transcript}"
    file.write_text(yaml.safe_dump(text))
    return corral("run", file, "--json", "--jobs", "1")


def booked(corral: Corral) -> tuple[int, int]:
    """How many requests are in the ledger, and how many tokens."""
    with closing(sqlite3.connect(corral.home / "g" / "ledger.db")) as database:
        (row,) = database.execute(
            "SELECT count(*), sum(input + output + cache_read + cache_write) FROM requests"
        ).fetchall()
    return int(row[0]), int(row[1])


def test_a_spent_budget_ends_the_attempt_and_its_work_comes_home(corral: Corral, repo: Path) -> None:
    sh = "echo made > made; python3 ask.py 1; python3 ask.py 1; python3 ask.py 1; exit 1"
    done = run(
        corral, repo, {"a": sh, "b": "echo made > made; python3 ask.py 1"}, {"attempt": {"tokens": 600}}
    )
    assert (done.code, done.verdicts) == (4, {"a": "over-budget", "b": "done"})
    row = done.attempt("a")
    assert row["reason"] == "the budget of its attempt is spent"
    assert git(repo, "show", f"{row['branch']}:made") == "made"
    assert (row["requests"], row["tokens"]) == (2, 1000)
    assert row["overshot"] == {"usd": None, "tokens": 400, "requests": None}
    assert done.attempt("b")["overshot"] is None
    assert "overshot by 400 tokens" in " ".join(corral("show", "a").out.split())
    assert row["usd"] == pytest.approx(2 * done.attempt("b")["usd"])
    assert row["usd"] > 0


def test_the_budget_of_a_run_holds_what_was_not_started(corral: Corral, repo: Path) -> None:
    ask = "echo made > made; python3 ask.py 1; python3 ask.py 1"
    done = run(corral, repo, {"a": ask, "b": ask, "c": ask}, {"run": {"requests": 3}})
    assert done.code == 4
    assert done.verdicts == {"a": "done", "b": "over-budget", "c": None}
    assert "the budget of its run is spent" in corral("show", "c").out


def test_most_of_a_budget_is_noted_once_while_its_attempt_lives(corral: Corral, repo: Path) -> None:
    ask = "date > made; for n in 1 2 3 4; do python3 ask.py 1; done; sleep 9"
    done = run(corral, repo, {"a": ask, "b": "date > made"}, {"run": {"requests": 5}})
    assert done.verdicts == {"a": "done", "b": "done"}
    (told,) = [event for event in done.events if event["kind"] == "run.budget"]
    assert (told["whose"], told["unit"], told["used"], told["cap"]) == ("run", "requests", 4, 5)


@pytest.mark.parametrize("leave", ["", "leave"])
def test_case_64_a_crowd_overshoots_by_one_request_at_most(corral: Corral, repo: Path, leave: str) -> None:
    """Forty at once, and such as hang up before usage is told → spent ≤ budget + one request."""
    done = run(corral, repo, {"a": f"python3 ask.py 40 {leave}"}, {"attempt": {"tokens": 2000}})
    assert done.verdicts == {"a": "over-budget"}
    requests, tokens = booked(corral)
    one = 400 + 300  # tokens of the answer, and no more tokens in a request than it has bytes
    assert tokens < 2000 + one
    assert requests < 40
    said = corral("logs", "a", "--raw").out.split()
    assert said.count("402") == 40 - requests


def test_a_budget_in_money_needs_a_price(corral: Corral, repo: Path) -> None:
    file = repo.parent / "t.yaml"
    file.write_text(
        f"repo: {repo}\nbudget: {{run: {{usd: 3}}}}\nagents: {{a: {{cli: claude, model: nobody-1}}}}\n"
        "tasks: [{id: t, prompt: p}]\n"
    )
    done = corral("plan", file)
    assert done.code == 2
    assert f"{file}:2: the price of 'nobody-1' is not known" in done.err
    assert "say under `prices:` what 'nobody-1' costs, or cap `tokens` instead of `usd`" in done.err
    file.write_text(file.read_text() + "prices: {nobody-1: {input: 1, output: 2}}\n")
    assert corral("plan", file).code == 0

"""The real Claude Code in real boxes, the scripted model answering: from task file to branch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import Corral, Done, git, make_repo

FIX = """
turns:
  - text: I will look first.
    tools:
      - {name: Bash, input: {command: "cat a.txt && git log --oneline && git status --short"}}
    usage: {input: 1200, output: 40, cache_read: 300, cache_write: 5000}
  - expect: one
    tools:
      - {name: Bash, input: {command: "echo two >> a.txt && git commit -qam 'Add two' && echo new > b.txt"}}
    usage: {input: 700, output: 31, cache_read: 5300}
  - text: Done.
    usage: {input: 90, output: 12, cache_read: 6000, cache_write: 11}
"""
SPENT = "turns:\n  - error: {status: 402, type: billing_error, message: the budget is spent}\n"
QUESTION = """
turns:
  - tools: [{name: AskUserQuestion, input: {questions: [{question: "Which?", header: h, multiSelect: false,
      options: [{label: a, description: a}, {label: b, description: b}]}]}}]
  - text: I could not ask, so I stop.
"""
NO_NETWORK = """
turns:
  - tools:
      - name: Bash
        input:
          command: "ls /sys/class/net; env; tr '\\\\0' '\\\\n' < /proc/self/environ; ls /run/gw; git remote"
  - text: Done.
"""
LET_THROUGH = """
turns:
  - tools:
      - name: Bash
        input:
          command: >-
            python3 -c "import urllib.request as u; u.urlopen('https://other.invalid')" 2>&1 | tail -1
    usage: {input: 7, output: 3}
  - expect: 403 Forbidden
    text: Done.
    usage: {input: 7, output: 3}
"""
TRANSCRIPTS = {
    "fix": FIX,
    "spent": SPENT,
    "question": QUESTION,
    "no-network": NO_NETWORK,
    "let-through": LET_THROUGH,
}
MORE: dict[str, dict[str, Any]] = {
    "fix": {"check": "grep two a.txt"},
    "let-through": {"network": {"allow": ["docs.corral.invalid"]}},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run in which every transcript is played."""
    folder = tmp_path_factory.mktemp("claude")
    repo = make_repo(folder / "repo")
    (folder / "scripts" / "steady").mkdir(parents=True)
    for name, text in TRANSCRIPTS.items():
        (folder / "scripts" / "steady" / f"{name}.yaml").write_text(text)
    file = folder / "corral.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "repo": str(repo),
                "upstream": "script:scripts",
                "limits": {"cpus": 1, "memory": "1GiB", "time": "3min", "idle": "1min"},
                "agents": {"steady": {"cli": "claude", "model": "claude-opus-5-5", "effort": "high"}},
                "tasks": [
                    {"id": name, "prompt": "Please do it.", **MORE.get(name, {})} for name in TRANSCRIPTS
                ],
            }
        )
    )
    corral = Corral(folder / "home", {"ANTHROPIC_API_KEY": "sk-CANARY-0123456789abcdef"})
    return corral("run", file, "--json")


def test_committed_and_uncommitted_work_comes_home_and_is_checked(done: Done) -> None:
    row = done.attempt("fix")
    assert (row["verdict"], row["check"]) == ("accepted", "passed"), row
    repo = Path(row["repo"])
    assert git(repo, "show", f"{row['branch']}:b.txt") == "new"
    assert git(repo, "log", "--format=%s", f"main..{row['branch']}").splitlines() == [
        "Work that was not committed",
        "Add two",
    ]


def test_tokens_are_those_of_the_transcript_and_are_said_to_be(done: Done) -> None:
    assert done.attempt("fix")["tokens"] == 1200 + 40 + 300 + 5000 + 700 + 31 + 5300 + 90 + 12 + 6000 + 11
    assert done.attempt("fix")["usd"] > 0
    assert done.summary["scripted"] is True


def test_an_error_in_the_cli_s_own_report_is_an_agent_error(done: Done) -> None:
    row = done.attempt("spent")
    assert row["verdict"] == "agent-error"
    assert "402" in row["reason"]


def test_a_question_to_a_person_does_not_hang(done: Done) -> None:
    assert done.attempt("question")["verdict"] == "no-change"


def test_what_the_cli_says_to_its_model_does_not_go_through_the_proxy(done: Done) -> None:
    """The tool's request is the only one that is noted; the CLI's own went to the socket, and was counted."""
    row = done.attempt("let-through")
    assert (row["verdict"], row["tokens"]) == ("no-change", 20), row
    home = Path(row["repo"]).parent / "home"
    lines = (home / "g" / "egress.log").read_text().splitlines()
    assert [json.loads(line)["host"] for line in lines] == ["other.invalid"]


def test_the_box_has_no_network_and_no_key(done: Done) -> None:
    row = done.attempt("no-network")
    home = Path(row["repo"]).parent / "home"
    log = next((home / "runs").rglob("no-network+*.log")).read_text()
    assert "corral-placeholder" in log
    assert "CANARY" not in log
    assert "eth0" not in log
    for file in home.rglob("*"):
        if file.is_file():
            assert b"sk-CANARY" not in file.read_bytes(), file

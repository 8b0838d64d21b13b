"""The real Codex in real boxes beside the real Claude Code, a script answering both: from file to branch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import Corral, Done, git, make_repo

KEYS = {"ANTHROPIC_API_KEY": "sk-CANARY-0123456789abcdef", "OPENAI_API_KEY": "sk-CANARY-fedcba9876543210"}
AGENTS = {
    "claude": {"cli": "claude", "model": "claude-opus-5-5", "effort": "high"},
    "codex": {"cli": "codex", "model": "gpt-5.5", "effort": "high", "verbosity": "low"},
    "sol": {"cli": "codex", "model": "gpt-6.1-sol", "effort": "none"},
}
LIMITS = {"cpus": 1, "memory": "1GiB", "time": "3min", "idle": "1min"}
LOOK = "cat a.txt && git log --oneline && git status --short"
CHANGE = "echo two >> a.txt && git commit -qam 'Add two' && echo new > b.txt"


def javascript(command: str) -> str:
    return f"const r = await tools.exec_command({{cmd: {json.dumps(command)}}}); text(r.output)"


def fix(tool: str, key: str, said: Any = str) -> str:
    """The same work by the tools of one CLI."""
    turns = [
        {
            "text": "I will look first.",
            "tools": [{"name": tool, "input": {key: said(LOOK)}}],
            "usage": {"input": 1200, "output": 40, "cache_read": 300},
        },
        {
            "expect": "one",
            "tools": [{"name": tool, "input": {key: said(CHANGE)}}],
            "usage": {"input": 700, "output": 31, "cache_read": 5300, "reasoning": 9},
        },
        {"text": "Done.", "usage": {"input": 90, "output": 12, "cache_read": 6000}},
    ]
    return yaml.safe_dump({"turns": turns})


TOKENS = 1200 + 40 + 300 + 700 + 31 + 5300 + 90 + 12 + 6000
SPENT = "turns:\n  - error: {status: 402, message: the budget is spent}\n"
NO_NETWORK = """
turns:
  - tools:
      - name: exec_command
        input:
          cmd: "ls /sys/class/net; env; tr '\\\\0' '\\\\n' < /proc/self/environ; ls /run/gw; type rg"
  - text: Done.
"""
LET_THROUGH = """
turns:
  - tools:
      - name: exec_command
        input:
          cmd: >-
            python3 -c "import urllib.request as u; u.urlopen('https://other.invalid')" 2>&1 | tail -1
    usage: {input: 7, output: 3}
  - expect: 403 Forbidden
    text: Done.
    usage: {input: 7, output: 3}
"""
SCRIPTS = {
    "claude/fix": fix("Bash", "command"),
    "codex/fix": fix("exec_command", "cmd"),
    "sol/fix": fix("exec", "input", javascript),
    "codex/spent": SPENT,
    "codex/no-network": NO_NETWORK,
    "codex/let-through": LET_THROUGH,
}
TASKS: list[dict[str, Any]] = [
    {"id": "fix", "check": "grep two a.txt"},
    {"id": "spent", "agent": "codex", "retry": {"feedback": 0}},
    {"id": "no-network", "agent": "codex"},
    {"id": "let-through", "agent": "codex", "network": {"allow": ["docs.corral.invalid"]}},
]


def task_file(folder: Path, tasks: list[dict[str, Any]], scripts: dict[str, str], **more: Any) -> Path:
    """A task file whose transcripts lie beside it."""
    repo = make_repo(folder / "repo")
    for name, text in scripts.items():
        place = folder / "scripts" / f"{name}.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    told = {"repo": str(repo), "upstream": "script:scripts", "limits": LIMITS, "agents": AGENTS, **more}
    file = folder / "corral.yaml"
    file.write_text(
        yaml.safe_dump({**told, "tasks": [{"prompt": "Please do it.", **task} for task in tasks]})
    )
    return file


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run in which two CLIs of two providers work side by side."""
    folder = tmp_path_factory.mktemp("codex")
    file = task_file(folder, TASKS, SCRIPTS, compare={"agents": list(AGENTS)})
    return Corral(folder / "home", KEYS)("run", file, "--json")


def of(done: Done, task: str, profile: str = "codex") -> dict[str, Any]:
    """The row of one attempt."""
    (row,) = (r for r in done.summary["attempts"] if (r["task"], r["profile"]) == (task, profile))
    return dict(row)


@pytest.mark.parametrize("profile", AGENTS)
def test_each_cli_s_work_comes_home_as_a_branch_and_is_checked(done: Done, profile: str) -> None:
    row = of(done, "fix", profile)
    assert (row["verdict"], row["check"]) == ("accepted", "passed"), row
    repo = Path(row["repo"])
    assert git(repo, "show", f"{row['branch']}:b.txt") == "new"
    assert git(repo, "log", "--format=%s", f"main..{row['branch']}").splitlines() == [
        "Work that was not committed",
        "Add two",
    ]


@pytest.mark.parametrize("profile", AGENTS)
def test_tokens_are_those_of_the_transcript_whoever_tells_them(done: Done, profile: str) -> None:
    row = of(done, "fix", profile)
    assert (row["tokens"], row["usd"] > 0) == (TOKENS, True), row


def test_a_spent_budget_s_words_are_the_reason_after_one_request(done: Done) -> None:
    row = of(done, "spent")
    assert (row["verdict"], row["reason"]) == ("agent-error", "the budget is spent"), row


def test_the_box_has_no_network_and_no_key(done: Done) -> None:
    row = of(done, "no-network")
    assert row["verdict"] == "no-change", row
    home = Path(row["repo"]).parent / "home"
    log = next((home / "runs").rglob("no-network+*.log")).read_text()
    assert "OPENAI_API_KEY=corral-placeholder" in log
    assert "rg is /opt/codex/codex-path/rg" in log
    assert "CANARY" not in log
    assert "eth0" not in log
    for file in home.rglob("*"):
        if file.is_file():
            assert b"sk-CANARY" not in file.read_bytes(), file


def test_what_the_cli_says_to_its_model_does_not_go_through_the_proxy(done: Done) -> None:
    """The tool's request is the only one: the CLI asks nobody for plugins, and tells nobody of its use."""
    row = of(done, "let-through")
    assert (row["verdict"], row["tokens"]) == ("no-change", 20), row
    home = Path(row["repo"]).parent / "home"
    lines = (home / "g" / "egress.log").read_text().splitlines()
    assert [json.loads(line)["host"] for line in lines] == ["other.invalid"]


def test_its_log_is_told_as_a_person_reads_it(done: Done) -> None:
    home = Path(of(done, "fix")["repo"]).parent / "home"
    told = Corral(home)("logs", "fix/codex/1").out
    assert "I will look first." in told
    assert "\n    one\n" in told
    assert '{"type"' not in told


def test_a_budget_that_is_spent_ends_codex_at_once_and_its_work_comes_home(tmp_path: Path) -> None:
    file = task_file(
        tmp_path,
        [{"id": "fix", "agent": "codex"}],
        {"codex/fix": fix("exec_command", "cmd")},
        budget={"attempt": {"requests": 2}},
    )
    ended = Corral(tmp_path / "home", KEYS)("run", file, "--json")
    row = of(ended, "fix")
    assert (row["verdict"], row["reason"]) == ("over-budget", "the budget of its attempt is spent"), row
    assert git(Path(row["repo"]), "show", f"{row['branch']}:b.txt") == "new"
    log = next((tmp_path / "home" / "runs").rglob("fix+*.log")).read_text()
    assert "Reconnecting" not in log
    assert log.count('"turn.failed"') == 1

"""Which commands look for an answer; and that they are found in what agents really print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.agents.seeking import sought
from runner.supervisor.attempt import looking_back
from runner.supervisor.attempt.looking_back import looked_for_answers
from runner.tasks.plan import ClaudeSettings, CodexSettings, CommandSettings

HISTORY = [
    "git log --all --oneline",
    "cd /workspace && git -C . log -p --all -- src/a.py",
    "git reflog",
    "git log -g",
    "git fsck --lost-found",
    "git fsck --no-progress --unreachable | grep commit",
    "git cat-file --batch-check --batch-all-objects",
    "git show origin/main:src/a.py",
    "cat .git/ORIG_HEAD",
    "git for-each-ref",
]
UPSTREAM = [
    "git fetch origin",
    "git clone https://github.com/pallets/click /tmp/click",
    "curl -sL https://github.com/pallets/click/pull/1.patch",
    "curl https://pypi.org/pypi/click/json",
    "wget -q https://raw.githubusercontent.com/pallets/click/main/src/click/core.py",
    "WebFetch https://github.com/pallets/click/issues/1",
    "python -c 'import requests; requests.get(\"https://github.com/x\")'",
    "gh pr view 12",
    "pip download click==8.2",
    "pip install --target /tmp/x 'click==8.2.0'",
    "uv pip install Click",
    "npm pack left-pad",
]
PLAIN = [
    "git log --oneline -5",
    "git log -p -- src/a.py",
    "git blame src/a.py",
    "git log -S'needle'",
    "git show HEAD~3",
    "git diff",
    "git grep -n all",
    "git status",
    "git fsck",
    "pip install -e .",
    "pip install '.[test]' pytest",
    "pip install -r requirements.txt",
    "npm install",
    "grep -rn upstream .",
    "pytest -q --all",
]


@pytest.mark.parametrize("command", HISTORY)
def test_a_search_in_other_commits(command: str) -> None:
    found = sought(command, "click")
    assert found is not None
    assert found.where == "history"


@pytest.mark.parametrize("command", UPSTREAM)
def test_a_search_upstream(command: str) -> None:
    found = sought(command, "click")
    assert found is not None
    assert found.where == "upstream"


@pytest.mark.parametrize("command", PLAIN)
def test_ordinary_work_is_no_search(command: str) -> None:
    assert sought(command, "click") is None


CLAUDE = ClaudeSettings(model="opus")


def claude(name: str, **values: str) -> str:
    block = {"type": "tool_use", "id": "1", "name": name, "input": values}
    return json.dumps({"type": "assistant", "message": {"content": [block]}})


def test_commands_are_read_from_what_claude_prints(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rows = [
        json.dumps({"type": "assistant", "message": {"content": [{"type": "text", "text": "git reflog"}]}}),
        claude("Bash", command="git reflog", description="git log --all"),
        claude("Write", file_path="x", content="git fsck --lost-found"),
        claude("WebFetch", url="https://github.com/x/y", prompt="?"),
        "not JSON, with tool_use and git reflog",
        '{"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Bash", "input": 3}]}}',
    ]
    log.write_text("\n".join(rows))
    found = looked_for_answers(log, CLAUDE, "y") or ()
    assert [(one.where, one.command) for one in found] == [
        ("history", "git reflog"),
        ("upstream", "WebFetch https://github.com/x/y"),
    ]


def test_commands_are_read_from_what_codex_prints(tmp_path: Path) -> None:
    log = tmp_path / "log"
    item = {"id": "1", "type": "command_execution", "command": "bash -lc 'git log --all'"}
    said = {"id": "2", "type": "agent_message", "text": "command_execution: git reflog"}
    kinds = [("item.started", item), ("item.completed", item), ("item.completed", said)]
    log.write_text("\n".join(json.dumps({"type": kind, "item": one}) for kind, one in kinds))
    found = looked_for_answers(log, CodexSettings(model="m"), "y") or ()
    assert [one.command for one in found] == ["bash -lc 'git log --all'"]


def test_of_a_command_only_its_own_words_are_known(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("git reflog\n")
    assert looked_for_answers(log, CommandSettings(run=("sh", "-c", "true")), "y") == ()
    found = looked_for_answers(tmp_path / "none", CommandSettings(run=("sh", "-c", "git log --all")), "y")
    assert found is not None
    assert len(found) == 1


def test_a_log_that_can_not_be_read_is_unknown(tmp_path: Path) -> None:
    assert looked_for_answers(tmp_path / "none", CLAUDE, "y") is None


def test_what_is_told_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(claude("Bash", command=f"git log --all -n {n} {'x' * 999}") for n in range(99)))
    found = looked_for_answers(log, CLAUDE, "y") or ()
    assert (len(found), len(found[0].command)) == (looking_back.MOST, 200)
    monkeypatch.setattr(looking_back, "LARGEST", 3000)
    assert len(looked_for_answers(log, CLAUDE, "y") or ()) == 3

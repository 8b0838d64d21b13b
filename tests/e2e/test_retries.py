"""The real CLIs, tried again: what a check said goes into the same conversation, over the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import Corral, git, make_repo

CLIS: dict[str, tuple[dict[str, str], str, str]] = {
    "claude": ({"cli": "claude", "model": "claude-opus-5-5"}, "Bash", "command"),
    "codex": ({"cli": "codex", "model": "gpt-5.5"}, "exec_command", "cmd"),
}


def turns(tool: str, key: str) -> list[dict[str, Any]]:
    """A model that does half, and the rest once it is told what the check said."""
    usage = {"input": 100, "output": 10}
    return [
        {"tools": [{"name": tool, "input": {key: "echo one > made; echo begun"}}], "usage": usage},
        {"expect": "begun", "text": "I believe that this is all.", "usage": usage},
        {
            "expect": "(?s)This is not done yet.*two is missing",
            "tools": [{"name": tool, "input": {key: "cat made; echo two >> made"}}],
            "usage": usage,
        },
        {"expect": "one", "text": "Now it is.", "usage": usage},
    ]


@pytest.mark.parametrize("cli", CLIS)
def test_a_failed_check_goes_on_in_the_same_conversation(tmp_path: Path, cli: str) -> None:
    settings, tool, key = CLIS[cli]
    corral, repo = Corral(tmp_path / "home"), make_repo(tmp_path / "repo")
    (tmp_path / "turns.yaml").write_text(yaml.safe_dump({"turns": turns(tool, key)}))
    tasks = {
        "repo": str(repo),
        "upstream": "script:turns.yaml",
        "limits": {"memory": "1GiB", "time": "3min"},
        "agents": {"p": settings},
        "tasks": [{"id": "t", "prompt": "Make it.", "check": "echo two is missing; grep -q two made"}],
    }
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(tasks))
    done = corral("run", tmp_path / "t.yaml", "--json")
    assert done.code == 0, done.err + done.out[-3000:]
    first, second = done.summary["attempts"]
    assert [(row["try"], row["verdict"]) for row in (first, second)] == [(1, "rejected"), (2, "accepted")]
    assert second["retry"]["session"] is not None
    assert second["retry"]["on"] == first["commit"]
    assert git(repo, "show", f"{second['branch']}:made").split() == ["one", "two"]
    assert (first["tokens"], second["tokens"]) == (220, 220), "what was said before is not said again"
    assert "Now it is." in corral("logs", "t").out
    assert list((tmp_path / "home").rglob("*.home.tar.gz*")) == []

"""Real CLIs that get nowhere, told by their events: loops, tools that never end, models that take long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_codex_run import KEYS, task_file
from tests.support import Corral, Done, git

TOOLS = {"claude": ("Bash", "command"), "codex": ("exec_command", "cmd")}
AGENTS = {
    "claude": {"cli": "claude", "model": "claude-opus-5-5"},
    "codex": {"cli": "codex", "model": "gpt-5.5"},
}
LIMITS = {"cpus": 1, "memory": "1GiB", "time": "4min", "idle": "2min"}
NEVER_ENDS = "tail -f /dev/null"


def scripts(cli: str) -> dict[str, str]:
    """What the model says to one CLI, by task."""
    tool, key = TOOLS[cli]

    def call(command: str) -> dict[str, Any]:
        return {"tools": [{"name": tool, "input": {key: command}}]}

    goes_on = call("touch good")  # once or twice: Claude Code puts in an answer for a call that was killed
    turns: dict[str, list[dict[str, Any]]] = {
        "loop": [{**turn, "delay": 0.2} for _ in range(100) for turn in (call("cat a.txt"), call("ls"))],
        "tool": [call(NEVER_ENDS)],
        "nudge": [call(NEVER_ENDS), goes_on, goes_on, {"text": "Done."}],
        "model": [{**call("touch good"), "delay": 12.0}, {"text": "Done."}],
    }
    return {f"{cli}/{task}-{cli}": yaml.safe_dump({"turns": said}) for task, said in turns.items()}


TASKS: list[dict[str, Any]] = [
    {"id": "loop", "health": {"looping": {"after": "10s"}}},
    {"id": "tool", "health": {"running_a_tool": {"after": "8s"}}},
    {"id": "nudge", "health": {"running_a_tool": {"after": "8s", "then": "nudge"}}, "check": "test -e good"},
    {"id": "model", "health": {"waiting_for_the_model": {"after": "6s"}}, "check": "test -e good"},
]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all of them by each CLI."""
    folder = tmp_path_factory.mktemp("health")
    tasks = [{**task, "id": f"{task['id']}-{cli}", "agent": cli} for cli in TOOLS for task in TASKS]
    said = {name: text for cli in TOOLS for name, text in scripts(cli).items()}
    file = task_file(folder, tasks, said, agents=AGENTS, limits=LIMITS)
    return Corral(folder / "home", KEYS)("run", file, "--json", "--jobs", "2", timeout=550)


@pytest.mark.parametrize("cli", TOOLS)
def test_an_agent_that_repeats_itself_is_ended(done: Done, cli: str) -> None:
    row = done.attempt(f"loop-{cli}")
    assert row["verdict"] == "stalled", row
    assert row["reason"].startswith("looping: the same 2 actions ")


@pytest.mark.parametrize("cli", TOOLS)
def test_a_tool_that_never_ends_is_named(done: Done, cli: str) -> None:
    row = done.attempt(f"tool-{cli}")
    assert row["verdict"] == "stalled", row
    assert row["reason"].startswith("running a tool: ")
    assert NEVER_ENDS in row["reason"]


@pytest.mark.parametrize("cli", TOOLS)
def test_a_nudged_session_goes_on(done: Done, cli: str) -> None:
    row = done.attempt(f"nudge-{cli}")
    assert row["verdict"] == "accepted", row
    assert git(Path(row["repo"]), "ls-tree", "--name-only", row["branch"]).split() == ["a.txt", "good"]


@pytest.mark.parametrize("cli", TOOLS)
def test_a_slow_model_is_told_of_and_waited_for(done: Done, cli: str) -> None:
    assert done.attempt(f"model-{cli}")["verdict"] == "accepted", done.attempt(f"model-{cli}")
    told = [event for event in done.events if event["kind"] == "attempt.attention"]
    assert [e["condition"] for e in told if e["attempt"].startswith(f"model-{cli}/")] == [
        "waiting-for-the-model"
    ]

"""The demo's task file, transcripts and packages fit each other. Needs nothing but the files."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.packages import PACKAGES
from demo.prepare import WORK
from runner import names
from runner.gateway.playing import transcript

DEMO = WORK.parent
NIGHT: dict[str, Any] = yaml.safe_load((DEMO / "night.yaml").read_text(encoding="utf-8"))
TASKS: dict[str, dict[str, Any]] = {task["id"]: task for task in NIGHT["tasks"]}
SCRIPTED = [
    (profile, task)
    for task, about in TASKS.items()
    for profile in ([about["agent"]] if "agent" in about else NIGHT["compare"]["agents"])
    if NIGHT["agents"][profile]["cli"] == "claude"
]
TOOLS = {
    "Bash": {"command", "description"},
    "Read": {"file_path", "offset", "limit"},
    "Edit": {"file_path", "old_string", "new_string"},
    "Write": {"file_path", "content"},
}


def played(profile: str, task: str) -> transcript.Transcript:
    """The transcript of an attempt, as the scripted model reads it."""
    return transcript.load(DEMO / "transcripts" / profile / f"{task}.yaml")


def test_every_scripted_attempt_has_a_transcript_and_every_transcript_an_attempt() -> None:
    found = {(file.parent.name, file.stem) for file in (DEMO / "transcripts").rglob("*.yaml")}
    assert found == set(SCRIPTED)


def test_one_line_stands_between_the_script_and_the_service() -> None:
    lines = (DEMO / "night.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "script:" in line] == ["upstream: script:transcripts"]


def test_the_night_holds_what_the_demo_promises() -> None:
    assert all(names.is_id(name) for name in [*TASKS, *NIGHT["agents"]])
    assert "name" not in NIGHT, "a run of that name could not run a second time"
    assert len(NIGHT["compare"]["agents"]) == 2
    assert sum("agent" not in task for task in TASKS.values()) >= 4
    assert any("memory" in task.get("limits", {}) for task in TASKS.values())
    assert any(
        NIGHT["agents"][task["agent"]]["cli"] == "command" for task in TASKS.values() if "agent" in task
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_task_names_what_is_there(task: str) -> None:
    about = TASKS[task]
    package = next(package for package in PACKAGES if DEMO / about["repo"] == WORK / package.name)
    checked = set(re.findall(r"tests/\S+\.py", str(about.get("check", ""))))
    assert checked <= set(package.tests + (package.hidden if "hidden" in about else ()))
    assert about.get("hidden", f".work/hidden/{package.name}") == f".work/hidden/{package.name}"
    assert set(about.get("needs", [])) <= set(TASKS)
    assert about.get("agent", "steady") in NIGHT["agents"]
    if "check" in about:
        assert about["protect"] == (["test_parse.py"] if package.hidden else ["tests/"])


@pytest.mark.parametrize(("profile", "task"), SCRIPTED)
def test_a_transcript_asks_for_tools_as_the_cli_knows_them(profile: str, task: str) -> None:
    read: set[object] = set()
    for turn in played(profile, task).turns:
        for call in turn.tools:
            assert set(call.input) <= TOOLS[call.name]
            assert str(call.input.get("file_path", "/workspace/")).startswith("/workspace/")
            if call.name == "Read":
                read.add(call.input["file_path"])
            if call.name == "Edit":
                assert call.input["file_path"] in read


@pytest.mark.parametrize(("profile", "task"), SCRIPTED)
def test_a_transcript_ends_and_its_figures_add_up(profile: str, task: str) -> None:
    turns = played(profile, task).turns
    assert not any(turn.tools == () for turn in turns[:-1]), "a turn without tools ends the conversation"
    assert turns[-1].tools == ()
    assert turns[0].expect is None
    for before, turn in pairwise(turns):
        # Each request reads from the cache what the one before had read and written.
        assert turn.usage.cache_read == before.usage.cache_read + before.usage.cache_write
        assert turn.usage.output > 0


def test_the_two_profiles_take_different_steps() -> None:
    for task, about in TASKS.items():
        if "agent" not in about:
            steady, hasty = (
                [call.model_dump() for turn in played(profile, task).turns for call in turn.tools]
                for profile in NIGHT["compare"]["agents"]
            )
            assert steady != hasty
            assert len(steady) > len(hasty)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_is_pinned(package: Any) -> None:
    assert package.earlier.name == package.later.name
    assert re.fullmatch(r"[0-9a-f]{40}", package.commit)
    for release in (package.earlier, package.later):
        assert re.fullmatch(r"[a-z]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", release.requirement)


def test_the_repositories_lie_where_git_ignores_them() -> None:
    assert "/.work/" in Path(DEMO, ".gitignore").read_text(encoding="utf-8").splitlines()

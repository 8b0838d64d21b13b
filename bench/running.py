"""What all measurements share: repositories, task files, and runs of the command heard as events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CORRAL = [sys.executable, "-m", "runner"]
COMMAND = "echo hello > new.txt"
LIMITS = {"cpus": 1, "memory": "256MiB", "pids": 128}
IDENTITY = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid")


def task_file(file: Path, repo: Path, tasks: int) -> Path:
    """A task file of so many tasks that write one file each."""
    text = {
        "repo": str(repo),
        "limits": LIMITS,
        "agents": {"write": {"cli": "command", "run": COMMAND}},
        "tasks": [{"id": f"t{number}"} for number in range(tasks)],
    }
    file.write_text(yaml.safe_dump(text))
    return file


def environment(state: Path) -> dict[str, str]:
    """The command's environment, with its state below `state`."""
    return {**os.environ, "CORRAL_HOME": str(state)}


def prepared_image(file: Path, state: Path) -> str:
    """Build the image and run once, so that nothing is made for the first time while measuring."""
    events(file, state)
    listing = subprocess.run(
        [*CORRAL, "image", "build", str(file)],
        env=environment(state),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return listing.split()[-1]


def repository(folder: Path) -> Path:
    """A repository with one empty commit."""
    folder.mkdir()
    for arguments in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True)
    return folder


def attempt_seconds(file: Path, state: Path) -> float:
    """From an attempt's start to its verdict, nothing of it left."""
    at = {event["kind"]: event["at"] for event in events(file, state) if "at" in event}
    return float(at["attempt.final"] - at["attempt.started"])


def events(file: Path, state: Path) -> list[dict[str, Any]]:
    """Do a run and return what it said."""
    done = subprocess.run(
        [*CORRAL, "run", str(file), "--json"],
        env=environment(state),
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]

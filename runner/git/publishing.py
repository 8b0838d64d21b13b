"""The user's own programs, in the user's own environment: what publishes work when a person says so.

Here alone the user's configuration, credentials and hooks take part, as they do when a person types the same
words. What is published has come through the quarantine, and nothing of it is checked out.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.errors import HostError, UsageError


def require(program: str, environment: Mapping[str, str], cure: str) -> None:
    """See that a program is on the user's path.

    Raises:
        UsageError: It is not.
    """
    if shutil.which(program, path=environment.get("PATH")) is None:
        raise UsageError(f"there is no program {program!r} on your PATH", cure=cure)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a program to its end; returns what it printed. What it complains of is seen as it comes.

    Raises:
        HostError: It could not be run, or failed.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise HostError(f"{command[0]} can't be run: {error.strerror}") from error
    if done.returncode != 0:
        raise HostError(f"{command[0]} failed (exit {done.returncode})", cure="what it said stands above")
    return done.stdout.decode(errors="replace")

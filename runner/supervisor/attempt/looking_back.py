"""What an agent's own log says that it ran to find an answer: read once, when the agent has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runner.agents import catalog
from runner.agents.seeking import Sought, sought
from runner.tasks.plan import Settings

LARGEST = 64 * 1024**2
"""Bytes of a log that are read; the beginning."""
LONGEST_LINE = 4 * 1024**2
MOST = 20
"""Commands that are told."""


def looked_for_answers(log: Path, settings: Settings, project: str) -> tuple[Sought, ...] | None:
    """The first commands that look for an answer; None where its log can't be read.

    Args:
        log: What the agent printed.
        settings: The profile's: by them its lines are understood.
        project: What the repository is called.
    """
    found: dict[str, Sought] = {}
    try:
        for command in (*catalog.given(settings), *_commands(log, settings)):
            one = sought(command, project)
            if one is not None and len(found) < MOST:
                found.setdefault(one.command, one)
    except OSError:
        return None
    return tuple(found.values())


def _commands(log: Path, settings: Settings) -> Iterator[str]:
    if not catalog.tells_commands(settings):
        return
    with log.open("rb") as opened:
        left = LARGEST
        while left > 0 and (line := opened.readline(LONGEST_LINE)):
            left -= len(line)
            yield from catalog.commands(settings, line)

"""The agents that Corral knows: from a profile's settings to its launch and its reader."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Literal

from runner.agents import claude, codex, command
from runner.agents.launch import Launch, Reader
from runner.tasks.plan import ClaudeSettings, CodexSettings, CommandSettings, Settings

_READERS: dict[str, type[Reader]] = {
    "claude": claude.Reader,
    "codex": codex.Reader,
    "command": command.Reader,
}
DIALECTS: dict[str, Literal["anthropic", "openai"]] = {"claude": "anthropic", "codex": "openai"}
"""In which dialect each agent CLI asks its model, by its name."""
VERSIONS = {"claude": claude.VERSION, "codex": codex.VERSION}
"""The versions of the agent CLIs, by name: those that are pinned, and all that is ever installed."""
_SESSIONS = uuid.UUID("5f0b7a52-7d0c-4f0e-9a57-0c0441a10001")


def launch(settings: Settings, prompt: str, run: str, attempt: str, resume: str | None = None) -> Launch:
    """How the agent of these settings is started for an attempt of a run.

    Args:
        settings: The profile's settings.
        prompt: What the agent is told: the task's words, or, where it resumes, how it is to go on.
        run: The run's name.
        attempt: The attempt's name.
        resume: The session of an earlier box with the same HOME that is to go on (`Reader.session`); an
            agent that has no sessions begins anew.
    """
    if isinstance(settings, ClaudeSettings):
        session = resume or session_id(run, attempt)
        return claude.launch(settings, prompt, session, resume=resume is not None)
    if isinstance(settings, CodexSettings):
        return codex.launch(settings, prompt, resume)
    return command.launch(settings, prompt)


def reader(settings: Settings) -> Reader:
    """A fresh reader of that agent's output."""
    return _READERS[settings.cli]()


def told(settings: Settings, line: bytes) -> str | None:
    """A line of that agent's output as a person reads it; None where it holds nothing to read."""
    match settings:
        case ClaudeSettings():
            return claude.told(line)
        case CodexSettings():
            return codex.told(line)
        case CommandSettings():
            return line.decode(errors="replace")


def commands(settings: Settings, line: bytes) -> Iterator[str]:
    """What a line of that agent's output says that it ran: a command, or an address that it fetched."""
    match settings:
        case ClaudeSettings():
            yield from claude.commands(line)
        case CodexSettings():
            yield from codex.commands(line)


def tells_commands(settings: Settings) -> bool:
    """Whether that agent's output says what the agent runs."""
    return not isinstance(settings, CommandSettings)


def given(settings: Settings) -> tuple[str, ...]:
    """What the settings themselves have run: all that is known of what a `cli: command` does."""
    return settings.run if isinstance(settings, CommandSettings) else ()


def version(cli: str | None) -> str | None:
    """The version of an agent CLI that images are made with; None where it is the image's own affair."""
    return VERSIONS.get(cli or "")


def layer(settings: Settings) -> str | None:
    """The agent layer that the image needs, or None."""
    return None if isinstance(settings, CommandSettings) else settings.cli


def dialect(settings: Settings) -> Literal["anthropic", "openai"] | None:
    """In which dialect that agent asks its model; None where nobody can know."""
    return DIALECTS.get(settings.cli)


def session_id(run: str, attempt: str) -> str:
    """The session id of an attempt: the same each time, so that it can be resumed."""
    return str(uuid.uuid5(_SESSIONS, f"{run}/{attempt}"))

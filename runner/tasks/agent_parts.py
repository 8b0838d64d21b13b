"""The agent profiles of a task file, one kind for each agent CLI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator

from runner.tasks.fields import (
    AtOnce,
    ClaudeArgument,
    CodexArguments,
    Env,
    Line,
    RefusedError,
    RunCommand,
    UpstreamText,
)
from runner.tasks.part import Part


class ClaudePart(Part):
    """A profile of Claude Code."""

    cli: Literal["claude"]
    """Which agent CLI: `claude`."""
    model: Line
    """The model's full name."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How hard it thinks; the CLI's own default if left out."""
    args: tuple[ClaudeArgument, ...] = ()
    """More arguments for the CLI."""
    env: Env = Field(default_factory=dict)
    """More environment variables in the box; never keys."""
    upstream: UpstreamText | None = None
    """What answers this profile's model calls; as for the file."""
    at_once: AtOnce | None = None
    """How many of its attempts live at once at most; as many as there are places by default."""


class CodexPart(Part):
    """A profile of Codex."""

    cli: Literal["codex"]
    """Which agent CLI: `codex`."""
    model: Line
    """The model's full name."""
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"] | None = None
    """How hard it thinks; the CLI's own default if left out. Which levels there are, the model decides."""
    verbosity: Literal["low", "medium", "high"] | None = None
    """How much it says; the CLI's own default if left out."""
    args: CodexArguments = ()
    """More arguments for the CLI."""
    env: Env = Field(default_factory=dict)
    """More environment variables in the box; never keys."""
    upstream: UpstreamText | None = None
    """What answers this profile's model calls; as for the file."""
    at_once: AtOnce | None = None
    """How many of its attempts live at once at most; as many as there are places by default."""


class CommandPart(Part):
    """A profile that runs any command."""

    cli: Literal["command"]
    """Which agent CLI: `command`."""
    run: RunCommand
    """The command: a list as it is, or a text for `sh -c`. $CORRAL_PROMPT_FILE holds the prompt."""
    env: Env = Field(default_factory=dict)
    """More environment variables in the box; never keys."""
    upstream: UpstreamText | None = None
    """What answers this profile's model calls; as for the file."""
    at_once: AtOnce | None = None
    """How many of its attempts live at once at most; as many as there are places by default."""

    @model_validator(mode="after")
    def _names_a_program(self) -> CommandPart:
        if not self.run or not self.run[0].strip() or not self.run[-1].strip():
            raise RefusedError("`run:` names no program", "write it like [ruff, check, --fix, .]")
        return self


AgentPart = Annotated[ClaudePart | CodexPart | CommandPart, Discriminator("cli")]

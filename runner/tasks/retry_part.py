"""The keys of `retry:` in a task file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runner.tasks.fields import Memory, Seconds, Times
from runner.tasks.part import Part


class OomPart(Part):
    """What becomes of an attempt that ran out of memory."""

    memory: Memory
    """So much memory, more than `limits.memory`, in one more try; it is recorded as such."""


class RetryPart(Part):
    """When an attempt is tried again by itself; `docs/verdicts.md` has the table."""

    infrastructure: Annotated[
        Times | None,
        Field(description="How often after `infrastructure`, later each time; 3 by default."),
    ] = None
    pause: Annotated[
        Seconds | None,
        Field(
            description="How long after `infrastructure` it rests; 15s by default. Each further pause is"
            " four times as long, 15min at most."
        ),
    ] = None
    feedback: Annotated[
        Times | None,
        Field(
            description="How often after `rejected` or `agent-error`, its agent being told what the check"
            " printed last; once by default, where there is a prompt."
        ),
    ] = None
    session: Annotated[
        Literal["resume", "fresh"] | None,
        Field(
            description="Such a try goes on with the work, HOME and session of the one before (`resume`, the"
            " default), or begins anew (`fresh`)."
        ),
    ] = None
    oom: OomPart | None = None
    """`{memory: SIZE}`: one more try with so much memory after `oom`; by default there is none."""

"""What all events have in common."""

from __future__ import annotations

from runner.supervisor.words import Words as Words  # noqa: PLC0414 - events are made of them
from runner.tasks.plan import Value


class Happened(Value):
    """Common to all events."""

    at: float


class OfAttempt(Happened):
    """Common to the events of one attempt; `attempt` is `TASK/PROFILE/N[.TRY]`."""

    attempt: str

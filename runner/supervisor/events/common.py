"""What all events have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from runner.tasks.plan import Value


def _writable(words: object) -> object:
    """Text as UTF-8 can hold it: what a box says may hold half of a surrogate pair."""
    return words.encode("utf-8", "replace").decode() if isinstance(words, str) else words


Words = Annotated[str, BeforeValidator(_writable)]
"""Words that may come from a box, a repository or an engine."""


class Happened(Value):
    """Common to all events."""

    at: float


class OfAttempt(Happened):
    """Common to the events of one attempt; `attempt` is `TASK/PROFILE/N[.TRY]`."""

    attempt: str

"""`@profile` at the start of a prompt: who does the task."""

from __future__ import annotations

import re

_MENTION = re.compile(r"\s*@(?P<name>\S+?)[:,]?(?:\s+|$)")


def mention(prompt: str) -> tuple[str | None, str]:
    """The profile that a prompt begins with, and the words that are left for the agent.

    Only the prompt's first word counts: an `@` anywhere else is the user's own. None where there is none.
    """
    found = _MENTION.match(prompt)
    return (None, prompt) if found is None else (found["name"], prompt[found.end() :])

"""What the engine reports while it builds or pulls: lines for people, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

KEPT = 40
"""How many of the last lines are kept for the error."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""The builder prints what a step writes to its standard error in red."""

_STEP = re.compile(r"^ ---> ([0-9a-f]{12})$")
"""How the builder names the image that a step made."""


class Progress:
    """Follows the engine's messages of one build or pull.

    Attributes:
        last: The last lines.
        error: Why it failed, or None.
        step: The id of the image that the last finished step of a build made, or None.
    """

    def __init__(self) -> None:
        self.last: tuple[str, ...] = ()
        self.error: str | None = None
        self.step: str | None = None

    def take(self, message: Mapping[str, Any]) -> list[str]:
        """Take one message and return its lines."""
        text = str(message.get("stream") or message.get("status") or "")
        lines = _COLOUR.sub("", text).splitlines()
        self.last = (*self.last, *lines)[-KEPT:]
        for line in lines:
            if match := _STEP.match(line):
                self.step = match[1]
        if "error" in message:
            self.error = str(message["error"])
        return lines

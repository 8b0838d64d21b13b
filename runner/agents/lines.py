"""One line of what an agent printed, read without trusting it; what is common to all agents."""

from __future__ import annotations

import json
from typing import Any

RESULT_LINES = 20
"""Lines of a tool's output that a person is shown."""

LONGEST_LINE = 1024 * 1024
"""A longer line is not parsed: it is a tool result, or an attempt to make us work."""


def json_object(line: bytes) -> dict[str, Any]:
    """The JSON object that a line is; empty where it is none."""
    if len(line) > LONGEST_LINE or not line.startswith(b"{"):
        return {}
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def indented(text: str) -> str:
    """A tool's output below the call that it belongs to, a long one cut."""
    rows = text.rstrip().splitlines()
    cut = [f"… {len(rows) - RESULT_LINES} more lines"] if len(rows) > RESULT_LINES else []
    return "\n".join(f"    {row[:500]}" for row in (*rows[:RESULT_LINES], *cut))

"""Whether anybody works on a run, or will by itself: for who waits for it, orders of it or clears it away."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from runner import names
from runner.locks import is_held
from runner.supervisor.ownership import keeper
from runner.supervisor.ownership.lease import hangs, is_over

Presence = Literal["works", "returns", "nobody"]
"""A process works on it; one will shortly, since a keeper is there that starts it; or neither."""

RETURNS = "its supervisor is started again by itself"


def presence(home: Path, run: str) -> Presence:
    """Who is at a run just now. Whoever asks changes nothing."""
    if not is_over(home, run):
        return "works"
    if not names.is_id(run) or not is_held(keeper.file_of(home, run)):
        return "nobody"
    if not hangs(home, run):
        return "returns"
    # Its keeper starts no other; or it has only just begun to live.
    return "nobody" if is_over(home, run) else "works"


def is_left(home: Path, run: str) -> bool:
    """Whether nobody works on a run, and nobody will unless a person resumes it."""
    return presence(home, run) == "nobody"

"""The latest signs of life of a run's attempts, in a file: for whoever looks from another process.

They are written over about once a second and are not durable: what counts is in the journal.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from pydantic import ValidationError

from runner.supervisor import events as e
from runner.supervisor.deadline import steady

EVERY = 1.0
"""Seconds between two writings."""


class Signboard:
    """What one run shows of itself."""

    def __init__(self, home: Path, run: str) -> None:
        """Go on with what an earlier process showed last."""
        self._file = _file(home, run)
        self._signs = {one.attempt: one for one in read(home, run)}
        self._written = 0.0

    def take(self, event: e.Event) -> None:
        """Show signs of an attempt from now on, or none any more of one that has ended."""
        if isinstance(event, e.Signs):
            self._signs[event.attempt] = event
        elif isinstance(event, e.AttemptFinal):
            self._signs.pop(event.attempt, None)
        if steady() - self._written >= EVERY:
            self._write()

    def clear(self) -> None:
        """Show nothing any more."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        self._written = steady()
        text = json.dumps([sign.model_dump(mode="json") for sign in self._signs.values()])
        part = self._file.with_suffix(".part")
        with contextlib.suppress(OSError):  # on a full disk nobody is shown anything, and the night goes on
            part.write_text(text, encoding="utf-8")
            part.replace(self._file)


def read(home: Path, run: str) -> list[e.Signs]:
    """The latest signs of a run's attempts; none if nobody works on it."""
    try:
        found = json.loads(_file(home, run).read_text(encoding="utf-8"))
        return [e.Signs.model_validate(sign) for sign in found]
    except (OSError, ValueError, ValidationError):
        return []


def _file(home: Path, run: str) -> Path:
    return home / "runs" / run / "signs.json"

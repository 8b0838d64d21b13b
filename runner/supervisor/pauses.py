"""How long attempts rest before they are tried again, by a clock that nobody can set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from runner.supervisor.deadline import steady

Key = TypeVar("Key")


class Pauses(Generic[Key]):
    """Who rests, and until when."""

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self._clock = clock
        self._until: dict[Key, float] = {}

    def begin(self, key: Key, seconds: float) -> None:
        """Let it rest for so long from now."""
        self._until[key] = self._clock() + seconds

    def over(self) -> list[Key]:
        """Whose pause is over; each is told once."""
        now = self._clock()
        rested = [key for key, until in self._until.items() if until <= now]
        for key in rested:
            del self._until[key]
        return rested

"""Signals that end a run: none of them strikes where something has been made and is not yet written down."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

IMPATIENT = 2
"""So many before the run has begun end it where it stands."""


def heeded(*numbers: int) -> list[int]:
    """Those signals that whoever started us did not tell us to ignore, as `nohup` does with SIGHUP."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


class Interruptible(Protocol):
    """A run that knows what to do."""

    def interrupt(self, exit_code: int, times: int = 1) -> None:
        """Drain at the first interruption, stop at the second."""
        ...


class Interruptions:
    """Hears signals while open: until a run begins they end it at the next safe place, then the run decides.

    An exception in the middle of a request to the engine would leave a container that nobody knows of. So
    what is being prepared is not broken off but ended at a place where all that was made is known.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        """`numbers` are the signals to hear."""
        self._numbers = tuple(numbers)
        self._before: dict[int, Any] = {}
        self._heard: list[int] = []
        self._night: Interruptible | None = None

    def __enter__(self) -> Interruptions:
        self._before = {number: signal.signal(number, self._hear) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def before(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        """A function that does the same where no signal was heard, and else ends the process."""

        def told(text: str) -> None:
            self._leave_if_heard()
            tell(text)

        return told

    def hand_to(self, night: Interruptible) -> None:
        """Let a run decide from now on; what was heard before ends the process."""
        self._night = night
        self._leave_if_heard()

    def _hear(self, number: int, _: object) -> None:
        if self._night is not None:  # Ctrl-C drains and then stops, a termination stops at once
            self._night.interrupt(128 + number, times=1 if number == signal.SIGINT else 2)
            return
        self._heard.append(number)
        if len(self._heard) >= IMPATIENT:
            self._leave_if_heard()

    def _leave_if_heard(self) -> None:
        if self._heard:
            sys.exit(128 + self._heard[0])

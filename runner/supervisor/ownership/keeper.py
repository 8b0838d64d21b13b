"""Keeps the supervisor of a detached run alive: `python -m runner.supervisor.ownership.keeper LOG COMMAND…`.

A small process without a terminal that starts the supervisor and waits for it. One that was killed is started
again: it resumes the run. So is one that says that it can't begin just now, since the engine does not answer.
One that ended by itself, whatever else it says, is not.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runner.errors import NotYetError
from runner.locks import shared

MOST = 5
"""Restarts within `SPAN`: whatever dies more often has a trouble that another start does not cure."""

SPAN = 600.0
PAUSE = 2.0
"""Seconds before the first restart in a row; then twice as many each."""

LONGEST = 120.0
"""Seconds between two tries of a supervisor that can't begin."""

PATIENCE = 3600.0
"""Seconds for which one that can't begin is tried again."""

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TICK = 0.2


def file_of(home: Path, run: str) -> Path:
    """The file whose lock says that a run's supervisor is started again if it dies."""
    return home / "runs" / run / "keeper"


@contextmanager
def keeping(file: Path) -> Iterator[None]:
    """Say that a supervisor is kept; others may say so beside us, as who starts a keeper does until it runs.

    The file is not removed: who has just opened it would hold the lock of a file that nobody finds.
    """
    with shared(file):
        yield


class Keeper:
    """One supervisor, and the process that it lives in."""

    def __init__(self, command: Sequence[str], log: Path, pause: float = PAUSE) -> None:
        self._command = list(command)
        self._log = log
        self._pause = pause
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._died: list[float] = []
        self._refused: list[float] = []

    def run(self) -> int:
        """Keep it alive until it ends; returns its exit code."""
        for number in HEEDED:
            signal.signal(number, self._hand_on)
        while True:
            code = self._live()
            pause = self._before_another(code, time.monotonic())
            if pause is None or self._asked:
                return code if code >= 0 else 128 - code
            if not self._rest(pause):
                return 128 + self._asked

    def _before_another(self, code: int, now: float) -> float | None:
        """Seconds until the supervisor is started again; None if it is not."""
        if code == NotYetError.exit_code:
            self._refused.append(now)
            given_up = now - self._refused[0] > PATIENCE
            return None if given_up else min(LONGEST, self._pause * 2 ** (len(self._refused) - 1))
        self._refused = []
        if code >= 0:
            return None
        self._died = [*(at for at in self._died if now - at < SPAN), now]
        return None if len(self._died) > MOST else self._pause * 2 ** (len(self._died) - 1)

    def _rest(self, seconds: float) -> bool:
        """Wait for so long; whether we may go on, since nobody told us to end."""
        until = time.monotonic() + seconds
        while not self._asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(TICK, left))
        return not self._asked

    def _live(self) -> int:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if self._asked:  # just before
                self._child.terminate()
            return self._child.wait()

    def _hand_on(self, number: int, _: object) -> None:
        self._asked = number
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with keeping(place.with_name("keeper")):
        sys.exit(Keeper(sys.argv[2:], place).run())
